//! What so many connections ask of a host, and the command that mends what it lacks.

use std::fmt;

use crate::host;
use crate::text::{bytes, count};

/// Places of a table that are used: the rest is for connections that are on their way to their own shard, and for the
/// chance that one shard gets more than another.
const FULL: f64 = 0.94;
/// Memory of a connection: both sockets in the kernel, the broker's part, the client's.
const KERNEL_BYTES: u64 = 9_600;
const BROKER_BYTES: u64 = 1_000;
const CLIENT_BYTES: u64 = 200;
/// Memory that programs and the system take besides.
const SPARE_BYTES: u64 = 1 << 30;
/// Executors and rings of one shard.
const SHARD_BYTES: u64 = 12 << 20;
/// Descriptors of a shard besides its connections, and those of the program.
const SHARD_DESCRIPTORS: u64 = 16;
const OWN_DESCRIPTORS: u64 = 128;

/// Shards that hold so many connections on this host.
pub(super) fn shards(connections: u64) -> u64 {
    let places = host::descriptors().unwrap_or(1024).max(1);
    let wanted = (connections as f64 / (places as f64 * FULL)).ceil() as u64;
    wanted.max(host::cores() as u64)
}

/// What this host offers.
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    descriptors: u64,
    memory: Option<u64>,
    /// Open files of the whole host.
    files: Option<u64>,
    /// Connections that the firewall follows.
    tracked: Option<u64>,
    /// Whether io_uring is refused to this user.
    ring_refused: bool,
}

impl Offer {
    fn here() -> Self {
        Self {
            descriptors: host::descriptors().unwrap_or(1024),
            memory: host::memory_available(),
            files: host::number("/proc/sys/fs/file-max"),
            tracked: host::number("/proc/sys/net/netfilter/nf_conntrack_max"),
            ring_refused: host::number("/proc/sys/kernel/io_uring_disabled").is_some_and(|level| level > 0),
        }
    }
}

/// What was found.
#[derive(Debug)]
pub(super) struct Preflight {
    plan: String,
    /// What is missing, and what mends it.
    missing: Vec<(String, String)>,
}

impl Preflight {
    pub(super) fn new(connections: u64, shards: u64) -> Self {
        Self::with(connections, shards, Offer::here())
    }

    fn with(connections: u64, shards: u64, offer: Offer) -> Self {
        let mut missing = Vec::new();
        let memory = connections * (KERNEL_BYTES + BROKER_BYTES + CLIENT_BYTES) + shards * SHARD_BYTES + SPARE_BYTES;
        let own = shards * SHARD_DESCRIPTORS + OWN_DESCRIPTORS;
        if own > offer.descriptors {
            missing.push((
                format!("{} shards need {} descriptors, {} are allowed", shards, count(own as f64), offer.descriptors),
                "ulimit -n 65536, as root or with nofile raised in /etc/security/limits.conf".to_owned(),
            ));
        } else if (connections as f64) > shards as f64 * offer.descriptors as f64 {
            missing.push((
                format!(
                    "{} shards of {} descriptors each hold less than {} connections",
                    shards,
                    count(offer.descriptors as f64),
                    count(connections as f64)
                ),
                format!(
                    "ulimit -n {}, or --shards {}",
                    connections.div_ceil(shards) * 21 / 20,
                    self::shards(connections)
                ),
            ));
        }
        if let Some(free) = offer.memory.filter(|free| *free < memory) {
            let per_connection = KERNEL_BYTES + BROKER_BYTES + CLIENT_BYTES;
            let fit = free.saturating_sub(SPARE_BYTES + shards * SHARD_BYTES) / per_connection;
            missing.push((
                format!("{} of memory are needed, {} are free", bytes(memory as f64), bytes(free as f64)),
                format!("end other programs, or --connections {fit}"),
            ));
        }
        let sockets = 2 * connections + 10_000;
        if let Some(files) = offer.files.filter(|files| *files < sockets) {
            missing.push((
                format!("{} open files on this host, {} are allowed", count(sockets as f64), count(files as f64)),
                format!("sysctl -w fs.file-max={sockets}"),
            ));
        }
        if let Some(tracked) = offer.tracked.filter(|tracked| *tracked < sockets) {
            missing.push((
                format!("the firewall follows {} connections at most", count(tracked as f64)),
                format!("sysctl -w net.netfilter.nf_conntrack_max={sockets}"),
            ));
        }
        if offer.ring_refused {
            missing.push((
                "io_uring is refused, and millrace-load runs on nothing else".to_owned(),
                "sysctl -w kernel.io_uring_disabled=0".to_owned(),
            ));
        }
        let plan = format!(
            "{} connections to one process of {} shards; about {} of memory",
            count(connections as f64),
            shards,
            bytes(memory as f64)
        );
        Self { plan, missing }
    }

    pub(super) fn refuses(&self) -> bool {
        !self.missing.is_empty()
    }
}

impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.plan)?;
        for (what, remedy) in &self.missing {
            writeln!(f, "error: {what}\n  mend it:  {remedy}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer {
        descriptors: 20_000,
        memory: Some(22 << 30),
        files: Some(9_000_000),
        tracked: None,
        ring_refused: false,
    };

    #[test]
    fn a_million_fits_a_small_machine_with_many_shards() {
        assert!(!Preflight::with(1_000_000, 52, OFFER).refuses());
    }

    #[test]
    fn whatever_is_missing_is_named_with_its_remedy() {
        let poor = Offer {
            descriptors: 1024,
            memory: Some(4 << 30),
            files: Some(65_536),
            tracked: Some(262_144),
            ring_refused: true,
        };
        let text = Preflight::with(1_000_000, 52, poor).to_string();
        for part in [
            "ulimit -n",
            "--shards",
            "of memory are needed",
            "--connections ",
            "fs.file-max",
            "nf_conntrack_max",
            "io_uring_disabled",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let too_many = Preflight::with(1_000_000, 100, Offer { descriptors: 1024, ..OFFER }).to_string();
        assert!(too_many.contains("100 shards need 1,728 descriptors"), "{too_many}");
    }
}
