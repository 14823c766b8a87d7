//! The workers of this machine as threads: started together, joined at the end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use super::Shared;
use crate::run_plan::RunPlan;
use crate::swarm::Swarm;
use crate::worker::{self, Ended, Load, Outcome, WorkerError};

/// See the head of this file.
pub(crate) struct Crew {
    workers: Vec<JoinHandle<Result<Ended, WorkerError>>>,
}

impl Crew {
    /// Starts a worker for each board.
    pub(crate) fn start(plan: &Arc<RunPlan>, shared: &Arc<Shared>) -> Result<Self, WorkerError> {
        let deliveries = |part| (0..Swarm::delivered_len(part)).map(|_| AtomicU64::new(0)).collect();
        let delivered: Vec<Arc<[AtomicU64]>> = plan.parts.iter().map(|part| deliveries(part)).collect();
        let start = |number: u32| {
            let (plan, shared, delivered) = (Arc::clone(plan), Arc::clone(shared), delivered.clone());
            std::thread::Builder::new()
                .name(format!("worker {number}"))
                .spawn(move || {
                    let ended = worker::run(&plan, number, &shared, &delivered);
                    if ended.is_err() {
                        shared.boards[number as usize].fail();
                    }
                    ended
                })
                .map_err(WorkerError::Thread)
        };
        let workers = (0..plan.local_workers()).map(start).collect::<Result<_, _>>();
        if workers.is_err() {
            // Those that did start are to end.
            shared.leave();
        }
        Ok(Self { workers: workers? })
    }

    /// Waits for all of them to end, which they do when the run is over.
    pub(crate) fn join(self) -> Result<(Vec<Outcome>, Vec<Load>), WorkerError> {
        let (mut outcomes, mut loads) = (Vec::new(), Vec::new());
        for worker in self.workers {
            let ended = worker.join().expect("a worker that panics ends the program")?;
            outcomes.extend(ended.outcomes);
            loads.push(ended.load);
        }
        Ok((outcomes, loads))
    }
}
