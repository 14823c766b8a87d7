//! `millrace rules functions` and `millrace rules events`: what rules can name, from the tables that check them.

use std::fmt::Write as _;

use millrace_rules::fields::{Event, EventInfo, FieldInfo};
use millrace_rules::functions::{self, Function};
use serde_json::{Value, json};

use super::usage;
use crate::diagnostics::{nearest, printable};
use crate::exit::Exit;
use crate::out::say;

/// `name(param type, …) -> type`.
#[must_use]
pub fn signature(function: &Function) -> String {
    let mut params = String::new();
    for (at, param) in function.params.iter().enumerate() {
        let optional = at >= function.required;
        let comma = if at > 0 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(params, "{}{comma}{} {}", if optional { "[" } else { "" }, param.name, param.ty);
    }
    if function.repeats {
        params.push_str(", …");
    }
    let optional = function.params.len().saturating_sub(function.required);
    format!("{}({params}{}) -> {}", function.name, "]".repeat(optional), function.returns)
}

/// Runs `rules functions`.
#[must_use]
pub fn functions(name: Option<&str>, json: bool) -> Exit {
    let wanted = name.unwrap_or_default().to_lowercase();
    let mut found: Vec<&Function> = functions::all().filter(|function| function.name == wanted).collect();
    if found.is_empty() {
        found = functions::all().filter(|function| function.name.contains(&wanted)).collect();
    }
    if found.is_empty() {
        let hint = match nearest(&wanted, functions::all().map(|function| function.name)) {
            Some(near) => format!("did you mean {near}?"),
            None => "`millrace rules functions` lists them".to_owned(),
        };
        return usage(&format!("there is no function {}; {hint}", printable(&wanted)));
    }
    if json {
        let all: Vec<Value> = found.into_iter().map(function_data).collect();
        say(&format!("{:#}\n", Value::Array(all)));
    } else if let [function] = &found[..] {
        say(&format!("{}\n\n  {}\n", signature(function), function.about));
    } else {
        let width = found.iter().map(|function| function.name.len()).max().unwrap_or(0);
        say(&found.iter().fold(String::new(), |mut text, function| {
            let _ = writeln!(text, "{:width$}  {}", function.name, function.about);
            text
        }));
    }
    Exit::Done
}

fn function_data(function: &Function) -> Value {
    let params: Vec<Value> =
        function.params.iter().map(|param| json!({"name": param.name, "type": param.ty.to_string()})).collect();
    json!({
        "name": function.name,
        "signature": signature(function),
        "params": params,
        "required": function.required,
        "repeats": function.repeats,
        "returns": function.returns.to_string(),
        "about": function.about,
    })
}

/// Runs `rules events`.
#[must_use]
pub fn events(name: Option<&str>, json: bool) -> Exit {
    let found: Vec<&EventInfo> = match name {
        None => Event::all().collect(),
        Some(name) => match Event::named(name) {
            Some(event) => vec![event.info()],
            None => Event::matching(name).map(Event::info).collect(),
        },
    };
    if found.is_empty() {
        let name = name.unwrap_or_default();
        let known = Event::all().flat_map(|info| info.topics.iter().copied().chain([info.name]));
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean {near}?"),
            None => "`millrace rules events` lists them".to_owned(),
        };
        return usage(&format!("there is no event {}; {hint}", printable(name)));
    }
    if json {
        let all: Vec<Value> = found.into_iter().map(event_data).collect();
        say(&format!("{:#}\n", Value::Array(all)));
    } else if let [info] = &found[..] {
        say(&event_words(info));
    } else {
        let from: Vec<&str> =
            found.iter().map(|info| info.topics.first().copied().unwrap_or("a topic filter")).collect();
        let width = from.iter().map(|from| from.len()).max().unwrap_or(0);
        say(&found.iter().zip(from).fold(String::new(), |mut text, (info, from)| {
            let _ = writeln!(text, "{from:width$}  {}", about(info));
            text
        }));
    }
    Exit::Done
}

/// When it happens; with a word if it never does in this version.
#[must_use]
pub fn about(info: &EventInfo) -> String {
    if info.raised { info.about.to_owned() } else { format!("{} Not raised by this version.", info.about) }
}

fn event_words(info: &EventInfo) -> String {
    let mut text = format!("{}\n\n  {}\n", info.name, about(info));
    let from = match info.topics {
        [] => "FROM \"any/topic/filter\"".to_owned(),
        topics => topics.iter().map(|topic| format!("FROM \"{topic}\"")).collect::<Vec<_>>().join(" or "),
    };
    let _ = writeln!(text, "  {from}\n");
    let fields: Vec<&FieldInfo> = info.event.fields().collect();
    let by_name: Vec<&FieldInfo> = info.event.fields_by_name().collect();
    let width = fields.iter().chain(&by_name).map(|field| field.name.len()).max().unwrap_or(0);
    let types = fields.iter().chain(&by_name).map(|field| field.ty.to_string().len()).max().unwrap_or(0);
    let line = |text: &mut String, field: &FieldInfo| {
        let _ = writeln!(text, "  {:width$}  {:types$}  {}", field.name, field.ty.to_string(), field.about);
    };
    fields.iter().for_each(|field| line(&mut text, field));
    text.push_str("\nnot among *, only by name:\n");
    by_name.iter().for_each(|field| line(&mut text, field));
    text
}

fn event_data(info: &EventInfo) -> Value {
    let field = |field: &FieldInfo, in_star: bool| json!({"name": field.name, "type": field.ty.to_string(), "about": field.about, "in_star": in_star});
    let fields: Vec<Value> = info
        .event
        .fields()
        .map(|info| field(info, true))
        .chain(info.event.fields_by_name().map(|info| field(info, false)))
        .collect();
    json!({
        "name": info.name,
        "from": info.topics,
        "about": info.about,
        "raised": info.raised,
        "fields": fields,
    })
}
