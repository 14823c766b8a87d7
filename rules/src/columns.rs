//! The columns of a rule's rows: paths of names and the values that stand there.

use crate::ast::Step;
use crate::tree::Output;

/// Columns while they are collected.
#[derive(Default)]
pub(crate) struct ColumnTree {
    columns: Vec<(String, Output)>,
}

/// A value stands on the way that is not made of named parts.
pub(crate) struct Taken {
    /// Its name.
    pub(crate) name: String,
    /// Its slot; without one it is a list.
    pub(crate) slot: Option<usize>,
}

impl ColumnTree {
    /// A whole column; one of the same name is replaced, at its place.
    pub(crate) fn set(&mut self, name: &str, output: Output) {
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = output,
            None => self.columns.push((name.to_owned(), output)),
        }
    }

    /// The column of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Output> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, output)| output)
    }

    /// The names of all columns.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// A value at the end of a path; its first step is a name. What stood there before is replaced.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn place(&mut self, path: &[Step], slot: usize) -> Result<(), Taken> {
        let (name, rest) = first(path);
        insert(&mut self.columns, &name, rest, slot)
    }

    /// The columns in order.
    pub(crate) fn finish(self) -> Vec<(String, Output)> {
        self.columns
    }
}

fn first(path: &[Step]) -> (String, &[Step]) {
    match path {
        [Step::Name(name), rest @ ..] => (name.clone(), rest),
        [Step::Index(index), rest @ ..] => (index.to_string(), rest),
        [] => (String::new(), &[]),
    }
}

fn insert(members: &mut Vec<(String, Output)>, name: &str, rest: &[Step], slot: usize) -> Result<(), Taken> {
    let Some((_, known)) = members.iter_mut().find(|(known, _)| known == name) else {
        members.push((name.to_owned(), made(rest, slot)));
        return Ok(());
    };
    match (known, rest) {
        (known, []) => {
            *known = Output::Slot(slot);
            Ok(())
        }
        (Output::Map(inner), [Step::Name(next), rest @ ..]) => insert(inner, next, rest, slot),
        (Output::Slot(slot), _) => Err(Taken { name: name.to_owned(), slot: Some(*slot) }),
        _ => Err(Taken { name: name.to_owned(), slot: None }),
    }
}

fn made(path: &[Step], slot: usize) -> Output {
    match path {
        [] => Output::Slot(slot),
        [Step::Name(name), rest @ ..] => Output::Map(vec![(name.clone(), made(rest, slot))]),
        [Step::Index(_), rest @ ..] => Output::One(Box::new(made(rest, slot))),
    }
}
