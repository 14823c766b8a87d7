//! A tiny logic that shows what the runtime does: the first bytes of a connection say what it is for.
//!
//! `E` echoes; `H` and a digit hands the connection to that shard and echoes there; `B` and eight digits sends so many
//! bytes of a known pattern; `L` answers with the rest and lingers; `P` pauses for 300 ms and then counts; `F` echoes
//! by way of the next shard.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millrace_core::time::{Millis, Time};
use millrace_shards::berths::Berths;
use millrace_shards::config::EngineChoice;
use millrace_shards::runtime::{self, ListenerSettings, Runtime, Settings};
use millrace_shards::shard::io::{Accepted, Close, ConnId, Gone, ListenerId, Output, ShardId};
use millrace_shards::shard::logic::Logic;

/// What the shards of a test send each other.
pub(crate) enum Frame {
    /// The bytes read before a socket was handed over.
    Moved { token: u64, bytes: Vec<u8> },
    /// Bytes to send back to where they came from.
    Bounce { conn: ConnId, bytes: Vec<u8> },
    /// The same, on the way back.
    Back { conn: ConnId, bytes: Vec<u8> },
}

/// What a test asks of a shard.
pub(crate) enum Ask {
    /// How many connections the logic knows.
    Connections(std::sync::mpsc::Sender<usize>),
    /// Close all of them.
    CloseAll,
}

#[derive(Default)]
struct Conn {
    job: Job,
    out: Vec<u8>,
    due: bool,
    stalled: bool,
    received: u64,
    /// Bytes of the pattern that are still to be sent, and how many were.
    left: u64,
    sent: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Job {
    #[default]
    Unknown,
    Echo,
    Pattern,
    Count,
    Bounce,
}

/// See the head of this file.
pub(crate) struct Relay {
    me: u16,
    shards: u16,
    berths: Arc<Berths>,
    conns: HashMap<ConnId, Conn>,
    due: Vec<ConnId>,
    next_token: u64,
    moved: HashMap<(ShardId, u64), Vec<u8>>,
    adopted: HashMap<(ShardId, u64), ConnId>,
    resume: Vec<(Millis, ConnId)>,
}

impl Relay {
    pub(crate) fn new(me: u16, shards: u16, berths: Arc<Berths>) -> Self {
        Self {
            me,
            shards,
            berths,
            conns: HashMap::new(),
            due: Vec::new(),
            next_token: 1,
            moved: HashMap::new(),
            adopted: HashMap::new(),
            resume: Vec::new(),
        }
    }

    fn say(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.out.extend_from_slice(bytes);
            if !state.due {
                state.due = true;
                self.due.push(conn);
            }
        }
    }

    fn start(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut impl Output<Frame>) {
        let (job, rest) = (bytes[0], &bytes[1..]);
        let state = self.conns.get_mut(&conn).expect("it was accepted");
        match job {
            b'E' => {
                state.job = Job::Echo;
                out.receive(conn);
                self.say(conn, rest);
            }
            b'F' => {
                state.job = Job::Bounce;
                out.receive(conn);
                if !rest.is_empty() {
                    self.bounce(conn, rest, out);
                }
            }
            b'H' => {
                let to = ShardId(u16::from(rest[0] - b'0') % self.shards);
                assert!(self.berths.take(to, 0), "there is room for a test");
                self.conns.remove(&conn);
                let token = self.next_token;
                self.next_token += 1;
                let bytes = rest[1..].to_vec();
                out.frame(to, Frame::Moved { token, bytes });
                out.hand_over(conn, to, token);
            }
            b'B' => {
                let digits = std::str::from_utf8(&rest[..8]).expect("digits");
                state.job = Job::Pattern;
                state.left = digits.parse().expect("digits");
                out.receive(conn);
                self.say(conn, b"");
            }
            b'L' => {
                self.conns.remove(&conn);
                let mut buffer = out.buffer();
                buffer.bytes.extend_from_slice(rest);
                out.send(conn, buffer);
                out.close(conn, Close::Linger);
            }
            b'P' => {
                state.job = Job::Count;
                state.received = rest.len() as u64;
                out.receive(conn);
                out.pause(conn);
                self.resume.push((now.monotonic.after(Duration::from_millis(300)), conn));
            }
            other => panic!("no job {other}"),
        }
    }

    fn bounce(&mut self, conn: ConnId, bytes: &[u8], out: &mut impl Output<Frame>) {
        let bytes = bytes.to_vec();
        out.frame(ShardId((self.me + 1) % self.shards), Frame::Bounce { conn, bytes });
    }

    fn meet(&mut self, key: (ShardId, u64), out: &mut impl Output<Frame>) {
        if let (Some(conn), true) = (self.adopted.get(&key).copied(), self.moved.contains_key(&key)) {
            let bytes = self.moved.remove(&key).expect("looked at above");
            self.adopted.remove(&key);
            self.conns.insert(conn, Conn { job: Job::Echo, ..Conn::default() });
            out.receive(conn);
            let greeting = format!("shard {} ", self.me);
            self.say(conn, greeting.as_bytes());
            self.say(conn, &bytes);
        }
    }
}

impl Logic for Relay {
    type Frame = Frame;
    type Control = Ask;

    fn accepted(&mut self, _now: Time, accepted: Accepted, out: &mut impl Output<Frame>) {
        assert!(accepted.peer.ip().is_loopback());
        let old = self.conns.insert(accepted.conn, Conn::default());
        assert!(old.is_none(), "a generation is never used again");
        out.receive_once(accepted.conn);
    }

    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut impl Output<Frame>) {
        assert!(!bytes.is_empty());
        let state = self.conns.get_mut(&conn).expect("no event after the end");
        match state.job {
            Job::Unknown => self.start(now, conn, bytes, out),
            Job::Echo => self.say(conn, bytes),
            Job::Count => {
                state.received += bytes.len() as u64;
                let text = format!("{};", state.received);
                self.say(conn, text.as_bytes());
            }
            Job::Bounce => self.bounce(conn, bytes, out),
            Job::Pattern => {}
        }
    }

    fn gone(&mut self, _now: Time, conn: ConnId, _how: Gone, out: &mut impl Output<Frame>) {
        assert!(self.conns.remove(&conn).is_some(), "gone comes once");
        // Verbs on what is gone do nothing.
        out.receive(conn);
        out.send(conn, vec![1].into());
        out.close(conn, Close::Now);
    }

    fn stalled(&mut self, conn: ConnId, unsent: usize) {
        assert!(unsent > 0);
        let state = self.conns.get_mut(&conn).expect("no event after the end");
        assert!(!state.stalled);
        state.stalled = true;
    }

    fn drained(&mut self, _now: Time, conn: ConnId, _out: &mut impl Output<Frame>) {
        let state = self.conns.get_mut(&conn).expect("no event after the end");
        assert!(state.stalled);
        state.stalled = false;
        if !state.due {
            state.due = true;
            self.due.push(conn);
        }
    }

    fn adopted(&mut self, _now: Time, conn: ConnId, from: ShardId, token: u64, out: &mut impl Output<Frame>) {
        self.adopted.insert((from, token), conn);
        self.meet((from, token), out);
    }

    fn frame(&mut self, _now: Time, from: ShardId, frame: Frame, out: &mut impl Output<Frame>) {
        match frame {
            Frame::Moved { token, bytes } => {
                self.moved.insert((from, token), bytes);
                self.meet((from, token), out);
            }
            Frame::Bounce { conn, bytes } => {
                out.frame(from, Frame::Back { conn, bytes });
            }
            Frame::Back { conn, bytes } => self.say(conn, &bytes),
        }
    }

    fn mesh_drained(&mut self, _now: Time, _out: &mut impl Output<Frame>) {}

    fn control(&mut self, _now: Time, ask: Ask, out: &mut impl Output<Frame>) {
        match ask {
            Ask::Connections(answer) => {
                let _ = answer.send(self.conns.len());
            }
            Ask::CloseAll => {
                for (conn, _) in self.conns.drain() {
                    out.close(conn, Close::Now);
                }
            }
        }
    }

    fn next_deadline(&self) -> Millis {
        self.resume.first().map_or(Millis::NEVER, |(at, _)| *at)
    }

    fn turn(&mut self, now: Time, out: &mut impl Output<Frame>) {
        while let Some((at, conn)) = self.resume.first().copied()
            && at <= now.monotonic
        {
            self.resume.remove(0);
            out.receive(conn);
            self.say(conn, b"resumed;");
        }
        for conn in std::mem::take(&mut self.due) {
            let Some(state) = self.conns.get_mut(&conn) else {
                continue;
            };
            state.due = false;
            if state.stalled {
                // `drained` asks again.
                continue;
            }
            let mut buffer = out.buffer();
            assert!(buffer.is_empty());
            buffer.bytes.append(&mut state.out);
            let piece = state.left.min(200_000);
            let bytes: Vec<u8> = (state.sent..state.sent + piece).map(pattern).collect();
            for (index, chunk) in bytes.chunks(700).enumerate() {
                if index % 2 == 0 {
                    buffer.bytes.extend_from_slice(chunk);
                } else {
                    buffer.push(Bytes::copy_from_slice(chunk));
                }
            }
            state.sent += piece;
            state.left -= piece;
            if state.left > 0 {
                state.due = true;
                self.due.push(conn);
            }
            if buffer.is_empty() {
                out.recycle(buffer);
            } else {
                out.send(conn, buffer);
            }
        }
    }
}

/// The byte at a position of the stream that `B` sends.
pub(crate) fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Both engines, or those that a test is about.
pub(crate) const ENGINES: [EngineChoice; 2] = [EngineChoice::IoUring, EngineChoice::Epoll];

/// A runtime of relays.
pub(crate) struct Shards {
    pub(crate) runtime: Runtime<Ask>,
    pub(crate) address: SocketAddr,
}

impl Shards {
    pub(crate) fn start(engine: EngineChoice, shards: u16) -> Self {
        Self::with(engine, shards, None)
    }

    pub(crate) fn with(engine: EngineChoice, shards: u16, send_buffer: Option<i32>) -> Self {
        let settings = settings(engine, send_buffer);
        let logic = |me| {
            let berths = Arc::clone(&settings.berths);
            move || Relay::new(me, shards, berths)
        };
        let logics = (0..shards).map(logic).collect();
        let runtime = runtime::start(&settings, logics).expect("this host can run it");
        let address = runtime.addresses()[0].1;
        Self { runtime, address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        stream
    }

    /// Connections that the logics know.
    pub(crate) fn known(&self) -> usize {
        (0..self.runtime.shards())
            .map(|shard| {
                let (answer, asked) = std::sync::mpsc::channel();
                assert!(self.runtime.control(ShardId(shard)).send(Ask::Connections(answer)));
                asked.recv_timeout(Duration::from_secs(5)).expect("a shard answers")
            })
            .sum()
    }

    /// A counter, added up over the shards.
    pub(crate) fn count(&self, of: impl Fn(&runtime::Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        self.runtime
            .vitals()
            .iter()
            .map(|vitals| of(vitals.counters()).load(std::sync::atomic::Ordering::Relaxed))
            .sum()
    }

    /// Waits until all connections are gone, in the logic and in the engine.
    pub(crate) fn wait_until_empty(&self) {
        wait_for("all connections are gone", || self.known() == 0 && self.count(|counters| &counters.open) == 0);
    }

    /// Ends it, and checks what must hold after every test.
    pub(crate) fn end(self) {
        assert_eq!(self.count(|counters| &counters.wakes_lost), 0);
        assert_eq!(self.count(|counters| &counters.wakes_failed), 0);
        assert_eq!(self.count(|counters| &counters.handovers_failed), 0);
        self.runtime.stop();
        self.runtime.join();
    }
}

/// Waits for something that must come.
pub(crate) fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One listener on a free port.
pub(crate) fn settings(engine: EngineChoice, send_buffer: Option<i32>) -> Settings {
    Settings {
        engine,
        listeners: vec![ListenerSettings {
            id: ListenerId(0),
            name: "default".into(),
            address: "127.0.0.1:0".parse().expect("an address"),
            send_buffer,
        }],
        connections_max: 10_000,
        berths: Arc::new(Berths::new(64)),
    }
}
