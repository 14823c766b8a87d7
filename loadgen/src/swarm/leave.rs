//! How connections stay and end: Keep Alive, goodbyes, losses, and those who go to come back.

use millrace_core::codec::control::PINGREQ;
use millrace_core::codec::encode;
use millrace_core::codec::properties::{PropertiesBuf, Property};
use millrace_core::packet::{Disconnect, Packet};
use millrace_core::reason_code::ReasonCode;

use super::Swarm;
use super::conn::State;
use crate::plan::Story;
use crate::uring::ConnId;

impl Swarm {
    /// Subscribers go, politely.
    pub(super) fn all_go(&mut self, now: u64) {
        let deadline = now + self.plan.ramp.timeout.as_nanos() as u64;
        for slot in 0..self.subscribers {
            if self.conns[slot as usize].state == State::Ready {
                self.say_goodbye(slot, false);
                self.conns[slot as usize].state = State::Leaving;
                self.conns[slot as usize].since = now;
                self.stats.counts.open -= 1;
                self.handshakes.push_back((deadline, self.id_of(slot)));
            }
        }
    }

    /// Whoever is away returns, after all were dropped if that is the story; or subscribers subscribe at last.
    pub(super) fn all_return(&mut self, now: u64) {
        match self.plan.story {
            Story::Plain => {}
            Story::Retained => {
                for slot in 0..self.subscribers {
                    if self.conns[slot as usize].state == State::Ready {
                        self.conns[slot as usize].since = now;
                        self.ramp.pending += 1;
                        self.stats.counts.open -= 1;
                        self.subscribe(slot);
                        let deadline = now + self.plan.ramp.timeout.as_nanos() as u64;
                        self.handshakes.push_back((deadline, self.id_of(slot)));
                    }
                }
            }
            Story::Offline => self.ramp_begin(0, self.subscribers, now),
            Story::Reconnect(_) => {
                for slot in 0..self.conns.len() as u32 {
                    if self.conns[slot as usize].state == State::Ready {
                        self.stats.counts.open -= 1;
                        self.close_for_now(slot);
                    }
                }
                self.ramp_begin(0, self.conns.len() as u32, now);
            }
        }
    }

    /// Closes a connection without a word; it will be back.
    pub(super) fn close_for_now(&mut self, slot: u32) {
        let conn = self.id_of(slot);
        let met = &mut self.conns[slot as usize];
        self.outbox.clear(met);
        met.partial = None;
        met.state = State::Dropping;
        if met.armed || met.stalled {
            self.orders.cancels.push(conn);
        } else {
            self.order_close(conn);
        }
    }

    // --- Keep Alive ---

    /// Looked at twice in each Keep Alive, and a bit: whoever was silent in between says PINGREQ.
    pub(super) fn pulse_period(&self) -> u64 {
        u64::from(self.plan.identity.keep_alive) * 450_000_000
    }

    pub(super) fn pulse_step(&mut self, now: u64) -> u64 {
        while let Some((due, conn)) = self.pulse.front().copied() {
            if due > now {
                return due;
            }
            self.pulse.pop_front();
            let Some(met) = self.met(conn).filter(|met| met.is_open()) else { continue };
            if !std::mem::take(&mut met.spoke) && !met.stalled {
                let met = &mut self.conns[conn.slot as usize];
                self.outbox.of(conn.slot, met).extend_from_slice(&PINGREQ);
                met.spoke = false;
                self.stats.counts.pings += 1;
            }
            self.pulse.push_back((now + self.pulse_period(), conn));
        }
        u64::MAX
    }

    // --- the end ---

    /// `for_good` ends a session that was to be kept.
    pub(super) fn say_goodbye(&mut self, slot: u32, for_good: bool) {
        let version = self.plan.identity.version;
        let mut properties = PropertiesBuf::new();
        if for_good && self.plan.story == Story::Offline && slot < self.subscribers {
            properties.push_u32(Property::SessionExpiryInterval, 0);
        }
        let disconnect = Disconnect { reason_code: ReasonCode::Success, properties: properties.as_properties() };
        encode(version, &Packet::Disconnect(disconnect), self.outbox.of(slot, &mut self.conns[slot as usize]));
    }

    /// The broker does what no broker may.
    pub(super) fn breach(&mut self, slot: u32, what: &str) {
        self.stats.error(format!("protocol: {what}"));
        self.give_up(slot);
    }

    /// The connection has ended without us; `why` is counted, unless the run is over.
    pub(crate) fn lost(&mut self, conn: ConnId, why: &str) {
        let Some(met) = self.met(conn) else { return };
        if met.is_open() || met.state == State::Connecting {
            self.stats.error(format!("connection lost: {why}"));
            self.give_up(conn.slot);
        } else {
            self.close_if_quiet(conn.slot);
        }
    }

    /// Closes a connection from our side.
    pub(super) fn give_up(&mut self, slot: u32) {
        let conn = self.id_of(slot);
        match self.conns[slot as usize].state {
            State::Ready => {
                self.stats.counts.dropped += 1;
                self.stats.counts.open -= 1;
            }
            State::Connecting | State::Greeting | State::Subscribing => self.ramp.pending -= 1,
            State::Waiting | State::Leaving | State::Dropping | State::Closing | State::Gone => return,
        }
        let was_ready = self.conns[slot as usize].state == State::Ready;
        let again = self.may_come_back(slot, was_ready);
        if !was_ready && !again {
            self.stats.counts.failed += 1;
        }
        let was_connecting = self.conns[slot as usize].state == State::Connecting;
        let met = &mut self.conns[slot as usize];
        self.outbox.clear(met);
        met.partial = None;
        met.state = if again { State::Dropping } else { State::Closing };
        if was_connecting || met.armed || met.stalled {
            self.orders.cancels.push(conn);
        } else {
            self.order_close(conn);
        }
    }

    /// Closes a descriptor on which nothing is in flight; once, since the slot may have another tenant afterwards.
    pub(super) fn order_close(&mut self, conn: ConnId) {
        let met = &mut self.conns[conn.slot as usize];
        if !std::mem::replace(&mut met.closing, true) {
            self.orders.closes.push(conn);
        }
    }

    /// An operation of a connection has ended; if it was the last one of a closing one, the descriptor is closed.
    pub(super) fn close_if_quiet(&mut self, slot: u32) {
        let met = &self.conns[slot as usize];
        let closing = matches!(met.state, State::Leaving | State::Dropping | State::Closing);
        if closing && !met.armed && !met.stalled {
            let conn = self.id_of(slot);
            self.order_close(conn);
        }
    }

    pub(crate) fn receive_ended(&mut self, conn: ConnId, error: i32) {
        let Some(met) = self.met(conn) else { return };
        met.armed = false;
        match error {
            libc::ENOBUFS | libc::EINTR | libc::EAGAIN if met.is_open() => {
                met.armed = true;
                self.orders.receives.push(conn);
            }
            0 => self.lost(conn, "closed by the broker"),
            libc::ECANCELED => self.close_if_quiet(conn.slot),
            error => self.lost(conn, &std::io::Error::from_raw_os_error(error).to_string()),
        }
    }

    pub(crate) fn stalled(&mut self, conn: ConnId) {
        if let Some(met) = self.met(conn) {
            met.stalled = true;
        }
    }

    pub(crate) fn drained(&mut self, conn: ConnId) {
        let Some(met) = self.met(conn) else { return };
        met.stalled = false;
        if met.is_open() {
            self.outbox.resume(conn.slot, &self.conns[conn.slot as usize]);
            self.look_at(conn.slot);
        } else {
            self.close_if_quiet(conn.slot);
        }
    }

    pub(crate) fn broken(&mut self, conn: ConnId, error: i32) {
        if let Some(met) = self.met(conn) {
            met.stalled = false;
            self.lost(conn, &std::io::Error::from_raw_os_error(error).to_string());
        }
    }

    pub(crate) fn closed(&mut self, conn: ConnId) {
        if let Some(met) = self.met(conn) {
            met.state = if met.state == State::Closing { State::Gone } else { State::Waiting };
            met.generation += 1;
            met.closing = false;
            met.partial = None;
            self.outbox.clear(&mut self.conns[conn.slot as usize]);
        }
    }
}
