//! All runs, their medians, and the tables of them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Cores;
use super::peer::{OURS, Peer};
use super::rows::{Kind, ROWS, Row};
use super::run::{Figure, Figures, Measured};
use crate::host;
use crate::text::{bytes, count, duration, median, three_digits};

/// One broker in one row on these cores, each round.
struct Cell {
    cores: Cores,
    row: &'static Row,
    peer: String,
    rounds: Vec<Measured>,
}

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Results(Vec<Cell>);

impl Results {
    pub(crate) fn add(&mut self, cores: Cores, row: &'static Row, peer: &str, measured: Measured) {
        let same = |cell: &&mut Cell| cell.cores == cores && cell.row.name == row.name && cell.peer == peer;
        match self.0.iter_mut().find(same) {
            Some(cell) => cell.rounds.push(measured),
            None => self.0.push(Cell { cores, row, peer: peer.to_owned(), rounds: vec![measured] }),
        }
    }

    fn cell(&self, cores: Cores, row: &Row, peer: &str) -> Option<&Cell> {
        self.0.iter().find(|cell| cell.cores == cores && cell.row.name == row.name && cell.peer == peer)
    }

    /// The median of a figure.
    pub(crate) fn median(&self, cores: Cores, row: &Row, peer: &str, figure: Figure) -> Option<f64> {
        self.cell(cores, row, peer)?.median(figure)
    }

    /// Rows that were run on these cores.
    pub(crate) fn rows(&self, cores: Cores) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(move |row| self.0.iter().any(|cell| cell.cores == cores && cell.row.name == row.name))
    }

    pub(crate) fn json(&self) -> Value {
        self.0
            .iter()
            .map(|cell| {
                let rounds: Vec<Value> = cell
                    .rounds
                    .iter()
                    .map(|round| match round {
                        Measured::Figures(figures) => figures.json(),
                        Measured::Lacks(why) => json!({ "lacks": why }),
                        Measured::Failed(why) => json!({ "failed": why }),
                    })
                    .collect();
                json!({ "on": cell.cores.name(), "row": cell.row.name, "title": cell.row.title, "peer": cell.peer, "median": cell.medians(), "rounds": rounds })
            })
            .collect()
    }
}

impl Cell {
    fn values(&self, figure: Figure) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(move |round| match round {
            Measured::Figures(figures) => figures.get(figure),
            _ => None,
        })
    }

    fn median(&self, figure: Figure) -> Option<f64> {
        median(self.values(figure))
    }

    /// The medians of all figures.
    fn medians(&self) -> Value {
        let first = self.rounds.iter().find_map(|round| match round {
            Measured::Figures(figures) => Some(figures),
            _ => None,
        });
        let names = first.into_iter().flat_map(|figures| figures.0.iter().map(|(figure, _)| *figure));
        Figures(names.filter_map(|figure| Some((figure, self.median(figure)?))).collect()).json()
    }

    /// Why there is no figure.
    fn absent(&self) -> &'static str {
        match self.rounds.first() {
            Some(Measured::Lacks(_)) => "–",
            Some(Measured::Failed(_)) => "failed",
            _ => "",
        }
    }
}

/// One table: a figure of all rows of some kinds.
struct Table {
    title: &'static str,
    kinds: &'static [Kind],
    figure: Figure,
    /// Whether less is better; none marks no winner.
    less: Option<bool>,
    say: fn(f64) -> String,
}

const TABLES: &[Table] = &[
    Table {
        title: "Processor time of the broker for each delivered message, µs",
        kinds: &[Kind::Throughput, Kind::Paced],
        figure: Figure::CpuPerMessage,
        less: Some(true),
        say: three_digits,
    },
    Table {
        title: "Messages a second",
        kinds: &[Kind::Throughput],
        figure: Figure::Rate,
        less: Some(false),
        say: count,
    },
    Table {
        title: "Latency, p50",
        kinds: &[Kind::Throughput, Kind::Paced],
        figure: Figure::P50,
        less: Some(true),
        say: duration,
    },
    Table {
        title: "Latency, p99",
        kinds: &[Kind::Throughput, Kind::Paced],
        figure: Figure::P99,
        less: Some(true),
        say: duration,
    },
    Table {
        title: "Latency, p99.9",
        kinds: &[Kind::Throughput, Kind::Paced],
        figure: Figure::P999,
        less: Some(true),
        say: duration,
    },
    Table {
        title: "Process memory of a connection",
        kinds: &[Kind::Idle],
        figure: Figure::BytesPerConnection,
        less: Some(true),
        say: bytes,
    },
    Table { title: "Connects a second", kinds: &[Kind::Idle], figure: Figure::Connects, less: Some(false), say: count },
];

/// The whole as Markdown.
pub(crate) fn markdown(results: &Results, peers: &[Peer], on: &[Cores], run: (u64, u64, u64)) -> String {
    let (rounds, seconds, took) = run;
    let mut out = String::from("# Millrace and its peers\n\n");
    let _ = writeln!(out, "{}.\n", host::describe());
    let _ = writeln!(
        out,
        "Medians of {rounds} rounds of {seconds} s, brokers in turn; MQTT 3.1.1, 64-byte payloads unless a row says \
         otherwise; the settings of each broker lie in `bench/peers/`. It took {took} s.\n"
    );
    for peer in peers {
        let _ = writeln!(out, "- {}: {}", peer.name, peer.version());
    }
    for &cores in on {
        let _ = writeln!(out, "\n## On {}\n", cores.name());
        match cores {
            Cores::One => out.push_str("The broker on one core, the load tool on another.\n"),
            Cores::All => {
                out.push_str("Broker and load tool share all cores, so the rates are those of both together.\n")
            }
        }
        for table in TABLES {
            add_table(&mut out, table, results, peers, cores);
        }
    }
    add_troubles(&mut out, results, peers);
    out
}

fn add_table(out: &mut String, table: &Table, results: &Results, peers: &[Peer], cores: Cores) {
    let rows: Vec<&Row> = results.rows(cores).filter(|row| table.kinds.contains(&row.kind)).collect();
    if rows.is_empty() {
        return;
    }
    let _ = write!(out, "\n### {}\n\n| |", table.title);
    for peer in peers {
        let _ = write!(out, " {} |", peer.name);
    }
    out.push_str(" Millrace to the best peer |\n|---|");
    out.push_str(&"---:|".repeat(peers.len() + 1));
    out.push('\n');
    for row in rows {
        let values: Vec<Option<f64>> =
            peers.iter().map(|peer| results.median(cores, row, &peer.key, table.figure)).collect();
        let best = |of: &mut dyn Iterator<Item = f64>| match table.less {
            Some(true) => of.min_by(f64::total_cmp),
            Some(false) => of.max_by(f64::total_cmp),
            None => None,
        };
        let first = best(&mut values.iter().copied().flatten());
        let _ = write!(out, "| {} |", row.title);
        for (peer, value) in peers.iter().zip(&values) {
            let text = match value {
                Some(value) => (table.say)(*value),
                None => results.cell(cores, row, &peer.key).map_or("", Cell::absent).to_owned(),
            };
            let mark = if value.is_some() && *value == first { "**" } else { "" };
            let _ = write!(out, " {mark}{text}{mark} |");
        }
        let ours = peers.iter().zip(&values).find(|(peer, _)| peer.key == OURS).and_then(|(_, value)| *value);
        let others = peers.iter().zip(&values).filter(|(peer, _)| peer.key != OURS).filter_map(|(_, value)| *value);
        let ratio =
            ours.zip(best(&mut others.into_iter())).filter(|(_, best)| *best > 0.0).map(|(ours, best)| ours / best);
        let _ = writeln!(out, " {} |", ratio.map_or_else(String::new, |ratio| format!("{} x", three_digits(ratio))));
    }
}

/// What did not go well, in words.
fn add_troubles(out: &mut String, results: &Results, peers: &[Peer]) {
    out.push_str("\n## Losses and other troubles\n\n");
    let before = out.len();
    for cell in &results.0 {
        let name = peers.iter().find(|peer| peer.key == cell.peer).map_or("", |peer| &peer.name);
        let place = format!("{name}, {}, {}", cell.row.title, cell.cores.name());
        for (figure, what) in [
            (Figure::Lost, "messages lost"),
            (Figure::Doubled, "messages doubled"),
            (Figure::Reordered, "messages reordered"),
            (Figure::FailedConnections, "connections failed"),
        ] {
            let sum: f64 = cell.values(figure).sum();
            if sum > 0.0 {
                let _ = writeln!(out, "- {place}: {} {what} in all rounds", count(sum));
            }
        }
        let limited = cell.values(Figure::ToolLimited).filter(|limited| *limited > 0.0).count();
        if limited > 0 {
            let _ = writeln!(out, "- {place}: {limited} of {} rounds limited by the load tool", cell.rounds.len());
        }
        for round in &cell.rounds {
            match round {
                Measured::Failed(why) => {
                    let _ = writeln!(
                        out,
                        "- {place}: failed: {}",
                        why.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / ")
                    );
                }
                Measured::Lacks(why) if round == &cell.rounds[0] => {
                    let _ = writeln!(out, "- {place}: not run, {why}");
                }
                _ => {}
            }
        }
    }
    if out.len() == before {
        out.push_str("None.\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::peer;
    use crate::compare::rows;

    #[test]
    fn a_table_has_medians_a_winner_and_our_ratio() {
        let peers: Vec<Peer> = peer::all(None)
            .expect("they can be read")
            .into_iter()
            .filter(|p| [OURS, "mosquitto"].contains(&&*p.key))
            .collect();
        let row = rows::find("pairs-q0").expect("it is a row");
        let mut results = Results::default();
        for (peer, cpu, lost) in [(OURS, 0.5, 0.0), (OURS, 0.7, 0.0), ("mosquitto", 12.0, 3.0)] {
            let figures = Figures(vec![(Figure::CpuPerMessage, cpu), (Figure::Lost, lost)]);
            results.add(Cores::One, row, peer, Measured::Figures(figures));
        }
        results.add(
            Cores::One,
            rows::find("pairs-q2").expect("a row"),
            "mosquitto",
            Measured::Lacks("of age".to_owned()),
        );
        let text = markdown(&results, &peers, &[Cores::One], (2, 3, 1));
        for part in ["| 200 pairs, QoS 0 | **0.600** | 12.0 | 0.050 x |", "3 messages lost", "not run, of age"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
