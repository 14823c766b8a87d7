//! Expressions: what they are made of, whether that fits, and what of it is known already.

use millrace_core::value::Value;

use super::{Checker, filter};
use crate::ast::{BinaryOp, Expr, ExprKind, Literal};
use crate::compile;
use crate::config::Compat;
use crate::diagnostics::{Diagnostic, Severity, Span};
use crate::functions::{self, Body, Function};
use crate::ops;
use crate::suggest;
use crate::tree::{Node, NodeKind};
use crate::value_type::Type;

/// Numbers in a range.
const RANGE_MAX: u64 = 10_000;

impl Checker<'_> {
    pub(super) fn expr(&mut self, expr: &Expr<'_>) -> Node {
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
            ExprKind::List(items) => {
                node(NodeKind::List(items.iter().map(|item| self.expr(item)).collect()), Type::LIST)
            }
            ExprKind::Range(first, last) => return self.range(*first, *last, span),
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

    pub(super) fn wants_condition(&mut self, node: &Node, word: &str) {
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
            let (left, right) = (Box::new(left), Box::new(right));
            let compare = |op| Node { kind: NodeKind::Compare(op, left, right), ty: Type::BOOL, span };
            // In 4.x what is missing differs from everything that is not.
            if op == BinaryOp::NotEqual && self.compat == Compat::V4 {
                return Node { kind: NodeKind::Not(Box::new(compare(BinaryOp::Equal))), ty: Type::BOOL, span };
            }
            return compare(op);
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
        // An operator in double quotes is a function of its operands.
        if let (Some(op), [left, right]) = (BinaryOp::named(name), args)
            && functions::find(name).is_none()
        {
            let node = self.binary(op, left, right, span);
            return self.fold(node);
        }
        let args: Vec<Node> = args.iter().map(|arg| self.expr(arg)).collect();
        let unknown = Node { kind: NodeKind::Const(Value::Null), ty: Type::ANY, span };
        let Some(function) = functions::find(name) else {
            let (help, replacement) = suggest::function(name);
            let diagnostic = Diagnostic::error("R0103", name_span, format!("there is no function `{name}`")).help(help);
            self.diagnostics.push(Diagnostic { replacement: replacement.map(str::to_owned), ..diagnostic });
            return unknown;
        };
        if !function.takes(args.len()) {
            let message = format!("`{}` wants {}, got {}", function.name, function.wants(), args.len());
            self.diagnostics.push(Diagnostic::error("R0110", span, message).help(function.about));
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

    /// `[first..last]`, computed now.
    fn range(&mut self, first: i64, last: i64, span: Span) -> Node {
        let items = if last < first {
            self.error("R0114", span, format!("the range from {first} to {last} runs backwards"));
            Vec::new()
        } else if last.abs_diff(first) >= RANGE_MAX {
            self.error("R0114", span, format!("a range has at most {RANGE_MAX} numbers"));
            Vec::new()
        } else {
            (first..=last).map(Value::Int).collect()
        };
        Node { kind: NodeKind::Const(Value::List(items)), ty: Type::LIST, span }
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
