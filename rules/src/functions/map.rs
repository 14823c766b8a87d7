//! Functions of maps. `map_get` and `map_put` take a dot in a key for the way into an inner map, `mget` and `mput` do not.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_core::value::{VALUE_DEPTH_MAX, Value};

use super::conversion::{decoded, to_map, to_text};
use super::{ANYTHING, Function, Param, param, pure, take, text};
use crate::ast::Step;
use crate::error::Trouble;
use crate::json::{self, Members};
use crate::value_type::Type;

const KEY: Param = param("key", Type::TEXT);
const MAP: Param = param("map", Type::MAP);
/// A map, or the JSON text of one.
const MAP_OR_TEXT: Param = param("map", Type::MAP.or(Type::TEXT));
/// Nothing is found in null, as in paths.
const MAP_OR_NOTHING: Param = param("map", Type::MAP.or(Type::TEXT).or(Type::NULL));
const DEFAULT: Param = param("default", Type::ANY);

pub(super) const TABLE: &[Function] = &[
    pure("map_new", &[], Type::MAP, "A map without members: map_size(map_new()) is 0.", |_| Ok(Value::Map(vec![]))),
    pure(
        "map_get",
        &[KEY, MAP_OR_NOTHING, DEFAULT],
        Type::ANY,
        "The member of a map, dots lead into inner maps; the default if there is none: map_get('a.b', map('{\"a\":{\"b\":2}}')) is 2.",
        |args| {
            let mut found = map_or_nothing("map_get", take(args, 1))?;
            for name in text(args, 0).split('.') {
                found = match found {
                    Value::Text(text) => member(decoded(&text).unwrap_or_default(), name),
                    other => member(other, name),
                };
            }
            Ok(if found.is_null() { take(args, 2) } else { found })
        },
    )
    .requires(2),
    pure(
        "mget",
        &[KEY, MAP_OR_NOTHING, DEFAULT],
        Type::ANY,
        "The member of a map with exactly this name; the default if there is none: mget('a.b', map('{\"a\":{\"b\":2}}')) is null.",
        |args| {
            let map = map_or_nothing("mget", take(args, 1))?;
            let found = member(map, text(args, 0));
            Ok(if found.is_null() { take(args, 2) } else { found })
        },
    )
    .requires(2),
    pure(
        "map_put",
        &[KEY, ANYTHING, MAP_OR_TEXT],
        Type::MAP,
        "The map with a member set, dots lead into inner maps: map_put('a.b', 1, map_new()) is the map {\"a\":{\"b\":1}}.",
        |args| {
            let map = to_map("map_put", take(args, 2))?;
            let value = take(args, 1);
            put(map, &text(args, 0).split('.').collect::<Vec<_>>(), value)
        },
    ),
    pure(
        "mput",
        &[KEY, ANYTHING, MAP_OR_TEXT],
        Type::MAP,
        "The map with the member of exactly this name set: mput('a.b', 1, map_new()) is the map {\"a.b\":1}.",
        |args| {
            let map = to_map("mput", take(args, 2))?;
            let value = take(args, 1);
            put(map, &[text(args, 0)], value)
        },
    ),
    pure("map_keys", &[MAP], Type::LIST, "The names of the members: map_keys(map('{\"a\":1}')) is ['a'].", |args| {
        Ok(Value::List(members(take(args, 0)).map(|(name, _)| Value::Text(name)).collect()))
    }),
    pure("map_values", &[MAP], Type::LIST, "The values of the members: map_values(map('{\"a\":1}')) is [1].", |args| {
        Ok(Value::List(members(take(args, 0)).map(|(_, value)| value).collect()))
    }),
    pure(
        "map_to_entries",
        &[MAP],
        Type::LIST,
        "The members as a list of maps of key and value: map_to_entries(map('{\"a\":1}')) is [{\"key\":\"a\",\"value\":1}].",
        |args| {
            if is_deeper(&args[0], VALUE_DEPTH_MAX - 1) {
                return Err(Trouble::TooLarge);
            }
            let entry = |(name, value)| Value::Map(vec![("key".into(), Value::Text(name)), ("value".into(), value)]);
            Ok(Value::List(members(take(args, 0)).map(entry).collect()))
        },
    ),
    pure("map_size", &[MAP], Type::INT, "How many members it has: map_size(map('{\"a\":1}')) is 1.", |args| {
        Ok(Value::Int(i64::try_from(members(take(args, 0)).len()).unwrap_or(i64::MAX)))
    }),
    pure(
        "map_to_redis_hset_args",
        &[MAP],
        Type::LIST,
        "Names and values in turn, all as text, null left out, for HSET: map_to_redis_hset_args(map('{\"a\":1}')) is ['a', '1'].",
        |args| {
            let mut words = Vec::new();
            for (name, value) in members(take(args, 0)) {
                if !value.is_null() {
                    words.push(Value::Text(name));
                    let word = match value {
                        Value::Text(text) => text,
                        other => Cow::Owned(to_text("map_to_redis_hset_args", &other)?.into_owned()),
                    };
                    words.push(Value::Text(word));
                }
            }
            Ok(Value::List(words))
        },
    ),
    pure(
        "json_value",
        &[param("json", Type::TEXT), param("path", Type::TEXT)],
        Type::ANY,
        "The value at a path of names and positions into a JSON text: json_value('{\"a\":[{\"b\":2}]}', 'a.1.b') is 2.",
        |args| {
            decoded(text(args, 0)).map_err(|_| super::conversion::conversion("json_value", &args[0]))?;
            Ok(json::decode(text(args, 0), &steps(text(args, 1))))
        },
    ),
    pure(
        "jwt_value",
        &[param("jwt", Type::TEXT), param("path", Type::TEXT)],
        Type::ANY,
        "The value at a path into the claims of a JSON Web Token, whose signature is not looked at: \
         jwt_value('e30.eyJzdWIiOiJhIn0.x', 'sub') is 'a'.",
        |args| {
            let claims = text(args, 0).split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
            let claims = claims.and_then(|claims| String::from_utf8(claims).ok());
            let claims = claims.filter(|claims| decoded(claims).is_ok_and(|claims| matches!(claims, Value::Map(_))));
            let claims = claims.ok_or_else(|| super::conversion::conversion("jwt_value", &args[0]))?;
            Ok(json::decode(&claims, &steps(text(args, 1))))
        },
    ),
];

/// A path of names and positions with dots between them.
fn steps(path: &str) -> Vec<Step> {
    path.split('.').map(|name| name.parse().map_or_else(|_| Step::Name(name.to_owned()), Step::Index)).collect()
}

fn map_or_nothing<'i>(function: &'static str, value: Value<'i>) -> Result<Value<'i>, Trouble> {
    if value.is_null() { Ok(value) } else { to_map(function, value).map(Value::Map) }
}

/// Takes a member out of a map; null where there is none.
fn member<'i>(map: Value<'i>, name: &str) -> Value<'i> {
    match map {
        Value::Map(mut members) => match members.iter().rposition(|(known, _)| known == name) {
            Some(at) => members.swap_remove(at).1,
            None => Value::Null,
        },
        _ => Value::Null,
    }
}

/// The members of a map; of those with one name the later one.
fn members<'i>(map: Value<'i>) -> std::vec::IntoIter<(Cow<'i, str>, Value<'i>)> {
    let mut kept = Members::default();
    if let Value::Map(members) = map {
        for (name, value) in members {
            kept.set(name, value);
        }
    }
    kept.list.into_iter()
}

/// The map with the value at the end of a path of names; what is on the way and no map becomes one.
fn put<'i>(map: Vec<(Cow<'i, str>, Value<'i>)>, names: &[&str], value: Value<'i>) -> Result<Value<'i>, Trouble> {
    let room = VALUE_DEPTH_MAX.checked_sub(names.len()).ok_or(Trouble::TooLarge)?;
    if is_deeper(&value, room) {
        return Err(Trouble::TooLarge);
    }
    let mut map = Value::Map(map);
    let mut at = &mut map;
    for name in names {
        if !matches!(at, Value::Map(_)) {
            *at = Value::Map(Vec::new());
        }
        let Value::Map(members) = at else { unreachable!("it was made a map") };
        let found = members.iter().rposition(|(known, _)| known == name).unwrap_or_else(|| {
            members.push((Cow::Owned((*name).to_owned()), Value::Null));
            members.len() - 1
        });
        at = &mut members[found].1;
    }
    *at = value;
    Ok(map)
}

/// Whether more lists and maps than this lie inside each other.
fn is_deeper(value: &Value<'_>, depth: usize) -> bool {
    match value {
        Value::List(items) => depth == 0 || items.iter().any(|item| is_deeper(item, depth - 1)),
        Value::Map(members) => depth == 0 || members.iter().any(|(_, value)| is_deeper(value, depth - 1)),
        _ => false,
    }
}
