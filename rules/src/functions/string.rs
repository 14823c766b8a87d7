//! Functions of text.

use std::borrow::Cow;

use millrace_core::value::{ROW_BYTES_MAX, Value};

use super::{ANYTHING, Body, Function, TEXT, pure, text};
use crate::error::Trouble;
use crate::functions::conversion::to_text;
use crate::value_type::Type;

pub(super) const TABLE: &[Function] = &[
    pure("lower", &[TEXT], Type::TEXT, "The text in lower case: lower('Ab') is 'ab'.", |args| {
        owned(text(args, 0).to_lowercase())
    }),
    pure("upper", &[TEXT], Type::TEXT, "The text in upper case: upper('Ab') is 'AB'.", |args| {
        owned(text(args, 0).to_uppercase())
    }),
    pure("trim", &[TEXT], Type::TEXT, "The text without blanks around it: trim(' a ') is 'a'.", |args| {
        owned(text(args, 0).trim().to_owned())
    }),
    pure("strlen", &[TEXT], Type::INT, "The number of characters: strlen('grün') is 4.", |args| {
        Ok(Value::Int(i64::try_from(text(args, 0).chars().count()).unwrap_or(i64::MAX)))
    }),
    Function {
        name: "concat",
        params: &[ANYTHING],
        required: 1,
        repeats: true,
        returns: Type::TEXT,
        about: "All arguments as one text, null as nothing: concat('a', 1) is 'a1'.",
        verify: None,
        body: Body::Pure(|args| {
            let mut joined = String::new();
            for arg in args {
                if !arg.is_null() {
                    joined.push_str(&to_text("concat", arg)?);
                }
                if joined.len() > ROW_BYTES_MAX {
                    return Err(Trouble::TooLarge);
                }
            }
            owned(joined)
        }),
    },
];

fn owned<'i>(text: String) -> Result<Value<'i>, Trouble> {
    if text.len() > ROW_BYTES_MAX {
        return Err(Trouble::TooLarge);
    }
    Ok(Value::Text(Cow::Owned(text)))
}
