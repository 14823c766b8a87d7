//! Which charts a run has, and what is drawn in them.

use super::chart::{Chart, Line, Row};
use super::process::{broker, connections};
use super::scale::{self, Axis};
use super::seconds::{MEASURED, Seconds, at};
use crate::format::{count, duration};
use crate::report::saved::{Point, Saved};

/// Places of a percentile curve.
const CURVE: u32 = 240;

/// All charts of a run, the most telling first.
pub(super) fn charts(saved: &Saved) -> Vec<Chart> {
    let seconds = Seconds::new(saved);
    let mut charts: Vec<Chart> =
        [rate(saved, &seconds), latency(saved, &seconds), connections(saved), percentiles(saved)]
            .into_iter()
            .chain(broker(saved, &seconds))
            .flatten()
            .collect();
    // They stand in two columns, none of which is to end early.
    if charts.len() % 2 == 1
        && let Some(chart) = charts.iter_mut().rfind(|chart| chart.id == "percentiles")
    {
        chart.wide = true;
    }
    charts
}

/// What a line takes of a second.
type Of = fn(&Point) -> u64;

/// A line of the rate chart.
struct Rate {
    name: &'static str,
    class: &'static str,
    of: Of,
    overall: u64,
}

/// Whether messages went anywhere in the measured time.
pub(super) fn has_rates(saved: &Saved) -> bool {
    !rates(saved).is_empty()
}

/// The rates that this run has, the most telling first.
fn rates(saved: &Saved) -> Vec<Rate> {
    let measured = &saved.measured;
    let mut rates = Vec::new();
    let mut add = |name, class, of, overall| rates.push(Rate { name, class, of, overall });
    if saved.receives() {
        add("received", "a", |point| point.received_per_s, measured.received_per_s);
    }
    if saved.config_number("publishers") > 0 && !saved.sends_ahead() {
        if saved.config_number("qos") > 0 {
            add("acked", "c", |point| point.acked_per_s, measured.acked_per_s);
        }
        add("sent", "b", |point| point.sent_per_s, measured.sent_per_s);
    }
    rates
}

fn rate(saved: &Saved, seconds: &Seconds) -> Option<Chart> {
    let rates = rates(saved);
    if seconds.parts.len() < 2 || rates.is_empty() {
        return None;
    }
    let most = seconds.parts.iter().flat_map(|part| rates.iter().map(|rate| (rate.of)(&part.point))).max()?;
    let lines = rates.iter().enumerate().map(|(number, rate)| Line {
        class: rate.class,
        name: rate.name.to_owned(),
        summary: format!("{}/s", count(rate.overall)),
        filled: number == 0,
        points: seconds.parts.iter().map(|part| Some((part.middle(), (rate.of)(&part.point) as f64))).collect(),
    });
    let Rate { name, of, overall, .. } = *rates.first()?;
    let (least_seen, most_seen) = span_of(seconds.parts.iter().map(|part| of(&part.point)));
    Some(Chart {
        id: "rate",
        title: "Rate",
        wide: false,
        note: format!("messages a second, {}", seconds.note()),
        description: format!(
            "Messages {name} a second over {}: {} on average, between {} and {}.",
            at(seconds.end as f64),
            count(overall),
            count(least_seen),
            count(most_seen)
        ),
        x: Axis::time(seconds.end as f64),
        x_title: MEASURED,
        y: Axis::from_zero(most as f64, scale::per_second),
        lines: lines.collect(),
        bands: seconds.still(of, overall),
        columns: std::iter::once("time").chain(rates.iter().map(|rate| rate.name)).map(str::to_owned).collect(),
        rows: seconds.rows(|point| rates.iter().map(|rate| format!("{}/s", count((rate.of)(point)))).collect()),
    })
}

fn span_of(values: impl Iterator<Item = u64> + Clone) -> (u64, u64) {
    (values.clone().min().unwrap_or(0), values.max().unwrap_or(0))
}

fn latency(saved: &Saved, seconds: &Seconds) -> Option<Chart> {
    const LINES: [(&str, &str, Of); 5] = [
        ("p50", "a", |point| point.p50_ns),
        ("p90", "c", |point| point.p90_ns),
        ("p99", "b", |point| point.p99_ns),
        ("p99.9", "d", |point| point.p99_9_ns),
        ("max", "e", |point| point.max_ns),
    ];
    let seen = seconds.parts.iter().map(|part| &part.point).filter(|point| point.max_ns > 0);
    let most = seen.clone().map(|point| point.max_ns).max()?;
    if seconds.parts.len() < 2 {
        return None;
    }
    let known = match saved.series_latency.as_deref() {
        Some("ack") => "ack",
        Some(_) => "delivery",
        None if saved.receives() => "delivery",
        None => "ack",
    };
    // What an older program did not keep is zero throughout.
    let lines: Vec<_> = LINES.into_iter().filter(|(_, _, of)| seen.clone().any(|point| of(point) > 0)).collect();
    let least = seen.clone().flat_map(|point| lines.iter().map(|(_, _, of)| of(point))).filter(|ns| *ns > 0).min()?;
    let overall = saved.latency.get(known);
    let drawn = lines.iter().map(|(name, class, of)| Line {
        class,
        name: (*name).to_owned(),
        summary: overall.and_then(|latency| latency.percentile(name)).map_or_else(String::new, duration),
        filled: false,
        points: seconds
            .parts
            .iter()
            .map(|part| (part.point.max_ns > 0).then(|| (part.middle(), of(&part.point) as f64)))
            .collect(),
    });
    let from = overall.map_or("", |latency| latency.from.as_str());
    let rate_of = rates(saved).first().map(|rate| (rate.of, rate.overall));
    let shown = |ns: u64| if ns > 0 { duration(ns) } else { "-".to_owned() };
    Some(Chart {
        id: "latency",
        title: if known == "ack" { "Acknowledgement latency" } else { "Delivery latency" },
        wide: false,
        note: format!("{from}{}{}", if from.is_empty() { "" } else { "; " }, seconds.note()),
        description: format!(
            "Percentiles of latency second by second on a logarithmic scale, between {} and {}.",
            duration(least),
            duration(most)
        ),
        x: Axis::time(seconds.end as f64),
        x_title: MEASURED,
        y: Axis::latency(least as f64, most as f64),
        bands: rate_of.map_or_else(Vec::new, |(of, overall)| seconds.still(of, overall)),
        columns: std::iter::once("time").chain(lines.iter().map(|line| line.0)).map(str::to_owned).collect(),
        rows: seconds.rows(|point| lines.iter().map(|(_, _, of)| shown(of(point))).collect()),
        lines: drawn.collect(),
    })
}

/// How latencies are spread.
fn percentiles(saved: &Saved) -> Option<Chart> {
    const CLASSES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let histograms: Vec<_> = saved
        .latencies()
        .filter(|(name, _)| *name != "lag")
        .filter_map(|(name, latency)| Some((name, latency, latency.histogram()?)))
        .collect();
    let values = histograms.iter().map(|(_, _, histogram)| histogram.len()).max()?;
    let least = histograms.iter().map(|(_, _, histogram)| histogram.min_nz()).min()?;
    let most = histograms.iter().map(|(_, _, histogram)| histogram.max()).max()?;
    let x = Axis::nines(values);
    let span = (values.max(10) as f64).log10().clamp(1.0, 7.0);
    let lines = histograms.iter().zip(CLASSES).map(|((name, latency, histogram), class)| {
        let own = (histogram.len() as f64).log10().min(span);
        let spots = (0..=CURVE).map(|step| own * f64::from(step) / f64::from(CURVE));
        let value = |nines: f64| histogram.value_at_quantile(1.0 - 10_f64.powf(-nines)).min(histogram.max()) as f64;
        Line {
            class,
            name: label(name).to_owned(),
            summary: latency.percentile("p99").map_or_else(String::new, |ns| format!("p99 {}", duration(ns))),
            filled: false,
            points: spots.map(|nines| Some((nines, value(nines)))).collect(),
        }
    });
    let marks = [("50 %", 0.5), ("90 %", 0.9), ("95 %", 0.95), ("99 %", 0.99), ("99.9 %", 0.999), ("99.99 %", 0.9999)];
    let told = marks.into_iter().filter(|(_, quantile)| 1.0 / (1.0 - quantile) <= values as f64 * 1.01);
    Some(Chart {
        id: "percentiles",
        title: "Latency by percentile",
        wide: false,
        note: "how many were faster; each nine is as wide as the one before".to_owned(),
        description: format!(
            "Latency against percentile on two logarithmic scales, between {} and {}.",
            duration(least),
            duration(most)
        ),
        x,
        x_title: "part of all that were faster",
        y: Axis::latency(least as f64, most as f64),
        bands: Vec::new(),
        columns: std::iter::once("percentile".to_owned())
            .chain(histograms.iter().map(|(name, ..)| label(name).to_owned()))
            .collect(),
        rows: told
            .map(|(mark, quantile)| Row {
                x: -(1.0_f64 - quantile).log10(),
                cells: std::iter::once(mark.to_owned())
                    .chain(
                        histograms.iter().map(|(_, _, histogram)| {
                            duration(histogram.value_at_quantile(quantile).min(histogram.max()))
                        }),
                    )
                    .collect(),
            })
            .collect(),
        lines: lines.collect(),
    })
}

/// A latency as people call it.
pub(super) fn label(name: &str) -> &str {
    match name {
        "delivery_sent" => "delivery from sent",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::seconds::POINTS_MAX;
    use super::*;

    fn run(points: Vec<Point>) -> Saved {
        let config = serde_json::json!({ "scenario": "pairs", "publishers": 5, "qos": 1 });
        let mut saved =
            Saved { config: config.as_object().expect("it is one").clone(), series: points, ..Saved::default() };
        saved.messages.expected = Some(1);
        saved.measured.received_per_s = 500;
        saved
    }

    fn second(number: u64, rate: u64, p50: u64) -> Point {
        Point { at_ns: number * 1_000_000_000, received_per_s: rate, p50_ns: p50, max_ns: p50, ..Point::default() }
    }

    #[test]
    fn a_standstill_is_a_band_and_a_gap() {
        let saved = run(vec![second(1, 900, 1000), second(2, 0, 0), second(3, 0, 0), second(4, 1800, 2_000_000_000)]);
        let charts = charts(&saved);
        assert_eq!(charts.iter().map(|chart| chart.id).collect::<Vec<_>>(), ["rate", "latency"]);
        for chart in &charts {
            assert_eq!(chart.bands.len(), 1);
            assert_eq!((chart.bands[0].from, chart.bands[0].to), (1e9, 3e9));
        }
        let gaps: Vec<bool> = charts[1].lines[0].points.iter().map(Option::is_none).collect();
        assert_eq!(gaps, [false, true, true, false]);
    }

    #[test]
    fn of_long_runs_several_seconds_make_a_point_and_none_hides() {
        let mut points: Vec<Point> = (1..=6000).map(|number| second(number, 500, 1000)).collect();
        points[2505].p50_ns = 7_000_000;
        points[2505].max_ns = 7_000_000;
        let charts = charts(&run(points));
        assert!(charts[1].lines[0].points.len() <= POINTS_MAX);
        let worst = charts[1].lines[0].points.iter().flatten().map(|point| point.1).fold(0.0, f64::max);
        assert_eq!(worst, 7e6);
        assert!(charts[0].lines[0].points.iter().flatten().all(|point| point.1 == 500.0));
    }

    #[test]
    fn a_run_without_a_series_has_no_charts_over_time() {
        assert!(charts(&run(Vec::new())).is_empty());
        assert!(charts(&Saved::default()).is_empty());
        // Times that go backwards are left out.
        assert!(charts(&run(vec![second(5, 1, 1), second(3, 1, 1), second(3, 1, 1)])).is_empty());
    }
}
