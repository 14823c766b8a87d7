//! The sections that rules and sinks own, as this program joins them, and the demo that is there without any config.

pub use millrace_rules::RuleConfig;
pub use millrace_sinks::SinkConfig;

/// `[rules.demo]`.
#[must_use]
pub fn demo_rule() -> RuleConfig {
    RuleConfig {
        sql: "SELECT clientid, topic, payload.t AS t, timestamp FROM \"demo/#\" WHERE payload.t > 0".to_owned(),
        sinks: vec!["local".to_owned()],
        ..RuleConfig::default()
    }
}

/// `[sinks.local]`.
#[must_use]
pub fn demo_sink() -> SinkConfig {
    toml::from_str("kind = \"sqlite\"\nfile = \"demo.sqlite\"\ntable = \"demo\"")
        .expect("a test holds that this is a sink")
}
