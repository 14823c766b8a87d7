//! The agent: waits for a leader, does its part of the plan, tells the account; then waits for the next.
//!
//! Runs on: the main thread, a thread for each connection, and for a run one that listens to the leader.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::auth::{self, Side, Token, VARIABLE};
use super::pack::{self, Account};
use super::wire::{self, Frame, GREETING_MAX, Kind, LEADER_BYTES_MAX, PROTOCOL, SILENCE_MAX, STRANGER_BYTES_MAX};
use crate::addresses;
use crate::control::{Crew, Shared};
use crate::exit::Exit;
use crate::files::Files;
use crate::host::HostWatch;
use crate::options::AgentOptions;
use crate::preflight::{Offer, Preflight};
use crate::run_plan::RunPlan;
use crate::scenario;
use crate::source::Source;
use crate::sys;

/// Connections that may be becoming acquainted at once.
const STRANGERS_MAX: u32 = 16;
/// How often counts are told, and latencies.
const TELL: Duration = Duration::from_millis(40);
const TELL_LATENCIES: Duration = Duration::from_millis(500);

/// What all connections of an agent share.
struct Agent {
    options: AgentOptions,
    token: Option<Token>,
    strangers: AtomicU32,
    /// Taken by the one leader.
    busy: AtomicBool,
}

/// Serves until it is killed; with `--once` until the first run is over.
pub(crate) fn serve(options: AgentOptions) -> Exit {
    match try_serve(options) {
        Ok(exit) => exit,
        Err((exit, error)) => {
            eprintln!("error: {error}");
            exit
        }
    }
}

fn try_serve(options: AgentOptions) -> Result<Exit, (Exit, String)> {
    let usage = |error| (Exit::Usage, error);
    let failed = |error: std::io::Error| (Exit::Failed, format!("cannot listen on {}: {error}", options.listen));
    let token = Token::find(options.token_file.as_deref()).map_err(usage)?;
    if let Some(list) = &options.ifaddr {
        addresses::sources(list).map_err(usage)?;
    }
    let addresses: Vec<SocketAddr> = options.listen.to_socket_addrs().map_err(failed)?.collect();
    if token.is_none() && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(usage(format!(
            "--listen {} can be reached by others, and whoever leads an agent can make it send to anybody: give it a \
             token with --token-file or {VARIABLE}, the same as the leader's",
            options.listen
        )));
    }
    let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    eprintln!(
        "agent {} listens on {address}, {} a token",
        env!("CARGO_PKG_VERSION"),
        if token.is_some() { "with" } else { "without" }
    );
    let agent = Arc::new(Agent { options, token, strangers: AtomicU32::new(0), busy: AtomicBool::new(false) });
    let (done, over) = std::sync::mpsc::channel();
    let accepting = Arc::clone(&agent);
    std::thread::spawn(move || accept(&listener, &accepting, &done));
    loop {
        match over.recv() {
            Ok(()) if agent.options.once => return Ok(Exit::Done),
            Ok(()) => {}
            Err(_) => return Err((Exit::Failed, "nobody listens any more".to_owned())),
        }
    }
}

fn accept(listener: &TcpListener, agent: &Arc<Agent>, done: &std::sync::mpsc::Sender<()>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Descriptors may be short for a while.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if agent.strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS_MAX {
            agent.strangers.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (agent, done) = (Arc::clone(agent), done.clone());
        std::thread::spawn(move || {
            let from = stream.peer_addr().map_or_else(|_| "somebody".to_owned(), |address| address.to_string());
            let acquainted = greet(&agent, &stream);
            agent.strangers.fetch_sub(1, Ordering::Relaxed);
            match acquainted {
                Err(error) => eprintln!("{from} was refused: {error}"),
                Ok(()) => {
                    eprintln!("{from} leads");
                    match led(&agent, &stream) {
                        Ok(()) => eprintln!("the run of {from} is over"),
                        Err(error) => eprintln!("the run of {from} was ended: {error}"),
                    }
                    sys::set_clock(0);
                    agent.busy.store(false, Ordering::Release);
                    let _ = done.send(());
                }
            }
        });
    }
}

/// Becomes acquainted with a leader, after which the agent is its own.
fn greet(agent: &Agent, stream: &TcpStream) -> Result<(), String> {
    wire::prepare(stream, GREETING_MAX).map_err(|error| error.to_string())?;
    let deadline = Instant::now() + GREETING_MAX;
    let nonce = auth::nonce()?;
    let hello = json!({
        "program": crate::cli::NAME,
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": PROTOCOL,
        "nonce": nonce,
        "token": agent.token.is_some(),
    });
    wire::send_json(stream, Kind::Hello, &hello)?;
    let join = wire::receive_by(stream, deadline, STRANGER_BYTES_MAX)?;
    let proof = judge(agent, &join, &nonce);
    let refuse = |error: String| {
        let _ = wire::send_json(stream, Kind::Refuse, &json!({ "error": error }));
        Err(error)
    };
    let proof = match proof {
        Ok(proof) => proof,
        Err(error) => return refuse(error),
    };
    if agent.busy.swap(true, Ordering::AcqRel) {
        return refuse("it is busy with the run of another".to_owned());
    }
    let welcome = json!({ "proof": proof, "cpus": sys::allowed_cpus(), "descriptors": Offer::here().descriptors });
    let welcomed = wire::send_json(stream, Kind::Welcome, &welcome);
    if welcomed.is_err() {
        agent.busy.store(false, Ordering::Release);
    }
    welcomed
}

/// Our own proof, if the leader's is right.
fn judge(agent: &Agent, join: &Frame, nonce: &str) -> Result<Option<String>, String> {
    let said = join.json()?;
    let text = |name: &str| said[name].as_str().unwrap_or_default();
    if join.kind != Kind::Join {
        return Err("it did not introduce itself".to_owned());
    }
    let nonces = [nonce, text("nonce")];
    match &agent.token {
        Some(token) if !token.accepts(text("proof"), Side::Leader, nonces) => {
            Err("it does not have the token".to_owned())
        }
        _ if text("version") != env!("CARGO_PKG_VERSION") => {
            Err(format!("version {} cannot lead an agent of version {}", text("version"), env!("CARGO_PKG_VERSION")))
        }
        Some(token) => Ok(Some(token.proof(Side::Agent, nonces))),
        None => Ok(None),
    }
}

/// Follows a leader until the run is over.
fn led(agent: &Agent, stream: &TcpStream) -> Result<(), String> {
    wire::prepare(stream, SILENCE_MAX).map_err(|error| error.to_string())?;
    let plan = loop {
        let frame = wire::receive(stream, LEADER_BYTES_MAX)?;
        match frame.kind {
            Kind::Clock => answer_clock(stream, &frame)?,
            Kind::Plan => {
                let planned = plan(agent, &frame.json()?);
                let (plan, answer) = match planned {
                    Ok((plan, preflight)) => {
                        let answer = json!({
                            "findings": preflight.findings(),
                            "refuses": preflight.refuses(),
                            "connections": plan.local_connections(),
                        });
                        (Some(plan), answer)
                    }
                    Err(error) => (None, json!({ "findings": format!("error: {error}\n"), "refuses": true })),
                };
                wire::send_json(stream, Kind::Planned, &answer)?;
                break plan.ok_or("its plan cannot be done here")?;
            }
            other => return Err(format!("{other:?} before a plan")),
        }
    };
    loop {
        let frame = wire::receive(stream, LEADER_BYTES_MAX)?;
        match frame.kind {
            Kind::Clock => answer_clock(stream, &frame)?,
            Kind::Start => return work(&plan, stream),
            other => return Err(format!("{other:?} before the start")),
        }
    }
}

/// The plan that the leader's words make here.
fn plan(agent: &Agent, said: &Value) -> Result<(Arc<RunPlan>, Preflight), String> {
    let number = |name: &str| said[name].as_u64().and_then(|number| u32::try_from(number).ok()).ok_or("a garbled plan");
    let source = Source::from_json(&said["source"])?;
    let files = said["files"].as_object().ok_or("a garbled plan")?;
    let files = files.iter().filter_map(|(path, text)| Some((path.clone(), text.as_str()?.to_owned())));
    let tag = number("tag")? as u16;
    let scenario = source.scenario(&Files::carried(files.clone().collect()))?;
    let mut plan = scenario::run_plan(&scenario, tag, &Files::carried(files.collect()))?;
    let (machine, machines, workers) = (number("machine")?, number("machines")?, number("workers")?);
    if machine >= machines || workers == 0 || workers.checked_mul(machines).is_none() {
        return Err("a garbled plan".to_owned());
    }
    plan.for_machine(machine, machines, workers);
    if let Some(list) = &agent.options.ifaddr {
        plan.set_sources(&addresses::sources(list)?);
    }
    let preflight = Preflight::new(&mut plan, true);
    sys::set_clock(said["clock_ns"].as_i64().ok_or("a garbled plan")?);
    Ok((Arc::new(plan), preflight))
}

/// Does the agent's part. Whatever happens to the leader, the workers end with it.
fn work(plan: &Arc<RunPlan>, stream: &TcpStream) -> Result<(), String> {
    let shared = Arc::new(Shared::new(plan.local_workers()));
    let crew = Crew::start(plan, &shared).map_err(|error| refuse(stream, error.to_string()))?;
    let writer = Arc::new(Mutex::new(stream.try_clone().map_err(|error| error.to_string())?));
    let host = Arc::new(Mutex::new(HostWatch::new()));
    let listening = {
        let (shared, writer, host) = (Arc::clone(&shared), Arc::clone(&writer), Arc::clone(&host));
        let stream = stream.try_clone().map_err(|error| error.to_string())?;
        std::thread::spawn(move || {
            let listened = listen(&stream, &shared, &writer, &host);
            // Nobody wants anything of it any more, or nobody is there to say what.
            shared.leave();
            listened
        })
    };
    let told = tell(&shared, &writer);
    if told.is_err() {
        // It wakes the one who listens.
        let _ = stream.shutdown(std::net::Shutdown::Both);
        shared.leave();
    }
    let ended = crew.join();
    let stolen = {
        let mut host = host.lock().unwrap_or_else(PoisonError::into_inner);
        host.finish();
        host.stolen()
    };
    let sent = match ended {
        Ok((outcomes, loads)) => {
            let account = Account::of(outcomes, loads, stolen).pack();
            let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            wire::send(&writer, Kind::Ended, &account)
        }
        Err(error) => Err(refuse(stream, error.to_string())),
    };
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let listened = listening.join().unwrap_or_else(|_| Err("a thread has died".to_owned()));
    told.and(sent).and(listened)
}

fn refuse(stream: &TcpStream, error: String) -> String {
    let _ = wire::send_json(stream, Kind::Refuse, &json!({ "error": error }));
    error
}

/// Does what the leader says until it hangs up, which it may once the run is over.
fn listen(
    stream: &TcpStream,
    shared: &Shared,
    writer: &Mutex<TcpStream>,
    host: &Mutex<HostWatch>,
) -> Result<(), String> {
    loop {
        let frame = match wire::receive(stream, LEADER_BYTES_MAX) {
            Err(_) if shared.stage().is_none() => return Ok(()),
            received => received?,
        };
        match frame.kind {
            Kind::Clock => {
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                let answered = answer_clock(&writer, &frame);
                if shared.stage().is_some() {
                    answered?;
                }
            }
            Kind::Stage => {
                let (stage, timeline) = pack::read_stage(&frame.body)?;
                let mut host = host.lock().unwrap_or_else(PoisonError::into_inner);
                host.begin_once();
                shared.follow(stage, timeline);
            }
            other => return Err(format!("{other:?} in the middle of a run")),
        }
    }
}

/// Tells the leader how far the workers are, until the run is over.
fn tell(shared: &Shared, writer: &Mutex<TcpStream>) -> Result<(), String> {
    let (mut told, mut latencies_told) = (0, Instant::now());
    while shared.stage().is_some() {
        std::thread::sleep(TELL);
        if shared.any_failed() {
            shared.leave();
        }
        let mut board = pack::Board { counts: shared.counts(), under_way: shared.under_way(), latencies: None };
        if latencies_told.elapsed() >= TELL_LATENCIES {
            latencies_told = Instant::now();
            shared.ask_for_latencies();
            let (delivery, ack) = shared.latencies();
            let now = delivery.len() + ack.len();
            if now != told {
                told = now;
                board.latencies = Some((delivery, ack));
            }
        }
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        wire::send(&writer, Kind::Board, &board.pack())?;
    }
    Ok(())
}

/// The leader's time comes back with ours.
fn answer_clock(stream: &TcpStream, frame: &Frame) -> Result<(), String> {
    let mut body = frame.body.get(..8).ok_or("a garbled frame")?.to_vec();
    body.extend_from_slice(&sys::own_now().to_be_bytes());
    wire::send(stream, Kind::Clock, &body)
}
