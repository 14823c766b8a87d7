//! The sections of the config that shards own: `[shards]`, `[listeners.NAME]`, `[mqtt]`, `[sessions]`, `[retained]`,
//! `[shared]`, `[limits]`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use millrace_core::units::{ByteSize, Span};
use serde::{Deserialize, Serialize};

/// Which kernel interface the shards drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineChoice {
    /// `io_uring`, or `epoll` with a warning where the kernel or a seccomp filter refuses it.
    #[default]
    Auto,
    /// `io_uring` or no start.
    IoUring,
    /// `epoll`.
    Epoll,
}

/// One `[listeners.NAME]`: a TCP address that takes MQTT of every version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// IPv4 or IPv6 address to bind; `::` takes both where the host allows it.
    pub address: IpAddr,
    /// TCP port, 1 to 65535; 0 takes a free one.
    pub port: u16,
    /// Whether it is opened.
    pub enabled: bool,
    /// Connections it holds at the same time. A few more may say CONNECT within a second, and are answered with Server
    /// busy; those beyond are closed when they are accepted.
    pub max_connections: u32,
    /// New connections a second; more are answered with Connection rate exceeded.
    pub max_connect_rate: u32,
    /// Put in front of each topic of its clients; empty for none. A client never sees it. Whole levels that end in `/`.
    pub mountpoint: String,
    /// Each connection begins with a PROXY protocol header, version 1 or 2, and is refused without one.
    pub proxy_protocol: bool,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            port: 1883,
            enabled: true,
            max_connections: 1_024_000,
            max_connect_rate: 100_000,
            mountpoint: String::new(),
            proxy_protocol: false,
        }
    }
}

/// `[mqtt]`: what the broker grants in CONNACK and enforces on each packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    /// Largest packet that a client may send (Maximum Packet Size).
    pub max_packet_size: ByteSize,
    /// QoS 1 and 2 messages that a client may have unacknowledged (Receive Maximum), 1 to 65535.
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages that we have unacknowledged towards one client; its own Receive Maximum may be less.
    pub max_inflight: u16,
    /// Topic Aliases that a client may use towards us.
    pub topic_alias_maximum: u16,
    /// Topic Aliases that we use towards one client that allows them.
    pub topic_alias_maximum_out: u16,
    /// Highest QoS that a client may publish with.
    pub maximum_qos: u8,
    /// Longest Keep Alive in seconds that is granted; 0 grants any. A client of version 5.0 that asks for more gets this
    /// one and is told; before that its own value holds, since it could not be told.
    pub max_keep_alive: u16,
    /// Whether retained messages are kept.
    pub retain_available: bool,
    /// Whether filters may have wildcards.
    pub wildcard_subscription_available: bool,
    /// Whether `$share` and `$queue` are served.
    pub shared_subscription_available: bool,
    /// Response Information for clients that ask for it, a topic to build Response Topics from; empty for none.
    pub response_information: String,
    /// Levels of a Topic Name or Topic Filter.
    pub max_topic_levels: u16,
    /// Bytes of a Topic Name or Topic Filter.
    pub max_topic_length: u16,
    /// Bytes of a Client Identifier.
    pub max_client_id_length: u16,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            max_packet_size: ByteSize(1 << 20),
            receive_maximum: 1024,
            max_inflight: 1024,
            topic_alias_maximum: 64,
            topic_alias_maximum_out: 16,
            maximum_qos: 2,
            max_keep_alive: 0,
            retain_available: true,
            wildcard_subscription_available: true,
            shared_subscription_available: true,
            response_information: String::new(),
            max_topic_levels: 128,
            max_topic_length: 4096,
            max_client_id_length: 256,
        }
    }
}

/// What happens to a message for a session whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueFull {
    /// The oldest queued message goes.
    #[default]
    DropOldest,
    /// The new message goes.
    DropNewest,
}

/// `[sessions]`: what is kept for clients that are slow or away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Expiry of a session of MQTT 3.1 and 3.1.1 with Clean Session 0.
    pub v3_expiry: Span,
    /// Longest Session Expiry Interval that is granted.
    pub max_expiry: Span,
    /// Sessions whose clients are away, for the whole broker; past it a client that leaves loses its session.
    pub max_offline: u32,
    /// Messages that wait for one session.
    pub queue_messages: u32,
    /// Bytes of messages that wait for one session, with those that were sent to it and may have to be sent again. One
    /// message alone may be larger.
    pub queue_bytes: ByteSize,
    /// What happens when either is reached.
    pub queue_full: QueueFull,
    /// Whether QoS 0 messages wait for a client that is away too.
    pub queue_qos0: bool,
    /// Subscriptions of one client.
    pub max_subscriptions: u32,
    /// Bytes of output that wait in memory for a connected client that reads slowly; then QoS 0 is dropped, QoS 1
    /// and 2 go to its queue.
    pub output_bytes: ByteSize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            v3_expiry: Span(Duration::from_secs(2 * 3600)),
            max_expiry: Span(Duration::from_secs(7 * 86_400)),
            max_offline: 1_000_000,
            queue_messages: 1000,
            queue_bytes: ByteSize(8 << 20),
            queue_full: QueueFull::DropOldest,
            queue_qos0: false,
            max_subscriptions: 1000,
            output_bytes: ByteSize(1 << 20),
        }
    }
}

/// `[retained]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retained {
    /// Retained messages of the whole broker; past it new topics are not retained, kept ones still change.
    pub max_messages: u32,
    /// Their bytes.
    pub max_bytes: ByteSize,
    /// Largest payload that is retained.
    pub max_payload: ByteSize,
}

impl Default for Retained {
    fn default() -> Self {
        Self { max_messages: 1_000_000, max_bytes: ByteSize(1 << 30), max_payload: ByteSize(1 << 20) }
    }
}

/// How the member that gets a message of a shared subscription is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareStrategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// The same one until it goes.
    Sticky,
    /// By the publisher's Client Identifier.
    HashClient,
    /// By the Topic Name.
    HashTopic,
    /// The one with the fewest unacknowledged messages.
    LeastInflight,
}

/// `[shared]`: shared subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shared {
    /// Strategy of a group that is not named below.
    pub strategy: ShareStrategy,
    /// Strategy by group name.
    pub groups: BTreeMap<String, ShareStrategy>,
}

/// `[limits]`: what protects the broker from its clients. Each hit is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A whole CONNECT must have come within this time after the connection was accepted.
    pub connect_timeout: Span,
    /// Largest first packet.
    pub connect_bytes: ByteSize,
    /// PUBLISH packets a second of one client, 0 for any number; past it reading pauses.
    pub publish_rate: u32,
    /// Bytes a second from one client, 0 for any number; past it reading pauses.
    pub byte_rate: ByteSize,
    /// PINGREQ, SUBSCRIBE and UNSUBSCRIBE packets a second of one client; past it reading pauses.
    pub control_rate: u32,
    /// Delayed messages (`$delayed/…`) of the whole broker.
    pub max_delayed: u32,
    /// Their bytes.
    pub max_delayed_bytes: ByteSize,
    /// Longest delay of a delayed message.
    pub max_delay: Span,
    /// Share of the memory that this process may use, in percent; past it clients are refused, then QoS 0 is dropped,
    /// then queues are shortened.
    pub memory_watermark_percent: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Span(Duration::from_secs(5)),
            connect_bytes: ByteSize(64 << 10),
            publish_rate: 0,
            byte_rate: ByteSize(0),
            control_rate: 1000,
            max_delayed: 100_000,
            max_delayed_bytes: ByteSize(256 << 20),
            max_delay: Span(Duration::from_secs(4_294_967)),
            memory_watermark_percent: 80,
        }
    }
}

/// `[sys]`: the `$SYS` topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sys {
    /// How often they are published; `0s` for never.
    pub interval: Span,
}

impl Default for Sys {
    fn default() -> Self {
        Self { interval: Span(Duration::from_secs(60)) }
    }
}

/// All that the shards read; the broker joins it from the sections of the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardsConfig {
    /// Number of shards; 0 for one a core that this process may use.
    pub shards: u16,
    /// Kernel interface.
    pub engine: EngineChoice,
    /// Listeners by name.
    pub listeners: BTreeMap<String, Listener>,
    /// `[mqtt]`.
    pub mqtt: Mqtt,
    /// `[sessions]`.
    pub sessions: Sessions,
    /// `[retained]`.
    pub retained: Retained,
    /// `[shared]`.
    pub shared: Shared,
    /// `[limits]`.
    pub limits: Limits,
    /// `[sys]`.
    pub sys: Sys,
}

impl ShardsConfig {
    /// The listeners that are open, in the order of their numbers: those that are enabled, by name.
    pub fn open_listeners(&self) -> impl Iterator<Item = (&str, &Listener)> {
        self.listeners.iter().filter(|(_, listener)| listener.enabled).map(|(name, listener)| (name.as_str(), listener))
    }
}
