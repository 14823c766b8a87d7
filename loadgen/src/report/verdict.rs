//! Whether the broker was measured, or the load tool and its host.
//!
//! A run is `limited by the load tool` if one of these is so, each in the measured time:
//! - a worker's thread ran for over 90 % of it: what it reports as the broker's pace or latency may be its own;
//! - a worker that was ready to run waited for a processor for over 10 % of it: others on this host took its time;
//! - what could have been sent was sent over 1 ms late at the 99th percentile: the schedule was not kept by us (what
//!   waits for the broker, for a full socket or a full window, is not counted here);
//! - the hypervisor took over 5 % of the processors' time: every figure contains waits that nobody on this host caused;
//! - messages went from one agent to another, and their clocks are known to no better than 1 ms.

use super::Report;
use crate::format::duration;

const BUSY_MAX: f64 = 0.90;
const WAITED_MAX: f64 = 0.10;
const LAG_P99_MAX_NS: u64 = 1_000_000;
const CLOCKS_APART_MAX_NS: u64 = 1_000_000;
const STOLEN_MAX: f64 = 0.05;

/// What speaks against the run; nothing if it is valid.
pub(super) fn limits(report: &Report) -> Vec<String> {
    let lag = report.latencies.lag.value_at_quantile(0.99);
    let mut reasons = judge(report.tool.busiest(), report.tool.longest_wait(), lag, report.tool.stolen);
    if let Some(error) = report.clock_error().filter(|error| *error > CLOCKS_APART_MAX_NS) {
        reasons.push(format!("clocks of agents are {} apart, perhaps", duration(error)));
    }
    reasons
}

fn judge(busiest: f64, waited: f64, lag_p99: u64, stolen: f64) -> Vec<String> {
    let mut reasons = Vec::new();
    if busiest > BUSY_MAX {
        reasons.push(format!("a worker was busy for {:.0} % of its time", busiest * 100.0));
    }
    if waited > WAITED_MAX {
        reasons.push(format!("a worker waited {:.0} % of its time for a processor", waited * 100.0));
    }
    if lag_p99 > LAG_P99_MAX_NS {
        reasons.push(format!("send lag p99 {}", duration(lag_p99)));
    }
    if stolen > STOLEN_MAX {
        reasons.push(format!("the hypervisor took {:.0} % of the processors", stolen * 100.0));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_valid_while_nothing_of_ours_is_in_the_way() {
        assert!(judge(0.89, 0.09, 31_000, 0.01).is_empty());
    }

    #[test]
    fn each_limit_of_ours_is_named() {
        for (busy, waited, lag, stolen, word) in [
            (0.97, 0.0, 0, 0.0, "busy for 97 %"),
            (0.1, 0.3, 0, 0.0, "waited 30 %"),
            (0.1, 0.0, 2_000_000, 0.0, "send lag p99 2.0 ms"),
            (0.1, 0.0, 0, 0.2, "hypervisor"),
        ] {
            let reasons = judge(busy, waited, lag, stolen);
            assert_eq!(reasons.len(), 1);
            assert!(reasons[0].contains(word), "{reasons:?}");
        }
    }
}
