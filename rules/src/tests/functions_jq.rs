//! The function `jq`: what programs give, and that none of them can stall a shard.

use std::time::{Duration, Instant};

use super::{table, value};

/// The outputs of a program for a payload.
fn jq(program: &str, payload: &str) -> String {
    value(&format!("jq('{}', payload)", program.replace('\'', "''")), payload.as_bytes())
}

#[track_caller]
fn programs(payload: &str, rows: &[(&str, &str)]) {
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|(program, expected)| {
            let got = jq(program, payload);
            (got != *expected).then(|| format!("{program}\n     is {got}\n    not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_program_gives_the_list_of_its_outputs() {
    table(
        br#"{"p":".a","bad":"no json","i":1,"m":{"a":[1,2]},"z":0}"#,
        &[
            ("jq('.', '{\"temp\":80}')", r#"[{"temp":80}]"#),
            ("jq('.temp', '{\"temp\":80}')", "[80]"),
            ("jq('.a[] + 1', '{\"a\":[1,2]}')", "[2,3]"),
            ("jq('.m.a[]', payload)", "[1,2]"),
            ("jq('.a', payload.m)", "[[1,2]]"),
            ("jq(payload.p, payload.m)", "[[1,2]]"),
            ("jq('.', 1)", "[1]"),
            ("jq('.', null)", "[null]"),
            ("jq('empty', payload)", "[]"),
            ("jq('.', payload.bad)", "R0307"),
            ("jq('.a', 1)", "R0313"),
            ("jq('error(\"no\")', payload)", "R0313"),
            ("jq(payload.bad, payload)", "R0313"),
            ("jq('.', '{\"temp\":80}', 100)", r#"[{"temp":80}]"#),
            ("jq('[range(2000)] | length', payload, 1000)", "[2000]"),
            ("jq('[range(20000)] | length', payload, 1)", "R0309"),
            ("jq('.', payload, payload.z)", "R0309"),
            ("jq('.', payload, -5)", "R0309"),
            ("jq('.a[', payload)", "R0115"),
            ("jq('.a | no_such', payload)", "R0115"),
            ("jq('$x', payload)", "R0115"),
            ("jq('', payload)", "R0115"),
            ("jq(1, payload)", "R0111"),
            ("jq('.', payload, '1')", "R0111"),
            ("jq('.')", "R0110"),
            ("jq(payload.i, payload)", "R0306"),
        ],
    );
}

#[test]
fn what_is_wrong_with_a_program_is_said_when_the_rule_is_saved() {
    for (program, words) in [
        (".a[", "closing bracket"),
        (".a | foo(1)", "no function foo/1"),
        (". as $x | $y", "no variable $y"),
        (".a )", "expected"),
        ("input", "no function input/0"),
        ("env", "no function env/0"),
        ("$ENV.PATH", "no variable $ENV"),
        ("halt", "no function halt/0"),
        ("import \"a\" as a; .", "expected"),
        ("break $x", "no label $x"),
    ] {
        let sql = format!("SELECT jq('{program}', payload) AS v FROM \"t\"");
        let found = crate::rule::diagnose(&sql).expect_err(program);
        assert_eq!(found[0].code, "R0115", "{program}");
        assert!(found[0].message.contains(words), "{program}: {}", found[0].message);
    }
}

#[test]
fn values_are_reached_and_made() {
    programs(
        r#"{"a":{"b":[10,2.5,{"c":"x\ny"}]},"n":null,"s":"grün","e":[]}"#,
        &[
            (".a.b[0]", "[10]"),
            (".a.b[-1].c", r#"["x\ny"]"#),
            (".a.b[1:]", r#"[[2.5,{"c":"x\ny"}]]"#),
            (".a.b[:1]", "[[10]]"),
            (".a.b[-2:-1]", "[[2.5]]"),
            (".s[1:3]", r#"["rü"]"#),
            (".n.x.y", "[null]"),
            (".a.missing", "[null]"),
            (".a.b[7]", "[null]"),
            (".n[1:2]", "[null]"),
            (".s.x?", "[]"),
            (".s.x", "R0313"),
            (".a.b.c", "R0313"),
            ("[.a.b[] | numbers]", "[[10,2.5]]"),
            (".e[]", "[]"),
            ("{x: .s, \"y z\": .a.b[0], (.s): 1}", r#"[{"x":"grün","y z":10,"grün":1}]"#),
            ("{s, n}", r#"[{"s":"grün","n":null}]"#),
            (".s as $v | {$v}", r#"[{"v":"grün"}]"#),
            ("{a: (1,2)}", r#"[{"a":1},{"a":2}]"#),
            ("\"it is \\(.a.b[0]) and \\(.a.b)\"", r#"["it is 10 and [10,2.5,{\"c\":\"x\\ny\"}]"]"#),
            ("[..] | length", "[10]"),
            (". as {a: {b: [$x, $y]}} | [$y, $x]", "[[2.5,10]]"),
            ("{(1|tostring): 2}", r#"[{"1":2}]"#),
            ("{(1): 2}", "R0313"),
            ("if .n then 1 elif .e then 2 else 3 end", "[2]"),
            (".n // .s", r#"["grün"]"#),
            ("try error(\"x\") catch .", r#"["x"]"#),
            (".a.b | first, last, nth(1)", r#"[10,{"c":"x\ny"},2.5]"#),
            ("label $out | 1, 2, break $out, 3", "[1,2]"),
            ("reduce range(5) as $i (0; . + $i)", "[10]"),
            ("[foreach range(4) as $i (0; . + $i; [$i, .])]", "[[[0,0],[1,1],[2,3],[3,6]]]"),
            ("def f(x): x * 2; f(.a.b[0])", "[20]"),
            ("def f: if . > 100 then . else . * 2 | f end; 3 | f", "[192]"),
            ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; 10 | fac", "[3628800]"),
            ("[limit(3; repeat(7))]", "[[7,7,7]]"),
            ("[.a.b[0] | while(. > 1; . / 2 | floor)]", "[[10,5,2]]"),
            ("1 | until(. > 100; . * 3)", "[243]"),
            ("[recurse(if . == 1 then 2 else empty end)] | length", "[1]"),
            ("[1 | recurse(if . < 3 then . + 1 else empty end)]", "[[1,2,3]]"),
            ("first(range(10; infinite))", "[10]"),
            ("isempty(empty), isempty(1)", "[true,false]"),
        ],
    );
}

#[test]
fn updates_change_what_a_path_leads_to() {
    programs(
        r#"{"a":{"b":[1,2,3]},"l":[1,2,3,4],"m":{"x":1,"y":2}}"#,
        &[
            (".a.b[1] = 9 | .a", r#"[{"b":[1,9,3]}]"#),
            (".a.b[] |= . * 2 | .a", r#"[{"b":[2,4,6]}]"#),
            (".a.b[-1] += 10 | .a", r#"[{"b":[1,2,13]}]"#),
            (".a.c.d = 1 | .a", r#"[{"b":[1,2,3],"c":{"d":1}}]"#),
            (".l[6] = 7 | .l", "[[1,2,3,4,null,null,7]]"),
            (".l[1:3] = [9] | .l", "[[1,9,4]]"),
            (".l[-9] = 7", "R0313"),
            (".l |= map(select(. > 2)) | .l", "[[3,4]]"),
            ("del(.l[0,2]) | .l", "[[2,4]]"),
            ("del(.l[] | select(. > 1)) | .l", "[[1]]"),
            ("del(.a, .l)", r#"[{"m":{"x":1,"y":2}}]"#),
            (".m | to_entries", r#"[[{"key":"x","value":1},{"key":"y","value":2}]]"#),
            (".m | with_entries(.value += 1)", r#"[{"x":2,"y":3}]"#),
            (".m | map_values(. + 1)", r#"[{"x":2,"y":3}]"#),
            (".m | map_values(empty)", "[{}]"),
            ("[{name: \"a\", value: 1}, {k: \"b\", v: 2}] | from_entries", r#"[{"a":1,"b":2}]"#),
            (
                "[paths]",
                r#"[[["a"],["a","b"],["a","b",0],["a","b",1],["a","b",2],["l"],["l",0],["l",1],["l",2],["l",3],["m"],["m","x"],["m","y"]]]"#,
            ),
            ("getpath([\"a\",\"b\",1])", "[2]"),
            ("getpath([\"no\",\"such\"])", "[null]"),
            ("setpath([\"m\",\"z\"]; 3) | .m", r#"[{"x":1,"y":2,"z":3}]"#),
            ("delpaths([[\"l\",0],[\"l\",1],[\"m\"]])", r#"[{"a":{"b":[1,2,3]},"l":[3,4]}]"#),
            ("pick(.m.x)", r#"[{"m":{"x":1}}]"#),
            ("[path(.a.b[0], .l)]", r#"[[["a","b",0],["l"]]]"#),
            ("walk(if type == \"number\" then . + 1 else . end) | .m", r#"[{"x":2,"y":3}]"#),
            ("(.m.x, .m.y) = 5 | .m", r#"[{"x":5,"y":5}]"#),
            (".m.q //= 8 | .m.q", "[8]"),
            ("null | .a = 1", r#"[{"a":1}]"#),
            ("null | .[1] = 1", "[[null,1]]"),
            ("5 | .a = 1", "R0313"),
        ],
    );
}

#[test]
fn operators_follow_the_kinds_of_their_values() {
    programs(
        "null",
        &[
            ("1 + 2, 1 - 2, 2 * 3, 7 / 2, 6 / 2, 7 % 3, -7 % 3, -(1)", "[3,-1,6,3.5,3,1,-1,-1]"),
            ("1.5 + 1, 1e3, 0.1 + 0.2", "[2.5,1000.0,0.30000000000000004]"),
            ("9223372036854775807 + 1", "[9.223372036854776e18]"),
            ("null + 1, 1 + null", "[1,1]"),
            ("\"a\" + \"b\", \"ab\" * 3, \"a\" * 0, \"a,b\" / \",\"", r#"["ab","ababab",null,["a","b"]]"#),
            ("[1] + [2], [1,2,1,3] - [1]", "[[1,2],[2,3]]"),
            ("{a:1} + {b:2} + {a:3}", r#"[{"a":3,"b":2}]"#),
            ("{a:{b:1,c:2}} * {a:{b:9}}", r#"[{"a":{"b":9,"c":2}}]"#),
            ("1 / 0", "R0313"),
            ("1 % 0", "R0313"),
            ("1 + \"a\"", "R0313"),
            ("{} - 1", "R0313"),
            ("-\"a\"", "R0313"),
            (
                "1 == 1.0, \"a\" < \"b\", [1] < [1,0], {} > [], null < false, 2 <= 1, 1 != 2",
                "[true,true,true,true,true,false,true]",
            ),
            ("true and null, false or 1, (1 | not)", "[false,true,false]"),
            ("nan < 1, nan == nan, ([nan] | sort), infinite", "[true,false,[null],1.7976931348623157e308]"),
        ],
    );
}

#[test]
fn functions_of_jq() {
    programs(
        r#"{"l":[3,1,2],"o":[{"k":"b","n":2},{"k":"a","n":1},{"k":"b","n":0}],"t":" Ab,c ","m":{"z":1,"a":2}}"#,
        &[
            ("[.l, .t, .m, null, -5] | map(length)", "[[3,6,2,0,5]]"),
            ("[null, true, 1, \"\", [], {}] | map(type)", r#"[["null","boolean","number","string","array","object"]]"#),
            (".m | keys, keys_unsorted", r#"[["a","z"],["z","a"]]"#),
            (
                ".l | sort, min, max, add, reverse, (sort | index(3)), any(. > 2), all(. > 2)",
                "[[1,2,3],1,3,6,[2,1,3],2,true,false]",
            ),
            (".o | sort_by(.k) | map(.n)", "[[1,2,0]]"),
            (".o | sort_by(.k, .n) | map(.n)", "[[1,0,2]]"),
            (".o | group_by(.k) | map(map(.n))", "[[[1],[2,0]]]"),
            (".o | unique_by(.k) | map(.n)", "[[1,2]]"),
            (".o | min_by(.n), max_by(.n)", r#"[{"k":"b","n":0},{"k":"b","n":2}]"#),
            ("[1,2,1,null,\"a\",\"a\"] | unique", r#"[[null,1,2,"a"]]"#),
            ("[1,[2,[3]]] | flatten, flatten(1)", "[[1,2,3],[1,2,[3]]]"),
            ("[[1,2],[3]] | transpose", "[[[1,3],[2,null]]]"),
            ("[[1,2],[3,4]] | [combinations]", "[[[1,3],[1,4],[2,3],[2,4]]]"),
            (".l | has(0), has(3), contains([1]), inside([1,2,3,4])", "[true,false,true,true]"),
            (".m | has(\"z\"), has(\"q\"), contains({z:1})", "[true,false,true]"),
            ("\"foobar\" | contains(\"bar\"), startswith(\"foo\"), endswith(\"foo\")", "[true,true,false]"),
            ("\"foobar\" | ltrimstr(\"foo\"), rtrimstr(\"bar\"), ltrimstr(1)", r#"["bar","foo","foobar"]"#),
            (".t | trim, ltrim, rtrim", r#"["Ab,c","Ab,c "," Ab,c"]"#),
            (".t | ascii_downcase, ascii_upcase, utf8bytelength", r#"[" ab,c "," AB,C ",6]"#),
            ("\"a, b\" | split(\", \")", r#"[["a","b"]]"#),
            ("\"abc\" | split(\"\")", r#"[["a","b","c"]]"#),
            ("[\"a\",1,null,true] | join(\"-\")", r#"["a-1--true"]"#),
            ("[] | join(\",\")", r#"[""]"#),
            ("\"aXbXc\" | indices(\"X\"), index(\"X\"), rindex(\"X\")", "[[1,3],1,3]"),
            ("\"aaa\" | indices(\"aa\")", "[[0,1]]"),
            ("[1,2,1,2] | indices([1,2]), indices(2)", "[[0,2],[1,3]]"),
            ("\"ü!\" | explode, (explode | implode)", r#"[[252,33],"ü!"]"#),
            ("[1,\"a\",[2.5]] | tojson, (tojson | fromjson)", r#"["[1,\"a\",[2.5]]",[1,"a",[2.5]]]"#),
            ("\"[1\" | fromjson", "R0313"),
            ("\"3.5\" | tonumber", "[3.5]"),
            ("\"x\" | tonumber", "R0313"),
            ("1, \"a\", [1] | tostring", r#"["1","a","[1]"]"#),
            ("3.7 | floor, ceil, round, trunc, -. | (. , fabs)", "[3,3,4,4,4,4,3,3,-3.7,3.7]"),
            ("16 | sqrt, log2, pow(.; 2), exp10", "[4,4,256,10000000000000000]"),
            ("-5, -1.5 | abs", "[5,1.5]"),
            ("nan | isnan, isinfinite, isnormal", "[true,false,false]"),
            ("[limit(2; .l[])], [skip(1; .l[])], [first(.l[]), last(.l[])]", "[[3,1],[1,2],[3,2]]"),
            ("[range(3)], [range(1;3)], [range(0;10;4)], [range(3;0;-1)]", "[[0,1,2],[1,2],[0,4,8],[3,2,1]]"),
            ("@base64 \"x\\(.m.z)\", (\"hello\" | @base64, (@base64 | @base64d))", r#"["xMQ==","aGVsbG8=","hello"]"#),
            ("[1,\"a\\\"b\",null,true] | @csv, @tsv", r#"["1,\"a\"\"b\",,true","1\ta\"b\t\ttrue"]"#),
            (
                "\"a b&<ü>\" | @uri, @html, @sh, @json, @text",
                r#"["a%20b%26%3C%C3%BC%3E","a b&amp;&lt;ü&gt;","'a b&<ü>'","\"a b&<ü>\"","a b&<ü>"]"#,
            ),
            ("[.l[] | IN(1, 2)]", "[[false,true,true]]"),
            ("[.[] | scalars], ([.l[] | strings])", r#"[[" Ab,c "],[]]"#),
            (".m | to_entries | map(\"\\(.key)=\\(.value)\") | join(\"&\")", r#"["z=1&a=2"]"#),
            ("[splits(\"a\")]?", "R0115"),
        ],
    );
}

/// Programs that would never end, or make more than there is room for.
const HOSTILE: &[&str] = &[
    "repeat(.)",
    "[repeat(.)]",
    "last(repeat(.))",
    "[limit(1000000000; repeat(.))]",
    "first(repeat(.) | select(false))",
    "repeat(empty)",
    "def f: f; f",
    "def f: ., f; f",
    "def f: f, .; f",
    "def f: f + 1; f",
    "def f: [f]; f",
    "def f: {a: f}; f",
    "def f: f | f; f",
    "def f: try f catch f; f",
    "def f: (f?), f; f",
    "def f: f // f; f",
    "def f(g): f(g | g); f(.)",
    "def f(g): g | f(g + 1); f(1)",
    "def f(g): def h: f(g | g); h; f(.)",
    "def f(g): def h: g, f(h); h; f(.)",
    "def f(g): def h: g; def i: f(h); i; f(.)",
    "def f: . as $x | f; f",
    "def f: . as $x | def g: $x, f; g; f",
    "def f: [.] as [$x] | label $l | f; f",
    "def f($x): f($x + 1); f(1)",
    "path(def f(g): f(g | g); f(.))",
    "def f(g): f(g | g); f(.) |= 1",
    "path(def f: ., f; f)",
    "def f: ., f; f |= 1",
    "def f: first(f); f",
    "def f: limit(1; f, f); f",
    "def f: path(f); f",
    "def f: foreach f as $x (0; f; f); f",
    "def f: {} | .a |= f; f",
    "def f: [f, f] | sort_by(f); f",
    "def f: \"\\(f)\"; f",
    "def f: .[f]; f",
    "def f: .[f:f]?; f",
    "def f: -f; f",
    "def f: f as [$x] | f; f",
    "def f: reduce f as $x (.; f); f",
    "def f: if f then f else f end; f",
    "def f: def g: f; g; f",
    "def f: label $l | (f, break $l); f",
    "range(1e18) | empty",
    "last(range(1e18))",
    "[range(1e12)]",
    "[range(0; 1; 0)]",
    "[range(infinite)]",
    "range(1e18) | (1 | error)?",
    "until(false; .)",
    "[while(true; . + 1)]",
    "0 | until(. < 0; . + 1)",
    "recurse(.)",
    "[recurse(., .)]",
    "[recurse([.])] | length",
    "\"ab\" * 1e9",
    "\"ab\" * 1e300",
    "reduce range(100) as $i (\"ab\"; . + .)",
    "reduce range(100) as $i ([1]; . + .)",
    "reduce range(100) as $i (1; [., .])",
    "reduce range(100) as $i (1; {a: ., b: .})",
    "reduce range(60) as $i (1; [., .]) | tojson",
    "reduce range(60) as $i (1; [., .]) | [..] | length",
    "reduce range(100000) as $i (0; [.])",
    "reduce range(100000) as $i (0; {a: .})",
    "reduce range(1e9) as $i (0; . + 1)",
    "foreach range(1e9) as $i (0; . + 1; empty)",
    ".[1e9] = 1",
    "[.[1e9]] | .[0][5e8] = 1",
    "(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|(.,.)|empty",
    "def a: ., .; def b: a|a|a|a|a; def c: b|b|b|b|b; def d: c|c|c|c|c; d | empty",
    "def a(g): g|g; def b(g): a(a(g)); def c(g): b(b(g)); def d(g): c(c(g)); def e(g): d(d(g)); e(.)",
    "[[range(1000)] | combinations(4)] | length",
    "[range(3000)] | map([range(3000)]) | length",
    "[range(200000)] | . - (map(. + 1000000))",
    "\"x\" * 1000000 | [range(1000) as $i | . + ($i | tostring)] | length",
    "\"x\" * 3000000 | . as $s | [range(100) | $s] | tojson",
    "\"x\" * 1000000 | split(\"\") | length",
    "\"a\" * 1000000 | indices(\"a\")",
    "path(recurse(.a))",
    "[limit(100000; path(repeat(.a)))]",
    "first(path(recurse(.a)) | select(length > 50000))",
    "path(getpath([range(100000) | \"a\"]))",
    "getpath([range(100000) | \"a\"]) = 1",
    "(reduce range(100000) as $x (.; .a?)) |= 1",
    "def f: .a | f; f |= 1",
    "def f: .a | f; f = 1",
    "(.. | .a?) |= 1 | def f: .a, f; f |= 2",
    "recurse(.a) |= 1",
    "[recurse(if . < 1e9 then . + 1 else empty end)]",
    "[paths(..)] | def f: f; f",
    "error(repeat(.))",
    "try error([range(1e9)]) catch repeat(.)",
    "walk(repeat(.))",
    "any(repeat(false); .)",
    "isempty(repeat(empty))",
    "limit(1; repeat(empty))",
    "nth(1e9; repeat(1))",
    "[.[]?, repeat(1)] | sort",
    "@text \"\\(repeat(1))\" | empty",
    "{a: repeat(1), b: repeat(2)} | empty",
    ".[repeat(0)]? | empty",
    "(repeat(1) + repeat(2)) | empty",
    "(repeat(1) and repeat(2)) | empty",
    "repeat(1) as [$x] | empty",
    "[limit(100000; repeat([1]))] | flatten | repeat(.)",
    "reduce repeat(1) as $x (0; .)",
    "last(limit(1e15; range(1e15)))",
    "skip(1e15; repeat(1))",
    "\"[\" * 100000 | fromjson",
];

#[test]
fn no_program_goes_on_or_grows_without_end() {
    let mut slowest = (Duration::ZERO, "");
    for program in HOSTILE {
        let start = Instant::now();
        let code = jq(program, "null");
        let took = start.elapsed();
        slowest = slowest.max((took, *program));
        let shown = &code[..code.floor_char_boundary(200)];
        assert!(matches!(code.as_str(), "R0308" | "R0309" | "R0313"), "{program}: {shown}");
    }
    assert!(slowest.0 < Duration::from_secs(5), "{slowest:?}");
}
