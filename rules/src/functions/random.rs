//! Functions that draw, and those that spread values over a range.

use millrace_core::value::{ROW_BYTES_MAX, Value};
use sha2::Digest as _;

use super::{Function, OfEvent, Param, STRING, Verify, bytes, of_event, owned, param, pure, whole};
use crate::error::{Trouble, met};
use crate::value_type::Type;

const RANGED: &[Param] = &[param("value", STRING.or(Type::INT)), param("least", Type::INT), param("most", Type::INT)];

const fn drawn(
    name: &'static str,
    params: &'static [Param],
    returns: Type,
    about: &'static str,
    body: OfEvent,
) -> Function {
    const VERIFY: Verify = |args| match args.first() {
        Some(Some(value @ Value::Int(..=0))) => Err(not_above_zero(value)),
        _ => Ok(()),
    };
    of_event(name, params, returns, about, body).verified(VERIFY)
}

const VERIFY_RANGE: Verify = |args| match args {
    [_, Some(Value::Int(least)), Some(Value::Int(most))] if least > most => Err(no_range(*least, *most)),
    _ => Ok(()),
};

pub(super) const TABLE: &[Function] = &[
    drawn("random", &[], Type::FLOAT, "A random float from 0, less than 1: random() may be 0.37.", |input, _| {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        Ok(Value::Float((input.state().random() >> 11) as f64 * UNIT))
    }),
    drawn(
        "rand_int",
        &[param("most", Type::INT)],
        Type::INT,
        "A random whole number from 1 to this: rand_int(6) may be 4.",
        |input, args| {
            let most = above_zero("rand_int", args)?;
            let drawn = (u128::from(input.state().random()) * u128::from(most)) >> 64;
            i64::try_from(drawn + 1).map(Value::Int).map_err(|_| Trouble::OutOfRange)
        },
    ),
    drawn(
        "rand_str",
        &[param("length", Type::INT)],
        Type::TEXT,
        "So many random letters and digits: rand_str(4) may be 'x7Qb'.",
        |input, args| {
            const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            let length = above_zero("rand_str", args)?;
            let length = usize::try_from(length).ok().filter(|it| *it <= ROW_BYTES_MAX).ok_or(Trouble::TooLarge)?;
            input.pay(length)?;
            let state = input.state();
            owned(
                (0..length)
                    .map(|_| {
                        let index = (u128::from(state.random()) * 62) >> 64;
                        char::from(ALPHABET[usize::try_from(index).unwrap_or(0)])
                    })
                    .collect(),
            )
        },
    ),
    Function {
        verify: Some(VERIFY_RANGE),
        ..pure(
            "hash_to_range",
            &[param("value", STRING), param("least", Type::INT), param("most", Type::INT)],
            Type::INT,
            "A number of the range that is always the same for a text, by its SHA-256: hash_to_range(clientid, 1, 8) spreads clients over 8.",
            |args| {
                let range = range("hash_to_range", args)?;
                let text = some("hash_to_range", args)?;
                range.place(&sha2::Sha256::digest(text))
            },
        )
    },
    Function {
        verify: Some(VERIFY_RANGE),
        ..pure(
            "map_to_range",
            RANGED,
            Type::INT,
            "The number, or the bytes as one, brought into the range by its remainder: map_to_range(10, 1, 3) is 2.",
            |args| {
                let range = range("map_to_range", args)?;
                match whole(args, 0) {
                    Some(number) => range.at(i128::from(number).rem_euclid(range.size)),
                    None => range.place(some("map_to_range", args)?),
                }
            },
        )
    },
];

fn above_zero(function: &'static str, args: &[Value<'_>]) -> Result<u64, Trouble> {
    whole(args, 0)
        .and_then(|value| u64::try_from(value).ok())
        .filter(|value| *value > 0)
        .ok_or_else(|| Trouble::Failed { function, why: not_above_zero(&args[0]) })
}

fn not_above_zero(value: &Value<'_>) -> String {
    format!("{} is less than 1", met(value))
}

fn no_range(least: i64, most: i64) -> String {
    format!("there is nothing from {least} to {most}")
}

fn some<'v>(function: &'static str, args: &'v [Value<'_>]) -> Result<&'v [u8], Trouble> {
    match bytes(args, 0) {
        [] => Err(Trouble::Failed { function, why: "the text is empty".to_owned() }),
        bytes => Ok(bytes),
    }
}

/// Whole numbers from the least on.
struct Range {
    least: i64,
    size: i128,
}

fn range(function: &'static str, args: &[Value<'_>]) -> Result<Range, Trouble> {
    let (least, most) = (whole(args, 1).unwrap_or_default(), whole(args, 2).unwrap_or_default());
    if least > most {
        return Err(Trouble::Failed { function, why: no_range(least, most) });
    }
    Ok(Range { least, size: i128::from(most) - i128::from(least) + 1 })
}

impl Range {
    fn at<'i>(&self, offset: i128) -> Result<Value<'i>, Trouble> {
        i64::try_from(i128::from(self.least) + offset).map(Value::Int).map_err(|_| Trouble::OutOfRange)
    }

    /// Of bytes as one number, the highest first.
    fn place<'i>(&self, bytes: &[u8]) -> Result<Value<'i>, Trouble> {
        let (head, words) = bytes.as_rchunks::<4>();
        let words = words.iter().map(|word| u32::from_be_bytes(*word));
        if let Ok(size) = u32::try_from(self.size) {
            let size = u64::from(size);
            let head = head.iter().fold(0, |left, byte| (left << 8 | u64::from(*byte)) % size);
            return self.at(words.fold(head, |left, word| (left << 32 | u64::from(word)) % size).into());
        }
        let head = head.iter().fold(0, |left, byte| left << 8 | i128::from(*byte));
        self.at(words.fold(head, |left, word| (left << 32 | i128::from(word)) % self.size))
    }
}
