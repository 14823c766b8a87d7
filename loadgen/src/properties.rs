//! MQTT 5 properties that clients send: their options, and what becomes of them on the wire.

use clap::Args;
use millrace_core::codec::properties::{PropertiesBuf, Property};
use millrace_core::packet::{ProtocolVersion, RetainHandling, SubscriptionOptions};

use crate::template::Template;

/// A name and a value.
type Pair = (String, String);

/// Properties of CONNECT and of the Will.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "MQTT 5 properties of connections")]
pub(crate) struct ConnectProperties {
    /// User Property of CONNECT, as often as wanted
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    connect_user_property: Vec<Pair>,
    /// Messages of QoS 1 and 2 that a client takes before it has acknowledged them
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    receive_maximum: Option<u16>,
    /// Bytes of the largest packet that a client takes
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    maximum_packet_size: Option<u32>,
    /// Topic Aliases that a client understands
    #[arg(long)]
    topic_alias_maximum: Option<u16>,
    /// Ask for Response Information
    #[arg(long)]
    request_response_information: bool,
    /// Whether reasons are wanted with refusals
    #[arg(long, value_name = "BOOL")]
    request_problem_information: Option<bool>,
    /// Seconds between the loss of a client and its Will
    #[arg(long, requires = "will_topic", value_name = "SECONDS")]
    will_delay: Option<u32>,
    /// Message Expiry Interval of the Will in seconds
    #[arg(long, requires = "will_topic", value_name = "SECONDS")]
    will_message_expiry: Option<u32>,
    /// The Will is UTF-8
    #[arg(long, requires = "will_topic")]
    will_payload_utf8: bool,
    /// Content Type of the Will
    #[arg(long, requires = "will_topic", value_name = "TYPE")]
    will_content_type: Option<String>,
    /// Response Topic of the Will
    #[arg(long, requires = "will_topic", value_name = "TOPIC")]
    will_response_topic: Option<String>,
    /// Correlation Data of the Will
    #[arg(long, requires = "will_topic", value_name = "DATA")]
    will_correlation_data: Option<String>,
    /// User Property of the Will, as often as wanted
    #[arg(long, requires = "will_topic", value_name = "NAME=VALUE", value_parser = pair)]
    will_user_property: Vec<Pair>,
}

/// Properties of PUBLISH.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "MQTT 5 properties of messages")]
pub(crate) struct MessageProperties {
    /// Message Expiry Interval in seconds
    #[arg(long, value_name = "SECONDS")]
    message_expiry: Option<u32>,
    /// Send the topic once, then an alias, if the broker takes any
    #[arg(long)]
    pub(crate) topic_alias: bool,
    /// The payload is UTF-8, which one with a stamp is not
    #[arg(long)]
    pub(crate) payload_utf8: bool,
    /// Content Type
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Response Topic; %c client id, %i number, %u user name
    #[arg(long, value_name = "TOPIC")]
    response_topic: Option<String>,
    /// Correlation Data
    #[arg(long, value_name = "DATA")]
    correlation_data: Option<String>,
    /// User Property, as often as wanted
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    user_property: Vec<Pair>,
}

/// Options and properties of SUBSCRIBE.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "MQTT 5 options of subscriptions")]
pub(crate) struct SubscribeProperties {
    /// No Local: nothing that the client itself has published
    #[arg(long)]
    no_local: bool,
    /// Retain As Published
    #[arg(long)]
    retain_as_published: bool,
    /// Retain Handling: 0 send retained messages, 1 if the subscription is new, 2 never
    #[arg(long, value_parser = retain_handling)]
    retain_handling: Option<RetainHandling>,
    /// Subscription Identifier
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=268_435_455))]
    subscription_id: Option<u32>,
    /// User Property of SUBSCRIBE, as often as wanted
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    subscribe_user_property: Vec<Pair>,
}

/// How each subscription is asked for, but for its QoS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) options: SubscriptionOptions,
    pub(crate) properties: PropertiesBuf,
}

/// What each message says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) message_expiry: Option<u32>,
    pub(crate) topic_alias: bool,
    pub(crate) properties: PropertiesBuf,
    pub(crate) response_topic: Option<Template>,
}

impl ConnectProperties {
    /// Those of CONNECT without the Session Expiry Interval, and those of the Will.
    pub(crate) fn encoded(&self, version: ProtocolVersion) -> Result<(PropertiesBuf, PropertiesBuf), String> {
        let (mut connect, mut will) = (PropertiesBuf::new(), PropertiesBuf::new());
        if let Some(most) = self.receive_maximum {
            connect.push_u16(Property::ReceiveMaximum, most);
        }
        if let Some(most) = self.maximum_packet_size {
            connect.push_u32(Property::MaximumPacketSize, most);
        }
        if let Some(most) = self.topic_alias_maximum {
            connect.push_u16(Property::TopicAliasMaximum, most);
        }
        if self.request_response_information {
            connect.push_u8(Property::RequestResponseInformation, 1);
        }
        if let Some(wanted) = self.request_problem_information {
            connect.push_u8(Property::RequestProblemInformation, wanted.into());
        }
        push_pairs(&mut connect, &self.connect_user_property);
        if let Some(seconds) = self.will_delay {
            will.push_u32(Property::WillDelayInterval, seconds);
        }
        if let Some(seconds) = self.will_message_expiry {
            will.push_u32(Property::MessageExpiryInterval, seconds);
        }
        if self.will_payload_utf8 {
            will.push_u8(Property::PayloadFormatIndicator, 1);
        }
        push_texts(&mut will, &self.will_content_type, &self.will_response_topic, &self.will_correlation_data);
        push_pairs(&mut will, &self.will_user_property);
        only_in_v5(version, connect.is_empty() && will.is_empty(), "properties of connections")?;
        Ok((connect, will))
    }
}

impl MessageProperties {
    pub(crate) fn description(&self, version: ProtocolVersion) -> Result<Description, String> {
        let mut properties = PropertiesBuf::new();
        if self.payload_utf8 {
            properties.push_u8(Property::PayloadFormatIndicator, 1);
        }
        push_texts(&mut properties, &self.content_type, &None, &self.correlation_data);
        push_pairs(&mut properties, &self.user_property);
        let response_topic = self.response_topic.as_deref().map(Template::parse).transpose()?;
        let nothing = properties.is_empty() && response_topic.is_none() && self.message_expiry.is_none();
        only_in_v5(version, nothing && !self.topic_alias, "properties of messages")?;
        Ok(Description {
            message_expiry: self.message_expiry,
            topic_alias: self.topic_alias,
            properties,
            response_topic,
        })
    }
}

impl SubscribeProperties {
    pub(crate) fn subscription(&self, version: ProtocolVersion) -> Result<Subscription, String> {
        let mut properties = PropertiesBuf::new();
        if let Some(id) = self.subscription_id {
            properties.push_var(Property::SubscriptionIdentifier, id);
        }
        push_pairs(&mut properties, &self.subscribe_user_property);
        let options = SubscriptionOptions {
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling: self.retain_handling.unwrap_or_default(),
            ..SubscriptionOptions::default()
        };
        only_in_v5(version, properties.is_empty() && options.bits() == 0, "options of subscriptions")?;
        Ok(Subscription { options, properties })
    }
}

fn push_texts(out: &mut PropertiesBuf, kind: &Option<String>, response: &Option<String>, data: &Option<String>) {
    if let Some(kind) = kind {
        out.push_str(Property::ContentType, kind);
    }
    if let Some(topic) = response {
        out.push_str(Property::ResponseTopic, topic);
    }
    if let Some(data) = data {
        out.push_bin(Property::CorrelationData, data.as_bytes());
    }
}

fn push_pairs(out: &mut PropertiesBuf, pairs: &[Pair]) {
    for (name, value) in pairs {
        out.push_pair(Property::UserProperty, name, value);
    }
}

fn only_in_v5(version: ProtocolVersion, nothing: bool, what: &str) -> Result<(), String> {
    match version.is_v5() || nothing {
        true => Ok(()),
        false => Err(format!("MQTT {version} has no {what}: --version 5")),
    }
}

fn pair(text: &str) -> Result<Pair, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    let fits = name.len() <= usize::from(u16::MAX) && value.len() <= usize::from(u16::MAX);
    fits.then(|| (name.to_owned(), value.to_owned())).ok_or_else(|| "a property has at most 65,535 bytes".to_owned())
}

fn retain_handling(text: &str) -> Result<RetainHandling, String> {
    match text {
        "0" => Ok(RetainHandling::Send),
        "1" => Ok(RetainHandling::SendIfNew),
        "2" => Ok(RetainHandling::DoNotSend),
        _ => Err("Retain Handling is 0, 1 or 2".to_owned()),
    }
}
