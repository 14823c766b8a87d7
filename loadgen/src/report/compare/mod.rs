//! `millrace-load compare`: saved runs side by side, what differs by more than chance, and a gate on that.

mod differences;
mod gate;
mod numbers;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::saved::Saved;
use super::{files, table};
use crate::cli::say;
use crate::exit::Exit;
use crate::expect::Unit;
use crate::format::bytes;
use gate::Gate;
use numbers::{Number, Span, Standing, ratio};

/// Sides have letters.
const SIDES_MAX: usize = 26;

/// Saved runs against each other.
#[derive(Args, Debug)]
pub(crate) struct CompareOptions {
    /// Files of --json; the first is what the others are compared with. Several runs of one side stand together, with
    /// the word vs between sides: A1.json A2.json vs B1.json B2.json
    #[arg(value_name = "RUN.json", required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// A condition for every side but the first: p99<=1.05x, rate>=-2% (against the first), lost=0; the exit code is 99
    /// if one does not hold
    #[arg(long, value_parser = Gate::parse)]
    expect: Vec<Gate>,
    /// A table as pull requests show it
    #[arg(long)]
    markdown: bool,
    /// Write the comparison as JSON, - for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Compares.
pub(crate) fn compare(options: &CompareOptions) -> Exit {
    let groups = match groups(&options.runs) {
        Ok(groups) => groups,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Usage;
        }
    };
    let sides: Result<Vec<Vec<Saved>>, String> =
        groups.iter().map(|paths| paths.iter().map(|path| Saved::read(path)).collect()).collect();
    match sides.and_then(|sides| Comparison::new(&groups, &sides, &options.expect).write(options)) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    }
}

/// The files of each side.
fn groups(runs: &[PathBuf]) -> Result<Vec<Vec<&Path>>, String> {
    let is_between = |path: &&PathBuf| path.as_os_str() == "vs";
    let groups: Vec<Vec<&Path>> = if runs.iter().any(|path| is_between(&path)) {
        runs.split(|path| is_between(&path)).map(|side| side.iter().map(PathBuf::as_path).collect()).collect()
    } else {
        runs.iter().map(|path| vec![path.as_path()]).collect()
    };
    match groups.len() {
        _ if groups.iter().any(Vec::is_empty) => {
            Err("a side has no files: write A1.json A2.json vs B1.json".to_owned())
        }
        2..=SIDES_MAX => Ok(groups),
        sides => Err(format!("{sides} sides cannot be compared; 2 to {SIDES_MAX} can")),
    }
}

/// One number of all sides.
struct Row {
    number: Number,
    spans: Vec<Option<Span>>,
    /// Of every side but the first.
    standings: Vec<Standing>,
}

/// How a condition turned out for a side.
struct Outcome {
    text: String,
    side: char,
    held: bool,
    shown: String,
}

struct Comparison {
    /// The letter of each side and its files.
    sides: Vec<(char, Vec<String>)>,
    headline: String,
    warnings: Vec<String>,
    rows: Vec<Row>,
    outcomes: Vec<Outcome>,
}

impl Comparison {
    fn new(groups: &[Vec<&Path>], runs: &[Vec<Saved>], gates: &[Gate]) -> Self {
        let letters = || ('A'..='Z').take(groups.len());
        let named = |paths: &Vec<&Path>| paths.iter().map(|path| path.display().to_string()).collect();
        let sides: Vec<(char, Vec<String>)> = letters().zip(groups.iter().map(named)).collect();
        let rows = numbers::numbers(runs)
            .into_iter()
            .map(|number| {
                let spans: Vec<Option<Span>> = runs.iter().map(|side| number.span(side)).collect();
                let stands = |span: &Option<Span>| number.standing(spans[0], *span);
                let standings = spans.iter().skip(1).map(stands).collect();
                Row { number, spans, standings }
            })
            .collect();
        let mut outcomes = Vec::new();
        for gate in gates {
            for (letter, side) in letters().zip(runs).skip(1) {
                let whole = median(side.iter().map(|run| Some(run.whole()))).unwrap_or(0.0);
                let value = |side: &[Saved]| median(side.iter().map(|run| run.value(gate.name())));
                let (held, shown) = gate.judge(value(&runs[0]), value(side), whole);
                outcomes.push(Outcome { text: gate.text().to_owned(), side: letter, held, shown });
            }
        }
        let warnings = differences::warnings(&sides, runs);
        Self { headline: runs[0][0].title().to_owned(), sides, warnings, rows, outcomes }
    }

    fn write(&self, options: &CompareOptions) -> Result<Exit, String> {
        let text = table::for_terminal(&if options.markdown { self.markdown() } else { self.text() });
        match options.json.as_deref() {
            Some(path) => {
                if path.as_os_str() == "-" {
                    eprint!("{text}");
                } else {
                    say(&text);
                }
                files::put(path, &format!("{:#}\n", self.json()))?;
            }
            None => say(&text),
        }
        Ok(if self.outcomes.iter().all(|outcome| outcome.held) { Exit::Done } else { Exit::NotHeld })
    }

    /// The table: titles, then a line for each number.
    fn cells(&self) -> Vec<Vec<String>> {
        let others = || self.sides.iter().skip(1);
        let titles = std::iter::once(String::new())
            .chain(self.sides.iter().map(|(letter, _)| letter.to_string()))
            .chain(others().flat_map(|(letter, _)| [format!("{letter}/A"), String::new()]));
        let mut cells = vec![titles.collect::<Vec<_>>()];
        for row in &self.rows {
            let mut line = vec![row.number.name.clone()];
            line.extend(row.spans.iter().map(|span| span.map_or_else(|| "-".to_owned(), |span| row.show(span.middle))));
            for (span, standing) in row.spans.iter().skip(1).zip(&row.standings) {
                line.push(match (row.spans[0], span) {
                    (Some(base), Some(other)) => times(ratio(base.middle, other.middle)),
                    _ => "-".to_owned(),
                });
                line.push(standing.words().to_owned());
            }
            cells.push(line);
        }
        cells
    }

    fn text(&self) -> String {
        let mut out = format!("{}\n", self.headline);
        for (letter, files) in &self.sides {
            // Writing to a string does not fail.
            let _ = writeln!(out, "  {letter}  {}{}", files.join(" "), median_of(files.len()));
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        let cells = self.cells();
        let columns = cells[0].len();
        let widths: Vec<usize> =
            (0..columns).map(|at| cells.iter().map(|line| line[at].chars().count()).max().unwrap_or(0)).collect();
        for line in &cells {
            let mut text = String::from("  ");
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Words stand left, numbers right.
                let is_words = at == 0 || (at > self.sides.len() && (at - self.sides.len()).is_multiple_of(2));
                let _ = if is_words { write!(text, "{cell:<width$}  ") } else { write!(text, "{cell:>width$}  ") };
            }
            let _ = writeln!(out, "{}", text.trim_end());
        }
        for outcome in &self.outcomes {
            let held = if outcome.held { "held" } else { "NOT HELD" };
            let _ = writeln!(out, "  expect  {} {held} ({} {})", outcome.text, outcome.side, outcome.shown);
        }
        out
    }

    fn markdown(&self) -> String {
        let clean = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
        let mut out = format!("**{}**\n\n", clean(&self.headline));
        for (letter, files) in &self.sides {
            let _ = writeln!(out, "- {letter}: {}{}", clean(&files.join(" ")), median_of(files.len()));
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "- **warning**: {}", clean(warning));
        }
        out.push('\n');
        for (number, line) in self.cells().iter().enumerate() {
            let cells: Vec<String> = line.iter().map(|cell| clean(cell)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
            if number == 0 {
                let _ = writeln!(out, "| --- |{}", " ---: |".repeat(line.len() - 1));
            }
        }
        if !self.outcomes.is_empty() {
            out.push('\n');
        }
        for outcome in &self.outcomes {
            let held = if outcome.held { "held" } else { "**NOT HELD**" };
            let _ = writeln!(out, "- {} {held} ({} {})", clean(&outcome.text), outcome.side, outcome.shown);
        }
        out
    }

    fn json(&self) -> Value {
        let span =
            |span: &Option<Span>| span.map(|span| json!({ "median": span.middle, "low": span.low, "high": span.high }));
        let numbers: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let ratios = row.spans.iter().skip(1).map(|other| Some(ratio(row.spans[0]?.middle, (*other)?.middle)));
                json!({
                    "name": row.number.name,
                    "sides": row.spans.iter().map(span).collect::<Vec<_>>(),
                    "ratios": ratios.collect::<Vec<_>>(),
                    "standings": row.standings.iter().map(|standing| standing.words()).collect::<Vec<_>>(),
                })
            })
            .collect();
        let expectations: Vec<Value> = self
            .outcomes
            .iter()
            .map(|one| json!({ "condition": one.text, "side": one.side, "held": one.held, "met": one.shown }))
            .collect();
        let sides: Vec<Value> =
            self.sides.iter().map(|(letter, files)| json!({ "letter": letter, "files": files })).collect();
        json!({
            "schema": "millrace-load-compare/1",
            "headline": self.headline,
            "sides": sides,
            "warnings": self.warnings,
            "numbers": numbers,
            "expectations": expectations,
        })
    }
}

impl Row {
    fn show(&self, value: f64) -> String {
        match self.number.unit {
            Unit::Microseconds => format!("{value:.3} us"),
            Unit::Bytes => bytes(value as u64),
            unit => unit.show(value),
        }
    }
}

fn median_of(runs: usize) -> String {
    if runs == 1 { String::new() } else { format!("  (median of {runs})") }
}

/// A factor with as many digits as say something.
fn times(factor: f64) -> String {
    match factor {
        _ if factor.is_infinite() => "from 0".to_owned(),
        _ if factor < 10.0 => format!("{factor:.3}x"),
        _ => format!("{factor:.0}x"),
    }
}

/// None if one of them is not there.
fn median(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect::<Option<_>>()?;
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(values[last / 2], values[values.len() / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: u64) -> Saved {
        let run = json!({
            "schema": "millrace-load/1",
            "headline": "pairs  a|b",
            "messages": { "expected": 100, "lost": 0 },
            "measured": { "rate_per_s": rate, "received_per_s": rate },
            "verdict": { "valid": true },
        });
        Saved::from_json(run).expect("it has the schema")
    }

    fn comparison(gates: &[&str]) -> Comparison {
        let gates: Vec<Gate> = gates.iter().map(|gate| Gate::parse(gate).expect(gate)).collect();
        let groups = [vec![Path::new("a1"), Path::new("a2")], vec![Path::new("b")]];
        Comparison::new(&groups, &[vec![run(900), run(1100)], vec![run(2000)]], &gates)
    }

    #[test]
    fn sides_are_told_apart_by_vs() {
        let paths = |words: &str| words.split(' ').map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(groups(&paths("a b c")).expect("legal").len(), 3);
        assert_eq!(
            groups(&paths("a b vs c")).expect("legal"),
            [vec![Path::new("a"), "b".as_ref()], vec!["c".as_ref()]]
        );
        for wrong in ["a vs", "vs a", "a vs vs b", "vs"] {
            assert!(groups(&paths(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn medians_stand_side_by_side() {
        let text = comparison(&[]).text();
        let line = text.lines().find(|line| line.starts_with("  rate")).expect("a rate");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["rate", "1,000/s", "2,000/s", "2.000x", "better"], "{text}");
        assert!(text.contains("a1 a2  (median of 2)"), "{text}");
    }

    #[test]
    fn a_gate_speaks_of_medians() {
        let held: Vec<bool> =
            comparison(&["rate>=2x", "rate<=+50%", "lost=0"]).outcomes.iter().map(|one| one.held).collect();
        assert_eq!(held, [true, false, true]);
    }

    #[test]
    fn markdown_keeps_its_columns_whatever_a_name_holds() {
        let text = comparison(&["rate>=2x"]).markdown();
        assert!(text.starts_with("**pairs  a\\|b**"), "{text}");
        let bars: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert!(bars.len() > 2 && bars.iter().all(|bar| *bar == bars[0]), "{text}");
    }
}
