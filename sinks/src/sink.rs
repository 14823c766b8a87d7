//! What a sink must do: open, write a batch and say of each row what became of it, close.
//!
//! Runs on: the thread of the sink's worker. A sink may block; it never sees a shard.

use std::fmt;
use std::ops::Range;

use millrace_core::value::Record;

/// Somewhere rows are kept.
pub trait Sink: Send {
    /// Connects. Called before the first batch and after [`Failure::Reopen`], until it succeeds.
    ///
    /// # Errors
    /// Why not, in words for the operator.
    fn open(&mut self) -> Result<(), Reason>;

    /// Writes the rows and settles each of them in `verdicts`, in the order of `rows`. A row that is left unsettled is
    /// tried again.
    ///
    /// # Errors
    /// What befell the rows together; then `verdicts` says nothing.
    fn write(&mut self, rows: &[Record], verdicts: &mut Verdicts) -> Result<(), Failure>;

    /// Lets go of what it holds. It may be opened again.
    fn close(&mut self);
}

/// Why something was refused or must be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A short stable word, of a closed set for each kind of sink: labels are made of it.
    pub code: &'static str,
    /// The words of the server.
    pub message: String,
}

impl Reason {
    /// A reason.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// What befell a batch as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is known against any row: all are tried again, later. Everything that is not understood is this.
    Retry(Reason),
    /// As [`Failure::Retry`], and the connection is of no use any more.
    Reopen(Reason),
    /// A row is bad, and it is not known which: each half is tried alone, until the row is.
    Split(Reason),
}

/// What became of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server has it.
    Written,
    /// It is tried again, later.
    Retry(Reason),
    /// The server said that this row is bad.
    Rejected(Reason),
}

/// What became of the rows of a batch, in their order.
#[derive(Debug, Default)]
pub struct Verdicts {
    settled: Vec<Option<Verdict>>,
}

impl Verdicts {
    /// For so many rows, none of them settled.
    pub fn reset(&mut self, rows: usize) {
        self.settled.clear();
        self.settled.resize(rows, None);
    }

    /// This row is written.
    pub fn written(&mut self, row: usize) {
        self.settled[row] = Some(Verdict::Written);
    }

    /// These rows are written.
    pub fn all_written(&mut self, rows: Range<usize>) {
        self.settled[rows].fill(Some(Verdict::Written));
    }

    /// This row is bad, in the words of the server.
    pub fn rejected(&mut self, row: usize, reason: Reason) {
        self.settled[row] = Some(Verdict::Rejected(reason));
    }

    /// This row is to be tried again.
    pub fn retry(&mut self, row: usize, reason: Reason) {
        self.settled[row] = Some(Verdict::Retry(reason));
    }

    /// Takes them, in order; a row without one is to be tried again.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Verdict> + '_ {
        self.settled.drain(..).map(|verdict| {
            verdict.unwrap_or_else(|| Verdict::Retry(Reason::new("unsettled", "the sink gave no verdict for this row")))
        })
    }
}
