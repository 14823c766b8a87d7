//! `millrace sub`: messages in, printed as they come.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use millrace_core::codec::properties::{Carrier, PropertiesBuf, Property};
use millrace_core::packet::{
    Ack, Packet, PacketId, Publish, QoS, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe,
};
use millrace_core::reason_code::ReasonCode;

use super::ClientError;
use super::connection::{Connection, refused, unexpected};
use super::format::Format;
use super::options::{ConnectOptions, check_field, qos};
use crate::exit::Exit;

/// How long SUBACK may take.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// A wait without an end is cut into these.
const LONG: Duration = Duration::from_secs(3600);

/// What `-F` knows.
const LETTERS: &str = "Letters of -F: %t topic, %p payload, %x %X payload in hex, %j JSON with the payload as text, %J \
                       JSON with the payload as JSON, %l bytes, %q QoS, %r retain, %d dup, %m Packet Identifier, %I \
                       time as ISO 8601 in UTC, %U seconds since 1970, %C Content Type, %D Correlation Data, %E Message \
                       Expiry Interval, %F Payload Format Indicator, %R Response Topic, %S Subscription Identifiers, \
                       %P User Properties, %A Topic Alias, %% percent; \\n \\t \\r \\0 \\\\.";

/// Print messages
#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true, after_help = LETTERS)]
pub struct SubscribeOptions {
    #[command(flatten)]
    connect: ConnectOptions,
    /// Topic Filter; several are possible
    #[arg(long, short = 't', required = true)]
    topic: Vec<String>,
    /// Topic Filter to unsubscribe first
    #[arg(long, short = 'U')]
    unsubscribe: Vec<String>,
    /// Greatest QoS
    #[arg(long, short = 'q', default_value = "0", value_parser = qos)]
    qos: QoS,
    /// End after this many messages
    #[arg(short = 'C', value_name = "COUNT")]
    count: Option<u64>,
    /// End after this many seconds; 1 if COUNT messages have not come by then
    #[arg(short = 'W', value_name = "SECONDS")]
    timeout: Option<f64>,
    /// The topic before the payload
    #[arg(long, short = 'v')]
    verbose: bool,
    /// How a message is printed, such as "%I %t %p"; the letters are below
    #[arg(short = 'F', value_name = "FORMAT")]
    format: Option<String>,
    /// No line end after each message
    #[arg(short = 'N')]
    no_line_end: bool,
    /// Do not print retained messages that come first
    #[arg(short = 'R')]
    no_retained: bool,
    /// Only retained messages
    #[arg(long, conflicts_with = "no_retained")]
    retained_only: bool,
    /// Retain As Published (version 5)
    #[arg(long)]
    retain_as_published: bool,
    /// When retained messages are sent: 0 always, 1 if the subscription is new, 2 never (version 5)
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    retain_handling: u8,
    /// No messages of our own (version 5)
    #[arg(long)]
    no_local: bool,
    /// End as soon as the broker has taken the subscription
    #[arg(short = 'E')]
    exit_after_subscribe: bool,
}

/// Runs the verb.
#[must_use]
pub fn run(options: &SubscribeOptions) -> Exit {
    match subscribe(options, &mut std::io::stdout().lock()) {
        Ok(exit) => exit,
        Err(error) if options.connect.quiet => error.exit(),
        Err(error) => error.say(),
    }
}

pub(super) fn subscribe(options: &SubscribeOptions, out: &mut impl Write) -> Result<Exit, ClientError> {
    let format = format(options)?;
    for filter in options.topic.iter().chain(&options.unsubscribe) {
        check_field("a Topic Filter", filter.len())?;
        if filter.is_empty() {
            return Err(ClientError::Usage("a Topic Filter has at least one character".to_owned()));
        }
    }
    let end = match options.timeout {
        None => None,
        Some(seconds) => Some(
            Instant::now()
                + Duration::try_from_secs_f64(seconds)
                    .map_err(|_| ClientError::Usage(format!("-W {seconds} is not a number of seconds")))?,
        ),
    };
    let mut connection = Connection::open(&options.connect)?;
    let mut inbox = Inbox { options, format, out, seen: 0, released: HashSet::new(), aliases: HashMap::new() };
    let exit = inbox.run(&mut connection, end);
    match &exit {
        Ok(_) | Err(ClientError::Interrupted | ClientError::OutputClosed) => {
            connection.close(options.connect.properties(Carrier::Disconnect)?.as_properties());
        }
        Err(_) => {}
    }
    exit
}

fn format(options: &SubscribeOptions) -> Result<Format, ClientError> {
    let text = match &options.format {
        Some(text) => text.clone(),
        None if options.verbose => "%t %p".to_owned(),
        None => "%p".to_owned(),
    };
    Format::parse(&text, !options.no_line_end).map_err(ClientError::Usage)
}

struct Inbox<'a, W> {
    options: &'a SubscribeOptions,
    format: Format,
    out: &'a mut W,
    seen: u64,
    /// QoS 2 messages that were printed and are not released yet.
    released: HashSet<PacketId>,
    aliases: HashMap<u16, String>,
}

/// What the broker waits for after a packet.
enum Reply {
    Nothing,
    PubAck(PacketId),
    PubRec(PacketId),
    PubComp(PacketId),
}

impl<W: Write> Inbox<'_, W> {
    fn run(&mut self, connection: &mut Connection, end: Option<Instant>) -> Result<Exit, ClientError> {
        if !self.options.unsubscribe.is_empty() {
            self.unsubscribe(connection)?;
        }
        self.subscribe(connection)?;
        while !self.done() {
            let until = end.unwrap_or_else(|| Instant::now() + LONG);
            let Some(packet) = connection.next(until)? else {
                if end.is_some() {
                    break;
                }
                continue;
            };
            let reply = self.take(&packet)?;
            answer(connection, &reply)?;
            if !connection.has_more() {
                self.out.flush().map_err(|_| ClientError::OutputClosed)?;
            }
        }
        let enough = self.options.count.is_none_or(|count| self.seen >= count);
        Ok(if enough { Exit::Done } else { Exit::Failed })
    }

    fn done(&self) -> bool {
        self.options.exit_after_subscribe || self.options.count.is_some_and(|count| self.seen >= count)
    }

    fn subscribe(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let properties = self.options.connect.properties(Carrier::Subscribe)?;
        let wanted = SubscriptionOptions {
            qos: self.options.qos,
            no_local: self.options.no_local,
            retain_as_published: self.options.retain_as_published,
            retain_handling: match self.options.retain_handling {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        };
        let packet_id = connection.packet_id();
        connection.send(&Packet::Subscribe(Subscribe {
            packet_id,
            properties: properties.as_properties(),
            filters: self.options.topic.iter().map(|filter| (filter.as_str(), wanted)).collect(),
        }))?;
        self.wait_for(connection, packet_id, "SUBACK", &self.options.topic)
    }

    fn unsubscribe(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let properties = self.options.connect.properties(Carrier::Unsubscribe)?;
        let packet_id = connection.packet_id();
        connection.send(&Packet::Unsubscribe(Unsubscribe {
            packet_id,
            properties: properties.as_properties(),
            filters: self.options.unsubscribe.iter().map(String::as_str).collect(),
        }))?;
        self.wait_for(connection, packet_id, "UNSUBACK", &self.options.unsubscribe)
    }

    /// Messages may come before the acknowledgement: those of a session that was kept.
    fn wait_for(
        &mut self,
        connection: &mut Connection,
        packet_id: PacketId,
        name: &str,
        filters: &[String],
    ) -> Result<(), ClientError> {
        let until = Instant::now() + ACK_TIMEOUT;
        loop {
            let Some(packet) = connection.next(until)? else {
                return Err(ClientError::Failed(format!("no {name} within {ACK_TIMEOUT:?}")));
            };
            let reply = match &packet {
                Packet::SubAck(ack) | Packet::UnsubAck(ack) if ack.packet_id == packet_id => {
                    for (filter, reason) in filters.iter().zip(&ack.reason_codes) {
                        if reason.is_error() {
                            return Err(refused(format!("the broker refused {filter}"), *reason, ack.properties));
                        }
                    }
                    return Ok(());
                }
                other => self.take(other)?,
            };
            answer(connection, &reply)?;
        }
    }

    fn take(&mut self, packet: &Packet<'_>) -> Result<Reply, ClientError> {
        Ok(match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(packet_id)) => {
                    self.print(publish)?;
                    Reply::PubAck(packet_id)
                }
                (QoS::ExactlyOnce, Some(packet_id)) => {
                    if self.released.insert(packet_id) {
                        self.print(publish)?;
                    }
                    Reply::PubRec(packet_id)
                }
                _ => {
                    self.print(publish)?;
                    Reply::Nothing
                }
            },
            Packet::PubRel(ack) => {
                self.released.remove(&ack.packet_id);
                Reply::PubComp(ack.packet_id)
            }
            Packet::PingResp => Reply::Nothing,
            other => return Err(unexpected("a message", other)),
        })
    }

    fn print(&mut self, publish: &Publish<'_>) -> Result<(), ClientError> {
        let mut publish = publish.clone();
        if let Some(alias) = publish.properties.u16(Property::TopicAlias) {
            if publish.topic.is_empty() {
                publish.topic = self.aliases.get(&alias).map_or("", String::as_str);
            } else {
                self.aliases.insert(alias, publish.topic.to_owned());
            }
        }
        let wanted = match publish.retain {
            true => !self.options.no_retained,
            false => !self.options.retained_only,
        };
        if !wanted || self.done() {
            return Ok(());
        }
        self.seen += 1;
        self.format.write(&publish, self.out).map_err(|_| ClientError::OutputClosed)
    }
}

fn answer(connection: &mut Connection, reply: &Reply) -> Result<(), ClientError> {
    let empty = PropertiesBuf::new();
    let ack = |packet_id: &PacketId| Ack {
        packet_id: *packet_id,
        reason_code: ReasonCode::Success,
        properties: empty.as_properties(),
    };
    match reply {
        Reply::Nothing => Ok(()),
        Reply::PubAck(packet_id) => connection.send(&Packet::PubAck(ack(packet_id))),
        Reply::PubRec(packet_id) => connection.send(&Packet::PubRec(ack(packet_id))),
        Reply::PubComp(packet_id) => connection.send(&Packet::PubComp(ack(packet_id))),
    }
}
