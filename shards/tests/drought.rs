//! More input than there are buffers for: whoever says little is heard beside those who never stop.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{ENGINES, Shards};

/// Clients that send as much as goes in until told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    /// Bytes that went in.
    bytes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<TcpStream>>>,
}

impl Flood {
    fn start(relays: &Shards, clients: usize) -> Self {
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..2)
            .map(|_| {
                let mut clients: Vec<_> = (0..clients / 2).map(|_| relays.connect()).collect();
                let (stop, bytes) = (Arc::clone(&stop), Arc::clone(&bytes));
                std::thread::spawn(move || {
                    for client in &mut clients {
                        // A stream of nothing: what is received is dropped.
                        client.write_all(b"B00000000").expect("open");
                        client.set_nonblocking(true).expect("a socket");
                    }
                    let much = vec![7; 64 << 10];
                    while !stop.load(Ordering::Relaxed) {
                        for client in &mut clients {
                            match client.write(&much) {
                                Ok(written) => drop(bytes.fetch_add(written as u64, Ordering::Relaxed)),
                                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                            }
                        }
                    }
                    clients
                })
            })
            .collect();
        Self { stop, bytes, threads }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            drop(thread.join().expect("it floods to the end"));
        }
    }
}

#[test]
fn a_quiet_client_is_heard_among_a_hundred_that_never_stop() {
    /// What the others may get in before one answer comes, their sockets' own buffers included.
    const BYTES_MAX: u64 = 256 << 20;
    for engine in ENGINES {
        let relays = Shards::start(engine, 1);
        let mut early = relays.connect();
        early.write_all(b"E").expect("open");
        let flood = Flood::start(&relays, 100);
        std::thread::sleep(Duration::from_millis(300));
        let mut late = relays.connect();
        late.write_all(b"E").expect("open");
        for round in 0..30_u8 {
            for client in [&mut early, &mut late] {
                let before = flood.bytes();
                client.write_all(&[round]).expect("open");
                let mut answer = [0; 1];
                client.read_exact(&mut answer).unwrap_or_else(|error| {
                    panic!(
                        "{engine:?}: no answer in round {round} while {} bytes came: {error}",
                        flood.bytes() - before
                    )
                });
                assert_eq!(answer, [round]);
                let meanwhile = flood.bytes() - before;
                assert!(meanwhile < BYTES_MAX, "{engine:?}: {meanwhile} bytes of others came before an answer");
            }
        }
        flood.end();
        drop((early, late));
        relays.wait_until_empty();
        relays.end();
    }
}

#[test]
fn what_a_burst_left_in_the_queue_is_answered_without_a_sleep() {
    for engine in ENGINES {
        let relays = Shards::start(engine, 1);
        let mut clients: Vec<_> = (0..40).map(|_| relays.connect()).collect();
        for client in &mut clients {
            client.write_all(b"E").expect("open");
        }
        let burst: Vec<u8> = (0..48_000_u32).map(|at| at as u8).collect();
        for _ in 0..5 {
            // A shard that sleeps for its second with input at hand is late by as much.
            let start = Instant::now();
            for client in &mut clients {
                client.write_all(&burst).expect("open");
            }
            for client in &mut clients {
                let mut answer = vec![0; burst.len()];
                client.read_exact(&mut answer).expect("an echo");
                assert!(answer == burst, "the echo differs");
            }
            assert!(start.elapsed() < Duration::from_millis(900), "{engine:?}: it slept on what it had");
        }
        drop(clients);
        relays.wait_until_empty();
        relays.end();
    }
}
