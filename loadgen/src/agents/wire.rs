//! Frames between an agent and its leader: a length, a kind, a body that is JSON or packed.
//!
//! Invariants: memory grows with bytes that came, not with a length that was claimed; whoever has not shown the token
//! may send small frames only.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The frames as they are; another number is another language.
pub(super) const PROTOCOL: u64 = 1;
/// Bytes of a frame from somebody unknown, from a leader, from an agent.
pub(super) const STRANGER_BYTES_MAX: usize = 4 << 10;
pub(super) const LEADER_BYTES_MAX: usize = 64 << 20;
pub(super) const AGENT_BYTES_MAX: usize = 1 << 30;
/// How long nothing comes before the other side is given up.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a write may take.
const WRITE_MAX: Duration = Duration::from_secs(15);
/// How long it may take to become acquainted.
pub(super) const GREETING_MAX: Duration = Duration::from_secs(5);

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// An agent says who it is.
    Hello = 1,
    /// A leader says who it is.
    Join,
    /// The agent is the leader's.
    Welcome,
    /// It is not, or it cannot go on.
    Refuse,
    /// A time of the leader's clock; the answer has the agent's behind it.
    Clock,
    /// What is to be done.
    Plan,
    /// What the agent thinks of it.
    Planned,
    /// Connections are to be opened.
    Start,
    /// The stage of the run.
    Stage,
    /// Counts so far, perhaps with latencies.
    Board,
    /// The account at the end.
    Ended,
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Self> {
        use Kind::{Board, Clock, Ended, Hello, Join, Plan, Planned, Refuse, Stage, Start, Welcome};
        [Hello, Join, Welcome, Refuse, Clock, Plan, Planned, Start, Stage, Board, Ended]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A frame that has come.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
}

impl Frame {
    pub(super) fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("a garbled frame: {error}"))
    }
}

/// Readies a stream for frames.
pub(super) fn prepare(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(silence))?;
    stream.set_write_timeout(Some(WRITE_MAX))
}

pub(super) fn send(mut stream: &TcpStream, kind: Kind, body: &[u8]) -> Result<(), String> {
    let mut frame = Vec::with_capacity(body.len() + 5);
    let length = u32::try_from(body.len()).map_err(|_| "a frame over 4 GiB".to_owned())?;
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(kind as u8);
    frame.extend_from_slice(body);
    stream.write_all(&frame).map_err(|error| told(&error))
}

pub(super) fn send_json(stream: &TcpStream, kind: Kind, body: &Value) -> Result<(), String> {
    send(stream, kind, body.to_string().as_bytes())
}

pub(super) fn receive(mut stream: &TcpStream, most: usize) -> Result<Frame, String> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).map_err(|error| told(&error))?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let kind = Kind::from_u8(head[4]).ok_or("a frame of no known kind")?;
    if length > most {
        return Err(format!("a frame of {length} bytes, {most} are allowed"));
    }
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body).map_err(|error| told(&error))?;
    if body.len() < length {
        return Err("closed in the middle of a frame".to_owned());
    }
    Ok(Frame { kind, body })
}

/// A frame of somebody unknown, which has to be there by the deadline however slowly its bytes come.
pub(super) fn receive_by(stream: &TcpStream, deadline: Instant, most: usize) -> Result<Frame, String> {
    let mut bytes = Bounded { stream, deadline };
    let mut head = [0; 5];
    bytes.read_exact(&mut head).map_err(|error| told(&error))?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let kind = Kind::from_u8(head[4]).ok_or("it does not speak as an agent's leader does")?;
    if length > most {
        return Err(format!("a frame of {length} bytes, {most} are allowed"));
    }
    let mut body = vec![0; length];
    bytes.read_exact(&mut body).map_err(|error| told(&error))?;
    Ok(Frame { kind, body })
}

struct Bounded<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        (&mut &*self.stream).read(buffer)
    }
}

/// An error of a connection in words.
fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "nothing heard for too long".to_owned(),
        io::ErrorKind::UnexpectedEof => "it has closed the connection".to_owned(),
        _ => error.to_string(),
    }
}
