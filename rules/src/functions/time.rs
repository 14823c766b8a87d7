//! Functions of dates and times. Now is the moment of the event, not that of the evaluation.

use std::borrow::Cow;

use millrace_core::value::Value;

use super::calendar::{self, Instant, Offset, Unit};
use super::{Function, Param, TEXT, of_event, param, pure, text};
use crate::error::{Trouble, met};
use crate::input::Input;
use crate::value_type::Type;

const UNIT: Param = param("unit", Type::TEXT);
const TIMESTAMP: Param = param("timestamp", Type::INT);
const OFFSET: Param = param("offset", Type::TEXT.or(Type::INT));
const PATTERN: Param = param("pattern", Type::TEXT);

pub(super) const TABLE: &[Function] = &[
    of_event(
        "now_timestamp",
        &[UNIT],
        Type::INT,
        "The moment of the event as a count since 1970, in seconds unless the unit says else: now_timestamp() is \
         1653561612.",
        |input, args| count(now(input)?, unit("now_timestamp", args, 0)?),
    )
    .requires(0)
    .verified(|args| unit_at(args, 0)),
    of_event(
        "timestamp_s",
        &[],
        Type::INT,
        "The moment of the event in seconds since 1970: timestamp_s() is 1653561612.",
        |input, _| count(now(input)?, Unit::SECOND),
    ),
    of_event(
        "timestamp_ms",
        &[],
        Type::INT,
        "The moment of the event in milliseconds since 1970: timestamp_ms() is 1653561612000.",
        |input, _| count(now(input)?, Unit::MILLISECOND),
    ),
    of_event(
        "now_rfc3339",
        &[UNIT],
        Type::TEXT,
        "The moment of the event in the host's zone, with the digits of the unit: now_rfc3339() is \
         '2022-05-26T10:40:12Z' where the zone is UTC.",
        |input, args| rfc3339(now(input)?, unit("now_rfc3339", args, 0)?),
    )
    .requires(0)
    .verified(|args| unit_at(args, 0)),
    pure(
        "unix_ts_to_rfc3339",
        &[TIMESTAMP, UNIT],
        Type::TEXT,
        "A count since 1970, in seconds unless the unit says else, in the host's zone: unix_ts_to_rfc3339(0) is \
         '1970-01-01T00:00:00Z' where the zone is UTC.",
        |args| {
            let unit = unit("unix_ts_to_rfc3339", args, 1)?;
            rfc3339(instant(args, 0, unit)?, unit)
        },
    )
    .requires(1)
    .verified(|args| unit_at(args, 1)),
    pure(
        "rfc3339_to_unix_ts",
        &[TEXT, UNIT],
        Type::INT,
        "A date as RFC 3339 writes it as a count since 1970, rounded down to the unit, seconds unless it says else: \
         rfc3339_to_unix_ts('1970-01-01T01:00:00+01:00') is 0.",
        |args| {
            let unit = unit("rfc3339_to_unix_ts", args, 1)?;
            let instant = calendar::from_rfc3339(text(args, 0)).ok_or_else(|| failed("rfc3339_to_unix_ts", args, 0))?;
            count(instant, unit)
        },
    )
    .requires(1)
    .verified(|args| {
        unit_at(args, 1)?;
        match args.first() {
            Some(Some(Value::Text(text))) if calendar::from_rfc3339(text).is_none() => {
                Err(format!("'{text}' is no date such as '2022-05-26T18:40:12+08:00'"))
            }
            _ => Ok(()),
        }
    }),
    of_event(
        "format_date",
        &[UNIT, OFFSET, PATTERN, TIMESTAMP],
        Type::TEXT,
        "A count since 1970 in this unit, or the moment of the event, by a pattern of %Y %m %d %H %M %S %3N %6N %N %z %:z \
         %::z: format_date('second', '+08:00', '%Y-%m-%d %H:%M', 0) is '1970-01-01 08:00'.",
        |input, args| {
            let unit = unit("format_date", args, 0)?;
            let offset = offset("format_date", args, 1)?;
            let instant = if args.len() > 3 { instant(args, 3, unit)? } else { now(input)? };
            calendar::format(instant, offset, text(args, 2)).map(owned).ok_or(Trouble::OutOfRange)
        },
    )
    .requires(3)
    .verified(|args| {
        unit_at(args, 0)?;
        offset_at(args, 1)?;
        pattern_at(args, 2)
    }),
    pure(
        "date_to_unix_ts",
        &[UNIT, param("offset, or pattern", Type::TEXT.or(Type::INT)), PATTERN, TEXT],
        Type::INT,
        "A text as a count since 1970 in this unit, read by a pattern as that of format_date, with the offset if the text \
         has none, UTC without: date_to_unix_ts('second', '%Y-%m-%d', '1970-01-02') is 86400.",
        |args| {
            let unit = unit("date_to_unix_ts", args, 0)?;
            let (offset, pattern) =
                if args.len() > 3 { (offset("date_to_unix_ts", args, 1)?, 2) } else { (Offset::Seconds(0), 1) };
            let Some(Value::Text(_)) = args.get(pattern) else { return Err(failed("date_to_unix_ts", args, pattern)) };
            let instant = calendar::parse(text(args, pattern + 1), offset, text(args, pattern))
                .ok_or_else(|| failed("date_to_unix_ts", args, pattern + 1))?;
            count(instant, unit)
        },
    )
    .requires(3)
    .verified(|args| {
        unit_at(args, 0)?;
        if args.len() > 3 {
            offset_at(args, 1)?;
        }
        pattern_at(args, args.len().max(3) - 2)
    }),
    of_event(
        "timezone_to_second",
        &[OFFSET],
        Type::INT,
        "The seconds of an offset, for 'local' those of the host's zone at the moment of the event: \
         timezone_to_second('+08:00') is 28800.",
        |input, args| Ok(Value::Int(offset("timezone_to_second", args, 0)?.at(now(input)?.seconds))),
    )
    .verified(|args| offset_at(args, 0)),
    of_event(
        "timezone_to_offset_seconds",
        &[OFFSET],
        Type::INT,
        "The same as timezone_to_second: timezone_to_offset_seconds('-01:30') is -5400.",
        |input, args| {
            Ok(Value::Int(offset("timezone_to_offset_seconds", args, 0)?.at(now(input)?.seconds)))
        },
    )
    .verified(|args| offset_at(args, 0)),
    of_event(
        "mongo_date",
        &[TIMESTAMP, UNIT],
        Type::MAP,
        "A date for MongoDB as its Extended JSON writes it, of the event or of a count since 1970, in milliseconds unless \
         the unit says else: mongo_date(0) is {\"$date\":\"1970-01-01T00:00:00.000Z\"}.",
        |input, args| {
            let unit = if args.len() > 1 { unit("mongo_date", args, 1)? } else { Unit::MILLISECOND };
            let instant = if args.is_empty() { now(input)? } else { instant(args, 0, unit)? };
            let text = calendar::to_rfc3339(instant, Offset::Seconds(0), Unit::MILLISECOND);
            text.map(|text| Value::Map(vec![("$date".into(), owned(text))])).ok_or(Trouble::OutOfRange)
        },
    )
    .requires(0)
    .verified(|args| unit_at(args, 1)),
];

const fn owned<'i>(text: String) -> Value<'i> {
    Value::Text(Cow::Owned(text))
}

fn now(input: &Input<'_>) -> Result<Instant, Trouble> {
    i64::try_from(input.unix_ms())
        .ok()
        .and_then(|unix_ms| Instant::new(unix_ms, Unit::MILLISECOND))
        .ok_or(Trouble::OutOfRange)
}

fn instant(args: &[Value<'_>], index: usize, unit: Unit) -> Result<Instant, Trouble> {
    match args.get(index) {
        Some(Value::Int(count)) => Instant::new(*count, unit).ok_or(Trouble::OutOfRange),
        _ => Err(Trouble::OutOfRange),
    }
}

fn count<'i>(instant: Instant, unit: Unit) -> Result<Value<'i>, Trouble> {
    instant.count(unit).map(Value::Int).ok_or(Trouble::OutOfRange)
}

fn rfc3339<'i>(instant: Instant, unit: Unit) -> Result<Value<'i>, Trouble> {
    calendar::to_rfc3339(instant, Offset::Local, unit).map(owned).ok_or(Trouble::OutOfRange)
}

/// The unit at this place; seconds if there is none.
fn unit(function: &'static str, args: &[Value<'_>], index: usize) -> Result<Unit, Trouble> {
    match args.get(index) {
        Some(Value::Text(name)) => Unit::named(name).ok_or_else(|| failed(function, args, index)),
        _ => Ok(Unit::SECOND),
    }
}

fn offset(function: &'static str, args: &[Value<'_>], index: usize) -> Result<Offset, Trouble> {
    args.get(index).and_then(offset_of).ok_or_else(|| failed(function, args, index))
}

fn offset_of(value: &Value<'_>) -> Option<Offset> {
    match value {
        Value::Text(text) => Offset::parse(text),
        Value::Int(seconds) => Offset::of_seconds(*seconds),
        _ => None,
    }
}

fn failed(function: &'static str, args: &[Value<'_>], index: usize) -> Trouble {
    Trouble::Conversion { function, met: args.get(index).map(met).unwrap_or_default() }
}

fn unit_at(args: &[Option<&Value<'static>>], index: usize) -> Result<(), String> {
    match args.get(index) {
        Some(Some(Value::Text(name))) if Unit::named(name).is_none() => {
            Err(format!("'{name}' is no unit: {}", Unit::NAMES))
        }
        _ => Ok(()),
    }
}

fn offset_at(args: &[Option<&Value<'static>>], index: usize) -> Result<(), String> {
    match args.get(index) {
        Some(Some(offset @ (Value::Text(_) | Value::Int(_)))) if offset_of(offset).is_none() => {
            Err(format!("{} is no offset: {}", met(offset), Offset::FORMS))
        }
        _ => Ok(()),
    }
}

fn pattern_at(args: &[Option<&Value<'static>>], index: usize) -> Result<(), String> {
    match args.get(index) {
        Some(Some(Value::Text(pattern))) => match calendar::unknown_code(pattern) {
            Some(code) => Err(format!("{code} is not one of %Y %m %d %H %M %S %3N %6N %N %z %:z %::z")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
