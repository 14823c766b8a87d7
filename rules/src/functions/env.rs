//! The function that reads the environment of the broker: only variables that are named for it, and only once.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::OnceLock;

use millrace_core::value::Value;

use super::{Function, of_event, param, text};
use crate::value_type::Type;

/// What the names of variables that rules may read begin with; the earlier counts.
const PREFIXES: [&str; 2] = ["MILLRACEVAR_", "EMQXVAR_"];

pub(super) const TABLE: &[Function] = &[of_event(
    "getenv",
    &[param("name", Type::TEXT)],
    Type::TEXT,
    "The variable MILLRACEVAR_name or EMQXVAR_name of the broker's environment as it was at first use, '' without one: with MILLRACEVAR_SITE=north getenv('SITE') gives 'north'.",
    |_, args| {
        static VARIABLES: OnceLock<HashMap<String, String>> = OnceLock::new();
        let variables = VARIABLES.get_or_init(|| readable(std::env::vars_os()));
        Ok(Value::text(variables.get(text(args, 0)).map_or("", String::as_str)))
    },
)];

/// The variables that rules may read, by their names without prefix.
fn readable(variables: impl Iterator<Item = (OsString, OsString)>) -> HashMap<String, String> {
    let all: Vec<_> = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    let mut readable = HashMap::new();
    for prefix in PREFIXES {
        for (name, value) in &all {
            if let Some(name) = name.strip_prefix(prefix) {
                readable.entry(name.to_owned()).or_insert_with(|| value.to_string_lossy().into_owned());
            }
        }
    }
    readable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_for_rules_are_read_and_ours_count_first() {
        let given = [("EMQXVAR_A", "1"), ("MILLRACEVAR_A", "2"), ("EMQXVAR_B", "3"), ("PATH", "4"), ("A", "5")];
        let found = readable(given.into_iter().map(|(name, value)| (name.into(), value.into())));
        assert_eq!(found, HashMap::from([("A".into(), "2".into()), ("B".into(), "3".into())]));
    }
}
