//! What must not cost memory: claims, what is read slowly, clients that have gone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, first, property};

use super::{V5, V311, expect_memory, usual_or_long};

#[test]
fn a_packet_that_claims_240_mb_costs_what_has_come_of_it() {
    const MIB: usize = 1 << 20;
    let broker = Setup::new().set("mqtt.max_packet_size=255MiB").start();
    let mut other = Client::connect(&broker, V311, "claim-other");
    let piece = vec![0; MIB];
    // The buffers that all connections share are touched for the first time.
    for number in 0..8 {
        let mut client = Client::connect(&broker, V311, &format!("claim-first-{number}"));
        client.publish(Publish::new("claim", piece.repeat(8)).qos(1, 0));
        client.leave();
    }
    let before = broker.resident_bytes();
    let mut claims: Vec<Client> =
        (0..20).map(|number| Client::connect(&broker, VERSIONS[number % 3], &format!("claim-{number}"))).collect();
    for client in &mut claims {
        client.send(&[0x30, 0x80, 0x80, 0x80, 0x78, 0, 1, b'a', 0]);
    }
    other.ping();
    let claimed = broker.resident_bytes().saturating_sub(before);
    assert!(claimed < 8 << 20, "{claimed} bytes for claims");
    for _ in 0..8 {
        claims[0].send(&piece);
    }
    other.ping();
    std::thread::sleep(Duration::from_millis(200));
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for 8 MiB that came");
    for client in claims {
        client.reset();
    }
    expect_memory(&broker, before + (12 << 20));
}

#[test]
fn a_hundred_thousand_retained_messages_reach_a_slow_reader_and_stall_nobody() {
    const MESSAGES: usize = 100_000;
    let broker = Setup::new().start();
    let mut publisher = Client::connect(&broker, V311, "retained-publisher");
    let mut bytes = Vec::new();
    for number in 0..MESSAGES {
        bytes.extend(Publish::new(&format!("r/{}/{number}", number % 100), number.to_string()).retain().bytes(V311));
    }
    publisher.send(&bytes);
    publisher.publish(Publish::new("end", "of it").qos(1, 0));
    let before = broker.resident_bytes();
    let mut others: Vec<Client> =
        (0..4).map(|number| Client::connect(&broker, V5, &format!("retained-other-{number}"))).collect();
    let mut slow = Client::connect(&broker, V5, "retained-slow");
    slow.subscribe("r/#", 1);
    let mut seen = HashSet::new();
    let mut pings = Vec::new();
    let mut looked = Instant::now();
    let mut most = 0;
    while seen.len() < MESSAGES {
        let delivery = slow.expect_publish();
        assert!(delivery.retain);
        let number: usize = delivery.text().parse().expect("it is a number");
        assert!(seen.insert(number), "{number} came twice");
        slow.acknowledge(&delivery);
        // Slow at first.
        if seen.len() < 10_000 && seen.len().is_multiple_of(100) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if looked.elapsed() > Duration::from_millis(50) {
            most = most.max(broker.resident_bytes());
            for other in &mut others {
                let asked = Instant::now();
                other.ping();
                pings.push(asked.elapsed());
            }
            looked = Instant::now();
        }
    }
    slow.ping();
    slow.expect_nothing();
    pings.sort_unstable();
    let (usual, worst) = (pings[pings.len() * 9 / 10], pings[pings.len() - 1]);
    println!("{} pings: 90 of 100 within {usual:?}, all within {worst:?}; memory {before} to {most}", pings.len());
    assert!(usual < Duration::from_millis(100), "90 of 100 pings take {usual:?}");
    assert!(worst < Duration::from_secs(1), "a ping takes {worst:?}");
    assert!(most < before + (24 << 20), "memory went from {before} to {most}");
}

#[test]
fn memory_is_near_its_start_after_a_storm_of_clients() {
    let count = usual_or_long(10_000, 15_000);
    let broker = Setup::new().start();
    // What is touched once by the first of many, whoever they are: receive buffers, program text.
    let _ = storm(&broker, 300);
    std::thread::sleep(Duration::from_secs(5));
    let start = broker.resident_bytes();
    // A mebibyte for what the allocator keeps by chance.
    let allowed = start * 13 / 10 + (1 << 20);
    let full = storm(&broker, count);
    let after = settled(&broker, start * 13 / 10);
    let again = storm(&broker, count);
    let last = settled(&broker, start * 13 / 10);
    println!("{start} at the start, {full} with {count} clients, {after} after; then {again} and {last}");
    assert!(full > start * 13 / 10, "{full} with {count} clients is no storm");
    assert!(after <= allowed, "{start} at the start and {after} after the storm");
    assert!(last <= allowed, "{start} at the start and {last} after the second storm");
    assert!(again < full * 11 / 10 + (1 << 20), "{full} in the first storm and {again} in the second");
    // Nothing of what went has damaged what is there.
    let mut client = Client::connect(&broker, V5, "storm-after");
    client.subscribe("storm/after", 1);
    Client::connect(&broker, V5, "storm-publisher").publish(Publish::new("storm/after", "still here").qos(1, 0));
    client.expect_payload("still here");
}

/// Clients with a session, a subscription and a message each, who leave in every way: with their session, and with one
/// that expires a second later. Returns the memory while all are there.
fn storm(broker: &Broker, count: u64) -> u64 {
    let mut clients = Vec::new();
    for number in 0..count {
        let version = VERSIONS[usize::try_from(number % 3).expect("it is small")];
        let id = format!("storm-{number}");
        let expiring = version == V5 && number % 2 == 0;
        let mut client = if expiring {
            let connect = Connect::new(V5, &id).property(property::four(0x11, 1));
            Client::connect_with(broker, &connect).0
        } else {
            Client::connect(broker, version, &id)
        };
        // A third of the filters have wildcards.
        let filter = if number % 3 == 0 { format!("storm/{number}/+") } else { format!("storm/{number}/x") };
        client.subscribe(&filter, 1);
        client.send(&Publish::new(&format!("storm/{number}/x"), "to itself").qos(1, 9).bytes(version));
        clients.push(client);
    }
    for client in &mut clients {
        let mut owed = 2;
        while owed > 0 {
            let packet = client.receive();
            if packet.kind() == 3 {
                let delivery = packet.publish(client.version());
                client.acknowledge(&delivery);
            } else {
                assert_eq!(packet.first, first::PUBACK);
            }
            owed -= 1;
        }
    }
    let full = broker.resident_bytes();
    for (number, client) in clients.into_iter().enumerate() {
        match number % 4 {
            0 => client.leave(),
            1 => client.vanish(),
            _ => client.reset(),
        }
    }
    full
}

/// The memory once it has come down to `wanted`, or after a minute.
fn settled(broker: &Broker, wanted: u64) -> u64 {
    let begun = Instant::now();
    loop {
        let resident = broker.resident_bytes();
        if resident <= wanted || begun.elapsed() > Duration::from_secs(60) {
            return resident;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
