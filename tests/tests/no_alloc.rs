//! What a PUBLISH costs in allocations: at most one, however many get it; none for rules that do not want it.
//!
//! A shard is driven through its seam as the reactor does it, with buffers that come back from the engine, and this
//! program's allocator counts. Everything from the bytes of the PUBLISH to the last acknowledgement is counted.
#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::time::{Millis, Time};
use millrace_core::units::Span;
use millrace_core::value::Record;
use millrace_rules::RuleConfig;
use millrace_rules::book::RuleBook;
use millrace_rules::config::ActionConfig;
use millrace_shards::config::{Listener, ShardsConfig};
use millrace_shards::send_buffer::SendBuffer;
use millrace_shards::shard::frame::Frame;
use millrace_shards::shard::io::{Accepted, Close, ConnId, ListenerId, Output, ShardId};
use millrace_shards::shard::logic::Logic as _;
use millrace_shards::shard::{RowPort, RuleSet, Shard, Shared};
use millrace_tests::wire::{Connect, Publish, Version, build, first, property};

/// Messages before the counting begins, and while it goes on.
const WARM_UP: u16 = 20;
const COUNTED: u16 = 50;

const V311: Version = Version::V311;
const V5: Version = Version::V5;

thread_local! {
    /// Allocations of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    // A thread that ends has none any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the allocator of the system as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller promises what the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The engine: buffers that go round, and what was sent, cut into what has to be answered.
struct Wire {
    buffers: Vec<SendBuffer>,
    /// Acknowledgements that are due, by connection: first byte and identifier.
    answers: Vec<(ConnId, u8, u16)>,
    spare: Vec<(ConnId, u8, u16)>,
    delivered: usize,
    /// PUBACK and PUBCOMP to the publisher.
    acknowledged: usize,
}

impl Wire {
    fn new() -> Self {
        Self {
            buffers: Vec::with_capacity(4096),
            answers: Vec::with_capacity(4096),
            spare: Vec::with_capacity(4096),
            delivered: 0,
            acknowledged: 0,
        }
    }

    fn cut(&mut self, conn: ConnId, mut bytes: &[u8]) {
        while let [first, length, body @ ..] = bytes {
            let length = usize::from(*length);
            assert!(length < 128, "packets of this test are short");
            let (body, rest) = body.split_at(length);
            let two = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
            match (first >> 4, (first >> 1) & 3) {
                (3, qos) => {
                    self.delivered += 1;
                    let id_at = 2 + usize::from(two(0));
                    match qos {
                        0 => {}
                        1 => self.answers.push((conn, first::PUBACK, two(id_at))),
                        _ => self.answers.push((conn, first::PUBREC, two(id_at))),
                    }
                }
                (5, _) => self.answers.push((conn, first::PUBREL, two(0))),
                (6, _) => self.answers.push((conn, first::PUBCOMP, two(0))),
                (4 | 7, _) => self.acknowledged += 1,
                _ => {}
            }
            bytes = rest;
        }
    }
}

impl Output for Wire {
    fn buffer(&mut self) -> SendBuffer {
        self.buffers.pop().unwrap_or_default()
    }

    fn recycle(&mut self, mut buffer: SendBuffer) {
        buffer.clear();
        self.buffers.push(buffer);
    }

    fn send(&mut self, conn: ConnId, output: SendBuffer) {
        assert!(output.is_whole());
        self.cut(conn, &output.bytes);
        self.recycle(output);
    }

    fn receive_once(&mut self, _conn: ConnId) {}

    fn receive(&mut self, _conn: ConnId) {}

    fn pause(&mut self, conn: ConnId) {
        panic!("reading from {conn:?} stops");
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        panic!("{conn:?} is closed: {how:?}");
    }

    fn hand_over(&mut self, _conn: ConnId, to: ShardId, _token: u64) {
        panic!("there is no {to:?}");
    }

    fn frame(&mut self, to: ShardId, _frame: Frame) -> bool {
        panic!("there is no {to:?}");
    }
}

/// One shard with its engine.
struct Bench {
    shard: Shard,
    wire: Wire,
    now: Time,
    connections: u32,
}

impl Bench {
    fn new(rules: RuleSet) -> Self {
        let mut config = ShardsConfig { shards: 1, ..ShardsConfig::default() };
        config.listeners.insert("default".into(), Listener::default());
        config.sys.interval = Span(Duration::ZERO);
        let now = Time { monotonic: Millis(1_000_000), unix: Millis(1_800_000_000_000) };
        let shared = Arc::new(Shared::new(Arc::new(config), 1, 1, now));
        let mut bench =
            Self { shard: Shard::new(ShardId(0), now, shared, rules), wire: Wire::new(), now, connections: 0 };
        bench.turn();
        bench
    }

    fn turn(&mut self) {
        self.shard.turn(self.now, &mut self.wire);
    }

    fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        self.shard.received(self.now, conn, bytes, &mut self.wire);
    }

    fn connect(&mut self, connect: &Connect) -> ConnId {
        let conn = ConnId { slot: self.connections, generation: 1 };
        self.connections += 1;
        let accepted = Accepted { conn, listener: ListenerId(0), peer: ([127, 0, 0, 1], 1).into() };
        self.shard.accepted(self.now, accepted, &mut self.wire);
        self.receive(conn, &connect.bytes());
        self.turn();
        conn
    }

    fn subscriber(&mut self, connect: &Connect, filter: &str, qos: u8) {
        let conn = self.connect(connect);
        self.receive(conn, &build::subscribe(connect.version, 1, &[], &[(filter, qos)]));
        self.turn();
    }

    /// Sends a PUBLISH and goes on until nobody owes anybody an answer; returns how many allocations it took.
    fn publish(&mut self, publisher: ConnId, packet: &[u8]) -> u64 {
        let before = ALLOCATIONS.get();
        self.receive(publisher, packet);
        self.turn();
        while !self.wire.answers.is_empty() {
            let mut due = std::mem::replace(&mut self.wire.answers, std::mem::take(&mut self.wire.spare));
            for (conn, first, id) in due.drain(..) {
                let [high, low] = id.to_be_bytes();
                self.receive(conn, &[first, 2, high, low]);
            }
            self.wire.spare = due;
            self.turn();
        }
        ALLOCATIONS.get() - before
    }
}

/// One way to be subscribed.
#[derive(Clone, Debug)]
struct Case {
    qos: u8,
    subscribers: u32,
    version: Version,
    filter: &'static str,
    /// The sessions of the subscribers live on.
    resume: bool,
    /// The subscribers take topic aliases.
    aliases: bool,
}

/// What each of the counted messages took at most.
fn most_allocations(case: &Case, rules: RuleSet) -> u64 {
    let mut bench = Bench::new(rules);
    for number in 0..case.subscribers {
        let mut connect = Connect::new(case.version, &format!("subscriber-{number}"));
        if case.resume {
            connect = connect.resume();
        }
        if case.aliases {
            connect = connect.property(property::two(0x22, 10));
        }
        bench.subscriber(&connect, case.filter, case.qos);
    }
    let publisher = bench.connect(&Connect::new(case.version, "publisher"));
    let packets: Vec<_> = (1..=WARM_UP + COUNTED)
        .map(|id| Publish::new("plant/line/7", "21.5").qos(case.qos, if case.qos > 0 { id } else { 0 }))
        .map(|publish| publish.bytes(case.version))
        .collect();
    let (warm_up, counted) = packets.split_at(WARM_UP.into());
    for packet in warm_up {
        bench.publish(publisher, packet);
    }
    let most = counted.iter().map(|packet| bench.publish(publisher, packet)).max().expect("some are counted");
    let messages = packets.len();
    assert_eq!(bench.wire.delivered, messages * case.subscribers as usize, "{case:?}");
    assert_eq!(bench.wire.acknowledged, if case.qos > 0 { messages } else { 0 }, "{case:?}");
    most
}

fn each_case(mut run: impl FnMut(&Case)) {
    for version in [V311, V5] {
        for qos in 0..3 {
            for subscribers in [1, 2, 10, 500] {
                for filter in ["plant/line/7", "plant/+/7", "plant/#"] {
                    for resume in [false, true] {
                        for aliases in [false, true] {
                            if !aliases || version == V5 {
                                run(&Case { qos, subscribers, version, filter, resume, aliases });
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_publish_allocates_at_most_once_and_never_for_a_subscriber() {
    let mut over = Vec::new();
    each_case(|case| {
        let most = most_allocations(case, RuleSet::default());
        // What nobody may ask for again is not kept at all.
        let allowed = u64::from(case.qos > 0 && case.resume);
        if most > allowed {
            over.push(format!("{most} instead of {allowed}: {case:?}"));
        }
    });
    assert!(over.is_empty(), "{over:#?}");
}

#[test]
fn a_rule_that_does_not_want_a_message_costs_nothing() {
    let config = |sql: &str| RuleConfig { sql: sql.into(), ..RuleConfig::default() };
    let rules = RuleBook::compile(&[
        ("demo", config(r#"SELECT clientid, payload.t AS t FROM "demo/#" WHERE payload.t > 0"#)),
        ("other", config(r#"SELECT * FROM "plant/line/+/far", "plant/other/#""#)),
    ])
    .map(Arc::new)
    .expect("these are rules");
    for qos in 0..3 {
        for subscribers in [1, 500] {
            let case = Case { qos, subscribers, version: V5, filter: "plant/#", resume: false, aliases: false };
            assert_eq!(most_allocations(&case, RuleSet::new(Arc::clone(&rules), Vec::new())), 0, "{case:?}");
        }
    }
}

#[test]
fn a_rule_that_does_nothing_with_a_message_allocates_nothing() {
    let nothing =
        |sql: &str| RuleConfig { sql: sql.into(), actions: vec![ActionConfig::DoNothing {}], ..RuleConfig::default() };
    let rules = RuleBook::compile(&[
        ("all", nothing(r##"SELECT * FROM "#""##)),
        ("some", nothing(r##"SELECT topic, payload FROM "plant/+/7" WHERE qos >= 0 AND clientid != 'x'"##)),
    ])
    .map(Arc::new)
    .expect("these are rules");
    for qos in 0..3 {
        let case = Case { qos, subscribers: 1, version: V5, filter: "plant/#", resume: false, aliases: false };
        assert_eq!(most_allocations(&case, RuleSet::new(Arc::clone(&rules), Vec::new())), 0, "{case:?}");
    }
}

/// A sink that is always ready.
struct Gone;

impl RowPort for Gone {
    fn offer(&mut self, _record: Record) -> bool {
        true
    }

    fn flush(&mut self) {}
}

#[test]
fn a_row_is_one_allocation() {
    let sql = r##"SELECT payload, clientid, topic(2) AS line, float(payload) * 2 AS twice, flags.retain FROM "plant/#" WHERE payload > 20"##;
    for sql in [sql, r##"SELECT * FROM "#""##] {
        let config = RuleConfig { sql: sql.to_owned(), sinks: vec!["gone".into()], ..RuleConfig::default() };
        let rules = RuleBook::compile(&[("rows", config)]).map(Arc::new).expect("this is a rule");
        let ports = || vec![("gone".to_owned(), Box::new(Gone) as Box<dyn RowPort>)];
        let case = Case { qos: 0, subscribers: 1, version: V5, filter: "plant/#", resume: false, aliases: false };
        assert_eq!(most_allocations(&case, RuleSet::new(rules, ports())), 1, "{sql}");
    }
}

#[test]
fn an_event_that_no_rule_wants_costs_nothing() {
    let rules = |event: &str| {
        let sql = format!("SELECT * FROM \"$events/{event}\"");
        RuleBook::compile(&[("one", RuleConfig { sql, ..RuleConfig::default() })])
            .map(Arc::new)
            .expect("this is a rule")
    };
    // The second and the third want events of messages, only none of those that happen here: messages then carry who
    // sent them, which takes no allocation either.
    for event in ["client_disconnected", "message_dropped", "delivery_dropped"] {
        for version in [V311, V5] {
            for qos in 0..3 {
                let case = Case { qos, subscribers: 10, version, filter: "plant/#", resume: false, aliases: false };
                let most = most_allocations(&case, RuleSet::new(rules(event), Vec::new()));
                assert_eq!(most, 0, "{event} {case:?}");
            }
        }
    }
    let mut bench = Bench::new(RuleSet::new(rules("client_disconnected"), Vec::new()));
    let client = bench.connect(&Connect::new(V5, "client"));
    let mut pings = (0..WARM_UP + COUNTED).map(|_| bench.publish(client, &build::pingreq()));
    assert_eq!(pings.by_ref().skip(WARM_UP.into()).max(), Some(0));
}
