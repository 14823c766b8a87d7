//! A rule's text as words, for what can be seen of it without understanding it.
//!
//! Not here: the language itself. These words are also made of texts that its parser refuses.

/// One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'s> {
    /// A bare name, keyword or number.
    Bare(&'s str),
    /// `"…"`.
    Name(&'s str),
    /// `'…'`.
    Text(&'s str),
    /// One or two characters of an operator or bracket.
    Sign(&'s str),
}

impl Word<'_> {
    /// Whether it is this keyword or function, in any case.
    #[must_use]
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Bare(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// All words, without comments.
#[must_use]
pub fn words(sql: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let quoted = |rest: &'_ str| rest[1..].find(first).map_or(rest.len(), |end| end + 2);
        let mut taken = first.len_utf8();
        if rest.starts_with("--") {
            taken = rest.find('\n').unwrap_or(rest.len());
        } else if first == '"' || first == '\'' {
            taken = quoted(rest);
            let inner = &rest[1..taken];
            let inner = inner.strip_suffix(first).unwrap_or(inner);
            words.push(if first == '"' { Word::Name(inner) } else { Word::Text(inner) });
        } else if first.is_alphanumeric() || first == '_' {
            taken = rest.find(|c: char| !(c.is_alphanumeric() || "_$@~".contains(c))).unwrap_or(rest.len());
            words.push(Word::Bare(&rest[..taken]));
        } else if !first.is_whitespace() {
            if ["<=", ">=", "!=", "<>", "=~", ".."].iter().any(|sign| rest.starts_with(sign)) {
                taken = 2;
            }
            words.push(Word::Sign(&rest[..taken]));
        }
        rest = &rest[taken..];
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_becomes_words() {
        assert_eq!(
            words("SELECT a.b -- 'no'\nFROM \"t/#\" WHERE x>='y\"'"),
            [
                Word::Bare("SELECT"),
                Word::Bare("a"),
                Word::Sign("."),
                Word::Bare("b"),
                Word::Bare("FROM"),
                Word::Name("t/#"),
                Word::Bare("WHERE"),
                Word::Bare("x"),
                Word::Sign(">="),
                Word::Text("y\""),
            ]
        );
        assert_eq!(words("'open"), [Word::Text("open")]);
        assert_eq!(words("'"), [Word::Text("")]);
    }

    proptest! {
        #[test]
        fn any_text_has_words(text in ".{0,80}") {
            prop_assert!(words(&text).len() <= text.len());
        }
    }
}
