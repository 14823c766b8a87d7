//! One agent as its leader sees it: the acquaintance, its clock, and the threads that speak with it during a run.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::auth::{self, Side, Token, VARIABLE};
use super::pack::{self, Account, Board};
use super::wire::{self, AGENT_BYTES_MAX, GREETING_MAX, Kind, PROTOCOL, SILENCE_MAX, STRANGER_BYTES_MAX};
use crate::control::Shared;
use crate::stats::Stats;
use crate::sys;
use crate::worker::Outcome;

/// How long a connection to an agent may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Questions for the time; the quickest answer is the best.
const CLOCK_QUESTIONS: u32 = 24;
/// How often the time is asked for during a run.
const CLOCK_EVERY: Duration = Duration::from_millis(500);
/// How often the stage is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// How far an agent's clock is from ours, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// To be added to the agent's.
    pub(super) offset: i64,
    /// It may be wrong by so much.
    pub(super) error: u64,
}

impl Clock {
    /// From an answer: when it was asked, the agent's time, when the answer came.
    pub(super) fn of(asked: u64, theirs: u64, answered: u64) -> Self {
        let round = answered.saturating_sub(asked);
        let middle = asked + round / 2;
        Self { offset: middle.wrapping_sub(theirs) as i64, error: round / 2 + 1 }
    }
}

/// See the head of this file.
pub(super) struct Member {
    pub(super) address: String,
    stream: TcpStream,
    pub(super) cpus: u32,
    pub(super) descriptors: u64,
    pub(super) clock: Clock,
    pub(super) connections: u32,
}

/// How an agent's run ended.
pub(super) struct Farewell {
    pub(super) account: Account,
    /// The clock at the end, by the quickest answer of the later half.
    pub(super) clock: Option<Clock>,
    /// Why it was lost, if it was.
    pub(super) lost: Option<String>,
}

impl Member {
    /// Becomes acquainted with an agent, and learns its time.
    pub(super) fn meet(address: &str, token: Option<&Token>) -> Result<Self, String> {
        Self::try_meet(address, token).map_err(|error| format!("agent {address}: {error}"))
    }

    fn try_meet(address: &str, token: Option<&Token>) -> Result<Self, String> {
        let mut found = address.to_socket_addrs().map_err(|error| error.to_string())?;
        let target = found.next().ok_or("no address has this name")?;
        let stream = TcpStream::connect_timeout(&target, CONNECT_MAX).map_err(|error| error.to_string())?;
        wire::prepare(&stream, GREETING_MAX).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + GREETING_MAX;
        let hello = wire::receive_by(&stream, deadline, STRANGER_BYTES_MAX)?;
        let said = hello.json()?;
        if hello.kind != Kind::Hello || said["program"] != crate::cli::NAME || said["protocol"] != PROTOCOL {
            return Err("what listens there is no agent of this kind".to_owned());
        }
        if said["version"] != env!("CARGO_PKG_VERSION") {
            let theirs = said["version"].as_str().unwrap_or("of no number");
            return Err(format!(
                "it is version {theirs}, this is {}: all have to be the same",
                env!("CARGO_PKG_VERSION")
            ));
        }
        let asks = said["token"] == true;
        match (token, asks) {
            (None, true) => return Err(format!("it wants a token: --token-file or {VARIABLE}")),
            (Some(_), false) => {
                return Err("it has no token, though one was given: whoever it is, it is not trusted".to_owned());
            }
            _ => {}
        }
        let (theirs, ours) = (said["nonce"].as_str().unwrap_or_default(), auth::nonce()?);
        let nonces = [theirs, ours.as_str()];
        let proof = token.map(|token| token.proof(Side::Leader, nonces));
        let join = json!({ "version": env!("CARGO_PKG_VERSION"), "nonce": ours, "proof": proof });
        wire::send_json(&stream, Kind::Join, &join)?;
        let answer = wire::receive_by(&stream, deadline, STRANGER_BYTES_MAX)?;
        let said = answer.json()?;
        if answer.kind != Kind::Welcome {
            return Err(format!("it refuses: {}", said["error"].as_str().unwrap_or("for no reason")));
        }
        if token.is_some_and(|token| !token.accepts(said["proof"].as_str().unwrap_or_default(), Side::Agent, nonces)) {
            return Err("it does not have the token".to_owned());
        }
        wire::prepare(&stream, SILENCE_MAX).map_err(|error| error.to_string())?;
        let number = |name: &str| said[name].as_u64().ok_or("a garbled welcome");
        let (cpus, descriptors) = (number("cpus")?, number("descriptors")?);
        let mut member = Self {
            address: address.to_owned(),
            stream,
            cpus: u32::try_from(cpus).unwrap_or(1).max(1),
            descriptors,
            clock: Clock { offset: 0, error: u64::MAX },
            connections: 0,
        };
        member.clock = member.ask_clock()?;
        Ok(member)
    }

    fn ask_clock(&self) -> Result<Clock, String> {
        let mut best = Clock { offset: 0, error: u64::MAX };
        for _ in 0..CLOCK_QUESTIONS {
            wire::send(&self.stream, Kind::Clock, &sys::now().to_be_bytes())?;
            let clock = read_clock(&wire::receive(&self.stream, STRANGER_BYTES_MAX)?.body, sys::now())?;
            if clock.error < best.error {
                best = clock;
            }
        }
        Ok(best)
    }

    /// Sends the plan; says what the agent finds.
    pub(super) fn plan(&mut self, plan: &Value) -> Result<(String, bool), String> {
        let failed = |error: String| format!("agent {}: {error}", self.address);
        wire::send_json(&self.stream, Kind::Plan, plan).map_err(failed)?;
        let answer = wire::receive(&self.stream, LEADER_ANSWER_MAX).map_err(failed)?;
        if answer.kind != Kind::Planned {
            return Err(failed(format!("{:?} instead of an opinion of the plan", answer.kind)));
        }
        let said = answer.json().map_err(failed)?;
        self.connections = said["connections"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        Ok((said["findings"].as_str().unwrap_or_default().to_owned(), said["refuses"] != false))
    }

    pub(super) fn start(&self) -> Result<(), String> {
        wire::send(&self.stream, Kind::Start, &[]).map_err(|error| format!("agent {}: {error}", self.address))
    }

    /// Speaks with the agent until its account is there, or it is lost. Its counts go to the board of this number.
    pub(super) fn lead(&self, board: usize, shared: &Arc<Shared>) -> Result<JoinHandle<Farewell>, String> {
        let stream = || self.stream.try_clone().map_err(|error| format!("agent {}: {error}", self.address));
        let (reading, writing) = (stream()?, stream()?);
        let over = Arc::new(AtomicBool::new(false));
        let (telling, telling_over) = (Arc::clone(shared), Arc::clone(&over));
        std::thread::spawn(move || tell(&writing, &telling, &telling_over));
        let shared = Arc::clone(shared);
        Ok(std::thread::spawn(move || {
            let mut heard = Heard::default();
            let ended = heard.listen(&reading, board, &shared);
            over.store(true, Ordering::Release);
            let clock = heard.clock();
            let _ = reading.shutdown(std::net::Shutdown::Both);
            match ended {
                Ok(account) => Farewell { account, clock, lost: None },
                Err(error) => {
                    shared.boards[board].fail();
                    Farewell { account: heard.last(), clock, lost: Some(error) }
                }
            }
        }))
    }
}

/// The largest answer to a plan.
const LEADER_ANSWER_MAX: usize = 1 << 20;

fn read_clock(body: &[u8], now: u64) -> Result<Clock, String> {
    let number = |at: usize| {
        let bytes = body.get(at..at + 8).and_then(|bytes| bytes.first_chunk::<8>());
        bytes.map(|bytes| u64::from_be_bytes(*bytes)).ok_or("a garbled frame")
    };
    Ok(Clock::of(number(0)?, number(8)?, now))
}

/// Tells the agent each stage, and asks for its time, which also shows that we are there.
fn tell(stream: &TcpStream, shared: &Shared, over: &AtomicBool) {
    let (mut told, mut asked) = (None, Instant::now());
    while !over.load(Ordering::Acquire) {
        let stage = shared.stage_and_times();
        if told != Some(stage) {
            told = Some(stage);
            if wire::send(stream, Kind::Stage, &pack::stage(stage.0, stage.1)).is_err() {
                return;
            }
        }
        if asked.elapsed() >= CLOCK_EVERY {
            asked = Instant::now();
            if wire::send(stream, Kind::Clock, &sys::now().to_be_bytes()).is_err() {
                return;
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// What was heard of an agent so far.
#[derive(Default)]
struct Heard {
    board: Option<Board>,
    clocks: Vec<Clock>,
}

impl Heard {
    fn listen(&mut self, stream: &TcpStream, number: usize, shared: &Shared) -> Result<Account, String> {
        loop {
            let frame = wire::receive(stream, AGENT_BYTES_MAX)?;
            let now = sys::now();
            match frame.kind {
                Kind::Clock => self.clocks.push(read_clock(&frame.body, now)?),
                Kind::Board => {
                    let mut board = Board::read(&frame.body)?;
                    let place = &shared.boards[number];
                    place.show(&board.counts, board.under_way);
                    if let Some((delivery, ack)) = &board.latencies {
                        place.show_latencies(delivery, ack);
                    }
                    let last = self.board.take();
                    board.latencies = board.latencies.or_else(|| last.and_then(|last| last.latencies));
                    self.board = Some(board);
                }
                Kind::Ended => return Account::read(&frame.body),
                Kind::Refuse => return Err(frame.json()?["error"].as_str().unwrap_or("it gives up").to_owned()),
                other => return Err(format!("{other:?} in the middle of a run")),
            }
        }
    }

    /// The quickest answer of the later half of the run.
    fn clock(&self) -> Option<Clock> {
        self.clocks[self.clocks.len() / 2..].iter().copied().min_by_key(|clock| clock.error)
    }

    /// What was known of an agent that was lost. It belongs to no part.
    fn last(&self) -> Account {
        let mut stats = Stats::new();
        if let Some(board) = &self.board {
            stats.counts = board.counts;
            if let Some((delivery, ack)) = &board.latencies {
                (stats.latencies.delivery, stats.latencies.ack) = (delivery.clone(), ack.clone());
            }
        }
        let outcome = Outcome { part: usize::MAX, stats, group: Vec::new(), lines: Vec::new(), sent: Vec::new() };
        Account { outcomes: vec![outcome], loads: Vec::new(), stolen: 0.0 }
    }
}
