//! `millrace rules test --sql … --event …`: the rows that one rule makes of one event.

use std::path::{Path, PathBuf};

use millrace_rules::RuleConfig;
use millrace_rules::diagnostics::Diagnostic;

use super::sample::{DEFAULT_PAYLOAD, Sample, Taken};
use super::trial::{self, Answer, Trial, Wrong, diagnostic_of, render, values};
use super::{TestOptions, read, shown, typed, usage, why};
use crate::diagnostics::{printable, render_all};
use crate::exit::Exit;
use crate::out::say;
use crate::timestamp;

/// Runs the verb.
#[must_use]
pub fn run(options: &TestOptions) -> Exit {
    let (title, config) = match rule(options) {
        Ok(rule) => rule,
        Err(message) => return usage(&message),
    };
    let mut trial = match Trial::new("rule", &config) {
        Ok(trial) => trial,
        Err(wrong) => return refused(&trial::all(&wrong), &title, &config.sql, options.json),
    };
    eprint!("{}", render(trial.rule().warnings(), &title, &config.sql));
    let now = options.now.unwrap_or_else(timestamp::unix_ms);
    let sample = match event(options, trial.sources(), now) {
        Ok(sample) => sample,
        Err(exit) => return exit,
    };
    let (answer, _) = trial.run(&sample, options.seed);
    let rows = match answer {
        Answer::Failed(error) => return refused(&[diagnostic_of(&error)], &title, &config.sql, options.json),
        Answer::NotWanted => {
            eprintln!("note: {}", not_wanted(&sample, trial.sources()));
            Vec::new()
        }
        Answer::Rows(records) => {
            if records.is_empty() {
                let why = why::condition(&config.sql, config.compat, &sample, options.seed);
                eprintln!("note: no row{}", why.map(|why| format!(": {}", printable(&why))).unwrap_or_default());
            }
            values(&records)
        }
    };
    if options.json {
        let rows: Vec<String> = rows.iter().map(millrace_core::value::Value::to_json).collect();
        say(&format!("[{}]\n", rows.join(",")));
    } else {
        let rows: Vec<String> = rows.iter().map(typed::lines).collect();
        say(&rows.join("\n"));
    }
    Exit::Done
}

/// The name of the rule's text and the rule.
fn rule(options: &TestOptions) -> Result<(String, RuleConfig), String> {
    let (title, sql) = match (&options.sql, &options.sql_file) {
        (Some(sql), _) => ("rule".to_owned(), sql.clone()),
        (None, Some(file)) => (shown(file), read(file)?),
        (None, None) => return Err("give a rule by --sql or --sql-file, or files with cases".to_owned()),
    };
    let compat = options.compat.map(Into::into).unwrap_or_default();
    Ok((title, RuleConfig { sql, compat, ..RuleConfig::default() }))
}

fn event(options: &TestOptions, sources: &[String], now: u64) -> Result<Sample, Exit> {
    let (name, text) = match (&options.event, &options.event_file) {
        (Some(text), _) if text.trim_start().starts_with('{') => ("--event".to_owned(), text.clone()),
        (Some(file), _) => from_file(Path::new(file))?,
        (None, Some(file)) => from_file(file)?,
        (None, None) => {
            let sample = Sample::default_for(sources, now).map_err(|message| usage(&message))?;
            eprintln!("note: no --event, so {}", default_in_words(&sample));
            return Ok(sample);
        }
    };
    match Sample::parse(&name, &text, sources, now) {
        Ok(Taken { sample, warnings }) => {
            for warning in warnings {
                eprintln!("warning: {}", printable(&warning));
            }
            Ok(sample)
        }
        Err(diagnostic) => {
            eprint!("{}", render_all(&[*diagnostic], "the rule was not tried"));
            Err(Exit::Usage)
        }
    }
}

fn from_file(file: &Path) -> Result<(String, String), Exit> {
    let stdin = PathBuf::from("-");
    let file = if file.as_os_str().is_empty() { &stdin } else { file };
    read(file).map(|text| (shown(file), text)).map_err(|message| usage(&message))
}

fn default_in_words(sample: &Sample) -> String {
    let event = sample.event();
    if event.is_about_a_message() {
        return format!("{} with the payload {DEFAULT_PAYLOAD} on `{}`", event.info().name, printable(sample.topic()));
    }
    format!("{} of the client `c1`", event.info().name)
}

fn not_wanted(sample: &Sample, sources: &[String]) -> String {
    let sources: Vec<String> = sources.iter().map(|source| format!("\"{}\"", printable(source))).collect();
    let event = sample.event().info().name;
    let topic = printable(sample.topic());
    let met = if sample.topic().is_empty() { event.to_owned() } else { format!("{event} on `{topic}`") };
    format!("the rule does not see {met}: FROM has {}", sources.join(", "))
}

/// Says what is wrong with the rule, or why it failed.
fn refused(diagnostics: &[Diagnostic], title: &str, sql: &str, json: bool) -> Exit {
    eprint!("{}", render(diagnostics, title, sql));
    if json && let Some(first) = diagnostics.iter().find(|d| trial::errors(std::slice::from_ref(d)) > 0) {
        let wrong = Wrong::of(first, sql);
        say(&format!("{}\n", serde_json::to_string(&wrong).expect("texts and numbers are JSON")));
    }
    Exit::Failed
}
