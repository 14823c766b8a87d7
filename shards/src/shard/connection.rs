//! Connection: what a shard knows of one socket, and the cutting of its bytes into packets.
//!
//! Invariants: an idle connection owns no buffer; an incomplete packet holds the bytes that came, never what its
//! length claims.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use millrace_core::codec::FixedHeader;
use millrace_core::packet::ProtocolVersion;
use millrace_core::places::Places;
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::topic_alias::{InboundAliases, OutboundAliases};
use millrace_core::time::Millis;

use super::io::{ConnId, ListenerId};
use crate::send_buffer::SendBuffer;

/// No client, no connection.
pub(super) const NONE: u32 = u32::MAX;

/// Why reading from a connection stops for a while. Several reasons may hold at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Pause {
    /// A mesh ring is full.
    Mesh = 1,
    /// A rate is exceeded; the next second ends it.
    Rate = 2,
    /// It does not read what it is sent, or its replies wait for other shards in great number.
    Output = 4,
    /// Its messages made rules publish more than the shard does in a turn.
    Rules = 8,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody is here.
    #[default]
    Vacant,
    /// The PROXY header has not come.
    Proxy,
    /// CONNECT has not come.
    Connect,
    /// CONNECT was accepted.
    Connected,
}

/// One slot of the connection table.
pub(super) struct Conn {
    pub(super) generation: u32,
    pub(super) client: u32,
    pub(super) phase: Phase,
    pub(super) version: ProtocolVersion,
    pub(super) listener: ListenerId,
    /// Granted Keep Alive in seconds.
    pub(super) keep_alive: u16,
    /// Replies that wait for other shards.
    pub(super) pending: u32,
    /// PUBACKs among them.
    pub(super) pubacks: u32,
    /// The runtime holds bytes that did not fit into the socket.
    pub(super) stalled: bool,
    /// In the list of connections that have output.
    pub(super) dirty: bool,
    /// The Session Expiry Interval of its CONNECT was 0 or absent.
    pub(super) asked_no_expiry: bool,
    /// Why reading has stopped, as bits of [`Pause`]; 0 while it goes on.
    pub(super) paused: u8,
    /// Something waits until its output has left.
    pub(super) waits_for_room: bool,
    /// In the walk over pending replies: an earlier one still waits.
    pub(super) blocked: bool,
    /// When the last bytes came, for Keep Alive.
    pub(super) last_seen: Millis,
    /// Largest packet that the client takes.
    pub(super) max_packet: u32,
    /// Its listener's mountpoint, 0 for none.
    pub(super) mountpoint: u16,
    pub(super) port: u16,
    pub(super) ip: IpAddr,
    /// Output of this turn, or what waits behind a stalled send.
    pub(super) out: SendBuffer,
    /// Start of a packet that is not complete.
    pub(super) partial: Vec<u8>,
    /// What few connections need.
    pub(super) extras: Option<Box<Extras>>,
    pub(super) rate: Rate,
}

/// What few connections need.
#[derive(Debug, Default)]
pub(super) struct Extras {
    pub(super) inbound: InboundAliases,
    pub(super) outbound: Option<OutboundAliases>,
    /// Request Problem Information was 0: no reason strings but in CONNACK and DISCONNECT [MQTT-3.1.2-29].
    pub(super) no_problem_information: bool,
    pub(super) username: Option<Box<str>>,
}

/// Packets and bytes of the running second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    second: u32,
    pub(super) publishes: u32,
    pub(super) controls: u32,
    pub(super) bytes: u32,
}

impl Rate {
    /// The counts of the second that `now` lies in.
    pub(super) const fn at(&mut self, now: Millis) -> &mut Self {
        let second = (now.0 / 1000) as u32;
        if self.second != second {
            *self = Self { second, publishes: 0, controls: 0, bytes: 0 };
        }
        self
    }
}

impl Default for Conn {
    fn default() -> Self {
        Self {
            generation: 0,
            client: NONE,
            phase: Phase::Vacant,
            version: ProtocolVersion::V311,
            listener: ListenerId(0),
            keep_alive: 0,
            pending: 0,
            pubacks: 0,
            stalled: false,
            dirty: false,
            asked_no_expiry: true,
            paused: 0,
            waits_for_room: false,
            blocked: false,
            last_seen: Millis(0),
            max_packet: u32::MAX,
            mountpoint: 0,
            port: 0,
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            out: SendBuffer::default(),
            partial: Vec::new(),
            extras: None,
            rate: Rate::default(),
        }
    }
}

impl Conn {
    /// The remote address.
    pub(super) const fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// User Name, if it gave one.
    pub(super) fn username(&self) -> Option<&str> {
        self.extras.as_ref()?.username.as_deref()
    }

    /// Whether reason strings and user properties may be sent in any packet.
    pub(super) fn wants_problem_information(&self) -> bool {
        self.version == ProtocolVersion::V5 && self.extras.as_ref().is_none_or(|extras| !extras.no_problem_information)
    }
}

/// The connection table.
#[derive(Default)]
pub(super) struct Conns {
    slots: Places<Conn>,
    pub(super) open: u32,
}

impl Conns {
    /// A new tenant for a slot.
    pub(super) fn open(&mut self, id: ConnId) -> &mut Conn {
        self.slots.take_at(id.slot, |_| Conn::default());
        self.open += 1;
        let conn = self.slots.get_mut(id.slot);
        *conn = Conn { generation: id.generation, ..Conn::default() };
        conn
    }

    /// Frees a slot.
    pub(super) fn close(&mut self, slot: u32) -> Conn {
        self.open -= 1;
        let conn = std::mem::take(self.slots.get_mut(slot));
        self.slots.free(slot);
        conn
    }

    /// The tenant of a slot, if it is still this one.
    #[inline]
    pub(super) fn get(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.find_mut(id.slot).filter(|conn| conn.generation == id.generation && conn.phase != Phase::Vacant)
    }

    /// The tenant of a slot that is known to be taken.
    #[inline]
    pub(super) fn at(&mut self, slot: u32) -> &mut Conn {
        self.slots.get_mut(slot)
    }

    /// The tenant of a slot that is known to be taken, to look at.
    pub(super) fn look(&self, slot: u32) -> &Conn {
        self.slots.get(slot)
    }

    /// The identity of the tenant of a slot.
    #[inline]
    pub(super) fn id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.slots.get(slot).generation }
    }

    /// The slots that are taken.
    pub(super) fn taken(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().map(|(slot, _)| slot)
    }

    /// Gives at most `pages` pages back that nobody is on. Slots that were taken before may be gone after it.
    pub(super) fn give_back(&mut self, pages: usize) -> usize {
        self.slots.give_back(pages, |_, _| true)
    }
}

/// What the first bytes of an incomplete or complete packet say.
pub(super) enum Cut {
    /// So many bytes are one packet.
    Packet(FixedHeader),
    /// More must come; at least this many in all.
    Incomplete(usize),
}

/// Cuts the next packet off; refuses one that is larger than allowed as soon as its length is known.
#[inline]
pub(super) fn cut(bytes: &[u8], max_packet_size: u32) -> Result<Cut, (ReasonCode, String)> {
    match FixedHeader::parse(bytes) {
        Ok(None) => Ok(Cut::Incomplete(bytes.len() + 1)),
        Ok(Some(header)) => {
            let len = header.packet_len();
            if len as u64 > u64::from(max_packet_size) {
                return Err((
                    ReasonCode::PacketTooLarge,
                    format!("a packet of {len} bytes is over the maximum packet size {max_packet_size}"),
                ));
            }
            if len <= bytes.len() { Ok(Cut::Packet(header)) } else { Ok(Cut::Incomplete(len)) }
        }
        Err(error) => Err((error.reason_code(), error.to_string())),
    }
}
