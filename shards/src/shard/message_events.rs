//! Message events: telling rules what becomes of messages and of their deliveries.
//!
//! A delivery is told of where its receiver lives, a message that nobody gets where its publisher does. What the broker
//! says of itself under `$SYS/` is not told of.

use millrace_core::codec::properties::{Carrier, Property};
use millrace_core::message::{Lazy, Marked, Memory, MessageHead, MessageView};
use millrace_core::packet::{Ack, QoS};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::inflight::Stage;
use millrace_core::session::outbox::Queued;
use millrace_core::session::{Admit, Dropped, Grant, QueueLimits, Session};
use millrace_core::time::Millis;
use millrace_rules::Given;
use millrace_rules::fields::{Event, EventField};

use super::Shard;
use super::events::{Fields, NOTHING, Who, int, text};
use super::io::ConnId;
use super::mark::{Mark, Through};
use super::publish::{Accepted, Refused};
use super::republished::Trail;
use super::route::Origin;
use super::rule_stage::Ear;

/// One delivery as rules see it.
fn delivery<'a>(who: Who<'a>, view: &MessageView<'a>, mark: Option<Mark<'a>>, grant: &Grant) -> Fields<'a> {
    let mut fields = who.fields();
    fields.extend([
        (EventField::Id, mark.map_or(NOTHING, |mark| Given::Id(mark.id))),
        (EventField::FromClientId, text(mark.and_then(|mark| mark.client_id))),
        (EventField::FromUsername, text(mark.and_then(|mark| mark.username))),
        (EventField::PublishReceivedAt, mark.map_or(NOTHING, |mark| int(mark.received_at))),
        (EventField::Topic, Given::Text(view.topic)),
        (EventField::Qos, int(grant.qos as u64)),
        (EventField::Flags, Given::Flags { retain: grant.retain, dup: false }),
        (EventField::Payload, Given::Payload(view.payload)),
        (EventField::PubProps, Given::Properties(view.properties, Carrier::Publish)),
    ]);
    fields
}

fn is_of_the_broker(view: &MessageView<'_>) -> bool {
    view.topic.starts_with("$SYS/")
}

/// Why a delivery did not happen, as rules see it.
const fn word(why: Dropped) -> &'static str {
    match why {
        Dropped::QueueFull => "queue_full",
        Dropped::Expired => "expired",
        Dropped::TooLarge => "too_large",
        Dropped::Slow => "qos0_msg",
    }
}

/// As [`Session::admit`], keeping what is dropped for it.
pub(super) fn admit_watched(
    session: &mut Session,
    message: &Lazy<'_>,
    grant: &Grant,
    online: bool,
    room: bool,
    limits: &QueueLimits,
    gone: &mut Vec<Queued>,
) -> Admit {
    session.admit_watched(message, grant, online, room, limits, |oldest| gone.push(oldest))
}

impl Shard {
    /// As [`Shard::publish_now`], with a mark for the events that follow.
    #[cold]
    pub(super) fn publish_marked(&mut self, message: &Lazy<'_>, origin: Origin<'_>) -> Accepted {
        let id = self.message_id();
        let mut bytes = std::mem::take(&mut self.events.mark);
        let who = self.publisher_of(origin);
        let (client_id, username) = (who.map(|who| who.client_id), who.and_then(|who| who.username));
        let trail = origin.trail().map_or(&[][..], Trail::rules);
        Mark { id, received_at: self.now.unix.0, through: Through::Rules(trail), client_id, username }
            .write(&mut bytes);
        let marked = Marked { memory: message.memory(), mark: &bytes };
        let accepted = self.publish_now(&Lazy::within(*message.view(), Memory::Marked(&marked)), origin);
        self.events.mark = bytes;
        accepted
    }

    fn publisher_of<'a>(&'a self, origin: Origin<'a>) -> Option<Who<'a>> {
        match origin {
            Origin::Client { client, .. } => self.events.who(&self.clients, &self.conns, client),
            Origin::Publisher(publisher) => Some(publisher.who()),
            Origin::Rule(trail) => Some(Who { client_id: trail.name(), username: None, host: None }),
            Origin::Elsewhere => None,
        }
    }

    #[cold]
    pub(super) fn raise_delivered(&mut self, client: u32, message: &Lazy<'_>, grant: &Grant) {
        self.raise_delivery(Event::MessageDelivered, client, message, grant, None);
    }

    fn raise_delivery(
        &mut self,
        event: Event,
        client: u32,
        message: &Lazy<'_>,
        grant: &Grant,
        reason: Option<&'static str>,
    ) {
        if is_of_the_broker(message.view()) {
            return;
        }
        let Self { events, rules, rule_scratch, counters, clients, conns, now, .. } = self;
        let Some(who) = events.who(clients, conns, client) else { return };
        let mark = Mark::read(message.mark());
        let trail = mark.and_then(|mark| mark.trail());
        let mut fields = delivery(who, message.view(), mark, grant);
        fields.push((EventField::Reason, text(reason)));
        events.raise(Ear { rules, scratch: rule_scratch, counters, now: *now, trail: trail.as_ref() }, event, &fields);
    }

    /// A client acknowledges a message for the first time; of one that was under way before a rule wanted that nothing
    /// is known any more.
    #[cold]
    pub(super) fn raise_acked(&mut self, id: ConnId, ack: &Ack<'_>, stage: Stage) {
        let Self { events, rules, rule_scratch, counters, clients, conns, now, .. } = self;
        let client = conns.look(id.slot).client;
        let (Some(state), Some(who)) = (clients.get(client), events.who(clients, conns, client)) else { return };
        let inflight = &state.session.inflight;
        let kept = inflight.kept(ack.packet_id).filter(|_| inflight.stage(ack.packet_id) == Some(stage));
        let Some(kept) = kept else { return };
        let view = kept.message.view();
        if is_of_the_broker(&view) {
            return;
        }
        let carrier = if stage == Stage::Puback { Carrier::PubAck } else { Carrier::PubRec };
        let mark = Mark::read(kept.message.mark());
        let trail = mark.and_then(|mark| mark.trail());
        let mut fields = delivery(who, &view, mark, &kept.grant);
        fields.push((EventField::PubackProps, Given::Properties(ack.properties.raw(), carrier)));
        events.raise(
            Ear { rules, scratch: rule_scratch, counters, now: *now, trail: trail.as_ref() },
            Event::MessageAcked,
            &fields,
        );
    }

    /// A delivery is not made.
    #[cold]
    pub(super) fn raise_not_delivered(&mut self, client: u32, message: &Lazy<'_>, grant: &Grant, why: Dropped) {
        if !self.events.wants(Event::DeliveryDropped) {
            return;
        }
        self.raise_delivery(Event::DeliveryDropped, client, message, grant, Some(word(why)));
    }

    /// Deliveries were dropped from the queue of a client.
    #[cold]
    pub(super) fn raise_gone(&mut self, client: u32, why: Dropped) {
        for queued in std::mem::take(&mut self.events.gone) {
            self.raise_not_delivered(client, &Lazy::shared(&queued.message), &queued.grant, why);
        }
    }

    /// A client does not get what it published itself.
    #[cold]
    pub(super) fn raise_no_local(&mut self, client: u32, message: &Lazy<'_>, qos: QoS) {
        let grant = Grant { qos, retain: message.view().head.retain, ..Grant::default() };
        self.raise_delivery(Event::DeliveryDropped, client, message, &grant, Some("no_local"));
    }

    /// A message that nobody gets, or that was refused, with its topic as others would have seen it.
    #[cold]
    pub(super) fn raise_dropped(&mut self, message: &Lazy<'_>, origin: Origin<'_>, reason: &str) {
        let mark = Mark::read(message.mark());
        let id = mark.map_or_else(|| self.message_id(), |mark| mark.id);
        let trail = origin.trail().cloned();
        let Self { events, rules, rule_scratch, counters, clients, conns, now, .. } = self;
        let (who, dup) = match origin {
            Origin::Client { client, dup } => (events.who(clients, conns, client), dup),
            Origin::Publisher(publisher) => (Some(publisher.who()), false),
            Origin::Rule(trail) => (Some(Who { client_id: trail.name(), username: None, host: None }), false),
            Origin::Elsewhere => (None, false),
        };
        let Some(who) = who else { return };
        let view = message.view();
        let mut fields = who.fields();
        fields.extend([
            (EventField::Id, Given::Id(id)),
            (EventField::PublishReceivedAt, int(mark.map_or(now.unix.0, |mark| mark.received_at))),
            (EventField::Reason, Given::Text(reason)),
            (EventField::Topic, Given::Text(view.topic)),
            (EventField::Qos, int(view.head.qos as u64)),
            (EventField::Flags, Given::Flags { retain: view.head.retain, dup }),
            (EventField::Payload, Given::Payload(view.payload)),
            (EventField::PubProps, Given::Properties(view.properties, Carrier::Publish)),
        ]);
        events.raise(
            Ear { rules, scratch: rule_scratch, counters, now: *now, trail: trail.as_ref() },
            Event::MessageDropped,
            &fields,
        );
    }

    /// A PUBLISH was not accepted.
    #[cold]
    pub(super) fn raise_refused_publish(&mut self, id: ConnId, publish: &Refused<'_>, reason: ReasonCode) {
        let conn = self.conns.look(id.slot);
        let alias = publish.properties.u16(Property::TopicAlias).filter(|_| publish.topic.is_empty());
        let aliased = alias.and_then(|alias| conn.extras.as_ref()?.inbound.get(alias));
        let topic = aliased.unwrap_or(publish.topic).to_owned();
        let mut mounted = String::new();
        let head = MessageHead { qos: publish.qos, retain: publish.retain, expires_at: Millis::NEVER, publisher: 0 };
        let origin = Origin::Client { client: conn.client, dup: publish.dup };
        let topic = self.mount_topic(conn.mountpoint, &topic, &mut mounted);
        let view = MessageView { head, topic, properties: publish.properties.raw(), payload: publish.payload };
        self.raise_dropped(&Lazy::new(view), origin, &reason.word());
    }
}
