//! The command line: scenarios as subcommands, each with the options that make sense for it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use millrace_core::packet::{ProtocolVersion, QoS};

use crate::exit::Exit;
use crate::expect::Expectation;
use crate::format::{parse_count, parse_millis, parse_rate, parse_seconds, parse_size, parse_some};
use crate::host::BrokerWatch;
use crate::preflight::Preflight;
use crate::progress::{Progress, Style};
use crate::report::Report;
use crate::{control, scenario};

/// A swarm of MQTT clients that measures a broker.
#[derive(Debug, Parser)]
#[command(name = "millrace-load", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done and every --expect held, 1 could not run, 2 usage, 99 an --expect did not \
                        hold, 130 interrupted.")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

/// What is done to the broker.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Open connections at a held rate and keep them
    #[command(disable_help_flag = true)]
    Conn(ConnOptions),
    /// Publish, with no subscriber of ours
    #[command(disable_help_flag = true)]
    Pub(PubOptions),
    /// Subscribe and account for what other runs publish
    #[command(disable_help_flag = true)]
    Sub(SubOptions),
    /// Each publisher has one subscriber of its own
    #[command(disable_help_flag = true)]
    Pairs(PairsOptions),
    /// Many publishers to few subscribers, who get everything
    #[command(disable_help_flag = true)]
    FanIn(FanOptions),
    /// Few publishers to many subscribers, who get everything
    #[command(disable_help_flag = true)]
    FanOut(FanOptions),
    /// Many publishers to a group that shares one subscription
    #[command(disable_help_flag = true)]
    Shared(FanOptions),
    /// Messages are retained, then all subscribers subscribe at once
    #[command(disable_help_flag = true)]
    Retained(RetainedOptions),
    /// All connections are dropped at once and return
    #[command(disable_help_flag = true)]
    Reconnect(ReconnectOptions),
    /// Subscribers leave, messages are sent, subscribers return to their sessions and get them
    #[command(disable_help_flag = true)]
    Offline(OfflineOptions),
}

/// Connections that only stay.
#[derive(Args, Debug)]
pub(crate) struct ConnOptions {
    /// Connections
    #[arg(long, short = 'c', default_value = "200", value_parser = parse_some)]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Publishers alone.
#[derive(Args, Debug)]
pub(crate) struct PubOptions {
    /// Publishers
    #[arg(long, short = 'c', default_value = "200", value_parser = parse_some)]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) messages: MessageOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Subscribers alone.
#[derive(Args, Debug)]
pub(crate) struct SubOptions {
    /// Subscribers
    #[arg(long, short = 'c', default_value = "200", value_parser = parse_some)]
    pub(crate) count: u32,
    /// Topic Filter; %c client id, %i number, %u user name
    #[arg(long, short = 't')]
    pub(crate) topic: String,
    /// QoS asked for
    #[arg(long, short = 'q', default_value = "0", value_parser = qos)]
    pub(crate) qos: QoS,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Pairs.
#[derive(Args, Debug)]
pub(crate) struct PairsOptions {
    /// Pairs of one publisher and one subscriber
    #[arg(long, short = 'c', default_value = "200", value_parser = parse_some)]
    pub(crate) pairs: u32,
    #[command(flatten)]
    pub(crate) messages: MessageOptions,
    #[command(flatten)]
    pub(crate) receive: ReceiveOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Publishers and subscribers in different numbers.
#[derive(Args, Debug)]
pub(crate) struct FanOptions {
    /// Publishers; without it 50, for fan-out 1
    #[arg(long, value_parser = parse_some)]
    pub(crate) pubs: Option<u32>,
    /// Subscribers; without it 1 for fan-in, 500 for fan-out, 10 for shared
    #[arg(long, value_parser = parse_some)]
    pub(crate) subs: Option<u32>,
    /// What subscribers subscribe to, if --topic does not say it
    #[arg(long)]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) messages: MessageOptions,
    #[command(flatten)]
    pub(crate) receive: ReceiveOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Retained messages, and a storm of subscribers.
#[derive(Args, Debug)]
pub(crate) struct RetainedOptions {
    /// Retained messages, each on a topic of its own; they are taken back at the end
    #[arg(long, default_value = "1000", value_parser = parse_some)]
    pub(crate) topics: u32,
    /// Publishers that retain them
    #[arg(long, default_value = "10", value_parser = parse_some)]
    pub(crate) pubs: u32,
    /// Subscribers, each of whom gets all of them
    #[arg(long, default_value = "100", value_parser = parse_some)]
    pub(crate) subs: u32,
    #[command(flatten)]
    pub(crate) ahead: AheadOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// A storm of reconnects.
#[derive(Args, Debug)]
pub(crate) struct ReconnectOptions {
    /// Connections
    #[arg(long, short = 'c', default_value = "200", value_parser = parse_some)]
    pub(crate) count: u32,
    /// Topic Filter that each subscribes to, again if its session was not kept; %c client id, %i number
    #[arg(long, short = 't')]
    pub(crate) topic: Option<String>,
    /// QoS asked for
    #[arg(long, short = 'q', default_value = "0", value_parser = qos)]
    pub(crate) qos: QoS,
    /// How often all are dropped
    #[arg(long, default_value = "1", value_parser = parse_some)]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Sessions in which messages wait.
#[derive(Args, Debug)]
pub(crate) struct OfflineOptions {
    /// Pairs of one publisher and one subscriber
    #[arg(long, short = 'c', default_value = "200", value_parser = parse_some)]
    pub(crate) pairs: u32,
    /// Messages for each subscriber while it is away; brokers bound what a session may hold
    #[arg(long, default_value = "100", value_parser = parse_some)]
    pub(crate) each: u32,
    #[command(flatten)]
    pub(crate) ahead: AheadOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Messages that are sent before somebody comes for them.
#[derive(Args, Debug)]
#[command(next_help_heading = "Messages")]
pub(crate) struct AheadOptions {
    /// QoS, 1 or 2
    #[arg(long, short = 'q', default_value = "1", value_parser = qos)]
    pub(crate) qos: QoS,
    /// Payload size, such as 64 or 4KiB
    #[arg(long, short = 's', default_value = "256", value_parser = parse_size)]
    pub(crate) size: usize,
    /// Messages of one publisher that are not acknowledged
    #[arg(long, short = 'F', default_value = "20", value_parser = parse_some)]
    pub(crate) inflight: u32,
}

/// How the receiving side differs from the sending one.
#[derive(Args, Debug)]
pub(crate) struct ReceiveOptions {
    /// QoS of the subscriptions; without it that of the messages
    #[arg(long, value_parser = qos)]
    pub(crate) sub_qos: Option<QoS>,
}

/// What is published, and how fast.
#[derive(Args, Debug)]
#[command(next_help_heading = "Messages")]
pub(crate) struct MessageOptions {
    /// Topic; %c client id, %i number, %u user name, %s sequence, %rand_N a number below N
    #[arg(long, short = 't')]
    pub(crate) topic: Option<String>,
    /// QoS
    #[arg(long, short = 'q', default_value = "0", value_parser = qos)]
    pub(crate) qos: QoS,
    /// Payload size, such as 64 or 4KiB; the first 28 bytes are the stamp by which messages are accounted for
    #[arg(long, short = 's', default_value = "256", value_parser = parse_size)]
    pub(crate) size: usize,
    /// This payload instead, for which neither loss nor latency can be told
    #[arg(long, short = 'm', conflicts_with = "size", allow_hyphen_values = true)]
    pub(crate) message: Option<String>,
    /// Retain the messages
    #[arg(long, short = 'r')]
    pub(crate) retain: bool,
    /// Open loop: so many messages a second in all, such as 50k/s, whatever the broker does
    #[arg(long, value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Open loop: each publisher sends one message in this time (a bare number is in ms)
    #[arg(long, short = 'I', conflicts_with = "rate", value_parser = parse_millis)]
    pub(crate) interval_of_msg: Option<Duration>,
    /// Messages of one publisher under way: until acknowledged, with QoS 0 until delivered; 0 for no bound. Without a
    /// rate it makes the closed loop, of 20 if it is not given, with QoS 0 of 100
    #[arg(long, short = 'F', value_parser = parse_count)]
    pub(crate) inflight: Option<u32>,
    /// Connections beside these that only stay
    #[arg(long, default_value = "0", hide_default_value = true, value_parser = parse_count)]
    pub(crate) idle: u32,
    /// End after so many messages in all
    #[arg(long, short = 'L', value_parser = parse_some)]
    pub(crate) limit: Option<u32>,
}

/// How clients connect, how long it lasts and what is told of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonOptions {
    #[command(flatten)]
    pub(crate) connect: ConnectOptions,
    #[command(flatten)]
    pub(crate) time: TimeOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

/// Where clients connect to, from where, as whom, how fast.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connections")]
pub(crate) struct ConnectOptions {
    /// Print help
    #[arg(long, short = '?', action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Brokers, apart by commas; connections are spread over them
    #[arg(long, short = 'h', default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Their port
    #[arg(long, short = 'p', default_value_t = 1883)]
    pub(crate) port: u16,
    /// Protocol version: 5, 4 (3.1.1) or 3 (3.1)
    #[arg(long, short = 'V', default_value = "5", value_parser = version)]
    pub(crate) version: ProtocolVersion,
    /// Connects a second, such as 5k/s; without it as fast as they are answered
    #[arg(long, short = 'R', value_parser = parse_rate)]
    pub(crate) connrate: Option<f64>,
    /// Time between two connects (a bare number is in ms)
    #[arg(long, short = 'i', conflicts_with = "connrate", value_parser = parse_millis)]
    pub(crate) interval: Option<Duration>,
    /// Source addresses in turn, such as 127.0.0.2-127.0.0.6,10.0.0.9
    #[arg(long, value_name = "LIST")]
    pub(crate) ifaddr: Option<String>,
    /// In front of each client id; without it one that no other run has
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Number of the first client
    #[arg(long, short = 'n', default_value_t = 0)]
    pub(crate) startnumber: u64,
    /// User Name; %c and %i as in topics
    #[arg(long, short = 'u')]
    pub(crate) username: Option<String>,
    /// Password; %c and %i as in topics
    #[arg(long, short = 'P', allow_hyphen_values = true)]
    pub(crate) password: Option<String>,
    /// Keep Alive in seconds, 0 for none
    #[arg(long, short = 'k', default_value_t = 300)]
    pub(crate) keepalive: u16,
    /// Clean Start, in version 3 Clean Session
    #[arg(long, short = 'C', default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) clean: bool,
    /// Session Expiry Interval in seconds (version 5)
    #[arg(long, short = 'x', default_value_t = 0)]
    pub(crate) session_expiry: u32,
    /// Topic of a Will that each client leaves
    #[arg(long)]
    pub(crate) will_topic: Option<String>,
    /// Its payload
    #[arg(long, requires = "will_topic", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(crate) will_payload: String,
    /// Its QoS
    #[arg(long, requires = "will_topic", default_value = "0", value_parser = qos)]
    pub(crate) will_qos: QoS,
    /// Retain it
    #[arg(long, requires = "will_topic")]
    pub(crate) will_retain: bool,
    /// How long one connection may take until it is ready
    #[arg(long, default_value = "10s", value_parser = parse_seconds)]
    pub(crate) connect_timeout: Duration,
    /// Threads, each with a ring of its own; without it one for each core, two at most, more if descriptors ask for it
    #[arg(long, value_parser = parse_some)]
    pub(crate) workers: Option<u32>,
}

/// How long it lasts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Time")]
pub(crate) struct TimeOptions {
    /// Measured time, after the ramp and the warm-up; for storms the most that each part may take
    #[arg(long, short = 'd', default_value = "10s", value_parser = parse_seconds)]
    pub(crate) duration: Duration,
    /// Time in front of it that counts for accounts and not for latencies and rates
    #[arg(long, default_value = "1s", value_parser = parse_seconds)]
    pub(crate) warm_up: Duration,
    /// How long messages under way are waited for at the end
    #[arg(long, default_value = "10s", value_parser = parse_seconds)]
    pub(crate) drain: Duration,
}

/// What is told of it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Process of the broker on this machine: adds its processor time per message and its memory
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// A condition such as p99<5ms, lost=0 or rate>=50k; the exit code is 99 if one does not hold
    #[arg(long, value_parser = Expectation::parse)]
    pub(crate) expect: Vec<Expectation>,
    /// Exit with 1 if the load tool was the limit
    #[arg(long)]
    pub(crate) strict: bool,
    /// Write the report as JSON, - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a line for each second as CSV, - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write percentile distributions for HdrHistogram's plotter: FILE.delivery.hgrm and so on
    #[arg(long, value_name = "FILE")]
    pub(crate) hgrm: Option<PathBuf>,
    /// What is said while it runs
    #[arg(long, default_value = "auto")]
    pub(crate) progress: Style,
    /// Say what would be done, and what this host lacks for it; connect nowhere
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn qos(text: &str) -> Result<QoS, String> {
    text.parse().ok().and_then(QoS::from_u8).ok_or_else(|| "QoS is 0, 1 or 2".to_owned())
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "5" | "5.0" => Ok(ProtocolVersion::V5),
        "4" | "311" | "3.1.1" => Ok(ProtocolVersion::V311),
        "3" | "31" | "3.1" => Ok(ProtocolVersion::V31),
        _ => Err("versions are 5, 4 (3.1.1) and 3 (3.1)".to_owned()),
    }
}

impl Scenario {
    pub(crate) const fn common(&self) -> &CommonOptions {
        match self {
            Self::Conn(options) => &options.common,
            Self::Pub(options) => &options.common,
            Self::Sub(options) => &options.common,
            Self::Pairs(options) => &options.common,
            Self::Retained(options) => &options.common,
            Self::Reconnect(options) => &options.common,
            Self::Offline(options) => &options.common,
            Self::FanIn(options) | Self::FanOut(options) | Self::Shared(options) => &options.common,
        }
    }
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // A closed pipe is no reason for another exit code.
            let _ = error.print();
            return exit.into();
        }
    };
    carry_out(&cli.scenario).into()
}

fn carry_out(scenario: &Scenario) -> Exit {
    let output = &scenario.common().output;
    let mut plan = match scenario::plan(scenario) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Usage;
        }
    };
    let preflight = Preflight::new(&mut plan, scenario.common().connect.workers.is_some());
    eprint!("{}", preflight.findings());
    if output.dry_run {
        say(&preflight.describe(&plan));
    }
    if preflight.refuses() {
        return Exit::Failed;
    }
    if output.dry_run {
        return Exit::Done;
    }
    let broker = match output.pid.map(|pid| (pid, BrokerWatch::new(pid))) {
        Some((pid, None)) => {
            eprintln!("error: --pid {pid}: there is no such process that can be looked at");
            return Exit::Failed;
        }
        Some((_, watch)) => watch,
        None => None,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the program at once.
        let watched = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
        if let Err(error) = watched {
            eprintln!("error: cannot watch signals: {error}");
            return Exit::Failed;
        }
    }
    let plan = Arc::new(plan);
    let mut progress = Progress::new(output.progress);
    let run = control::run(&plan, broker, &interrupted, &mut progress);
    progress.finish();
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Failed;
        }
    };
    let report = Report::new(&plan, run, &output.expect);
    if let Err(error) = report.write(output) {
        eprintln!("error: {error}");
        return Exit::Failed;
    }
    report.exit(output.strict)
}

/// Writes to standard output. A closed pipe is no error: who read it has read enough.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
pub(crate) fn parse(arguments: &[&str]) -> Result<Scenario, clap::Error> {
    Cli::try_parse_from(std::iter::once(&"millrace-load").chain(arguments)).map(|cli| cli.scenario)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_of_each_scenario_fits_a_terminal() {
        let mut cli = Cli::command().term_width(100);
        cli.build();
        let whole = cli.render_long_help().to_string();
        let each = cli.get_subcommands_mut().map(|verb| verb.clone().term_width(100).render_long_help().to_string());
        for text in each.chain([whole]) {
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
        Cli::command().debug_assert();
    }

    #[test]
    fn options_take_units_and_the_usual_letters() {
        let Scenario::Pairs(options) = parse(&[
            "pairs", "-c", "1k", "-q", "1", "-s", "4KiB", "--rate", "50k/s", "-d", "60s", "-h", "broker", "-p", "1884",
            "-V", "4", "-k", "30", "-C", "false", "-R", "5k", "-F", "100",
        ])
        .expect("legal") else {
            panic!("the scenario is pairs")
        };
        assert_eq!((options.pairs, options.messages.size, options.messages.rate), (1000, 4096, Some(50_000.0)));
        assert_eq!((options.messages.inflight, options.messages.qos), (Some(100), QoS::AtLeastOnce));
        let connect = &options.common.connect;
        assert_eq!((connect.host.as_str(), connect.port, connect.version), ("broker", 1884, ProtocolVersion::V311));
        assert_eq!((connect.keepalive, connect.clean, connect.connrate), (30, false, Some(5000.0)));
        assert_eq!(options.common.time.duration, Duration::from_secs(60));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for wrong in [
            &["pairs", "--rate", "5", "-I", "10"][..],
            &["pub", "-m", "x", "-s", "64"],
            &["sub"],
            &["conn", "-q", "1"],
            &["pairs", "-q", "3"],
            &["pairs", "--expect", "speed>5"],
            &["conn", "-R", "5", "-i", "5"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
