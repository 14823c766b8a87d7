//! Payloads from a template file: `%TIMESTAMP%` and its like stand for values of each message.

use std::fmt::Write as _;

/// Letters of `%RANDOM%`.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A payload that is another for each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PayloadTemplate {
    parts: Vec<Part>,
    /// Letters of `%RANDOM%`.
    random: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Unix time in units of so many nanoseconds.
    Time(u64),
    Unique,
    Random,
    ClientId,
    Sequence,
}

/// What stands for the names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PayloadValues<'a> {
    /// Unix time in nanoseconds.
    pub(crate) time: u64,
    /// Unlike any other of the run.
    pub(crate) unique: u64,
    pub(crate) client_id: &'a str,
    pub(crate) sequence: u64,
}

impl PayloadTemplate {
    /// `random` is the size of `%RANDOM%`. A `%` that begins none of the names is a `%`.
    pub(crate) fn parse(text: &str, random: usize) -> Self {
        let names: [(&str, Part); 8] = [
            ("%TIMESTAMP%", Part::Time(1_000_000_000)),
            ("%TIMESTAMPMS%", Part::Time(1_000_000)),
            ("%TIMESTAMPUS%", Part::Time(1_000)),
            ("%TIMESTAMPNS%", Part::Time(1)),
            ("%UNIQUE%", Part::Unique),
            ("%RANDOM%", Part::Random),
            ("%CLIENTID%", Part::ClientId),
            ("%SEQUENCE%", Part::Sequence),
        ];
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            match names.iter().find(|(name, _)| rest.starts_with(name)) {
                Some((name, part)) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part.clone());
                    rest = &rest[name.len()..];
                }
                None => {
                    plain.push('%');
                    rest = &rest[1..];
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self { parts, random }
    }

    /// About how large it becomes.
    pub(crate) fn size(&self) -> usize {
        let size = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Random => self.random,
            Part::Time(unit) => 19 - unit.ilog10() as usize,
            Part::Unique | Part::ClientId | Part::Sequence => 8,
        };
        self.parts.iter().map(size).sum()
    }

    pub(crate) fn render(&self, values: &PayloadValues<'_>, out: &mut String) {
        let mut state = values.unique ^ values.time;
        for part in &self.parts {
            // Writing to a string does not fail.
            let _ = match part {
                Part::Text(text) => out.write_str(text),
                Part::Time(unit) => write!(out, "{}", values.time / unit),
                Part::Unique => write!(out, "{}", values.unique),
                Part::ClientId => out.write_str(values.client_id),
                Part::Sequence => write!(out, "{}", values.sequence),
                Part::Random => {
                    for _ in 0..self.random {
                        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
                        out.push(char::from(LETTERS[(state >> 58) as usize]));
                    }
                    Ok(())
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_values_and_other_signs_for_themselves() {
        let template = PayloadTemplate::parse(
            "{\"t\":%TIMESTAMPMS%,\"s\":%TIMESTAMP%,\"c\":\"%CLIENTID%\"} 100% %X% %SEQUENCE%",
            4,
        );
        let values = PayloadValues { time: 1_700_000_000_123_456_789, unique: 9, client_id: "c1", sequence: 3 };
        let mut out = String::new();
        template.render(&values, &mut out);
        assert_eq!(out, "{\"t\":1700000000123,\"s\":1700000000,\"c\":\"c1\"} 100% %X% 3");
    }

    #[test]
    fn random_letters_have_the_size_that_was_asked_for() {
        let template = PayloadTemplate::parse("%RANDOM%", 100);
        let rendered = |unique| {
            let mut out = String::new();
            template.render(&PayloadValues { time: 1, unique, client_id: "", sequence: 0 }, &mut out);
            out
        };
        assert_eq!((rendered(1).len(), template.size()), (100, 100));
        assert_ne!(rendered(1), rendered(2));
    }
}
