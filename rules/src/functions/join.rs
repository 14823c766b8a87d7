//! Functions that put texts together, and one that reads what was escaped.

use millrace_core::value::Value;

use super::conversion::to_text;
use super::{ANYTHING, Body, Function, STRING, TEXT, owned, param, pure, string, string_bytes, take, text, within};
use crate::error::{Trouble, met};
use crate::value_type::Type;

pub(super) const TABLE: &[Function] = &[
    Function {
        name: "concat",
        params: &[ANYTHING],
        required: 1,
        repeats: true,
        returns: STRING,
        about: "All arguments, or the items of the only one, as one text, null as nothing: concat('a', 1) is 'a1'.",
        verify: None,
        body: Body::Pure(|args| {
            let mut joined = Vec::new();
            let values: &[Value<'_>] = match args {
                [Value::List(items)] => items,
                args => args,
            };
            for value in values {
                append("concat", value, &mut joined)?;
            }
            string(joined)
        }),
    },
    Function {
        verify: Some(|args| match args {
            [Some(only)] if !matches!(only, Value::List(_)) => {
                Err(format!("one argument is a list, this is {}", met(only)))
            }
            [Some(separator), _] if !Type::of(separator).meets(STRING) => {
                Err(format!("a separator is text, this is {}", met(separator)))
            }
            _ => Ok(()),
        }),
        params: &[param("separator", STRING.or(Type::LIST)), param("list", Type::LIST)],
        required: 1,
        ..pure(
            "join_to_string",
            &[],
            STRING,
            "The items as one text, null as nothing, with ', ' or another separator between them: join_to_string('-', [1, 2]) is '1-2'.",
            |args| {
                const NAME: &str = "join_to_string";
                let (separator, items): (&[u8], _) = match args {
                    [Value::List(items)] => (b", ", items),
                    [separator @ (Value::Text(_) | Value::Bytes(_)), Value::List(items)] => {
                        (string_bytes(separator), items)
                    }
                    args => {
                        let wanted = if args.len() == 1 { Type::LIST } else { STRING };
                        return Err(Trouble::Argument { function: NAME, index: 1, wanted, met: met(&args[0]) });
                    }
                };
                let mut joined = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        joined.extend_from_slice(separator);
                    }
                    append(NAME, item, &mut joined)?;
                }
                string(joined)
            },
        )
    },
    pure(
        "join_to_sql_values_string",
        &[param("list", Type::LIST)],
        Type::TEXT,
        "The items as SQL values with ', ' between them, texts quoted, null as NULL: join_to_sql_values_string(['a', 1]) is '''a'', 1'.",
        |args| {
            let Value::List(items) = &args[0] else {
                return Ok(Value::Null);
            };
            let mut joined = String::new();
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    joined.push_str(", ");
                }
                match item {
                    Value::Null => joined.push_str("NULL"),
                    Value::Bool(_) | Value::Int(_) | Value::Float(_) => joined.push_str(&item.to_json()),
                    other => {
                        joined.push('\'');
                        joined.push_str(&to_text("join_to_sql_values_string", other)?.replace('\'', "''"));
                        joined.push('\'');
                    }
                }
                within(joined.len())?;
            }
            owned(joined)
        },
    ),
    Function {
        verify: Some(|args| match args {
            [Some(Value::Text(text))] => unescaped(text).map(drop),
            _ => Ok(()),
        }),
        ..pure(
            "unescape",
            &[TEXT],
            Type::TEXT,
            "The text with escapes read, \\n \\r \\t \\\\ \\' \\\" \\xE9 and the like: unescape('a\\tb') has a tab between a and b.",
            |args| {
                if memchr::memchr(b'\\', text(args, 0).as_bytes()).is_none() {
                    return Ok(take(args, 0));
                }
                let refused = |why| Trouble::Failed { function: "unescape", why };
                unescaped(text(args, 0)).map_err(refused).and_then(owned)
            },
        )
    },
];

/// Adds a value as text, null as nothing.
fn append(function: &'static str, value: &Value<'_>, joined: &mut Vec<u8>) -> Result<(), Trouble> {
    match value {
        Value::Null => {}
        Value::Text(_) | Value::Bytes(_) => joined.extend_from_slice(string_bytes(value)),
        other => joined.extend_from_slice(to_text(function, other)?.as_bytes()),
    }
    within(joined.len())
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        read.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(kind) = rest.chars().next() else {
            read.push('\\');
            break;
        };
        rest = &rest[kind.len_utf8()..];
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        read.push(match kind {
            '\\' | '\'' | '"' | '?' => kind,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'a' => '\u{7}',
            'x' if digits > 0 => {
                let (number, behind) = rest.split_at(digits);
                rest = behind;
                u32::from_str_radix(number, 16)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(|| format!("\\x{} is no character", &number[..digits.min(16)]))?
            }
            _ => return Err(format!("\\{kind} is no escape")),
        });
    }
    read.push_str(rest);
    Ok(read)
}
