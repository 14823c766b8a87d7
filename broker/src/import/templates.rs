//! Templates of EMQX as ours: the same but where a value cannot be there.
//!
//! EMQX writes `undefined` for what a row does not have, QoS 0 and no RETAIN. Here a template that names a column which
//! the rule does not make is a mistake. So what EMQX would have written stands there instead.

use std::collections::BTreeSet;

use millrace_rules::Rules;
use millrace_rules::config::{ActionConfig, Republish, RuleConfig, Scalar, UserProperties};

use super::model::{Rule, short};

/// Settles the templates of all actions of the rule, and tells what changed.
pub fn settle(rule: &mut Rule) {
    let columns = columns_of(&rule.config);
    let mut settler = Settler { columns: columns.as_ref(), changes: BTreeSet::new() };
    for action in rule.config.actions.iter_mut().chain(&mut rule.waiting) {
        settler.action(action);
    }
    rule.changes.extend(settler.changes);
}

/// The columns that the rule makes, if they are known and it makes no others.
fn columns_of(config: &RuleConfig) -> Option<BTreeSet<String>> {
    let alone = RuleConfig { sql: config.sql.clone(), compat: config.compat, ..RuleConfig::default() };
    let rules = Rules::compile(&[("rule", alone)]).ok()?;
    let rule = rules.as_slice().first()?;
    if rule.has_open_columns() {
        return None;
    }
    Some(rule.columns().flat_map(|columns| columns.names()).map(ToString::to_string).collect())
}

struct Settler<'c> {
    columns: Option<&'c BTreeSet<String>>,
    changes: BTreeSet<String>,
}

impl Settler<'_> {
    fn action(&mut self, action: &mut ActionConfig) {
        match action {
            ActionConfig::Republish(republish) => self.republish(republish),
            ActionConfig::Sink { fallbacks, .. } => {
                for fallback in fallbacks {
                    self.action(fallback);
                }
            }
            ActionConfig::Console {} | ActionConfig::DoNothing {} => {}
        }
    }

    fn republish(&mut self, republish: &mut Republish) {
        self.text(&mut republish.topic);
        if let Some(payload) = &mut republish.payload {
            self.text(payload);
        }
        for value in republish.properties.values_mut() {
            self.text(value);
        }
        if let Some(scalar) = &mut republish.qos {
            self.scalar(scalar, Scalar::Int(0));
        }
        if let Some(scalar) = &mut republish.retain {
            self.scalar(scalar, Scalar::Bool(false));
        }
        match &mut republish.user_properties {
            None => {}
            Some(UserProperties::ByName(by_name)) => {
                for value in by_name.values_mut() {
                    self.text(value);
                }
            }
            Some(UserProperties::Whole(text)) => {
                // EMQX takes the original ones whether they are selected or not.
                let is_original =
                    matches!(text.as_str(), "${pub_props.'User-Property'}" | "${.pub_props.'User-Property'}");
                if self.lacks(text).is_some() {
                    if is_original {
                        self.changes.insert(
                            "a republish does not pass User Properties on, unless the SELECT has `pub_props`"
                                .to_owned(),
                        );
                    }
                    republish.user_properties = None;
                } else if !is_one_value(text) {
                    republish.user_properties = None;
                }
            }
        }
        for fallback in &mut republish.fallbacks {
            self.action(fallback);
        }
    }

    fn scalar(&self, scalar: &mut Scalar, without: Scalar) {
        if let Scalar::Template(text) = scalar
            && self.lacks(text).is_some()
        {
            *scalar = without;
        }
    }

    /// The name of a column in the template that the rule does not make.
    fn lacks<'t>(&self, template: &'t str) -> Option<&'t str> {
        let columns = self.columns?;
        parts(template).into_iter().find_map(|part| match part {
            Part::Value { root: Some(root), .. } if !columns.contains(root) => Some(root),
            _ => None,
        })
    }

    fn text(&mut self, text: &mut String) {
        let mut settled = String::with_capacity(text.len());
        for part in parts(text) {
            match part {
                // In front of a value a `$` would take its meaning away.
                Part::Text(plain) => settled.push_str(&plain.replace("${", "$${")),
                Part::Value { root: Some(root), .. } if self.columns.is_some_and(|columns| !columns.contains(root)) => {
                    self.changes.insert(format!(
                        "the rule makes no column `{}`, so `undefined` stands in the template, as EMQX wrote it",
                        short(root, 60)
                    ));
                    settled.push_str("undefined");
                }
                Part::Value { whole, .. } => {
                    if settled.ends_with('$') {
                        self.changes
                            .insert("a `$` in front of `${…}` is left out: here it would make text of it".to_owned());
                        settled.truncate(settled.trim_end_matches('$').len());
                    }
                    settled.push_str(whole);
                }
            }
        }
        *text = settled;
    }
}

fn is_one_value(template: &str) -> bool {
    matches!(parts(template)[..], [Part::Value { .. }])
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    /// `${…}`; its column, if it is not the whole row.
    Value {
        whole: &'t str,
        root: Option<&'t str>,
    },
}

/// A `${` without an end or a name is text.
fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut plain = 0;
    let mut at = 0;
    while let Some(start) = template[at..].find("${").map(|found| at + found) {
        let Some(end) = template[start..].find('}').map(|found| start + found + 1) else { break };
        at = end;
        let path = &template[start + 2..end - 1];
        let bare = path.strip_prefix('.').unwrap_or(path);
        let root = match bare.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next().unwrap_or_default(),
            None => bare.split(['.', '[']).next().unwrap_or_default(),
        };
        let is_whole_row = path == ".";
        if !is_whole_row && (root.is_empty() || path.contains("${") || path.ends_with('.') || path.contains("..")) {
            continue;
        }
        if plain < start {
            parts.push(Part::Text(&template[plain..start]));
        }
        parts.push(Part::Value { whole: &template[start..end], root: (!is_whole_row).then_some(root) });
        plain = end;
    }
    if plain < template.len() {
        parts.push(Part::Text(&template[plain..]));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(sql: &str, text: &str) -> (String, Vec<String>) {
        let mut rule = Rule::default();
        rule.config.sql = sql.to_owned();
        rule.config.actions = vec![ActionConfig::Republish(Republish {
            topic: text.to_owned(),
            qos: Some(Scalar::Template("${qos}".to_owned())),
            retain: Some(Scalar::Template("${retain}".to_owned())),
            payload: None,
            properties: Default::default(),
            user_properties: Some(UserProperties::Whole("${pub_props.'User-Property'}".to_owned())),
            fallbacks: Vec::new(),
        })];
        settle(&mut rule);
        let Some(ActionConfig::Republish(republish)) = rule.config.actions.pop() else { panic!("it is a republish") };
        let Republish { topic, qos, retain, user_properties, .. } = republish;
        let qos = matches!(qos, Some(Scalar::Template(_)));
        let retain = matches!(retain, Some(Scalar::Template(_)));
        (format!("{topic} {qos} {retain} {}", user_properties.is_some()), rule.changes)
    }

    #[test]
    fn what_a_rule_does_not_make_is_what_emqx_would_have_written() {
        let all = "SELECT *, retain FROM \"t/#\"";
        assert_eq!(
            settled(all, "a/${clientid}/${payload.x}"),
            ("a/${clientid}/${payload.x} true true true".to_owned(), vec![])
        );
        let (text, changes) = settled("SELECT payload.x AS x FROM \"t\"", "a/${clientid}/${x}");
        assert_eq!(text, "a/undefined/${x} false false false");
        assert_eq!(
            changes,
            [
                "a republish does not pass User Properties on, unless the SELECT has `pub_props`",
                "the rule makes no column `clientid`, so `undefined` stands in the template, as EMQX wrote it",
            ]
        );
        // Of a rule that cannot be read, or makes any column, nothing is known.
        assert_eq!(settled("SELECT", "${x}").0, "${x} true true true");
        // RETAIN is no column of a whole message.
        assert_eq!(settled("SELECT * FROM \"t\"", "${.}").0, "${.} true false true");
    }

    #[test]
    fn what_is_no_value_is_text_here_too() {
        for (emqx, ours) in [
            ("a ${ b", "a $${ b"),
            ("${}", "$${}"),
            ("${.}", "${.}"),
            ("${.x}", "${.x}"),
            ("${x", "$${x"),
            ("5$", "5$"),
            ("$${x}", "${x}"),
            ("${x}${y.'a.b'}", "${x}${y.'a.b'}"),
            ("{\"x\": ${x}}", "{\"x\": ${x}}"),
        ] {
            assert_eq!(
                settled("SELECT 1 AS x, 2 AS y FROM \"t\"", emqx).0.split(" false").next(),
                Some(ours),
                "{emqx}"
            );
        }
    }
}
