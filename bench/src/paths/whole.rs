//! Messages and clients on their whole way through shards.

use std::hint::black_box;
use std::sync::Arc;

use millrace_core::packet::{ProtocolVersion, QoS};
use millrace_core::value::Record;
use millrace_rules::RuleConfig;
use millrace_rules::book::RuleBook;
use millrace_rules::config::ActionConfig;
use millrace_shards::shard::{RowPort, RuleSet};

use super::parts::{PAYLOAD, rules};
use super::{Path, Round};
use crate::in_process::{Client, InProcess};
use crate::packets;

/// Pairs of a publisher and a subscriber, and how many messages each publisher sends at once.
const PAIRS: usize = 50;
const AT_ONCE: usize = 16;
/// Subscribers and messages of the fan-out.
const CROWD: usize = 500;
const TO_CROWD: usize = 8;
/// Clients that come and go.
const COMERS: usize = 200;

const THROUGH_PAIRS: u64 = (PAIRS * AT_ONCE) as u64;

const fn pairs(name: &'static str, prepare: fn() -> Round) -> Path {
    Path { name, operation: "a message of 64 bytes to its subscriber", operations: THROUGH_PAIRS, prepare }
}

pub(super) const PUBLISH_QOS_0: Path = pairs("publish_qos0", || through_pairs(1, QoS::AtMostOnce, &[b'x'; 64]));
pub(super) const PUBLISH_QOS_1: Path = pairs("publish_qos1", || through_pairs(1, QoS::AtLeastOnce, &[b'x'; 64]));
pub(super) const PUBLISH_QOS_2: Path = pairs("publish_qos2", || through_pairs(1, QoS::ExactlyOnce, &[b'x'; 64]));
pub(super) const CROSS_SHARD_QOS_0: Path =
    pairs("publish_cross_shard_qos0", || through_pairs(2, QoS::AtMostOnce, &[b'x'; 64]));
pub(super) const CROSS_SHARD_QOS_1: Path =
    pairs("publish_cross_shard_qos1", || through_pairs(2, QoS::AtLeastOnce, &[b'x'; 64]));
pub(super) const PUBLISH_4_KIB: Path = Path {
    name: "publish_4kib_qos0",
    operation: "a message of 4 KiB to its subscriber",
    operations: THROUGH_PAIRS,
    prepare: || through_pairs(1, QoS::AtMostOnce, &[b'x'; 4096]),
};
pub(super) const FAN_OUT: Path = Path {
    name: "fan_out_500_qos0",
    operation: "a delivery of 64 bytes",
    operations: (CROWD * TO_CROWD) as u64,
    prepare: || fan_out(QoS::AtMostOnce),
};
pub(super) const FAN_OUT_QOS_1: Path = Path {
    name: "fan_out_500_qos1",
    operation: "a delivery of 64 bytes",
    operations: (CROWD * TO_CROWD) as u64,
    prepare: || fan_out(QoS::AtLeastOnce),
};
pub(super) const SESSION_ACK: Path =
    Path { name: "session_ack", operation: "a PUBACK of a subscriber", operations: THROUGH_PAIRS, prepare: acks };
pub(super) const PUBLISH_RULE: Path = Path {
    name: "publish_rule",
    operation: "a message that a rule makes a row of, with no subscriber",
    operations: THROUGH_PAIRS,
    prepare: publish_rule,
};
pub(super) const PUBLISH_DO_NOTHING: Path = Path {
    name: "publish_rule_do_nothing",
    operation: "a message of 64 bytes to its subscriber, past a rule that does nothing with it",
    operations: THROUGH_PAIRS,
    prepare: publish_do_nothing,
};
pub(super) const CONNECT: Path = Path {
    name: "connect_subscribe_leave",
    operation: "a client that connects, subscribes and disconnects",
    operations: COMERS as u64,
    prepare: connect,
};

/// Publishers with the bytes that each sends in a round.
struct Swarm {
    broker: InProcess,
    publishers: Vec<(Client, Vec<u8>)>,
}

impl Swarm {
    /// Each publisher has a subscriber, with two shards always on the other one.
    fn pairs(shards: u16, qos: QoS, payload: &[u8], rules: impl Fn() -> RuleSet) -> Self {
        let version = packets::VERSION;
        let mut broker = InProcess::new(shards, version, rules);
        let mut publishers = Vec::new();
        let mut names = 0..;
        let mut connect = |broker: &mut InProcess, kind: &str, shard: usize| {
            names
                .by_ref()
                .map(|number: u32| broker.connect(&format!("{kind}-{number}")))
                .find(|client| client.shard == shard)
                .expect("some name belongs to each shard")
        };
        for pair in 0..PAIRS {
            let topic = format!("plant/line/{pair}");
            let publisher = connect(&mut broker, "publisher", pair % usize::from(shards));
            let subscriber = connect(&mut broker, "subscriber", (pair + 1) % usize::from(shards));
            broker.receive(subscriber, &packets::subscribe(version, &topic, qos));
            broker.settle();
            publishers.push((publisher, chunk(version, &topic, qos, AT_ONCE, payload)));
        }
        broker.collect();
        Self { broker, publishers }
    }

    fn publish(&mut self) {
        for (publisher, bytes) in &self.publishers {
            self.broker.receive(*publisher, bytes);
        }
        self.broker.settle();
    }
}

fn chunk(version: ProtocolVersion, topic: &str, qos: QoS, messages: usize, payload: &[u8]) -> Vec<u8> {
    (1..=messages).flat_map(|number| packets::publish(version, topic, qos, number, payload)).collect()
}

/// Messages through pairs, with everything that QoS asks for until the last acknowledgement.
fn through_pairs(shards: u16, qos: QoS, payload: &[u8]) -> Round {
    through(Swarm::pairs(shards, qos, payload, RuleSet::default), payload)
}

/// The same messages as of `publish_qos0`; what is more is what the rule costs.
fn publish_do_nothing() -> Round {
    let rule = RuleConfig {
        sql: "SELECT * FROM \"#\"".to_owned(),
        actions: vec![ActionConfig::DoNothing {}],
        ..RuleConfig::default()
    };
    let book = Arc::new(RuleBook::compile(&[("nothing", rule)]).expect("this is a rule"));
    let rules = || RuleSet::new(Arc::clone(&book), Vec::new());
    through(Swarm::pairs(1, QoS::AtMostOnce, &[b'x'; 64], rules), &[b'x'; 64])
}

fn through(mut swarm: Swarm, payload: &[u8]) -> Round {
    let least = THROUGH_PAIRS * payload.len() as u64;
    Box::new(move |meter| {
        let before = swarm.broker.sent_bytes();
        meter.run(|| swarm.publish());
        swarm.broker.answer(meter);
        assert!(swarm.broker.sent_bytes() - before > least, "every message is delivered");
    })
}

/// Only what subscribers acknowledge.
fn acks() -> Round {
    let mut swarm = Swarm::pairs(1, QoS::AtLeastOnce, &[b'x'; 64], RuleSet::default);
    Box::new(move |meter| {
        swarm.publish();
        swarm.broker.answer(meter);
    })
}

fn fan_out(qos: QoS) -> Round {
    let version = packets::VERSION;
    let mut broker = InProcess::new(1, version, RuleSet::default);
    for number in 0..CROWD {
        let subscriber = broker.connect(&format!("subscriber-{number}"));
        broker.receive(subscriber, &packets::subscribe(version, "plant/all", qos));
        broker.settle();
    }
    let publisher = broker.connect("publisher");
    let bytes = chunk(version, "plant/all", qos, TO_CROWD, &[b'x'; 64]);
    Box::new(move |meter| {
        let before = broker.sent_bytes();
        meter.run(|| {
            broker.receive(publisher, &bytes);
            broker.settle();
        });
        broker.answer(meter);
        assert!(broker.sent_bytes() - before > (CROWD * TO_CROWD * 64) as u64, "everyone gets every message");
    })
}

/// A sink that forgets.
struct NullPort;

impl RowPort for NullPort {
    fn offer(&mut self, record: Record) -> bool {
        drop(black_box(record));
        true
    }

    fn flush(&mut self) {}
}

fn publish_rule() -> Round {
    let version = packets::VERSION;
    let book = Arc::new(RuleBook::compile(&rules()).expect("this is a rule"));
    let port = || RuleSet::new(Arc::clone(&book), vec![("null".to_owned(), Box::new(NullPort) as Box<dyn RowPort>)]);
    let mut broker = InProcess::new(1, version, port);
    let publishers: Vec<(Client, Vec<u8>)> = (0..PAIRS)
        .map(|number| {
            let publisher = broker.connect(&format!("publisher-{number}"));
            (publisher, chunk(version, &format!("plant/line/{number}"), QoS::AtMostOnce, AT_ONCE, PAYLOAD))
        })
        .collect();
    Box::new(move |meter| {
        meter.run(|| {
            for (publisher, bytes) in &publishers {
                broker.receive(*publisher, bytes);
            }
            broker.settle();
        });
        broker.collect();
    })
}

fn connect() -> Round {
    let version = packets::VERSION;
    let mut broker = InProcess::new(1, version, RuleSet::default);
    let comers: Vec<(Vec<u8>, Vec<u8>)> = (0..COMERS)
        .map(|number| {
            let filter = format!("plant/line/{number}");
            (
                packets::connect(version, &format!("client-{number}")),
                packets::subscribe(version, &filter, QoS::AtLeastOnce),
            )
        })
        .collect();
    let disconnect = packets::disconnect(version);
    Box::new(move |meter| {
        meter.run(|| {
            let clients: Vec<Client> = comers
                .iter()
                .map(|(connect, subscribe)| {
                    let client = broker.accept(connect);
                    broker.receive(client, subscribe);
                    broker.settle();
                    client
                })
                .collect();
            for client in clients {
                broker.receive(client, &disconnect);
            }
            broker.settle();
        });
        broker.collect();
    })
}
