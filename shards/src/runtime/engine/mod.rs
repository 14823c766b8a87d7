//! The seam between the reactor and the kernel: turn-wise verbs, with one engine on `io_uring` and one on `epoll`.
//!
//! Invariants: a connection is a slot and a generation in both; after `close`, `release` and `hand_over` no event with
//! its id comes out of [`Engine::is_open`]'s sieve; a slot has its next tenant only when no operation of the last one
//! is in flight.
//! Not here: what is done with an event (`reactor.rs`).

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_core::time::Millis;

use crate::send_buffer::SendBuffer;
use crate::shard::io::{Close, ConnId, Gone, ListenerId, ShardId};

mod buffer_ring;
mod buffers;
pub(crate) mod epoll;
mod free_buffers;
mod pool;
pub(crate) mod slots;
#[cfg(test)]
mod tests;
pub(crate) mod uring;

/// How long a lingering connection has.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// What a lingering peer may still send before it is cut off.
pub(crate) const LINGER_BYTES_MAX: u32 = 16 << 20;
/// Bytes that are kept behind a send that waits for the socket. Whoever is told that a socket is full stops sending;
/// this is for what does not.
pub(crate) const HELD_BYTES_MAX: usize = 4 << 20;
/// How long accepting rests after the kernel refused a descriptor or memory.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A received buffer: the engine's until it is recycled.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) id: u16,
    pub(crate) len: u32,
}

/// What a turn brought.
#[derive(Debug)]
pub(crate) enum Event {
    Accepted {
        conn: ConnId,
        listener: ListenerId,
        peer: SocketAddr,
    },
    Received {
        conn: ConnId,
        buffer: Buffer,
    },
    Gone {
        conn: ConnId,
        how: Gone,
    },
    Stalled {
        conn: ConnId,
        unsent: usize,
    },
    Drained {
        conn: ConnId,
    },
    Adopted {
        conn: ConnId,
        from: ShardId,
        token: u64,
    },
    /// Another thread rang the bell.
    Bell,
}

/// Where received bytes lie.
pub(crate) trait Buffers {
    /// The bytes of a buffer.
    fn bytes(&self, buffer: &Buffer) -> &[u8];
    /// Gives a buffer back.
    fn recycle(&mut self, buffer: Buffer);
    /// Gives memory back that is not in use.
    fn give_back(&mut self);
}

/// How long to wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Not at all if it is zero.
    pub(crate) at_most: Duration,
    /// How many events end the wait early.
    pub(crate) wanted: usize,
}

impl Wait {
    /// Whatever is there already.
    pub(crate) const NOT: Self = Self { at_most: Duration::ZERO, wanted: 1 };

    /// Until anything happens.
    pub(crate) const fn for_any(at_most: Duration) -> Self {
        Self { at_most, wanted: 1 }
    }
}

/// The verbs. A verb on a connection that is not open does nothing.
pub(crate) trait Engine: Sized {
    type Buffers: Buffers;
    /// Whether it can wait for more than one event.
    const NAPS: bool;

    /// Starts to accept from a listening socket.
    fn listen(&mut self, listener: ListenerId, socket: OwnedFd) -> std::io::Result<()>;
    /// Stops accepting for good.
    fn stop_listening(&mut self);
    /// Gives the kernel what was asked for, waits, collects what happened.
    fn turn(&mut self, buffers: &mut Self::Buffers, now: Millis, wait: Wait, events: &mut Vec<Event>);
    /// Gives the kernel what was asked for, without waiting and without taking in more than comes of that.
    fn flush(&mut self, buffers: &mut Self::Buffers, now: Millis, events: &mut Vec<Event>);
    /// Whether the logic may still hear of the connection.
    fn is_open(&self, conn: ConnId) -> bool;
    fn receive_once(&mut self, conn: ConnId);
    fn receive(&mut self, conn: ConnId);
    fn pause(&mut self, conn: ConnId);
    /// An empty buffer for output.
    fn buffer(&mut self) -> SendBuffer;
    fn recycle(&mut self, buffer: SendBuffer);
    fn send(&mut self, conn: ConnId, output: SendBuffer);
    fn close(&mut self, conn: ConnId, how: Close, now: Millis);
    /// Gives a socket to another shard. A descriptor that is returned goes there through the mesh.
    fn hand_over(&mut self, conn: ConnId, to: ShardId, token: u64) -> Option<OwnedFd>;
    /// Takes a socket that came through the mesh.
    fn adopt(&mut self, socket: OwnedFd) -> Option<ConnId>;
    /// Gives memory back that a crowd needed: called now and then, when no event waits to be seen.
    fn give_back(&mut self, buffers: &mut Self::Buffers);
    /// Wakes another shard.
    fn wake(&mut self, shard: ShardId);
    /// The counters of this shard.
    fn counters(&self) -> &Counters;
}

/// What happened on a shard, counted by its thread and read by others.
#[derive(Debug, Default)]
pub struct Counters {
    /// Turns of the reactor.
    pub turns: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open, lingering ones included.
    pub open: AtomicU64,
    /// Times that accepting rested for want of a descriptor or of memory.
    pub accept_rests: AtomicU64,
    /// Receives that found no free buffer.
    pub buffers_short: AtomicU64,
    /// Receive buffers that exist.
    pub buffers: AtomicU64,
    /// Sends that did not fit into the socket at once.
    pub sends_short: AtomicU64,
    /// Sockets that came from another shard.
    pub adopted: AtomicU64,
    /// Sockets that another shard could not take; they were closed.
    pub handovers_failed: AtomicU64,
    /// Times that the completion queue overflowed; nothing is lost by it.
    pub completions_overflowed: AtomicU64,
    /// Completions of a connection that was gone; they were not applied.
    pub completions_late: AtomicU64,
    /// Wakes that could not be sent.
    pub wakes_failed: AtomicU64,
    /// Mesh entries found only because the longest sleep was over: always 0 unless a wake was lost.
    pub wakes_lost: AtomicU64,
}

impl Counters {
    /// Adds one: only the owning thread writes, so no locked instruction is needed.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Tells of refused accepts, now and then.
#[derive(Debug, Default)]
struct Refusals {
    told: Option<Millis>,
    untold: u64,
}

impl Refusals {
    /// Reports are at least this far apart.
    const EVERY: Duration = Duration::from_secs(10);

    fn tell(&mut self, now: Millis, errno: i32) {
        self.untold += 1;
        if self.told.is_none_or(|at| now.since(at) >= Self::EVERY) {
            tracing::warn!(
                event = "accept-refused",
                times = self.untold,
                "the kernel refuses to accept connections: {}",
                std::io::Error::from_raw_os_error(errno)
            );
            self.told = Some(now);
            self.untold = 0;
        }
    }
}

/// Whether an accept failed for a reason that lies in the connection, or in nothing at all: the next one may succeed
/// at once. All else is a reason to rest.
fn is_of_one_connection(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::EINTR
            | libc::ECANCELED
            | libc::EAGAIN
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::ETIMEDOUT
    )
}

/// What is to be received on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Nothing,
    Once,
    Stream,
}

/// Bytes of a send that wait for the socket.
#[derive(Debug, Default)]
struct Tail {
    output: SendBuffer,
    sent: usize,
    /// What was given to `send` since, against the rule or before the short send was known.
    held: SendBuffer,
    /// Nothing is sent on this connection any more: a send failed, or too much is held.
    dead: bool,
}

impl Tail {
    /// Takes what cannot be sent now; whether that has become too much, which ends the connection.
    fn hold(&mut self, output: &SendBuffer) -> bool {
        if self.dead {
            return false;
        }
        let behind = !self.held.is_empty();
        self.held.append(output);
        self.held.settle();
        self.dead = behind && self.held.len() > HELD_BYTES_MAX;
        self.dead
    }

    /// How many bytes are still to be sent, without what is held.
    fn left(&self) -> usize {
        self.output.len() - self.sent
    }
}
