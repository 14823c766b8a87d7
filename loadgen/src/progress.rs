//! What is said while a run goes on: a block of six lines on a terminal, a line now and then if asked for, else nothing.
//!
//! Runs on: the main thread.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::format::{count, duration, span};
use crate::host::BrokerSample;
use crate::stats::Counts;

/// One second of the measured time.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Nanoseconds since the measured time began.
    pub(crate) at: u64,
    pub(crate) sent_rate: f64,
    pub(crate) received_rate: f64,
    pub(crate) acked_rate: f64,
    pub(crate) open: u64,
    /// Connections that failed or were lost so far.
    pub(crate) lost: u64,
    /// Latencies that came in, of deliveries or else of acknowledgements.
    pub(crate) latencies: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
    pub(crate) broker: Option<BrokerSample>,
}

/// A moment of the ramp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RampSample {
    /// Nanoseconds since the first connect.
    pub(crate) at: u64,
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) broker: Option<BrokerSample>,
}

impl Sample {
    pub(crate) fn new(at: u64, span: u64, before: &Counts, now: &Counts, latencies: &Histogram<u64>) -> Self {
        let rate = |later: u64, earlier: u64| (later - earlier) as f64 * 1e9 / span.max(1) as f64;
        Self {
            at,
            sent_rate: rate(now.sent, before.sent),
            received_rate: rate(now.received, before.received),
            acked_rate: rate(now.acked, before.acked),
            open: now.open,
            lost: now.failed + now.dropped,
            latencies: latencies.len(),
            p50: latencies.value_at_quantile(0.5),
            p90: latencies.value_at_quantile(0.9),
            p99: latencies.value_at_quantile(0.99),
            p99_9: latencies.value_at_quantile(0.999),
            max: latencies.max(),
            broker: None,
        }
    }
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// A block on a terminal, nothing elsewhere
    Auto,
    /// A line each ten seconds
    Plain,
    /// Nothing
    None,
}

/// See the head of this file.
pub(crate) struct Progress {
    mode: Mode,
    /// Lines of the block that stands on the terminal.
    drawn: usize,
    last: u64,
    history: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Silent,
    Lines,
    Block,
}

/// How often a line is said.
const LINE_EVERY_NS: u64 = 10_000_000_000;
/// How often the block is drawn during the ramp.
const BLOCK_EVERY_NS: u64 = 200_000_000;
const BAR: usize = 40;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Progress {
    pub(crate) fn new(style: Style) -> Self {
        let mode = match style {
            Style::None => Mode::Silent,
            Style::Plain => Mode::Lines,
            Style::Auto if std::io::stderr().is_terminal() => Mode::Block,
            Style::Auto => Mode::Silent,
        };
        Self { mode, drawn: 0, last: 0, history: Vec::new() }
    }

    pub(crate) fn ramp(&mut self, counts: &Counts, total: u64, elapsed: u64) {
        let every = if self.mode == Mode::Block { BLOCK_EVERY_NS } else { LINE_EVERY_NS };
        if self.mode == Mode::Silent || elapsed < self.last + every {
            return;
        }
        self.last = elapsed;
        let done = counts.ready + counts.failed;
        let rate = counts.ready as f64 * 1e9 / elapsed.max(1) as f64;
        let line = format!(
            "connecting  {} of {}, {}/s, {} failed",
            count(counts.ready),
            count(total),
            count(rate as u64),
            count(counts.failed)
        );
        match self.mode {
            Mode::Block => self.draw(&[line, bar(done as f64 / total.max(1) as f64, "")]),
            _ => self.say(&line),
        }
    }

    pub(crate) fn run(&mut self, sample: &Sample, left: u64, whole: u64) {
        self.history.push(sample.received_rate.max(sample.acked_rate).max(sample.sent_rate));
        let rates = format!(
            "{} in/s, {} out/s, {} acked/s",
            count(sample.sent_rate as u64),
            count(sample.received_rate as u64),
            count(sample.acked_rate as u64)
        );
        let latency =
            format!("p50 {}, p99 {}, max {}", duration(sample.p50), duration(sample.p99), duration(sample.max));
        match self.mode {
            Mode::Silent => {}
            Mode::Lines => {
                if sample.at < self.last + LINE_EVERY_NS && sample.at >= self.last {
                    return;
                }
                self.last = sample.at;
                self.say(&format!("{}  {rates}  {latency}", span(Duration::from_nanos(sample.at))));
            }
            Mode::Block => {
                let left_text = format!("{} left", span(Duration::from_secs(left.div_ceil(1_000_000_000))));
                let lines = [
                    bar(1.0 - left as f64 / whole.max(1) as f64, &left_text),
                    format!("messages   {rates}"),
                    format!("           {}", sparkline(&self.history)),
                    format!("latency    {latency}  (last second)"),
                    format!("connected  {}", count(sample.open)),
                    format!("lost       {} connections", count(sample.lost)),
                ];
                self.draw(&lines);
            }
        }
    }

    pub(crate) fn drain(&mut self, left: u64) {
        if self.mode == Mode::Block && left > 0 {
            self.draw(&[format!("waiting for {} messages under way", count(left))]);
        }
    }

    /// Takes the block away.
    pub(crate) fn finish(&mut self) {
        if self.mode == Mode::Block {
            self.draw(&[]);
        }
    }

    fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    fn draw(&mut self, lines: &[String]) {
        let mut out = String::new();
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}A", self.drawn));
        }
        out.push_str("\x1b[J");
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
        self.drawn = lines.len();
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(out.as_bytes()).and_then(|()| stderr.flush());
    }
}

fn bar(part: f64, text: &str) -> String {
    let filled = ((part.clamp(0.0, 1.0) * BAR as f64) as usize).min(BAR);
    format!("[{}{}] {text}", "=".repeat(filled), " ".repeat(BAR - filled))
}

fn sparkline(values: &[f64]) -> String {
    let recent = &values[values.len().saturating_sub(BAR)..];
    let most = recent.iter().copied().fold(1.0, f64::max);
    recent.iter().map(|value| SPARKS[((value / most * 7.0) as usize).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_the_last_values_against_their_highest() {
        assert_eq!(sparkline(&[0.0, 50.0, 100.0]), "▁▄█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&vec![1.0; 100]).chars().count(), BAR);
    }

    #[test]
    fn a_bar_is_never_longer_than_itself() {
        for part in [-1.0, 0.0, 0.5, 1.0, 7.0] {
            assert_eq!(bar(part, "").chars().count(), BAR + 3);
        }
    }
}
