//! Which function was probably meant: by its name elsewhere, by a slip of the keys, by a part of its name.

use crate::diagnostics::nearest;
use crate::functions;

/// What other languages call our functions. A function that is not there is not suggested.
const ELSEWHERE: [(&str, &str); 34] = [
    ("array_length", "length"),
    ("ceiling", "ceil"),
    ("char_length", "strlen"),
    ("date_format", "format_date"),
    ("from_json", "json_decode"),
    ("ifnull", "coalesce"),
    ("isnull", "is_null"),
    ("json", "json_decode"),
    ("json_extract", "json_decode"),
    ("json_parse", "json_decode"),
    ("lcase", "lower"),
    ("len", "strlen"),
    ("length", "strlen"),
    ("ln", "log"),
    ("now", "now_timestamp"),
    ("nvl", "coalesce"),
    ("parse_json", "json_decode"),
    ("pow", "power"),
    ("rand", "random"),
    ("regexp", "regex_match"),
    ("regexp_replace", "regex_replace"),
    ("size", "length"),
    ("string", "str"),
    ("substring", "substr"),
    ("to_bool", "bool"),
    ("to_float", "float"),
    ("to_int", "int"),
    ("to_json", "json_encode"),
    ("to_number", "float"),
    ("to_string", "str"),
    ("tostring", "str"),
    ("ucase", "upper"),
    ("unix_timestamp", "now_timestamp"),
    ("uuid", "uuid_v4"),
];

/// What to say of a function that does not exist, and what to write in its place if there is one answer.
pub(crate) fn function(name: &str) -> (String, Option<&'static str>) {
    /// Names in one line.
    const NAMES_MAX: usize = 4;
    let name = name.to_ascii_lowercase();
    let names = || functions::all().map(|function| function.name);
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours);
    let one = elsewhere.filter(|ours| functions::find(ours).is_some()).or_else(|| nearest(&name, names()));
    if let Some(one) = one {
        return (format!("did you mean `{one}`?"), Some(one));
    }
    let near: Vec<String> = names()
        .filter(|ours| ours.split('_').any(|part| part == name) || name.split('_').any(|part| part == *ours))
        .take(NAMES_MAX)
        .map(|ours| format!("`{ours}`"))
        .collect();
    match near.join(", ") {
        none if none.is_empty() => ("`millrace rules functions` lists them".to_owned(), None),
        near => (format!("there are {near}; `millrace rules functions` lists all"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_elsewhere_are_in_order_and_slips_and_parts_are_found() {
        assert!(ELSEWHERE.is_sorted_by(|a, b| a.0 < b.0));
        for (name, help, replacement) in [
            ("ToString", "did you mean `str`?", Some("str")),
            ("uper", "did you mean `upper`?", Some("upper")),
            ("not_there_at_all", "`millrace rules functions` lists them", None),
        ] {
            assert_eq!(function(name), (help.to_owned(), replacement), "{name}");
        }
        let (help, replacement) = function("num");
        assert!(help.starts_with("there are `") && replacement.is_none(), "{help}");
    }
}
