//! Topic names, filters, client ids and user names with letters that stand for something: `%c`, `%i`, `%u`, `%s`,
//! `%rand_N`, `%%`.

use std::fmt::{self, Write as _};

/// What stands for the letters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Values<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) username: &'a str,
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    /// Any number; `%rand_N` is made of it.
    pub(crate) random: u64,
}

/// A text that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    ClientId,
    Number,
    User,
    Sequence,
    Random(u64),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let (part, len) = match rest.as_bytes().first() {
                Some(b'%') => {
                    plain.push('%');
                    rest = &rest[1..];
                    continue;
                }
                Some(b'c') => (Part::ClientId, 1),
                Some(b'i') => (Part::Number, 1),
                Some(b'u') => (Part::User, 1),
                Some(b's') => (Part::Sequence, 1),
                _ => match rest.strip_prefix("rand_") {
                    Some(digits) => {
                        let len = digits.bytes().take_while(u8::is_ascii_digit).count();
                        let most = digits[..len].parse().ok().filter(|most| *most > 0);
                        let most = most.ok_or_else(|| format!("{text:?}: %rand_ wants a number above 0"))?;
                        (Part::Random(most), 5 + len)
                    }
                    None => {
                        let found: String = rest.chars().take(1).collect();
                        return Err(format!("{text:?}: %{found} is not one of %c %i %u %s %rand_N %%"));
                    }
                },
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = &rest[len..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Whether each message gets another text.
    pub(crate) fn varies(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Sequence | Part::Random(_)))
    }

    /// Whether each client gets another text.
    pub(crate) fn tells_clients_apart(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::ClientId | Part::Number))
    }

    pub(crate) fn render(&self, values: &Values<'_>, out: &mut String) {
        for part in &self.parts {
            // Writing to a string does not fail.
            let _ = match part {
                Part::Text(text) => out.write_str(text),
                Part::ClientId => out.write_str(values.client_id),
                Part::User => out.write_str(values.username),
                Part::Number => write!(out, "{}", values.number),
                Part::Sequence => write!(out, "{}", values.sequence),
                Part::Random(most) => write!(out, "{}", values.random % most),
            };
        }
    }
}

/// As it was typed.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('%', "%%")),
            Part::ClientId => f.write_str("%c"),
            Part::Number => f.write_str("%i"),
            Part::User => f.write_str("%u"),
            Part::Sequence => f.write_str("%s"),
            Part::Random(most) => write!(f, "%rand_{most}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let values = Values { client_id: "c9", username: "u", number: 9, sequence: 4, random: 123 };
        let mut out = String::new();
        Template::parse(text).expect(text).render(&values, &mut out);
        out
    }

    #[test]
    fn letters_stand_for_their_values() {
        assert_eq!(rendered("a/%c/%i/%u/%s"), "a/c9/9/u/4");
        assert_eq!(rendered("%rand_100/x"), "23/x");
        assert_eq!(rendered("100%%"), "100%");
        assert_eq!(rendered(""), "");
    }

    #[test]
    fn a_template_is_shown_as_it_was_typed() {
        for text in ["a/%c/%i/%u/%s", "%rand_100/x", "100%%", ""] {
            assert_eq!(Template::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn unknown_letters_are_refused_with_the_known_ones() {
        for text in ["%q", "a%", "%rand_", "%rand_0", "%rand_x"] {
            let error = Template::parse(text).expect_err(text);
            assert!(error.contains('%'), "{error}");
        }
    }

    #[test]
    fn what_varies_is_known_before_the_run() {
        let template = |text| Template::parse(text).expect("legal");
        assert!(template("a/%s").varies() && template("%rand_3").varies() && !template("a/%i").varies());
        assert!(template("a/%i").tells_clients_apart() && !template("a/%u").tells_clients_apart());
    }
}
