//! The ring against plain sockets that are slow, refuse, reset and reuse slots.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;

const SMALL: Size = Size { slots: 4, entries: 16, buffers: 4, buffer_bytes: 4096 };

struct Trial {
    ring: Ring,
    listener: TcpListener,
    events: Vec<Event>,
}

impl Trial {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let target = listener.local_addr().expect("bound");
        Self { ring: Ring::open(SMALL, &[target]).expect("io_uring"), listener, events: Vec::new() }
    }

    fn connect(&mut self, conn: ConnId) -> TcpStream {
        self.ring.connect(conn, 0, None).expect("a socket");
        assert_eq!(self.event(), Event::Connected { conn, error: 0 });
        self.listener.accept().expect("it has connected").0
    }

    /// The next event, which must come soon.
    fn event(&mut self) -> Event {
        for _ in 0..2000 {
            if !self.events.is_empty() {
                return self.events.remove(0);
            }
            self.ring.turn(Duration::from_millis(5), &mut self.events);
        }
        panic!("nothing happens")
    }
}

fn conn(slot: u32, generation: u32) -> ConnId {
    ConnId { slot, generation }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7 % 251) as u8).collect()
}

#[test]
fn a_send_that_does_not_fit_goes_out_whole_once_the_peer_reads() {
    let mut trial = Trial::new();
    let mut peer = trial.connect(conn(0, 0));
    let bytes = pattern(20 << 20);
    trial.ring.send(conn(0, 0), bytes.clone());
    assert_eq!(trial.event(), Event::Stalled { conn: conn(0, 0) });
    let reader = thread::spawn(move || {
        let mut all = vec![0; 20 << 20];
        peer.read_exact(&mut all).expect("all of it comes");
        (all, peer)
    });
    assert_eq!(trial.event(), Event::Drained { conn: conn(0, 0) });
    let (all, _peer) = reader.join().expect("the reader ends");
    assert!(all == bytes, "the bytes are those that were sent");
}

#[test]
fn a_small_send_says_nothing_and_its_buffer_comes_back() {
    let mut trial = Trial::new();
    let mut peer = trial.connect(conn(0, 0));
    for round in 0..100_u8 {
        let mut bytes = trial.ring.buffer();
        assert!(bytes.is_empty());
        bytes.extend_from_slice(&[round; 10]);
        trial.ring.send(conn(0, 0), bytes);
        trial.ring.turn(Duration::ZERO, &mut trial.events);
        assert!(trial.events.is_empty(), "{:?}", trial.events);
        let mut got = [0; 10];
        peer.read_exact(&mut got).expect("it was sent");
        assert_eq!(got, [round; 10]);
    }
    assert!(trial.ring.pool.len() <= 2, "buffers are used again");
}

#[test]
fn everything_received_comes_in_order_though_buffers_run_dry() {
    let mut trial = Trial::new();
    let mut peer = trial.connect(conn(1, 7));
    let bytes = pattern(2 << 20);
    let sent = bytes.clone();
    let writer = thread::spawn(move || peer.write_all(&sent).expect("somebody reads"));
    trial.ring.receive(conn(1, 7));
    let mut got: Vec<u8> = Vec::new();
    let mut held = Vec::new();
    loop {
        match trial.event() {
            Event::Received { conn: met, buffer, len, more } => {
                assert_eq!(met, conn(1, 7));
                got.extend_from_slice(trial.ring.bytes(buffer, len));
                held.push(buffer);
                if !more {
                    held.drain(..).for_each(|buffer| trial.ring.give_back(buffer));
                    trial.ring.receive(conn(1, 7));
                }
            }
            Event::ReceiveEnded { error: 0, .. } => break,
            Event::ReceiveEnded { error, .. } => {
                assert_eq!(error, libc::ENOBUFS);
                // Only now, so that they do run dry.
                held.drain(..).for_each(|buffer| trial.ring.give_back(buffer));
                trial.ring.receive(conn(1, 7));
            }
            other => panic!("{other:?}"),
        }
    }
    writer.join().expect("the writer ends");
    assert!(got == bytes, "{} of {} bytes, in order", got.len(), bytes.len());
    assert!(trial.ring.droughts > 0);
}

#[test]
fn a_refused_connect_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = listener.local_addr().expect("bound");
    drop(listener);
    let mut ring = Ring::open(SMALL, &[target]).expect("io_uring");
    ring.connect(conn(0, 0), 0, None).expect("a socket");
    let mut events = Vec::new();
    ring.turn(Duration::from_secs(5), &mut events);
    assert_eq!(events, [Event::Connected { conn: conn(0, 0), error: libc::ECONNREFUSED }]);
}

#[test]
fn a_source_address_is_kept() {
    let mut trial = Trial::new();
    let source = "127.0.0.77".parse().expect("an address");
    trial.ring.connect(conn(0, 0), 0, Some(source)).expect("a socket");
    assert_eq!(trial.event(), Event::Connected { conn: conn(0, 0), error: 0 });
    let (_, from) = trial.listener.accept().expect("it has connected");
    assert_eq!(from.ip(), source);
}

#[test]
fn a_closed_slot_has_another_tenant_with_another_generation() {
    let mut trial = Trial::new();
    for generation in 0..50 {
        let id = conn(2, generation);
        let mut peer = trial.connect(id);
        trial.ring.receive(id);
        peer.write_all(b"x").expect("open");
        match trial.event() {
            Event::Received { conn, buffer, len: 1, more: true } if conn == id => trial.ring.give_back(buffer),
            other => panic!("{other:?}"),
        }
        trial.ring.cancel(id);
        assert_eq!(trial.event(), Event::ReceiveEnded { conn: id, error: libc::ECANCELED });
        trial.ring.close(id);
        assert_eq!(trial.event(), Event::Closed { conn: id });
        assert_eq!(peer.read(&mut [0; 1]).expect("closed in order"), 0);
    }
}

#[test]
fn a_peer_that_goes_away_under_a_stalled_send_breaks_it() {
    let mut trial = Trial::new();
    let peer = trial.connect(conn(0, 3));
    trial.ring.send(conn(0, 3), pattern(20 << 20));
    assert_eq!(trial.event(), Event::Stalled { conn: conn(0, 3) });
    drop(peer);
    match trial.event() {
        Event::Broken { conn: met, error } => {
            assert_eq!(met, conn(0, 3));
            assert!(matches!(error, libc::ECONNRESET | libc::EPIPE), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(trial.ring.tails.is_empty());
}

#[test]
fn a_queue_that_is_full_is_submitted_in_between() {
    let mut trial = Trial::new();
    let mut peers: Vec<TcpStream> = (0..4).map(|slot| trial.connect(conn(slot, 0))).collect();
    for round in 0..40 {
        for slot in 0..4 {
            trial.ring.send(conn(slot, 0), vec![round; 3]);
        }
    }
    trial.ring.turn(Duration::ZERO, &mut trial.events);
    assert!(trial.events.is_empty(), "{:?}", trial.events);
    for peer in &mut peers {
        let mut all = [0; 120];
        peer.read_exact(&mut all).expect("all of it was sent");
        assert!(all.chunks(3).zip(0..40).all(|(chunk, round)| chunk == [round; 3]), "and in order");
    }
    assert!(trial.ring.flights.is_empty());
}
