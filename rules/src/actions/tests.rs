//! What actions make of rows, and what is refused while they are saved.

use std::sync::Arc;

use millrace_core::codec::properties::{Carrier, Properties as Encoded, Property};
use millrace_core::metrics::ActionFailure;
use millrace_core::packet::QoS;
use millrace_core::topic::name::TopicLimits;
use millrace_core::value::{Columns, Record, Row, Value};

use super::*;

const LIMITS: Limits = Limits { topic: TopicLimits::PROTOCOL, qos: 2, retain: true, bytes: 1000 };

fn config(actions: &str) -> RuleConfig {
    toml::from_str(&format!("sql = ''\n{actions}")).expect("its shape is right")
}

fn columns() -> Columns {
    Columns::new(["clientid", "topic", "qos", "payload", "props"].map(Into::into).into())
}

fn compile(actions: &str) -> Result<Actions, Vec<ActionFault>> {
    Actions::compile(&config(actions), &[&columns()], false)
}

fn record(payload: &Value<'_>, props: &Value<'_>) -> Record {
    let mut row = Row::default();
    for value in [&Value::text("c1"), &Value::text("t/a"), &Value::Int(1), payload, props] {
        row.push(value).expect("small");
    }
    row.record(&Arc::new(columns()), 0, 0)
}

/// Topic, QoS, RETAIN, expiry, properties, payload.
type Made = (String, u8, bool, Option<u32>, Vec<u8>, Vec<u8>);

/// The message that an action makes, or why it makes none.
fn publish(keys: &str, record: &Record, limits: &Limits) -> Result<Made, Refused> {
    let actions = compile(&format!("actions = [{{ kind = 'republish', {keys} }}]")).expect("it can be saved");
    let [Action { what: What::Republish(republish), .. }] = actions.list() else { panic!("{actions:?}") };
    let mut scratch = Scratch::default();
    republish.render(record, QoS::AtLeastOnce, limits, &mut scratch).map(|made| {
        let Outgoing { topic, qos, retain, expiry, properties, payload } = made;
        (topic.to_owned(), qos as u8, retain, expiry, properties.to_vec(), payload.to_vec())
    })
}

fn made(keys: &str) -> Made {
    let props = Value::Map(vec![
        ("Content-Type".into(), Value::text("text/plain")),
        ("User-Property".into(), Value::Map(vec![("k".into(), Value::text("v")), ("n".into(), Value::Null)])),
    ]);
    publish(keys, &record(&Value::text(r#"{"t":21.5,"q":2,"bad":"a/+"}"#), &props), &LIMITS).expect("it is made")
}

fn refused(keys: &str) -> (ActionFailure, String) {
    let record = record(&Value::text(r#"{"t":21.5,"q":3,"bad":"a/+"}"#), &Value::Null);
    let Refused { why, message } = publish(keys, &record, &LIMITS).expect_err(keys);
    (why, message.into_owned())
}

#[test]
fn a_message_is_made_of_templates_and_defaults() {
    let (topic, qos, retain, expiry, properties, payload) = made("topic = 'out/${clientid}/${payload.t}'");
    assert_eq!((topic.as_str(), qos, retain, expiry, properties.len()), ("out/c1/21.5", 1, false, None, 0));
    assert_eq!(payload, br#"{"t":21.5,"q":2,"bad":"a/+"}"#);
    let (_, qos, retain, ..) = made("topic = 'o', qos = '${payload.q}', retain = '${payload.r:-1}'");
    assert_eq!((qos, retain), (2, true));
    let (.., payload) = made("topic = 'o', qos = 0, retain = false, payload = 'T=${payload.t} ${payload.x}'");
    assert_eq!(payload, b"T=21.5 ");
    let (.., payload) = made("topic = 'o', payload = ''");
    assert!(payload.starts_with(br#"{"clientid":"c1","topic":"t/a","qos":1,"payload":"{\"t\":"#), "{payload:?}");
    assert_eq!(made("topic = '$delayed/5/${topic}'").0, "$delayed/5/t/a");
}

#[test]
fn properties_are_encoded_and_those_without_a_value_left_out() {
    let keys = "topic = 'o', properties = { 'Content-Type' = '${props.Content-Type}', 'Response-Topic' = '${payload.no}', \
                'Message-Expiry-Interval' = '60', 'Payload-Format-Indicator' = '1', 'Correlation-Data' = '${topic}' }, \
                user_properties = { a = '${clientid}', b = '${payload.no}', c = 'x${payload.no}' }";
    let (_, _, _, expiry, properties, _) = made(keys);
    let properties = Encoded::check(&properties, Carrier::Publish).expect("a client may get them");
    assert_eq!(expiry, Some(60));
    assert_eq!(properties.str(Property::ContentType), Some("text/plain"));
    assert_eq!(properties.u8(Property::PayloadFormatIndicator), Some(1));
    assert_eq!(properties.bin(Property::CorrelationData), Some(b"t/a".as_slice()));
    assert_eq!(properties.get(Property::ResponseTopic), None);
    assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "c1"), ("c", "x")]);
    let (.., properties, _) = made("topic = 'o', user_properties = '${props.User-Property}'");
    assert_eq!(Encoded::from_checked(&properties).user_properties().collect::<Vec<_>>(), [("k", "v")]);
    assert!(made("topic = 'o', user_properties = '${payload.no}'").4.is_empty());
}

#[test]
fn a_row_that_makes_no_message_says_why() {
    use ActionFailure::{BadProperty, BadQos, BadRetain, BadTopic, TooLarge};
    for (keys, why, says) in [
        ("topic = '${payload.bad}'", BadTopic, "wildcard `+` at byte 2: \"a/+\""),
        ("topic = '${payload.no}'", BadTopic, "empty"),
        ("topic = '${payload.no:-$SYS}/x'", BadTopic, "belong to the broker"),
        ("topic = 'o', qos = '${payload.q}'", BadQos, "3 is no QoS"),
        ("topic = 'o', qos = '${payload.no}'", BadQos, "null is no QoS"),
        ("topic = 'o', retain = '${payload.t}'", BadRetain, "21.5 is neither true nor false"),
        ("topic = 'o', properties = { Message-Expiry-Interval = '${payload.t}' }", BadProperty, "seconds: \"21.5\""),
        ("topic = 'o', properties = { Response-Topic = '${payload.bad}' }", BadProperty, "is no Topic Name: \"a/+\""),
        ("topic = 'o', properties = { Payload-Format-Indicator = '2' }", BadProperty, "is neither 0 nor 1"),
        ("topic = 'o', user_properties = '${payload.t}'", BadProperty, "21.5 is no map of User Properties"),
        (
            "topic = 'o', user_properties = { a = \"${clientid}\\u0000\" }",
            BadProperty,
            "User Property \"a\" is too long, not UTF-8",
        ),
    ] {
        let (met, message) = refused(keys);
        assert!(met == why && message.contains(says), "{keys}: {met:?} {message}");
    }
    let big = record(&Value::text(&"x".repeat(1000)), &Value::Null);
    let refused = publish("topic = 'o'", &big, &LIMITS).expect_err("too large");
    assert_eq!(refused.why, TooLarge);
    let strict = Limits { qos: 0, retain: false, ..LIMITS };
    let small = record(&Value::Null, &Value::Null);
    assert_eq!(publish("topic = 'o'", &small, &strict).expect_err("QoS 1").why, BadQos);
    assert_eq!(publish("topic = 'o', qos = 0, retain = true", &small, &strict).expect_err("RETAIN").why, BadRetain);
    assert_eq!(publish("topic = 'o', qos = 0", &small, &strict).expect("allowed").5, b"");
}

#[test]
fn what_can_never_work_is_refused_when_it_is_saved() {
    for (keys, key, code) in [
        ("topic = 'a/+'", "topic", "R0211"),
        ("topic = ''", "topic", "R0211"),
        ("topic = 'a/#/${topic}'", "topic", "R0211"),
        ("topic = '$SYS/x'", "topic", "R0211"),
        ("topic = '$SYS/${topic}'", "topic", "R0211"),
        ("topic = 'a/${topic'", "topic", "R0201"),
        ("topic = 'a/${topc}'", "topic", "R0204"),
        ("topic = 'o', qos = 3", "qos", "R0212"),
        ("topic = 'o', qos = true", "qos", "R0212"),
        ("topic = 'o', qos = 'two'", "qos", "R0212"),
        ("topic = 'o', retain = 2", "retain", "R0214"),
        ("topic = 'o', payload = '${}'", "payload", "R0202"),
        ("topic = 'o', properties = { Topic-Alias = '1' }", "properties.Topic-Alias", "R0213"),
        ("topic = 'o', user_properties = 'a'", "user_properties", "R0213"),
        ("topic = 'o', user_properties = { a = '${b}' }", "user_properties.a", "R0204"),
        ("topic = 'o', fallbacks = [{ kind = 'republish', topic = '#' }]", "fallbacks[1].topic", "R0211"),
        (
            "topic = 'o', fallbacks = [{ kind = 'sink', sink = 's', fallbacks = [{ kind = 'console' }] }]",
            "fallbacks[1].fallbacks",
            "R0215",
        ),
    ] {
        let faults = compile(&format!("actions = [{{ kind = 'republish', {keys} }}]")).expect_err(keys);
        let found: Vec<_> = faults.iter().map(|fault| (fault.key.as_str(), fault.diagnostic.code)).collect();
        assert_eq!(found, [(format!("actions[1].{key}").as_str(), code)], "{keys}");
        assert!(faults[0].diagnostic.help.is_some(), "{keys}");
    }
    let many = format!("actions = [{}]", "{ kind = 'console' },".repeat(33));
    assert_eq!(compile(&many).expect_err("many")[0].diagnostic.code, "R0216");
    let open = Actions::compile(&config("actions = [{ kind = 'republish', topic = '${any}' }]"), &[&columns()], true);
    assert!(open.is_ok(), "its columns are not known before");
}

#[test]
fn sinks_come_first_and_a_row_is_made_only_for_who_looks_at_it() {
    let actions = compile(
        "sinks = ['a', 'b', 'a']\non_action_failed = 'stop'\n\
         actions = [{ kind = 'sink', sink = 'b', fallbacks = [{ kind = 'sink', sink = 'c' }] }, { kind = 'do_nothing' }]",
    )
    .expect("good");
    assert_eq!(actions.sinks(), ["a", "b", "c"]);
    let places: Vec<_> = actions
        .list()
        .iter()
        .filter_map(|action| if let What::Sink(at) = action.what { Some(at) } else { None })
        .collect();
    assert_eq!(places, [0, 1, 1]);
    assert!(actions.stop() && actions.wants_row());
    assert!(!compile("actions = [{ kind = 'do_nothing' }]").expect("good").wants_row());
    assert!(!compile("").expect("good").wants_row());
    assert!(compile("actions = [{ kind = 'console' }]").expect("good").wants_row());
}
