//! What must hold beyond the type of each key: bounds, names, ports that do not clash, sinks that exist.

use std::collections::BTreeSet;

use millrace_rules::Rule;
use millrace_rules::actions::{ActionFault, Actions, fallbacks};
use millrace_rules::config::ActionConfig;
use millrace_shards::config::Listener;
use millrace_sinks::sqlite::Sqlite;

use super::sections::{RuleConfig, SinkConfig};
use super::tree::{Node, Origin, Table};
use super::{Config, flat, keys, report};
use crate::diagnostics::{Diagnostic, Place, Severity, nearest};

/// Longest mountpoint: it is in front of every topic of its clients.
const MOUNTPOINT_BYTES_MAX: usize = 256;

/// Longest name of a listener, rule or sink: it is a metric label.
pub const NAME_BYTES_MAX: usize = 64;

/// All that is wrong with the values together.
#[must_use]
pub fn check(config: &Config, tree: &Table) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    each(config, tree, &mut found);
    listeners(config, tree, &mut found);
    rules(config, tree, &mut found);
    sinks(config, tree, &mut found);
    if config.data_dir.as_os_str().is_empty() {
        found.push(
            Diagnostic::error("C0103", "`data_dir` is empty; everything that is written goes below it")
                .at(value_place(tree, &["data_dir"])),
        );
    }
    found
}

fn value_origin(tree: &Table, path: &[&str]) -> Option<Origin> {
    let entry = tree.find(path.iter().copied())?;
    Some(match &entry.node {
        Node::Leaf(leaf) => leaf.origin.clone(),
        Node::Table(_) => entry.origin.clone(),
    })
}

fn value_place(tree: &Table, path: &[&str]) -> Option<Place> {
    value_origin(tree, path)?.place()
}

/// What is wrong with single values, whatever else there is or lacks.
pub fn each(config: &Config, tree: &Table, found: &mut Vec<Diagnostic>) {
    bounds(config, tree, found);
    names(config, tree, found);
    for (name, rule) in &config.rules {
        sql(name, rule, tree, found);
    }
}

/// Values that are not within the bounds of their keys.
fn bounds(config: &Config, tree: &Table, found: &mut Vec<Diagnostic>) {
    for (path, value) in flat(config) {
        if let Err(wanted) = keys::check_bounds(&path, &value) {
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            let origin = value_origin(tree, &names).unwrap_or_else(|| Origin::Set(names.join(".")));
            found.push(report::out_of_bounds(&path, &value, &origin, &wanted));
        }
    }
}

fn names(config: &Config, tree: &Table, found: &mut Vec<Diagnostic>) {
    let kinds: [(&str, Vec<&String>); 3] = [
        ("listeners", config.listeners.keys().collect()),
        ("rules", config.rules.keys().collect()),
        ("sinks", config.sinks.keys().collect()),
    ];
    for (kind, names) in kinds {
        for name in names {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
                let message = format!(
                    "{name:?} cannot be a name: use 1 to {NAME_BYTES_MAX} letters, digits, `_` and `-` (it becomes a \
                     label in metrics and logs)"
                );
                let place = tree.find([kind, name.as_str()]).and_then(|entry| entry.origin.place());
                found.push(Diagnostic::error("C0109", message).at(place));
            }
        }
    }
}

fn listeners(config: &Config, tree: &Table, found: &mut Vec<Diagnostic>) {
    let open: Vec<(&String, &Listener)> = config.listeners.iter().filter(|(_, l)| l.enabled).collect();
    if open.is_empty() {
        found.push(
            Diagnostic::error("C0110", "no listener is enabled, so nobody could connect")
                .help("write [listeners.default] with enabled = true"),
        );
    }
    for (at, (name, listener)) in open.iter().enumerate() {
        for (other_name, other) in &open[..at] {
            if clash(listener, other) {
                let message = format!(
                    "listeners.{name} and listeners.{other_name} both want {}",
                    std::net::SocketAddr::new(listener.address, listener.port)
                );
                let place = value_place(tree, &["listeners", name, "port"])
                    .or_else(|| tree.find(["listeners", name.as_str()]).and_then(|entry| entry.origin.place()));
                found.push(
                    Diagnostic::error("C0107", message)
                        .at(place)
                        .help(format!("give one another port: --set listeners.{name}.port=…")),
                );
            }
        }
    }
    for (name, listener) in &config.listeners {
        let point = &listener.mountpoint;
        if !is_mountpoint(point) {
            let message = format!("the mountpoint {point:?} of listeners.{name} is not the beginning of a Topic Name");
            let place = value_place(tree, &["listeners", name, "mountpoint"]).map(|place| {
                place.labelled(format!(
                    "whole levels that end in `/`, as in \"tenant/\"; no `+`, `#`, NUL or leading `$`; at most \
                     {MOUNTPOINT_BYTES_MAX} bytes"
                ))
            });
            found.push(Diagnostic::error("C0111", message).at(place));
        }
    }
}

/// Without the `/` at its end the topics of one mountpoint could be those of another: `ab` + `c` and `a` + `bc`.
fn is_mountpoint(point: &str) -> bool {
    let is_plain = !point.contains(['+', '#', '\0']) && !point.starts_with('$');
    point.is_empty() || (is_plain && point.ends_with('/') && point.len() <= MOUNTPOINT_BYTES_MAX)
}

fn clash(one: &Listener, other: &Listener) -> bool {
    let covers = |a: std::net::IpAddr, b: std::net::IpAddr| {
        // `::` takes IPv4 too where the host allows it.
        a == b || (a.is_unspecified() && (a.is_ipv6() || b.is_ipv4()))
    };
    one.port != 0
        && one.port == other.port
        && (covers(one.address, other.address) || covers(other.address, one.address))
}

fn rules(config: &Config, tree: &Table, found: &mut Vec<Diagnostic>) {
    for (name, rule) in &config.rules {
        let mut seen = BTreeSet::new();
        for sink in &rule.sinks {
            if !seen.insert(sink) {
                let message = format!("rules.{name} names the sink `{sink}` twice");
                found.push(Diagnostic::error("C0108", message).at(value_place(tree, &["rules", name, "sinks"])));
            }
            sink_of_rule(config, name, "sinks", sink, tree, found);
        }
        for action in rule.actions.iter().flat_map(|action| std::iter::once(action).chain(fallbacks(action))) {
            if let ActionConfig::Sink { sink, .. } = action {
                sink_of_rule(config, name, "actions", sink, tree, found);
            }
        }
    }
}

/// A rule names a sink under this key.
fn sink_of_rule(config: &Config, rule: &str, key: &str, sink: &str, tree: &Table, found: &mut Vec<Diagnostic>) {
    if config.sinks.contains_key(sink) {
        return;
    }
    let known = config.sinks.keys().map(String::as_str);
    let label = nearest(sink, known.clone()).map_or_else(
        || match known.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "there is no sink; write [sinks.NAME]".to_owned(),
            all => format!("there are: {all}"),
        },
        |near| format!("did you mean `{near}`?"),
    );
    let place = text_place(rule, key, sink, tree).or_else(|| value_place(tree, &["rules", rule, key]));
    let message = format!("rules.{rule} writes to the sink `{sink}`, which does not exist");
    found.push(Diagnostic::error("C0108", message).at(place.map(|place| place.labelled(label))));
}

fn sinks(config: &Config, tree: &Table, found: &mut Vec<Diagnostic>) {
    for (name, sink) in &config.sinks {
        let SinkConfig::Sqlite(sqlite) = sink;
        let wrong = sink.buffering().check().err().or_else(|| Sqlite::new(sqlite, &config.data_dir).err());
        if let Some(wrong) = wrong {
            // The sink's words begin with the key.
            let key = wrong.split([' ', '`']).find(|word| !word.is_empty()).unwrap_or_default();
            let place = value_place(tree, &["sinks", name, key])
                .or_else(|| tree.find(["sinks", name.as_str()]).and_then(|entry| entry.origin.place()));
            found.push(Diagnostic::error("S0001", format!("sinks.{name}: {wrong}")).at(place));
        }
    }
}

/// The number of errors among them.
#[must_use]
pub fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
}

/// What the rules' own checker says of a rule: of its statement, then of its actions.
fn sql(name: &str, rule: &RuleConfig, tree: &Table, found: &mut Vec<Diagnostic>) {
    let said = match Rule::compile(0, name, rule) {
        Ok(compiled) => {
            actions(name, rule, &compiled, tree, found);
            compiled.warnings().to_vec()
        }
        Err(errors) => errors,
    };
    let sql = &rule.sql;
    for diagnostic in said {
        let range = diagnostic.span.start as usize..diagnostic.span.end as usize;
        let place = sql_place(name, sql, &range, tree);
        found.push(of_rule(name, diagnostic, place));
    }
}

fn of_rule(name: &str, diagnostic: millrace_rules::diagnostics::Diagnostic, place: Place) -> Diagnostic {
    let message = format!("rules.{name}: {}", diagnostic.message);
    let told = match diagnostic.severity {
        millrace_rules::diagnostics::Severity::Error => Diagnostic::error(diagnostic.code, message),
        millrace_rules::diagnostics::Severity::Warning => Diagnostic::warning(diagnostic.code, message),
    };
    told.at(Some(place.labelled(diagnostic.help.unwrap_or_default())))
}

/// What is wrong with the actions of a rule that compiles.
fn actions(name: &str, rule: &RuleConfig, compiled: &Rule, tree: &Table, found: &mut Vec<Diagnostic>) {
    let columns: Vec<_> = compiled.columns().map(|columns| &**columns).collect();
    let Err(faults) = Actions::compile(rule, &columns, compiled.has_open_columns()) else { return };
    for ActionFault { key, text, diagnostic } in faults {
        let range = diagnostic.span.start as usize..diagnostic.span.end as usize;
        let place = action_place(name, &text, &range, tree)
            .unwrap_or_else(|| Place::of(&format!("rules.{name}.{key}"), &text, &range));
        found.push(of_rule(&format!("{name}.{key}"), diagnostic, place));
    }
}

/// The place of a part of a text within the actions of a rule, where the text stands there as it is and only once.
fn action_place(rule: &str, text: &str, range: &std::ops::Range<usize>, tree: &Table) -> Option<Place> {
    let Origin::Text(source, value) = value_origin(tree, &["rules", rule, "actions"])? else { return None };
    let quoted = |quote: char| format!("{quote}{text}{quote}");
    // Of `[[rules.NAME.actions]]` only the first place is known; what follows stands behind it.
    let behind = source.text.get(value.start..)?;
    let mut found = ['"', '\'']
        .into_iter()
        .flat_map(|quote| behind.match_indices(&quoted(quote)).map(|(at, _)| value.start + at + 1).collect::<Vec<_>>());
    let start = found.next().filter(|_| !text.is_empty())?;
    found.next().is_none().then(|| Place::of(&source.name, &source.text, &(start + range.start..start + range.end)))
}

/// The place of a whole text under a key of a rule.
fn text_place(rule: &str, key: &str, text: &str, tree: &Table) -> Option<Place> {
    if key == "actions" { action_place(rule, text, &(0..text.len()), tree) } else { None }
}

/// The place in the file, where the statement stands there as it is; otherwise the place in the statement.
fn sql_place(name: &str, sql: &str, range: &std::ops::Range<usize>, tree: &Table) -> Place {
    if let Some(Origin::Text(source, value)) = value_origin(tree, &["rules", name, "sql"])
        && let Some(literal) = source.text.get(value.clone())
        && let Some(inside) = literal.find(sql)
    {
        let start = value.start + inside;
        return Place::of(&source.name, &source.text, &(start + range.start..start + range.end));
    }
    Place::of(&format!("rules.{name}.sql"), sql, range)
}
