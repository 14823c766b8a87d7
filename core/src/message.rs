//! What is routed once a PUBLISH has been accepted.
//!
//! A [`MessageView`] borrows from wherever the bytes lie: the receive buffer of the publisher, a mesh batch, or a
//! [`Message`]. A [`Message`] is one shared allocation for what must outlive the step (a queue, an inflight window of
//! a session that lives on, the retained tree). [`Lazy`] makes the one from the other at most once.
//!
//! A large payload is not copied to those who get it at once: whoever has it in memory that can be shared hands out
//! references ([`Lazy::payload`]).

use std::cell::OnceCell;

use bytes::Bytes;
use triomphe::ThinArc;

use crate::packet::QoS;
use crate::time::Millis;

/// Everything about a message but its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHead {
    /// Quality of Service it was published with.
    pub qos: QoS,
    /// It was published with Retain set.
    pub retain: bool,
    /// When it expires (monotonic), or [`Millis::NEVER`].
    pub expires_at: Millis,
    /// Who published it, for No Local: a key unique to the session among all shards; 0 for the broker itself.
    pub publisher: u64,
}

/// A message somewhere in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// Everything but the text.
    pub head: MessageHead,
    /// Topic Name, whole (no alias).
    pub topic: &'a str,
    /// The properties that travel with it, encoded and in order: Payload Format Indicator, Content Type, Response
    /// Topic, Correlation Data, User Properties. Never Message Expiry Interval (see `head.expires_at`), Topic Alias or
    /// Subscription Identifier, which differ for each receiver.
    pub properties: &'a [u8],
    /// Application Message.
    pub payload: &'a [u8],
}

/// A message that is shared by all who hold it: one allocation, one pointer.
#[derive(Clone)]
pub struct Message(ThinArc<Shape, u8>);

#[derive(Clone, Copy)]
struct Shape {
    head: MessageHead,
    topic_len: u16,
    mark_len: u16,
    properties_len: u32,
}

impl Message {
    /// Copies the view into a shared message.
    #[must_use]
    pub fn new(view: &MessageView<'_>) -> Self {
        Self::marked(view, &[])
    }

    /// The same with a mark, see [`Lazy::mark`].
    fn marked(view: &MessageView<'_>, mark: &[u8]) -> Self {
        let shape = Shape {
            head: view.head,
            topic_len: u16::try_from(view.topic.len()).expect("a topic has at most 65,535 bytes"),
            mark_len: mark.len() as u16,
            properties_len: u32::try_from(view.properties.len()).expect("a packet has under 256 MiB"),
        };
        JOIN.with_borrow_mut(|join| {
            join.clear();
            join.extend_from_slice(view.topic.as_bytes());
            join.extend_from_slice(view.properties);
            join.extend_from_slice(view.payload);
            join.extend_from_slice(mark);
            let message = Self(ThinArc::from_header_and_slice(shape, join));
            join.shrink_to(JOIN_BYTES_KEPT);
            message
        })
    }

    /// The message as a view.
    #[must_use]
    pub fn view(&self) -> MessageView<'_> {
        let shape = self.0.header.header;
        let body = &self.0.slice[..self.mark_at()];
        let (topic, rest) = body.split_at(shape.topic_len.into());
        let (properties, payload) = rest.split_at(shape.properties_len as usize);
        MessageView {
            head: shape.head,
            topic: std::str::from_utf8(topic).expect("copied from a str"),
            properties,
            payload,
        }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

impl Message {
    /// The bytes it keeps in memory, for queues that are bounded in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        std::mem::size_of::<Shape>() + 2 * std::mem::size_of::<usize>() + self.0.slice.len()
    }

    /// What the broker has written on it for itself, see [`Lazy::mark`].
    #[must_use]
    pub fn mark(&self) -> &[u8] {
        &self.0.slice[self.mark_at()..]
    }

    fn mark_at(&self) -> usize {
        self.0.slice.len() - usize::from(self.0.header.header.mark_len)
    }

    /// The payload, by reference.
    fn payload(&self) -> Bytes {
        Bytes::from_owner(Payload(self.clone()))
    }
}

struct Payload(Message);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        let Shape { topic_len, properties_len, .. } = self.0.0.header.header;
        &self.0.0.slice[usize::from(topic_len) + properties_len as usize..self.0.mark_at()]
    }
}

/// From this size on a payload is sent from where it lies; below it, copying is cheaper than counting references and
/// touching the publisher's cache lines from another core.
pub const LARGE_BYTES: usize = 4096;

/// Memory in which a message lies and that may be shared.
#[derive(Clone, Copy, Debug)]
pub enum Memory<'a> {
    /// None is.
    Borrowed,
    /// There is little in it but this message.
    Own(&'a Bytes),
    /// Others are in it too: whoever holds it for long holds much.
    Common(&'a Bytes),
    /// Any of these, and the message has a mark.
    Marked(&'a Marked<'a>),
}

/// A message's memory and its mark, see [`Lazy::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Marked<'a> {
    /// Where it lies; not marked itself.
    pub memory: Memory<'a>,
    /// At most [`MARK_BYTES_MAX`] bytes.
    pub mark: &'a [u8],
}

impl<'a> Memory<'a> {
    #[inline]
    const fn unmarked(self) -> Self {
        match self {
            Self::Marked(marked) => marked.memory,
            memory => memory,
        }
    }
}

/// A message that is copied into a shared [`Message`] only when somebody must keep it, and then once.
pub struct Lazy<'a> {
    view: MessageView<'a>,
    memory: Memory<'a>,
    shared: OnceCell<Message>,
}

/// The longest mark.
pub const MARK_BYTES_MAX: usize = u16::MAX as usize;

impl<'a> Lazy<'a> {
    /// A message that nobody keeps yet.
    #[must_use]
    pub const fn new(view: MessageView<'a>) -> Self {
        Self::within(view, Memory::Borrowed)
    }

    /// A message that nobody keeps yet, in memory that may be shared.
    #[must_use]
    pub const fn within(view: MessageView<'a>, memory: Memory<'a>) -> Self {
        Self { view, memory, shared: OnceCell::new() }
    }

    /// The memory in which it lies.
    #[must_use]
    pub const fn memory(&self) -> Memory<'a> {
        self.memory
    }

    /// A message that is shared already.
    #[must_use]
    pub fn shared(message: &'a Message) -> Self {
        Self { view: message.view(), memory: Memory::Borrowed, shared: OnceCell::from(message.clone()) }
    }

    /// What the broker has written on it for itself: it goes wherever the message goes, and no client sees it. Mostly
    /// empty.
    #[must_use]
    #[inline]
    pub fn mark(&self) -> &[u8] {
        match self.memory {
            Memory::Marked(marked) => marked.mark,
            _ => self.shared.get().map_or(&[], Message::mark),
        }
    }

    /// The message, to look at or to encode.
    #[must_use]
    pub const fn view(&self) -> &MessageView<'a> {
        &self.view
    }

    /// A large payload by reference, if it lies in memory that may be held for long.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> Option<Bytes> {
        if self.view.payload.len() < LARGE_BYTES {
            return None;
        }
        match self.memory.unmarked() {
            Memory::Own(memory) => Some(memory.slice_ref(self.view.payload)),
            Memory::Borrowed | Memory::Common(_) | Memory::Marked(_) => self.shared.get().map(Message::payload),
        }
    }

    /// A large payload by reference, if it lies in memory that may be held for a moment only.
    #[must_use]
    #[inline]
    pub fn passing_payload(&self) -> Option<Bytes> {
        match self.memory.unmarked() {
            Memory::Common(memory) if self.view.payload.len() >= LARGE_BYTES => {
                Some(memory.slice_ref(self.view.payload))
            }
            _ => None,
        }
    }

    /// The message, to keep.
    #[must_use]
    pub fn keep(&self) -> Message {
        self.shared.get_or_init(|| Message::marked(&self.view, self.mark())).clone()
    }
}

/// What the joining buffer keeps between messages.
const JOIN_BYTES_KEPT: usize = 64 * 1024;

thread_local! {
    /// Joins the three parts, so that a message is one allocation of the right size.
    static JOIN: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}
