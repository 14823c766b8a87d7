//! Network: sockets and mesh rings as queues, with all the liberties that real ones take.
//!
//! Invariants: it holds the shard to the contract of [`Output`] (one send at a time, no verb for a connection that the
//! shard itself has ended, hand-over only while nothing is under way) and keeps its own side of it (generations, no
//! event after `close` or `hand_over`, order of bytes and frames).

use std::collections::{HashSet, VecDeque};

use millrace_core::time::Millis;
use millrace_shards::send_buffer::SendBuffer;
use millrace_shards::shard::frame::Frame;
use millrace_shards::shard::io::{Close, ConnId, Output, ShardId};

use super::rng::Rng;

/// Index of a link.
pub type LinkId = usize;

/// How long a closed connection lingers for its peer.
const LINGER_MS: u64 = 2000;

/// Where the broker's end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the backlog of the listener.
    Backlog,
    /// At a shard.
    At(ShardId, ConnId),
    /// On its way to a shard.
    Transit(ShardId, ShardId, u64),
    /// Closed by the shard; it still holds its slot.
    Lingering(ShardId, ConnId, Millis),
    /// Nowhere.
    Closed,
}

/// What the broker receives of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Nothing.
    Off,
    /// One chunk.
    Once,
    /// All that comes.
    On,
}

/// One TCP connection, both directions.
#[derive(Debug)]
pub struct Link {
    /// The broker's end.
    pub place: Place,
    /// What the broker wants to read.
    pub receive: Receive,
    /// A chunk that was already under way when reading was paused.
    late: bool,
    /// From the client, not yet read by the broker.
    pub up: VecDeque<u8>,
    /// The client has closed its half.
    pub up_end: bool,
    /// The connection was reset.
    pub reset: bool,
    /// The client is gone without a word; nothing will ever be read or said.
    pub vanished: bool,
    /// To the client: what the kernel has taken.
    pub down: VecDeque<u8>,
    capacity: usize,
    /// What did not fit and waits in the runtime.
    unsent: VecDeque<u8>,
    stalled: bool,
    /// The broker has closed: after `down` comes the end.
    pub down_end: bool,
    /// The broker has said something.
    pub answered: bool,
    /// When the shard closed it.
    pub closed_at: Option<u64>,
}

impl Link {
    /// Whether the client sees the end of the connection.
    #[must_use]
    pub fn is_over_for_client(&self) -> bool {
        self.reset || (self.down_end && self.down.is_empty() && self.unsent.is_empty())
    }

    /// Whether the broker has nothing to do with it any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.place == Place::Closed
    }

    fn fill(&mut self) {
        let room = self.capacity.saturating_sub(self.down.len()).min(self.unsent.len());
        self.down.extend(self.unsent.drain(..room));
    }
}

/// The frames from one shard to another.
#[derive(Debug, Default)]
struct Ring {
    frames: VecDeque<Frame>,
    waiting: VecDeque<Frame>,
}

/// What the runtime of one shard knows.
#[derive(Debug, Default)]
struct Engine {
    slots: Vec<Option<LinkId>>,
    free: Vec<u32>,
    generation: u32,
    /// Connections that the shard has ended; it must not speak of them again.
    ended: HashSet<ConnId>,
    /// Short sends of this turn.
    stalls: Vec<(ConnId, usize)>,
    /// Some ring was full and the shard was told.
    congested: bool,
    rings: Vec<Ring>,
}

/// What the runtime has for a shard.
#[derive(Debug)]
pub enum Event {
    /// A new connection.
    Accepted(ConnId),
    /// A socket from another shard.
    Adopted(ConnId, ShardId, u64),
    /// Bytes.
    Received(ConnId, Vec<u8>),
    /// The end, in order or not.
    Gone(ConnId, bool),
    /// All unsent bytes went out.
    Drained(ConnId),
    /// A frame.
    Frame(ShardId, Frame),
    /// All rings have room.
    MeshDrained,
}

/// All links and rings.
pub struct Network {
    /// Connections ever made.
    pub links: Vec<Link>,
    engines: Vec<Engine>,
    ring_capacity: usize,
    /// Nothing goes wrong and nothing is delayed any more.
    pub calm: bool,
    /// Bytes cross one at a time.
    pub tiny_chunks: bool,
    /// Frames that were ever sent; progress, seen from outside.
    pub frames: u64,
}

impl Network {
    /// For this many shards, whose rings hold so many frames.
    #[must_use]
    pub fn new(shards: u16, ring_capacity: usize, tiny_chunks: bool) -> Self {
        let engine = || Engine { rings: (0..shards).map(|_| Ring::default()).collect(), ..Engine::default() };
        Self {
            links: Vec::new(),
            engines: (0..shards).map(|_| engine()).collect(),
            ring_capacity,
            calm: false,
            tiny_chunks,
            frames: 0,
        }
    }

    /// A client connects.
    pub fn connect(&mut self, rng: &mut Rng) -> LinkId {
        let capacity = rng.pick(&[64, 300, 2000, 64 * 1024, 64 * 1024]);
        self.links.push(Link {
            place: Place::Backlog,
            receive: Receive::Off,
            late: false,
            up: VecDeque::new(),
            up_end: false,
            reset: false,
            vanished: false,
            down: VecDeque::new(),
            capacity,
            unsent: VecDeque::new(),
            stalled: false,
            down_end: false,
            answered: false,
            closed_at: None,
        });
        self.links.len() - 1
    }

    /// A client reads at most so many bytes.
    pub fn read(&mut self, link: LinkId, max: usize) -> Vec<u8> {
        let link = &mut self.links[link];
        let count = link.down.len().min(max);
        let bytes = link.down.drain(..count).collect();
        if self.calm {
            link.capacity = 64 * 1024;
        }
        link.fill();
        bytes
    }

    /// A client closes both halves in order; bytes it has sent still arrive.
    pub fn finish(&mut self, link: LinkId) {
        self.links[link].up_end = true;
    }

    /// The connection breaks for both ends, and what was in the queues with it.
    pub fn reset(&mut self, link: LinkId) {
        let link = &mut self.links[link];
        link.reset = true;
        link.up.clear();
        link.down.clear();
        link.unsent.clear();
    }

    /// The client is gone without a word.
    pub fn vanish(&mut self, link: LinkId) {
        self.links[link].vanished = true;
    }

    fn open(&mut self, shard: ShardId, link: LinkId) -> ConnId {
        let engine = &mut self.engines[usize::from(shard.0)];
        engine.generation += 1;
        let slot = engine.free.pop().unwrap_or_else(|| {
            engine.slots.push(None);
            engine.slots.len() as u32 - 1
        });
        engine.slots[slot as usize] = Some(link);
        let conn = ConnId { slot, generation: engine.generation };
        self.links[link].place = Place::At(shard, conn);
        conn
    }

    fn free(&mut self, shard: ShardId, conn: ConnId) {
        let engine = &mut self.engines[usize::from(shard.0)];
        engine.slots[conn.slot as usize] = None;
        engine.free.push(conn.slot);
    }

    /// What happens at a shard now.
    pub fn events(&mut self, shard: ShardId, now: Millis, rng: &mut Rng) -> Vec<Event> {
        let mut events = Vec::new();
        let patience = if self.calm { 100 } else { rng.pick(&[20, 50, 90, 100]) };
        for id in 0..self.links.len() {
            if self.links[id].place == Place::Closed || !rng.chance(patience) {
                continue;
            }
            self.link_event(shard, id, now, rng, &mut events);
        }
        self.frame_events(shard, rng, &mut events);
        let engine = &mut self.engines[usize::from(shard.0)];
        if engine.congested && engine.rings.iter().all(|ring| ring.waiting.is_empty()) {
            engine.congested = false;
            events.push(Event::MeshDrained);
        }
        events
    }

    fn link_event(&mut self, shard: ShardId, id: LinkId, now: Millis, rng: &mut Rng, events: &mut Vec<Event>) {
        let calm = self.calm;
        let tiny = self.tiny_chunks && !calm;
        match self.links[id].place {
            Place::Backlog => {
                // Any shard may take it.
                let conn = self.open(shard, id);
                events.push(Event::Accepted(conn));
            }
            Place::Transit(from, to, token) if to == shard => {
                let conn = self.open(shard, id);
                events.push(Event::Adopted(conn, from, token));
            }
            Place::At(at, conn) if at == shard => {
                let link = &mut self.links[id];
                if link.stalled && link.unsent.is_empty() {
                    link.stalled = false;
                    events.push(Event::Drained(conn));
                }
                let armed = link.receive != Receive::Off;
                if link.reset && (armed || link.stalled || rng.chance(20)) {
                    link.place = Place::Closed;
                    self.free(shard, conn);
                    events.push(Event::Gone(conn, false));
                } else if (armed || link.late) && !link.up.is_empty() {
                    let max = if tiny { rng.between(1, 3) } else { rng.pick(&[1, 7, 64, 2048, 2048]) } as usize;
                    let count = link.up.len().min(if calm { 2048 } else { max });
                    let bytes = link.up.drain(..count).collect();
                    link.late = false;
                    if link.receive == Receive::Once {
                        link.receive = Receive::Off;
                    }
                    events.push(Event::Received(conn, bytes));
                } else if armed && link.up_end {
                    link.place = Place::Closed;
                    link.down_end = true;
                    self.free(shard, conn);
                    events.push(Event::Gone(conn, true));
                }
            }
            Place::Lingering(at, conn, until) if at == shard => {
                let link = &mut self.links[id];
                link.up.clear();
                if link.up_end || link.reset || until <= now {
                    link.place = Place::Closed;
                    link.unsent.clear();
                    self.free(shard, conn);
                }
            }
            _ => {}
        }
    }

    fn frame_events(&mut self, shard: ShardId, rng: &mut Rng, events: &mut Vec<Event>) {
        let capacity = if self.calm { usize::MAX } else { self.ring_capacity };
        for from in 0..self.engines.len() {
            let ring = &mut self.engines[from].rings[usize::from(shard.0)];
            if ring.frames.is_empty() || (!self.calm && rng.chance(40)) {
                continue;
            }
            let count = if self.calm { ring.frames.len() } else { rng.between(1, ring.frames.len() as u64) as usize };
            for frame in ring.frames.drain(..count) {
                events.push(Event::Frame(ShardId(from as u16), frame));
            }
            while ring.frames.len() < capacity
                && let Some(frame) = ring.waiting.pop_front()
            {
                ring.frames.push_back(frame);
            }
        }
    }

    /// Short sends of the last turn.
    pub fn stalls(&mut self, shard: ShardId) -> Vec<(ConnId, usize)> {
        std::mem::take(&mut self.engines[usize::from(shard.0)].stalls)
    }

    /// The verbs for one shard.
    pub fn verbs<'a>(&'a mut self, shard: ShardId, now: Millis, rng: &'a mut Rng) -> Verbs<'a> {
        Verbs { network: self, shard, now, rng }
    }

    /// Whether frames are still on their way.
    #[must_use]
    pub fn mesh_is_idle(&self) -> bool {
        self.engines.iter().flat_map(|engine| &engine.rings).all(|ring| ring.frames.is_empty())
    }

    /// The state of the mesh, to be told when something is stuck.
    #[must_use]
    pub fn mesh(&self) -> Vec<(bool, Vec<(usize, usize)>)> {
        let rings = |engine: &Engine| engine.rings.iter().map(|ring| (ring.frames.len(), ring.waiting.len())).collect();
        self.engines.iter().map(|engine| (engine.congested, rings(engine))).collect()
    }

    /// Slots that have a tenant.
    #[must_use]
    pub fn slots_in_use(&self) -> usize {
        self.engines.iter().map(|engine| engine.slots.iter().flatten().count()).sum()
    }
}

/// [`Output`] of one shard.
pub struct Verbs<'a> {
    network: &'a mut Network,
    shard: ShardId,
    now: Millis,
    rng: &'a mut Rng,
}

impl Verbs<'_> {
    /// The link behind a connection; `None` if the network ended it and the shard does not know yet.
    fn link(&mut self, conn: ConnId, verb: &str) -> Option<&mut Link> {
        let engine = &self.network.engines[usize::from(self.shard.0)];
        assert!(!engine.ended.contains(&conn), "{:?}: {verb} for {conn:?}, which the shard has ended", self.shard);
        let id = engine.slots.get(conn.slot as usize).copied().flatten()?;
        let link = &mut self.network.links[id];
        (link.place == Place::At(self.shard, conn)).then_some(link)
    }

    fn end(&mut self, conn: ConnId) {
        self.network.engines[usize::from(self.shard.0)].ended.insert(conn);
    }
}

impl Output for Verbs<'_> {
    fn buffer(&mut self) -> SendBuffer {
        SendBuffer::default()
    }

    fn recycle(&mut self, _buffer: SendBuffer) {}

    fn send(&mut self, conn: ConnId, output: SendBuffer) {
        assert!(!output.is_empty(), "nothing to send");
        let Some(link) = self.link(conn, "send") else { return };
        assert!(!link.stalled, "a second send while one is under way");
        link.answered = true;
        if link.reset {
            return;
        }
        link.unsent.extend(output.slices(0).flatten());
        link.fill();
        if !link.unsent.is_empty() {
            link.stalled = true;
            let unsent = link.unsent.len();
            self.network.engines[usize::from(self.shard.0)].stalls.push((conn, unsent));
        }
    }

    fn receive_once(&mut self, conn: ConnId) {
        if let Some(link) = self.link(conn, "receive_once") {
            assert_eq!(link.receive, Receive::Off, "receive_once while receiving");
            link.receive = Receive::Once;
        }
    }

    fn receive(&mut self, conn: ConnId) {
        if let Some(link) = self.link(conn, "receive") {
            link.receive = Receive::On;
        }
    }

    fn pause(&mut self, conn: ConnId) {
        let late = self.rng.chance(50);
        if let Some(link) = self.link(conn, "pause") {
            link.receive = Receive::Off;
            link.late = late;
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        let (shard, now) = (self.shard, self.now);
        let lost = self.rng.chance(30);
        let Some(link) = self.link(conn, "close") else {
            self.end(conn);
            return;
        };
        link.down_end = true;
        link.closed_at = Some(now.0);
        match how {
            Close::Linger => link.place = Place::Lingering(shard, conn, Millis(now.0 + LINGER_MS)),
            Close::Now => {
                link.unsent.clear();
                if lost {
                    // Unread input makes the kernel send a reset, which takes what was on its way with it.
                    link.down.clear();
                }
                link.place = Place::Closed;
                self.network.free(shard, conn);
            }
        }
        self.end(conn);
    }

    fn hand_over(&mut self, conn: ConnId, to: ShardId, token: u64) {
        let shard = self.shard;
        if let Some(link) = self.link(conn, "hand_over") {
            assert_eq!(link.receive, Receive::Off, "hand-over while receiving");
            assert!(link.unsent.is_empty(), "hand-over while sending");
            link.place = Place::Transit(shard, to, token);
            self.network.free(shard, conn);
        }
        self.end(conn);
    }

    fn frame(&mut self, to: ShardId, frame: Frame) -> bool {
        assert_ne!(to, self.shard, "a frame to itself");
        self.network.frames += 1;
        let capacity = self.network.ring_capacity;
        let engine = &mut self.network.engines[usize::from(self.shard.0)];
        let ring = &mut engine.rings[usize::from(to.0)];
        if ring.waiting.is_empty() && ring.frames.len() < capacity {
            ring.frames.push_back(frame);
            return true;
        }
        ring.waiting.push_back(frame);
        engine.congested = true;
        false
    }
}
