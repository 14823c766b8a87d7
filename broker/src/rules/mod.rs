//! `millrace rules …`: rules tried, tested and looked up without a broker, by the closures that it runs.
//!
//! | question | module |
//! | --- | --- |
//! | which rules a file holds | [`sources`] |
//! | what is wrong with them | [`check`] |
//! | what an event is when a person writes it | [`sample`], `fill` |
//! | what a rule makes of it | [`trial`] |
//! | why WHERE was true or false | [`why`] |
//! | one event tried on one rule | [`try_one`] |
//! | cases in a file, and whether they hold | [`cases`], [`suite`], [`junit`] |
//! | what rules of a running broker do | [`tap`] |
//! | how values are shown with their kinds | [`typed`] |
//! | which functions, events and fields there are | [`vocabulary`], [`mod@reference`] |

pub mod base64;
pub mod cases;
pub mod check;
mod fill;
pub mod junit;
pub mod reference;
pub mod sample;
pub mod sources;
pub mod suite;
pub mod tap;
pub mod trial;
pub mod try_one;
pub mod typed;
pub mod vocabulary;
pub mod why;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use millrace_rules::config::Compat;

use crate::config::args::ConfigArgs;
use crate::exit::Exit;
use crate::import::{self, ImportOptions};

/// What can be done with rules.
#[derive(Debug, Subcommand)]
pub enum RulesVerb {
    /// Say all that is wrong with rules
    Check {
        /// A .sql file with one rule, a config with [rules.NAME], or - for a rule on standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// One JSON array instead of words
        #[arg(long)]
        json: bool,
    },
    /// Try a rule on an event, or run the cases of files
    Test(Box<TestOptions>),
    /// Show samples of what rules of the running broker do
    Tap {
        /// The broker's config, for its data directory.
        #[command(flatten)]
        config: ConfigArgs,
        /// What is wanted of it.
        #[command(flatten)]
        options: tap::TapOptions,
    },
    /// Make a config of the rules in an export of EMQX
    Import(ImportOptions),
    /// Print the functions that rules can call
    Functions {
        /// Only this one, or those whose names hold this
        name: Option<String>,
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the events that rules can read, with their fields
    Events {
        /// Only this one, such as message.publish or $events/client_connected
        name: Option<String>,
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the reference of events, functions and codes as Markdown
    Reference,
}

/// What `rules test` is told.
#[derive(Args, Debug, Default)]
#[command(
    after_help = "Exit codes: 0 the rule made rows or none, all cases hold; 1 the rule is wrong or failed, a case \
                        does not hold; 2 usage, or an event or case file that cannot be read."
)]
pub struct TestOptions {
    /// Files with cases
    #[arg(conflicts_with_all = ["sql", "sql_file", "event", "event_file", "compat", "seed", "now"])]
    #[arg(required_unless_present_any = ["sql", "sql_file"])]
    files: Vec<PathBuf>,
    /// The rule
    #[arg(long, conflicts_with = "sql_file")]
    sql: Option<String>,
    /// A file with the rule, or - for standard input
    #[arg(long, value_name = "FILE")]
    sql_file: Option<PathBuf>,
    /// The event: a file with a JSON object of its fields, or the object itself. Without one a message with the payload
    /// {"msg":"hello"} on a topic that the rule wants
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "event_file")]
    event: Option<String>,
    /// A file with the event, or - for standard input
    #[arg(long, value_name = "FILE")]
    event_file: Option<PathBuf>,
    /// Whose rules about null hold
    #[arg(long, value_name = "VERSION")]
    compat: Option<CompatChoice>,
    /// What random numbers follow from; without it they are different each time
    #[arg(long)]
    seed: Option<u64>,
    /// The clock, in milliseconds since 1970, if the event has no timestamp; without it that of this host
    #[arg(long, value_name = "MS")]
    now: Option<u64>,
    /// JSON on standard output: an array of rows or an object with error, code and message; of cases, an array of them
    #[arg(long)]
    json: bool,
    /// Write the outcome of the cases as JUnit XML too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sql", "sql_file"])]
    junit: Option<PathBuf>,
}

/// `--compat`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CompatChoice {
    /// As 4.x.
    #[value(name = "4.x")]
    V4,
    /// As 5.x.
    #[value(name = "5.x")]
    V5,
}

impl From<CompatChoice> for Compat {
    fn from(choice: CompatChoice) -> Self {
        match choice {
            CompatChoice::V4 => Self::V4,
            CompatChoice::V5 => Self::V5,
        }
    }
}

/// Runs the verb; `before` is the config as it was named before the verb.
#[must_use]
pub fn run(verb: &RulesVerb, before: ConfigArgs) -> Exit {
    match verb {
        RulesVerb::Tap { config, options } => {
            match before.with(config.clone()).load_or_say("the broker was not asked") {
                Ok(loaded) => tap::run(options, &loaded.config, loaded.file.as_deref()),
                Err(exit) => exit,
            }
        }
        RulesVerb::Check { files, json } => check::run(files, *json),
        RulesVerb::Test(options) if options.files.is_empty() => try_one::run(options),
        RulesVerb::Test(options) => suite::run(&options.files, options.json, options.junit.as_deref()),
        RulesVerb::Functions { name, json } => vocabulary::functions(name.as_deref(), *json),
        RulesVerb::Events { name, json } => vocabulary::events(name.as_deref(), *json),
        RulesVerb::Import(options) => import::run(options),
        RulesVerb::Reference => {
            crate::out::say(&reference::markdown());
            Exit::Done
        }
    }
}

/// Reads all of a file, or of standard input for `-`.
///
/// # Errors
/// Why it cannot be read, in words with its name.
pub fn read(path: &std::path::Path) -> Result<String, String> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin().lock())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| format!("cannot read {}: {error}", shown(path)))
}

/// The name of a file for people.
#[must_use]
pub fn shown(path: &std::path::Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}

/// Says why nothing could be done.
fn usage(message: &str) -> Exit {
    eprintln!("error: {}", crate::diagnostics::printable(message));
    Exit::Usage
}
