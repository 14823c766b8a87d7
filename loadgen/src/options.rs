//! What each scenario can be told: its options, with their units and defaults.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millrace_core::packet::{ProtocolVersion, QoS};

use crate::agents::LISTEN;
use crate::expect::Expectation;
use crate::format::{parse_count, parse_millis, parse_rate, parse_seconds, parse_size, parse_some};
use crate::mix::Stream;
use crate::progress::Style;
use crate::properties::{ConnectProperties, MessageProperties, SubscribeProperties};

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
    pub(crate) subscribe: SubscribeProperties,
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

/// Several scenarios at once.
#[derive(Args, Debug)]
pub(crate) struct MixedOptions {
    /// A stream: a scenario, its options, --name and --weight, as in 'fan-in --pubs 100 -s 64 --weight 7'
    #[arg(long, required = true, value_name = "WORDS")]
    pub(crate) stream: Vec<String>,
    /// Connections in all, dealt out by weight to streams that do not say how many they have
    #[arg(long, short = 'c', value_parser = parse_some)]
    pub(crate) clients: Option<u32>,
    /// Open loop: messages a second in all, dealt out by weight to streams without a pace of their own
    #[arg(long, value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// The streams, when they have been read.
    #[arg(skip)]
    pub(crate) streams: Vec<Stream>,
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
    #[arg(long, short = 's', default_value = "64", value_parser = parse_size)]
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
    #[command(flatten)]
    pub(crate) subscribe: SubscribeProperties,
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
    /// Payload size, such as 64 or 4KiB; the first 28 bytes, below that 16, are the stamp by which messages are accounted for
    #[arg(long, short = 's', default_value = "64", value_parser = parse_size)]
    pub(crate) size: usize,
    /// This payload instead, for which neither loss nor latency can be told; template://FILE fills in %TIMESTAMP%,
    /// %TIMESTAMPMS%, %TIMESTAMPUS%, %TIMESTAMPNS%, %UNIQUE%, %CLIENTID%, %SEQUENCE% and %RANDOM% (--size letters)
    #[arg(long, short = 'm', allow_hyphen_values = true)]
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
    /// rate it makes the closed loop, of 20 if it is not given, with QoS 0 of 100, with pairs of 1000
    #[arg(long, short = 'F', value_parser = parse_count)]
    pub(crate) inflight: Option<u32>,
    /// Connections beside these that only stay
    #[arg(long, default_value = "0", hide_default_value = true, value_parser = parse_count)]
    pub(crate) idle: u32,
    /// End after so many messages in all
    #[arg(long, short = 'L', value_parser = parse_some)]
    pub(crate) limit: Option<u32>,
    /// Send again what is not acknowledged in this time (a bare number is in ms); not in version 5, which forbids it
    #[arg(long, value_parser = parse_millis)]
    pub(crate) retry_interval: Option<Duration>,
    /// With a rate: each publisher begins so much later than its turn, at least (a bare number is in ms)
    #[arg(long, requires = "max_random_wait", value_parser = parse_millis)]
    pub(crate) min_random_wait: Option<Duration>,
    /// And at most; without it publishers begin evenly spread over the time between two messages of one
    #[arg(long, value_parser = parse_millis)]
    pub(crate) max_random_wait: Option<Duration>,
    /// Taken for the sake of scripts: nobody publishes before all are connected, or have failed to
    #[arg(long, short = 'w', hide = true)]
    wait_before_publishing: bool,
    #[command(flatten)]
    pub(crate) properties: MessageProperties,
}

/// How clients connect, how long it lasts and what is told of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonOptions {
    #[command(flatten)]
    pub(crate) connect: ConnectOptions,
    #[command(flatten)]
    pub(crate) agents: AgentsOptions,
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
    /// Client ids of numbers alone, behind --prefix if there is one
    #[arg(long)]
    pub(crate) shortids: bool,
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
    /// How often a connection that does not get ready is tried again, after a second each
    #[arg(long, default_value_t = 0)]
    pub(crate) num_retry_connect: u32,
    /// How often a connection that is lost comes back, after a second each: a number, or infinity
    #[arg(long, default_value = "0", value_parser = reconnects)]
    pub(crate) reconnect: Times,
    #[command(flatten)]
    pub(crate) properties: ConnectProperties,
    /// Threads, each with a ring of its own; without it one for each core, two at most, more if descriptors ask for it
    #[arg(long, value_parser = parse_some)]
    pub(crate) workers: Option<u32>,
}

/// On which machines it runs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Several machines")]
pub(crate) struct AgentsOptions {
    /// Agents that do the work, apart by commas, such as 10.0.0.2:9465,10.0.0.3:9465; --workers are those of each
    #[arg(long, value_name = "LIST")]
    pub(crate) agents: Option<String>,
    /// File with the token that the agents have; without it MILLRACE_LOAD_TOKEN
    #[arg(long, value_name = "FILE", requires = "agents")]
    pub(crate) token_file: Option<PathBuf>,
}

/// An agent.
#[derive(Args, Clone, Debug)]
pub(crate) struct AgentOptions {
    /// Where it listens; what others can reach needs a token
    #[arg(long, value_name = "ADDRESS", default_value = LISTEN)]
    pub(crate) listen: String,
    /// File with the token that a leader must have, of 16 letters at least; without it MILLRACE_LOAD_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Source addresses of this machine, instead of those of the leader
    #[arg(long, value_name = "LIST")]
    pub(crate) ifaddr: Option<String>,
    /// End after one run
    #[arg(long)]
    pub(crate) once: bool,
}

/// How long it lasts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Time")]
pub(crate) struct TimeOptions {
    /// Measured time, after the ramp and the warm-up; for storms the most that each part may take
    #[arg(long, short = 'd', default_value = "10s", value_parser = parse_seconds)]
    pub(crate) duration: Duration,
    /// Time in front of it that counts for accounts and not for latencies and rates; without it 1s, with --limit none
    #[arg(long, value_parser = parse_seconds)]
    pub(crate) warm_up: Option<Duration>,
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
    /// Write a page with charts that needs nothing but a browser, - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Percentiles in the JSON besides the usual ones, apart by commas, such as 75,99.5
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = percentile)]
    pub(crate) percentiles: Vec<f64>,
    /// What is said while it runs
    #[arg(long, default_value = "auto")]
    pub(crate) progress: Style,
    /// Say what would be done, and what this host lacks for it; connect nowhere
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A number of times, or always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times(pub(crate) Option<u32>);

fn reconnects(text: &str) -> Result<Times, String> {
    match text {
        "infinity" => Ok(Times(None)),
        number => parse_count(number).map(|number| Times(Some(number))),
    }
}

fn percentile(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_start_matches('p').parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && *number < 100.0)
        .ok_or_else(|| "a percentile is between 0 and 100".to_owned())
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
