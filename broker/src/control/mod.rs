//! The control socket in the data directory: one line of JSON asks, lines of JSON answer; for the same user only.
//!
//! Runs on: a thread that accepts, and one for each connection; shards are asked by message.
//! Invariants: at most [`CONNECTIONS_MAX`] connections are served; a request has a bound and a time in which it must come.

pub mod tap;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use millrace_shards::runtime::control::Control as ShardControl;
use millrace_shards::shard::Control;
use millrace_shards::shard::tap::TAPS_MAX;
use serde::{Deserialize, Serialize};

/// The name of the socket below the data directory.
pub const NAME: &str = "control.sock";
/// Connections at the same time: what the shards take as taps.
const CONNECTIONS_MAX: usize = TAPS_MAX;
/// Beyond so many connections nobody is told any more why they are refused.
const REFUSED_MAX: usize = 4 * CONNECTIONS_MAX;
/// Bytes of a request.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// How long a request may take to come, and each line of an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before accepting again after that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Samples of what rules do.
    Tap(tap::TapRequest),
}

/// The first line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done; with more lines if it goes on.
    Ok {},
    /// It is refused.
    Error {
        /// Why.
        message: String,
    },
}

/// The socket of a running broker; gone with the value.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What connections share.
#[derive(Debug)]
struct Shared {
    shards: Vec<ShardControl<Control>>,
    stop: Arc<AtomicBool>,
    open: AtomicUsize,
}

impl ControlSocket {
    /// Opens the socket in a data directory that is this process's own.
    ///
    /// # Errors
    /// It cannot be made: the path may be too long for a socket.
    pub fn open(directory: &Path, shards: Vec<ShardControl<Control>>) -> io::Result<Self> {
        let path = directory.join(NAME);
        // Who holds the lock of the directory may take what a broker that was killed has left.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared { shards, stop: stop.clone(), open: AtomicUsize::new(0) });
        let thread =
            std::thread::Builder::new().name("control".to_owned()).spawn(move || accept(&listener, &shared))?;
        Ok(Self { path, stop, thread: Some(thread) })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it must end.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = std::fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let open = Open::one_more(shared);
        if open.number >= REFUSED_MAX {
            continue;
        }
        let serve = move || {
            // Who asked has gone: nobody is left to be told.
            let _ = serve(stream, &open);
        };
        if let Err(error) = std::thread::Builder::new().name("control-one".to_owned()).spawn(serve) {
            tracing::warn!(event = "control-refused", "no thread for a connection to the control socket: {error}");
        }
    }
}

/// A connection, counted while it is open.
struct Open {
    shared: Arc<Shared>,
    number: usize,
}

impl Open {
    fn one_more(shared: &Arc<Shared>) -> Self {
        let number = shared.open.fetch_add(1, Ordering::Relaxed);
        Self { shared: shared.clone(), number }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(mut stream: UnixStream, open: &Open) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(&stream).take(REQUEST_BYTES_MAX).read_line(&mut line)?;
    if open.number >= CONNECTIONS_MAX {
        return refuse(&mut stream, format!("{CONNECTIONS_MAX} connections are open already"));
    }
    match serde_json::from_str(&line) {
        Ok(Request::Tap(request)) => match request.check() {
            Ok(()) => tap::serve(&mut stream, &request, &open.shared.shards, &open.shared.stop),
            Err(message) => refuse(&mut stream, message),
        },
        Err(error) => refuse(&mut stream, format!("this is not a request: {error}")),
    }
}

fn refuse(stream: &mut UnixStream, message: String) -> io::Result<()> {
    say(stream, &Reply::Error { message })
}

fn say(stream: &mut UnixStream, reply: &impl Serialize) -> io::Result<()> {
    let line = serde_json::to_string(reply).map_err(io::Error::other)?;
    stream.write_all(format!("{line}\n").as_bytes())
}
