//! What each code means: cause, a rule that gets it, the same rule mended. For `millrace explain` and the documentation.

/// One code.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// `R` and four digits: R00 the text cannot be read, R01 it does not make sense, R03 it failed for a message.
    pub code: &'static str,
    /// What is behind it.
    pub cause: &'static str,
    /// A rule that gets it; empty where only a very long one would.
    pub example: &'static str,
    /// A payload for which the example fails, if it is about messages; empty where only a very large one does.
    pub payload: Option<&'static str>,
    /// The example, mended.
    pub mended: &'static str,
}

const fn text(code: &'static str, cause: &'static str, example: &'static str, mended: &'static str) -> Code {
    Code { code, cause, example, payload: None, mended }
}

const fn message(
    code: &'static str,
    cause: &'static str,
    example: &'static str,
    payload: &'static str,
    mended: &'static str,
) -> Code {
    Code { code, cause, example, payload: Some(payload), mended }
}

/// All codes of rules, in order.
pub const CODES: &[Code] = &[
    text(
        "R0001",
        "A character that means nothing outside of quotes.",
        "SELECT * FROM sensors/#",
        "SELECT * FROM \"sensors/#\"",
    ),
    text(
        "R0002",
        "A quote that is never closed. Inside quotes, the quote itself is written twice.",
        "SELECT 'it's' AS a FROM \"t\"",
        "SELECT 'it''s' AS a FROM \"t\"",
    ),
    text(
        "R0003",
        "Something else was expected here. A rule is SELECT fields FROM \"topic/filter\" WHERE condition.",
        "SELECT topic WHERE qos = 1",
        "SELECT topic FROM \"t\" WHERE qos = 1",
    ),
    text(
        "R0004",
        "Digits that are no number: too large for 64 bits with sign or for a float, or grown together with a name.",
        "SELECT 99999999999999999999 AS a FROM \"t\"",
        "SELECT 99999999999999999999.0 AS a FROM \"t\"",
    ),
    text("R0005", "More than 100 expressions or names lie inside each other.", "", "SELECT (1) AS a FROM \"t\""),
    text(
        "R0006",
        "The rule is over a limit: 64 KiB of text or 4,000 expressions. That bounds what one message can cost.",
        "",
        "SELECT * FROM \"t\"",
    ),
    text(
        "R0101",
        "A bare name that is neither a field of the event nor a name given by AS further left. Members of a JSON payload are written payload.name.",
        "SELECT temp FROM \"t\"",
        "SELECT payload.temp FROM \"t\"",
    ),
    text(
        "R0102",
        "Double quotes name a field; text stands in single quotes.",
        "SELECT * FROM \"t\" WHERE payload.level = \"high\"",
        "SELECT * FROM \"t\" WHERE payload.level = 'high'",
    ),
    text(
        "R0103",
        "There is no function of this name.",
        "SELECT uper(topic) AS a FROM \"t\"",
        "SELECT upper(topic) AS a FROM \"t\"",
    ),
    text(
        "R0104",
        "Not a topic filter: + and # are whole levels, # only the last.",
        "SELECT * FROM \"sensors/#/temp\"",
        "SELECT * FROM \"sensors/+/temp\"",
    ),
    text(
        "R0105",
        "An event that there is not. After FROM stand topic filters and events such as $events/client_connected.",
        "SELECT * FROM \"$events/client_conected\"",
        "SELECT * FROM \"$events/client_connected\"",
    ),
    text(
        "R0106",
        "Only a warning: a column that is computed and has no name is called by its own text.",
        "SELECT payload.a + 1 FROM \"t\"",
        "SELECT payload.a + 1 AS a FROM \"t\"",
    ),
    text(
        "R0107",
        "A column is given a value and parts at the same time.",
        "SELECT topic AS a, qos AS a.b FROM \"t\"",
        "SELECT topic AS a.t, qos AS a.b FROM \"t\"",
    ),
    text(
        "R0108",
        "Only a warning: this version has no part that makes the event happen, so that the rule never runs for it.",
        "SELECT * FROM \"$events/client_check_authn_complete\"",
        "SELECT * FROM \"$events/client_connack\"",
    ),
    text(
        "R0110",
        "Too many or too few arguments for the function.",
        "SELECT lower(topic, clientid) AS a FROM \"t\"",
        "SELECT lower(topic) AS a FROM \"t\"",
    ),
    text(
        "R0111",
        "A value of a kind that this operator or function never takes.",
        "SELECT clientid - 1 AS a FROM \"t\"",
        "SELECT int(clientid) - 1 AS a FROM \"t\"",
    ),
    text(
        "R0112",
        "A condition that can never be true or false.",
        "SELECT * FROM \"t\" WHERE username",
        "SELECT * FROM \"t\" WHERE username IS NOT NULL",
    ),
    text(
        "R0113",
        "A path into a value that has no parts.",
        "SELECT qos.level AS a FROM \"t\"",
        "SELECT qos AS a FROM \"t\"",
    ),
    text(
        "R0114",
        "An expression of constants that always fails.",
        "SELECT 1 / 0 AS a FROM \"t\"",
        "SELECT 1 / 2 AS a FROM \"t\"",
    ),
    text(
        "R0115",
        "A constant argument that the function never takes: a pattern that is none, a word that is no option.",
        "SELECT find(topic, 'a', 'last') AS a FROM \"t\"",
        "SELECT find(topic, 'a', 'trailing') AS a FROM \"t\"",
    ),
    message(
        "R0301",
        "A rule looks into a payload that is not JSON: not UTF-8, not one whole JSON text, nested deeper than 128, or with a number that no float holds.",
        "SELECT payload.temp AS t FROM \"t\"",
        "21.5 degrees",
        "SELECT payload AS t FROM \"t\"",
    ),
    message(
        "R0302",
        "Arithmetic with something that is not a number.",
        "SELECT payload.a * 2 AS a FROM \"t\"",
        "{\"b\":1}",
        "SELECT coalesce(payload.a, 0) * 2 AS a FROM \"t\"",
    ),
    message(
        "R0303",
        "A number is compared with a text that holds no number.",
        "SELECT * FROM \"t\" WHERE payload.a > 5",
        "{\"a\":\"n/a\"}",
        "SELECT * FROM \"t\" WHERE is_num(payload.a) AND payload.a > 5",
    ),
    message(
        "R0304",
        "Division by zero.",
        "SELECT 100 / payload.a AS a FROM \"t\"",
        "{\"a\":0}",
        "SELECT 100 / payload.a AS a FROM \"t\" WHERE payload.a != 0",
    ),
    message(
        "R0305",
        "A result beyond 64 bits with sign, or beyond a float.",
        "SELECT payload.a * payload.a AS a FROM \"t\"",
        "{\"a\":9000000000}",
        "SELECT float(payload.a) * payload.a AS a FROM \"t\"",
    ),
    message(
        "R0306",
        "A function was given a value of a kind that it does not take.",
        "SELECT upper(payload.a) AS a FROM \"t\"",
        "{\"a\":1}",
        "SELECT upper(str(payload.a)) AS a FROM \"t\"",
    ),
    message(
        "R0307",
        "A value cannot be converted.",
        "SELECT int(payload.a) AS a FROM \"t\"",
        "{\"a\":\"12a\"}",
        "SELECT payload.a AS a FROM \"t\"",
    ),
    message(
        "R0308",
        "A text or a row would have more than 16 MiB.",
        "SELECT payload AS a, payload AS b FROM \"t\"",
        "",
        "SELECT payload AS a FROM \"t\"",
    ),
    message(
        "R0309",
        "The rule looks through or makes more than 32 MiB for one message: a shard must not stall for one rule.",
        "SELECT concat(payload, payload) AS a, concat(a, a) AS b, concat(b, b) AS c FROM \"t\"",
        "",
        "SELECT payload AS a FROM \"t\"",
    ),
    message(
        "R0310",
        "A slice of something that is not a list.",
        "SELECT payload.a[1..2] AS a FROM \"t\"",
        "{\"a\":5}",
        "SELECT payload.a AS a FROM \"t\"",
    ),
    message(
        "R0311",
        "A slice begins before the first element: its negative bound counts more elements than the list has.",
        "SELECT payload.a[-3..-1] AS a FROM \"t\"",
        "{\"a\":[1,2]}",
        "SELECT payload.a[-2..-1] AS a FROM \"t\"",
    ),
    message(
        "R0312",
        "FOREACH makes more than 10,000 rows of one message.",
        "FOREACH payload DO item AS a FROM \"t\"",
        "",
        "SELECT payload AS a FROM \"t\"",
    ),
    message(
        "R0313",
        "An argument of the right kind with a value that the function does not take: the root of a negative number, a pattern that is none.",
        "SELECT sqrt(payload.a) AS a FROM \"t\"",
        "{\"a\":-1}",
        "SELECT sqrt(abs(payload.a)) AS a FROM \"t\"",
    ),
];

/// What a code means.
#[must_use]
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code.eq_ignore_ascii_case(code))
}
