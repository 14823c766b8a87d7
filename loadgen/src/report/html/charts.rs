//! Which charts a run has, and what is drawn in them.

use super::chart::{Band, Chart, Line, Row};
use super::scale::{self, Axis};
use crate::format::{bytes, count, duration};
use crate::report::saved::{Point, Saved};

/// Points of a line at most; of longer runs several seconds make one.
const POINTS_MAX: usize = 600;
/// Below this rate a second without messages says nothing.
const STILL_FROM_RATE: u64 = 10;
/// Places of a percentile curve.
const CURVE: u32 = 240;

/// All charts of a run, the most telling first.
pub(super) fn charts(saved: &Saved) -> Vec<Chart> {
    let seconds = Seconds::new(saved);
    [rate(saved, &seconds), latency(saved, &seconds), connections(saved), percentiles(saved)]
        .into_iter()
        .chain(broker(saved, &seconds))
        .flatten()
        .collect()
}

/// The measured time, in as many parts as can be drawn.
struct Seconds {
    parts: Vec<Part>,
    /// Seconds that each part holds.
    each: usize,
    end: u64,
}

/// One or more seconds: rates are their mean, latencies the worst of them.
#[derive(Clone, Copy, Default)]
struct Part {
    from: u64,
    point: Point,
}

impl Part {
    fn middle(&self) -> f64 {
        f64::midpoint(self.from as f64, self.point.at_ns as f64)
    }
}

impl Seconds {
    fn new(saved: &Saved) -> Self {
        let each = saved.series.len().div_ceil(POINTS_MAX).max(1);
        let mut parts = Vec::new();
        let mut from = 0;
        for points in saved.series.chunks(each) {
            let part = Part { from, point: join(from, points) };
            // Time goes on, whatever a file says.
            if part.point.at_ns > from {
                from = part.point.at_ns;
                parts.push(part);
            }
        }
        Self { parts, each, end: from }
    }

    fn note(&self) -> String {
        match self.each {
            1 => "each point is a second".to_owned(),
            each => format!("each point is {each} seconds, of latencies the worst of them"),
        }
    }

    /// Spans in which nothing arrived though it should have.
    fn still(&self, rate_of: fn(&Point) -> u64, overall: u64) -> Vec<Band> {
        let mut bands: Vec<Band> = Vec::new();
        if overall < STILL_FROM_RATE {
            return bands;
        }
        for part in self.parts.iter().filter(|part| rate_of(&part.point) == 0) {
            let (from, to) = (part.from as f64, part.point.at_ns as f64);
            match bands.last_mut() {
                Some(last) if last.to >= from => last.to = to,
                _ => bands.push(Band { from, to, label: "nothing arrived" }),
            }
        }
        bands
    }
}

fn join(from: u64, points: &[Point]) -> Point {
    let Some(last) = points.last() else { return Point::default() };
    let span = last.at_ns.saturating_sub(from).max(1) as f64;
    let mean = |value: fn(&Point) -> f64| {
        let mut before = from;
        let weighed = points.iter().map(|point| {
            let span = point.at_ns.saturating_sub(std::mem::replace(&mut before, point.at_ns));
            value(point) * span as f64
        });
        weighed.sum::<f64>() / span
    };
    let most = |value: fn(&Point) -> u64| points.iter().map(value).max().unwrap_or(0);
    Point {
        sent_per_s: mean(|point| point.sent_per_s as f64).round() as u64,
        received_per_s: mean(|point| point.received_per_s as f64).round() as u64,
        acked_per_s: mean(|point| point.acked_per_s as f64).round() as u64,
        p50_ns: most(|point| point.p50_ns),
        p90_ns: most(|point| point.p90_ns),
        p99_ns: most(|point| point.p99_ns),
        p99_9_ns: most(|point| point.p99_9_ns),
        max_ns: most(|point| point.max_ns),
        broker_cores: last.broker_cores.map(|_| mean(|point| point.broker_cores.unwrap_or(0.0))),
        broker_rss_bytes: points.iter().filter_map(|point| point.broker_rss_bytes).max(),
        ..*last
    }
}

/// A moment as a cell of a table.
fn at(ns: f64) -> String {
    format!("{:.1} s", ns / 1e9)
}

const MEASURED: &str = "time since the measurement began";

/// The rates that this run has, the most telling first.
fn rates(saved: &Saved) -> Vec<(&'static str, &'static str, fn(&Point) -> u64, u64)> {
    let measured = &saved.measured;
    let mut rates: Vec<(&'static str, &'static str, fn(&Point) -> u64, u64)> = Vec::new();
    if saved.receives() {
        rates.push(("received", "a", |point| point.received_per_s, measured.received_per_s));
    }
    if saved.config_number("publishers") > 0 && !saved.sends_ahead() {
        if saved.config_number("qos") > 0 {
            rates.push(("acked", "c", |point| point.acked_per_s, measured.acked_per_s));
        }
        rates.push(("sent", "b", |point| point.sent_per_s, measured.sent_per_s));
    }
    rates
}

fn rate(saved: &Saved, seconds: &Seconds) -> Option<Chart> {
    let rates = rates(saved);
    if seconds.parts.len() < 2 || rates.is_empty() {
        return None;
    }
    let most = seconds.parts.iter().flat_map(|part| rates.iter().map(|(_, _, of, _)| of(&part.point))).max()?;
    let lines = rates.iter().enumerate().map(|(number, (name, class, of, overall))| Line {
        class,
        name: (*name).to_owned(),
        summary: format!("{}/s", count(*overall)),
        filled: number == 0,
        points: seconds.parts.iter().map(|part| Some((part.middle(), of(&part.point) as f64))).collect(),
    });
    let (name, _, of, overall) = rates[0];
    let (least_seen, most_seen) = span_of(seconds.parts.iter().map(|part| of(&part.point)));
    Some(Chart {
        id: "rate",
        title: "Rate",
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
        columns: std::iter::once("time").chain(rates.iter().map(|rate| rate.0)).map(str::to_owned).collect(),
        rows: rows(seconds, |point| rates.iter().map(|rate| format!("{}/s", count((rate.2)(point)))).collect()),
    })
}

fn rows(seconds: &Seconds, cells: impl Fn(&Point) -> Vec<String>) -> Vec<Row> {
    let row = |part: &Part| {
        let time = format!("{} to {}", at(part.from as f64), at(part.point.at_ns as f64));
        Row { x: part.middle(), cells: std::iter::once(time).chain(cells(&part.point)).collect() }
    };
    seconds.parts.iter().map(row).collect()
}

fn span_of(values: impl Iterator<Item = u64> + Clone) -> (u64, u64) {
    (values.clone().min().unwrap_or(0), values.max().unwrap_or(0))
}

fn latency(saved: &Saved, seconds: &Seconds) -> Option<Chart> {
    const LINES: [(&str, &str, fn(&Point) -> u64); 5] = [
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
    let rate_of = rates(saved).first().map(|rate| (rate.2, rate.3));
    let shown = |ns: u64| if ns > 0 { duration(ns) } else { "-".to_owned() };
    Some(Chart {
        id: "latency",
        title: if known == "ack" { "Acknowledgement latency" } else { "Delivery latency" },
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
        rows: rows(seconds, |point| lines.iter().map(|(_, _, of)| shown(of(point))).collect()),
        lines: drawn.collect(),
    })
}

/// A moment of the whole run: since the first connect, what is connected, what failed, the broker.
type Moment = (f64, u64, u64, Option<f64>, Option<u64>);

/// The ramp, and behind it the measured time.
fn whole_run(saved: &Saved) -> Vec<Moment> {
    let ramp = saved.ramp.iter();
    let mut moments: Vec<Moment> = ramp
        .map(|point| (point.at_ns as f64, point.ready, point.failed, point.broker_cores, point.broker_rss_bytes))
        .collect();
    let begins = saved.measured.begins_ns.max(saved.connections.ramp_ns) as f64;
    let step = saved.series.len().div_ceil(POINTS_MAX).max(1);
    moments.extend(saved.series.iter().skip(step - 1).step_by(step).map(|point| {
        let failed = saved.connections.failed;
        (begins + point.at_ns as f64, point.connected, failed, point.broker_cores, point.broker_rss_bytes)
    }));
    // Time goes on, whatever a file says.
    let mut last = -1.0;
    moments.retain(|moment| {
        let later = moment.0 > last;
        last = moment.0.max(last);
        later
    });
    moments
}

/// Of runs that are about connections.
fn connections(saved: &Saved) -> Option<Chart> {
    let moments = whole_run(saved);
    let (first, last) = (moments.first()?, moments.last()?);
    if moments.len() < 3 || !rates(saved).is_empty() {
        return None;
    }
    let most = moments.iter().map(|moment| moment.1.max(moment.2)).max()?;
    let line = |class, name: &str, last: u64, of: fn(&Moment) -> u64| Line {
        class,
        name: name.to_owned(),
        summary: count(last),
        filled: class == "a",
        points: moments.iter().map(|moment| Some((moment.0, of(moment) as f64))).collect(),
    };
    let mut lines = vec![line("a", "connected", last.1, |moment| moment.1)];
    if last.2 > 0 {
        lines.push(line("b", "failed", last.2, |moment| moment.2));
    }
    let ramp = saved.connections.ramp_ns as f64;
    Some(Chart {
        id: "connections",
        title: "Connections",
        note: format!("{} a second while they were opened", count(saved.connections.per_s)),
        description: format!(
            "Connections from {} to {}; they were opened in {}.",
            count(first.1),
            count(last.1),
            at(ramp)
        ),
        x: Axis::time(last.0),
        x_title: "time since the first connect",
        y: Axis::from_zero(most as f64, scale::number),
        lines,
        bands: Vec::new(),
        columns: ["time", "connected", "failed"].map(str::to_owned).to_vec(),
        rows: moments
            .iter()
            .map(|moment| Row { x: moment.0, cells: vec![at(moment.0), count(moment.1), count(moment.2)] })
            .collect(),
    })
}

/// The broker's process, over the measured time, or over the whole run where that is about connections.
fn broker(saved: &Saved, seconds: &Seconds) -> [Option<Chart>; 2] {
    let (moments, x_title): (Vec<Moment>, _) = if rates(saved).is_empty() {
        (whole_run(saved), "time since the first connect")
    } else {
        let moment = |part: &Part| {
            let point = &part.point;
            (part.middle(), point.connected, 0, point.broker_cores, point.broker_rss_bytes)
        };
        (seconds.parts.iter().map(moment).collect(), MEASURED)
    };
    let end = if x_title == MEASURED { seconds.end as f64 } else { moments.last().map_or(0.0, |moment| moment.0) };
    let overall = saved.broker;
    let chart = |id,
                 title,
                 what: &str,
                 summary,
                 y: fn(f64) -> String,
                 cell: fn(f64) -> String,
                 of: fn(&Moment) -> Option<f64>| {
        let values: Vec<(f64, f64)> = moments.iter().filter_map(|moment| Some((moment.0, of(moment)?))).collect();
        if values.len() < 2 {
            return None;
        }
        let most = values.iter().map(|value| value.1).fold(0.0, f64::max);
        let least = values.iter().map(|value| value.1).fold(f64::MAX, f64::min);
        Some(Chart {
            id,
            title,
            note: what.to_owned(),
            description: format!("The {what}, between {} and {}.", cell(least), cell(most)),
            x: Axis::time(end),
            x_title,
            y: Axis::from_zero(most, y),
            lines: vec![Line {
                class: "d",
                name: title.to_owned(),
                summary,
                filled: true,
                points: moments.iter().map(|moment| Some((moment.0, of(moment)?))).collect(),
            }],
            bands: Vec::new(),
            columns: vec!["time".to_owned(), what.to_owned()],
            rows: values.iter().map(|value| Row { x: value.0, cells: vec![at(value.0), cell(value.1)] }).collect(),
        })
    };
    let cores = overall.map_or_else(String::new, |broker| format!("{:.2} cores", broker.cores));
    let peak = overall.map_or_else(String::new, |broker| format!("{} at most", bytes(broker.rss_peak_bytes)));
    [
        chart(
            "broker-cpu",
            "Broker CPU",
            "processors that the broker's process kept busy",
            cores,
            scale::cores,
            |cores| format!("{cores:.2} cores"),
            |moment| moment.3,
        ),
        chart(
            "broker-memory",
            "Broker memory",
            "resident memory of the broker's process",
            peak,
            scale::memory,
            |size| bytes(size as u64),
            |moment| moment.4.map(|size| size as f64),
        ),
    ]
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
