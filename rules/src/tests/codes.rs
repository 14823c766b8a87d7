//! The table of codes tells the truth.

use std::path::Path;

use super::run;
use crate::codes::{CODES, explain};
use crate::rule::diagnose;

#[test]
fn every_example_gets_its_code_and_is_mended() {
    for code in CODES {
        assert_eq!(diagnose(code.mended), Ok(vec![]), "{}", code.code);
        if code.example.is_empty() {
            continue;
        }
        let found = match (diagnose(code.example), code.payload) {
            (Ok(warnings), None) => warnings.iter().map(|found| found.code).collect(),
            (Ok(_), Some("")) => vec![code.code],
            (Ok(_), Some(payload)) => vec![run(code.example, payload.as_bytes()).leak() as &str],
            (Err(found), _) => found.iter().map(|found| found.code).collect(),
        };
        assert!(found.contains(&code.code), "{} {found:?}", code.code);
        if let Some(payload) = code.payload {
            let mended = run(code.mended, payload.as_bytes());
            assert!(!mended.starts_with('R'), "{} {mended}", code.code);
        }
    }
}

#[test]
fn every_code_that_the_crate_uses_is_in_the_table_once_and_in_order() {
    let mut used: Vec<String> = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut |source| {
        used.extend(source.match_indices("\"R0").map(|(at, _)| source[at + 1..at + 6].to_owned()));
    });
    used.sort_unstable();
    used.dedup();
    let known: Vec<_> = CODES.iter().map(|code| code.code).collect();
    assert_eq!(known, used);
    assert!(explain("r0102").is_some_and(|code| code.mended.contains("'high'")));
    assert!(explain("R9999").is_none());
}

/// The text of each source file besides tests and the table itself.
fn sources(folder: &Path, visit: &mut impl FnMut(&str)) {
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("readable").path();
        if path.ends_with("tests") || path.ends_with("codes.rs") {
            continue;
        }
        if path.is_dir() {
            sources(&path, visit);
        } else {
            let source = std::fs::read_to_string(&path).expect("text");
            visit(source.split("#[cfg(test)]").next().unwrap_or_default());
        }
    }
}
