//! The ledger of normative statements is complete, every test that it names exists, and the source cites its numbers.

use std::collections::{BTreeMap, BTreeSet};
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
    ("4.2.0", 1),
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
    test: Option<Tests>,
    reason: Option<String>,
}

/// One test, or those that hold a statement together.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tests {
    One(String),
    Several(Vec<String>),
}

impl Tests {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
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
    v311: BTreeMap<String, Statement>,
    #[serde(rename = "5.0")]
    v50: BTreeMap<String, Statement>,
}

impl Ledger {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance.toml");
        let text = std::fs::read_to_string(&path).expect("the ledger can be read");
        Self::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
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

/// Every source file of the checkout: the name without `.rs`, the path and the text.
fn sources() -> Vec<(String, String, String)> {
    fn walk(dir: &Path, found: &mut Vec<(String, String, String)>) {
        for entry in std::fs::read_dir(dir).expect("a folder of the checkout can be read") {
            let path = entry.expect("its entries too").path();
            let name = path.file_name().and_then(|n| n.to_str()).expect("names are UTF-8");
            if path.is_dir() {
                if !matches!(name, "target" | ".git" | "node_modules" | "data") {
                    walk(&path, found);
                }
            } else if let Some(stem) = name.strip_suffix(".rs") {
                let source = std::fs::read_to_string(&path).expect("a source file can be read");
                found.push((stem.to_owned(), path.display().to_string(), source));
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root"), &mut found);
    found
}

/// Every test of the checkout as `FILE::NAME`, and how many have that name.
fn tests_of_the_checkout() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (stem, _, source) in sources() {
        let mut is_test = false;
        for line in source.lines().map(str::trim) {
            if line == "#[test]" {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("fn ") {
                if is_test {
                    let name = rest.split('(').next().unwrap_or_default();
                    *found.entry(format!("{stem}::{name}")).or_insert(0) += 1;
                }
                is_test = false;
            }
        }
    }
    found
}

/// What is wrong with the tests that a ledger names.
fn faults_of_names(ledger: &Ledger, tests: &BTreeMap<String, usize>) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, statement) in ledger.all() {
        let names = statement.test.as_ref().map_or(&[][..], Tests::names);
        for (at, name) in names.iter().enumerate() {
            match tests.get(name) {
                None => faults.push(format!("{id}: {name} does not exist")),
                Some(1) => {}
                Some(count) => faults.push(format!("{id}: {name} is {count} tests")),
            }
            if names[..at].contains(name) {
                faults.push(format!("{id}: {name} is named twice"));
            }
        }
        if matches!(&statement.test, Some(Tests::Several(names)) if names.len() < 2) {
            faults.push(format!("{id}: a list of tests has two or more"));
        }
    }
    faults
}

/// The statement numbers in a text, and whether each is said to be one of 3.1.1.
fn cited(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.match_indices("MQTT-").filter_map(|(at, _)| {
        let rest = &text[at..];
        let digits = rest[5..].find(|c: char| !matches!(c, '0'..='9' | '.' | '-')).unwrap_or(rest.len() - 5);
        let number = rest[..5 + digits].trim_end_matches(['.', '-']);
        (number.len() > 5).then(|| (text[..at].ends_with("3.1.1 "), number))
    })
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
    let faults = faults_of_names(&Ledger::read(), &tests_of_the_checkout());
    assert!(faults.is_empty(), "the ledger names what is not there:\n{}", faults.join("\n"));
}

#[test]
fn the_source_cites_numbers_of_the_ledger() {
    let ledger = Ledger::read();
    let mut unknown = Vec::new();
    for (stem, path, source) in sources() {
        if stem == "conformance" {
            continue;
        }
        for (is_311, number) in cited(&source) {
            let numbers = if is_311 { &ledger.v311 } else { &ledger.v50 };
            if !numbers.contains_key(number) {
                unknown.push(format!("{path}: {number}"));
            }
        }
    }
    assert!(unknown.is_empty(), "no statement has these numbers:\n{}", unknown.join("\n"));
}

/// A ledger with these lines for 3.1.1 and none for 5.0.
fn ledger_of(lines: &[&str]) -> Result<Ledger, toml::de::Error> {
    Ledger::parse(&format!("[\"3.1.1\"]\n{}\n[\"5.0\"]\n", lines.join("\n")))
}

#[test]
fn a_number_stands_once_for_each_version() {
    let line = r#""MQTT-1.5.3-1" = { binds = "both", says = "One thing.", test = "a::b" }"#;
    assert!(ledger_of(&[line]).is_ok());
    assert!(ledger_of(&[line, &line.replace("One", "Another")]).is_err());
    assert!(ledger_of(&[&line.replace("says", "say")]).is_err(), "an unknown field");
}

#[test]
fn a_name_that_is_no_test_or_not_one_is_found() {
    let tests = BTreeMap::from([("a::b".to_owned(), 1), ("a::c".to_owned(), 1), ("a::twice".to_owned(), 2)]);
    for (named, faults) in [
        (r#""a::b""#, 0),
        (r#"["a::b", "a::c"]"#, 0),
        (r#""a::gone""#, 1),
        (r#"["a::b", "gone::b"]"#, 1),
        (r#""a::twice""#, 1),
        (r#"["a::b", "a::b"]"#, 1),
        (r#"["a::b"]"#, 1),
        ("[]", 1),
    ] {
        let line = format!(r#""MQTT-1.5.3-1" = {{ binds = "both", says = "One thing.", test = {named} }}"#);
        let ledger = ledger_of(&[&line]).expect("it is a ledger");
        assert_eq!(faults_of_names(&ledger, &tests).len(), faults, "{named}");
    }
}

#[test]
fn numbers_are_found_in_a_text() {
    let text = "as [MQTT-3.1.0-1]. [3.1.1 MQTT-3.3.1-12], MQTT-4.2.0-1 and MQTT-SN.";
    let found: Vec<_> = cited(text).collect();
    assert_eq!(found, [(false, "MQTT-3.1.0-1"), (true, "MQTT-3.3.1-12"), (false, "MQTT-4.2.0-1")]);
}
