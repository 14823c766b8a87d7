//! The command line: scenarios as subcommands, each with the options that make sense for it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::agents::{self, Team};
use crate::exit::Exit;
use crate::file::diagnostic::HELP;
use crate::file::library;
use crate::files::Files;
use crate::host::BrokerWatch;
use crate::options::{
    AgentOptions, CommonOptions, ConnOptions, FanOptions, MixedOptions, OfflineOptions, PairsOptions, PubOptions,
    ReconnectOptions, RetainedOptions, SubOptions,
};
use crate::preflight::Preflight;
use crate::progress::Progress;
use crate::report::{CompareOptions, Report, ReportOptions};
use crate::source::Source;
use crate::{control, mix, report, scenario};

/// The name of the program.
pub(crate) const NAME: &str = "millrace-load";

/// A swarm of MQTT clients that measures a broker.
#[derive(Debug, Parser)]
#[command(name = NAME, version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done and every --expect held, 1 could not run, 2 usage, 99 an --expect did not \
                        hold, 130 interrupted.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// A scenario, or something else.
#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Scenario(Box<Scenario>),
    /// Do what a scenario file says
    #[command(disable_help_flag = true)]
    Run(FileOptions),
    /// Run one of the Open MQTT Benchmark Suite by its name or its beginning, such as p2p-1K; list names them
    #[command(disable_help_flag = true)]
    Suite(FileOptions),
    /// Lend this machine to runs that are led from elsewhere with --agents
    Agent(AgentOptions),
    /// Tell a saved run again, as a table, a page or other files
    Report(ReportOptions),
    /// Put saved runs side by side; with several for each side: A1.json A2.json vs B1.json B2.json
    Compare(CompareOptions),
    /// Print a commented scenario file to begin with; without a name, list them
    Init(InitOptions),
}

/// A scenario file, or the name of a built-in one, and what is typed behind it.
#[derive(Args, Debug)]
struct FileOptions {
    /// The file or name, then options of its scenario, which have the last word; --scale X multiplies clients and rates
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME [OPTIONS]")]
    words: Vec<String>,
}

impl FileOptions {
    /// The name and the rest; none if there is no name, but perhaps a call for help.
    fn split(self) -> Option<(String, Vec<String>)> {
        let mut words = self.words.into_iter();
        let name = words.next().filter(|name| name == "-" || !name.starts_with('-'))?;
        Some((name, words.collect()))
    }
}

/// An example.
#[derive(Args, Debug)]
struct InitOptions {
    /// Its name
    name: Option<String>,
}

/// What is done to the broker.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Open connections at a held rate and keep them
    #[command(disable_help_flag = true)]
    Conn(ConnOptions),
    /// Publish, with no subscriber of ours
    #[command(disable_help_flag = true)]
    Pub(PubOptions),
    /// Subscribe and account for what other runs publish
    #[command(disable_help_flag = true)]
    Sub(SubOptions),
    /// Each publisher has one subscriber of its own
    #[command(disable_help_flag = true)]
    Pairs(PairsOptions),
    /// Many publishers to few subscribers, who get everything
    #[command(disable_help_flag = true)]
    FanIn(FanOptions),
    /// Few publishers to many subscribers, who get everything
    #[command(disable_help_flag = true)]
    FanOut(FanOptions),
    /// Many publishers to a group that shares one subscription
    #[command(disable_help_flag = true)]
    Shared(FanOptions),
    /// Several scenarios at once, each with its own clients, topics, payload, QoS and rate
    #[command(disable_help_flag = true)]
    Mixed(MixedOptions),
    /// Messages are retained, then all subscribers subscribe at once
    #[command(disable_help_flag = true)]
    Retained(RetainedOptions),
    /// All connections are dropped at once and return
    #[command(disable_help_flag = true)]
    Reconnect(ReconnectOptions),
    /// Subscribers leave, messages are sent, subscribers return to their sessions and get them
    #[command(disable_help_flag = true)]
    Offline(OfflineOptions),
}

impl Scenario {
    pub(crate) const fn common(&self) -> &CommonOptions {
        match self {
            Self::Conn(options) => &options.common,
            Self::Pub(options) => &options.common,
            Self::Sub(options) => &options.common,
            Self::Pairs(options) => &options.common,
            Self::Retained(options) => &options.common,
            Self::Reconnect(options) => &options.common,
            Self::Offline(options) => &options.common,
            Self::Mixed(options) => &options.common,
            Self::FanIn(options) | Self::FanOut(options) | Self::Shared(options) => &options.common,
        }
    }

    pub(crate) const fn common_mut(&mut self) -> &mut CommonOptions {
        match self {
            Self::Conn(options) => &mut options.common,
            Self::Pub(options) => &mut options.common,
            Self::Sub(options) => &mut options.common,
            Self::Pairs(options) => &mut options.common,
            Self::Retained(options) => &mut options.common,
            Self::Reconnect(options) => &mut options.common,
            Self::Offline(options) => &mut options.common,
            Self::Mixed(options) => &mut options.common,
            Self::FanIn(options) | Self::FanOut(options) | Self::Shared(options) => &mut options.common,
        }
    }
}

/// The scenarios by name.
pub(crate) fn scenario_names() -> Vec<String> {
    let command = Scenario::augment_subcommands(clap::Command::new(NAME));
    command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

/// The scenario of a command line that was parsed.
pub(crate) fn from_matches(matches: &ArgMatches) -> Result<Scenario, String> {
    let scenario = Scenario::from_arg_matches(matches).map_err(|error| error.to_string())?;
    match (scenario, matches.subcommand()) {
        (Scenario::Mixed(options), Some(_)) => mix::typed(matches, &options.stream),
        (scenario, _) => Ok(scenario),
    }
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // A closed pipe is no reason for another exit code.
            let _ = error.print();
            return exit.into();
        }
    };
    let source = match verb {
        Verb::Scenario(_) => Ok(Source::typed(typed_words())),
        Verb::Run(options) => match options.split() {
            Some((file, typed)) => from_file(Path::new(&file), typed),
            None => return help_of("run"),
        },
        Verb::Suite(options) => match options.split() {
            Some((name, _)) if name == "list" => return told(&library::listing(library::SUITE)),
            Some((name, typed)) => {
                library::find(library::SUITE, &name).and_then(|found| Source::file(found.name, found.text, typed))
            }
            None => return help_of("suite"),
        },
        Verb::Init(InitOptions { name: Some(name) }) => match library::find(library::EXAMPLES, &name) {
            Ok(found) => return told(found.text),
            Err(error) => Err(error),
        },
        Verb::Init(_) => return told(&library::listing(library::EXAMPLES)),
        Verb::Report(options) => return report::again(&options).into(),
        Verb::Compare(options) => return report::compare(&options).into(),
        Verb::Agent(options) => return agents::serve(options).into(),
    };
    let files = Files::default();
    let understood = source.and_then(|source| Ok((source.scenario(&files)?, source)));
    match understood {
        Ok((scenario, source)) => carry_out(&source, &scenario, &files).into(),
        Err(error) => match error.strip_prefix(HELP) {
            Some(help) => told(help),
            None => {
                let prefix = if error.starts_with("error") { "" } else { "error: " };
                eprintln!("{prefix}{error}");
                Exit::Usage.into()
            }
        },
    }
}

fn help_of(verb: &str) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let help = command.find_subcommand_mut(verb).map(|verb| verb.render_help().to_string());
    told(&help.unwrap_or_default())
}

fn told(text: &str) -> ExitCode {
    say(text);
    Exit::Done.into()
}

fn typed_words() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The scenario of these words.
pub(crate) fn scenario_of(words: &[String]) -> Result<Scenario, String> {
    let line = std::iter::once(NAME).chain(words.iter().map(String::as_str));
    let matches = Cli::command().try_get_matches_from(line).map_err(|error| error.to_string())?;
    from_matches(&matches)
}

fn from_file(path: &Path, typed: Vec<String>) -> Result<Source, String> {
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Source::file(&path.display().to_string(), &text, typed)
}

/// Prints an error, for which the program ends so.
fn fail(exit: Exit, error: &str) -> Exit {
    eprintln!("error: {error}");
    exit
}

fn carry_out(source: &Source, scenario: &Scenario, files: &Files) -> Exit {
    let CommonOptions { output, agents, connect, .. } = scenario.common();
    let mut plan = match scenario::run_plan(scenario, scenario::tag(), files) {
        Ok(plan) => plan,
        Err(error) => return fail(Exit::Usage, &error),
    };
    let mut team = match Team::gather(agents) {
        Ok(team) => team,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let found = match &mut team {
        Some(team) => team.prepare(&mut plan, source, files, connect.workers).map(|found| (found, String::new())),
        None => {
            let preflight = Preflight::new(&mut plan, connect.workers.is_some());
            Ok(((preflight.findings(), preflight.refuses()), preflight.describe(&plan)))
        }
    };
    let ((findings, refuses), description) = match found {
        Ok(found) => found,
        Err(error) => return fail(Exit::Failed, &error),
    };
    eprint!("{findings}");
    if output.dry_run {
        say(&if team.is_some() { Preflight::describe_shared(&plan) } else { description });
    }
    if refuses {
        return Exit::Failed;
    }
    if output.dry_run {
        return Exit::Done;
    }
    let broker = match output.pid.map(|pid| (pid, BrokerWatch::new(pid))) {
        Some((pid, None)) => {
            return fail(Exit::Failed, &format!("--pid {pid}: there is no such process that can be looked at"));
        }
        Some((_, watch)) => watch,
        None => None,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the program at once.
        let watched = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
        if let Err(error) = watched {
            return fail(Exit::Failed, &format!("cannot watch signals: {error}"));
        }
    }
    let plan = Arc::new(plan);
    let mut progress = Progress::new(output.progress);
    let run = match &team {
        Some(team) => team.run(&plan, broker, &interrupted, &mut progress),
        None => control::run(&plan, broker, &interrupted, &mut progress).map_err(|error| error.to_string()),
    };
    progress.finish();
    let run = match run {
        Ok(run) => run,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let report = Report::new(&plan, &run, &output.expect).with_percentiles(&output.percentiles);
    if let Err(error) = report.write(output) {
        return fail(Exit::Failed, &error);
    }
    report.exit(output.strict)
}

/// Writes to standard output. A closed pipe is no error: who read it has read enough.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
pub(crate) fn parse(arguments: &[&str]) -> Result<Scenario, clap::Error> {
    let matches = Cli::command().try_get_matches_from(std::iter::once(&NAME).chain(arguments))?;
    from_matches(&matches).map_err(|error| Cli::command().error(clap::error::ErrorKind::ValueValidation, error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory as _;
    use millrace_core::packet::{ProtocolVersion, QoS};

    use super::*;

    #[test]
    fn the_help_of_each_scenario_fits_a_terminal() {
        let mut cli = Cli::command().term_width(100);
        cli.build();
        let whole = cli.render_long_help().to_string();
        let each = cli.get_subcommands_mut().map(|verb| verb.clone().term_width(100).render_long_help().to_string());
        for text in each.chain([whole]) {
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
        Cli::command().debug_assert();
    }

    #[test]
    fn options_take_units_and_the_usual_letters() {
        let Scenario::Pairs(options) = parse(&[
            "pairs", "-c", "1k", "-q", "1", "-s", "4KiB", "--rate", "50k/s", "-d", "60s", "-h", "broker", "-p", "1884",
            "-V", "4", "-k", "30", "-C", "false", "-R", "5k", "-F", "100",
        ])
        .expect("legal") else {
            panic!("the scenario is pairs")
        };
        assert_eq!((options.pairs, options.messages.size, options.messages.rate), (1000, 4096, Some(50_000.0)));
        assert_eq!((options.messages.inflight, options.messages.qos), (Some(100), QoS::AtLeastOnce));
        let connect = &options.common.connect;
        assert_eq!((connect.host.as_str(), connect.port, connect.version), ("broker", 1884, ProtocolVersion::V311));
        assert_eq!((connect.keepalive, connect.clean, connect.connrate), (30, false, Some(5000.0)));
        assert_eq!(options.common.time.duration, Duration::from_secs(60));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for wrong in [
            &["pairs", "--rate", "5", "-I", "10"][..],
            &["sub"],
            &["conn", "-q", "1"],
            &["pairs", "-q", "3"],
            &["pairs", "--expect", "speed>5"],
            &["conn", "-R", "5", "-i", "5"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
