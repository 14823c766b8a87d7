//! A shard that stood still, and a peer that says goodbye while it is written to: nobody is taken for dead unread.

mod common;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{ENGINES, settings, wait_for};
use millrace_core::time::{Millis, Time};
use millrace_shards::config::EngineChoice;
use millrace_shards::runtime::{self, Runtime};
use millrace_shards::shard::io::{Accepted, Close, ConnId, Gone, Output, ShardId};
use millrace_shards::shard::logic::Logic;

/// How long a client of this logic may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Seen {
    open: AtomicUsize,
    lapsed: AtomicUsize,
    goodbyes: AtomicUsize,
    gone: AtomicUsize,
}

/// Closes who is silent for too long, and while `talking` sends to all in each turn. A `D` at the end is a goodbye.
struct Alive {
    heard: HashMap<ConnId, Millis>,
    talking: bool,
    seen: Arc<Seen>,
}

enum Ask {
    /// Do nothing at all for so long.
    Stand(Duration),
    Talk,
}

impl Logic for Alive {
    type Frame = ();
    type Control = Ask;

    fn accepted(&mut self, now: Time, accepted: Accepted, out: &mut impl Output<()>) {
        self.heard.insert(accepted.conn, now.monotonic);
        self.seen.open.store(self.heard.len(), Ordering::SeqCst);
        out.receive(accepted.conn);
    }

    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], _out: &mut impl Output<()>) {
        self.heard.insert(conn, now.monotonic);
        if bytes.last() == Some(&b'D') {
            self.seen.goodbyes.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn gone(&mut self, _now: Time, conn: ConnId, _how: Gone, _out: &mut impl Output<()>) {
        self.heard.remove(&conn);
        self.seen.gone.fetch_add(1, Ordering::SeqCst);
    }

    fn stalled(&mut self, _conn: ConnId, _unsent: usize) {}
    fn drained(&mut self, _now: Time, _conn: ConnId, _out: &mut impl Output<()>) {}
    fn adopted(&mut self, _: Time, _: ConnId, _: ShardId, _: u64, _out: &mut impl Output<()>) {}
    fn frame(&mut self, _now: Time, _from: ShardId, _frame: (), _out: &mut impl Output<()>) {}
    fn mesh_drained(&mut self, _now: Time, _out: &mut impl Output<()>) {}

    fn control(&mut self, _now: Time, ask: Ask, _out: &mut impl Output<()>) {
        match ask {
            Ask::Stand(time) => std::thread::sleep(time),
            Ask::Talk => self.talking = true,
        }
    }

    fn next_deadline(&self) -> Millis {
        self.heard.values().min().map_or(Millis::NEVER, |at| at.after(SILENCE_MAX))
    }

    fn turn(&mut self, now: Time, out: &mut impl Output<()>) {
        let late: Vec<_> = self
            .heard
            .iter()
            .filter(|(_, at)| now.monotonic.since(**at) >= SILENCE_MAX)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in late {
            self.heard.remove(&conn);
            self.seen.lapsed.fetch_add(1, Ordering::SeqCst);
            out.close(conn, Close::Now);
        }
        if self.talking {
            for conn in self.heard.keys() {
                let mut buffer = out.buffer();
                buffer.bytes.extend_from_slice(b"news");
                out.send(*conn, buffer);
            }
        }
    }
}

fn start(engine: EngineChoice) -> (Runtime<Ask>, SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let theirs = Arc::clone(&seen);
    let make = move || Alive { heard: HashMap::new(), talking: false, seen: theirs };
    let runtime = runtime::start(&settings(engine, None), vec![make]).expect("this host can run it");
    let address = runtime.addresses()[0].1;
    (runtime, address, seen)
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("it listens")
}

#[test]
fn whoever_spoke_while_the_shard_stood_still_is_not_taken_for_dead() {
    for engine in ENGINES {
        let (runtime, address, seen) = start(engine);
        let mut clients: Vec<_> = (0..200).map(|_| connect(address)).collect();
        for client in &mut clients {
            client.write_all(b"hello").expect("open");
        }
        wait_for("all are accepted", || seen.open.load(Ordering::SeqCst) == 200);
        assert!(runtime.control(ShardId(0)).send(Ask::Stand(Duration::from_millis(2500))));
        let start = Instant::now();
        // More than is taken in before the logic has its turn.
        for client in &mut clients {
            client.write_all(&[b'x'; 8000]).expect("open");
        }
        while start.elapsed() < Duration::from_millis(3000) {
            for client in &mut clients {
                client.write_all(b"x").expect("open");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(seen.lapsed.load(Ordering::SeqCst), 0, "{engine:?}");
        // Silence still counts.
        wait_for("the silent ones are closed", || seen.lapsed.load(Ordering::SeqCst) == 200);
        runtime.stop();
        runtime.join();
    }
}

#[test]
fn a_goodbye_is_heard_although_the_answer_to_it_fails() {
    for engine in ENGINES {
        let (runtime, address, seen) = start(engine);
        assert!(runtime.control(ShardId(0)).send(Ask::Talk));
        // Somebody keeps the shard turning, and so talking.
        let mut noisy = connect(address);
        noisy.set_nonblocking(true).expect("a socket");
        let mut leavers = 0;
        for _ in 0..20 {
            let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
            for client in &mut clients {
                client.write_all(b"hello").expect("open");
            }
            let until = Instant::now() + Duration::from_millis(20);
            while Instant::now() < until {
                let _ = noisy.write(b"noise");
                while matches!(noisy.read(&mut [0; 4096]), Ok(4096)) {}
            }
            for mut client in clients {
                // With news unread the close is a reset.
                client.write_all(b"D").expect("open");
                drop(client);
                leavers += 1;
                let _ = noisy.write(b"noise");
            }
        }
        wait_for("all are gone", || seen.gone.load(Ordering::SeqCst) + seen.lapsed.load(Ordering::SeqCst) >= leavers);
        assert_eq!(seen.goodbyes.load(Ordering::SeqCst), leavers, "{engine:?}");
        runtime.stop();
        runtime.join();
    }
}
