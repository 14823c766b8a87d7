//! Closing: lingering, cancelling, and giving a slot back only when nothing is in flight on it.

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::Fixed;

use super::{State, Uring, conn_data, kind};
use crate::runtime::engine::{Counters, LINGER};
use crate::shard::io::{ConnId, ShardId};

impl Uring {
    pub(super) fn linger(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if tenant.is_dead() {
            self.end(conn);
            return;
        }
        tenant.state = State::Lingering;
        if tenant.flying {
            self.unsettled = true;
        }
        self.lingering.push_back((self.now.after(LINGER), conn));
        self.shut_if_out(conn);
        self.receive_settled(conn);
    }

    /// Shuts our half of a lingering connection once everything is out.
    pub(super) fn shut_if_out(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if tenant.state == State::Lingering && !tenant.flying && tenant.tail.is_none() && !tenant.shut {
            tenant.shut = true;
            tenant.shutting = true;
            let entry = opcode::Shutdown::new(Fixed(conn.slot), libc::SHUT_WR)
                .build()
                .user_data(conn_data(kind::SHUTDOWN, conn));
            self.push(&entry);
        }
    }

    pub(super) fn shutdown_completed(&mut self, conn: ConnId, result: i32) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        tenant.shutting = false;
        if tenant.state == State::Closing {
            self.finish(conn);
        } else if result < 0 {
            self.end(conn);
        }
    }

    pub(super) fn expire_lingering(&mut self) {
        while let Some((until, conn)) = self.lingering.front().copied() {
            if until > self.now {
                break;
            }
            self.lingering.pop_front();
            self.end(conn);
        }
    }

    /// Closes at once: cancels what is in flight, and gives the slot back when that has completed.
    pub(super) fn end(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if tenant.state == State::Closing {
            return;
        }
        tenant.state = State::Closing;
        let tail = tenant.tail_armed;
        self.cancel_receive(conn);
        if tail {
            self.push_cancel(kind::TAIL, conn);
        }
        self.finish(conn);
    }

    pub(super) fn finish(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get(conn) else {
            return;
        };
        if !tenant.is_quiet() {
            return;
        }
        let tenant = self.slots.vacate(conn).expect("looked at above");
        self.count_open();
        if let Some(tail) = tenant.tail {
            self.pool.put(tail.output);
        }
        // Nothing is in flight but a send that is earlier in the queue and does not wait. The kernel gives the slot to
        // a new socket only after it has executed this, so the table may forget the connection now.
        self.leaving += 1;
        self.push_close(conn);
    }

    pub(super) fn push_close(&mut self, conn: ConnId) {
        let entry = opcode::Close::new(Fixed(conn.slot))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(conn_data(kind::CLOSE, conn));
        self.push(&entry);
    }

    pub(super) fn hand_over_completed(&mut self, conn: ConnId, result: i32) {
        if result < 0 {
            Counters::count(&self.settings.counters.handovers_failed);
        }
        if let Some(tenant) = self.slots.get_mut(conn) {
            if result < 0 {
                self.settings.berths.give(ShardId(tenant.flight as u16), 1);
            }
            tenant.shutting = false;
            tenant.state = State::Closing;
            self.finish(conn);
        }
    }
}
