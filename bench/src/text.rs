//! Numbers for people.

/// With a comma for each thousand.
#[must_use]
pub fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if value < -0.5 { format!("-{out}") } else { out }
}

/// A span of nanoseconds, three digits.
#[must_use]
pub fn duration(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A size in bytes, three digits.
#[must_use]
pub fn bytes(value: f64) -> String {
    match value {
        n if n < 10_000.0 => format!("{n:.0} B"),
        n if n < 1e6 => format!("{} KB", three_digits(n / 1e3)),
        n if n < 1e9 => format!("{} MB", three_digits(n / 1e6)),
        n => format!("{} GB", three_digits(n / 1e9)),
    }
}

/// As many decimals as three digits leave.
#[must_use]
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        n if n < 1.0 => format!("{value:.3}"),
        n if n < 9.995 => format!("{value:.2}"),
        n if n < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The middle one, of an even number the mean of both; none of none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_few_digits() {
        assert_eq!([0.0, 999.0, 1e6, -1234.0].map(count), ["0", "999", "1,000,000", "-1,234"]);
        assert_eq!([70.0, 1500.0, 2.5e6, 3e9].map(duration), ["70.0 ns", "1.50 µs", "2.50 ms", "3.00 s"]);
        assert_eq!([600.0, 12_345.0, 1.5e9].map(bytes), ["600 B", "12.3 KB", "1.50 GB"]);
        assert_eq!(three_digits(0.25), "0.250");
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
    }
}
