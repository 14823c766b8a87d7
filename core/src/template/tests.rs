//! What templates write, and what is refused.

use std::sync::Arc;

use super::*;
use crate::value::Row;

fn record(columns: &[(&str, Value<'_>)]) -> Record {
    let mut row = Row::default();
    for (_, value) in columns {
        row.push(value).expect("small");
    }
    let names = columns.iter().map(|(name, _)| (*name).into()).collect();
    row.record(&Arc::new(Columns::new(names)), 0, 0)
}

fn sample() -> Record {
    let list = Value::List(vec![Value::Int(1), Value::Map(vec![("x".into(), Value::text("y"))])]);
    let map = Value::Map(vec![
        ("b".into(), list),
        ("naïve key".into(), Value::Bool(true)),
        ("twice".into(), Value::Int(1)),
        ("twice".into(), Value::Int(2)),
    ]);
    record(&[
        ("t", Value::Float(21.5)),
        ("none", Value::Null),
        ("payload", Value::text(r#"{"x": {"y": [10, 20.0, "é\n"]}, "s": "{\"deep\": 1}"}"#)),
        ("a", map),
        ("raw", Value::Bytes(b"\xff\x00".as_slice().into())),
        ("words", Value::text("not JSON")),
        ("a.b", Value::Int(7)),
    ])
}

fn rendered(template: &str) -> String {
    let record = sample();
    let mut template = Template::parse(template).expect("a good template");
    template.bind(&[record.columns()]).expect("its columns are there");
    let mut out = Vec::new();
    template.render(&record, &mut out, &mut 10_000).expect("it is small");
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn a_template_writes_values_where_it_names_them() {
    for (template, text) in [
        ("", ""),
        ("plain $ text $", "plain $ text $"),
        ("$${t}$${", "${t}${"),
        ("${t}", "21.5"),
        ("a/${.t}/b", "a/21.5/b"),
        ("${none}|${none:-n/a}|${a.nothing:-0}|${a.b[9]}", "|n/a|0|"),
        ("${a.b[1]},${a.b[-1].x},${a.b[2]}", "1,y,{\"x\":\"y\"}"),
        ("${a.naïve key}${a.'naïve key'}", "truetrue"),
        ("${a.twice}", "2"),
        ("${'a.b'}", "7"),
        ("${payload.x.y[1]} ${payload.x.y[2]} ${payload.x.y[3]}", "10 20.0 é\n"),
        ("${payload.s.deep}", "1"),
        ("${payload.x}", "{\"y\":[10,20.0,\"é\\n\"]}"),
        ("${words.x:-no}${t.x:-no}${raw.x:-no}", "nonono"),
        ("${words:-unused}", "not JSON"),
        ("${t:-}", "21.5"),
        ("${none:- a:b ${ }", " a:b ${ "),
    ] {
        assert_eq!(rendered(template), text, "{template}");
    }
}

#[test]
fn the_whole_row_is_json_and_bytes_are_written_as_they_are() {
    let row = record(&[("t", Value::Int(1)), ("s", Value::text("\"")), ("n", Value::Null)]);
    let render = |record: &Record, text: &str| {
        let mut out = Vec::new();
        Template::parse(text).expect("good").render(record, &mut out, &mut 1000).expect("small");
        out
    };
    assert_eq!(render(&row, "${.}"), br#"{"t":1,"s":"\"","n":null}"#);
    assert_eq!(Template::whole_row().value(&row, &mut 10).expect("small"), row.to_map());
    assert_eq!(render(&sample(), "<${raw}>"), b"<\xff\x00>");
}

#[test]
fn one_value_alone_keeps_its_type() {
    let record = sample();
    let value = |text: &str| Template::parse(text).expect("good").value(&record, &mut 1000).expect("small");
    assert_eq!(value("${t}"), Value::Float(21.5));
    assert_eq!(value("${payload.x.y[1]}"), Value::Int(10));
    assert_eq!(value("${none:-2}"), Value::text("2"));
    assert_eq!(value("${none}"), Value::Null);
    assert_eq!(value("${raw}"), Value::Bytes(b"\xff\x00".as_slice().into()));
    assert!(!Template::parse(" ${t}").expect("good").is_value());
}

#[test]
fn what_is_no_template_is_refused_with_its_place() {
    for (text, code, span) in [
        ("a/${t", "R0201", 2..5),
        ("a/${t:-x", "R0201", 2..8),
        ("${'t}", "R0201", 0..5),
        ("${}", "R0202", 0..3),
        ("${a..b}", "R0202", 0..5),
        ("${.:-}x${:-x}", "R0202", 7..10),
        ("${'a'b}", "R0202", 5..6),
        ("${a[0]}", "R0203", 3..6),
        ("${a[x]}", "R0203", 3..6),
        ("${a[1", "R0203", 3..5),
        ("é${ö[1]ü}", "R0202", 9..11),
    ] {
        let error = Template::parse(text).expect_err(text);
        assert_eq!((error.code, error.span.clone()), (code, span), "{text} {error:?}");
        assert!(!error.help.is_empty());
    }
    assert_eq!(Template::parse(&"x".repeat(TEMPLATE_BYTES_MAX + 1)).expect_err("long").code, "R0205");
    assert_eq!(Template::parse(&"${a}".repeat(VALUES_MAX + 1)).expect_err("many").code, "R0205");
    let deep = format!("${{a{}}}", ".b".repeat(STEPS_MAX + 1));
    assert_eq!(Template::parse(&deep).expect_err("deep").code, "R0205");
}

#[test]
fn a_column_that_is_not_there_is_refused_with_the_nearest() {
    let columns = Columns::new(vec!["clientid".into(), "topic".into()]);
    let refused = |text: &str| Template::parse(text).expect("read").bind(&[&columns]).expect_err("no such column");
    let near = refused("x ${clientId.x}${client_id}");
    assert_eq!((near.code, near.span, near.help.as_str()), ("R0204", 4..14, "did you mean `clientid`?"));
    assert_eq!(refused("${temperature}").help, "the rule makes `clientid`, `topic`");
    let more = Columns::new(vec!["topic".into(), "reason".into()]);
    let mut template = Template::parse("${reason}${clientid}").expect("read");
    assert_eq!(template.bind(&[&columns, &more]), Ok(()));
}

#[test]
fn a_row_with_other_columns_than_those_it_was_bound_to_is_searched_by_name() {
    let one = record(&[("a", Value::Int(1)), ("b", Value::Int(2))]);
    let other = record(&[("b", Value::Int(3))]);
    let mut template = Template::parse("${a:-no}${b}").expect("good");
    template.bind(&[one.columns()]).expect("both are there");
    let mut out = Vec::new();
    template.render(&one, &mut out, &mut 100).expect("small");
    template.render(&other, &mut out, &mut 100).expect("small");
    assert_eq!(out, b"12no3");
}

#[test]
fn rendering_stops_at_its_allowance() {
    let text = "x".repeat(1000);
    let big = record(&[("a", Value::text(&text)), ("l", Value::List(vec![Value::text(&text)]))]);
    let render = |template: &str, mut allowance: usize| {
        Template::parse(template).expect("good").render(&big, &mut Vec::new(), &mut allowance)
    };
    assert_eq!(render("${a}", 1000), Ok(()));
    assert_eq!(render("${a}", 999), Err(TooLarge));
    assert_eq!(render("${l}", 1003), Err(TooLarge));
    // Looking through a text costs as much as writing it.
    assert_eq!(render("${a.x}", 999), Err(TooLarge));
    assert_eq!(render("0123456789", 9), Err(TooLarge));
}
