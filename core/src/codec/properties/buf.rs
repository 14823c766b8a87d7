//! Builds properties, in the order in which they are pushed.

use crate::codec::properties::{Kind, Properties, Property, Value};
use crate::codec::wire::{put_bin, put_str, put_var};

/// Properties that are being built. A text or binary value over 65,535 bytes is cut to what the wire can say.
///
/// What carries them is not checked here: the caller knows which packet it builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf {
    encoded: Vec<u8>,
}

impl PropertiesBuf {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { encoded: Vec::new() }
    }

    /// What was pushed so far.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties::from_checked(&self.encoded)
    }

    /// Starts anew, keeping the memory.
    pub fn clear(&mut self) {
        self.encoded.clear();
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// Appends a property with a value of its type.
    pub fn push(&mut self, property: Property, value: Value<'_>) -> &mut Self {
        match value {
            Value::U8(value) => self.push_u8(property, value),
            Value::U16(value) => self.push_u16(property, value),
            Value::U32(value) => self.push_u32(property, value),
            Value::Var(value) => self.push_var(property, value),
            Value::Str(value) => self.push_str(property, value),
            Value::Bin(value) => self.push_bin(property, value),
            Value::Pair(name, value) => self.push_pair(property, name, value),
        }
    }

    /// Appends a Byte property.
    pub fn push_u8(&mut self, property: Property, value: u8) -> &mut Self {
        self.identifier(property, &[Kind::U8]);
        self.encoded.push(value);
        self
    }

    /// Appends a Two Byte Integer property.
    pub fn push_u16(&mut self, property: Property, value: u16) -> &mut Self {
        self.identifier(property, &[Kind::U16]);
        self.encoded.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a Four Byte Integer property.
    pub fn push_u32(&mut self, property: Property, value: u32) -> &mut Self {
        self.identifier(property, &[Kind::U32]);
        self.encoded.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a Variable Byte Integer property.
    pub fn push_var(&mut self, property: Property, value: u32) -> &mut Self {
        self.identifier(property, &[Kind::Var]);
        put_var(&mut self.encoded, value);
        self
    }

    /// Appends a UTF-8 Encoded String property.
    pub fn push_str(&mut self, property: Property, value: &str) -> &mut Self {
        self.identifier(property, &[Kind::Str, Kind::Topic]);
        put_str(&mut self.encoded, value);
        self
    }

    /// Appends a Binary Data property.
    pub fn push_bin(&mut self, property: Property, value: &[u8]) -> &mut Self {
        self.identifier(property, &[Kind::Bin]);
        put_bin(&mut self.encoded, value);
        self
    }

    /// Appends a UTF-8 String Pair property.
    pub fn push_pair(&mut self, property: Property, name: &str, value: &str) -> &mut Self {
        self.identifier(property, &[Kind::Pair]);
        put_str(&mut self.encoded, name);
        put_str(&mut self.encoded, value);
        self
    }

    fn identifier(&mut self, property: Property, kinds: &[Kind]) {
        debug_assert!(kinds.contains(&property.kind()), "{property} has another type");
        self.encoded.push(property as u8);
    }
}
