//! Frames, proofs and accounts, whole and garbled.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::auth::{Side, Token, nonce};
use super::member::Clock;
use super::pack::{self, Account, Board};
use super::wire::{self, Kind};
use crate::account::{Bits, Line};
use crate::stats::{Counts, Stats, histogram};
use crate::swarm::Timeline;
use crate::worker::{Load, Outcome};

fn token(text: &str) -> Token {
    Token::new(text).expect("long enough")
}

fn outcome(part: usize, seed: u64) -> Outcome {
    let mut stats = Stats::new();
    stats.counts =
        Counts { sent: 1000 + seed, unique: seed, received: u64::from(u32::MAX) + seed, ..Counts::default() };
    for value in 1..100 {
        stats.latencies.delivery.record(value * 1_000_000 + seed).expect("in bounds");
        stats.latencies.connect.record(value * 7).expect("in bounds");
    }
    stats.error(format!("connection lost: {part}"));
    let mut bits = Bits::default();
    [0, 3, 64, 1000 + seed].into_iter().for_each(|sequence| assert!(bits.see(sequence)));
    let line = Line { publisher: 1, subscriber: u32::MAX, unique: 5, doubled: 6, reordered: u64::MAX };
    Outcome { part, stats, group: vec![bits, Bits::default()], lines: vec![line], sent: vec![(1, 10 + seed)] }
}

fn account() -> Account {
    let load = Load { busy: 0.25, waited: 0.5 };
    Account::of(vec![outcome(0, 0), outcome(1, 1), outcome(0, 2), outcome(1, 3)], vec![load, load], 0.125)
}

#[test]
fn accounts_of_workers_are_joined_and_read_as_they_were_written() {
    let account = account();
    let read = Account::read(&account.pack()).expect("it is whole");
    assert_eq!((read.outcomes.len(), read.loads.len()), (2, 2));
    assert!((read.stolen - 0.125).abs() < 1e-9 && (read.loads[1].waited - 0.5).abs() < 1e-9);
    let (mine, theirs) = (&account.outcomes[0], &read.outcomes[0]);
    assert_eq!((mine.part, mine.stats.counts), (theirs.part, theirs.stats.counts));
    assert_eq!(theirs.stats.counts.sent, 2002, "two workers of one part");
    assert_eq!(mine.stats.errors, theirs.stats.errors);
    assert_eq!((&mine.group, &mine.lines, &mine.sent), (&theirs.group, &theirs.lines, &theirs.sent));
    for (mine, theirs) in mine.stats.latencies.all().into_iter().zip(theirs.stats.latencies.all()) {
        assert_eq!(mine, theirs);
    }
}

#[test]
fn garbled_accounts_are_refused_and_never_panic() {
    let bytes = account().pack();
    for cut in (0..bytes.len()).step_by(bytes.len() / 50) {
        assert!(Account::read(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
    }
    let mut state = 7_u64;
    for _ in 0..100 {
        let mut garbled = bytes.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let at = (state >> 33) as usize % garbled.len();
            garbled[at] = (state >> 20) as u8;
        }
        // Whatever it says, it is an answer.
        let _ = Account::read(&garbled);
        let _ = Board::read(&garbled);
        let _ = pack::read_stage(&garbled);
    }
    assert!(Account::read(&[0xFF; 64]).is_err());
}

#[test]
fn boards_and_stages_are_read_as_they_were_written() {
    let mut latencies = histogram();
    latencies.record(12_345_678).expect("in bounds");
    let counts = Counts { acked: 77, ..Counts::default() };
    let board = Board { counts, under_way: 3, latencies: Some((latencies.clone(), histogram())) };
    let read = Board::read(&board.pack()).expect("it is whole");
    assert_eq!((read.counts, read.under_way), (counts, 3));
    assert_eq!(read.latencies, Some((latencies, histogram())));
    let bare = Board { latencies: None, ..board };
    assert!(Board::read(&bare.pack()).is_ok_and(|read| read.latencies.is_none()));
    let timeline = Timeline { start: 1, measure: 1 << 40, end: u64::MAX };
    assert_eq!(pack::read_stage(&pack::stage(3, timeline)), Ok((3, timeline)));
}

#[test]
fn only_the_same_token_makes_the_right_proof() {
    let (ours, other) = (token("sixteen letters!"), token("sixteen lettersX"));
    let (one, two) = (nonce().expect("random"), nonce().expect("random"));
    assert_ne!(one, two);
    let nonces = [one.as_str(), two.as_str()];
    let proof = ours.proof(Side::Leader, nonces);
    assert!(ours.accepts(&proof, Side::Leader, nonces));
    assert!(!ours.accepts(&proof, Side::Agent, nonces), "a proof cannot be sent back");
    assert!(!ours.accepts(&proof, Side::Leader, [nonces[1], nonces[0]]), "nor be used again");
    assert!(!other.accepts(&proof, Side::Leader, nonces));
    for wrong in ["", "zz", "0", &proof[..62], "ü"] {
        assert!(!ours.accepts(wrong, Side::Leader, nonces), "{wrong}");
    }
    assert!(Token::new("too short").is_err());
}

#[test]
fn the_clock_of_another_is_known_to_half_the_way_there_and_back() {
    let clock = Clock::of(1_000_000, 500, 1_000_200);
    assert_eq!(clock, Clock { offset: 999_600, error: 101 });
    let behind = Clock::of(100, 5_000, 140);
    assert_eq!(behind.offset, -4_880);
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    (one, listener.accept().expect("it has connected").0)
}

#[test]
fn frames_are_bounded_and_strangers_have_a_deadline() {
    let (one, other) = pair();
    wire::send(&one, Kind::Board, &[7; 100]).expect("it fits");
    wire::send(&one, Kind::Board, &[7; 100]).expect("it fits");
    let frame = wire::receive(&other, 100).expect("it is whole");
    assert_eq!((frame.kind, frame.body.len()), (Kind::Board, 100));
    assert!(wire::receive(&other, 99).is_err_and(|error| error.contains("99 are allowed")));
    let (_silent, other) = pair();
    let begun = Instant::now();
    assert!(wire::receive_by(&other, begun + Duration::from_millis(50), 100).is_err());
    assert!(begun.elapsed() < Duration::from_secs(2));
}
