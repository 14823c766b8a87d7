//! Functions of bits, against what the notation of bits in Erlang gives.

use super::value;

#[test]
fn bits_of_whole_numbers() {
    let payload = br#"{"one":1,"f":1.5,"m":-8}"#;
    for (expression, expected) in [
        ("bitnot(10)", "-11"),
        ("bitand(10, 8)", "8"),
        ("bitor(10, 8)", "10"),
        ("bitxor(10, 8)", "2"),
        ("bitsl(8, 2)", "32"),
        ("bitsr(8, 2)", "2"),
        ("bitsr(payload.m, 1)", "-4"),
        ("bitsr(payload.m, 100)", "-1"),
        ("bitsr(8, 100)", "0"),
        ("bitsl(payload.one, 62)", "4611686018427387904"),
        ("bitsl(payload.one, 63)", "R0305"),
        ("bitsl(payload.one, 1000)", "R0305"),
        ("bitsl(-1, 63)", "-9223372036854775808"),
        ("bitsl(0, 1000)", "0"),
        ("bitsl(8, -2)", "2"),
        ("bitsr(8, -2)", "32"),
        ("bitsr(0, -9223372036854775807)", "0"),
        ("bitand(payload.f, 1)", "R0306"),
        ("bitand('a', 1)", "R0111"),
        ("bitand(1)", "R0110"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn sizes_count_bytes_and_not_characters() {
    for (expression, payload, expected) in [
        ("bitsize('abc')", &b""[..], "24"),
        ("bytesize('grün')", b"", "5"),
        ("bytesize('')", b"", "0"),
        ("bitsize(payload)", b"\xff\xfe", "16"),
        ("bytesize(payload)", b"\xff\xfe\x00", "3"),
        ("bytesize(1)", b"", "R0111"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}

#[test]
fn parts_of_bytes_as_numbers() {
    for (expression, payload, expected) in [
        ("subbits('abc', 9, 16, 'integer', 'signed', 'little')", &b""[..], "25442"),
        ("subbits('abc', 9, 16, 'integer', 'signed', 'big')", b"", "25187"),
        ("subbits(payload, 1, 16, 'integer', 'signed', 'big')", b"\x9f\x4e\x58", "-24754"),
        ("subbits(payload, 1, 16, 'integer', 'unsigned', 'big')", b"\x9f\x4e\x58", "40782"),
        ("subbits(payload, 1, 16, 'integer', 'signed')", b"\x9f\x4e\x58", "-24754"),
        ("subbits(payload, 1, 16, 'integer')", b"\x9f\x4e\x58", "40782"),
        ("subbits('abc', 8)", b"", "97"),
        ("subbits(payload, 1)", b"\xff", "1"),
        ("subbits(payload, 3)", b"\xff", "7"),
        ("subbits(payload, 8)", b"\xff", "255"),
        ("subbits(payload, 2, 3)", b"\xff", "7"),
        // Where fewer bits are left, these are taken.
        ("subbits(payload, 2, 8)", b"\xff", "127"),
        ("subbits(payload, 99)", b"\x01\x00", "256"),
        ("subbits(payload, 0)", b"\xff", "0"),
        // Behind the end and in front of the start there is nothing.
        ("subbits(payload, 9, 1)", b"\xff", "null"),
        ("subbits(payload, 0, 1)", b"\xff", "null"),
        ("subbits(payload, -5, 1)", b"\xff", "null"),
        ("subbits('', 8)", b"", "null"),
        ("subbits(payload, 5, 8)", b"\xab\xcd", "188"),
        ("subbits(payload, 5, 12)", b"\xab\xcd", "3021"),
        // In the little order the last octet, of fewer bits, is the highest: 0xBC, then 0xD.
        ("subbits(payload, 5, 12, 'integer', 'unsigned', 'little')", b"\xab\xcd", "3516"),
        ("subbits(payload, 5, 12, 'integer', 'signed', 'little')", b"\xab\xcd", "-580"),
        ("subbits(payload, 1, 32, 'integer', 'signed', 'big')", b"\xff\xff\xfe\x38", "-456"),
        ("subbits(payload, 1, 64)", b"\x7f\xff\xff\xff\xff\xff\xff\xff", "9223372036854775807"),
        ("subbits(payload, 1, 64)", b"\x80\x00\x00\x00\x00\x00\x00\x00", "R0305"),
        ("subbits(payload, 1, 64, 'integer', 'signed')", b"\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
        ("subbits(payload, 1, 72)", b"\x00\x00\x00\x00\x00\x00\x00\x01\x00", "256"),
        ("subbits(payload, 1, 72, 'integer', 'signed')", b"\xff\xff\xff\xff\xff\xff\xff\xff\xfe", "-2"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression} {payload:x?}");
    }
}

#[test]
fn parts_of_bytes_as_floats_and_bytes() {
    for (expression, payload, expected) in [
        ("subbits(payload, 1, 64, 'float')", &5.3_f64.to_be_bytes()[..], "5.3"),
        ("subbits(payload, 1, 64, 'float', 'signed', 'little')", &(-5.3_f64).to_le_bytes(), "-5.3"),
        ("subbits(payload, 1, 32, 'float')", &1.5_f32.to_be_bytes(), "1.5"),
        ("subbits(payload, 9, 32, 'float', 'unsigned', 'little')", b"\x00\x00\x00\xc0\x3f", "1.5"),
        ("subbits(payload, 1, 16, 'float')", b"\x3e\x00", "1.5"),
        ("subbits(payload, 1, 16, 'float')", b"\x80\x01", "-5.960464477539063e-8"),
        ("subbits(payload, 1, 16, 'float')", b"\x7c\x00", "R0305"),
        ("subbits(payload, 1, 32, 'float')", b"\x7f\xc0\x00\x00", "R0305"),
        ("subbits(payload, 1, 24, 'float')", b"abc", "R0313"),
        ("subbits('abc', 9, 8, 'bits')", b"", "\"b\""),
        ("subbits('abc', 9, 99, 'bits', 'signed', 'little')", b"", "\"bc\""),
        ("bytesize(subbits(payload, 1, 8, 'bits'))", b"\xff\xfe", "1"),
        ("subbits(subbits(payload, 3, 16, 'bits'), 16)", b"\x3f\xff\x7f", "65533"),
        // Bits that are no whole bytes keep their number.
        ("subbits(subbits(payload, 1, 4, 'bits'), 8)", b"\xf0", "15"),
        ("subbits(subbits(payload, 1, 12, 'bits'), 16)", b"\xab\xcd", "2748"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression} {payload:x?}");
    }
}

#[test]
fn wrong_words_and_kinds_are_refused() {
    let payload = br#"{"w":"sideways","m":-1,"t":"abc"}"#;
    for (expression, expected) in [
        ("subbits('abc', 1, 8, 'text')", "R0115"),
        ("subbits('abc', 1, 8, 'integer', 'positive')", "R0115"),
        ("subbits('abc', 1, 8, 'integer', 'signed', 'middle')", "R0115"),
        ("subbits(payload.t, 1, 8, 'integer', 'signed', payload.w)", "R0313"),
        ("subbits(payload.t, 1, -8)", "R0115"),
        ("subbits(payload.t, 1, payload.m)", "R0313"),
        ("subbits(payload.t, payload.m)", "R0313"),
        ("subbits(payload.t, 'x')", "R0111"),
        ("subbits(payload.t)", "R0110"),
        ("subbits(payload.none, 1)", "R0306"),
        ("subbits(payload.m, 1)", "R0306"),
    ] {
        assert_eq!(value(expression, payload), expected, "{expression}");
    }
}
