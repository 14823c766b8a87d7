//! What the program exits with.

use std::process::ExitCode;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The run was done and every expectation held.
    Done = 0,
    /// It could not run.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// An expectation did not hold.
    NotHeld = 99,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
