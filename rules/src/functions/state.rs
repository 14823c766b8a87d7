//! Functions of what rules keep between events: by client, and by name for all shards.

use std::borrow::Cow;
use std::sync::Arc;

use millrace_core::value::{VALUE_DEPTH_MAX, Value};

use super::{ANYTHING, Function, Param, of_event, param, take};
use crate::error::{Trouble, met};
use crate::fields::EventField;
use crate::input::Input;
use crate::state;
use crate::value_type::Type;

const NAME: Param = param("name", Type::TEXT.or(Type::NUMBER).or(Type::BOOL));

pub(super) const TABLE: &[Function] = &[
    of_event(
        "proc_dict_put",
        &[NAME, ANYTHING],
        Type::ANY,
        "Keeps a value for the client of the event until it goes and gives the one before, at first null; one above 64 KiB \
         is not kept: proc_dict_put('last', payload.t) is null.",
        |input, args| {
            let value = owned(input, args, 1)?;
            let name = name(args);
            Ok(client(input).map_or(Value::Null, |client| given(input.state().put(&client, &name, value))))
        },
    ),
    of_event(
        "proc_dict_get",
        &[NAME],
        Type::ANY,
        "What proc_dict_put kept for the client of the event, else null: proc_dict_get('never') is null.",
        |input, args| {
            let name = name(args);
            copied(input, client(input).and_then(|client| input.state().get(&client, &name)))
        },
    ),
    of_event(
        "proc_dict_del",
        &[NAME],
        Type::ANY,
        "Forgets what proc_dict_put kept and gives it: proc_dict_del('never') is null.",
        |input, args| {
            let name = name(args);
            Ok(client(input).map_or(Value::Null, |client| given(input.state().del(&client, &name))))
        },
    ),
    of_event(
        "kv_store_put",
        &[NAME, ANYTHING, param("ttl_ms", Type::INT)],
        Type::BOOL,
        "Keeps a value under a name for the rules of all shards, for so many milliseconds or until the node stops; false \
         if it is above 64 KiB and not kept, and when there are too many the oldest go: kv_store_put('k', 1, 60000) is true.",
        |input, args| {
            let ttl_ms = match args.get(2) {
                Some(Value::Int(ttl_ms)) => Some(
                    u64::try_from(*ttl_ms)
                        .map_err(|_| Trouble::Conversion { function: "kv_store_put", met: met(&args[2]) })?,
                ),
                _ => None,
            };
            let value = owned(input, args, 1)?;
            Ok(Value::Bool(input.state().store().put(&name(args), value, ttl_ms, input.unix_ms())))
        },
    )
    .requires(2)
    .verified(|args| match args.get(2) {
        Some(Some(Value::Int(ttl_ms))) if *ttl_ms <= 0 => {
            Err(format!("a value cannot be kept for {ttl_ms} milliseconds"))
        }
        _ => Ok(()),
    }),
    of_event(
        "kv_store_get",
        &[NAME, param("otherwise", Type::ANY)],
        Type::ANY,
        "What kv_store_put keeps under this name, else the second argument or null: kv_store_get('never', 0) is 0.",
        |input, args| match input.state().store().get(&name(args), input.unix_ms()) {
            Some(value) => copied(input, Some(value)),
            None => Ok(take(args, 1)),
        },
    )
    .requires(1),
    of_event(
        "kv_store_del",
        &[NAME],
        Type::BOOL,
        "Forgets what kv_store_put kept under this name: kv_store_del('k') is true.",
        |input, args| {
            input.state().store().del(&name(args));
            Ok(Value::Bool(true))
        },
    ),
];

/// The client whose dictionary it is; an event without a client has none.
fn client<'i>(input: &'i Input<'_>) -> Option<Cow<'i, str>> {
    match input.field(EventField::ClientId) {
        Value::Text(client) => Some(client),
        _ => None,
    }
}

/// The first argument as a name: texts in quotes, so that `1` and `'1'` are two names.
fn name(args: &[Value<'_>]) -> String {
    match args.first() {
        Some(Value::Text(name)) => format!("'{name}"),
        Some(other) => other.to_json(),
        None => String::new(),
    }
}

/// A value to keep; it is paid for before it is copied.
fn owned(input: &Input<'_>, args: &mut [Value<'_>], index: usize) -> Result<Value<'static>, Trouble> {
    let value = take(args, index);
    if !is_shallow(&value, VALUE_DEPTH_MAX) {
        return Err(Trouble::TooLarge);
    }
    input.pay(state::size(&value))?;
    Ok(value.into_owned())
}

/// A rule that puts what it got into a list each time must not build a tower.
fn is_shallow(value: &Value<'_>, depth: usize) -> bool {
    match value {
        Value::List(items) => depth > 0 && items.iter().all(|item| is_shallow(item, depth - 1)),
        Value::Map(members) => depth > 0 && members.iter().all(|(_, value)| is_shallow(value, depth - 1)),
        _ => true,
    }
}

fn copied<'i>(input: &Input<'_>, value: Option<Arc<Value<'static>>>) -> Result<Value<'i>, Trouble> {
    let Some(value) = value else { return Ok(Value::Null) };
    input.pay(state::size(&value))?;
    Ok((*value).clone())
}

fn given<'i>(value: Option<Arc<Value<'static>>>) -> Value<'i> {
    value.map(Arc::unwrap_or_clone).unwrap_or_default()
}
