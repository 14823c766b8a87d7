//! What a rule sees of one event, borrowed from where it lies; made once for all rules that match.
//!
//! Invariants: the payload is scanned as JSON at most once an event, and only if a rule asks for a part of it.
//! Runs on: the shard that owns the publisher.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};

use millrace_core::codec::properties::{Carrier, Properties};
use millrace_core::packet::QoS;
use millrace_core::value::Value;

use crate::ast::Step;
use crate::error::{EvalError, Trouble};
use crate::fields::{Event, EventField};
use crate::json::{Found, Json, JsonError, Place};
use crate::properties;
use crate::state::State;

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

/// Any other event, or a message of which not everything is known: a list of its fields.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    /// Which event it is.
    pub event: Event,
    /// When it happened: milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
    /// Name of this node.
    pub node: &'a str,
    /// Its fields besides `event`, `timestamp` and `node`; what is not there is null.
    pub fields: &'a [(EventField, Given<'a>)],
}

/// The value of a field, made only if a rule asks for it.
#[derive(Clone, Debug)]
pub enum Given<'a> {
    /// As it is.
    Value(Value<'a>),
    /// Text, without a copy.
    Text(&'a str),
    /// The identifier of a message.
    Id(u128),
    /// An address without a port.
    Host(IpAddr),
    /// An address with a port.
    Socket(SocketAddr),
    /// Properties of a packet, encoded and checked.
    Properties(&'a [u8], Carrier),
    /// An Application Message.
    Payload(&'a [u8]),
    /// RETAIN and DUP.
    Flags {
        /// RETAIN.
        retain: bool,
        /// DUP.
        dup: bool,
    },
}

/// What rules of a shard need besides the event; used again for each.
#[derive(Debug, Default)]
pub struct Scratch {
    places: Vec<Place>,
    state: State,
}

impl Scratch {
    /// One that begins with this state.
    #[must_use]
    pub const fn with_state(state: State) -> Self {
        Self { places: Vec::new(), state }
    }

    /// What rules keep between events.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Publish(PublishEvent<'a>),
    Fields(EventView<'a>),
}

/// One event for all rules that match it.
pub struct Input<'a> {
    source: Source<'a>,
    payload: &'a [u8],
    state: &'a State,
    places: Cell<Option<&'a mut Vec<Place>>>,
    text: OnceCell<Result<&'a str, usize>>,
    json: OnceCell<Result<Json<'a>, JsonError>>,
    member: Cell<Found>,
    id: OnceCell<Short>,
    peerhost: OnceCell<Short>,
    fuel: Cell<usize>,
}

impl<'a> Input<'a> {
    /// A message that was published.
    #[must_use]
    #[inline]
    pub fn publish(event: PublishEvent<'a>, scratch: &'a mut Scratch) -> Self {
        Self::new(Source::Publish(event), event.payload, scratch)
    }

    /// Any event, as a list of its fields.
    #[must_use]
    pub fn fields(event: EventView<'a>, scratch: &'a mut Scratch) -> Self {
        let payload = event.fields.iter().find_map(|(field, given)| match (field, given) {
            (EventField::Payload, Given::Payload(payload)) => Some(*payload),
            (EventField::Payload, Given::Text(text)) => Some(text.as_bytes()),
            _ => None,
        });
        Self::new(Source::Fields(event), payload.unwrap_or_default(), scratch)
    }

    #[inline]
    fn new(source: Source<'a>, payload: &'a [u8], scratch: &'a mut Scratch) -> Self {
        const PLACES_KEPT: usize = 4096;
        let Scratch { places, state } = scratch;
        if places.len() > PLACES_KEPT {
            places.truncate(PLACES_KEPT);
            places.shrink_to_fit();
        }
        Self {
            source,
            payload,
            state,
            places: Cell::new(Some(places)),
            text: OnceCell::new(),
            json: OnceCell::new(),
            member: Cell::default(),
            id: OnceCell::new(),
            peerhost: OnceCell::new(),
            fuel: Cell::new(FUEL),
        }
    }

    /// Which event it is.
    #[must_use]
    pub const fn event(&self) -> Event {
        match &self.source {
            Source::Publish(_) => Event::MessagePublish,
            Source::Fields(view) => view.event,
        }
    }

    /// When it happened: milliseconds since 1970-01-01T00:00:00Z. What functions of time take for now.
    #[must_use]
    pub const fn unix_ms(&self) -> u64 {
        match &self.source {
            Source::Publish(event) => event.unix_ms,
            Source::Fields(view) => view.unix_ms,
        }
    }

    /// What rules keep between events.
    #[must_use]
    pub const fn state(&self) -> &'a State {
        self.state
    }

    /// The Topic Name; empty for an event without one.
    #[must_use]
    pub fn topic(&self) -> Cow<'a, str> {
        match &self.source {
            Source::Publish(event) => Cow::Borrowed(event.topic),
            Source::Fields(_) => match self.given(EventField::Topic) {
                Some(Given::Text(topic)) => Cow::Borrowed(topic),
                Some(Given::Value(Value::Text(topic))) => Cow::Owned(topic.clone().into_owned()),
                _ => Cow::Borrowed(""),
            },
        }
    }

    fn given(&self, wanted: EventField) -> Option<&'a Given<'a>> {
        let Source::Fields(view) = &self.source else { return None };
        view.fields.iter().find(|(field, _)| *field == wanted).map(|(_, given)| given)
    }

    /// RETAIN.
    pub(crate) fn retain(&self) -> bool {
        match &self.source {
            Source::Publish(event) => event.retain,
            Source::Fields(_) => self.flag("retain", |retain, _| retain),
        }
    }

    /// DUP.
    pub(crate) fn dup(&self) -> bool {
        match &self.source {
            Source::Publish(event) => event.dup,
            Source::Fields(_) => self.flag("dup", |_, dup| dup),
        }
    }

    fn flag(&self, name: &str, of: fn(bool, bool) -> bool) -> bool {
        match self.given(EventField::Flags) {
            Some(Given::Flags { retain, dup }) => of(*retain, *dup),
            Some(Given::Value(flags)) => flags.member(name) == Some(&Value::Bool(true)),
            _ => false,
        }
    }

    /// The whole value of a field; null if the event has none.
    #[must_use]
    pub fn field(&self, field: EventField) -> Value<'_> {
        let event = match &self.source {
            Source::Publish(event) => event,
            Source::Fields(view) => return self.field_of(view, field),
        };
        match field {
            EventField::Id => self.id(event.id),
            EventField::ClientId => Value::text(event.clientid),
            EventField::Username => event.username.map_or(Value::Null, Value::text),
            EventField::PeerHost => self.host(event.peerhost),
            EventField::Topic => Value::text(event.topic),
            EventField::Qos => Value::Int(event.qos as i64),
            EventField::Flags => flags(event.retain, event.dup),
            EventField::Retain => Value::Bool(event.retain),
            EventField::Payload => self.whole_payload(),
            EventField::PubProps => properties(event.properties, Carrier::Publish),
            EventField::UserProperties => user_properties(&properties(event.properties, Carrier::Publish)),
            EventField::Headers => Value::Map(vec![
                ("peerhost".into(), self.host(event.peerhost)),
                ("username".into(), event.username.map_or(Value::Null, Value::text)),
                ("properties".into(), properties(event.properties, Carrier::Publish)),
            ]),
            EventField::PublishReceivedAt | EventField::Timestamp => milliseconds(event.unix_ms),
            EventField::Node => Value::text(event.node),
            EventField::Event => Value::text(Event::MessagePublish.info().name),
            EventField::ClientAttrs => Value::Map(Vec::new()),
            _ => Value::Null,
        }
    }

    fn field_of(&self, view: &EventView<'a>, field: EventField) -> Value<'_> {
        match self.given(field) {
            Some(Given::Value(value)) => value.borrowed(),
            Some(Given::Text(text)) if field == EventField::Payload => Value::text(text),
            Some(Given::Text(text)) => Value::text(text),
            Some(Given::Id(id)) => self.id(*id),
            Some(Given::Host(host)) => self.host(*host),
            Some(Given::Socket(socket)) => Value::Text(Cow::Owned(socket.to_string())),
            Some(Given::Properties(raw, carrier)) => properties(raw, *carrier),
            Some(Given::Payload(_)) => self.whole_payload(),
            Some(Given::Flags { retain, dup }) => flags(*retain, *dup),
            None => match field {
                EventField::Timestamp => milliseconds(view.unix_ms),
                EventField::Node => Value::text(view.node),
                EventField::Event => Value::text(view.event.info().name),
                EventField::ClientAttrs => Value::Map(Vec::new()),
                EventField::Retain => Value::Bool(self.retain()),
                EventField::UserProperties => user_properties(&self.field(EventField::PubProps)),
                EventField::Headers => Value::Map(vec![
                    ("peerhost".into(), self.field(EventField::PeerHost)),
                    ("username".into(), self.field(EventField::Username)),
                    ("properties".into(), self.field(EventField::PubProps)),
                ]),
                _ => Value::Null,
            },
        }
    }

    fn id(&self, id: u128) -> Value<'_> {
        Value::text(self.id.get_or_init(|| Short::hex(id)).text())
    }

    fn host(&self, host: IpAddr) -> Value<'_> {
        Value::text(self.peerhost.get_or_init(|| Short::of(format_args!("{host}"))).text())
    }

    fn whole_payload(&self) -> Value<'a> {
        match self.text() {
            Ok(text) => Value::text(text),
            Err(_) => Value::Bytes(self.payload.into()),
        }
    }

    /// A part of the payload.
    pub(crate) fn payload(&self, steps: &[Step]) -> Result<Value<'a>, Trouble> {
        /// About what looking at one place costs, beside looking at one byte.
        const PLACE_BYTES: usize = 8;
        let failed = |error| {
            const SHOWN: usize = 40;
            let met = &self.payload[..self.payload.len().min(SHOWN)];
            Trouble::Payload(error, String::from_utf8_lossy(met).into_owned())
        };
        let mut visited = 0;
        let value =
            self.json().and_then(|json| json.value_counted(steps, &mut visited, &self.member)).map_err(failed)?;
        self.pay(visited * PLACE_BYTES)?;
        Ok(value)
    }

    /// Pays for work of this many bytes.
    pub(crate) fn pay(&self, bytes: usize) -> Result<(), Trouble> {
        let left = self.fuel.get().checked_sub(bytes).ok_or(Trouble::TooMuchWork)?;
        self.fuel.set(left);
        Ok(())
    }

    /// What is left of the allowance.
    pub(crate) fn fuel_left(&self) -> usize {
        self.fuel.get()
    }

    /// A rule begins: it has the whole allowance.
    pub(crate) fn refuel(&self) {
        self.fuel.set(FUEL);
    }

    fn text(&self) -> Result<&'a str, usize> {
        *self.text.get_or_init(|| std::str::from_utf8(self.payload).map_err(|error| error.valid_up_to()))
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
        self.source.fmt(f)
    }
}

fn flags(retain: bool, dup: bool) -> Value<'static> {
    Value::Map(vec![("retain".into(), Value::Bool(retain)), ("dup".into(), Value::Bool(dup))])
}

fn milliseconds(unix_ms: u64) -> Value<'static> {
    Value::Int(i64::try_from(unix_ms).unwrap_or(i64::MAX))
}

fn properties(raw: &[u8], carrier: Carrier) -> Value<'_> {
    properties::by_name(Properties::check(raw, carrier).unwrap_or_default())
}

fn user_properties(properties: &Value<'_>) -> Value<'static> {
    properties.member("User-Property").map_or_else(|| Value::Map(Vec::new()), |user| user.clone().into_owned())
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
