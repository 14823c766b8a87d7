//! Sending: one send a turn that does not wait; what did not fit follows in one that does.

use io_uring::opcode;
use io_uring::squeue::{self, Flags};
use io_uring::types::Fixed;

use super::{Flight, SEND_ALL, SEND_NOW, State, Uring, Want, conn_data, is_transient, kind, length_of};
use crate::runtime::engine::{Counters, Event};
use crate::runtime::sys;
use crate::send_buffer::SendBuffer;
use crate::shard::io::{ConnId, Gone};

impl Uring {
    pub(super) fn fly(&mut self, conn: ConnId, output: SendBuffer) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        tenant.flying = true;
        tenant.flight = self.flights_base.wrapping_add(self.flights.len() as u32);
        let entry = self.send_entry(conn, &output, 0, SEND_NOW);
        self.push(&entry.flags(Flags::SKIP_SUCCESS).user_data(conn_data(kind::SEND, conn)));
        // The number of the entry is known only now: `push` may have submitted to make room.
        self.flights.push_back(Flight { entry: self.pushed - 1, conn, output });
    }

    /// A send of what follows the first `skip` bytes; it must be pushed next.
    fn send_entry(&mut self, conn: ConnId, output: &SendBuffer, skip: usize, flags: i32) -> squeue::Entry {
        if output.is_whole() {
            let bytes = &output.bytes[skip..];
            return opcode::Send::new(Fixed(conn.slot), bytes.as_ptr(), length_of(bytes)).flags(flags).build();
        }
        let mut gather = self.spare.pop().unwrap_or_default();
        gather.header = sys::gather(output, skip, &mut gather.slices);
        gather.entry = self.pushed;
        let entry = opcode::SendMsg::new(Fixed(conn.slot), &raw const gather.header).flags(flags as u32).build();
        self.gathers.push_back(gather);
        entry
    }

    pub(super) fn send_failed(&mut self, conn: ConnId, result: i32, events: &mut Vec<Event>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if !std::mem::take(&mut tenant.flying) {
            return;
        }
        let flight = &mut self.flights[tenant.flight.wrapping_sub(self.flights_base) as usize];
        debug_assert!(flight.conn == conn);
        let output = std::mem::take(&mut flight.output);
        let sent = usize::try_from(result).unwrap_or(0);
        if result < 0 && !is_transient(result) {
            self.pool.put(output);
            self.transport_failed(conn, events);
            return;
        }
        if tenant.state == State::Closing {
            self.pool.put(output);
            return;
        }
        let tail = tenant.tail.get_or_insert_default();
        if tail.dead {
            self.pool.put(output);
            return;
        }
        tail.output = output;
        tail.sent = sent;
        if tail.left() == 0 {
            self.drain_tail(conn, events);
            return;
        }
        tail.output.settle();
        let unsent = tail.left() + tail.held.len();
        Counters::count(&self.settings.counters.sends_short);
        if tenant.state == State::Open {
            events.push(Event::Stalled { conn, unsent });
        }
        self.arm_tail(conn);
    }

    pub(super) fn arm_tail(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        let Some(tail) = tenant.tail.take_if(|tail| !tail.dead) else {
            return;
        };
        tenant.tail_armed = true;
        let entry = self.send_entry(conn, &tail.output, tail.sent, SEND_ALL);
        // The box moves, the bytes do not.
        self.slots.get_mut(conn).expect("looked at above").tail = Some(tail);
        self.push(&entry.user_data(conn_data(kind::TAIL, conn)));
    }

    pub(super) fn tail_completed(&mut self, conn: ConnId, result: i32, events: &mut Vec<Event>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            Counters::count(&self.settings.counters.completions_late);
            return;
        };
        tenant.tail_armed = false;
        if tenant.state == State::Closing {
            self.finish(conn);
            return;
        }
        let Some(tail) = &mut tenant.tail else {
            return;
        };
        if result <= 0 && !is_transient(result) {
            self.transport_failed(conn, events);
            return;
        }
        tail.sent += usize::try_from(result).unwrap_or(0);
        if tail.left() == 0 {
            self.drain_tail(conn, events);
        } else {
            self.arm_tail(conn);
        }
    }

    /// The bytes of the tail are out: now what was held back behind them.
    pub(super) fn drain_tail(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        let Some(tail) = tenant.tail.as_mut().filter(|tail| !tail.dead) else {
            return;
        };
        if tail.held.is_empty() {
            let tail = tenant.tail.take().expect("looked at above");
            self.pool.put(tail.output);
            if tenant.state == State::Open {
                events.push(Event::Drained { conn });
            }
            self.shut_if_out(conn);
        } else {
            let held = std::mem::take(&mut tail.held);
            let spent = std::mem::replace(&mut tail.output, held);
            tail.sent = 0;
            self.pool.put(spent);
            self.arm_tail(conn);
        }
    }

    /// Sends whose entries the kernel has consumed without a completion went through: their buffers are free again.
    pub(super) fn settle_flights(&mut self) {
        let queued = self.ring.submission().len();
        if queued == 0 && self.leaving > 0 {
            self.settings.berths.give(self.settings.shard, std::mem::take(&mut self.leaving));
        }
        let consumed = self.pushed - queued as u64;
        while let Some(gather) = self.gathers.pop_front_if(|gather| gather.entry < consumed) {
            self.spare.push(gather);
        }
        while let Some(flight) = self.flights.front() {
            if flight.entry >= consumed {
                break;
            }
            let number = self.flights_base;
            let flight = self.flights.pop_front().expect("looked at above");
            self.flights_base = number.wrapping_add(1);
            self.pool.put(flight.output);
            let Some(tenant) = self.slots.get_mut(flight.conn) else {
                continue;
            };
            if !tenant.flying || tenant.flight != number {
                continue;
            }
            tenant.flying = false;
            if tenant.state == State::Closing {
                continue;
            }
            if tenant.tail.is_some() {
                self.drain_held(flight.conn);
            } else if tenant.state == State::Lingering {
                self.shut_if_out(flight.conn);
            }
        }
    }

    /// A send went through while more was held back behind it.
    pub(super) fn drain_held(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if !tenant.is_dead()
            && let Some(tail) = tenant.tail.take()
        {
            self.fly(conn, tail.held);
            self.unsettled = true;
        }
    }

    /// A send failed. What the peer sent before is still read: its last packet may say that it leaves in order.
    pub(super) fn transport_failed(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        match tenant.state {
            State::Open if tenant.want != Want::Nothing => {
                tenant.tail.get_or_insert_default().dead = true;
                // The receive in flight may sleep through the end; a new one looks at the socket.
                self.cancel_receive(conn);
                self.receive_settled(conn);
            }
            State::Open => events.push(Event::Gone { conn, how: Gone::Failed }),
            State::Lingering => self.end(conn),
            State::Closing | State::Leaving => {}
        }
    }
}
