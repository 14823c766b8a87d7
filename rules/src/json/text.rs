//! Texts of JSON that hold escapes.

/// The byte after the escape that begins here, or where it stops being one.
pub(super) fn escape_end(bytes: &[u8], backslash: usize) -> Result<usize, usize> {
    let at = backslash + 1;
    match bytes.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') => {
            let digits = at + 1..at + 5;
            match digits.clone().find(|at| !bytes.get(*at).is_some_and(u8::is_ascii_hexdigit)) {
                Some(wrong) => Err(wrong),
                None => Ok(digits.end),
            }
        }
        _ => Err(at),
    }
}

/// The characters of a text with escapes; the scanner has checked them.
pub(super) struct Unescaped<'a>(pub(super) std::str::Chars<'a>);

impl Unescaped<'_> {
    fn code(&mut self) -> u32 {
        self.0.by_ref().take(4).fold(0, |code, digit| code * 16 + digit.to_digit(16).unwrap_or(0))
    }
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.0.next()?;
        if first != '\\' {
            return Some(first);
        }
        Some(match self.0.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let code = self.code();
                if (0xd800..0xdc00).contains(&code) && self.0.as_str().starts_with("\\u") {
                    let mut ahead = Self(self.0.clone());
                    ahead.0.nth(1);
                    let low = ahead.code();
                    if (0xdc00..0xe000).contains(&low) {
                        self.0 = ahead.0;
                        return char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
                    }
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        })
    }
}
