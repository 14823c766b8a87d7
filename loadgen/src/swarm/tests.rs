//! Swarms against a broker in memory that can be told to lose, double, swap and refuse.

use std::collections::{BTreeMap, VecDeque};

use millrace_core::codec::acks::AckKind;
use millrace_core::codec::properties::{Properties, PropertiesBuf, Property};
use millrace_core::codec::{Direction, FixedHeader, acks, decode, encode};
use millrace_core::packet::{Ack, ConnAck, Packet, PacketId, ProtocolVersion, Publish, QoS, SubAck};
use millrace_core::reason_code::ReasonCode;

use super::*;
use crate::cli::parse;
use crate::scenario;

const MS: u64 = 1_000_000;

/// What the broker does to the deliveries that it makes, by number.
#[derive(Default)]
struct Mischief {
    lose: Vec<u64>,
    double: Vec<u64>,
    /// Deliver this one behind its successor.
    swap: Vec<u64>,
    refuse_connects: bool,
    refuse_subscribes: bool,
    receive_maximum: Option<u16>,
    /// Answer no PUBLISH.
    silent: bool,
}

struct Broker {
    version: ProtocolVersion,
    mischief: Mischief,
    /// Filters of each connection.
    filters: BTreeMap<(u32, u32), String>,
    deliveries: u64,
    held: Option<((u32, u32), Vec<u8>)>,
    next_id: u16,
    /// Whose turn it is in a shared group.
    turn: usize,
    /// Bytes for the swarms, with the swarm and the slot.
    out: VecDeque<((u32, u32), Vec<u8>)>,
    published: u64,
    pings: u64,
    disconnects: u64,
}

impl Broker {
    fn new(version: ProtocolVersion, mischief: Mischief) -> Self {
        Self {
            version,
            mischief,
            filters: BTreeMap::new(),
            deliveries: 0,
            held: None,
            next_id: 0,
            turn: 0,
            out: VecDeque::new(),
            published: 0,
            pings: 0,
            disconnects: 0,
        }
    }

    fn say(&mut self, to: (u32, u32), packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(self.version, packet, &mut bytes);
        self.out.push_back((to, bytes));
    }

    fn ack(&mut self, to: (u32, u32), kind: AckKind, id: PacketId) {
        let mut bytes = Vec::new();
        let ack = Ack { packet_id: id, reason_code: ReasonCode::Success, properties: Properties::EMPTY };
        acks::encode(self.version, kind, &ack, &mut bytes);
        self.out.push_back((to, bytes));
    }

    fn take(&mut self, from: (u32, u32), mut bytes: &[u8]) {
        while let Some(header) = FixedHeader::parse(bytes).expect("the swarm sends what is legal") {
            let (packet, rest) = bytes.split_at(header.packet_len());
            bytes = rest;
            let packet = decode(self.version, Direction::ToServer, packet).expect("legal");
            self.packet(from, &packet);
        }
        assert!(bytes.is_empty(), "the swarm sends whole packets");
    }

    fn packet(&mut self, from: (u32, u32), packet: &Packet<'_>) {
        match packet {
            Packet::Connect(_) => {
                let reason_code =
                    if self.mischief.refuse_connects { ReasonCode::NotAuthorized } else { ReasonCode::Success };
                let mut properties = PropertiesBuf::new();
                if let Some(most) = self.mischief.receive_maximum {
                    properties.push_u16(Property::ReceiveMaximum, most);
                }
                let connack = ConnAck { session_present: false, reason_code, properties: properties.as_properties() };
                self.say(from, &Packet::ConnAck(connack));
            }
            Packet::Subscribe(subscribe) => {
                let (filter, options) = subscribe.filters[0];
                self.filters.insert(from, filter.to_owned());
                let granted = ReasonCode::from_u8(options.qos as u8).expect("a QoS is a granted one");
                let code = if self.mischief.refuse_subscribes { ReasonCode::UnspecifiedError } else { granted };
                let suback =
                    SubAck { packet_id: subscribe.packet_id, properties: Properties::EMPTY, reason_codes: vec![code] };
                self.say(from, &Packet::SubAck(suback));
            }
            Packet::Publish(publish) => {
                self.published += 1;
                if self.mischief.silent {
                    return;
                }
                match publish.packet_id {
                    Some(id) if publish.qos == QoS::AtLeastOnce => self.ack(from, AckKind::PubAck, id),
                    Some(id) => self.ack(from, AckKind::PubRec, id),
                    None => {}
                }
                self.route(publish);
            }
            Packet::PubRel(ack) => self.ack(from, AckKind::PubComp, ack.packet_id),
            Packet::PubRec(ack) => self.ack(from, AckKind::PubRel, ack.packet_id),
            Packet::PubAck(_) | Packet::PubComp(_) => {}
            Packet::PingReq => {
                self.pings += 1;
                self.say(from, &Packet::PingResp);
            }
            Packet::Disconnect(_) => self.disconnects += 1,
            other => panic!("{} from a client", other.packet_type()),
        }
    }

    fn route(&mut self, publish: &Publish<'_>) {
        let wants = |filter: &str| match filter.strip_suffix('+') {
            Some(front) => publish.topic.starts_with(front),
            None => publish.topic == filter,
        };
        let mut group = Vec::new();
        let mut receivers = Vec::new();
        for (conn, filter) in &self.filters {
            match filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
                Some((_, filter)) if wants(filter) => group.push(*conn),
                Some(_) => {}
                None if wants(filter) => receivers.push(*conn),
                None => {}
            }
        }
        if !group.is_empty() {
            self.turn += 1;
            receivers.push(group[self.turn % group.len()]);
        }
        for to in receivers {
            self.deliver(to, publish);
        }
    }

    fn deliver(&mut self, to: (u32, u32), publish: &Publish<'_>) {
        let number = self.deliveries;
        self.deliveries += 1;
        let mut copy = publish.clone();
        if publish.packet_id.is_some() {
            self.next_id = self.next_id % 60_000 + 1;
            copy.packet_id = PacketId::new(self.next_id);
        }
        let mut bytes = Vec::new();
        encode(self.version, &Packet::Publish(copy.clone()), &mut bytes);
        if self.mischief.lose.contains(&number) {
            return;
        }
        if self.mischief.swap.contains(&number) {
            self.held = Some((to, bytes));
            return;
        }
        self.out.push_back((to, bytes));
        if self.mischief.double.contains(&number) {
            if publish.packet_id.is_some() {
                copy.packet_id = PacketId::new(60_001);
            }
            let mut again = Vec::new();
            encode(self.version, &Packet::Publish(copy), &mut again);
            self.out.push_back((to, again));
        }
        if let Some(held) = self.held.take() {
            self.out.push_back(held);
        }
    }
}

struct Trial {
    swarms: Vec<Swarm>,
    broker: Broker,
    now: u64,
    stage: Stage,
    /// Bytes reach the swarms in pieces of this size.
    piece: usize,
}

impl Trial {
    fn new(arguments: &[&str], mischief: Mischief) -> Self {
        let plan = scenario::run_plan(&parse(arguments).expect("legal"), 7, &crate::files::Files::default())
            .expect("legal")
            .whole;
        let delivered: Arc<[AtomicU64]> = (0..Swarm::delivered_len(&plan)).map(|_| AtomicU64::new(0)).collect();
        let swarms = (0..plan.workers).map(|worker| Swarm::new(Arc::clone(&plan), worker, delivered.clone())).collect();
        let broker = Broker::new(plan.identity.version, mischief);
        Self { swarms, broker, now: 1_000 * MS, stage: Stage::Ramp, piece: usize::MAX }
    }

    /// Lets so much time pass, a millisecond at a time.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += MS;
            for _ in 0..3 {
                self.turn();
            }
        }
    }

    fn turn(&mut self) {
        let (now, broker) = (self.now, &mut self.broker);
        for (number, swarm) in self.swarms.iter_mut().enumerate() {
            swarm.step(self.stage, now);
            let orders = std::mem::take(&mut swarm.orders);
            for conn in orders.connects {
                swarm.connected(conn, 0, now);
            }
            for conn in orders.cancels {
                swarm.receive_ended(conn, libc::ECANCELED);
            }
            for conn in orders.closes.into_iter().chain(std::mem::take(&mut swarm.orders.closes)) {
                swarm.closed(conn);
            }
            swarm.flush(|conn, out| {
                broker.take((number as u32, conn.slot), out);
                out.clear();
            });
        }
        while let Some(((number, slot), bytes)) = self.broker.out.pop_front() {
            let swarm = &mut self.swarms[number as usize];
            for piece in bytes.chunks(self.piece.min(bytes.len()).max(1)) {
                swarm.received(swarm.id_of(slot), piece, true, now);
            }
        }
    }

    /// Connects, runs for so long, then waits.
    fn run(&mut self, ms: u64) {
        self.pass(100);
        let start = self.now + MS;
        self.stage = Stage::Run(Timeline { start, measure: start, end: start + ms * MS });
        self.pass(ms + 200);
        for swarm in &mut self.swarms {
            swarm.leave();
            swarm.settle_missed();
        }
        self.turn();
    }

    fn sum(&self) -> Stats {
        let mut sum = Stats::new();
        self.swarms.iter().for_each(|swarm| sum.join(&swarm.stats));
        sum
    }
}

fn counts_of(arguments: &[&str], mischief: Mischief, ms: u64) -> (crate::stats::Counts, Trial) {
    let mut trial = Trial::new(arguments, mischief);
    trial.run(ms);
    (trial.sum().counts, trial)
}

#[test]
fn every_message_of_every_qos_and_version_is_accounted_for() {
    for version in ["3", "4", "5"] {
        for qos in ["0", "1", "2"] {
            let arguments =
                ["pairs", "-c", "7", "-V", version, "-q", qos, "--rate", "1k", "--workers", "2", "-s", "64"];
            let (counts, trial) = counts_of(&arguments, Mischief::default(), 500);
            assert_eq!(counts.sent, 500, "{version} {qos}");
            assert_eq!((counts.expected, counts.unique, counts.received), (500, 500, 500), "{version} {qos}");
            assert_eq!((counts.doubled, counts.reordered, counts.foreign, counts.unsent), (0, 0, 0, 0));
            assert_eq!(counts.acked, if qos == "0" { 0 } else { 500 }, "{version} {qos}");
            assert_eq!((counts.ready, trial.broker.disconnects), (14, 14));
            assert!(trial.sum().errors.is_empty(), "{:?}", trial.sum().errors);
        }
    }
}

#[test]
fn idle_clients_neither_subscribe_nor_publish() {
    let arguments = ["fan-in", "--pubs", "3", "--subs", "2", "--idle", "8", "--rate", "1k", "--workers", "3"];
    let (counts, trial) = counts_of(&arguments, Mischief::default(), 200);
    assert_eq!((counts.ready, trial.broker.disconnects), (13, 13));
    assert_eq!(trial.broker.filters.len(), 2);
    assert_eq!((counts.unique, counts.expected), (counts.sent * 2, counts.sent * 2));
    let plan = &trial.swarms[0].plan;
    let ids: std::collections::BTreeSet<String> = (0..13).map(|client| plan.client_id(client)).collect();
    let clients: std::collections::BTreeSet<u32> =
        trial.swarms.iter().flat_map(|swarm| (0..swarm.conns.len() as u32).map(|slot| swarm.client_of(slot))).collect();
    assert_eq!((ids.len(), clients.len()), (13, 13), "nobody has the id of another");
}

#[test]
fn what_the_broker_loses_doubles_and_swaps_is_found() {
    for qos in ["0", "1", "2"] {
        let mischief =
            Mischief { lose: vec![10, 11, 40], double: vec![20, 21], swap: vec![30, 60], ..Mischief::default() };
        let arguments = ["fan-in", "--pubs", "1", "--subs", "1", "-q", qos, "--rate", "1k", "-s", "64"];
        let (counts, _) = counts_of(&arguments, mischief, 100);
        assert_eq!((counts.expected, counts.unique), (100, 97), "QoS {qos}");
        assert_eq!((counts.doubled, counts.reordered), (2, 2), "QoS {qos}");
    }
}

#[test]
fn each_subscriber_of_a_fan_has_its_own_account() {
    let mischief = Mischief { lose: vec![5], ..Mischief::default() };
    let arguments = ["fan-out", "--pubs", "2", "--subs", "9", "--rate", "100", "--workers", "2"];
    let (counts, trial) = counts_of(&arguments, mischief, 500);
    assert_eq!((counts.sent, counts.expected, counts.unique), (50, 450, 449));
    let lines: Vec<_> = trial.swarms.iter().flat_map(Swarm::lines).collect();
    let sent: BTreeMap<u32, u64> = trial.swarms.iter().flat_map(Swarm::sent).collect();
    assert_eq!((lines.len(), sent.len()), (18, 2));
    let short = lines.iter().filter(|line| line.unique < sent[&line.publisher]).count();
    assert_eq!(short, 1, "one stream of the 18 lacks one message");
    assert_eq!((counts.doubled, counts.reordered), (0, 0));
}

#[test]
fn a_group_gets_each_message_once_whichever_member_takes_it() {
    let mischief = Mischief { lose: vec![7], double: vec![9], ..Mischief::default() };
    let arguments = ["shared", "--pubs", "3", "--subs", "4", "--rate", "1k", "--workers", "2", "-q", "1"];
    let (counts, mut trial) = counts_of(&arguments, mischief, 300);
    assert_eq!((counts.sent, counts.expected, counts.received), (300, 300, 300));
    let mut groups = trial.swarms.iter_mut().map(Swarm::take_group);
    let mut joined = groups.next().expect("two workers");
    for other in groups {
        joined.iter_mut().zip(&other).for_each(|(mine, theirs)| mine.join(theirs));
    }
    assert_eq!(joined.iter().map(Bits::unique).sum::<u64>(), 299);
    assert_eq!(counts.reordered, 0);
}

#[test]
fn packets_may_come_in_pieces_of_any_size() {
    for piece in [1, 2, 3, 50] {
        let mut trial = Trial::new(&["pairs", "-c", "4", "-q", "2", "--rate", "1k"], Mischief::default());
        trial.piece = piece;
        trial.run(50);
        let counts = trial.sum().counts;
        assert_eq!((counts.sent, counts.unique, counts.acked), (50, 50, 50), "{piece}");
    }
}

#[test]
fn a_run_that_ends_before_its_time_sends_no_more() {
    for wait in [&[][..], &["--max-random-wait", "20"]] {
        let arguments = [&["pairs", "-c", "4", "--rate", "1k", "--workers", "2"], wait].concat();
        let mut trial = Trial::new(&arguments, Mischief::default());
        trial.pass(100);
        let start = trial.now + MS;
        let timeline = Timeline { start, measure: start, end: start + 10_000 * MS };
        trial.stage = Stage::Run(timeline);
        trial.pass(200);
        trial.stage = Stage::Run(Timeline { end: trial.now, ..timeline });
        trial.pass(500);
        let counts = trial.sum().counts;
        assert!((150..=201).contains(&counts.sent), "{}", counts.sent);
        assert_eq!(counts.unique, counts.sent);
    }
}

#[test]
fn publishers_may_begin_at_random_and_keep_their_pace() {
    let arguments = [
        "pairs",
        "-c",
        "5",
        "-q",
        "1",
        "-I",
        "100",
        "--min-random-wait",
        "50",
        "--max-random-wait",
        "200",
        "--workers",
        "2",
    ];
    let mut trial = Trial::new(&arguments, Mischief::default());
    trial.run(1000);
    let stats = trial.sum();
    let counts = stats.counts;
    assert!((35..=48).contains(&counts.sent), "{} of 50 were due by then", counts.sent);
    assert_eq!((counts.unique, counts.unsent, counts.reordered), (counts.sent, 0, 0));
    assert!(stats.latencies.delivery.max() <= 2 * MS, "they are due later, not late");
}

#[test]
fn a_closed_window_holds_messages_back_in_the_closed_loop() {
    let mut trial = Trial::new(
        &["pairs", "-c", "2", "-q", "1", "-F", "5", "--workers", "1"],
        Mischief { silent: true, ..Mischief::default() },
    );
    trial.run(100);
    assert_eq!(trial.broker.published, 10, "five each and no more");
}

#[test]
fn the_receive_maximum_of_the_broker_is_kept() {
    let mischief = Mischief { silent: true, receive_maximum: Some(3), ..Mischief::default() };
    let (counts, trial) = counts_of(&["pub", "-c", "2", "-q", "1", "--rate", "1k"], mischief, 100);
    assert_eq!(trial.broker.published, 6);
    assert_eq!((counts.sent, counts.unsent), (6, 94), "what was due is not forgotten");
}

#[test]
fn windows_of_qos_0_count_deliveries_and_open_again_after_losses() {
    let arguments = ["pairs", "-c", "1", "-q", "0", "-F", "4", "--workers", "1"];
    let mut trial = Trial::new(&arguments, Mischief { lose: (0..4).collect(), ..Mischief::default() });
    trial.pass(100);
    let start = trial.now + MS;
    trial.stage = Stage::Run(Timeline { start, measure: start, end: start + 3000 * MS });
    trial.pass(500);
    assert_eq!(trial.broker.published, 4, "all four are lost, and the window is closed");
    trial.pass(1000);
    assert!(trial.broker.published > 4, "what does not come is written off");
    let counts = trial.sum().counts;
    assert_eq!(counts.written_off, 1);
    assert!(counts.expected - counts.unique >= 4, "and it is still lost");
}

#[test]
fn a_limit_is_sent_exactly() {
    for pace in [&["--rate", "10k"][..], &["-F", "3"]] {
        let arguments = [&["pairs", "-c", "3", "-q", "1", "-L", "100", "--workers", "2"], pace].concat();
        let (counts, _) = counts_of(&arguments, Mischief::default(), 300);
        assert_eq!((counts.sent, counts.unique, counts.acked), (100, 100, 100), "{pace:?}");
    }
}

#[test]
fn what_could_not_leave_keeps_the_time_at_which_it_was_due() {
    let mut trial = Trial::new(&["pairs", "-c", "1", "--rate", "1k", "--workers", "1"], Mischief::default());
    trial.pass(100);
    let start = trial.now + MS;
    trial.stage = Stage::Run(Timeline { start, measure: start, end: start + 1000 * MS });
    trial.pass(100);
    let publisher = trial.swarms[0].id_of(1);
    trial.swarms[0].stalled(publisher);
    let before = trial.broker.published;
    trial.pass(500);
    assert_eq!(trial.broker.published, before, "a full socket takes nothing");
    trial.swarms[0].drained(publisher);
    trial.pass(600);
    let stats = trial.sum();
    assert_eq!((stats.counts.sent, stats.counts.unique, stats.counts.unsent), (1000, 1000, 0));
    let latencies = &stats.latencies;
    assert!(latencies.delivery.max() >= 499 * MS, "{} ns", latencies.delivery.max());
    assert!(latencies.delivery_sent.max() <= 2 * MS, "{} ns", latencies.delivery_sent.max());
    let late = latencies.delivery.count_between(100 * MS, 600 * MS);
    assert!((390..=410).contains(&late), "one for each millisecond of the standstill, not one for all: {late}");
    assert!(latencies.lag.max() < 2 * MS, "the broker's standstill is not our lateness");
}

#[test]
fn refusals_are_counted_by_name() {
    let (counts, trial) =
        counts_of(&["pairs", "-c", "2"], Mischief { refuse_connects: true, ..Mischief::default() }, 10);
    assert_eq!((counts.ready, counts.failed), (0, 4));
    assert_eq!(trial.sum().errors.get("refused: Not authorized (0x87)"), Some(&4), "{:?}", trial.sum().errors);
    let (counts, trial) =
        counts_of(&["pairs", "-c", "2"], Mischief { refuse_subscribes: true, ..Mischief::default() }, 10);
    assert_eq!((counts.ready, counts.failed), (2, 2));
    assert!(trial.sum().errors.keys().any(|name| name.starts_with("subscribe refused")), "{:?}", trial.sum().errors);
}

#[test]
fn silent_clients_are_kept_alive_and_talking_ones_not_asked() {
    let (counts, trial) = counts_of(&["conn", "-c", "10", "-k", "1"], Mischief::default(), 2000);
    assert!(trial.broker.pings >= 30, "{}", trial.broker.pings);
    assert_eq!(counts.pings, trial.broker.pings);
    let (counts, _) = counts_of(&["pub", "-c", "1", "-k", "1", "--rate", "100"], Mischief::default(), 2000);
    assert_eq!(counts.pings, 0);
}

#[test]
fn a_broker_that_breaks_the_protocol_is_left() {
    let mut trial = Trial::new(&["conn", "-c", "1", "--workers", "1"], Mischief::default());
    trial.pass(10);
    let conn = trial.swarms[0].id_of(0);
    trial.swarms[0].received(conn, &[0xF1, 0x00], true, trial.now);
    trial.pass(10);
    let stats = trial.sum();
    assert_eq!((stats.counts.open, stats.counts.dropped), (0, 1));
    assert!(stats.errors.keys().any(|name| name.starts_with("protocol")), "{:?}", stats.errors);
    // A completion of the old tenant touches nobody.
    trial.swarms[0].received(conn, &[0xD0, 0x00], true, trial.now);
    trial.swarms[0].receive_ended(conn, 0);
    assert_eq!(trial.sum().counts.dropped, 1);
}

#[test]
fn connects_are_held_to_their_rate() {
    let mut trial = Trial::new(&["conn", "-c", "100", "-R", "1k", "--workers", "2"], Mischief::default());
    trial.pass(50);
    let half = trial.sum().counts.ready;
    assert!((48..=52).contains(&half), "{half} after 50 of 100 ms");
    trial.pass(100);
    assert_eq!(trial.sum().counts.ready, 100);
}

#[test]
fn a_connection_that_never_gets_ready_is_given_up() {
    let mut trial =
        Trial::new(&["conn", "-c", "3", "--connect-timeout", "50ms", "--workers", "1"], Mischief::default());
    trial.swarms[0].step(Stage::Ramp, trial.now);
    assert_eq!(trial.swarms[0].orders.connects.len(), 3);
    trial.swarms[0].orders.connects.clear();
    trial.pass(100);
    let stats = trial.sum();
    assert_eq!((stats.counts.failed, stats.counts.ready), (3, 0));
    assert_eq!(stats.errors.get("timeout: not ready in time"), Some(&3));
}

#[test]
fn strangers_are_accounted_from_where_they_were_first_heard() {
    let mut trial = Trial::new(&["sub", "-c", "1", "-t", "x", "--workers", "1"], Mischief::default());
    trial.pass(20);
    let conn = trial.swarms[0].id_of(0);
    for sequence in [100, 101, 103, 103, 104] {
        let mut payload = [0; 28];
        crate::stamp::Stamp { tag: 9, publisher: 4, sequence, intended: 5, lag: 0 }.put(&mut payload);
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "x",
            packet_id: None,
            properties: Properties::EMPTY,
            payload: &payload,
        };
        let mut bytes = Vec::new();
        encode(ProtocolVersion::V5, &Packet::Publish(publish), &mut bytes);
        trial.swarms[0].received(conn, &bytes, true, trial.now);
    }
    trial.swarms[0].settle_missed();
    let counts = trial.sum().counts;
    assert_eq!((counts.received, counts.unique, counts.doubled, counts.missed), (5, 4, 1, 1));
}
