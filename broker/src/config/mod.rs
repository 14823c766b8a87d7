//! The config: each crate owns the struct of its section, this joins them, reads them in layers and says what is wrong.
//!
//! Layers, the later one wins: [built-in](DEFAULT_TOML), the file, `conf.d/*.toml` beside it by name, the environment
//! (`MILLRACE__LISTENERS__DEFAULT__PORT`), `--set`.
//!
//! | question | module |
//! | --- | --- |
//! | what of the command line says so | [`args`] |
//! | which texts are read, and in which order they win | [`layers`] |
//! | what the merged config looks like before it has types | [`tree`] |
//! | how it becomes structs | [`de`] |
//! | what a key may hold beyond its type | [`keys`], [`validate`] |
//! | how a problem is told | [`report`] |
//! | how it is printed with origins | [`mod@print`] |
//! | what a reload changes | [`difference`] |

use std::collections::BTreeMap;
use std::path::PathBuf;

use millrace_shards::config::{EngineChoice, Limits, Listener, Mqtt, Retained, Sessions, ShardsConfig, Shared, Sys};
use serde::{Deserialize, Serialize};

pub mod args;
pub mod de;
pub mod difference;
pub mod keys;
pub mod layers;
pub mod print;
pub mod report;
pub mod sections;
pub mod tree;
pub mod validate;

use sections::{RuleConfig, SinkConfig};

/// The defaults that this program carries, each key with its reason.
pub const DEFAULT_TOML: &str = include_str!("../../default.toml");

/// The least severe lines that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What needs someone.
    Error,
    /// What may need someone.
    Warn,
    /// What the broker as a whole does; never a line per message.
    #[default]
    Info,
    /// What single connections do.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `ts level event message key=value …`.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`: what is written to stderr.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least severe lines that are written.
    pub level: LogLevel,
    /// How a line is written.
    pub format: LogFormat,
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of shards; 0 for one a core that this process may use.
    pub shards: u16,
    /// Kernel interface.
    pub engine: EngineChoice,
    /// Everything that is written goes below this directory.
    pub data_dir: PathBuf,
    /// `[log]`.
    pub log: Log,
    /// `[listeners.NAME]`.
    pub listeners: BTreeMap<String, Listener>,
    /// `[mqtt]`.
    pub mqtt: Mqtt,
    /// `[sessions]`.
    pub sessions: Sessions,
    /// `[retained]`.
    pub retained: Retained,
    /// `[shared]`.
    pub shared: Shared,
    /// `[limits]`.
    pub limits: Limits,
    /// `[sys]`.
    pub sys: Sys,
    /// `[rules.NAME]`.
    pub rules: BTreeMap<String, RuleConfig>,
    /// `[sinks.NAME]`.
    pub sinks: BTreeMap<String, SinkConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 0,
            engine: EngineChoice::default(),
            data_dir: PathBuf::from("data"),
            log: Log::default(),
            listeners: BTreeMap::from([("default".to_owned(), Listener::default())]),
            mqtt: Mqtt::default(),
            sessions: Sessions::default(),
            retained: Retained::default(),
            shared: Shared::default(),
            limits: Limits::default(),
            sys: Sys::default(),
            rules: BTreeMap::from([("demo".to_owned(), sections::demo_rule())]),
            sinks: BTreeMap::from([("local".to_owned(), sections::demo_sink())]),
        }
    }
}

impl Config {
    /// What the shards read.
    #[must_use]
    pub fn shards_config(&self) -> ShardsConfig {
        ShardsConfig {
            shards: self.shards,
            engine: self.engine,
            listeners: self.listeners.clone(),
            mqtt: self.mqtt.clone(),
            sessions: self.sessions.clone(),
            retained: self.retained.clone(),
            shared: self.shared.clone(),
            limits: self.limits.clone(),
            sys: self.sys.clone(),
        }
    }
}

/// The config as a TOML table.
#[must_use]
pub fn as_toml(config: &Config) -> toml::Table {
    toml::Table::try_from(config).expect("every section is made of strings, numbers, booleans, lists and tables")
}

/// Each value of the config with its path.
#[must_use]
pub fn flat(config: &Config) -> Vec<(Vec<String>, toml::Value)> {
    let mut leaves = Vec::new();
    flatten(&as_toml(config), &mut Vec::new(), &mut leaves);
    leaves
}

fn flatten(table: &toml::Table, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, toml::Value)>) {
    for (name, value) in table {
        path.push(name.clone());
        match value {
            toml::Value::Table(inner) => flatten(inner, path, leaves),
            plain => leaves.push((path.clone(), plain.clone())),
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_toml_lists_every_key_with_its_default() {
        let written: toml::Table = toml::from_str(DEFAULT_TOML).expect("default.toml is TOML");
        let mut written_leaves = Vec::new();
        flatten(&written, &mut Vec::new(), &mut written_leaves);
        let defaults = flat(&Config::default());
        let missing: Vec<_> = defaults.iter().filter(|leaf| !written_leaves.contains(leaf)).collect();
        let superfluous: Vec<_> = written_leaves.iter().filter(|leaf| !defaults.contains(leaf)).collect();
        assert!(missing.is_empty(), "not in default.toml: {missing:#?}");
        assert!(superfluous.is_empty(), "only in default.toml: {superfluous:#?}");
        assert_eq!(toml::from_str::<Config>(DEFAULT_TOML).expect("it is a config"), Config::default());
    }

    #[test]
    fn default_toml_gives_each_key_a_reason() {
        let lines: Vec<&str> = DEFAULT_TOML.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(at > 0 && lines[at - 1].starts_with("# "), "no comment above `{line}`");
            }
        }
    }
}
