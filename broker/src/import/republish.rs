//! Republish: the parameters of both generations as ours.

use std::collections::BTreeMap;

use millrace_rules::config::{Republish, Scalar, UserProperties};
use serde_json::{Map, Value};

use super::model::short;

/// The action `republish` of 4.x: `target_topic`, `target_qos` (-1 is that of the message), `target_retain`,
/// `payload_tmpl` (empty is the whole row), and since 4.4.21 properties.
///
/// # Errors
/// What is missing or has a value that cannot be.
pub fn v4(args: &Map<String, Value>) -> Result<Republish, String> {
    let properties = args.get("mqtt_properties_template").or_else(|| args.get("mqtt_properties"));
    let user_properties = args.get("user_properties_template").or_else(|| args.get("user_properties"));
    Ok(Republish {
        topic: topic(args.get("target_topic"))?,
        qos: qos(args.get("target_qos"))?,
        retain: retain(args.get("target_retain"))?,
        payload: Some(payload(args.get("payload_tmpl"))?),
        properties: by_name(properties)?,
        user_properties: all_user_properties(user_properties)?,
        fallbacks: Vec::new(),
    })
}

/// The function `republish` of 5.x. What is not given has a default that is a template.
///
/// # Errors
/// What is missing or has a value that cannot be.
pub fn v5(args: &Map<String, Value>, changes: &mut Vec<String>) -> Result<Republish, String> {
    let template = |text: &str| Some(Scalar::Template(text.to_owned()));
    if args.get("direct_dispatch").is_some_and(|value| value != &Value::Bool(false)) {
        changes.push("a republish goes the way of every message; direct_dispatch is gone".to_owned());
    }
    Ok(Republish {
        topic: topic(args.get("topic"))?,
        qos: if args.contains_key("qos") { qos(args.get("qos"))? } else { template("${qos}") },
        retain: if args.contains_key("retain") { retain(args.get("retain"))? } else { template("${retain}") },
        payload: Some(payload(args.get("payload"))?),
        properties: by_name(args.get("mqtt_properties"))?,
        user_properties: match args.get("user_properties") {
            None => Some(UserProperties::Whole("${user_properties}".to_owned())),
            given => all_user_properties(given)?,
        },
        fallbacks: Vec::new(),
    })
}

fn topic(value: Option<&Value>) -> Result<String, String> {
    match value {
        Some(Value::String(topic)) if !topic.is_empty() => Ok(topic.clone()),
        Some(other) => Err(format!("the topic of a republish is {}", shown(other))),
        None => Err("a republish has no topic".to_owned()),
    }
}

fn payload(value: Option<&Value>) -> Result<String, String> {
    match value {
        None | Some(Value::Null) => Ok("${payload}".to_owned()),
        Some(Value::String(text)) if text.is_empty() => Ok("${.}".to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("the payload of a republish is {}", shown(other))),
    }
}

fn qos(value: Option<&Value>) -> Result<Option<Scalar>, String> {
    let wrong = |value: &Value| format!("the QoS of a republish is {}", shown(value));
    match value {
        None | Some(Value::Null) => Ok(Some(Scalar::Int(0))),
        Some(Value::String(text)) if text.contains("${") => Ok(Some(Scalar::Template(text.clone()))),
        Some(value) => match value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()) {
            Some(-1) => Ok(None),
            Some(qos @ 0..=2) => Ok(Some(Scalar::Int(qos))),
            _ => Err(wrong(value)),
        },
    }
}

fn retain(value: Option<&Value>) -> Result<Option<Scalar>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(retain)) => Ok(Some(Scalar::Bool(*retain))),
        Some(Value::String(text)) if text.contains("${") => Ok(Some(Scalar::Template(text.clone()))),
        Some(value) => match (value.as_i64(), value.as_str()) {
            (Some(0), _) | (_, Some("0" | "false")) => Ok(Some(Scalar::Bool(false))),
            (Some(1), _) | (_, Some("1" | "true")) => Ok(Some(Scalar::Bool(true))),
            _ => Err(format!("RETAIN of a republish is {}", shown(value))),
        },
    }
}

fn all_user_properties(value: Option<&Value>) -> Result<Option<UserProperties>, String> {
    match value {
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(UserProperties::Whole(text.clone()))),
        other => {
            let by_name = by_name(other)?;
            Ok((!by_name.is_empty()).then_some(UserProperties::ByName(by_name)))
        }
    }
}

/// A map, or a list of `{key, value}`.
fn by_name(value: Option<&Value>) -> Result<BTreeMap<String, String>, String> {
    let mut properties = BTreeMap::new();
    let wrong = |value: &Value| format!("a property of a republish is {}", shown(value));
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::Object(pairs)) => {
            for (name, value) in pairs {
                properties.insert(name.clone(), text(value).ok_or_else(|| wrong(value))?);
            }
        }
        Some(Value::Array(pairs)) => {
            for pair in pairs {
                let of = |names: [&str; 2]| names.iter().find_map(|name| pair.get(name)).and_then(text);
                let (Some(name), Some(value)) = (of(["key", "k"]), of(["value", "v"])) else { return Err(wrong(pair)) };
                properties.insert(name, value);
            }
        }
        Some(other) => return Err(wrong(other)),
    }
    Ok(properties)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    short(&value.to_string(), 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn old(args: &Value) -> Result<Republish, String> {
        v4(args.as_object().expect("an object"))
    }

    fn new(args: &Value, changes: &mut Vec<String>) -> Result<Republish, String> {
        v5(args.as_object().expect("an object"), changes)
    }

    #[test]
    fn republish_of_4_is_ours() {
        let republish = old(&json!({
            "target_topic": "repub/to/${clientid}", "target_qos": -1, "target_retain": "${flags.retain}", "payload_tmpl": "",
            "mqtt_properties_template": [{"key": "Content-Type", "value": "text/plain"}], "user_properties_template": []
        }))
        .expect("right");
        assert_eq!(
            toml::to_string(&republish).expect("it can be written"),
            "topic = \"repub/to/${clientid}\"\nretain = \"${flags.retain}\"\npayload = \"${.}\"\n\n[properties]\n\
             Content-Type = \"text/plain\"\n"
        );
        let republish = old(&json!({"target_topic": "t", "target_qos": "2", "target_retain": 1})).expect("right");
        assert_eq!((republish.qos, republish.retain), (Some(Scalar::Int(2)), Some(Scalar::Bool(true))));
        assert_eq!(republish.payload.as_deref(), Some("${payload}"));
    }

    #[test]
    fn defaults_of_5_are_written_out() {
        let mut changes = Vec::new();
        let republish = new(&json!({"topic": "t"}), &mut changes).expect("right");
        assert_eq!(
            toml::to_string(&republish).expect("it can be written"),
            "topic = \"t\"\nqos = \"${qos}\"\nretain = \"${retain}\"\npayload = \"${payload}\"\nuser_properties = \
             \"${user_properties}\"\n"
        );
        assert!(changes.is_empty());
        let args = json!({"topic": "t", "qos": 1, "retain": false, "user_properties": "", "direct_dispatch": true});
        let republish = new(&args, &mut changes).expect("right");
        assert_eq!((republish.qos, republish.user_properties), (Some(Scalar::Int(1)), None));
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        for (args, words) in [
            (json!({}), "no topic"),
            (json!({"target_topic": 3}), "the topic of a republish is 3"),
            (json!({"target_topic": "t", "target_qos": 3}), "the QoS of a republish is 3"),
            (json!({"target_topic": "t", "target_retain": "maybe"}), "RETAIN of a republish is \"maybe\""),
            (json!({"target_topic": "t", "payload_tmpl": {}}), "the payload of a republish is {}"),
            (json!({"target_topic": "t", "mqtt_properties": [1]}), "a property of a republish is 1"),
            (json!({"target_topic": "t", "user_properties": {"a": []}}), "a property of a republish is []"),
        ] {
            assert_eq!(old(&args).map_err(|error| error.contains(words)), Err(true), "{args}");
        }
    }
}
