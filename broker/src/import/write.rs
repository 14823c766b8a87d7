//! The config as text: what runs, and what does not as comments that need only lose their `#`.

use std::fmt::Write as _;

use millrace_rules::config::{ActionConfig, Compat, OnActionFailed};
use millrace_rules::diagnostics::Severity;

use super::model::{Imported, Rule, Sink, Verdict, short};
use crate::diagnostics::printable_lines;

/// Writes all of it.
#[must_use]
pub fn write(imported: &Imported, file: &str) -> String {
    let mut out = String::new();
    remark(&mut out, &format!("Imported from {file} (EMQX {}) by millrace {}.", imported.version, crate::run::VERSION));
    remark(
        &mut out,
        "Put it beside the config as conf.d/NAME.toml; `millrace check-config` says whether all of it holds.",
    );
    for rule in &imported.rules {
        write_rule(&mut out, rule);
    }
    for sink in &imported.sinks {
        write_sink(&mut out, sink);
    }
    out
}

/// A line, or several, for people.
fn remark(out: &mut String, text: &str) {
    for line in printable_lines(text).lines() {
        out.push_str("# ");
        out.push_str(line);
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
}

/// The same text as a comment; it has no control characters, as it is TOML.
fn commented(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let _ = if line.is_empty() { writeln!(out, "#") } else { writeln!(out, "# {line}") };
        out
    })
}

fn write_rule(out: &mut String, rule: &Rule) {
    out.push('\n');
    remark(out, if rule.old.is_empty() { "(a rule without an id)" } else { &rule.old });
    for change in &rule.changes {
        remark(out, &format!("changed: {change}"));
    }
    for refusal in &rule.refusals {
        remark(out, &format!("not supported: {refusal}"));
    }
    for diagnostic in &rule.diagnostics {
        if diagnostic.severity == Severity::Error {
            remark(out, &diagnostic.render(&rule.name, &rule.config.sql));
        }
    }
    let has_text = !rule.config.sql.is_empty();
    let runs = rule.verdict() != Verdict::NotSupported;
    if !has_text {
        return;
    }
    let mut body = format!("[rules.{}]\n", rule.name);
    let config = &rule.config;
    if !config.description.is_empty() {
        assign(&mut body, "description", &config.description.as_str().into());
    }
    if config.compat == Compat::V4 {
        assign(&mut body, "compat", &"4.x".into());
    }
    if !config.enabled {
        assign(&mut body, "enabled", &false.into());
    }
    if config.on_action_failed == OnActionFailed::Stop {
        assign(&mut body, "on_action_failed", &"stop".into());
    }
    assign(&mut body, "sql", &config.sql.as_str().into());
    let mut waiting = String::new();
    let (plain, with_fallbacks): (Vec<_>, Vec<_>) = rule
        .waiting
        .iter()
        .partition(|action| matches!(action, ActionConfig::Sink { fallbacks, .. } if fallbacks.is_empty()));
    let mut sinks: Vec<toml::Value> = Vec::new();
    for action in plain {
        if let ActionConfig::Sink { sink, .. } = action
            && !sinks.iter().any(|there| there.as_str() == Some(sink))
        {
            sinks.push(sink.as_str().into());
        }
    }
    if !sinks.is_empty() {
        assign(&mut waiting, "sinks", &sinks.into());
    }
    body.push_str(&if runs { commented(&waiting) } else { waiting });
    for action in &config.actions {
        write_action(&mut body, &rule.name, action);
    }
    for action in with_fallbacks {
        let mut waiting = String::new();
        write_action(&mut waiting, &rule.name, action);
        body.push_str(&if runs { commented(&waiting) } else { waiting });
    }
    out.push_str(&if runs { body } else { commented(&body) });
}

fn write_action(out: &mut String, rule: &str, action: &ActionConfig) {
    let _ = write!(out, "\n[[rules.{rule}.actions]]\n");
    let table = toml::Table::try_from(action).expect("an action has only keys and values that TOML has");
    for (key, value) in &table {
        assign(out, key, value);
    }
}

fn write_sink(out: &mut String, sink: &Sink) {
    out.push('\n');
    remark(out, &format!("{}; this version has no sink of the kind `{}`.", sink.old, sink.kind));
    remark(out, "Its parameters have the names that they have in EMQX; secrets are names of environment variables.");
    for note in &sink.notes {
        remark(out, note);
    }
    let mut body = format!("[sinks.{}]\n", sink.name);
    assign(&mut body, "kind", &sink.kind.as_str().into());
    for (key, value) in &sink.parameters {
        // `kind` is taken.
        assign(&mut body, if key == "kind" { "emqx_kind" } else { key }, value);
    }
    out.push_str(&commented(&body));
    if let Some(topic) = &sink.own_topic {
        remark(out, &format!("It took the messages of `{}` by itself; here that is a rule:", short(topic, 200)));
        let mut body = format!("[rules.to_{}]\n", sink.name.chars().take(60).collect::<String>());
        assign(&mut body, "sql", &format!("SELECT * FROM \"{}\"", topic.replace('"', "")).into());
        assign(&mut body, "sinks", &vec![toml::Value::from(sink.name.as_str())].into());
        out.push_str(&commented(&body));
    }
}

/// `key = value` on its line; text of several lines as such.
fn assign(out: &mut String, key: &str, value: &toml::Value) {
    // TOML quotes a key by its own rules; a table of one member shows how.
    let shown = toml::Value::from(toml::Table::from_iter([(key.to_owned(), true.into())])).to_string();
    let key = shown.strip_prefix("{ ").and_then(|key| key.strip_suffix(" = true }")).unwrap_or(&shown);
    let _ = writeln!(out, "{key} = {value}");
}
