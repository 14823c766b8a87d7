//! What is known of a value before there is one: the set of kinds that it may be of.

use std::fmt;
use std::ops::BitOr;

use millrace_core::value::Value;

/// A set of kinds of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type(u8);

impl Type {
    /// Null.
    pub const NULL: Self = Self(1);
    /// True or false.
    pub const BOOL: Self = Self(2);
    /// A whole number.
    pub const INT: Self = Self(4);
    /// A number with a fraction.
    pub const FLOAT: Self = Self(8);
    /// Text.
    pub const TEXT: Self = Self(16);
    /// Bytes that are not text.
    pub const BYTES: Self = Self(32);
    /// A list.
    pub const LIST: Self = Self(64);
    /// A map.
    pub const MAP: Self = Self(128);
    /// Any number.
    pub const NUMBER: Self = Self(Self::INT.0 | Self::FLOAT.0);
    /// Anything.
    pub const ANY: Self = Self(u8::MAX);

    const NAMES: [(Self, &'static str); 9] = [
        (Self::NUMBER, "number"),
        (Self::NULL, "null"),
        (Self::BOOL, "boolean"),
        (Self::INT, "integer"),
        (Self::FLOAT, "float"),
        (Self::TEXT, "text"),
        (Self::BYTES, "bytes"),
        (Self::LIST, "list"),
        (Self::MAP, "map"),
    ];

    /// The kind of this value.
    #[must_use]
    pub const fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOL,
            Value::Int(_) => Self::INT,
            Value::Float(_) => Self::FLOAT,
            Value::Text(_) => Self::TEXT,
            Value::Bytes(_) => Self::BYTES,
            Value::List(_) => Self::LIST,
            Value::Map(_) => Self::MAP,
        }
    }

    /// Whether a value may be of a kind of both sets.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all its kinds are in `other` too.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The kinds of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Type {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            return f.write_str("anything");
        }
        let mut left = *self;
        let mut first = true;
        for (kinds, name) in Self::NAMES {
            if kinds.is_within(left) {
                if !first {
                    f.write_str(" or ")?;
                }
                f.write_str(name)?;
                first = false;
                left = Self(left.0 & !kinds.0);
            }
        }
        Ok(())
    }
}
