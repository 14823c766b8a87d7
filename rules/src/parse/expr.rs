//! Expressions: precedence climbing.

use std::borrow::Cow;

use super::{DEPTH_MAX, Parsed, Parser, is_reserved, too_deep};
use crate::ast::{BinaryOp, Expr, ExprKind, Literal, Path, PathStep, Step};
use crate::diagnostics::{Diagnostic, Span};
use crate::token::{Token, TokenKind};

// How tightly operators bind, loosest first.
pub(super) const LOOSEST: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;
const SIGN: u8 = 7;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    In,
    Is,
    Binary(BinaryOp),
}

impl<'s> Parser<'s> {
    /// An expression whose operators bind at least as tightly as `floor`; `nesting` expressions are around it.
    pub(super) fn expr(&mut self, floor: u8, nesting: u16) -> Parsed<Expr<'s>> {
        if nesting >= DEPTH_MAX {
            return Err(too_deep(self.peek().span));
        }
        let mut left = self.operand(floor, nesting)?;
        loop {
            let Some((operator, tightness)) = self.operator() else {
                return Ok(left);
            };
            if tightness < floor {
                return Ok(left);
            }
            let operator_span = self.peek().span;
            left = match operator {
                Operator::And | Operator::Or => {
                    let word = if operator == Operator::And { "and" } else { "or" };
                    let mut terms = vec![left];
                    while self.eat_word(word) {
                        terms.push(self.expr(tightness + 1, nesting + 1)?);
                    }
                    let span = terms[0].span.to(self.previous());
                    let kind = if operator == Operator::And { ExprKind::And(terms) } else { ExprKind::Or(terms) };
                    self.node(kind, span)?
                }
                Operator::In => {
                    let negated = self.eat_word("not");
                    self.at += 1;
                    let list = self.list(nesting)?;
                    let span = left.span.to(self.previous());
                    let value = Box::new(left);
                    self.node(ExprKind::In { value, list, negated }, span)?
                }
                Operator::Is => {
                    self.at += 1;
                    let negated = self.eat_word("not");
                    if !self.eat_word("null") {
                        return Err(self.expected("NULL"));
                    }
                    let span = left.span.to(self.previous());
                    let value = Box::new(left);
                    self.node(ExprKind::IsNull { value, negated }, span)?
                }
                Operator::Binary(op) => {
                    self.at += 1;
                    let right = self.expr(tightness + 1, nesting + 1)?;
                    let span = left.span.to(right.span);
                    self.node(ExprKind::Binary(op, Box::new(left), Box::new(right)), span)?
                }
            };
            if tightness == COMPARISON && self.operator().is_some_and(|(_, next)| next == COMPARISON) {
                return Err(Diagnostic::error(
                    "R0003",
                    operator_span.to(self.peek().span),
                    "comparisons cannot be chained",
                )
                .help("join two of them by AND: a < b AND b < c"));
            }
        }
    }

    fn operator(&self) -> Option<(Operator, u8)> {
        let word = match &self.peek().kind {
            TokenKind::Symbol(symbol) => symbol,
            TokenKind::Name(word) => *word,
            _ => return None,
        };
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        if let Some(op) = BinaryOp::named(word) {
            let tightness = match op {
                BinaryOp::Add | BinaryOp::Subtract => SUM,
                _ if op.compares() => COMPARISON,
                _ => PRODUCT,
            };
            return Some((Operator::Binary(op), tightness));
        }
        Some(match word {
            _ if is("and") => (Operator::And, AND),
            _ if is("or") => (Operator::Or, OR),
            _ if is("in") => (Operator::In, COMPARISON),
            _ if is("not") && self.word_after("in") => (Operator::In, COMPARISON),
            _ if is("is") && (self.word_after("null") || self.word_after("not")) => (Operator::Is, COMPARISON),
            _ => return None,
        })
    }

    fn operand(&mut self, floor: u8, nesting: u16) -> Parsed<Expr<'s>> {
        let token = self.peek().clone();
        let start = token.span;
        match token.kind {
            TokenKind::Int(value) => self.literal(Literal::Int(value)),
            TokenKind::Float(value) => self.literal(Literal::Float(value)),
            TokenKind::Text(text) => self.literal(Literal::Text(text)),
            TokenKind::Symbol("(") => {
                self.at += 1;
                let mut inner = self.expr(LOOSEST, nesting + 1)?;
                if !self.eat(")") {
                    return Err(self.expected("an operator or `)`"));
                }
                inner.span = start.to(self.previous());
                Ok(inner)
            }
            TokenKind::Symbol("-") => {
                self.at += 1;
                let value = self.expr(SIGN, nesting + 1)?;
                let span = start.to(value.span);
                self.node(ExprKind::Negate(Box::new(value)), span)
            }
            TokenKind::Symbol("+") => {
                self.at += 1;
                self.expr(SIGN, nesting + 1)
            }
            TokenKind::Symbol("[") => self.bracketed(nesting),
            TokenKind::Name(word) => self.word(word, floor, nesting),
            TokenKind::Quoted(name) => {
                self.at += 1;
                self.named(name, true, start, nesting)
            }
            _ => Err(self.no_operand()),
        }
    }

    /// Something else stands where a value should.
    fn no_operand(&self) -> Diagnostic {
        let expected = self.expected("a field, a number, a text or `(`");
        let follows = |symbol: &str| matches!(self.tokens[..self.at].last(), Some(Token { kind: TokenKind::Symbol(found), .. }) if *found == symbol);
        if self.is("=") && follows("=") {
            return expected.help("equality is one `=`").replace("");
        }
        if self.is(">") && follows("-") {
            return expected.help("a member is written behind a dot: payload.name");
        }
        if self.is("*") && follows("(") {
            return expected.help("a rule sees one message at a time: it counts nothing");
        }
        if self.is_word("from") {
            return expected.help("name a field, or `*` for all of them");
        }
        expected
    }

    fn word(&mut self, word: &'s str, floor: u8, nesting: u16) -> Parsed<Expr<'s>> {
        let start = self.peek().span;
        let called = matches!(self.tokens.get(self.at + 1), Some(Token { kind: TokenKind::Symbol("("), .. }));
        match word.to_ascii_lowercase().as_str() {
            "true" => self.literal(Literal::Bool(true)),
            "false" => self.literal(Literal::Bool(false)),
            "null" | "undefined" if !called => self.literal(Literal::Null),
            "not" if floor <= NOT => {
                self.at += 1;
                let value = self.expr(NOT, nesting + 1)?;
                let span = start.to(value.span);
                self.node(ExprKind::Not(Box::new(value)), span)
            }
            "case" => self.case(nesting),
            // The one operator that is a function too.
            "mod" if called => {
                self.at += 1;
                self.named(Cow::Borrowed("mod"), false, start, nesting)
            }
            _ if is_reserved(word) => Err(self.no_operand()),
            _ => {
                self.at += 1;
                self.named(Cow::Borrowed(word), false, start, nesting)
            }
        }
    }

    /// A name was read: a call if a bracket follows, else a path.
    fn named(&mut self, name: Cow<'s, str>, quoted: bool, name_span: Span, nesting: u16) -> Parsed<Expr<'s>> {
        if self.is("(") {
            let args = self.list(nesting)?;
            let span = name_span.to(self.previous());
            return self.node(ExprKind::Call { name, name_span, args }, span);
        }
        let mut steps = Vec::new();
        loop {
            if self.eat(".") {
                let step = match self.peek().kind.clone() {
                    TokenKind::Int(index) => {
                        self.at += 1;
                        Step::Index(index)
                    }
                    TokenKind::Text(name) => {
                        self.at += 1;
                        Step::Name(name.into_owned())
                    }
                    _ => Step::Name(self.step_name()?.into_owned()),
                };
                steps.push(PathStep::Fixed(step));
            } else if self.eat("[") {
                steps.push(self.index(nesting)?);
            } else {
                break;
            }
            if steps.len() > usize::from(DEPTH_MAX) {
                return Err(too_deep(name_span.to(self.previous())));
            }
        }
        let span = name_span.to(self.previous());
        let path = Path { root: name, quoted, root_span: name_span, steps };
        self.node(ExprKind::Path(path), span)
    }

    /// What stands in brackets behind a path; the opening one was read.
    fn index(&mut self, nesting: u16) -> Parsed<PathStep<'s>> {
        let start = self.peek().span;
        let computed = !self.is("-") && !matches!(self.peek().kind, TokenKind::Int(_));
        let step = if computed {
            PathStep::Computed(self.expr(SUM, nesting + 1)?)
        } else {
            let (first, _) = self.position("a whole number, the position in the list counted from 1")?;
            if self.eat("..") {
                let (last, _) = self.position("the position at which the slice ends")?;
                PathStep::Slice(first, last, start.to(self.previous()))
            } else {
                PathStep::Fixed(Step::Index(first))
            }
        };
        if !self.eat("]") {
            return Err(self.expected("`]`"));
        }
        Ok(step)
    }

    /// A list or a range.
    fn bracketed(&mut self, nesting: u16) -> Parsed<Expr<'s>> {
        let start = self.peek().span;
        let signed = |at: usize| match self.tokens.get(at).map(|token| &token.kind) {
            Some(TokenKind::Symbol("-")) => at + 1,
            _ => at,
        };
        let dots = signed(self.at + 1) + 1;
        self.at += 1;
        if matches!(self.tokens.get(dots), Some(Token { kind: TokenKind::Symbol(".."), .. })) {
            let (first, _) = self.position("a whole number, the first of the range")?;
            self.at += 1;
            let (last, _) = self.position("a whole number, the last of the range")?;
            if !self.eat("]") {
                return Err(self.expected("`]`"));
            }
            return self.node(ExprKind::Range(first, last), start.to(self.previous()));
        }
        let items = self.items("]", nesting)?;
        self.node(ExprKind::List(items), start.to(self.previous()))
    }

    fn case(&mut self, nesting: u16) -> Parsed<Expr<'s>> {
        let start = self.peek().span;
        self.at += 1;
        let subject = if self.is_word("when") { None } else { Some(Box::new(self.expr(LOOSEST, nesting + 1)?)) };
        let mut branches = Vec::new();
        while self.eat_word("when") {
            let when = self.expr(LOOSEST, nesting + 1)?;
            if !self.eat_word("then") {
                return Err(self.expected("THEN"));
            }
            branches.push((when, self.expr(LOOSEST, nesting + 1)?));
        }
        if branches.is_empty() {
            return Err(self.expected("WHEN"));
        }
        let otherwise = if self.eat_word("else") { Some(Box::new(self.expr(LOOSEST, nesting + 1)?)) } else { None };
        if !self.eat_word("end") {
            return Err(self.expected("WHEN, ELSE or END"));
        }
        let span = start.to(self.previous());
        self.node(ExprKind::Case { subject, branches, otherwise }, span)
    }

    /// `(a, b, …)`; empty too.
    fn list(&mut self, nesting: u16) -> Parsed<Vec<Expr<'s>>> {
        if !self.eat("(") {
            return Err(self.expected("`(`"));
        }
        self.items(")", nesting)
    }

    /// `a, b, …` up to the closing bracket; empty too.
    fn items(&mut self, close: &'static str, nesting: u16) -> Parsed<Vec<Expr<'s>>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expr(LOOSEST, nesting + 1)?);
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(",") {
                return Err(self.expected(if close == ")" { "`,` or `)`" } else { "`,` or `]`" }));
            }
        }
    }
}
