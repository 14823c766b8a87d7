//! The language, as tables.

use super::{condition, run, value};

#[test]
fn the_demo_rule_makes_its_row() {
    let sql = "SELECT clientid, topic, payload.t AS t, timestamp FROM \"demo/#\" WHERE payload.t > 0";
    assert_eq!(
        run(sql, br#"{"t":21.5}"#),
        r#"{"clientid":"c_steve","topic":"t/a","t":21.5,"timestamp":1653561612000}"#
    );
    assert_eq!(run(sql, br#"{"t":-1}"#), "none");
    assert_eq!(run(sql, br#"{"u":1}"#), "none");
    assert_eq!(run(sql, b"no json"), "R0301");
}

#[test]
fn every_field_of_a_publish_can_be_selected() {
    assert_eq!(
        run("SELECT * FROM \"t/#\"", b"hello"),
        "{\"id\":\"0123456789ABCDEF0123456789ABCDEF\",\"clientid\":\"c_steve\",\"username\":null,\
         \"peerhost\":\"127.0.0.1\",\"topic\":\"t/a\",\"qos\":1,\"flags\":{\"retain\":true,\"dup\":false},\
         \"payload\":\"hello\",\"pub_props\":{\"User-Property\":{\"k\":\"v\"},\
         \"User-Property-Pairs\":[{\"key\":\"k\",\"value\":\"v\"}]},\"publish_received_at\":1653561612000,\
         \"timestamp\":1653561612000,\"node\":\"n1\",\"event\":\"message.publish\"}"
    );
    for (expression, expected) in [
        ("flags.retain", "true"),
        ("flags.dup", "false"),
        ("pub_props.'User-Property'.k", "\"v\""),
        ("pub_props.\"User-Property-Pairs\"[1].value", "\"v\""),
        ("pub_props.nothing.at.all", "null"),
        ("username", "null"),
        ("topic.x", "null"),
    ] {
        assert_eq!(value(expression, b""), expected, "{expression}");
    }
}

#[test]
fn fields_get_their_names_from_as_or_from_themselves() {
    let payload = br#"{"x":[1,3,4],"y":{"z":[1,2]},"t":5}"#;
    for (fields, row) in [
        ("payload.t", r#"{"payload":{"t":5}}"#),
        ("payload.t, payload.y.z", r#"{"payload":{"t":5,"y":{"z":[1,2]}}}"#),
        ("payload.x[2]", r#"{"payload":{"x":[3]}}"#),
        ("payload.x[2] AS b.c", r#"{"b":{"c":3}}"#),
        ("payload.t AS b.c, qos AS b.d, 1 AS e", r#"{"b":{"c":5,"d":1},"e":1}"#),
        ("payload.t x, 'text'", r#"{"x":5,"text":"text"}"#),
        ("payload.t AS \"a b\", 1 AS \"select\"", r#"{"a b":5,"select":1}"#),
        ("payload.t + 1", r#"{"payload.t + 1":6}"#),
        ("1 AS a, 2 AS a", r#"{"a":2}"#),
        ("1 AS a.b, 2 AS a", r#"{"a":2}"#),
        ("clientid, clientid", r#"{"clientid":"c_steve"}"#),
    ] {
        assert_eq!(run(&format!("SELECT {fields} FROM \"t\""), payload), row, "{fields}");
    }
}

#[test]
fn a_star_is_overlaid_by_what_is_named_later() {
    let row = run("SELECT *, json_decode(payload) AS payload, 1 AS extra FROM \"t\"", b"{\"a\":1}");
    assert!(row.contains(r#""payload":{"a":1},"#) && row.ends_with(r#""extra":1}"#), "{row}");
}

#[test]
fn a_star_after_a_name_puts_the_field_back() {
    let row = run("SELECT 1 AS flags, 2 AS qos.x, * FROM \"t\"", b"");
    assert!(row.contains(r#""flags":{"retain":true,"dup":false}"#), "{row}");
    let row = run("SELECT *, 1 AS flags FROM \"t\"", b"");
    assert!(row.contains(r#""flags":1"#), "{row}");
}

#[test]
fn aliases_are_seen_by_later_fields_and_by_where() {
    let payload = br#"{"t":5}"#;
    for (sql, row) in [
        ("SELECT payload.t AS t, t + 1 AS u FROM \"t\" WHERE u = 6", r#"{"t":5,"u":6}"#),
        ("SELECT payload.t AS t, t + 1 AS u FROM \"t\" WHERE u = 7", "none"),
        ("SELECT payload.t AS a.b, a.b * 2 AS c, a AS d FROM \"t\"", r#"{"a":{"b":5},"c":10,"d":{"b":5}}"#),
        (
            "SELECT 1 AS a.b.c, 2 AS a.b.d, a.b AS e, 3 AS a.f, a AS g FROM \"t\"",
            r#"{"a":{"b":{"c":1,"d":2},"f":3},"e":{"c":1,"d":2},"g":{"b":{"c":1,"d":2},"f":3}}"#,
        ),
        ("SELECT json_decode(payload) AS p, p.t AS t FROM \"t\" WHERE p.t = 5", r#"{"p":{"t":5},"t":5}"#),
        ("SELECT 9 AS qos, qos AS q FROM \"t\"", r#"{"qos":9,"q":9}"#),
        ("SELECT 1 AS x, x AS y, 2 AS x, x AS z FROM \"t\"", r#"{"x":2,"y":1,"z":2}"#),
    ] {
        assert_eq!(run(sql, payload), row, "{sql}");
    }
}

#[test]
fn fields_are_computed_only_when_where_holds() {
    assert_eq!(run("SELECT 1 / payload.z AS a FROM \"t\" WHERE payload.z > 0", br#"{"z":0}"#), "none");
    assert_eq!(run("SELECT payload.x AS a FROM \"t\" WHERE qos = 2", b"no json"), "none");
    assert_eq!(run("SELECT payload.x AS a FROM \"t\" WHERE a = 2", b"no json"), "R0301");
}

#[test]
fn paths_read_names_and_positions() {
    let payload = br#"{"a":{"b":[10,{"c":"x"}],"1":"one","select":"s","d e":7},"n":null}"#;
    for (expression, expected) in [
        ("payload.a.b[1]", "10"),
        ("payload.a.b[2].c", "\"x\""),
        ("payload.a.b[-1].c", "\"x\""),
        ("payload.a.b[0]", "null"),
        ("payload.a.b[3]", "null"),
        ("payload.a.1", "\"one\""),
        ("payload.a.b.1", "10"),
        ("payload.a.select", "\"s\""),
        ("payload.a.\"d e\"", "7"),
        ("payload.a.'d e'", "7"),
        ("\"payload\".\"a\".'1'", "\"one\""),
        ("payload.n", "null"),
        ("payload.n.x.y", "null"),
        ("payload.missing", "null"),
        ("payload.a.b", "[10,{\"c\":\"x\"}]"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn arithmetic_keeps_whole_numbers_whole_and_fails_by_name() {
    let payload = br#"{"i":7,"f":2.5,"m":-7,"z":0,"big":9223372036854775807,"t":"a","huge":1e308}"#;
    for (expression, expected) in [
        ("payload.i + 1", "8"),
        ("payload.i + 1.0", "8.0"),
        ("payload.i - payload.f", "4.5"),
        ("payload.i * 2", "14"),
        ("payload.i / 2", "3.5"),
        ("payload.i / 7", "1.0"),
        ("payload.i div 2", "3"),
        ("payload.m div 2", "-3"),
        ("payload.m mod 3", "-1"),
        ("payload.i mod -3", "1"),
        ("mod(payload.m, 3)", "-1"),
        ("-payload.i + 1", "-6"),
        ("- -payload.i", "7"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 3 - 2", "5"),
        ("2 * 7 div 4", "3"),
        ("payload.t + payload.t", "\"aa\""),
        ("payload.t + 5", "\"a5\""),
        ("5 + payload.t", "\"5a\""),
        ("payload.big + 1", "R0305"),
        ("payload.huge * 10", "R0305"),
        ("payload.i / payload.z", "R0304"),
        ("payload.i div payload.z", "R0304"),
        ("payload.i mod payload.z", "R0304"),
        ("payload.f div 1", "R0302"),
        ("payload.t - 1", "R0302"),
        ("payload.nothing + 1", "R0302"),
        ("-payload.t", "R0302"),
        ("1 / 0", "R0114"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn comparison_follows_the_table() {
    let payload = br#"{"i":1,"f":1.0,"t":"1","w":"one","b":true,"bt":"true","n":null,"l":[1],"m":{"a":1}}"#;
    for (test, expected) in [
        ("payload.i = payload.f", "true"),
        ("payload.i != payload.f", "none"),
        ("payload.i <> 2", "true"),
        ("payload.i = payload.t", "true"),
        ("payload.t < 2", "true"),
        ("payload.i = payload.w", "R0303"),
        ("payload.w > 5", "R0303"),
        ("payload.b = payload.bt", "true"),
        ("payload.b = true", "true"),
        ("payload.b = payload.i", "none"),
        ("payload.b != payload.i", "true"),
        ("payload.b < payload.i", "none"),
        ("payload.w > 'on'", "true"),
        ("payload.l = payload.l", "true"),
        ("payload.l < payload.l", "none"),
        ("payload.m = payload.l", "none"),
        ("payload.i >= 1 AND payload.i <= 1", "true"),
        // One null, as in 5.x: equal to itself, unlike anything else.
        ("payload.n = payload.missing", "true"),
        ("payload.missing != payload.gone", "none"),
        ("payload.missing <= payload.gone", "true"),
        ("payload.missing < payload.gone", "none"),
        ("payload.missing != payload.i", "none"),
        ("payload.missing = payload.i", "none"),
        ("payload.missing < payload.i", "none"),
        ("payload.n = null", "true"),
        ("payload.n IS NULL", "true"),
        ("payload.missing is null", "true"),
        ("payload.i IS NOT NULL", "true"),
        ("payload.n IS NOT NULL", "none"),
        ("topic =~ 't/+'", "true"),
        ("topic =~ 'u/#'", "none"),
        ("payload.missing =~ 't'", "none"),
    ] {
        assert_eq!(condition(test, payload), expected, "{test}");
    }
}

#[test]
fn conditions_join_and_only_booleans_are_true() {
    let payload = br#"{"yes":true,"no":false,"one":1,"text":"true"}"#;
    for (test, expected) in [
        ("payload.yes", "true"),
        ("payload.no", "none"),
        ("payload.one", "none"),
        ("payload.text", "none"),
        ("payload.missing", "none"),
        ("true", "true"),
        ("NOT payload.no", "true"),
        ("NOT payload.yes", "none"),
        ("NOT payload.one", "none"),
        ("NOT payload.missing", "none"),
        ("NOT (payload.one = 2 AND payload.yes)", "true"),
        ("NOT payload.one = 2", "true"),
        ("payload.no OR payload.yes AND payload.no", "none"),
        ("(payload.no OR payload.yes) AND payload.yes", "true"),
        // AND and OR stop at what decides: the part that would fail is never reached.
        ("payload.no AND 1 / (payload.one - 1) > 0", "none"),
        ("payload.yes OR 1 / (payload.one - 1) > 0", "true"),
        ("payload.yes AND 1 / (payload.one - 1) > 0", "R0304"),
        ("payload.one IN (3, 2, 1)", "true"),
        ("payload.one IN (1.0, '1')", "none"),
        ("payload.one NOT IN (3, 2)", "true"),
        ("payload.text in ('true', 'false') and not payload.one in (2)", "true"),
        ("payload.missing IN (null)", "true"),
    ] {
        assert_eq!(condition(test, payload), expected, "{test}");
    }
}

#[test]
fn case_takes_the_first_branch_that_fits() {
    for (expression, payload, expected) in [
        ("CASE WHEN payload.x < 0 THEN 0 WHEN payload.x > 7 THEN 7 ELSE payload.x END", r#"{"x":8}"#, "7"),
        ("CASE WHEN payload.x < 0 THEN 0 WHEN payload.x > 7 THEN 7 ELSE payload.x END", r#"{"x":5}"#, "5"),
        ("CASE WHEN payload.x < 0 THEN 0 END", r#"{"x":5}"#, "null"),
        ("CASE payload.x WHEN 5 THEN 'five' WHEN '5' THEN 'text' END", r#"{"x":"5"}"#, "\"text\""),
        ("CASE payload.x WHEN 1 THEN 'a' ELSE 'b' END", r#"{"x":1.0}"#, "\"b\""),
        ("(CASE payload.x WHEN 1 THEN 1 / 0.5 ELSE 1 END) + 1", r#"{"x":1}"#, "3.0"),
    ] {
        assert_eq!(value(expression, payload.as_bytes()), expected, "{expression}");
    }
}

#[test]
fn functions_follow_their_table() {
    let payload = br#"{"n":null,"m":{"a":1},"t":"Ab","f":-3.14}"#;
    for (expression, expected) in [
        ("abs(-1)", "1"),
        ("abs(-1.2)", "1.2"),
        ("abs('x')", "R0111"),
        ("abs(payload.t)", "R0306"),
        ("abs(payload.n)", "R0306"),
        ("ceil(1.2)", "2"),
        ("floor(payload.f)", "-4"),
        ("round(2.5)", "3"),
        ("sqrt(-1)", "R0114"),
        ("power(2, 10)", "1024.0"),
        ("fmod(-32, 5)", "-2.0"),
        ("lower(payload.t)", "\"ab\""),
        ("UPPER(payload.t)", "\"AB\""),
        ("trim('  a ')", "\"a\""),
        ("strlen('grün')", "4"),
        ("concat('a', 1, payload.n, true, payload.m)", "\"a1true{\\\"a\\\":1}\""),
        ("str(1.50)", "\"1.5\""),
        ("str(20.2)", "\"20.2\""),
        ("str(payload.m)", "\"{\\\"a\\\":1}\""),
        ("int('-100')", "-100"),
        ("int('3.1415e2')", "314"),
        ("int(3.9)", "3"),
        ("int(-3.14)", "-4"),
        ("int(true)", "1"),
        ("int('12a')", "R0114"),
        ("int(payload.t)", "R0307"),
        ("float('1')", "1.0"),
        ("float(1)", "1.0"),
        ("bool('true')", "true"),
        ("bool(0)", "false"),
        ("bool(2)", "R0114"),
        ("is_null(payload.n)", "true"),
        ("is_null(payload.gone)", "true"),
        ("is_not_null(payload.t)", "true"),
        ("is_float(1)", "false"),
        ("is_int(1)", "true"),
        ("is_str('1')", "true"),
        ("is_num(payload.f)", "true"),
        ("is_map(payload.m)", "true"),
        ("is_array(payload.m)", "false"),
        ("is_bool(payload.n)", "false"),
        ("coalesce(payload.n, payload.gone, 2, 3)", "2"),
        ("coalesce(payload.n)", "null"),
        ("null()", "null"),
        ("json_decode('{\"a\":[1]}')", "{\"a\":[1]}"),
        ("json_decode('x')", "R0114"),
        ("json_encode(payload.m)", "\"{\\\"a\\\":1}\""),
        ("topic()", "\"t/a\""),
        ("topic(2)", "\"a\""),
        ("topic(3)", "null"),
        ("clientid()", "\"c_steve\""),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn words_are_read_in_any_case_and_comments_are_skipped() {
    let sql = "select payload.x aS x -- the value\nfRom 't/#', \"u\" -- both quotes\nWhErE payload.x > 1 aNd nOt false";
    assert_eq!(run(sql, br#"{"x":2}"#), r#"{"x":2}"#);
}

#[test]
fn a_single_quote_is_written_twice_and_double_quotes_stay_inside() {
    assert_eq!(value("'it''s'", b""), "\"it's\"");
    assert_eq!(value("'\"x\"'", b""), "\"\\\"x\\\"\"");
    assert_eq!(value("'\\n'", b""), "\"\\\\n\"");
}
