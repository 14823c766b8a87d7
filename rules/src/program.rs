//! What a rule does for one event, compiled: which values are computed when, and what becomes of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use millrace_core::value::{Columns, Record, Row, RowTooLarge, Value};
use smallvec::SmallVec;

use crate::compile::{Compiler, Frame, TestFn, ValueFn};
use crate::diagnostics::Span;
use crate::error::{EvalError, Trouble};
use crate::fields::Event;
use crate::input::{At, Input};
use crate::json;
use crate::tree::{Block, Node, Output};

/// Rows that a rule may make of one event.
pub(crate) const ROWS_MAX: usize = 10_000;

/// Values of a rule while it runs.
type Slots<'i> = SmallVec<[Value<'i>; 16]>;

/// See the head of this file.
pub(crate) struct Program {
    event: Event,
    constants: Vec<Value<'static>>,
    slots: Vec<(ValueFn, Span)>,
    /// How many of them have a place while it runs: the others are only written to a column.
    held: usize,
    /// Which WHERE needs, in order.
    early: Vec<usize>,
    /// Which others need, in order, or that can fail and are in no column.
    late: Vec<usize>,
    /// Which of those that are only written to a column can fail.
    fallible: Vec<usize>,
    /// By slot: whether it is only written to a column.
    direct: Vec<bool>,
    condition: Option<TestFn>,
    each: Option<Elements>,
    outputs: Vec<(String, Output)>,
}

/// What FOREACH does.
struct Elements {
    list: usize,
    item: usize,
    condition: Option<TestFn>,
    /// Computed for each element, in order.
    slots: Vec<usize>,
    merged: bool,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} to {} columns", self.event, self.outputs.len())
    }
}

/// The columns of the rows of one program on one shard.
#[derive(Debug)]
pub(crate) struct RowColumns {
    known: Arc<Columns>,
    /// Those of the last row whose element had members.
    merged: Option<Arc<Columns>>,
}

impl RowColumns {
    /// Those that do not depend on the event.
    pub(crate) const fn known(&self) -> &Arc<Columns> {
        &self.known
    }
}

/// Where rows go.
pub(crate) struct Made<'m> {
    pub(crate) scratch: &'m mut Row,
    pub(crate) records: &'m mut SmallVec<[Record; 1]>,
    pub(crate) columns: &'m mut RowColumns,
    pub(crate) rule: u32,
}

impl Program {
    /// Compiles it.
    pub(crate) fn new(block: Block) -> Self {
        let read = block.slots_read();
        let in_columns = block.slots_in_columns();
        let can_fail: Vec<bool> = block.slots.iter().map(Node::can_fail).collect();
        let direct: Vec<bool> = read.iter().zip(&in_columns).map(|(read, column)| *column && !read).collect();
        let is_held = |slot: &usize| read[*slot] || (!direct[*slot] && can_fail[*slot]);
        let kept = |slots: &mut dyn Iterator<Item = usize>| slots.filter(is_held).collect::<Vec<_>>();
        let late = kept(&mut block.late.iter().copied());
        let mut compiler = Compiler::default();
        let slots = block
            .slots
            .into_iter()
            .map(|node| {
                let span = node.span;
                (compiler.value(node), span)
            })
            .collect();
        let mut test = |node: Option<Node>| node.map(|node| compiler.test(node));
        let condition = test(block.condition);
        let each = block.each.map(|each| Elements {
            slots: kept(&mut each.slots.clone()),
            condition: test(each.condition),
            list: each.list,
            item: each.item,
            merged: each.merged,
        });
        let first = each.as_ref().map_or(0, |each| each.item + 1);
        let fallible = (0..direct.len()).filter(|slot| direct[*slot] && can_fail[*slot]).collect();
        Self {
            event: block.event,
            slots,
            held: (0..direct.len()).rev().find(is_held).map_or(0, |last| last + 1).max(first),
            early: block.early,
            late,
            fallible,
            direct,
            condition,
            each,
            outputs: block.columns,
            constants: compiler.constants,
        }
    }

    /// The event that it is for.
    pub(crate) const fn event(&self) -> Event {
        self.event
    }

    /// Whether an element's members become columns.
    pub(crate) fn has_open_columns(&self) -> bool {
        self.each.as_ref().is_some_and(|each| each.merged)
    }

    /// Its columns, for one shard.
    pub(crate) fn columns(&self) -> RowColumns {
        let names = self.outputs.iter().map(|(name, _)| name.as_str().into()).collect();
        RowColumns { known: Arc::new(Columns::new(names)), merged: None }
    }

    /// How many rows there are; with `made` they go there, without it only what can fail is computed.
    pub(crate) fn run(&self, input: &Input<'_>, made: Option<&mut Made<'_>>) -> Result<usize, EvalError> {
        if self.held == 0 && made.is_none() && self.condition.is_none() && self.fallible.is_empty() {
            return Ok(1);
        }
        let frame = Frame { input, constants: &self.constants };
        let mut slots = Slots::new();
        slots.resize_with(self.held, || Value::Null);
        for &slot in &self.early {
            slots[slot] = self.slots[slot].0(&frame, &slots)?;
        }
        if let Some(condition) = &self.condition
            && !condition(&frame, &slots)?
        {
            return Ok(0);
        }
        for &slot in &self.late {
            slots[slot] = self.slots[slot].0(&frame, &slots)?;
        }
        if let Some(each) = &self.each {
            return self.each(each, &frame, slots, made);
        }
        self.row(&frame, &slots, made)?;
        Ok(1)
    }

    fn each<'i>(
        &self,
        each: &Elements,
        frame: &Frame<'i, '_>,
        mut slots: Slots<'i>,
        mut made: Option<&mut Made<'_>>,
    ) -> Result<usize, EvalError> {
        let span = self.slots[each.list].1;
        let items = match std::mem::take(&mut slots[each.list]) {
            Value::List(items) => items,
            Value::Text(text) => {
                frame.input.pay(text.len()).at(span)?;
                match json::decode(&text, &[]) {
                    Value::List(items) => items,
                    _ => return Ok(0),
                }
            }
            _ => return Ok(0),
        };
        let mut rows = 0;
        for item in items {
            /// About what looking at one element costs, beside looking at one byte.
            const ITEM_BYTES: usize = 64;
            frame.input.pay(ITEM_BYTES).at(span)?;
            slots[each.item] = item;
            if let Some(condition) = &each.condition
                && !condition(frame, &slots)?
            {
                continue;
            }
            for &slot in &each.slots {
                slots[slot] = self.slots[slot].0(frame, &slots)?;
            }
            rows += 1;
            if rows > ROWS_MAX {
                return Err(Trouble::TooManyRows).at(span);
            }
            match &mut made {
                Some(made) if each.merged => self.merged_row(each, frame, &slots, made)?,
                made => self.row(frame, &slots, made.as_deref_mut())?,
            }
            let bytes = made.as_ref().and_then(|made| made.records.last()).map_or(0, Record::bytes);
            frame.input.pay(bytes).at(span)?;
        }
        Ok(rows)
    }

    /// One row, or, if nobody wants it, only what of it can fail.
    fn row<'i>(
        &self,
        frame: &Frame<'i, '_>,
        slots: &[Value<'i>],
        made: Option<&mut Made<'_>>,
    ) -> Result<(), EvalError> {
        let Some(made) = made else {
            for &slot in &self.fallible {
                self.slots[slot].0(frame, slots)?;
            }
            return Ok(());
        };
        made.scratch.clear();
        for (_, output) in &self.outputs {
            self.write(output, frame, slots, made.scratch)?;
        }
        made.records.push(made.scratch.record(&made.columns.known, made.rule, frame.input.unix_ms()));
        Ok(())
    }

    /// A row in which the members of the element stand over the columns of the same names.
    fn merged_row<'i>(
        &self,
        each: &Elements,
        frame: &Frame<'i, '_>,
        slots: &[Value<'i>],
        made: &mut Made<'_>,
    ) -> Result<(), EvalError> {
        let Value::Map(members) = &slots[each.item] else {
            return self.row(frame, slots, Some(made));
        };
        let too_large = |RowTooLarge| Trouble::TooLarge;
        let span = self.slots[each.list].1;
        let mut last: HashMap<&str, &Value<'_>> = members.iter().map(|(name, value)| (name.as_ref(), value)).collect();
        let mut names: Vec<&str> = Vec::with_capacity(self.outputs.len() + members.len());
        made.scratch.clear();
        for (name, output) in &self.outputs {
            names.push(name);
            match last.remove(name.as_str()) {
                Some(member) => made.scratch.push(member).map_err(too_large).at(span)?,
                None => self.write(output, frame, slots, made.scratch)?,
            }
        }
        for (name, _) in members {
            if let Some(member) = last.remove(name.as_ref()) {
                names.push(name);
                made.scratch.push(member).map_err(too_large).at(span)?;
            }
        }
        let same = |columns: &Arc<Columns>| columns.names().iter().map(AsRef::as_ref).eq(names.iter().copied());
        let columns = match &made.columns.merged {
            Some(columns) if same(columns) => columns,
            _ => {
                let bytes = names.iter().map(|name| size_of::<Box<str>>() + name.len()).sum();
                frame.input.pay(bytes).at(span)?;
                let names = names.iter().map(|name| (*name).into()).collect();
                made.columns.merged.insert(Arc::new(Columns::new(names)))
            }
        };
        made.records.push(made.scratch.record(columns, made.rule, frame.input.unix_ms()));
        Ok(())
    }

    fn write<'i>(
        &self,
        output: &Output,
        frame: &Frame<'i, '_>,
        slots: &[Value<'i>],
        row: &mut Row,
    ) -> Result<(), EvalError> {
        let too_large = |RowTooLarge| Trouble::TooLarge;
        match output {
            Output::Slot(slot) => {
                let (value, span) = &self.slots[*slot];
                if self.direct[*slot] { row.push(&value(frame, slots)?) } else { row.push(&slots[*slot]) }
                    .map_err(too_large)
                    .at(*span)
            }
            Output::Map(members) => {
                row.begin_map(members.len()).map_err(too_large).at(Span::default())?;
                for (name, member) in members {
                    row.key(name).map_err(too_large).at(Span::default())?;
                    self.write(member, frame, slots, row)?;
                }
                Ok(())
            }
            Output::One(inner) => {
                row.begin_list(1).map_err(too_large).at(Span::default())?;
                self.write(inner, frame, slots, row)
            }
        }
    }
}
