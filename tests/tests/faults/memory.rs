//! What must not cost memory: claims, what is read slowly, clients that have gone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use millrace_tests::broker::Setup;
use millrace_tests::wire::{Client, Publish, VERSIONS, first};

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
    let count = usual_or_long(5000, 8000);
    let broker = Setup::new().start();
    let storm = || {
        let mut clients = Vec::new();
        for number in 0..count {
            let version = VERSIONS[usize::try_from(number % 3).expect("it is small")];
            let mut client = Client::connect(&broker, version, &format!("storm-{number}"));
            client.subscribe(&format!("storm/{number}"), 1);
            client.send(&Publish::new(&format!("storm/{number}"), "to itself").qos(1, 9).bytes(version));
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
            match number % 3 {
                0 => client.leave(),
                1 => client.vanish(),
                _ => client.reset(),
            }
        }
        full
    };
    Client::connect(&broker, V5, "storm-first").leave();
    let start = broker.resident_bytes();
    let full = storm();
    std::thread::sleep(Duration::from_millis(1500));
    let after = broker.resident_bytes();
    let again = storm();
    std::thread::sleep(Duration::from_millis(1500));
    let last = broker.resident_bytes();
    println!("{start} at the start, {full} with {count} clients, {after} after; then {again} and {last}");
    // Tables keep their places for those who come again, and the second storm finds them.
    assert!(last < start * 13 / 10 + count * 1000, "{start} at the start and {last} after the storms");
    assert!(again < full * 11 / 10 + (1 << 20), "{full} in the first storm and {again} in the second");
}
