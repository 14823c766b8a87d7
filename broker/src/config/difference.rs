//! What a reload finds changed, and which part of it applies without a restart.

use std::collections::BTreeSet;

use super::{Config, flat, keys};

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
                difference
                    .restart
                    .push((object.join("."), from.to_owned(), to.to_owned()));
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
            leaves
                .iter()
                .find(|(key, _)| key == path)
                .map(|(_, value)| value.clone())
        };
        let paths: BTreeSet<&Vec<String>> = old_leaves
            .iter()
            .chain(&new_leaves)
            .map(|(path, _)| path)
            .collect();
        for path in paths {
            let whole = path.get(..2).map(<[String]>::to_vec);
            let whole_is_new_or_gone = whole.is_some_and(|object| {
                is_object(path) && !(old_objects.contains(&object) && new_objects.contains(&object))
            });
            let (was, is) = (value(&old_leaves, path), value(&new_leaves, path));
            if was == is || whole_is_new_or_gone {
                continue;
            }
            let text = |value: Option<toml::Value>| {
                value.map_or_else(|| "unset".to_owned(), |v| v.to_string())
            };
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
            if names.is_empty() {
                String::new()
            } else {
                format!(" ({})", names.join(", "))
            }
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

fn is_object(path: &[String]) -> bool {
    path.len() > 2 && matches!(path[0].as_str(), "listeners" | "rules" | "sinks")
}

fn objects(leaves: &[(Vec<String>, toml::Value)]) -> BTreeSet<Vec<String>> {
    leaves
        .iter()
        .filter(|(path, _)| is_object(path))
        .map(|(path, _)| path[..2].to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    #[test]
    fn a_reload_names_what_is_new_gone_changed_and_waiting() {
        let old = Config::default();
        let mut new = old.clone();
        new.shards = 4;
        new.log.level = LogLevel::Debug;
        new.listeners.insert(
            "tls".to_owned(),
            millrace_shards::config::Listener::default(),
        );
        let difference = Difference::between(&old, &new);
        assert_eq!(
            difference.render(),
            "reload ok: 0 added, 1 changed (log.level), 0 removed\nneeds a restart: listeners.tls (added), shards 0 -> 4 \
             (kept at 0)"
        );
        assert!(Difference::between(&old, &old).is_empty());
    }
}
