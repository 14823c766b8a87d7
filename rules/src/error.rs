//! Why the evaluation of a rule failed for one message.

use std::fmt;

use millrace_core::value::Value;

use crate::diagnostics::Span;
use crate::json::JsonError;
use crate::program::ROWS_MAX;
use crate::value_type::Type;

/// A failed evaluation: code, place in the rule, and words that name the value met.
#[derive(Clone, PartialEq, Eq)]
pub struct EvalError(Box<Failure>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    code: &'static str,
    span: Span,
    message: String,
}

impl EvalError {
    pub(crate) fn new(trouble: &Trouble, span: Span) -> Self {
        Self(Box::new(Failure { code: trouble.code(), span, message: trouble.to_string() }))
    }

    /// Stable code: `R03` and two digits.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The part of the rule that failed.
    #[must_use]
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// What happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl fmt::Debug for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for EvalError {}

/// What went wrong, before it is known where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("the payload is {0}: {1:?}")]
    Payload(JsonError, String),
    #[error("`{op}` cannot take {left} and {right}")]
    Operands { op: &'static str, left: String, right: String },
    #[error("{0} is not a number to compare with")]
    NotNumeric(String),
    #[error("division by zero")]
    DivisionByZero,
    #[error("the result is out of the range of numbers")]
    OutOfRange,
    #[error("`{function}` wants {wanted} as argument {index}, got {met}")]
    Argument { function: &'static str, index: usize, wanted: Type, met: String },
    #[error("`{function}` cannot convert {met}")]
    Conversion { function: &'static str, met: String },
    #[error("`{function}`: {why}")]
    Failed { function: &'static str, why: String },
    #[error("a slice wants a list, got {0}")]
    NoList(String),
    #[error("the slice begins before the list, which has {length} elements")]
    BeforeTheList { length: usize },
    #[error("the rule makes more than {ROWS_MAX} rows of one message")]
    TooManyRows,
    #[error("the row or a value in it would have more than 16 MiB")]
    TooLarge,
    #[error("the rule looks through or makes more than 32 MiB for one message")]
    TooMuchWork,
}

impl Trouble {
    const fn code(&self) -> &'static str {
        match self {
            Self::Payload(..) => "R0301",
            Self::Operands { .. } => "R0302",
            Self::NotNumeric(_) => "R0303",
            Self::DivisionByZero => "R0304",
            Self::OutOfRange => "R0305",
            Self::Argument { .. } => "R0306",
            Self::Conversion { .. } => "R0307",
            Self::TooLarge => "R0308",
            Self::TooMuchWork => "R0309",
            Self::NoList(_) => "R0310",
            Self::BeforeTheList { .. } => "R0311",
            Self::TooManyRows => "R0312",
            Self::Failed { .. } => "R0313",
        }
    }
}

/// A value for a message: its kind, and its beginning.
pub(crate) fn met(value: &Value<'_>) -> String {
    const SHOWN: usize = 40;
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => {
            let cut = text.floor_char_boundary(SHOWN);
            let dots = if cut < text.len() { "…" } else { "" };
            format!("text '{}{dots}'", &text[..cut])
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            format!("{} {}", value.kind(), value.to_json())
        }
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Map(members) => format!("a map of {}", members.len()),
    }
}
