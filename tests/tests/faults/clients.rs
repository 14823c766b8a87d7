//! Clients that stop reading, stop speaking, speak too slowly, or want what another one has.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, Will, ack, first};

use super::{Gauges, V5, V311, connect_alive, expect_descriptors, expect_memory, usual_or_long, watched};

/// Pairs that work at full speed.
const PAIRS: u64 = 4;
/// What subscribers that stop reading want.
const STOPPED_TOPIC: &str = "load/0";
/// Messages that a publisher sends before it waits for their acknowledgements.
const BATCH: u16 = 50;

/// Publishers and subscribers of QoS 1 at full speed, each pair with a topic of its own.
struct Load {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    pairs: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(broker: &Broker) -> Self {
        let mut load = Self { stop: Arc::default(), received: Arc::default(), pairs: Vec::new() };
        for pair in 0..PAIRS {
            let topic = format!("load/{pair}");
            let mut subscriber = Client::connect(broker, V311, &format!("load-subscriber-{pair}"));
            subscriber.subscribe(&topic, 1);
            let publisher = Client::connect(broker, V311, &format!("load-publisher-{pair}"));
            let (stop, received) = (Arc::clone(&load.stop), Arc::clone(&load.received));
            load.pairs.push(std::thread::spawn(move || run_pair(publisher, subscriber, &topic, &stop, &received)));
        }
        load
    }

    /// Messages a second, in so many half seconds.
    fn rates(&self, windows: u64) -> Vec<u64> {
        const WINDOW: Duration = Duration::from_millis(500);
        let rates = (0..windows).map(|_| {
            let before = self.received.load(Ordering::Relaxed);
            std::thread::sleep(WINDOW);
            (self.received.load(Ordering::Relaxed) - before) * 2
        });
        let rates = rates.collect();
        assert!(self.pairs.iter().all(|pair| !pair.is_finished()), "a pair failed");
        rates
    }

    /// Every message that was acknowledged has arrived.
    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for pair in self.pairs {
            pair.join().expect("nothing is lost, doubled or out of order");
        }
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn run_pair(mut publisher: Client, mut subscriber: Client, topic: &str, stop: &AtomicBool, received: &AtomicU64) {
    let mut number = 0_u64;
    let padding = "x".repeat(1000);
    while !stop.load(Ordering::Relaxed) {
        let mut batch = Vec::new();
        for id in 1..=BATCH {
            batch.extend(Publish::new(topic, format!("{} {padding}", number + u64::from(id))).qos(1, id).bytes(V311));
        }
        publisher.send(&batch);
        let mut acks = Vec::new();
        for _ in 0..BATCH {
            let delivery = subscriber.expect_publish();
            number += 1;
            assert_eq!(delivery.text().split(' ').next(), Some(number.to_string().as_str()));
            acks.extend(ack(first::PUBACK, delivery.id));
        }
        subscriber.send(&acks);
        for id in 1..=BATCH {
            publisher.expect_ack(first::PUBACK, id);
        }
        // The first pair is the one that the stopped subscribers have to do with.
        if topic != STOPPED_TOPIC {
            received.fetch_add(u64::from(BATCH), Ordering::Relaxed);
        }
    }
}

#[test]
fn a_subscriber_that_stops_reading_costs_bounded_memory_and_nobody_else() {
    const OUTPUT: u64 = 1 << 20;
    const QUEUE: u64 = 4 << 20;
    const STOPPED: u64 = 3;
    let broker = Setup::new().set("sessions.output_bytes=1MiB").set("sessions.queue_bytes=4MiB").start();
    let load = Load::start(&broker);
    let windows = usual_or_long(6, 120);
    let mut usual = load.rates(windows);
    let before = broker.resident_bytes();
    // One gets QoS 0, two QoS 1, one of them with a session that stays; none ever reads.
    let stopped: Vec<Client> = [(0, false), (1, false), (1, true)]
        .iter()
        .enumerate()
        .map(|(number, (qos, resume))| {
            let connect = Connect::new(V5, &format!("stopped-{number}"));
            let connect = if *resume { connect.resume() } else { connect };
            let (mut client, _) = Client::connect_with(&broker, &connect);
            client.send(&millrace_tests::wire::build::subscribe(V5, 1, &[], &[(STOPPED_TOPIC, *qos)]));
            client
        })
        .collect();
    let mut most = 0;
    let mut rates = Vec::new();
    for _ in 0..windows {
        rates.extend(load.rates(1));
        most = most.max(broker.resident_bytes());
    }
    drop(stopped);
    usual.extend(load.rates(windows));
    load.end();
    let (usual, rate) = (median(usual), median(rates));
    println!("{usual} messages a second before, {rate} with stopped subscribers; memory {before}, at most {most}");
    // Output that waits may be held twice, as what the socket did not take and as what waits behind that; messages
    // under way in a session that stays are a window of 1024.
    let bound = STOPPED * (2 * OUTPUT + QUEUE + 2 * 1024 * 1100) + (16 << 20);
    assert!(most < before + bound, "memory went from {before} to {most}, more than {bound}");
    // A minute evens out what else the machine does.
    let at_least = usual_or_long(usual / 2, usual / 10 * 9);
    assert!(rate >= at_least, "{rate} messages a second instead of {usual}");
}

#[test]
fn clients_that_vanish_without_a_word_are_found_by_their_keep_alive() {
    const KEEP_ALIVE: u16 = 2;
    let count = usual_or_long(2000, 10_000);
    let broker = watched(Setup::new().set("sessions.queue_messages=100000"));
    let mut wills = Client::connect(&broker, V311, "wills");
    wills.subscribe("vanish/#", 1);
    let mut gauges = Gauges::watch(&broker);
    let start = gauges.settle();
    // Those who came first may be found before the last has come.
    let watcher = std::thread::spawn(move || {
        let mut seen: BTreeMap<String, Instant> = BTreeMap::new();
        while seen.len() < usize::try_from(count).expect("it is small") {
            let Some(packet) = wills.receive_within(Duration::from_secs(60)) else { break };
            let delivery = packet.publish(V311);
            wills.acknowledge(&delivery);
            let again = seen.insert(delivery.topic.clone(), Instant::now());
            assert!(again.is_none(), "the Will of {} twice", delivery.topic);
        }
        (wills, seen)
    });
    let mut heard: Vec<Instant> = Vec::new();
    let mut clients = Vec::new();
    for number in 0..count {
        let version = VERSIONS[usize::try_from(number % 3).expect("it is small")];
        let will = Will::new(&format!("vanish/{number}"), "gone").qos(1);
        let connect = Connect::new(version, &format!("vanish-{number}")).keep_alive(KEEP_ALIVE).will(will);
        let (mut client, _) = Client::connect_with(&broker, &connect);
        client.subscribe(&format!("vanished/{number}"), 1);
        heard.push(Instant::now());
        clients.push(client);
    }
    // All at once in the end: a new connection must not come from the port of one that is gone.
    let held: Vec<_> = clients.into_iter().map(Client::go_silent).collect();
    let limit = Duration::from_millis(1500 * u64::from(KEEP_ALIVE));
    let (mut wills, seen) = watcher.join().expect("every Will comes once");
    assert_eq!(seen.len(), heard.len(), "a Will is missing");
    for (number, heard) in heard.iter().enumerate() {
        let lasted = seen[&format!("vanish/{number}")] - *heard;
        // The broker heard it a little before we knew.
        assert!(lasted + Duration::from_millis(500) > limit, "{number} was given up after {lasted:?}");
        assert!(lasted < limit + Duration::from_secs(3), "{number} was found after {lasted:?}");
    }
    wills.expect_nothing();
    gauges.expect(&start, Duration::from_secs(10));
    drop(held);
}

#[test]
fn who_does_not_finish_connect_in_time_is_closed() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let broker = Setup::new().set("limits.connect_timeout=2s").start();
    let descriptors = broker.descriptors();
    let before = broker.resident_bytes();
    let connect = Connect::new(V311, &"slow".repeat(50)).bytes();
    let begun = Instant::now();
    // How often a byte comes; never, every second, every 50 ms.
    let mut clients: Vec<(Client, Option<u64>, Option<Duration>)> =
        (0..300).map(|number| (Client::open(&broker, V311), [None, Some(1000), Some(50)][number % 3], None)).collect();
    let mut quick = Client::open(&broker, V311);
    let short = Connect::new(V311, "slow-but-short").bytes();
    let mut buffer = [0; 16];
    let mut answered = false;
    for step in 0..80_u64 {
        for (client, every, closed) in clients.iter_mut().filter(|(_, _, closed)| closed.is_none()) {
            if let Some(every) = every
                && (step * 50).is_multiple_of(*every)
                && let Some(byte) = connect.get(usize::try_from(step * 50 / *every).expect("it is small"))
            {
                client.send_perhaps(&[*byte]);
            }
            let mut stream = client.stream();
            stream.set_nonblocking(true).expect("a socket takes options");
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => *closed = Some(begun.elapsed()),
            }
        }
        // A CONNECT that comes slowly and is there in time is as good as any.
        if let Some(byte) = short.get(usize::try_from(step).expect("it is small")) {
            quick.send(&[*byte]);
        } else if !answered {
            assert_eq!(quick.receive().connack(V311).code, 0);
            answered = true;
        }
        if let Some(left) = (begun + Duration::from_millis(50 * (step + 1))).checked_duration_since(Instant::now()) {
            std::thread::sleep(left);
        }
    }
    for (_, every, closed) in &clients {
        let closed = closed.unwrap_or_else(|| panic!("a byte every {every:?} ms keeps it open"));
        assert!(closed > TIMEOUT - Duration::from_millis(200), "closed after {closed:?}");
        assert!(closed < TIMEOUT + Duration::from_millis(1500), "closed after {closed:?}");
    }
    quick.ping();
    drop((clients, quick));
    expect_memory(&broker, before + (4 << 20));
    expect_descriptors(&broker, descriptors);
}

#[test]
fn a_storm_of_takeovers_has_one_winner_at_a_time() {
    let storm = usual_or_long(200, 1000);
    let broker = watched(Setup::new());
    let mut gauges = Gauges::watch(&broker);
    let start = gauges.settle();
    let id = "storm";
    // Eight threads at a time; whoever has won stays to be told that it lost.
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let clients: Vec<Client> = (0..storm / 8).map(|_| Client::open(&broker, V5)).collect();
            std::thread::spawn(move || {
                let mut connected = Vec::new();
                for (number, mut client) in clients.into_iter().enumerate() {
                    let connect = Connect::new(V5, id);
                    // Some want the session, some a new one.
                    let connect = if (number + thread).is_multiple_of(3) { connect } else { connect.resume() };
                    client.send(&connect.bytes());
                    assert_eq!(client.receive().connack(V5).code, 0);
                    connected.push(client);
                }
                connected
            })
        })
        .collect();
    let mut clients: Vec<Client> =
        threads.into_iter().flat_map(|thread| thread.join().expect("everybody gets a CONNACK")).collect();
    let mut last = Client::connect(&broker, V5, id);
    for client in &mut clients {
        client.expect_disconnect(0x8E);
    }
    last.ping();
    last.leave();
    gauges.expect(&start, Duration::from_secs(10));
}

#[test]
fn a_stop_of_the_whole_broker_ends_nobody_who_pinged_meanwhile() {
    let broker = Setup::new().start();
    let mut alive: Vec<Client> =
        (0..20).map(|number| connect_alive(&broker, V5, &format!("alive-{number}"), 2)).collect();
    let mut silent = connect_alive(&broker, V5, "silent", 2);
    broker.signal(libc::SIGSTOP);
    let seconds = usual_or_long(4, 20);
    for _ in 0..seconds {
        for client in &mut alive {
            client.send(&[0xC0, 0]);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    broker.signal(libc::SIGCONT);
    for client in &mut alive {
        for _ in 0..seconds {
            client.expect(0xD0, &[]);
        }
        client.ping();
    }
    silent.expect_disconnect(0x8D);
}

/// All that a version says in a short session, in order, with acknowledgements it could know in advance.
fn script(version: Version) -> Vec<u8> {
    use millrace_tests::wire::build;
    let will = Will::new("script/will", "w").qos(1);
    let connect = Connect::new(version, &format!("script-{version:?}")).will(will);
    let mut bytes = connect.bytes();
    bytes.extend(build::subscribe(version, 1, &[], &[("script/+", 2)]));
    for (qos, id) in [(0, 0), (1, 2), (2, 3)] {
        bytes.extend(Publish::new("script/a", "hello").qos(qos, id).bytes(version));
    }
    bytes.extend(ack(first::PUBREL, 3));
    // What it gets itself: QoS 1 has identifier 1, QoS 2 identifier 2.
    bytes.extend(ack(first::PUBACK, 1));
    bytes.extend(ack(first::PUBREC, 2));
    bytes.extend(ack(first::PUBCOMP, 2));
    bytes.extend(build::pingreq());
    bytes.extend(build::unsubscribe(version, 4, &["script/+"]));
    bytes.extend(build::disconnect());
    bytes
}

#[test]
fn a_reset_at_any_byte_of_a_session_leaves_nothing_behind() {
    let broker = watched(Setup::new());
    let mut gauges = Gauges::watch(&broker);
    let start = gauges.settle();
    let descriptors = broker.descriptors();
    for version in VERSIONS {
        let script = script(version);
        for cut in 0..=script.len() {
            // At once, while the broker still works on it, or after it has answered.
            for wait in [false, true] {
                let mut client = Client::open(&broker, version);
                client.send_perhaps(&script[..cut]);
                if wait && cut > 0 {
                    std::thread::sleep(Duration::from_micros(500));
                }
                client.reset();
            }
        }
    }
    gauges.expect(&start, Duration::from_secs(10));
    expect_descriptors(&broker, descriptors);
}
