//! Signals: what they ask of the program, and the bound on how long a graceful stop may take.
//!
//! Runs on: a thread of its own that waits for signals.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

/// A graceful stop ends the process after this time at the latest.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Stop: SIGTERM or Ctrl-C. A second one ends the process at once.
    Stop(&'static str),
    /// Read the config again: SIGHUP.
    Reload,
}

/// Starts to listen to signals.
///
/// # Errors
/// The kernel does not let us.
pub fn requests() -> std::io::Result<Receiver<Request>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    if std::process::id() == 1 {
        // What other processes leave behind becomes a child of the first one, which alone can bury it.
        signals.add_signal(SIGCHLD)?;
    }
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || listen(&mut signals, &sender))?;
    Ok(receiver)
}

fn listen(signals: &mut Signals, sender: &Sender<Request>) {
    let mut stopping = false;
    for signal in signals.forever() {
        let request = match signal {
            SIGHUP => Request::Reload,
            SIGCHLD => {
                bury();
                continue;
            }
            signal if stopping => {
                tracing::warn!(event = "stopped-at-once", signal = name(signal), "a second signal: stopping at once");
                crate::logging::flush();
                std::process::exit(Exit::Interrupted as i32);
            }
            signal => {
                stopping = true;
                Request::Stop(name(signal))
            }
        };
        // Once the program ends nobody receives any more, and a second signal still matters.
        let _ = sender.send(request);
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGTERM => "SIGTERM",
        SIGINT => "SIGINT",
        _ => "signal",
    }
}

fn bury() {
    while matches!(rustix::process::wait(rustix::process::WaitOptions::NOHANG), Ok(Some(_))) {}
}

/// Ends the process if the stop takes too long, whatever it waits for.
pub fn bound(timeout: Duration) {
    let watch = move || {
        std::thread::sleep(timeout);
        tracing::error!(event = "stop-too-slow", seconds = timeout.as_secs(), "the stop took too long; ending now");
        crate::logging::flush();
        std::process::exit(Exit::Failed as i32);
    };
    if let Err(error) = std::thread::Builder::new().name("stop-bound".to_owned()).spawn(watch) {
        tracing::warn!(event = "stop-unbounded", error = %error, "the stop has no bound");
    }
}
