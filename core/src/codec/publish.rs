//! PUBLISH (section 3.3): the packet that all others are there for.

use crate::codec::error::{DecodeError, Field};
use crate::codec::header::check_publish_flags;
use crate::codec::properties::{Carrier, Properties, Property, without};
use crate::codec::wire::{Reader, put_packet_id, put_str, put_var, str_field, var_len, wire_len};
use crate::packet::{PacketId, PacketType, ProtocolVersion, Publish, QoS};

/// Decodes the body of a PUBLISH that a client has sent.
#[inline]
pub fn decode(version: ProtocolVersion, first: u8, body: &[u8]) -> Result<Publish<'_>, DecodeError> {
    decode_as(Carrier::Publish, version, first, body)
}

/// Decodes the body of a PUBLISH that the server has sent: it may have Subscription Identifiers.
#[inline]
pub fn decode_to_client(version: ProtocolVersion, first: u8, body: &[u8]) -> Result<Publish<'_>, DecodeError> {
    decode_as(Carrier::PublishToClient, version, first, body)
}

#[inline]
fn decode_as(carrier: Carrier, version: ProtocolVersion, first: u8, body: &[u8]) -> Result<Publish<'_>, DecodeError> {
    check_publish_flags(first)?;
    let qos = QoS::from_u8(first >> 1 & 0b11).ok_or(DecodeError::PublishQoS)?;
    let mut reader = Reader::new(body);
    let topic = reader.topic(Field::TopicName)?;
    let packet_id = match qos {
        QoS::AtMostOnce => None,
        _ => Some(reader.packet_id(PacketType::Publish)?),
    };
    let properties = match version {
        ProtocolVersion::V5 => Properties::decode(&mut reader, carrier)?,
        _ => Properties::EMPTY,
    };
    if topic.is_empty() {
        check_alias(version, properties)?;
    }
    Ok(Publish {
        dup: first & 0b1000 != 0,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        properties,
        payload: reader.rest(),
    })
}

/// A Topic Name may be empty only where an alias stands for it.
#[cold]
fn check_alias(version: ProtocolVersion, properties: Properties<'_>) -> Result<(), DecodeError> {
    match (version.is_v5(), properties.u16(Property::TopicAlias)) {
        (true, Some(_)) => Ok(()),
        (true, None) => Err(DecodeError::TopicAndAliasMissing),
        (false, _) => Err(DecodeError::TopicEmpty { field: Field::TopicName }),
    }
}

/// Properties of a PUBLISH or a Will that end at the server; it sets its own for each receiver.
const NOT_FORWARDED: &[Property] = &[
    Property::TopicAlias,
    Property::MessageExpiryInterval,
    Property::SubscriptionIdentifier,
    Property::WillDelayInterval,
];

/// The properties that travel with the message to its receivers, unaltered and in order.
///
/// They are a part of the given bytes unless something that stays behind lies between them.
#[must_use]
pub fn forwardable<'a>(properties: Properties<'a>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    match properties.raw() {
        [] => &[],
        raw => without(raw, NOT_FORWARDED, scratch),
    }
}

/// A PUBLISH that is about to be sent to one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Sent before, perhaps.
    pub dup: bool,
    /// Quality of Service of this delivery.
    pub qos: QoS,
    /// Retain, as the receiver is to see it.
    pub retain: bool,
    /// With QoS 1 and 2 only.
    pub packet_id: Option<PacketId>,
    /// Topic Name; empty if the receiver knows the alias.
    pub topic: &'a str,
    /// Topic Alias; not in version 3.
    pub topic_alias: Option<u16>,
    /// Message Expiry Interval in seconds, what is left of it; not in version 3.
    pub message_expiry: Option<u32>,
    /// The Subscription Identifiers of all subscriptions that matched; not in version 3.
    pub subscription_ids: &'a [u32],
    /// Encoded properties, as [`forwardable`] gives them; not in version 3.
    pub properties: &'a [u8],
    /// Application Message.
    pub payload: &'a [u8],
}

impl Delivery<'_> {
    /// Appends the packet and says where in `out` its Packet Identifier lies, so that a copy of the bytes may get
    /// another one.
    ///
    /// # Panics
    /// If [`size`](Self::size) is over [`PACKET_BYTES_MAX`](crate::limits::PACKET_BYTES_MAX): what is accepted up to
    /// [`ACCEPTED_PACKET_BYTES_MAX`](crate::limits::ACCEPTED_PACKET_BYTES_MAX) never is.
    #[inline]
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Option<usize> {
        let properties_len = self.properties_len(version);
        let remaining = wire_len(self.remaining(version, properties_len));
        out.reserve(1 + var_len(remaining) + remaining as usize);
        let packet_id_at = self.put_head(version, properties_len, remaining, out);
        out.extend_from_slice(self.payload);
        packet_id_at
    }

    /// As [`encode`](Self::encode), but the payload is to be sent from elsewhere.
    pub fn encode_head(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Option<usize> {
        let properties_len = self.properties_len(version);
        self.put_head(version, properties_len, wire_len(self.remaining(version, properties_len)), out)
    }

    #[inline]
    fn put_head(
        &self,
        version: ProtocolVersion,
        properties_len: usize,
        remaining: u32,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        out.push(first_byte(self.dup, self.qos, self.retain));
        put_var(out, remaining);
        put_str(out, self.topic);
        let packet_id_at = self.put_packet_id(out);
        if version.is_v5() {
            put_var(out, wire_len(properties_len));
            self.put_properties(out);
        }
        packet_id_at
    }

    /// The bytes of the whole packet.
    #[must_use]
    #[inline]
    pub fn size(&self, version: ProtocolVersion) -> usize {
        let remaining = self.remaining(version, self.properties_len(version));
        1 + var_len(u32::try_from(remaining).unwrap_or(u32::MAX)) + remaining
    }

    #[inline]
    fn remaining(&self, version: ProtocolVersion, properties_len: usize) -> usize {
        let properties = match version.is_v5() {
            true => var_len(u32::try_from(properties_len).unwrap_or(u32::MAX)) + properties_len,
            false => 0,
        };
        let packet_id = match self.qos {
            QoS::AtMostOnce => 0,
            _ => 2,
        };
        2 + str_field(self.topic).len() + packet_id + properties + self.payload.len()
    }

    #[inline]
    fn properties_len(&self, version: ProtocolVersion) -> usize {
        if !version.is_v5() {
            return 0;
        }
        let topic_alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let message_expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let subscription_ids: usize = self.subscription_ids.iter().map(|id| 1 + var_len(*id)).sum();
        topic_alias + message_expiry + subscription_ids + self.properties.len()
    }

    #[inline]
    fn put_packet_id(&self, out: &mut Vec<u8>) -> Option<usize> {
        if self.qos == QoS::AtMostOnce {
            return None;
        }
        let at = out.len();
        put_packet_id(out, self.packet_id.expect("whoever delivers with QoS 1 or 2 has given a Packet Identifier"));
        Some(at)
    }

    #[inline]
    fn put_properties(&self, out: &mut Vec<u8>) {
        if let Some(alias) = self.topic_alias {
            out.push(Property::TopicAlias as u8);
            out.extend_from_slice(&alias.to_be_bytes());
        }
        if let Some(seconds) = self.message_expiry {
            out.push(Property::MessageExpiryInterval as u8);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        out.extend_from_slice(self.properties);
        for &id in self.subscription_ids {
            out.push(Property::SubscriptionIdentifier as u8);
            put_var(out, id);
        }
    }
}

/// Appends a PUBLISH as it is, all its properties included.
pub fn encode(version: ProtocolVersion, publish: &Publish<'_>, out: &mut Vec<u8>) {
    Delivery {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        packet_id: publish.packet_id,
        topic: publish.topic,
        topic_alias: None,
        message_expiry: None,
        subscription_ids: &[],
        properties: publish.properties.raw(),
        payload: publish.payload,
    }
    .encode(version, out);
}

#[inline]
const fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    PacketType::Publish.first_byte() | (dup as u8) << 3 | (qos as u8) << 1 | retain as u8
}
