//! The report as files: CSV by the second and percentile distributions for other programs, and who writes which.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use serde_json::Value;

use super::html;
use super::saved::{Latency, Saved};
use crate::cli::say;
use crate::expect::LATENCIES;

/// Lines for each halving of the distance to 100 %.
const TICKS: u32 = 5;

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Writes a file, or to standard output for `-`.
pub(super) fn put(path: &Path, text: &str) -> Result<(), String> {
    if is_stdout(path) {
        say(text);
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Where a report goes besides the terminal.
#[derive(Default)]
pub(super) struct Files<'a> {
    pub(super) json: Option<(&'a Path, &'a Value)>,
    pub(super) csv: Option<&'a Path>,
    pub(super) hgrm: Option<&'a Path>,
    pub(super) html: Option<&'a Path>,
}

impl Saved {
    /// Writes all of it, the table to standard output unless something else goes there.
    pub(super) fn write(&self, files: &Files<'_>) -> Result<(), String> {
        let table = self.table();
        if [files.json.map(|(path, _)| path), files.csv, files.html].into_iter().flatten().any(is_stdout) {
            eprint!("{table}");
        } else {
            say(&table);
        }
        if let Some((path, json)) = files.json {
            put(path, &format!("{json:#}\n"))?;
        }
        if let Some(path) = files.csv {
            put(path, &self.csv())?;
        }
        if let Some(path) = files.hgrm {
            self.write_hgrm(path)?;
        }
        if let Some(path) = files.html {
            put(path, &html::page(self))?;
        }
        Ok(())
    }

    fn csv(&self) -> String {
        let mut out = "second,sent_per_s,received_per_s,acked_per_s,connected,p50_ns,p99_ns,max_ns,p90_ns,p99_9_ns,\
                       broker_cores,broker_rss_bytes\n"
            .to_owned();
        for point in &self.series {
            let _ = write!(
                out,
                "{:.3},{},{},{},{},{},{},{},{},{},",
                point.at_ns as f64 / 1e9,
                point.sent_per_s,
                point.received_per_s,
                point.acked_per_s,
                point.connected,
                point.p50_ns,
                point.p99_ns,
                point.max_ns,
                point.p90_ns,
                point.p99_9_ns
            );
            let cores = point.broker_cores.map_or_else(String::new, |cores| cores.to_string());
            let rss = point.broker_rss_bytes.map_or_else(String::new, |rss| rss.to_string());
            let _ = writeln!(out, "{cores},{rss}");
        }
        out
    }

    fn write_hgrm(&self, path: &Path) -> Result<(), String> {
        for name in LATENCIES {
            let Some(histogram) = self.latency.get(*name).and_then(Latency::histogram) else { continue };
            let mut file: PathBuf = path.to_owned();
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            file.set_file_name(format!("{stem}.{name}.hgrm"));
            put(&file, &distribution(&histogram))?;
        }
        Ok(())
    }
}

/// The text form of a percentile distribution, values in milliseconds.
fn distribution(histogram: &Histogram<u64>) -> String {
    let ms = |ns: u64| ns as f64 / 1e6;
    let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for step in histogram.iter_quantiles(TICKS) {
        let (value, quantile) = (ms(step.value_iterated_to()), step.quantile_iterated_to());
        let total = histogram.count_between(0, step.value_iterated_to());
        let _ = match quantile < 1.0 {
            true => writeln!(out, "{value:>12.6} {quantile:>14.12} {total:>10} {:>14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(out, "{value:>12.6} {quantile:>14.12} {total:>10}"),
        };
    }
    let _ = writeln!(
        out,
        "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]",
        histogram.mean() / 1e6,
        histogram.stdev() / 1e6
    );
    let _ = writeln!(out, "#[Max     = {:>12.6}, Total count    = {:>12}]", ms(histogram.max()), histogram.len());
    let _ = writeln!(
        out,
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.buckets(),
        // With three digits.
        2048
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_ends_with_all_values_and_its_summary() {
        let mut histogram = crate::stats::histogram();
        for value in 1..=1000 {
            histogram.record(value * 1_000_000).expect("in bounds");
        }
        let text = distribution(&histogram);
        let last = text.lines().rfind(|line| !line.starts_with('#')).expect("there are lines");
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!((words[1], words[2]), ("1.000000000000", "1000"), "{last}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }
}
