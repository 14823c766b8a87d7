//! Tokens to a tree: recursive descent for the statement here, precedence climbing for expressions in `expr`.
//!
//! Invariants: neither the parser's own stack nor the tree is ever deeper than [`DEPTH_MAX`], and a rule has at most
//! [`NODES_MAX`] expressions; whoever walks the tree may recurse.

use std::borrow::Cow;

use crate::ast::{Alias, Expr, ExprKind, Field, Foreach, Literal, PathStep, PutStep, Query, Source};
use crate::diagnostics::{Diagnostic, Span};
use crate::token::{Token, TokenKind, tokens};

mod expr;

use expr::LOOSEST;

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
        let is_foreach = self.eat_word("foreach");
        if !is_foreach && !self.eat_word("select") {
            return Err(self
                .expected("SELECT or FOREACH")
                .help("a rule is SELECT fields FROM \"topic/filter\" WHERE condition"));
        }
        let fields = self.fields()?;
        let foreach = if is_foreach { Some(self.foreach(&fields)?) } else { None };
        if !self.eat_word("from") {
            let expected = self.expected("`,` or FROM");
            return Err(if self.peek().kind == TokenKind::End {
                expected.help("add the topics it reads: FROM \"sensors/#\"")
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
        Ok(Query { fields, foreach, sources, condition })
    }

    fn fields(&mut self) -> Parsed<Vec<Field<'s>>> {
        let mut fields = vec![self.field()?];
        while self.eat(",") {
            fields.push(self.field()?);
        }
        Ok(fields)
    }

    /// What follows the fields of FOREACH, the last of which must be the list.
    fn foreach(&mut self, fields: &[Field<'s>]) -> Parsed<Foreach<'s>> {
        if let Some(Field::All(span)) = fields.last() {
            return Err(Diagnostic::error("R0003", *span, "expected a list, found `*`")
                .help("the last field of FOREACH is the list: FOREACH payload.sensors AS s DO s.name FROM \"t\""));
        }
        let projection = if self.eat_word("do") { Some(self.fields()?) } else { None };
        let condition = if self.eat_word("incase") { Some(self.expr(LOOSEST, 0)?) } else { None };
        Ok(Foreach { projection, condition })
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
        let root = self.name("a name for the column")?;
        let mut steps = Vec::new();
        loop {
            let step = if self.eat(".") {
                match self.peek().kind.clone() {
                    TokenKind::Text(name) => {
                        self.at += 1;
                        PutStep::Name(name.into_owned())
                    }
                    _ => PutStep::Name(self.step_name()?.into_owned()),
                }
            } else if self.eat("[") {
                let (index, negative) = self.position("the position in the list to write to")?;
                if !self.eat("]") {
                    return Err(self.expected("`]`"));
                }
                if negative && index == 0 { PutStep::Append } else { PutStep::Index(index) }
            } else {
                break;
            };
            steps.push(step);
            if steps.len() >= usize::from(DEPTH_MAX) {
                return Err(too_deep(start.to(self.previous())));
            }
        }
        Ok(Alias { root, steps, span: start.to(self.previous()) })
    }

    /// A whole number with or without a sign, and whether there was a minus.
    fn position(&mut self, what: &str) -> Parsed<(i64, bool)> {
        let negative = self.eat("-");
        let TokenKind::Int(index) = self.peek().kind else {
            return Err(self.expected(what));
        };
        self.at += 1;
        Ok((if negative { -index } else { index }, negative))
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
        ExprKind::Literal(_) | ExprKind::Range(..) => 0,
        ExprKind::Path(path) => path
            .steps
            .iter()
            .map(|step| if let PathStep::Computed(index) = step { index.depth } else { 0 })
            .max()
            .unwrap_or(0),
        ExprKind::Negate(a) | ExprKind::Not(a) | ExprKind::IsNull { value: a, .. } => a.depth,
        ExprKind::Binary(_, a, b) => a.depth.max(b.depth),
        ExprKind::And(terms) | ExprKind::Or(terms) | ExprKind::List(terms) | ExprKind::Call { args: terms, .. } => {
            of(terms)
        }
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
