//! From the text of a jq program to what can be run: read, bounded, every step counted.
//!
//! Wherever a program could go on without end, or make more results of few (at each call and each side of a comma),
//! a step of the budget is put in. So recursion and loops end, whatever a program catches.

use std::thread;

use jaq_core::data::JustLut;
use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Def, Parser, Pattern, Term};
use jaq_core::load::{Arena, File, Loader, parse};
use jaq_core::path::{Part, Path};
use jaq_core::{Compiler, Filter};

use super::natives;
use super::value::JqValue;

/// What can be run.
pub(super) type Program = Filter<JustLut<JqValue>>;

/// Bytes of a program.
const TEXT_MAX: usize = 16 << 10;
/// Brackets that a program opens.
const BRACKETS_MAX: usize = 1000;
/// Words and signs of a program.
const TOKENS_MAX: usize = 4000;
/// Expressions of a program inside each other: the members of one object and the parts of one text count too.
const DEPTH_MAX: usize = 200;
/// So many expressions inside each other cannot lie without a step, which looks at the stack.
const UNWATCHED_MAX: usize = 16;
/// What reading a program may take, which its depth is not known before.
const STACK: usize = 64 << 20;

/// The name under which the natives hold the step of the budget; no program can write it.
pub(super) const STEP_NAME: &str = "!step";

/// Compiles a program.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn compile(text: &str) -> Result<Program, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("the program has more than {TEXT_MAX} bytes"));
    }
    if text.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{')).count() > BRACKETS_MAX {
        return Err(format!("the program has more than {BRACKETS_MAX} brackets"));
    }
    thread::scope(|scope| {
        let reader = thread::Builder::new().name("jq".to_owned()).stack_size(STACK);
        let reader = reader.spawn_scoped(scope, || compile_here(text));
        let reader = reader.map_err(|error| format!("no thread to read the program: {error}"))?;
        reader.join().unwrap_or_else(|_| Err("the program cannot be read".to_owned()))
    })
}

fn compile_here(text: &str) -> Result<Program, String> {
    let tokens = Lexer::new(text)
        .lex()
        .map_err(|errors| errors.first().map_or_else(String::new, |(expected, at)| wrong(expected.as_str(), at)))?;
    if count(&tokens) > TOKENS_MAX {
        return Err(format!("the program has more than {TOKENS_MAX} words and signs"));
    }
    let term = Parser::new(&tokens).parse(Parser::term).map_err(|errors| {
        let found = |(expected, found): &(_, Option<&Token<&str>>)| {
            let expected: &jaq_core::load::parse::Expect<&str> = expected;
            wrong(expected.as_str(), found.map_or("", |token| token.0))
        };
        errors.first().map_or_else(String::new, found)
    })?;
    let main = Def { name: "main", args: Vec::new(), body: stepped(term, DEPTH_MAX)? };
    let ours =
        parse(include_str!("prelude.jq"), |parser| parser.defs()).expect("the prelude is jq, a test compiles it");
    let mut prelude = Vec::new();
    for Def { name, args, body } in jaq_core::defs().chain(ours) {
        prelude.push(Def { name, args, body: stepped(body, DEPTH_MAX)? });
    }
    prelude.push(main);
    let arena = Arena::default();
    let modules = Loader::new(prelude)
        .load(&arena, File { code: "main", path: () })
        .map_err(|_| "the program cannot be loaded".to_owned())?;
    Compiler::default().with_funs(natives::all()).compile(modules).map_err(|errors| {
        let undefined = errors.first().and_then(|(_, undefined)| undefined.first());
        undefined.map_or_else(String::new, |(name, what)| match what {
            jaq_core::compile::Undefined::Filter(arity) => format!("jq has no function {name}/{arity} here"),
            what => format!("there is no {} {name}", what.as_str()),
        })
    })
}

/// What was expected and what stands there.
fn wrong(expected: &str, found: &str) -> String {
    const SHOWN: usize = 20;
    let expected = if expected.is_empty() { "the end" } else { expected };
    match found {
        "" => format!("expected {expected} at the end of the program"),
        found => format!("expected {expected} at `{}`", &found[..found.floor_char_boundary(SHOWN)]),
    }
}

fn count(tokens: &[Token<&str>]) -> usize {
    tokens.iter().map(count_one).sum()
}

fn count_one(Token(_, token): &Token<&str>) -> usize {
    1 + match token {
        Tok::Block(tokens) => count(tokens),
        Tok::Str(parts) => {
            parts.iter().map(|part| if let StrPart::Term(token) = part { count_one(token) } else { 1 }).sum()
        }
        _ => 0,
    }
}

type Stepped<'s, T = Term<&'s str>> = Result<T, String>;

/// The term, with steps wherever it could go on or make more of less, and wherever it is deep.
fn stepped<'s>(term: Term<&'s str>, depth: usize) -> Stepped<'s> {
    let term = stepped_inside(term, depth)?;
    Ok(if depth.is_multiple_of(UNWATCHED_MAX) { step_before(term) } else { term })
}

fn stepped_inside<'s>(term: Term<&'s str>, depth: usize) -> Stepped<'s> {
    let too_deep = || format!("more than {DEPTH_MAX} expressions lie inside each other");
    let deeper = |by: usize| depth.checked_sub(by).ok_or_else(too_deep);
    let depth = deeper(1)?;
    let boxed = |term: Box<Term<&'s str>>| stepped(*term, depth).map(Box::new);
    let each = |terms: Vec<Term<&'s str>>| terms.into_iter().map(|term| stepped(term, depth)).collect::<Result<_, _>>();
    Ok(match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Var(_) | Term::Break(_) => term,
        Term::Call(name, args) if args.is_empty() => step_before(Term::Call(name, args)),
        Term::Call(name, args) => step_before(not_last(Term::Call(name, each(args)?))),
        Term::BinOp(left, BinaryOp::Comma, right) => {
            Term::BinOp(Box::new(step_before(*boxed(left)?)), BinaryOp::Comma, Box::new(step_before(*boxed(right)?)))
        }
        Term::BinOp(left, BinaryOp::Pipe(Some(names)), right) => {
            Term::BinOp(boxed(left)?, BinaryOp::Pipe(Some(pattern(names, depth)?)), boxed(right)?)
        }
        Term::BinOp(left, op, right) => Term::BinOp(boxed(left)?, op, boxed(right)?),
        Term::Str(format, parts) => {
            let depth = deeper(parts.len())?;
            let part = |part| {
                Ok(match part {
                    StrPart::Term(term) => StrPart::Term(stepped(term, depth)?),
                    other => other,
                })
            };
            Term::Str(format, parts.into_iter().map(part).collect::<Result<_, String>>()?)
        }
        Term::Arr(inner) => Term::Arr(inner.map(boxed).transpose()?),
        Term::Obj(members) => {
            let depth = deeper(members.len())?;
            // The name alone means the member or variable of that name, and must stay what it is.
            let member = |(name, value): (Term<&'s str>, Option<Term<&'s str>>)| match value {
                Some(value) => Ok((stepped(name, depth)?, Some(stepped(value, depth)?))),
                None => Ok((stepped_inside(name, depth)?, None)),
            };
            Term::Obj(members.into_iter().map(member).collect::<Result<_, String>>()?)
        }
        Term::Neg(inner) => Term::Neg(boxed(inner)?),
        Term::Label(name, inner) => Term::Label(name, boxed(inner)?),
        Term::Fold(name, over, names, args) => {
            let args: Vec<_> = each(args)?;
            let args = args.into_iter().map(step_before).collect();
            Term::Fold(name, boxed(over)?, pattern(names, depth)?, args)
        }
        Term::TryCatch(inner, catch) => Term::TryCatch(boxed(inner)?, catch.map(boxed).transpose()?),
        Term::IfThenElse(branches, otherwise) => {
            let depth = deeper(branches.len())?;
            let branch = |(test, then)| Ok((stepped(test, depth)?, stepped(then, depth)?));
            let branches = branches.into_iter().map(branch).collect::<Result<_, String>>()?;
            Term::IfThenElse(branches, otherwise.map(boxed).transpose()?)
        }
        Term::Def(defs, inner) => {
            let def = |Def { name, args, body }| Ok(Def { name, args, body: stepped(body, depth)? });
            Term::Def(defs.into_iter().map(def).collect::<Result<_, String>>()?, boxed(inner)?)
        }
        Term::Path(inner, Path(parts)) => {
            let bound = |bound: Option<Term<&'s str>>| bound.map(|bound| stepped(bound, depth)).transpose();
            let part = |(part, opt)| {
                Ok(match part {
                    Part::Index(index) => (Part::Index(stepped(index, depth)?), opt),
                    Part::Range(from, to) => (Part::Range(bound(from)?, bound(to)?), opt),
                })
            };
            Term::Path(boxed(inner)?, Path(parts.into_iter().map(part).collect::<Result<_, String>>()?))
        }
    })
}

fn pattern<'s>(names: Pattern<&'s str>, depth: usize) -> Stepped<'s, Pattern<&'s str>> {
    let depth = depth.checked_sub(1).ok_or_else(|| "names are nested too deep".to_owned())?;
    Ok(match names {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => {
            Pattern::Arr(items.into_iter().map(|item| pattern(item, depth)).collect::<Result<_, _>>()?)
        }
        Pattern::Obj(members) => {
            let member = |(key, names)| Ok((stepped(key, depth)?, pattern(names, depth)?));
            Pattern::Obj(members.into_iter().map(member).collect::<Result<_, String>>()?)
        }
    })
}

/// The term, as one after which something is still to do.
///
/// What a definition does last it does in place of itself, without a deeper stack; a call that gives itself its own
/// argument in a larger one would so make a chain of any length.
fn not_last(term: Term<&str>) -> Term<&str> {
    Term::BinOp(Box::new(term), BinaryOp::Pipe(None), Box::new(Term::Id))
}

fn step_before(term: Term<&str>) -> Term<&str> {
    Term::BinOp(Box::new(Term::Call(STEP_NAME, Vec::new())), BinaryOp::Pipe(None), Box::new(term))
}
