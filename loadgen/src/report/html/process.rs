//! Charts of what is connected and of what the broker's process takes.

use super::chart::{Chart, Line, Row};
use super::charts::has_rates;
use super::scale::{self, Axis};
use super::seconds::{MEASURED, POINTS_MAX, Part, Seconds, at};
use crate::format::{bytes, count};
use crate::report::saved::Saved;

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
pub(super) fn connections(saved: &Saved) -> Option<Chart> {
    let moments = whole_run(saved);
    let (first, last) = (moments.first()?, moments.last()?);
    if moments.len() < 3 || has_rates(saved) {
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
        wide: false,
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
pub(super) fn broker(saved: &Saved, seconds: &Seconds) -> [Option<Chart>; 2] {
    let (moments, x_title): (Vec<Moment>, _) = if !has_rates(saved) {
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
            wide: false,
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
