//! The columns of a rule's rows: paths of names and the values that stand there.

use crate::ast::Step;
use crate::tree::Output;

/// Columns while they are collected.
#[derive(Default)]
pub(crate) struct ColumnTree {
    columns: Vec<(String, Output)>,
}

impl ColumnTree {
    /// A whole column; one of the same name is replaced, at its place.
    pub(crate) fn set(&mut self, name: &str, output: Output) {
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = output,
            None => self.columns.push((name.to_owned(), output)),
        }
    }

    /// A value at the end of a path; its first step is a name. What stood there before is replaced.
    ///
    /// # Errors
    /// The name on the way at which a value stands already that is not made of named parts.
    pub(crate) fn place(&mut self, path: &[Step], slot: usize) -> Result<(), String> {
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

fn insert(members: &mut Vec<(String, Output)>, name: &str, rest: &[Step], slot: usize) -> Result<(), String> {
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
        _ => Err(name.to_owned()),
    }
}

fn made(path: &[Step], slot: usize) -> Output {
    match path {
        [] => Output::Slot(slot),
        [Step::Name(name), rest @ ..] => Output::Map(vec![(name.clone(), made(rest, slot))]),
        [Step::Index(_), rest @ ..] => Output::One(Box::new(made(rest, slot))),
    }
}
