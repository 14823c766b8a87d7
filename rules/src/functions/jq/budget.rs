//! What one jq program may still use: work, size, stack. Whatever evaluates spends here; when it is used up everything
//! that could go on fails, so that the program ends soon, whatever it catches.
//!
//! Runs on: the thread that evaluates; one program at a time.

use std::cell::Cell;

use super::value::{JqError, JqValue};

/// What a step costs, in bytes of the allowance of a rule.
const STEP: usize = 512;
/// What an operator, a comparison or a new value costs.
const OPERATION: usize = 128;
/// Bytes of stack that a program may use, beyond what evaluates it.
const STACK_MAX: usize = 640 << 10;
/// Stack that makes a step dearer by one: each result comes up through all of it.
const STACK_PRICE: usize = 64;

/// Why a program was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It works too long, or makes too much.
    Work,
    /// A value is too large.
    Size,
    /// A value, a path or the calls of functions are nested too deep.
    Depth,
}

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static BASE: Cell<usize> = const { Cell::new(0) };
    static STOPPED: Cell<Option<Stop>> = const { Cell::new(None) };
}

/// Gives an allowance, runs, and says what of it is left and whether the program was stopped.
pub(super) fn with<T>(allowance: usize, run: impl FnOnce() -> T) -> (T, usize, Option<Stop>) {
    LEFT.set(allowance);
    BASE.set(stack_pointer());
    STOPPED.set(None);
    let result = run();
    (result, LEFT.get(), STOPPED.get())
}

/// Uses up some of the allowance.
pub(super) fn spend(bytes: usize) {
    match LEFT.get().checked_sub(bytes) {
        Some(left) => LEFT.set(left),
        None => {
            LEFT.set(0);
            stop(Stop::Work);
        }
    }
}

/// Pays for an operator, a comparison or a new value.
pub(super) fn operation() {
    spend(OPERATION);
}

/// Ends the program.
pub(super) fn stop(why: Stop) {
    STOPPED.set(STOPPED.get().or(Some(why)));
}

/// Whether the program has to end.
pub(super) fn stopped() -> bool {
    STOPPED.get().is_some()
}

/// An error if the program has to end. What it says never leaves the program.
pub(super) fn check() -> Result<(), JqError> {
    if stopped() { Err(JqError::new(JqValue::Null)) } else { Ok(()) }
}

/// Takes one step: dearer the deeper it is, and none where it is too deep.
pub(super) fn step() -> Result<(), JqError> {
    let used = BASE.get().saturating_sub(stack_pointer());
    if used > STACK_MAX {
        stop(Stop::Depth);
    }
    spend(STEP + used / STACK_PRICE);
    check()
}

/// A step of an update: each copies all that waits for it above.
pub(super) fn step_of_update() -> Result<(), JqError> {
    spend(BASE.get().saturating_sub(stack_pointer()));
    step()
}

#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}
