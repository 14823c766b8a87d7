//! A socket that is full while much input waits for its turn: the logic hears of it before it sends more.

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{ENGINES, settings, wait_for};
use millrace_core::time::{Millis, Time};
use millrace_shards::runtime;
use millrace_shards::shard::io::{Accepted, ConnId, Gone, Output, ShardId};
use millrace_shards::shard::logic::Logic;

/// What is sent in a turn.
const PIECE: usize = 256 << 10;

#[derive(Default)]
struct Seen {
    open: AtomicUsize,
    /// Bytes sent to the one that reads nothing.
    sent: AtomicUsize,
    stalled: AtomicBool,
}

/// Sends to the first connection in each turn, from the moment that the others bring much.
struct Pour {
    first: Option<ConnId>,
    pouring: bool,
    seen: Arc<Seen>,
}

impl Logic for Pour {
    type Frame = ();
    type Control = Duration;

    fn accepted(&mut self, _now: Time, accepted: Accepted, out: &mut impl Output<()>) {
        self.first.get_or_insert(accepted.conn);
        self.seen.open.fetch_add(1, Ordering::SeqCst);
        out.receive(accepted.conn);
    }

    fn received(&mut self, _now: Time, _conn: ConnId, bytes: &[u8], _out: &mut impl Output<()>) {
        self.pouring |= bytes.len() > 1000;
    }

    fn stalled(&mut self, conn: ConnId, _unsent: usize) {
        assert_eq!(Some(conn), self.first);
        self.seen.stalled.store(true, Ordering::SeqCst);
    }

    fn control(&mut self, _now: Time, stand: Duration, _out: &mut impl Output<()>) {
        std::thread::sleep(stand);
    }

    fn turn(&mut self, _now: Time, out: &mut impl Output<()>) {
        if let (Some(conn), true, false) = (self.first, self.pouring, self.seen.stalled.load(Ordering::SeqCst)) {
            self.seen.sent.fetch_add(PIECE, Ordering::SeqCst);
            out.send(conn, vec![0; PIECE].into());
        }
    }

    fn next_deadline(&self) -> Millis {
        Millis::NEVER
    }

    fn gone(&mut self, _now: Time, _conn: ConnId, _how: Gone, _out: &mut impl Output<()>) {}
    fn drained(&mut self, _now: Time, _conn: ConnId, _out: &mut impl Output<()>) {}
    fn adopted(&mut self, _: Time, _: ConnId, _: ShardId, _: u64, _out: &mut impl Output<()>) {}
    fn frame(&mut self, _now: Time, _from: ShardId, _frame: (), _out: &mut impl Output<()>) {}
    fn mesh_drained(&mut self, _now: Time, _out: &mut impl Output<()>) {}
}

#[test]
fn a_full_socket_is_told_before_the_input_that_waits() {
    for engine in ENGINES {
        let seen = Arc::new(Seen::default());
        let theirs = Arc::clone(&seen);
        let make = move || Pour { first: None, pouring: false, seen: theirs };
        let runtime = runtime::start(&settings(engine, Some(4096)), vec![make]).expect("this host can run it");
        let connect = || std::net::TcpStream::connect(runtime.addresses()[0].1).expect("it listens");
        let reads_nothing = connect();
        wait_for("it is the first", || seen.open.load(Ordering::SeqCst) == 1);
        let mut others: Vec<_> = (0..100).map(|_| connect()).collect();
        wait_for("all are open", || seen.open.load(Ordering::SeqCst) == 101);
        // Less than what counts as a standstill.
        assert!(runtime.control(ShardId(0)).send(Duration::from_millis(300)));
        std::thread::sleep(Duration::from_millis(20));
        for other in &mut others {
            other.set_nonblocking(true).expect("a socket");
            let _ = other.write(&[1; 100_000]);
        }
        wait_for("it is full", || seen.stalled.load(Ordering::SeqCst));
        let sent = seen.sent.load(Ordering::SeqCst);
        assert!(sent <= 4 * PIECE, "{engine:?}: {sent} bytes were sent before the logic knew");
        drop((reads_nothing, others));
        runtime.stop();
        runtime.join();
    }
}
