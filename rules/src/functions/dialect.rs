//! Perl's regular expressions as the engines here want them written.
//!
//! Without this `\d \w \s` would be those of all scripts, which no device means and which are large; and what is an
//! operator between brackets here is a plain character there.

/// The pattern in the words of the linear engine, or of the other one.
pub(super) fn translated(pattern: &str, linear: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    if is_spaced(pattern) {
        // Comments in it may hold anything, unbalanced brackets too.
        out.push_str(pattern);
        return out;
    }
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '\\' => escape(rest, linear, &mut out),
            '[' => class(rest, &mut out),
            _ => {
                out.push(c);
                &rest[c.len_utf8()..]
            }
        };
    }
    out
}

/// Whether blanks and comments in it do not count.
fn is_spaced(pattern: &str) -> bool {
    pattern.match_indices("(?").any(|(at, _)| {
        let flags = pattern[at + 2..].bytes().take_while(|byte| byte.is_ascii_lowercase() || *byte == b'-');
        flags.take_while(|byte| *byte != b'-').any(|byte| byte == b'x')
    })
}

/// The members of a class that a letter stands for, and whether the letter means all others.
const fn members(letter: char) -> Option<(&'static str, bool)> {
    Some(match letter {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => (r"\t\n\x0B\f\r\x20", false),
        'S' => (r"\t\n\x0B\f\r\x20", true),
        'h' => (r"\t\x20", false),
        'H' => (r"\t\x20", true),
        'v' => (r"\n\x0B\f\r", false),
        'V' => (r"\n\x0B\f\r", true),
        _ => return None,
    })
}

/// Translates what begins with a backslash outside of brackets; gives what follows it.
fn escape<'p>(rest: &'p str, linear: bool, out: &mut String) -> &'p str {
    let Some(letter) = rest[1..].chars().next() else {
        out.push('\\');
        return "";
    };
    let behind = &rest[1 + letter.len_utf8()..];
    match letter {
        'Q' => {
            let (quoted, behind) = behind.split_once("\\E").unwrap_or((behind, ""));
            out.push_str(&regex::escape(quoted));
            return behind;
        }
        'E' => {}
        'N' if !behind.starts_with('{') => out.push_str(r"[^\n]"),
        'e' => out.push_str(r"\x1B"),
        'Z' => out.push_str(r"\z"),
        'b' if linear => out.push_str(r"(?-u:\b)"),
        _ => match members(letter) {
            Some((members, others)) => {
                out.push_str(if others { "[^" } else { "[" });
                out.push_str(members);
                out.push(']');
            }
            None => {
                out.push('\\');
                out.push(letter);
            }
        },
    }
    behind
}

/// Translates a class in brackets; gives what follows it.
fn class<'p>(whole: &'p str, out: &mut String) -> &'p str {
    out.push('[');
    let mut rest = &whole[1..];
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    // The first one is a member.
    if let Some(behind) = rest.strip_prefix(']') {
        out.push_str("\\]");
        rest = behind;
    }
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match c {
            ']' => {
                out.push(']');
                return behind;
            }
            '[' => match rest.starts_with("[:").then(|| rest.find(":]")).flatten() {
                Some(end) => {
                    out.push_str(&rest[..end + 2]);
                    &rest[end + 2..]
                }
                None => {
                    out.push_str("\\[");
                    behind
                }
            },
            '&' | '~' => {
                out.push('\\');
                out.push(c);
                behind
            }
            '\\' => {
                let Some(letter) = behind.chars().next() else {
                    out.push('\\');
                    return "";
                };
                match (letter, members(letter)) {
                    ('b', _) => out.push_str(r"\x08"),
                    ('e', _) => out.push_str(r"\x1B"),
                    (_, Some((members, false))) => out.push_str(members),
                    (_, Some((members, true))) => {
                        out.push_str("[^");
                        out.push_str(members);
                        out.push(']');
                    }
                    (_, None) => {
                        out.push('\\');
                        out.push(letter);
                    }
                }
                &behind[letter.len_utf8()..]
            }
            _ => {
                out.push(c);
                behind
            }
        };
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_ascii_and_brackets_hold_plain_characters() {
        for (pattern, expected) in [
            (r"^\d{4}-\w+$", "^[0-9]{4}-[0-9A-Za-z_]+$"),
            (r"[\d.]\.\S", r"[0-9.]\.[^\t\n\x0B\f\r\x20]"),
            (r"[^\W_]", r"[^[^0-9A-Za-z_]_]"),
            (r"[]a[&&b]", r"[\]a\[\&\&b]"),
            (r"[^]]x", r"[^\]]x"),
            ("[[:alpha:]_-]", "[[:alpha:]_-]"),
            (r"\Qa.b\E.\Z", r"a\.b.\z"),
            (r"\bü\b", r"(?-u:\b)ü(?-u:\b)"),
            (r"\\d\", r"\\d\"),
            (r"(?x) \d # [", r"(?x) \d # ["),
            (r"(?i)\d", "(?i)[0-9]"),
            ("[a", "[a"),
            (r"[\", r"[\"),
        ] {
            assert_eq!(translated(pattern, true), expected, "{pattern}");
        }
        assert_eq!(translated(r"(a)\1\b", false), r"(a)\1\b");
    }
}
