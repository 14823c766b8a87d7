//! What becomes of a batch: rows are written, rejected or tried again until none is left. Plain logic: no clock, no
//! thread, so any driver can sit around it.

use millrace_core::value::Record;

use crate::sink::{Failure, Reason, Sink, Verdict, Verdicts};

/// A batch on its way into a sink.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Parts of the batch that are to be written now, the next one last. None is empty.
    parts: Vec<Vec<Record>>,
    /// Rows that wait for the next round.
    again: Vec<Record>,
    /// Why the last of them wait.
    reason: Option<Reason>,
    verdicts: Verdicts,
}

/// What one step did.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows that were written.
    pub written: u64,
    /// Rows that were rejected, and why.
    pub rejected: Vec<Reason>,
    /// What to do next.
    pub next: Next,
}

/// What to do after a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// All rows are settled.
    Done,
    /// Go on at once.
    Continue,
    /// Wait, then go on.
    Wait(Reason),
    /// Wait, then open the sink again and go on.
    Reopen(Reason),
}

impl Delivery {
    /// Takes a batch. The one before is done.
    pub fn begin(&mut self, rows: Vec<Record>) {
        debug_assert!(self.is_done(), "the batch before is settled");
        if !rows.is_empty() {
            self.parts.push(rows);
        }
    }

    /// Whether no row is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.parts.is_empty() && self.again.is_empty()
    }

    /// Rows that are not settled yet.
    #[must_use]
    pub fn rows_left(&self) -> usize {
        self.parts.iter().map(Vec::len).sum::<usize>() + self.again.len()
    }

    /// Gives up the rows that are left, and says how many.
    pub fn abandon(&mut self) -> usize {
        let left = self.rows_left();
        self.parts.clear();
        self.again.clear();
        left
    }

    /// Writes the next part.
    pub fn step(&mut self, sink: &mut dyn Sink) -> Progress {
        let mut progress = Progress { written: 0, rejected: Vec::new(), next: Next::Done };
        let Some(mut part) = self.parts.pop() else {
            progress.next = self.next_round();
            return progress;
        };
        self.verdicts.reset(part.len());
        match sink.write(&part, &mut self.verdicts) {
            Ok(()) => {
                for (row, verdict) in part.into_iter().zip(self.verdicts.drain()) {
                    match verdict {
                        Verdict::Written => progress.written += 1,
                        Verdict::Rejected(reason) => progress.rejected.push(reason),
                        Verdict::Retry(reason) => {
                            self.again.push(row);
                            self.reason = Some(reason);
                        }
                    }
                }
                progress.next = if self.parts.is_empty() { self.next_round() } else { Next::Continue };
            }
            Err(Failure::Split(reason)) if part.len() == 1 => {
                progress.rejected.push(reason);
                progress.next = if self.parts.is_empty() { self.next_round() } else { Next::Continue };
            }
            Err(Failure::Split(_)) => {
                let second = part.split_off(part.len() / 2);
                self.parts.push(second);
                self.parts.push(part);
                progress.next = Next::Continue;
            }
            Err(Failure::Retry(reason)) => {
                self.parts.push(part);
                progress.next = Next::Wait(reason);
            }
            Err(Failure::Reopen(reason)) => {
                self.parts.push(part);
                progress.next = Next::Reopen(reason);
            }
        }
        progress
    }

    /// All parts were tried: what must be tried again becomes the next one.
    fn next_round(&mut self) -> Next {
        if self.again.is_empty() {
            return Next::Done;
        }
        self.parts.push(std::mem::take(&mut self.again));
        Next::Wait(self.reason.take().unwrap_or_else(|| Reason::new("retry", "the sink wants the rows again")))
    }
}
