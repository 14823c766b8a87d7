//! Where a rule that is taken over as it is means something else here than it did.
//!
//! Found by looking at its words, so a difference that is named need not matter for the messages that the rule gets.

use millrace_rules::config::{ActionConfig, Compat, Republish, UserProperties};
use serde::Serialize;

use super::model::Rule;
use super::words::{Word, words};

/// What means something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// `is_null(x)` and JSON null.
    IsNull,
    /// `<` between unlike types.
    UnlikeTypes,
    /// WHERE before SELECT.
    WhereFirst,
    /// FOREACH without DO.
    WholeElements,
    /// Functions that never worked.
    MendedFunctions,
    /// Text and number added.
    TextAndNumber,
    /// `undefined` in templates.
    Undefined,
}

impl Difference {
    /// Once for all rules that it is about.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::IsNull => {
                "is_null(x) was false for JSON null, and is true here: a missing value and JSON null are the same"
            }
            Self::UnlikeTypes => {
                "`<`, `<=`, `>` and `>=` between values of unlike types (such as true and a number) went by the order of \
                 Erlang's types, and are false here"
            }
            Self::WhereFirst => {
                "WHERE uses no name given by AS, so it is evaluated before SELECT here: what it turns away no longer counts \
                 as failed because SELECT would fail"
            }
            Self::WholeElements => {
                "FOREACH without DO gave the whole event with the element under its name; here the members of an element \
                 that is a map lie over the event, too"
            }
            Self::MendedFunctions => "clientid() and payload('a.b') gave undefined in 4.x, and give the value here",
            Self::TextAndNumber => {
                "`+` between a text and a number made the rule fail in 4.x, and joins them as text here"
            }
            Self::Undefined => {
                "a template with a value that is missing gave the text `undefined`, and gives nothing here (${x:-undefined} \
                 gives it again)"
            }
        }
    }
}

/// Finds them all. What certainly differs becomes a change of the rule.
pub fn find(rule: &mut Rule) {
    let sql = rule.config.sql.clone();
    let words = words(&sql);
    let statement = Statement::of(&words);
    let mut found = Vec::new();
    let mut note = |is_there: bool, difference| {
        if is_there {
            found.push(difference);
        }
    };
    let is_v4 = rule.config.compat == Compat::V4;
    let calls = |name: &str| words.windows(2).any(|pair| pair[0].is(name) && pair[1] == Word::Sign("("));
    note(calls("is_null") || calls("is_not_null"), Difference::IsNull);
    note(words.iter().any(|word| matches!(word, Word::Sign("<" | "<=" | ">" | ">="))), Difference::UnlikeTypes);
    note(statement.is_where_first(), Difference::WhereFirst);
    note(statement.is_foreach && !statement.has_do, Difference::WholeElements);
    let mended = words.windows(3).any(|three| match three {
        [name, Word::Sign("("), Word::Sign(")")] => name.is("clientid"),
        [name, Word::Sign("("), Word::Text(_)] => name.is("payload"),
        _ => false,
    });
    note(is_v4 && mended, Difference::MendedFunctions);
    note(is_v4 && words.contains(&Word::Sign("+")), Difference::TextAndNumber);
    note(templates(&rule.config.actions).iter().any(|text| statement.may_lack(text)), Difference::Undefined);
    rule.differences = found;

    for word in &words {
        if let Word::Text(text) = word
            && text.len() > 1
            && (text.starts_with('"') || text.ends_with('"'))
        {
            rule.changes.push(format!(
                "the text '{}' keeps its inner double quotes; EMQX took them away",
                super::model::short(text, 60)
            ));
        }
    }
    for source in statement.sources {
        if source.starts_with("$bridges/") || source.starts_with("$sources/") {
            rule.refusals.push(format!(
                "it reads from `{}`, and this version has no sources; let what feeds it publish to a topic",
                super::model::short(source, 80)
            ));
        } else if is_old_event(source) {
            rule.changes.push(format!(
                "`{source}` after FROM was an event in EMQX 4.0; since 4.1 and here it is a topic of that name"
            ));
        }
    }
}

/// Names of events as EMQX 4.0 wrote them.
fn is_old_event(source: &str) -> bool {
    matches!(
        source,
        "message.publish"
            | "message.deliver"
            | "message.delivered"
            | "message.acked"
            | "message.dropped"
            | "client.connected"
            | "client.disconnected"
            | "client.subscribe"
            | "client.unsubscribe"
    )
}

/// The parts of a rule's text.
struct Statement<'w, 's> {
    is_foreach: bool,
    has_do: bool,
    fields: &'w [Word<'s>],
    condition: &'w [Word<'s>],
    sources: Vec<&'s str>,
    aliases: Vec<&'s str>,
}

impl<'w, 's> Statement<'w, 's> {
    fn of(words: &'w [Word<'s>]) -> Self {
        let from = words.iter().position(|word| word.is("from")).unwrap_or(words.len());
        let behind = &words[(from + 1).min(words.len())..];
        let condition = behind.iter().position(|word| word.is("where")).unwrap_or(behind.len());
        let sources = behind[..condition].iter().filter_map(|word| match word {
            Word::Name(name) | Word::Text(name) | Word::Bare(name) => Some(*name),
            Word::Sign(_) => None,
        });
        let aliases = words[..from].windows(2).filter(|pair| pair[0].is("as")).filter_map(|pair| match pair[1] {
            Word::Bare(name) | Word::Name(name) => Some(name),
            _ => None,
        });
        Self {
            is_foreach: words.first().is_some_and(|word| word.is("foreach")),
            has_do: words[..from].iter().any(|word| word.is("do")),
            fields: words.get(1..from).unwrap_or_default(),
            condition: behind.get(condition + 1..).unwrap_or_default(),
            sources: sources.collect(),
            aliases: aliases.collect(),
        }
    }

    /// Whether SELECT can fail, and WHERE is evaluated before it here.
    fn is_where_first(&self) -> bool {
        let uses_alias = self.condition.iter().any(|word| match word {
            Word::Bare(name) | Word::Name(name) => self.aliases.contains(name),
            _ => false,
        });
        let computes = self.fields.windows(2).any(|pair| match pair {
            [Word::Bare(_), Word::Sign("(" | "+" | "-" | "/")] => true,
            [word, Word::Sign("." | "[")] => word.is("payload"),
            _ => false,
        });
        !self.is_foreach && !self.condition.is_empty() && !uses_alias && computes
    }

    /// Whether a template names a value that need not be in a row.
    fn may_lack(&self, template: &str) -> bool {
        const ALWAYS: &[&str] = &[
            "id",
            "clientid",
            "topic",
            "qos",
            "payload",
            "timestamp",
            "node",
            "event",
            "flags",
            "retain",
            "publish_received_at",
        ];
        template.split("${").skip(1).filter_map(|rest| rest.split_once('}')).any(|(path, _)| {
            let path = path.strip_prefix('.').unwrap_or(path);
            let is_selected = self.fields.contains(&Word::Sign("*")) || self.fields.contains(&Word::Bare(path));
            let is_flag = matches!(path, "flags.retain" | "flags.dup") && self.fields.contains(&Word::Sign("*"));
            let is_there = path.is_empty() || is_flag || (is_selected && ALWAYS.contains(&path));
            !is_there && !path.contains(":-")
        })
    }
}

/// Every text template of the actions. A QoS or RETAIN that is missing has a default on both sides.
fn templates(actions: &[ActionConfig]) -> Vec<&str> {
    let mut all = Vec::new();
    for action in actions {
        if let ActionConfig::Republish(Republish { topic, payload, properties, user_properties, fallbacks, .. }) =
            action
        {
            all.push(topic.as_str());
            all.extend(payload.as_deref());
            all.extend(properties.values().map(String::as_str));
            if let Some(UserProperties::ByName(by_name)) = user_properties {
                all.extend(by_name.values().map(String::as_str));
            }
            all.extend(templates(fallbacks));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str, payload: &str, compat: Compat) -> Vec<Difference> {
        rule(sql, payload, compat).differences
    }

    fn rule(sql: &str, payload: &str, compat: Compat) -> Rule {
        let mut rule = Rule::default();
        rule.config.sql = sql.to_owned();
        rule.config.compat = compat;
        rule.config.actions = vec![ActionConfig::Republish(Republish {
            topic: "out".to_owned(),
            qos: None,
            retain: None,
            payload: Some(payload.to_owned()),
            properties: Default::default(),
            user_properties: None,
            fallbacks: Vec::new(),
        })];
        find(&mut rule);
        rule
    }

    #[test]
    fn differences_are_found_by_the_words_of_a_rule() {
        use Difference::*;
        for (sql, payload, differences) in [
            ("SELECT * FROM \"t\"", "${.}", vec![]),
            ("SELECT * FROM \"t\"", "${clientid} ${flags.retain} ${payload}", vec![]),
            ("SELECT topic FROM \"t\"", "${topic}", vec![]),
            ("SELECT topic FROM \"t\"", "${payload}", vec![Undefined]),
            ("SELECT * FROM \"t\"", "${payload.x}", vec![Undefined]),
            ("SELECT * FROM \"t\"", "${payload.x:-none}", vec![]),
            ("SELECT * FROM \"t\" WHERE is_null(payload.x)", "x", vec![IsNull]),
            ("SELECT * FROM \"t\" WHERE 'is_null(' = topic -- is_null(x)", "x", vec![]),
            ("SELECT * FROM \"t\" WHERE payload.x >= 1", "x", vec![UnlikeTypes]),
            ("SELECT payload.x AS x FROM \"t\" WHERE qos = 1", "x", vec![WhereFirst]),
            ("SELECT payload.x AS x FROM \"t\" WHERE x = 1", "x", vec![]),
            ("SELECT clientid FROM \"t\" WHERE qos = 1", "x", vec![]),
            ("FOREACH payload.a FROM \"t\"", "x", vec![WholeElements]),
            ("FOREACH payload.a DO item.b AS b FROM \"t\"", "x", vec![]),
            ("SELECT clientid() AS c, payload('a.b') AS p FROM \"t\"", "x", vec![MendedFunctions]),
            ("SELECT 'a' + qos AS c FROM \"t\"", "x", vec![TextAndNumber]),
            ("", "x", vec![]),
            ("FROM", "x", vec![]),
        ] {
            assert_eq!(found(sql, payload, Compat::V4), differences, "{sql} {payload}");
        }
        assert_eq!(found("SELECT clientid() + 'a' AS c FROM \"t\"", "x", Compat::V5), []);
    }

    #[test]
    fn what_certainly_differs_is_a_change_or_a_refusal() {
        let changed = rule("SELECT '\"x\"' AS q FROM \"t\"", "x", Compat::V5);
        assert_eq!(changed.changes, ["the text '\"x\"' keeps its inner double quotes; EMQX took them away"]);
        let changed = rule("SELECT * FROM \"message.publish\"", "x", Compat::V4);
        assert!(changed.changes[0].contains("EMQX 4.0"), "{:?}", changed.changes);
        let refused = rule("SELECT * FROM \"t\", \"$bridges/mqtt:in\"", "x", Compat::V5);
        assert!(refused.refusals[0].contains("`$bridges/mqtt:in`"), "{:?}", refused.refusals);
    }
}
