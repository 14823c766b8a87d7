//! Receiving: multishot receives from the ring of buffers, and what is done when that runs dry.

use std::sync::atomic::Ordering;

use io_uring::squeue::Flags;
use io_uring::types::Fixed;
use io_uring::{cqueue, opcode};

use super::{
    BufferRing, CROWD, DRY_TURNS, GROUP, NOTHING, QUIET, SEND_NOW, SHARE, State, Uring, Want, conn_data, kind,
};
use crate::runtime::engine::{Buffers, Counters, Event, LINGER_BYTES_MAX};
use crate::shard::io::{ConnId, Gone};

impl Uring {
    pub(super) fn arm_receive(&mut self, conn: ConnId) {
        let thirsty = self.thirst > 0;
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        debug_assert!(!tenant.armed && !tenant.starved);
        tenant.armed = true;
        let dead = tenant.is_dead();
        let entry = if tenant.want == Want::Once || thirsty || dead {
            opcode::Recv::new(Fixed(conn.slot), std::ptr::null_mut(), 0)
                .flags(if dead { libc::MSG_DONTWAIT } else { 0 })
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT)
        } else {
            opcode::RecvMulti::new(Fixed(conn.slot), GROUP).build()
        };
        self.push(&entry.user_data(conn_data(kind::RECEIVE, conn)));
    }

    pub(super) fn cancel_receive(&mut self, conn: ConnId) {
        if let Some(tenant) = self.slots.get_mut(conn)
            && tenant.armed
            && !tenant.cancelling
        {
            tenant.cancelling = true;
            self.push_cancel(kind::RECEIVE, conn);
        }
    }

    pub(super) fn push_cancel(&mut self, what: u8, conn: ConnId) {
        let entry = opcode::AsyncCancel::new(conn_data(what, conn))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(conn_data(kind::CANCEL, conn));
        self.push(&entry);
    }

    /// A cancel found nothing, or came too late. If its target is still in flight, it is asked again.
    pub(super) fn cancel_failed(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get(conn) else {
            return;
        };
        let (receive, tail) = (tenant.armed && tenant.cancelling, tenant.tail_armed && tenant.state == State::Closing);
        if receive {
            self.push_cancel(kind::RECEIVE, conn);
        }
        if tail {
            self.push_cancel(kind::TAIL, conn);
        }
    }

    pub(super) fn receive_completed(
        &mut self,
        conn: ConnId,
        result: i32,
        flags: u32,
        buffers: &mut BufferRing,
        events: &mut Vec<Event>,
    ) {
        let buffer = cqueue::buffer_select(flags).map(|id| buffers.lend(id, u32::try_from(result).unwrap_or(0)));
        let turn = self.turn;
        let Some(tenant) = self.slots.get_mut(conn) else {
            Counters::count(&self.settings.counters.completions_late);
            if let Some(buffer) = buffer {
                buffers.recycle(buffer);
            }
            return;
        };
        if !cqueue::more(flags) {
            tenant.armed = false;
            tenant.cancelling = false;
        }
        let lingers = tenant.state == State::Lingering;
        match (result, buffer) {
            (1.., Some(buffer)) if tenant.state == State::Open => {
                if tenant.want == Want::Once {
                    tenant.want = Want::Nothing;
                }
                if tenant.taken_in != turn {
                    tenant.taken_in = turn;
                    tenant.taken = 0;
                    self.served += 1;
                }
                tenant.taken = tenant.taken.saturating_add(1);
                if tenant.taken == SHARE {
                    self.heavy.push(conn);
                }
                tenant.spoke = true;
                if !tenant.watched {
                    tenant.watched = true;
                    self.heard.push_back((self.now.after(QUIET), conn));
                }
                events.push(Event::Received { conn, buffer });
            }
            (1.., buffer) => {
                if let Some(buffer) = buffer {
                    buffers.recycle(buffer);
                }
                tenant.lingered_bytes += result.unsigned_abs();
                if lingers && tenant.lingered_bytes > LINGER_BYTES_MAX {
                    self.end(conn);
                    return;
                }
            }
            (_, buffer) => {
                if let Some(buffer) = buffer {
                    buffers.recycle(buffer);
                }
                match -result {
                    libc::ENOBUFS => {
                        self.dry += 1;
                        Counters::count(&self.settings.counters.buffers_short);
                    }
                    libc::EAGAIN if tenant.state == State::Open && tenant.is_dead() => {
                        tenant.want = Want::Nothing;
                        events.push(Event::Gone { conn, how: Gone::Failed });
                    }
                    libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
                    _ if lingers => {
                        self.end(conn);
                        return;
                    }
                    error if tenant.state == State::Open => {
                        tenant.want = Want::Nothing;
                        let how = if error == 0 { Gone::Closed } else { Gone::Failed };
                        events.push(Event::Gone { conn, how });
                    }
                    _ => {}
                }
            }
        }
        self.receive_settled(conn);
    }

    /// Queues the next receive if one is wanted and none is in flight; ends a closing connection that has gone quiet.
    ///
    /// Nobody is armed out of turn: while buffers are short, who was just served would take those that just came back,
    /// for ever; and who always has more to say would keep a bounded turn from coming to its end.
    pub(super) fn receive_settled(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if tenant.state == State::Closing {
            self.finish(conn);
        } else if tenant.is_due() {
            tenant.starved = true;
            self.starved.push_back(conn);
        }
    }

    /// Asks connections that have fallen quiet whether they still stand. A multishot receive that takes the last bytes
    /// after a reset has come in already waits for a wake-up that has been (seen on 6.18): only an operation that
    /// looks at the socket finds the error. A send of nothing does, and completes only if it fails.
    pub(super) fn probe_quiet(&mut self) {
        while let Some((at, conn)) = self.heard.front().copied() {
            if at > self.now {
                break;
            }
            self.heard.pop_front();
            let Some(tenant) = self.slots.get_mut(conn) else {
                continue;
            };
            if std::mem::take(&mut tenant.spoke) {
                self.heard.push_back((self.now.after(QUIET), conn));
                continue;
            }
            tenant.watched = false;
            if tenant.state == State::Open && tenant.armed {
                let entry = opcode::Send::new(Fixed(conn.slot), NOTHING.as_ptr(), 0)
                    .flags(SEND_NOW)
                    .build()
                    .flags(Flags::SKIP_SUCCESS)
                    .user_data(conn_data(kind::PROBE, conn));
                self.push(&entry);
            }
        }
    }

    /// Arms the receives that are queued: as many as there are buffers, oldest first.
    pub(super) fn arm_starved(&mut self, buffers: &BufferRing) {
        let mut budget = buffers.provided();
        while budget > 0
            && let Some(conn) = self.starved.pop_front()
        {
            let Some(tenant) = self.slots.get_mut(conn) else {
                continue;
            };
            tenant.starved = false;
            if tenant.is_due() {
                budget -= 1;
                self.arm_receive(conn);
            }
        }
        self.queue_left = !self.starved.is_empty();
    }

    /// After a turn in which buffers were short: more of them if that helps, and nobody keeps more than a share.
    pub(super) fn end_drought(&mut self, buffers: &mut BufferRing) {
        if self.dry > 0 || self.queue_left {
            self.thirst = DRY_TURNS;
            // Many connections with little each need more buffers; a few with much need a smaller share.
            if self.queue_left || self.served >= CROWD.min(u32::from(buffers.len() / 4)) {
                buffers.grow();
                self.settings.counters.buffers.store(u64::from(buffers.len()), Ordering::Relaxed);
            }
            for conn in std::mem::take(&mut self.heavy) {
                self.cancel_receive(conn);
            }
        }
        self.heavy.clear();
        self.dry = 0;
        self.served = 0;
    }
}
