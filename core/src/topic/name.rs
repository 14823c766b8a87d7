//! Topic Names: valid by construction.

use std::fmt;

use thiserror::Error;

use crate::reason_code::ReasonCode;

/// How long and how deep a Topic Name or Topic Filter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLimits {
    /// Levels: one more than there are `/`.
    pub levels: u16,
    /// Bytes of UTF-8.
    pub bytes: u16,
}

impl TopicLimits {
    /// Whatever the protocol allows (section 4.7.3).
    pub const PROTOCOL: Self = Self { levels: u16::MAX, bytes: u16::MAX };
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self::PROTOCOL
    }
}

/// More than a name can have slashes.
const FORBIDDEN: u32 = 1 << 20;

/// What each byte adds to a sum that tells how many slashes there are and whether anything forbidden.
static WEIGHTS: [u32; 256] = {
    let mut weights = [0; 256];
    weights[b'/' as usize] = 1;
    weights[0] = FORBIDDEN;
    weights[b'+' as usize] = FORBIDDEN;
    weights[b'#' as usize] = FORBIDDEN;
    weights
};

/// A Topic Name: what a message is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks `text` by section 4.7 and against `limits`.
    pub fn parse(text: &'a str, limits: TopicLimits) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > usize::from(limits.bytes) {
            return Err(NameError::TooLong { bytes: text.len(), limit: limits.bytes });
        }
        let met: u64 = text.bytes().map(|byte| u64::from(WEIGHTS[usize::from(byte)])).sum();
        let slashes = (met % u64::from(FORBIDDEN)) as usize;
        if met >= u64::from(FORBIDDEN) {
            return Err(Self::forbidden(text));
        }
        if slashes >= usize::from(limits.levels) {
            return Err(NameError::TooDeep { levels: slashes + 1, limit: limits.levels });
        }
        Ok(Self(text))
    }

    /// As [`TopicName::parse`], for a text of which the codec has checked the characters.
    pub fn within(text: &'a str, limits: TopicLimits) -> Result<Self, NameError> {
        // What is shorter than the allowed number of levels cannot have more of them.
        if text.is_empty() || text.len() > usize::from(limits.bytes) || text.len() >= usize::from(limits.levels) {
            return Self::parse(text, limits);
        }
        debug_assert_eq!(Self::parse(text, limits), Ok(Self(text)));
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether wildcards at the start of a filter leave it out [MQTT-4.7.2-1].
    #[must_use]
    pub fn is_dollar(self) -> bool {
        self.0.starts_with('$')
    }

    #[cold]
    fn forbidden(text: &str) -> NameError {
        let (at, found) =
            text.bytes().enumerate().find(|(_, byte)| matches!(byte, 0 | b'+' | b'#')).expect("the caller met one");
        if found == 0 { NameError::Null { at } } else { NameError::Wildcard { at, found: char::from(found) } }
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why some text is no Topic Name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// No character at all.
    #[error("[MQTT-4.7.3-1] the topic name is empty")]
    Empty,
    /// U+0000.
    #[error("[MQTT-4.7.3-2] the topic name has U+0000 at byte {at}")]
    Null {
        /// Byte offset.
        at: usize,
    },
    /// A wildcard character.
    #[error("[MQTT-3.3.2-2] the topic name has the wildcard `{found}` at byte {at}")]
    Wildcard {
        /// Byte offset.
        at: usize,
        /// `+` or `#`.
        found: char,
    },
    /// More bytes than the limit.
    #[error("the topic name has {bytes} bytes, over the limit of {limit}")]
    TooLong {
        /// Bytes met.
        bytes: usize,
        /// Bytes allowed.
        limit: u16,
    },
    /// More levels than the limit.
    #[error("the topic name has {levels} levels, over the limit of {limit}")]
    TooDeep {
        /// Levels met.
        levels: usize,
        /// Levels allowed.
        limit: u16,
    },
}

impl NameError {
    /// What the client is told.
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        ReasonCode::TopicNameInvalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: TopicLimits = TopicLimits { levels: 3, bytes: 12 };

    #[test]
    fn what_the_protocol_allows_is_a_name() {
        for text in ["a", "/", "//", "a/b/c", " ", "$SYS/x", "/a", "a/", "ä/€/😀"] {
            let name = TopicName::parse(text, TopicLimits::PROTOCOL).expect(text);
            assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn what_the_protocol_forbids_is_refused_with_its_statement() {
        let cases = [
            ("", NameError::Empty),
            ("a\0b", NameError::Null { at: 1 }),
            ("a/+", NameError::Wildcard { at: 2, found: '+' }),
            ("#", NameError::Wildcard { at: 0, found: '#' }),
            ("a#b+", NameError::Wildcard { at: 1, found: '#' }),
        ];
        for (text, error) in cases {
            assert_eq!(TopicName::parse(text, SMALL), Err(error), "{text:?}");
            assert!(error.to_string().starts_with("[MQTT-"), "{error}");
        }
    }

    #[test]
    fn limits_hold_at_their_bounds() {
        assert!(TopicName::parse("a/b/c", SMALL).is_ok());
        assert_eq!(TopicName::parse("a/b//", SMALL), Err(NameError::TooDeep { levels: 4, limit: 3 }));
        assert!(TopicName::parse("123456789012", SMALL).is_ok());
        assert_eq!(TopicName::parse("1234567890123", SMALL), Err(NameError::TooLong { bytes: 13, limit: 12 }));
    }

    #[test]
    fn the_longest_name_of_slashes_is_refused_by_depth() {
        let deep = "/".repeat(65_535);
        assert_eq!(
            TopicName::parse(&deep, TopicLimits::PROTOCOL),
            Err(NameError::TooDeep { levels: 65_536, limit: u16::MAX })
        );
    }
}
