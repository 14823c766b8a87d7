//! Shards in one thread, with an engine that keeps what is sent and does nothing else.
//!
//! They are driven as the reactor does it: received bytes first, then the mesh, then the turn, then the flush of the
//! mesh. Time stands still, seeds are fixed.

use std::sync::Arc;
use std::time::Duration;

use millrace_core::packet::ProtocolVersion;
use millrace_core::time::{Millis, Time};
use millrace_core::units::Span;
use millrace_shards::config::{Listener, ShardsConfig};
use millrace_shards::mesh::{Endpoint, mesh};
use millrace_shards::send_buffer::SendBuffer;
use millrace_shards::shard::frame::Frame;
use millrace_shards::shard::io::{Accepted, Close, ConnId, ListenerId, Output, ShardId};
use millrace_shards::shard::logic::Logic as _;
use millrace_shards::shard::{RuleSet, Shard, Shared};

use crate::meter::Meter;
use crate::packets;

/// A connection and the shard that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its shard.
    pub shard: usize,
    /// Its connection there.
    pub conn: ConnId,
}

/// The engine of one shard.
struct NullEngine {
    mesh: Endpoint<Frame>,
    buffers: Vec<SendBuffer>,
    sent: Vec<(ConnId, SendBuffer)>,
    handed_over: Vec<(ConnId, ShardId, u64)>,
    /// The next slot that was never used, and those that are free again.
    next_slot: u32,
    generation: u32,
    free: Vec<u32>,
}

impl NullEngine {
    fn slot(&mut self) -> ConnId {
        self.generation += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next_slot += 1;
            self.next_slot - 1
        });
        ConnId { slot, generation: self.generation }
    }
}

impl Output for NullEngine {
    fn buffer(&mut self) -> SendBuffer {
        self.buffers.pop().unwrap_or_default()
    }

    fn recycle(&mut self, mut buffer: SendBuffer) {
        buffer.clear();
        self.buffers.push(buffer);
    }

    fn send(&mut self, conn: ConnId, output: SendBuffer) {
        self.sent.push((conn, output));
    }

    fn receive_once(&mut self, _conn: ConnId) {}

    fn receive(&mut self, _conn: ConnId) {}

    fn pause(&mut self, conn: ConnId) {
        panic!("reading from {conn:?} stops: the path sends too much at once");
    }

    fn close(&mut self, conn: ConnId, _how: Close) {
        self.free.push(conn.slot);
    }

    fn hand_over(&mut self, conn: ConnId, to: ShardId, token: u64) {
        self.free.push(conn.slot);
        self.handed_over.push((conn, to, token));
    }

    fn frame(&mut self, to: ShardId, frame: Frame) -> bool {
        self.mesh.push(to, frame)
    }
}

/// The shards with their engines.
pub struct InProcess {
    shards: Vec<(Shard, NullEngine)>,
    version: ProtocolVersion,
    now: Time,
    /// PUBLISH packets and bytes that were sent to clients.
    sent_bytes: u64,
    answers: Vec<(Client, Vec<u8>)>,
}

impl InProcess {
    /// So many shards that run these rules, for clients of this version.
    #[must_use]
    pub fn new(shards: u16, version: ProtocolVersion, rules: impl Fn() -> RuleSet) -> Self {
        let mut config = ShardsConfig { shards, ..ShardsConfig::default() };
        config.listeners.insert("default".into(), Listener::default());
        config.sys.interval = Span(Duration::ZERO);
        config.limits.control_rate = 0;
        let now = Time { monotonic: Millis(1_000_000), unix: Millis(1_800_000_000_000) };
        let shared = Arc::new(Shared::new(Arc::new(config), shards, 7, now));
        let shards = mesh(shards)
            .into_iter()
            .zip(0..)
            .map(|(mesh, id)| {
                let engine = NullEngine {
                    mesh,
                    buffers: Vec::new(),
                    sent: Vec::new(),
                    handed_over: Vec::new(),
                    next_slot: 0,
                    generation: 0,
                    free: Vec::new(),
                };
                (Shard::new(ShardId(id), now, Arc::clone(&shared), rules()), engine)
            })
            .collect();
        let mut broker = Self { shards, version, now, sent_bytes: 0, answers: Vec::new() };
        broker.settle();
        broker
    }

    /// The version of its clients.
    #[must_use]
    pub const fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Bytes that were sent to clients so far.
    #[must_use]
    pub const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Bytes came from a client.
    pub fn receive(&mut self, client: Client, bytes: &[u8]) {
        let (shard, engine) = &mut self.shards[client.shard];
        shard.received(self.now, client.conn, bytes, engine);
    }

    /// Every shard turns until nothing is under way between them.
    pub fn settle(&mut self) {
        loop {
            for (shard, engine) in &mut self.shards {
                shard.turn_begins();
                engine.mesh.open_mail();
                while let Some((from, frame)) = engine.mesh.pop() {
                    shard.frame(self.now, from, frame, engine);
                }
                shard.mail_read(self.now, engine);
                engine.mesh.close_mail(|_| {});
                shard.turn(self.now, engine);
                engine.mesh.flush(|_| {});
                shard.turn_ended();
            }
            if !self.shards.iter().any(|(_, engine)| engine.mesh.has_mail()) {
                return;
            }
        }
    }

    /// Takes what was sent; what clients have to answer waits for [`InProcess::answer`].
    pub fn collect(&mut self) {
        for (index, (_, engine)) in self.shards.iter_mut().enumerate() {
            let mut sent = std::mem::take(&mut engine.sent);
            for (conn, output) in sent.drain(..) {
                self.sent_bytes += output.len() as u64;
                let mut answer = Vec::new();
                if output.is_whole() {
                    packets::answer(self.version, &output.bytes, &mut answer);
                } else {
                    let joined: Vec<&[u8]> = output.slices(0).collect();
                    packets::answer(self.version, &joined.concat(), &mut answer);
                }
                if !answer.is_empty() {
                    self.answers.push((Client { shard: index, conn }, answer));
                }
                engine.recycle(output);
            }
            engine.sent = sent;
        }
    }

    /// Clients answer until nobody owes anybody an answer; only what shards do is measured.
    pub fn answer(&mut self, meter: &mut Meter) {
        self.collect();
        while !self.answers.is_empty() {
            let mut answers = std::mem::take(&mut self.answers);
            meter.run(|| {
                for (client, bytes) in &answers {
                    self.receive(*client, bytes);
                }
                self.settle();
            });
            answers.clear();
            self.answers = answers;
            self.collect();
        }
    }

    /// A client connects at the first shard and goes where it belongs.
    pub fn connect(&mut self, client_id: &str) -> Client {
        let packet = packets::connect(self.version, client_id);
        let client = self.accept(&packet);
        self.collect();
        client
    }

    /// The same with the CONNECT given, and what was sent is not taken.
    pub fn accept(&mut self, connect: &[u8]) -> Client {
        let (shard, engine) = &mut self.shards[0];
        let conn = engine.slot();
        let accepted = Accepted { conn, listener: ListenerId(0), peer: ([127, 0, 0, 1], 1).into() };
        shard.accepted(self.now, accepted, engine);
        shard.received(self.now, conn, connect, engine);
        shard.turn(self.now, engine);
        engine.mesh.flush(|_| {});
        let mut client = Client { shard: 0, conn };
        if let Some((_, to, token)) = engine.handed_over.pop() {
            let (shard, engine) = &mut self.shards[usize::from(to.0)];
            client = Client { shard: to.0.into(), conn: engine.slot() };
            shard.adopted(self.now, client.conn, ShardId(0), token, engine);
        }
        self.settle();
        client
    }

    /// The transport of a client is gone.
    pub fn gone(&mut self, client: Client) {
        let (shard, engine) = &mut self.shards[client.shard];
        shard.gone(self.now, client.conn, millrace_shards::shard::io::Gone::Closed, engine);
        engine.free.push(client.conn.slot);
    }
}
