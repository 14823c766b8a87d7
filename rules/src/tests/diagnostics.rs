//! What is said about rules that are wrong.

use std::time::{Duration, Instant};

use super::config;
use crate::diagnostics::Severity;
use crate::rule::diagnose;
use crate::{RuleConfig, Rules};

/// Code, marked text and help of each error.
fn mistakes(sql: &str) -> Vec<(&'static str, String, String)> {
    diagnose(sql)
        .expect_err(sql)
        .into_iter()
        .filter(|found| found.severity == Severity::Error)
        .map(|found| {
            let marked = &sql[found.span.start as usize..found.span.end as usize];
            (found.code, marked.to_owned(), found.help.unwrap_or_default())
        })
        .collect()
}

#[test]
fn typical_mistakes_say_what_to_type() {
    for (sql, code, marked, help) in [
        ("SELECT * FROM \"t\" WHERE payload.level = \"high\"", "R0102", "\"high\"", "for text write 'high'"),
        ("SELECT cliendid FROM \"t\"", "R0101", "cliendid", "did you mean `clientid`?"),
        ("SELECT temp FROM \"t\"", "R0101", "temp", "a member of a JSON payload is `payload.temp`, a text is 'temp'"),
        ("SELECT uper(topic) FROM \"t\"", "R0103", "uper", "did you mean `upper`?"),
        ("SELECT frobnicate(topic) FROM \"t\"", "R0103", "frobnicate", "`millrace rules functions` lists them"),
        ("SELECT nvl(topic, 1) AS a FROM \"t\"", "R0103", "nvl", "did you mean `coalesce`?"),
        ("SELECT payload.x WHERE qos = 1", "R0003", "WHERE", "before WHERE stands what it reads: FROM \"sensors/#\""),
        (
            "SELECT lower(topic, 1) AS x FROM \"t\"",
            "R0110",
            "lower(topic, 1)",
            "The text in lower case: lower('Ab') is 'ab'.",
        ),
        ("SELECT qos == 1 AS a FROM \"t\"", "R0003", "=", "equality is one `=`"),
        ("SELECT qos FROM \"t\" WHERE qos = 1 && true", "R0001", "&", "both conditions: write AND"),
        ("SELECT FROM \"t\"", "R0003", "FROM", "name a field, or `*` for all of them"),
        ("SELECT payload.x", "R0003", "", "add the topics it reads: FROM \"sensors/#\""),
        ("SELECT * FROM t/#", "R0001", "#", "a topic filter stands in double quotes: FROM \"sensors/#\""),
        ("SELECT qos # note\nFROM \"t\"", "R0001", "#", "a comment begins with --"),
        ("SELECT * FROM t/a", "R0003", "/", "a topic filter stands in double quotes: FROM \"sensors/#\""),
        ("SELECT * FROM \"t/#/x\"", "R0104", "\"t/#/x\"", ""),
        (
            "SELECT * FROM \"$events/client_conected\"",
            "R0105",
            "\"$events/client_conected\"",
            "did you mean `$events/client_connected`?",
        ),
        ("SELECT * FROM \"t\";", "R0001", ";", "a rule is one statement, without a semicolon"),
        (
            "SELECT * FROM \"t\" WHERE topic LIKE 'a%'",
            "R0003",
            "LIKE",
            "there is no LIKE; for topics there is =~ with a topic filter",
        ),
        (
            "SELECT * FROM \"t\" GROUP BY topic",
            "R0003",
            "GROUP",
            "a rule sees one message at a time: there is no GROUP BY, ORDER BY, LIMIT or JOIN",
        ),
        ("SELECT * FROM \"t\" WHERE clientid", "R0112", "clientid", "compare it with a value, or ask IS NOT NULL"),
        ("SELECT * FROM \"t\" WHERE clientid - 1 > 0", "R0111", "clientid", ""),
        ("SELECT * FROM \"t\" WHERE qos = 'one'", "R0111", "qos = 'one'", ""),
        ("SELECT abs(topic) AS a FROM \"t\"", "R0111", "topic", ""),
        (
            "SELECT qos.x FROM \"t\"",
            "R0113",
            "qos.x",
            "only maps, lists, and texts that hold JSON have parts: name it without what follows",
        ),
        ("SELECT flags.retian FROM \"t\"", "R0101", "flags.retian", "it has `flags.retain` and `flags.dup`"),
        (
            "SELECT 1 AS select FROM \"t\"",
            "R0003",
            "select",
            "`select` is a word of the language; as a name it stands in double quotes",
        ),
        ("SELECT 1 AS 'a' FROM \"t\"", "R0003", "'a'", "a name stands bare or in double quotes"),
        ("SELECT * FROM \"t\" WHERE 1 < qos < 3", "R0003", "< qos <", "join two of them by AND: a < b AND b < c"),
        ("SELECT 1 AS a, 2 AS a.b FROM \"t\"", "R0107", "a.b", "give one of them another name by AS"),
        ("SELECT 1 div 0 AS a FROM \"t\"", "R0114", "1 div 0", ""),
        ("SELECT 'open FROM \"t\"", "R0002", "'", "to write ' inside, write it twice"),
    ] {
        let found = mistakes(sql);
        assert_eq!(found, [(code, marked.to_owned(), help.to_owned())], "{sql}");
    }
}

#[test]
fn all_mistakes_of_all_rules_are_reported_at_once() {
    let wrong = Rules::compile(&[
        ("hot", config("SELECT cliendid, uper(topic) AS u\nFROM \"t\"\nWHERE payload.level = \"high\"")),
        ("good", config("SELECT * FROM \"t\"")),
        ("off", RuleConfig { enabled: false, ..config("SELECT") }),
    ])
    .expect_err("two are wrong");
    let names: Vec<_> = wrong.iter().map(|wrong| wrong.rule.as_str()).collect();
    assert_eq!(names, ["hot", "off"]);
    assert_eq!(
        wrong[0].to_string(),
        "error[R0101]: no event has a field `cliendid`\n\
         \x20--> rules.hot, line 1, column 8\n\
         \x20 1 | SELECT cliendid, uper(topic) AS u\n\
         \x20   |        ^^^^^^^^ did you mean `clientid`?\n\
         error[R0103]: there is no function `uper`\n\
         \x20--> rules.hot, line 1, column 18\n\
         \x20 1 | SELECT cliendid, uper(topic) AS u\n\
         \x20   |                  ^^^^ did you mean `upper`?\n\
         error[R0102]: `\"high\"` in double quotes names a field, and no event has it\n\
         \x20--> rules.hot, line 3, column 23\n\
         \x20 3 | WHERE payload.level = \"high\"\n\
         \x20   |                       ^^^^^^ for text write 'high'"
    );
}

#[test]
fn replacements_mend_the_rule() {
    for sql in [
        "SELECT * FROM \"t\" WHERE payload.level = \"high\"",
        "SELECT cliendid FROM \"t\"",
        "SELECT temp FROM \"t\"",
        "SELECT uper(topic) AS a FROM \"t\"",
        "SELECT 1 AS select FROM \"t\"",
        "SELECT 1 AS 'a' FROM \"t\"",
        "SELECT * FROM \"t\";",
    ] {
        let found = diagnose(sql).expect_err(sql).remove(0);
        let mut mended = sql.to_owned();
        let range = found.span.start as usize..found.span.end as usize;
        mended.replace_range(range, &found.replacement.expect("a replacement"));
        assert!(diagnose(&mended).is_ok(), "{sql} became {mended}");
    }
}

#[test]
fn depth_and_size_are_refused_by_name_and_quickly() {
    let started = Instant::now();
    let nested = |open: &str, close: &str, times: usize| {
        format!("SELECT {}1{} AS a FROM \"t\"", open.repeat(times), close.repeat(times))
    };
    let code = |sql: &str| diagnose(sql).map_or_else(|found| found[0].code, |_| "fine");
    assert_eq!(code(&nested("(", ")", 10_000)), "R0005");
    assert_eq!(code(&nested("- ", "", 10_000)), "R0005");
    assert_eq!(code(&nested("abs(", ")", 10_000)), "R0005");
    assert_eq!(code(&nested("CASE WHEN true THEN ", " END", 2_000)), "R0005");
    assert_eq!(code(&nested("1 + ", "", 10_000)), "R0005");
    assert_eq!(code(&nested("NOT ", "", 10_000)), "R0005");
    assert_eq!(code(&format!("SELECT payload{} AS a FROM \"t\"", ".a".repeat(10_000))), "R0005");
    assert_eq!(code(&format!("SELECT 1 AS a{} FROM \"t\"", ".a".repeat(10_000))), "R0005");
    assert_eq!(code(&format!("SELECT a FROM {}", "x".repeat(70_000))), "R0006");
    assert_eq!(code(&format!("SELECT *{} FROM \"t\"", ", *".repeat(1_000))), "R0006");
    let unknown: Vec<_> = (0..1_000).map(|n| format!("{}{n}", "x".repeat(50))).collect();
    assert_eq!(code(&format!("SELECT {} FROM \"t\"", unknown.join(", "))), "R0101");
    let many = vec!["qos = 1"; 1_000].join(" OR ");
    assert_eq!(code(&format!("SELECT * FROM \"t\" WHERE {many}")), "fine");
    let too_many = vec!["qos = 1"; 2_000].join(" OR ");
    assert_eq!(code(&format!("SELECT * FROM \"t\" WHERE {too_many}")), "R0006");
    assert_eq!(code(&nested("(", ")", 90)), "fine");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_column_without_a_name_is_a_warning() {
    let rules = Rules::compile(&[("r", config("SELECT payload.t + 1 FROM \"t\""))]).expect("it runs");
    let warning = &rules.as_slice()[0].warnings()[0];
    assert_eq!((warning.code, warning.replacement.as_deref()), ("R0106", Some("payload.t + 1 AS x")));
}
