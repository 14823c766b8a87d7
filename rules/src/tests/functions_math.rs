//! Functions of numbers: what they give, and what they refuse.

use millrace_core::value::Value;

use super::{run, value};
use crate::json;

#[test]
fn rounding_gives_whole_numbers() {
    let payload = br#"{"f":-3.14,"big":1e300,"least":-9223372036854775808}"#;
    for (expression, expected) in [
        ("abs(-12)", "12"),
        ("abs(-1.2)", "1.2"),
        ("abs(payload.f)", "3.14"),
        ("abs(payload.least)", "R0305"),
        ("ceil(0.8)", "1"),
        ("ceil(-3.2)", "-3"),
        ("floor(3.6)", "3"),
        ("floor(payload.f)", "-4"),
        ("round(4.5)", "5"),
        ("round(-2.5)", "-3"),
        ("round(7)", "7"),
        ("round(payload.big)", "R0305"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn functions_of_floats_give_floats() {
    for (expression, expected) in [
        ("sqrt(9)", "3.0"),
        ("exp(0)", "1.0"),
        ("log(1)", "0.0"),
        ("log10(1000)", "3.0"),
        ("log2(1024)", "10.0"),
        ("power(2, 10)", "1024.0"),
        ("power(2, -1)", "0.5"),
        ("fmod(-32, 5)", "-2.0"),
        ("fmod(6.5, 2.5)", "1.5"),
        ("sin(0)", "0.0"),
        ("cos(0)", "1.0"),
        ("tan(0)", "0.0"),
        ("asin(0)", "0.0"),
        ("acos(1)", "0.0"),
        ("atan(0)", "0.0"),
        ("sinh(0)", "0.0"),
        ("cosh(0)", "1.0"),
        ("tanh(0)", "0.0"),
        ("asinh(0)", "0.0"),
        ("acosh(1)", "0.0"),
        ("atanh(0)", "0.0"),
    ] {
        assert_eq!(value(expression, b""), expected, "{expression}");
    }
    for (expression, expected) in [
        ("sin(0.5)", 0.479_425_538_604_203),
        ("cos(0.5)", 0.877_582_561_890_372_8),
        ("tan(0.5)", 0.546_302_489_843_790_5),
        ("asin(0.5)", 0.523_598_775_598_298_8),
        ("acos(0.5)", 1.047_197_551_196_597_6),
        ("atan(0.5)", 0.463_647_609_000_806_15),
        ("sinh(0.5)", 0.521_095_305_493_747_4),
        ("cosh(1.5)", 2.352_409_615_243_247),
        ("tanh(0.5)", 0.462_117_157_260_009_8),
        ("asinh(0.5)", 0.481_211_825_059_603_47),
        ("acosh(1.5)", 0.962_423_650_119_206_9),
        ("atanh(0.5)", 0.549_306_144_334_054_9),
        ("exp(1)", std::f64::consts::E),
        ("log(10)", std::f64::consts::LN_10),
        ("log2(10)", std::f64::consts::LOG2_10),
    ] {
        let met: f64 = value(expression, b"").parse().expect(expression);
        assert!((met - expected).abs() < 1e-14, "{expression} {met}");
    }
}

#[test]
fn what_is_not_defined_is_an_error_and_not_a_number() {
    let payload = br#"{"m":-1,"z":0,"two":2,"one":1,"big":1000,"t":"1"}"#;
    for (expression, expected) in [
        ("sqrt(payload.m)", "R0313"),
        ("log(payload.z)", "R0313"),
        ("log(payload.m)", "R0313"),
        ("log10(payload.z)", "R0313"),
        ("log2(payload.z)", "R0313"),
        ("asin(payload.two)", "R0313"),
        ("acos(payload.two)", "R0313"),
        ("acosh(payload.z)", "R0313"),
        ("atanh(payload.one)", "R0313"),
        ("atanh(payload.m)", "R0313"),
        ("power(payload.m, 0.5)", "R0313"),
        ("power(payload.z, payload.m)", "R0305"),
        ("exp(payload.big)", "R0305"),
        ("cosh(payload.big)", "R0305"),
        ("fmod(payload.two, payload.z)", "R0304"),
        ("mod(payload.two, payload.z)", "R0304"),
        ("mod(payload.two, 1.5)", "R0111"),
        ("sqrt(-1)", "R0114"),
        ("log(0)", "R0114"),
        ("sqrt(payload.t)", "R0306"),
        ("sin(payload.none)", "R0306"),
        ("sin('x')", "R0111"),
        ("sin()", "R0110"),
        ("sin(1, 2)", "R0110"),
        ("power(2)", "R0110"),
        ("random(1)", "R0110"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn remainders_equality_and_digits() {
    let payload = br#"{"i":1,"f":1.0,"t":"1","n":null,"l":[1],"b":true}"#;
    for (expression, expected) in [
        ("mod(-7, 3)", "-1"),
        ("mod(7, -3)", "1"),
        ("eq(payload.i, payload.f)", "true"),
        ("eq(payload.i, payload.t)", "false"),
        ("eq(payload.n, payload.none)", "true"),
        ("eq(payload.n, payload.i)", "false"),
        ("eq(payload.l, payload.l)", "true"),
        ("eq(payload.b, 'true')", "false"),
        ("int2hexstr(10)", "\"A\""),
        ("int2hexstr(4294967295)", "\"FFFFFFFF\""),
        ("int2hexstr(-15)", "\"-F\""),
        ("int2hexstr(payload.f)", "R0306"),
        ("num_comp(1, 1.0)", "\"eq\""),
        ("num_comp(1, 2)", "\"lt\""),
        ("num_comp(2.5, 2)", "\"gt\""),
        ("num_eq(payload.i, payload.f)", "true"),
        ("num_neq(1, 2)", "true"),
        ("num_lt(1, 1)", "false"),
        ("num_lte(1, 1)", "true"),
        ("num_gt(9007199254740993, 9007199254740992.0)", "true"),
        ("num_gte(1, 2)", "false"),
        ("num_eq(payload.t, 1)", "R0306"),
        ("num_eq(payload.n, 1)", "R0306"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn what_is_drawn_lies_in_its_range_and_is_not_folded() {
    let sql = "SELECT random() AS a, random() AS b, rand_int(6) AS c, rand_str(20) AS d, rand_int(1) AS e FROM \"t/#\"";
    for _ in 0..100 {
        let row = json::decode(&run(sql, b""), &[]);
        let (Some(Value::Float(a)), Some(Value::Float(b))) = (row.member("a"), row.member("b")) else {
            panic!("{row:?}");
        };
        assert!((0.0..1.0).contains(a) && (0.0..1.0).contains(b) && a.to_bits() != b.to_bits());
        assert!(matches!(row.member("c"), Some(Value::Int(1..=6))), "{row:?}");
        assert!(matches!(row.member("d"), Some(Value::Text(text))
            if text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        assert!(matches!(row.member("e"), Some(Value::Int(1))));
    }
    for (expression, expected) in [
        ("rand_int(0)", "R0115"),
        ("rand_int(payload.z)", "R0313"),
        ("rand_str(-1)", "R0115"),
        ("rand_str(payload.z)", "R0313"),
        ("rand_str(payload.big)", "R0308"),
        ("strlen(rand_str(payload.much)) + strlen(rand_str(payload.much))", "R0309"),
        ("rand_str('a')", "R0111"),
    ] {
        assert_eq!(value(expression, br#"{"z":0,"big":1000000000000,"much":9000000}"#), expected, "{expression}");
    }
}

#[test]
fn values_are_brought_into_a_range() {
    let payload =
        br#"{"t":"","least":-9223372036854775808,"most":9223372036854775807,"long":"abcdefghijklmnopqrstuvwxyz"}"#;
    for (expression, expected) in [
        // SHA-256 of "abc" is …f20015ad.
        ("hash_to_range('abc', 0, 255)", "173"),
        ("hash_to_range('abc', 1, 1)", "1"),
        ("hash_to_range('abc', 0, 65535)", "5549"),
        ("hash_to_range('abc', -65536, 4294901759)", "4060026285"),
        ("hash_to_range(payload.t, 1, 2)", "R0313"),
        ("hash_to_range('a', 2, 1)", "R0115"),
        ("hash_to_range('a', payload.most, payload.least)", "R0313"),
        ("map_to_range(10, 1, 3)", "2"),
        ("map_to_range(-1, 0, 9)", "9"),
        ("map_to_range('a', 0, 9)", "7"),
        ("map_to_range('ab', 0, 255)", "98"),
        ("map_to_range(payload.long, 0, 255)", "122"),
        ("map_to_range(payload.long, 0, 1099511627775)", "508810525050"),
        ("map_to_range(payload.long, payload.least, payload.most)", "-903968473523652230"),
        ("map_to_range(1.5, 0, 9)", "R0111"),
        ("map_to_range('a', 1)", "R0110"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}
