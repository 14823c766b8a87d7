//! The merged tree into structs: a serde deserializer that knows where each value came from and goes on after an error.
//!
//! serde ends at the first error. [`read`] notes it, leaves out the key that it is about and starts again, until a pass
//! is clean, so that all that is wrong is found at once.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::tree::{Entry, Node, Origin, Table, Value};

/// What serde says is wrong with a key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No such key; these are.
    UnknownKey(&'static [&'static str]),
    /// No such choice; these are.
    UnknownChoice(String, &'static [&'static str]),
    /// Another type is wanted: what was met, what is wanted.
    WrongType(String, String),
    /// The type is right, the value is not: what was met, what is wanted.
    WrongValue(String, String),
    /// A key that must be there is not.
    Missing(&'static str),
    /// Anything else, in the words of the type.
    Other(String),
}

/// A problem and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path of the key in the tree.
    pub path: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong.
    pub problem: Problem,
    /// The text, if it came from the environment or the command line.
    pub text: Option<String>,
}

/// The error that travels through serde.
#[derive(Debug)]
pub struct Error {
    problem: Problem,
    finding: Option<Box<Finding>>,
    unknown_name: Option<String>,
}

impl Error {
    fn new(problem: Problem) -> Self {
        Self { problem, finding: None, unknown_name: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Other(text) => f.write_str(text),
            problem => write!(f, "{problem:?}"),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }
    fn invalid_type(met: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::new(Problem::WrongType(met.to_string(), wanted.to_string()))
    }
    fn invalid_value(met: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::new(Problem::WrongValue(met.to_string(), wanted.to_string()))
    }
    fn unknown_variant(met: &str, choices: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownChoice(met.to_owned(), choices))
    }
    fn unknown_field(name: &str, keys: &'static [&'static str]) -> Self {
        Self { unknown_name: Some(name.to_owned()), ..Self::new(Problem::UnknownKey(keys)) }
    }
    fn missing_field(name: &'static str) -> Self {
        Self::new(Problem::Missing(name))
    }
}

/// The key that chooses among kinds of a section.
const TAG: &str = "kind";

/// Paths that are not looked at any more.
type Skip = HashSet<Vec<String>>;

/// The tree as a `T`, or all that is wrong with it and the `T` without the keys that do not fit, if there is one.
///
/// # Errors
/// Everything that does not fit.
pub fn read<T: de::DeserializeOwned>(root: &Table, root_origin: &Origin) -> Result<T, (Vec<Finding>, Option<T>)> {
    let mut findings = Vec::new();
    let mut skip = Skip::new();
    loop {
        let reader = TableReader::new(root, Vec::new(), &skip);
        let error = match T::deserialize(NodeReader::Table(reader)) {
            Ok(value) if findings.is_empty() => return Ok(value),
            Ok(rest) => return Err((findings, Some(rest))),
            Err(error) => error,
        };
        let finding = error.finding.map_or_else(
            || Finding { path: Vec::new(), origin: root_origin.clone(), problem: error.problem, text: None },
            |finding| *finding,
        );
        let finding = blame::<T>(root, &skip, finding);
        let path = finding.path.clone();
        // A table that lost a bad key may lack it now: that is said once.
        let consequence = matches!(finding.problem, Problem::Missing(_))
            && skip.iter().any(|skipped| skipped.len() > path.len() && skipped.starts_with(&path));
        if !consequence {
            findings.push(finding);
        }
        if path.is_empty() || !skip.insert(path) {
            return Err((findings, None));
        }
    }
}

/// A tagged enum is buffered before it is read, and forgets at which of its keys a value did not fit: it is the one
/// without which another error comes, or none.
fn blame<T: de::DeserializeOwned>(root: &Table, skip: &Skip, finding: Finding) -> Finding {
    let value_is_wrong = !matches!(finding.problem, Problem::Missing(_) | Problem::UnknownKey(_));
    let entry = root.find(finding.path.iter().map(String::as_str));
    let Some(Node::Table(table)) = entry.map(|entry| &entry.node).filter(|_| value_is_wrong) else {
        return finding;
    };
    // What is wrong with the tag itself is known with its place.
    for entry in table.entries.iter().filter(|entry| entry.name != TAG) {
        let Node::Leaf(leaf) = &entry.node else { continue };
        let path: Vec<String> = finding.path.iter().chain([&entry.name]).cloned().collect();
        let mut without = skip.clone();
        if !without.insert(path.clone()) {
            continue;
        }
        let again = T::deserialize(NodeReader::Table(TableReader::new(root, Vec::new(), &without)));
        let same = again
            .is_err_and(|error| error.finding.is_some_and(|f| f.path == finding.path && f.problem == finding.problem));
        if !same {
            let text = match &leaf.value {
                Value::Text(text) => Some(text.clone()),
                Value::Toml(_) => None,
            };
            return Finding { path, origin: leaf.origin.clone(), problem: finding.problem, text };
        }
    }
    finding
}

struct TableReader<'a> {
    path: Vec<String>,
    skip: &'a Skip,
    rest: std::slice::Iter<'a, Entry>,
    next: Option<&'a Entry>,
}

enum NodeReader<'a> {
    Table(TableReader<'a>),
    Leaf(&'a Value),
}

impl<'a> TableReader<'a> {
    fn new(table: &'a Table, path: Vec<String>, skip: &'a Skip) -> Self {
        Self { path, skip, rest: table.entries.iter(), next: None }
    }

    fn child_path(&self, name: &str) -> Vec<String> {
        self.path.iter().cloned().chain([name.to_owned()]).collect()
    }

    /// Gives an error from inside its place: the innermost table that knows one.
    fn placed(&self, entry: &Entry, mut error: Error) -> Error {
        if error.finding.is_none() {
            let mut path = self.child_path(&entry.name);
            let (mut origin, mut text) = (entry.origin.clone(), None);
            let mut node = &entry.node;
            // A tagged enum is buffered before it is read, and forgets where an unknown key stood.
            if let (Some(name), Node::Table(table)) = (&error.unknown_name, node)
                && let Some(child) = table.get(name)
            {
                path.push(name.clone());
                origin = child.origin.clone();
                node = &child.node;
            }
            if let Node::Leaf(leaf) = node {
                if !matches!(error.problem, Problem::UnknownKey(_)) {
                    origin = leaf.origin.clone();
                }
                if let Value::Text(value) = &leaf.value {
                    text = Some(value.clone());
                }
            }
            let problem = error.problem.clone();
            error.finding = Some(Box::new(Finding { path, origin, problem, text }));
        }
        error
    }
}

impl<'de> de::MapAccess<'de> for TableReader<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let mut seed = Some(seed);
        while let Some(entry) = self.rest.next() {
            let path = self.child_path(&entry.name);
            if self.skip.contains(&path) {
                continue;
            }
            let Some(seed) = seed.take() else { break };
            self.next = Some(entry);
            return match seed.deserialize(entry.name.as_str().into_deserializer()) {
                Ok(key) => Ok(Some(key)),
                Err(error) => Err(self.placed(entry, Error { unknown_name: None, ..error })),
            };
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.next.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        let reader = match &entry.node {
            Node::Leaf(leaf) => NodeReader::Leaf(&leaf.value),
            Node::Table(table) => NodeReader::Table(Self::new(table, self.child_path(&entry.name), self.skip)),
        };
        seed.deserialize(reader).map_err(|error| self.placed(entry, error))
    }
}

/// A text of the environment or the command line without the quotes that TOML would want.
fn unquoted(text: &str) -> String {
    let quoted = text.len() >= 2
        && ((text.starts_with('"') && text.ends_with('"')) || (text.starts_with('\'') && text.ends_with('\'')));
    match if quoted { toml_value(text) } else { None } {
        Some(toml::Value::String(inner)) => inner,
        _ => text.to_owned(),
    }
}

fn toml_value(text: &str) -> Option<toml::Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    (table.len() == 1).then(|| table.remove("value")).flatten()
}

fn whole_number(text: &str) -> Option<i64> {
    match toml_value(text.trim())? {
        toml::Value::Integer(number) => Some(number),
        _ => None,
    }
}

fn visit_toml<'de, V: Visitor<'de>>(value: &toml::Value, visitor: V) -> Result<V::Value, Error> {
    match value {
        toml::Value::String(text) => visitor.visit_str(text),
        toml::Value::Integer(number) => visitor.visit_i64(*number),
        toml::Value::Float(number) => visitor.visit_f64(*number),
        toml::Value::Boolean(value) => visitor.visit_bool(*value),
        toml::Value::Datetime(value) => visitor.visit_string(value.to_string()),
        toml::Value::Array(items) => visitor.visit_seq(de::value::SeqDeserializer::new(items.iter().map(Plain))),
        toml::Value::Table(table) => visitor
            .visit_map(de::value::MapDeserializer::new(table.iter().map(|(key, value)| (key.as_str(), Plain(value))))),
    }
}

/// A value inside an array, whose place is that of the array.
struct Plain<'a>(&'a toml::Value);

impl<'de> IntoDeserializer<'de, Error> for Plain<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for Plain<'_> {
    type Error = Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_toml(self.0, visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            toml::Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            other => Err(de::Error::invalid_type(unexpected(other), &"one of its choices in quotes")),
        }
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn unexpected(value: &toml::Value) -> de::Unexpected<'_> {
    match value {
        toml::Value::String(text) => de::Unexpected::Str(text),
        toml::Value::Integer(number) => de::Unexpected::Signed(*number),
        toml::Value::Float(number) => de::Unexpected::Float(*number),
        toml::Value::Boolean(value) => de::Unexpected::Bool(*value),
        toml::Value::Datetime(_) => de::Unexpected::Other("date"),
        toml::Value::Array(_) => de::Unexpected::Seq,
        toml::Value::Table(_) => de::Unexpected::Map,
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self {
                Self::Leaf(Value::Text(text)) => match whole_number(text) {
                    Some(number) => visitor.visit_i64(number),
                    None => Err(de::Error::invalid_type(de::Unexpected::Str(text), &visitor)),
                },
                other => other.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for NodeReader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Table(reader) => visitor.visit_map(reader),
            Self::Leaf(Value::Toml(value)) => visit_toml(value, visitor),
            Self::Leaf(Value::Text(text)) => match toml_value(text) {
                Some(value) => visit_toml(&value, visitor),
                None => visitor.visit_str(text),
            },
        }
    }

    numbers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Leaf(Value::Text(text)) => match text.trim() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(de::Error::invalid_type(de::Unexpected::Str(text), &visitor)),
            },
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Leaf(Value::Text(text)) => visitor.visit_string(unquoted(text)),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Leaf(Value::Text(text)) => match toml_value(text) {
                Some(value @ toml::Value::Array(_)) => visit_toml(&value, visitor),
                _ => visitor.visit_seq(de::value::SeqDeserializer::new(
                    text.split(',').map(str::trim).filter(|part| !part.is_empty()),
                )),
            },
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Leaf(Value::Text(text)) => visitor.visit_enum(unquoted(text).into_deserializer()),
            Self::Leaf(Value::Toml(toml::Value::String(text))) => visitor.visit_enum(text.as_str().into_deserializer()),
            Self::Leaf(Value::Toml(other)) => {
                Err(de::Error::invalid_type(unexpected(other), &"one of its choices in quotes"))
            }
            Self::Table(reader) => visitor.visit_enum(de::value::MapAccessDeserializer::new(reader)),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}
