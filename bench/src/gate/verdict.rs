//! Which paths take more than they did, and which functions are to blame.

use std::fmt;

use super::baseline::{Baseline, Entry, MadeWith};
use super::callgrind::{Profile, is_ours};
use crate::paths::Path;

/// What a path may take more than in the baseline.
const LIMIT: f64 = 0.03;
/// Functions that are named for a path.
const NAMED: usize = 6;

/// The outcome for all paths.
pub(super) struct Verdict {
    lines: Vec<Line>,
    /// What is not as it was when the baseline was made.
    differences: Vec<String>,
}

struct Line {
    name: &'static str,
    was: Option<f64>,
    is: f64,
    /// Functions that grew, by how much; ours and the others.
    grown: Vec<(String, f64)>,
}

impl Verdict {
    pub(super) fn new(baseline: &Baseline, here: &MadeWith, profiles: &[(&Path, Profile)]) -> Self {
        let lines = profiles
            .iter()
            .map(|(path, profile)| {
                let entry = baseline.paths.get(path.name);
                Line {
                    name: path.name,
                    was: entry.map(|entry| entry.instructions),
                    is: profile.instructions,
                    grown: entry.map(|entry| grown(entry, profile)).unwrap_or_default(),
                }
            })
            .collect();
        Self { lines, differences: baseline.made_with.differences(here) }
    }

    /// Whether no path has grown over the limit.
    pub(super) fn holds(&self) -> bool {
        !self.lines.iter().any(Line::fails)
    }
}

/// Functions that take more than they did, those that grew most first.
fn grown(entry: &Entry, profile: &Profile) -> Vec<(String, f64)> {
    let mut grown: Vec<(String, f64)> = profile
        .functions
        .iter()
        .map(|(name, cost)| (name.clone(), cost - entry.functions.get(name).copied().unwrap_or_default()))
        .filter(|(_, growth)| *growth > profile.instructions * 0.005)
        .collect();
    grown.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    grown
}

impl Line {
    /// How much more it takes than it did, as a part.
    fn change(&self) -> Option<f64> {
        self.was.map(|was| self.is / was - 1.0)
    }

    fn fails(&self) -> bool {
        self.change().is_none_or(|change| change > LIMIT)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26} {:>9} {:>9} {:>8}", "instructions/operation", "baseline", "now", "change")?;
        for line in &self.lines {
            let (Some(was), Some(change)) = (line.was, line.change()) else {
                writeln!(f, "{:<26} {:>9} {:>9.1}  FAILED: not in the baseline", line.name, "-", line.is)?;
                continue;
            };
            let mark = if line.fails() { "  FAILED" } else { "" };
            writeln!(f, "{:<26} {was:>9.1} {:>9.1} {:>+7.1}%{mark}", line.name, line.is, 100.0 * change)?;
            if line.fails() {
                let (ours, others): (Vec<_>, Vec<_>) = line.grown.iter().partition(|(name, _)| is_ours(name));
                for (name, growth) in ours.iter().take(NAMED) {
                    writeln!(f, "    {growth:>+9.1}  {name}")?;
                }
                for (name, growth) in others.iter().take(NAMED) {
                    writeln!(f, "    {growth:>+9.1}  of that in {name}")?;
                }
            }
        }
        for difference in &self.differences {
            writeln!(f, "note: this is {difference}, which the baseline was made with")?;
        }
        if self.holds() {
            if self.lines.iter().filter_map(Line::change).any(|change| change < -LIMIT) {
                writeln!(f, "gate: holds; what became less is kept by: bench/gate --bless")?;
            } else {
                writeln!(f, "gate: holds")?;
            }
            return Ok(());
        }
        writeln!(
            f,
            "gate: FAILED, over +{:.0} % (functions of this project carry what they call outside it)",
            100.0 * LIMIT
        )?;
        if self.differences.is_empty() {
            writeln!(f, "  if it is worth it:  bench/gate --bless, and say in the commit why")
        } else {
            writeln!(
                f,
                "  it may be the tools: run bench/gate --bless on the commit before, then bench/gate on this one"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn profile(decode: f64, malloc: f64) -> Profile {
        let functions =
            BTreeMap::from([("millrace_core::codec::decode".to_owned(), decode), ("malloc".to_owned(), malloc)]);
        Profile { instructions: decode, functions, cpu: "avx2".to_owned() }
    }

    fn verdict(was: &Profile, is: Profile, here: &MadeWith) -> Verdict {
        let path = &crate::paths::PATHS[0];
        let paths = BTreeMap::from([(path.name.to_owned(), Entry::from(was))]);
        Verdict::new(&Baseline { made_with: MadeWith::default(), paths }, here, &[(path, is)])
    }

    #[test]
    fn over_three_per_cent_fails_and_names_the_function() {
        let here = MadeWith::default();
        assert!(verdict(&profile(100.0, 0.0), profile(102.9, 0.0), &here).holds());
        let verdict = verdict(&profile(100.0, 0.0), profile(150.0, 40.0), &here);
        assert!(!verdict.holds());
        let text = verdict.to_string();
        for part in ["+50.0%  FAILED", "+50.0  millrace_core::codec::decode", "+40.0  of that in malloc", "--bless"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn other_tools_are_told() {
        let here = MadeWith { rustc: "rustc 2.0.0".to_owned(), ..MadeWith::default() };
        let text = verdict(&profile(100.0, 0.0), profile(200.0, 0.0), &here).to_string();
        assert!(text.contains("this is rustc 2.0.0, not ") && text.contains("on the commit before"), "{text}");
    }
}
