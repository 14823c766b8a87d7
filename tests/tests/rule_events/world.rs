//! A broker in this thread: two shards, an engine that keeps what is sent, a clock that the test turns, rows as JSON.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_core::time::{Millis, Time};
use millrace_core::units::Span;
use millrace_core::value::Record;
use millrace_rules::RuleConfig;
use millrace_rules::book::RuleBook;
use millrace_shards::config::{Listener, ShardsConfig};
use millrace_shards::mesh::{Endpoint, mesh};
use millrace_shards::send_buffer::SendBuffer;
use millrace_shards::shard::frame::Frame;
use millrace_shards::shard::io::{Accepted, Close, ConnId, Gone, ListenerId, Output, ShardId};
use millrace_shards::shard::logic::Logic as _;
use millrace_shards::shard::{RowPort, RuleSet, Shard, Shared};
use millrace_tests::wire::{Connect, Publish, Received, Version, build};

/// When the world begins, in milliseconds since 1970.
pub(crate) const BEGAN: u64 = 1_800_000_000_000;
const SHARDS: u16 = 2;

type Rows = Arc<Mutex<Vec<String>>>;

struct Port(Rows);

impl RowPort for Port {
    fn offer(&mut self, record: Record) -> bool {
        self.0.lock().expect("one thread").push(record.to_map().to_json());
        true
    }

    fn flush(&mut self) {}
}

struct Engine {
    mesh: Endpoint<Frame>,
    sent: HashMap<ConnId, Vec<u8>>,
    handed_over: Vec<(ConnId, ShardId, u64)>,
    slots: u32,
}

impl Engine {
    const fn slot(&mut self) -> ConnId {
        self.slots += 1;
        ConnId { slot: self.slots - 1, generation: self.slots }
    }
}

impl Output for Engine {
    fn buffer(&mut self) -> SendBuffer {
        SendBuffer::default()
    }

    fn recycle(&mut self, _buffer: SendBuffer) {}

    fn send(&mut self, conn: ConnId, output: SendBuffer) {
        let whole: Vec<&[u8]> = output.slices(0).collect();
        self.sent.entry(conn).or_default().extend(whole.concat());
    }

    fn receive_once(&mut self, _conn: ConnId) {}

    fn receive(&mut self, _conn: ConnId) {}

    fn pause(&mut self, _conn: ConnId) {}

    fn close(&mut self, _conn: ConnId, _how: Close) {}

    fn hand_over(&mut self, conn: ConnId, to: ShardId, token: u64) {
        self.handed_over.push((conn, to, token));
    }

    fn frame(&mut self, to: ShardId, frame: Frame) -> bool {
        self.mesh.push(to, frame)
    }
}

/// A connection.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    shard: usize,
    conn: ConnId,
    version: Version,
}

/// The broker.
pub(crate) struct World {
    shards: Vec<(Shard, Engine)>,
    shared: Arc<Shared>,
    now: Time,
    rows: Rows,
}

impl World {
    /// With one rule for each of these texts.
    pub(crate) fn new(rules: &[&str]) -> Self {
        Self::with(rules, |_| {})
    }

    /// The same with another config.
    pub(crate) fn with(rules: &[&str], change: impl FnOnce(&mut ShardsConfig)) -> Self {
        let mut config = ShardsConfig { shards: SHARDS, ..ShardsConfig::default() };
        config.listeners.insert("default".into(), Listener::default());
        config.sys.interval = Span(Duration::ZERO);
        change(&mut config);
        let now = Time { monotonic: Millis(1_000_000), unix: Millis(BEGAN) };
        let shared = Arc::new(Shared::new(Arc::new(config), SHARDS, 7, now));
        let rows = Rows::default();
        let rules: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(number, sql)| {
                let config =
                    RuleConfig { sql: (*sql).to_owned(), sinks: vec!["rows".to_owned()], ..RuleConfig::default() };
                (format!("rule-{number}"), config)
            })
            .collect();
        let rules = Arc::new(RuleBook::compile(&rules).expect("these are rules"));
        let shards = mesh(SHARDS)
            .into_iter()
            .zip(0..)
            .map(|(mesh, id)| {
                let ports = vec![("rows".to_owned(), Box::new(Port(Arc::clone(&rows))) as Box<dyn RowPort>)];
                let shard = Shard::new(ShardId(id), now, Arc::clone(&shared), RuleSet::new(rules.clone(), ports));
                (shard, Engine { mesh, sent: HashMap::new(), handed_over: Vec::new(), slots: 0 })
            })
            .collect();
        Self { shards, shared, now, rows }
    }

    /// A Client Identifier that lives on this shard.
    pub(crate) fn name_on(&self, shard: u16, name: &str) -> String {
        let is_there = |id: &String| self.shared.placement.home(id.as_bytes()).shard == ShardId(shard);
        (0..).map(|number| format!("{name}-{number}")).find(is_there).expect("half of them do")
    }

    /// Every shard turns until nothing is under way between them.
    fn settle(&mut self) {
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

    /// Lets time pass.
    pub(crate) fn pass(&mut self, duration: Duration) {
        for _ in 0..duration.as_secs() {
            self.now.monotonic.0 += 1000;
            self.now.unix.0 += 1000;
            self.settle();
        }
    }

    /// A client connects at the first shard and goes where it belongs.
    pub(crate) fn connect(&mut self, connect: &Connect) -> Client {
        self.open(connect.version, &connect.bytes())
    }

    /// The same with the bytes given.
    pub(crate) fn open(&mut self, version: Version, bytes: &[u8]) -> Client {
        let (shard, engine) = &mut self.shards[0];
        let conn = engine.slot();
        let accepted = Accepted { conn, listener: ListenerId(0), peer: ([10, 0, 0, 7], 4711).into() };
        shard.accepted(self.now, accepted, engine);
        shard.received(self.now, conn, bytes, engine);
        shard.turn(self.now, engine);
        engine.mesh.flush(|_| {});
        let mut client = Client { shard: 0, conn, version };
        if let Some((_, to, token)) = engine.handed_over.pop() {
            let (shard, engine) = &mut self.shards[usize::from(to.0)];
            client = Client { shard: to.0.into(), conn: engine.slot(), version };
            shard.adopted(self.now, client.conn, ShardId(0), token, engine);
        }
        self.settle();
        client
    }

    /// Bytes come from a client.
    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        let (shard, engine) = &mut self.shards[client.shard];
        shard.received(self.now, client.conn, bytes, engine);
        self.settle();
    }

    /// A client publishes.
    pub(crate) fn publish(&mut self, client: Client, publish: &Publish) {
        self.send(client, &publish.bytes(client.version));
    }

    /// A client subscribes, with options.
    pub(crate) fn subscribe(&mut self, client: Client, filter: &str, options: u8) {
        self.send(client, &build::subscribe(client.version, 9, &[], &[(filter, options)]));
    }

    /// The transport of a client breaks.
    pub(crate) fn lose(&mut self, client: Client) {
        let (shard, engine) = &mut self.shards[client.shard];
        shard.gone(self.now, client.conn, Gone::Failed, engine);
        self.settle();
    }

    /// A client does not take what it is sent.
    pub(crate) fn stall(&mut self, client: Client) {
        self.shards[client.shard].0.stalled(client.conn, 1);
    }

    /// The packets that a client was sent since it was asked.
    pub(crate) fn received(&mut self, client: Client) -> Vec<Received> {
        let bytes = self.shards[client.shard].1.sent.remove(&client.conn).unwrap_or_default();
        let mut rest = &bytes[..];
        let mut packets = Vec::new();
        while let [first, tail @ ..] = rest {
            let (mut length, mut at) = (0, 0);
            loop {
                length |= usize::from(tail[at] & 0x7F) << (7 * at);
                at += 1;
                if tail[at - 1] & 0x80 == 0 {
                    break;
                }
            }
            packets.push(Received { first: *first, body: tail[at..at + length].to_vec() });
            rest = &tail[at + length..];
        }
        packets
    }

    /// The rows that rules made since they were asked, with identifiers of messages as `ID`.
    pub(crate) fn rows(&mut self) -> Vec<String> {
        let rows = std::mem::take(&mut *self.rows.lock().expect("one thread"));
        rows.into_iter().map(|row| without_id(&row)).collect()
    }

    /// The same as they are.
    pub(crate) fn whole_rows(&mut self) -> Vec<String> {
        std::mem::take(&mut *self.rows.lock().expect("one thread"))
    }
}

fn without_id(row: &str) -> String {
    const BEFORE: &str = "\"id\":\"";
    let Some(at) = row.find(BEFORE).map(|at| at + BEFORE.len()) else { return row.to_owned() };
    let id = &row[at..at + 32];
    assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{row}");
    row.replacen(id, "ID", 1)
}
