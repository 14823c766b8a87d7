//! Accounts as bytes: counts and lists as integers of variable length, histograms in their own format.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

use crate::account::{Bits, Line};
use crate::stats::{Counts, Latencies, Stats, histogram};
use crate::swarm::Timeline;
use crate::worker::{Load, Outcome};

const GARBLED: &str = "a garbled account";

/// What an agent tells of itself while it runs.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) counts: Counts,
    pub(super) under_way: u64,
    pub(super) latencies: Option<(Histogram<u64>, Histogram<u64>)>,
}

/// What an agent tells at the end.
pub(super) struct Account {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) loads: Vec<Load>,
    pub(super) stolen: f64,
}

pub(super) fn stage(stage: u8, timeline: Timeline) -> Vec<u8> {
    let mut out = vec![stage];
    [timeline.start, timeline.measure, timeline.end].into_iter().for_each(|time| put(&mut out, time));
    out
}

pub(super) fn read_stage(bytes: &[u8]) -> Result<(u8, Timeline), String> {
    let (stage, rest) = bytes.split_first().ok_or(GARBLED)?;
    let mut reader = Reader(rest);
    Ok((*stage, Timeline { start: reader.number()?, measure: reader.number()?, end: reader.number()? }))
}

impl Board {
    pub(super) fn pack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_counts(&mut out, &self.counts);
        put(&mut out, self.under_way);
        if let Some((delivery, ack)) = &self.latencies {
            put_histogram(&mut out, delivery);
            put_histogram(&mut out, ack);
        }
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader(bytes);
        let (counts, under_way) = (reader.counts()?, reader.number()?);
        let latencies = match reader.0.is_empty() {
            true => None,
            false => Some((reader.histogram()?, reader.histogram()?)),
        };
        Ok(Self { counts, under_way, latencies })
    }
}

impl Account {
    /// Workers of one machine become one.
    pub(super) fn of(outcomes: Vec<Outcome>, loads: Vec<Load>, stolen: f64) -> Self {
        let mut joined: BTreeMap<usize, Outcome> = BTreeMap::new();
        for outcome in outcomes {
            let Some(mine) = joined.get_mut(&outcome.part) else {
                joined.insert(outcome.part, outcome);
                continue;
            };
            mine.stats.join(&outcome.stats);
            mine.group.iter_mut().zip(&outcome.group).for_each(|(mine, theirs)| mine.join(theirs));
            mine.lines.extend(outcome.lines);
            mine.sent.extend(outcome.sent);
        }
        Self { outcomes: joined.into_values().collect(), loads, stolen }
    }

    pub(super) fn pack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.stolen.to_bits());
        put(&mut out, self.loads.len() as u64);
        for load in &self.loads {
            put(&mut out, load.busy.to_bits());
            put(&mut out, load.waited.to_bits());
        }
        put(&mut out, self.outcomes.len() as u64);
        for Outcome { part, stats, group, lines, sent } in &self.outcomes {
            put(&mut out, *part as u64);
            put_counts(&mut out, &stats.counts);
            stats.latencies.all().into_iter().for_each(|histogram| put_histogram(&mut out, histogram));
            put(&mut out, stats.errors.len() as u64);
            for (name, times) in &stats.errors {
                put_bytes(&mut out, name.as_bytes());
                put(&mut out, *times);
            }
            put(&mut out, group.len() as u64);
            for bits in group {
                put(&mut out, bits.received);
                put(&mut out, bits.words().len() as u64);
                bits.words().iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            }
            put(&mut out, lines.len() as u64);
            for line in lines {
                put(&mut out, line.publisher.into());
                put(&mut out, line.subscriber.into());
                [line.unique, line.doubled, line.reordered].into_iter().for_each(|number| put(&mut out, number));
            }
            put(&mut out, sent.len() as u64);
            for (publisher, sent) in sent {
                put(&mut out, (*publisher).into());
                put(&mut out, *sent);
            }
        }
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader(bytes);
        let stolen = f64::from_bits(reader.number()?);
        let loads = reader.list(|reader| {
            let (busy, waited) = (reader.number()?, reader.number()?);
            Ok(Load { busy: f64::from_bits(busy), waited: f64::from_bits(waited) })
        })?;
        let outcomes = reader.list(Reader::outcome)?;
        match reader.0.is_empty() {
            true => Ok(Self { outcomes, loads, stolen }),
            false => Err(GARBLED.to_owned()),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(GARBLED)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(GARBLED.to_owned())
    }

    fn small(&mut self) -> Result<u32, String> {
        u32::try_from(self.number()?).map_err(|_| GARBLED.to_owned())
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).map_err(|_| GARBLED)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(GARBLED)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// So many, of which each has at least a byte.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let number = self.number()?;
        if number > self.0.len() as u64 {
            return Err(GARBLED.to_owned());
        }
        (0..number).map(|_| read(self)).collect()
    }

    fn counts(&mut self) -> Result<Counts, String> {
        if self.number()? != Counts::LEN as u64 {
            return Err(GARBLED.to_owned());
        }
        let mut values = [0; Counts::LEN];
        for value in &mut values {
            *value = self.number()?;
        }
        Ok(Counts::from_values(values))
    }

    fn histogram(&mut self) -> Result<Histogram<u64>, String> {
        let length = self.number()?;
        let mut bytes = self.bytes(length)?;
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes).map_err(|_| GARBLED)?;
        // One with the bounds of ours, whatever the other's are.
        let mut own = histogram();
        own.add(&read).map_err(|_| GARBLED)?;
        Ok(own)
    }

    fn outcome(&mut self) -> Result<Outcome, String> {
        let part = self.small()? as usize;
        let counts = self.counts()?;
        let mut latencies = Latencies::new();
        for histogram in latencies.all_mut() {
            *histogram = self.histogram()?;
        }
        let errors = self.list(|reader| {
            let length = reader.number()?;
            let name = String::from_utf8_lossy(reader.bytes(length)?).into_owned();
            Ok((name, reader.number()?))
        })?;
        let group = self.list(|reader| {
            let received = reader.number()?;
            let bytes = reader.number()?.checked_mul(8).ok_or(GARBLED)?;
            let words = reader.bytes(bytes)?.chunks_exact(8);
            let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            Ok(Bits::from_words(words.map(word).collect(), received))
        })?;
        let lines = self.list(|reader| {
            Ok(Line {
                publisher: reader.small()?,
                subscriber: reader.small()?,
                unique: reader.number()?,
                doubled: reader.number()?,
                reordered: reader.number()?,
            })
        })?;
        let sent = self.list(|reader| Ok((reader.small()?, reader.number()?)))?;
        let stats = Stats { counts, latencies, errors: errors.into_iter().collect() };
        Ok(Outcome { part, stats, group, lines, sent })
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_counts(out: &mut Vec<u8>, counts: &Counts) {
    put(out, Counts::LEN as u64);
    counts.values().into_iter().for_each(|value| put(out, value));
}

fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram<u64>) {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).expect("a vector takes whatever is written");
    put_bytes(out, &bytes);
}
