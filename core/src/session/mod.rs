//! Session: what MQTT keeps for one client across its connections, as a state machine without I/O.
//!
//! Invariants: every message accepted by [`Session::admit`] is sent, queued, or dropped with a reason; a Packet
//! Identifier is in use from [`Admit::Send`] until its last acknowledgement.
//! Not here: who is subscribed to what across clients (the shard's filters), and encoding.

pub mod inflight;
pub mod outbox;
pub mod received;
pub mod topic_alias;

#[cfg(test)]
mod tests;

use std::time::Duration;

use smallvec::SmallVec;

use crate::message::{Lazy, Message};
use crate::metrics::Limit;
use crate::packet::{PacketId, ProtocolVersion, QoS, SubscriptionOptions};
use crate::time::Millis;
use inflight::{Entry, Inflight, Stage};
use outbox::{Outbox, Queued};
use received::Received;

/// A Session Expiry Interval of 0xFFFFFFFF: the session does not expire.
pub const NEVER_EXPIRES: u32 = u32::MAX;

/// Subscription Identifiers of one delivery: one for each matching subscription that has one.
pub type SubscriptionIds = SmallVec<[u32; 2]>;

/// One subscription of a session.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// As the client wrote it, with `$share/{group}/` if it is shared.
    pub filter: Box<str>,
    /// What it asked for.
    pub options: SubscriptionOptions,
    /// Subscription Identifier, 0 for none.
    pub id: u32,
}

/// A Will that waits for its connection to fail.
#[derive(Clone, Debug)]
pub struct Will {
    /// The message; its expiry counts from when it is published, so the head says "never" until then.
    pub message: Message,
    /// Will Delay Interval in seconds.
    pub delay: u32,
    /// Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
}

/// How a message goes to this session: the outcome of matching its subscriptions.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The lower one of the message's and the highest matching subscription's QoS.
    pub qos: QoS,
    /// RETAIN of the PUBLISH that will be sent.
    pub retain: bool,
    /// All matching subscriptions' identifiers.
    pub subscription_ids: SubscriptionIds,
    /// The shared subscription it came through, 0 for none.
    pub group: u64,
}

/// Why a delivery did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The queue was full.
    QueueFull,
    /// It expired while it waited.
    Expired,
    /// Larger than the client's Maximum Packet Size.
    TooLarge,
    /// QoS 0 for a client that reads too slowly.
    Slow,
}

/// How many deliveries of QoS 0, 1 and 2.
pub type ByQoS = [u32; 3];

/// What becomes of one delivery.
#[derive(Debug)]
pub enum Admit {
    /// Encode it now; QoS 1 and 2 with this Packet Identifier.
    Send(Option<PacketId>),
    /// It waits in the queue; one or several older ones may have been dropped for it.
    Queued {
        /// Older messages that were dropped from the front for it, by QoS.
        dropped: ByQoS,
    },
    /// It is not delivered.
    Dropped(Dropped),
    /// QoS 0 for a client that is away: there is nothing to deliver.
    Away,
}

/// What an acknowledgement did.
#[derive(Debug)]
pub enum Acked {
    /// The delivery is complete.
    Done {
        /// Its QoS.
        qos: QoS,
        /// The shared subscription it came through, 0 for none or if that was told before.
        group: u64,
    },
    /// A PUBREL is due.
    Release {
        /// The shared subscription whose message is the client's now, 0 for none or if it was so before.
        group: u64,
    },
    /// No delivery has this Packet Identifier (or it is at another stage).
    Unknown,
}

/// What a session holds for its client at one moment, as far as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Deliveries that wait.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Deliveries under way.
    pub inflight: usize,
}

/// Bounds of a queue, from the config.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Messages.
    pub messages: u32,
    /// Bytes, with those of the messages that are under way and may have to be sent again.
    pub bytes: u64,
    /// The oldest goes when it is full, not the newest.
    pub drop_oldest: bool,
    /// QoS 0 waits for a client that is away.
    pub keep_qos0: bool,
    /// A message that is under way is kept until it is acknowledged, also where nobody may ask for it again.
    pub keep_all: bool,
}

/// What MQTT keeps for one client.
pub struct Session {
    /// Client Identifier.
    pub client_id: Box<str>,
    /// A hash of the Client Identifier; what No Local compares.
    pub key: u64,
    /// Version of the last connection.
    pub version: ProtocolVersion,
    /// Session Expiry Interval in seconds.
    pub expiry: u32,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Deliveries under way.
    pub inflight: Inflight,
    /// QoS 2 messages received and not yet released.
    pub received: Received,
    /// Deliveries that wait; absent while there are none.
    outbox: Option<Box<Outbox>>,
    /// The Will of the present connection, or one whose delay runs.
    pub will: Option<Box<Will>>,
}

impl Session {
    /// A new session without subscriptions.
    #[must_use]
    pub fn new(client_id: &str, key: u64, version: ProtocolVersion, expiry: u32) -> Self {
        Self {
            client_id: client_id.into(),
            key,
            version,
            expiry,
            subscriptions: Vec::new(),
            inflight: Inflight::default(),
            received: Received::default(),
            outbox: None,
            will: None,
        }
    }

    /// Whether it outlives its connection. If not, nothing need be kept for retransmission.
    #[must_use]
    pub const fn is_persistent(&self) -> bool {
        self.expiry != 0
    }

    /// When it ends if its client left now.
    #[must_use]
    pub fn expires_at(&self, now: Millis) -> Millis {
        match self.expiry {
            NEVER_EXPIRES => Millis::NEVER,
            seconds => now.after(Duration::from_secs(seconds.into())),
        }
    }

    /// Decides over one delivery. `online` says whether there is a connection and `room` whether its output has room.
    ///
    /// The message is kept (copied, once for all sessions) only where it must outlive the step: queued, or under way
    /// in a session that lives on, or through a shared subscription that may have to pass it on.
    pub fn admit(
        &mut self,
        message: &Lazy<'_>,
        grant: &Grant,
        online: bool,
        room: bool,
        limits: &QueueLimits,
    ) -> Admit {
        match self.admit_at_once(message, grant, online, room, limits) {
            Some(admit) => admit,
            None => self.queue(Queued { message: message.keep(), grant: grant.clone() }, limits),
        }
    }

    /// The same; `dropped` gets the older messages that go for it.
    pub fn admit_watched(
        &mut self,
        message: &Lazy<'_>,
        grant: &Grant,
        online: bool,
        room: bool,
        limits: &QueueLimits,
        dropped: impl FnMut(Queued),
    ) -> Admit {
        match self.admit_at_once(message, grant, online, room, limits) {
            Some(admit) => admit,
            None => self.queue_watched(Queued { message: message.keep(), grant: grant.clone() }, limits, dropped),
        }
    }

    /// Decides over a delivery that does not have to wait.
    #[inline(always)]
    fn admit_at_once(
        &mut self,
        message: &Lazy<'_>,
        grant: &Grant,
        online: bool,
        room: bool,
        limits: &QueueLimits,
    ) -> Option<Admit> {
        let waiting = self.queued() > 0;
        if grant.qos == QoS::AtMostOnce {
            if online && room && !waiting {
                return Some(Admit::Send(None));
            }
            if online && !room {
                return Some(Admit::Dropped(Dropped::Slow));
            }
            if !(online || limits.keep_qos0 && self.is_persistent()) {
                return Some(Admit::Away);
            }
            if online && !limits.keep_qos0 {
                // Earlier QoS 1 and 2 messages wait for the window only; QoS 0 may pass them (section 4.6).
                return Some(Admit::Send(None));
            }
        } else if online && room && !waiting && self.inflight.has_room() && self.may_keep(message, grant, limits) {
            return Some(Admit::Send(Some(self.begin(message, grant, limits))));
        }
        None
    }

    /// Whether the window may hold one message more: what is under way counts against the bytes of the queue. One
    /// message alone always may, however large it is.
    fn may_keep(&self, message: &Lazy<'_>, grant: &Grant, limits: &QueueLimits) -> bool {
        let kept = self.inflight.kept_bytes();
        if kept == 0 || !self.keeps(grant, limits.keep_all) {
            return true;
        }
        let view = message.view();
        kept + (view.topic.len() + view.properties.len() + view.payload.len()) as u64 <= limits.bytes
    }

    const fn keeps(&self, grant: &Grant, all: bool) -> bool {
        all || self.is_persistent() || grant.group != 0
    }

    fn begin(&mut self, message: &Lazy<'_>, grant: &Grant, limits: &QueueLimits) -> PacketId {
        let kept = self.keeps(grant, limits.keep_all).then(|| Queued { message: message.keep(), grant: grant.clone() });
        self.inflight.begin(grant.qos, kept)
    }

    /// Puts a delivery at the end of the queue.
    pub fn queue(&mut self, queued: Queued, limits: &QueueLimits) -> Admit {
        self.queue_watched(queued, limits, drop)
    }

    fn queue_watched(&mut self, queued: Queued, limits: &QueueLimits, dropped: impl FnMut(Queued)) -> Admit {
        let left = limits.bytes.saturating_sub(self.inflight.kept_bytes());
        let limits = QueueLimits { bytes: left, ..*limits };
        let admit = self.outbox.get_or_insert_default().push(queued, &limits, dropped);
        if self.queued() == 0 {
            self.outbox = None;
        }
        admit
    }

    /// Deliveries that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// What it holds now.
    #[inline]
    #[must_use]
    pub fn held(&self) -> Held {
        Held { queued: self.queued(), queued_bytes: self.queued_bytes(), inflight: self.inflight.len() }
    }

    /// Which bound of the queue it is that the last message met.
    #[must_use]
    pub fn full_limit(&self, limits: &QueueLimits) -> Limit {
        if self.queued() >= limits.messages as usize { Limit::QueuedMessages } else { Limit::QueuedBytes }
    }

    /// Bytes of the deliveries that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Drops what has expired at the front of the queue; returns how many, by QoS.
    pub fn expire_queued(&mut self, now: Millis) -> ByQoS {
        self.expire_queued_watched(now, drop)
    }

    /// The same; `dropped` gets them.
    pub fn expire_queued_watched(&mut self, now: Millis, mut dropped: impl FnMut(Queued)) -> ByQoS {
        let mut expired = ByQoS::default();
        let Some(outbox) = &mut self.outbox else { return expired };
        while outbox.front().is_some_and(|queued| queued.message.view().head.expires_at <= now) {
            if let Some(queued) = outbox.pop() {
                expired[queued.grant.qos as usize] += 1;
                dropped(queued);
            }
        }
        expired
    }

    /// The queued delivery that is next.
    #[must_use]
    pub fn front(&self) -> Option<&Queued> {
        self.outbox.as_ref()?.front()
    }

    /// Takes the next queued delivery, if its window allows, with its Packet Identifier. The caller has room for one
    /// more packet. `keep_all` as in [`QueueLimits`].
    pub fn next_queued(&mut self, keep_all: bool) -> Option<(Queued, Option<PacketId>)> {
        let qos = self.front()?.grant.qos;
        if qos != QoS::AtMostOnce && !self.inflight.has_room() {
            return None;
        }
        let queued = self.pop_queued()?;
        let packet_id = (qos != QoS::AtMostOnce).then(|| {
            let keep = self.keeps(&queued.grant, keep_all);
            self.inflight.begin(qos, keep.then(|| queued.clone()))
        });
        Some((queued, packet_id))
    }

    /// Takes the next queued delivery out.
    pub fn pop_queued(&mut self) -> Option<Queued> {
        let outbox = self.outbox.as_mut()?;
        let queued = outbox.pop();
        if outbox.is_empty() {
            self.outbox = None;
        }
        queued
    }

    /// Takes all that waits, for passing on.
    pub fn take_queued(&mut self) -> Vec<Queued> {
        self.outbox.take().map_or_else(Vec::new, |outbox| outbox.into_all())
    }

    /// Takes what waits with QoS 1 or 2 for shared subscriptions, for passing on.
    pub fn take_queued_of_groups(&mut self) -> Vec<Queued> {
        let Some(outbox) = &mut self.outbox else { return Vec::new() };
        outbox.extract(|queued| queued.grant.group != 0 && queued.grant.qos != QoS::AtMostOnce)
    }

    /// PUBACK (section 3.4).
    pub fn on_puback(&mut self, packet_id: PacketId) -> Acked {
        if self.inflight.stage(packet_id) == Some(Stage::Puback) {
            self.done(packet_id, QoS::AtLeastOnce)
        } else {
            Acked::Unknown
        }
    }

    /// PUBREC (section 3.5). With an error the delivery is over; the message is not tried elsewhere [MQTT-4.8.2-6].
    pub fn on_pubrec(&mut self, packet_id: PacketId, is_error: bool) -> Acked {
        match self.inflight.stage(packet_id) {
            Some(Stage::Pubrec) if is_error => self.done(packet_id, QoS::ExactlyOnce),
            Some(Stage::Pubrec) => {
                let group = self.inflight.release(packet_id).map_or(0, |kept| kept.grant.group);
                Acked::Release { group }
            }
            // A PUBREC that comes again is answered again.
            Some(Stage::Pubcomp) => Acked::Release { group: 0 },
            _ => Acked::Unknown,
        }
    }

    /// PUBCOMP (section 3.7).
    pub fn on_pubcomp(&mut self, packet_id: PacketId) -> Acked {
        if self.inflight.stage(packet_id) == Some(Stage::Pubcomp) {
            self.done(packet_id, QoS::ExactlyOnce)
        } else {
            Acked::Unknown
        }
    }

    fn done(&mut self, packet_id: PacketId, qos: QoS) -> Acked {
        let group = self.inflight.end(packet_id).map_or(0, |kept| kept.grant.group);
        Acked::Done { qos, group }
    }

    /// What was under way when the connection broke, oldest first, to be sent again with DUP, or as PUBREL where the
    /// entry holds no message any more [MQTT-4.4.0-1].
    pub fn unacknowledged(&self) -> impl Iterator<Item = (PacketId, Entry<'_>)> {
        self.inflight.iter()
    }
}
