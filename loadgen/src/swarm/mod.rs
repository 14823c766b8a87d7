//! The clients of one worker as a state machine: bytes, completions and the time go in, bytes and orders come out.
//!
//! Runs on: the worker's thread, or a test. No socket, no clock.
//! Invariants: each message has one place in the schedule and keeps the time at which it was due; whatever is sent is
//! counted as expected at once, so that a loss cannot hide.
//! Not here: the ring (`uring/`), stages of the run (`control.rs`).

mod arrived;
mod comeback;
mod conn;
mod connect;
mod leave;
mod message;
mod publish;
mod receive;
mod recent;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use conn::{Conn, Outbox, Publisher, Role};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::account::Bits;
use crate::pacing::Schedule;
use crate::plan::{Audience, Pace, Payload, Plan};
use crate::stats::Stats;
use crate::uring::ConnId;

/// When what begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) start: u64,
    /// From here on it is measured.
    pub(crate) measure: u64,
    pub(crate) end: u64,
}

impl Timeline {
    pub(super) const fn measures(&self, time: u64) -> bool {
        self.measure <= time && time < self.end
    }
}

/// What the run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Connections are opened.
    Ramp,
    /// Subscribers say goodbye.
    Away,
    /// Messages are sent.
    Run(Timeline),
    /// Those who are away, or all, come back; or subscribers subscribe at last.
    Back(Timeline),
    /// What was retained is taken back.
    Clear,
}

impl Stage {
    /// Whether it is the same one, perhaps with another end.
    fn continues(self, before: Option<Self>) -> bool {
        match (self, before) {
            (Self::Run(now), Some(Self::Run(before))) | (Self::Back(now), Some(Self::Back(before))) => {
                now.start == before.start
            }
            (now, Some(before)) => now == before,
            (_, None) => false,
        }
    }
}

/// What the swarm wants done with its connections.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) connects: Vec<ConnId>,
    pub(crate) receives: Vec<ConnId>,
    pub(crate) cancels: Vec<ConnId>,
    pub(crate) closes: Vec<ConnId>,
}

/// Which connections of this machine a swarm's are: source addresses are dealt out by it.
#[derive(Clone, Copy, Debug)]
struct Berth {
    /// The first slot in the ring.
    base: u32,
    /// Which of how many workers of this machine.
    worker: u32,
    workers: u32,
}

/// See the head of this file.
pub(crate) struct Swarm {
    plan: Arc<Plan>,
    worker: u32,
    berth: Berth,
    /// Our subscribers; they have the first slots.
    subscribers: u32,
    publishers: u32,
    conns: Vec<Conn>,
    outbox: Outbox,
    pub(crate) orders: Orders,
    pub(crate) stats: Stats,
    stage: Option<Stage>,
    ramp: connect::RampState,
    /// Connections that are not ready yet, by when they must be.
    handshakes: VecDeque<(u64, ConnId)>,
    /// Connections by when Keep Alive is to be looked at.
    pulse: VecDeque<(u64, ConnId)>,
    schedule: Option<Schedule>,
    /// Numbers of the schedule that have passed.
    passed: u64,
    /// Publishers to look at.
    queue: Vec<u32>,
    /// Publishers are looked at without being queued.
    floods: bool,
    /// What is behind the stamp of each message.
    filler: Vec<u8>,
    /// Deliveries by publisher, where windows count them.
    delivered: Arc<[AtomicU64]>,
    progress: publish::Progress,
    recent: recent::Recent,
    /// What groups have got, by publisher.
    group: Vec<Bits>,
    /// Publishers that begin later than their turn, by when their next message is due.
    late: BinaryHeap<Reverse<(u64, u32)>>,
    /// Connections that have failed or were lost, by slot.
    troubles: HashMap<u32, comeback::Trouble, FixedState>,
    /// Connections that try again, by when.
    comebacks: VecDeque<(u64, u32)>,
    /// Messages that may have to be sent again, by when.
    unanswered: VecDeque<comeback::Pending>,
    /// The time of the last step or event.
    now: u64,
}

impl Swarm {
    /// `delivered` is shared by all swarms of a run; see [`Swarm::delivered_len`].
    pub(crate) fn new(plan: Arc<Plan>, worker: u32, delivered: Arc<[AtomicU64]>) -> Self {
        let subscribers = plan.share(plan.subscribers, worker);
        let publishers = plan.share(plan.publishers, worker);
        let idle = plan.share(plan.idle, worker);
        let mut conns = Vec::with_capacity((subscribers + publishers + idle) as usize);
        conns.extend((0..subscribers).map(|_| Conn::new(Role::Subscriber(None))));
        conns.extend((0..publishers).map(|_| Conn::new(Role::Publisher(Box::default()))));
        conns.extend((0..idle).map(|_| Conn::new(Role::Subscriber(None))));
        let filler = match &plan.payload {
            Payload::Stamped(size) => (0..*size).map(|at| b'a' + (at % 26) as u8).collect(),
            Payload::Literal(bytes) => bytes.clone(),
            Payload::Template(_) => Vec::new(),
        };
        // A partner's delivery queues its publisher; others may be heard on any worker, and by many.
        let told = plan.audience == Audience::Partner || Self::delivered_len(&plan) == 0;
        let floods = plan.pace == Pace::Closed && (plan.window.is_none() || !told);
        Self {
            worker,
            berth: Berth { base: 0, worker, workers: plan.workers },
            subscribers,
            publishers,
            conns,
            outbox: Outbox::default(),
            orders: Orders::default(),
            stats: Stats::new(),
            stage: None,
            ramp: connect::RampState::default(),
            handshakes: VecDeque::new(),
            pulse: VecDeque::new(),
            schedule: None,
            passed: 0,
            queue: Vec::new(),
            floods,
            filler,
            delivered,
            progress: publish::Progress::default(),
            recent: recent::Recent::default(),
            group: vec![Bits::default(); if plan.audience == Audience::Group { plan.publishers as usize } else { 0 }],
            late: BinaryHeap::new(),
            troubles: HashMap::default(),
            comebacks: VecDeque::new(),
            unanswered: VecDeque::new(),
            now: 0,
            plan,
        }
    }

    /// Says where the swarm's connections are among those of this machine.
    pub(crate) fn settle(&mut self, base: u32, worker: u32, workers: u32) {
        self.berth = Berth { base, worker, workers };
    }

    /// How many deliveries are to be counted by publisher: only windows of QoS 0 need it.
    pub(crate) fn delivered_len(plan: &Plan) -> usize {
        let counts = plan.qos as u8 == 0 && plan.pace == Pace::Closed && plan.window.is_some() && plan.copies() > 0;
        if counts { plan.publishers as usize } else { 0 }
    }

    /// Does all that is due; says when something will be again.
    pub(crate) fn step(&mut self, stage: Stage, now: u64) -> u64 {
        let continues = stage.continues(self.stage);
        self.now = now;
        self.stage = Some(stage);
        if let (Stage::Run(timeline), Some(schedule)) = (stage, &mut self.schedule) {
            // A run may end before its time.
            schedule.end_at(timeline.end);
        }
        if !continues {
            match stage {
                Stage::Ramp => self.ramp_begin(0, self.conns.len() as u32, now),
                Stage::Away => self.all_go(now),
                Stage::Run(timeline) => self.run_begin(timeline),
                Stage::Back(_) => self.all_return(now),
                Stage::Clear => {}
            }
        }
        let mut next = self.ramp_step(now);
        next = next.min(self.pulse_step(now)).min(self.comeback_step(now)).min(self.retry_step(now));
        match stage {
            Stage::Run(timeline) => next.min(self.publish_step(timeline, now)),
            Stage::Clear => next.min(self.clear_step(now)),
            Stage::Ramp | Stage::Away | Stage::Back(_) => next,
        }
    }

    /// Gives out all that may be sent.
    pub(crate) fn flush(&mut self, mut send: impl FnMut(ConnId, &mut Vec<u8>)) {
        let bytes = &mut self.stats.counts.bytes_sent;
        self.outbox.flush(&mut self.conns, |conn, out| {
            *bytes += out.len() as u64;
            send(conn, out);
        });
    }

    /// Says goodbye on every open connection.
    pub(crate) fn leave(&mut self) {
        self.settle_unsent();
        for slot in 0..self.conns.len() as u32 {
            if self.conns[slot as usize].is_open() && !self.conns[slot as usize].stalled {
                self.say_goodbye(slot, true);
            }
        }
    }

    /// What groups have got, by publisher.
    pub(crate) fn take_group(&mut self) -> Vec<Bits> {
        std::mem::take(&mut self.group)
    }

    fn timeline(&self) -> Option<Timeline> {
        match self.stage {
            Some(Stage::Run(timeline) | Stage::Back(timeline)) => Some(timeline),
            _ => None,
        }
    }

    /// The number of a client in the whole run: subscribers first, then publishers, then those who only stay.
    fn client_of(&self, slot: u32) -> u32 {
        let nth = |nth: u32| self.worker + nth * self.plan.workers;
        let (publishers, idle) = (self.subscribers, self.subscribers + self.publishers);
        if slot < publishers {
            nth(slot)
        } else if slot < idle {
            self.plan.subscribers + nth(slot - publishers)
        } else {
            self.plan.subscribers + self.plan.publishers + nth(slot - idle)
        }
    }

    /// Of our publishers the one with this number counts as this one among all.
    fn publisher_number(&self, publisher: u32) -> u32 {
        self.worker + publisher * self.plan.workers
    }

    /// The slot of a publisher of the whole run, if it is ours.
    fn slot_of_publisher(&self, number: u32) -> Option<u32> {
        (number % self.plan.workers == self.worker).then(|| self.subscribers + number / self.plan.workers)
    }

    fn publisher(&mut self, slot: u32) -> Option<&mut Publisher> {
        match &mut self.conns[slot as usize].role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Subscriber(_) => None,
        }
    }

    fn id_of(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.conns[slot as usize].generation }
    }

    /// The connection that a completion speaks of, unless it is another's by now.
    fn met(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(conn.slot as usize).filter(|met| met.generation == conn.generation)
    }
}
