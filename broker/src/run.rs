//! `millrace run`: starts the broker, says where it is, waits for signals, stops it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::difference::{self, Difference};
use crate::config::layers::{Inputs, Loaded, load};
use crate::config::sections::SinkConfig;
use crate::config::{Config, validate};
use crate::diagnostics::{Diagnostic, render_all};
use crate::exit::Exit;
use crate::logging::{self, LogControl};
use crate::out::say;
use crate::shutdown::{self, Request, STOP_TIMEOUT};
use crate::systemd::{self, Watchdog};
use crate::wiring::{Broker, Facts};

/// Version and commit.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("MILLRACE_COMMIT"), ")");

/// Of [`STOP_TIMEOUT`], kept for what comes after the broker has stopped.
const STOP_RESERVE: Duration = Duration::from_secs(1);

/// Runs the verb.
#[must_use]
pub fn run(inputs: &Inputs, loaded: Loaded) -> Exit {
    let started = Instant::now();
    let begun = logging::start(&loaded.config.log).and_then(|log| Ok((log, shutdown::requests()?)));
    let (log, requests) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let message = format!("cannot start to log and to listen to signals: {error}");
            eprint!("{}", render_all(&[Diagnostic::error("H0005", message)], "nothing was started"));
            return Exit::Failed;
        }
    };
    let broker = match Broker::start(&loaded.config) {
        Ok(broker) => broker,
        Err(diagnostics) => {
            logging::flush();
            eprint!("{}", render_all(&diagnostics, "nothing was started"));
            return Exit::Failed;
        }
    };
    announce(&loaded.config, broker.facts(), started.elapsed());
    let watchdog = Watchdog::start(broker.pulse());
    let mut running = loaded.config;
    let signal = loop {
        match requests.recv() {
            Ok(Request::Reload) => reload(inputs, &mut running, &broker, &log),
            Ok(Request::Stop(signal)) => break signal,
            // The thread that listens lives as long as the process.
            Err(_) => break "the end of the signal thread",
        }
    };
    systemd::stopping();
    tracing::info!(event = "stopping", signal, seconds = STOP_TIMEOUT.as_secs(), "stopping within the bound");
    shutdown::bound(STOP_TIMEOUT);
    drop(watchdog);
    let stopping = Instant::now();
    broker.stop(STOP_TIMEOUT - STOP_RESERVE);
    tracing::info!(event = "stopped", milliseconds = stopping.elapsed().as_millis() as u64, "stopped");
    logging::flush();
    Exit::Done
}

fn announce(config: &Config, facts: &Facts, took: Duration) {
    say(&banner(config, facts, took));
    for (name, address) in &facts.addresses {
        tracing::info!(event = "listener-open", listener = name.as_str(), address = %address, "listening");
        if !address.ip().is_loopback() {
            tracing::warn!(
                event = "listener-anonymous",
                listener = name.as_str(),
                address = %address,
                "anyone who reaches this address may publish and subscribe"
            );
        }
    }
    systemd::ready(&format!("{} shards, {} listeners", facts.shards, facts.addresses.len()));
}

/// What a person sees first.
fn banner(config: &Config, facts: &Facts, took: Duration) -> String {
    let mut text = format!("millrace {VERSION} ready in {:.2} s\n", took.as_secs_f64());
    // Writing to a String cannot fail, here and below.
    let width = facts.addresses.iter().map(|(_, address)| address.to_string().len()).max().unwrap_or(0);
    for (name, address) in &facts.addresses {
        let open = match address.ip().is_loopback() {
            true => "anonymous, loopback only",
            false => "anonymous: anyone who reaches it may publish",
        };
        let name = if facts.addresses.len() > 1 { format!("   listeners.{name}") } else { String::new() };
        let _ = writeln!(text, "  mqtt  {:width$}   {open}{name}", address.to_string());
    }
    let _ = write!(text, "  {} on {}", counted(usize::from(facts.shards), "shard"), facts.engine);
    if facts.connections_max > 0 {
        let _ = write!(
            text,
            ", up to {} connections (descriptor limit {} a shard; `millrace doctor` says how to raise it)",
            grouped(facts.connections_max),
            grouped(facts.descriptors)
        );
    }
    text.push('\n');
    if let Some(reason) = &facts.fallback {
        let _ =
            writeln!(text, "  {reason}, so it runs on epoll, at a higher cost a message (`millrace explain H0003`)");
    }
    let rules: Vec<_> = config.rules.iter().filter(|(_, rule)| rule.enabled).collect();
    let _ = write!(text, "  {}, {}", counted(rules.len(), "rule"), counted(config.sinks.len(), "sink"));
    let demo = rules.iter().find(|(name, rule)| *name == "demo" && **rule == crate::config::sections::demo_rule());
    if let (Some(_), Some(SinkConfig::Sqlite(sqlite))) = (demo, config.sinks.get("local")) {
        let _ = write!(text, "; rows of demo/# go to {}", config.data_dir.join(&sqlite.file).display());
    }
    text.push('\n');
    if demo.is_some()
        && let Some((_, address)) = facts.addresses.first()
    {
        let _ = writeln!(text, "try: millrace pub{} -t demo/a -m '{{\"t\":21.5}}'", target(*address));
    }
    text
}

/// Where `millrace pub` must look, if not where it does by itself.
fn target(address: SocketAddr) -> String {
    let mut text = String::new();
    if !address.ip().is_unspecified() && address.ip() != std::net::Ipv4Addr::LOCALHOST {
        let _ = write!(text, " -h {}", address.ip());
    }
    if address.port() != 1883 {
        let _ = write!(text, " -p {}", address.port());
    }
    text
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `39800` as `39,800`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All or nothing: what does not hold leaves the broker as it is.
fn reload(inputs: &Inputs, running: &mut Config, broker: &Broker, log: &LogControl) {
    systemd::reloading();
    match load(inputs).and_then(|loaded| apply(&loaded, running, broker).map(|difference| (loaded, difference))) {
        Ok((loaded, difference)) => {
            log.set(&running.log);
            eprint!("{}", render_all(&loaded.warnings, ""));
            eprintln!("{}", difference.render());
            tracing::info!(
                event = "config-reloaded",
                added = difference.added.len(),
                changed = difference.changed.len(),
                removed = difference.removed.len(),
                restart = difference.restart.len(),
                "the config was read again"
            );
        }
        Err(diagnostics) => {
            eprint!("{}", render_all(&diagnostics, "the broker runs on with the config that it has"));
            tracing::error!(
                event = "config-reload-failed",
                code = "C0113",
                errors = validate::errors(&diagnostics),
                "the config does not hold; the broker runs on with the one that it has"
            );
        }
    }
    systemd::ready("running");
}

/// What of a config applies live holds from now on, or nothing does.
fn apply(loaded: &Loaded, running: &mut Config, broker: &Broker) -> Result<Difference, Vec<Diagnostic>> {
    let live = difference::with_live(running, &loaded.config);
    broker.reload(&live)?;
    let difference = Difference::between(running, &loaded.config);
    *running = live;
    Ok(difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(addresses: &[(&str, &str)]) -> Facts {
        let addresses =
            addresses.iter().map(|(name, address)| ((*name).to_owned(), address.parse().expect("it is one"))).collect();
        Facts { engine: "io_uring", fallback: None, addresses, shards: 2, connections_max: 39_800, descriptors: 20_000 }
    }

    #[test]
    fn the_first_lines_say_where_everything_is() {
        let text = banner(&Config::default(), &facts(&[("default", "127.0.0.1:1883")]), Duration::from_millis(210));
        let expected = format!(
            "millrace {VERSION} ready in 0.21 s\n  mqtt  127.0.0.1:1883   anonymous, loopback only\n  2 shards on io_uring, \
             up to 39,800 connections (descriptor limit 20,000 a shard; `millrace doctor` says how to raise it)\n  1 rule, \
             1 sink; rows of demo/# go to data/demo.sqlite\ntry: millrace pub -t demo/a -m '{{\"t\":21.5}}'\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn other_ports_and_open_addresses_are_said() {
        let facts = facts(&[("default", "127.0.0.1:18830"), ("wide", "0.0.0.0:1884")]);
        let text = banner(&Config::default(), &facts, Duration::ZERO);
        assert!(text.contains("  mqtt  127.0.0.1:18830   anonymous, loopback only   listeners.default\n"), "{text}");
        assert!(text.contains("  mqtt  0.0.0.0:1884      anonymous: anyone who reaches it may publish"), "{text}");
        assert!(text.ends_with("try: millrace pub -p 18830 -t demo/a -m '{\"t\":21.5}'\n"), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_014_000, "1,014,000")] {
            assert_eq!(grouped(number), text);
        }
    }
}
