//! Engines alone, turned by hand: what is hard to bring about from outside.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::epoll::{self, Epoll};
use super::uring::{self, Uring};
use super::{Buffers, Counters, Engine, Event, Wait};
use crate::berths::Berths;
use crate::runtime::control::Bell;
use crate::runtime::sys;
use crate::send_buffer::SendBuffer;
use crate::shard::io::{Close, ConnId, ListenerId, ShardId};

/// An engine with a listener.
struct Hand<E: Engine> {
    engine: E,
    buffers: E::Buffers,
    address: SocketAddr,
    counters: Arc<Counters>,
    berths: Arc<Berths>,
}

impl Hand<Uring> {
    fn uring(shard: u16, slots: u32, send_buffer: Option<i32>) -> Self {
        let counters = Arc::new(Counters::default());
        let berths = Arc::new(Berths::new(2));
        berths.limit(slots);
        let settings = uring::Settings {
            shard: ShardId(shard),
            berths: Arc::clone(&berths),
            shards: 1,
            bell: Bell::new().expect("a descriptor"),
            counters: Arc::clone(&counters),
        };
        let (engine, buffers) = Uring::new(settings).expect("this host has io_uring");
        Self::listening(engine, buffers, counters, berths, send_buffer)
    }
}

impl Hand<Epoll> {
    fn epoll(slots: u32, send_buffer: Option<i32>) -> Self {
        let counters = Arc::new(Counters::default());
        let berths = Arc::new(Berths::new(2));
        berths.limit(slots);
        let bell = Bell::new().expect("a descriptor");
        let settings = epoll::Settings {
            shard: ShardId(0),
            berths: Arc::clone(&berths),
            bells: Arc::new([bell.clone()]),
            bell,
            counters: Arc::clone(&counters),
        };
        let (engine, buffers) = Epoll::new(settings).expect("a descriptor");
        Self::listening(engine, buffers, counters, berths, send_buffer)
    }
}

impl<E: Engine> Hand<E> {
    fn listening(
        mut engine: E,
        buffers: E::Buffers,
        counters: Arc<Counters>,
        berths: Arc<Berths>,
        send_buffer: Option<i32>,
    ) -> Self {
        let local = "127.0.0.1:0".parse().expect("an address");
        let socket = sys::bind(local, true, send_buffer).expect("a free port");
        sys::listen(&socket).expect("bound");
        let address = sys::local_address(&socket).expect("bound");
        engine.listen(ListenerId(0), socket).expect("it listens");
        Self { engine, buffers, address, counters, berths }
    }

    fn turn(&mut self, wait_ms: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let wait = Duration::from_millis(wait_ms);
        self.engine.turn(&mut self.buffers, sys::now().monotonic, Wait::for_any(wait), &mut events);
        events
    }

    /// Turns until nothing more happens, and keeps the connections that were accepted.
    fn accept_all(&mut self) -> Vec<ConnId> {
        let mut accepted = Vec::new();
        let mut quiet = 0;
        while quiet < 3 {
            let events = self.turn(30);
            quiet = if events.is_empty() { quiet + 1 } else { 0 };
            for event in events {
                match event {
                    Event::Accepted { conn, .. } => accepted.push(conn),
                    Event::Received { buffer, .. } => self.buffers.recycle(buffer),
                    _ => {}
                }
            }
        }
        accepted
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        stream
    }

    fn count(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        of(&self.counters).load(Ordering::Relaxed)
    }

    fn close(&mut self, conn: ConnId) {
        self.engine.close(conn, Close::Now, sys::now().monotonic);
    }
}

fn a_full_table_rests_and_goes_on<E: Engine>(mut hand: Hand<E>, room: usize) {
    let clients: Vec<_> = (0..40).map(|_| hand.connect()).collect();
    let mut open = hand.accept_all();
    assert_eq!(open.len(), room);
    assert!(hand.count(|counters| &counters.accept_rests) >= 1);
    let turns = Instant::now();
    for _ in 0..5 {
        hand.turn(60);
    }
    assert!(turns.elapsed() > Duration::from_millis(200), "it spins while there is no room");
    for _ in 0..5 {
        let conn = open.pop().expect("open");
        hand.close(conn);
    }
    assert_eq!(hand.accept_all().len(), 5);
    drop(clients);
}

#[test]
fn a_full_table_stops_accepting_until_a_slot_is_free() {
    a_full_table_rests_and_goes_on(Hand::uring(0, 24, None), 18);
    a_full_table_rests_and_goes_on(Hand::epoll(18, None), 18);
}

/// The bytes, every other piece by reference.
fn in_parts(bytes: &[u8]) -> SendBuffer {
    let mut output = SendBuffer::default();
    for (index, piece) in bytes.chunks(5_000).enumerate() {
        match index % 2 {
            0 => output.bytes.extend_from_slice(piece),
            _ => output.push(Bytes::copy_from_slice(piece)),
        }
    }
    output
}

fn what_is_sent_keeps_its_order<E: Engine>(mut hand: Hand<E>) {
    let mut client = hand.connect();
    let conn = hand.accept_all()[0];
    let parts: Vec<Vec<u8>> = (1..=6_u8).map(|part| vec![part; 400_000]).collect();
    // Against the rule, three in one turn and three more while the first ones wait.
    for part in &parts[..3] {
        hand.engine.send(conn, in_parts(part));
    }
    let (mut stalled, mut drained) = (0, 0);
    let mut count = |events: Vec<Event>| {
        for event in events {
            match event {
                Event::Stalled { .. } => stalled += 1,
                Event::Drained { .. } => drained += 1,
                other => panic!("{other:?}"),
            }
        }
    };
    count(hand.turn(10));
    count(hand.turn(10));
    for part in &parts[3..] {
        hand.engine.send(conn, in_parts(part));
    }
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; 2_400_000];
        client.read_exact(&mut all).expect("everything");
        (client, all)
    });
    while !reader.is_finished() {
        count(hand.turn(5));
    }
    count(hand.turn(5));
    let (_client, all) = reader.join().expect("it read everything");
    assert!(all == parts.concat(), "parts are mixed");
    assert_eq!((stalled, drained), (1, 1));
}

#[test]
fn sends_behind_a_short_one_are_held_back_in_order() {
    what_is_sent_keeps_its_order(Hand::uring(0, 64, Some(4096)));
    what_is_sent_keeps_its_order(Hand::epoll(64, Some(4096)));
}

#[test]
fn a_socket_that_does_not_fit_there_is_closed_and_counted() {
    let (mut here, mut there) = (Hand::uring(0, 64, None), Hand::uring(1, 2, None));
    let rings = [&here, &there].map(|hand| sys::duplicate(hand.engine.ring_fd()).expect("a descriptor"));
    assert!(rings.iter().all(|ring| ring.as_raw_fd() > 0));
    here.engine.meet(Arc::new(rings));
    let mut clients: Vec<_> = (0..3).map(|_| here.connect()).collect();
    let open = here.accept_all();
    assert_eq!(open.len(), 3);
    for (token, conn) in open.into_iter().enumerate() {
        assert!(here.berths.take(ShardId(1), 0));
        assert_eq!(there.berths.take(ShardId(1), 0), token < 2, "two fit");
        assert!(here.engine.hand_over(conn, ShardId(1), token as u64).is_none());
        assert!(!here.engine.is_open(conn));
    }
    let mut adopted = Vec::new();
    for _ in 0..5 {
        assert!(here.turn(10).is_empty());
        for event in there.turn(10) {
            match event {
                Event::Adopted { from, token, conn } => {
                    assert_eq!(from, ShardId(0));
                    adopted.push((token, conn));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    // The kernel does not keep their order.
    assert_eq!(adopted.len(), 2);
    assert!(adopted[0].0 < 3 && adopted[1].0 < 3 && adopted[0].0 != adopted[1].0);
    assert_eq!(here.count(|counters| &counters.handovers_failed), 1);
    assert_eq!(here.count(|counters| &counters.open), 0);
    assert_eq!(here.berths.taken(ShardId(1)), 2, "the berth of the third was given back");
    for (_, conn) in adopted {
        there.engine.send(conn, b"hello".to_vec().into());
    }
    there.turn(10);
    let mut answers: Vec<usize> =
        clients.iter_mut().map(|client| client.read(&mut [0; 9]).expect("an answer or an end")).collect();
    answers.sort_unstable();
    assert_eq!(answers, [0, 5, 5]);
}

fn a_late_wish_does_nothing<E: Engine>(mut hand: Hand<E>) {
    let first = hand.connect();
    let conn = hand.accept_all()[0];
    hand.engine.receive(conn);
    hand.close(conn);
    drop(first);
    for _ in 0..3 {
        assert!(hand.turn(10).is_empty());
    }
    let mut second = hand.connect();
    let next = hand.accept_all()[0];
    assert_eq!(next.slot, conn.slot, "the slot is used again");
    assert_ne!(next.generation, conn.generation);
    hand.engine.send(conn, b"to the last tenant".to_vec().into());
    hand.engine.receive(conn);
    hand.close(conn);
    second.write_all(b"unasked").expect("open");
    assert!(hand.turn(30).is_empty(), "nobody asked to receive");
    hand.engine.send(next, b"x".to_vec().into());
    hand.turn(10);
    let mut answer = [0; 2];
    assert_eq!(second.read(&mut answer).expect("an answer"), 1);
    assert_eq!(answer[0], b'x');
}

#[test]
fn verbs_on_a_connection_that_is_gone_do_not_reach_the_next_one_in_its_slot() {
    a_late_wish_does_nothing(Hand::uring(0, 64, None));
    a_late_wish_does_nothing(Hand::epoll(64, None));
}

fn receive_once_is_once<E: Engine>(mut hand: Hand<E>) {
    let mut client = hand.connect();
    let conn = hand.accept_all()[0];
    hand.engine.receive_once(conn);
    client.write_all(&[1; 20_000]).expect("open");
    let mut received = 0;
    for _ in 0..4 {
        for event in hand.turn(20) {
            if let Event::Received { buffer, .. } = event {
                received += 1;
                hand.buffers.recycle(buffer);
            }
        }
    }
    assert_eq!(received, 1);
}

#[test]
fn receiving_once_brings_one_buffer() {
    receive_once_is_once(Hand::uring(0, 64, None));
    receive_once_is_once(Hand::epoll(64, None));
}

fn too_much_held_ends_the_connection<E: Engine>(mut hand: Hand<E>) {
    let client = hand.connect();
    let conn = hand.accept_all()[0];
    let part = vec![1; 1 << 20];
    let mut gone = 0;
    // Nobody reads, and whoever sends does not listen to `Stalled`.
    for _ in 0..64 {
        hand.engine.send(conn, in_parts(&part));
        for event in hand.turn(0) {
            gone += u32::from(matches!(event, Event::Gone { .. }));
        }
    }
    assert_eq!(gone, 1, "its end is told once");
    assert!(hand.engine.is_open(conn), "until it is closed");
    hand.close(conn);
    hand.turn(5);
    assert_eq!(hand.count(|counters| &counters.open), 0);
    drop(client);
}

#[test]
fn a_connection_that_is_sent_too_much_against_the_rule_ends() {
    too_much_held_ends_the_connection(Hand::uring(0, 64, Some(4096)));
    too_much_held_ends_the_connection(Hand::epoll(64, Some(4096)));
}

fn what_came_before_a_failed_send_is_received<E: Engine>(mut hand: Hand<E>, paused: bool) {
    let mut client = hand.connect();
    let conn = hand.accept_all()[0];
    hand.engine.send(conn, b"unread".to_vec().into());
    hand.turn(5);
    hand.engine.receive(conn);
    if paused {
        hand.turn(5);
        hand.engine.pause(conn);
        hand.turn(5);
    }
    client.write_all(b"goodbye").expect("open");
    // With bytes unread this is a reset.
    drop(client);
    hand.engine.send(conn, b"too late".to_vec().into());
    let mut told = Vec::new();
    for _ in 0..4 {
        for event in hand.turn(10) {
            match event {
                Event::Received { buffer, .. } => {
                    told.push(String::from_utf8_lossy(hand.buffers.bytes(&buffer)).into_owned());
                    hand.buffers.recycle(buffer);
                }
                Event::Gone { .. } => told.push("gone".into()),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(told, if paused { vec!["gone"] } else { vec!["goodbye", "gone"] });
}

#[test]
fn a_failed_send_does_not_overtake_what_was_received() {
    for paused in [false, true] {
        what_came_before_a_failed_send_is_received(Hand::uring(0, 64, None), paused);
        what_came_before_a_failed_send_is_received(Hand::epoll(64, None), paused);
    }
}
