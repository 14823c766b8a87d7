//! Ten minutes of everything at once, with a memory that stays flat: `./tests/run --long soak`.
//!
//! `MILLRACE_SOAK_SECONDS` makes it shorter or longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millrace_tests::broker::Broker;
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, Will, build, first};

const V5: Version = Version::V5;

/// Memory may move by this share of what it was after the warm-up.
const GROWTH_PERCENT: u64 = 25;

struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    received: Arc<AtomicU64>,
}

impl Load {
    fn spawn(&mut self, broker: &'static Broker, turn: impl Fn(&Broker, &AtomicU64, u64) + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        let received = Arc::clone(&self.received);
        self.threads.push(std::thread::spawn(move || {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                turn(broker, &received, round);
                round += 1;
            }
        }));
    }
}

/// One pair: every QoS through, nothing lost, nothing out of order.
fn pair(broker: &Broker, received: &AtomicU64, number: u64) {
    let version = VERSIONS[usize::try_from(number % 3).expect("it is small")];
    let topic = format!("soak/pair/{number}");
    let mut subscriber = Client::connect(broker, version, &format!("soak-sub-{number}"));
    subscriber.subscribe(&topic, 2);
    let mut publisher = Client::connect(broker, version, &format!("soak-pub-{number}"));
    for message in 0..500_u64 {
        let qos = u8::try_from(message % 3).expect("it is small");
        publisher.publish(Publish::new(&topic, message.to_string()).qos(qos, 0));
        let delivery = subscriber.expect_payload(&message.to_string());
        subscriber.acknowledge(&delivery);
        received.fetch_add(1, Ordering::Relaxed);
    }
    subscriber.leave();
    publisher.vanish();
}

/// Sessions that come and go, with queues, Wills, retained messages and takeovers.
fn churn(broker: &Broker, _received: &AtomicU64, round: u64) {
    let id = format!("soak-churn-{}", round % 200);
    let resume = Connect::new(V5, &id).resume().will(Will::new("soak/will", &id).qos(1));
    // Every fourth visit begins anew, so that what waits stays bounded.
    let connect = resume.clone().clean((round / 200).is_multiple_of(4));
    let (mut client, _) = Client::connect_with(broker, &connect);
    let filters = [(format!("soak/churn/{}", round % 200), 1), ("$share/soak/soak/shared".to_owned(), 1)];
    let filters: Vec<(&str, u8)> = filters.iter().map(|(filter, qos)| (filter.as_str(), *qos)).collect();
    client.send(&build::subscribe(V5, 1, &[], &filters));
    // What waited for the session may come first.
    while client.receive().first != 0x90 {}
    let retained = Publish::new(&format!("soak/retained/{}", round % 1000), round.to_string()).retain();
    client.send(&retained.bytes(V5));
    match round % 4 {
        0 => client.vanish(),
        1 => client.reset(),
        2 => drop(Client::connect_with(broker, &resume)),
        _ => client.leave(),
    }
    let mut publisher = Client::connect(broker, V5, "soak-churn-publisher");
    for number in 0..5 {
        publisher.send(&Publish::new(&format!("soak/churn/{}", round % 200), "waits").qos(1, number + 1).bytes(V5));
        publisher.expect_ack(first::PUBACK, number + 1);
    }
}

/// Clients that break the rules.
fn hostile(broker: &Broker, _received: &AtomicU64, round: u64) {
    let mut client = Client::open(broker, V5);
    let connect = Connect::new(V5, "soak-hostile").bytes();
    let cut = usize::try_from(round).expect("it is small") % (connect.len() + 1);
    client.send_perhaps(&connect[..cut]);
    client.send_perhaps(&round.to_be_bytes());
    client.reset();
    std::thread::sleep(Duration::from_millis(5));
}

#[test]
fn memory_is_flat_under_everything_at_once() {
    let seconds = std::env::var("MILLRACE_SOAK_SECONDS").map_or(600, |s| s.parse().expect("a number of seconds"));
    let broker: &'static Broker = Broker::shared();
    let mut load = Load { stop: Arc::default(), threads: Vec::new(), received: Arc::default() };
    for slot in 0..4_u64 {
        load.spawn(broker, move |broker, received, round| pair(broker, received, slot + 4 * (round % 8)));
    }
    load.spawn(broker, churn);
    load.spawn(broker, hostile);
    std::thread::sleep(Duration::from_secs(seconds / 4));
    let settled = broker.resident_bytes();
    let (mut most, mut last) = (settled, 0);
    let until = Instant::now() + Duration::from_secs(seconds - seconds / 4);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_secs(1));
        most = most.max(broker.resident_bytes());
        assert!(load.threads.iter().all(|thread| !thread.is_finished()), "a client failed");
        last = load.received.load(Ordering::Relaxed);
    }
    load.stop.store(true, Ordering::Relaxed);
    for thread in load.threads {
        thread.join().expect("every client ends well");
    }
    println!("{last} messages; memory {settled} after the warm-up, {most} at most");
    assert!(last > 1000, "{last} messages in {seconds} s");
    assert!(most * 100 < settled * (100 + GROWTH_PERCENT), "memory grew from {settled} to {most} bytes");
}
