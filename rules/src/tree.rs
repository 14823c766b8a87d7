//! The checked tree: every name resolved, every path split, constants folded. What the compiler gets.

use std::ops::Range;

use millrace_core::value::Value;

use crate::ast::{BinaryOp, PutStep, Step};
use crate::diagnostics::{Diagnostic, Span};
use crate::fields::{Event, EventField};
use crate::functions::Function;
use crate::value_type::Type;

/// A checked rule.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Topic Filters after FROM.
    pub(crate) filters: Vec<String>,
    /// What it does for each event that it reads.
    pub(crate) blocks: Vec<Block>,
    /// What is allowed but probably not meant.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What a rule does for one event.
#[derive(Debug)]
pub(crate) struct Block {
    /// The event.
    pub(crate) event: Event,
    /// The values it computes, in order; each may read those before it.
    pub(crate) slots: Vec<Node>,
    /// Which of them WHERE needs, in order.
    pub(crate) early: Vec<usize>,
    /// The others, computed only when WHERE holds.
    pub(crate) late: Vec<usize>,
    /// WHERE.
    pub(crate) condition: Option<Node>,
    /// What it does for each element, if it is FOREACH.
    pub(crate) each: Option<Each>,
    /// The columns of its rows.
    pub(crate) columns: Vec<(String, Output)>,
}

impl Block {
    /// By slot: whether something reads it besides the columns.
    pub(crate) fn slots_read(&self) -> Vec<bool> {
        let mut read = Vec::new();
        let conditions = self.condition.iter().chain(self.each.as_ref().and_then(|each| each.condition.as_ref()));
        self.slots.iter().chain(conditions).for_each(|node| node.slots_read(&mut read));
        read.extend(self.each.as_ref().into_iter().flat_map(|each| [each.list, each.item]));
        let mut is_read = vec![false; self.slots.len()];
        read.into_iter().for_each(|slot| is_read[slot] = true);
        is_read
    }

    /// By slot: whether it is in a column.
    pub(crate) fn slots_in_columns(&self) -> Vec<bool> {
        fn mark(output: &Output, marked: &mut [bool]) {
            match output {
                Output::Slot(slot) => marked[*slot] = true,
                Output::Map(members) => members.iter().for_each(|(_, member)| mark(member, marked)),
                Output::One(inner) => mark(inner, marked),
            }
        }
        let mut marked = vec![false; self.slots.len()];
        self.columns.iter().for_each(|(_, output)| mark(output, &mut marked));
        marked
    }
}

/// What FOREACH does.
#[derive(Debug)]
pub(crate) struct Each {
    /// The slot of the list.
    pub(crate) list: usize,
    /// The slot of the element.
    pub(crate) item: usize,
    /// INCASE.
    pub(crate) condition: Option<Node>,
    /// What is computed for each element.
    pub(crate) slots: Range<usize>,
    /// Whether the members of the element become columns, over those of the event.
    pub(crate) merged: bool,
}

/// What stands in a column.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// A computed value.
    Slot(usize),
    /// A map of such, as `AS a.b` makes them.
    Map(Vec<(String, Self)>),
    /// A list of one, as an unnamed `a[1]` makes it.
    One(Box<Self>),
}

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) kind: NodeKind,
    /// What its value may be.
    pub(crate) ty: Type,
    /// Where it stands.
    pub(crate) span: Span,
}

/// The kinds of checked expression.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// Known when the rule is compiled.
    Const(Value<'static>),
    /// A whole field.
    Field(EventField),
    /// A part of the payload.
    Payload(Box<[Step]>),
    /// A part of another value.
    Part(Box<Node>, Box<[Step]>),
    /// `a[b]`: the element at a position that is computed.
    At(Box<Node>, Box<Node>),
    /// `a[2..4]`
    Slice(Box<Node>, i64, i64),
    /// `[a, b]`
    List(Vec<Node>),
    /// The first, or nothing, with the last written into it.
    Put(Option<Box<Node>>, Box<[PutStep]>, Box<Node>),
    /// The value of a slot before.
    Slot(usize),
    /// Slots under one name.
    Members(Vec<(String, Node)>),
    /// `- x`
    Negate(Box<Node>),
    /// `NOT x`
    Not(Box<Node>),
    /// `x + y` and its like.
    Arithmetic(BinaryOp, Box<Node>, Box<Node>),
    /// `x = y` and its like.
    Compare(BinaryOp, Box<Node>, Box<Node>),
    /// All of them.
    And(Vec<Node>),
    /// One of them.
    Or(Vec<Node>),
    /// `x IN (…)`
    In(Box<Node>, Vec<Node>, bool),
    /// `x IS NULL`
    IsNull(Box<Node>, bool),
    /// `CASE x WHEN y THEN z … ELSE w END`
    CaseOf(Box<Node>, Vec<(Node, Node)>, Option<Box<Node>>),
    /// `CASE WHEN x THEN y … ELSE w END`
    CaseWhen(Vec<(Node, Node)>, Option<Box<Node>>),
    /// A function.
    Call(&'static Function, Vec<Node>),
}

impl Node {
    /// The constant, if it is one.
    pub(crate) const fn constant(&self) -> Option<&Value<'static>> {
        match &self.kind {
            NodeKind::Const(value) => Some(value),
            _ => None,
        }
    }

    /// Calls `visit` for each expression directly inside this one.
    pub(crate) fn inside<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        match &self.kind {
            NodeKind::Const(_) | NodeKind::Field(_) | NodeKind::Payload(_) | NodeKind::Slot(_) => {}
            NodeKind::Part(a, _)
            | NodeKind::Slice(a, ..)
            | NodeKind::Negate(a)
            | NodeKind::Not(a)
            | NodeKind::IsNull(a, _) => visit(a),
            NodeKind::Put(base, _, value) => {
                if let Some(base) = base {
                    visit(base);
                }
                visit(value);
            }
            NodeKind::Members(members) => members.iter().for_each(|(_, node)| visit(node)),
            NodeKind::Arithmetic(_, a, b) | NodeKind::Compare(_, a, b) | NodeKind::At(a, b) => {
                visit(a);
                visit(b);
            }
            NodeKind::And(terms) | NodeKind::Or(terms) | NodeKind::List(terms) | NodeKind::Call(_, terms) => {
                terms.iter().for_each(visit);
            }
            NodeKind::In(value, list, _) => {
                visit(value);
                list.iter().for_each(visit);
            }
            NodeKind::CaseOf(_, branches, otherwise) | NodeKind::CaseWhen(branches, otherwise) => {
                if let NodeKind::CaseOf(subject, ..) = &self.kind {
                    visit(subject);
                }
                for (when, then) in branches {
                    visit(when);
                    visit(then);
                }
                if let Some(otherwise) = otherwise {
                    visit(otherwise);
                }
            }
        }
    }

    /// Whether computing it can fail for some event.
    pub(crate) fn can_fail(&self) -> bool {
        let mut fails = matches!(
            self.kind,
            NodeKind::Payload(_)
                | NodeKind::Slice(..)
                | NodeKind::Negate(_)
                | NodeKind::Arithmetic(..)
                | NodeKind::Compare(..)
                | NodeKind::Call(..)
        );
        self.inside(&mut |node| fails |= node.can_fail());
        fails
    }

    /// Calls `visit` for each expression in this one, itself too, that is computed whenever this one is.
    pub(crate) fn always(&mut self, visit: &mut impl FnMut(&mut Self)) {
        visit(self);
        match &mut self.kind {
            NodeKind::Negate(a) | NodeKind::Not(a) | NodeKind::IsNull(a, _) | NodeKind::In(a, ..) => a.always(visit),
            NodeKind::Arithmetic(_, a, b) | NodeKind::Compare(_, a, b) => {
                a.always(visit);
                b.always(visit);
            }
            NodeKind::And(terms) | NodeKind::Or(terms) => terms.iter_mut().take(1).for_each(|term| term.always(visit)),
            NodeKind::Call(_, args) => args.iter_mut().for_each(|arg| arg.always(visit)),
            NodeKind::CaseOf(subject, ..) => subject.always(visit),
            NodeKind::CaseWhen(branches, _) => branches.iter_mut().take(1).for_each(|(when, _)| when.always(visit)),
            _ => {}
        }
    }

    /// The slots that its value depends on directly.
    pub(crate) fn slots_read(&self, read: &mut Vec<usize>) {
        if let NodeKind::Slot(slot) = self.kind {
            read.push(slot);
        }
        self.inside(&mut |node| node.slots_read(read));
    }
}
