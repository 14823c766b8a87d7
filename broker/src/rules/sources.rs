//! The rules of a file: one in a .sql file or on standard input, all `[rules.NAME]` of a config.

use std::path::Path;
use std::sync::Arc;

use millrace_rules::RuleConfig;
use serde::Deserialize;

use super::{read, shown};
use crate::config::de;
use crate::config::report;
use crate::config::tree::{Entry, Origin, Source, Table};
use crate::diagnostics::{Diagnostic, Place};

/// A rule and where it came from.
#[derive(Clone, Debug)]
pub struct NamedRule {
    /// The file.
    pub file: String,
    /// Its name: that in the config, or of the file.
    pub name: String,
    /// What a diagnostic calls the text.
    pub title: String,
    /// The rule.
    pub config: RuleConfig,
}

/// The part of a config that is about rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RulesOnly {
    rules: std::collections::BTreeMap<String, RuleConfig>,
}

/// Why a file gave no rules.
#[derive(Debug)]
pub enum Unread {
    /// It cannot be read.
    File(String),
    /// It is no config.
    Config(Vec<Diagnostic>),
}

/// The rules of a file, in the order of their names.
///
/// # Errors
/// Why there are none.
pub fn rules_of(path: &Path) -> Result<Vec<NamedRule>, Unread> {
    let text = read(path).map_err(Unread::File)?;
    let file = shown(path);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        return of_config(&file, text).map_err(Unread::Config);
    }
    let name = path.file_stem().filter(|_| path.as_os_str() != "-").map(|stem| stem.to_string_lossy().into_owned());
    Ok(vec![NamedRule {
        name: name.unwrap_or_else(|| "stdin".to_owned()),
        title: file.clone(),
        file,
        config: RuleConfig { sql: text, ..RuleConfig::default() },
    }])
}

/// The rules of a config of this name and text; what else stands there does not count.
///
/// # Errors
/// What is wrong with it.
pub fn of_config(file: &str, text: String) -> Result<Vec<NamedRule>, Vec<Diagnostic>> {
    let source = Arc::new(Source { name: file.to_owned(), text, built_in: false });
    let (table, errors) = toml::de::DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| not_toml(file, &source.text, error)).collect());
    }
    let mut tree = Table::from_toml(&source, table.get_ref());
    tree.entries.retain(|Entry { name, .. }| name == "rules");
    let origin = Origin::Text(source.clone(), 0..0);
    let only: RulesOnly = de::read(&tree, &origin)
        .map_err(|(findings, _)| findings.iter().map(report::diagnostic).collect::<Vec<_>>())?;
    let named = |(name, config): (String, RuleConfig)| NamedRule {
        file: file.to_owned(),
        title: format!("{file}, rules.{name}"),
        name,
        config,
    };
    Ok(only.rules.into_iter().map(named).collect())
}

/// What a TOML reader says, with the place.
#[must_use]
pub fn not_toml(file: &str, text: &str, error: &toml::de::Error) -> Diagnostic {
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    let place = error.span().map(|span| Place::of(file, text, &span));
    Diagnostic::error("C0105", format!("this is not TOML: {message}")).at(place)
}
