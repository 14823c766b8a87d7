//! Scenario files that are built in: the Open MQTT Benchmark Suite by name, and examples to begin with.

use super::diagnostic::nearest;

/// A built-in file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuiltIn {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! built_in {
    ($folder:literal: $($name:literal)*) => {
        &[$(BuiltIn { name: $name, text: include_str!(concat!("../../scenarios/", $folder, $name, ".toml")) }),*]
    };
}

/// The suite, its smaller set first.
pub(crate) const SUITE: &[BuiltIn] = built_in!["suite/":
    "conn-tcp-10k-100"
    "fanout-1-1k-1-1K"
    "p2p-1K-1K-1K-1K"
    "sharedsub-1K-5-1K-1K"
    "conn-tcp-1M-5K"
    "fanout-5-1000-5-250K"
    "p2p-50K-50K-50K-50K"
    "sharedsub-50K-500-50K-50K"
];

/// Examples with comments.
pub(crate) const EXAMPLES: &[BuiltIn] = built_in!["": "pairs" "fleet"];

impl BuiltIn {
    /// Its first comment.
    pub(crate) fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }
}

/// The one of this name, or of the only name that begins so; letters may be small or large.
pub(crate) fn find(list: &'static [BuiltIn], name: &str) -> Result<BuiltIn, String> {
    let wanted = name.to_ascii_lowercase();
    let wanted = wanted.strip_prefix("singlenode-").unwrap_or(&wanted);
    let lower = |built_in: &BuiltIn| built_in.name.to_ascii_lowercase();
    if let Some(exact) = list.iter().find(|built_in| lower(built_in) == wanted) {
        return Ok(*exact);
    }
    let begun: Vec<&BuiltIn> = list
        .iter()
        .filter(|built_in| lower(built_in).strip_prefix(wanted).is_some_and(|rest| rest.starts_with('-')))
        .collect();
    if let [one] = begun.as_slice() {
        return Ok(**one);
    }
    let names: Vec<String> = list.iter().map(lower).collect();
    let guess =
        nearest(wanted, names.iter().map(String::as_str)).and_then(|guess| list.iter().find(|one| lower(one) == guess));
    let guess = guess.map(|guess| format!("did you mean {}? ", guess.name)).unwrap_or_default();
    let all: Vec<&str> = list.iter().map(|built_in| built_in.name).collect();
    Err(format!("{name:?} is not built in; {guess}there are {}", all.join(", ")))
}

/// All of them with what they are, a line each.
pub(crate) fn listing(list: &[BuiltIn]) -> String {
    let width = list.iter().map(|built_in| built_in.name.len()).max().unwrap_or(0);
    list.iter().map(|built_in| format!("{:width$}  {}\n", built_in.name, built_in.summary())).collect()
}
