//! What is known of single keys beyond their types: what a value is called, its bounds, whether a reload changes it.

use millrace_core::units::{ByteSize, Span};

/// Bounds of a value, both ends included.
#[derive(Clone, Copy, Debug)]
pub enum Bounds {
    /// Of a whole number.
    Number(i64, i64),
    /// Of a size, in bytes.
    Size(u64, u64),
    /// Of a duration, in milliseconds.
    Time(u64, u64),
}

/// A key, or with `*` for any name one in each table of a kind.
struct Key {
    path: &'static str,
    noun: &'static str,
    bounds: Bounds,
}

const fn key(path: &'static str, noun: &'static str, bounds: Bounds) -> Key {
    Key { path, noun, bounds }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_MS: u64 = 86_400_000;

#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("shards", "number of shards", Bounds::Number(0, 512)),
    key("listeners.*.port", "port", Bounds::Number(0, 65_535)),
    key("listeners.*.max_connections", "number of connections", Bounds::Number(1, 100_000_000)),
    key("listeners.*.max_connect_rate", "number of connections a second", Bounds::Number(1, 10_000_000)),
    key("mqtt.max_packet_size", "packet size", Bounds::Size(1 << 10, 268_435_455)),
    key("mqtt.receive_maximum", "Receive Maximum", Bounds::Number(1, 65_535)),
    key("mqtt.max_inflight", "number of messages", Bounds::Number(1, 65_535)),
    key("mqtt.topic_alias_maximum", "number of Topic Aliases", Bounds::Number(0, 65_535)),
    key("mqtt.topic_alias_maximum_out", "number of Topic Aliases", Bounds::Number(0, 65_535)),
    key("mqtt.maximum_qos", "QoS", Bounds::Number(0, 2)),
    key("mqtt.max_keep_alive", "number of seconds", Bounds::Number(0, 65_535)),
    key("mqtt.max_topic_levels", "number of topic levels", Bounds::Number(1, 32_768)),
    key("mqtt.max_topic_length", "number of bytes", Bounds::Number(1, 65_535)),
    key("mqtt.max_client_id_length", "number of bytes", Bounds::Number(23, 65_535)),
    key("sessions.v3_expiry", "duration", Bounds::Time(0, 36_500 * DAY_MS)),
    key("sessions.max_expiry", "duration", Bounds::Time(0, 36_500 * DAY_MS)),
    key("sessions.queue_messages", "number of messages", Bounds::Number(1, 100_000_000)),
    key("sessions.queue_bytes", "size", Bounds::Size(1 << 10, 1024 * GIB)),
    key("sessions.max_subscriptions", "number of subscriptions", Bounds::Number(1, 10_000_000)),
    key("sessions.output_bytes", "size", Bounds::Size(1 << 12, GIB)),
    key("retained.max_payload", "size", Bounds::Size(0, 256 * MIB)),
    key("limits.connect_timeout", "duration", Bounds::Time(100, 3_600_000)),
    key("limits.connect_bytes", "size", Bounds::Size(64, 16 * MIB)),
    key("limits.control_rate", "number of packets a second", Bounds::Number(1, 10_000_000)),
    key("limits.max_delay", "duration", Bounds::Time(0, 4_294_967_000)),
    key("limits.memory_watermark_percent", "percentage", Bounds::Number(10, 100)),
    key("sys.interval", "duration", Bounds::Time(0, DAY_MS)),
];

/// Keys that a reload changes in the running broker; what is under another key waits for the next start.
const LIVE: &[&str] = &[
    "log",
    "mqtt",
    "sessions",
    "retained",
    "shared",
    "limits",
    "sys",
    "rules",
    "listeners.*.max_connections",
    "listeners.*.max_connect_rate",
];

fn matches(pattern: &str, path: &[String]) -> bool {
    let parts: Vec<&str> = pattern.split('.').collect();
    parts.len() == path.len() && parts.iter().zip(path).all(|(part, name)| *part == "*" || part == name)
}

fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| matches(key.path, path))
}

/// Whether a reload changes the key in the running broker.
#[must_use]
pub fn applies_live(path: &[String]) -> bool {
    LIVE.iter().any(|prefix| {
        let parts: Vec<&str> = prefix.split('.').collect();
        parts.len() <= path.len() && matches(prefix, &path[..parts.len()])
    })
}

/// What a value of this key is, with its article, and how it is written: `a port (whole number, 0 to 65535)`.
#[must_use]
pub fn wanted(path: &[String], serde_says: &str) -> String {
    if let Some(key) = find(path) {
        return format!("a {} ({})", key.noun, bounds_text(key.bounds));
    }
    if path.len() == 3 && path[0] == "listeners" && path[2] == "address" {
        return "an IP address (such as 127.0.0.1, 0.0.0.0 or ::)".to_owned();
    }
    match serde_says {
        "u8" => "a whole number, 0 to 255".to_owned(),
        "u16" => "a whole number, 0 to 65535".to_owned(),
        "u32" => "a whole number, 0 to 4294967295".to_owned(),
        "u64" | "usize" | "i64" | "i32" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "text in quotes".to_owned(),
        "a sequence" => "a list in [ ]".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other if other.starts_with("enum ") || other.starts_with("variant ") => "one of its choices".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether the value is within the bounds of its key; if not, what is wanted.
///
/// # Errors
/// The bounds, in words.
pub fn check_bounds(path: &[String], value: &toml::Value) -> Result<(), String> {
    let Some(key) = find(path) else { return Ok(()) };
    let within = match (key.bounds, value) {
        (Bounds::Number(least, most), toml::Value::Integer(number)) => (least..=most).contains(number),
        (Bounds::Size(least, most), toml::Value::String(text)) => {
            text.parse::<ByteSize>().is_ok_and(|size| (least..=most).contains(&size.0))
        }
        (Bounds::Time(least, most), toml::Value::String(text)) => text
            .parse::<Span>()
            .is_ok_and(|span| u64::try_from(span.0.as_millis()).is_ok_and(|ms| (least..=most).contains(&ms))),
        _ => true,
    };
    if within { Ok(()) } else { Err(format!("a {} ({})", key.noun, bounds_text(key.bounds))) }
}

fn bounds_text(bounds: Bounds) -> String {
    match bounds {
        Bounds::Number(least, most) => format!("whole number, {least} to {most}"),
        Bounds::Size(least, most) => format!("{} to {}", ByteSize(least), ByteSize(most)),
        Bounds::Time(least, most) => {
            let span = |ms| Span(std::time::Duration::from_millis(ms));
            format!("{} to {}", span(least), span(most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bounded_key_exists() {
        let defaults = super::super::flat(&super::super::Config::default());
        for key in KEYS {
            assert!(defaults.iter().any(|(path, _)| matches(key.path, path)), "{} is no key", key.path);
        }
        for path in LIVE {
            let parts = path.split('.').count();
            assert!(
                defaults.iter().any(|(key, _)| key.len() >= parts && matches(path, &key[..parts])),
                "{path} is no key"
            );
        }
    }

    #[test]
    fn defaults_are_within_their_bounds() {
        for (path, value) in super::super::flat(&super::super::Config::default()) {
            assert_eq!(check_bounds(&path, &value), Ok(()), "{path:?}");
        }
    }
}
