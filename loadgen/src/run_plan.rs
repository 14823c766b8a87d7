//! A run as a whole: one part, or the several of a mix, and which of its workers are on this machine.
//!
//! Invariants: all parts have the same workers, targets, sources and times; client `n` of a part belongs to the worker
//! `n` modulo all workers, wherever that is, so the parts of several machines never meet.

use std::net::IpAddr;
use std::sync::Arc;

use crate::plan::{Audience, Pace, Payload, Plan, Story};

/// See the head of this file.
#[derive(Clone, Debug)]
pub(crate) struct RunPlan {
    pub(crate) parts: Vec<Arc<Plan>>,
    /// What the parts are together; the part itself where there is one.
    pub(crate) whole: Arc<Plan>,
    /// Which of several machines this is, and how many there are.
    machine: u32,
    machines: u32,
}

impl From<Plan> for RunPlan {
    fn from(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        Self { parts: vec![Arc::clone(&plan)], whole: plan, machine: 0, machines: 1 }
    }
}

impl RunPlan {
    /// Parts that run at the same time. There is at least one.
    pub(crate) fn mixed(parts: Vec<Plan>) -> Self {
        let whole = Arc::new(together(&parts));
        Self { parts: parts.into_iter().map(Arc::new).collect(), whole, machine: 0, machines: 1 }
    }

    pub(crate) fn is_mixed(&self) -> bool {
        !Arc::ptr_eq(&self.parts[0], &self.whole)
    }

    pub(crate) fn story(&self) -> Story {
        self.whole.story
    }

    /// Whether anybody is to get messages.
    pub(crate) fn receives(&self) -> bool {
        self.parts.iter().any(|part| part.receives())
    }

    /// Whether whoever has a window hears at once when it opens, so that silence soon means that nothing more comes.
    pub(crate) fn drains_fast(&self) -> bool {
        self.parts.iter().all(|part| part.pace == Pace::Closed && part.qos as u8 == 0)
    }

    /// Whether connections that are lost come back.
    pub(crate) fn reconnects(&self) -> bool {
        self.parts.iter().any(|part| part.ramp.reconnects != Some(0))
    }

    pub(crate) fn local_workers(&self) -> u32 {
        self.whole.workers / self.machines
    }

    /// The number in the whole run of a worker of this machine, as one part sees it. Parts begin at different workers,
    /// so that several with few clients do not all fall to the first.
    pub(crate) fn worker_of(&self, local: u32, part: usize) -> u32 {
        let number = self.machine * self.local_workers() + local;
        let turn = part as u32 % self.whole.workers;
        (number + turn) % self.whole.workers
    }

    /// Makes it the share of one of several machines, each with so many workers.
    pub(crate) fn for_machine(&mut self, machine: u32, machines: u32, workers: u32) {
        (self.machine, self.machines) = (machine, machines);
        self.change(|plan| plan.workers = workers * machines);
    }

    /// Connections of this machine.
    pub(crate) fn local_connections(&self) -> u32 {
        if self.machines == 1 {
            return self.whole.connections();
        }
        let of_part = |(at, part): (usize, &Arc<Plan>)| {
            let workers = (0..self.local_workers()).map(|local| self.worker_of(local, at));
            let kinds = |worker| [part.subscribers, part.publishers, part.idle].map(|kind| part.share(kind, worker));
            workers.flat_map(kinds).sum::<u32>()
        };
        self.parts.iter().enumerate().map(of_part).sum()
    }

    pub(crate) fn set_workers(&mut self, workers: u32) {
        self.change(|plan| plan.workers = workers);
    }

    pub(crate) fn set_sources(&mut self, sources: &[IpAddr]) {
        self.change(|plan| plan.ramp.sources = sources.to_vec());
    }

    /// Changes what all parts have in common.
    fn change(&mut self, change: impl Fn(&mut Plan)) {
        let mixed = self.is_mixed();
        for part in &mut self.parts {
            change(Arc::make_mut(part));
        }
        if mixed {
            change(Arc::make_mut(&mut self.whole));
        } else {
            self.whole = Arc::clone(&self.parts[0]);
        }
    }
}

/// What several parts are together, as far as that can be said of them.
fn together(parts: &[Plan]) -> Plan {
    let sum = |number: fn(&Plan) -> u32| parts.iter().map(number).sum();
    let senders = || parts.iter().filter(|part| part.publishers > 0);
    let rate = |part: &Plan| match part.pace {
        Pace::Open(rate) => Some(rate),
        Pace::Closed => None,
    };
    let rates: Option<Vec<f64>> = senders().map(rate).collect();
    let limits: Option<Vec<u64>> = senders().map(|part| part.limit).collect();
    let receives = parts.iter().any(Plan::receives);
    let first = parts[0].clone();
    let connects: Option<Vec<f64>> = parts.iter().map(|part| part.ramp.rate).collect();
    let mut ramp = first.ramp.clone();
    ramp.rate = connects.map(|rates| rates.iter().sum());
    Plan {
        scenario: "mixed",
        story: Story::Plain,
        ramp,
        subscribers: sum(|part| part.subscribers),
        publishers: sum(|part| part.publishers),
        idle: sum(|part| part.idle),
        // Somebody is to get something, of whatever part.
        audience: if receives { Audience::Strangers } else { Audience::Nobody },
        qos: senders().map(|part| part.qos).max().unwrap_or(first.qos),
        payload: senders()
            .map(|part| &part.payload)
            .max_by_key(|payload| payload.len())
            .map_or(Payload::Stamped(0), Clone::clone),
        pace: rates.filter(|rates| !rates.is_empty()).map_or(Pace::Closed, |rates| Pace::Open(rates.iter().sum())),
        window: None,
        limit: limits.filter(|limits| !limits.is_empty()).map(|limits| limits.iter().sum()),
        ..first
    }
}
