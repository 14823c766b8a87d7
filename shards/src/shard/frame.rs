//! What shards tell each other: a plain enum that can be encoded, no closure, pointer or oneshot in it.
//!
//! All that one shard sends another within a turn ends with a [`Frame::Mark`] if an answer waits for it; the other
//! answers [`Frame::Taken`] once it has done everything before the mark.

use std::net::SocketAddr;

use bytes::Bytes;
use millrace_core::message::{Lazy, Marked, Memory, Message, MessageHead, MessageView};
use millrace_core::packet::QoS;
use millrace_core::time::Millis;
use millrace_core::topic::retained::Cursor;

use super::io::ListenerId;

/// One entry of a mesh ring.
#[derive(Debug)]
pub enum Frame {
    /// Messages, in the order they were accepted.
    Messages(Box<Batch>),
    /// The first local subscriber of a filter came, or the last one went.
    Route(Box<RouteChange>),
    /// A connection whose client lives on the receiving shard; its socket comes beside the mesh, with the same token.
    Handover(Box<Handover>),
    /// Asks for retained messages.
    RetainedQuery(Box<RetainedQuery>),
    /// Some of them.
    RetainedPage(Box<RetainedPage>),
    /// A session wants to be a member of a shared subscription that the receiving shard owns.
    GroupJoin(Box<GroupJoin>),
    /// The [`GroupJoin`] with this number is known everywhere.
    GroupJoined {
        /// [`GroupJoin::reply`].
        reply: u64,
    },
    /// A member leaves.
    GroupLeave(Box<GroupLeave>),
    /// A member's client came or went.
    GroupPresence(Box<GroupPresence>),
    /// A member acknowledged this many messages of the group.
    GroupAcked {
        /// The group and its generation.
        group: (u32, u32),
        /// The member's client and its generation, on the sending shard.
        member: (u32, u32),
        /// How many.
        count: u32,
    },
    /// A member went with messages of the group that it had not acknowledged; they go to the next.
    GroupReturn(Box<GroupReturn>),
    /// Everything before this belongs to the given turn of the sender, who waits for it.
    Mark {
        /// The sender's turn.
        turn: u64,
    },
    /// Everything up to this turn of the receiver has been done.
    Taken {
        /// The receiver's turn.
        turn: u64,
    },
}

/// See [`Frame::Route`].
#[derive(Debug)]
pub struct RouteChange {
    /// The filter, without a share prefix.
    pub filter: Box<str>,
    /// It is wanted now.
    pub wanted: bool,
}

/// See [`Frame::Handover`].
#[derive(Debug)]
pub struct Handover {
    /// Told with the socket too.
    pub token: u64,
    /// Who accepted it.
    pub listener: ListenerId,
    /// Who connected.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// All bytes that came so far, from CONNECT on.
    pub bytes: Vec<u8>,
}

/// See [`Frame::RetainedQuery`].
#[derive(Debug)]
pub struct RetainedQuery {
    /// Which feed of the sender asks, with its generation.
    pub feed: (u32, u32),
    /// What it wants.
    pub filter: Box<str>,
    /// Where to go on.
    pub cursor: Cursor,
}

/// See [`Frame::RetainedPage`].
#[derive(Debug)]
pub struct RetainedPage {
    /// Which feed of the receiver asked.
    pub feed: (u32, u32),
    /// Some messages, perhaps none although more follow.
    pub messages: Vec<Message>,
    /// Where to go on; absent at the end.
    pub cursor: Option<Cursor>,
}

/// See [`Frame::GroupJoin`].
#[derive(Debug)]
pub struct GroupJoin {
    /// Group name; `None` is the one of `$queue`.
    pub name: Option<Box<str>>,
    /// The filter, without the share prefix.
    pub filter: Box<str>,
    /// The member's client and its generation, on the sending shard.
    pub member: (u32, u32),
    /// Key of the member's session, for sticky and hashed choices.
    pub key: u64,
    /// Highest QoS it wants.
    pub qos: QoS,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Its Subscription Identifier, 0 for none.
    pub subscription_id: u32,
    /// Number of the answer that waits for this.
    pub reply: u64,
}

/// See [`Frame::GroupLeave`].
#[derive(Debug)]
pub struct GroupLeave {
    /// Group name.
    pub name: Option<Box<str>>,
    /// The filter, without the share prefix.
    pub filter: Box<str>,
    /// The member's client and its generation, on the sending shard.
    pub member: (u32, u32),
}

/// See [`Frame::GroupPresence`].
#[derive(Debug)]
pub struct GroupPresence {
    /// Group name.
    pub name: Option<Box<str>>,
    /// The filter, without the share prefix.
    pub filter: Box<str>,
    /// The member's client and its generation, on the sending shard.
    pub member: (u32, u32),
    /// It is connected.
    pub online: bool,
}

/// See [`Frame::GroupReturn`].
#[derive(Debug)]
pub struct GroupReturn {
    /// The group and its generation.
    pub group: (u32, u32),
    /// The member's client and its generation, on the sending shard.
    pub member: (u32, u32),
    /// The messages, oldest first, with the QoS that each was to be delivered with.
    pub messages: Vec<(QoS, Message)>,
}

/// What is to be done with a message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Give it to the subscribers on the receiving shard.
    Route {
        /// A number that messages of one batch share only if they have the same topic and publisher.
        topic: u32,
    },
    /// Give it to this member of this shared subscription.
    Member {
        /// The member's client and its generation, on the receiving shard.
        member: (u32, u32),
        /// The group and its generation, on the sending shard.
        group: (u32, u32),
        /// QoS of the delivery.
        qos: QoS,
        /// RETAIN of the delivery.
        retain: bool,
        /// The member's Subscription Identifier, 0 for none.
        subscription_id: u32,
    },
    /// Keep it as the retained message of its topic; an empty payload removes that.
    Retain,
}

/// Messages of one turn for one shard: small ones copied behind each other, large payloads by reference. Of a run of
/// messages that differ in nothing but their payload, only the first one is written in full.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    large: Vec<Bytes>,
    run: Option<Run>,
    /// What its messages come to when each is written in full.
    whole: usize,
}

/// What the last message of a batch has in common with the next one, perhaps.
#[derive(Debug)]
struct Run {
    /// Number of its topic and publisher.
    topic: u32,
    head: MessageHead,
    /// Where its properties are, and how many bytes.
    at: usize,
    properties_len: usize,
}

impl Run {
    #[inline]
    fn goes_on(&self, bytes: &[u8], topic: u32, view: &MessageView<'_>) -> bool {
        self.topic == topic
            && self.head == view.head
            && self.properties_len == view.properties.len()
            && (view.properties.is_empty() || bytes[self.at..][..self.properties_len] == *view.properties)
    }
}

const ROUTE: u8 = 0;
const MEMBER: u8 = 1;
const RETAIN: u8 = 2;
/// As the one before, with another payload.
const AGAIN: u8 = 3;
/// In the flags behind QoS and RETAIN: there is a mark.
const MARKED: u8 = 8;
/// The payload is among the large ones; no packet has this length.
const ELSEWHERE: u32 = u32::MAX;

/// Encoded head: purpose, flags and QoS, lengths, expiry, publisher.
const HEAD_BYTES: usize = 1 + 1 + 4 + 4 + 4 + 8 + 8;
const MEMBER_BYTES: usize = 4 + 4 + 4 + 4 + 1 + 1 + 4;

impl Frame {
    /// How much work it brings, in bytes of messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Messages(batch) => batch.whole(),
            _ => 0,
        }
    }
}

impl Batch {
    /// One that takes about so many bytes without growing.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Whether it has no message.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What it takes in memory, without what travels by reference.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What its messages come to for one who gets all of them, without their heads.
    #[must_use]
    pub const fn whole(&self) -> usize {
        self.whole
    }

    /// Appends a message.
    #[inline]
    pub fn push(&mut self, purpose: Purpose, message: &Lazy<'_>) {
        let view = message.view();
        self.whole += view.topic.len() + view.properties.len() + view.payload.len();
        let mark = message.mark();
        if let Purpose::Route { topic } = purpose
            && mark.is_empty()
            && self.run.as_ref().is_some_and(|run| run.goes_on(&self.bytes, topic, view))
        {
            let mut head = [AGAIN; 5];
            let large = message.payload();
            head[1..].copy_from_slice(&payload_len(view, large.as_ref()).to_le_bytes());
            self.bytes.extend_from_slice(&head);
            self.push_payload(view, large);
            return;
        }
        self.push_whole(purpose, view, mark, message.payload());
    }

    #[inline]
    fn push_payload(&mut self, view: &MessageView<'_>, large: Option<Bytes>) {
        match large {
            Some(payload) => self.large.push(payload),
            None => self.bytes.extend_from_slice(view.payload),
        }
    }

    fn push_whole(&mut self, purpose: Purpose, view: &MessageView<'_>, mark: &[u8], large: Option<Bytes>) {
        self.bytes.reserve(HEAD_BYTES + MEMBER_BYTES + view.topic.len() + view.properties.len());
        self.bytes.push(match purpose {
            Purpose::Route { .. } => ROUTE,
            Purpose::Member { .. } => MEMBER,
            Purpose::Retain => RETAIN,
        });
        let marked = if mark.is_empty() { 0 } else { MARKED };
        self.bytes.push(view.head.qos as u8 | u8::from(view.head.retain) << 2 | marked);
        for length in [view.topic.len() as u32, view.properties.len() as u32, payload_len(view, large.as_ref())] {
            self.bytes.extend_from_slice(&length.to_le_bytes());
        }
        self.bytes.extend_from_slice(&view.head.expires_at.0.to_le_bytes());
        self.bytes.extend_from_slice(&view.head.publisher.to_le_bytes());
        if let Purpose::Member { member, group, qos, retain, subscription_id } = purpose {
            for word in [member.0, member.1, group.0, group.1] {
                self.bytes.extend_from_slice(&word.to_le_bytes());
            }
            self.bytes.extend_from_slice(&[qos as u8, u8::from(retain)]);
            self.bytes.extend_from_slice(&subscription_id.to_le_bytes());
        }
        self.run = None;
        if marked != 0 {
            self.push_mark(mark);
        } else if let Purpose::Route { topic } = purpose {
            let at = self.bytes.len() + view.topic.len();
            self.run = Some(Run { topic, head: view.head, at, properties_len: view.properties.len() });
        }
        self.bytes.extend_from_slice(view.topic.as_bytes());
        self.bytes.extend_from_slice(view.properties);
        self.push_payload(view, large);
    }

    #[cold]
    fn push_mark(&mut self, mark: &[u8]) {
        self.bytes.extend_from_slice(&(mark.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(mark);
    }

    /// The messages, in order.
    pub fn each(self, mut visit: impl FnMut(Purpose, &Lazy<'_>)) {
        let common = Bytes::from(self.bytes);
        let mut reader = Reader { rest: &common, common: &common, large: self.large.iter() };
        let (mut last, mut run): (Option<MessageView<'_>>, u32) = (None, 0);
        while !reader.rest.is_empty() {
            let kind = reader.take(1)[0];
            if kind == AGAIN {
                let payload_len = reader.u32();
                let view = last.as_mut().expect("written behind the first of its run");
                let memory;
                (view.payload, memory) = reader.payload(payload_len);
                visit(Purpose::Route { topic: run }, &Lazy::within(*view, memory));
                continue;
            }
            let flags = reader.take(1)[0];
            let (topic_len, properties_len, payload_len) = (reader.u32(), reader.u32(), reader.u32());
            let head = MessageHead {
                qos: QoS::from_u8(flags & 3).expect("written by push"),
                retain: flags & 4 != 0,
                expires_at: Millis(reader.u64()),
                publisher: reader.u64(),
            };
            let purpose = match kind {
                ROUTE => {
                    run += 1;
                    Purpose::Route { topic: run }
                }
                MEMBER => Purpose::Member {
                    member: (reader.u32(), reader.u32()),
                    group: (reader.u32(), reader.u32()),
                    qos: QoS::from_u8(reader.take(1)[0]).expect("written by push"),
                    retain: reader.take(1)[0] != 0,
                    subscription_id: reader.u32(),
                },
                _ => Purpose::Retain,
            };
            let mark = if flags & MARKED == 0 { None } else { Some(reader.mark()) };
            let topic = std::str::from_utf8(reader.take(topic_len as usize)).expect("written from a str");
            let properties = reader.take(properties_len as usize);
            let (payload, memory) = reader.payload(payload_len);
            let view = MessageView { head, topic, properties, payload };
            last = Some(view);
            let marked;
            let memory = match mark {
                None => memory,
                Some(mark) => {
                    marked = Marked { memory, mark };
                    Memory::Marked(&marked)
                }
            };
            visit(purpose, &Lazy::within(view, memory));
        }
    }
}

fn payload_len(view: &MessageView<'_>, large: Option<&Bytes>) -> u32 {
    large.map_or(view.payload.len() as u32, |_| ELSEWHERE)
}

/// Reads a batch.
struct Reader<'a> {
    rest: &'a [u8],
    common: &'a Bytes,
    large: std::slice::Iter<'a, Bytes>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        taken
    }

    #[cold]
    fn mark(&mut self) -> &'a [u8] {
        let length = u16::from_le_bytes(self.take(2).try_into().expect("two bytes"));
        self.take(length.into())
    }

    fn payload(&mut self, len: u32) -> (&'a [u8], Memory<'a>) {
        if len == ELSEWHERE {
            let payload = self.large.next().expect("pushed with its head");
            (payload, Memory::Own(payload))
        } else {
            (self.take(len as usize), Memory::Common(self.common))
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }
}

#[cfg(test)]
mod tests {
    use millrace_core::message::LARGE_BYTES;

    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed_in_order() {
        let big = Bytes::from(vec![7u8; LARGE_BYTES]);
        let head = MessageHead { qos: QoS::ExactlyOnce, retain: true, expires_at: Millis(9), publisher: 77 };
        let small = MessageView { head, topic: "a/b", properties: &[1, 0], payload: b"x" };
        let large = MessageView { head, topic: "c", properties: &[], payload: &big };
        let route = Purpose::Route { topic: 0 };
        let member = Purpose::Member {
            member: (1, 2),
            group: (3, 4),
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_id: 268_435_455,
        };
        let mut batch = Batch::default();
        batch.push(route, &Lazy::new(small));
        batch.push(member, &Lazy::within(large, Memory::Own(&big)));
        batch.push(Purpose::Retain, &Lazy::new(large));
        let before = batch.bytes();
        for payload in [b"first", b"again", b"again"] {
            batch.push(route, &Lazy::new(MessageView { payload, ..small }));
        }
        assert!(batch.bytes() - before == HEAD_BYTES + 5 + 5 + 2 * 10, "a run is written once");
        batch.push(route, &Lazy::within(MessageView { payload: &big, ..small }, Memory::Own(&big)));
        batch.push(route, &Lazy::new(MessageView { head: MessageHead { publisher: 78, ..head }, ..small }));
        let (mut seen, mut publishers) = (Vec::new(), Vec::new());
        batch.each(|purpose, message| {
            let view = message.view();
            assert_eq!(view.head, MessageHead { publisher: view.head.publisher, ..head });
            publishers.push(view.head.publisher);
            let shared = message.payload().is_some_and(|payload| payload.as_ptr() == big.as_ptr());
            seen.push((purpose, view.topic.to_owned(), view.properties.to_vec(), view.payload.to_vec(), shared));
        });
        assert_eq!(publishers, [77, 77, 77, 77, 77, 77, 77, 78]);
        let in_run = |topic| Purpose::Route { topic };
        let of = |purpose, topic: &str, properties: &[u8], payload: &[u8], shared| {
            (purpose, topic.to_owned(), properties.to_vec(), payload.to_vec(), shared)
        };
        assert_eq!(
            seen,
            [
                of(in_run(1), "a/b", &[1, 0], b"x", false),
                of(member, "c", &[], &big, true),
                of(Purpose::Retain, "c", &[], &big, false),
                of(in_run(2), "a/b", &[1, 0], b"first", false),
                of(in_run(2), "a/b", &[1, 0], b"again", false),
                of(in_run(2), "a/b", &[1, 0], b"again", false),
                of(in_run(2), "a/b", &[1, 0], &big, true),
                of(in_run(3), "a/b", &[1, 0], b"x", false),
            ]
        );
    }
}
