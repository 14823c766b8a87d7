//! Compiled regular expressions: two engines behind one verb, and what each thread keeps of them.
//!
//! A pattern without look-around and back-references runs in time linear in the text. One with them backtracks; its
//! texts are short and its steps are counted, so that no text makes it run long.
//! Invariants: a thread keeps patterns up to [`KEPT`]; those that are used again stay longest.
//! Runs on: the shard that evaluates the rule.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use millrace_core::value::Value;

use super::dialect::translated;
use crate::error::{Trouble, met};
use crate::input::Input;

/// The longest pattern in bytes.
const PATTERN_BYTES_MAX: usize = 8 << 10;
/// The longest text for a pattern that backtracks: it may be looked through once for each of its characters.
const BACKTRACKED_BYTES_MAX: usize = 8 << 10;
/// Steps back in one search.
const BACKTRACKS_MAX: usize = 100_000;
/// Instructions of a pattern that backtracks, which may name parts of itself.
const INSTRUCTIONS_MAX: usize = 16 << 10;
/// Size of a compiled pattern of the small kind, and of any.
const SMALL_BYTES: usize = 64 << 10;
const LARGE_BYTES: usize = 1 << 20;
/// What is kept of a thread's patterns, in sizes of a small one.
const KEPT: usize = 1024;
/// What compiling a pattern is paid with.
const COMPILATION: usize = 64 << 10;
/// What one search is paid with, beyond the text.
const SEARCH: usize = 64;

/// One compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    engine: Engine,
    weight: usize,
    /// Whether it may ask for the end of the text, which is before a last line end as well.
    asks_end: bool,
}

#[derive(Debug)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(fancy_regex::Regex),
}

/// Where the groups of a match are; the first one is all of it.
pub(super) type Groups = smallvec::SmallVec<[Option<Range<usize>>; 8]>;

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// In words, if it is none or too large.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("the pattern has {} bytes, more than {PATTERN_BYTES_MAX}", pattern.len()));
        }
        let asks_end = pattern.contains('$') || pattern.contains("\\Z");
        // `(?R)` is recursion, and a flag of another meaning to the linear engine.
        if !pattern.contains("(?R") {
            let linear = translated(pattern, true);
            for (size, weight) in [(SMALL_BYTES, 1), (LARGE_BYTES, LARGE_BYTES / SMALL_BYTES)] {
                match regex::RegexBuilder::new(&linear).size_limit(size).dfa_size_limit(2 * size).build() {
                    Ok(regex) => return Ok(Self { engine: Engine::Linear(regex), weight, asks_end }),
                    Err(regex::Error::CompiledTooBig(_)) => {}
                    Err(_) => break,
                }
            }
        }
        fancy_regex::RegexBuilder::new(&translated(pattern, false))
            .backtrack_limit(BACKTRACKS_MAX)
            .delegate_size_limit(LARGE_BYTES)
            .delegate_dfa_size_limit(2 * SMALL_BYTES)
            .max_prog_size(INSTRUCTIONS_MAX)
            .build()
            .map(|regex| Self { engine: Engine::Backtracking(regex), weight: LARGE_BYTES / SMALL_BYTES, asks_end })
            .map_err(|error| format!("{} is no pattern: {}", met(&Value::text(pattern)), why(&error)))
    }

    /// The compiled pattern, from this thread's store if it is there.
    ///
    /// # Errors
    /// If it is none, or compiling it is too much for this event.
    pub(super) fn of(function: &'static str, pattern: &str, input: &Input<'_>) -> Result<Rc<Self>, Trouble> {
        thread_local! {
            static STORE: RefCell<Store> = RefCell::default();
        }
        STORE.with_borrow_mut(|store| {
            if let Some(known) = store.get(pattern) {
                return Ok(known);
            }
            input.pay(COMPILATION)?;
            let compiled = Rc::new(Self::compile(pattern).map_err(|why| Trouble::Failed { function, why })?);
            store.put(pattern, Rc::clone(&compiled));
            Ok(compiled)
        })
    }

    /// Pays for looking through a text once. Comes before any number of searches through it.
    pub(super) fn begin(&self, text: &str, input: &Input<'_>) -> Result<(), Trouble> {
        match self.engine {
            Engine::Linear(_) => input.pay(text.len() * (self.weight - 1).min(7)),
            Engine::Backtracking(_) if text.len() > BACKTRACKED_BYTES_MAX => Err(Trouble::TooMuchWork),
            Engine::Backtracking(_) => Ok(()),
        }
    }

    /// Whether it is found anywhere.
    pub(super) fn is_match(&self, text: &str, input: &Input<'_>) -> Result<bool, Trouble> {
        self.begin(text, input)?;
        if matches!(self.engine, Engine::Backtracking(_)) {
            return Ok(self.find(text, 0, false, input)?.is_some());
        }
        self.with_line_end(text, |text| match &self.engine {
            Engine::Linear(regex) => Ok(regex.is_match(text).then_some(())),
            Engine::Backtracking(_) => Ok(None),
        })
        .map(|found| found.is_some())
    }

    /// The first match from a place on, with its groups if these are wanted.
    pub(super) fn find(
        &self,
        text: &str,
        from: usize,
        groups: bool,
        input: &Input<'_>,
    ) -> Result<Option<Groups>, Trouble> {
        let ranges = |found: fancy_regex::Captures<'_, str>| {
            found.iter().map(|group| group.map(|group| group.range())).collect()
        };
        let found = self.with_line_end(text, |text| match &self.engine {
            _ if from > text.len() => Ok(None),
            Engine::Linear(regex) if groups => Ok(regex
                .captures_at(text, from)
                .map(|found| found.iter().map(|group| group.map(|group| group.range())).collect())),
            Engine::Linear(regex) => {
                Ok(regex.find_at(text, from).map(|found| Groups::from_elem(Some(found.range()), 1)))
            }
            Engine::Backtracking(regex) => {
                input.pay(COMPILATION / 2)?;
                regex.captures_from_pos(text, from).map(|found| found.map(ranges)).map_err(stopped)
            }
        })?;
        let end = found.as_ref().and_then(|groups: &Groups| groups.first()?.as_ref()).map_or(text.len(), |all| all.end);
        input.pay(match self.engine {
            Engine::Linear(_) => SEARCH,
            // It may have looked through all of the text for each character that it has passed.
            Engine::Backtracking(_) => (end - from + 1) * text.len() / 4,
        })?;
        Ok(found)
    }

    /// A text that ends in a line end also ends before it; what is found nowhere else may be found there.
    fn with_line_end<T>(
        &self,
        text: &str,
        search: impl Fn(&str) -> Result<Option<T>, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        match search(text)? {
            None if self.asks_end => text.strip_suffix('\n').map_or(Ok(None), search),
            found => Ok(found),
        }
    }
}

fn stopped(_: fancy_regex::Error) -> Trouble {
    Trouble::TooMuchWork
}

fn why(error: &fancy_regex::Error) -> String {
    use fancy_regex::{CompileError, Error};
    if let Error::CompileError(error) = error {
        match &**error {
            CompileError::InnerError(inner) if inner.size_limit().is_some() => {
                return format!("it compiles to more than {LARGE_BYTES} bytes");
            }
            CompileError::PatternTooComplex => {
                return format!("it compiles to more than {INSTRUCTIONS_MAX} instructions");
            }
            CompileError::VariableLookBehindRequiresFeature | CompileError::LookBehindNotConst => {
                return "a look-behind has no fixed length".to_owned();
            }
            _ => {}
        }
    }
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Patterns by their text. Which one goes when there is no room is asked in a circle: one that was used since the last
/// time stays.
#[derive(Default)]
struct Store {
    places: HashMap<Rc<str>, usize, foldhash::fast::RandomState>,
    kept: Vec<Kept>,
    weight: usize,
    next: usize,
}

struct Kept {
    text: Rc<str>,
    pattern: Rc<Pattern>,
    used: bool,
}

impl Store {
    fn get(&mut self, text: &str) -> Option<Rc<Pattern>> {
        let kept = &mut self.kept[*self.places.get(text)?];
        kept.used = true;
        Some(Rc::clone(&kept.pattern))
    }

    fn put(&mut self, text: &str, pattern: Rc<Pattern>) {
        while !self.kept.is_empty() && self.weight + pattern.weight > KEPT {
            self.drop_one();
        }
        self.weight += pattern.weight;
        let text: Rc<str> = text.into();
        self.places.insert(Rc::clone(&text), self.kept.len());
        self.kept.push(Kept { text, pattern, used: false });
    }

    fn drop_one(&mut self) {
        loop {
            self.next %= self.kept.len();
            if !std::mem::take(&mut self.kept[self.next].used) {
                break;
            }
            self.next += 1;
        }
        let gone = self.kept.swap_remove(self.next);
        self.weight -= gone.pattern.weight;
        self.places.remove(&gone.text);
        if let Some(moved) = self.kept.get(self.next) {
            self.places.insert(Rc::clone(&moved.text), self.next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_are_used_again_outlive_those_that_are_not() {
        let mut store = Store::default();
        let pattern = Rc::new(Pattern::compile("a").expect("a pattern"));
        store.put("constant", Rc::clone(&pattern));
        for number in 0..5 * KEPT {
            store.put(&format!("p{number}"), Rc::clone(&pattern));
            assert!(store.get("constant").is_some(), "after {number}");
            assert!(store.kept.len() <= KEPT && store.kept.len() == store.places.len());
        }
        assert!(store.get("p0").is_none() && store.get(&format!("p{}", 5 * KEPT - 1)).is_some());
        assert_eq!(store.weight, store.kept.len());
    }

    #[test]
    fn a_pattern_is_compiled_once() {
        let mut scratch = crate::Scratch::default();
        let event = crate::EventView { event: crate::fields::Event::MessagePublish, unix_ms: 0, node: "", fields: &[] };
        let input = Input::fields(event, &mut scratch);
        let first = Pattern::of("regex_match", "a+", &input).expect("a pattern");
        let again = Pattern::of("regex_match", "a+", &input).expect("the same");
        assert!(Rc::ptr_eq(&first, &again));
        assert!(Pattern::of("regex_match", "(", &input).is_err());
    }

    #[test]
    fn only_what_needs_it_backtracks() {
        for (pattern, linear) in
            [("a+b", true), (r"^\d{4}-(\d+)$", true), (r"(a)\1", false), ("(?=a)b", false), ("(?<!x)y", false)]
        {
            let compiled = Pattern::compile(pattern).expect(pattern);
            assert_eq!(matches!(compiled.engine, Engine::Linear(_)), linear, "{pattern}");
        }
        assert_eq!(Pattern::compile(r"^\w{1,64}$").expect("small").weight, 1);
        assert_eq!(Pattern::compile(r"\pL{10}").expect("large").weight, LARGE_BYTES / SMALL_BYTES);
        for (pattern, why) in [
            (r"\pL{9999}", "it compiles to more than 1048576 bytes"),
            (r"(?=x)\pL{9999}", "it compiles to more than 1048576 bytes"),
            (r"(?<=a{1,9}b)c", "a look-behind has no fixed length"),
            (r"a(b", "Opening parenthesis without closing parenthesis"),
        ] {
            let refused = Pattern::compile(pattern).expect_err(pattern);
            assert!(refused.contains(why), "{pattern} {refused}");
        }
        assert!(Pattern::compile(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
        assert!(Pattern::compile(&"(".repeat(5_000)).is_err());
        assert!(Pattern::compile(&format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000))).is_err());
    }
}
