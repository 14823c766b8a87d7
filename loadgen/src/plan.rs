//! What a run does, settled before it begins: who connects from where, who sends what to whom, how fast and how long.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use millrace_core::codec::properties::PropertiesBuf;
use millrace_core::packet::{ProtocolVersion, QoS};

use crate::payload::PayloadTemplate;
use crate::properties::{Description, Subscription};
use crate::template::{Template, Values};

/// Publishers times subscribers up to which each has a line of its own.
const LINES_MAX: u64 = 1_000_000;

/// Who gets the messages of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Nobody of this run.
    Nobody,
    /// The subscriber with the same number.
    Partner,
    /// Every subscriber.
    All,
    /// One of all subscribers, which share a subscription.
    Group,
    /// Subscribers know nothing of the publishers, which may run elsewhere.
    Strangers,
}

/// What happens besides sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// Nothing.
    Plain,
    /// All connections are dropped and return, so many times.
    Reconnect(u32),
    /// Subscribers go, messages are sent, subscribers return to their sessions.
    Offline,
    /// Messages are retained; then subscribers subscribe all at once.
    Retained,
}

impl Story {
    /// Whether messages wait for subscribers that come after they were sent.
    pub(crate) const fn sends_ahead(self) -> bool {
        matches!(self, Self::Offline | Self::Retained)
    }
}

/// How publishers find their pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// So many messages a second from all publishers together, whatever the broker does.
    Open(f64),
    /// As fast as the broker takes them, within the window.
    Closed,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A stamp, then filler up to this size.
    Stamped(usize),
    /// These bytes, for which nothing can be accounted.
    Literal(Vec<u8>),
    /// Others for each message, of which nothing can be told either.
    Template(PayloadTemplate),
}

impl Payload {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Stamped(size) => *size,
            Self::Literal(bytes) => bytes.len(),
            Self::Template(template) => template.size(),
        }
    }
}

/// The Will that every client leaves.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: Template,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: PropertiesBuf,
}

/// How clients introduce themselves.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) version: ProtocolVersion,
    pub(crate) keep_alive: u16,
    pub(crate) clean_start: bool,
    /// Seconds; 5.0 only.
    pub(crate) session_expiry: u32,
    /// Of CONNECT, but for the Session Expiry Interval.
    pub(crate) properties: PropertiesBuf,
    pub(crate) username: Option<Template>,
    pub(crate) password: Option<Template>,
    pub(crate) will: Option<Will>,
    /// In front of each client id.
    pub(crate) prefix: String,
    /// Client ids have no letter for their kind.
    pub(crate) short_ids: bool,
    /// Number of the first client.
    pub(crate) first_number: u64,
}

/// How connections are opened.
#[derive(Clone, Debug)]
pub(crate) struct Ramp {
    pub(crate) targets: Vec<SocketAddr>,
    /// Source addresses, in turn; none leaves the choice to the kernel.
    pub(crate) sources: Vec<IpAddr>,
    /// Connects a second of all workers; none for as fast as they are answered.
    pub(crate) rate: Option<f64>,
    /// Connections of one worker that may be between connect and CONNACK at once, if no rate is given.
    pub(crate) pending: u32,
    /// What one connection may take until it is ready.
    pub(crate) timeout: Duration,
    /// How often a connection that did not get ready is tried again.
    pub(crate) retries: u32,
    /// How often a connection that was lost comes back; none for always.
    pub(crate) reconnects: Option<u32>,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its subcommand.
    pub(crate) scenario: &'static str,
    /// What a stream of a mix is called.
    pub(crate) name: String,
    pub(crate) story: Story,
    /// Tells this run's messages from others.
    pub(crate) tag: u16,
    pub(crate) workers: u32,
    pub(crate) ramp: Ramp,
    pub(crate) identity: Identity,
    pub(crate) subscribers: u32,
    pub(crate) publishers: u32,
    /// Connections that only stay beside the others.
    pub(crate) idle: u32,
    pub(crate) audience: Audience,
    /// What subscribers subscribe to; none for clients that only stay.
    pub(crate) filter: Option<Template>,
    pub(crate) subscribe_qos: QoS,
    pub(crate) subscription: Subscription,
    pub(crate) topic: Template,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) payload: Payload,
    pub(crate) description: Description,
    /// When what is not acknowledged is sent again.
    pub(crate) retry_interval: Option<Duration>,
    pub(crate) pace: Pace,
    /// How much later than its turn each publisher begins, at least and at most.
    pub(crate) random_wait: Option<(Duration, Duration)>,
    /// Messages of one publisher under way: unacknowledged, or with QoS 0 undelivered. None for no bound.
    pub(crate) window: Option<u32>,
    /// Messages of all publishers together.
    pub(crate) limit: Option<u64>,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// How long messages under way are waited for at the end.
    pub(crate) drain: Duration,
}

impl Plan {
    pub(crate) const fn connections(&self) -> u32 {
        self.subscribers + self.publishers + self.idle
    }

    /// Whether anybody is to get messages.
    pub(crate) fn receives(&self) -> bool {
        self.copies() > 0 || self.audience == Audience::Strangers
    }

    /// Whether each publisher and subscriber gets a line of its own in the account.
    pub(crate) fn has_lines(&self) -> bool {
        let streams = u64::from(self.publishers) * self.copies();
        matches!(self.audience, Audience::Partner | Audience::All)
            && self.story != Story::Retained
            && streams <= LINES_MAX
    }

    /// Messages that one publisher sends at most; the first ones make up for what cannot be divided.
    pub(crate) fn limit_of(&self, publisher: u32) -> u64 {
        let publishers = u64::from(self.publishers);
        self.limit.map_or(u64::MAX, |limit| limit / publishers + u64::from(u64::from(publisher) < limit % publishers))
    }

    /// How much later than its turn a publisher begins, in nanoseconds.
    pub(crate) fn wait_of(&self, publisher: u32) -> u64 {
        let Some((least, most)) = self.random_wait else { return 0 };
        let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
        least + mix(u64::from(publisher) ^ u64::from(self.tag) << 32) % (most - least + 1)
    }

    /// How often each message of a publisher is to be delivered.
    pub(crate) const fn copies(&self) -> u64 {
        match self.audience {
            Audience::Nobody | Audience::Strangers => 0,
            Audience::Partner | Audience::Group => 1,
            Audience::All => self.subscribers as u64,
        }
    }

    /// Clients of a kind that are this worker's: those whose number is `worker` modulo the workers.
    pub(crate) const fn share(&self, total: u32, worker: u32) -> u32 {
        (total + self.workers - 1 - worker) / self.workers
    }

    /// A client's kind and its number within it: subscribers come first, then publishers, then those who only stay.
    const fn kind(&self, client: u32) -> (char, u32) {
        if client < self.subscribers {
            ('s', client)
        } else if client < self.subscribers + self.publishers {
            ('p', client - self.subscribers)
        } else {
            ('i', client - self.subscribers - self.publishers)
        }
    }

    pub(crate) fn client_id(&self, client: u32) -> String {
        if self.identity.short_ids {
            return format!("{}{}", self.identity.prefix, self.identity.first_number + u64::from(client));
        }
        let (kind, _) = self.kind(client);
        format!("{}{kind}{}", self.identity.prefix, self.number(client))
    }

    /// The number that `%i` stands for: that of a client within its kind.
    pub(crate) fn number(&self, client: u32) -> u64 {
        self.identity.first_number + u64::from(self.kind(client).1)
    }

    /// Renders a template for one client.
    pub(crate) fn render(&self, template: &Template, client: u32, sequence: u64) -> String {
        let client_id = self.client_id(client);
        let mut values = Values { client_id: &client_id, number: self.number(client), sequence, ..Values::default() };
        values.random = mix(u64::from(client) << 40 ^ sequence ^ u64::from(self.tag) << 24);
        let mut username = String::new();
        if let Some(template) = &self.identity.username {
            template.render(&values, &mut username);
        }
        let mut out = String::new();
        template.render(&Values { username: &username, ..values }, &mut out);
        out
    }
}

/// A number that looks random and is the same for the same run.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}
