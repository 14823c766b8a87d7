//! Axes: from values to places between 0 and 1, with round numbers marked and their units.

use crate::format::count;

/// Marks of one axis at most; phones are narrow.
const TICKS_MAX: f64 = 6.0;
/// The part of an axis that one mark takes.
const MARK: f64 = 0.075;

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    kind: Kind,
    /// Place and label of each mark.
    pub(super) ticks: Vec<(f64, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
}

impl Axis {
    /// Where a value lies, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            Kind::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        place.clamp(0.0, 1.0)
    }

    /// From zero to a round number above `most`.
    pub(super) fn from_zero(most: f64, label: fn(f64) -> String) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_step(most / (TICKS_MAX - 2.0));
        let number = (most / step - 1e-9).ceil().max(1.0);
        Self::with_steps(step * number, step, label)
    }

    /// Nanoseconds from zero to exactly `most`.
    pub(super) fn time(most: f64) -> Self {
        const STEPS: [f64; 26] = [
            0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0,
            600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0,
        ];
        let most = if most.is_finite() && most > 0.0 { most } else { 1e9 };
        let wanted = most / 1e9 / (TICKS_MAX - 0.5);
        let days = 86_400.0 * round_step(wanted / 86_400.0).max(1.0);
        let step = STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(days) * 1e9;
        Self::with_steps(most, step, moment)
    }

    fn with_steps(high: f64, step: f64, label: fn(f64) -> String) -> Self {
        let mut axis = Self { low: 0.0, high, kind: Kind::Linear, ticks: Vec::new() };
        let number = (high / step + 1e-9).floor() as u32;
        axis.ticks = (0..=number).map(|at| f64::from(at) * step).map(|at| (axis.place(at), label(at))).collect();
        axis
    }

    /// Nanoseconds on a logarithmic scale whose ends are round.
    pub(super) fn latency(least: f64, most: f64) -> Self {
        let least = least.max(1.0);
        let most = most.max(least);
        let low = last_round(least);
        let mut high = next_round(most);
        if high <= low {
            high = next_round(low * 1.01);
        }
        let mut axis = Self { low, high, kind: Kind::Log, ticks: Vec::new() };
        let rounds: Vec<f64> = std::iter::successors(Some(low), |at| Some(next_round(at * 1.01)))
            .take_while(|at| *at <= high * 1.01)
            .collect();
        let is_decade = |at: &f64| (at.log10() - at.log10().round()).abs() < 1e-6;
        let every = (high / low).log10().div_euclid(TICKS_MAX) as usize + 1;
        let marked: Vec<f64> = if rounds.len() as f64 <= TICKS_MAX {
            rounds
        } else {
            rounds.into_iter().filter(is_decade).step_by(every).collect()
        };
        axis.ticks = marked.into_iter().map(|at| (axis.place(at), length(at))).collect();
        // The ends are marked as well, where there is room.
        if axis.ticks.first().is_none_or(|(place, _)| *place > MARK) {
            axis.ticks.insert(0, (0.0, length(low)));
        }
        if axis.ticks.last().is_none_or(|(place, _)| *place < 1.0 - MARK) {
            axis.ticks.push((1.0, length(high)));
        }
        axis
    }

    /// The part of all values that lies below, each nine as wide as the one before: for so many values.
    pub(super) fn nines(values: u64) -> Self {
        let high = (values.max(10) as f64).log10().clamp(1.0, 7.0);
        let mut axis = Self { low: 0.0, high, kind: Kind::Linear, ticks: Vec::new() };
        let labels = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
        let marks = (0_u32..).map(f64::from).zip(labels).take_while(|(nines, _)| *nines <= high + 1e-9);
        axis.ticks = marks.map(|(nines, label)| (axis.place(nines), label.to_owned())).collect();
        let half = axis.place(2_f64.log10());
        if half > MARK {
            axis.ticks.insert(1, (half, "50 %".to_owned()));
        }
        axis
    }
}

/// 1, 2 or 5 times a power of ten, not below `value`.
fn round_step(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn next_round(value: f64) -> f64 {
    let power = 10_f64.powf((value.log10() + 1e-9).floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn last_round(value: f64) -> f64 {
    let power = 10_f64.powf((value.log10() + 1e-9).floor());
    let factor = [5.0, 2.0].into_iter().find(|factor| factor * power <= value * (1.0 + 1e-9));
    factor.unwrap_or(1.0) * power
}

/// A number without zeros behind its point.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Nanoseconds as a mark: `2 ms`.
pub(super) fn length(ns: f64) -> String {
    match ns {
        _ if ns < 999.5 => format!("{} ns", short(ns)),
        _ if ns < 999_500.0 => format!("{} us", short(ns / 1e3)),
        _ if ns < 999_500_000.0 => format!("{} ms", short(ns / 1e6)),
        _ => format!("{} s", short(ns / 1e9)),
    }
}

/// Nanoseconds as a moment: `250 ms`, `90 s`, `5 min`, `1.5 h`.
fn moment(ns: f64) -> String {
    let seconds = ns / 1e9;
    match seconds {
        0.0 => "0".to_owned(),
        _ if seconds < 0.9995 => format!("{} ms", short(seconds * 1e3)),
        _ if seconds < 120.0 => format!("{} s", short(seconds)),
        _ if seconds < 7200.0 => format!("{} min", short(seconds / 60.0)),
        _ => format!("{} h", short(seconds / 3600.0)),
    }
}

/// A rate as a mark: `50k/s`.
pub(super) fn per_second(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        _ if rate < 10.0 => format!("{}/s", short(rate)),
        _ if rate < 10_000.0 => format!("{}/s", count(rate.round() as u64)),
        _ if rate < 1e6 => format!("{}k/s", short(rate / 1e3)),
        _ => format!("{}M/s", short(rate / 1e6)),
    }
}

/// A number of things as a mark.
pub(super) fn number(number: f64) -> String {
    match number {
        _ if number < 10.0 => short(number),
        _ if number < 10_000.0 => count(number.round() as u64),
        _ if number < 1e6 => format!("{}k", short(number / 1e3)),
        _ => format!("{}M", short(number / 1e6)),
    }
}

/// Processors.
pub(super) fn cores(number: f64) -> String {
    if number == 0.0 {
        "0".to_owned()
    } else {
        format!("{} core{}", short(number), if number == 1.0 { "" } else { "s" })
    }
}

/// Bytes as a mark.
pub(super) fn memory(bytes: f64) -> String {
    match bytes {
        0.0 => "0".to_owned(),
        _ if bytes < 1e6 => format!("{} KB", short(bytes / 1e3)),
        _ if bytes < 1e9 => format!("{} MB", short(bytes / 1e6)),
        _ => format!("{} GB", short(bytes / 1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn marks_are_round_and_carry_their_unit() {
        assert_eq!(labels(&Axis::from_zero(49_000.0, per_second)), ["0", "20k/s", "40k/s", "60k/s"]);
        assert_eq!(labels(&Axis::from_zero(3.0, number)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Axis::from_zero(41e6, memory)), ["0", "20 MB", "40 MB", "60 MB"]);
        assert_eq!(labels(&Axis::time(10e9)), ["0", "2 s", "4 s", "6 s", "8 s", "10 s"]);
        assert_eq!(labels(&Axis::time(600e9)), ["0", "2 min", "4 min", "6 min", "8 min", "10 min"]);
        assert_eq!(labels(&Axis::latency(80_000.0, 300_000.0)), ["50 us", "100 us", "200 us", "500 us"]);
        assert_eq!(labels(&Axis::latency(80_000.0, 2.1e9)), ["100 us", "1 ms", "10 ms", "100 ms", "1 s", "5 s"]);
        assert_eq!(labels(&Axis::nines(1000)), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn no_axis_has_more_marks_than_fit_and_every_value_has_a_place() {
        for power in 0..18 {
            for factor in [1.0, 1.7, 2.0, 4.9, 9.99] {
                let most = factor * 10_f64.powi(power);
                let axes = [
                    Axis::from_zero(most, number),
                    Axis::time(most),
                    Axis::latency(1.0, most),
                    Axis::latency(most, most),
                ];
                for axis in axes {
                    assert!((1..=8).contains(&axis.ticks.len()), "{most}: {axis:?}");
                    for value in [0.0, 1.0, most / 2.0, most, most * 2.0] {
                        assert!((0.0..=1.0).contains(&axis.place(value)), "{most}: {axis:?}");
                    }
                }
            }
        }
        for hopeless in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Axis::from_zero(hopeless, number).ticks.is_empty() && !Axis::time(hopeless).ticks.is_empty());
        }
    }

    #[test]
    fn each_nine_is_as_wide_as_the_one_before() {
        let axis = Axis::nines(10_000);
        assert!((axis.place(1.0) - 0.25).abs() < 1e-9 && (axis.place(2.0) - 0.5).abs() < 1e-9);
    }
}
