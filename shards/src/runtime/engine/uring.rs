//! The engine on a raw `io_uring`: direct descriptors, provided buffers, one enter a turn.
//!
//! Runs on: the shard's thread, which alone touches the ring.
//! Invariants: `user_data` is kind, slot and generation, so a late completion is told apart; a slot is given back only
//! when its receive, tail, shutdown and hand-over have completed; the bytes of a send are kept until the kernel has
//! consumed the entry and every completion of that submission has been seen.
//! Not here: the ring of buffers (`buffer_ring.rs`), opening the ring (`uring/setup.rs`); accepting, receiving, sending
//! and closing, each in its file under `uring/`.
#![allow(
    unsafe_code,
    reason = "submission entries carry pointers; each is owned by the operation until it has completed"
)]

use std::collections::VecDeque;
use std::io;
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
use super::{Buffers, Counters, Engine, Event, Refusals, Wait, Want};
use crate::berths::Berths;
use crate::room::shrink;
use crate::runtime::control::Bell;
use crate::runtime::sys::Address;
use crate::send_buffer::SendBuffer;
use crate::shard::io::{Close, ConnId, Gone, ListenerId, ShardId, TOKEN_END};

mod accept;
mod close;
mod conn;
mod receive;
mod send;
pub(crate) mod setup;
mod user_data;

use self::conn::{Conn, State};
use self::user_data::{NOBODY, accept_data, adopt_data, conn_data, conn_of, kind};

/// Buffers that one connection may take in a turn in which others found none.
const SHARE: u8 = 8;
/// Turns after the buffers ran dry during which receives are armed one buffer at a time, in turn.
const DRY_TURNS: u32 = 64;
/// Connections served in a turn that together may have more buffers than there are.
const CROWD: u32 = 16;
/// Accepts in flight for each listener and shard.
const ACCEPTS: usize = 32;
/// The same when there are many shards, and all their rings together must stay small.
const ACCEPTS_OF_MANY: usize = 4;
/// Berths that accepts leave to sockets handed over.
const BERTHS_FOR_HANDOVER: u32 = 16;

/// How long a connection is quiet before it is asked whether it still stands.
const QUIET: Duration = Duration::from_secs(1);

/// Sends without a wait for the socket; the kernel copies or says at once that it cannot.
const SEND_NOW: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
/// Sends that wait until all is out.
const SEND_ALL: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// What the engine of one shard is given.
pub(crate) struct Settings {
    pub(crate) shard: ShardId,
    /// Room for sockets; as many for each shard as its descriptor table has slots.
    pub(crate) berths: Arc<Berths>,
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
    accept_refusals: Refusals,
    /// The table has no room for another accept.
    crowded: bool,
    /// Entries that were put into the submission queue, ever.
    pushed: u64,
    flights: VecDeque<Flight>,
    /// Number of the first of `flights`.
    flights_base: u32,
    /// Headers of gathered sends, in the order of their entries.
    gathers: VecDeque<Box<Gather>>,
    /// Those that are free.
    #[allow(clippy::vec_box, reason = "they go back to `gathers`, where they may not move")]
    spare: Vec<Box<Gather>>,
    /// Something is decided only by the completions of what is queued: submit and look before sleeping.
    unsettled: bool,
    /// Slots whose close is queued: their berths are given back once the kernel has it.
    leaving: u32,
    /// Connections whose receive is to be armed in the next full turn, as far as there are buffers, oldest first.
    starved: VecDeque<ConnId>,
    /// Connections that took their share of buffers in this turn.
    heavy: Vec<ConnId>,
    turn: u32,
    /// Turns for which receives are still armed one buffer at a time.
    thirst: u32,
    /// In this turn fewer buffers came back than connections wait for.
    queue_left: bool,
    /// Receives that ended for want of a buffer, and connections served, in this turn.
    dry: u32,
    served: u32,
    lingering: VecDeque<(Millis, ConnId)>,
    /// Connections that received something, by when to look at them again.
    heard: VecDeque<(Millis, ConnId)>,
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
    output: SendBuffer,
}

/// What a gathered send points to. The kernel reads it when it takes the entry; the bytes must stay until the end.
struct Gather {
    /// Which entry of the submission queue it is.
    entry: u64,
    header: libc::msghdr,
    slices: Vec<libc::iovec>,
}

impl Default for Gather {
    fn default() -> Self {
        Self { entry: 0, header: crate::runtime::sys::no_header(), slices: Vec::new() }
    }
}

impl Uring {
    /// Opens the ring; on the thread that will drive it.
    pub(crate) fn new(settings: Settings) -> Result<(Self, BufferRing), setup::OpenError> {
        let ring = setup::open()?;
        setup::register_table(&ring, settings.berths.size())?;
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
            accept_refusals: Refusals::default(),
            crowded: false,
            pushed: 0,
            flights: VecDeque::new(),
            flights_base: 0,
            gathers: VecDeque::new(),
            spare: Vec::new(),
            unsettled: false,
            leaving: 0,
            starved: VecDeque::new(),
            heavy: Vec::new(),
            turn: 1,
            thirst: 0,
            queue_left: false,
            dry: 0,
            served: 0,
            lingering: VecDeque::new(),
            heard: VecDeque::new(),
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

    fn enter(&mut self, wait: Duration, wanted: usize) {
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
            self.ring.submitter().submit_with_args(wanted, &args)
        };
        if let Err(error) = result {
            expect_transient(&error);
        }
    }

    /// Submits what is queued without running what the kernel deferred: of receives in flight nothing comes of this.
    fn submit_alone(&mut self) {
        let queued = self.ring.submission().len() as u32;
        if queued == 0 {
            return;
        }
        // SAFETY: it submits that many entries, waits for nothing and has no argument.
        if let Err(error) = unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, 0, None) } {
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
                self.enter(Duration::ZERO, 0);
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
            kind::PROBE if !is_transient(result) => self.transport_failed(conn_of(data), events),
            kind::CLOSE if is_transient(result) => self.push_close(conn_of(data)),
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
    const NAPS: bool = true;
    type Buffers = BufferRing;

    fn listen(&mut self, listener: ListenerId, socket: OwnedFd) -> io::Result<()> {
        let accepts = if self.settings.shards > 8 { ACCEPTS_OF_MANY } else { ACCEPTS };
        let accepts = accepts.min(self.settings.berths.size() as usize / 8).max(1);
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
        self.accept_rest_until = None;
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

    fn turn(&mut self, buffers: &mut BufferRing, now: Millis, wait: Wait, events: &mut Vec<Event>) {
        self.now = now;
        self.turn = self.turn.wrapping_add(1);
        self.thirst = self.thirst.saturating_sub(1);
        // First of all: submitting may begin as soon as the queue is full.
        buffers.publish();
        self.expire_lingering();
        self.probe_quiet();
        self.arm_starved(buffers);
        self.arm_accepts();
        self.arm_bell();
        events.append(&mut self.deferred);
        if std::mem::take(&mut self.unsettled) {
            self.enter(Duration::ZERO, 0);
            self.reap(buffers, events);
            self.settle_flights();
        }
        self.enter(self.patience(wait.at_most, events), wait.wanted);
        self.reap(buffers, events);
        self.settle_flights();
        self.end_drought(buffers);
        if !self.accepting && self.accepts == 0 {
            self.listeners.clear();
        }
    }

    fn flush(&mut self, buffers: &mut BufferRing, now: Millis, events: &mut Vec<Event>) {
        self.now = now;
        events.append(&mut self.deferred);
        buffers.publish();
        self.submit_alone();
        self.reap(buffers, events);
        self.settle_flights();
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
            if tenant.is_dead() {
                // The end would have been received; now nobody looks for it.
                self.deferred.push(Event::Gone { conn, how: Gone::Failed });
            }
            self.cancel_receive(conn);
        }
    }

    #[inline]
    fn buffer(&mut self) -> SendBuffer {
        self.pool.take()
    }

    #[inline]
    fn recycle(&mut self, buffer: SendBuffer) {
        self.pool.put(buffer);
    }

    fn send(&mut self, conn: ConnId, output: SendBuffer) {
        let Some(tenant) = self.slots.get_mut(conn).filter(|tenant| tenant.state == State::Open) else {
            self.pool.put(output);
            return;
        };
        if output.is_empty() {
            self.pool.put(output);
        } else if tenant.flying || tenant.tail.is_some() {
            let tail = tenant.tail.get_or_insert_default();
            self.unsettled |= !tail.dead;
            if tail.hold(&output) {
                tenant.want = Want::Nothing;
                self.deferred.push(Event::Gone { conn, how: Gone::Failed });
            }
            self.pool.put(output);
        } else {
            self.fly(conn, output);
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
        let Some(tenant) = self.slots.get_mut(conn).filter(|tenant| tenant.state == State::Open) else {
            self.settings.berths.give(to, 1);
            return None;
        };
        let quiet = tenant.is_quiet() && !tenant.starved && tenant.tail.is_none();
        debug_assert!(quiet || tenant.is_dead(), "a connection is handed over only while nothing is under way");
        if to == self.settings.shard && quiet {
            // The kernel sends nothing to the ring it comes from. The socket stays, its tenant changes.
            self.slots.vacate(conn);
            let conn = self.slots.occupy(conn.slot, Conn::new());
            self.settings.berths.give(to, 1);
            self.deferred.push(Event::Adopted { conn, from: to, token });
            return None;
        }
        let Some(ring) = self.rings.get(usize::from(to.0)).filter(|_| quiet) else {
            Counters::count(&self.settings.counters.handovers_failed);
            self.settings.berths.give(to, 1);
            self.end(conn);
            return None;
        };
        tenant.state = State::Leaving;
        tenant.flight = to.0.into();
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

    fn give_back(&mut self, buffers: &mut BufferRing) {
        self.pool.give_back();
        shrink(&mut self.flights);
        shrink(&mut self.gathers);
        self.spare.clear();
        shrink(&mut self.spare);
        shrink(&mut self.starved);
        shrink(&mut self.backlog);
        shrink(&mut self.heard);
        shrink(&mut self.deferred);
        // A completion that has not been seen may have filled a buffer; there are none but after a submission.
        self.stash();
        if self.backlog.is_empty() {
            buffers.give_back();
        }
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
            self.enter(Duration::from_millis(5), 1);
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

/// What a probe sends.
static NOTHING: [u8; 1] = [0];

/// The length of a send; the kernel cuts longer ones by itself, which looks like a short send.
fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(i32::MAX as u32)
}

/// Whether a send that failed may go through later.
fn is_transient(result: i32) -> bool {
    matches!(-result, libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS)
}

/// What `io_uring_enter` may answer without anything being wrong.
fn expect_transient(error: &io::Error) {
    match error.raw_os_error() {
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => {}
        _ => panic!("io_uring_enter: {error}"),
    }
}
