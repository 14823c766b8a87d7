//! How numbers are written for people, and read from them: `3,000,000`, `112 us`, `4KiB`, `50k/s`.

use std::time::Duration;

/// A whole number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many of something.
pub(crate) fn many(number: u32, word: &str) -> String {
    let number = u64::from(number);
    format!("{} {word}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Nanoseconds with three digits and their unit.
pub(crate) fn duration(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    match value {
        0.0..10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A length of time as it was typed.
pub(crate) fn span(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        _ if !ms.is_multiple_of(1000) && ms < 10_000 => format!("{ms} ms"),
        _ => format!("{} s", ms / 1000),
    }
}

/// Bytes with their unit.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} B"),
        10_000..10_000_000 => format!("{:.0} KB", number as f64 / 1e3),
        _ => format!("{:.0} MB", number as f64 / 1e6),
    }
}

/// A number that may have a fraction and `k`, `m` or `g` behind it.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let lower = text.trim().replace(['_', ','], "").to_ascii_lowercase();
    let (digits, factor) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1e3),
        Some(b'm') => (&lower[..lower.len() - 1], 1e6),
        Some(b'g') => (&lower[..lower.len() - 1], 1e9),
        _ => (lower.as_str(), 1.0),
    };
    let number = digits.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.map(|number| number * factor).ok_or_else(|| format!("{text:?} is not a number such as 200, 10k or 1.5m"))
}

/// A whole number, perhaps with `k` or `m` behind it.
pub(crate) fn parse_count(text: &str) -> Result<u32, String> {
    let number = parse_number(text)?;
    if number.fract() != 0.0 || number > f64::from(u32::MAX) {
        return Err(format!("{text:?} is not a whole number up to {}", u32::MAX));
    }
    Ok(number as u32)
}

/// A count that is not zero.
pub(crate) fn parse_some(text: &str) -> Result<u32, String> {
    match parse_count(text)? {
        0 => Err("at least 1 is needed".to_owned()),
        some => Ok(some),
    }
}

/// A rate above zero: `50k`, `50k/s`, `100/ms`.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    let (number, per_second) = match text.split_once('/') {
        None | Some((_, "s")) => (text.split('/').next().unwrap_or(text), 1.0),
        Some((number, "ms")) => (number, 1e3),
        Some((number, "min")) => (number, 1.0 / 60.0),
        Some(_) => return Err(format!("{text:?} is not a rate: write 50k, 50k/s, 5/ms or 30/min")),
    };
    match parse_number(number)? * per_second {
        rate if rate > 0.0 => Ok(rate),
        _ => Err("a rate is above 0".to_owned()),
    }
}

/// A duration with its unit; a bare number is one of `unit` seconds.
fn parse_span(text: &str, bare: Option<f64>) -> Result<Duration, String> {
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim() {
        "" => bare,
        "us" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let number = number.parse::<f64>().ok().filter(|number| number.is_finite());
    match (number, factor) {
        (Some(number), Some(factor)) if number * factor < 1e9 => Ok(Duration::from_secs_f64(number * factor)),
        _ => Err(format!("{text:?} is not a duration: write a number and one of us, ms, s, m, h")),
    }
}

/// A duration whose bare number is in seconds.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    parse_span(text, Some(1.0))
}

/// A duration whose bare number is in milliseconds.
pub(crate) fn parse_millis(text: &str) -> Result<Duration, String> {
    parse_span(text, Some(1e-3))
}

/// A duration that must name its unit.
pub(crate) fn parse_exact(text: &str) -> Result<Duration, String> {
    parse_span(text, None)
}

/// A size: `64`, `4KiB`, `1MB`.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "k" | "K" => 1 << 10,
        "MiB" | "m" | "M" => 1 << 20,
        "KB" => 1_000,
        "MB" => 1_000_000,
        _ => 0,
    };
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    size.filter(|_| factor > 0).ok_or_else(|| format!("{text:?} is not a size: write 64, 512B, 4KiB or 1MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!((count(0).as_str(), count(999).as_str(), count(3_000_000).as_str()), ("0", "999", "3,000,000"));
        assert_eq!(count(60_000), "60,000");
        assert_eq!((many(1, "pair").as_str(), many(2_000, "pair").as_str()), ("1 pair", "2,000 pairs"));
        for (ns, text) in
            [(7, "7 ns"), (1_900, "1.9 us"), (112_000, "112 us"), (6_200_000, "6.2 ms"), (2_000_000_000, "2.0 s")]
        {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn rates_and_counts_take_letters() {
        assert_eq!(parse_rate("50k/s"), Ok(50_000.0));
        assert_eq!(parse_rate("50k"), Ok(50_000.0));
        assert_eq!(parse_rate("1.5m"), Ok(1_500_000.0));
        assert_eq!(parse_rate("5/ms"), Ok(5_000.0));
        assert_eq!(parse_rate("30/min"), Ok(0.5));
        for text in ["", "0", "fast", "1/h", "-1"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(
            (parse_count("10k"), parse_count("1m"), parse_count("60,000")),
            (Ok(10_000), Ok(1_000_000), Ok(60_000))
        );
        assert!(parse_count("1.5").is_err() && parse_count("5g").is_err() && parse_some("0").is_err());
    }

    #[test]
    fn durations_and_sizes_take_units() {
        assert_eq!(parse_seconds("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_millis("10"), Ok(Duration::from_millis(10)));
        assert_eq!(parse_exact("5ms"), Ok(Duration::from_millis(5)));
        assert!(parse_exact("5").is_err() && parse_seconds("x").is_err() && parse_seconds("5d").is_err());
        assert_eq!((parse_size("64"), parse_size("4KiB"), parse_size("1MB")), (Ok(64), Ok(4096), Ok(1_000_000)));
        assert!(parse_size("4 cats").is_err() && parse_size("").is_err());
    }
}
