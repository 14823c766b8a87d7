//! The runtime with real sockets: both engines, one to three shards, short sends, resets, hand-overs.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Ask, ENGINES, Shards, pattern, wait_for};
use millrace_shards::config::EngineChoice;
use millrace_shards::runtime::background::Pending;
use millrace_shards::shard::io::ShardId;

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

#[test]
fn what_was_sent_before_a_lingering_close_arrives_and_then_the_end() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 1);
        for round in 0..20 {
            let mut client = relays.connect();
            client.write_all(b"Lthe last words").expect("open");
            if round % 2 == 1 {
                // More than the other side will read: without lingering this would be answered with a reset.
                let _ = client.write_all(&[0; 100_000]);
            }
            let mut answer = Vec::new();
            let start = Instant::now();
            client.read_to_end(&mut answer).expect("an end in order");
            assert!(answer.starts_with(b"the last words"));
            assert!(start.elapsed() < Duration::from_secs(1), "the end came late");
        }
        relays.wait_until_empty();
        relays.end();
    }
}

#[test]
fn a_peer_that_never_closes_lingers_two_seconds_and_no_longer() {
    let relays = ENGINES.map(|engine| Shards::start(engine, 1));
    let clients = relays.each_ref().map(|relays| {
        let mut client = relays.connect();
        client.write_all(b"Lbye").expect("open");
        let mut answer = [0; 3];
        client.read_exact(&mut answer).expect("the last words");
        client
    });
    std::thread::sleep(Duration::from_millis(1000));
    for relays in &relays {
        assert_eq!(relays.count(|counters| &counters.open), 1);
    }
    std::thread::sleep(Duration::from_millis(1500));
    for relays in &relays {
        assert_eq!(relays.count(|counters| &counters.open), 0);
    }
    drop(clients);
    for relays in relays {
        relays.end();
    }
}

#[test]
fn nothing_is_received_while_paused_and_nothing_is_lost() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 1);
        let mut client = relays.connect();
        client.write_all(b"P").expect("open");
        std::thread::sleep(Duration::from_millis(50));
        client.write_all(&[7; 1000]).expect("open");
        let mut answer = [0; 64];
        let start = Instant::now();
        let got = client.read(&mut answer).expect("an answer");
        let text = String::from_utf8_lossy(&answer[..got]).into_owned();
        assert!(text.starts_with("resumed;"), "{text}");
        assert!(start.elapsed() > Duration::from_millis(150));
        let mut text = text;
        while !text.ends_with("1000;") {
            let got = client.read(&mut answer).expect("an answer");
            assert!(got > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&answer[..got]));
        }
        drop(client);
        relays.wait_until_empty();
        relays.end();
    }
}

#[test]
fn a_quiet_client_is_served_among_many_that_flood() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 1);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let floods: Vec<_> = (0..64)
                .map(|_| {
                    let mut client = relays.connect();
                    // The pattern job receives and ignores.
                    client.write_all(b"B00000001").expect("open");
                    client
                })
                .collect();
            let mut quiet = relays.connect();
            quiet.write_all(b"E").expect("open");
            let stop = &stop;
            scope.spawn(move || {
                let noise = vec![3; 256 << 10];
                for flood in &floods {
                    flood.set_nonblocking(true).expect("a socket");
                }
                while !stop.load(Ordering::Relaxed) {
                    for mut flood in &floods {
                        let _ = flood.write(&noise);
                    }
                }
            });
            std::thread::sleep(Duration::from_millis(50));
            let mut slowest = Duration::ZERO;
            for round in 0..50_u8 {
                let start = Instant::now();
                quiet.write_all(&[round]).expect("open");
                let mut answer = [0];
                quiet.read_exact(&mut answer).expect("an echo");
                assert_eq!(answer[0], round);
                slowest = slowest.max(start.elapsed());
            }
            stop.store(true, Ordering::Relaxed);
            // Wide, as the machine may be busy; one that starves gets no answer at all.
            assert!(slowest < Duration::from_secs(5), "it took {slowest:?}");
        });
        relays.wait_until_empty();
        relays.end();
    }
}

#[test]
fn more_connections_with_bytes_than_buffers_are_all_served() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 1);
        let mut clients: Vec<_> = (0..1500).map(|_| relays.connect()).collect();
        for client in &mut clients {
            client.write_all(b"E").expect("open");
        }
        wait_for("all are known", || relays.known() == 1500);
        std::thread::sleep(Duration::from_millis(50));
        for round in 0..3_u8 {
            for client in &mut clients {
                client.write_all(&[round; 3000]).expect("open");
            }
            for client in &mut clients {
                let mut answer = [9; 3000];
                client.read_exact(&mut answer).expect("an echo");
                assert!(answer.iter().all(|byte| *byte == round));
            }
        }
        drop(clients);
        relays.wait_until_empty();
        relays.end();
    }
}

#[test]
fn a_control_message_wakes_a_shard() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 2);
        let clients: Vec<_> = (0..10)
            .map(|_| {
                let mut client = relays.connect();
                client.write_all(b"E").expect("open");
                client
            })
            .collect();
        wait_for("all are known", || relays.known() == 10);
        for shard in 0..2 {
            assert!(relays.runtime.control(ShardId(shard)).send(Ask::CloseAll));
        }
        for mut client in clients {
            let mut answer = [0];
            assert_eq!(client.read(&mut answer).expect("an end in order"), 0);
        }
        relays.wait_until_empty();
        relays.end();
    }
}

#[test]
fn no_connection_is_taken_after_listening_has_stopped() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 2);
        let mut client = relays.connect();
        client.write_all(b"Ex").expect("open");
        relays.runtime.stop_listening();
        wait_for("connections are refused", || std::net::TcpStream::connect(relays.address).is_err());
        let mut answer = [0];
        client.read_exact(&mut answer).expect("an echo");
        relays.end();
    }
}

#[test]
fn a_shard_turns_every_second_without_work() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 2);
        let turns = || -> Vec<u64> {
            let vitals = relays.runtime.vitals();
            vitals.iter().map(|vitals| vitals.turns()).collect()
        };
        let before = turns();
        std::thread::sleep(Duration::from_millis(1100));
        for (before, after) in before.into_iter().zip(turns()) {
            assert!(after > before && after < before + 20, "{before} to {after}");
        }
        relays.end();
    }
}

#[test]
fn a_background_task_runs_beside_a_reactor_that_sleeps() {
    let done = Arc::new(AtomicBool::new(false));
    let settings = common::settings(EngineChoice::IoUring, None);
    let (finished, berths) = (Arc::clone(&done), Arc::clone(&settings.berths));
    let make = move || {
        let pending = Pending::new();
        glommio::spawn_local(async move {
            for _ in 0..3 {
                glommio::timer::sleep(Duration::from_millis(5)).await;
            }
            finished.store(true, Ordering::SeqCst);
            drop(pending);
        })
        .detach();
        common::Relay::new(0, 1, berths)
    };
    let runtime = millrace_shards::runtime::start(&settings, vec![make]).expect("this host can run it");
    wait_for("the task is done", || done.load(Ordering::SeqCst));
    let turns = runtime.vitals()[0].turns();
    std::thread::sleep(Duration::from_millis(300));
    assert!(runtime.vitals()[0].turns() < turns + 5, "nothing is pending, and still it does not sleep");
    runtime.stop();
    runtime.join();
}
