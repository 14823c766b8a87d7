//! What was found wrong with a key or value, as a diagnostic for people.

use super::de::{Finding, Problem};
use super::keys;
use super::tree::Origin;
use crate::diagnostics::{Diagnostic, nearest};

/// The finding in words, with its place.
#[must_use]
pub fn diagnostic(finding: &Finding) -> Diagnostic {
    let name = finding.path.last().map_or("", String::as_str);
    let dotted = finding.path.join(".");
    match &finding.problem {
        Problem::UnknownKey(keys) => unknown_key(finding, name, keys),
        Problem::Missing(key) => {
            let message = format!("[{dotted}] has no `{key}`");
            Diagnostic::error("C0106", message)
                .at(finding.origin.place().map(|place| place.labelled(format!("`{key}` must be set"))))
        }
        Problem::UnknownChoice(met, choices) => {
            let guess = nearest(met, choices.iter().copied())
                .map(|choice| format!("did you mean `{choice}`? "))
                .unwrap_or_default();
            let allowed = format!("{guess}allowed: {}", choices.join(", "));
            value(finding, "C0103", &format!("{met:?} is not a choice of `{dotted}`"), &allowed)
        }
        Problem::WrongType(met, wanted) => {
            let wanted = keys::wanted(&finding.path, wanted);
            value(finding, "C0102", &format!("`{dotted}` wants {wanted}"), &format!("this is {}", met_in_words(met)))
        }
        Problem::WrongValue(met, wanted) => {
            let wanted = keys::wanted(&finding.path, wanted);
            value(
                finding,
                "C0103",
                &format!("{} is not {wanted}", met_value(met)),
                &format!("`{dotted}` wants {wanted}"),
            )
        }
        Problem::Other(text) if text.contains("IP address") => {
            let wanted = keys::wanted(&finding.path, "an IP address");
            value(finding, "C0103", &format!("`{dotted}` is not {wanted}"), "not an IP address")
        }
        Problem::Other(text) => value(finding, "C0103", &format!("`{dotted}`: {text}"), ""),
    }
}

/// A value that is not within the bounds of its key.
#[must_use]
pub fn out_of_bounds(path: &[String], met: &toml::Value, origin: &Origin, wanted: &str) -> Diagnostic {
    let finding = Finding {
        path: path.to_vec(),
        origin: origin.clone(),
        problem: Problem::Other(String::new()),
        text: Some(met.to_string()),
    };
    value(&finding, "C0103", &format!("`{}` = {met} is not {wanted}", path.join(".")), &format!("wants {wanted}"))
}

fn value(finding: &Finding, code: &'static str, message: &str, label: &str) -> Diagnostic {
    let text = finding.text.as_deref().unwrap_or_default().trim_matches('"');
    let typed = match &finding.origin {
        Origin::Text(..) => {
            let place = finding.origin.place().map(|place| place.labelled(label));
            return Diagnostic::error(code, message).at(place);
        }
        Origin::Env(name) => format!("{name}={text:?}"),
        Origin::Set(key) => format!("--set {key}={text}"),
    };
    let reason = match &finding.problem {
        Problem::WrongType(_, wanted) | Problem::WrongValue(_, wanted) => {
            format!("{typed} is not {}", keys::wanted(&finding.path, wanted))
        }
        Problem::UnknownChoice(..) => format!("{typed}: {message}; {label}"),
        _ => format!("{typed}: {message}"),
    };
    Diagnostic::error("C0104", reason)
}

fn unknown_key(finding: &Finding, name: &str, keys: &[&str]) -> Diagnostic {
    let parents = &finding.path[..finding.path.len().saturating_sub(1)];
    let guess = nearest(name, keys.iter().copied());
    let known = || format!("known {}: {}", if parents.is_empty() { "at the top" } else { "here" }, keys.join(", "));
    match &finding.origin {
        Origin::Text(..) => {
            let label = guess.map_or_else(known, |key| format!("did you mean `{key}`?"));
            Diagnostic::error("C0101", format!("unknown key `{name}`"))
                .at(finding.origin.place().map(|place| place.labelled(label)))
        }
        Origin::Env(variable) => {
            let help = guess.map_or_else(known, |key| {
                let path: Vec<String> = parents.iter().map(|p| p.to_uppercase()).chain([key.to_uppercase()]).collect();
                format!("did you mean MILLRACE__{}?", path.join("__"))
            });
            Diagnostic::error("C0101", format!("environment variable {variable}: unknown key `{name}`; {help}"))
        }
        Origin::Set(key) => {
            let help = guess.map_or_else(known, |near| {
                let path: Vec<&str> = parents.iter().map(String::as_str).chain([near]).collect();
                format!("did you mean {}?", path.join("."))
            });
            Diagnostic::error("C0101", format!("--set {key}: unknown key `{name}`; {help}"))
        }
    }
}

/// serde's `string "x"`, `integer `5``, as people say it.
fn met_in_words(met: &str) -> String {
    match met.split_once(' ').map_or(met, |(kind, _)| kind) {
        "string" => "text".to_owned(),
        "integer" => "a number".to_owned(),
        "floating" => "a number with a fraction".to_owned(),
        "boolean" => "true or false".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => met.to_owned(),
    }
}

fn met_value(met: &str) -> &str {
    met.split_once(' ').map_or(met, |(_, value)| value).trim_matches('`')
}
