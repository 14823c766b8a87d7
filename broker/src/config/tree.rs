//! The merged config before it has types: tables of named nodes, each with the place it came from.
//!
//! Invariants: entries keep the order in which they first appeared, so that `listeners.0` means something.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostics::Place;

/// A text that was read as config.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Path of the file, or `built-in`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Whether it is the defaults that this program carries.
    pub built_in: bool,
}

/// Where a key or value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A range of a file, or of the built-in defaults.
    Text(Arc<Source>, Range<usize>),
    /// An environment variable, by name.
    Env(String),
    /// A `--set`, by its key as typed.
    Set(String),
}

impl Origin {
    /// The place, if it is one in a text.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Text(source, range) => Some(Place::of(&source.name, &source.text, range)),
            Self::Env(_) | Self::Set(_) => None,
        }
    }

    /// Whether it is the defaults that this program carries.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        matches!(self, Self::Text(source, _) if source.built_in)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(source, _) if source.built_in => f.write_str("built-in"),
            Self::Text(source, range) => {
                let place = Place::of(&source.name, &source.text, range);
                write!(f, "{}:{}:{}", place.file, place.line, place.column)
            }
            Self::Env(name) => write!(f, "env {name}"),
            Self::Set(_) => f.write_str("--set"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The value.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// What stands at a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// From TOML, which says its type.
    Toml(toml::Value),
    /// From the environment or the command line: read as the type that the key wants.
    Text(String),
}

/// A table or a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Named nodes.
    Table(Table),
    /// A value.
    Leaf(Leaf),
}

/// One named node of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its key.
    pub name: String,
    /// Where the key was written last.
    pub origin: Origin,
    /// What stands there.
    pub node: Node,
}

/// Named nodes, in order of appearance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Table {
    /// The tree of a parsed TOML text.
    #[must_use]
    pub fn from_toml(source: &Arc<Source>, table: &toml::de::DeTable<'_>) -> Self {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let node = match value.get_ref() {
                toml::de::DeValue::Table(inner) => Node::Table(Self::from_toml(source, inner)),
                plain => Node::Leaf(Leaf {
                    value: Value::Toml(plain_value(plain)),
                    origin: Origin::Text(source.clone(), value.span()),
                }),
            };
            entries.push(Entry {
                name: key.get_ref().to_string(),
                origin: Origin::Text(source.clone(), key.span()),
                node,
            });
        }
        Self { entries }
    }

    /// The entry of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Self> {
        match &self.get(name)?.node {
            Node::Table(table) => Some(table),
            Node::Leaf(_) => None,
        }
    }

    /// What stands at a dotted path.
    #[must_use]
    pub fn find<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Entry> {
        let mut table = Some(self);
        let mut found = None;
        for name in path {
            let entry = table?.get(name)?;
            table = match &entry.node {
                Node::Table(table) => Some(table),
                Node::Leaf(_) => None,
            };
            found = Some(entry);
        }
        found
    }

    /// Puts another layer over this one: its values win, tables are joined.
    pub fn merge(&mut self, over: Self) {
        for entry in over.entries {
            match self.entries.iter_mut().find(|mine| mine.name == entry.name) {
                None => self.entries.push(entry),
                Some(mine) => match (&mut mine.node, entry.node) {
                    (Node::Table(mine_table), Node::Table(table)) => {
                        mine.origin = entry.origin;
                        mine_table.merge(table);
                    }
                    (mine_node, node) => {
                        *mine_node = node;
                        mine.origin = entry.origin;
                    }
                },
            }
        }
    }

    /// Puts one value at a path, making the tables on the way.
    pub fn put(&mut self, path: &[String], text: &str, origin: &Origin) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let mut node = Node::Leaf(Leaf { value: Value::Text(text.to_owned()), origin: origin.clone() });
        let mut name = last;
        for parent in parents.iter().rev() {
            let entry = Entry { name: name.clone(), origin: origin.clone(), node };
            node = Node::Table(Self { entries: vec![entry] });
            name = parent;
        }
        self.merge(Self { entries: vec![Entry { name: name.clone(), origin: origin.clone(), node }] });
    }

    /// A path as a person wrote it, in the names of this tree: an index becomes the name at that position, and where
    /// case is ignored (environment variables have none) a name that differs only in case is meant.
    #[must_use]
    pub fn resolve(&self, path: &[&str], ignore_case: bool) -> Vec<String> {
        let mut table = Some(self);
        let mut names = Vec::with_capacity(path.len());
        for (depth, part) in path.iter().enumerate() {
            let entry = table.and_then(|table| {
                table
                    .get(part)
                    .or_else(|| table.entries.iter().find(|e| ignore_case && e.name.eq_ignore_ascii_case(part)))
                    .or_else(|| table.entries.get(part.parse::<usize>().ok().filter(|_| depth > 0)?))
            });
            names.push(match entry {
                Some(entry) => entry.name.clone(),
                None if ignore_case => part.to_ascii_lowercase(),
                None => (*part).to_owned(),
            });
            table = match entry.map(|entry| &entry.node) {
                Some(Node::Table(table)) => Some(table),
                _ => None,
            };
        }
        names
    }
}

fn plain_value(value: &toml::de::DeValue<'_>) -> toml::Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            // What no i64 holds stays text and is refused as "not a whole number" by the key's type.
            i64::from_str_radix(&digits, number.radix())
                .map_or_else(|_| toml::Value::String(digits), toml::Value::Integer)
        }
        DeValue::Float(number) => {
            let digits = number.as_str().replace('_', "");
            digits.parse().map_or_else(|_| toml::Value::String(digits.clone()), toml::Value::Float)
        }
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(value) => toml::Value::Datetime(*value),
        DeValue::Array(items) => toml::Value::Array(items.iter().map(|item| plain_value(item.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain_value(value.get_ref()))).collect(),
        ),
    }
}
