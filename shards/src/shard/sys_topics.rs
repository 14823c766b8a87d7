//! `$SYS` topics: what the first shard publishes about the whole broker.
//!
//! `$SYS/brokers/{node}/…`: version, uptime, datetime, sysdescr, and below `stats/` and `metrics/` each gauge and
//! counter by its name. They are retained, so that a subscriber sees the last values at once.

use millrace_core::message::{Lazy, MessageHead, MessageView};
use millrace_core::metrics::{Counter, Gauge};
use millrace_core::packet::QoS;
use millrace_core::time::{Millis, civil};

use super::Shard;
use super::route::Origin;

/// Name of this node in topics and events.
pub(super) const NODE: &str = "millrace@127.0.0.1";

/// When they were published last.
#[derive(Default)]
pub(super) struct SysTopics {
    next: Millis,
}

impl Shard {
    pub(super) fn on_sys_second(&mut self) {
        let interval = self.config.sys.interval.0;
        let now = self.now.monotonic;
        if self.id.0 != 0 || interval.is_zero() || self.sys.next > now {
            return;
        }
        self.sys.next = now.after(interval);
        let counters = self.shared.counters();
        self.publish_sys("$SYS/brokers", NODE);
        let root = format!("$SYS/brokers/{NODE}");
        let uptime = now.since(self.shared.started.monotonic).as_secs();
        self.publish_sys(&format!("{root}/version"), env!("CARGO_PKG_VERSION"));
        self.publish_sys(&format!("{root}/sysdescr"), "Millrace");
        self.publish_sys(&format!("{root}/uptime"), &uptime.to_string());
        self.publish_sys(&format!("{root}/datetime"), &rfc3339(self.now.unix));
        for gauge in Gauge::ALL {
            let topic = format!("{root}/stats/{}", gauge.name());
            self.publish_sys(&topic, &counters.gauge(*gauge).to_string());
        }
        for counter in Counter::ALL {
            let topic = format!("{root}/metrics/{}", counter.name());
            self.publish_sys(&topic, &counters.get(*counter).to_string());
        }
    }

    fn publish_sys(&mut self, topic: &str, payload: &str) {
        let head = MessageHead { qos: QoS::AtMostOnce, retain: true, expires_at: Millis::NEVER, publisher: 0 };
        self.counters.add(Counter::MessagesOriginatedSys, 1);
        let view = MessageView { head, topic, properties: &[], payload: payload.as_bytes() };
        self.publish_now(&Lazy::new(view), Origin::Elsewhere);
    }
}

/// A wall-clock time as `2026-01-31T23:59:59Z`.
fn rfc3339(unix: Millis) -> String {
    let seconds = unix.0 / 1000;
    let of_day = seconds % 86_400;
    let (year, month, day) = civil((seconds / 86_400) as i64);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Millis(951_782_400_000)), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(Millis(1_798_761_599_999)), "2026-12-31T23:59:59Z");
    }
}
