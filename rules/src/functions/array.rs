//! Functions of lists.

use millrace_core::value::Value;

use super::{ANYTHING, Function, Param, param, pure, take};
use crate::error::{Trouble, met};
use crate::value_type::Type;

const LIST: Param = param("list", Type::LIST);
const LENGTH: Param = param("length", Type::INT);

pub(super) const TABLE: &[Function] = &[
    pure(
        "nth",
        &[param("position", Type::INT), LIST],
        Type::ANY,
        "The element at a position from 1, which must be there: nth(2, [5, 6]) is 6.",
        |args| {
            let at = match &args[0] {
                Value::Int(position) => position.checked_sub(1).and_then(|at| usize::try_from(at).ok()),
                _ => None,
            };
            let length = items(args, 1).len();
            match at.filter(|at| *at < length) {
                Some(at) => Ok(element(args, 1, at)),
                None => Err(failed("nth", format!("there is no element {} in a list of {length}", args[0].to_json()))),
            }
        },
    ),
    pure("length", &[LIST], Type::INT, "How many elements a list has: length([5, 6]) is 2.", |args| {
        Ok(Value::Int(i64::try_from(items(args, 0).len()).unwrap_or(i64::MAX)))
    }),
    pure("first", &[LIST], Type::ANY, "The first element, which must be there: first([5, 6]) is 5.", |args| {
        match items(args, 0).len() {
            0 => Err(failed("first", "the list is empty".to_owned())),
            _ => Ok(element(args, 0, 0)),
        }
    }),
    pure("last", &[LIST], Type::ANY, "The last element, which must be there: last([5, 6]) is 6.", |args| {
        match items(args, 0).len() {
            0 => Err(failed("last", "the list is empty".to_owned())),
            length => Ok(element(args, 0, length - 1)),
        }
    }),
    Function {
        params: &[param("start or length", Type::INT), param("length or list", Type::INT.or(Type::LIST)), LIST],
        ..pure(
            "sublist",
            &[LENGTH, LENGTH, LIST],
            Type::LIST,
            "So many elements from the beginning, or from a position from 1: sublist(2, [5, 6, 7]) is [5, 6], sublist(2, 2, [5, 6, 7]) is [6, 7].",
            sublist,
        )
    }
    .requires(2)
    .verified(|constants| match constants {
        [Some(start), _, _] if matches!(start, Value::Int(..1)) => {
            Err(format!("positions begin at 1, this is {}", met(start)))
        }
        [Some(length), _] | [_, Some(length), _] if matches!(length, Value::Int(..0)) => {
            Err(format!("a length cannot be negative, this is {}", met(length)))
        }
        _ => Ok(()),
    }),
    pure(
        "contains",
        &[ANYTHING, LIST],
        Type::BOOL,
        "Whether the list has exactly this element, of the same kind: contains(1, [1, 2]) is true, contains('1', [1]) is false.",
        |args| Ok(Value::Bool(items(args, 1).iter().any(|item| item.same(&args[0])))),
    ),
];

fn sublist<'i>(args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
    let (start, length, list) = match args {
        [Value::Int(length), Value::List(items)] => (1, *length, items),
        [Value::Int(start), Value::Int(length), Value::List(items)] => (*start, *length, items),
        [_, other] => {
            return Err(Trouble::Argument { function: "sublist", index: 2, wanted: Type::LIST, met: met(other) });
        }
        [_, other, ..] => {
            return Err(Trouble::Argument { function: "sublist", index: 2, wanted: Type::INT, met: met(other) });
        }
        _ => return Ok(Value::Null),
    };
    let skipped = start.checked_sub(1).and_then(|skipped| usize::try_from(skipped).ok());
    let (Some(skipped), Ok(length)) = (skipped, usize::try_from(length)) else {
        return Err(failed("sublist", format!("cannot take {length} elements from position {start}")));
    };
    Ok(Value::List(std::mem::take(list).into_iter().skip(skipped).take(length).collect()))
}

fn items<'v, 'i>(args: &'v [Value<'i>], index: usize) -> &'v [Value<'i>] {
    match args.get(index) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn element<'i>(args: &mut [Value<'i>], index: usize, at: usize) -> Value<'i> {
    match take(args, index) {
        Value::List(mut items) => items.swap_remove(at),
        _ => Value::Null,
    }
}

const fn failed(function: &'static str, why: String) -> Trouble {
    Trouble::Failed { function, why }
}
