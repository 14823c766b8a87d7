//! What the engine knows of one connection: how far it has come, and what is in flight for it.

use super::super::{Tail, Want};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Lingering,
    Closing,
    Leaving,
}

pub(super) struct Conn {
    pub(super) state: State,
    pub(super) want: Want,
    /// A receive is in flight.
    pub(super) armed: bool,
    /// The receive in flight is being cancelled.
    pub(super) cancelling: bool,
    /// In `starved`.
    pub(super) starved: bool,
    /// A send is in `flights`, the one with this number (its lowest bits). While the connection leaves, the number is
    /// that of the shard it goes to.
    pub(super) flying: bool,
    pub(super) flight: u32,
    /// The tail's send is in flight.
    pub(super) tail_armed: bool,
    pub(super) shutting: bool,
    /// Our half is shut.
    pub(super) shut: bool,
    /// Buffers taken in turn `taken_in`.
    pub(super) taken: u8,
    pub(super) taken_in: u32,
    /// In `heard`, and whether something came since it was looked at.
    pub(super) watched: bool,
    pub(super) spoke: bool,
    pub(super) lingered_bytes: u32,
    pub(super) tail: Option<Box<Tail>>,
}

/// A connection costs its slot, whether it is used or not.
const _: () = assert!(size_of::<Conn>() <= 32);

impl Conn {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Open,
            want: Want::Nothing,
            armed: false,
            cancelling: false,
            starved: false,
            flying: false,
            flight: 0,
            tail_armed: false,
            shutting: false,
            shut: false,
            taken: 0,
            taken_in: 0,
            watched: false,
            spoke: false,
            lingered_bytes: 0,
            tail: None,
        }
    }

    /// Whether a receive is wanted that is neither in flight nor waiting for its turn.
    pub(super) fn is_due(&self) -> bool {
        let wanted = match self.state {
            State::Open => self.want != Want::Nothing,
            State::Lingering => true,
            State::Closing | State::Leaving => false,
        };
        wanted && !self.armed && !self.starved
    }

    /// Nothing is sent any more; what was received before is still read.
    pub(super) fn is_dead(&self) -> bool {
        self.tail.as_ref().is_some_and(|tail| tail.dead)
    }

    /// Operations whose completions are still due.
    pub(super) const fn is_quiet(&self) -> bool {
        !self.armed && !self.tail_armed && !self.shutting
    }
}
