//! The streams of a mix: each a scenario with options of its own beside those of the whole run, and its weight, by
//! which connections and messages are dealt out.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command, CommandFactory as _, FromArgMatches as _};

use crate::cli::{Cli, NAME, Scenario};
use crate::format::parse_number;
use crate::options::{ConnectOptions, MixedOptions, OutputOptions, TimeOptions};

/// Options for connections that are the whole run's.
const RUN_WIDE: &[&str] = &["host", "port", "connrate", "interval", "ifaddr", "workers", "agents", "token-file"];
/// Options that streams have of their own and do not take from the whole run.
const OWN: &[&str] = &["prefix"];
/// Options that say how many clients a stream has.
const COUNTS: &[&str] = &["count", "pairs", "pubs", "subs"];
/// Options that say how fast a stream is.
const PACES: &[&str] = &["rate", "interval_of_msg", "inflight"];
/// Scenarios that can be streams: those that only send and receive.
const STREAMS: &[&str] = &["conn", "pub", "sub", "pairs", "fan-in", "fan-out", "shared"];
/// Letters of a stream's name, which may become a part of client ids.
const NAME_MAX: usize = 24;

/// A stream as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) scenario: String,
    pub(crate) arguments: Vec<String>,
}

/// A stream that was understood.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) scenario: Scenario,
}

/// The whole command line, where an option may be given again and the last one holds.
pub(crate) fn top_command() -> Command {
    // The streams of a file are tables of their own.
    let streamless = |verb: Command| verb.mut_arg("stream", |stream| stream.required(false));
    overridable(Cli::command()).mut_subcommand("mixed", streamless)
}

fn overridable(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |verb| verb.args_override_self(true)))
}

/// The command line of a stream.
pub(crate) fn stream_command() -> Command {
    let weight = Arg::new("weight").long("weight").value_parser(|text: &str| match parse_number(text)? {
        0.0 => Err("a weight is above 0".to_owned()),
        weight => Ok(weight),
    });
    let name = Arg::new("name").long("name").value_parser(|text: &str| {
        let fits = (1..=NAME_MAX).contains(&text.len());
        let letters = text.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter));
        (fits && letters).then(|| text.to_owned()).ok_or(format!("a name has 1 to {NAME_MAX} of a-z, 0-9, - and _"))
    });
    STREAMS.iter().fold(overridable(Cli::command()), |command, scenario| {
        command.mut_subcommand(scenario, |verb| verb.arg(weight.clone()).arg(name.clone()))
    })
}

/// Scenarios that can be streams.
pub(crate) fn stream_names() -> Vec<String> {
    STREAMS.iter().map(|name| (*name).to_owned()).collect()
}

/// Options that a stream cannot have, since the whole run has them.
pub(crate) fn run_wide() -> Vec<String> {
    let times = TimeOptions::augment_args(Command::new(""));
    let outputs = OutputOptions::augment_args(Command::new(""));
    let longs =
        |command: &Command| command.get_arguments().filter_map(Arg::get_long).map(str::to_owned).collect::<Vec<_>>();
    let own = RUN_WIDE.iter().map(|name| (*name).to_owned());
    own.chain(longs(&times)).chain(longs(&outputs)).filter(|name| name != "help").collect()
}

/// Streams that were typed: `fan-in --pubs 100 --weight 7`.
pub(crate) fn typed(whole: &ArgMatches, words: &[String]) -> Result<Scenario, String> {
    let run_wide = run_wide();
    let mut drafts = Vec::new();
    for words in words {
        let mut words = split(words)?.into_iter();
        let scenario = words.next().ok_or("--stream is empty: write a scenario and its options")?;
        if !STREAMS.contains(&scenario.as_str()) {
            return Err(format!("--stream {scenario}: streams are {}", STREAMS.join(", ")));
        }
        let arguments: Vec<String> = words.collect();
        let line = [NAME, scenario.as_str()].into_iter().chain(arguments.iter().map(String::as_str));
        let matches = stream_command().try_get_matches_from(line).map_err(|error| plain(&scenario, &error))?;
        let (_, matches) = matches.subcommand().ok_or("a stream has a scenario")?;
        let given = |name: &&String| {
            matches.try_contains_id(&name.replace('-', "_")).is_ok_and(|known| known)
                && matches.value_source(&name.replace('-', "_")) == Some(ValueSource::CommandLine)
        };
        if let Some(name) = run_wide.iter().find(given) {
            return Err(format!("--stream {scenario}: --{name} is one of the whole run, not of a stream"));
        }
        drafts.push(Draft { scenario, arguments });
    }
    scenario(whole, &drafts).map_err(|(stream, error)| match stream {
        Some(stream) => format!("--stream {}: {error}", drafts[stream].scenario),
        None => error,
    })
}

/// The mix of these streams. What is wrong is told with the stream that it is wrong with.
pub(crate) fn scenario(whole: &ArgMatches, drafts: &[Draft]) -> Result<Scenario, (Option<usize>, String)> {
    let (_, whole) = whole.subcommand().ok_or((None, "there is no scenario".to_owned()))?;
    let mut options = MixedOptions::from_arg_matches(whole).map_err(|error| (None, error.to_string()))?;
    let inherited = inherited(whole);
    let command = stream_command();
    let read = |at: usize, more: &[String]| {
        let Draft { scenario, arguments } = &drafts[at];
        let words = inherited.iter().chain(arguments).chain(more).map(String::as_str);
        let line = [NAME, scenario.as_str()].into_iter().chain(words);
        command.clone().try_get_matches_from(line).map_err(|error| (Some(at), plain(scenario, &error)))
    };
    let first: Vec<ArgMatches> = (0..drafts.len()).map(|at| read(at, &[])).collect::<Result<_, _>>()?;
    let first: Vec<&ArgMatches> = first.iter().filter_map(|matches| matches.subcommand().map(|(_, own)| own)).collect();
    let weight = |own: &ArgMatches| own.get_one::<f64>("weight").copied().unwrap_or(1.0);
    let open = |own: &ArgMatches, options: &[&str]| !options.iter().any(|option| given(own, option));
    let publishes = |at: usize| !matches!(drafts[at].scenario.as_str(), "conn" | "sub");
    let sum = |wants: &dyn Fn(usize) -> bool| -> f64 {
        (0..first.len()).filter(|at| wants(*at)).map(|at| weight(first[at])).sum()
    };
    let sized = |at: usize| options.clients.is_some() && open(first[at], COUNTS);
    let paced = |at: usize| options.rate.is_some() && publishes(at) && open(first[at], PACES);
    let (all_sized, all_paced) = (sum(&sized), sum(&paced));
    for (asked, dealt, name) in
        [(options.clients.is_some(), all_sized, "--clients"), (options.rate.is_some(), all_paced, "--rate")]
    {
        if asked && dealt == 0.0 {
            return Err((None, format!("{name} has nobody to be dealt to: every stream says its own")));
        }
    }
    let mut streams: Vec<Stream> = Vec::new();
    for (at, own) in first.iter().enumerate() {
        let mut more = Vec::new();
        if let Some(clients) = options.clients.filter(|_| sized(at)) {
            more.extend(counts(&drafts[at].scenario, f64::from(clients) * weight(own) / all_sized));
        }
        if let Some(rate) = options.rate.filter(|_| paced(at)) {
            more.push(format!("--rate={}", rate * weight(own) / all_paced));
        }
        let matches = read(at, &more)?;
        let scenario = Scenario::from_arg_matches(&matches).map_err(|error| (Some(at), error.to_string()))?;
        let wanted = own.get_one::<String>("name").cloned();
        if let Some(name) = wanted.as_ref().filter(|name| streams.iter().any(|stream| stream.name == **name)) {
            return Err((Some(at), format!("--name {name} is that of another stream")));
        }
        let name = wanted.unwrap_or_else(|| free_name(&drafts[at].scenario, &streams));
        streams.push(Stream { name, scenario });
    }
    options.streams = streams;
    Ok(Scenario::Mixed(options))
}

/// A stream's clients, of so many connections in all.
fn counts(scenario: &str, connections: f64) -> Vec<String> {
    let whole = |number: f64| (number.round() as u64).max(1);
    match scenario {
        "pairs" => vec![format!("--pairs={}", whole(connections / 2.0))],
        "fan-in" => vec![format!("--pubs={}", whole(connections - 1.0)), "--subs=1".to_owned()],
        "fan-out" => vec!["--pubs=1".to_owned(), format!("--subs={}", whole(connections - 1.0))],
        "shared" => {
            let members = whole(connections / 6.0);
            vec![format!("--pubs={}", whole(connections - members as f64)), format!("--subs={members}")]
        }
        _ => vec![format!("--count={}", whole(connections))],
    }
}

fn free_name(scenario: &str, streams: &[Stream]) -> String {
    let taken = |name: &str| streams.iter().any(|stream| stream.name == name);
    let numbered = (2..).map(|number| format!("{scenario}-{number}"));
    std::iter::once(scenario.to_owned()).chain(numbered).find(|name| !taken(name)).expect("numbers do not end")
}

fn given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// What streams take from the whole run: all that was said of clients, places and times.
fn inherited(whole: &ArgMatches) -> Vec<String> {
    let connects = ConnectOptions::augment_args(Command::new(""));
    let times = TimeOptions::augment_args(Command::new(""));
    let mut words = Vec::new();
    for argument in connects.get_arguments().chain(times.get_arguments()) {
        let (id, Some(long)) = (argument.get_id().as_str(), argument.get_long()) else { continue };
        if OWN.contains(&long) || long == "help" || !given(whole, id) {
            continue;
        }
        if matches!(argument.get_action(), clap::ArgAction::SetTrue) {
            words.push(format!("--{long}"));
            continue;
        }
        for value in whole.get_raw(id).into_iter().flatten() {
            words.push(format!("--{long}={}", value.to_string_lossy()));
        }
    }
    words
}

fn plain(scenario: &str, error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    format!("{scenario}: {line}")
}

/// Words apart by spaces; quotes keep together what has some.
pub(crate) fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
            (None, letter) if letter.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, letter) => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if quote.is_some() {
        return Err(format!("--stream {text:?}: a quote is not closed"));
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

/// A count, made larger or smaller.
fn scaled(number: u32, by: f64) -> u32 {
    (f64::from(number) * by).round().clamp(1.0, f64::from(u32::MAX)) as u32
}

impl Scenario {
    /// The same at another size: what a broker has to hold and to deliver each second grows by this factor, and the ramp
    /// takes as long as before.
    pub(crate) fn scale(&mut self, by: f64) {
        let count = |number: &mut u32| *number = scaled(*number, by);
        let some = |number: &mut Option<u32>, default| *number = Some(scaled(number.unwrap_or(default), by));
        let rate = |rate: &mut Option<f64>| *rate = rate.map(|rate| rate * by);
        let few = |number: &mut u32| *number = if *number == 0 { 0 } else { scaled(*number, by) };
        match self {
            Self::Conn(options) => count(&mut options.count),
            Self::Sub(options) => count(&mut options.count),
            Self::Reconnect(options) => count(&mut options.count),
            Self::Offline(options) => count(&mut options.pairs),
            Self::Retained(options) => count(&mut options.subs),
            Self::Pub(options) => {
                count(&mut options.count);
                rate(&mut options.messages.rate);
                few(&mut options.messages.idle);
            }
            Self::Pairs(options) => {
                count(&mut options.pairs);
                rate(&mut options.messages.rate);
                few(&mut options.messages.idle);
            }
            Self::FanIn(options) => {
                some(&mut options.pubs, crate::scenario::FAN_IN.0);
                rate(&mut options.messages.rate);
                few(&mut options.messages.idle);
            }
            Self::FanOut(options) => {
                // More subscribers get more of the same messages.
                some(&mut options.subs, crate::scenario::FAN_OUT.1);
                few(&mut options.messages.idle);
            }
            Self::Shared(options) => {
                some(&mut options.pubs, crate::scenario::SHARED.0);
                some(&mut options.subs, crate::scenario::SHARED.1);
                rate(&mut options.messages.rate);
                few(&mut options.messages.idle);
            }
            Self::Mixed(options) => {
                options.streams.iter_mut().for_each(|stream| stream.scenario.scale(by));
                rate(&mut options.common.connect.connrate);
                return;
            }
        }
        rate(&mut self.common_mut().connect.connrate);
    }
}

/// A factor above 0.
pub(crate) fn parse_scale(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => parse_number(percent)? / 100.0,
        None => parse_number(text)?,
    };
    (number > 0.0).then_some(number).ok_or_else(|| "a scale is above 0, such as 0.1 or 10%".to_owned())
}

/// Takes `--scale` out of what was typed behind the name of a file.
pub(crate) fn take_scale(words: &mut Vec<String>) -> Result<Option<f64>, String> {
    let mut scale = None;
    while let Some(at) = words.iter().position(|word| word == "--scale" || word.starts_with("--scale=")) {
        let word = words.remove(at);
        let value = match word.split_once('=') {
            Some((_, value)) => value.to_owned(),
            None if at < words.len() => words.remove(at),
            None => return Err("--scale has no value".to_owned()),
        };
        scale = Some(parse_scale(&value).map_err(|error| format!("--scale: {error}"))?);
    }
    Ok(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_quoted() {
        let words = split("pub -m 'a b' --name \"x\"  -q 1 ''").expect("closed");
        assert_eq!(words, ["pub", "-m", "a b", "--name", "x", "-q", "1", ""]);
        assert!(split("pub 'a").is_err());
    }

    #[test]
    fn the_scale_may_stand_anywhere() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut typed = words("-d 5s --scale 0.1 -q 1");
        assert_eq!(take_scale(&mut typed), Ok(Some(0.1)));
        assert_eq!(typed, ["-d", "5s", "-q", "1"]);
        assert_eq!(take_scale(&mut words("--scale=10%")), Ok(Some(0.1)));
        assert!(take_scale(&mut words("--scale 0")).is_err() && take_scale(&mut words("--scale")).is_err());
    }
}
