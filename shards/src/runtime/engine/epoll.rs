//! The engine on `epoll`, for hosts that refuse `io_uring`: the same verbs, edge-triggered, one send a turn.
//!
//! Runs on: the shard's thread.
//! Invariants: what the edge said is remembered (`readable`) until a read finds nothing more, so no edge is lost; a
//! connection reads a bounded share a turn and then queues behind the others.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_core::time::Millis;

use super::buffers::BUFFER_BYTES;
use super::free_buffers::FreeBuffers;
use super::pool::Pool;
use super::slots::Slots;
use super::{
    ACCEPT_REST, Buffers, Counters, Engine, Event, LINGER, LINGER_BYTES_MAX, Refusals, Tail, Wait, Want,
    is_of_one_connection,
};
use crate::berths::Berths;
use crate::runtime::control::Bell;
use crate::runtime::sys;
use crate::send_buffer::SendBuffer;
use crate::shard::io::{Close, ConnId, Gone, ListenerId, ShardId};

/// Bytes that one connection brings in a turn at most.
const SHARE_BYTES: usize = 64 << 10;
/// Connections that one listener accepts in a turn at most.
const ACCEPTS: usize = 64;
/// Events that one wait brings at most.
const EVENTS: usize = 1024;

const READ: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
const READ_AND_WRITE: i32 = READ | libc::EPOLLOUT;

/// What an event belongs to, in the top byte of its data.
mod kind {
    pub(super) const CONN: u64 = 0;
    pub(super) const LISTENER: u64 = 1 << 56;
    pub(super) const BELL: u64 = 2 << 56;
    pub(super) const MASK: u64 = 0xff << 56;
}

/// What the engine of one shard is given.
pub(crate) struct Settings {
    pub(crate) shard: ShardId,
    /// Room for sockets.
    pub(crate) berths: Arc<Berths>,
    /// All shards' bells.
    pub(crate) bells: Arc<[Bell]>,
    /// This shard's.
    pub(crate) bell: Bell,
    pub(crate) counters: Arc<Counters>,
}

/// See the head of this file.
pub(crate) struct Epoll {
    epoll: OwnedFd,
    settings: Settings,
    slots: Slots<Conn>,
    pool: Pool,
    listeners: Vec<(ListenerId, OwnedFd)>,
    accept_rest_until: Option<Millis>,
    accept_refusals: Refusals,
    /// Connections that may have more to read, the one that waits longest first.
    ready: VecDeque<ConnId>,
    /// Events that a verb caused.
    deferred: Vec<Event>,
    lingering: VecDeque<(Millis, ConnId)>,
    space: Vec<libc::epoll_event>,
    /// Scratch of a gathered send.
    slices: Vec<libc::iovec>,
    now: Millis,
}

struct Conn {
    socket: OwnedFd,
    want: Want,
    lingering: bool,
    /// A read may find something.
    readable: bool,
    /// The peer has closed: a short read does not mean that nothing follows.
    hung_up: bool,
    /// In `ready`.
    queued: bool,
    /// Events that are reported include room to write.
    writing: bool,
    tail: Option<Box<Tail>>,
    lingered_bytes: u32,
}

impl Conn {
    /// Nothing is sent any more; what was received before is still read.
    fn is_dead(&self) -> bool {
        self.tail.as_ref().is_some_and(|tail| tail.dead)
    }
}

impl Epoll {
    /// Opens the instance.
    pub(crate) fn new(settings: Settings) -> io::Result<(Self, FreeBuffers)> {
        let epoll = sys::epoll()?;
        sys::epoll_set(&epoll, libc::EPOLL_CTL_ADD, settings.bell.as_raw_fd(), libc::EPOLLIN, kind::BELL)?;
        let buffers = FreeBuffers::new();
        settings.counters.buffers.store(u64::from(buffers.chunks.len()), Ordering::Relaxed);
        let engine = Self {
            epoll,
            settings,
            slots: Slots::new(),
            pool: Pool::default(),
            listeners: Vec::new(),
            accept_rest_until: None,
            accept_refusals: Refusals::default(),
            ready: VecDeque::new(),
            deferred: Vec::new(),
            lingering: VecDeque::new(),
            space: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS],
            slices: Vec::new(),
            now: Millis(0),
        };
        Ok((engine, buffers))
    }

    fn wait(&mut self, wait: Duration) -> usize {
        let wait = u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let wait = i32::try_from(wait).unwrap_or(i32::MAX);
        match sys::epoll_wait(&self.epoll, &mut self.space, wait) {
            Ok(ready) => ready,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => panic!("epoll_wait: {error}"),
        }
    }

    fn happened(&mut self, event: libc::epoll_event, events: &mut Vec<Event>) {
        let (data, flags) = (event.u64, event.events as i32);
        match data & kind::MASK {
            kind::LISTENER => self.accept((data & 0xff) as usize, events),
            kind::BELL => {
                self.settings.bell.answer();
                events.push(Event::Bell);
            }
            _ => {
                let conn = conn_of(data);
                let Some(tenant) = self.slots.get_mut(conn) else {
                    Counters::count(&self.settings.counters.completions_late);
                    return;
                };
                let hung_up = flags & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0;
                tenant.hung_up |= hung_up;
                if flags & libc::EPOLLIN != 0 || hung_up {
                    tenant.readable = true;
                }
                let writable = flags & (libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP) != 0;
                self.queue_if_due(conn);
                if writable {
                    self.send_tail(conn, events);
                }
            }
        }
    }

    // --- accepting ---

    fn accept(&mut self, index: usize, events: &mut Vec<Event>) {
        for _ in 0..ACCEPTS {
            let (listener, socket) = match self.listeners.get(index) {
                Some((listener, socket)) => (*listener, socket),
                None => return,
            };
            if !self.settings.berths.take(self.settings.shard, 0) {
                self.rest_accepting();
                return;
            }
            let accepted = sys::accept(socket);
            if !matches!(accepted, Ok((_, Some(_)))) {
                self.settings.berths.give(self.settings.shard, 1);
            }
            match accepted {
                Ok((socket, Some(peer))) => {
                    if let Some(conn) = self.take_in(socket) {
                        Counters::count(&self.settings.counters.accepted);
                        events.push(Event::Accepted { conn, listener, peer });
                    }
                }
                Ok((_, None)) => {}
                Err(error) => match error.raw_os_error().unwrap_or(libc::EIO) {
                    libc::EAGAIN => return,
                    errno if is_of_one_connection(errno) => {}
                    errno => {
                        self.rest_accepting();
                        self.accept_refusals.tell(self.now, errno);
                        return;
                    }
                },
            }
        }
    }

    fn take_in(&mut self, socket: OwnedFd) -> Option<ConnId> {
        let fd = socket.as_raw_fd();
        let conn = self.slots.claim(Conn {
            socket,
            want: Want::Nothing,
            lingering: false,
            readable: false,
            hung_up: false,
            queued: false,
            writing: false,
            tail: None,
            lingered_bytes: 0,
        });
        if sys::epoll_set(&self.epoll, libc::EPOLL_CTL_ADD, fd, READ, conn_data(conn)).is_err() {
            self.slots.vacate(conn);
            self.settings.berths.give(self.settings.shard, 1);
            return None;
        }
        self.count_open();
        Some(conn)
    }

    fn rest_accepting(&mut self) {
        if self.accept_rest_until.is_none() {
            Counters::count(&self.settings.counters.accept_rests);
            self.watch_listeners(0);
        }
        self.accept_rest_until = Some(self.now.after(ACCEPT_REST));
    }

    fn watch_listeners(&self, flags: i32) {
        for (index, (_, socket)) in self.listeners.iter().enumerate() {
            let _ = sys::epoll_set(
                &self.epoll,
                libc::EPOLL_CTL_MOD,
                socket.as_raw_fd(),
                flags,
                kind::LISTENER | index as u64,
            );
        }
    }

    // --- receiving ---

    fn queue_if_due(&mut self, conn: ConnId) {
        if let Some(tenant) = self.slots.get_mut(conn)
            && tenant.readable
            && !tenant.queued
            && (tenant.want != Want::Nothing || tenant.lingering)
        {
            tenant.queued = true;
            self.ready.push_back(conn);
        }
    }

    fn read_ready(&mut self, buffers: &mut FreeBuffers, events: &mut Vec<Event>) {
        for _ in 0..self.ready.len() {
            if buffers.free.is_empty() {
                buffers.grow();
                self.settings.counters.buffers.store(u64::from(buffers.chunks.len()), Ordering::Relaxed);
            }
            if buffers.free.is_empty() {
                Counters::count(&self.settings.counters.buffers_short);
                return;
            }
            let Some(conn) = self.ready.pop_front() else {
                return;
            };
            self.read(conn, buffers, events);
            if let Some(tenant) = self.slots.get_mut(conn) {
                tenant.queued = false;
            }
            self.queue_if_due(conn);
        }
    }

    fn read(&mut self, conn: ConnId, buffers: &mut FreeBuffers, events: &mut Vec<Event>) {
        let mut share = SHARE_BYTES;
        while share > 0
            && let Some(id) = buffers.free.pop()
        {
            let Some(tenant) = self.slots.get_mut(conn) else {
                buffers.free.push(id);
                return;
            };
            if !tenant.readable || (tenant.want == Want::Nothing && !tenant.lingering) {
                buffers.free.push(id);
                return;
            }
            let result = sys::receive(&tenant.socket, buffers.chunks.space(id));
            match result {
                Ok(0) => {
                    buffers.free.push(id);
                    tenant.readable = false;
                    self.transport_gone(conn, Gone::Closed, events);
                    return;
                }
                Ok(received) => {
                    if received < BUFFER_BYTES && !tenant.hung_up {
                        tenant.readable = false;
                    }
                    share = share.saturating_sub(BUFFER_BYTES);
                    if tenant.lingering {
                        buffers.free.push(id);
                        tenant.lingered_bytes += received as u32;
                        if tenant.lingered_bytes > LINGER_BYTES_MAX {
                            self.end(conn);
                            return;
                        }
                        continue;
                    }
                    if tenant.want == Want::Once {
                        tenant.want = Want::Nothing;
                    }
                    let len = u32::try_from(received).expect("at most a buffer");
                    let buffer = buffers.chunks.lend(id, len);
                    events.push(Event::Received { conn, buffer });
                }
                Err(error) => {
                    buffers.free.push(id);
                    match error.raw_os_error() {
                        Some(libc::EAGAIN) => {
                            tenant.readable = false;
                            if tenant.is_dead() {
                                self.transport_gone(conn, Gone::Failed, events);
                            }
                        }
                        Some(libc::EINTR) => {}
                        _ => {
                            tenant.readable = false;
                            self.transport_gone(conn, Gone::Failed, events);
                        }
                    }
                    return;
                }
            }
        }
    }

    fn transport_gone(&mut self, conn: ConnId, how: Gone, events: &mut Vec<Event>) {
        let Some(tenant) = self.slots.get_mut(conn) else {
            return;
        };
        if tenant.lingering {
            self.end(conn);
        } else {
            tenant.want = Want::Nothing;
            events.push(Event::Gone { conn, how });
        }
    }

    // --- sending ---

    fn send_tail(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        loop {
            let Some(tenant) = self.slots.get_mut(conn) else {
                return;
            };
            let Some(tail) = tenant.tail.as_mut().filter(|tail| !tail.dead) else {
                return;
            };
            match sys::send(&tenant.socket, &tail.output, tail.sent, &mut self.slices) {
                Ok(sent) => tail.sent += sent,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => return,
                    Some(libc::EINTR) => continue,
                    _ => {
                        if let Some(gone) = self.send_failed(conn) {
                            events.push(gone);
                        }
                        return;
                    }
                },
            }
            if tail.left() > 0 {
                continue;
            }
            if !tail.held.is_empty() {
                let held = std::mem::take(&mut tail.held);
                let spent = std::mem::replace(&mut tail.output, held);
                tail.sent = 0;
                self.pool.put(spent);
                continue;
            }
            let tail = tenant.tail.take().expect("looked at above");
            self.pool.put(tail.output);
            if tenant.lingering {
                let _ = sys::shutdown_write(&tenant.socket);
            } else {
                events.push(Event::Drained { conn });
            }
            self.watch_room(conn, false);
            return;
        }
    }

    /// A send failed. What the peer sent before is still read, and then the end: its last packet may say that it leaves
    /// in order. Only if nobody reads, that is the end.
    fn send_failed(&mut self, conn: ConnId) -> Option<Event> {
        let tenant = self.slots.get_mut(conn)?;
        if tenant.lingering {
            self.end(conn);
            return None;
        }
        tenant.tail.get_or_insert_default().dead = true;
        if tenant.want == Want::Nothing {
            return Some(Event::Gone { conn, how: Gone::Failed });
        }
        tenant.readable = true;
        tenant.hung_up = true;
        self.queue_if_due(conn);
        None
    }

    fn watch_room(&mut self, conn: ConnId, watch: bool) {
        if let Some(tenant) = self.slots.get_mut(conn)
            && tenant.writing != watch
        {
            tenant.writing = watch;
            let flags = if watch { READ_AND_WRITE } else { READ };
            let _ = sys::epoll_set(&self.epoll, libc::EPOLL_CTL_MOD, tenant.socket.as_raw_fd(), flags, conn_data(conn));
        }
    }

    // --- closing ---

    fn end(&mut self, conn: ConnId) {
        if let Some(tenant) = self.slots.vacate(conn) {
            if let Some(tail) = tenant.tail {
                self.pool.put(tail.output);
            }
            self.settings.berths.give(self.settings.shard, 1);
            self.count_open();
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

    fn count_open(&self) {
        self.settings.counters.open.store(self.slots.used() as u64, Ordering::Relaxed);
    }
}

impl Engine for Epoll {
    /// It ends a wait at the first event.
    const NAPS: bool = false;
    type Buffers = FreeBuffers;

    fn listen(&mut self, listener: ListenerId, socket: OwnedFd) -> io::Result<()> {
        sys::set_nonblocking(&socket)?;
        sys::epoll_set(
            &self.epoll,
            libc::EPOLL_CTL_ADD,
            socket.as_raw_fd(),
            libc::EPOLLIN,
            kind::LISTENER | self.listeners.len() as u64,
        )?;
        self.listeners.push((listener, socket));
        Ok(())
    }

    fn stop_listening(&mut self) {
        self.accept_rest_until = None;
        self.listeners.clear();
    }

    fn turn(&mut self, buffers: &mut FreeBuffers, now: Millis, wait: Wait, events: &mut Vec<Event>) {
        self.now = now;
        self.expire_lingering();
        let mut wait = wait.at_most;
        // A full table has no room before a connection ends, which is an event of its own.
        if let Some(until) = self.accept_rest_until
            && self.settings.berths.taken(self.settings.shard) < self.settings.berths.size()
        {
            if until <= now {
                self.accept_rest_until = None;
                self.watch_listeners(libc::EPOLLIN);
            } else {
                wait = wait.min(until.since(now));
            }
        }
        if let Some((until, _)) = self.lingering.front() {
            wait = wait.min(until.since(now));
        }
        if !self.ready.is_empty() || !self.deferred.is_empty() {
            wait = Duration::ZERO;
        }
        events.append(&mut self.deferred);
        let ready = self.wait(wait);
        for index in 0..ready {
            self.happened(self.space[index], events);
        }
        self.read_ready(buffers, events);
    }

    fn flush(&mut self, _buffers: &mut FreeBuffers, now: Millis, events: &mut Vec<Event>) {
        // Sends have gone out as they came.
        self.now = now;
        events.append(&mut self.deferred);
    }

    #[inline]
    fn is_open(&self, conn: ConnId) -> bool {
        self.slots.get(conn).is_some_and(|tenant| !tenant.lingering)
    }

    fn receive_once(&mut self, conn: ConnId) {
        self.want(conn, Want::Once);
    }

    fn receive(&mut self, conn: ConnId) {
        self.want(conn, Want::Stream);
    }

    fn pause(&mut self, conn: ConnId) {
        if self.slots.get(conn).is_some_and(|tenant| tenant.is_dead() && !tenant.lingering) {
            // The end would have been read; now nobody looks for it.
            self.deferred.push(Event::Gone { conn, how: Gone::Failed });
        }
        self.want(conn, Want::Nothing);
    }

    #[inline]
    fn buffer(&mut self) -> SendBuffer {
        self.pool.take()
    }

    #[inline]
    fn recycle(&mut self, buffer: SendBuffer) {
        self.pool.put(buffer);
    }

    fn send(&mut self, conn: ConnId, mut output: SendBuffer) {
        let Some(tenant) = self.slots.get_mut(conn).filter(|tenant| !tenant.lingering) else {
            self.pool.put(output);
            return;
        };
        if output.is_empty() {
            self.pool.put(output);
            return;
        }
        if let Some(tail) = &mut tenant.tail {
            if tail.hold(&output) {
                tenant.want = Want::Nothing;
                self.deferred.push(Event::Gone { conn, how: Gone::Failed });
            }
            self.pool.put(output);
            return;
        }
        let sent = loop {
            match sys::send(&tenant.socket, &output, 0, &mut self.slices) {
                Ok(sent) => break sent,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => break 0,
                    Some(libc::EINTR) => {}
                    _ => {
                        self.pool.put(output);
                        let gone = self.send_failed(conn);
                        self.deferred.extend(gone);
                        return;
                    }
                },
            }
        };
        if sent == output.len() {
            self.pool.put(output);
            return;
        }
        let unsent = output.len() - sent;
        output.settle();
        tenant.tail = Some(Box::new(Tail { output, sent, ..Tail::default() }));
        Counters::count(&self.settings.counters.sends_short);
        self.deferred.push(Event::Stalled { conn, unsent });
        self.watch_room(conn, true);
    }

    fn close(&mut self, conn: ConnId, how: Close, now: Millis) {
        if !self.is_open(conn) {
            return;
        }
        self.now = now;
        match how {
            Close::Now => self.end(conn),
            Close::Linger if self.slots.get(conn).is_some_and(Conn::is_dead) => self.end(conn),
            Close::Linger => {
                let Some(tenant) = self.slots.get_mut(conn) else {
                    return;
                };
                tenant.lingering = true;
                if tenant.tail.is_none() {
                    let _ = sys::shutdown_write(&tenant.socket);
                }
                self.lingering.push_back((now.after(LINGER), conn));
                self.queue_if_due(conn);
            }
        }
    }

    fn hand_over(&mut self, conn: ConnId, to: ShardId, _token: u64) -> Option<OwnedFd> {
        let open = self.is_open(conn);
        let Some(tenant) = open.then(|| self.slots.vacate(conn)).flatten() else {
            self.settings.berths.give(to, 1);
            return None;
        };
        self.settings.berths.give(self.settings.shard, 1);
        debug_assert!(
            tenant.tail.is_none() && tenant.want == Want::Nothing,
            "a connection is handed over only while nothing is under way"
        );
        self.count_open();
        let _ = sys::epoll_set(&self.epoll, libc::EPOLL_CTL_DEL, tenant.socket.as_raw_fd(), 0, 0);
        Some(tenant.socket)
    }

    fn adopt(&mut self, socket: OwnedFd) -> Option<ConnId> {
        let conn = self.take_in(socket)?;
        Counters::count(&self.settings.counters.adopted);
        Some(conn)
    }

    fn give_back(&mut self, buffers: &mut FreeBuffers) {
        self.pool.give_back();
        buffers.give_back();
    }

    fn wake(&mut self, shard: ShardId) {
        if let Some(bell) = self.settings.bells.get(usize::from(shard.0)) {
            bell.ring();
        }
    }

    fn counters(&self) -> &Counters {
        &self.settings.counters
    }
}

impl Epoll {
    fn want(&mut self, conn: ConnId, want: Want) {
        if let Some(tenant) = self.slots.get_mut(conn)
            && !tenant.lingering
        {
            tenant.want = want;
            self.queue_if_due(conn);
        }
    }
}

const fn conn_data(conn: ConnId) -> u64 {
    kind::CONN | ((conn.slot as u64) << 32) | conn.generation as u64
}

const fn conn_of(data: u64) -> ConnId {
    ConnId { slot: ((data >> 32) & 0xff_ffff) as u32, generation: (data & 0xffff_ffff) as u32 }
}
