//! Mark: who sent a message and when, written on it while a rule reads what becomes of messages.
//!
//! It goes with the message through queues and to other shards. Without such a rule nothing is written.

use millrace_core::message::MARK_BYTES_MAX;

use super::republished::Trail;

/// In the place of a length: there is none.
const NONE: u16 = u16::MAX;

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark<'a> {
    /// Identifier of the message.
    pub(super) id: u128,
    /// When it was received: milliseconds since 1970-01-01T00:00:00Z.
    pub(super) received_at: u64,
    /// The rules that it came through.
    pub(super) through: Through<'a>,
    /// Client Identifier of the publisher; none if that is the broker.
    pub(super) client_id: Option<&'a str>,
    /// User Name of the publisher.
    pub(super) username: Option<&'a str>,
}

/// Rules by [`millrace_rules::book::Entry::id`], to be written or as they were read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Through<'a> {
    Rules(&'a [u64]),
    Read(&'a [u8]),
}

impl Through<'_> {
    fn iter(&self) -> impl Iterator<Item = u64> {
        let (rules, read): (&[u64], &[u8]) = match self {
            Self::Rules(rules) => (rules, &[]),
            Self::Read(read) => (&[], read),
        };
        let (ids, _) = read.as_chunks();
        rules.iter().copied().chain(ids.iter().map(|id| u64::from_le_bytes(*id)))
    }
}

impl PartialEq for Through<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Through<'_> {}

impl<'a> Mark<'a> {
    /// The trail that rules see; none if it came through no rule.
    pub(super) fn trail(&self) -> Option<Trail> {
        Trail::through(self.through.iter())
    }

    /// Writes it down. A User Name for which there is no room is left out.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&self.received_at.to_le_bytes());
        bytes.push(self.through.iter().count() as u8);
        bytes.extend(self.through.iter().flat_map(u64::to_le_bytes));
        for text in [self.client_id, self.username] {
            let room = MARK_BYTES_MAX - bytes.len();
            let text = text.filter(|text| text.len() + 2 * size_of::<u16>() <= room);
            let length = text.map_or(NONE, |text| text.len() as u16);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
    }

    /// Reads one; none if there is none.
    pub(super) fn read(mark: &'a [u8]) -> Option<Self> {
        let (id, rest) = mark.split_first_chunk()?;
        let (received_at, rest) = rest.split_first_chunk()?;
        let (through, rest) = rest.split_first()?;
        let (through, rest) = rest.split_at_checked(usize::from(*through) * size_of::<u64>())?;
        let (client_id, rest) = text(rest)?;
        let (username, _) = text(rest)?;
        let (id, received_at) = (u128::from_le_bytes(*id), u64::from_le_bytes(*received_at));
        Some(Self { id, received_at, through: Through::Read(through), client_id, username })
    }
}

fn text(bytes: &[u8]) -> Option<(Option<&str>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u16::from_le_bytes(*length);
    if length == NONE {
        return Some((None, rest));
    }
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(text).ok(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let long = "u".repeat(usize::from(u16::MAX));
        let whole = Mark {
            id: 7 << 100,
            received_at: 9,
            through: Through::Rules(&[3, 1 << 60]),
            client_id: Some("c1"),
            username: Some("ada"),
        };
        let mut bytes = Vec::new();
        for mark in [whole, Mark { username: None, ..whole }, Mark { client_id: None, username: Some(""), ..whole }] {
            mark.write(&mut bytes);
            assert_eq!(Mark::read(&bytes), Some(mark));
        }
        Mark { username: Some(&long), ..whole }.write(&mut bytes);
        assert_eq!(Mark::read(&bytes), Some(Mark { username: None, ..whole }));
        Mark { client_id: Some(&long[..65_000]), username: Some(&long[..600]), ..whole }.write(&mut bytes);
        assert!(bytes.len() <= MARK_BYTES_MAX);
        assert_eq!(Mark::read(&bytes).and_then(|mark| mark.username), None);
        assert_eq!(Mark::read(&[]), None);
    }
}
