//! The effective config as TOML: whole, only what differs from the built-in, or with where each value came from.

use std::fmt::Write as _;

use super::tree::{Node, Table};
use super::{Config, as_toml, flat};

/// What [`print()`] leaves out and adds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Only what differs from the built-in.
    pub changed: bool,
    /// With where each value came from.
    pub origin: bool,
}

/// The config as TOML.
#[must_use]
pub fn print(config: &Config, tree: &Table, options: Options) -> String {
    if !options.changed && !options.origin {
        return toml::to_string_pretty(&as_toml(config)).expect("a table can be written");
    }
    let built_in = flat(&Config::default());
    let lines: Vec<(String, String)> = flat(config)
        .into_iter()
        .filter(|leaf| !options.changed || !built_in.contains(leaf))
        .map(|(path, value)| {
            let key: Vec<String> = path.iter().map(|name| quoted(name)).collect();
            (format!("{} = {value}", key.join(".")), origin(tree, &path))
        })
        .collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(60);
    let mut text = String::new();
    for (line, origin) in lines {
        // Writing to a String cannot fail.
        let _ = if options.origin { writeln!(text, "{line:width$}  # {origin}") } else { writeln!(text, "{line}") };
    }
    text
}

fn origin(tree: &Table, path: &[String]) -> String {
    match tree.find(path.iter().map(String::as_str)) {
        Some(entry) => match &entry.node {
            Node::Leaf(leaf) => leaf.origin.to_string(),
            Node::Table(_) => entry.origin.to_string(),
        },
        None => "default".to_owned(),
    }
}

/// A key as TOML wants it written.
#[must_use]
pub fn quoted(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { toml::Value::String(name.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{Inputs, load};

    fn loaded(set: &[&str]) -> crate::config::layers::Loaded {
        let set = set.iter().map(|s| (*s).to_owned()).collect();
        load(&Inputs { file: Some("/dev/null".into()), set, env: Vec::new() }).expect("it holds")
    }

    #[test]
    fn what_is_printed_is_a_config_that_says_the_same() {
        let loaded = loaded(&["shards=3", "shared.groups.a b=sticky"]);
        for options in [
            Options::default(),
            Options { changed: true, origin: false },
            Options { changed: true, origin: true },
            Options { changed: false, origin: true },
        ] {
            let text = print(&loaded.config, &loaded.tree, options);
            let mut table: toml::Table = toml::from_str(&text).expect("it is TOML");
            if options.changed {
                for (kind, default) in as_toml(&Config::default()) {
                    if matches!(kind.as_str(), "listeners" | "rules" | "sinks") {
                        table.insert(kind, default);
                    }
                }
            }
            assert_eq!(table.try_into::<Config>().expect("it is a config"), loaded.config);
        }
    }

    #[test]
    fn actions_are_printed_as_they_can_be_read_again() {
        let actions =
            "rules.demo.actions=[{ kind = 'republish', topic = 'a/${t}', fallbacks = [{ kind = 'console' }] }]";
        let loaded = loaded(&[actions]);
        assert_eq!(loaded.config.rules["demo"].actions.len(), 1);
        for options in [Options::default(), Options { changed: false, origin: true }] {
            let text = print(&loaded.config, &loaded.tree, options);
            assert_eq!(toml::from_str::<Config>(&text).expect("it is a config"), loaded.config);
        }
    }

    #[test]
    fn only_what_differs_is_printed_with_its_origin() {
        let loaded = loaded(&["listeners.0.port=7"]);
        let text = print(&loaded.config, &loaded.tree, Options { changed: true, origin: true });
        assert_eq!(text, "listeners.default.port = 7  # --set\n");
    }
}
