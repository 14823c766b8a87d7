//! What is kept for one connection, and the bytes that wait to leave.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::account::{Bits, Stream};
use crate::uring::ConnId;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not begun.
    Waiting,
    /// connect() is under way.
    Connecting,
    /// CONNECT is sent.
    Greeting,
    /// SUBSCRIBE is sent.
    Subscribing,
    Ready,
    /// DISCONNECT is sent, and the broker is to close. It will be back.
    Leaving,
    /// Being closed by us, to be back.
    Dropping,
    /// Being closed by us for good.
    Closing,
    /// Over, and not coming back.
    Gone,
}

/// A connection. There may be a million of them, so what not all of them need lies behind a box.
pub(crate) struct Conn {
    pub(super) generation: u32,
    /// Bytes to send: their place in the [`Outbox`].
    out: u32,
    /// When it was to begin, in nanoseconds.
    pub(super) since: u64,
    /// The beginning of a packet whose end has not come.
    #[expect(clippy::box_collection, reason = "hardly any connection has one at a time, and each pays for its place")]
    pub(super) partial: Option<Box<Vec<u8>>>,
    pub(super) role: Role,
    pub(super) state: State,
    /// A receive is in flight.
    pub(super) armed: bool,
    /// The socket takes no more for now.
    pub(super) stalled: bool,
    /// Its descriptor is being closed.
    pub(super) closing: bool,
    /// Something was sent since Keep Alive was looked at.
    pub(super) spoke: bool,
}

const _: () = assert!(size_of::<Conn>() <= 56, "a connection costs this, whatever it does");

const NOTHING: u32 = u32::MAX;

pub(super) enum Role {
    Subscriber(Option<Box<Subscriber>>),
    Publisher(Box<Publisher>),
}

/// What a subscriber remembers; made when its first message comes.
#[derive(Default)]
pub(super) struct Subscriber {
    /// By publisher, as far as it was heard.
    pub(super) streams: Vec<Stream>,
    /// Streams of publishers of other runs, by tag and number.
    pub(super) strangers: HashMap<u64, Stream, FixedState>,
    /// One past the last sequence of each publisher, where a group shares the account.
    pub(super) order: Vec<u64>,
    /// What was heard of each publisher whose messages have no order.
    pub(super) seen: Vec<Bits>,
    /// Packet Identifiers of QoS 2 that were answered and not yet released.
    pub(super) unreleased: VecDeque<u16>,
}

/// What a publisher remembers.
#[derive(Default)]
pub(super) struct Publisher {
    /// PUBLISH up to the payload, if all its messages begin alike.
    pub(super) head: Box<[u8]>,
    pub(super) packet_id_at: u16,
    /// Receive Maximum of the broker.
    pub(super) receive_maximum: u16,
    /// In the list of those to look at.
    pub(super) queued: bool,
    /// Topic Aliases that the broker takes.
    pub(super) alias_maximum: u16,
    /// The broker knows what the alias stands for.
    pub(super) alias_known: bool,
    /// Owes messages that could not leave when they were due.
    pub(super) behind: bool,
    /// How much later than its turn it begins.
    pub(super) wait: u64,
    /// Messages that have become due, where that is later than their turn.
    pub(super) released: u64,
    /// The sequence of the next message.
    pub(super) sent: u64,
    /// Retained messages that were taken back.
    pub(super) cleared: u64,
    /// Deliveries that are not waited for any more.
    pub(super) written_off: u64,
    pub(super) window: Window,
}

/// Messages of one publisher that are not acknowledged.
#[derive(Default)]
pub(super) struct Window {
    /// By Packet Identifier less one.
    slots: Vec<Slot>,
    free: Vec<u16>,
}

#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) intended: u64,
    pub(super) sequence: u64,
    pub(super) used: bool,
    /// PUBREC has come.
    pub(super) received: bool,
}

impl Window {
    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A Packet Identifier for a message that was due at `intended`.
    pub(super) fn take(&mut self, intended: u64, sequence: u64) -> u16 {
        let slot = Slot { intended, sequence, used: true, received: false };
        match self.free.pop() {
            Some(id) => {
                self.slots[usize::from(id) - 1] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                u16::try_from(self.slots.len()).expect("a window is bounded by Receive Maximum")
            }
        }
    }

    pub(super) fn get(&mut self, id: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(id).checked_sub(1)?).filter(|slot| slot.used)
    }

    /// Those that wait, with their Packet Identifiers.
    pub(super) fn waiting(&self) -> Vec<(u16, Slot)> {
        let ids = (1..=u16::MAX).zip(&self.slots);
        ids.filter(|(_, slot)| slot.used).map(|(id, slot)| (id, *slot)).collect()
    }

    pub(super) fn release(&mut self, id: u16) {
        if let Some(slot) = self.get(id) {
            slot.used = false;
            self.free.push(id);
        }
    }
}

impl Conn {
    pub(super) const fn new(role: Role) -> Self {
        Self {
            generation: 0,
            out: NOTHING,
            since: 0,
            partial: None,
            role,
            state: State::Waiting,
            armed: false,
            stalled: false,
            closing: false,
            spoke: false,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::Greeting | State::Subscribing | State::Ready)
    }
}

/// Bytes that wait to leave, by connection; one send each when the turn ends.
#[derive(Default)]
pub(crate) struct Outbox {
    places: Vec<Vec<u8>>,
    free: Vec<u32>,
    /// Slots with bytes that may be sent.
    dirty: Vec<u32>,
}

impl Outbox {
    /// Where to write bytes for this connection.
    pub(super) fn of(&mut self, slot: u32, conn: &mut Conn) -> &mut Vec<u8> {
        let place = self.place(slot, conn);
        self.bytes(place)
    }

    /// The place of this connection's bytes; it is to be written to at once.
    #[inline]
    pub(super) fn place(&mut self, slot: u32, conn: &mut Conn) -> u32 {
        if conn.out == NOTHING {
            conn.out = self.free.pop().unwrap_or_else(|| {
                self.places.push(Vec::new());
                (self.places.len() - 1) as u32
            });
            if !conn.stalled {
                self.dirty.push(slot);
            }
        }
        conn.spoke = true;
        conn.out
    }

    #[inline]
    pub(super) fn bytes(&mut self, place: u32) -> &mut Vec<u8> {
        &mut self.places[place as usize]
    }

    pub(super) fn len(&self, conn: &Conn) -> usize {
        if conn.out == NOTHING { 0 } else { self.places[conn.out as usize].len() }
    }

    /// Forgets what waits for this connection.
    pub(super) fn clear(&mut self, conn: &mut Conn) {
        if conn.out != NOTHING {
            self.places[conn.out as usize].clear();
            self.free.push(conn.out);
            conn.out = NOTHING;
        }
    }

    /// The socket takes bytes again.
    pub(super) fn resume(&mut self, slot: u32, conn: &Conn) {
        if conn.out != NOTHING {
            self.dirty.push(slot);
        }
    }

    /// Gives out all that may be sent. `swap` takes the bytes and leaves an empty buffer.
    pub(super) fn flush(&mut self, conns: &mut [Conn], mut swap: impl FnMut(ConnId, &mut Vec<u8>)) {
        for slot in self.dirty.drain(..) {
            let conn = &mut conns[slot as usize];
            if conn.out == NOTHING || conn.stalled {
                continue;
            }
            let place = &mut self.places[conn.out as usize];
            if !place.is_empty() {
                swap(ConnId { slot, generation: conn.generation }, place);
            }
            self.free.push(conn.out);
            conn.out = NOTHING;
        }
    }
}
