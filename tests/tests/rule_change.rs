//! Rules that change a thousand times while messages come: each message is seen once, by the rules of its moment.
//!
//! A shard is driven through its seam as the reactor does it; nothing waits for time.

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
use millrace_shards::shard::{Control, RowPort, RuleSet, Shard, Shared};
use millrace_tests::wire::{Connect, Publish, Version};

/// An engine that forgets what is sent, and notes when reading from a client stops and goes on.
#[derive(Default)]
struct Wire {
    sent: usize,
    paused: usize,
    resumed: usize,
}

impl Output for Wire {
    fn buffer(&mut self) -> SendBuffer {
        SendBuffer::default()
    }

    fn recycle(&mut self, _buffer: SendBuffer) {}

    fn send(&mut self, _conn: ConnId, output: SendBuffer) {
        self.sent += output.bytes.len();
    }

    fn receive_once(&mut self, _conn: ConnId) {}

    fn receive(&mut self, _conn: ConnId) {
        self.resumed += 1;
    }

    fn pause(&mut self, _conn: ConnId) {
        self.paused += 1;
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

/// A sink that passes the rows on to the test.
struct Rows(std::sync::mpsc::Sender<String>);

impl RowPort for Rows {
    fn offer(&mut self, record: Record) -> bool {
        self.0.send(record.to_map().to_json()).is_ok()
    }

    fn flush(&mut self) {}
}

struct Bench {
    shard: Shard,
    shared: Arc<Shared>,
    wire: Wire,
    now: Time,
}

const PUBLISHER: ConnId = ConnId { slot: 0, generation: 1 };

impl Bench {
    fn new(rules: RuleSet) -> Self {
        let mut config = ShardsConfig { shards: 1, ..ShardsConfig::default() };
        config.listeners.insert("default".into(), Listener::default());
        config.sys.interval = Span(Duration::ZERO);
        let now = Time { monotonic: Millis(1_000_000), unix: Millis(1_800_000_000_000) };
        let shared = Arc::new(Shared::new(Arc::new(config), 1, 1, now));
        let shard = Shard::new(ShardId(0), now, Arc::clone(&shared), rules);
        let mut bench = Self { shard, shared, wire: Wire::default(), now };
        let accepted = Accepted { conn: PUBLISHER, listener: ListenerId(0), peer: ([127, 0, 0, 1], 1).into() };
        bench.shard.accepted(now, accepted, &mut bench.wire);
        bench.receive(&Connect::new(Version::V5, "publisher").bytes());
        bench.turn();
        bench
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.shard.received(self.now, PUBLISHER, bytes, &mut self.wire);
    }

    fn publish(&mut self, topic: &str, payload: &str) {
        self.receive(&Publish::new(topic, payload).bytes(Version::V5));
    }

    fn turn(&mut self) {
        self.shard.turn(self.now, &mut self.wire);
    }

    fn change(&mut self, book: RuleBook) {
        self.shard.control(self.now, Control::Rules(Arc::new(book)), &mut self.wire);
    }

    /// A second passes, so that counters are shown.
    fn second(&mut self) {
        self.now.monotonic = Millis(self.now.monotonic.0 + 1000);
        self.turn();
    }
}

fn sink(sql: &str) -> RuleConfig {
    RuleConfig { sql: sql.to_owned(), sinks: vec!["rows".to_owned()], ..RuleConfig::default() }
}

/// The rules of one moment: one that stays, one that changes, and one of three names that come and go.
fn rules(moment: usize) -> Vec<(String, RuleConfig)> {
    let stays = RuleConfig {
        sql: "SELECT topic FROM \"n/+\"".to_owned(),
        actions: vec![ActionConfig::DoNothing {}],
        ..RuleConfig::default()
    };
    // Another filter each time too, of which both match.
    let filter = ["n/1", "n/#"][moment % 2];
    let changes = sink(&format!("SELECT payload AS p, {moment} AS by FROM \"{filter}\""));
    let comes = sink(&format!("SELECT payload AS p, 'extra {moment}' AS by FROM \"n/+\""));
    let mut rules = vec![("stays".to_owned(), stays), ("changes".to_owned(), changes)];
    if !moment.is_multiple_of(3) {
        rules.insert(0, (format!("comes-{}", moment % 3), comes));
    }
    rules
}

#[test]
fn each_message_is_seen_once_by_the_rules_of_its_moment() {
    const MOMENTS: usize = 1000;
    let (sender, rows) = std::sync::mpsc::channel();
    let port: Box<dyn RowPort> = Box::new(Rows(sender));
    let mut book = RuleBook::compile(&rules(0)).expect("these are rules");
    let mut bench = Bench::new(RuleSet::new(Arc::new(book.clone()), vec![("rows".to_owned(), port)]));
    let mut number = 0;
    for moment in 0..MOMENTS {
        if moment > 0 {
            book = book.change(&rules(moment)).expect("these are rules");
            bench.change(book.clone());
        }
        // Several in one turn, the change between two of them.
        for _ in 0..3 {
            bench.publish("n/1", &number.to_string());
            let mut seen: Vec<String> = rows.try_iter().collect();
            let mut wanted = vec![format!("{{\"p\":\"{number}\",\"by\":{moment}}}")];
            if !moment.is_multiple_of(3) {
                wanted.push(format!("{{\"p\":\"{number}\",\"by\":\"extra {moment}\"}}"));
            }
            seen.sort();
            wanted.sort();
            assert_eq!(seen, wanted);
            number += 1;
        }
        if moment.is_multiple_of(2) {
            bench.turn();
        }
    }
    bench.second();
    let counted = bench.shared.rules();
    let matched: Vec<_> = counted.iter().map(|rule| (&*rule.name, rule.counts.matched)).collect();
    // The one that never changed has counted all the time.
    assert_eq!(matched, [("changes", 3), ("stays", number as u64)]);
    assert_eq!(counted[1].actions[0].success, number as u64);
    bench.change(book.change::<&str>(&[]).expect("nothing is wrong"));
    assert_eq!(bench.shard.census().filters, 0, "no filter of a rule is left");
}

#[test]
fn who_makes_rules_publish_more_than_a_turn_takes_is_not_read_further_until_that_has_gone() {
    let actions = toml::from_str(
        "sql = 'FOREACH payload.l AS i DO i FROM \"many\"'\nactions = [{ kind = 'republish', topic = 'one/${i}' }]",
    )
    .expect("its shape is right");
    let book = RuleBook::compile(&[("many", actions)]).expect("this is a rule");
    let mut bench = Bench::new(RuleSet::new(Arc::new(book), Vec::new()));
    let list = vec!["7"; 1000].join(",");
    for _ in 0..10 {
        bench.publish("many", &format!("{{\"l\":[{list}]}}"));
    }
    let begun = bench.wire.resumed;
    bench.turn();
    assert_eq!((bench.wire.paused, bench.wire.resumed), (1, begun));
    // 10,000 messages are more than two turns take, and what is left behind those is not too much.
    bench.turn();
    assert_eq!((bench.wire.paused, bench.wire.resumed), (1, begun + 1));
    bench.turn();
    bench.second();
    assert_eq!(bench.shared.rules()[0].actions[0].success, 10_000);
}
