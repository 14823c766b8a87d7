//! `[rules.NAME]`: what a rule is in the config.

use serde::{Deserialize, Serialize};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// `SELECT fields FROM "topic/filter" WHERE condition`.
    pub sql: String,
    /// Names of the sinks that get its rows.
    #[serde(default)]
    pub sinks: Vec<String>,
    /// Whether it runs. A rule that does not is checked all the same.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// A note for people.
    #[serde(default)]
    pub description: String,
}

const fn enabled() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_needs_only_its_text() {
        let config: RuleConfig = toml::from_str("sql = 'SELECT * FROM \"t\"'").expect("complete");
        assert!(config.enabled && config.sinks.is_empty());
        let error = toml::from_str::<RuleConfig>("sql = ''\nsink = ['x']").expect_err("a misspelt key");
        assert!(error.to_string().contains("unknown field `sink`"), "{error}");
    }
}
