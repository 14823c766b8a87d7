//! Exports of EMQX 4.x: one JSON object with `rules`, `resources` and tables that are not ours.
//!
//! An action names its resource in `args.$resource`; the resource is the connection, the rest of `args` what is done with
//! a row. Here both are one sink. Answers of the HTTP API (`data` with `rawsql` and `params`) are read, too.

use std::collections::{HashMap, HashSet};

use millrace_rules::config::{ActionConfig, Compat, OnActionFailed, RuleConfig};
use serde_json::{Map, Value};

use super::model::{Converted, Imported, Rule, Sink, fallbacks_of, kind_of, short};
use super::names::Names;
use super::params::{Carrier, Of};
use super::republish;

/// Whether it looks like one.
#[must_use]
pub fn is_export(root: &Map<String, Value>) -> bool {
    root.get("rules").is_some_and(Value::is_array) || answer(root).is_some()
}

/// The rules in an answer of the HTTP API.
fn answer(root: &Map<String, Value>) -> Option<&Vec<Value>> {
    root.get("data")?.as_array().filter(|rules| rules.iter().any(|rule| rule.get("rawsql").is_some()))
}

/// How many things are in it, of the kind of which there are most.
#[must_use]
pub fn items(root: &Map<String, Value>) -> usize {
    let lists = ["rules", "resources", "data"].iter().filter_map(|key| root.get(*key)?.as_array());
    lists.map(Vec::len).max().unwrap_or(0)
}

/// Takes over what is in it.
#[must_use]
pub fn import(root: &Map<String, Value>) -> Imported {
    let none = Vec::new();
    let resources = root.get("resources").and_then(Value::as_array).unwrap_or(&none);
    let mut importer = Importer {
        resources: resources.iter().filter_map(|resource| Some((resource.get("id")?.as_str()?, resource))).collect(),
        ..Importer::default()
    };
    let rules = root.get("rules").and_then(Value::as_array).or_else(|| answer(root)).unwrap_or(&none);
    let rules = rules.iter().map(|rule| importer.rule(rule)).collect();
    let mut left_out: Vec<String> = root
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "rules" | "resources" | "data"))
        .filter_map(|(key, value)| {
            let count = value.as_array().map(Vec::len).filter(|count| *count > 0)?;
            Some(format!("`{}` ({count})", short(key, 40)))
        })
        .collect();
    for resource in resources {
        let id = resource.get("id").and_then(Value::as_str).unwrap_or("a resource without an id");
        if !importer.used.contains(id) {
            left_out.push(format!("{} ({}), which no rule uses", short(id, 80), short(kind(resource), 40)));
        }
    }
    let version =
        root.get("version").and_then(Value::as_str).map_or_else(|| "4.x".to_owned(), |version| short(version, 20));
    Imported { version, rules, sinks: importer.sinks, sources: Vec::new(), left_out }
}

fn kind(resource: &Value) -> &str {
    resource.get("type").and_then(Value::as_str).unwrap_or("no type")
}

#[derive(Default)]
struct Importer<'e> {
    resources: HashMap<&'e str, &'e Value>,
    used: HashSet<&'e str>,
    rule_names: Names,
    sink_names: Names,
    sinks: Vec<Sink>,
    /// The same resource with the same parameters is the same sink.
    known: HashMap<String, String>,
}

impl<'e> Importer<'e> {
    fn rule(&mut self, value: &'e Value) -> Rule {
        let old = value.get("id").and_then(Value::as_str).unwrap_or_default();
        let mut rule = Rule { old: short(old, 200), name: self.rule_names.name(old, "rule"), ..Rule::default() };
        let Some(sql) = value.get("rawsql").and_then(Value::as_str) else {
            rule.refusals.push("it has no text in `rawsql`".to_owned());
            return rule;
        };
        let enabled = value.get("enabled").map_or(Some(true), Value::as_bool);
        rule.config = RuleConfig {
            sql: sql.to_owned(),
            compat: Compat::V4,
            enabled: enabled.unwrap_or(false),
            description: value.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            on_action_failed: match value.get("on_action_failed").and_then(Value::as_str) {
                Some("stop") => OnActionFailed::Stop,
                _ => OnActionFailed::Continue,
            },
            ..RuleConfig::default()
        };
        if enabled.is_none() {
            rule.changes.push("it is switched off, as its `enabled` is neither true nor false".to_owned());
        }
        for action in rule.actions(value.get("actions")) {
            let action = self.with_fallbacks(action, &mut rule.changes);
            rule.add(action);
        }
        rule.check();
        rule
    }

    fn with_fallbacks(&mut self, action: &'e Value, changes: &mut Vec<String>) -> Converted {
        let fallbacks = fallbacks_of(action.get("fallbacks"), changes);
        let fallbacks = fallbacks.iter().map(|fallback| self.action(fallback)).collect();
        self.action(action).with_fallbacks(fallbacks, changes)
    }

    fn action(&mut self, action: &'e Value) -> Converted {
        let Some(name) = action.get("name").and_then(Value::as_str) else {
            return Converted::Lost("an action without a name is gone".to_owned());
        };
        let args = action.get("args").or_else(|| action.get("params")).and_then(Value::as_object);
        let none = Map::new();
        let args = args.unwrap_or(&none);
        match name {
            "republish" => match republish::v4(args) {
                Ok(republish) => Converted::Ready(ActionConfig::Republish(republish)),
                Err(what) => Converted::Lost(format!("a republish is gone: {what}")),
            },
            "inspect" => Converted::Ready(ActionConfig::Console {}),
            "do_nothing" => Converted::Ready(ActionConfig::DoNothing {}),
            _ => self.sink(name, args),
        }
    }

    fn sink(&mut self, name: &str, args: &Map<String, Value>) -> Converted {
        let Some(id) = args.get("$resource").and_then(Value::as_str) else {
            return Converted::Lost(format!("the action `{}` is gone: this version has none like it", short(name, 60)));
        };
        let Some((&id, &resource)) = self.resources.get_key_value(id) else {
            return Converted::Lost(format!(
                "the action `{}` is gone: the file does not have its resource {}",
                short(name, 60),
                short(id, 80)
            ));
        };
        self.used.insert(id);
        let written = serde_json::to_string(args).unwrap_or_default();
        let known = format!("{id}\n{name}\n{written}");
        if let Some(sink) = self.known.get(&known) {
            return waiting(sink);
        }
        let old_kind = kind(resource);
        let kind = kind_of(old_kind);
        let sink = self.sink_names.name(&format!("{kind}_{}", id.strip_prefix("resource:").unwrap_or(id)), "sink");
        let mut carrier = Carrier::new(&sink);
        if let Some(config) = resource.get("config").and_then(Value::as_object) {
            carrier.carry(config, Of::Connection, &[]);
        }
        carrier.carry(args, Of::Action, &["$resource"]);
        let (parameters, has_files) = (carrier.table, carrier.has_files);
        let mut notes = Vec::new();
        if let Some(description) = resource.get("description").and_then(Value::as_str).filter(|text| !text.is_empty()) {
            notes.push(short(description, 200));
        }
        if has_files {
            notes.push("the contents of its files stay in the export".to_owned());
        }
        self.sinks.push(Sink {
            old: format!("{} ({}), {}", short(id, 80), short(old_kind, 40), short(name, 60)),
            name: sink.clone(),
            kind,
            parameters,
            notes,
            own_topic: None,
        });
        let converted = waiting(&sink);
        self.known.insert(known, sink);
        converted
    }
}

fn waiting(sink: &str) -> Converted {
    Converted::Waiting(ActionConfig::Sink { sink: sink.to_owned(), fallbacks: Vec::new() })
}
