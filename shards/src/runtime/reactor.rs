//! One turn of a shard: what the kernel and the mesh brought goes into the logic, what the logic wants goes out.
//!
//! Runs on: the shard's thread.
//! Invariants: one enter, one flush and one clock reading a turn; the sleep flag is up only around the wait; the
//! longest sleep is a second, so that a watchdog sees the shard turn.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use millrace_core::time::{Millis, Time};

use super::engine::{Buffers, Counters, Engine, Event, Wait};
use super::pace::{self, Pace};
use super::{background, sys};
use crate::mesh::Endpoint;
use crate::room::shrink;
use crate::send_buffer::SendBuffer;
use crate::shard::io::{Close, ConnId, Output, ShardId};
use crate::shard::logic::Logic;

/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Bytes that are taken in before output leaves again, as much from clients as from other shards. What many publishers
/// sent at once to one subscriber must not look as if that one read slowly.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// How far the clock may run past what was waited for before the shard takes it that it stood still: the process was
/// stopped, or the host slept.
const LATE_MAX: Duration = Duration::from_millis(500);
/// Rounds that are spent at most on reading what came meanwhile, and how long.
const CATCH_UP_ROUNDS_MAX: u32 = 1000;
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// How often memory is given back that is not in use.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// What shards send each other at this level.
pub(crate) enum Entry<F> {
    /// A frame of the logic.
    Frame(F),
    /// A socket, where the engine cannot send it by itself.
    Socket { socket: OwnedFd, token: u64 },
}

/// What a shard is doing, for the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// For something to happen.
    Waiting,
    /// Handing received bytes and other events to the logic.
    Receiving,
    /// Handing over what other shards sent.
    Mesh,
    /// Handing over what other threads asked.
    Control,
    /// Deadlines and output of the logic.
    Turning,
    /// Publishing to other shards.
    Flushing,
    /// Other tasks of the executor.
    Background,
    /// It has ended.
    Ended,
}

impl Phase {
    fn from_u8(number: u8) -> Self {
        [Self::Waiting, Self::Receiving, Self::Mesh, Self::Control, Self::Turning, Self::Flushing, Self::Background]
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Ended)
    }
}

/// What other threads see of a shard.
#[derive(Debug, Default)]
pub struct Vitals {
    pub(crate) counters: Arc<Counters>,
    phase: AtomicU8,
    pub(crate) stop_listening: AtomicBool,
    pub(crate) stop: AtomicBool,
}

impl Vitals {
    /// Turns so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.counters.turns.load(Ordering::Relaxed)
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What it is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Ordering::Relaxed))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// Drives one shard.
pub(crate) struct Reactor<E: Engine, L: Logic> {
    engine: E,
    buffers: E::Buffers,
    mesh: Endpoint<Entry<L::Frame>>,
    logic: L,
    control: Receiver<L::Control>,
    vitals: Arc<Vitals>,
    /// What the engine brought in this turn.
    events: Vec<Event>,
    /// Sockets that filled or emptied: told before everything else, so that nothing more is sent into a full one while
    /// received bytes wait for their turn.
    room: VecDeque<Event>,
    /// What else the logic has not seen yet.
    pending: VecDeque<Event>,
    /// The mesh had to keep something back.
    congested: bool,
    /// Another thread rang the bell.
    rung: bool,
    pace: Pace,
    /// When memory was given back last.
    gave_back: Millis,
    now: Time,
}

/// The engine and the mesh as the logic sees them.
struct Out<'a, E, F> {
    engine: &'a mut E,
    mesh: &'a mut Endpoint<Entry<F>>,
    now: Millis,
}

impl<E: Engine, L: Logic> Reactor<E, L> {
    pub(crate) fn new(
        engine: E,
        buffers: E::Buffers,
        mesh: Endpoint<Entry<L::Frame>>,
        logic: L,
        control: Receiver<L::Control>,
        vitals: Arc<Vitals>,
    ) -> Self {
        Self {
            engine,
            buffers,
            mesh,
            logic,
            control,
            vitals,
            events: Vec::new(),
            room: VecDeque::new(),
            pending: VecDeque::new(),
            congested: false,
            rung: false,
            pace: Pace::default(),
            gave_back: sys::now().monotonic,
            now: sys::now(),
        }
    }

    /// Turns once; false when the shard shall end.
    pub(crate) fn turn(&mut self) -> bool {
        let is_late = self.wait();
        self.logic.turn_begins();
        if is_late {
            self.catch_up();
        }
        self.pace.begin();
        self.take_events();
        self.take_mail();
        self.take_control();
        self.vitals.enter(Phase::Turning);
        let now = self.now;
        let (logic, _, mut out) = self.parts();
        logic.turn(now, &mut out);
        let work = logic.take_work();
        self.pace.count(now.monotonic, work);
        self.flush();
        self.give_back();
        if self.vitals.stop_listening.load(Ordering::Relaxed) {
            self.engine.stop_listening();
        }
        !self.vitals.stop.load(Ordering::Relaxed)
    }

    /// Once a second, if there is nothing else to do.
    fn give_back(&mut self) {
        if self.now.monotonic.since(self.gave_back) < GIVE_BACK_EVERY || !self.pending.is_empty() {
            return;
        }
        self.gave_back = self.now.monotonic;
        shrink(&mut self.events);
        shrink(&mut self.room);
        shrink(&mut self.pending);
        self.engine.give_back(&mut self.buffers);
    }

    /// The engine and its buffers, to end them.
    pub(crate) fn into_engine(self) -> (E, E::Buffers) {
        (self.engine, self.buffers)
    }

    /// Waits for events if there are none; says whether the clock ran far past what was waited for.
    fn wait(&mut self) -> bool {
        let before = self.now.monotonic;
        let wait = if self.pending.is_empty() {
            self.sleep()
        } else {
            self.go_on();
            Duration::ZERO
        };
        self.collect();
        Counters::count(&self.engine.counters().turns);
        self.now.monotonic.since(before.after(wait)) > LATE_MAX
    }

    /// Output goes out, and nothing more comes in before what there is has been seen.
    fn go_on(&mut self) {
        self.engine.flush(&mut self.buffers, self.now.monotonic, &mut self.events);
        self.now = sys::now();
    }

    fn collect(&mut self) {
        for event in self.events.drain(..) {
            match event {
                Event::Stalled { .. } | Event::Drained { .. } => self.room.push_back(event),
                _ => self.pending.push_back(event),
            }
        }
    }

    /// The shard stood still for a while, and what its clients sent meanwhile lies in their sockets: it is taken in
    /// before any deadline counts, or all of them would be taken for dead.
    fn catch_up(&mut self) {
        let start = Instant::now();
        let mut idle = 0;
        for _ in 0..CATCH_UP_ROUNDS_MAX {
            self.take_events();
            if self.pending.is_empty() {
                self.engine.turn(&mut self.buffers, self.now.monotonic, Wait::NOT, &mut self.events);
                self.now = sys::now();
                idle = if self.events.is_empty() { idle + 1 } else { 0 };
            } else {
                self.go_on();
            }
            self.collect();
            if idle > 1 || start.elapsed() > CATCH_UP_MAX {
                break;
            }
        }
    }

    /// Sleeps until something happens; returns how long that was to take at most.
    fn sleep(&mut self) -> Duration {
        self.vitals.enter(Phase::Waiting);
        let mut wait = SLEEP_MAX.min(self.logic.next_deadline().since(self.now.monotonic));
        if background::is_pending() {
            wait = wait.min(background::SLEEP_MAX);
        }
        let rest = self.pace.rest();
        if E::NAPS && !rest.is_zero() && rest < wait && !self.mesh.is_reading() {
            // Nobody needs to wake a shard that looks for itself in a moment.
            self.nap(rest);
            return rest;
        }
        let flagged = !wait.is_zero();
        if flagged && !self.mesh.may_sleep() {
            wait = Duration::ZERO;
        }
        let lain_down = (wait == SLEEP_MAX).then(Instant::now);
        self.engine.turn(&mut self.buffers, self.now.monotonic, Wait::for_any(wait), &mut self.events);
        self.now = sys::now();
        if flagged {
            self.mesh.awake();
            let overslept = lain_down.is_some_and(|at| at.elapsed() >= SLEEP_MAX);
            if overslept && self.events.is_empty() && self.mesh.has_mail() {
                Counters::count(&self.engine.counters().wakes_lost);
            }
        }
        let gather = self.pace.gather();
        if E::NAPS && flagged && !gather.is_zero() && self.events.len() < pace::EVENTS {
            self.nap(gather);
            wait += gather;
        }
        wait
    }

    /// Waits although something may have happened, so that more of it is dealt with in one turn.
    fn nap(&mut self, at_most: Duration) {
        let wait = Wait { at_most, wanted: pace::EVENTS };
        self.engine.turn(&mut self.buffers, self.now.monotonic, wait, &mut self.events);
        self.now = sys::now();
    }

    fn take_events(&mut self) {
        self.vitals.enter(Phase::Receiving);
        while let Some(event) = self.room.pop_front() {
            self.take_event(event);
        }
        let mut bytes = 0;
        while bytes < INPUT_BYTES_MAX
            && let Some(event) = self.pending.pop_front()
        {
            if let Event::Received { buffer, .. } = &event {
                bytes += buffer.len as usize;
            }
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: Event) {
        let now = self.now;
        let (logic, buffers, mut out) = self.parts();
        match event {
            Event::Received { conn, buffer } => {
                if out.engine.is_open(conn) {
                    logic.received(now, conn, buffers.bytes(&buffer), &mut out);
                }
                buffers.recycle(buffer);
            }
            Event::Accepted { conn, listener, peer } => {
                let accepted = crate::shard::io::Accepted { conn, listener, peer };
                logic.accepted(now, accepted, &mut out);
            }
            Event::Gone { conn, how } => {
                if out.engine.is_open(conn) {
                    out.engine.close(conn, Close::Now, now.monotonic);
                    logic.gone(now, conn, how, &mut out);
                }
            }
            Event::Stalled { conn, unsent } => {
                if out.engine.is_open(conn) {
                    logic.stalled(conn, unsent);
                }
            }
            Event::Drained { conn } => {
                if out.engine.is_open(conn) {
                    logic.drained(now, conn, &mut out);
                }
            }
            Event::Adopted { conn, from, token } => {
                logic.adopted(now, conn, from, token, &mut out);
            }
            Event::Bell => self.rung = true,
        }
    }

    fn take_mail(&mut self) {
        self.vitals.enter(Phase::Mesh);
        let now = self.now;
        self.mesh.open_mail();
        let mut bytes = 0;
        while bytes < INPUT_BYTES_MAX
            && let Some((from, entry)) = self.mesh.pop()
        {
            let (logic, _, mut out) = self.parts();
            match entry {
                Entry::Frame(frame) => {
                    bytes += L::frame_bytes(&frame);
                    logic.frame(now, from, frame, &mut out);
                }
                Entry::Socket { socket, token } => match out.engine.adopt(socket) {
                    Some(conn) => logic.adopted(now, conn, from, token, &mut out),
                    None => Counters::count(&out.engine.counters().handovers_failed),
                },
            }
        }
        if !self.mesh.is_reading() {
            let (logic, _, mut out) = self.parts();
            logic.mail_read(now, &mut out);
        }
        let Self { mesh, engine, .. } = self;
        mesh.close_mail(|shard| engine.wake(shard));
    }

    fn take_control(&mut self) {
        if !std::mem::take(&mut self.rung) {
            return;
        }
        self.vitals.enter(Phase::Control);
        // What comes meanwhile rings again.
        for _ in 0..self.control.len() {
            if let Ok(message) = self.control.try_recv() {
                let now = self.now;
                let (logic, _, mut out) = self.parts();
                logic.control(now, message, &mut out);
            }
        }
    }

    fn flush(&mut self) {
        self.vitals.enter(Phase::Flushing);
        self.congested |= self.mesh.waiting() > 0;
        let Self { mesh, engine, .. } = self;
        mesh.flush(|shard| engine.wake(shard));
        if self.congested && self.mesh.waiting() == 0 {
            let now = self.now;
            let (logic, _, mut out) = self.parts();
            logic.mesh_drained(now, &mut out);
            let Self { mesh, engine, .. } = self;
            self.congested = mesh.waiting() > 0;
            mesh.flush(|shard| engine.wake(shard));
        }
        if self.mesh.waiting() == 0 {
            self.logic.turn_ended();
        }
    }

    fn parts(&mut self) -> (&mut L, &mut E::Buffers, Out<'_, E, L::Frame>) {
        let out = Out { engine: &mut self.engine, mesh: &mut self.mesh, now: self.now.monotonic };
        (&mut self.logic, &mut self.buffers, out)
    }
}

impl<E: Engine, F> Output<F> for Out<'_, E, F> {
    #[inline]
    fn buffer(&mut self) -> SendBuffer {
        self.engine.buffer()
    }

    #[inline]
    fn recycle(&mut self, buffer: SendBuffer) {
        self.engine.recycle(buffer);
    }

    #[inline]
    fn send(&mut self, conn: ConnId, output: SendBuffer) {
        self.engine.send(conn, output);
    }

    fn receive_once(&mut self, conn: ConnId) {
        self.engine.receive_once(conn);
    }

    fn receive(&mut self, conn: ConnId) {
        self.engine.receive(conn);
    }

    fn pause(&mut self, conn: ConnId) {
        self.engine.pause(conn);
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        self.engine.close(conn, how, self.now);
    }

    fn hand_over(&mut self, conn: ConnId, to: ShardId, token: u64) {
        if let Some(socket) = self.engine.hand_over(conn, to, token) {
            self.mesh.push(to, Entry::Socket { socket, token });
        }
    }

    #[inline]
    fn frame(&mut self, to: ShardId, frame: F) -> bool {
        self.mesh.push(to, Entry::Frame(frame))
    }
}
