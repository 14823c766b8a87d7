//! The rules that run at one moment: compiled once for all shards, and again only where the config has changed.
//!
//! Runs on: compiled off the shards; shards hold the book that they were given last, and compare the next one with it.
//! Invariants: a rule that has not changed is the same [`Entry`] at the same number in the next book.

use std::sync::Arc;

use crate::actions::Actions;
use crate::config::RuleConfig;
use crate::rule::{Rule, RuleDiagnostics};

/// Rules by number; the number of one that is gone is given again.
#[derive(Clone, Debug, Default)]
pub struct RuleBook {
    entries: Vec<Option<Arc<Entry>>>,
    next_id: u64,
}

/// One rule that runs.
#[derive(Debug)]
pub struct Entry {
    id: u64,
    rule: Rule,
    actions: Actions,
}

impl Entry {
    /// Which rule it is, whatever it says: rules of one name have the same, no other rule ever has.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The rule, to be cloned for a shard.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Its actions.
    #[must_use]
    pub const fn actions(&self) -> &Actions {
        &self.actions
    }

    fn says(&self, name: &str, config: &RuleConfig) -> bool {
        let RuleConfig { sql, sinks, actions, on_action_failed, compat, enabled, description: _ } = config;
        let mine = self.rule.config();
        self.rule.name() == name
            && (&mine.sql, &mine.sinks, &mine.actions) == (sql, sinks, actions)
            && (mine.on_action_failed, mine.compat, mine.enabled) == (*on_action_failed, *compat, *enabled)
    }
}

impl RuleBook {
    /// Compiles the rules; those that are not enabled are checked and left out.
    ///
    /// # Errors
    /// What is wrong, for each text with a mistake.
    pub fn compile<N: AsRef<str>>(configs: &[(N, RuleConfig)]) -> Result<Self, Vec<RuleDiagnostics>> {
        Self::default().change(configs)
    }

    /// The book with these rules instead.
    ///
    /// # Errors
    /// What is wrong, for each text with a mistake.
    pub fn change<N: AsRef<str>>(&self, configs: &[(N, RuleConfig)]) -> Result<Self, Vec<RuleDiagnostics>> {
        let mut wrong = Vec::new();
        let named = |name: &str| configs.iter().any(|(other, config)| other.as_ref() == name && config.enabled);
        let kept = |entry: &Arc<Entry>| named(entry.rule.name());
        let mut book = Self {
            entries: self.entries.iter().map(|entry| entry.clone().filter(kept)).collect(),
            next_id: self.next_id,
        };
        for (name, config) in configs {
            let name = name.as_ref();
            let known = book.entries.iter().flatten().find(|entry| entry.rule.name() == name);
            if known.is_some_and(|entry| entry.says(name, config)) {
                continue;
            }
            let (number, id) = match known {
                Some(entry) => (entry.rule.number() as usize, entry.id),
                None => (book.free(), book.next_id),
            };
            match compile(number, id, name, config) {
                Ok(_) if !config.enabled => {}
                Ok(entry) => {
                    book.next_id = book.next_id.max(id + 1);
                    if number == book.entries.len() {
                        book.entries.push(None);
                    }
                    book.entries[number] = Some(Arc::new(entry));
                }
                Err(mut faults) => wrong.append(&mut faults),
            }
        }
        while matches!(book.entries.last(), Some(None)) {
            book.entries.pop();
        }
        if wrong.is_empty() { Ok(book) } else { Err(wrong) }
    }

    /// The rules by their numbers, with gaps where one has gone.
    #[must_use]
    pub fn entries(&self) -> &[Option<Arc<Entry>>] {
        &self.entries
    }

    /// The names of all sinks that its rules hand rows to, with the rule that does so.
    pub fn sinks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().flatten().flat_map(|entry| {
            let rule = entry.rule.name();
            entry.actions.sinks().iter().map(move |sink| (rule, sink.as_str()))
        })
    }

    fn free(&self) -> usize {
        self.entries.iter().position(Option::is_none).unwrap_or(self.entries.len())
    }
}

fn compile(number: usize, id: u64, name: &str, config: &RuleConfig) -> Result<Entry, Vec<RuleDiagnostics>> {
    let number = u32::try_from(number).expect("nobody writes four thousand million rules");
    let rule = Rule::compile(number, name, config);
    let columns: Vec<_> = rule.iter().flat_map(Rule::columns).map(|columns| &**columns).collect();
    // Of a rule that cannot be read the columns are not known.
    let actions = Actions::compile(config, &columns, rule.as_ref().map_or(true, Rule::has_open_columns));
    match (rule, actions) {
        (Ok(rule), Ok(actions)) => Ok(Entry { id, rule, actions }),
        (rule, actions) => {
            let sql = rule.err().map(|diagnostics| RuleDiagnostics {
                rule: name.to_owned(),
                sql: config.sql.clone(),
                diagnostics,
            });
            let faults = actions.err().unwrap_or_default().into_iter().map(|fault| RuleDiagnostics {
                rule: format!("{name}.{}", fault.key),
                sql: fault.text,
                diagnostics: vec![fault.diagnostic],
            });
            Err(sql.into_iter().chain(faults).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(sql: &str) -> RuleConfig {
        RuleConfig { sql: sql.to_owned(), ..RuleConfig::default() }
    }

    fn numbers(book: &RuleBook) -> Vec<(String, u32, u64)> {
        let entries = book.entries().iter().flatten();
        entries.map(|entry| (entry.rule().name().to_owned(), entry.rule().number(), entry.id())).collect()
    }

    #[test]
    fn what_has_not_changed_stays_the_same_entry() {
        let (a, b) = (rule("SELECT * FROM \"a\""), rule("SELECT * FROM \"b\""));
        let first = RuleBook::compile(&[("a", a.clone()), ("b", b.clone())]).expect("good");
        let noted = RuleConfig { description: "a note".to_owned(), ..a };
        let changed = RuleConfig { sql: "SELECT topic FROM \"b\"".to_owned(), ..b };
        let second = first.change(&[("b", changed), ("a", noted)]).expect("good");
        let same = |number: usize| match (&first.entries()[number], &second.entries()[number]) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        assert!(same(0) && !same(1));
        assert_eq!(numbers(&first), numbers(&second));
    }

    #[test]
    fn a_number_is_given_again_and_an_identity_is_not() {
        let good = || rule("SELECT * FROM \"t\"");
        let book = RuleBook::compile(&[("a", good()), ("b", good()), ("c", good())]).expect("good");
        let book = book.change(&[("c", good()), ("d", good())]).expect("good");
        assert_eq!(numbers(&book), [("d".to_owned(), 0, 3), ("c".to_owned(), 2, 2)]);
        let off = RuleConfig { enabled: false, ..good() };
        let book = book.change(&[("c", off.clone()), ("d", good())]).expect("good");
        assert_eq!((book.entries().len(), numbers(&book)), (1, vec![("d".to_owned(), 0, 3)]));
        let book = book.change(&[("c", good()), ("x", off)]).expect("good");
        assert_eq!(numbers(&book), [("c".to_owned(), 0, 4)]);
    }

    #[test]
    fn all_that_is_wrong_is_told_and_the_old_book_stays_as_it_is() {
        let book = RuleBook::compile(&[("a", rule("SELECT * FROM \"t\""))]).expect("good");
        let bad_action =
            toml::from_str("sql = 'SELECT topic FROM \"t\"'\nactions = [{ kind = 'republish', topic = 'a/${topc}' }]")
                .expect("its shape is right");
        let off = RuleConfig { enabled: false, ..rule("SELECT") };
        let wrong = book.change(&[("b", rule("SELECT * FRM \"t\"")), ("c", bad_action), ("d", off)]).expect_err("bad");
        let rules: Vec<_> = wrong.iter().map(|wrong| wrong.rule.as_str()).collect();
        assert_eq!(rules, ["b", "c.actions[1].topic", "d"]);
        assert!(wrong[1].to_string().contains("^^^^ did you mean `topic`?"), "{}", wrong[1]);
        assert_eq!(numbers(&book).len(), 1);
    }
}
