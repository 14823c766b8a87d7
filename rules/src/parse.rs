//! Tokens to a tree: recursive descent for the statement, precedence climbing for expressions.
//!
//! Invariants: neither the parser's own stack nor the tree is ever deeper than [`DEPTH_MAX`], and a rule has at most
//! [`NODES_MAX`] expressions; whoever walks the tree may recurse.

use std::borrow::Cow;

use crate::ast::{Alias, BinaryOp, Expr, ExprKind, Field, Literal, Path, Query, Source, Step};
use crate::diagnostics::{Diagnostic, Span};
use crate::token::{Token, TokenKind, tokens};

/// Expressions inside each other.
pub const DEPTH_MAX: u16 = 100;
/// Expressions in one rule: what one message can cost at most.
pub const NODES_MAX: u32 = 4_000;

/// What `*` counts: about as many fields as an event has.
const STAR_NODES: u32 = 16;

/// Words that name nothing unless quoted.
const RESERVED: [&str; 17] = [
    "and", "as", "case", "div", "do", "else", "end", "foreach", "from", "in", "incase", "mod", "not", "or", "select",
    "then", "when",
];
const RESERVED_MORE: [&str; 3] = ["where", "if", "elsif"];

// How tightly operators bind, loosest first.
const LOOSEST: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;
const SIGN: u8 = 7;

/// Parses one rule.
///
/// # Errors
/// The first mistake; after it nothing that follows can be trusted.
pub fn parse(sql: &str) -> Result<Query<'_>, Diagnostic> {
    let mut parser = Parser { tokens: tokens(sql)?, at: 0, nodes: 0 };
    parser.query()
}

struct Parser<'s> {
    tokens: Vec<Token<'s>>,
    at: usize,
    nodes: u32,
}

type Parsed<T> = Result<T, Diagnostic>;

impl<'s> Parser<'s> {
    fn query(&mut self) -> Parsed<Query<'s>> {
        if self.is_word("foreach") {
            return Err(Diagnostic::error("R0007", self.peek().span, "FOREACH is not supported")
                .help("SELECT makes one row of each message"));
        }
        if !self.eat_word("select") {
            return Err(self.expected("SELECT").help("a rule is SELECT fields FROM \"topic/filter\" WHERE condition"));
        }
        let mut fields = vec![self.field()?];
        while self.eat(",") {
            fields.push(self.field()?);
        }
        if !self.eat_word("from") {
            let expected = self.expected("`,` or FROM");
            return Err(if self.peek().kind == TokenKind::End {
                expected.help("add the topics it reads: FROM \"sensors/#\"")
            } else if self.is_word("where") {
                expected.help("before WHERE stands what it reads: FROM \"sensors/#\"")
            } else {
                expected
            });
        }
        let mut sources = vec![self.source()?];
        while self.eat(",") {
            sources.push(self.source()?);
        }
        let condition = if self.eat_word("where") { Some(self.expr(LOOSEST, 0)?) } else { None };
        if self.peek().kind != TokenKind::End {
            let expected = self.expected(if condition.is_some() {
                "an operator or the end of the rule"
            } else {
                "WHERE or the end of the rule"
            });
            let word = match self.peek().kind {
                TokenKind::Name(word) => word.to_ascii_lowercase(),
                _ => String::new(),
            };
            return Err(match word.as_str() {
                "like" => expected.help("there is no LIKE; for topics there is =~ with a topic filter"),
                "group" | "order" | "limit" | "having" | "join" => {
                    expected.help("a rule sees one message at a time: there is no GROUP BY, ORDER BY, LIMIT or JOIN")
                }
                _ => expected,
            });
        }
        Ok(Query { fields, sources, condition })
    }

    fn field(&mut self) -> Parsed<Field<'s>> {
        let span = self.peek().span;
        if self.eat("*") {
            self.count(STAR_NODES, span)?;
            return Ok(Field::All(span));
        }
        let expr = self.expr(LOOSEST, 0)?;
        let alias = if self.eat_word("as") || self.at_plain_name() { Some(self.alias()?) } else { None };
        Ok(Field::Expr { expr, alias })
    }

    fn alias(&mut self) -> Parsed<Alias<'s>> {
        let start = self.peek().span;
        let mut path = vec![self.name("a name for the column")?];
        while self.eat(".") {
            path.push(self.name("a name inside the column")?);
        }
        let span = start.to(self.previous());
        if path.len() > usize::from(DEPTH_MAX) {
            return Err(too_deep(span));
        }
        if self.is("[") {
            return Err(Diagnostic::error("R0007", self.peek().span, "writing into a list is not supported")
                .help("name a column or a member: AS a.b"));
        }
        Ok(Alias { path, span })
    }

    fn source(&mut self) -> Parsed<Source<'s>> {
        let token = self.peek().clone();
        let text = match token.kind {
            TokenKind::Quoted(text) | TokenKind::Text(text) => text,
            TokenKind::Name(word) if !is_reserved(word) => Cow::Borrowed(word),
            _ => return Err(self.expected("a topic filter in double quotes")),
        };
        self.at += 1;
        if self.is("/") || self.is("+") {
            return Err(self
                .expected("`,`, WHERE or the end of the rule")
                .help("a topic filter stands in double quotes: FROM \"sensors/#\""));
        }
        Ok(Source { text, span: token.span })
    }

    /// An expression whose operators bind at least as tightly as `floor`; `nesting` expressions are around it.
    fn expr(&mut self, floor: u8, nesting: u16) -> Parsed<Expr<'s>> {
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
        let binary = |op| (Operator::Binary(op), if op.compares() { COMPARISON } else { SUM });
        let product = |op| (Operator::Binary(op), PRODUCT);
        Some(match word {
            "+" => binary(BinaryOp::Add),
            "-" => binary(BinaryOp::Subtract),
            "*" => product(BinaryOp::Multiply),
            "/" => product(BinaryOp::Divide),
            "=" => binary(BinaryOp::Equal),
            "!=" | "<>" => binary(BinaryOp::NotEqual),
            "<" => binary(BinaryOp::Less),
            "<=" => binary(BinaryOp::LessOrEqual),
            ">" => binary(BinaryOp::Greater),
            ">=" => binary(BinaryOp::GreaterOrEqual),
            "=~" => binary(BinaryOp::Matches),
            _ if is("div") => product(BinaryOp::Div),
            _ if is("mod") => product(BinaryOp::Mod),
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
            TokenKind::Symbol("[") => Err(Diagnostic::error("R0007", start, "list literals are not supported")
                .help("to compare with several values write x IN (1, 2, 3)")),
            TokenKind::Name(word) => self.word(word, floor, nesting),
            TokenKind::Quoted(name) => {
                self.at += 1;
                self.named(name, true, start, nesting)
            }
            _ => Err(self.expected("a field, a number, a text or `(`")),
        }
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
            _ if is_reserved(word) => Err(self.expected("a field, a number, a text or `(`")),
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
                steps.push(step);
            } else if self.eat("[") {
                let negative = self.eat("-");
                let TokenKind::Int(index) = self.peek().kind else {
                    return Err(self.expected("a whole number, the position in the list counted from 1"));
                };
                self.at += 1;
                if self.is("..") {
                    return Err(Diagnostic::error("R0007", self.peek().span, "slices are not supported")
                        .help("take single elements: a[1]"));
                }
                if !self.eat("]") {
                    return Err(self.expected("`]`"));
                }
                steps.push(Step::Index(if negative { -index } else { index }));
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
        let mut items = Vec::new();
        if self.eat(")") {
            return Ok(items);
        }
        loop {
            items.push(self.expr(LOOSEST, nesting + 1)?);
            if self.eat(")") {
                return Ok(items);
            }
            if !self.eat(",") {
                return Err(self.expected("`,` or `)`"));
            }
        }
    }

    fn literal(&mut self, literal: Literal<'s>) -> Parsed<Expr<'s>> {
        let span = self.peek().span;
        self.at += 1;
        self.node(ExprKind::Literal(literal), span)
    }

    fn node(&mut self, kind: ExprKind<'s>, span: Span) -> Parsed<Expr<'s>> {
        self.count(1, span)?;
        let depth = 1 + deepest(&kind);
        if depth > DEPTH_MAX {
            return Err(too_deep(span));
        }
        Ok(Expr { kind, span, depth })
    }

    fn count(&mut self, more: u32, span: Span) -> Parsed<()> {
        self.nodes += more;
        if self.nodes > NODES_MAX {
            return Err(Diagnostic::error("R0006", span, format!("the rule has more than {NODES_MAX} expressions")));
        }
        Ok(())
    }

    fn name(&mut self, what: &str) -> Parsed<Cow<'s, str>> {
        match self.peek().kind.clone() {
            TokenKind::Quoted(name) if !name.is_empty() => {
                self.at += 1;
                Ok(name)
            }
            TokenKind::Name(name) if !is_reserved(name) => {
                self.at += 1;
                Ok(Cow::Borrowed(name))
            }
            TokenKind::Name(name) => Err(self
                .expected(what)
                .help(format!("`{name}` is a word of the language; as a name it stands in double quotes"))
                .replace(format!("\"{name}\""))),
            TokenKind::Text(text) => {
                Err(self.expected(what).help("a name stands bare or in double quotes").replace(format!("\"{text}\"")))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// After a dot every word is a name, reserved or not.
    fn step_name(&mut self) -> Parsed<Cow<'s, str>> {
        match self.peek().kind.clone() {
            TokenKind::Quoted(name) => {
                self.at += 1;
                Ok(name)
            }
            TokenKind::Name(name) => {
                self.at += 1;
                Ok(Cow::Borrowed(name))
            }
            _ => Err(self.expected("a name after the dot")),
        }
    }

    fn peek(&self) -> &Token<'s> {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn previous(&self) -> Span {
        self.tokens[self.at.saturating_sub(1).min(self.tokens.len() - 1)].span
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Name(found) if found.eq_ignore_ascii_case(word))
    }

    fn word_after(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at + 1), Some(Token { kind: TokenKind::Name(found), .. })
            if found.eq_ignore_ascii_case(word))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn at_plain_name(&self) -> bool {
        match &self.peek().kind {
            TokenKind::Name(word) => !is_reserved(word),
            TokenKind::Quoted(_) => true,
            _ => false,
        }
    }

    fn expected(&self, what: &str) -> Diagnostic {
        let token = self.peek();
        let found = match &token.kind {
            TokenKind::Name(word) => format!("`{word}`"),
            TokenKind::Quoted(name) => format!("`\"{name}\"`"),
            TokenKind::Text(text) => format!("'{text}'"),
            TokenKind::Int(value) => format!("`{value}`"),
            TokenKind::Float(value) => format!("`{value}`"),
            TokenKind::Symbol(symbol) => format!("`{symbol}`"),
            TokenKind::End => "the end of the rule".to_owned(),
        };
        Diagnostic::error("R0003", token.span, format!("expected {what}, found {found}"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    In,
    Is,
    Binary(BinaryOp),
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().chain(&RESERVED_MORE).any(|reserved| word.eq_ignore_ascii_case(reserved))
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("R0005", span, format!("more than {DEPTH_MAX} expressions lie inside each other here"))
        .help("compute a part of it under an alias and use the alias")
}

fn deepest(kind: &ExprKind<'_>) -> u16 {
    let of = |exprs: &[Expr<'_>]| exprs.iter().map(|expr| expr.depth).max().unwrap_or(0);
    match kind {
        ExprKind::Literal(_) | ExprKind::Path(_) => 0,
        ExprKind::Negate(a) | ExprKind::Not(a) | ExprKind::IsNull { value: a, .. } => a.depth,
        ExprKind::Binary(_, a, b) => a.depth.max(b.depth),
        ExprKind::And(terms) | ExprKind::Or(terms) | ExprKind::Call { args: terms, .. } => of(terms),
        ExprKind::In { value, list, .. } => value.depth.max(of(list)),
        ExprKind::Case { subject, branches, otherwise } => {
            let inside = |expr: &Option<Box<Expr<'_>>>| expr.as_ref().map_or(0, |expr| expr.depth);
            branches
                .iter()
                .map(|(when, then)| when.depth.max(then.depth))
                .fold(inside(subject).max(inside(otherwise)), u16::max)
        }
    }
}
