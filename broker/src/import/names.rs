//! Names: what becomes of ids such as `rule:9a6a725d`, each one once.

use std::collections::{HashMap, HashSet};

use crate::config::validate::NAME_BYTES_MAX;

/// Gives out names of rules or sinks.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
    /// How often a name was wanted, so that the next number is found at once.
    wanted: HashMap<String, u32>,
}

impl Names {
    /// A name that can stand in the config, as near to the id as possible: what is not a letter, digit, `_` or `-`
    /// becomes `_`, and one that is taken gets a number.
    pub fn name(&mut self, id: &str, without: &str) -> String {
        let mut base: String = id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' })
            .take(NAME_BYTES_MAX)
            .collect();
        if !base.contains(|c: char| c.is_ascii_alphanumeric()) {
            without.clone_into(&mut base);
        }
        if self.taken.insert(base.clone()) {
            return base;
        }
        let number = self.wanted.entry(base.clone()).or_insert(1);
        loop {
            *number += 1;
            let suffix = format!("_{number}");
            let mut name = base.clone();
            name.truncate(NAME_BYTES_MAX - suffix.len());
            name.push_str(&suffix);
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_names_once() {
        let mut names = Names::default();
        assert_eq!(names.name("rule:9a6a725d", "rule"), "rule_9a6a725d");
        assert_eq!(names.name("rule_9a6a725d", "rule"), "rule_9a6a725d_2");
        assert_eq!(names.name("rule:9a6a725d", "rule"), "rule_9a6a725d_3");
        assert_eq!(names.name("报警", "rule"), "rule");
        assert_eq!(names.name("", "rule"), "rule_2");
        let long = names.name(&"x".repeat(300), "rule");
        assert_eq!(long.len(), NAME_BYTES_MAX);
        let second = names.name(&"x".repeat(300), "rule");
        assert!(second.len() == NAME_BYTES_MAX && second.ends_with("_2"));
    }

    #[test]
    fn many_of_the_same_cost_no_search_each() {
        let mut names = Names::default();
        let started = std::time::Instant::now();
        for _ in 0..100_000 {
            names.name("same", "rule");
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
