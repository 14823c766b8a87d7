//! Accepting: several accepts in flight for each listener, each with its own place for who connected.
//!
//! Not one multishot accept: that cannot say who connected, and a direct descriptor cannot be asked.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::opcode;
use io_uring::types::{DestinationSlot, Fd};

use super::{BERTHS_FOR_HANDOVER, Conn, Uring, accept_data};
use crate::runtime::engine::{ACCEPT_REST, Counters, Event, is_of_one_connection};
use crate::shard::io::{ShardId, TOKEN_END};

impl Uring {
    pub(super) fn arm_accepts(&mut self) {
        if !self.accepting {
            return;
        }
        if let Some(until) = self.accept_rest_until {
            if self.now < until {
                return;
            }
            self.accept_rest_until = None;
        }
        let berths = Arc::clone(&self.settings.berths);
        let keep = BERTHS_FOR_HANDOVER.min(berths.size() / 4);
        for index in 0..self.listeners.len() {
            while !self.listeners[index].idle.is_empty() {
                if !berths.take(self.settings.shard, keep) {
                    if self.accepts == 0 && !self.crowded {
                        Counters::count(&self.settings.counters.accept_rests);
                    }
                    self.crowded = self.accepts == 0;
                    return;
                }
                let listening = &mut self.listeners[index];
                let place = listening.idle.pop().expect("looked at above");
                let (address, length) = listening.peers[usize::from(place)].space();
                let entry = opcode::Accept::new(Fd(listening.socket.as_raw_fd()), address, length)
                    .file_index(Some(DestinationSlot::auto_target()))
                    .build()
                    .user_data(accept_data(index, place));
                self.accepts += 1;
                self.push(&entry);
            }
        }
        self.crowded = false;
    }

    pub(super) fn accept_completed(&mut self, data: u64, result: i32, events: &mut Vec<Event>) {
        let index = ((data >> 16) & 0xff) as usize;
        let place = (data & 0xffff) as u16;
        self.accepts -= 1;
        let listening = &mut self.listeners[index];
        listening.idle.push(place);
        let listener = listening.id;
        let peer: Option<SocketAddr> = listening.peers[usize::from(place)].get();
        if let Ok(slot) = u32::try_from(result) {
            let conn = self.slots.occupy(slot, Conn::new());
            self.count_open();
            if let (true, Some(peer)) = (self.accepting, peer) {
                Counters::count(&self.settings.counters.accepted);
                events.push(Event::Accepted { conn, listener, peer });
            } else {
                self.end(conn);
            }
            return;
        }
        self.settings.berths.give(self.settings.shard, 1);
        if !is_of_one_connection(-result) {
            self.rest_accepting();
            self.accept_refusals.tell(self.now, -result);
        }
    }

    fn rest_accepting(&mut self) {
        if !self.accepting {
            return;
        }
        if self.accept_rest_until.is_none() {
            Counters::count(&self.settings.counters.accept_rests);
        }
        self.accept_rest_until = Some(self.now.after(ACCEPT_REST));
    }

    pub(super) fn adopt_completed(&mut self, data: u64, result: i32, events: &mut Vec<Event>) {
        let Ok(slot) = u32::try_from(result) else {
            return;
        };
        let conn = self.slots.occupy(slot, Conn::new());
        self.count_open();
        Counters::count(&self.settings.counters.adopted);
        events.push(Event::Adopted {
            conn,
            from: ShardId(((data >> 44) & 0xfff) as u16),
            token: data & (TOKEN_END - 1),
        });
    }
}
