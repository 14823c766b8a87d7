//! Before a run: whether this host has the ports, descriptors and memory for it, and the command that mends it if not.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::format::{bytes, count, many};
use crate::plan::{Pace, Plan};
use crate::run_plan::RunPlan;
use crate::{host, sys};

/// Connections from one source address to one destination port up to which connect() stays quick.
pub(crate) const COMFORTABLE: u64 = 14_000;
/// What a connection costs: ours, and the kernel's socket and receive.
const CONNECTION_BYTES: u64 = 150;
const PUBLISHER_BYTES: u64 = 200;
const KERNEL_BYTES: u64 = 4_800;

/// What this host offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// Local ports that connect may choose from.
    pub(crate) ports: (u32, u32),
    /// Open files of a process, and slots of a table of direct descriptors.
    pub(crate) descriptors: u64,
    pub(crate) memory: Option<u64>,
}

impl Offer {
    pub(crate) fn here() -> Self {
        Self { ports: host::port_range(), descriptors: sys::raise_file_limit(), memory: host::memory_available() }
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Preflight {
    offer: Offer,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Preflight {
    /// Looks at this host, and fits the plan to it where the plan leaves a choice.
    pub(crate) fn new(plan: &mut RunPlan, workers_given: bool) -> Self {
        Self::with(plan, workers_given, Offer::here())
    }

    fn with(plan: &mut RunPlan, workers_given: bool, offer: Offer) -> Self {
        let mut found = Self { offer, errors: Vec::new(), warnings: Vec::new() };
        spread(plan);
        found.check_descriptors(plan, workers_given);
        found.check_ports(plan);
        found.check_memory(plan);
        found
    }

    pub(crate) fn refuses(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Errors and warnings in words; empty if there is nothing to say.
    pub(crate) fn findings(&self) -> String {
        let mut out = String::new();
        for error in &self.errors {
            let _ = writeln!(out, "error{error}");
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "warning{warning}");
        }
        out
    }

    /// The plan in words.
    pub(crate) fn describe(&self, plan: &RunPlan) -> String {
        let mut out = String::new();
        let whole = &plan.whole;
        let connections = u64::from(whole.connections());
        let _ = writeln!(
            out,
            "{}  {}{}, {}, MQTT {}",
            whole.scenario,
            many(whole.connections(), "connection"),
            clients(whole),
            many(whole.workers, "worker"),
            whole.identity.version
        );
        let targets: Vec<String> = whole.ramp.targets.iter().map(SocketAddr::to_string).collect();
        let _ = writeln!(out, "  to         {}", targets.join(", "));
        let _ = writeln!(
            out,
            "  from       {}, at most {} connections each to one of them",
            match whole.ramp.sources.as_slice() {
                [] => "an address of the kernel's choice".to_owned(),
                [one] => one.to_string(),
                [first, .., last] => format!("{} addresses, {first} to {last}", whole.ramp.sources.len()),
            },
            count(per_pair(plan))
        );
        for part in &plan.parts {
            if plan.is_mixed() {
                let _ = writeln!(
                    out,
                    "  {:<10} {}, {}{}",
                    part.name,
                    part.scenario,
                    many(part.connections(), "connection"),
                    clients(part)
                );
            }
            describe_messages(part, &mut out);
        }
        let _ = writeln!(
            out,
            "  memory     about {} here, {} in the kernel",
            bytes(own_bytes(plan)),
            bytes(connections * KERNEL_BYTES)
        );
        out
    }

    /// The plan of a run on other machines in words.
    pub(crate) fn describe_shared(plan: &RunPlan) -> String {
        let whole = &plan.whole;
        let mut out = format!(
            "{}  {}{}, {} in all, MQTT {}\n",
            whole.scenario,
            many(whole.connections(), "connection"),
            clients(whole),
            many(whole.workers, "worker"),
            whole.identity.version
        );
        plan.parts.iter().for_each(|part| describe_messages(part, &mut out));
        out
    }

    fn check_descriptors(&mut self, plan: &mut RunPlan, workers_given: bool) {
        let connections = u64::from(plan.local_connections());
        // Rings, standard streams, and sockets on their way into a table.
        let own = 32 + 4 * u64::from(plan.local_workers());
        let limit = self.offer.descriptors;
        if limit <= own {
            self.errors.push(format!(
                "[L0005]: {} descriptors are allowed, {} are needed besides connections\n  mend it:         ulimit -n 65536",
                count(limit),
                count(own)
            ));
            return;
        }
        let needed = connections.div_ceil(limit).max(1) as u32;
        if plan.local_workers() >= needed {
            return;
        }
        if workers_given {
            self.errors.push(format!(
                "[L0005]: {} connections on {} workers, but a table of descriptors has {} places at most\n  \
                 more workers:    --workers {needed}\n  or more places:  ulimit -n {}",
                count(connections),
                plan.local_workers(),
                count(limit),
                connections.div_ceil(plan.local_workers().into())
            ));
        } else {
            plan.set_workers(needed);
        }
    }

    fn check_ports(&mut self, plan: &RunPlan) {
        let (low, high) = self.offer.ports;
        let ports = u64::from(high - low + 1);
        let each = per_pair(plan);
        let ramp = &plan.whole.ramp;
        let target = ramp.targets[0];
        let sources = match ramp.sources.len() {
            0 | 1 => "one source address".to_owned(),
            many => format!("each of {many} source addresses"),
        };
        let wanted = u64::from(plan.local_connections()).div_ceil(ramp.targets.len() as u64).div_ceil(COMFORTABLE);
        if each > ports {
            let mut text = format!(
                "[L0004]: {} connections from {sources} to {target}, but only {} local ports are free",
                count(each),
                count(ports)
            );
            let _ = write!(text, "\n  add addresses:   --ifaddr {}", example(target, wanted));
            if each <= 64_512 {
                text.push_str("\n  or more ports:   sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"");
            }
            self.errors.push(text);
        } else if each > COMFORTABLE {
            self.warnings.push(format!(
                "[L0006]: {} connections from {sources} to {target}; over {} connect() becomes slow\n  \
                 add addresses:   --ifaddr {}",
                count(each),
                count(COMFORTABLE),
                example(target, wanted)
            ));
        }
    }

    fn check_memory(&mut self, plan: &RunPlan) {
        let needed = own_bytes(plan) + u64::from(plan.local_connections()) * KERNEL_BYTES;
        if let Some(free) = self.offer.memory
            && needed > free
        {
            self.errors.push(format!(
                "[L0007]: about {} of memory are needed for {} connections, {} are free\n  mend it:         fewer \
                 connections on this machine",
                bytes(needed),
                count(plan.local_connections().into()),
                bytes(free)
            ));
        }
    }
}

/// How the clients of a plan are divided, in words.
fn clients(plan: &Plan) -> String {
    let clients = match (plan.subscribers, plan.publishers) {
        (subscribers @ 1.., publishers @ 1..) => {
            format!(" ({}, {})", many(subscribers, "subscriber"), many(publishers, "publisher"))
        }
        _ => String::new(),
    };
    match plan.idle {
        0 => clients,
        idle => format!("{clients} of which {} only stay", count(idle.into())),
    }
}

fn describe_messages(plan: &Plan, out: &mut String) {
    if plan.publishers == 0 {
        return;
    }
    let size = plan.payload.len() as u64;
    let _ = match plan.pace {
        Pace::Open(rate) => {
            let seconds = (plan.warm_up + plan.duration).as_secs_f64();
            let messages = plan.limit.unwrap_or(u64::MAX).min((rate * seconds) as u64);
            writeln!(
                out,
                "  messages   {} of {size} B at {}/s, open loop: {} payload out, {} deliveries",
                count(messages),
                count(rate as u64),
                bytes(messages * size),
                count(messages * plan.copies())
            )
        }
        Pace::Closed => {
            let window =
                plan.window.map_or("no bound".to_owned(), |window| format!("{} under way each", count(window.into())));
            writeln!(out, "  messages   of {size} B as fast as they are taken, {window}, closed loop")
        }
    };
}

/// On loopback source addresses cost nothing: as many as the connections want.
fn spread(plan: &mut RunPlan) {
    let ramp = &plan.whole.ramp;
    let loopback = ramp.targets.iter().all(|target| matches!(target.ip(), IpAddr::V4(v4) if v4.is_loopback()));
    if loopback && ramp.sources.is_empty() && per_pair(plan) > COMFORTABLE {
        let targets = ramp.targets.len() as u64;
        let wanted = u64::from(plan.local_connections()).div_ceil(targets).div_ceil(COMFORTABLE);
        let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
        let sources: Vec<IpAddr> = (0..wanted as u32).map(|at| IpAddr::V4(Ipv4Addr::from(first + at))).collect();
        plan.set_sources(&sources);
    }
}

/// The most connections that one source address has to one destination port.
fn per_pair(plan: &RunPlan) -> u64 {
    let ramp = &plan.whole.ramp;
    let sources = ramp.sources.len().max(1) as u64;
    let each = u64::from(plan.local_connections()).div_ceil(sources);
    each.div_ceil(ramp.targets.len() as u64)
}

fn own_bytes(plan: &RunPlan) -> u64 {
    let rings = (64 << 20) + u64::from(plan.local_workers()) * (1 << 20);
    plan.parts.iter().map(|part| accounts(part)).sum::<u64>() + rings
}

fn accounts(plan: &Plan) -> u64 {
    let streams = u64::from(plan.subscribers).min(1_000_000)
        * if plan.copies() > 1 { u64::from(plan.publishers) } else { 1 }
        * 56;
    let accounts = if plan.publishers > 0 { streams } else { 0 };
    u64::from(plan.connections()) * CONNECTION_BYTES + u64::from(plan.publishers) * PUBLISHER_BYTES + accounts
}

/// So many addresses, as they could be typed.
fn example(target: SocketAddr, wanted: u64) -> String {
    let wanted = wanted.clamp(2, 16_000) as u32;
    match target.ip() {
        IpAddr::V4(v4) if v4.is_loopback() => {
            let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
            format!("127.0.0.2-{}      (loopback needs no setup)", Ipv4Addr::from(first + wanted - 1))
        }
        _ => format!("FIRST-LAST      ({wanted} addresses of this host; ip address add ADDRESS dev INTERFACE)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;
    use crate::scenario;

    const OFFER: Offer = Offer { ports: (32_768, 60_999), descriptors: 20_000, memory: Some(24 << 30) };

    fn found(arguments: &[&str], offer: Offer) -> (RunPlan, Preflight) {
        let scenario = parse(arguments).expect("legal");
        let mut plan = scenario::run_plan(&scenario, 7, &crate::files::Files::default()).expect("legal");
        let given = scenario.common().connect.workers.is_some();
        let found = Preflight::with(&mut plan, given, offer);
        (plan, found)
    }

    #[test]
    fn few_connections_leave_nothing_to_say() {
        let (_, found) = found(&["pairs"], OFFER);
        assert_eq!((found.findings().as_str(), found.refuses()), ("", false));
    }

    #[test]
    fn loopback_is_spread_without_being_asked() {
        let (plan, found) = found(&["conn", "-c", "60k"], OFFER);
        assert!(!found.refuses());
        assert_eq!(plan.whole.ramp.sources.len(), 5);
        assert!(per_pair(&plan) <= COMFORTABLE);
        assert_eq!(plan.whole.workers, 3, "20,000 descriptors a table");
    }

    #[test]
    fn too_few_ports_are_told_with_both_remedies() {
        let (_, found) = found(&["conn", "-c", "60k", "-h", "192.0.2.1"], OFFER);
        assert!(found.refuses());
        let text = found.findings();
        for part in ["L0004", "60,000", "28,232", "--ifaddr", "ip_local_port_range"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_crowded_address_is_a_warning() {
        let (_, found) = found(&["conn", "-c", "20k", "-h", "192.0.2.1"], OFFER);
        assert!(!found.refuses() && found.findings().contains("L0006"), "{}", found.findings());
    }

    #[test]
    fn workers_that_cannot_hold_the_connections_are_told_how_many_could() {
        let (_, found) = found(&["conn", "-c", "50k", "--workers", "2"], OFFER);
        assert!(found.refuses() && found.findings().contains("--workers 3"), "{}", found.findings());
    }

    #[test]
    fn memory_that_is_not_there_is_refused() {
        let (_, found) = found(&["conn", "-c", "1m"], Offer { memory: Some(1 << 30), ..OFFER });
        assert!(found.refuses() && found.findings().contains("L0007"));
    }

    #[test]
    fn a_million_connections_fit_one_machine() {
        let (plan, found) = found(&["conn", "-c", "1m"], OFFER);
        assert!(!found.refuses(), "{}", found.findings());
        assert_eq!((plan.whole.workers, plan.whole.ramp.sources.len()), (50, 72));
        assert!(per_pair(&plan) <= COMFORTABLE);
        assert!(found.describe(&plan).contains("1,000,000 connections"));
    }
}
