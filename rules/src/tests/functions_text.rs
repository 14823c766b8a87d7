//! Functions of text, with the inputs and outputs of the language they come from.

use super::{run, value};

/// Each expression with its value for one payload.
#[track_caller]
fn all(payload: &[u8], cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(value(expression, payload), *expected, "{expression}");
    }
}

#[test]
fn case_blanks_and_length() {
    let payload = "{\"u\":\"Ab\",\"plain\":\"ab\",\"crlf\":\"a\\r\\nb\",\"family\":\"👨\u{200d}👩\u{200d}👧x\",\"n\":null,\"i\":1}";
    all(
        payload.as_bytes(),
        &[
            ("lower('0ABC')", "\"0abc\""),
            ("lower(payload.u)", "\"ab\""),
            ("lower(payload.plain)", "\"ab\""),
            ("lower('GRÜN')", "\"grün\""),
            ("upper('abc4')", "\"ABC4\""),
            ("upper('straße')", "\"STRASSE\""),
            ("trim(' abc ')", "\"abc\""),
            ("ltrim(' abc ')", "\"abc \""),
            ("rtrim(' abc ')", "\" abc\""),
            ("trim('')", "\"\""),
            ("trim('   ')", "\"\""),
            ("rtrim('1.500', '0')", "\"1.5\""),
            ("ltrim('007', '0')", "\"7\""),
            ("trim('-=a=-', '=-')", "\"a\""),
            ("trim('xxx', 'x')", "\"\""),
            ("rtrim('abé', 'é')", "\"ab\""),
            ("ltrim('e\u{301}a', 'e')", "\"e\u{301}a\""),
            ("rtrim(payload.u, '')", "\"Ab\""),
            ("reverse('abcd')", "\"dcba\""),
            ("reverse('grün')", "\"nürg\""),
            ("reverse('ae\u{301}')", "\"e\u{301}a\""),
            ("reverse(payload.crlf)", "\"b\\r\\na\""),
            ("strlen('abcd')", "4"),
            ("strlen('你好')", "2"),
            ("strlen('e\u{301}')", "1"),
            ("strlen(payload.family)", "2"),
            ("strlen(payload.crlf)", "3"),
            ("strlen('')", "0"),
            ("lower(payload.n)", "R0306"),
            ("upper(payload.i)", "R0306"),
            ("strlen(1)", "R0111"),
            ("trim()", "R0110"),
            ("trim('a', 'b', 'c')", "R0110"),
            ("rtrim('a', 1)", "R0111"),
        ],
    );
    assert_eq!(value("strlen(payload)", b"\xff"), "R0306");
}

#[test]
fn parts_by_place() {
    let payload = "{\"f\":\"👨\u{200d}👩\u{200d}👧xyz\",\"m\":-1,\"crlf\":\"a\\r\\nbc\",\"f1\":1.5}";
    all(
        payload.as_bytes(),
        &[
            ("substr('', 1)", "\"\""),
            ("substr('abc', 1)", "\"bc\""),
            ("substr('abcd', 1, 2)", "\"bc\""),
            ("substr('abc', 0)", "\"abc\""),
            ("substr('abc', 3)", "\"\""),
            ("substr('abc', 9, 9)", "\"\""),
            ("substr('abc', 1, 0)", "\"\""),
            ("substr('abc', 1, 99)", "\"bc\""),
            ("substr('grüße', 2, 2)", "\"üß\""),
            ("substr(payload.f, 1, 2)", "\"xy\""),
            ("substr(payload.crlf, 1, 1)", "\"\\r\\n\""),
            ("substr(payload.crlf, 2)", "\"bc\""),
            ("substr(concat('ab', payload.m), 1, 2)", "\"b-\""),
            ("substr(payload.f, payload.m)", "R0313"),
            ("substr(payload.f, 0, payload.m)", "R0313"),
            ("substr(payload.f, -1)", "R0115"),
            ("substr('abc', 0, -1)", "R0115"),
            ("substr(payload.f, payload.f1)", "R0306"),
            ("substr('abc')", "R0110"),
            ("ascii('a')", "97"),
            ("ascii('ü')", "195"),
            ("ascii('')", "R0114"),
            ("pad('abc', 5)", "\"abc  \""),
            ("pad('abc', 0)", "\"abc\""),
            ("pad('abc', -1)", "\"abc\""),
            ("pad('abc', 5, 'trailing')", "\"abc  \""),
            ("pad('abc', 5, 'both')", "\" abc \""),
            ("pad('abc', 6, 'both')", "\" abc  \""),
            ("pad('abc', 5, 'leading')", "\"  abc\""),
            ("pad('abc', 5, 'trailing', '*')", "\"abc**\""),
            ("pad('abc', 5, 'trailing', '*#')", "\"abc*#*#\""),
            ("pad('abc', 5, 'both', '*#')", "\"*#abc*#\""),
            ("pad('abc', 5, 'leading', '*#')", "\"*#*#abc\""),
            ("pad('grün', 5, 'leading', '0')", "\"0grün\""),
            ("pad('a', 3, 'leading', '')", "\"a\""),
            ("pad('a', 3, 'left')", "R0115"),
            ("pad('a', 3, payload.crlf)", "R0313"),
            ("pad(payload.crlf, 100000000)", "R0308"),
        ],
    );
}

#[test]
fn a_part_is_found_and_replaced() {
    all(
        br#"{"e":"","t":"acbcd","w":"middle"}"#,
        &[
            ("find('eeabcabcee', 'abc')", "\"abcabcee\""),
            ("find('eeabcabcee', 'abc', 'leading')", "\"abcabcee\""),
            ("find('eeabcabcee', 'abc', 'trailing')", "\"abcee\""),
            ("find(payload.t, 'c', 'trailing')", "\"cd\""),
            ("find(payload.t, 'x')", "\"\""),
            ("find('', 'c')", "\"\""),
            ("find('', '')", "\"\""),
            ("find('abc', '', 'trailing')", "\"abc\""),
            ("find('a', 'b', 'last')", "R0115"),
            ("find(payload.t, 'b', payload.w)", "R0313"),
            ("find(payload.t, 1)", "R0111"),
            ("replace('ab c  ', ' ', '-')", "\"ab-c--\""),
            ("replace('ab c  ', ' ', '::')", "\"ab::c::::\""),
            ("replace('ab c  ', ' ', '-', 'all')", "\"ab-c--\""),
            ("replace('ab c  ', ' ', '-', 'leading')", "\"ab-c  \""),
            ("replace('ab c  ', ' ', '-', 'trailing')", "\"ab c -\""),
            ("replace('ababef', 'ab', 'cd')", "\"cdcdef\""),
            ("replace('aaa', 'aa', 'b')", "\"ba\""),
            ("replace('abc', '', '-')", "\"abc\""),
            ("replace('abc', 'x', '-')", "\"abc\""),
            ("replace('abc', 'b', '')", "\"ac\""),
            ("replace('a', 'a', 'b', 'first')", "R0115"),
            ("replace(payload.none, 'a', 'b')", "R0306"),
            ("rm_prefix('foobar', 'foo')", "\"bar\""),
            ("rm_prefix('foobar', 'bar')", "\"foobar\""),
            ("rm_prefix('foo', 'foo')", "\"\""),
            ("rm_prefix(payload.t, '')", "\"acbcd\""),
        ],
    );
}

#[test]
fn texts_are_split_at_separators() {
    all(
        "{\"lines\":\" a/ b/ c\\r\\n\",\"csv\":\"a,b\\r\\n,c\\n\",\"cn\":\"哈哈, 你好, 是的\\r\\n\"}".as_bytes(),
        &[
            ("split('a/b/ c', '/')", r#"["a","b"," c"]"#),
            ("split('a/b/ c', '/', 'leading')", r#"["a","b/ c"]"#),
            ("split('a/b/ c', '/', 'trailing')", r#"["a/b"," c"]"#),
            ("split('a/b/c//', '/', 'notrim')", r#"["a","b","c","",""]"#),
            ("split('a;;b', '; ', 'notrim')", r#"["a;;b"]"#),
            ("split('a;;b', ';')", r#"["a","b"]"#),
            ("split('', '/')", "[]"),
            ("split('/', '/')", "[]"),
            ("split('/a/b//c/', '/')", r#"["a","b","c"]"#),
            ("split('', '/', 'notrim')", r#"[""]"#),
            ("split('/', '/', 'notrim')", r#"["",""]"#),
            ("split('/a/b//c/', '/', 'notrim')", r#"["","a","b","","c",""]"#),
            ("split('/a/b/c', '/', 'leading')", r#"["a/b/c"]"#),
            ("split('/a/b/c', '/', 'leading_notrim')", r#"["","a/b/c"]"#),
            ("split('/', '/', 'leading_notrim')", r#"["",""]"#),
            ("split('a/b//c/', '/', 'trailing')", r#"["a/b//c"]"#),
            ("split('a/b//c/', '/', 'trailing_notrim')", r#"["a/b//c",""]"#),
            ("split('', '/', 'trailing_notrim')", r#"[""]"#),
            ("split(payload.cn, ',', 'notrim')", "[\"哈哈\",\" 你好\",\" 是的\\r\\n\"]"),
            ("split('abc', '')", r#"["abc"]"#),
            ("split('abc', ' ', 'some')", "R0115"),
            ("split(payload.none, ' ')", "R0306"),
            ("tokens(' a/b/ c', '/ ')", r#"["a","b","c"]"#),
            ("tokens(' a/ b /c', ' /')", r#"["a","b","c"]"#),
            ("tokens(payload.lines, '/ ', 'nocrlf')", r#"["a","b","c"]"#),
            ("tokens(payload.lines, '/ ')", r#"["a","b","c\r\n"]"#),
            ("tokens(payload.csv, ',', 'nocrlf')", r#"["a","b","c"]"#),
            ("tokens(payload.cn, ', ', 'nocrlf')", "[\"哈哈\",\"你好\",\"是的\"]"),
            ("tokens('', '/')", "[]"),
            ("tokens('//', '/')", "[]"),
            ("tokens('abc', '')", r#"["abc"]"#),
            ("tokens('a b', ' ', 'crlf')", "R0115"),
            // Each separator is a byte: those of ü separate, and é is cut from ê.
            ("tokens('grün', 'ü')", r#"["gr","n"]"#),
        ],
    );
    assert_eq!(
        run("SELECT tokens('é', 'ê') AS t, t[1] AS u, is_str(u) AS s, bytesize(u) AS b FROM \"t\"", b""),
        "{\"t\":[\"\u{fffd}\"],\"u\":\"\u{fffd}\",\"s\":false,\"b\":1}"
    );
}

#[test]
fn bytes_that_are_no_text_are_taken_where_bytes_are_meant() {
    for (expression, payload, expected) in [
        ("concat(payload, 'a')", &b"\xff"[..], "\"\u{fffd}a\""),
        ("bytesize(concat(payload, 'a'))", b"\xff", "2"),
        ("concat(subbits(payload, 1, 8, 'bits'), subbits(payload, 9, 8, 'bits'))", "ü".as_bytes(), "\"ü\""),
        ("find(payload, 'b')", b"\xff\xfeabc", "\"bc\""),
        ("bytesize(find(payload, 'a'))", b"a\xff", "2"),
        ("replace(payload, subbits(payload, 1, 8, 'bits'), '-')", b"\xffa\xff", "\"-a-\""),
        ("split(payload, '|')", b"\xff|a", "[\"\u{fffd}\",\"a\"]"),
        ("tokens(payload, '|')", b"a|\xff", "[\"a\",\"\u{fffd}\"]"),
        ("rm_prefix(payload, subbits(payload, 1, 8, 'bits'))", b"\xffabc", "\"abc\""),
        ("ascii(payload)", b"\xff", "255"),
        ("str_eq(payload, payload)", b"\xff", "true"),
        ("str_lt('a', payload)", b"\xff", "true"),
        ("map_to_range(payload, 0, 255)", b"\xff", "255"),
        ("upper(payload)", b"\xff", "R0306"),
        ("regex_match(payload, 'a')", b"\xff", "R0306"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn texts_are_put_together() {
    all(
        br#"{"n":null,"l":["a","b",1],"m":{"a":1},"q":["it's",null,true,1.5],"e":[],"nest":[[1],{"a":"x"}]}"#,
        &[
            ("concat('a', 'b')", "\"ab\""),
            ("concat('哈哈', '你好')", "\"哈哈你好\""),
            ("concat('', '')", "\"\""),
            ("concat('a')", "\"a\""),
            ("concat(['a', 'b'])", "\"ab\""),
            ("concat(payload.l)", "\"ab1\""),
            ("concat(payload.l, '')", "\"[\\\"a\\\",\\\"b\\\",1]\""),
            ("concat(payload.n)", "\"\""),
            ("concat()", "R0110"),
            ("join_to_string(payload.l)", "\"a, b, 1\""),
            ("join_to_string('-', [1, 2])", "\"1-2\""),
            ("join_to_string('-', payload.l)", "\"a-b-1\""),
            ("join_to_string('', payload.l)", "\"ab1\""),
            ("join_to_string(payload.e)", "\"\""),
            ("join_to_string('/', payload.nest)", "\"[1]/{\\\"a\\\":\\\"x\\\"}\""),
            ("join_to_string(', ', payload.q)", "\"it's, , true, 1.5\""),
            ("join_to_string('a')", "R0115"),
            ("join_to_string(payload.m)", "R0306"),
            ("join_to_string(payload.l, payload.l)", "R0306"),
            ("join_to_string(payload.n)", "R0306"),
            ("join_to_string(1, payload.l)", "R0111"),
            ("join_to_sql_values_string(['a', 'b', 1])", "\"'a', 'b', 1\""),
            ("join_to_sql_values_string(payload.l)", "\"'a', 'b', 1\""),
            ("join_to_sql_values_string(payload.q)", "\"'it''s', NULL, true, 1.5\""),
            ("join_to_sql_values_string(payload.nest)", "\"'[1]', '{\\\"a\\\":\\\"x\\\"}'\""),
            ("join_to_sql_values_string(payload.e)", "\"\""),
            ("join_to_sql_values_string('a')", "R0111"),
        ],
    );
}

#[test]
fn escapes_are_read() {
    all(
        br#"{"bad":"a\\q","plain":"abc","hex":"\\x","far":"\\x110000","half":"\\xD800"}"#,
        &[
            (r"unescape('a\nb\rc\td')", r#""a\nb\rc\td""#),
            (r"unescape('\b\f\v\a')", r#""\u0008\u000c\u000b\u0007""#),
            (r#"unescape('\\ '' \" \?')"#, r#""\\ ' \" ?""#),
            (r"unescape('\x4E2D\xe9')", "\"中é\""),
            (r"unescape('\x41g')", "\"Ag\""),
            (r"unescape('end\')", r#""end\\""#),
            ("unescape(payload.plain)", "\"abc\""),
            (r"unescape('\q')", "R0115"),
            ("unescape(payload.bad)", "R0313"),
            ("unescape(payload.hex)", "R0313"),
            ("unescape(payload.far)", "R0313"),
            ("unescape(payload.half)", "R0313"),
        ],
    );
}

#[test]
fn the_first_that_is_there_is_chosen() {
    all(
        br#"{"n":null,"e":"","l":[null,"","x"],"z":0,"no":false}"#,
        &[
            ("coalesce(payload.n, payload.none, 2, 3)", "2"),
            ("coalesce(payload.e, 'x')", "\"\""),
            ("coalesce(payload.l)", "\"\""),
            ("coalesce(payload.l, 1)", "[null,\"\",\"x\"]"),
            ("coalesce(payload.n)", "null"),
            ("coalesce_ne(payload.n, payload.e, 'x')", "\"x\""),
            ("coalesce_ne(payload.l)", "\"x\""),
            ("coalesce_ne(payload.z, 1)", "0"),
            ("coalesce_ne(payload.no, true)", "false"),
            ("coalesce_ne(payload.n, payload.e)", "null"),
            ("coalesce()", "R0110"),
        ],
    );
}

#[test]
fn texts_are_compared_whatever_they_were() {
    all(
        br#"{"n":null,"t":"b","i":10}"#,
        &[
            ("str_comp('a', payload.t)", "\"lt\""),
            ("str_comp(payload.t, 'b')", "\"eq\""),
            ("str_comp(payload.t, 'a')", "\"gt\""),
            ("str_comp(payload.n, 'a')", "null"),
            ("str_eq(payload.i, '10')", "true"),
            ("str_eq(payload.n, payload.none)", "true"),
            ("str_eq(payload.n, '')", "false"),
            ("str_neq(payload.n, 'a')", "false"),
            ("str_neq(payload.t, 'a')", "true"),
            ("str_neq(true, 'true')", "false"),
            ("str_lt(payload.i, 9)", "true"),
            ("str_lte('a', 'a')", "true"),
            ("str_gt('a', 'B')", "true"),
            ("str_gte('a', 'b')", "false"),
            ("str_eq('a')", "R0110"),
        ],
    );
}

#[test]
fn topics_are_taken_apart_and_put_together() {
    all(
        br##"{"l":["a","b",1],"n":null,"fs":[{"topic":"t/a","qos":1},{"topic":"u/+","qos":0}],"ts":["t/a","v/#"],"f":"a/#"}"##,
        &[
            ("topic_join(['a', 'b'])", "\"a/b\""),
            ("topic_join(payload.l)", "\"a/b/1\""),
            ("topic_join('a', 'b')", "\"a/b\""),
            ("topic_join('a/', 'b')", "\"a/b\""),
            ("topic_join(topic, 1)", "\"t/a/1\""),
            ("topic_join('', 'b')", "R0114"),
            ("topic_join(payload.n, 'b')", "R0313"),
            ("topic_join('a')", "R0115"),
            ("topic_join(payload.f)", "R0306"),
            ("topic_match(topic, 't/+')", "true"),
            ("topic_match('a/b/c', payload.f)", "true"),
            ("topic_match('b', 'a/+')", "false"),
            ("topic_match('$SYS/a', '#')", "false"),
            ("topic_match(topic, 'a/#/b')", "R0115"),
            ("topic_split('a/b')", r#"["a","b"]"#),
            ("topic_split('/a//')", r#"["","a","",""]"#),
            ("contains_topic(payload.fs, 't/a')", "true"),
            ("contains_topic(payload.fs, 't/b')", "false"),
            ("contains_topic(payload.fs, 't/a', 1)", "true"),
            ("contains_topic(payload.fs, 't/a', 0)", "false"),
            ("contains_topic(payload.ts, topic)", "true"),
            ("contains_topic(payload.n, topic)", "false"),
            ("contains_topic_match(payload.fs, 'u/1')", "true"),
            ("contains_topic_match(payload.fs, 'u/1', 0)", "true"),
            ("contains_topic_match(payload.fs, 'u/1', 1)", "false"),
            ("contains_topic_match(payload.fs, 't/#')", "true"),
            ("contains_topic_match(payload.ts, 'v/1/2')", "true"),
            ("contains_topic_match(payload.ts, 'w')", "false"),
            ("contains_topic(payload.f, 'a')", "R0306"),
        ],
    );
}

#[test]
fn patterns_match_anywhere() {
    all(
        br#"{"t":"acbcd","line":"abc\n","re":"(","ok":"^a","long":"2021-05-20T10:00:00Z"}"#,
        &[
            ("regex_match('abc123', '[a-zA-Z0-9]*')", "true"),
            ("regex_match(payload.t, 'c')", "true"),
            ("regex_match(payload.t, '(ac)+')", "true"),
            ("regex_match('bcd', '(ac)+')", "false"),
            ("regex_match('', '.*')", "true"),
            ("regex_match('', '[a-z]+')", "false"),
            ("regex_match('exebd', '^[a-z]+$')", "true"),
            ("regex_match('e2xebd', '^[a-z]+$')", "false"),
            ("regex_match(payload.t, payload.ok)", "true"),
            ("regex_match(payload.line, '^abc$')", "true"),
            ("regex_match(payload.line, '^abc\\z')", "false"),
            ("regex_match('ab', '(?i)^AB$')", "true"),
            ("regex_match('aa', '(a)\\1')", "true"),
            ("regex_match('foobar', 'foo(?!baz)')", "true"),
            ("regex_match('abc1', '^(?=.*\\d)(?=.*[a-z]).{4,}$')", "true"),
            ("regex_match('٣', '\\d')", "false"),
            ("regex_match('a', '(')", "R0115"),
            ("regex_match('a', payload.re)", "R0313"),
            ("regex_match('a', 1)", "R0111"),
            ("regex_match(payload.none, 'a')", "R0306"),
            ("regex_match('a')", "R0110"),
            ("regex_replace('ab1cd3ef', '[1-9]', '[&]')", "\"ab[1]cd[3]ef\""),
            ("regex_replace('accbcd', 'c+', 'e')", "\"aebed\""),
            ("regex_replace('accbcd', 'c+', '[&]')", "\"a[cc]b[c]d\""),
            ("regex_replace('', 'c.*', 'e')", "\"\""),
            ("regex_replace('a-b', '(\\w)-(\\w)', '\\2-\\1')", "\"b-a\""),
            ("regex_replace('a-b', '(\\w)-(\\w)', '\\g{2}0\\g1\\0')", "\"b0aa-b\""),
            ("regex_replace('a&b', '&', '\\&\\\\&')", "\"a&\\\\&b\""),
            ("regex_replace('abxc', 'x*', '-')", "\"-a-b--c-\""),
            ("regex_replace('grün', '', '.')", "\".g.r.ü.n.\""),
            ("regex_replace('abc', '.*', 'x')", "\"xx\""),
            ("regex_replace('abab', '(?<=a)b', '-')", "\"a-a-\""),
            ("regex_replace('abc', 'x', 'y')", "\"abc\""),
            ("regex_replace('abc', '[', 'y')", "R0115"),
            ("regex_extract('Number: 12345', '(\\d+)')", r#"["12345"]"#),
            ("regex_extract('Hello, world!', '(\\w+).*\\s(\\w+)')", r#"["Hello","world"]"#),
            ("regex_extract('No numbers here!', '(\\d+)')", "[]"),
            ("regex_extract('Date: 2021-05-20', '(\\d{4})-(\\d{2})-(\\d{2})')", r#"["2021","05","20"]"#),
            ("regex_extract(payload.long, '^(\\d+)-')", r#"["2021"]"#),
            ("regex_extract('b', '(a)?(b)')", r#"["","b"]"#),
            ("regex_extract('a', '(a)(b)?')", r#"["a"]"#),
            ("regex_extract('abc', 'b')", "[]"),
        ],
    );
}

#[test]
fn no_pattern_runs_long() {
    let started = std::time::Instant::now();
    let long = "a".repeat(7_000);
    let payload = |text: &str| format!("{{\"t\":\"{text}\",\"re\":\"(x+x+)+y\"}}").into_bytes();
    for (expression, text, expected) in [
        // The linear engine.
        ("regex_match(payload.t, '(a+a+)+b')", long.as_str(), "false"),
        ("regex_match(payload.t, '^(a|aa)+$')", &long, "true"),
        ("regex_match(payload.t, payload.re)", &long, "false"),
        // The one that counts its steps.
        ("regex_match(payload.t, '(a+a+)+\\1b')", &long, "R0309"),
        ("regex_match(payload.t, '(?=.*x)(?=.*y)z')", &long, "false"),
        ("regex_match(payload.t, '(?=b)b')", &"a".repeat(9_000), "R0309"),
        ("regex_match(payload.t, '(?!b)a')", &"a".repeat(8_000), "true"),
        ("bytesize(regex_replace(payload.t, '', payload.t))", &"a".repeat(6_000), "R0308"),
        ("bytesize(regex_replace(payload.t, 'a+', '&&&&'))", &"a".repeat(6_000), "24000"),
    ] {
        assert_eq!(value(expression, &payload(text)), expected, "{expression}");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn results_that_no_row_holds_are_refused() {
    let text = "a,".repeat(600_000);
    for (expression, expected) in [
        ("replace(payload, ',', payload)", "R0308"),
        ("split(payload, ',', 'notrim')", "R0308"),
        ("bytesize(replace(payload, ',', '--'))", "1800000"),
        ("pad('', 20000000)", "R0114"),
        ("sprintf('~20000000s', 'a')", "R0114"),
        ("bytesize(concat(pad(payload, 9000000), pad(payload, 9000000)))", "R0309"),
    ] {
        let met = value(expression, text.as_bytes());
        assert_eq!(&met[..met.len().min(40)], expected, "{expression}");
    }
}

#[test]
fn formats_follow_erlang() {
    all(
        br#"{"l":[1,2,3],"abc":[97,98,99],"m":{"a":1,"b":["x"]},"f":21.456,"i":-255,"n":null,"t":"a\"b\n","u":"gr\u00fcn"}"#,
        &[
            ("sprintf('Hello ~ts!', 'Shawn')", "\"Hello Shawn!\""),
            ("sprintf('Name: ~ts, Count: ~p', 'ABC', 2)", "\"Name: ABC, Count: 2\""),
            ("sprintf('plain')", "\"plain\""),
            ("sprintf('100~~~n')", "\"100~\\n\""),
            ("sprintf('~s|~s|~s', 'grün', true, payload.n)", "\"grün|true|\""),
            ("sprintf('~10s|~-10s|', 'abc', 'abc')", "\"       abc|abc       |\""),
            ("sprintf('~2s|', 'abc')", "\"ab|\""),
            ("sprintf('~.5s|', 'abc')", "\"abc  |\""),
            ("sprintf('~8.5s|', 'abcdefg')", "\"   abcde|\""),
            ("sprintf('~5..0s', 'abc')", "\"00abc\""),
            ("sprintf('~*s', 5, 'abc')", "\"  abc\""),
            ("sprintf('~*s|', -5, 'abc')", "\"abc  |\""),
            ("sprintf('~p ~w', 'abc', 'abc')", "\"<<\\\"abc\\\">> <<97,98,99>>\""),
            ("sprintf('~p', payload.t)", r#""<<\"a\\\"b\\n\">>""#),
            ("sprintf('~tp', payload.u)", "\"<<\\\"grün\\\"/utf8>>\""),
            ("sprintf('~p ~p', '', true)", "\"<<>> true\""),
            ("sprintf('~p ~w', payload.l, payload.l)", "\"[1,2,3] [1,2,3]\""),
            ("sprintf('~p ~w', payload.abc, payload.abc)", "\"\\\"abc\\\" [97,98,99]\""),
            ("sprintf('~p', payload.m)", r##""#{<<\"a\">> => 1,<<\"b\">> => [<<\"x\">>]}""##),
            ("sprintf('~p ~p ~p', 1.0, 1000.0, payload.f)", "\"1.0 1.0e3 21.456\""),
            ("sprintf('~p', payload.n)", "\"null\""),
            ("sprintf('~b ~B', payload.i, 10)", "\"-255 10\""),
            ("sprintf('~.16b ~.16B', payload.i, 255)", "\"-ff FF\""),
            ("sprintf('~.16# ~.2+', 31, 5)", "\"16#1F 2#101\""),
            ("sprintf('~.16x ~.16X', 31, '0x', 31, '0x')", "\"0x1f 0x1F\""),
            ("sprintf('~5b|~-5b|~5..0b|~2b', 42, 42, 42, 12345)", "\"   42|42   |00042|**\""),
            ("sprintf('~f ~.2f ~.0f', 1.5, payload.f, 2)", "\"1.500000 21.46 2\""),
            ("sprintf('~8.2f|~-8.2f|', payload.f, 5)", "\"   21.46|5.00    |\""),
            ("sprintf('~e ~.3e', 1.5, 12345)", "\"1.50000e+0 1.23e+4\""),
            ("sprintf('~e', 0.00015)", "\"1.50000e-4\""),
            ("sprintf('~g ~g ~g', 1.5, 0.01, 123456.0)", "\"1.50000 1.00000e-2 1.23456e+5\""),
            ("sprintf('~c~c ~3c ~5.2c|', 97, 8364, 42, 43)", "\"a€ *** \u{20}\u{20}\u{20}++|\""),
            ("sprintf('~i~s', 1, 'a')", "\"a\""),
            ("sprintf('~3n')", "\"\\n\\n\\n\""),
            ("sprintf(payload.u)", "\"grün\""),
            ("sprintf_s('~b-~b-~b', payload.l)", "\"1-2-3\""),
            ("sprintf_s('~s', ['a'])", "\"a\""),
        ],
    );
}

#[test]
fn formats_that_do_not_fit_are_refused() {
    all(
        br#"{"f":"~s ~s","i":1,"t":"a","bad":"~q","end":"abc~"}"#,
        &[
            ("sprintf('~s', 1)", "R0114"),
            ("sprintf('~s', payload.i)", "R0313"),
            ("sprintf('~b', 1.5)", "R0114"),
            ("sprintf('~b', payload.t)", "R0313"),
            ("sprintf('~f', payload.t)", "R0313"),
            ("sprintf('~c', -1)", "R0114"),
            ("sprintf('~s')", "R0115"),
            ("sprintf('~s', payload.t, payload.t)", "R0115"),
            ("sprintf('~*s', payload.t)", "R0115"),
            ("sprintf('~q', payload.t)", "R0115"),
            ("sprintf('50%~')", "R0115"),
            ("sprintf(payload.f, payload.t)", "R0313"),
            ("sprintf(payload.t, payload.t)", "R0313"),
            ("sprintf(payload.bad, 1)", "R0313"),
            ("sprintf(payload.end)", "R0313"),
            ("sprintf('~.99b', payload.i)", "R0313"),
            ("sprintf('~.999f', payload.i)", "R0313"),
            ("sprintf(1)", "R0111"),
            ("sprintf_s('~s', ['a', 'b'])", "R0115"),
            ("sprintf_s('~s', payload.t)", "R0306"),
            ("sprintf()", "R0110"),
        ],
    );
}

#[test]
fn what_can_be_borrowed_is_not_copied() {
    use std::borrow::Cow;

    use millrace_core::value::Value;

    let input_of = |payload: &'static [u8]| super::event("t", payload);
    let mut scratch = crate::Scratch::default();
    let input = crate::Input::publish(input_of(b"ignored"), &mut scratch);
    let text = |text: &'static str| Value::text(text);
    let int = Value::Int;
    for (function, args) in [
        ("trim", vec![text(" abc ")]),
        ("rtrim", vec![text("abc00"), text("0")]),
        ("lower", vec![text("abc")]),
        ("substr", vec![text("abcdef"), int(1), int(2)]),
        ("pad", vec![text("abc"), int(2)]),
        ("find", vec![text("abcdef"), text("cd")]),
        ("replace", vec![text("abc"), text("x"), text("y")]),
        ("rm_prefix", vec![text("abc"), text("a")]),
        ("regex_replace", vec![text("abc"), text("x"), text("y")]),
        ("unescape", vec![text("abc")]),
        ("coalesce", vec![Value::Null, text("abc")]),
    ] {
        let mut args = args;
        let result = crate::functions::find(function).expect(function).call(&input, &mut args);
        assert!(matches!(result, Ok(Value::Text(Cow::Borrowed(_)))), "{function} {result:?}");
    }
    for (function, mut args) in [
        ("split", vec![text("a,b"), text(",")]),
        ("tokens", vec![text("a,b"), text(",")]),
        ("topic_split", vec![text("a/b")]),
        ("regex_extract", vec![text("a1"), text("(a)(1)")]),
    ] {
        let Ok(Value::List(items)) = crate::functions::find(function).expect(function).call(&input, &mut args) else {
            panic!("{function} gives a list");
        };
        assert!(
            items.len() == 2 && items.iter().all(|item| matches!(item, Value::Text(Cow::Borrowed(_)))),
            "{function}"
        );
    }
}
