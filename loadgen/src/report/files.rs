//! The report as files for other programs: CSV by the second, percentile distributions for plotters.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

use super::Report;
use crate::cli::say;
use crate::expect::LATENCIES;

/// Lines for each halving of the distance to 100 %.
const TICKS: u32 = 5;

/// Writes a file, or to standard output for `-`.
pub(super) fn put(path: &Path, text: &str) -> Result<(), String> {
    if path.as_os_str() == "-" {
        say(text);
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

impl Report {
    pub(super) fn csv(&self) -> String {
        let mut out = "second,sent_per_s,received_per_s,acked_per_s,connected,p50_ns,p99_ns,max_ns\n".to_owned();
        for sample in &self.samples {
            let _ = writeln!(
                out,
                "{:.3},{:.0},{:.0},{:.0},{},{},{},{}",
                sample.at as f64 / 1e9,
                sample.sent_rate,
                sample.received_rate,
                sample.acked_rate,
                sample.open,
                sample.p50,
                sample.p99,
                sample.max
            );
        }
        out
    }

    pub(super) fn write_hgrm(&self, path: &Path) -> Result<(), String> {
        for name in LATENCIES {
            let Some(histogram) = self.latency(name).filter(|histogram| !histogram.is_empty()) else { continue };
            let mut file: PathBuf = path.to_owned();
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            file.set_file_name(format!("{stem}.{name}.hgrm"));
            put(&file, &distribution(histogram))?;
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
