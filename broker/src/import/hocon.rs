//! HOCON, as far as EMQX writes it: objects, lists, quoted, unquoted and `"""` strings, comments, dotted keys, and objects
//! that are given twice, which are merged.
//!
//! Not here: substitutions and includes. EMQX resolves them before it writes, so a text with one was written by hand; it
//! is refused by name.

use std::fmt;

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// How deep values may lie inside each other.
const DEPTH_MAX: usize = 64;

/// What a text is that is no HOCON of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// From 1.
    pub line: usize,
    /// What was met there.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads the text.
///
/// # Errors
/// The first thing that is not understood, with its line.
pub fn parse(text: &str) -> Result<Value, Wrong> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.blank();
    let value = if parser.peek() == Some('{') { parser.value()? } else { Value::Object(parser.fields(None)?) };
    parser.blank();
    match parser.peek() {
        None => Ok(value),
        Some(met) => Err(parser.wrong(format!("expected the end, met {met:?}"))),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    fn wrong(&self, what: String) -> Wrong {
        Wrong { line: self.text[..self.at].matches('\n').count() + 1, what }
    }

    /// Skips blanks on this line.
    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\u{a0}']).len();
    }

    /// Skips blanks, ends of lines and comments; whether there was an end of a line.
    fn blank(&mut self) -> bool {
        let start = self.at;
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let rest = self.rest();
            if !(rest.starts_with('#') || rest.starts_with("//")) {
                return self.text[start..self.at].contains('\n');
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        if self.depth == DEPTH_MAX {
            return Err(self.wrong(format!("more than {DEPTH_MAX} values lie inside each other")));
        }
        self.depth += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn value(&mut self) -> Result<Value, Wrong> {
        match self.peek() {
            Some('{') => self.nested(|parser| {
                parser.at += 1;
                Ok(Value::Object(parser.fields(Some('}'))?))
            }),
            Some('[') => self.nested(Self::list),
            Some('"') => Ok(Value::String(self.quoted()?)),
            Some('$') => Err(self.wrong("a substitution `${…}`, which only a file written by hand has".to_owned())),
            Some(_) => self.unquoted(),
            None => Err(self.wrong("a value is missing at the end".to_owned())),
        }
    }

    /// `key = value` and `key { … }`, up to the bracket that closes them, or the end of the text.
    fn fields(&mut self, close: Option<char>) -> Result<Map<String, Value>, Wrong> {
        let mut fields = Map::new();
        loop {
            self.blank();
            match self.peek() {
                None if close.is_none() => return Ok(fields),
                None => return Err(self.wrong("a `}` is missing at the end".to_owned())),
                met if met == close => {
                    self.at += 1;
                    return Ok(fields);
                }
                Some(',') => self.at += 1,
                Some(_) => {
                    let path = self.path()?;
                    self.blank();
                    let adds = self.take("+=");
                    if !adds && !self.take("=") && !self.take(":") && self.peek() != Some('{') {
                        return Err(self.wrong(format!("expected `=` or `{{` after the key `{}`", path.join("."))));
                    }
                    if adds {
                        return Err(self.wrong("`+=`, which only a file written by hand has".to_owned()));
                    }
                    self.blank();
                    let value = self.value()?;
                    self.ended(close)?;
                    put(&mut fields, &path, value);
                }
            }
        }
    }

    /// Behind a value stands an end of line, a comma, or what closes the whole.
    fn ended(&mut self, close: Option<char>) -> Result<(), Wrong> {
        let broke = self.blank();
        match self.peek() {
            None | Some(',') => Ok(()),
            met if met == close || broke => Ok(()),
            Some(met) => Err(self.wrong(format!("expected a new line or a comma after a value, met {met:?}"))),
        }
    }

    fn path(&mut self) -> Result<Vec<String>, Wrong> {
        let mut path = Vec::new();
        loop {
            self.spaces();
            let name = if self.peek() == Some('"') {
                self.quoted()?
            } else {
                let rest = self.rest();
                let end = rest.find(|c: char| !(c.is_alphanumeric() || "_-@%$|".contains(c))).unwrap_or(rest.len());
                self.at += end;
                rest[..end].to_owned()
            };
            if name.is_empty() {
                let met = self.peek().map_or_else(|| "the end".to_owned(), |met| format!("{met:?}"));
                return Err(self.wrong(format!("expected a key, met {met}")));
            }
            if path.is_empty() && name == "include" {
                return Err(self.wrong("an `include`, which only a file written by hand has".to_owned()));
            }
            path.push(name);
            if path.len() > DEPTH_MAX {
                return Err(self.wrong(format!("a key of more than {DEPTH_MAX} parts")));
            }
            self.spaces();
            if !self.take(".") {
                return Ok(path);
            }
        }
    }

    fn list(&mut self) -> Result<Value, Wrong> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blank();
            match self.peek() {
                None => return Err(self.wrong("a `]` is missing at the end".to_owned())),
                Some(']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                Some(',') => self.at += 1,
                Some(_) => {
                    items.push(self.value()?);
                    self.ended(Some(']'))?;
                }
            }
        }
    }

    fn quoted(&mut self) -> Result<String, Wrong> {
        if self.rest().starts_with("\"\"\"") {
            return self.tripled();
        }
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        let rest = self.rest();
        let end = rest.find(|c: char| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes || c == '\n'
        });
        match end {
            Some(end) if rest[end..].starts_with('"') => {
                self.at += end + 1;
                Ok(unescaped(&rest[..end]))
            }
            _ => {
                self.at = start;
                Err(self.wrong("a string in quotes that does not end on its line".to_owned()))
            }
        }
    }

    /// `"""…"""`, or `"""~…~"""`, whose indentation does not belong to it.
    fn tripled(&mut self) -> Result<String, Wrong> {
        let body = &self.rest()[3..];
        let Some(mut end) = body.find("\"\"\"") else {
            return Err(self.wrong("a string in three quotes that does not end".to_owned()));
        };
        // Of more than three quotes the last three close.
        while body[end + 3..].starts_with('"') {
            end += 1;
        }
        self.at += 3 + end + 3;
        let inner = &body[..end];
        let text = match inner.strip_prefix('~').and_then(|inner| inner.strip_suffix('~')) {
            Some(indented) => unindented(indented),
            None => inner.to_owned(),
        };
        Ok(unescaped(&text))
    }

    fn unquoted(&mut self) -> Result<Value, Wrong> {
        let rest = self.rest();
        let mut end = rest.find(|c| "$\"{}[]:=,+#`^?!*&\\\n".contains(c)).unwrap_or(rest.len());
        if let Some(comment) = rest[..end].find("//") {
            end = comment;
        }
        // The sign of a number belongs to it.
        let word = rest[..end].trim_end();
        if word.is_empty() {
            let met = rest.chars().next().unwrap_or(' ');
            return Err(self.wrong(format!("expected a value, met {met:?}")));
        }
        self.at += word.len();
        Ok(match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => number(word).unwrap_or_else(|| Value::String(word.to_owned())),
        })
    }
}

fn number(word: &str) -> Option<Value> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
        return None;
    }
    if let Ok(whole) = word.parse::<i64>() {
        return Some(whole.into());
    }
    Number::from_f64(word.parse().ok()?).map(Value::Number)
}

/// Puts the value at its path; objects that meet are merged, of other values the last one stays.
fn put(fields: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((name, inner)) = path.split_first() else { return };
    let value = match inner {
        [] => value,
        _ => {
            let mut outer = Map::new();
            put(&mut outer, inner, value);
            Value::Object(outer)
        }
    };
    match fields.entry(name) {
        Entry::Vacant(place) => {
            place.insert(value);
        }
        Entry::Occupied(mut place) => match (place.get_mut(), value) {
            (Value::Object(there), Value::Object(new)) => merge(there, new),
            (there, new) => *there = new,
        },
    }
}

fn merge(there: &mut Map<String, Value>, new: Map<String, Value>) {
    for (name, value) in new {
        put(there, &[name], value);
    }
}

/// Without the blanks that all lines begin with. A first line without text is none; a last one is only its end.
fn unindented(text: &str) -> String {
    let text = text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')).unwrap_or(text);
    let indent_of = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let lines: Vec<&str> = text.split('\n').collect();
    let indent = lines.iter().filter(|line| !line.trim().is_empty()).map(|line| indent_of(line)).min().unwrap_or(0);
    let cut: Vec<&str> = lines
        .iter()
        .map(|line| if line.trim_matches(' ').is_empty() { "" } else { &line[indent.min(line.len())..] })
        .collect();
    cut.join("\n")
}

fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let after = rest.clone().next();
        let meant = match after {
            Some(same @ ('\\' | '"' | '/')) => Some(same),
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('v') => Some('\u{b}'),
            Some('e') => Some('\u{1b}'),
            Some('d') => Some('\u{7f}'),
            Some('u') => {
                let digits: String = rest.clone().skip(1).take(4).collect();
                let code = (digits.len() == 4).then(|| u32::from_str_radix(&digits, 16).ok()).flatten();
                if let Some(meant) = code.and_then(char::from_u32) {
                    rest.nth(4);
                    out.push(meant);
                    continue;
                }
                None
            }
            _ => None,
        };
        match meant {
            Some(meant) => {
                rest.next();
                out.push(meant);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_emqx_writes_is_read() {
        let text = "actions {\n  http {\n    hook {\n      connector = c1\n      parameters {\n        body = \"${clientid}\"\n        \
                    headers {\"content-type\" = \"application/json\"}\n        max_retries = 2\n        path = \"\"\n      }\n      \
                    resource_opts {request_ttl = 45s, query_mode = async}\n    }\n  }\n}\nlimits = [1, 2.5, -3, a, \"b c\"]\n\
                    rule_engine.rules.r1 {\n  # comment\n  actions = [\n    \"http:hook\",\n    {\n      args {qos = 1}\n      \
                    function = republish\n    }\n  ]\n  enable = true // too\n  nothing = null\n}\n";
        assert_eq!(
            parse(text),
            Ok(json!({
                "actions": {"http": {"hook": {
                    "connector": "c1",
                    "parameters": {
                        "body": "${clientid}", "headers": {"content-type": "application/json"}, "max_retries": 2, "path": ""
                    },
                    "resource_opts": {"request_ttl": "45s", "query_mode": "async"}
                }}},
                "limits": [1, 2.5, -3, "a", "b c"],
                "rule_engine": {"rules": {"r1": {
                    "actions": ["http:hook", {"args": {"qos": 1}, "function": "republish"}],
                    "enable": true,
                    "nothing": null
                }}}
            }))
        );
    }

    #[test]
    fn strings_in_three_quotes_lose_their_indentation_only_with_tildes() {
        for (written, meant) in [
            (r#""""SELECT * FROM "t" WHERE a = 1""""#, r#"SELECT * FROM "t" WHERE a = 1"#),
            ("\"\"\"~\n    SELECT *\n      FROM \"t\"~\"\"\"", "SELECT *\n  FROM \"t\""),
            ("\"\"\"~\n    SELECT *\n\n    FROM \"t\"\n  ~\"\"\"", "SELECT *\n\nFROM \"t\"\n"),
            (r#""""a "b" \\d \n""""#, "a \"b\" \\d \n"),
            (r#""a\"b\\ \u00e4 \x""#, "a\"b\\ ä \\x"),
            (r#""""ends with a quote"""""#, "ends with a quote\""),
        ] {
            assert_eq!(parse(&format!("k = {written}")), Ok(json!({"k": meant})), "{written}");
        }
    }

    #[test]
    fn objects_that_meet_are_merged_and_other_values_replaced() {
        assert_eq!(parse("a.b = 1\na { c = 2 }\na.b = 3"), Ok(json!({"a": {"b": 3, "c": 2}})));
        assert_eq!(parse("{ \"a.b\": 1, c: {}, }"), Ok(json!({"a.b": 1, "c": {}})));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, line, words) in [
            ("a = 1\nb = ${a}", 2, "substitution"),
            ("include \"x.conf\"", 1, "include"),
            ("a = \"b\nc = 1", 1, "does not end on its line"),
            ("a = \"\"\"b", 1, "three quotes"),
            ("a = {\nb = 1", 2, "`}` is missing"),
            ("a = [1, 2", 1, "`]` is missing"),
            ("a 1", 1, "expected `=`"),
            ("a += 1", 1, "`+=`"),
            ("a = 1 }", 1, "expected"),
            ("= 1", 1, "expected a key"),
            ("a = ", 1, "missing"),
            ("a = \"b\" c", 1, "new line or a comma"),
        ] {
            let wrong = parse(text).expect_err(text);
            assert!(wrong.line == line && wrong.what.contains(words), "{text:?}: {wrong}");
        }
        let deep = format!("a = {}", "[".repeat(100_000));
        assert!(parse(&deep).expect_err("too deep").what.contains("inside each other"));
        let long = vec!["a"; 100_000].join(".");
        assert!(parse(&format!("{long} = 1")).expect_err("too deep").what.contains("parts"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-c\\{\\}\\[\\]=:,\"~\\\\ #/\\$\\.\n0-9ä-]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn json_is_hocon(text in "[ -~ä\n\t]{0,40}", number in -1_000_000i64..1_000_000) {
            let value = json!({"k": text, "l": [number, {"m": true}]});
            prop_assert_eq!(parse(&value.to_string()), Ok(value));
        }
    }
}
