//! Threads, sockets, the kernel: starts a pinned reactor for each shard, and is how the rest of the program reaches
//! them.
//!
//! | question | module |
//! | --- | --- |
//! | what one turn is | `reactor` |
//! | how the kernel is driven | `engine` |
//! | how listeners are bound | `listener` |
//! | how other threads reach a shard | [`control`] |
//! | what this host allows | [`probe`] |
//! | what else runs on a shard's thread | [`background`] |
//! | who sees that shards turn | `watchdog` |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::berths::Berths;
use crate::config::EngineChoice;
use crate::shard::io::{ListenerId, ShardId};
use crate::shard::logic::Logic;
use control::Control;
pub use engine::Counters;
pub use reactor::{Phase, Vitals};

pub mod background;
pub mod control;
mod engine;
mod listener;
mod pace;
pub mod probe;
mod reactor;
mod start;
mod sys;
mod watchdog;

/// Shards at most: what a set of shards can hold.
pub const SHARDS_MAX: u16 = millrace_core::topic::routes::SHARDS_MAX as u16;
/// Listeners at most.
pub const LISTENERS_MAX: usize = 256;

/// One listener as the runtime needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// How the logic knows it.
    pub id: ListenerId,
    /// Its name in the config.
    pub name: String,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Bytes that the kernel keeps for a connection whose peer is slow; the kernel's own choice if not given.
    pub send_buffer: Option<i32>,
}

/// What the runtime needs to know; the number of shards is that of the logics.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Kernel interface.
    pub engine: EngineChoice,
    /// What is listened on.
    pub listeners: Vec<ListenerSettings>,
    /// Connections of all shards together at most; it sizes the descriptor tables.
    pub connections_max: u64,
    /// Room for sockets on each shard; its size is set at the start.
    pub berths: Arc<Berths>,
}

/// The kernel interface that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineUsed {
    /// `io_uring`.
    IoUring,
    /// `epoll`.
    Epoll,
}

/// Why the runtime did not start. The text is the error; [`StartError::remedy`] says what mends it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host refuses `io_uring`, and the config wants it.
    #[error("the kernel refuses {what} ({errno})")]
    IoUringRefused {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer, by name.
        errno: String,
    },
    /// `io_uring` failed for want of something, which another engine would not mend.
    #[error("{what}: {source}")]
    IoUringFailed {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("{address} (listeners.{listener}) is in use{}", .holder.as_deref().map(|who| format!(" by {who}")).unwrap_or_default())]
    PortInUse {
        /// Name of the listener.
        listener: String,
        /// Its address.
        address: SocketAddr,
        /// Name and pid of who holds it, if that can be seen.
        holder: Option<String>,
    },
    /// The address cannot be bound.
    #[error("bind {address} (listeners.{listener}): {source}")]
    Bind {
        /// Name of the listener.
        listener: String,
        /// Its address.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A number is out of bounds.
    #[error("{what}: {value} is not between {min} and {max}")]
    OutOfBounds {
        /// What the number is of.
        what: &'static str,
        /// The number.
        value: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A shard's thread could not be set up.
    #[error("start shard {shard}: {reason}")]
    Shard {
        /// Which.
        shard: u16,
        /// Why.
        reason: String,
    },
}

impl StartError {
    /// Its number among the messages about the host.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::IoUringRefused { .. } => "H0003",
            Self::IoUringFailed { .. } => "H0004",
            Self::Shard { .. } => "H0005",
            Self::PortInUse { .. } => "H0007",
            Self::Bind { .. } => "H0008",
            Self::OutOfBounds { .. } => "H0009",
        }
    }

    /// What the operator can do, line by line.
    #[must_use]
    pub fn remedy(&self) -> Vec<String> {
        match self {
            Self::IoUringRefused { .. } => start::how_to_allow_io_uring(),
            Self::IoUringFailed { .. } | Self::Shard { .. } => vec![
                "give the process more: open files (ulimit -n), locked memory (ulimit -l) or memory; \
                 `millrace doctor` shows what it has"
                    .into(),
            ],
            Self::PortInUse { listener, address, .. } => vec![format!(
                "stop it, or choose another port: --set listeners.{listener}.port={}",
                address.port().checked_mul(10).unwrap_or(18_830)
            )],
            Self::Bind { listener, .. } => vec![format!(
                "set listeners.{listener}.address to an address of this host, and a port over 1023 unless the process \
                 may bind low ones"
            )],
            Self::OutOfBounds { .. } => Vec::new(),
        }
    }
}

/// The running shards. Dropping it stops them.
pub struct Runtime<C> {
    engine: EngineUsed,
    fallback: Option<String>,
    addresses: Vec<(String, SocketAddr)>,
    controls: Vec<Control<C>>,
    vitals: Vec<Arc<Vitals>>,
    threads: Vec<JoinHandle<()>>,
    watchdog: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

/// The time by the clocks that shards read.
#[must_use]
pub fn now() -> millrace_core::time::Time {
    sys::now()
}

/// Starts a shard for each logic. Each is built on its shard's thread.
///
/// # Errors
/// Nothing is left running when it fails.
pub fn start<L, M>(settings: &Settings, logics: Vec<M>) -> Result<Runtime<L::Control>, StartError>
where
    L: Logic + 'static,
    M: FnOnce() -> L + Send + 'static,
{
    start::start(settings, logics)
}

impl<C> Runtime<C> {
    /// The kernel interface that was taken.
    #[must_use]
    pub const fn engine(&self) -> EngineUsed {
        self.engine
    }

    /// Why `io_uring` was not taken although the config allows it.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Listeners by name, with the addresses that they are bound to.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.controls.len()).expect("at most SHARDS_MAX")
    }

    /// The way to ask something of a shard.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn control(&self, shard: ShardId) -> &Control<C> {
        &self.controls[usize::from(shard.0)]
    }

    /// What shows that shards turn, and what they have counted; by shard.
    #[must_use]
    pub fn vitals(&self) -> &[Arc<Vitals>] {
        &self.vitals
    }

    /// Stops accepting on all shards.
    pub fn stop_listening(&self) {
        for vitals in &self.vitals {
            vitals.stop_listening.store(true, Ordering::Relaxed);
        }
        self.ring_all();
    }

    /// Ends all shards at once: connections are closed as they are.
    pub fn stop(&self) {
        for vitals in &self.vitals {
            vitals.stop.store(true, Ordering::Relaxed);
        }
        self.ring_all();
    }

    /// Waits until all shards have ended. Call [`Runtime::stop`] before.
    ///
    /// # Panics
    /// If a shard panicked.
    pub fn join(mut self) {
        self.join_all(true);
    }

    fn ring_all(&self) {
        for control in &self.controls {
            control.bell().ring();
        }
    }

    fn join_all(&mut self, loud: bool) {
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(!loud || ended.is_ok(), "a shard panicked");
        }
        if let Some((stop, thread)) = self.watchdog.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl<C> Drop for Runtime<C> {
    fn drop(&mut self) {
        self.stop();
        self.join_all(false);
    }
}
