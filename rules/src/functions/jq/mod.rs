//! The function `jq`: programs of the jq language over a value, bounded so that no program can stall a shard.
//!
//! What is bounded:
//! - steps: each call, each result of a comma, of `.[]` and of a loop uses up some of what the rule may do for one
//!   message, more of it deep inside calls; so `repeat`, `range`, recursion and what makes many results of few end
//!   with R0309 after at most 65,536 steps, whatever they catch on the way;
//! - memory: what is made is paid for by the byte as well; a value has at most 16 MiB written out, however often its
//!   parts are shared (R0308), and is nested at most 128 deep;
//! - the stack: some hundred calls inside each other, but any number of a call without arguments that a function does
//!   last; paths of 300 names;
//! - the program: 16 KiB, 1,000 brackets, 4,000 words and signs, 200 expressions inside each other;
//! - programs that are kept compiled: 16 a thread, the one that was not used for longest goes first.
//!
//! There is no `input`, `env`, `now`, `debug` or `halt`, there are no modules, regular expressions or dates.
//!
//! Runs on: the shard. Only to compile a program that is not kept it waits for a thread with a stack of its own.

mod access;
mod budget;
mod natives;
mod operators;
mod program;
mod texts;
mod value;

use std::cell::RefCell;
use std::rc::Rc;

use jaq_core::data::JustLut;
use jaq_core::{Ctx, Vars};
use millrace_core::value::{ROW_BYTES_MAX, Value};

use self::budget::Stop;
use self::program::Program;
use self::value::JqValue;
use super::conversion::{conversion, decoded};
use super::{Function, TEXT, of_event, param, take, text};
use crate::error::Trouble;
use crate::input::Input;
use crate::value_type::Type;

/// What one millisecond of the timeout allows, in bytes of the allowance of a rule: steps are counted, not time, so that
/// a result does not depend on how busy the machine is.
const MILLISECOND: usize = 1 << 20;
/// What compiling a program costs.
const COMPILING: usize = 2 << 20;
/// Compiled programs that a thread keeps.
const KEPT: usize = 16;

pub(super) const TABLE: &[Function] = &[of_event(
    "jq",
    &[TEXT, param("json", Type::ANY), param("milliseconds", Type::INT)],
    Type::LIST,
    "The list of what a jq program makes of a value or a JSON text, with at most the work of so many milliseconds: jq('.a[] + 1', '{\"a\":[1,2]}') is [2, 3].",
    |input, args| {
        let timeout = match args.get(2) {
            Some(Value::Int(milliseconds)) => usize::try_from(*milliseconds).unwrap_or_default(),
            _ => usize::MAX / MILLISECOND,
        };
        let json = match take(args, 1) {
            Value::Text(json) => decoded(&json).map_err(|_| conversion("jq", &Value::Text(json)))?,
            value @ Value::Bytes(_) => return Err(conversion("jq", &value)),
            value => value,
        };
        let program = kept(input, text(args, 0))?;
        let allowance = input.fuel_left().min(timeout.saturating_mul(MILLISECOND));
        let (results, left, stopped) = budget::with(allowance, || run(&program, json));
        input.pay(allowance - left)?;
        match stopped {
            Some(Stop::Work) => Err(Trouble::TooMuchWork),
            Some(Stop::Size) => Err(Trouble::TooLarge),
            Some(Stop::Depth) => Err(failed("the program is nested too deep".to_owned())),
            None => results.map(Value::List).map_err(failed),
        }
    },
)
.requires(2)
.verified(|constants| match constants.first().copied().flatten() {
    Some(Value::Text(program)) => program::compile(program).map(|_| ()),
    _ => Ok(()),
})];

const fn failed(why: String) -> Trouble {
    Trouble::Failed { function: "jq", why }
}

/// The compiled program, or what is wrong with it.
type Compiled = Result<Rc<Program>, Rc<str>>;

thread_local! {
    /// Programs by their text, the one used last at the end.
    static PROGRAMS: RefCell<Vec<(Box<str>, Compiled)>> = const { RefCell::new(Vec::new()) };
}

fn kept(input: &Input<'_>, text: &str) -> Result<Rc<Program>, Trouble> {
    PROGRAMS.with_borrow_mut(|programs| {
        let program = match programs.iter().position(|(known, _)| **known == *text) {
            Some(at) => programs.remove(at),
            None => {
                input.pay(COMPILING)?;
                if programs.len() == KEPT {
                    drop(programs.remove(0));
                }
                (text.into(), program::compile(text).map(Rc::new).map_err(Rc::from))
            }
        };
        let compiled = program.1.clone();
        programs.push(program);
        compiled.map_err(|why| failed(why.to_string()))
    })
}

/// The results of a program, or the words of its error.
fn run(program: &Program, json: Value<'_>) -> Result<Vec<Value<'static>>, String> {
    let json = JqValue::of(json);
    let context = Ctx::<JustLut<JqValue>>::new(&program.lut, Vars::new([]));
    let mut results = Vec::new();
    let mut total = 0;
    for result in program.id.run((context, json)) {
        if budget::step().is_err() {
            break;
        }
        let result = result.map_err(|exception| match exception.get_err() {
            Ok(error) => error.to_string(),
            Err(_) => "a break without its label".to_owned(),
        })?;
        total += result.size().1;
        budget::spend(result.size().1);
        if total > ROW_BYTES_MAX {
            budget::stop(Stop::Size);
        }
        if budget::stopped() {
            break;
        }
        results.push(result.to_value());
    }
    Ok(results)
}
