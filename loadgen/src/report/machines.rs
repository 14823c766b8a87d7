//! The agents of a run: who they were, how far their clocks can be trusted, and who was lost.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Report;
use super::saved::Saved;
use crate::format::{count, duration};
use crate::plan::Audience;

impl Report {
    /// How far apart two agents' times may be, in nanoseconds.
    fn clocks_apart(&self) -> u64 {
        let mut each: Vec<u64> = self.agents.iter().map(|agent| agent.clock_error + agent.clock_drift).collect();
        each.sort_unstable_by(|one, other| other.cmp(one));
        each.iter().take(2).sum()
    }

    /// Whether messages go from one machine to another, so that latencies need both clocks.
    fn crosses_machines(&self) -> bool {
        let crosses = |report: &Self| {
            report.plan.publishers > 0 && matches!(report.plan.audience, Audience::All | Audience::Group)
        };
        let strangers = |report: &Self| report.plan.scenario == "sub";
        let parts = || self.parts.iter().chain(self.parts.is_empty().then_some(self));
        self.agents.len() > 1 && parts().any(crosses) || !self.agents.is_empty() && parts().any(strangers)
    }

    /// How wrong latencies may be because of clocks; nothing if it does not matter.
    pub(super) fn clock_error(&self) -> Option<u64> {
        self.crosses_machines().then(|| self.clocks_apart())
    }

    pub(super) fn agents_json(&self) -> Value {
        if self.agents.is_empty() {
            return Value::Null;
        }
        let agent = |agent: &crate::agents::AgentAccount| {
            json!({
                "address": agent.address,
                "workers": agent.workers,
                "connections": agent.connections,
                "clock_error_ns": agent.clock_error,
                "clock_drift_ns": agent.clock_drift,
                "lost": agent.lost,
            })
        };
        json!({ "members": self.agents.iter().map(agent).collect::<Vec<_>>(), "latency_error_ns": self.clock_error() })
    }
}

impl Saved {
    pub(super) fn write_agents(&self, out: &mut String) -> std::fmt::Result {
        let Some(agents) = &self.agents else { return Ok(()) };
        for agent in &agents.members {
            write!(
                out,
                "  agent        {}  {} worker{}, {} connections, clock known to {}",
                agent.address,
                count(agent.workers),
                if agent.workers == 1 { "" } else { "s" },
                count(agent.connections),
                duration(agent.clock_error_ns)
            )?;
            if agent.clock_drift_ns > 0 {
                write!(out, ", drifted by {}", duration(agent.clock_drift_ns))?;
            }
            match &agent.lost {
                Some(reason) => writeln!(out, "  LOST: {reason}; what it did last is not in the account")?,
                None => writeln!(out)?,
            }
        }
        if let Some(error) = agents.latency_error_ns {
            writeln!(out, "    clocks     latencies between agents may be wrong by {}", duration(error))?;
        }
        Ok(())
    }
}
