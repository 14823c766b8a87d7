//! What a rule sees of one event, borrowed from where it lies; made once for all rules that match.
//!
//! Invariants: the payload is scanned as JSON at most once an event, and only if a rule asks for a part of it.
//! Runs on: the shard that owns the publisher.

use std::cell::{Cell, OnceCell};
use std::fmt::{self, Write};
use std::net::IpAddr;

use millrace_core::codec::properties::{Carrier, Properties};
use millrace_core::packet::QoS;
use millrace_core::value::Value;

use crate::ast::Step;
use crate::error::{EvalError, Trouble};
use crate::fields::EventField;
use crate::json::{Json, JsonError, Place};
use crate::properties::pub_props;

/// Bytes that one rule may make or look through for one event, beyond what it only passes on.
pub const FUEL: usize = 32 << 20;

/// A message that was accepted from a client.
#[derive(Clone, Copy, Debug)]
pub struct PublishEvent<'a> {
    /// Its identifier, unique in the cluster.
    pub id: u128,
    /// Client Identifier of the publisher.
    pub clientid: &'a str,
    /// User Name of the publisher.
    pub username: Option<&'a str>,
    /// Address of the publisher.
    pub peerhost: IpAddr,
    /// Topic Name.
    pub topic: &'a str,
    /// Quality of Service.
    pub qos: QoS,
    /// Retain.
    pub retain: bool,
    /// Sent before, perhaps.
    pub dup: bool,
    /// Application Message.
    pub payload: &'a [u8],
    /// PUBLISH properties, encoded.
    pub properties: &'a [u8],
    /// When it was received: milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
    /// Name of this node.
    pub node: &'a str,
}

/// Memory that is used again for each event.
#[derive(Debug, Default)]
pub struct Scratch {
    places: Vec<Place>,
}

/// One event for all rules that match it.
pub struct Input<'a> {
    event: PublishEvent<'a>,
    places: Cell<Option<&'a mut Vec<Place>>>,
    text: OnceCell<Result<&'a str, usize>>,
    json: OnceCell<Result<Json<'a>, JsonError>>,
    id: OnceCell<Short>,
    peerhost: OnceCell<Short>,
    fuel: Cell<usize>,
}

impl<'a> Input<'a> {
    /// A message that was published.
    #[must_use]
    pub fn publish(event: PublishEvent<'a>, scratch: &'a mut Scratch) -> Self {
        const PLACES_KEPT: usize = 4096;
        scratch.places.clear();
        scratch.places.shrink_to(PLACES_KEPT);
        Self {
            event,
            places: Cell::new(Some(&mut scratch.places)),
            text: OnceCell::new(),
            json: OnceCell::new(),
            id: OnceCell::new(),
            peerhost: OnceCell::new(),
            fuel: Cell::new(FUEL),
        }
    }

    /// The message itself.
    #[must_use]
    pub const fn event(&self) -> &PublishEvent<'a> {
        &self.event
    }

    /// The whole value of a field.
    #[must_use]
    pub fn field(&self, field: EventField) -> Value<'_> {
        let event = &self.event;
        match field {
            EventField::Id => Value::text(self.id.get_or_init(|| Short::hex(event.id)).text()),
            EventField::ClientId => Value::text(event.clientid),
            EventField::Username => event.username.map_or(Value::Null, Value::text),
            EventField::PeerHost => {
                Value::text(self.peerhost.get_or_init(|| Short::of(format_args!("{}", event.peerhost))).text())
            }
            EventField::Topic => Value::text(event.topic),
            EventField::Qos => Value::Int(event.qos as i64),
            EventField::Flags => {
                Value::Map(vec![("retain".into(), Value::Bool(event.retain)), ("dup".into(), Value::Bool(event.dup))])
            }
            EventField::Payload => match self.text() {
                Ok(text) => Value::text(text),
                Err(_) => Value::Bytes(event.payload.into()),
            },
            EventField::PubProps => {
                pub_props(Properties::check(event.properties, Carrier::Publish).unwrap_or_default())
            }
            EventField::PublishReceivedAt | EventField::Timestamp => {
                Value::Int(i64::try_from(event.unix_ms).unwrap_or(i64::MAX))
            }
            EventField::Node => Value::text(event.node),
            EventField::Event => Value::text("message.publish"),
        }
    }

    /// A part of the payload.
    pub(crate) fn payload(&self, steps: &[Step]) -> Result<Value<'a>, Trouble> {
        /// About what looking at one place costs, beside looking at one byte.
        const PLACE_BYTES: usize = 8;
        let failed = |error| {
            const SHOWN: usize = 40;
            let met = &self.event.payload[..self.event.payload.len().min(SHOWN)];
            Trouble::Payload(error, String::from_utf8_lossy(met).into_owned())
        };
        let mut visited = 0;
        let value = self.json().and_then(|json| json.value_counted(steps, &mut visited)).map_err(failed)?;
        self.pay(visited * PLACE_BYTES)?;
        Ok(value)
    }

    /// Pays for work of this many bytes.
    pub(crate) fn pay(&self, bytes: usize) -> Result<(), Trouble> {
        let left = self.fuel.get().checked_sub(bytes).ok_or(Trouble::TooMuchWork)?;
        self.fuel.set(left);
        Ok(())
    }

    /// A rule begins: it has the whole allowance.
    pub(crate) fn refuel(&self) {
        self.fuel.set(FUEL);
    }

    fn text(&self) -> Result<&'a str, usize> {
        *self.text.get_or_init(|| std::str::from_utf8(self.event.payload).map_err(|error| error.valid_up_to()))
    }

    fn json(&self) -> Result<Json<'a>, JsonError> {
        *self.json.get_or_init(|| {
            let places = self.places.take().expect("the places are taken once, and this runs once");
            Json::scan(self.text().map_err(JsonError::NotText)?, places)
        })
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.event.fmt(f)
    }
}

/// A short text without an allocation: what the longest address takes.
#[derive(Clone, Copy)]
struct Short {
    bytes: [u8; 48],
    length: usize,
}

impl Short {
    fn of(text: fmt::Arguments<'_>) -> Self {
        let mut short = Self { bytes: [0; 48], length: 0 };
        short.write_fmt(text).expect("identifiers and addresses have under 48 bytes");
        short
    }

    /// A number in 32 hexadecimal digits.
    fn hex(number: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let mut bytes = [0; 48];
        for (index, byte) in number.to_be_bytes().into_iter().enumerate() {
            bytes[2 * index] = DIGITS[usize::from(byte >> 4)];
            bytes[2 * index + 1] = DIGITS[usize::from(byte & 15)];
        }
        Self { bytes, length: 32 }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only text was written")
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// An evaluation that failed, with its place in the rule.
pub(crate) trait At<T> {
    fn at(self, span: crate::diagnostics::Span) -> Result<T, EvalError>;
}

impl<T> At<T> for Result<T, Trouble> {
    #[inline]
    fn at(self, span: crate::diagnostics::Span) -> Result<T, EvalError> {
        self.map_err(|trouble| EvalError::new(&trouble, span))
    }
}
