//! The tree as written: what the parser understood, before anything is known about names and types.

use std::borrow::Cow;

pub use millrace_core::json::Step;

use crate::diagnostics::Span;

/// A whole rule: `SELECT … FROM … WHERE …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Query<'s> {
    /// What a row is made of, in order.
    pub fields: Vec<Field<'s>>,
    /// Which messages it sees.
    pub sources: Vec<Source<'s>>,
    /// Which of them make a row.
    pub condition: Option<Expr<'s>>,
}

/// One element of a SELECT list.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'s> {
    /// `*`: every field of the event.
    All(Span),
    /// An expression, perhaps named.
    Expr {
        /// The value.
        expr: Expr<'s>,
        /// `AS a.b`.
        alias: Option<Alias<'s>>,
    },
}

/// Where the value of a field goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias<'s> {
    /// The column, then the names inside it.
    pub path: Vec<Cow<'s, str>>,
    /// Where it stands.
    pub span: Span,
}

/// A Topic Filter or event after FROM.
#[derive(Clone, Debug, PartialEq)]
pub struct Source<'s> {
    /// Its text.
    pub text: Cow<'s, str>,
    /// Where it stands.
    pub span: Span,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr<'s> {
    /// What it is.
    pub kind: ExprKind<'s>,
    /// Where it stands.
    pub span: Span,
    /// How many expressions lie inside each other here, itself counted.
    pub depth: u16,
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind<'s> {
    /// A constant.
    Literal(Literal<'s>),
    /// `a.b[1]`.
    Path(Path<'s>),
    /// `- x`.
    Negate(Box<Expr<'s>>),
    /// `NOT x`.
    Not(Box<Expr<'s>>),
    /// Two operands.
    Binary(BinaryOp, Box<Expr<'s>>, Box<Expr<'s>>),
    /// `x AND y AND …`.
    And(Vec<Expr<'s>>),
    /// `x OR y OR …`.
    Or(Vec<Expr<'s>>),
    /// `x [NOT] IN (…)`.
    In {
        /// What is looked for.
        value: Box<Expr<'s>>,
        /// Where.
        list: Vec<Expr<'s>>,
        /// Whether it must be absent.
        negated: bool,
    },
    /// `x IS [NOT] NULL`.
    IsNull {
        /// What is asked about.
        value: Box<Expr<'s>>,
        /// Whether it must not be null.
        negated: bool,
    },
    /// `CASE …`.
    Case {
        /// `CASE x WHEN …`: what each WHEN is compared with.
        subject: Option<Box<Expr<'s>>>,
        /// WHEN and THEN.
        branches: Vec<(Expr<'s>, Expr<'s>)>,
        /// ELSE.
        otherwise: Option<Box<Expr<'s>>>,
    },
    /// `f(x, …)`.
    Call {
        /// The function's name.
        name: Cow<'s, str>,
        /// Where the name stands.
        name_span: Span,
        /// The arguments.
        args: Vec<Expr<'s>>,
    },
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal<'s> {
    /// `null` or `undefined`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(Cow<'s, str>),
}

/// A field and the way into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Path<'s> {
    /// The field or alias.
    pub root: Cow<'s, str>,
    /// Whether it stands in double quotes.
    pub quoted: bool,
    /// Where it stands.
    pub root_span: Span,
    /// The way into it.
    pub steps: Vec<Step>,
}

/// The operators with two operands; AND and OR are kinds of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `div`
    Div,
    /// `mod`
    Mod,
    /// `=`
    Equal,
    /// `!=` or `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=~`
    Matches,
}

impl BinaryOp {
    /// As it is written.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Div => "div",
            Self::Mod => "mod",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Matches => "=~",
        }
    }

    /// Whether its value is true or false.
    #[must_use]
    pub const fn compares(self) -> bool {
        !matches!(self, Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Div | Self::Mod)
    }
}
