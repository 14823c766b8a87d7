//! Scenarios: what chance meets too seldom, each in its smallest form and on any number of shards.

use millrace_core::codec::properties::Properties;
use millrace_core::codec::{self, Direction, FixedHeader};
use millrace_core::metrics::{Counter, Gauge};
use millrace_core::packet::{Connect, Packet, ProtocolVersion};
use millrace_core::reason_code::ReasonCode;
use millrace_shards::shard::Control;
use millrace_shards::shard::io::ShardId;
use millrace_shards::shard::logic::Logic;

use super::Sim;
use super::client::{Client, Role};
use super::network::LinkId;

/// Thousands of retained messages come to one subscriber of everything, each once, however slowly it reads.
#[must_use]
pub fn retained_by_thousands(seed: u64) -> u64 {
    let mut sim = Sim::empty(seed);
    let mut habits = sim.setup.habits(&mut sim.rng);
    habits.max_packet = None;
    habits.keep_alive = 0;
    sim.clients.push(Client::new(0, Role::Worker, habits));
    sim.clients[0].calm_down(sim.now);
    sim.calm_until(Sim::is_settled, "the publisher to come");
    for number in 0..3000 {
        let size = sim.rng.pick(&[8, 50, 300]);
        let topic = format!("r/{}/{number}", number % 7);
        sim.clients[0].retain(topic, size, &mut sim.network, &mut sim.oracle, sim.now);
        if number % 8 == 7 {
            sim.calm_until(Sim::is_settled, "messages to be retained");
        }
    }
    sim.calm_until(Sim::is_settled, "messages to be retained");
    sim.probe();
    sim.farewell();
    sim.oracle.proven
}

fn raw_connect(sim: &mut Sim, client_id: &str) -> LinkId {
    let connect = Connect {
        version: ProtocolVersion::V5,
        bridge: false,
        clean_start: sim.rng.chance(50),
        keep_alive: 0,
        properties: Properties::EMPTY,
        client_id,
        will: None,
        username: None,
        password: None,
    };
    let mut bytes = Vec::new();
    codec::encode(connect.version, &Packet::Connect(Box::new(connect)), &mut bytes);
    let link = sim.network.connect(&mut sim.rng);
    sim.network.links[link].up.extend(&bytes);
    link
}

/// What a client of 5.0 was told: whether CONNACK came, and the reason of a DISCONNECT behind it.
fn told(bytes: &[u8]) -> (bool, Option<ReasonCode>) {
    let mut at = 0;
    let mut told = (false, None);
    while let Ok(Some(header)) = FixedHeader::parse(&bytes[at..]) {
        let end = at + header.packet_len();
        match codec::decode(ProtocolVersion::V5, Direction::ToClient, &bytes[at..end]).expect("well-formed") {
            Packet::ConnAck(connack) => told.0 = connack.reason_code == ReasonCode::Success,
            Packet::Disconnect(disconnect) => told.1 = Some(disconnect.reason_code),
            other => panic!("{other:?}"),
        }
        at = end;
    }
    told
}

/// One Client Identifier from many sockets at once: one winner, and each loser is told.
#[must_use]
pub fn takeover_storm(seed: u64) -> u64 {
    let mut sim = Sim::empty(seed);
    let links: Vec<LinkId> = (0..200).map(|_| raw_connect(&mut sim, "one")).collect();
    let mut received = vec![Vec::new(); links.len()];
    for round in 0..600 {
        sim.network.calm = round > 400;
        sim.now += sim.rng.below(5);
        for (link, bytes) in links.iter().zip(&mut received) {
            bytes.extend(sim.network.read(*link, 1 << 20));
            if sim.network.links[*link].down_end {
                sim.network.finish(*link);
            }
        }
        sim.step_all();
        let sessions: usize = sim.census().iter().map(|shard| shard.sessions).sum();
        assert!(sessions <= 1, "one client has {sessions} sessions");
    }
    let mut winners = 0;
    for (link, bytes) in links.iter().zip(&received) {
        match (sim.network.links[*link].is_closed(), told(bytes)) {
            (false, (true, None)) => winners += 1,
            (true, (true, Some(ReasonCode::SessionTakenOver))) => {}
            other => panic!("link {link}: {other:?}"),
        }
    }
    assert_eq!(winners, 1);
    for link in links {
        sim.network.finish(link);
    }
    sim.expire();
    200
}

/// A broker that stops tells everybody, takes nobody more, and keeps nothing but sessions.
#[must_use]
pub fn drain_in_the_middle(seed: u64) -> u64 {
    let mut sim = Sim::empty(seed);
    let names: Vec<String> = (0..60).map(|number| format!("client-{number}")).collect();
    let links: Vec<LinkId> = names.iter().map(|name| raw_connect(&mut sim, name)).collect();
    let mut received = vec![Vec::new(); links.len()];
    let stop_at = sim.rng.below(12);
    for round in 0..300 {
        sim.network.calm = round > 200;
        sim.now += sim.rng.below(40);
        if round == stop_at {
            for index in 0..sim.shards.len() {
                let id = ShardId(index as u16);
                let now = super::time(sim.now);
                let mut out = sim.network.verbs(id, now.monotonic, &mut sim.rng);
                sim.shards[index].control(now, Control::Drain, &mut out);
                sim.shards[index].turn(now, &mut out);
            }
        }
        for (link, bytes) in links.iter().zip(&mut received) {
            bytes.extend(sim.network.read(*link, 1 << 20));
            if sim.network.links[*link].down_end {
                sim.network.finish(*link);
            }
        }
        sim.step_all();
    }
    for (link, bytes) in links.iter().zip(&received) {
        assert!(sim.network.links[*link].is_closed(), "a connection outlives the broker: {:?}", sim.census());
        let (connected, reason) = told(bytes);
        assert!(!connected || reason == Some(ReasonCode::ServerShuttingDown), "{reason:?}");
    }
    let counters = sim.counters();
    assert_eq!(counters.gauge(Gauge::Connections), 0);
    assert_eq!(counters.get(Counter::ConnectionsClosedProtocolError), 0);
    60
}

/// A broker that is short of memory refuses whoever comes, keeps whoever is there, and counts both names of it.
#[must_use]
pub fn short_of_memory(seed: u64) -> u64 {
    let mut sim = Sim::empty(seed);
    let mut links: Vec<LinkId> = (0..5).map(|number| raw_connect(&mut sim, &format!("early-{number}"))).collect();
    let mut received = vec![Vec::new(); 25];
    for round in 0..200 {
        sim.network.calm = round > 50;
        sim.now += 5;
        if round == 100 {
            sim.shared.set_pressure(1);
            links.extend((0..20).map(|number| raw_connect(&mut sim, &format!("late-{number}"))).collect::<Vec<_>>());
        }
        for (link, bytes) in links.iter().zip(&mut received) {
            bytes.extend(sim.network.read(*link, 1 << 20));
            if sim.network.links[*link].down_end {
                sim.network.finish(*link);
            }
        }
        sim.step_all();
    }
    for (at, (link, bytes)) in links.iter().zip(&received).enumerate() {
        assert_eq!(told(bytes), (at < 5, None));
        assert_eq!(sim.network.links[*link].is_closed(), at >= 5);
    }
    let counters = sim.counters();
    assert_eq!(counters.get(Counter::LimitHitsMemory), 20);
    assert_eq!(counters.get(Counter::ConnectsRefusedServerBusy), 20);
    sim.shared.set_pressure(0);
    for link in links {
        sim.network.finish(link);
    }
    sim.expire();
    25
}
