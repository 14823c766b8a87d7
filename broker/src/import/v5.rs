//! Configs of EMQX 5.x: `rule_engine.rules`, and what its rules name: `actions` over `connectors`, or older `bridges`.
//!
//! An action of a rule is text, `TYPE:NAME`, or a function with arguments. Answers of the HTTP API (`data` with `sql`) are
//! read, too.

use std::collections::{HashMap, HashSet};

use millrace_rules::config::{ActionConfig, RuleConfig};
use serde_json::{Map, Value};

use super::model::{Converted, Imported, Lost, Rule, Sink, fallbacks_of, kind_of, short};
use super::names::Names;
use super::params::{Carrier, Of};
use super::republish;

/// The sections that are read.
const SECTIONS: &[&str] = &["rule_engine", "actions", "bridges", "connectors", "sources"];

/// Whether it looks like one.
#[must_use]
pub fn is_export(root: &Map<String, Value>) -> bool {
    SECTIONS.iter().any(|section| root.get(*section).is_some_and(Value::is_object)) || answer(root).is_some()
}

/// The rules in an answer of the HTTP API.
fn answer(root: &Map<String, Value>) -> Option<&Vec<Value>> {
    root.get("data")?.as_array().filter(|rules| rules.iter().any(|rule| rule.get("sql").is_some()))
}

/// How many things are in it, of the kind of which there are most.
#[must_use]
pub fn items(root: &Map<String, Value>) -> usize {
    let rules = root.get("rule_engine").and_then(|engine| engine.get("rules")?.as_object()).map_or(0, Map::len);
    let answered = answer(root).map_or(0, Vec::len);
    let named = ["actions", "bridges", "connectors", "sources"].map(|section| named(root, section).count());
    named.into_iter().chain([rules, answered]).max().unwrap_or(0)
}

/// Takes over what is in it.
#[must_use]
pub fn import(root: &Map<String, Value>) -> Imported {
    let mut importer = Importer::new(root);
    importer.sections("actions");
    importer.sections("bridges");
    let mut rules = Vec::new();
    let engine = root.get("rule_engine").and_then(Value::as_object);
    if let Some(written) = engine.and_then(|engine| engine.get("rules")).and_then(Value::as_object) {
        rules.extend(written.iter().map(|(id, rule)| importer.rule(id, rule)));
    }
    for rule in answer(root).into_iter().flatten() {
        rules.push(importer.rule(rule.get("id").and_then(Value::as_str).unwrap_or_default(), rule));
    }
    let mut left_out: Vec<String> = root
        .keys()
        .filter(|key| !SECTIONS.contains(&key.as_str()) && !matches!(key.as_str(), "data" | "meta"))
        .map(|key| format!("`{}`", short(key, 40)))
        .collect();
    let settings = engine.into_iter().flat_map(Map::keys).filter(|key| key.as_str() != "rules");
    left_out.extend(settings.map(|key| format!("`rule_engine.{}`", short(key, 40))));
    for (kind, name, _) in named(root, "connectors") {
        if !importer.used.contains(&(kind, name)) {
            left_out.push(format!("connectors.{}.{}, which no action uses", short(kind, 40), short(name, 80)));
        }
    }
    let mut sources: Vec<Lost> = named(root, "sources")
        .map(|(kind, name, _)| Lost {
            old: format!("sources.{}.{}", short(kind, 40), short(name, 80)),
            why: "this version has no sources; let what feeds it publish to a topic".to_owned(),
        })
        .collect();
    sources.append(&mut importer.sources);
    Imported { version: "5.x".to_owned(), rules, sinks: importer.sinks, sources, left_out }
}

/// Everything of a section with its type and name.
fn named<'e>(root: &'e Map<String, Value>, section: &str) -> impl Iterator<Item = (&'e str, &'e str, &'e Value)> {
    let kinds = root.get(section).and_then(Value::as_object).into_iter().flatten();
    kinds.flat_map(|(kind, names)| {
        names.as_object().into_iter().flatten().map(move |(name, value)| (kind.as_str(), name.as_str(), value))
    })
}

/// A sink by what rules call it.
struct Known<'e> {
    sink: String,
    fallbacks: Option<&'e Value>,
}

struct Importer<'e> {
    root: &'e Map<String, Value>,
    rule_names: Names,
    sink_names: Names,
    sinks: Vec<Sink>,
    sources: Vec<Lost>,
    /// By type and name. A bridge has several types, as its type was renamed; they have one `kind`.
    known: HashMap<(String, String), Known<'e>>,
    used: HashSet<(&'e str, &'e str)>,
}

impl<'e> Importer<'e> {
    fn new(root: &'e Map<String, Value>) -> Self {
        Self {
            root,
            rule_names: Names::default(),
            sink_names: Names::default(),
            sinks: Vec::new(),
            sources: Vec::new(),
            known: HashMap::new(),
            used: HashSet::new(),
        }
    }

    /// Makes sinks of all that stands in `actions` or `bridges`.
    fn sections(&mut self, section: &str) {
        for (kind, name, value) in named(self.root, section) {
            let old = format!("{section}.{}.{}", short(kind, 40), short(name, 80));
            let Some(value) = value.as_object() else {
                self.sources.push(Lost { old, why: "it is no object".to_owned() });
                continue;
            };
            // A bridge that only brings messages in.
            if section == "bridges"
                && (kind.ends_with("_consumer") || (value.contains_key("ingress") && !value.contains_key("egress")))
            {
                let why = "this version has no sources; let what feeds it publish to a topic".to_owned();
                self.sources.push(Lost { old, why });
                continue;
            }
            let sink = self.sink(kind, name, value, old);
            let fallbacks = value.get("fallback_actions");
            for kind in [kind.to_owned(), kind_of(kind)] {
                self.known.entry((kind, name.to_owned())).or_insert_with(|| Known { sink: sink.clone(), fallbacks });
            }
        }
    }

    fn sink(&mut self, kind: &'e str, name: &'e str, value: &'e Map<String, Value>, old: String) -> String {
        let sink = self.sink_names.name(name, "sink");
        let mut carrier = Carrier::new(&sink);
        let mut notes = Vec::new();
        if let Some(connector) = value.get("connector").and_then(Value::as_str) {
            let found = self.root.get("connectors").and_then(|all| all.get(kind)?.get(connector)?.as_object());
            match found {
                Some(found) => {
                    carrier.carry(found, Of::Connection, &["enable", "description", "tags", "resource_opts"]);
                    if found.get("enable") == Some(&Value::Bool(false)) {
                        notes.push("its connector was switched off".to_owned());
                    }
                }
                None => notes.push(format!("the file does not have its connector `{}`", short(connector, 80))),
            }
            self.used.insert((kind, connector));
        }
        const OUTER: &[&str] = &[
            "connector",
            "parameters",
            "enable",
            "description",
            "tags",
            "fallback_actions",
            "local_topic",
            "created_at",
            "last_modified_at",
        ];
        // A bridge has its connection beside its parameters.
        let of = if value.contains_key("parameters") { Of::Action } else { Of::Connection };
        if let Some(parameters) = value.get("parameters").and_then(Value::as_object) {
            carrier.carry(parameters, Of::Action, &[]);
        }
        carrier.carry(value, of, OUTER);
        let (parameters, has_files) = (carrier.table, carrier.has_files);
        if let Some(description) = value.get("description").and_then(Value::as_str).filter(|text| !text.is_empty()) {
            notes.push(short(description, 200));
        }
        if value.get("enable") == Some(&Value::Bool(false)) {
            notes.push("it was switched off".to_owned());
        }
        if has_files {
            notes.push("the contents of its files stay in the export".to_owned());
        }
        let egress = value.get("egress").and_then(|egress| egress.get("local")?.get("topic"));
        let own_topic = value.get("local_topic").or(egress).and_then(Value::as_str).filter(|topic| !topic.is_empty());
        self.sinks.push(Sink {
            old,
            name: sink.clone(),
            kind: kind_of(kind),
            parameters,
            notes,
            own_topic: own_topic.map(ToOwned::to_owned),
        });
        sink
    }

    fn rule(&mut self, id: &str, value: &'e Value) -> Rule {
        let mut rule = Rule { old: short(id, 200), name: self.rule_names.name(id, "rule"), ..Rule::default() };
        let Some(sql) = value.get("sql").and_then(Value::as_str) else {
            rule.refusals.push("it has no text in `sql`".to_owned());
            return rule;
        };
        let enabled = value.get("enable").map_or(Some(true), Value::as_bool);
        let text = |key| value.get(key).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
        rule.config = RuleConfig {
            sql: sql.to_owned(),
            enabled: enabled.unwrap_or(false),
            description: text("description").or_else(|| text("name")).unwrap_or_default().to_owned(),
            ..RuleConfig::default()
        };
        if enabled.is_none() {
            rule.changes.push("it is switched off, as its `enable` is neither true nor false".to_owned());
        }
        for action in rule.actions(value.get("actions").or_else(|| value.get("outputs"))) {
            let action = self.action(action, &mut rule.changes);
            rule.add(action);
        }
        rule.check();
        rule
    }

    fn action(&self, action: &Value, changes: &mut Vec<String>) -> Converted {
        if let Some(id) = action.as_str() {
            let Some((kind, name)) = id.split_once(':') else {
                return Converted::Lost(format!("the action `{}` is gone: it is not TYPE:NAME", short(id, 80)));
            };
            return self.reference(kind, name, changes);
        }
        match action.get("function").and_then(Value::as_str) {
            Some("republish") => republish_of(action.get("args"), changes),
            Some("console") => Converted::Ready(ActionConfig::Console {}),
            Some("do_nothing") => Converted::Ready(ActionConfig::DoNothing {}),
            Some(other) => {
                Converted::Lost(format!("the function `{}` is gone: this version loads no code", short(other, 60)))
            }
            None => Converted::Lost("an action is gone: it is neither text nor a function".to_owned()),
        }
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Known<'e>> {
        let key = |kind: String| (kind, name.to_owned());
        self.known.get(&key(kind.to_owned())).or_else(|| self.known.get(&key(kind_of(kind))))
    }

    fn reference(&self, kind: &str, name: &str, changes: &mut Vec<String>) -> Converted {
        let Some(known) = self.find(kind, name) else {
            return Converted::Lost(format!(
                "the action `{}:{}` is gone: the file does not have it",
                short(kind, 40),
                short(name, 80)
            ));
        };
        let fallbacks = fallbacks_of(known.fallbacks, changes);
        let fallbacks = fallbacks.iter().map(|fallback| self.fallback(fallback, changes)).collect();
        waiting(&known.sink).with_fallbacks(fallbacks, changes)
    }

    fn fallback(&self, fallback: &Value, changes: &mut Vec<String>) -> Converted {
        let text = |key| fallback.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("kind") {
            "reference" => match self.find(text("type"), text("name")) {
                Some(known) => waiting(&known.sink),
                None => Converted::Lost(format!(
                    "the action `{}:{}`, which the file does not have",
                    short(text("type"), 40),
                    short(text("name"), 80)
                )),
            },
            "republish" => republish_of(fallback.get("args"), changes),
            other => Converted::Lost(format!("the kind `{}`", short(other, 40))),
        }
    }
}

fn republish_of(args: Option<&Value>, changes: &mut Vec<String>) -> Converted {
    let none = Map::new();
    match republish::v5(args.and_then(Value::as_object).unwrap_or(&none), changes) {
        Ok(republish) => Converted::Ready(ActionConfig::Republish(republish)),
        Err(what) => Converted::Lost(format!("a republish is gone: {what}")),
    }
}

fn waiting(sink: &str) -> Converted {
    Converted::Waiting(ActionConfig::Sink { sink: sink.to_owned(), fallbacks: Vec::new() })
}
