//! Clients, networks and signals at their worst, against the program itself.
//!
//! What is asserted is what the broker promises: memory within its bounds, other clients served, everything back at
//! its start values afterwards. `tests/run --long` does the same with more clients for a longer time.

mod clients;
mod memory;
mod network;
mod signals;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{Client, Connect, Version};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// One number for each day, another for the long run.
const fn usual_or_long(usual: u64, long: u64) -> u64 {
    if cfg!(feature = "long") { long } else { usual }
}

/// A broker that says every second how it is.
fn watched(setup: Setup) -> Broker {
    setup.set("sys.interval=1s").start()
}

/// What the broker says of itself under `$SYS/…/stats/`, once a second.
struct Gauges {
    client: Client,
    latest: BTreeMap<String, i64>,
}

impl Gauges {
    fn watch(broker: &Broker) -> Self {
        let mut client = Client::connect(broker, V5, "gauges");
        client.subscribe("$SYS/brokers/+/stats/#", 0);
        let mut gauges = Self { client, latest: BTreeMap::new() };
        gauges.settle();
        gauges
    }

    /// Waits until two seconds in a row said the same, and gives that back.
    fn settle(&mut self) -> BTreeMap<String, i64> {
        let begun = Instant::now();
        let mut before = BTreeMap::new();
        loop {
            self.hear();
            if self.latest == before {
                return before;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{before:?} became {:?}", self.latest);
            before.clone_from(&self.latest);
        }
    }

    /// Hears what is said in one second.
    fn hear(&mut self) {
        // The last of them in the order in which they are published.
        while !self.hear_one().ends_with("/recv_paused_now") {}
    }

    fn hear_one(&mut self) -> String {
        let delivery = self.client.expect_publish();
        let value = delivery.text().parse().expect("a gauge is a number");
        // Retained messages are those of the subscribing and in no order.
        if delivery.retain {
            return String::new();
        }
        // The bytes of what is retained are those of these very numbers.
        if !delivery.topic.ends_with("/retained_bytes") {
            self.latest.insert(delivery.topic.clone(), value);
        }
        delivery.topic
    }

    /// Waits until all gauges are again what they were.
    #[track_caller]
    fn expect(&mut self, wanted: &BTreeMap<String, i64>, within: Duration) {
        let begun = Instant::now();
        loop {
            self.hear();
            if self.latest == *wanted {
                return;
            }
            let different: Vec<_> = self
                .latest
                .iter()
                .filter(|(name, value)| wanted.get(*name) != Some(*value))
                .map(|(name, value)| format!("{name} is {value} and was {:?}", wanted.get(name)))
                .collect();
            assert!(begun.elapsed() < within, "not back: {different:#?}");
        }
    }
}

/// Connects a client with a Keep Alive and nothing else.
fn connect_alive(broker: &Broker, version: Version, id: &str, keep_alive: u16) -> Client {
    Client::connect_with(broker, &Connect::new(version, id).keep_alive(keep_alive)).0
}

/// The broker's memory returns to at most so many bytes.
#[track_caller]
fn expect_memory(broker: &Broker, most: u64) {
    let begun = Instant::now();
    loop {
        let resident = broker.resident_bytes();
        if resident <= most {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{resident} bytes instead of at most {most}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// No descriptor is left over.
#[track_caller]
fn expect_descriptors(broker: &Broker, wanted: usize) {
    let begun = Instant::now();
    while broker.descriptors() > wanted {
        assert!(begun.elapsed() < Duration::from_secs(5), "{} descriptors instead of {wanted}", broker.descriptors());
        std::thread::sleep(Duration::from_millis(20));
    }
}
