//! Functions that ask what a value is.

use millrace_core::value::Value;

use super::{ANYTHING, BINARY, Function, Param, param, pure};
use crate::error::Trouble;
use crate::value_type::Type;

const CONTAINER: Param = param("value", BINARY.or(Type::LIST).or(Type::MAP));

pub(super) const TABLE: &[Function] = &[
    is("is_null", "Whether it is missing or null: is_null(null) is true.", |args| kind(args, Type::NULL)),
    is("is_not_null", "Whether it is neither missing nor null: is_not_null(0) is true.", |args| not_null(args)),
    is("is_null_var", "The same as is_null: is_null_var(null) is true.", |args| kind(args, Type::NULL)),
    is("is_not_null_var", "The same as is_not_null: is_not_null_var(0) is true.", |args| not_null(args)),
    is("is_str", "Whether it is text: is_str('1') is true.", |args| kind(args, Type::TEXT)),
    is("is_bool", "Whether it is true or false: is_bool(true) is true.", |args| kind(args, Type::BOOL)),
    is("is_int", "Whether it is a whole number: is_int(1.0) is false.", |args| kind(args, Type::INT)),
    is("is_float", "Whether it is a float: is_float(1) is false.", |args| kind(args, Type::FLOAT)),
    is("is_num", "Whether it is a number: is_num(1.5) is true.", |args| kind(args, Type::NUMBER)),
    is("is_map", "Whether it is a map: is_map(flags) is true.", |args| kind(args, Type::MAP)),
    is("is_array", "Whether it is a list: is_array(1) is false.", |args| kind(args, Type::LIST)),
    pure(
        "is_empty",
        &[CONTAINER],
        Type::BOOL,
        "Whether a text, list or map has nothing in it: is_empty('') is true, is_empty('abc') is false.",
        |args| {
            Ok(Value::Bool(match &args[0] {
                Value::Text(text) => text.is_empty(),
                Value::Bytes(bytes) => bytes.is_empty(),
                Value::List(items) => items.is_empty(),
                Value::Map(members) => members.is_empty(),
                _ => false,
            }))
        },
    ),
];

const fn is(
    name: &'static str,
    about: &'static str,
    body: for<'i> fn(&mut [Value<'i>]) -> Result<Value<'i>, Trouble>,
) -> Function {
    pure(name, &[ANYTHING], Type::BOOL, about, body)
}

#[allow(clippy::unnecessary_wraps, reason = "the shape of every function")]
fn kind<'i>(args: &[Value<'_>], ty: Type) -> Result<Value<'i>, Trouble> {
    Ok(Value::Bool(Type::of(&args[0]).meets(ty)))
}

#[allow(clippy::unnecessary_wraps, reason = "the shape of every function")]
fn not_null<'i>(args: &[Value<'_>]) -> Result<Value<'i>, Trouble> {
    Ok(Value::Bool(!args[0].is_null()))
}
