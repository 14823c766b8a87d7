//! What is made of an export, whichever generation it has: rules and sinks, each with what became of it.

use millrace_rules::actions::{ActionFault, Actions};
use millrace_rules::config::{ActionConfig, RuleConfig};
use millrace_rules::diagnostics::{Diagnostic, Severity};
use serde::Serialize;
use serde_json::Value;

use super::differences::Difference;

/// Rules of an export, and things of each other kind. Real ones have some hundreds.
pub const ITEMS_MAX: usize = 10_000;
/// Actions of a rule, as the config has it.
pub const ACTIONS_MAX: usize = 32;
/// Fallbacks of an action, as the config has it.
pub const FALLBACKS_MAX: usize = 8;

/// All that was in an export.
#[derive(Debug, Default)]
pub struct Imported {
    /// As the file says, or as it looks: `4.4`, `5.x`.
    pub version: String,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// What they write to.
    pub sinks: Vec<Sink>,
    /// What brought messages in, or was not even readable.
    pub sources: Vec<Lost>,
    /// What else is in the file.
    pub left_out: Vec<String>,
}

/// Something of which nothing is written.
#[derive(Debug)]
pub struct Lost {
    /// What it is in the export.
    pub old: String,
    /// Why.
    pub why: String,
}

/// What became of a rule or sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does what it did.
    Taken,
    /// It runs, and something of it is gone or other than it was.
    Changed,
    /// It does not run here; it is written commented out.
    NotSupported,
}

/// One rule.
#[derive(Debug, Default)]
pub struct Rule {
    /// Its id in the export.
    pub old: String,
    /// Its name in the config.
    pub name: String,
    /// What is written: its text, and the actions that this version has.
    pub config: RuleConfig,
    /// Actions that hand rows to sinks which this version does not have; written commented out.
    pub waiting: Vec<ActionConfig>,
    /// What is gone or other than it was.
    pub changes: Vec<String>,
    /// Why it cannot run, besides the diagnostics.
    pub refusals: Vec<String>,
    /// What the checker says of its text.
    pub diagnostics: Vec<Diagnostic>,
    /// Where its text may mean something else here.
    pub differences: Vec<Difference>,
}

impl Rule {
    /// What became of it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.refusals.is_empty() || self.diagnostics.iter().any(|d| d.severity == Severity::Error) {
            Verdict::NotSupported
        } else if self.changes.is_empty() {
            Verdict::Taken
        } else {
            Verdict::Changed
        }
    }

    /// Puts one action where it belongs.
    pub fn add(&mut self, action: Converted) {
        match action {
            Converted::Ready(action) => self.config.actions.push(action),
            Converted::Waiting(action) => {
                self.changes.push(format!("runs without {}", described(&action)));
                self.waiting.push(action);
            }
            Converted::Lost(why) => self.changes.push(why),
        }
    }

    /// The actions in its list, if that is one and not too long.
    pub fn actions<'e>(&mut self, list: Option<&'e Value>) -> &'e [Value] {
        match list {
            None => &[],
            Some(Value::Array(actions)) if actions.len() <= ACTIONS_MAX => actions,
            Some(Value::Array(actions)) => {
                self.refusals.push(format!("it has {} actions, and a rule may have {ACTIONS_MAX}", actions.len()));
                &[]
            }
            Some(_) => {
                self.refusals.push("its `actions` are no list".to_owned());
                &[]
            }
        }
    }

    /// Checks its text, settles its templates, and finds where it means something else here.
    pub fn check(&mut self) {
        self.diagnostics = millrace_rules::rule::diagnose(&self.config.sql).unwrap_or_else(|errors| errors);
        super::templates::settle(self);
        self.drop_faulty_actions();
        super::differences::find(self);
    }
}

impl Rule {
    /// Leaves out each action that the config would be refused for.
    fn drop_faulty_actions(&mut self) {
        let Ok(compiled) = millrace_rules::Rule::compile(0, &self.name, &self.config) else { return };
        let columns: Vec<_> = compiled.columns().map(|columns| &**columns).collect();
        let mut alone = RuleConfig { actions: Vec::new(), ..self.config.clone() };
        for action in std::mem::take(&mut self.config.actions) {
            alone.actions = vec![action.clone()];
            match Actions::compile(&alone, &columns, compiled.has_open_columns()) {
                Ok(_) => self.config.actions.push(action),
                Err(faults) => {
                    for ActionFault { key, diagnostic, .. } in faults {
                        let Diagnostic { code, message, .. } = diagnostic;
                        let key = key.trim_start_matches("actions[1].");
                        self.changes.push(format!("an action is gone: {code} {key}: {}", short(&message, 200)));
                    }
                }
            }
        }
    }
}

fn described(action: &ActionConfig) -> String {
    match action {
        ActionConfig::Sink { sink, fallbacks } if fallbacks.is_empty() => format!("its sink `{sink}`"),
        ActionConfig::Sink { sink, .. } => format!("its sink `{sink}` and the fallbacks of it"),
        _ => "an action".to_owned(),
    }
}

/// What became of one action.
#[derive(Debug)]
pub enum Converted {
    /// This version has it.
    Ready(ActionConfig),
    /// It needs a sink that this version does not have.
    Waiting(ActionConfig),
    /// It has no counterpart; the words say what and why.
    Lost(String),
}

impl Converted {
    /// The same, with what is tried when it fails.
    #[must_use]
    pub fn with_fallbacks(self, fallbacks: Vec<Self>, changes: &mut Vec<String>) -> Self {
        match self {
            Self::Ready(ActionConfig::Republish(mut republish)) => {
                for fallback in fallbacks {
                    match fallback {
                        Self::Ready(action) => republish.fallbacks.push(action),
                        Self::Waiting(action) => {
                            changes.push(format!("a republish is without its fallback, {}", described(&action)))
                        }
                        Self::Lost(why) => changes.push(format!("a republish is without a fallback: {why}")),
                    }
                }
                Self::Ready(ActionConfig::Republish(republish))
            }
            Self::Waiting(ActionConfig::Sink { sink, fallbacks: mut there }) => {
                for fallback in fallbacks {
                    match fallback {
                        Self::Ready(action) | Self::Waiting(action) => there.push(action),
                        Self::Lost(why) => changes.push(format!("the sink `{sink}` is without a fallback: {why}")),
                    }
                }
                Self::Waiting(ActionConfig::Sink { sink, fallbacks: there })
            }
            // What cannot fail has no use for fallbacks.
            other => other,
        }
    }
}

/// One sink: where it went, and with what.
#[derive(Debug)]
pub struct Sink {
    /// What it is in the export, such as `resource:a7a38187 (bridge_kafka)`.
    pub old: String,
    /// Its name in the config.
    pub name: String,
    /// Its `kind`, in the words of this program where it has them.
    pub kind: String,
    /// Its parameters by their names in the export, without secrets.
    pub parameters: toml::Table,
    /// Notes that stand above it.
    pub notes: Vec<String>,
    /// Topics that it took by itself, without a rule.
    pub own_topic: Option<String>,
}

/// What `kind` would be, by the type of a resource, action or bridge. None of them is in this version.
#[must_use]
pub fn kind_of(kind: &str) -> String {
    let known = match kind {
        "web_hook" | "webhook" | "http" => "http",
        "bridge_kafka" | "kafka" | "kafka_producer" | "confluent_producer" | "azure_event_hub_producer" => "kafka",
        "bridge_mqtt" | "mqtt" => "mqtt",
        "backend_mysql" | "mysql" => "mysql",
        "backend_pgsql" | "backend_timescale" | "backend_matrix" | "pgsql" | "timescale" | "matrix" | "alloydb"
        | "cockroachdb" | "redshift" => "postgres",
        "disk_log" => "file",
        "" => "unknown",
        other => other.trim_start_matches("backend_").trim_start_matches("bridge_"),
    };
    known.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).take(40).collect()
}

/// The fallbacks of an action, without those that are too many.
pub fn fallbacks_of<'e>(list: Option<&'e Value>, changes: &mut Vec<String>) -> &'e [Value] {
    let all = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if all.len() > FALLBACKS_MAX {
        changes.push(format!(
            "an action is without {} of its fallbacks: it may have {FALLBACKS_MAX}",
            all.len() - FALLBACKS_MAX
        ));
    }
    &all[..all.len().min(FALLBACKS_MAX)]
}

/// Text of an export as it may stand in a sentence.
#[must_use]
pub fn short(text: &str, chars: usize) -> String {
    let text = crate::diagnostics::printable(text);
    if text.chars().count() <= chars {
        return text;
    }
    text.chars().take(chars).chain(['…']).collect()
}
