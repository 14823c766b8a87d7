//! `millrace rules check`: all that is wrong with the rules of files.

use std::path::PathBuf;

use millrace_rules::RuleDiagnostics;
use millrace_rules::diagnostics::{Diagnostic, Severity, line_and_column};
use serde::Serialize;

use super::sources::{NamedRule, Unread, rules_of};
use super::trial::{self, Trial};
use crate::diagnostics::render_all;
use crate::exit::Exit;
use crate::out::say;

/// A diagnostic as `--json` prints it; an editor marks `from` to `to`, in bytes of the rule's text.
#[derive(Debug, Serialize)]
struct Said {
    file: String,
    rule: String,
    code: &'static str,
    severity: Severity,
    from: u32,
    to: u32,
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
    replacement: Option<String>,
}

/// Runs the verb.
#[must_use]
pub fn run(files: &[PathBuf], json: bool) -> Exit {
    let mut exit = Exit::Done;
    let mut all = Vec::new();
    let mut checked = 0;
    for file in files {
        match rules_of(file) {
            Ok(rules) => {
                checked += rules.len();
                all.extend(rules.into_iter().flat_map(diagnose));
            }
            Err(Unread::File(message)) => exit = super::usage(&message),
            Err(Unread::Config(diagnostics)) => {
                eprint!("{}", render_all(&diagnostics, "the rules of this file were not checked"));
                exit = Exit::Usage;
            }
        }
    }
    let errors: usize = all.iter().map(|found| trial::errors(&found.said.diagnostics)).sum();
    let warnings = all.iter().map(|found| found.said.diagnostics.len()).sum::<usize>() - errors;
    if json {
        let each = |found: &Found| found.said.diagnostics.iter().map(|one| as_data(one, found)).collect::<Vec<_>>();
        let said: Vec<Said> = all.iter().flat_map(each).collect();
        say(&format!("{}\n", serde_json::to_string_pretty(&said).expect("texts and numbers are JSON")));
    } else {
        for found in &all {
            eprint!("{}", trial::render(&found.said.diagnostics, &found.title, &found.said.sql));
        }
        let many = |number: usize, noun| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
        if errors + warnings > 0 {
            eprintln!("{}, {} in {}", many(errors, "error"), many(warnings, "warning"), many(checked, "rule"));
        } else if exit == Exit::Done {
            say(&format!("ok: {}\n", many(checked, "rule")));
        }
    }
    if exit == Exit::Done && errors > 0 { Exit::Failed } else { exit }
}

/// What is said of one text.
struct Found {
    file: String,
    /// What a diagnostic calls the text.
    title: String,
    said: RuleDiagnostics,
}

/// Errors, or what is allowed and probably not meant; for each text of a rule.
fn diagnose(rule: NamedRule) -> Vec<Found> {
    let NamedRule { file, name, title, config } = rule;
    let said = match Trial::new(&name, &config) {
        Ok(trial) => {
            let diagnostics = trial.rule().warnings().to_vec();
            vec![RuleDiagnostics { rule: name.clone(), sql: config.sql, diagnostics }]
        }
        Err(wrong) => wrong,
    };
    let found = |said: RuleDiagnostics| Found {
        file: file.clone(),
        title: if said.rule == name { title.clone() } else { format!("{file}, rules.{}", said.rule) },
        said,
    };
    said.into_iter().map(found).collect()
}

fn as_data(diagnostic: &Diagnostic, found: &Found) -> Said {
    let (line, column) = line_and_column(diagnostic.span, &found.said.sql);
    Said {
        file: found.file.clone(),
        rule: found.said.rule.clone(),
        code: diagnostic.code,
        severity: diagnostic.severity,
        from: diagnostic.span.start,
        to: diagnostic.span.end,
        line,
        column,
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
        replacement: diagnostic.replacement.clone(),
    }
}
