//! Functions that make identifiers of random numbers (RFC 9562, version 4).

use millrace_core::value::Value;

use super::{Function, of_event};
use crate::input::Input;
use crate::value_type::Type;

pub(super) const TABLE: &[Function] = &[
    of_event(
        "uuid_v4",
        &[],
        Type::TEXT,
        "A random UUID: uuid_v4() is one like 'f0b1ae5c-61a4-4b2f-9c3a-5f0e7d8a9b1c'.",
        |input, _| {
            let digits = digits(input);
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            Ok(Value::Text(parts.join("-").into()))
        },
    ),
    of_event(
        "uuid_v4_no_hyphen",
        &[],
        Type::TEXT,
        "The same without hyphens: uuid_v4_no_hyphen() is one like 'f0b1ae5c61a44b2f9c3a5f0e7d8a9b1c'.",
        |input, _| Ok(Value::Text(digits(input).into())),
    ),
];

fn digits(input: &Input<'_>) -> String {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    let random = u128::from(input.state().random()) << 64 | u128::from(input.state().random());
    let uuid = random & !(VERSION | VARIANT) | 4 << 76 | 0b10 << 62;
    format!("{uuid:032x}")
}
