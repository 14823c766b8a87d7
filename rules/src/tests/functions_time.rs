//! Functions of dates and times. The event is of 2022-05-26T10:40:12Z.

use super::fuzz::Random;
use super::{evaluate, event, value};
use crate::{Input, Rules, Scratch};

fn constant(expression: &str) -> String {
    value(expression, b"")
}

#[test]
fn now_is_the_moment_of_the_event() {
    assert_eq!(constant("now_timestamp()"), "1653561612");
    assert_eq!(constant("now_timestamp('second')"), "1653561612");
    assert_eq!(constant("now_timestamp('millisecond')"), "1653561612000");
    assert_eq!(constant("now_timestamp('microsecond')"), "1653561612000000");
    assert_eq!(constant("now_timestamp('nanosecond')"), "1653561612000000000");
    assert_eq!(constant("timestamp_s()"), "1653561612");
    assert_eq!(constant("timestamp_ms()"), "1653561612000");
    assert_eq!(constant("rfc3339_to_unix_ts(now_rfc3339())"), "1653561612");
    assert_eq!(constant("rfc3339_to_unix_ts(now_rfc3339('millisecond'), 'millisecond')"), "1653561612000");
    assert_eq!(
        constant("format_date('millisecond', 'Z', '%Y-%m-%dT%H:%M:%S.%3N%:z')"),
        "\"2022-05-26T10:40:12.000+00:00\""
    );
    // A moment that is no whole second.
    let mut rules =
        Rules::compile(&[("r", super::config("SELECT now_timestamp() AS s, mongo_date() AS d FROM \"t\""))])
            .expect("a rule");
    let mut scratch = Scratch::default();
    let mut late = event("t", b"");
    late.unix_ms += 999;
    let row = evaluate(&mut rules, &Input::publish(late, &mut scratch));
    assert_eq!(row, "{\"s\":1653561612,\"d\":{\"$date\":\"2022-05-26T10:40:12.999Z\"}}");
    late.unix_ms = u64::MAX;
    assert_eq!(evaluate(&mut rules, &Input::publish(late, &mut scratch)), "R0305");
}

#[test]
fn dates_are_written_by_a_pattern() {
    for (expression, expected) in [
        ("format_date('second', '+0800', '%Y-%m-%d %H:%M:%S%:z', 1653561612)", "2022-05-26 18:40:12+08:00"),
        ("format_date('second', '+08:00', '%Y-%m-%d %H:%M:%S%z', 1653561612)", "2022-05-26 18:40:12+0800"),
        ("format_date('second', 28800, '%H:%M%::z', 1653561612)", "18:40+08:00:00"),
        ("format_date('second', '28800', '%H:%M', 1653561612)", "18:40"),
        ("format_date('second', '-01:30:15', '%H:%M:%S%::z', 1653561612)", "09:09:57-01:30:15"),
        ("format_date('second', 'z', '%Y%m%d', 951782400)", "20000229"),
        ("format_date('second', 'Z', '%Y-%m-%d', 4107542400)", "2100-03-01"),
        ("format_date('second', 'Z', '%Y-%m-%d', -1)", "1969-12-31"),
        ("format_date('millisecond', 'Z', '%S.%3N', -1)", "59.999"),
        ("format_date('millisecond', 'Z', '%3N %6N %N', 1653561612123)", "123 123000 123000000"),
        ("format_date('nanosecond', 'Z', '%3N %6N %N', 1653561612123456789)", "123 123456 123456789"),
        ("format_date('second', 'Z', '100% %%, %-, grün', 0)", "100% %%, %-, grün"),
        ("format_date('second', 'Z', '', 0)", ""),
    ] {
        assert_eq!(constant(expression), format!("\"{expected}\""), "{expression}");
    }
}

#[test]
fn dates_are_read_by_a_pattern() {
    for (expression, expected) in [
        ("date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S%:z', '2022-05-26 18:40:12+08:00')", "1653561612"),
        ("date_to_unix_ts('second', '+0800', '%Y-%m-%d %H:%M:%S', '2022-05-26 18:40:12')", "1653561612"),
        ("date_to_unix_ts('second', 28800, '%Y-%m-%d %H:%M:%S', '2022-05-26 18:40:12')", "1653561612"),
        // What stands in the text counts.
        ("date_to_unix_ts('second', '-03:00', '%Y-%m-%d %H:%M:%S%z', '2022-05-26 18:40:12+0800')", "1653561612"),
        ("date_to_unix_ts('millisecond', '%Y-%m-%d %H:%M:%S.%3N', '2022-05-26 10:40:12.123')", "1653561612123"),
        ("date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S.%N', '1969-12-31 23:59:59.999999999')", "-1"),
        ("date_to_unix_ts('nanosecond', '%Y-%m-%d %H:%M:%S.%N', '1969-12-31 23:59:59.999999999')", "-1"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '2024-02-29')", "1709164800"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '2000-02-29')", "951782400"),
        ("date_to_unix_ts('second', '%Y', '1900')", "-2208988800"),
        ("date_to_unix_ts('second', '%H:%M', '01:00')", "3600"),
        ("date_to_unix_ts('second', '%Y-%m-%d', payload)", "R0307"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '2023-02-29')", "R0307"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '1900-02-29')", "R0307"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '2022-13-01')", "R0307"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '2022-05-26x')", "R0307"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '22-05-26')", "R0307"),
        ("date_to_unix_ts('second', '%H:%M', '24:00')", "R0307"),
        ("date_to_unix_ts('second', '%Y', '+999')", "R0307"),
        ("date_to_unix_ts('second', '%Y', 'äö')", "R0307"),
        ("date_to_unix_ts('nanosecond', '%Y', '9999')", "R0305"),
        ("date_to_unix_ts('second', '%Y', '0000')", "-62167219200"),
        ("date_to_unix_ts('second', '+23:59', '%Y', '0000')", "R0307"),
    ] {
        let found = constant(expression);
        assert!(found == expected || expected.starts_with('R') && found == "R0114", "{expression} {found}");
    }
}

#[test]
fn dates_of_rfc_3339_are_read_and_written() {
    for (text, unit, expected) in [
        ("2022-05-26T18:40:12+08:00", "second", "1653561612"),
        ("2022-05-26t10:40:12z", "second", "1653561612"),
        ("2022-05-26 10:40:12.5Z", "second", "1653561612"),
        ("2022-05-26T10:40:12.5Z", "millisecond", "1653561612500"),
        ("2022-05-26T10:40:12.1234567891Z", "nanosecond", "1653561612123456789"),
        ("1969-12-31T23:59:59.25Z", "millisecond", "-750"),
        ("0000-01-01T00:00:00Z", "second", "-62167219200"),
        ("9999-12-31T23:59:59Z", "second", "253402300799"),
    ] {
        let found =
            value("rfc3339_to_unix_ts(payload.t, payload.u)", format!(r#"{{"t":"{text}","u":"{unit}"}}"#).as_bytes());
        assert_eq!(found, expected, "{text}");
    }
    for wrong in [
        "",
        "2022-05-26",
        "2022-05-26T10:40:12",
        "2022-05-26T10:40:12+0800",
        "2022-05-26T10:40:12+24:00",
        "2022-05-26T10:40Z",
        "2022-05-26T10:40:60Z",
        "2022-02-30T10:40:12Z",
        "2022-05-26T10:40:12.Z",
        "2022-05-26X10:40:12Z",
        "９９９９-05-26T10:40:12Z",
        "2022-05-26T10:40:12Z ",
        "9999-12-31T23:59:59-01:00",
    ] {
        assert_eq!(value("rfc3339_to_unix_ts(payload)", wrong.as_bytes()), "R0307", "{wrong}");
    }
    for unit in ["second", "millisecond", "microsecond", "nanosecond"] {
        for count in [0_i64, 1, -1, 1_653_561_612, -1_653_561_612_345] {
            let back = format!("rfc3339_to_unix_ts(unix_ts_to_rfc3339({count}, '{unit}'), '{unit}')");
            let expected = if count < -62_167_219_200 && unit == "second" { "R0305".into() } else { count.to_string() };
            let found = constant(&back);
            assert!(found == expected || found == "R0114" && expected == "R0305", "{back} {found}");
        }
    }
}

#[test]
fn offsets_come_in_many_forms() {
    for (offset, expected) in [
        ("'Z'", "0"),
        ("'z'", "0"),
        ("'+08:00'", "28800"),
        ("'-01:30'", "-5400"),
        ("'+08:00:05'", "28805"),
        ("'+0800'", "28800"),
        ("'-0130'", "-5400"),
        ("28800", "28800"),
        ("'28800'", "28800"),
        ("-3600", "-3600"),
        ("'+23:59:59'", "86399"),
        ("-86399", "-86399"),
    ] {
        assert_eq!(constant(&format!("timezone_to_second({offset})")), expected, "{offset}");
        assert_eq!(constant(&format!("timezone_to_offset_seconds({offset})")), expected, "{offset}");
    }
    for wrong in [
        "",
        "+080000",
        "+8:00",
        "+24:00",
        "+08:60",
        "UTC",
        "+08:00 ",
        "86400",
        "-3600",
        "-99999999999999999999",
        "＋08:00",
    ] {
        assert_eq!(value("timezone_to_second(payload)", wrong.as_bytes()), "R0307", "{wrong}");
    }
    let local = constant("timezone_to_second('local')").parse::<i64>().expect("seconds");
    let shown = constant("format_date('second', 'local', '%Y-%m-%d %H:%M:%S')");
    assert_eq!(shown, constant(&format!("format_date('second', {local}, '%Y-%m-%d %H:%M:%S')")));
    assert_eq!(
        constant(&format!("date_to_unix_ts('second', 'local', '\"%Y-%m-%d %H:%M:%S\"', '{shown}')")),
        "1653561612"
    );
}

#[test]
fn a_date_for_mongodb_is_extended_json() {
    assert_eq!(constant("mongo_date()"), r#"{"$date":"2022-05-26T10:40:12.000Z"}"#);
    assert_eq!(constant("mongo_date(1653561612123)"), r#"{"$date":"2022-05-26T10:40:12.123Z"}"#);
    assert_eq!(constant("mongo_date(1653561612, 'second')"), r#"{"$date":"2022-05-26T10:40:12.000Z"}"#);
    assert_eq!(constant("mongo_date(-1)"), r#"{"$date":"1969-12-31T23:59:59.999Z"}"#);
}

#[test]
fn constants_that_mean_nothing_are_refused_when_the_rule_is_saved() {
    for wrong in [
        "now_timestamp('seconds')",
        "now_rfc3339('')",
        "unix_ts_to_rfc3339(1, 'ms')",
        "rfc3339_to_unix_ts('yesterday')",
        "rfc3339_to_unix_ts(payload, 'day')",
        "format_date('minute', 'Z', '%Y')",
        "format_date('second', 'CET', '%Y')",
        "format_date('second', 90000, '%Y')",
        "format_date('second', 'Z', '%y')",
        "format_date('second', 'Z', 'at %H:%M %p')",
        "date_to_unix_ts('second', '%d.%B.%Y', payload)",
        "date_to_unix_ts('second', '+25:00', '%Y', payload)",
        "timezone_to_second('+080000')",
        "mongo_date(1, 'hour')",
    ] {
        assert_eq!(value(wrong, b""), "R0115", "{wrong}");
    }
    assert_eq!(value("now_timestamp(payload)", b"seconds"), "R0307");
    assert_eq!(value("format_date('second', payload, '%Y')", b"CET"), "R0307");
    assert_eq!(value("date_to_unix_ts('second', payload.n, 'x')", b"{\"n\":1}"), "R0307");
    assert_eq!(value("unix_ts_to_rfc3339(payload.n)", b"{\"n\":9223372036854775807}"), "R0305");
    assert_eq!(value("unix_ts_to_rfc3339(payload.n)", b"{\"n\":\"1\"}"), "R0306");
}

#[test]
fn what_was_written_is_read_back() {
    const UNITS: [(&str, i64); 4] =
        [("second", 1), ("millisecond", 1_000), ("microsecond", 1_000_000), ("nanosecond", 1_000_000_000)];
    let sql = "SELECT date_to_unix_ts(payload.u, '%Y-%m-%d %H:%M:%S.%N %::z', format_date(payload.u, payload.o, \
               '%Y-%m-%d %H:%M:%S.%N %::z', payload.t)) AS a, rfc3339_to_unix_ts(unix_ts_to_rfc3339(payload.t, payload.u), \
               payload.u) AS b FROM \"t\"";
    let mut rules = Rules::compile(&[("r", super::config(sql))]).expect("a rule");
    let mut scratch = Scratch::default();
    let mut random = Random(41);
    for round in 0..4_000 {
        let (unit, per_second) = UNITS[round % 4];
        // The whole years 1 to 9998, or what 64 bits of nanoseconds hold.
        let (first, last) = if per_second == 1_000_000_000 {
            (-9_000_000_000, 9_000_000_000)
        } else {
            (-62_135_596_800, 253_370_764_800)
        };
        let span = usize::try_from(last - first).expect("positive");
        let seconds = first + i64::try_from(random.below(span)).expect("small");
        let count = seconds * per_second + i64::try_from(random.below(per_second as usize)).expect("small");
        let offset = i64::try_from(random.below(2 * 86_400 - 1)).expect("small") - 86_399;
        let payload = format!("{{\"t\":{count},\"u\":\"{unit}\",\"o\":{offset}}}");
        let row = evaluate(&mut rules, &Input::publish(event("t", payload.as_bytes()), &mut scratch));
        assert_eq!(row, format!("{{\"a\":{count},\"b\":{count}}}"), "{payload}");
    }
}
