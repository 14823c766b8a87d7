//! Properties (section 2.2.2) as they lie on the wire: checked once, then read in place.

mod buf;
mod table;

pub use buf::PropertiesBuf;
pub use table::{Carrier, Entry, Kind, Property, Range, TABLE};

use crate::codec::error::{DecodeError, Field};
use crate::codec::wire::Reader;
use crate::limits::USER_PROPERTIES_MAX;

/// Properties, encoded, checked when they were decoded; without the length in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

/// The value of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Byte.
    U8(u8),
    /// Two Byte Integer.
    U16(u16),
    /// Four Byte Integer.
    U32(u32),
    /// Variable Byte Integer.
    Var(u32),
    /// UTF-8 Encoded String.
    Str(&'a str),
    /// Binary Data.
    Bin(&'a [u8]),
    /// UTF-8 String Pair.
    Pair(&'a str, &'a str),
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self { raw: &[] };

    /// Reads the length and that many bytes, and checks that `carrier` may carry what they say.
    #[inline]
    pub fn decode(reader: &mut Reader<'a>, carrier: Carrier) -> Result<Self, DecodeError> {
        let field = match carrier {
            Carrier::Will => Field::WillPropertyLength,
            _ => Field::PropertyLength,
        };
        match reader.var(field)? {
            0 => Ok(Self::EMPTY),
            len => Self::check(reader.take(len as usize, Field::Properties)?, carrier),
        }
    }

    /// Checks bytes without a length in front: one pass, however many properties there are.
    pub fn check(raw: &'a [u8], carrier: Carrier) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw);
        let mut seen = 0u64;
        let mut user_properties = 0;
        while !reader.is_empty() {
            let property = identifier(&mut reader)?;
            if !carrier.may_carry(property) {
                return Err(DecodeError::PropertyNotAllowed { property, carrier });
            }
            let bit = 1 << property as u8;
            if seen & bit != 0 && !carrier.may_repeat(property) {
                return Err(DecodeError::PropertyTwice { property });
            }
            seen |= bit;
            check_value(property, value(property, &mut reader)?)?;
            if property == Property::UserProperty {
                user_properties += 1;
                if user_properties > USER_PROPERTIES_MAX {
                    return Err(DecodeError::UserPropertiesTooMany);
                }
            }
        }
        Ok(Self { raw })
    }

    /// Bytes that were checked before, such as those that travel with a message. Of bytes that were not, only those
    /// in front of the first fault are seen.
    #[must_use]
    #[inline]
    pub const fn from_checked(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// The encoded bytes.
    #[must_use]
    #[inline]
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// All of them, in order.
    #[must_use]
    #[inline]
    pub const fn iter(self) -> Iter<'a> {
        Iter { reader: Reader::new(self.raw) }
    }

    /// The first one of this kind.
    #[must_use]
    pub fn get(self, property: Property) -> Option<Value<'a>> {
        let mut reader = Reader::new(self.raw);
        while !reader.is_empty() {
            let met = identifier(&mut reader).ok()?;
            if met == property {
                return value(property, &mut reader).ok();
            }
            skip(met, &mut reader).ok()?;
        }
        None
    }

    /// The value of a Byte property.
    #[must_use]
    pub fn u8(self, property: Property) -> Option<u8> {
        match self.get(property)? {
            Value::U8(value) => Some(value),
            _ => None,
        }
    }

    /// The value of a Byte property that is a flag.
    #[must_use]
    pub fn flag(self, property: Property) -> Option<bool> {
        self.u8(property).map(|value| value != 0)
    }

    /// The value of a Two Byte Integer property.
    #[must_use]
    pub fn u16(self, property: Property) -> Option<u16> {
        match self.get(property)? {
            Value::U16(value) => Some(value),
            _ => None,
        }
    }

    /// The value of a Four Byte Integer or a Variable Byte Integer property.
    #[must_use]
    pub fn u32(self, property: Property) -> Option<u32> {
        match self.get(property)? {
            Value::U32(value) | Value::Var(value) => Some(value),
            _ => None,
        }
    }

    /// The value of a UTF-8 Encoded String property.
    #[must_use]
    pub fn str(self, property: Property) -> Option<&'a str> {
        match self.get(property)? {
            Value::Str(value) => Some(value),
            _ => None,
        }
    }

    /// The value of a Binary Data property.
    #[must_use]
    pub fn bin(self, property: Property) -> Option<&'a [u8]> {
        match self.get(property)? {
            Value::Bin(value) => Some(value),
            _ => None,
        }
    }

    /// Names and values of the User Properties, in order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The Subscription Identifiers, in order.
    pub fn subscription_ids(self) -> impl Iterator<Item = u32> {
        self.iter().filter_map(|(_, value)| match value {
            Value::Var(value) => Some(value),
            _ => None,
        })
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = (Property, Value<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Goes over properties in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Property, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let met = identifier(&mut self.reader).and_then(|property| Ok((property, value(property, &mut self.reader)?)));
        if met.is_err() {
            self.reader.rest();
        }
        met.ok()
    }
}

/// The bytes of the properties that are none of `dropped`: a part of `raw` if they lie side by side, else a copy in
/// `scratch`, which is cleared first.
pub(crate) fn without<'a>(raw: &'a [u8], dropped: &[Property], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let mut kept = 0..0;
    let mut runs = 0;
    let mut reader = Reader::new(raw);
    scratch.clear();
    while !reader.is_empty() {
        let from = raw.len() - reader.left();
        let Ok(property) = identifier(&mut reader) else {
            break;
        };
        if skip(property, &mut reader).is_err() {
            break;
        }
        let to = raw.len() - reader.left();
        if dropped.contains(&property) {
            continue;
        }
        if runs > 0 && kept.end == from {
            kept.end = to;
            continue;
        }
        scratch.extend_from_slice(&raw[kept]);
        kept = from..to;
        runs += 1;
    }
    if runs < 2 {
        return &raw[kept];
    }
    scratch.extend_from_slice(&raw[kept]);
    scratch
}

/// The identifier is a Variable Byte Integer, but no property has one that needs a second byte.
#[inline]
fn identifier(reader: &mut Reader<'_>) -> Result<Property, DecodeError> {
    let identifier = reader.var(Field::PropertyIdentifier)?;
    Property::from_identifier(identifier).ok_or(DecodeError::PropertyUnknown { identifier })
}

#[inline]
fn value<'a>(property: Property, reader: &mut Reader<'a>) -> Result<Value<'a>, DecodeError> {
    let field = Field::Property(property);
    Ok(match property.kind() {
        Kind::U8 => Value::U8(reader.u8(field)?),
        Kind::U16 => Value::U16(reader.u16(field)?),
        Kind::U32 => Value::U32(reader.u32(field)?),
        Kind::Var => Value::Var(reader.var(field)?),
        Kind::Str => Value::Str(reader.str(field)?),
        Kind::Topic => Value::Str(reader.topic(field)?),
        Kind::Bin => Value::Bin(reader.bin(field)?),
        Kind::Pair => Value::Pair(reader.str(field)?, reader.str(field)?),
    })
}

#[inline]
fn skip(property: Property, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let field = Field::Property(property);
    match property.kind() {
        Kind::U8 => reader.take(1, field)?,
        Kind::U16 => reader.take(2, field)?,
        Kind::U32 => reader.take(4, field)?,
        Kind::Var => return reader.var(field).map(|_| ()),
        Kind::Str | Kind::Topic | Kind::Bin => reader.bin(field)?,
        Kind::Pair => {
            reader.bin(field)?;
            reader.bin(field)?
        }
    };
    Ok(())
}

#[inline]
fn check_value(property: Property, value: Value<'_>) -> Result<(), DecodeError> {
    let number = match value {
        Value::U8(value) => u32::from(value),
        Value::U16(value) => u32::from(value),
        Value::U32(value) | Value::Var(value) => value,
        Value::Str(_) | Value::Bin(_) | Value::Pair(..) => return Ok(()),
    };
    match property.range().contains(number) {
        true => Ok(()),
        false => Err(DecodeError::PropertyValue { property, value: number }),
    }
}
