//! The runtime with real sockets: both engines, one to three shards, short sends, resets, hand-overs.

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use common::{ENGINES, Shards, pattern, wait_for};

#[test]
fn bytes_come_back_on_many_connections() {
    for engine in ENGINES {
        for shards in 1..=3 {
            let relays = Shards::start(engine, shards);
            let mut clients: Vec<_> = (0..60).map(|_| relays.connect()).collect();
            for round in 0..20_u8 {
                for (index, client) in clients.iter_mut().enumerate() {
                    let mut text = if round == 0 { vec![b'E'] } else { Vec::new() };
                    text.extend_from_slice(&[round, index as u8, 1, 2, 3]);
                    client.write_all(&text).expect("open");
                }
                for (index, client) in clients.iter_mut().enumerate() {
                    let mut answer = [0; 5];
                    client.read_exact(&mut answer).expect("an echo");
                    assert_eq!(answer, [round, index as u8, 1, 2, 3]);
                }
            }
            assert_eq!(relays.known(), 60);
            drop(clients);
            relays.wait_until_empty();
            relays.end();
        }
    }
}

#[test]
fn a_connection_handed_over_keeps_its_bytes() {
    for engine in ENGINES {
        for shards in 2..=3_u16 {
            let relays = Shards::start(engine, shards);
            let mut clients = Vec::new();
            for index in 0..30_u16 {
                let mut client = relays.connect();
                let to = index % shards;
                client.write_all(format!("H{to}hello").as_bytes()).expect("open");
                clients.push((to, client));
            }
            for (to, client) in &mut clients {
                let wanted = format!("shard {to} hello");
                let mut answer = vec![0; wanted.len()];
                client.read_exact(&mut answer).expect("a greeting");
                assert_eq!(String::from_utf8_lossy(&answer), wanted);
                client.write_all(b"more").expect("open");
                let mut answer = [0; 4];
                client.read_exact(&mut answer).expect("an echo");
                assert_eq!(&answer, b"more");
            }
            drop(clients);
            relays.wait_until_empty();
            relays.end();
        }
    }
}

#[test]
fn frames_wake_a_sleeping_shard_and_keep_their_order() {
    for engine in ENGINES {
        for shards in 1..=3 {
            let relays = Shards::start(engine, shards);
            let mut client = relays.connect();
            client.write_all(b"F").expect("open");
            for round in 0..200_u32 {
                if round % 50 == 0 {
                    // Let all shards fall asleep.
                    std::thread::sleep(Duration::from_millis(20));
                }
                let start = Instant::now();
                client.write_all(&round.to_be_bytes()).expect("open");
                let mut answer = [0; 4];
                client.read_exact(&mut answer).expect("it comes back");
                assert_eq!(u32::from_be_bytes(answer), round);
                assert!(start.elapsed() < Duration::from_millis(500), "a wake was lost");
            }
            drop(client);
            relays.wait_until_empty();
            relays.end();
        }
    }
}

#[test]
fn a_slow_reader_gets_every_byte_in_order() {
    for engine in ENGINES {
        let relays = Shards::with(engine, 2, Some(4096));
        let mut clients: Vec<_> = (0..4).map(|_| relays.connect()).collect();
        for client in &mut clients {
            client.write_all(b"B02000000").expect("open");
        }
        std::thread::sleep(Duration::from_millis(50));
        for client in &mut clients {
            let (mut at, mut space) = (0, [0; 40_000]);
            while at < 2_000_000 {
                let got = client.read(&mut space).expect("bytes");
                assert!(got > 0, "the stream ended at {at}");
                for byte in &space[..got] {
                    assert_eq!(*byte, pattern(at), "at {at}");
                    at += 1;
                }
            }
            assert_eq!(at, 2_000_000);
        }
        assert!(relays.count(|counters| &counters.sends_short) > 0);
        drop(clients);
        relays.wait_until_empty();
        relays.end();
    }
}
