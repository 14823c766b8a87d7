//! Points in time and what people write for them: dates of the Gregorian calendar, offsets, patterns.
//!
//! Invariants: every date is of the years 0000 to 9999, so that what was written can be read again.

use std::fmt::Write;

use millrace_core::time::civil;

use super::zone;

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// The first second of the year 0000 and the last one of 9999.
const SECONDS_MIN: i64 = -62_167_219_200;
const SECONDS_MAX: i64 = 253_402_300_799;
/// Offsets are less than a day.
const OFFSET_MAX: i64 = DAY - 1;

/// How many there are in a second: 1, a thousand, a million, a thousand million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    per_second: i128,
    /// Digits of a fraction of a second in this unit.
    digits: usize,
}

impl Unit {
    pub(super) const SECOND: Self = Self { per_second: 1, digits: 0 };
    pub(super) const MILLISECOND: Self = Self { per_second: 1_000, digits: 3 };
    pub(super) const NAMES: &'static str = "'second', 'millisecond', 'microsecond' or 'nanosecond'";

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "second" => Self::SECOND,
            "millisecond" => Self::MILLISECOND,
            "microsecond" => Self { per_second: 1_000_000, digits: 6 },
            "nanosecond" => Self { per_second: SECOND, digits: 9 },
            _ => return None,
        })
    }
}

/// A point in time, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    /// Since 1970-01-01T00:00:00Z, rounded down.
    pub(super) seconds: i64,
    nanoseconds: u32,
}

impl Instant {
    /// Nothing outside the years 0000 to 9999.
    pub(super) fn new(count: i64, unit: Unit) -> Option<Self> {
        let count = i128::from(count);
        let seconds = i64::try_from(count.div_euclid(unit.per_second)).ok()?;
        let nanoseconds = count.rem_euclid(unit.per_second) * (SECOND / unit.per_second);
        Self { seconds, nanoseconds: u32::try_from(nanoseconds).ok()? }.checked()
    }

    fn checked(self) -> Option<Self> {
        (SECONDS_MIN..=SECONDS_MAX).contains(&self.seconds).then_some(self)
    }

    /// Rounded down; nothing if 64 bits cannot count it.
    pub(super) fn count(self, unit: Unit) -> Option<i64> {
        let nanoseconds = i128::from(self.seconds) * SECOND + i128::from(self.nanoseconds);
        i64::try_from(nanoseconds.div_euclid(SECOND / unit.per_second)).ok()
    }
}

/// What is added to UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    Seconds(i64),
    /// That of the host's zone, which may change with the date.
    Local,
}

impl Offset {
    pub(super) const FORMS: &'static str = "'Z', 'local', '+hh:mm', '+hh:mm:ss', '+hhmm' or seconds";

    pub(super) const fn of_seconds(seconds: i64) -> Option<Self> {
        if seconds < -OFFSET_MAX || seconds > OFFSET_MAX { None } else { Some(Self::Seconds(seconds)) }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "Z" | "z" => return Some(Self::Seconds(0)),
            "local" => return Some(Self::Local),
            _ => {}
        }
        if let Some(seconds) = OFFSETS.iter().find_map(|form| whole_offset(text, *form)) {
            return Some(Self::Seconds(seconds));
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok().and_then(Self::of_seconds)).flatten()
    }

    /// At this moment.
    pub(super) fn at(self, seconds: i64) -> i64 {
        match self {
            Self::Seconds(offset) => offset,
            Self::Local => zone::offset_at(seconds),
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z when clocks there show what those of UTC would show at `wall`. An hour that the
    /// clocks skip or repeat counts with an offset of before or after.
    fn when(self, wall: i64) -> i64 {
        let guess = wall - self.at(wall);
        wall - self.at(guess)
    }
}

/// How an offset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OffsetForm {
    /// `+hhmm`
    Plain,
    /// `+hh:mm`
    Colon,
    /// `+hh:mm:ss`
    Seconds,
}

const OFFSETS: [OffsetForm; 3] = [OffsetForm::Plain, OffsetForm::Colon, OffsetForm::Seconds];

fn whole_offset(text: &str, form: OffsetForm) -> Option<i64> {
    let mut reader = Reader(text);
    let offset = reader.offset(form)?;
    reader.0.is_empty().then_some(offset)
}

fn write_offset(out: &mut String, offset: i64, form: OffsetForm) {
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.abs();
    let (hours, minutes, seconds) = (size / 3600, size / 60 % 60, size % 60);
    let written = match form {
        OffsetForm::Plain => write!(out, "{sign}{hours:02}{minutes:02}"),
        OffsetForm::Colon => write!(out, "{sign}{hours:02}:{minutes:02}"),
        OffsetForm::Seconds => write!(out, "{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    };
    written.expect("a String takes everything");
}

/// Days from 1970-01-01 to a date, counted in eras of 400 years that begin on the first of March.
const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// What people read off calendar and clock.
#[derive(Clone, Copy, Debug)]
struct Wall {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanoseconds: u32,
}

impl Wall {
    /// What a pattern means that says nothing.
    const EPOCH: Self = Self { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanoseconds: 0 };

    /// Nothing if the offset leads out of the years 0000 to 9999.
    fn of(instant: Instant, offset: i64) -> Option<Self> {
        let Instant { seconds, nanoseconds } =
            Instant { seconds: instant.seconds + offset, nanoseconds: instant.nanoseconds }.checked()?;
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        Some(Self { year, month, day, hour: second / 3600, minute: second / 60 % 60, second: second % 60, nanoseconds })
    }

    fn instant(self, offset: Offset) -> Option<Instant> {
        let real = (1..=12).contains(&self.month)
            && (1..=days_in(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        if !real {
            return None;
        }
        let days = days_of(self.year, self.month, self.day);
        let wall = days * DAY + self.hour * 3600 + self.minute * 60 + self.second;
        Instant { seconds: offset.when(wall), nanoseconds: self.nanoseconds }.checked()
    }
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'p> {
    Literal(&'p str),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// A fraction of a second in so many digits.
    Fraction(usize),
    Offset(OffsetForm),
}

const CODES: [(&str, Part<'static>); 12] = [
    ("%Y", Part::Year),
    ("%m", Part::Month),
    ("%d", Part::Day),
    ("%H", Part::Hour),
    ("%M", Part::Minute),
    ("%S", Part::Second),
    ("%N", Part::Fraction(9)),
    ("%3N", Part::Fraction(3)),
    ("%6N", Part::Fraction(6)),
    ("%z", Part::Offset(OffsetForm::Plain)),
    ("%:z", Part::Offset(OffsetForm::Colon)),
    ("%::z", Part::Offset(OffsetForm::Seconds)),
];

/// What a pattern is made of. A `%` before anything unknown stands for itself.
fn parts(mut pattern: &str) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        if let Some((code, part)) = CODES.iter().find(|(code, _)| pattern.starts_with(code)) {
            pattern = &pattern[code.len()..];
            return Some(*part);
        }
        let first = pattern.chars().next()?;
        let next = pattern[first.len_utf8()..].find('%').map_or(pattern.len(), |at| at + first.len_utf8());
        let (literal, rest) = pattern.split_at(next);
        pattern = rest;
        Some(Part::Literal(literal))
    })
}

/// The first code of a pattern that means nothing here: `%` and a letter.
pub(super) fn unknown_code(pattern: &str) -> Option<&str> {
    parts(pattern).find_map(|part| match part {
        Part::Literal(literal) => {
            let letter = literal.strip_prefix('%')?.chars().next().filter(char::is_ascii_alphabetic)?;
            Some(&literal[..1 + letter.len_utf8()])
        }
        _ => None,
    })
}

/// Writes a point in time by a pattern; nothing if the offset leads out of the years 0000 to 9999.
pub(super) fn format(instant: Instant, offset: Offset, pattern: &str) -> Option<String> {
    let offset = offset.at(instant.seconds);
    let wall = Wall::of(instant, offset)?;
    let mut out = String::with_capacity(pattern.len() + 16);
    for part in parts(pattern) {
        let written = match part {
            Part::Literal(literal) => out.write_str(literal),
            Part::Year => write!(out, "{:04}", wall.year),
            Part::Month => write!(out, "{:02}", wall.month),
            Part::Day => write!(out, "{:02}", wall.day),
            Part::Hour => write!(out, "{:02}", wall.hour),
            Part::Minute => write!(out, "{:02}", wall.minute),
            Part::Second => write!(out, "{:02}", wall.second),
            Part::Fraction(digits) => out.write_str(&format!("{:09}", wall.nanoseconds)[..digits]),
            Part::Offset(form) => {
                write_offset(&mut out, offset, form);
                Ok(())
            }
        };
        written.expect("a String takes everything");
    }
    Some(out)
}

/// Reads a point in time by a pattern. An offset in the text counts before the given one; what the pattern does not say
/// is that of 1970-01-01T00:00:00.
pub(super) fn parse(text: &str, offset: Offset, pattern: &str) -> Option<Instant> {
    let mut reader = Reader(text);
    let mut wall = Wall::EPOCH;
    let mut offset = offset;
    for part in parts(pattern) {
        match part {
            Part::Literal(literal) => reader.0 = reader.0.strip_prefix(literal)?,
            Part::Year => wall.year = reader.digits(4)?,
            Part::Month => wall.month = reader.digits(2)?,
            Part::Day => wall.day = reader.digits(2)?,
            Part::Hour => wall.hour = reader.digits(2)?,
            Part::Minute => wall.minute = reader.digits(2)?,
            Part::Second => wall.second = reader.digits(2)?,
            Part::Fraction(digits) => {
                let power = 10_i64.pow(9 - u32::try_from(digits).ok()?);
                wall.nanoseconds = u32::try_from(reader.digits(digits)? * power).ok()?;
            }
            Part::Offset(form) => offset = Offset::Seconds(reader.offset(form)?),
        }
    }
    if reader.0.is_empty() { wall.instant(offset) } else { None }
}

/// Writes a point in time as RFC 3339 does, with the digits of the unit behind the second.
pub(super) fn to_rfc3339(instant: Instant, offset: Offset, unit: Unit) -> Option<String> {
    // Offsets there have no seconds; those of zones long ago had.
    let offset = Offset::Seconds(offset.at(instant.seconds) / 60 * 60);
    let pattern = match unit.digits {
        0 => "%Y-%m-%dT%H:%M:%S",
        3 => "%Y-%m-%dT%H:%M:%S.%3N",
        6 => "%Y-%m-%dT%H:%M:%S.%6N",
        _ => "%Y-%m-%dT%H:%M:%S.%N",
    };
    let mut text = format(instant, offset, pattern)?;
    if offset == Offset::Seconds(0) {
        text.push('Z');
    } else {
        write_offset(&mut text, offset.at(0), OffsetForm::Colon);
    }
    Some(text)
}

/// Reads what RFC 3339 writes; digits beyond the nanosecond are cut.
pub(super) fn from_rfc3339(text: &str) -> Option<Instant> {
    let mut reader = Reader(text);
    let mut wall = Wall::EPOCH;
    wall.year = reader.digits(4)?;
    wall.month = reader.after("-")?.digits(2)?;
    wall.day = reader.after("-")?.digits(2)?;
    reader.0 = reader.0.strip_prefix(['T', 't', ' '])?;
    wall.hour = reader.digits(2)?;
    wall.minute = reader.after(":")?.digits(2)?;
    wall.second = reader.after(":")?.digits(2)?;
    if let Some(rest) = reader.0.strip_prefix('.') {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, rest) = rest.split_at(digits);
        let kept = &fraction[..digits.min(9)];
        wall.nanoseconds = kept.parse::<u32>().ok()? * 10_u32.pow(9 - u32::try_from(kept.len()).ok()?);
        reader.0 = rest;
    }
    let offset = match reader.0 {
        "Z" | "z" => 0,
        offset => whole_offset(offset, OffsetForm::Colon)?,
    };
    wall.instant(Offset::Seconds(offset))
}

/// What of a text was not read yet.
struct Reader<'t>(&'t str);

impl Reader<'_> {
    fn after(&mut self, literal: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(self)
    }

    /// A number in exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        digits.parse().ok()
    }

    fn offset(&mut self, form: OffsetForm) -> Option<i64> {
        let sign = match self.0.bytes().next()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.digits(2)?;
        if form != OffsetForm::Plain {
            self.after(":")?;
        }
        let minutes = self.digits(2)?;
        let seconds = if form == OffsetForm::Seconds { self.after(":")?.digits(2)? } else { 0 };
        (hours < 24 && minutes < 60 && seconds < 60).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
    }
}
