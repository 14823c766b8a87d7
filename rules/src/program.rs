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
use crate::tree::{Block, Each, Node, Output};

/// Rows that a rule may make of one event.
pub(crate) const ROWS_MAX: usize = 10_000;

/// Values of a rule while it runs.
type Slots<'i> = SmallVec<[Value<'i>; 16]>;

/// See the head of this file.
pub(crate) struct Program {
    event: Event,
    constants: Vec<Value<'static>>,
    slots: Vec<(ValueFn, Span)>,
    early: Vec<usize>,
    late: Vec<usize>,
    /// Those of `late` that can fail.
    fallible: Vec<usize>,
    condition: Option<TestFn>,
    each: Option<(Each, Option<TestFn>)>,
    outputs: Vec<(String, Output)>,
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
        let mut compiler = Compiler::default();
        let fallible = block.late.iter().copied().filter(|slot| block.slots[*slot].can_fail()).collect();
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
        let each = block.each.map(|mut each| {
            let condition = test(each.condition.take());
            (each, condition)
        });
        Self {
            event: block.event,
            slots,
            early: block.early,
            late: block.late,
            fallible,
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
        self.each.as_ref().is_some_and(|(each, _)| each.merged)
    }

    /// Its columns, for one shard.
    pub(crate) fn columns(&self) -> RowColumns {
        let names = self.outputs.iter().map(|(name, _)| name.as_str().into()).collect();
        RowColumns { known: Arc::new(Columns::new(names)), merged: None }
    }

    /// Whether there are rows; with `made` they go there, without it only what can fail is computed.
    pub(crate) fn run(&self, input: &Input<'_>, mut made: Option<&mut Made<'_>>) -> Result<bool, EvalError> {
        let frame = Frame { input, constants: &self.constants };
        let mut slots = Slots::new();
        slots.resize_with(self.slots.len(), || Value::Null);
        for &slot in &self.early {
            slots[slot] = self.slots[slot].0(&frame, &slots)?;
        }
        if let Some(condition) = &self.condition
            && !condition(&frame, &slots)?
        {
            return Ok(false);
        }
        let wanted = if made.is_some() || self.each.is_some() { &self.late } else { &self.fallible };
        for &slot in wanted {
            slots[slot] = self.slots[slot].0(&frame, &slots)?;
        }
        if let Some((each, condition)) = &self.each {
            return self.each(each, condition.as_ref(), &frame, slots, made);
        }
        if let Some(made) = &mut made {
            self.row(&slots, made, input.unix_ms())?;
        }
        Ok(true)
    }

    fn each<'i>(
        &self,
        each: &Each,
        condition: Option<&TestFn>,
        frame: &Frame<'i, '_>,
        mut slots: Slots<'i>,
        mut made: Option<&mut Made<'_>>,
    ) -> Result<bool, EvalError> {
        let span = self.slots[each.list].1;
        let items = match std::mem::take(&mut slots[each.list]) {
            Value::List(items) => items,
            Value::Text(text) => {
                frame.input.pay(text.len()).at(span)?;
                match json::decode(&text, &[]) {
                    Value::List(items) => items,
                    _ => return Ok(false),
                }
            }
            _ => return Ok(false),
        };
        let mut rows = 0;
        for item in items {
            /// About what looking at one element costs, beside looking at one byte.
            const ITEM_BYTES: usize = 64;
            frame.input.pay(ITEM_BYTES).at(span)?;
            slots[each.item] = item;
            if let Some(condition) = condition
                && !condition(frame, &slots)?
            {
                continue;
            }
            for slot in each.slots.clone() {
                slots[slot] = self.slots[slot].0(frame, &slots)?;
            }
            rows += 1;
            if rows > ROWS_MAX {
                return Err(Trouble::TooManyRows).at(span);
            }
            if let Some(made) = &mut made {
                if each.merged {
                    self.merged_row(each, &slots, made, frame.input)?;
                } else {
                    self.row(&slots, made, frame.input.unix_ms())?;
                }
                let bytes = made.records.last().map_or(0, Record::bytes);
                frame.input.pay(bytes).at(span)?;
            }
        }
        Ok(rows > 0)
    }

    fn row(&self, slots: &[Value<'_>], made: &mut Made<'_>, unix_ms: u64) -> Result<(), EvalError> {
        made.scratch.clear();
        for (_, output) in &self.outputs {
            self.write(output, slots, made.scratch)?;
        }
        made.records.push(made.scratch.record(&made.columns.known, made.rule, unix_ms));
        Ok(())
    }

    /// A row in which the members of the element stand over the columns of the same names.
    fn merged_row(
        &self,
        each: &Each,
        slots: &[Value<'_>],
        made: &mut Made<'_>,
        input: &Input<'_>,
    ) -> Result<(), EvalError> {
        let unix_ms = input.unix_ms();
        let Value::Map(members) = &slots[each.item] else {
            return self.row(slots, made, unix_ms);
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
                None => self.write(output, slots, made.scratch)?,
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
                input.pay(bytes).at(span)?;
                let names = names.iter().map(|name| (*name).into()).collect();
                made.columns.merged.insert(Arc::new(Columns::new(names)))
            }
        };
        made.records.push(made.scratch.record(columns, made.rule, unix_ms));
        Ok(())
    }

    fn write(&self, output: &Output, slots: &[Value<'_>], row: &mut Row) -> Result<(), EvalError> {
        let too_large = |RowTooLarge| Trouble::TooLarge;
        match output {
            Output::Slot(slot) => row.push(&slots[*slot]).map_err(too_large).at(self.slots[*slot].1),
            Output::Map(members) => {
                row.begin_map(members.len()).map_err(too_large).at(Span::default())?;
                for (name, member) in members {
                    row.key(name).map_err(too_large).at(Span::default())?;
                    self.write(member, slots, row)?;
                }
                Ok(())
            }
            Output::One(inner) => {
                row.begin_list(1).map_err(too_large).at(Span::default())?;
                self.write(inner, slots, row)
            }
        }
    }
}
