//! Whole exports, from a tree of values to config and report.

use std::collections::BTreeMap;

use millrace_rules::config::{ActionConfig, Compat, RuleConfig};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::archive::tests::pack;
use super::model::{ACTIONS_MAX, FALLBACKS_MAX, ITEMS_MAX, Imported, Verdict};
use super::report::Report;
use super::{hocon, recognise, source, write};

const V4: &str = include_str!("../../tests/data/emqx-4.4-export.json");
const V5: &str = include_str!("../../tests/data/emqx-5-cluster.hocon");

/// What of a config is read here.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    rules: BTreeMap<String, RuleConfig>,
}

fn v4() -> Imported {
    recognise(&serde_json::from_str(V4).expect("it is JSON"), "export.json").expect("it is an export")
}

fn v5() -> Imported {
    recognise(&hocon::parse(V5).expect("it is HOCON"), "cluster.hocon").expect("it is an export")
}

fn verdicts(imported: &Imported) -> Vec<(&str, Verdict)> {
    imported.rules.iter().map(|rule| (rule.name.as_str(), rule.verdict())).collect()
}

/// What is written for the rules that run is what they are, and nothing else is written.
fn assert_written(imported: &Imported) {
    let text = write::write(imported, "the export");
    let written: Written = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let meant: BTreeMap<String, RuleConfig> = imported
        .rules
        .iter()
        .filter(|rule| rule.verdict() != Verdict::NotSupported)
        .map(|rule| (rule.name.clone(), rule.config.clone()))
        .collect();
    assert_eq!(written.rules, meant, "{text}");
    for sink in &imported.sinks {
        // From the header of the sink on, all lines lose their `# `.
        let header = format!("# [sinks.{}]\n", sink.name);
        let section = &text[text.find(&header).expect("each sink is written")..];
        let lines = section.lines().take_while(|line| line.starts_with('#') && !line.starts_with("# It took the"));
        let bare: Vec<&str> = lines.map(|line| line.strip_prefix("# ").unwrap_or("")).collect();
        let table: toml::Table = bare.join("\n").parse().unwrap_or_else(|error| panic!("{error}\n{section}"));
        let read = table["sinks"][&sink.name].as_table().expect("a table");
        for (key, value) in sink.parameters.iter().filter(|(key, _)| *key != "kind") {
            assert_eq!(read.get(key), Some(value), "{key} in {section}");
        }
    }
}

#[test]
fn an_export_of_4_becomes_a_config() {
    let imported = v4();
    assert_eq!(imported.version, "4.4");
    assert_eq!(
        verdicts(&imported),
        [
            ("rule_9a6a725d", Verdict::Taken),
            ("rule_1c4d8a02", Verdict::Changed),
            ("rule_581902", Verdict::Changed),
            ("rule_075972", Verdict::Changed),
            ("rule_886709", Verdict::Changed),
            ("rule_284238", Verdict::NotSupported),
            ("rule_434126", Verdict::Changed),
            ("rule_000000", Verdict::NotSupported),
        ]
    );
    assert_written(&imported);
    let [first, second, third, fourth, ..] = &imported.rules[..] else { panic!("there are eight") };
    assert_eq!(
        first.config.sql, "SELECT\n\n  *\n\nFROM\n\n  \"factory/+/telemetry\"\n",
        "unchanged to the last character"
    );
    assert_eq!((first.config.compat, first.config.description.as_str()), (Compat::V4, "keeps a copy of everything"));
    assert!(matches!(&second.waiting[..], [ActionConfig::Sink { fallbacks, .. }] if fallbacks.len() == 1));
    assert!(!third.config.enabled);
    assert_eq!(fourth.config.actions, [ActionConfig::Console {}, ActionConfig::DoNothing {}]);
    let sinks: Vec<_> = imported.sinks.iter().map(|sink| (sink.name.as_str(), sink.kind.as_str())).collect();
    // The same resource with other parameters is another sink, with the same ones it is the same.
    assert_eq!(
        sinks,
        [("kafka_959424", "kafka"), ("http_193474", "http"), ("mysql_a7a38187", "mysql"), ("kafka_959424_2", "kafka")]
    );
    assert_eq!(imported.left_out.len(), 5, "{:?}", imported.left_out);
}

#[test]
fn a_config_of_5_becomes_ours() {
    let imported = v5();
    assert_eq!(
        verdicts(&imported),
        [
            ("alarm", Verdict::Changed),
            ("copy_of_everything", Verdict::Taken),
            ("from_bridge", Verdict::NotSupported),
            ("levels", Verdict::Changed),
            ("protobuf", Verdict::NotSupported),
        ]
    );
    assert_written(&imported);
    let alarm = &imported.rules[0];
    assert_eq!(
        alarm.config.sql,
        "SELECT\n  payload.temp AS t,\n  clientid,\n  pub_props\nFROM\n  \"factory/+/telemetry\"\nWHERE\n  t > 30"
    );
    let [ActionConfig::Sink { sink, fallbacks }] = &alarm.waiting[..] else { panic!("{:?}", alarm.waiting) };
    assert!(sink == "hook" && fallbacks.len() == 2, "{fallbacks:?}");
    // A bridge is also found by the type that it had before.
    assert_eq!(imported.rules[3].waiting.len(), 2);
    let sources: Vec<&str> = imported.sources.iter().map(|source| source.old.as_str()).collect();
    assert_eq!(sources, ["bridges.mqtt.from_site"]);
    assert_eq!(imported.sinks[1].own_topic.as_deref(), Some("direct/#"));
    assert_eq!(imported.sinks[2].parameters["sql"].as_str().expect("text").lines().count(), 2);
}

#[test]
fn no_secret_of_an_export_is_written_or_told() {
    for imported in [v4(), v5()] {
        let report = Report::new(&imported, "export", None);
        for text in [write::write(&imported, "export"), report.text(), report.json(None)] {
            assert!(!text.contains("HIDDEN"), "{text}");
        }
    }
}

#[test]
fn the_report_counts_and_says_what_to_do() {
    let text = Report::new(&v4(), "export.json", Some("new.toml".as_ref())).text();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(
            "export.json (EMQX 4.4): 8 rules: 1 taken, 5 changed, 2 not supported; 4 sinks: 0 taken, 0 changed, 4 not \
             supported -> new.toml"
        )
    );
    for line in [
        "  changed        rules.rule_1c4d8a02 (rule:1c4d8a02): runs without its sink `kafka_959424` and the fallbacks of it",
        "  not supported  rule rule:000000: it has no text in `rawsql`",
        "  differs        rules.rule_886709: clientid() and payload('a.b') gave undefined in 4.x, and give the value here",
        "  left out       `blacklist` (1), `apps` (1), `users` (2), `modules` (1), resource:642569 (backend_redis_single), \
         which no rule uses: only rules and what they write to are read",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\nis not in\n{text}");
    }
    let refused = "  not supported  rules.rule_284238 (rule:284238): R0103 line 2, column 3: there is no function `schema_decode`";
    let line = text.lines().find(|line| line.starts_with(refused)).expect("the rule is told with its place");
    assert!(line.ends_with("`kafka_959424_2` (written commented out: mend it and take the `#` away)"), "{line}");
    assert_eq!(text.lines().filter(|line| line.starts_with("  not supported  sinks.")).count(), 4);
}

#[test]
fn the_report_is_data_too() {
    let report = Report::new(&v4(), "export.json", None);
    let data: Value = serde_json::from_str(&report.json(Some("text"))).expect("it is JSON");
    assert_eq!(data["rules"], json!({"total": 8, "taken": 1, "changed": 5, "not_supported": 2}));
    assert_eq!(data["config"], "text");
    let refused = &data["entries"][5];
    assert_eq!((&refused["verdict"], &refused["name"]), (&json!("not_supported"), &json!("rule_284238")));
    assert_eq!((&refused["diagnostics"][0]["code"], &refused["diagnostics"][0]["line"]), (&json!("R0103"), &json!(2)));
    assert_eq!(data["differences"][0]["difference"], "is_null");
    assert!(!report.is_complete());
}

#[test]
fn answers_of_the_http_api_are_read_too() {
    let answer = json!({"data": [{
        "id": "rule:1", "rawsql": "SELECT * FROM \"t\"", "for": ["t"], "enabled": true, "on_action_failed": "stop",
        "actions": [{"name": "inspect", "params": {}, "fallbacks": []}], "metrics": []
    }], "code": 0});
    let imported = recognise(&answer, "answer").expect("it is one of 4.x");
    assert_eq!(verdicts(&imported), [("rule_1", Verdict::Taken)]);
    assert_written(&imported);
    let answer =
        json!({"data": [{"id": "r", "sql": "SELECT * FROM \"t\"", "actions": [{"function": "console"}]}], "meta": {}});
    let imported = recognise(&answer, "answer").expect("it is one of 5.x");
    assert_eq!((verdicts(&imported), imported.rules[0].config.compat), (vec![("r", Verdict::Taken)], Compat::V5));
    assert!(Report::new(&imported, "answer", None).is_complete());
}

#[test]
fn what_is_no_export_is_refused_by_name() {
    let many: BTreeMap<String, i32> = (0..=ITEMS_MAX).map(|number| (number.to_string(), 0)).collect();
    for (tree, words) in [
        (json!([]), "not an object"),
        (json!({}), "an empty object"),
        (json!({"streams": {}, "tables": {}}), "met: `streams`, `tables`"),
        (json!({"rules": {}, "data": []}), "met: `rules`, `data`"),
        (json!({"\u{1b}[31m": 1}), "\\u{1b}[31m"),
        (json!({"rules": vec![0; ITEMS_MAX + 1]}), "it has 10001 things of one kind"),
        (json!({"actions": {"http": many}}), "it has 10001 things of one kind"),
    ] {
        let error = recognise(&tree, "file").expect_err(words);
        let error = error.diagnostic();
        assert!(error.code == "C0122" && error.message.contains(words), "{}", error.message);
    }
}

#[test]
fn parts_of_the_wrong_type_are_told_and_nothing_else_suffers() {
    let export = json!({"version": 4, "resources": [1, {"id": 2}, {"id": "r", "config": []}], "users": {}, "rules": [
        1, null, "x", [],
        {"id": 7, "rawsql": 8},
        {"id": "a", "rawsql": "SELECT * FROM \"t\"", "actions": {}, "enabled": 1, "description": []},
        {"id": "b", "rawsql": "SELECT * FROM \"t\"", "actions": [
            1, {"name": 2}, {"name": "republish", "args": []}, {"name": "x", "args": {"$resource": "r"}, "fallbacks": 5},
            {"name": "x", "args": {"$resource": {}}}
        ]},
        {"id": "c", "rawsql": "SELECT * FROM \"t\""}
    ]});
    let imported = recognise(&export, "file").expect("it is an export");
    assert_written(&imported);
    let mut verdicts = verdicts(&imported).into_iter().skip(4).map(|(_, verdict)| verdict);
    assert_eq!(verdicts.next(), Some(Verdict::NotSupported));
    assert_eq!(verdicts.next(), Some(Verdict::NotSupported), "no list of actions");
    assert_eq!(verdicts.next(), Some(Verdict::Changed));
    assert_eq!(verdicts.next(), Some(Verdict::Taken));
    let config = json!({
        "rule_engine": {"rules": {"a": 1, "b": {"sql": "SELECT * FROM \"t\"", "actions": [1, "x", "y:z", {"function": 1}]}}},
        "actions": {"http": [], "kafka": {"k": 5, "l": {"connector": {}, "parameters": 1, "fallback_actions": [1]}}},
        "bridges": 5, "connectors": {"http": 1}
    });
    let imported = recognise(&config, "file").expect("it is a config");
    assert_written(&imported);
    assert_eq!((imported.sinks.len(), imported.sources.len()), (1, 1));
}

#[test]
fn no_more_actions_are_taken_than_a_config_may_have() {
    let inspect = json!({"name": "inspect", "args": {}});
    let many = json!({"id": "a", "rawsql": "SELECT * FROM \"t\"", "actions": vec![inspect.clone(); ACTIONS_MAX + 1]});
    let republish =
        json!({"name": "republish", "args": {"target_topic": "t"}, "fallbacks": vec![inspect; FALLBACKS_MAX + 1]});
    let deep = json!({"id": "b", "rawsql": "SELECT * FROM \"t\"", "actions": [republish]});
    let imported = recognise(&json!({"rules": [many, deep]}), "file").expect("it is an export");
    assert_eq!(verdicts(&imported), [("a", Verdict::NotSupported), ("b", Verdict::Changed)]);
    assert_eq!(imported.rules[0].refusals, ["it has 33 actions, and a rule may have 32"]);
    assert_eq!(imported.rules[1].changes[0], "an action is without 1 of its fallbacks: it may have 8");
    assert_written(&imported);
}

#[test]
fn files_are_read_by_what_is_in_them() {
    let dir = std::env::temp_dir().join(format!("millrace-import-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
    let file = dir.join("export");
    let read = |bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("the temporary directory is writable");
        source::read(&file).map_err(|error| error.to_string())
    };
    let whole = read(V5.as_bytes()).expect("HOCON");
    assert_eq!(read(whole.to_string().as_bytes()).as_ref(), Ok(&whole), "the same as JSON");
    assert_eq!(read(format!("\u{feff}{whole}").as_bytes()).as_ref(), Ok(&whole));
    let archive = pack(&[("x/META.hocon", b"version = \"5.8.0\""), ("x/cluster.hocon", V5.as_bytes())]);
    assert_eq!(read(&archive).as_ref(), Ok(&whole));
    for (bytes, words) in [
        (b"".to_vec(), "it is empty"),
        (b"\xff\xfe{}".to_vec(), "not UTF-8"),
        (b"{\"rules\": [}".to_vec(), "it is not JSON"),
        (b"listener.tcp.external = 0.0.0.0:1883 extra ?".to_vec(), "neither JSON nor HOCON: line 1"),
        (["[", "{\"a\":"].concat().repeat(50_000).into_bytes(), "it is not JSON"),
        (pack(&[("x/cluster.hocon", b"a = ${b}")]), "cluster.hocon"),
        (archive[..200].to_vec(), "gzip"),
    ] {
        let error = read(&bytes).expect_err(words);
        assert!(error.contains(words), "{error}");
    }
    std::fs::File::create(&file).and_then(|file| file.set_len(100 << 20)).expect("a file may have holes");
    let error = source::read(&file).expect_err("100 MiB").diagnostic();
    assert!(error.code == "C0122" && error.message.contains("larger than 32 MiB"), "{}", error.message);
    for path in [dir.clone(), dir.join("absent")] {
        assert_eq!(source::read(&path).map_err(|error| error.diagnostic().code), Err("C0112"));
    }
    std::fs::remove_dir_all(&dir).expect("it is ours");
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~äé\n\t\u{7f}\u{0}]{0,20}",
        Just("SELECT * FROM \"t\"".to_owned()),
        Just("SELECT payload.x AS \"a\r\nb\" FROM \"t/#\" WHERE a = 'x'''".to_owned()),
        Just("kafka:a".to_owned()),
        Just("r".to_owned()),
        Just("republish".to_owned()),
        Just("${a.b}".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "id",
        "sql",
        "rawsql",
        "actions",
        "enabled",
        "enable",
        "description",
        "name",
        "args",
        "params",
        "fallbacks",
        "config",
        "type",
        "$resource",
        "parameters",
        "connector",
        "function",
        "topic",
        "target_topic",
        "payload_tmpl",
        "user_properties",
        "headers",
        "a",
        "a b\u{7f}",
        "",
        "password",
        "kind",
        "local_topic",
    ]);
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8).prop_map(|map| {
                Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_an_export_holds_the_config_is_toml(
        rules in prop::collection::vec(any_value(), 0..4),
        action in any_value(),
        config in any_value(),
        sql in "[ -~\n\t\r\u{0}\u{7f}ä'\"\\\\]{0,40}",
    ) {
        let rule = json!({"id": sql, "rawsql": sql, "actions": [
            action, {"name": "x", "args": {"$resource": "r", "p": config}, "fallbacks": [action]},
            {"name": "republish", "args": {"target_topic": sql, "payload_tmpl": sql, "user_properties": config}}
        ], "description": sql});
        let mut all = rules;
        all.push(rule);
        let old = json!({"rules": all, "resources": [{"id": "r", "type": sql, "config": config}, action]});
        let mut names = serde_json::Map::new();
        names.insert("a".to_owned(), config.clone());
        names.insert(sql.clone(), json!({"connector": "c", "parameters": config, "local_topic": sql}));
        let mut written = serde_json::Map::new();
        written.insert("x".to_owned(), config.clone());
        written.insert(sql.clone(), json!({"sql": sql, "actions": [action, "kafka:a"]}));
        let new = json!({
            "rule_engine": {"rules": written}, "actions": {"kafka": names}, "connectors": {"kafka": {"c": config}}, "bridges": action,
        });
        for tree in [old, new] {
            let imported = recognise(&tree, "file").expect("it looks like one");
            assert_written(&imported);
            prop_assert!(Report::new(&imported, "file", None).text().starts_with("file (EMQX "));
        }
    }
}
