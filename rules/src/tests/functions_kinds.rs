//! Type tests and conversion, as tables.

use super::{table, value};

const PAYLOAD: &[u8] =
    br#"{"n":null,"b":true,"i":1,"f":1.5,"t":"1","e":"","l":[1],"el":[],"m":{"a":1},"em":{},"h":"0xABEF123"}"#;

#[test]
fn a_value_is_of_exactly_one_kind() {
    let kinds = [
        ("n", "is_null"),
        ("missing.x", "is_null"),
        ("b", "is_bool"),
        ("i", "is_int"),
        ("f", "is_float"),
        ("t", "is_str"),
        ("l", "is_array"),
        ("m", "is_map"),
    ];
    for (member, its) in kinds {
        for name in
            ["is_null", "is_null_var", "is_bool", "is_int", "is_float", "is_str", "is_array", "is_map", "is_num"]
        {
            let expected = name == its
                || (name, its) == ("is_null_var", "is_null")
                || (name == "is_num" && matches!(its, "is_int" | "is_float"));
            assert_eq!(value(&format!("{name}(payload.{member})"), PAYLOAD), expected.to_string(), "{name} {member}");
        }
        for name in ["is_not_null", "is_not_null_var"] {
            let expected = its != "is_null";
            assert_eq!(value(&format!("{name}(payload.{member})"), PAYLOAD), expected.to_string(), "{name} {member}");
        }
    }
    table(
        PAYLOAD,
        &[
            ("is_float(1)", "false"),
            ("is_int(1.0)", "false"),
            ("is_str('1')", "true"),
            ("is_null(null)", "true"),
            ("is_null(username)", "true"),
            ("is_null()", "R0110"),
            ("is_null(1, 2)", "R0110"),
        ],
    );
}

#[test]
fn what_has_nothing_in_it_is_empty() {
    table(
        PAYLOAD,
        &[
            ("is_empty(payload.el)", "true"),
            ("is_empty(payload.em)", "true"),
            ("is_empty(payload.e)", "true"),
            ("is_empty('')", "true"),
            ("is_empty(payload.l)", "false"),
            ("is_empty(payload.m)", "false"),
            ("is_empty('abc')", "false"),
            ("is_empty(payload.i)", "R0306"),
            ("is_empty(payload.n)", "R0306"),
            ("is_empty(1)", "R0111"),
            ("is_empty()", "R0110"),
        ],
    );
}

#[test]
fn str_writes_what_reads_back_as_the_same() {
    table(br#"{"codes":[104,105],"far":[104,300],"f":20.2,"tenth":0.1,"big":1e300,"el":[],"m":{"a":[1.0,"x"]},"u":"\u00fc"}"#, &[
        ("str(100)", r#""100""#),
        ("str(-100)", r#""-100""#),
        ("str(20.2)", r#""20.2""#),
        ("str(payload.f)", r#""20.2""#),
        ("str(payload.tenth + 0.2)", r#""0.30000000000000004""#),
        ("str(payload.big)", r#""1e300""#),
        ("str(1.0)", r#""1.0""#),
        ("str(1.50)", r#""1.5""#),
        ("str(true)", r#""true""#),
        ("str('a''b')", r#""a'b""#),
        ("str(payload.m)", r#""{\"a\":[1.0,\"x\"]}""#),
        ("str(payload.codes)", r#""hi""#),
        ("str(payload.far)", r#""[104,300]""#),
        ("str(payload.el)", r#""""#),
        ("any_to_str(20.2)", r#""20.2""#),
        ("any_to_str(payload.codes)", r#""hi""#),
        ("str_utf8(payload.u)", r#""ü""#),
        ("str_utf8(1)", r#""1""#),
        ("bin2hexstr(str_utf16_le(payload.u))", r#""FC00""#),
        ("bin2hexstr(str_utf16_le(12))", r#""31003200""#),
        ("str()", "R0110"),
        ("str_utf8(1, 2)", "R0110"),
        ("str(hexstr2bin('ff'))", "R0114"),
        ("str(hexstr2bin(clientid))", "R0307"),
    ]);
}

#[test]
fn numbers_are_made_of_texts_floats_and_booleans() {
    table(
        PAYLOAD,
        &[
            ("int('-100')", "-100"),
            ("int('3.1415e2')", "314"),
            ("int(3.9)", "3"),
            ("int(-3.14)", "-4"),
            ("int(true)", "1"),
            ("int(false)", "0"),
            ("int(payload.t)", "1"),
            ("int('12a')", "R0114"),
            ("int(clientid)", "R0307"),
            ("int(1.0e300)", "R0114"),
            ("int(payload.n)", "R0306"),
            ("int(payload.l)", "R0306"),
            ("int()", "R0110"),
            ("float('1')", "1.0"),
            ("float('20.2')", "20.2"),
            ("float(true)", "1.0"),
            ("float(3.14159, 2)", "3.14"),
            ("float(3.146, 2)", "3.15"),
            ("float(20.2, 17)", "20.2"),
            ("float('3.14159', 3)", "3.142"),
            ("float(3, 2)", "3.0"),
            ("float(2.5, 0)", "3.0"),
            ("float(1.5, -1)", "R0115"),
            ("float(1.5, 254)", "R0115"),
            ("float(1.5, payload.i - 2)", "R0313"),
            ("float(1.5, 1.5)", "R0111"),
            ("float('x')", "R0114"),
            ("float(payload.m)", "R0306"),
            ("float()", "R0110"),
            ("bool(true)", "true"),
            ("bool(1)", "true"),
            ("bool('true')", "true"),
            ("bool(0)", "false"),
            ("bool('false')", "false"),
            ("bool(2)", "R0114"),
            ("bool('yes')", "R0114"),
            ("bool(1.0)", "R0114"),
            ("bool(payload.f)", "R0307"),
            ("bool(payload.n)", "R0306"),
        ],
    );
}

#[test]
fn float2str_keeps_so_many_digits() {
    table(
        PAYLOAD,
        &[
            ("float2str(20.2, 10)", r#""20.2""#),
            ("float2str(20.2, 17)", r#""20.19999999999999928""#),
            ("float2str(-20.2, 17)", r#""-20.19999999999999928""#),
            ("float2str(20.25, 1)", r#""20.3""#),
            ("float2str(20.2, 0)", r#""20""#),
            ("float2str(0.1, 20)", r#""0.10000000000000000555""#),
            ("float2str(1.0, 5)", r#""1.0""#),
            ("float2str(0.00001, 3)", r#""0.0""#),
            ("float2str(1.0e20, 3)", r#""100000000000000000000.0""#),
            ("float2str(20, 2)", r#""20.0""#),
            ("float2str(payload.f, 253)", r#""1.5""#),
            ("float2str(20.2, 254)", "R0115"),
            ("float2str('20.2', 2)", "R0111"),
            ("float2str(payload.t, 2)", "R0306"),
            ("float2str(20.2)", "R0110"),
        ],
    );
}

#[test]
fn a_map_is_made_of_json() {
    table(
        PAYLOAD,
        &[
            ("map('{\"a\":1}')", r#"{"a":1}"#),
            ("map(payload.m)", r#"{"a":1}"#),
            ("map('[1]')", "R0114"),
            ("map('a')", "R0114"),
            ("map(payload.t)", "R0307"),
            ("map(payload.l)", "R0306"),
            ("map(1)", "R0111"),
        ],
    );
}

#[test]
fn hexadecimal_digits_are_written_and_read() {
    table(
        PAYLOAD,
        &[
            ("bin2hexstr('abc')", r#""616263""#),
            ("bin2hexstr(hexstr2bin('ABEF123'))", r#""0ABEF123""#),
            ("bin2hexstr(hexstr2bin('abef'))", r#""ABEF""#),
            ("bin2hexstr('abc', '0x')", r#""0x616263""#),
            ("bin2hexstr('')", r#""""#),
            ("sqlserver_bin2hexstr('abc')", r#""0x616263""#),
            ("hexstr2bin('6162')", r#""ab""#),
            ("hexstr2bin('0x6162', '0x')", r#""ab""#),
            ("bin2hexstr(hexstr2bin(payload.h, '0x'))", r#""0ABEF123""#),
            ("hexstr2bin('')", r#""""#),
            ("hexstr2bin('6162', '0x')", "R0114"),
            ("hexstr2bin('xy')", "R0114"),
            ("hexstr2bin(payload.h)", "R0307"),
            ("hexstr2bin('grün')", "R0114"),
            ("hexstr2bin(payload.i)", "R0306"),
            ("bin2hexstr(1)", "R0111"),
            ("bin2hexstr()", "R0110"),
            ("hexstr2bin('61', '0x', 1)", "R0110"),
        ],
    );
    assert_eq!(value("bin2hexstr(payload)", &[0xff, 0x00, 0x1a]), r#""FF001A""#);
}
