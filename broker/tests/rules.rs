//! `millrace rules …` as a process: what it prints for people and for scripts, and what it exits with.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A directory of its own, gone with the value.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-rules-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("the temporary directory is writable");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).expect("it was written")
    }

    fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "")
    }

    fn run_with(&self, args: &[&str], input: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .current_dir(&self.0)
            .arg("rules")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // A program that does not read it has closed the pipe.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        Said::from(child.wait_with_output().expect("it ends"))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the program said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

const HOT: &str = "SELECT payload.temp AS t, clientid\nFROM \"t/#\" WHERE payload.temp > 25\n";
const EVENT: &str = r#"{"topic":"t/1","clientid":"c1","payload":"{\"temp\":29.5}"}"#;

#[test]
fn rows_are_shown_with_their_kinds_or_as_one_json_array() {
    let dir = Dir::new();
    dir.write("hot.sql", HOT);
    dir.write("event.json", EVENT);
    let files = ["--sql-file", "hot.sql", "--event-file", "event.json"];
    let said = dir.run(&[&["test"], &files[..]].concat());
    assert_eq!((said.code, said.out.as_str()), (Some(0), "t         29.5 float\nclientid  \"c1\" text\n"), "{said:?}");
    let rows = "[{\"t\":29.5,\"clientid\":\"c1\"}]\n";
    for args in [
        &["--sql-file", "hot.sql", "--event-file", "event.json"][..],
        &["--sql", HOT, "--event", EVENT],
        &["--sql", HOT, "--event", "event.json"],
        &["--sql", HOT, "--event-file", "-"],
    ] {
        let said = dir.run_with(&[&["test", "--json"], args].concat(), EVENT);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), rows, ""), "{args:?}");
    }
}

#[test]
fn no_row_is_an_empty_array_and_says_why() {
    let dir = Dir::new();
    let test = |sql: &str, event: &str| dir.run(&["test", "--json", "--sql", sql, "--event", event]);
    let cold = test(HOT, r#"{"payload":{"temp":21.5}}"#);
    assert_eq!((cold.code, cold.out.as_str()), (Some(0), "[]\n"));
    assert_eq!(cold.err, "note: no row: WHERE payload.temp > 25 was false; payload.temp = 21.5\n");
    let elsewhere = test(HOT, r#"{"topic":"x/1","payload":{"temp":31}}"#);
    assert_eq!((elsewhere.code, elsewhere.out.as_str()), (Some(0), "[]\n"));
    assert_eq!(elsewhere.err, "note: the rule does not see message.publish on `x/1`: FROM has \"t/#\"\n");
    let event = test(HOT, r#"{"event":"client.connected"}"#);
    assert_eq!((event.code, event.out.as_str()), (Some(0), "[]\n"), "{event:?}");
}

#[test]
fn an_error_is_an_object_with_its_kind() {
    let dir = Dir::new();
    for (sql, event, kind, code) in [
        ("SELECT topic", "{}", "parse", "R0003"),
        ("SELECT 'x FROM \"t\"", "{}", "parse", "R0002"),
        ("SELECT temp FROM \"t\"", "{}", "name", "R0101"),
        ("SELECT * FROM \"t\" WHERE payload.a = \"x\"", "{}", "name", "R0102"),
        ("SELECT uper(topic) AS a FROM \"t\"", "{}", "name", "R0103"),
        ("SELECT lower() AS a FROM \"t\"", "{}", "arity", "R0110"),
        ("SELECT clientid - 1 AS a FROM \"t\"", "{}", "type", "R0111"),
        ("SELECT payload.a AS a FROM \"t\"", r#"{"payload":"x"}"#, "eval", "R0301"),
        ("SELECT payload.a * 2 AS a FROM \"t\"", r#"{"payload":{}}"#, "eval", "R0302"),
    ] {
        let said = dir.run(&["test", "--json", "--sql", sql, "--event", event]);
        let error = said.json();
        assert_eq!((said.code, &error["error"], &error["code"]), (Some(1), &json!(kind), &json!(code)), "{sql}");
        assert!(error["message"].is_string() && error["line"] == 1 && error["column"].is_u64(), "{error}");
        assert!(said.err.starts_with(&format!("error[{code}]: ")), "{said:?}");
    }
}

#[test]
fn fields_that_are_not_given_are_those_of_a_plain_message() {
    let dir = Dir::new();
    let sql = "SELECT * , flags.retain AS r, user_properties AS u, retain AS flag FROM \"a/+/b/#\"";
    let said = dir.run(&["test", "--json", "--now", "1653561612000", "--sql", sql, "--event", "{}"]);
    let expected = json!([{
        "id": "00000180FFF3D6E00000000000000001", "clientid": "c1", "username": null, "peerhost": "127.0.0.1",
        "topic": "a/a/b/a", "qos": 0, "flags": {"retain": false, "dup": false}, "payload": "", "pub_props": {},
        "publish_received_at": 1_653_561_612_000_u64, "timestamp": 1_653_561_612_000_u64, "node": "millrace@127.0.0.1",
        "event": "message.publish", "r": false, "u": {}, "flag": false
    }]);
    assert_eq!(said.json(), expected, "{said:?}");
    // A message of which the broker could not know more is evaluated as it evaluates messages; both ways agree.
    let known = expected[0].as_object().expect("a row is an object").clone();
    let event = json!({"clientid": "c1", "pub_props": {"User-Property": {}}, "timestamp": 1_653_561_612_000_u64});
    let said = dir.run(&["test", "--json", "--sql", sql, "--event", &event.to_string()]);
    let mut row = said.json()[0].clone();
    assert_eq!(row["pub_props"], json!({"User-Property": {}, "User-Property-Pairs": []}));
    row["pub_props"] = json!({});
    assert_eq!(row.as_object(), Some(&known), "{said:?}");
}

#[test]
fn an_event_is_taken_as_it_was_written_down() {
    let dir = Dir::new();
    let row = |sql: &str, event: Value| {
        let said = dir.run(&["test", "--json", "--sql", sql, "--event", &event.to_string()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.json()[0].clone()
    };
    assert_eq!(row("SELECT payload FROM \"t\"", json!({"payload": {"a": [1, 2.0]}}))["payload"], "{\"a\":[1,2.0]}");
    assert_eq!(row("SELECT payload FROM \"t\"", json!({"payload_base64": "aGk="}))["payload"], "hi");
    let props = json!({"pub_props": {"Content-Type": "json", "User-Property": {"k": "v"}}});
    let sql = "SELECT pub_props.'Content-Type' AS c, user_properties.k AS k FROM \"t\"";
    assert_eq!(row(sql, props), json!({"c": "json", "k": "v"}));
    let retained = row("SELECT retain, flags, qos FROM \"t\"", json!({"retain": true, "qos": 2}));
    assert_eq!(retained, json!({"retain": true, "flags": {"retain": true, "dup": false}, "qos": 2}));
}

#[test]
fn events_have_all_their_fields_and_follow_from_the_rule() {
    let dir = Dir::new();
    let events = dir.run(&["events", "--json"]).json();
    for event in events.as_array().expect("a list").iter().skip(1) {
        let sql = format!("SELECT * FROM \"{}\"", event["from"][0].as_str().expect("it has a topic"));
        let said = dir.run(&["test", "--json", "--now", "5", "--sql", &sql]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let row = &said.json()[0];
        for field in event["fields"].as_array().expect("a list").iter().filter(|field| field["in_star"] == true) {
            let (name, ty) = (field["name"].as_str().expect("a name"), field["type"].as_str().expect("a type"));
            let value = row.get(name).unwrap_or_else(|| panic!("{name} in {row}"));
            assert!(!value.is_null() || ty.contains("null"), "{name} of {sql}");
        }
        assert_eq!((&row["event"], &row["timestamp"]), (&event["name"], &json!(5)));
    }
    let sql = "SELECT event, topic FROM \"$events/session/#\", \"t/#\"";
    for (event, name) in [
        (json!({"event": "$events/session_subscribed", "topic": "x/#"}), "session.subscribed"),
        (json!({"event": "message.publish", "topic": "t/1"}), "message.publish"),
    ] {
        let said = dir.run(&["test", "--json", "--sql", sql, "--event", &event.to_string()]);
        assert_eq!(said.json(), json!([{"event": name, "topic": event["topic"]}]), "{said:?}");
    }
}

#[test]
fn each_row_of_foreach_is_one_of_the_array() {
    let dir = Dir::new();
    let sql = "FOREACH payload.s AS s DO s.n AS n INCASE s.n > 1 FROM \"t/#\" WHERE qos = 1";
    let event = |qos: u8| format!("{{\"qos\":{qos},\"payload\":{{\"s\":[{{\"n\":1}},{{\"n\":2}},{{\"n\":3.0}}]}}}}");
    let rows = dir.run(&["test", "--json", "--sql", sql, "--event", &event(1)]);
    assert_eq!(rows.out, "[{\"n\":2},{\"n\":3.0}]\n", "{rows:?}");
    let people = dir.run(&["test", "--sql", sql, "--event", &event(1)]);
    assert_eq!(people.out, "n  2 integer\n\nn  3.0 float\n");
    let none = dir.run(&["test", "--json", "--sql", sql, "--event", &event(0)]);
    assert_eq!((none.out.as_str(), none.err.as_str()), ("[]\n", "note: no row: WHERE qos = 1 was false; qos = 0\n"));
}

#[test]
fn what_is_no_event_is_refused_and_what_is_unknown_is_left_out() {
    let dir = Dir::new();
    let sql = "SELECT topic FROM \"t/#\"";
    for (event, said_of_it) in [
        ("{\"qos\":\"1\"}", "`qos` wants integer, this is \"1\" text"),
        ("{\"qos\":3}", "`qos` is 0, 1 or 2, this is 3 integer"),
        ("{\"topic\":\"t/#\"}", "is no topic to publish to"),
        ("{\"event\":\"client.conected\"}", "did you mean `client.connected`?"),
        ("{\"payload_base64\":\"?\"}", "is no Base64"),
        ("{\"topic\":\"t/1\",}", "not JSON at byte 15"),
    ] {
        let said = dir.run(&["test", "--json", "--sql", sql, "--event", event]);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
        assert!(said.err.starts_with("error[C0120]: ") && said.err.contains(said_of_it), "{said:?}");
    }
    let said = dir.run(&["test", "--json", "--sql", sql, "--event", "{\"cliendid\":1}"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "[{\"topic\":\"t/a\"}]\n"));
    assert!(said.err.contains("no field `cliendid`, it is left out; did you mean `clientid`?"), "{said:?}");
    let default = dir.run(&["test", "--json", "--sql", "SELECT payload.msg AS m, topic FROM \"x/+\""]);
    assert_eq!(default.json(), json!([{"m": "hello", "topic": "x/a"}]));
    assert!(default.err.starts_with("note: no --event, so message.publish with the payload"), "{default:?}");
    assert_eq!(dir.run(&["test", "--sql", sql, "--event", "absent.json"]).code, Some(2));
    assert_eq!(dir.run(&["test"]).code, Some(2));
}

#[test]
fn check_says_all_that_is_wrong_with_all_rules() {
    let dir = Dir::new();
    dir.write("hot.sql", HOT);
    dir.write("bad.sql", "SELECT topik\nFROM \"t\" WHERE payload.a = \"x\"");
    dir.write(
        "millrace.toml",
        "[sinks.other]\nkind = 'of another version'\n[rules.one]\nsql = 'SELECT qos + 1 FROM \"t\"'\n[rules.two]\nenabled = \
         false\nsql = 'SELECT uper(topic) AS a FROM \"t\"'\n",
    );
    let ok = dir.run(&["check", "hot.sql"]);
    assert_eq!((ok.code, ok.out.as_str(), ok.err.as_str()), (Some(0), "ok: 1 rule\n", ""));
    let bad = dir.run(&["check", "bad.sql", "millrace.toml"]);
    assert_eq!(bad.code, Some(1));
    for part in [
        "error[R0101]: no event has a field `topik`\n --> bad.sql, line 1, column 8\n",
        "error[R0102]: `\"x\"` in double quotes names a field, and no event has it\n --> bad.sql, line 2, column 28\n",
        "warning[R0106]: this column has no name and is called `qos + 1`\n --> millrace.toml, rules.one, line 1, column 8\n",
        "error[R0103]: there is no function `uper`\n --> millrace.toml, rules.two, line 1, column 8\n",
        "    |        ^^^^ did you mean `upper`?\n",
        "3 errors, 1 warning in 3 rules\n",
    ] {
        assert!(bad.err.contains(part), "{part}\n{}", bad.err);
    }
    let data = dir.run_with(&["check", "--json", "-"], "SELECT topik FROM \"t\"");
    let expected = json!([{
        "file": "standard input", "rule": "stdin", "code": "R0101", "severity": "error", "from": 7, "to": 12, "line": 1,
        "column": 8, "message": "no event has a field `topik`", "help": "did you mean `topic`?", "replacement": "topic"
    }]);
    assert_eq!((data.code, data.json()), (Some(1), expected));
    assert_eq!(dir.run(&["check", "--json", "hot.sql"]).json(), json!([]));
    assert_eq!(dir.run(&["check", "absent.sql"]).code, Some(2));
    dir.write("broken.toml", "[rules.x]\nsqll = ''\n");
    let broken = dir.run(&["check", "broken.toml"]);
    assert_eq!(broken.code, Some(2));
    assert!(broken.err.contains("did you mean `sql`?"), "{broken:?}");
}

#[test]
fn check_looks_at_the_templates_of_actions_too() {
    let dir = Dir::new();
    dir.write(
        "millrace.toml",
        "[rules.hot]\nsql = 'SELECT topic AS t FROM \"t\"'\n[[rules.hot.actions]]\nkind = 'republish'\ntopic = 'a/${tt}'\n",
    );
    let said = dir.run(&["check", "millrace.toml"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(" --> millrace.toml, rules.hot.actions[1].topic, line 1, column 5\n"), "{said:?}");
    assert_eq!(dir.run(&["check", "--json", "millrace.toml"]).json()[0]["rule"], "hot.actions[1].topic");
}

const CONFIG: &str =
    "[rules.hot]\nsql = '''\nSELECT payload.temp AS t, clientid\nFROM \"t/#\" WHERE payload.temp > 25'''\n";

#[test]
fn cases_that_hold_pass_and_the_others_say_why_they_do_not() {
    let dir = Dir::new();
    dir.write("millrace.toml", CONFIG);
    dir.write(
        "good.toml",
        "config = 'millrace.toml'\n\
         [[case]]\nname = 'hot readings become rows'\nrule = 'hot'\n\
         event = { topic = 't/1', clientid = 'c1', payload = '{\"temp\":31.5}' }\nexpect = [{ t = 31.5, clientid = 'c1' }]\n\
         [[case]]\nname = 'cold ones do not'\nrule = 'hot'\nevent = { payload = { temp = 20 } }\nexpect = []\n\
         [[case]]\nname = 'no JSON fails'\nrule = 'hot'\nevent = { payload = 'x' }\nexpect_error = 'R0301'\n\
         [[case]]\nname = 'null needs JSON'\nsql = 'SELECT username, timestamp AS at FROM \"t\"'\n\
         expect = '[{\"username\":null,\"at\":1653561612000}]'\n\
         [[case]]\nname = 'only what is named counts'\nsql = 'SELECT * FROM \"t\"'\nnow = 5\nexact = false\n\
         expect = [{ timestamp = 5 }]\n",
    );
    let good = dir.run(&["test", "good.toml"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.out.starts_with("good.toml\n  ok    hot readings become rows "), "{good:?}");
    assert!(good.out.ends_with("5 passed, 0 failed\n"), "{good:?}");

    dir.write(
        "bad.toml",
        "config = 'millrace.toml'\nrule = 'hot'\n\
         [[case]]\nname = 'cold readings are ignored'\nevent = { payload = { temp = 29.5 } }\nexpect = []\n\
         [[case]]\nname = 'whole numbers are no floats'\nevent = { payload = { temp = 30 } }\n\
         expect = [{ t = 30.0, clientid = 'c1' }]\n\
         [[case]]\nname = 'too cold'\nevent = { payload = { temp = 3 } }\nexpect = [{ t = 3, clientid = 'c1' }]\n\
         [[case]]\nname = 'no JSON'\nevent = { payload = 'x' }\nexpect = []\n\
         [[case]]\nname = 'no error'\nevent = { payload = { temp = 3 } }\nexpect_error = 'R0301'\n",
    );
    let bad = dir.run(&["test", "good.toml", "bad.toml", "--junit", "report.xml"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    for part in [
        "  FAIL  cold readings are ignored   (line 3)\n          expected  no row\n          got       {\"t\": 29.5 float, \
         \"clientid\": \"c1\" text}\n          WHERE payload.temp > 25 was true; payload.temp = 29.5\n",
        "          t: expected 30.0 float, got 30 integer\n",
        "          got       no row\n          WHERE payload.temp > 25 was false; payload.temp = 3\n",
        "          got       error[R0301]: the payload is not JSON at byte 0: \"x\"\n",
        "          expected  R0301: A rule looks into a payload that is not JSON",
        "5 passed, 5 failed\n",
    ] {
        assert!(bad.out.contains(part), "{part}\n{}", bad.out);
    }
    let xml = dir.read("report.xml");
    assert!(xml.contains("<testsuite name=\"bad.toml\" tests=\"5\" failures=\"5\""), "{xml}");
    let data = dir.run(&["test", "--json", "bad.toml"]).json();
    assert_eq!(data[1]["failure"]["notes"], json!(["t: expected 30.0 float, got 30 integer"]));
    assert_eq!((&data[1]["passed"], &data[1]["line"]), (&json!(false), &json!(7)));
}

#[test]
fn a_case_file_that_is_wrong_is_refused_with_its_places() {
    let dir = Dir::new();
    dir.write("millrace.toml", CONFIG);
    for (text, said_of_it) in [
        ("[[case]]\nname = 'x'\nsql = 'SELECT 1 AS a FROM \"t\"'\n", "has neither `expect` nor `expect_error`"),
        ("[[case]]\nname = 'x'\nexpect = []\n", "has neither `rule` nor `sql`"),
        ("config = 'millrace.toml'\n[[case]]\nname = 'x'\nrule = 'hto'\nexpect = []\n", "4:8\n 4 | rule = 'hto'\n"),
        ("config = 'absent.toml'\n[[case]]\nname = 'x'\nrule = 'hot'\nexpect = []\n", "cannot read absent.toml"),
        ("[[case]]\nname = 'x'\nsql = ''\nexpct = []\n", "did you mean `expect`?"),
        ("[[case]]\nname = 'x'\nsql = ''\nexpect_error = 'R9999'\n", "there is no code R9999"),
        ("[[case]]\nname = 'x'\nsql = ''\nexpect = [{ a = 2022-05-26 }]\n", "rules have no dates"),
        ("[[case]]\nname = 'x'\nsql = ''\nexpect = '[{'\n", "the text is not JSON at byte 2"),
        ("now = -1\n[[case]]\nname = 'x'\nsql = ''\nexpect = []\n", "`now` wants a whole number"),
        ("[[case]\n", "this is not TOML"),
        ("seed = 1\n", "there is no [[case]]"),
    ] {
        dir.write("cases.toml", text);
        let said = dir.run(&["test", "cases.toml"]);
        assert_eq!(said.code, Some(2), "{text}\n{said:?}");
        assert!(said.err.contains(said_of_it) && said.err.contains("cases.toml"), "{said_of_it}\n{}", said.err);
        assert!(said.err.ends_with("no case of this file was run\n"), "{said:?}");
    }
}

#[test]
fn the_vocabulary_comes_from_the_tables() {
    let dir = Dir::new();
    let upper = dir.run(&["functions", "upper"]);
    assert!(upper.out.starts_with("upper(text text) -> text\n"), "{upper:?}");
    let all = dir.run(&["functions", "--json"]).json();
    assert!(all.as_array().is_some_and(|all| all.len() > 20 && all.iter().all(|one| one["signature"].is_string())));
    assert!(dir.run(&["functions", "uper"]).err.contains("did you mean upper?"));
    let events = dir.run(&["events", "--json"]).json();
    assert_eq!(events[0]["name"], "message.publish");
    let connected = dir.run(&["events", "$events/client/connected"]);
    assert!(
        connected.out.starts_with("client.connected\n") && connected.out.contains("\n  clean_start "),
        "{connected:?}"
    );
    assert_eq!(dir.run(&["events", "$events/nothing"]).code, Some(2));
}

#[test]
fn the_page_of_the_reference_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules-reference.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let said = Dir::new().run(&["reference"]);
    assert!(
        page == said.out,
        "docs/rules-reference.md is old: run `millrace rules reference > docs/rules-reference.md`"
    );
}

#[test]
fn the_cases_in_the_documentation_hold() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules-testing.md"));
    let page = page.expect("the page is there");
    let cases = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it shows cases");
    let dir = Dir::new();
    dir.write("millrace.toml", CONFIG);
    dir.write("cases.toml", cases);
    let said = dir.run(&["test", "cases.toml"]);
    assert!(said.code == Some(0) && said.out.ends_with("3 passed, 0 failed\n"), "{said:?}");
}
