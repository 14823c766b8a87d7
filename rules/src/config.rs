//! `[rules.NAME]`: what a rule is in the config.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// `SELECT fields FROM "topic/filter" WHERE condition`, or `FOREACH list DO fields INCASE condition FROM …`.
    pub sql: String,
    /// Names of the sinks that get its rows.
    #[serde(default)]
    pub sinks: Vec<String>,
    /// What else is done with its rows, in this order, after the sinks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionConfig>,
    /// What happens to the actions behind one that failed, as all of its fallbacks did.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_action_failed: OnActionFailed,
    /// Whose rules about null hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compat: Compat,
    /// Whether it runs. A rule that does not is checked all the same.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// A note for people.
    #[serde(default)]
    pub description: String,
}

impl Default for RuleConfig {
    /// A rule without a text that runs.
    fn default() -> Self {
        Self {
            sql: String::new(),
            sinks: Vec::new(),
            actions: Vec::new(),
            on_action_failed: OnActionFailed::default(),
            compat: Compat::default(),
            enabled: true,
            description: String::new(),
        }
    }
}

/// See [`RuleConfig::on_action_failed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnActionFailed {
    /// They go on.
    #[default]
    Continue,
    /// They are left out, for this row.
    Stop,
}

/// See [`RuleConfig::compat`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compat {
    /// `a != b` is false if one of them is null.
    #[default]
    #[serde(rename = "5.x")]
    V5,
    /// `a != b` is true if one of them is null and the other is not.
    #[serde(rename = "4.x")]
    V4,
}

/// One action of a rule: what it does, and what is done instead if it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionConfig {
    /// Publishes a message.
    Republish(Republish),
    /// Hands the row to a sink, as a name in `sinks` does, but with fallbacks.
    Sink {
        /// Its name.
        sink: String,
        /// Tried one after the other if the sink does not take the row. They have no fallbacks of their own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fallbacks: Vec<Self>,
    },
    /// Writes the row to the log.
    Console {},
    /// Does nothing, and succeeds.
    DoNothing {},
}

/// `kind = "republish"`: each value but the fallbacks is a template over the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Republish {
    /// Topic Name.
    pub topic: String,
    /// Quality of Service: 0, 1, 2 or a template; without it that of the message, 0 for another event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Scalar>,
    /// RETAIN: true, false or a template; without it false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<Scalar>,
    /// Application Message; without it the column `payload`, or the whole row as JSON if there is none, which an empty
    /// text makes too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// PUBLISH properties by their names in MQTT 5.0, such as `Content-Type`. One whose template is a single value that
    /// is null is left out, and so is such a User Property.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// User Properties, or one template that gives a map, such as `${user_properties}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_properties: Option<UserProperties>,
    /// Tried one after the other if nothing could be published. They have no fallbacks of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<ActionConfig>,
}

/// A number, a truth value, or a template for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A template.
    Template(String),
}

/// See [`Republish::user_properties`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserProperties {
    /// A template that gives a map.
    Whole(String),
    /// A template for each name.
    ByName(BTreeMap<String, String>),
}

const fn enabled() -> bool {
    true
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_needs_only_its_text() {
        let config: RuleConfig = toml::from_str("sql = 'SELECT * FROM \"t\"'").expect("complete");
        assert!(config.enabled && config.sinks.is_empty() && config.actions.is_empty());
        let error = toml::from_str::<RuleConfig>("sql = ''\nsink = ['x']").expect_err("a misspelt key");
        assert!(error.to_string().contains("unknown field `sink`"), "{error}");
    }

    #[test]
    fn actions_are_told_apart_by_their_kind() {
        let config: RuleConfig = toml::from_str(
            "sql = ''\ncompat = '4.x'\non_action_failed = 'stop'\n[[actions]]\nkind = 'republish'\ntopic = 'a/${b}'\nqos = '${qos}'\n\
             user_properties = { k = '${v}' }\nfallbacks = [{ kind = 'console' }]\n[[actions]]\nkind = 'do_nothing'\n",
        )
        .expect("complete");
        assert_eq!((config.compat, config.on_action_failed), (Compat::V4, OnActionFailed::Stop));
        let [ActionConfig::Republish(republish), ActionConfig::DoNothing {}] = &config.actions[..] else {
            panic!("{config:?}")
        };
        assert_eq!(republish.qos, Some(Scalar::Template("${qos}".to_owned())));
        assert_eq!(republish.fallbacks, [ActionConfig::Console {}]);
        let error = toml::from_str::<RuleConfig>("sql = ''\n[[actions]]\nkind = 'republish'\ntopc = 'x'\n");
        assert!(error.is_err(), "a misspelt key");
    }
}
