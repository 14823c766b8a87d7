//! From a document to a scenario: keys become options, and whatever is wrong with any of them is found at once.
//!
//! The option parser ends at its first error. Each is noted at its key, the key left out, and the rest read again, until
//! nothing is wrong any more.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Command};

use super::diagnostic::{Diagnostic, nearest, render};
use super::document::{Document, Entry, STREAM, Section, Value};
use crate::cli::{self, Scenario};
use crate::files::Files;
use crate::mix::{self, Draft};
use crate::scenario;

/// The key that names the scenario.
const SCENARIO: &str = "scenario";
/// Options of one value that may be written as a list.
const LISTS: &[&str] = &["host", "ifaddr", "agents", "percentiles"];

/// What a file says, with options typed behind it, which have the last word.
pub(crate) fn read(file: &str, text: &str, typed: &[String], files: &Files) -> Result<Scenario, String> {
    let mut found = Vec::new();
    let document = Document::parse(text, &mut found);
    let scenario = understand(&document, typed, &mut found);
    if let Some(scenario) = &scenario {
        check(scenario, &document, files, &mut found);
    }
    match scenario {
        Some(scenario) if found.is_empty() => Ok(scenario),
        _ => Err(render(&found, file, text)),
    }
}

fn understand(document: &Document, typed: &[String], found: &mut Vec<Diagnostic>) -> Option<Scenario> {
    let mixed = !document.streams.is_empty();
    let name = name_of(&document.top, mixed.then_some("mixed"), &cli::scenario_names(), found)?;
    if mixed && name != "mixed" {
        let place = document.streams[0].place.clone();
        found.push(Diagnostic::new(format!("scenario {name} has no streams"), Some(place), "those of mixed have"));
        return None;
    }
    if !mixed && name == "mixed" {
        let place = key_of(&document.top, SCENARIO);
        found.push(Diagnostic::new(
            "scenario mixed has no streams",
            place,
            "write [[stream]] and what it does below it",
        ));
        return None;
    }
    let command = mix::top_command();
    let mut top =
        Reading { command: &command, scenario: &name, section: &document.top, typed, extra: &[], run_wide: &[] };
    if !mixed {
        let matches = top.matches(found)?;
        return cli::from_matches(&matches).map_err(|error| found.push(top.blame(&error))).ok();
    }
    top.extra = &["stream"];
    let whole = top.matches(found);
    let run_wide = mix::run_wide();
    let names = mix::stream_names();
    let drafts: Vec<Option<(Draft, &Section)>> = document
        .streams
        .iter()
        .map(|section| {
            let name = name_of(section, Some("pairs"), &names, found)?;
            let command = mix::stream_command();
            let reading =
                Reading { command: &command, scenario: &name, section, typed: &[], extra: &[], run_wide: &run_wide };
            let arguments = reading.sound_arguments(found)?;
            Some((Draft { scenario: name, arguments }, section))
        })
        .collect();
    let drafts: Vec<(Draft, &Section)> = drafts.into_iter().collect::<Option<_>>()?;
    let (drafts, sections): (Vec<Draft>, Vec<&Section>) = drafts.into_iter().unzip();
    let whole = whole?;
    mix::scenario(&whole, &drafts)
        .map_err(|(stream, error)| {
            let section = stream.map_or(&document.top, |stream| sections[stream]);
            found.push(blame(section, &error));
        })
        .ok()
}

/// What does not fit together, if it is the fault of a key.
fn check(scenario: &Scenario, document: &Document, files: &Files, found: &mut Vec<Diagnostic>) {
    let Err(error) = scenario::run_plan(scenario, 0, files) else { return };
    let names: Vec<&String> = match scenario {
        Scenario::Mixed(options) => options.streams.iter().map(|stream| &stream.name).collect(),
        _ => Vec::new(),
    };
    let stream = names.iter().position(|name| error.starts_with(&format!("stream {name}: ")));
    let section = stream.and_then(|stream| document.streams.get(stream));
    let sections = section.into_iter().chain([&document.top]);
    if let Some(diagnostic) =
        sections.flat_map(|section| culprit(section, &error).map(|entry| blame_entry(entry, &error))).next()
    {
        found.push(diagnostic);
    }
}

/// The scenario that a section names.
fn name_of(section: &Section, default: Option<&str>, names: &[String], found: &mut Vec<Diagnostic>) -> Option<String> {
    let Some(entry) = section.entries.iter().find(|entry| entry.name == SCENARIO) else {
        if default.is_none() {
            found.push(Diagnostic::new(
                format!("the file has no `{SCENARIO}`"),
                Some(section.place.clone()),
                names.join(", "),
            ));
        }
        return default.map(str::to_owned);
    };
    let Value::One(name) = &entry.value else {
        found.push(Diagnostic::new(
            format!("`{SCENARIO}` is a name in quotes"),
            Some(entry.place.clone()),
            names.join(", "),
        ));
        return None;
    };
    if names.contains(name) {
        return Some(name.clone());
    }
    let label = match nearest(name, names.iter().map(String::as_str)) {
        Some(guess) => format!("did you mean {guess:?}?"),
        None => format!("there are {}", names.join(", ")),
    };
    found.push(Diagnostic::new(format!("{name:?} is no scenario here"), Some(entry.place.clone()), label));
    None
}

fn key_of(section: &Section, name: &str) -> Option<std::ops::Range<usize>> {
    section.entries.iter().find(|entry| entry.name == name).map(|entry| entry.key.clone())
}

/// One section, and the options that it may have.
struct Reading<'a> {
    command: &'a Command,
    scenario: &'a str,
    section: &'a Section,
    /// Behind those of the section.
    typed: &'a [String],
    /// Options that are not keys.
    extra: &'a [&'a str],
    /// Options that only the whole run has.
    run_wide: &'a [String],
}

impl Reading<'_> {
    /// The arguments of each key that fits, by the place of its entry.
    fn arguments(&self, found: &mut Vec<Diagnostic>) -> Vec<(usize, Vec<String>)> {
        let command = self.command.find_subcommand(self.scenario).expect("the name was looked up");
        let known: Vec<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .filter(|long| *long != "help" && !self.extra.contains(long))
            .filter(|long| !self.run_wide.iter().any(|wide| wide == long))
            .collect();
        let mut arguments = Vec::new();
        for (at, entry) in self.section.entries.iter().enumerate().filter(|(_, entry)| entry.name != SCENARIO) {
            let argument = command.get_arguments().find(|argument| {
                let aliases = argument.get_all_aliases().unwrap_or_default();
                let longs = argument.get_long().into_iter().chain(aliases);
                longs.into_iter().any(|long| long == entry.name)
                    && known.contains(&argument.get_long().unwrap_or_default())
            });
            match argument {
                Some(argument) => match typed(argument, entry) {
                    Ok(words) => arguments.push((at, words)),
                    Err(diagnostic) => found.push(diagnostic),
                },
                None => found.push(self.unknown(entry, &known)),
            }
        }
        arguments
    }

    fn unknown(&self, entry: &Entry, known: &[&str]) -> Diagnostic {
        let name = &entry.name;
        let label = if self.run_wide.contains(name) {
            format!("it is one of the whole run: write it above the first [[{STREAM}]]")
        } else if let Some(guess) = nearest(name, known.iter().copied()) {
            format!("did you mean `{guess}`?")
        } else {
            format!("known here: {}", known.join(", "))
        };
        Diagnostic::new(format!("unknown key `{name}` for {}", self.scenario), Some(entry.key.clone()), label)
    }

    /// The arguments of all keys, if nothing is wrong with them.
    fn sound_arguments(&self, found: &mut Vec<Diagnostic>) -> Option<Vec<String>> {
        let before = found.len();
        let arguments = self.arguments(found);
        let (_, words) = self.weed(arguments, found)?;
        (found.len() == before).then_some(words)
    }

    fn matches(&self, found: &mut Vec<Diagnostic>) -> Option<clap::ArgMatches> {
        let before = found.len();
        let arguments = self.arguments(found);
        let (matches, _) = self.weed(arguments, found)?;
        (found.len() == before).then_some(matches)
    }

    /// Reads the arguments until those that are wrong are left out.
    fn weed(
        &self,
        mut arguments: Vec<(usize, Vec<String>)>,
        found: &mut Vec<Diagnostic>,
    ) -> Option<(clap::ArgMatches, Vec<String>)> {
        loop {
            let words: Vec<String> = arguments.iter().flat_map(|(_, words)| words.clone()).collect();
            let line = [cli::NAME, self.scenario].into_iter().chain(words.iter().chain(self.typed).map(String::as_str));
            let error = match self.command.clone().try_get_matches_from(line) {
                Ok(matches) => return Some((matches, words)),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::DisplayHelp {
                found.push(Diagnostic::help(error.to_string()));
                return None;
            }
            let long = invalid_long(&error);
            let value = context(&error, ContextKind::InvalidValue);
            let at = arguments.iter().position(|(at, _)| Some(&self.section.entries[*at].name) == long.as_ref());
            let blamed = at.filter(|at| {
                // What was typed behind the file is to blame for itself.
                let in_file = |value: &String| arguments[*at].1.iter().any(|word| word.ends_with(&format!("={value}")));
                self.typed.is_empty() || value.as_ref().is_none_or(in_file)
            });
            match blamed {
                Some(at) => {
                    let (entry, _) = arguments.remove(at);
                    found.push(diagnose(&self.section.entries[entry], &error));
                }
                None => {
                    let text = first_line(&error);
                    let place = key_of(self.section, SCENARIO).unwrap_or_else(|| self.section.place.clone());
                    let message = match error.kind() {
                        ErrorKind::MissingRequiredArgument => {
                            format!("scenario {} lacks {}", self.scenario, missing(&error))
                        }
                        _ => text,
                    };
                    // Keys that were left out may be what is lacking now.
                    if error.kind() != ErrorKind::MissingRequiredArgument
                        || arguments.len() + found.len() == 0
                        || found.is_empty()
                    {
                        found.push(Diagnostic::new(message, Some(place), ""));
                    }
                    return None;
                }
            }
        }
    }

    fn blame(&self, error: &str) -> Diagnostic {
        blame(self.section, error)
    }
}

/// The key that an error names as an option.
fn culprit<'a>(section: &'a Section, error: &str) -> Option<&'a Entry> {
    let options: Vec<&str> = error.split_whitespace().filter_map(|word| word.strip_prefix("--")).collect();
    let named = |entry: &&Entry| options.iter().any(|option| option.trim_end_matches([':', ',']) == entry.name);
    section.entries.iter().find(named)
}

fn blame_entry(entry: &Entry, error: &str) -> Diagnostic {
    let message = error.split(' ').map(|word| word.trim_start_matches("--")).collect::<Vec<_>>().join(" ");
    Diagnostic::new(message, Some(entry.place.clone()), "")
}

/// An error of a section as a whole.
fn blame(section: &Section, error: &str) -> Diagnostic {
    match culprit(section, error) {
        Some(entry) => blame_entry(entry, error),
        None => {
            let place = key_of(section, SCENARIO).unwrap_or_else(|| section.place.clone());
            Diagnostic::new(error, Some(place), "")
        }
    }
}

/// What a key would be on a command line.
fn typed(argument: &clap::Arg, entry: &Entry) -> Result<Vec<String>, Diagnostic> {
    let long = argument.get_long().unwrap_or_default();
    let wrong = |label: &str| Diagnostic::new(format!("`{}` {label}", entry.name), Some(entry.place.clone()), "");
    let flag = matches!(argument.get_action(), ArgAction::SetTrue);
    let many = matches!(argument.get_action(), ArgAction::Append);
    let one = |text: &String| format!("--{long}={text}");
    match &entry.value {
        Value::Flag(true) if flag => Ok(vec![format!("--{long}")]),
        Value::Flag(false) if flag => Ok(Vec::new()),
        _ if flag => Err(wrong("is true or false")),
        Value::Flag(value) => Ok(vec![format!("--{long}={value}")]),
        Value::One(text) => Ok(vec![one(text)]),
        Value::Many(texts) if many => Ok(texts.iter().map(one).collect()),
        Value::Many(texts) if LISTS.contains(&long) => Ok(vec![format!("--{long}={}", texts.join(","))]),
        Value::Many(_) => Err(wrong("has one value, not a list")),
        Value::Named(pairs) if many => Ok(pairs.iter().map(|(name, text)| format!("--{long}={name}={text}")).collect()),
        Value::Named(_) => Err(wrong("has a value, not a table")),
        Value::Unfit(what) => Err(wrong(&format!("cannot be {what}"))),
    }
}

/// The long name of the option that the parser complains of.
fn invalid_long(error: &clap::Error) -> Option<String> {
    let text = context(error, ContextKind::InvalidArg)?;
    let word = text.split_whitespace().find_map(|word| word.strip_prefix("--"))?;
    Some(word.split('=').next().unwrap_or(word).to_owned())
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// What lacks, as keys.
fn missing(error: &clap::Error) -> String {
    let Some(ContextValue::Strings(texts)) = error.get(ContextKind::InvalidArg) else { return "an option".to_owned() };
    let key =
        |text: &String| format!("`{}`", text.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default());
    texts.iter().map(key).collect::<Vec<_>>().join(", ")
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn diagnose(entry: &Entry, error: &clap::Error) -> Diagnostic {
    let name = &entry.name;
    match error.kind() {
        ErrorKind::ArgumentConflict => {
            let other = context(error, ContextKind::PriorArg).unwrap_or_default();
            let other = other.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default().to_owned();
            Diagnostic::new(
                format!("`{name}` does not go with `{other}`"),
                Some(entry.key.clone()),
                "one of them is too many",
            )
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            let valid = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) => Some(format!("allowed: {}", values.join(", "))),
                _ => None,
            };
            let reason = reason.or(valid).unwrap_or_else(|| first_line(error));
            Diagnostic::new(format!("`{name}`: {reason}"), Some(entry.place.clone()), "")
        }
        _ => Diagnostic::new(format!("`{name}`: {}", first_line(error)), Some(entry.key.clone()), ""),
    }
}
