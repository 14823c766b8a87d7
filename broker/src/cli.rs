//! The command line: what can be typed, and what the program exits with.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::publish::{self, PublishOptions};
use crate::client::subscribe::{self, SubscribeOptions};
use crate::config::args::ConfigArgs;
use crate::config::layers::load;
use crate::config::print;
use crate::diagnostics::{Severity, render_all};
use crate::exit::Exit;
use crate::rules::RulesVerb;
use crate::{doctor, explain, host, rules, run};

/// An MQTT broker whose messages become rows.
#[derive(Debug, Parser)]
#[command(name = "millrace", version = run::VERSION, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 69 broker not reachable, 77 not allowed, 78 config \
                        wrong, 130 interrupted.")]
struct Cli {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the broker (what happens without a verb)
    Run(ConfigArgs),
    /// Say all that is wrong with the config, start nothing
    CheckConfig {
        #[command(flatten)]
        config: ConfigArgs,
        /// The file to check instead of the usual one
        file: Option<PathBuf>,
        /// Look at nothing but the files: no ports, no disk
        #[arg(long)]
        offline: bool,
    },
    /// Print the config that holds
    PrintConfig {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only what differs from the built-in
        #[arg(long)]
        changed: bool,
        /// With where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Say what this host lacks, and how to mend it
    Doctor {
        #[command(flatten)]
        config: ConfigArgs,
        /// One JSON document instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Say what a code such as C0101 means: cause, example, mend
    Explain {
        /// The code, or all
        code: String,
    },
    /// Check, try, test and look up rules
    #[command(subcommand)]
    Rules(RulesVerb),
    /// Publish messages
    Pub(Box<PublishOptions>),
    /// Print messages
    Sub(Box<SubscribeOptions>),
}

/// Reads the command line and does what it says.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // A closed pipe is no reason for another exit code.
            let _ = error.print();
            return exit.into();
        }
    };
    let over = |config| cli.config.clone().with(config);
    let exit = match cli.verb {
        None => run_broker(cli.config),
        Some(Verb::Run(config)) => run_broker(over(config)),
        Some(Verb::CheckConfig { config, file, offline }) => check_config(over(config), file, offline),
        Some(Verb::PrintConfig { config, changed, origin }) => {
            print_config(over(config), print::Options { changed, origin })
        }
        Some(Verb::Doctor { config, json }) => match over(config).load_or_say("nothing was looked at") {
            Ok(loaded) => doctor::run(&loaded.config, json),
            Err(exit) => exit,
        },
        Some(Verb::Explain { code }) => explain::run(&code),
        Some(Verb::Rules(verb)) => rules::run(&verb, cli.config),
        Some(Verb::Pub(options)) => publish::run(&options),
        Some(Verb::Sub(options)) => subscribe::run(&options),
    };
    exit.into()
}

fn run_broker(args: ConfigArgs) -> Exit {
    let inputs = args.inputs();
    match load(&inputs) {
        Ok(loaded) => {
            eprint!("{}", render_all(&loaded.warnings, ""));
            run::run(&inputs, loaded)
        }
        Err(diagnostics) => {
            eprint!("{}", render_all(&diagnostics, "nothing was started"));
            Exit::Config
        }
    }
}

fn check_config(mut args: ConfigArgs, file: Option<PathBuf>, offline: bool) -> Exit {
    args.config = file.or(args.config);
    let loaded = match args.load_or_say("the config does not hold") {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let found = if offline { Vec::new() } else { host::ports(&loaded.config) };
    if found.iter().any(|d| d.severity == Severity::Error) {
        eprint!("{}", render_all(&found, "the config does not hold here"));
        return Exit::Config;
    }
    let file = loaded.file.map_or_else(|| "built-in".to_owned(), |file| file.display().to_string());
    crate::out::say(&format!("ok: {file}\n"));
    Exit::Done
}

fn print_config(args: ConfigArgs, options: print::Options) -> Exit {
    match args.load_or_say("nothing to print") {
        Ok(loaded) => {
            crate::out::say(&print::print(&loaded.config, &loaded.tree, options));
            Exit::Done
        }
        Err(exit) => exit,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_of_each_verb_fits_a_terminal() {
        let mut cli = Cli::command().term_width(100);
        cli.build();
        let whole = cli.render_long_help().to_string();
        let verbs: Vec<String> =
            cli.get_subcommands_mut().map(|verb| verb.clone().term_width(100).render_long_help().to_string()).collect();
        for text in verbs.iter().chain([&whole]) {
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_verb() {
        let cli = Cli::try_parse_from(["millrace", "--set", "a=1", "-c", "x", "run", "--set", "b=2", "-c", "y"]);
        let cli = cli.expect("both places are right");
        let Some(Verb::Run(after)) = cli.verb else { panic!("the verb is run") };
        let args = cli.config.with(after);
        assert_eq!((args.config, args.set), (Some(PathBuf::from("y")), vec!["a=1".to_owned(), "b=2".to_owned()]));
    }
}
