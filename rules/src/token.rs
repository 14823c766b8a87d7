//! Text to tokens with spans.
//!
//! Double quotes make a name, single quotes a text; inside either, the quote written twice is one quote. There are no
//! other escapes. A comment runs from `--` to the end of its line.

use std::borrow::Cow;

use crate::diagnostics::{Diagnostic, Span};

/// Longest rule text.
pub const SQL_BYTES_MAX: usize = 64 << 10;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenKind<'s> {
    /// A bare name; a keyword too, the parser knows them.
    Name(&'s str),
    /// A name in double quotes.
    Quoted(Cow<'s, str>),
    /// A text in single quotes.
    Text(Cow<'s, str>),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end of the rule.
    End,
}

/// One token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Token<'s> {
    /// What it is.
    pub kind: TokenKind<'s>,
    /// Where it is.
    pub span: Span,
}

/// Longer ones first, so that the longest match is found.
const SYMBOLS: [&str; 18] =
    ["!=", "<>", "<=", ">=", "=~", "..", "=", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", ","];

/// The tokens of a rule, the last one [`TokenKind::End`].
///
/// # Errors
/// The first thing that is no token.
pub fn tokens(sql: &str) -> Result<Vec<Token<'_>>, Diagnostic> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Diagnostic::error(
            "R0006",
            Span::new(0, 0),
            format!("the rule has {} bytes, at most {SQL_BYTES_MAX} are allowed", sql.len()),
        ));
    }
    let mut lexer = Lexer { sql, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let after_dot = matches!(tokens.last(), Some(Token { kind: TokenKind::Symbol("."), .. }));
        let token = lexer.next(after_dot)?;
        let end = token.kind == TokenKind::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    sql: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn next(&mut self, after_dot: bool) -> Result<Token<'s>, Diagnostic> {
        self.skip_blanks();
        let start = self.at;
        let rest = &self.sql[start..];
        let Some(first) = rest.chars().next() else {
            return Ok(self.token(start, TokenKind::End));
        };
        if first == '"' || first == '\'' {
            return self.quoted(first);
        }
        if first.is_ascii_digit() {
            return self.number(after_dot);
        }
        if first.is_alphabetic() || first == '_' || first == '$' {
            let length = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
            self.at += length;
            return Ok(self.token(start, TokenKind::Name(&rest[..length])));
        }
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            return Ok(self.token(start, TokenKind::Symbol(symbol)));
        }
        if first == '.' {
            self.at += 1;
            return Ok(self.token(start, TokenKind::Symbol(".")));
        }
        let diagnostic = Diagnostic::error(
            "R0001",
            Span::new(start, start + first.len_utf8()),
            format!("{first:?} has no meaning here"),
        );
        Err(match first {
            ';' => diagnostic.help("a rule is one statement, without a semicolon").replace(""),
            '#' if self.sql[..start].ends_with(|c: char| c == '/' || is_name(c)) => {
                diagnostic.help("a topic filter stands in double quotes: FROM \"sensors/#\"")
            }
            '#' => diagnostic.help("a comment begins with --").replace("--"),
            '~' if rest.starts_with("~=") => diagnostic.help("for a topic that matches a filter write =~"),
            '&' => diagnostic.help("both conditions: write AND"),
            '|' => diagnostic.help("one of the conditions: write OR; texts are joined by + or concat()"),
            '!' => diagnostic.help("not equal is !=, the opposite of a condition is NOT"),
            '`' => diagnostic.help("a name is written in double quotes").replace("\""),
            _ => diagnostic,
        })
    }

    fn token(&self, start: usize, kind: TokenKind<'s>) -> Token<'s> {
        Token { kind, span: Span::new(start, self.at) }
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.sql[self.at..].trim_start();
            self.at = self.sql.len() - rest.len();
            if !rest.starts_with("--") {
                return;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token<'s>, Diagnostic> {
        let start = self.at;
        let inner = &self.sql[start + 1..];
        let mut from = 0;
        loop {
            let Some(found) = inner[from..].find(quote) else {
                return Err(Diagnostic::error(
                    "R0002",
                    Span::new(start, start + 1),
                    format!("this {quote} is never closed"),
                )
                .help(format!("to write {quote} inside, write it twice")));
            };
            let end = from + found;
            if inner[end + 1..].starts_with(quote) {
                from = end + 2;
                continue;
            }
            self.at = start + 1 + end + 1;
            let text = &inner[..end];
            let text = if text.contains(quote) {
                let twice: String = [quote, quote].iter().collect();
                Cow::Owned(text.replace(&twice, quote.encode_utf8(&mut [0; 4])))
            } else {
                Cow::Borrowed(text)
            };
            return Ok(self.token(start, if quote == '"' { TokenKind::Quoted(text) } else { TokenKind::Text(text) }));
        }
    }

    fn number(&mut self, after_dot: bool) -> Result<Token<'s>, Diagnostic> {
        let start = self.at;
        let rest = &self.sql.as_bytes()[start..];
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut length = digits(0);
        let mut whole = true;
        // After a dot it is a part of a path, `a.1.b`: the next dot is not a decimal point.
        if !after_dot {
            if rest.get(length) == Some(&b'.') && rest.get(length + 1).is_some_and(u8::is_ascii_digit) {
                whole = false;
                length += 1 + digits(length + 1);
            }
            if matches!(rest.get(length), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
                let exponent = digits((length + 1 + sign).min(rest.len()));
                if exponent > 0 {
                    whole = false;
                    length += 1 + sign + exponent;
                }
            }
        }
        self.at += length;
        let text = &self.sql[start..self.at];
        let span = Span::new(start, self.at);
        if self.sql[self.at..].chars().next().is_some_and(is_name) {
            let more = self.sql[self.at..].find(|c: char| !is_name(c)).unwrap_or(self.sql.len() - self.at);
            return Err(Diagnostic::error(
                "R0004",
                Span::new(start, self.at + more),
                format!("`{}` is neither a number nor a name", &self.sql[start..self.at + more]),
            )
            .help("a name begins with a letter; any other name stands in double quotes"));
        }
        let kind = if whole {
            text.parse().ok().map(TokenKind::Int)
        } else {
            text.parse::<f64>().ok().filter(|value| value.is_finite()).map(TokenKind::Float)
        };
        kind.map(|kind| Token { kind, span }).ok_or_else(|| {
            Diagnostic::error("R0004", span, format!("{text} is too large a number"))
                .help("whole numbers have 64 bits with sign; write a fraction for a float")
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<TokenKind<'_>> {
        let mut kinds: Vec<_> = tokens(sql).expect(sql).into_iter().map(|token| token.kind).collect();
        assert_eq!(kinds.pop(), Some(TokenKind::End));
        kinds
    }

    #[test]
    fn quotes_decide_between_names_and_texts() {
        assert_eq!(
            kinds("a \"b c\" 'it''s' '\"x\"' -- comment 'x\n$d"),
            [
                TokenKind::Name("a"),
                TokenKind::Quoted("b c".into()),
                TokenKind::Text("it's".into()),
                TokenKind::Text("\"x\"".into()),
                TokenKind::Name("$d"),
            ]
        );
    }

    #[test]
    fn numbers_and_ranges_do_not_swallow_each_other() {
        assert_eq!(
            kinds("12 1.5 1.0e3 1e3 1..3 a.1.5"),
            [
                TokenKind::Int(12),
                TokenKind::Float(1.5),
                TokenKind::Float(1000.0),
                TokenKind::Float(1000.0),
                TokenKind::Int(1),
                TokenKind::Symbol(".."),
                TokenKind::Int(3),
                TokenKind::Name("a"),
                TokenKind::Symbol("."),
                TokenKind::Int(1),
                TokenKind::Symbol("."),
                TokenKind::Int(5),
            ]
        );
    }

    #[test]
    fn what_is_no_token_is_named() {
        for (sql, code) in [
            ("a ; b", "R0001"),
            ("'open", "R0002"),
            ("99999999999999999999", "R0004"),
            ("1.0e999", "R0004"),
            ("12ab", "R0004"),
        ] {
            assert_eq!(tokens(sql).expect_err(sql).code, code, "{sql}");
        }
    }
}
