//! Functions of bits: of whole numbers, and of parts of bytes.

use millrace_core::value::Value;

use super::{
    BYTES, Function, bytes, choice, count, cut, optional, param, pure, string, verify_choice, verify_count, whole,
};
use crate::error::Trouble;
use crate::value_type::Type;

const INT: super::Param = param("number", Type::INT);
const OTHER: super::Param = param("other", Type::INT);
const PLACES: super::Param = param("places", Type::INT);

const TYPES: &[&str] = &["integer", "float", "bits"];
const SIGNS: &[&str] = &["unsigned", "signed"];
const ORDERS: &[&str] = &["big", "little"];

const VALUE: super::Param = param("start", Type::INT);
const LENGTH: super::Param = param("length", Type::INT);

pub(super) const TABLE: &[Function] = &[
    pure("bitand", &[INT, OTHER], Type::INT, "The bits that are set in both: bitand(12, 10) is 8.", |args| {
        Ok(Value::Int(int(args, 0) & int(args, 1)))
    }),
    pure("bitor", &[INT, OTHER], Type::INT, "The bits that are set in either: bitor(12, 10) is 14.", |args| {
        Ok(Value::Int(int(args, 0) | int(args, 1)))
    }),
    pure("bitxor", &[INT, OTHER], Type::INT, "The bits that are set in one of them: bitxor(12, 10) is 6.", |args| {
        Ok(Value::Int(int(args, 0) ^ int(args, 1)))
    }),
    pure(
        "bitnot",
        &[INT],
        Type::INT,
        "The bits that are not set, and the other way round: bitnot(10) is -11.",
        |args| Ok(Value::Int(!int(args, 0))),
    ),
    pure("bitsl", &[INT, PLACES], Type::INT, "The bits moved to the left: bitsl(8, 2) is 32.", |args| {
        shift(int(args, 0), int(args, 1))
    }),
    pure(
        "bitsr",
        &[INT, PLACES],
        Type::INT,
        "The bits moved to the right, the sign kept: bitsr(8, 2) is 2, bitsr(-8, 2) is -2.",
        |args| shift(int(args, 0), int(args, 1).saturating_neg()),
    ),
    pure("bitsize", &[BYTES], Type::INT, "The number of bits: bitsize('abc') is 24.", |args| size(args, 8)),
    pure("bytesize", &[BYTES], Type::INT, "The number of bytes: bytesize('grün') is 5.", |args| size(args, 1)),
    Function {
        verify: Some(|args| {
            verify_count(args, if args.len() > 2 { 2 } else { 1 })?;
            verify_choice(args, 3, TYPES)?;
            verify_choice(args, 4, SIGNS)?;
            verify_choice(args, 5, ORDERS)
        }),
        ..optional(
            "subbits",
            &[BYTES, VALUE, LENGTH, param("type", Type::TEXT), param("sign", Type::TEXT), param("order", Type::TEXT)],
            2,
            Type::NUMBER.or(super::STRING).or(Type::NULL),
            "So many bits from a place counted from 1, as a number or as 'bits': subbits('abc', 9, 16, 'integer', 'signed', 'little') is 25442.",
            |args| {
                let (start, length) = if args.len() > 2 {
                    (whole(args, 1).unwrap_or(1), count("subbits", args, 2)?)
                } else {
                    (1, count("subbits", args, 1)?)
                };
                let kind = TYPES[choice("subbits", args, 3, TYPES)?];
                let signed = choice("subbits", args, 4, SIGNS)? == 1;
                let little = choice("subbits", args, 5, ORDERS)? == 1;
                let from = bytes(args, 0);
                let Some(start) = start.checked_sub(1).and_then(|start| usize::try_from(start).ok()) else {
                    return Ok(Value::Null);
                };
                let Some(left) = (from.len() * 8).checked_sub(start).filter(|left| *left > 0) else {
                    return Ok(Value::Null);
                };
                let length = length.unwrap_or(left).min(left);
                match kind {
                    "integer" => integer(from, start, length, signed, little),
                    "float" => float(from, start, length, little),
                    _ if (start | length).is_multiple_of(8) => Ok(cut(args, 0, start / 8..(start + length) / 8)),
                    _ => bits(from, start, length),
                }
            },
        )
    },
];

fn int(args: &[Value<'_>], index: usize) -> i64 {
    whole(args, index).unwrap_or_default()
}

fn size<'i>(args: &[Value<'_>], unit: usize) -> Result<Value<'i>, Trouble> {
    i64::try_from(bytes(args, 0).len() * unit).map(Value::Int).map_err(|_| Trouble::OutOfRange)
}

/// To the left by so many places, to the right if there are less than none.
fn shift<'i>(value: i64, places: i64) -> Result<Value<'i>, Trouble> {
    let by = u32::try_from(places.unsigned_abs().min(64)).unwrap_or(64);
    if places < 0 {
        return Ok(Value::Int(value >> by.min(63)));
    }
    i64::try_from(i128::from(value) << by).map(Value::Int).map_err(|_| Trouble::OutOfRange)
}

/// Up to 8 bits from a place.
fn octet(from: &[u8], start: usize, count: usize) -> u8 {
    let at = |index: usize| from.get(index).copied().unwrap_or_default();
    let pair = u16::from_be_bytes([at(start / 8), at(start / 8 + 1)]);
    let [_, octet] = (pair >> (16 - start % 8 - count)).to_be_bytes();
    if count == 8 { octet } else { octet & ((1 << count) - 1) }
}

/// The bits as whole octets, the last one perhaps of fewer bits: each with its number of bits.
fn octets(from: &[u8], start: usize, length: usize) -> impl DoubleEndedIterator<Item = (u8, usize)> {
    (0..length.div_ceil(8)).map(move |index| {
        let count = (length - index * 8).min(8);
        (octet(from, start + index * 8, count), count)
    })
}

fn integer<'i>(from: &[u8], start: usize, length: usize, signed: bool, little: bool) -> Result<Value<'i>, Trouble> {
    // In the little order the octet that comes last, of fewer bits, is the highest.
    let highest = if little { octets(from, start, length).next_back() } else { octets(from, start, length).next() };
    let Some((octet, count)) = highest else {
        return Ok(Value::Int(0));
    };
    let is_negative = signed && octet >> (count - 1) & 1 == 1;
    let mut value: i128 = if is_negative { -1 } else { 0 };
    let mut add = |octet: u8, count: usize| {
        value = value << count | i128::from(octet);
        if i64::try_from(value).is_ok() { Ok(()) } else { Err(Trouble::OutOfRange) }
    };
    if little {
        octets(from, start, length).rev().try_for_each(|(octet, count)| add(octet, count))?;
    } else {
        octets(from, start, length).try_for_each(|(octet, count)| add(octet, count))?;
    }
    i64::try_from(value).map(Value::Int).map_err(|_| Trouble::OutOfRange)
}

fn float<'i>(from: &[u8], start: usize, length: usize, little: bool) -> Result<Value<'i>, Trouble> {
    let mut raw: Vec<u8> = octets(from, start, length.min(65)).map(|(octet, _)| octet).collect();
    if little {
        raw.reverse();
    }
    let value = match (length, raw.as_slice()) {
        (16, [a, b]) => half(u16::from_be_bytes([*a, *b])),
        (32, [a, b, c, d]) => f32::from_be_bytes([*a, *b, *c, *d]).into(),
        (64, [a, b, c, d, e, f, g, h]) => f64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        _ => {
            let why = format!("a float has 16, 32 or 64 bits, not {length}");
            return Err(Trouble::Failed { function: "subbits", why });
        }
    };
    Value::float(value).ok_or(Trouble::OutOfRange)
}

/// A float of 16 bits.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let size = match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * 2f64.powi(-24),
        0x1f => f64::INFINITY,
        exponent => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// The bits as bytes. Where they are no whole bytes, zeros come first: the number that they write stays the same.
fn bits<'i>(from: &[u8], start: usize, length: usize) -> Result<Value<'i>, Trouble> {
    let first = length % 8;
    let mut made = Vec::with_capacity(length.div_ceil(8));
    if first > 0 {
        made.push(octet(from, start, first));
    }
    made.extend(octets(from, start + first, length - first).map(|(octet, _)| octet));
    string(made)
}
