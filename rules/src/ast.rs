//! The tree as written: what the parser understood, before anything is known about names and types.

use std::borrow::Cow;

use crate::diagnostics::Span;

/// A whole rule: `SELECT … FROM … WHERE …` or `FOREACH … DO … INCASE … FROM … WHERE …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Query<'s> {
    /// What a row is made of, in order; of FOREACH helpers, and last the list.
    pub fields: Vec<Field<'s>>,
    /// What FOREACH does with each element.
    pub foreach: Option<Foreach<'s>>,
    /// Which messages it sees.
    pub sources: Vec<Source<'s>>,
    /// Which of them make a row.
    pub condition: Option<Expr<'s>>,
}

/// What is said of each element of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreach<'s> {
    /// DO: what its row is made of.
    pub projection: Option<Vec<Field<'s>>>,
    /// INCASE: which elements make a row.
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

impl Field<'_> {
    /// Where it stands.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::All(span) => *span,
            Self::Expr { expr, .. } => expr.span,
        }
    }
}

/// Where the value of a field goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias<'s> {
    /// The column.
    pub root: Cow<'s, str>,
    /// The way into it.
    pub steps: Vec<PutStep>,
    /// Where it stands.
    pub span: Span,
}

/// One step to where a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutStep {
    /// A member, made if it is not there.
    Name(String),
    /// `[i]`: the element in place of which it comes, from 1, or from -1 backwards; `[0]`: before the first one.
    Index(i64),
    /// `[-0]`: behind the last one.
    Append,
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
    /// `[x, y, …]`.
    List(Vec<Expr<'s>>),
    /// `[1..9]`.
    Range(i64, i64),
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
    pub steps: Vec<PathStep<'s>>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathStep<'s> {
    /// A step that is known.
    Fixed(Step),
    /// `[a.b]`: an element whose position is computed.
    Computed(Expr<'s>),
    /// `[2..4]`: the elements from one position to another, both included.
    Slice(i64, i64, Span),
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member by name.
    Name(String),
    /// An element: from 1, or from -1 backwards.
    Index(i64),
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

    /// The operator that is written so.
    #[must_use]
    pub fn named(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "=" => Self::Equal,
            "!=" | "<>" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "=~" => Self::Matches,
            _ if symbol.eq_ignore_ascii_case("div") => Self::Div,
            _ if symbol.eq_ignore_ascii_case("mod") => Self::Mod,
            _ => return None,
        })
    }

    /// Whether its value is true or false.
    #[must_use]
    pub const fn compares(self) -> bool {
        !matches!(self, Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Div | Self::Mod)
    }
}
