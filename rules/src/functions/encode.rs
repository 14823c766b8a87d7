//! Functions that write and read Base64 and JSON.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use millrace_core::value::Value;

use super::conversion::{conversion, decoded};
use super::{ANYTHING, BINARY, DATA, Function, Param, TEXT, bytes, of_bytes, param, pure, text};
use crate::error::{Trouble, met};
use crate::value_type::Type;

const OPTION: Param = param("option", Type::TEXT);

pub(super) const TABLE: &[Function] = &[
    Function {
        repeats: true,
        ..pure(
            "base64_encode",
            &[DATA, OPTION],
            Type::TEXT,
            "The bytes in Base64; options are 'no_padding' and 'urlsafe': base64_encode('hello') is 'aGVsbG8=', base64_encode('hello', 'no_padding') is 'aGVsbG8'.",
            |args| {
                let (padding, alphabet) = options("base64_encode", &args[1..])?;
                let config = GeneralPurposeConfig::new().with_encode_padding(padding);
                Ok(Value::Text(GeneralPurpose::new(alphabet, config).encode(bytes(args, 0)).into()))
            },
        )
    }
    .requires(1)
    .verified(verify),
    Function {
        repeats: true,
        ..pure(
            "base64_decode",
            &[TEXT, OPTION],
            BINARY,
            "The bytes of a Base64 text, padded or not, blanks left out; 'urlsafe' for the alphabet of URLs: base64_decode('aGVsbG8=') is 'hello'.",
            |args| {
                let (padding, alphabet) = options("base64_decode", &args[1..])?;
                let mode = if padding { DecodePaddingMode::Indifferent } else { DecodePaddingMode::RequireNone };
                let config = GeneralPurposeConfig::new()
                    .with_decode_padding_mode(mode)
                    .with_decode_allow_trailing_bits(true);
                let digits: Vec<u8> = text(args, 0).bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
                let decoded = GeneralPurpose::new(alphabet, config).decode(digits);
                decoded.map(of_bytes).map_err(|_| conversion("base64_decode", &args[0]))
            },
        )
    }
    .requires(1)
    .verified(verify),
    pure("json_decode", &[TEXT], Type::ANY, "The value of a JSON text: json_decode('[1]') is a list.", |args| {
        decoded(text(args, 0)).map_err(|_| conversion("json_decode", &args[0]))
    }),
    pure("json_encode", &[ANYTHING], Type::TEXT, "The value as JSON text: json_encode('a') is '\"a\"'.", |args| {
        Ok(Value::Text(args[0].to_json().into()))
    }),
];

/// Whether there is padding, and the alphabet.
fn options(
    function: &'static str,
    options: &[Value<'_>],
) -> Result<(bool, &'static base64::alphabet::Alphabet), Trouble> {
    let (mut padding, mut alphabet) = (true, &STANDARD);
    for option in options {
        match option {
            Value::Text(option) if option == "no_padding" => padding = false,
            Value::Text(option) if option == "urlsafe" => alphabet = &URL_SAFE,
            other => return Err(Trouble::Failed { function, why: unknown(other) }),
        }
    }
    Ok((padding, alphabet))
}

fn verify(constants: &[Option<&Value<'static>>]) -> Result<(), String> {
    for option in constants.iter().skip(1).copied().flatten() {
        if !matches!(option, Value::Text(name) if name == "no_padding" || name == "urlsafe") {
            return Err(unknown(option));
        }
    }
    Ok(())
}

fn unknown(option: &Value<'_>) -> String {
    format!("the options are 'no_padding' and 'urlsafe', not {}", met(option))
}
