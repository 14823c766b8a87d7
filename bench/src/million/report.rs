//! What came out: memory for each connection, the ramp, what was delivered and how late.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::host;
use crate::text::{bytes, count, duration};

/// Process memory of a connection that is promised, where there are enough of them for what a broker takes by itself not
/// to count.
const BYTES_MAX: f64 = 1000.0;
const MANY: u64 = 50_000;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) connections: u64,
    pub(super) shards: u64,
    pub(super) rate: u64,
    pub(super) ramp: Duration,
    /// Resident memory of the broker before the first connection, with all of them, and after the messages.
    pub(super) empty: u64,
    pub(super) full: u64,
    pub(super) busy: u64,
    /// What the kernel took.
    pub(super) kernel: u64,
    /// Reports of the load tool.
    pub(super) clients: Value,
    pub(super) publishers: Value,
}

impl Report {
    fn per_connection(&self) -> f64 {
        self.full.saturating_sub(self.empty) as f64 / self.connections as f64
    }

    fn number(report: &Value, path: &str) -> f64 {
        report.pointer(path).and_then(Value::as_f64).unwrap_or_default()
    }

    fn ready(&self) -> f64 {
        Self::number(&self.clients, "/connections/ready")
    }

    fn sent(&self) -> f64 {
        Self::number(&self.publishers, "/messages/sent")
    }

    fn received(&self) -> f64 {
        Self::number(&self.clients, "/messages/received")
    }

    /// Whether all connected, stayed, and got everything, within the memory that is promised.
    pub(super) fn holds(&self) -> bool {
        self.ready() == self.connections as f64
            && Self::number(&self.clients, "/connections/dropped") == 0.0
            && self.sent() > 0.0
            && self.received() == self.sent()
            && (self.connections < MANY || self.per_connection() <= BYTES_MAX)
    }

    pub(super) fn json(&self) -> Value {
        let mut clients = self.clients.clone();
        // A line for each second of the ramp and the hold says nothing here.
        if let Some(object) = clients.as_object_mut() {
            object.remove("series");
        }
        json!({
            "schema": "millrace-million/1",
            "machine": host::json(),
            "connections": self.connections,
            "shards": self.shards,
            "rate_per_s": self.rate,
            "ramp_ns": self.ramp.as_nanos() as u64,
            "broker_rss_bytes": { "empty": self.empty, "full": self.full, "after_messages": self.busy },
            "broker_bytes_per_connection": self.per_connection().round(),
            "kernel_bytes": self.kernel,
            "sent": self.sent(),
            "received": self.received(),
            "holds": self.holds(),
            "clients": clients,
            "publishers": self.publishers,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = |name: &str| duration(Self::number(&self.clients, &format!("/latency/delivery/{name}_ns")));
        let connections = self.connections as f64;
        writeln!(f, "machine      {}", host::describe())?;
        writeln!(
            f,
            "connections  {} of {} in one process of {} shards, {} dropped",
            count(self.ready()),
            count(connections),
            self.shards,
            count(Self::number(&self.clients, "/connections/dropped"))
        )?;
        writeln!(
            f,
            "ramp         {} a second, each with a subscription ({:.1} s)",
            count(Self::number(&self.clients, "/connections/per_s")),
            Self::number(&self.clients, "/connections/ramp_ns") / 1e9
        )?;
        writeln!(
            f,
            "memory       {:.0} B of process memory for each: {} after, {} before, {} after the messages",
            self.per_connection(),
            bytes(self.full as f64),
            bytes(self.empty as f64),
            bytes(self.busy as f64)
        )?;
        writeln!(
            f,
            "kernel       {} for each, both ends on this machine ({} in all)",
            bytes(self.kernel as f64 / connections),
            bytes(self.kernel as f64)
        )?;
        writeln!(
            f,
            "messages     {} sent at {} a second to random clients, {} received, {} lost",
            count(self.sent()),
            count(self.rate as f64),
            count(self.received()),
            count(self.sent() - self.received())
        )?;
        writeln!(
            f,
            "latency      p50 {}, p99 {}, p99.9 {}, max {}",
            latency("p50"),
            latency("p99"),
            latency("p99_9"),
            latency("max")
        )?;
        writeln!(
            f,
            "verdict      {}",
            match (self.holds(), self.connections < MANY) {
                (false, _) => "FAILED",
                (true, true) => "holds: all connected and stayed, every message came",
                (true, false) => "holds: all connected and stayed, every message came, at most 1,000 bytes each",
            }
        )
    }
}
