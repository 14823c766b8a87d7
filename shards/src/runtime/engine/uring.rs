//! The engine on a raw `io_uring`: direct descriptors, provided buffers, one enter a turn.
//!
//! Runs on: the shard's thread, which alone touches the ring.
//! Invariants: `user_data` is kind, slot and generation, so a late completion is told apart; a slot is given back only
//! when its receive, tail, shutdown and hand-over have completed; the bytes of a send are kept until the kernel has
//! consumed the entry and every completion of that submission has been seen.
//! Not here: the ring of buffers (`buffer_ring.rs`), opening the ring (`uring/setup.rs`).
#![allow(
    unsafe_code,
    reason = "submission entries carry pointers; each is owned by the operation until it has completed"
)]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::squeue::{Entry as Sqe, Flags};
use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use millrace_core::time::Millis;

use super::buffer_ring::{BufferRing, GROUP};
use super::pool::Pool;
use super::slots::Slots;
use super::{ACCEPT_REST, Buffers, Counters, Engine, Event, LINGER, LINGER_BYTES_MAX, Tail};
use crate::runtime::control::Bell;
use crate::runtime::sys::Address;
use crate::shard::io::{Close, ConnId, Gone, ListenerId, ShardId, TOKEN_END};

pub(crate) mod setup;

/// Buffers that one connection may take in a turn in which others found none.
const SHARE: u8 = 8;
/// Turns after the buffers ran dry during which receives are armed one buffer at a time.
const DRY_TURNS: u32 = 64;
/// Accepts in flight for each listener and shard.
const ACCEPTS: usize = 32;
/// The same when there are many shards, and all their rings together must stay small.
const ACCEPTS_OF_MANY: usize = 4;
/// Slots that accepts leave to sockets handed over.
const SLOTS_FOR_HANDOVER: usize = 16;

/// Sends without a wait for the socket; the kernel copies or says at once that it cannot.
const SEND_NOW: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
/// Sends that wait until all is out.
const SEND_ALL: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// What an operation is, in the top byte of `user_data`.
mod kind {
    pub(super) const ACCEPT: u8 = 1;
    pub(super) const RECEIVE: u8 = 2;
    pub(super) const SEND: u8 = 3;
    pub(super) const TAIL: u8 = 4;
    pub(super) const CANCEL: u8 = 5;
    pub(super) const SHUTDOWN: u8 = 6;
    pub(super) const CLOSE: u8 = 7;
    pub(super) const HAND_OVER: u8 = 8;
    pub(super) const ADOPT: u8 = 9;
    pub(super) const WAKE: u8 = 10;
    pub(super) const WOKEN: u8 = 11;
    pub(super) const BELL: u8 = 12;
    pub(super) const CANCEL_ALL: u8 = 13;
}

/// What the engine of one shard is given.
pub(crate) struct Settings {
    pub(crate) shard: ShardId,
    /// Connections at most: the size of the descriptor table.
    pub(crate) slots: u32,
    /// Number of shards.
    pub(crate) shards: u16,
    pub(crate) bell: Bell,
    pub(crate) counters: Arc<Counters>,
}

/// See the head of this file.
pub(crate) struct Uring {
    ring: IoUring,
    settings: Settings,
    /// Duplicates of all shards' ring descriptors: they outlive each ring, so that their numbers are not used again.
    rings: Arc<[OwnedFd]>,
    slots: Slots<Conn>,
    pool: Pool,
    listeners: Vec<Listening>,
    accepting: bool,
    /// Accepts in flight.
    accepts: usize,
    accept_rest_until: Option<Millis>,
    /// The table has no room for another accept.
    crowded: bool,
    /// Entries that were put into the submission queue, ever.
    pushed: u64,
    flights: VecDeque<Flight>,
    /// Number of the first of `flights`.
    flights_base: u64,
    /// Something is decided only by the completions of what is queued: submit and look before sleeping.
    unsettled: bool,
    /// Receives that found no buffer, oldest first.
    starved: VecDeque<ConnId>,
    /// Connections that took their share of buffers in this turn.
    heavy: Vec<ConnId>,
    turn: u32,
    /// Until this turn receives are armed one buffer at a time.
    dry_until: u32,
    /// Receives that ended for want of a buffer, and connections served, in this turn.
    dry: u32,
    served: u32,
    lingering: VecDeque<(Millis, ConnId)>,
    /// Events that a verb caused.
    deferred: Vec<Event>,
    /// Completions taken out of the queue to make room.
    backlog: VecDeque<cqueue::Entry>,
    /// Operations in flight that end with a completion, without those of connections.
    bell_armed: bool,
    bell_space: Box<u64>,
    now: Millis,
}

struct Listening {
    id: ListenerId,
    socket: OwnedFd,
    /// Where the kernel writes who connected; an entry belongs to the kernel while its accept is in flight.
    peers: Box<[Address]>,
    idle: Vec<u16>,
}

/// A send that the kernel may not have seen yet.
struct Flight {
    /// Which entry of the submission queue it is.
    entry: u64,
    conn: ConnId,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Lingering,
    Closing,
    Leaving,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Nothing,
    Once,
    Stream,
}

struct Conn {
    state: State,
    want: Want,
    /// A receive is in flight.
    armed: bool,
    /// The receive in flight is being cancelled.
    cancelling: bool,
    /// In `starved`.
    starved: bool,
    /// A send is in `flights`, the one with this number.
    flying: Option<u64>,
    /// The tail's send is in flight.
    tail_armed: bool,
    shutting: bool,
    /// Our half is shut.
    shut: bool,
    /// Buffers taken in turn `taken_in`.
    taken: u8,
    taken_in: u32,
    lingered_bytes: u64,
    tail: Option<Box<Tail>>,
}

impl Conn {
    const fn new() -> Self {
        Self {
            state: State::Open,
            want: Want::Nothing,
            armed: false,
            cancelling: false,
            starved: false,
            flying: None,
            tail_armed: false,
            shutting: false,
            shut: false,
            taken: 0,
            taken_in: 0,
            lingered_bytes: 0,
            tail: None,
        }
    }

    /// Operations whose completions are still due.
    const fn is_quiet(&self) -> bool {
        !self.armed && !self.tail_armed && !self.shutting
    }
}

impl Uring {
    /// Opens the ring; on the thread that will drive it.
    pub(crate) fn new(settings: Settings) -> Result<(Self, BufferRing), setup::OpenError> {
        let ring = setup::open()?;
        setup::register_table(&ring, settings.slots)?;
        let mut buffers = BufferRing::new();
        buffers
            .register(&ring.submitter())
            .map_err(|error| setup::OpenError::new("register receive buffers", error))?;
        settings.counters.buffers.store(u64::from(buffers.len()), std::sync::atomic::Ordering::Relaxed);
        let engine = Self {
            ring,
            settings,
            rings: Arc::new([]),
            slots: Slots::new(),
            pool: Pool::default(),
            listeners: Vec::new(),
            accepting: true,
            accepts: 0,
            accept_rest_until: None,
            crowded: false,
            pushed: 0,
            flights: VecDeque::new(),
            flights_base: 0,
            unsettled: false,
            starved: VecDeque::new(),
            heavy: Vec::new(),
            turn: DRY_TURNS,
            dry_until: 0,
            dry: 0,
            served: 0,
            lingering: VecDeque::new(),
            deferred: Vec::new(),
            backlog: VecDeque::new(),
            bell_armed: false,
            bell_space: Box::new(0),
            now: Millis(0),
        };
        Ok((engine, buffers))
    }

    pub(crate) fn ring_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Makes the other shards' rings known; before that no wake and no hand-over is sent.
    pub(crate) fn meet(&mut self, rings: Arc<[OwnedFd]>) {
        self.rings = rings;
    }

    // --- the queues ---

    fn push(&mut self, entry: &Sqe) {
        loop {
            // SAFETY: what the entry points at is owned by this engine until its completion has been seen: addresses
            // and the bell's space live in boxes, output bytes in `flights` or a tail.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                self.pushed += 1;
                return;
            }
            if let Err(error) = self.ring.submit() {
                // The kernel wants completions taken out, or is short of memory for the moment.
                expect_transient(&error);
                self.stash();
            }
        }
    }

    /// Takes completions out of the queue, for later.
    fn stash(&mut self) {
        let Self { ring, backlog, .. } = self;
        backlog.extend(ring.completion());
    }

    fn enter(&mut self, wait: Duration) {
        let result = if wait.is_zero() {
            let (submitter, mut submission, completion) = self.ring.split();
            submission.sync();
            if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
                return;
            }
            drop((submission, completion));
            submitter.submit()
        } else {
            let wait = Timespec::from(wait);
            let args = SubmitArgs::new().timespec(&wait);
            self.ring.submitter().submit_with_args(1, &args)
        };
        if let Err(error) = result {
            expect_transient(&error);
        }
    }

    fn reap(&mut self, buffers: &mut BufferRing, events: &mut Vec<Event>) {
        loop {
            while let Some(cqe) = self.backlog.pop_front() {
                self.completed(&cqe, buffers, events);
            }
            self.stash();
            if self.backlog.is_empty() {
                // What overflowed waits in the kernel for room, which there is now.
                if !self.ring.submission().cq_overflow() {
                    return;
                }
                Counters::count(&self.settings.counters.completions_overflowed);
                self.enter(Duration::ZERO);
            }
        }
    }

    fn completed(&mut self, cqe: &cqueue::Entry, buffers: &mut BufferRing, events: &mut Vec<Event>) {
        let data = cqe.user_data();
        let result = cqe.result();
        match (data >> 56) as u8 {
            kind::RECEIVE => self.receive_completed(conn_of(data), result, cqe.flags(), buffers, events),
            kind::SEND => self.send_failed(conn_of(data), result, events),
            kind::TAIL => self.tail_completed(conn_of(data), result, events),
            kind::ACCEPT => self.accept_completed(data, result, events),
            kind::SHUTDOWN => self.shutdown_completed(conn_of(data), result),
            kind::CANCEL => self.cancel_failed(conn_of(data)),
            kind::CLOSE => debug_assert!(false, "a close of an idle slot failed: {result}"),
            kind::HAND_OVER => self.hand_over_completed(conn_of(data), result),
            kind::ADOPT => self.adopt_completed(data, result, events),
            kind::WAKE => Counters::count(&self.settings.counters.wakes_failed),
            kind::BELL => {
                self.bell_armed = false;
                events.push(Event::Bell);
            }
            _ => {}
        }
    }

    // --- accepting ---

    fn arm_accepts(&mut self) {
        if !self.accepting {
            return;
        }
        if let Some(until) = self.accept_rest_until {
            if self.now < until {
                return;
            }
            self.accept_rest_until = None;
        }
        let slots = self.settings.slots as usize;
        let room = slots - SLOTS_FOR_HANDOVER.min(slots / 4);
        let crowded = self.slots.used() + self.accepts >= room;
        if crowded && self.accepts == 0 && !self.crowded {
            Counters::count(&self.settings.counters.accept_rests);
        }
        self.crowded = crowded && self.accepts == 0;
        for index in 0..self.listeners.len() {
            while !self.listeners[index].idle.is_empty() {
                if self.slots.used() + self.accepts >= room {
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
    }

    fn accept_completed(&mut self, data: u64, result: i32, events: &mut Vec<Event>) {
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
        if is_scarcity(-result) {
            self.rest_accepting();
        }
    }

    fn rest_accepting(&mut self) {
        if self.accept_rest_until.is_none() {
            Counters::count(&self.settings.counters.accept_rests);
        }
        self.accept_rest_until = Some(self.now.after(ACCEPT_REST));
    }

    fn adopt_completed(&mut self, data: u64, result: i32, events: &mut Vec<Event>) {
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

    // --- receiving ---

    fn arm_receive(&mut self, conn: ConnId) {
        let thirsty = self.turn < self.dry_until;
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        debug_assert!(!tenant.armed && !tenant.starved);
        tenant.armed = true;
        let entry = if tenant.want == Want::Once || thirsty {
            opcode::Recv::new(Fixed(conn.slot), std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT)
        } else {
            opcode::RecvMulti::new(Fixed(conn.slot), GROUP).build()
        };
        self.push(&entry.user_data(conn_data(kind::RECEIVE, conn)));
    }

    fn cancel_receive(&mut self, conn: ConnId) {
        if let Some(tenant) = self.slots.get_mut(conn)
            && tenant.armed
            && !tenant.cancelling
        {
            tenant.cancelling = true;
            self.push_cancel(kind::RECEIVE, conn);
        }
    }

    fn push_cancel(&mut self, what: u8, conn: ConnId) {
        let entry = opcode::AsyncCancel::new(conn_data(what, conn))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(conn_data(kind::CANCEL, conn));
        self.push(&entry);
    }

    /// A cancel found nothing, or came too late. If its target is still in flight, it is asked again.
    fn cancel_failed(&mut self, conn: ConnId) {
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

    fn receive_completed(
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
                events.push(Event::Received { conn, buffer });
            }
            (1.., buffer) => {
                if let Some(buffer) = buffer {
                    buffers.recycle(buffer);
                }
                tenant.lingered_bytes += u64::from(result.unsigned_abs());
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
                        if !tenant.starved {
                            tenant.starved = true;
                            self.starved.push_back(conn);
                        }
                        Counters::count(&self.settings.counters.buffers_short);
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

    /// Arms the next receive if one is wanted and none is in flight; ends a closing connection that has gone quiet.
    fn receive_settled(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get(conn) else {
            return;
        };
        if tenant.state == State::Closing {
            self.finish(conn);
        } else if !tenant.armed && !tenant.starved && (tenant.want != Want::Nothing || tenant.state == State::Lingering)
        {
            self.arm_receive(conn);
        }
    }

    /// Arms receives that found no buffer: as many as there are buffers, one buffer each, oldest first.
    fn arm_starved(&mut self, buffers: &BufferRing) {
        let mut budget = usize::from(buffers.provided()).min(self.starved.len());
        while budget > 0
            && let Some(conn) = self.starved.pop_front()
        {
            budget -= 1;
            if let Some(tenant) = self.slots.get_mut(conn) {
                tenant.starved = false;
                self.receive_settled(conn);
            }
        }
    }

    /// After a turn in which buffers ran dry: more of them if that helps, and nobody keeps more than a share.
    fn end_drought(&mut self, buffers: &mut BufferRing) {
        if self.dry > 0 {
            self.dry_until = self.turn.wrapping_add(DRY_TURNS);
            // Many connections with little each need more buffers; a few with much need a smaller share.
            if self.served >= u32::from(buffers.len() / 4) {
                buffers.grow();
                self.settings.counters.buffers.store(u64::from(buffers.len()), std::sync::atomic::Ordering::Relaxed);
            }
            for conn in std::mem::take(&mut self.heavy) {
                self.cancel_receive(conn);
            }
        }
        self.heavy.clear();
        self.dry = 0;
        self.served = 0;
    }

    // --- sending ---

    fn fly(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        tenant.flying = Some(self.flights_base + self.flights.len() as u64);
        let entry = opcode::Send::new(Fixed(conn.slot), bytes.as_ptr(), length_of(&bytes))
            .flags(SEND_NOW)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(conn_data(kind::SEND, conn));
        self.push(&entry);
        // The number of the entry is known only now: `push` may have submitted to make room.
        self.flights.push_back(Flight { entry: self.pushed - 1, conn, bytes });
    }

    fn send_failed(&mut self, conn: ConnId, result: i32, events: &mut Vec<Event>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        let Some(number) = tenant.flying.take() else {
            return;
        };
        let index = usize::try_from(number - self.flights_base).expect("in the deque");
        let flight = &mut self.flights[index];
        debug_assert!(flight.conn == conn);
        let bytes = std::mem::take(&mut flight.bytes);
        let sent = usize::try_from(result).unwrap_or(0);
        let transient = matches!(-result, libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS);
        if result < 0 && !transient {
            self.pool.put(bytes);
            self.transport_failed(conn, events);
            return;
        }
        if tenant.state == State::Closing {
            self.pool.put(bytes);
            return;
        }
        let tail = tenant.tail.get_or_insert_default();
        tail.bytes = bytes;
        tail.sent = sent;
        if tail.rest().is_empty() {
            self.drain_tail(conn, events);
            return;
        }
        let unsent = tail.rest().len() + tail.held.len();
        Counters::count(&self.settings.counters.sends_short);
        if tenant.state == State::Open {
            events.push(Event::Stalled { conn, unsent });
        }
        self.arm_tail(conn);
    }

    fn arm_tail(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        let Some(tail) = &tenant.tail else {
            return;
        };
        let rest = tail.rest();
        let entry = opcode::Send::new(Fixed(conn.slot), rest.as_ptr(), length_of(rest))
            .flags(SEND_ALL)
            .build()
            .user_data(conn_data(kind::TAIL, conn));
        tenant.tail_armed = true;
        self.push(&entry);
    }

    fn tail_completed(&mut self, conn: ConnId, result: i32, events: &mut Vec<Event>) {
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
        if result <= 0 && !matches!(-result, libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS) {
            self.transport_failed(conn, events);
            return;
        }
        tail.sent += usize::try_from(result).unwrap_or(0);
        if tail.rest().is_empty() {
            self.drain_tail(conn, events);
        } else {
            self.arm_tail(conn);
        }
    }

    /// The bytes of the tail are out: now what was held back behind them.
    fn drain_tail(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        let Some(tail) = &mut tenant.tail else {
            return;
        };
        if tail.held.is_empty() {
            let tail = tenant.tail.take().expect("looked at above");
            self.pool.put(tail.bytes);
            if tenant.state == State::Open {
                events.push(Event::Drained { conn });
            }
            self.shut_if_out(conn);
        } else {
            let held = std::mem::take(&mut tail.held);
            let spent = std::mem::replace(&mut tail.bytes, held);
            tail.sent = 0;
            self.pool.put(spent);
            self.arm_tail(conn);
        }
    }

    /// Sends whose entries the kernel has consumed without a completion went through: their buffers are free again.
    fn settle_flights(&mut self) {
        let consumed = self.pushed - self.ring.submission().len() as u64;
        while let Some(flight) = self.flights.front() {
            if flight.entry >= consumed {
                break;
            }
            let number = self.flights_base;
            let flight = self.flights.pop_front().expect("looked at above");
            self.flights_base += 1;
            self.pool.put(flight.bytes);
            let Some(tenant) = self.slots.get_mut(flight.conn) else {
                continue;
            };
            if tenant.flying != Some(number) {
                continue;
            }
            tenant.flying = None;
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
    fn drain_held(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if let Some(tail) = tenant.tail.take() {
            self.fly(conn, tail.held);
            self.unsettled = true;
        }
    }

    fn transport_failed(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        match self.slots.get(conn).map(|tenant| tenant.state) {
            Some(State::Open) => events.push(Event::Gone { conn, how: Gone::Failed }),
            Some(State::Lingering) => self.end(conn),
            _ => {}
        }
    }

    // --- closing ---

    fn linger(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        tenant.state = State::Lingering;
        if tenant.flying.is_some() {
            self.unsettled = true;
        }
        self.lingering.push_back((self.now.after(LINGER), conn));
        self.shut_if_out(conn);
        self.receive_settled(conn);
    }

    /// Shuts our half of a lingering connection once everything is out.
    fn shut_if_out(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if tenant.state == State::Lingering && tenant.flying.is_none() && tenant.tail.is_none() && !tenant.shut {
            tenant.shut = true;
            tenant.shutting = true;
            let entry = opcode::Shutdown::new(Fixed(conn.slot), libc::SHUT_WR)
                .build()
                .user_data(conn_data(kind::SHUTDOWN, conn));
            self.push(&entry);
        }
    }

    fn shutdown_completed(&mut self, conn: ConnId, result: i32) {
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

    fn expire_lingering(&mut self) {
        while let Some((until, conn)) = self.lingering.front().copied() {
            if until > self.now {
                break;
            }
            self.lingering.pop_front();
            self.end(conn);
        }
    }

    /// Closes at once: cancels what is in flight, and gives the slot back when that has completed.
    fn end(&mut self, conn: ConnId) {
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

    fn finish(&mut self, conn: ConnId) {
        let Some(tenant) = self.slots.get(conn) else {
            return;
        };
        if !tenant.is_quiet() {
            return;
        }
        let tenant = self.slots.vacate(conn).expect("looked at above");
        self.count_open();
        if let Some(tail) = tenant.tail {
            self.pool.put(tail.bytes);
        }
        // Nothing is in flight but a send that is earlier in the queue and does not wait. The kernel gives the slot to
        // a new socket only after it has executed this, so the table may forget the connection now.
        let entry = opcode::Close::new(Fixed(conn.slot))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(conn_data(kind::CLOSE, conn));
        self.push(&entry);
    }

    fn hand_over_completed(&mut self, conn: ConnId, result: i32) {
        if result < 0 {
            Counters::count(&self.settings.counters.handovers_failed);
        }
        if let Some(tenant) = self.slots.get_mut(conn) {
            tenant.shutting = false;
            tenant.state = State::Closing;
            self.finish(conn);
        }
    }

    fn count_open(&self) {
        self.settings.counters.open.store(self.slots.used() as u64, std::sync::atomic::Ordering::Relaxed);
    }

    fn arm_bell(&mut self) {
        if !self.bell_armed {
            self.bell_armed = true;
            let space: *mut u64 = &raw mut *self.bell_space;
            let entry = opcode::Read::new(Fd(self.settings.bell.as_raw_fd()), space.cast(), 8)
                .build()
                .user_data(conn_data(kind::BELL, NOBODY));
            self.push(&entry);
        }
    }

    /// How long the engine itself may sleep.
    fn patience(&self, wait: Duration, events: &[Event]) -> Duration {
        if !events.is_empty() || !self.starved.is_empty() || !self.backlog.is_empty() {
            return Duration::ZERO;
        }
        let mut wait = wait;
        if let Some((until, _)) = self.lingering.front() {
            wait = wait.min(until.since(self.now));
        }
        if let Some(until) = self.accept_rest_until {
            wait = wait.min(until.since(self.now));
        }
        wait
    }
}

impl Engine for Uring {
    type Buffers = BufferRing;

    fn listen(&mut self, listener: ListenerId, socket: OwnedFd) -> io::Result<()> {
        let accepts = if self.settings.shards > 8 { ACCEPTS_OF_MANY } else { ACCEPTS };
        self.listeners.push(Listening {
            id: listener,
            socket,
            peers: (0..accepts).map(|_| Address::default()).collect(),
            idle: (0..accepts as u16).collect(),
        });
        Ok(())
    }

    fn stop_listening(&mut self) {
        if !self.accepting {
            return;
        }
        self.accepting = false;
        for index in 0..self.listeners.len() {
            let idle = self.listeners[index].idle.clone();
            for place in 0..self.listeners[index].peers.len() as u16 {
                if !idle.contains(&place) {
                    let entry = opcode::AsyncCancel::new(accept_data(index, place))
                        .build()
                        .flags(Flags::SKIP_SUCCESS)
                        .user_data(conn_data(kind::CANCEL_ALL, NOBODY));
                    self.push(&entry);
                }
            }
        }
        self.unsettled = true;
    }

    fn turn(&mut self, buffers: &mut BufferRing, now: Millis, wait: Duration, events: &mut Vec<Event>) {
        self.now = now;
        self.turn = self.turn.wrapping_add(1);
        self.expire_lingering();
        self.arm_starved(buffers);
        self.arm_accepts();
        self.arm_bell();
        events.append(&mut self.deferred);
        buffers.publish();
        if std::mem::take(&mut self.unsettled) {
            self.enter(Duration::ZERO);
            self.reap(buffers, events);
            self.settle_flights();
        }
        self.enter(self.patience(wait, events));
        self.reap(buffers, events);
        self.settle_flights();
        self.end_drought(buffers);
        if !self.accepting && self.accepts == 0 {
            self.listeners.clear();
        }
    }

    #[inline]
    fn is_open(&self, conn: ConnId) -> bool {
        self.slots.get(conn).is_some_and(|tenant| tenant.state == State::Open)
    }

    fn receive_once(&mut self, conn: ConnId) {
        self.want(conn, Want::Once);
    }

    fn receive(&mut self, conn: ConnId) {
        self.want(conn, Want::Stream);
    }

    fn pause(&mut self, conn: ConnId) {
        if let Some(tenant) = self.slots.get_mut(conn)
            && tenant.state == State::Open
        {
            tenant.want = Want::Nothing;
            self.cancel_receive(conn);
        }
    }

    #[inline]
    fn buffer(&mut self) -> Vec<u8> {
        self.pool.take()
    }

    #[inline]
    fn recycle(&mut self, buffer: Vec<u8>) {
        self.pool.put(buffer);
    }

    fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let Some(tenant) = self.slots.get_mut(conn).filter(|tenant| tenant.state == State::Open) else {
            self.pool.put(bytes);
            return;
        };
        if bytes.is_empty() {
            self.pool.put(bytes);
        } else if tenant.flying.is_some() || tenant.tail.is_some() {
            let tail = tenant.tail.get_or_insert_default();
            tail.held.extend_from_slice(&bytes);
            self.pool.put(bytes);
            self.unsettled = true;
        } else {
            self.fly(conn, bytes);
        }
    }

    fn close(&mut self, conn: ConnId, how: Close, now: Millis) {
        if !self.is_open(conn) {
            return;
        }
        self.now = now;
        match how {
            Close::Now => self.end(conn),
            Close::Linger => self.linger(conn),
        }
    }

    fn hand_over(&mut self, conn: ConnId, to: ShardId, token: u64) -> Option<OwnedFd> {
        assert!(token < TOKEN_END, "hand-over token {token} is over {TOKEN_END}");
        let tenant = self.slots.get_mut(conn).filter(|tenant| tenant.state == State::Open)?;
        let quiet = tenant.is_quiet() && !tenant.starved && tenant.tail.is_none();
        debug_assert!(quiet, "a connection is handed over only while nothing is under way");
        if to == self.settings.shard && quiet {
            // The kernel sends nothing to the ring it comes from. The socket stays, its tenant changes.
            self.slots.vacate(conn);
            let conn = self.slots.occupy(conn.slot, Conn::new());
            self.deferred.push(Event::Adopted { conn, from: to, token });
            return None;
        }
        let Some(ring) = self.rings.get(usize::from(to.0)).filter(|_| quiet) else {
            Counters::count(&self.settings.counters.handovers_failed);
            self.end(conn);
            return None;
        };
        tenant.state = State::Leaving;
        tenant.shutting = true;
        let entry = opcode::MsgRingSendFd::new(
            Fd(ring.as_raw_fd()),
            Fixed(conn.slot),
            DestinationSlot::auto_target(),
            adopt_data(self.settings.shard, token),
        )
        .build()
        .user_data(conn_data(kind::HAND_OVER, conn));
        self.push(&entry);
        None
    }

    fn adopt(&mut self, socket: OwnedFd) -> Option<ConnId> {
        // Sockets come through the ring; one that comes by number is none of ours.
        drop(socket);
        None
    }

    fn wake(&mut self, shard: ShardId) {
        let Some(ring) = self.rings.get(usize::from(shard.0)) else {
            return;
        };
        let entry = opcode::MsgRingData::new(Fd(ring.as_raw_fd()), 0, conn_data(kind::WOKEN, NOBODY), None)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(conn_data(kind::WAKE, NOBODY));
        self.push(&entry);
    }

    fn counters(&self) -> &Counters {
        &self.settings.counters
    }
}

impl Uring {
    fn want(&mut self, conn: ConnId, want: Want) {
        if let Some(tenant) = self.slots.get_mut(conn)
            && tenant.state == State::Open
        {
            tenant.want = want;
            self.receive_settled(conn);
        }
    }

    /// Cancels everything and waits for it, so that the kernel is done with our memory. False if it took too long.
    pub(crate) fn quiesce(&mut self, buffers: &mut BufferRing) -> bool {
        const TRIES: usize = 200;
        let mut events = Vec::new();
        self.stop_listening();
        for slot in 0..self.slots.end() {
            if let Some(conn) = self.slots.at(slot) {
                self.end(conn);
            }
        }
        let all = opcode::AsyncCancel2::new(CancelBuilder::any().all())
            .build()
            .user_data(conn_data(kind::CANCEL_ALL, NOBODY));
        self.push(&all);
        for _ in 0..TRIES {
            self.enter(Duration::from_millis(5));
            self.reap(buffers, &mut events);
            self.settle_flights();
            for event in events.drain(..) {
                match event {
                    Event::Received { buffer, .. } => buffers.recycle(buffer),
                    Event::Accepted { conn, .. } | Event::Adopted { conn, .. } => self.end(conn),
                    _ => {}
                }
            }
            if self.slots.used() == 0
                && self.accepts == 0
                && !self.bell_armed
                && self.flights.is_empty()
                && self.ring.submission().is_empty()
            {
                let submitter = self.ring.submitter();
                return submitter.unregister_buf_ring(GROUP).is_ok();
            }
        }
        false
    }
}

/// Stands where an operation belongs to no connection.
const NOBODY: ConnId = ConnId { slot: 0, generation: 0 };

const fn conn_data(kind: u8, conn: ConnId) -> u64 {
    ((kind as u64) << 56) | ((conn.slot as u64) << 32) | conn.generation as u64
}

const fn conn_of(data: u64) -> ConnId {
    ConnId { slot: ((data >> 32) & 0xff_ffff) as u32, generation: (data & 0xffff_ffff) as u32 }
}

const fn accept_data(listener: usize, place: u16) -> u64 {
    ((kind::ACCEPT as u64) << 56) | ((listener as u64 & 0xff) << 16) | place as u64
}

const fn adopt_data(from: ShardId, token: u64) -> u64 {
    ((kind::ADOPT as u64) << 56) | ((from.0 as u64 & 0xfff) << 44) | token
}

/// The length of a send; the kernel cuts longer ones by itself, which looks like a short send.
fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(i32::MAX as u32)
}

fn is_scarcity(errno: i32) -> bool {
    matches!(errno, libc::ENFILE | libc::EMFILE | libc::ENOMEM | libc::ENOBUFS)
}

/// What `io_uring_enter` may answer without anything being wrong.
fn expect_transient(error: &io::Error) {
    match error.raw_os_error() {
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => {}
        _ => panic!("io_uring_enter: {error}"),
    }
}
