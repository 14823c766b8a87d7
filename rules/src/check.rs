//! Names, types and arities: the tree as written becomes the checked tree, constants folded.
//!
//! All mistakes of a rule are reported at once. Not here: what an operator does (`ops.rs`).

use millrace_core::topic::filter::{FilterError, TopicFilter};
use millrace_core::topic::name::TopicLimits;
use millrace_core::value::Value;

use crate::ast::{BinaryOp, Expr, ExprKind, Field, Literal, Path, Query, Step};
use crate::columns::ColumnTree;
use crate::compile;
use crate::diagnostics::{Diagnostic, Severity, Span, nearest};
use crate::fields::{Event, EventField, FieldInfo};
use crate::functions::{self, Body, Function};
use crate::ops;
use crate::parse::DEPTH_MAX;
use crate::tree::{Node, NodeKind, Output, Plan};
use crate::value_type::Type;

/// Checks a rule.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub(crate) fn check(query: &Query<'_>, sql: &str) -> Result<Plan, Vec<Diagnostic>> {
    let mut checker = Checker { sql, event: Event::MessagePublish, diagnostics: Vec::new(), aliases: Vec::new() };
    let (filters, events) = checker.sources(query);
    if let (true, Some(event)) = (filters.is_empty(), events.first()) {
        checker.event = *event;
    }
    let mut slots = Vec::new();
    let mut columns = ColumnTree::default();
    for field in &query.fields {
        checker.field(field, &mut slots, &mut columns);
    }
    let condition = query.condition.as_ref().map(|expr| {
        let node = checker.expr(expr);
        checker.wants_condition(&node, "WHERE");
        node
    });
    let mut diagnostics = checker.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    let early = needed_first(condition.as_ref(), &slots);
    let late = (0..slots.len()).filter(|slot| !early.contains(slot)).collect();
    Ok(Plan { filters, events, slots, early, late, condition, columns: columns.finish(), warnings: diagnostics })
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

/// The parts of `flags`.
const FLAGS: [&str; 2] = ["retain", "dup"];

struct Checker<'s> {
    sql: &'s str,
    event: Event,
    diagnostics: Vec<Diagnostic>,
    /// Names that fields have been given so far: path, slot, type.
    aliases: Vec<(Vec<String>, usize, Type)>,
}

impl<'s> Checker<'s> {
    fn sources(&mut self, query: &Query<'_>) -> (Vec<String>, Vec<Event>) {
        let mut filters: Vec<String> = Vec::new();
        let mut events: Vec<Event> = Vec::new();
        for source in &query.sources {
            let text = source.text.as_ref();
            if text.starts_with("$events/") {
                let wanted: Vec<Event> = Event::matching(text).collect();
                if wanted.is_empty() {
                    let message = format!("`{text}` is not an event that rules can read");
                    let mut diagnostic = Diagnostic::error("R0105", source.span, message);
                    let topics = Event::all().flat_map(|info| info.topics.iter().copied());
                    if let Some(near) = nearest(text, topics) {
                        diagnostic = diagnostic.help(format!("did you mean `{near}`?")).replace(format!("\"{near}\""));
                    }
                    self.diagnostics.push(diagnostic);
                }
                events.extend(wanted.into_iter().filter(|event| !events.contains(event)).collect::<Vec<_>>());
            } else if let Err(why) = filter(text) {
                self.diagnostics.push(Diagnostic::error("R0104", source.span, format!("`{text}`: {why}")));
            } else if !filters.iter().any(|known| known == text) {
                filters.push(text.to_owned());
            }
        }
        (filters, events)
    }

    fn field(&mut self, field: &Field<'_>, slots: &mut Vec<Node>, columns: &mut ColumnTree) {
        match field {
            Field::All(span) => {
                for info in self.event.fields() {
                    self.whole_field(info, *span, slots, columns);
                }
            }
            Field::Expr { expr, alias } => {
                let node = self.expr(expr);
                let slot = slots.len();
                let placed = if let Some(alias) = alias {
                    let path: Vec<String> = alias.path.iter().map(|name| name.clone().into_owned()).collect();
                    let steps: Vec<Step> = path.iter().cloned().map(Step::Name).collect();
                    self.aliases.push((path, slot, node.ty));
                    columns.place(&steps, slot)
                } else {
                    columns.place(&self.own_name(expr), slot)
                };
                if let Err(taken) = placed {
                    let span = alias.as_ref().map_or(expr.span, |alias| alias.span);
                    self.diagnostics.push(
                        Diagnostic::error(
                            "R0107",
                            span,
                            format!("the column `{taken}` cannot be both a value and made of parts"),
                        )
                        .help("give one of them another name by AS"),
                    );
                }
                slots.push(node);
            }
        }
    }

    /// One field of `*`. `flags` is put together from its parts: a map of its own would be an allocation a row.
    fn whole_field(&mut self, info: &FieldInfo, span: Span, slots: &mut Vec<Node>, columns: &mut ColumnTree) {
        let field = Node { kind: NodeKind::Field(info.field), ty: info.ty, span };
        let mut slot_of = |node| {
            slots.push(node);
            Output::Slot(slots.len() - 1)
        };
        let output = if info.field == EventField::Flags {
            let part = |flag: &str| self.part(field.clone(), vec![Step::Name(flag.to_owned())]);
            let flags = FLAGS.map(part).map(&mut slot_of);
            Output::Map(FLAGS.map(str::to_owned).into_iter().zip(flags).collect())
        } else {
            slot_of(field)
        };
        columns.set(info.name, output);
    }

    /// Where a field without AS goes: a path to its own place, anything else under its own text.
    fn own_name(&mut self, expr: &Expr<'_>) -> Vec<Step> {
        match &expr.kind {
            ExprKind::Path(path) => {
                let mut steps = vec![Step::Name(path.root.clone().into_owned())];
                steps.extend(path.steps.iter().cloned());
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

    fn expr(&mut self, expr: &Expr<'_>) -> Node {
        let span = expr.span;
        let node = |kind, ty| Node { kind, ty, span };
        let checked = match &expr.kind {
            ExprKind::Literal(literal) => {
                let value = match literal {
                    Literal::Null => Value::Null,
                    Literal::Bool(value) => Value::Bool(*value),
                    Literal::Int(value) => Value::Int(*value),
                    Literal::Float(value) => Value::Float(*value),
                    Literal::Text(text) => Value::Text(text.clone().into_owned().into()),
                };
                let ty = Type::of(&value);
                return node(NodeKind::Const(value), ty);
            }
            ExprKind::Path(path) => return self.path(path, span),
            ExprKind::Negate(inner) => {
                let inner = self.expr(inner);
                if !inner.ty.meets(Type::NUMBER) {
                    let ty = inner.ty;
                    self.error("R0111", inner.span, format!("`-` wants a number, this is {ty}"));
                }
                node(NodeKind::Negate(Box::new(inner)), Type::NUMBER)
            }
            ExprKind::Not(inner) => {
                let inner = self.expr(inner);
                self.wants_condition(&inner, "NOT");
                node(NodeKind::Not(Box::new(inner)), Type::BOOL)
            }
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right, span),
            ExprKind::And(terms) => node(NodeKind::And(self.conditions(terms, "AND")), Type::BOOL),
            ExprKind::Or(terms) => node(NodeKind::Or(self.conditions(terms, "OR")), Type::BOOL),
            ExprKind::In { value, list, negated } => {
                let value = Box::new(self.expr(value));
                let list = list.iter().map(|item| self.expr(item)).collect();
                node(NodeKind::In(value, list, *negated), Type::BOOL)
            }
            ExprKind::IsNull { value, negated } => {
                node(NodeKind::IsNull(Box::new(self.expr(value)), *negated), Type::BOOL)
            }
            ExprKind::Case { subject, branches, otherwise } => {
                self.case(subject.as_deref(), branches, otherwise.as_deref(), span)
            }
            ExprKind::Call { name, name_span, args } => return self.call(name, *name_span, args, span),
        };
        self.fold(checked)
    }

    fn conditions(&mut self, terms: &[Expr<'_>], word: &str) -> Vec<Node> {
        terms
            .iter()
            .map(|term| {
                let term = self.expr(term);
                self.wants_condition(&term, word);
                term
            })
            .collect()
    }

    fn wants_condition(&mut self, node: &Node, word: &str) {
        if !node.ty.meets(Type::BOOL) {
            let mut diagnostic = Diagnostic::error(
                "R0112",
                node.span,
                format!("{word} wants something true or false, this is {}", node.ty),
            );
            diagnostic.help = Some("compare it with a value, or ask IS NOT NULL".to_owned());
            self.diagnostics.push(diagnostic);
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr<'_>, right: &Expr<'_>, span: Span) -> Node {
        let left = self.expr(left);
        let right = self.expr(right);
        let (a, b) = (left.ty, right.ty);
        if op.compares() {
            for (one, other) in [(&left, &right), (&right, &left)] {
                if let Some(Value::Text(text)) = one.constant()
                    && other.ty.is_within(Type::NUMBER)
                    && op != BinaryOp::Matches
                    && ops::numeric(text).is_err()
                {
                    self.error("R0111", span, format!("a number is compared with '{text}', which is not one"));
                }
            }
            if op == BinaryOp::Matches
                && let Some(Value::Text(text)) = right.constant()
                && let Err(why) = filter(text)
            {
                self.error("R0104", right.span, format!("'{text}': {why}"));
            }
            return Node { kind: NodeKind::Compare(op, Box::new(left), Box::new(right)), ty: Type::BOOL, span };
        }
        let symbol = op.symbol();
        let accepted = match op {
            BinaryOp::Add => Type::NUMBER | Type::TEXT,
            BinaryOp::Div | BinaryOp::Mod => Type::INT,
            _ => Type::NUMBER,
        };
        for node in [&left, &right] {
            if !node.ty.meets(accepted) {
                let ty = node.ty;
                self.error("R0111", node.span, format!("`{symbol}` wants {accepted}, this is {ty}"));
            }
        }
        let ty = match op {
            BinaryOp::Divide => Type::FLOAT,
            BinaryOp::Div | BinaryOp::Mod => Type::INT,
            BinaryOp::Add if a.meets(Type::TEXT) || b.meets(Type::TEXT) => Type::TEXT | Type::NUMBER,
            _ if a.is_within(Type::INT) && b.is_within(Type::INT) => Type::INT,
            _ => Type::NUMBER,
        };
        Node { kind: NodeKind::Arithmetic(op, Box::new(left), Box::new(right)), ty, span }
    }

    fn case(
        &mut self,
        subject: Option<&Expr<'_>>,
        branches: &[(Expr<'_>, Expr<'_>)],
        otherwise: Option<&Expr<'_>>,
        span: Span,
    ) -> Node {
        let subject = subject.map(|subject| Box::new(self.expr(subject)));
        let mut ty = if otherwise.is_some() { None } else { Some(Type::NULL) };
        let mut checked = Vec::with_capacity(branches.len());
        let mut join = |node: &Node| ty = Some(ty.map_or(node.ty, |ty| ty | node.ty));
        for (when, then) in branches {
            let when = self.expr(when);
            if subject.is_none() {
                self.wants_condition(&when, "WHEN");
            }
            let then = self.expr(then);
            join(&then);
            checked.push((when, then));
        }
        let otherwise = otherwise.map(|otherwise| Box::new(self.expr(otherwise)));
        if let Some(otherwise) = &otherwise {
            join(otherwise);
        }
        Node {
            kind: match subject {
                Some(subject) => NodeKind::CaseOf(subject, checked, otherwise),
                None => NodeKind::CaseWhen(checked, otherwise),
            },
            ty: ty.unwrap_or(Type::ANY),
            span,
        }
    }

    fn call(&mut self, name: &str, name_span: Span, args: &[Expr<'_>], span: Span) -> Node {
        let args: Vec<Node> = args.iter().map(|arg| self.expr(arg)).collect();
        let unknown = Node { kind: NodeKind::Const(Value::Null), ty: Type::ANY, span };
        let Some(function) = functions::find(name) else {
            let mut diagnostic = Diagnostic::error("R0103", name_span, format!("there is no function `{name}`"));
            if let Some(near) = nearest(name, functions::all().map(|function| function.name)) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?")).replace(near);
            }
            self.diagnostics.push(diagnostic);
            return unknown;
        };
        if !function.takes(args.len()) {
            let name = function.name;
            let wants = function.wants();
            self.error("R0110", span, format!("`{name}` wants {wants}, got {}", args.len()));
            return unknown;
        }
        let mut fits = true;
        for (index, arg) in args.iter().enumerate() {
            let wanted = function.param(index).map_or(Type::ANY, |param| param.ty);
            if !arg.ty.meets(wanted) {
                fits = false;
                let (name, ty) = (function.name, arg.ty);
                let word = function.param(index).map_or("argument", |param| param.name);
                self.error("R0111", arg.span, format!("`{name}` wants {wanted} as its {word}, this is {ty}"));
            }
        }
        if !fits {
            return unknown;
        }
        if let Some(verify) = function.verify {
            let constants: Vec<_> = args.iter().map(Node::constant).collect();
            if let Err(why) = verify(&constants) {
                self.error("R0115", span, format!("`{}`: {why}", function.name));
                return unknown;
            }
        }
        let ty = function.returns;
        self.fold(Node { kind: NodeKind::Call(function, args), ty, span })
    }

    fn path(&mut self, path: &Path<'_>, span: Span) -> Node {
        let unknown = Node { kind: NodeKind::Const(Value::Null), ty: Type::ANY, span };
        if let Some(node) = self.alias(path, span) {
            return node;
        }
        let Some(info) = self.event.field(&path.root) else {
            let diagnostic = self.unknown_field(path);
            self.diagnostics.push(diagnostic);
            return unknown;
        };
        let field = Node { kind: NodeKind::Field(info.field), ty: info.ty, span };
        if path.steps.is_empty() {
            return field;
        }
        if info.field == EventField::Payload {
            return Node { kind: NodeKind::Payload(path.steps.clone().into_boxed_slice()), ty: Type::ANY, span };
        }
        if let (EventField::Flags, [Step::Name(name), rest @ ..]) = (info.field, path.steps.as_slice())
            && (!rest.is_empty() || !FLAGS.contains(&name.as_str()))
        {
            let mut diagnostic = Diagnostic::error("R0101", span, format!("`flags` has no `{name}`"));
            diagnostic.help = Some("it has `flags.retain` and `flags.dup`".to_owned());
            self.diagnostics.push(diagnostic);
            return unknown;
        }
        self.part(field, path.steps.clone())
    }

    /// A part of a value, if its type can have parts.
    fn part(&mut self, of: Node, steps: Vec<Step>) -> Node {
        let span = of.span;
        if !of.ty.meets(Type::MAP | Type::LIST | Type::TEXT) {
            let ty = of.ty;
            self.error("R0113", span, format!("this is {ty}, which has no parts"));
        }
        Node { kind: NodeKind::Part(Box::new(of), steps.into_boxed_slice()), ty: Type::ANY, span }
    }

    /// A path that leads to or through names given before; the latest one counts.
    fn alias(&mut self, path: &Path<'_>, span: Span) -> Option<Node> {
        let names = |count: usize| {
            path.steps[..count].iter().map(|step| match step {
                Step::Name(name) => Some(name.as_str()),
                Step::Index(_) => None,
            })
        };
        let found = self.aliases.iter().rev().find(|(alias, ..)| {
            alias.len() <= path.steps.len() + 1
                && alias[0] == *path.root
                && names(alias.len() - 1).eq(alias[1..].iter().map(|name| Some(name.as_str())))
        });
        if let Some((alias, slot, ty)) = found {
            let node = Node { kind: NodeKind::Slot(*slot), ty: *ty, span };
            let steps = path.steps[alias.len() - 1..].to_vec();
            return Some(if steps.is_empty() { node } else { self.part(node, steps) });
        }
        if self.event.field(&path.root).is_some() {
            return None;
        }
        let mut prefix = vec![path.root.as_ref()];
        for name in names(path.steps.len()) {
            prefix.push(name?);
        }
        let inside: Vec<_> = self
            .aliases
            .iter()
            .filter(|(alias, ..)| alias.len() > prefix.len() && alias.iter().zip(&prefix).all(|(a, b)| a == b))
            .map(|(alias, slot, ty)| (&alias[prefix.len()..], *slot, *ty))
            .collect();
        (!inside.is_empty()).then(|| members(&inside, span))
    }

    fn unknown_field(&self, path: &Path<'_>) -> Diagnostic {
        let name = path.root.as_ref();
        let fields = self.event.fields().map(|info| info.name);
        let aliases = self.aliases.iter().map(|(alias, ..)| alias[0].as_str());
        // Guessing is for people, who read the first mistakes.
        const GUESSES_MAX: usize = 20;
        let near = (self.diagnostics.len() < GUESSES_MAX).then(|| nearest(name, fields.chain(aliases))).flatten();
        if path.quoted {
            return Diagnostic::error(
                "R0102",
                path.root_span,
                format!("`\"{name}\"` in double quotes names a field, and no event has it"),
            )
            .help(format!("for text write '{}'", name.replace('\'', "''")))
            .replace(format!("'{}'", name.replace('\'', "''")));
        }
        let diagnostic = Diagnostic::error("R0101", path.root_span, format!("no event has a field `{name}`"));
        match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")).replace(near),
            None => diagnostic
                .help(format!("a member of a JSON payload is `payload.{name}`, a text is '{name}'"))
                .replace(format!("payload.{name}")),
        }
    }

    /// Computes what can be known now.
    fn fold(&mut self, node: Node) -> Node {
        let mut constant = true;
        node.inside(&mut |inner| constant &= inner.constant().is_some());
        constant &= !matches!(
            node.kind,
            NodeKind::Field(_)
                | NodeKind::Payload(_)
                | NodeKind::Slot(_)
                | NodeKind::Members(_)
                | NodeKind::Call(Function { body: Body::OfEvent(_), .. }, _)
        );
        if !constant || self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            return node;
        }
        match compile::constant(&node) {
            Ok(value) => Node { ty: Type::of(&value), kind: NodeKind::Const(value), span: node.span },
            Err(error) => {
                self.error("R0114", error.span(), format!("this always fails: {}", error.message()));
                node
            }
        }
    }
}

/// Checks a Topic Filter; how long it may be is the listener's business.
fn filter(text: &str) -> Result<(), FilterError> {
    TopicFilter::parse(text, TopicLimits::PROTOCOL).map(|_| ())
}

/// Joins slots to a map; where a name comes twice the later one counts.
fn members(inside: &[(&[String], usize, Type)], span: Span) -> Node {
    debug_assert!(inside.iter().all(|(path, ..)| path.len() <= usize::from(DEPTH_MAX)));
    let mut joined: Vec<(String, Node)> = Vec::new();
    for (index, (path, slot, ty)) in inside.iter().enumerate() {
        let name = &path[0];
        if inside[index + 1..].iter().any(|(later, ..)| later[0] == *name && path.len() == 1) {
            continue;
        }
        if joined.iter().any(|(known, _)| known == name) {
            continue;
        }
        let node = if path.len() == 1 {
            Node { kind: NodeKind::Slot(*slot), ty: *ty, span }
        } else {
            let deeper: Vec<_> = inside
                .iter()
                .filter(|(other, ..)| other[0] == *name && other.len() > 1)
                .map(|(other, slot, ty)| (&other[1..], *slot, *ty))
                .collect();
            members(&deeper, span)
        };
        joined.push((name.clone(), node));
    }
    Node { kind: NodeKind::Members(joined), ty: Type::MAP, span }
}
