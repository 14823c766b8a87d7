//! The account by publisher and subscriber: how many of these streams are whole, and which are worst off.

use serde_json::{Value, json};

use crate::account::Line;
use crate::worker::Outcome;

/// Streams that are named.
const WORST: usize = 5;

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    number: u64,
    with_loss: u64,
    with_doubles: u64,
    with_reordering: u64,
    /// The worst first, with what each has lost.
    worst: Vec<(u64, Line)>,
}

impl Streams {
    pub(super) fn new<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> Self {
        let mut sent: Vec<(u32, u64)> = outcomes.clone().flat_map(|outcome| outcome.sent.iter().copied()).collect();
        sent.sort_unstable();
        let lines: Vec<Line> = outcomes.flat_map(|outcome| outcome.lines.iter().copied()).collect();
        Self::of(&sent, &lines)
    }

    /// `sent` is sorted, and has every publisher.
    fn of(sent: &[(u32, u64)], lines: &[Line]) -> Self {
        let mut streams = Self::default();
        let mut bad = Vec::new();
        for line in lines {
            let sent = sent.get(line.publisher as usize).map_or(0, |(_, sent)| *sent);
            let lost = sent.saturating_sub(line.unique);
            streams.number += 1;
            streams.with_loss += u64::from(lost > 0);
            streams.with_doubles += u64::from(line.doubled > 0);
            streams.with_reordering += u64::from(line.reordered > 0);
            if lost + line.doubled + line.reordered > 0 {
                bad.push((lost, *line));
            }
        }
        bad.sort_by_key(|(lost, line)| std::cmp::Reverse((*lost, line.doubled, line.reordered)));
        bad.truncate(WORST);
        streams.worst = bad;
        streams
    }

    pub(super) fn json(&self) -> Value {
        let worst: Vec<Value> = self
            .worst
            .iter()
            .map(|(lost, line)| {
                json!({
                    "publisher": line.publisher,
                    "subscriber": line.subscriber,
                    "lost": lost,
                    "doubled": line.doubled,
                    "reordered": line.reordered,
                })
            })
            .collect();
        json!({
            "number": self.number,
            "with_loss": self.with_loss,
            "with_doubles": self.with_doubles,
            "with_reordering": self.with_reordering,
            "worst": worst,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_streams_are_named_first() {
        let line = |publisher, subscriber, unique, doubled, reordered| Line {
            publisher,
            subscriber,
            unique,
            doubled,
            reordered,
        };
        let sent = [(0, 10), (1, 20)];
        let lines = [line(0, 0, 10, 0, 0), line(0, 1, 9, 0, 0), line(1, 0, 20, 2, 1), line(1, 1, 15, 0, 0)];
        let streams = Streams::of(&sent, &lines);
        assert_eq!((streams.number, streams.with_loss, streams.with_doubles, streams.with_reordering), (4, 2, 1, 1));
        let named = streams.json()["worst"].clone();
        let worst = json!({ "publisher": 1, "subscriber": 1, "lost": 5, "doubled": 0, "reordered": 0 });
        assert_eq!((named.as_array().map(Vec::len), &named[0]), (Some(3), &worst));
    }
}
