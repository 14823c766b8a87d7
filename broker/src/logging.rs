//! Log lines to stderr: one per event that passes the level, as text or JSON, limited for each kind of event.
//!
//! `ts level event message key=value …`. The kind of an event is its field `event`, a word that stays the same (where it
//! has none, the module that said it). More than [`LINES_PER_WINDOW`] lines of a kind in a [`WINDOW`] are counted, and
//! the next one that passes carries the count as `suppressed`. Under systemd the journal has the time, so a line
//! begins with its priority (`<4>`) instead.
//!
//! Runs on: any thread. A line is made on the thread that says it and written by a thread of its own, so that a shard
//! never waits for whoever reads the log; lines that find [`LINES_WAITING_MAX`] others waiting are lost and counted.
//! Invariants: no control character of what was logged reaches the output.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::config::{Log, LogFormat, LogLevel};
use crate::timestamp::Timestamp;

/// Lines of one kind of event that pass within a window. Errors count like others: a peer may cause them.
const LINES_PER_WINDOW: u32 = 10;
/// The time after which a kind of event begins anew.
const WINDOW: Duration = Duration::from_secs(10);
/// The same for debug and trace, which somebody asked for.
const LINES_PER_WINDOW_DEBUG: u32 = 1000;
/// Lines that wait to be written.
const LINES_WAITING_MAX: usize = 4096;
/// How long [`flush`] waits for them.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Kinds that are counted; more are one kind together.
const KINDS_MAX: usize = 1024;
/// Longest value of a field in a line; the rest is cut.
const VALUE_CHARS_MAX: usize = 1024;

/// Changes what is written while the program runs.
#[derive(Clone, Debug)]
pub struct LogControl(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    level: AtomicU8,
    format: AtomicU8,
}

impl LogControl {
    fn new(log: &Log) -> Self {
        let control = Self(Arc::new(Settings { level: AtomicU8::new(0), format: AtomicU8::new(0) }));
        control.store(log);
        control
    }

    fn store(&self, log: &Log) {
        self.0.level.store(rank(level(log.level)), Ordering::Relaxed);
        self.0.format.store(u8::from(log.format == LogFormat::Json), Ordering::Relaxed);
    }

    /// From now on these settings hold.
    pub fn set(&self, log: &Log) {
        self.store(log);
        tracing::callsite::rebuild_interest_cache();
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

/// Greater is less severe.
fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        _ => 5,
    }
}

/// What the thread that writes is asked for.
enum Job {
    Line(String),
    Flush(SyncSender<()>),
}

static WRITER: OnceLock<SyncSender<Job>> = OnceLock::new();

/// Starts logging to stderr for the whole process.
///
/// # Errors
/// There is no thread for it.
pub fn start(log: &Log) -> std::io::Result<LogControl> {
    let control = LogControl::new(log);
    let (sender, jobs) = sync_channel(LINES_WAITING_MAX);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&jobs, &mut std::io::stderr()))?;
    let lost = AtomicU64::new(0);
    let lines = Lines::new(control.clone(), journal_reads_stderr(), {
        let sender = sender.clone();
        move |line: String| hand_over(&sender, &lost, line)
    });
    // Only a second call could fail, and then the first one holds.
    let _ = WRITER.set(sender);
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    Ok(control)
}

/// Waits until what was logged is written, for a bounded time. Before the process ends.
pub fn flush() {
    let Some(writer) = WRITER.get() else { return };
    let (done, wait) = sync_channel(1);
    let until = Instant::now() + FLUSH_TIMEOUT;
    let mut job = Job::Flush(done);
    while let Err(TrySendError::Full(back)) = writer.try_send(job) {
        if Instant::now() >= until {
            return;
        }
        job = back;
        std::thread::sleep(Duration::from_millis(1));
    }
    // Either it is done, or there was no more time.
    let _ = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
}

fn hand_over(writer: &SyncSender<Job>, lost: &AtomicU64, mut line: String) {
    let before = lost.swap(0, Ordering::Relaxed);
    if before > 0 && line.ends_with("}\n") {
        line.truncate(line.len() - 2);
        let _ = writeln!(line, ",\"lost\":{before}}}");
    } else if before > 0 {
        line.truncate(line.len() - 1);
        let _ = writeln!(line, " lost={before}");
    }
    if writer.try_send(Job::Line(line)).is_err() {
        lost.fetch_add(before + 1, Ordering::Relaxed);
    }
}

fn write(jobs: &Receiver<Job>, out: &mut impl std::io::Write) {
    for job in jobs {
        match job {
            // Where stderr is gone there is nobody to tell.
            Job::Line(line) => drop(out.write_all(line.as_bytes())),
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

/// Whether stderr is the stream that systemd gave us: the variable is inherited, the stream perhaps not.
fn journal_reads_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The layer that makes lines.
struct Lines<W> {
    control: LogControl,
    journal: bool,
    write: W,
    kinds: Mutex<HashMap<String, Kind>>,
}

/// What passed of one kind.
#[derive(Debug, Default)]
struct Kind {
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Kind {
    /// How many lines were suppressed since the last one that passed, if this one passes.
    fn admit(&mut self, now: Instant, lines_max: u32) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines >= lines_max {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The fields of one event.
#[derive(Debug, Default)]
struct Fields {
    event: Option<String>,
    message: String,
    others: Vec<(&'static str, serde_json::Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: serde_json::Value) {
        match field.name() {
            "message" => self.message = plain(&value),
            "event" => self.event = Some(plain(&value)),
            name => self.others.push((name, value)),
        }
    }
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(VALUE_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, cut(format!("{value:?}")).into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, cut(value.to_owned()).into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, cut(value.to_string()).into());
    }
}

impl<W: Fn(String)> Lines<W> {
    fn new(control: LogControl, journal: bool, write: W) -> Self {
        Self { control, journal, write, kinds: Mutex::default() }
    }

    fn admit(&self, level: Level, kind: &str, now: Instant) -> Option<u64> {
        let lines_max = if level <= Level::INFO { LINES_PER_WINDOW } else { LINES_PER_WINDOW_DEBUG };
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.get_mut(kind) {
            return known.admit(now, lines_max);
        }
        let name = if kinds.len() < KINDS_MAX { kind } else { "" };
        kinds.entry(name.to_owned()).or_default().admit(now, lines_max)
    }

    fn line(&self, level: Level, event: &str, fields: &Fields, suppressed: u64) -> String {
        let name = level.as_str().to_ascii_lowercase();
        let mut line = String::with_capacity(160);
        if self.journal {
            let priority = match level {
                Level::ERROR => 3,
                Level::WARN => 4,
                Level::INFO => 6,
                _ => 7,
            };
            // Writing to a String cannot fail, here and below.
            let _ = write!(line, "<{priority}>");
        }
        if self.control.0.format.load(Ordering::Relaxed) == 0 {
            if !self.journal {
                let _ = write!(line, "{} ", Timestamp::now());
            }
            let _ = write!(line, "{name:5} {} {}", text(event), escaped(&fields.message));
            for (name, value) in &fields.others {
                let _ = write!(line, " {name}={}", text(&plain(value)));
            }
            if suppressed > 0 {
                let _ = write!(line, " suppressed={suppressed}");
            }
        } else {
            let mut object = serde_json::Map::new();
            if !self.journal {
                object.insert("ts".to_owned(), Timestamp::now().to_string().into());
            }
            object.insert("level".to_owned(), name.into());
            object.insert("event".to_owned(), event.into());
            object.insert("message".to_owned(), fields.message.clone().into());
            for (name, value) in &fields.others {
                object.insert((*name).to_owned(), value.clone());
            }
            if suppressed > 0 {
                object.insert("suppressed".to_owned(), suppressed.into());
            }
            let json = serde_json::Value::Object(object).to_string();
            line.push_str(&escaped(&json));
        }
        line.push('\n');
        line
    }
}

/// Control characters escaped, so that no peer writes lines of ours or steers a terminal. JSON has escaped those
/// below U+0020 already; DEL and the C1 controls remain.
fn escaped(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(safe, "\\u{:04x}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

/// A value as one word: in quotes where it has blanks, quotes or an equals sign, so that fields cannot be forged.
fn text(value: &str) -> String {
    let safe = escaped(value);
    let bare = !safe.is_empty() && !safe.contains([' ', '"', '=', '\\']);
    if bare { safe } else { format!("\"{}\"", safe.replace('"', "\\\"")) }
}

impl<S: Subscriber, W: Fn(String) + Send + Sync + 'static> Layer<S> for Lines<W> {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        rank(*metadata.level()) <= self.control.0.level.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.control.0.level.load(Ordering::Relaxed) {
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let module = || event.metadata().target().rsplit("::").next().unwrap_or("millrace").to_owned();
        let kind = fields.event.take().unwrap_or_else(module);
        if let Some(suppressed) = self.admit(*event.metadata().level(), &kind, Instant::now()) {
            (self.write)(self.line(*event.metadata().level(), &kind, &fields, suppressed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written while `say` runs.
    fn written(format: LogFormat, journal: bool, say: impl FnOnce(&LogControl)) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let control = LogControl::new(&Log { level: LogLevel::Info, format });
        let layer = Lines::new(control.clone(), journal, move |line: String| {
            sink.lock().expect("no writer panics").push(line);
        });
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || say(&control));
        std::mem::take(&mut *lines.lock().expect("no writer panics"))
    }

    #[test]
    fn a_line_has_time_level_event_message_and_fields() {
        let lines = written(LogFormat::Text, false, |_| {
            tracing::info!(event = "listener-open", listener = "default", port = 1883u16, "listening on {}", "::1");
        });
        let (time, rest) = lines[0].split_once(' ').expect("a time comes first");
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(rest, "info  listener-open listening on ::1 listener=default port=1883\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let lines = written(LogFormat::Json, false, |_| {
            tracing::warn!(event = "x", client_id = "a\"b\n\u{9b}", ok = true, "two\nlines");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].matches('\n').count(), 1);
        assert!(lines[0].trim_end().chars().all(|c| !c.is_control()));
        let object: serde_json::Value = serde_json::from_str(&lines[0]).expect("it is JSON");
        assert_eq!(object["level"], "warn");
        assert_eq!(object["message"], "two\nlines");
        assert_eq!(object["client_id"], "a\"b\n\u{9b}");
        assert_eq!(object["ok"], true);
    }

    #[test]
    fn the_journal_gets_priorities_and_no_time() {
        let lines = written(LogFormat::Text, true, |_| tracing::error!(event = "x", "broken"));
        assert_eq!(lines, ["<3>error x broken\n"]);
    }

    #[test]
    fn a_client_cannot_forge_lines_or_fields() {
        let lines = written(LogFormat::Text, true, |_| {
            tracing::info!(event = "x", client_id = "a\r\n<3>error y\u{1b}[2J", topic = "t qos=2", "m");
        });
        assert_eq!(lines, ["<6>info  x m client_id=\"a\\r\\n<3>error y\\u001b[2J\" topic=\"t qos=2\"\n"]);
        let long = "x".repeat(100_000);
        let lines = written(LogFormat::Text, true, |_| tracing::info!(event = "x", topic = long.as_str(), "m"));
        assert!(lines[0].len() < 1100);
    }

    #[test]
    fn many_of_a_kind_are_counted_instead() {
        let lines = written(LogFormat::Text, true, |_| {
            for number in 0..1000 {
                tracing::warn!(event = "refused", number, "no");
            }
            tracing::warn!(event = "other", "yes");
        });
        assert_eq!(lines.len(), 11);
        let mut kind = Kind::default();
        let start = Instant::now();
        for _ in 0..LINES_PER_WINDOW {
            assert_eq!(kind.admit(start, LINES_PER_WINDOW), Some(0));
        }
        assert_eq!(kind.admit(start, LINES_PER_WINDOW), None);
        assert_eq!(kind.admit(start + WINDOW / 2, LINES_PER_WINDOW), None);
        assert_eq!(kind.admit(start + WINDOW, LINES_PER_WINDOW), Some(2));
        assert_eq!(kind.admit(start + WINDOW, LINES_PER_WINDOW), Some(0));
    }

    #[test]
    fn a_log_that_nobody_reads_costs_lines_and_no_time() {
        let (writer, jobs) = sync_channel(2);
        let lost = AtomicU64::new(0);
        for number in 0..5 {
            hand_over(&writer, &lost, format!("{number}\n"));
        }
        let next = |jobs: &Receiver<Job>| match jobs.try_recv() {
            Ok(Job::Line(line)) => line,
            _ => String::new(),
        };
        assert_eq!((next(&jobs), next(&jobs), next(&jobs)), ("0\n".to_owned(), "1\n".to_owned(), String::new()));
        hand_over(&writer, &lost, "5\n".to_owned());
        hand_over(&writer, &lost, "{\"a\":6}\n".to_owned());
        assert_eq!((next(&jobs), next(&jobs)), ("5 lost=3\n".to_owned(), "{\"a\":6}\n".to_owned()));
        lost.store(2, Ordering::Relaxed);
        hand_over(&writer, &lost, "{\"a\":7}\n".to_owned());
        assert_eq!(next(&jobs), "{\"a\":7,\"lost\":2}\n");
    }

    #[test]
    fn the_level_changes_while_running() {
        let lines = written(LogFormat::Text, true, |control| {
            tracing::debug!(event = "x", "unseen");
            control.set(&Log { level: LogLevel::Debug, format: LogFormat::Text });
            tracing::debug!(event = "x", "seen");
            control.set(&Log { level: LogLevel::Error, format: LogFormat::Text });
            tracing::warn!(event = "x", "unseen");
        });
        assert_eq!(lines, ["<7>debug x seen\n"]);
    }
}
