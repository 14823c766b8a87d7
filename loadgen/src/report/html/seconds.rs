//! The measured time as charts show it: second by second, or several seconds as one where there are too many.

use super::chart::{Band, Row};
use crate::report::saved::{Point, Saved};

/// Points of a line at most; of longer runs several seconds make one.
pub(super) const POINTS_MAX: usize = 600;
/// Below this rate a second without messages says nothing.
const STILL_FROM_RATE: u64 = 10;
/// A moment as a cell of a table.
pub(super) fn at(ns: f64) -> String {
    format!("{:.1} s", ns / 1e9)
}

/// What the x axis of such charts is.
pub(super) const MEASURED: &str = "time since the measurement began";

/// The measured time, in as many parts as can be drawn.
pub(super) struct Seconds {
    pub(super) parts: Vec<Part>,
    /// Seconds that each part holds.
    each: usize,
    pub(super) end: u64,
}

/// One or more seconds: rates are their mean, latencies the worst of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Part {
    from: u64,
    pub(super) point: Point,
}

impl Part {
    pub(super) fn middle(&self) -> f64 {
        f64::midpoint(self.from as f64, self.point.at_ns as f64)
    }
}

impl Seconds {
    pub(super) fn new(saved: &Saved) -> Self {
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

    pub(super) fn note(&self) -> String {
        match self.each {
            1 => "each point is a second".to_owned(),
            each => format!("each point is {each} seconds, of latencies the worst of them"),
        }
    }

    /// Spans in which nothing arrived though it should have.
    pub(super) fn still(&self, rate_of: fn(&Point) -> u64, overall: u64) -> Vec<Band> {
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

    /// A row of a table for each part.
    pub(super) fn rows(&self, cells: impl Fn(&Point) -> Vec<String>) -> Vec<Row> {
        let row = |part: &Part| {
            let time = format!("{} to {}", at(part.from as f64), at(part.point.at_ns as f64));
            Row { x: part.middle(), cells: std::iter::once(time).chain(cells(&part.point)).collect() }
        };
        self.parts.iter().map(row).collect()
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
