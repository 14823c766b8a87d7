//! How other threads reach a shard: a channel of messages and a bell that wakes it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::sys;

/// Wakes one shard from any thread. Several rings before it looks are one.
#[derive(Clone, Debug)]
pub struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        sys::eventfd().map(|fd| Self(Arc::new(fd)))
    }

    /// Makes the shard turn once, soon.
    pub fn ring(&self) {
        sys::ring(&self.0);
    }

    /// Falls silent. Only after the kernel said that it rang, as it waits otherwise.
    pub(crate) fn answer(&self) {
        sys::unring(&self.0);
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Sends messages to one shard, from any thread.
#[derive(Debug)]
pub struct Control<C> {
    sender: Sender<C>,
    bell: Bell,
}

impl<C> Clone for Control<C> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), bell: self.bell.clone() }
    }
}

impl<C> Control<C> {
    pub(crate) fn new() -> io::Result<(Self, Receiver<C>)> {
        let (sender, receiver) = unbounded();
        let bell = Bell::new()?;
        Ok((Self { sender, bell }, receiver))
    }

    /// Sends a message and wakes the shard. False if the shard has ended.
    pub fn send(&self, message: C) -> bool {
        let sent = self.sender.send(message).is_ok();
        self.bell.ring();
        sent
    }

    /// Wakes the shard alone, for who leaves something elsewhere.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }
}
