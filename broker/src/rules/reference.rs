//! `millrace rules reference`: the page `docs/rules-reference.md`, made of the tables that check rules.

use std::fmt::Write as _;

use millrace_rules::codes;
use millrace_rules::fields::{Event, FieldInfo};
use millrace_rules::functions;

use super::vocabulary::{about, signature};

const HEAD: &str = "# Reference of rules

Made by `millrace rules reference` from the tables that check rules; do not edit it by hand. `millrace rules functions`
and `millrace rules events` print the same, `millrace rules test --sql … --event …` tries it.
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    events(&mut page);
    functions(&mut page);
    codes(&mut page);
    page
}

// Writing to a String cannot fail, here and below.

fn events(page: &mut String) {
    page.push_str(
        "\n## Events\n\nFROM names Topic Filters, for messages, and the topics of events. `SELECT *` gives the fields above \
         the empty row of a table; those below it only come by name.\n",
    );
    for info in Event::all() {
        let _ = write!(page, "\n### {}\n\n{}", info.name, about(info));
        if let [first, rest @ ..] = info.topics {
            let rest = rest.iter().fold(String::new(), |text, topic| format!("{text} or `{topic}`"));
            let _ = write!(page, " FROM `{first}`{rest}.");
        }
        page.push_str("\n\n| field | type | |\n| --- | --- | --- |\n");
        let row = |page: &mut String, field: &FieldInfo| {
            let _ = writeln!(page, "| `{}` | {} | {} |", field.name, field.ty, cell(field.about));
        };
        info.event.fields().for_each(|field| row(page, field));
        page.push_str("| | | |\n");
        info.event.fields_by_name().for_each(|field| row(page, field));
    }
}

fn functions(page: &mut String) {
    page.push_str(
        "\n## Functions\n\nArguments in brackets may be left out; `…` means again and again. An argument of another type \
         fails: when the rule is saved if that is known then, otherwise for that event.\n\n| function | |\n| --- | --- |\n",
    );
    for function in functions::all() {
        let _ = writeln!(page, "| `{}` | {} |", cell(&signature(function)), cell(function.about));
    }
}

fn codes(page: &mut String) {
    page.push_str(
        "\n## Codes\n\n`millrace explain CODE` says the same.\n\n| code | kind | cause | example | mended |\n| --- | --- | --- \
         | --- | --- |\n",
    );
    for code in codes::CODES {
        let kind = codes::kind(code.code).map(|kind| format!("{kind:?}").to_lowercase()).unwrap_or_default();
        let sql = |sql: &str| if sql.is_empty() { String::new() } else { format!("`{}`", cell(sql)) };
        let payload = code.payload.filter(|payload| !payload.is_empty());
        let payload = payload.map(|payload| format!(" with `{}`", cell(payload))).unwrap_or_default();
        let _ = writeln!(
            page,
            "| {} | {kind} | {} | {}{payload} | {} |",
            code.code,
            cell(code.cause),
            sql(code.example),
            sql(code.mended)
        );
    }
}

/// Text in a cell of a table: a bar would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
