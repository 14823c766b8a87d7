//! What a reload finds changed, and which part of it applies without a restart.

use std::collections::BTreeSet;

use super::{Config, as_toml, flat, keys};

/// The difference between two configs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Listeners, rules and sinks that are new.
    pub added: Vec<String>,
    /// Keys whose value is another one now and applies.
    pub changed: Vec<String>,
    /// Listeners, rules and sinks that are gone.
    pub removed: Vec<String>,
    /// Keys that wait for a restart: key, value now, value in the new config.
    pub restart: Vec<(String, String, String)>,
}

impl Difference {
    /// What changes from one config to the other.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let (old_leaves, new_leaves) = (flat(old), flat(new));
        let (old_objects, new_objects) = (objects(&old_leaves), objects(&new_leaves));
        let mut difference = Self::default();
        let mut keep = |object: &Vec<String>, from: &str, to: &str, list: &mut Vec<String>| {
            if keys::applies_live(object) {
                list.push(object.join("."));
            } else {
                difference.restart.push((object.join("."), from.to_owned(), to.to_owned()));
            }
        };
        let (mut added, mut removed, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for object in new_objects.difference(&old_objects) {
            keep(object, "absent", "added", &mut added);
        }
        for object in old_objects.difference(&new_objects) {
            keep(object, "present", "removed", &mut removed);
        }
        let value = |leaves: &[(Vec<String>, toml::Value)], path: &[String]| {
            leaves.iter().find(|(key, _)| key == path).map(|(_, value)| value.clone())
        };
        let paths: BTreeSet<&Vec<String>> = old_leaves.iter().chain(&new_leaves).map(|(path, _)| path).collect();
        for path in paths {
            let whole = path.get(..2).map(<[String]>::to_vec);
            let whole_is_new_or_gone = whole.is_some_and(|object| {
                is_object(path) && !(old_objects.contains(&object) && new_objects.contains(&object))
            });
            let (was, is) = (value(&old_leaves, path), value(&new_leaves, path));
            if was == is || whole_is_new_or_gone {
                continue;
            }
            let text = |value: Option<toml::Value>| value.map_or_else(|| "unset".to_owned(), |v| v.to_string());
            keep(path, &text(was), &text(is), &mut changed);
        }
        difference.added = added;
        difference.removed = removed;
        difference.changed = changed;
        difference
    }

    /// Whether the configs are equal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// In words, a line or two.
    #[must_use]
    pub fn render(&self) -> String {
        let list = |names: &[String]| {
            if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
        };
        let mut text = format!(
            "reload ok: {} added{}, {} changed{}, {} removed{}",
            self.added.len(),
            list(&self.added),
            self.changed.len(),
            list(&self.changed),
            self.removed.len(),
            list(&self.removed)
        );
        if !self.restart.is_empty() {
            let waiting: Vec<String> = self
                .restart
                .iter()
                .map(|(key, was, is)| match (was.as_str(), is.as_str()) {
                    ("absent", "added") => format!("{key} (added)"),
                    ("present", "removed") => format!("{key} (removed, still there)"),
                    _ => format!("{key} {was} -> {is} (kept at {was})"),
                })
                .collect();
            text.push_str("\nneeds a restart: ");
            text.push_str(&waiting.join(", "));
        }
        text
    }
}

/// The config that runs, with the values of the new one at keys that apply live.
///
/// # Panics
/// Never: both are configs, and a value is only put where the same key takes it.
#[must_use]
pub fn with_live(running: &Config, new: &Config) -> Config {
    // Rules come and go live; they are taken as they are.
    let running = &Config { rules: new.rules.clone(), ..running.clone() };
    let mut table = as_toml(running);
    let objects_now = objects(&flat(running));
    let live = |path: &Vec<String>| {
        keys::applies_live(path) && path[0] != "rules" && (!is_object(path) || objects_now.contains(&path[..2]))
    };
    for (path, _) in flat(running).into_iter().filter(|(path, _)| live(path)) {
        put(&mut table, &path, None);
    }
    for (path, value) in flat(new).into_iter().filter(|(path, _)| live(path)) {
        put(&mut table, &path, Some(value));
    }
    table.try_into().expect("the same keys with values of the same types")
}

fn put(table: &mut toml::Table, path: &[String], value: Option<toml::Value>) {
    let [name, rest @ ..] = path else { return };
    match (rest, value) {
        ([], Some(value)) => {
            table.insert(name.clone(), value);
        }
        ([], None) => {
            table.remove(name);
        }
        (rest, value) => {
            let inner = table.entry(name.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn is_object(path: &[String]) -> bool {
    path.len() > 2 && matches!(path[0].as_str(), "listeners" | "rules" | "sinks")
}

fn objects(leaves: &[(Vec<String>, toml::Value)]) -> BTreeSet<Vec<String>> {
    leaves.iter().filter(|(path, _)| is_object(path)).map(|(path, _)| path[..2].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    #[test]
    fn a_reload_names_what_is_new_gone_changed_and_waiting() {
        let old = Config::default();
        let mut new = Config { shards: 4, ..old.clone() };
        new.log.level = LogLevel::Debug;
        new.listeners.insert("tls".to_owned(), millrace_shards::config::Listener::default());
        let difference = Difference::between(&old, &new);
        assert_eq!(
            difference.render(),
            "reload ok: 0 added, 1 changed (log.level), 0 removed\nneeds a restart: listeners.tls (added), shards 0 -> 4 \
             (kept at 0)"
        );
        assert!(Difference::between(&old, &old).is_empty());
    }

    #[test]
    fn only_what_applies_live_is_taken_over() {
        let mut old = Config::default();
        old.shared.groups.insert("gone".to_owned(), millrace_shards::config::ShareStrategy::Sticky);
        let mut new = Config { shards: 4, ..Config::default() };
        new.mqtt.maximum_qos = 1;
        new.shared.groups.insert("workers".to_owned(), millrace_shards::config::ShareStrategy::Random);
        let default = new.listeners.get_mut("default").expect("it is built in");
        (default.port, default.max_connections) = (7, 8);
        new.listeners.insert("more".to_owned(), millrace_shards::config::Listener::default());
        let rule = |sql: &str| super::super::sections::RuleConfig { sql: sql.to_owned(), ..Default::default() };
        old.rules.insert("old".to_owned(), rule("SELECT * FROM \"old\""));
        old.rules.insert("kept".to_owned(), rule("SELECT * FROM \"before\""));
        new.rules.insert("kept".to_owned(), rule("SELECT * FROM \"after\""));
        new.rules.insert("new".to_owned(), rule("SELECT * FROM \"new\""));
        let difference = Difference::between(&old, &new);
        assert_eq!(
            (difference.added, difference.removed),
            (vec!["rules.new".to_owned()], vec!["rules.old".to_owned()])
        );
        assert!(difference.changed.contains(&"rules.kept.sql".to_owned()));
        let applied = with_live(&old, &new);
        assert_eq!(applied.rules, new.rules);
        assert_eq!((applied.shards, applied.mqtt.maximum_qos), (0, 1));
        assert_eq!(applied.shared, new.shared);
        assert_eq!(applied.listeners.len(), 1);
        assert_eq!((applied.listeners["default"].port, applied.listeners["default"].max_connections), (1883, 8));
        let waiting: Vec<_> = Difference::between(&applied, &new).restart.into_iter().map(|(key, ..)| key).collect();
        assert_eq!(waiting, ["listeners.more", "listeners.default.port", "shards"]);
    }
}
