//! Ways into values, and writing to the end of one: the tables of the language.

use super::run;

#[test]
fn paths_slices_and_lists_give_the_rows_of_the_reference() {
    for (sql, payload, row) in [
        ("SELECT json_decode(payload) AS p, p[1] AS a", "[{\"x\":1}]", "{\"p\":[{\"x\":1}],\"a\":{\"x\":1}}"),
        ("SELECT payload.x[2]", "{\"x\":[1,3,4]}", "{\"payload\":{\"x\":[3]}}"),
        ("SELECT payload.x[-2].y AS b", "{\"x\":[1,{\"y\":3},4]}", "{\"b\":3}"),
        ("SELECT payload.x AS b, 1 AS c[-0], 2 AS c[-0], b AS c[0]", "{\"x\":0}", "{\"b\":0,\"c\":[0,1,2]}"),
        ("SELECT [payload.a, \"topic\", 'c'] AS c", "{\"a\":11}", "{\"c\":[11,\"t/a\",\"c\"]}"),
        ("SELECT payload.a[1..4] AS c", "{\"a\":[0,1,2,3,4,5]}", "{\"c\":[0,1,2,3]}"),
        ("SELECT [1..4] AS c, 0 AS c[0], 5 AS c[-0]", "", "{\"c\":[0,1,2,3,4,5]}"),
        (
            "SELECT payload.x, 0 AS payload.x[2].y",
            "{\"x\":[1,{\"y\":[1,2]},3]}",
            "{\"payload\":{\"x\":[1,{\"y\":0},3]}}",
        ),
        ("SELECT 0 AS payload.x[2].y", "{\"x\":[1,{\"y\":[1,2]},3]}", "{\"payload\":{\"x\":[{\"y\":0}]}}"),
        ("SELECT payload.x[2].y AS b.c", "{\"x\":[1,{\"y\":[1,2]},3]}", "{\"b\":{\"c\":[1,2]}}"),
        ("SELECT pub_props.'User-Property'.k AS k", "", "{\"k\":\"v\"}"),
        ("SELECT payload.a.1.b AS b", "{\"a\":[{\"b\":7}]}", "{\"b\":7}"),
    ] {
        assert_eq!(run(&format!("{sql} FROM \"t/#\""), payload.as_bytes()), row, "{sql}");
    }
}

#[test]
fn positions_may_be_computed() {
    let payload = br#"{"i":2,"r":[10,20,30],"n":{"i":3},"w":"x"}"#;
    for (expression, value) in [
        ("payload.r[i]", "20"),
        ("payload.r[n.i]", "30"),
        ("payload.r[payload.i]", "20"),
        ("payload.r[w]", "null"),
        ("payload.r[missing]", "null"),
        ("payload.r[0]", "null"),
        ("payload.r[4]", "null"),
        ("payload.r[-3]", "10"),
        ("payload.r[-4]", "null"),
        ("payload.i[1]", "null"),
    ] {
        assert_eq!(super::value(expression, payload), value, "{expression}");
    }
    assert_eq!(run("SELECT 3 AS i, payload.r[i] AS v FROM \"t/#\"", payload), "{\"i\":3,\"v\":30}");
    assert_eq!(
        run("SELECT payload.r AS r, qos AS q, r[q] AS v FROM \"t/#\"", payload),
        "{\"r\":[10,20,30],\"q\":1,\"v\":10}"
    );
    assert_eq!(run("SELECT payload.r[topic] AS v FROM \"t/#\"", payload), "{\"v\":null}");
}

#[test]
fn slices_have_both_ends_and_fail_off_the_front() {
    let payload = br#"{"a":[0,1,2,3,4,5],"n":5,"t":"[7,8,9]"}"#;
    for (expression, value) in [
        ("payload.a[2..4]", "[1,2,3]"),
        ("payload.a[-2..-1]", "[4,5]"),
        ("payload.a[2..-2]", "[1,2,3,4]"),
        ("payload.a[5..9]", "[4,5]"),
        ("payload.a[9..12]", "[]"),
        ("payload.a[4..2]", "[]"),
        ("payload.a[2..4][1]", "1"),
        ("payload.t[2..3]", "[8,9]"),
        ("payload.a[-7..-1]", "R0311"),
        ("payload.n[1..2]", "R0310"),
        ("payload.missing[1..2]", "R0310"),
        ("payload.a[0..2]", "R0111"),
    ] {
        assert_eq!(super::value(expression, payload), value, "{expression}");
    }
}

#[test]
fn ranges_go_upward_and_have_a_bound() {
    assert_eq!(super::value("[-2..1]", b""), "[-2,-1,0,1]");
    assert_eq!(super::value("[3..3]", b""), "[3]");
    assert_eq!(super::value("[3..1]", b""), "R0114");
    assert_eq!(super::value("[1..9223372036854775807]", b""), "R0114");
    assert_eq!(super::value("[]", b""), "[]");
    assert_eq!(super::value("[1, 1 + 1, [payload.a]]", b"{\"a\":3}"), "[1,2,[3]]");
}

#[test]
fn writing_makes_what_is_missing_and_never_grows_a_list_by_its_position() {
    for (fields, row) in [
        ("1 AS a.b.c, 2 AS a.b.d", "{\"a\":{\"b\":{\"c\":1,\"d\":2}}}"),
        ("payload.l AS l, 9 AS l[2]", "{\"l\":[1,9]}"),
        ("payload.l AS l, 9 AS l[-1]", "{\"l\":[1,9]}"),
        ("payload.l AS l, 9 AS l[5]", "{\"l\":[1,2]}"),
        ("payload.o AS o, 9 AS o.k", "{\"o\":{\"j\":1,\"k\":9}}"),
        ("payload.o AS o, 9 AS o.j, o.j AS v", "{\"o\":{\"j\":9},\"v\":9}"),
        ("1 AS a[1].b, a[1].b AS v", "{\"a\":[{\"b\":1}],\"v\":1}"),
        ("payload, 5 AS payload.x", "{\"payload\":{\"l\":[1,2],\"o\":{\"j\":1},\"x\":5}}"),
        ("payload.l AS payload.m, payload.l AS n", "{\"payload\":{\"m\":[1,2]},\"n\":[1,2]}"),
        ("qos AS a, 1 AS a.b", "R0107"),
    ] {
        let row_of = run(&format!("SELECT {fields} FROM \"t/#\""), br#"{"l":[1,2],"o":{"j":1}}"#);
        assert_eq!(row_of, row, "{fields}");
    }
}

#[test]
fn operators_are_functions_in_double_quotes() {
    assert_eq!(super::value("\"+\"(1, 2)", b""), "3");
    assert_eq!(super::value("\"+\"('a', 'b')", b""), "\"ab\"");
    assert_eq!(super::value("\"div\"(7, 2)", b""), "3");
    assert_eq!(super::value("\"<\"(1, 2)", b""), "true");
    assert_eq!(super::value("\"=\"(1, 1.0)", b""), "true");
    assert_eq!(super::value("\"-\"(1)", b""), "R0103");
}
