//! `millrace rules test FILES`: runs the cases of files and says which hold.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millrace_core::value::Value;
use millrace_rules::codes;
use millrace_rules::diagnostics::Diagnostic;

use super::cases::{Case, Expect, read_cases};
use super::sample::Sample;
use super::trial::{self, Answer, Trial, diagnostic_of, values};
use super::{junit, shown, typed, usage, why};
use crate::diagnostics::{printable, render_all};
use crate::exit::Exit;
use crate::out::say;

/// What became of one case.
#[derive(Debug)]
pub struct Outcome {
    /// The file.
    pub file: String,
    /// The case.
    pub name: String,
    /// The line on which it begins.
    pub line: usize,
    /// How long the evaluation took.
    pub took: Duration,
    /// Why it does not hold.
    pub failure: Option<Failure>,
}

/// Why a case does not hold, a line each.
#[derive(Debug, serde::Serialize)]
pub struct Failure {
    /// What had to come.
    pub expected: Vec<String>,
    /// What came.
    pub got: Vec<String>,
    /// What differs, and why.
    pub notes: Vec<String>,
}

/// Runs the verb.
#[must_use]
pub fn run(files: &[PathBuf], json: bool, junit: Option<&Path>) -> Exit {
    let mut outcomes = Vec::new();
    let mut bad_files = false;
    for path in files {
        match read_cases(path) {
            Ok(cases) => {
                let file = shown(path);
                if !json {
                    say(&format!("{}\n", printable(&file)));
                }
                for case in cases {
                    let outcome = run_case(&file, case);
                    if !json {
                        say(&words(&outcome));
                    }
                    outcomes.push(outcome);
                }
            }
            Err(diagnostics) => {
                bad_files = true;
                eprint!("{}", render_all(&diagnostics, "no case of this file was run"));
            }
        }
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    if json {
        let all: Vec<_> = outcomes.iter().map(as_data).collect();
        say(&format!("{:#}\n", serde_json::Value::Array(all)));
    } else {
        say(&format!("{} passed, {failed} failed\n", outcomes.len() - failed));
    }
    if let Some(path) = junit
        && let Err(error) = std::fs::write(path, junit::xml(&outcomes))
    {
        return usage(&format!("cannot write {}: {error}", shown(path)));
    }
    match (bad_files, failed) {
        (true, _) => Exit::Usage,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Failed,
    }
}

fn run_case(file: &str, case: Case) -> Outcome {
    let (took, failure) = judge(&case);
    Outcome { file: file.to_owned(), name: case.name, line: case.line, took, failure }
}

/// How long it took, and why it does not hold.
fn judge(case: &Case) -> (Duration, Option<Failure>) {
    let mut trial = match Trial::new("case", &case.rule) {
        Ok(trial) => trial,
        Err(wrong) => return (Duration::ZERO, against(&case.expect, &trial::all(&wrong), case)),
    };
    let taken = match &case.event {
        Some(event) => Sample::of(event.clone(), trial.sources(), case.now),
        None => Sample::default_for(trial.sources(), case.now)
            .map(|sample| super::sample::Taken { sample, warnings: Vec::new() }),
    };
    let taken = match taken {
        Ok(taken) => taken,
        Err(message) => {
            let got = vec![format!("no event: {message}")];
            return (Duration::ZERO, Some(Failure { expected: expected(&case.expect), got, notes: Vec::new() }));
        }
    };
    let (answer, took) = trial.run(&taken.sample, Some(case.seed));
    let (rows, unwanted) = match answer {
        Answer::Failed(error) => return (took, against(&case.expect, &[diagnostic_of(&error)], case)),
        Answer::Rows(records) => (values(&records), false),
        Answer::NotWanted => (Vec::new(), true),
    };
    let mut notes: Vec<String> = match &case.expect {
        Expect::Rows { rows: wanted, exact } => typed::differences(wanted, &rows, *exact),
        Expect::Error(code) => vec![format!("{code} did not come")],
    };
    if notes.is_empty() {
        return (took, None);
    }
    // Where only rows are too many or too few, both lists say it already.
    let counts = matches!(&case.expect, Expect::Rows { rows: wanted, .. } if wanted.len() != rows.len());
    if counts || matches!(case.expect, Expect::Error(_)) {
        notes.retain(|note| !note.starts_with("expected ") && !note.ends_with("did not come"));
        if unwanted {
            let event = taken.sample.event().info().name;
            notes.push(format!("the rule does not see {event} on `{}`", taken.sample.topic()));
        } else {
            notes.extend(why::condition(&case.rule.sql, case.rule.compat, &taken.sample, Some(case.seed)));
        }
    }
    notes.extend(taken.warnings);
    (took, Some(Failure { expected: expected(&case.expect), got: shown_rows(&rows), notes }))
}

/// Holds an error against what is expected.
fn against(expect: &Expect, diagnostics: &[Diagnostic], case: &Case) -> Option<Failure> {
    if let Expect::Error(code) = expect
        && diagnostics.iter().any(|diagnostic| diagnostic.code == code)
    {
        return None;
    }
    let got = diagnostics
        .iter()
        .flat_map(|diagnostic| {
            diagnostic.render_in(&case.title, &case.rule.sql).lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    Some(Failure { expected: expected(expect), got, notes: Vec::new() })
}

fn expected(expect: &Expect) -> Vec<String> {
    match expect {
        Expect::Rows { rows, .. } => shown_rows(rows),
        Expect::Error(code) => {
            vec![format!("{code}: {}", codes::explain(code).map_or("", |code| code.cause))]
        }
    }
}

fn shown_rows(rows: &[Value<'_>]) -> Vec<String> {
    if rows.is_empty() { vec!["no row".to_owned()] } else { rows.iter().map(typed::typed).collect() }
}

/// One case as a person reads it.
fn words(outcome: &Outcome) -> String {
    let Some(failure) = &outcome.failure else {
        return format!("  ok    {:50} {:>6} us\n", printable(&outcome.name), outcome.took.as_micros());
    };
    let mut text = format!("  FAIL  {}   (line {})\n", printable(&outcome.name), outcome.line);
    for line in lines(failure) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "          {}", printable(&line));
    }
    text
}

/// Why a case does not hold, in lines for people.
#[must_use]
pub fn lines(failure: &Failure) -> Vec<String> {
    let labelled = |label: &'static str, lines: &[String]| {
        lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("{:8}  {line}", if at == 0 { label } else { "" }))
            .collect::<Vec<_>>()
    };
    [labelled("expected", &failure.expected), labelled("got", &failure.got), failure.notes.clone()].concat()
}

fn as_data(outcome: &Outcome) -> serde_json::Value {
    let mut data = serde_json::json!({
        "file": outcome.file,
        "name": outcome.name,
        "line": outcome.line,
        "passed": outcome.failure.is_none(),
        "microseconds": u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX),
    });
    if let (Some(failure), Some(object)) = (&outcome.failure, data.as_object_mut()) {
        object.insert("failure".to_owned(), serde_json::json!(failure));
    }
    data
}
