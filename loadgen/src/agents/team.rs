//! The leader: gathers agents, gives each its share of the plan, starts them together and joins their accounts.
//!
//! Runs on: the main thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::auth::Token;
use super::member::{Farewell, Member};
use crate::control::{Director, Run, Seen, Shared};
use crate::files::Files;
use crate::host::BrokerWatch;
use crate::options::AgentsOptions;
use crate::plan::Audience;
use crate::progress::Progress;
use crate::run_plan::RunPlan;
use crate::source::Source;
use crate::swarm::Swarm;
use crate::sys;

/// Between the order to begin and the first message, so that all agents have heard it.
const HEAD_START_NS: u64 = 500_000_000;
/// Agents that can be led.
const AGENTS_MAX: usize = 256;

/// What is told of an agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentAccount {
    pub(crate) address: String,
    pub(crate) workers: u32,
    pub(crate) connections: u32,
    /// How wrong the agent's clock may have been taken, in nanoseconds.
    pub(crate) clock_error: u64,
    /// How far its clock went away from ours during the run.
    pub(crate) clock_drift: u64,
    /// Why it was lost, if it was.
    pub(crate) lost: Option<String>,
}

/// See the head of this file.
pub(crate) struct Team {
    members: Vec<Member>,
    workers: u32,
}

impl Team {
    /// Meets all agents; none where none are named.
    pub(crate) fn gather(options: &AgentsOptions) -> Result<Option<Self>, String> {
        let Some(list) = &options.agents else { return Ok(None) };
        let addresses: Vec<&str> = list.split(',').map(str::trim).filter(|address| !address.is_empty()).collect();
        if addresses.is_empty() || addresses.len() > AGENTS_MAX {
            return Err(format!("--agents names {} agents: 1 to {AGENTS_MAX} can be led", addresses.len()));
        }
        let token = Token::find(options.token_file.as_deref())?;
        let members =
            addresses.iter().map(|address| Member::meet(address, token.as_ref())).collect::<Result<_, _>>()?;
        Ok(Some(Self { members, workers: 1 }))
    }

    /// Gives each agent its share; says what they find, and whether one of them refuses.
    pub(crate) fn prepare(
        &mut self,
        plan: &mut RunPlan,
        source: &Source,
        files: &Files,
        workers_given: Option<u32>,
    ) -> Result<(String, bool), String> {
        let windows = |plan: &RunPlan| {
            plan.parts.iter().any(|part| Swarm::delivered_len(part) > 0 && part.audience != Audience::Partner)
        };
        if self.members.len() > 1 && windows(plan) {
            return Err("a closed loop of QoS 0 counts deliveries, which several machines cannot do together: give \
                        --rate, or --qos 1"
                .to_owned());
        }
        let machines = self.members.len() as u32;
        self.workers = workers_given.unwrap_or_else(|| {
            let each = plan.whole.connections().div_ceil(machines);
            let cpus = self.members.iter().map(|member| member.cpus).min().unwrap_or(1).min(2);
            let descriptors = self.members.iter().map(|member| member.descriptors).min().unwrap_or(1).max(1);
            cpus.max(u64::from(each).div_ceil(descriptors) as u32)
        });
        plan.for_machine(0, machines, self.workers);
        let (mut findings, mut refuses) = (String::new(), false);
        for (machine, member) in self.members.iter_mut().enumerate() {
            let words = json!({
                "source": source.json(),
                "files": files.known(),
                "tag": plan.whole.tag,
                "machine": machine,
                "machines": machines,
                "workers": self.workers,
                "clock_ns": member.clock.offset,
            });
            let (found, refused) = member.plan(&words)?;
            for line in found.lines() {
                findings.push_str(&format!("agent {}: {line}\n", member.address));
            }
            refuses |= refused;
        }
        Ok((findings, refuses))
    }

    /// Carries the plan out on all of them.
    pub(crate) fn run(
        &self,
        plan: &RunPlan,
        broker: Option<BrokerWatch>,
        interrupted: &AtomicBool,
        progress: &mut Progress,
    ) -> Result<Run, String> {
        let shared = Arc::new(Shared::far(self.members.len() as u32));
        let begun = sys::now();
        self.members.iter().try_for_each(Member::start)?;
        let led: Vec<_> =
            self.members.iter().enumerate().map(|(at, member)| member.lead(at, &shared)).collect::<Result<_, _>>()?;
        let mut director = Director::new(plan, &shared, interrupted, progress, broker).with_head_start(HEAD_START_NS);
        let (ramp_ns, timeline) = director.direct(begun);
        let Seen { samples, ramp, broker, .. } = director.finish();
        shared.leave();
        let (mut outcomes, mut loads, mut stolen, mut agents) = (Vec::new(), Vec::new(), 0.0_f64, Vec::new());
        for (member, led) in self.members.iter().zip(led) {
            let Farewell { account, clock, lost } = led.join().expect("a thread that panics ends the program");
            if let Some(reason) = &lost {
                eprintln!("error: agent {} was lost: {reason}", member.address);
            }
            let drift = clock.map_or(0, |clock| {
                // What lies within both errors is no drift that could be told.
                let apart = clock.offset.abs_diff(member.clock.offset);
                apart.saturating_sub(clock.error + member.clock.error)
            });
            agents.push(AgentAccount {
                address: member.address.clone(),
                workers: self.workers,
                connections: member.connections,
                clock_error: member.clock.error,
                clock_drift: drift,
                lost,
            });
            outcomes.extend(account.outcomes);
            loads.extend(account.loads);
            stolen = stolen.max(account.stolen);
        }
        let interrupted = interrupted.load(Ordering::Relaxed);
        Ok(Run { timeline, begun, ramp_ns, outcomes, loads, samples, ramp, interrupted, stolen, broker, agents })
    }
}
