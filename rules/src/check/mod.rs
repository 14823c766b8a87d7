//! Names, types and arities: the tree as written becomes the checked tree, constants folded.
//!
//! A rule that reads several events is checked, and compiled, for each of them: what a field is depends on the event.
//! All mistakes of a rule are reported at once. Not here: what an operator does (`ops.rs`).

mod expr;
mod names;

use millrace_core::topic::filter::{FilterError, TopicFilter};
use millrace_core::topic::name::TopicLimits;

use crate::ast::{Alias, Expr, ExprKind, Field, Foreach, Literal, PathStep, PutStep, Query, Step};
use crate::columns::{ColumnTree, Taken};
use crate::config::Compat;
use crate::diagnostics::{Diagnostic, Severity, Span, nearest};
use crate::fields::{Event, EventField, FieldInfo};
use crate::tree::{Block, Each, Node, NodeKind, Output, Plan};
use crate::value_type::Type;

/// The parts of `flags`.
const FLAGS: [&str; 2] = ["retain", "dup"];
/// What an element of the list is called, whatever else it is called.
const ITEM: &str = "item";

/// Checks a rule of this name.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub(crate) fn check(query: &Query<'_>, sql: &str, rule: &str, compat: Compat) -> Result<Plan, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let (filters, events) = sources(query, &mut diagnostics);
    let blocks: Vec<Block> = events
        .iter()
        .map(|event| {
            let mut checker = Checker {
                sql,
                rule,
                compat,
                event: *event,
                events: &events,
                diagnostics: Vec::new(),
                slots: Vec::new(),
                columns: ColumnTree::default(),
                names: ColumnTree::default(),
            };
            let block = checker.block(query);
            for diagnostic in checker.diagnostics {
                if !diagnostics.contains(&diagnostic) {
                    diagnostics.push(diagnostic);
                }
            }
            block
        })
        .collect();
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(Plan { filters, blocks, warnings: diagnostics })
}

/// The Topic Filters after FROM, and the events that these and the others stand for; messages if all are wrong.
fn sources(query: &Query<'_>, diagnostics: &mut Vec<Diagnostic>) -> (Vec<String>, Vec<Event>) {
    let mut filters: Vec<String> = Vec::new();
    let mut events = Vec::new();
    for source in &query.sources {
        let text = source.text.as_ref();
        let before = events.len();
        if text.starts_with("$events/") {
            for event in Event::matching(text) {
                if events[..before].contains(&event) {
                    continue;
                }
                events.push(event);
                if Event::named(text) == Some(event) && !event.info().raised {
                    let message = format!("nothing raises `{text}` yet: the rule never runs for it");
                    let mut warning = Diagnostic::error("R0108", source.span, message);
                    warning.severity = Severity::Warning;
                    diagnostics.push(warning);
                }
            }
            if Event::matching(text).next().is_none() {
                let topics = Event::all().flat_map(|info| info.topics).copied();
                let error = Diagnostic::error("R0105", source.span, format!("there is no event `{text}`"));
                diagnostics.push(match nearest(text, topics) {
                    Some(near) => error.help(format!("did you mean `{near}`?")).replace(format!("\"{near}\"")),
                    None => error.help("`millrace rules events` lists them"),
                });
            }
        } else if text.starts_with("$bridges/") || text.starts_with("$sources/") {
            diagnostics.push(
                Diagnostic::error("R0105", source.span, format!("`{text}` is not an event that rules can read"))
                    .help("a rule reads messages, FROM \"sensors/#\", and events, FROM \"$events/client_connected\""),
            );
        } else if let Err(why) = filter(text) {
            diagnostics.push(Diagnostic::error("R0104", source.span, format!("`{text}`: {why}")));
        } else {
            if !filters.iter().any(|known| known == text) {
                filters.push(text.to_owned());
            }
            if !events.contains(&Event::MessagePublish) {
                events.push(Event::MessagePublish);
            }
        }
    }
    if events.is_empty() {
        events.push(Event::MessagePublish);
    }
    (filters, events)
}

/// The slots that WHERE reads, and those that these read, in order.
fn needed_first(condition: Option<&Node>, slots: &[Node]) -> Vec<usize> {
    let mut wanted = vec![false; slots.len()];
    let mut read = Vec::new();
    if let Some(condition) = condition {
        condition.slots_read(&mut read);
    }
    while let Some(slot) = read.pop() {
        if !std::mem::replace(&mut wanted[slot], true) {
            slots[slot].slots_read(&mut read);
        }
    }
    (0..slots.len()).filter(|slot| wanted[*slot]).collect()
}

/// Checks a rule for one event.
struct Checker<'s> {
    sql: &'s str,
    rule: &'s str,
    compat: Compat,
    event: Event,
    /// All events that the rule reads.
    events: &'s [Event],
    diagnostics: Vec<Diagnostic>,
    slots: Vec<Node>,
    columns: ColumnTree,
    /// What the names stand for that fields have been given so far.
    names: ColumnTree,
}

/// What a slot holds after a value was written.
enum Written {
    /// The value itself.
    Value(usize),
    /// The whole column with the value in it.
    Column(usize),
}

impl Checker<'_> {
    fn block(&mut self, query: &Query<'_>) -> Block {
        let (fields, list) = match (&query.foreach, query.fields.split_last()) {
            (Some(foreach), Some((list, helpers))) => (helpers, Some((foreach, list))),
            _ => (&query.fields[..], None),
        };
        if list.is_some_and(|(foreach, _)| foreach.projection.is_none()) {
            self.all_fields(list.map_or(Span::default(), |(_, list)| list.span()));
        }
        for field in fields {
            self.field(field);
        }
        let list = list.map(|(foreach, list)| (foreach, list, self.list(list)));
        let once = self.slots.len();
        let mut condition = query.condition.as_ref().map(|expr| self.condition(expr, "WHERE"));
        if let Some(condition) = &mut condition {
            self.share_paths(condition);
        }
        let early = needed_first(condition.as_ref(), &self.slots[..once]);
        let late = (0..once).filter(|slot| !early.contains(slot)).collect();
        let each = list.map(|(foreach, field, list)| self.each(foreach, field, list));
        Block {
            event: self.event,
            slots: std::mem::take(&mut self.slots),
            early,
            late,
            condition,
            each,
            columns: std::mem::take(&mut self.columns).finish(),
        }
    }

    /// The list that FOREACH goes through; the slot that it is in.
    fn list(&mut self, field: &Field<'_>) -> usize {
        let Field::Expr { expr, .. } = field else { unreachable!("the parser lets no `*` be the list") };
        let mut node = self.expr(expr);
        if matches!(node.kind, NodeKind::Field(EventField::Payload)) {
            node = Node { kind: NodeKind::Payload(Box::default()), ty: Type::ANY, span: node.span };
        }
        if !node.ty.meets(Type::LIST | Type::TEXT | Type::NULL) {
            let ty = node.ty;
            self.error("R0111", node.span, format!("FOREACH wants a list as its last field, this is {ty}"));
        }
        self.slots.push(node);
        self.slots.len() - 1
    }

    /// What is done with each element of the list in this slot.
    fn each(&mut self, foreach: &Foreach<'_>, field: &Field<'_>, list: usize) -> Each {
        let span = field.span();
        let item = self.slots.len();
        self.slots.push(Node { kind: NodeKind::Const(millrace_core::value::Value::Null), ty: Type::ANY, span });
        self.names.set(ITEM, Output::Slot(item));
        let mut name = ITEM.to_owned();
        if let Field::Expr { alias: Some(alias), .. } = field {
            if alias.steps.is_empty() {
                alias.root.as_ref().clone_into(&mut name);
                self.names.set(&name, Output::Slot(item));
            } else {
                self.diagnostics.push(
                    Diagnostic::error("R0003", alias.span, "an element has a name without dots and brackets")
                        .help("name it by one word: FOREACH payload.sensors AS s"),
                );
            }
        }
        let condition = foreach.condition.as_ref().map(|expr| self.condition(expr, "INCASE"));
        let first = self.slots.len();
        match &foreach.projection {
            Some(fields) => {
                self.columns = ColumnTree::default();
                for field in fields {
                    self.field(field);
                }
            }
            None => self.columns.set(&name, Output::Slot(item)),
        }
        Each { list, item, condition, slots: first..self.slots.len(), merged: foreach.projection.is_none() }
    }

    fn condition(&mut self, expr: &Expr<'_>, word: &str) -> Node {
        let node = self.expr(expr);
        self.wants_condition(&node, word);
        node
    }

    /// A part of the payload that WHERE always reads and that is a field as well is looked for once.
    fn share_paths(&self, condition: &mut Node) {
        condition.always(&mut |node| {
            if let NodeKind::Payload(path) = &node.kind
                && let Some(slot) =
                    self.slots.iter().position(|slot| matches!(&slot.kind, NodeKind::Payload(known) if known == path))
            {
                node.kind = NodeKind::Slot(slot);
            }
        });
    }

    fn all_fields(&mut self, span: Span) {
        for info in self.event.fields() {
            self.whole_field(info, span);
        }
    }

    fn field(&mut self, field: &Field<'_>) {
        match field {
            Field::All(span) => self.all_fields(*span),
            Field::Expr { expr, alias } => {
                let node = self.expr(expr);
                match alias {
                    Some(alias) => self.named(node, alias),
                    None => {
                        let path = self.own_name(expr);
                        self.place(&path, node, expr.span);
                    }
                }
            }
        }
    }

    fn slot(&mut self, node: Node) -> usize {
        self.slots.push(node);
        self.slots.len() - 1
    }

    /// `… AS a.b` and `… AS a[1].b`: the value has this name from now on.
    fn named(&mut self, node: Node, alias: &Alias<'_>) {
        let root = alias.root.as_ref();
        let names = alias.steps.iter().map_while(|step| match step {
            PutStep::Name(name) => Some(Step::Name(name.clone())),
            PutStep::Index(_) | PutStep::Append => None,
        });
        let path: Vec<Step> = std::iter::once(Step::Name(root.to_owned())).chain(names).collect();
        let written = if path.len() > alias.steps.len() {
            self.place(&path, node, alias.span)
        } else {
            Some(self.put(root, alias.steps.clone(), node, alias.span))
        };
        let (Some(written), Some(column)) = (written, self.columns.get(root).cloned()) else { return };
        // A field of the event keeps the parts that are not written to; any other name is the column now.
        if self.event.field(root).is_none() || matches!(self.names.get(root), Some(Output::Slot(_))) {
            self.names.set(root, column);
            return;
        }
        let (path, slot) = match (written, &path[..]) {
            (Written::Value(slot), path) => (path, slot),
            (Written::Column(slot), [root, name, ..]) => {
                let whole = Node { kind: NodeKind::Slot(slot), ty: Type::ANY, span: alias.span };
                let part = self.part(whole, vec![name.clone()]);
                (&[root.clone(), name.clone()][..], self.slot(part))
            }
            (Written::Column(slot), path) => (path, slot),
        };
        if self.names.place(path, slot).is_err() {
            self.names.set(root, column);
        }
    }

    /// Puts a value at the end of a path of names, unless something else is there.
    fn place(&mut self, path: &[Step], node: Node, span: Span) -> Option<Written> {
        let taken = match self.columns.place(path, self.slots.len()) {
            Ok(()) => return Some(Written::Value(self.slot(node))),
            Err(taken) => taken,
        };
        let may_have_parts = taken.slot.is_none_or(|slot| {
            let known = &self.slots[slot];
            known.ty.meets(Type::MAP | Type::LIST) || matches!(known.kind, NodeKind::Field(EventField::Payload))
        });
        let ([Step::Name(root), rest @ ..], true) = (path, may_have_parts) else {
            self.taken(&taken, span);
            return None;
        };
        let steps = rest.iter().map(|step| match step {
            Step::Name(name) => PutStep::Name(name.clone()),
            Step::Index(index) => PutStep::Index(*index),
        });
        Some(self.put(root, steps.collect(), node, span))
    }

    /// Writes a value into a column as it is so far.
    fn put(&mut self, root: &str, steps: Vec<PutStep>, node: Node, span: Span) -> Written {
        let base = self.columns.get(root).map(|output| Box::new(self.output(output, span)));
        let put = NodeKind::Put(base, steps.into_boxed_slice(), Box::new(node));
        let slot = self.slot(Node { kind: put, ty: Type::ANY, span });
        self.columns.set(root, Output::Slot(slot));
        Written::Column(slot)
    }

    /// The value of a column as it is so far.
    fn output(&self, output: &Output, span: Span) -> Node {
        let node = |kind, ty| Node { kind, ty, span };
        match output {
            Output::Slot(slot) => node(NodeKind::Slot(*slot), self.slots[*slot].ty),
            Output::Map(members) => {
                let members = members.iter().map(|(name, output)| (name.clone(), self.output(output, span))).collect();
                node(NodeKind::Members(members), Type::MAP)
            }
            Output::One(inner) => node(NodeKind::List(vec![self.output(inner, span)]), Type::LIST),
        }
    }

    fn taken(&mut self, taken: &Taken, span: Span) {
        self.diagnostics.push(
            Diagnostic::error(
                "R0107",
                span,
                format!("the column `{}` cannot be both a value and made of parts", taken.name),
            )
            .help("give one of them another name by AS"),
        );
    }

    /// One field of `*`. `flags` is put together from its parts: a map of its own would be an allocation a row.
    fn whole_field(&mut self, info: &FieldInfo, span: Span) {
        let field = Node { kind: NodeKind::Field(info.field), ty: info.ty, span };
        let output = if info.field == EventField::Flags {
            let flags = FLAGS.map(|flag| {
                let part = self.part(field.clone(), vec![Step::Name(flag.to_owned())]);
                (flag.to_owned(), Output::Slot(self.slot(part)))
            });
            Output::Map(flags.into())
        } else {
            Output::Slot(self.slot(field))
        };
        self.columns.set(info.name, output);
    }

    /// Where a field without AS goes: a path to its own place, anything else under its own text.
    fn own_name(&mut self, expr: &Expr<'_>) -> Vec<Step> {
        match &expr.kind {
            ExprKind::Path(path) => {
                let mut steps = vec![Step::Name(path.root.clone().into_owned())];
                steps.extend(path.steps.iter().filter_map(|step| match step {
                    PathStep::Fixed(step) => Some(step.clone()),
                    PathStep::Computed(_) | PathStep::Slice(..) => None,
                }));
                steps
            }
            ExprKind::Literal(Literal::Text(text)) => vec![Step::Name(text.clone().into_owned())],
            _ => {
                let text = self.text(expr.span);
                self.diagnostics.push(Diagnostic {
                    code: "R0106",
                    severity: Severity::Warning,
                    span: expr.span,
                    message: format!("this column has no name and is called `{text}`"),
                    help: Some("name it by AS".to_owned()),
                    replacement: Some(format!("{text} AS x")),
                });
                vec![Step::Name(text)]
            }
        }
    }

    fn text(&self, span: Span) -> String {
        self.sql.get(span.start as usize..span.end as usize).unwrap_or("value").to_owned()
    }

    fn error(&mut self, code: &'static str, span: Span, message: String) {
        self.diagnostics.push(Diagnostic::error(code, span, message));
    }
}

/// Checks a Topic Filter; how long it may be is the listener's business.
fn filter(text: &str) -> Result<(), FilterError> {
    TopicFilter::parse(text, TopicLimits::PROTOCOL).map(|_| ())
}
