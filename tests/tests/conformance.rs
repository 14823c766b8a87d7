//! The ledger of normative statements is complete, and every test that it names exists.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

/// How many statements each section of MQTT 3.1.1 numbers (its Appendix B).
const STATEMENTS_311: &[(&str, u32)] = &[
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 1),
    ("7.1.2", 1),
];

/// The same for MQTT 5.0. Section 2.2.1 begins with 2.
const STATEMENTS_50: &[(&str, u32)] = &[
    ("1.5.4", 3),
    ("1.5.5", 1),
    ("1.5.7", 1),
    ("2.1.3", 1),
    ("2.2.1", 6),
    ("2.2.2", 1),
    ("3.1.0", 2),
    ("3.1.2", 30),
    ("3.1.3", 12),
    ("3.1.4", 6),
    ("3.2.0", 2),
    ("3.2.2", 22),
    ("3.3.1", 13),
    ("3.3.2", 20),
    ("3.3.4", 10),
    ("3.4.2", 3),
    ("3.5.2", 3),
    ("3.6.1", 1),
    ("3.6.2", 3),
    ("3.7.2", 3),
    ("3.8.1", 1),
    ("3.8.3", 5),
    ("3.8.4", 8),
    ("3.9.2", 2),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.11.2", 2),
    ("3.11.3", 2),
    ("3.12.4", 1),
    ("3.14.0", 1),
    ("3.14.1", 1),
    ("3.14.2", 4),
    ("3.14.4", 3),
    ("3.15.1", 1),
    ("3.15.2", 3),
    ("4.1.0", 2),
    ("4.2", 1),
    ("4.3.1", 1),
    ("4.3.2", 5),
    ("4.3.3", 13),
    ("4.4.0", 2),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.0", 1),
    ("4.7.1", 2),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.2", 6),
    ("4.9.0", 3),
    ("4.12.0", 7),
    ("4.12.1", 2),
    ("4.13.1", 1),
    ("4.13.2", 1),
    ("6.0.0", 4),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    binds: Binds,
    says: String,
    test: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Binds {
    Server,
    Client,
    Both,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    #[serde(rename = "3.1.1")]
    v311: std::collections::BTreeMap<String, Statement>,
    #[serde(rename = "5.0")]
    v50: std::collections::BTreeMap<String, Statement>,
}

impl Ledger {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance.toml");
        let text = std::fs::read_to_string(&path).expect("the ledger can be read");
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn all(&self) -> impl Iterator<Item = (String, &Statement)> {
        let v50 = self.v50.iter().map(|(id, s)| (format!("5.0 [{id}]"), s));
        self.v311.iter().map(|(id, s)| (format!("3.1.1 [{id}]"), s)).chain(v50)
    }
}

fn ids(sections: &[(&str, u32)], begins_with_2: &str) -> BTreeSet<String> {
    sections
        .iter()
        .flat_map(|(section, count)| {
            let first = if *section == begins_with_2 { 2 } else { 1 };
            (first..=*count).map(move |number| format!("MQTT-{section}-{number}"))
        })
        .collect()
}

/// Every `fn` under the folders that hold tests, as `FILE::NAME`.
fn functions() -> BTreeSet<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).expect("a folder of the checkout can be read") {
            let path = entry.expect("its entries too").path();
            let name = path.file_name().and_then(|n| n.to_str()).expect("names are UTF-8");
            if path.is_dir() {
                if !matches!(name, "target" | ".git" | "node_modules") {
                    walk(&path, found);
                }
            } else if let Some(stem) = name.strip_suffix(".rs") {
                let source = std::fs::read_to_string(&path).expect("a source file can be read");
                let mut is_test = false;
                for line in source.lines().map(str::trim) {
                    if line == "#[test]" {
                        is_test = true;
                    } else if let Some(rest) = line.strip_prefix("fn ") {
                        if is_test {
                            let name = rest.split('(').next().unwrap_or_default();
                            found.insert(format!("{stem}::{name}"));
                        }
                        is_test = false;
                    }
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root"), &mut found);
    found
}

#[test]
fn every_statement_is_in_the_ledger() {
    let ledger = Ledger::read();
    let v311: BTreeSet<String> = ledger.v311.keys().cloned().collect();
    let v50: BTreeSet<String> = ledger.v50.keys().cloned().collect();
    let (want311, want50) = (ids(STATEMENTS_311, ""), ids(STATEMENTS_50, "2.2.1"));
    let missing: Vec<_> = want311.difference(&v311).chain(want50.difference(&v50)).collect();
    let unknown: Vec<_> = v311.difference(&want311).chain(v50.difference(&want50)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

#[test]
fn every_statement_has_a_test_or_a_reason() {
    let ledger = Ledger::read();
    for (id, statement) in ledger.all() {
        assert!(statement.says.ends_with('.') && statement.says.len() > 10, "{id} says {:?}", statement.says);
        match (&statement.test, &statement.reason) {
            (Some(_), None) => {}
            (None, Some(reason)) => {
                let one_line = reason.len() > 10 && reason.len() < 120 && !reason.contains('\n');
                assert!(one_line, "the reason of {id} is {reason:?}");
                if reason.contains("clients only") {
                    assert!(statement.binds == Binds::Client, "{id} binds more than clients");
                }
            }
            _ => panic!("{id} has a test and a reason, or neither"),
        }
    }
}

#[test]
fn every_named_test_exists() {
    let functions = functions();
    let ledger = Ledger::read();
    let gone: Vec<String> = ledger
        .all()
        .filter_map(|(id, statement)| {
            let test = statement.test.as_ref()?;
            (!functions.contains(test)).then(|| format!("{id}: {test}"))
        })
        .collect();
    assert!(gone.is_empty(), "these tests do not exist:\n{}", gone.join("\n"));
}
