//! The sections that rules and sinks own, as this program joins them, and the demo that is there without any config.

pub use millrace_rules::RuleConfig;
use serde::{Deserialize, Serialize};

/// `[sinks.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SinkConfig {
    /// An SQLite file.
    Sqlite {
        /// Below data_dir.
        file: String,
        /// Table.
        table: String,
    },
}

/// `[rules.demo]`.
#[must_use]
pub fn demo_rule() -> RuleConfig {
    RuleConfig {
        sql:
            "SELECT clientid, topic, payload.t AS t, timestamp FROM \"demo/#\" WHERE payload.t > 0"
                .to_owned(),
        sinks: vec!["local".to_owned()],
        enabled: true,
        description: String::new(),
    }
}

/// `[sinks.local]`.
#[must_use]
pub fn demo_sink() -> SinkConfig {
    SinkConfig::Sqlite {
        file: "demo.sqlite".to_owned(),
        table: "demo".to_owned(),
    }
}
