//! `millrace rules tap`: asks a running broker on this host for samples of what rules do, shows and keeps them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use millrace_core::units::Span;
use millrace_core::value::Value;

use super::{shown, typed, usage};
use crate::config::Config;
use crate::control::tap::{OutcomeName, TapRequest};
use crate::control::{NAME, Reply, Request};
use crate::diagnostics::printable;
use crate::exit::Exit;
use crate::out::say;
use crate::timestamp::Timestamp;

/// What `rules tap` is told.
#[derive(Args, Debug)]
pub struct TapOptions {
    /// Names of rules
    #[arg(required = true, value_name = "NAME")]
    rules: Vec<String>,
    /// Only these outcomes
    #[arg(long, value_delimiter = ',', default_value = "passed,no_result,failed")]
    outcome: Vec<OutcomeName>,
    /// Samples a second at most
    #[arg(long, value_name = "N/s", default_value = "100/s", value_parser = per_second)]
    limit: u32,
    /// How long, such as 30s; without it until Ctrl-C
    #[arg(long)]
    duration: Option<Span>,
    /// Write the samples as cases for `rules test` into this file too
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// A line of JSON for each sample
    #[arg(long)]
    json: bool,
}

fn per_second(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    u32::from_str(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "wants samples a second, such as 100/s".to_owned())
}

/// Why there are no samples.
enum Trouble {
    /// No broker answers at this path.
    Unreachable(PathBuf, io::Error),
    /// It refused.
    Refused(String),
    /// The file of cases cannot be written.
    Save(PathBuf, io::Error),
}

/// Runs the verb: `file` is the config, whose rules are meant.
#[must_use]
pub fn run(options: &TapOptions, config: &Config, file: Option<&Path>) -> Exit {
    for name in options.rules.iter().filter(|name| !config.rules.contains_key(*name)) {
        let known = config.rules.keys().map(String::as_str);
        let hint = crate::diagnostics::nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
        eprintln!("warning: the config has no rule `{}`{}", printable(name), hint.unwrap_or_default());
    }
    match follow(options, &config.data_dir.join(NAME), file) {
        Ok(()) => Exit::Done,
        Err(Trouble::Unreachable(path, error)) => {
            eprintln!("error: no broker answers at {}: {error}", shown(&path));
            eprintln!("  run it as the broker's user; -c or --set data_dir=… say which broker is meant");
            if error.kind() == ErrorKind::PermissionDenied { Exit::NotAllowed } else { Exit::Unreachable }
        }
        Err(Trouble::Refused(message)) => {
            eprintln!("error: the broker refused: {}", printable(&message));
            Exit::Failed
        }
        Err(Trouble::Save(path, error)) => usage(&format!("cannot write {}: {error}", shown(&path))),
    }
}

fn follow(options: &TapOptions, socket: &Path, file: Option<&Path>) -> Result<(), Trouble> {
    let unreachable = |error| Trouble::Unreachable(socket.to_owned(), error);
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    let request = TapRequest {
        rules: options.rules.clone(),
        outcomes: options.outcome.clone(),
        limit: options.limit,
        seconds: options.duration.map(|span| span.0.as_millis().div_ceil(1000) as u64),
    };
    let line = serde_json::to_string(&Request::Tap(request)).expect("texts and numbers are JSON");
    stream.write_all(format!("{line}\n").as_bytes()).map_err(unreachable)?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into())).map_err(unreachable)?;
    match serde_json::from_str(&first) {
        Ok(Reply::Ok {}) => {}
        Ok(Reply::Error { message }) => return Err(Trouble::Refused(message)),
        Err(_) => return Err(Trouble::Refused(first)),
    }
    eprintln!("note: tapped {}", printable(&options.rules.join(", ")));
    let mut cases = match &options.save {
        Some(path) => Some(Cases::create(path, file)?),
        None => None,
    };
    for line in lines {
        let line = line.map_err(unreachable)?;
        let Ok(sample) = typed::from_json(&line) else { return Err(Trouble::Refused(line)) };
        say(&if options.json { format!("{line}\n") } else { words(&sample) });
        if let Some(cases) = &mut cases {
            cases.add(&sample)?;
        }
    }
    Ok(())
}

fn text<'v>(value: &'v Value<'_>, name: &str) -> &'v str {
    match value.member(name) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn number(value: &Value<'_>, name: &str) -> i64 {
    match value.member(name) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}

/// A sample as a person reads it.
fn words(sample: &Value<'_>) -> String {
    let event = sample.member("event").unwrap_or(&Value::Null);
    let what = match (text(event, "topic"), text(event, "event")) {
        ("", event) => event,
        (topic, _) => topic,
    };
    let at = Timestamp::from_micros(number(sample, "at").saturating_mul(1000)).to_string();
    let mut line = format!(
        "{}  {}  {:9}  {}  {}",
        at.get(11..23).unwrap_or(&at),
        printable(text(sample, "rule")),
        text(sample, "outcome"),
        printable(what),
        printable(text(event, "clientid"))
    );
    // Writing to a String cannot fail.
    match sample.member("rows") {
        Some(Value::List(rows)) => rows.iter().for_each(|row| {
            let _ = write!(line, "  {}", typed::typed(row));
        }),
        _ if text(sample, "code").is_empty() => {
            let payload = event.member("payload").map(typed::typed).unwrap_or_default();
            let _ = write!(line, "  {}", printable(&payload));
        }
        _ => {
            let _ = write!(line, "  {}: {}", text(sample, "code"), printable(text(sample, "message")));
        }
    }
    match number(sample, "skipped") {
        0 => {}
        skipped => {
            let _ = write!(line, "  ({skipped} more before it)");
        }
    }
    line.push('\n');
    line
}

/// Samples as cases, written as they come.
struct Cases {
    path: PathBuf,
    file: File,
    written: usize,
}

impl Cases {
    fn create(path: &Path, config: Option<&Path>) -> Result<Self, Trouble> {
        let trouble = |error| Trouble::Save(path.to_owned(), error);
        let mut file = File::create(path).map_err(trouble)?;
        let config = config.map(|config| std::path::absolute(config).unwrap_or_else(|_| config.to_owned()));
        let head = config.map(|config| format!("config = {}\n", toml_text(&config.to_string_lossy())));
        file.write_all(head.unwrap_or_default().as_bytes()).map_err(trouble)?;
        Ok(Self { path: path.to_owned(), file, written: 0 })
    }

    fn add(&mut self, sample: &Value<'_>) -> Result<(), Trouble> {
        let left_out = number(sample, "rows_left_out") + number(sample, "fields_left_out");
        if left_out > 0 {
            eprintln!("note: a sample is too large to become a case");
            return Ok(());
        }
        self.written += 1;
        let case = case(sample, self.written);
        self.file.write_all(case.as_bytes()).map_err(|error| Trouble::Save(self.path.clone(), error))
    }
}

fn case(sample: &Value<'_>, number_of: usize) -> String {
    let at = Timestamp::from_micros(number(sample, "at").saturating_mul(1000));
    let (rule, outcome) = (text(sample, "rule"), text(sample, "outcome"));
    let json = |value: &Value<'_>| toml_text(&typed::without_bytes(value.borrowed()).to_json());
    let expect = match (sample.member("rows"), text(sample, "code")) {
        (Some(rows), _) => format!("expect = {}", json(rows)),
        (None, "") => "expect = []".to_owned(),
        (None, code) => format!("expect_error = {}", toml_text(code)),
    };
    format!(
        "\n[[case]]\nname = {}\nrule = {}\nnow = {}\nevent = {}\n{expect}\n",
        toml_text(&format!("{rule} {outcome} at {at}, sample {number_of}")),
        toml_text(rule),
        number(sample, "at"),
        json(sample.member("event").unwrap_or(&Value::Null)),
    )
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
