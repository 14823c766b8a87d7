//! One worker's `io_uring`, for clients: connect, receive, send, close, all on direct descriptors, one enter a turn.
//!
//! Runs on: the worker's thread, which alone touches the ring.
//! Invariants: `user_data` is kind, slot and generation, so a late completion is told apart; the bytes of a send are
//! kept until the kernel has consumed its entry and every completion of that submission has been seen; the rest of a
//! short send is kept until its own completion.
//! Not here: what the bytes mean (`swarm/`).
#![allow(
    unsafe_code,
    reason = "submission entries carry pointers; each is owned by the operation until it has completed"
)]

mod buffers;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use io_uring::squeue::{Entry as Sqe, Flags};
use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};

use self::buffers::{Buffers, GROUP};
use crate::sys::{self, Address};

/// Sends without a wait for the socket; the kernel copies, or says at once that it cannot.
const SEND_NOW: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
/// Sends that wait until all is out.
const SEND_ALL: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

mod kind {
    pub(super) const CONNECT: u8 = 1;
    pub(super) const RECEIVE: u8 = 2;
    pub(super) const SEND: u8 = 3;
    pub(super) const TAIL: u8 = 4;
    pub(super) const CANCEL: u8 = 5;
    pub(super) const CLOSE: u8 = 6;
}

/// A connection: its slot in the table of descriptors, and which tenant of the slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// What a turn has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A connect has ended: 0, or the error number.
    Connected { conn: ConnId, error: i32 },
    /// Bytes have come; the buffer is to be given back.
    Received { conn: ConnId, buffer: u16, len: u32, more: bool },
    /// A receive has ended without bytes: 0 for the end of the stream, else the error number.
    ReceiveEnded { conn: ConnId, error: i32 },
    /// A send did not fit the socket; the rest follows, and nothing may be sent until `Drained` or `Broken`.
    Stalled { conn: ConnId },
    /// The rest of a short send is out.
    Drained { conn: ConnId },
    /// A send has failed.
    Broken { conn: ConnId, error: i32 },
    /// The descriptor is closed and its slot free.
    Closed { conn: ConnId },
}

impl Event {
    /// The connection that it is about.
    pub(crate) const fn conn(&self) -> ConnId {
        match self {
            Self::Connected { conn, .. }
            | Self::Received { conn, .. }
            | Self::ReceiveEnded { conn, .. }
            | Self::Stalled { conn }
            | Self::Drained { conn }
            | Self::Broken { conn, .. }
            | Self::Closed { conn } => *conn,
        }
    }
}

/// How large a ring is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Connections at most.
    pub(crate) slots: u32,
    /// Submission entries; completions are four times as many.
    pub(crate) entries: u32,
    /// Receive buffers, a power of two.
    pub(crate) buffers: u16,
    /// Bytes of each of them.
    pub(crate) buffer_bytes: usize,
}

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(crate) struct OpenError {
    what: &'static str,
    source: io::Error,
}

struct Flight {
    conn: ConnId,
    bytes: Vec<u8>,
    landed: bool,
}

struct Tail {
    bytes: Vec<u8>,
    sent: usize,
}

/// See the head of this file.
pub(crate) struct Ring {
    // Dropped before the buffers that it knows.
    ring: IoUring,
    buffers: Buffers,
    /// Sends of this turn.
    flights: Vec<Flight>,
    /// Rests of short sends, by slot.
    tails: HashMap<u32, Tail, FixedState>,
    pool: Vec<Vec<u8>>,
    targets: Vec<(SocketAddr, Box<Address>)>,
    backlog: VecDeque<cqueue::Entry>,
    /// Times that receives found no buffer.
    pub(crate) droughts: u64,
}

impl Ring {
    /// Opens the ring; on the thread that will drive it.
    pub(crate) fn open(size: Size, targets: &[SocketAddr]) -> Result<Self, OpenError> {
        let failed = |what| move |source| OpenError { what, source };
        let build = |no_sqarray: bool| {
            let mut builder = IoUring::builder();
            builder
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_coop_taskrun()
                .setup_taskrun_flag()
                .setup_submit_all()
                .setup_cqsize(size.entries * 4)
                .dontfork();
            if no_sqarray {
                // Since 6.6.
                builder.setup_no_sqarray();
            }
            builder.build(size.entries)
        };
        let ring = match build(true) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => build(false),
            result => result,
        }
        .map_err(failed("io_uring_setup (Linux 6.1 or later is needed, and a container must allow it)"))?;
        ring.submitter()
            .register_files_sparse(size.slots)
            .map_err(failed("register the table of direct descriptors"))?;
        let mut buffers = Buffers::new(size.buffers, size.buffer_bytes);
        buffers.register(&ring.submitter()).map_err(failed("register receive buffers"))?;
        Ok(Self {
            ring,
            buffers,
            flights: Vec::new(),
            tails: HashMap::default(),
            pool: Vec::new(),
            targets: targets.iter().map(|target| (*target, Box::new(Address::new(*target)))).collect(),
            backlog: VecDeque::new(),
            droughts: 0,
        })
    }

    /// Begins to connect a free slot to a target; `Connected` follows.
    pub(crate) fn connect(&mut self, conn: ConnId, target: usize, source: Option<IpAddr>) -> io::Result<()> {
        let (target, address) = &self.targets[target];
        let socket = sys::socket(*target, source)?;
        // The table takes a reference of its own; the descriptor of the process is closed again.
        self.ring.submitter().register_files_update(conn.slot, &[socket.as_raw_fd()])?;
        let entry = opcode::Connect::new(Fixed(conn.slot), address.as_ptr(), address.len())
            .build()
            .user_data(data(kind::CONNECT, conn));
        self.push(&entry);
        Ok(())
    }

    /// Arms the receive of a connection, until `more` is false or it ends.
    pub(crate) fn receive(&mut self, conn: ConnId) {
        let entry = opcode::RecvMulti::new(Fixed(conn.slot), GROUP).build().user_data(data(kind::RECEIVE, conn));
        self.push(&entry);
    }

    /// What a `Received` has brought.
    pub(crate) fn bytes(&self, buffer: u16, len: u32) -> &[u8] {
        self.buffers.get(buffer, len as usize)
    }

    /// Gives the buffer of a `Received` back.
    pub(crate) fn give_back(&mut self, buffer: u16) {
        self.buffers.give_back(buffer);
    }

    /// An empty buffer for `send`.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    /// Sends all of these bytes with the next turn. Nothing may be sent to a connection that is stalled.
    pub(crate) fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let entry = opcode::Send::new(Fixed(conn.slot), bytes.as_ptr(), length_of(&bytes))
            .flags(SEND_NOW)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(u64::from(kind::SEND) << 56 | self.flights.len() as u64);
        // Into the ledger first: a full queue is submitted inside `push`.
        self.flights.push(Flight { conn, bytes, landed: false });
        self.push(&entry);
    }

    /// Cancels all that is in flight on a connection; each operation still ends with its event.
    pub(crate) fn cancel(&mut self, conn: ConnId) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fixed(conn.slot)).all())
            .build()
            .user_data(data(kind::CANCEL, conn));
        self.push(&entry);
    }

    /// Closes a connection on which nothing is in flight.
    pub(crate) fn close(&mut self, conn: ConnId) {
        let entry = opcode::Close::new(Fixed(conn.slot)).build().user_data(data(kind::CLOSE, conn));
        self.push(&entry);
    }

    /// Submits what is queued, waits at most so long for something to happen, and says what has.
    pub(crate) fn turn(&mut self, wait: Duration, events: &mut Vec<Event>) {
        self.buffers.publish();
        let wait = if self.backlog.is_empty() && events.is_empty() { wait } else { Duration::ZERO };
        self.enter(wait);
        let consumed = self.ring.submission().is_empty();
        loop {
            while let Some(completion) = self.backlog.pop_front() {
                self.completed(&completion, events);
            }
            self.stash();
            if self.backlog.is_empty() {
                if !self.ring.submission().cq_overflow() {
                    break;
                }
                // What overflowed waits in the kernel for room, which there is now.
                self.enter(Duration::ZERO);
            }
        }
        if consumed {
            // Every send was consumed, and those that failed have said so.
            for flight in self.flights.drain(..) {
                if !flight.landed {
                    recycle(&mut self.pool, flight.bytes);
                }
            }
        }
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

    fn push(&mut self, entry: &Sqe) {
        loop {
            // SAFETY: what the entry points at is owned by this ring until its completion has been seen: addresses
            // live in boxes, output bytes in `flights` or `tails`, whose heap memory does not move.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            if let Err(error) = self.ring.submit() {
                expect_transient(&error);
                self.stash();
            }
        }
    }

    fn stash(&mut self) {
        let Self { ring, backlog, .. } = self;
        backlog.extend(ring.completion());
    }

    fn completed(&mut self, completion: &cqueue::Entry, events: &mut Vec<Event>) {
        let user_data = completion.user_data();
        let result = completion.result();
        let conn = conn_of(user_data);
        match (user_data >> 56) as u8 {
            kind::RECEIVE => self.received(conn, result, completion.flags(), events),
            kind::SEND => self.send_failed(user_data, result, events),
            kind::TAIL => self.tail_completed(conn, result, events),
            kind::CONNECT => events.push(Event::Connected { conn, error: (-result).max(0) }),
            kind::CLOSE => events.push(Event::Closed { conn }),
            _ => {}
        }
    }

    fn received(&mut self, conn: ConnId, result: i32, flags: u32, events: &mut Vec<Event>) {
        let more = cqueue::more(flags);
        match (u32::try_from(result), cqueue::buffer_select(flags)) {
            (Ok(len @ 1..), Some(buffer)) => {
                self.buffers.lend();
                events.push(Event::Received { conn, buffer, len, more });
                return;
            }
            (_, Some(buffer)) => {
                self.buffers.lend();
                self.buffers.give_back(buffer);
            }
            _ => {}
        }
        if !more {
            if -result == libc::ENOBUFS {
                self.droughts += 1;
            }
            events.push(Event::ReceiveEnded { conn, error: (-result).max(0) });
        }
    }

    fn send_failed(&mut self, user_data: u64, result: i32, events: &mut Vec<Event>) {
        let flight = &mut self.flights[(user_data & 0xff_ffff) as usize];
        flight.landed = true;
        let (conn, bytes) = (flight.conn, std::mem::take(&mut flight.bytes));
        if result < 0 && !is_transient(result) {
            recycle(&mut self.pool, bytes);
            events.push(Event::Broken { conn, error: -result });
            return;
        }
        let sent = usize::try_from(result).unwrap_or(0);
        if sent == bytes.len() {
            recycle(&mut self.pool, bytes);
            return;
        }
        events.push(Event::Stalled { conn });
        self.tails.insert(conn.slot, Tail { bytes, sent });
        self.push_tail(conn);
    }

    fn push_tail(&mut self, conn: ConnId) {
        let tail = &self.tails[&conn.slot];
        let rest = &tail.bytes[tail.sent..];
        let entry = opcode::Send::new(Fixed(conn.slot), rest.as_ptr(), length_of(rest))
            .flags(SEND_ALL)
            .build()
            .user_data(data(kind::TAIL, conn));
        self.push(&entry);
    }

    fn tail_completed(&mut self, conn: ConnId, result: i32, events: &mut Vec<Event>) {
        let Some(tail) = self.tails.get_mut(&conn.slot) else { return };
        tail.sent += usize::try_from(result).unwrap_or(0);
        let done = tail.sent >= tail.bytes.len();
        if !done && (result > 0 || is_transient(result)) {
            self.push_tail(conn);
            return;
        }
        if let Some(tail) = self.tails.remove(&conn.slot) {
            recycle(&mut self.pool, tail.bytes);
        }
        events.push(if done { Event::Drained { conn } } else { Event::Broken { conn, error: -result } });
    }
}

/// Keeps what is worth keeping.
fn recycle(pool: &mut Vec<Vec<u8>>, mut bytes: Vec<u8>) {
    if pool.len() < 1024 && bytes.capacity() <= 256 * 1024 {
        bytes.clear();
        pool.push(bytes);
    }
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(i32::MAX as u32)
}

const fn data(kind: u8, conn: ConnId) -> u64 {
    (kind as u64) << 56 | (conn.slot as u64 & 0xff_ffff) << 32 | conn.generation as u64
}

const fn conn_of(data: u64) -> ConnId {
    ConnId { slot: (data >> 32 & 0xff_ffff) as u32, generation: (data & 0xffff_ffff) as u32 }
}

/// Whether a send that failed may go through later.
const fn is_transient(result: i32) -> bool {
    matches!(-result, libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS)
}

/// What `io_uring_enter` may answer without anything being wrong.
fn expect_transient(error: &io::Error) {
    match error.raw_os_error() {
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => {}
        _ => panic!("io_uring_enter: {error}"),
    }
}
