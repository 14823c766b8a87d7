//! Members of a report's configuration and environment as people read them.

use serde_json::Value;

use crate::format::count;

/// A member as people read it: `duration_ns: 10000000000` is `duration: 10 s`.
pub(super) fn readable(name: &str, value: &Value) -> (String, String) {
    let words = |name: &str| name.replace('_', " ");
    match value {
        Value::Number(number) => match (name.strip_suffix("_ns"), number.as_u64()) {
            (Some(name), Some(ns)) => (words(name), length(ns)),
            (None, Some(number)) if name != "tag" && name != "pid" => (words(name), count(number)),
            _ => match number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15) {
                Some(whole) => (words(name), format!("{whole:.0}")),
                None => (words(name), number.to_string()),
            },
        },
        Value::Bool(yes) => (words(name), if *yes { "yes" } else { "no" }.to_owned()),
        Value::Array(values) if values.is_empty() => (words(name), "none".to_owned()),
        Value::Array(values) => {
            let shown: Vec<String> = values.iter().map(|value| readable(name, value).1).collect();
            (words(name), shown.join(", "))
        }
        Value::String(text) => (words(name), text.clone()),
        Value::Null => (words(name.strip_suffix("_ns").unwrap_or(name)), "none".to_owned()),
        other => (words(name), other.to_string()),
    }
}

/// Nanoseconds in the greatest unit that leaves a short number.
fn length(ns: u64) -> String {
    let (number, unit) = match ns {
        0 => return "0".to_owned(),
        1..1_000 => (ns as f64, "ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    format!("{} {unit}", (number * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_by_people() {
        for (name, value, wanted) in [
            ("duration_ns", serde_json::json!(10_000_000_000_u64), ("duration", "10 s")),
            ("clean_start", serde_json::json!(true), ("clean start", "yes")),
            ("targets", serde_json::json!(["a:1", "b:2"]), ("targets", "a:1, b:2")),
            ("targets", serde_json::json!([]), ("targets", "none")),
            ("in_flight", serde_json::json!(null), ("in flight", "none")),
            ("publishers", serde_json::json!(5000), ("publishers", "5,000")),
            ("rate_per_s", serde_json::json!(500.0), ("rate per s", "500")),
            ("busy", serde_json::json!(0.25), ("busy", "0.25")),
            ("warm_up_ns", serde_json::json!(1_500_000_000), ("warm up", "1.5 s")),
            ("warm_up_ns", serde_json::json!(0), ("warm up", "0")),
        ] {
            let (name, value) = readable(name, &value);
            assert_eq!((name.as_str(), value.as_str()), wanted);
        }
    }
}
