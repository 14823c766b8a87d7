//! The comparison as a picture: for each row bars of processor time for each message.

use std::fmt::Write as _;

use super::Cores;
use super::peer::{OURS, Peer};
use super::rows::{Kind, Row};
use super::run::Figure;
use super::table::Results;
use crate::text::{bytes, three_digits};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 16.0;
const GAP: f64 = 4.0;
const HEAD: f64 = 30.0;
const TOP: f64 = 60.0;

/// Panels one below the other, one for each row on one core (or on all, if that is all there is).
pub(crate) fn draw(results: &Results, peers: &[Peer]) -> String {
    let cores = if results.rows(Cores::One).next().is_some() { Cores::One } else { Cores::All };
    let mut body = String::new();
    let mut y = TOP;
    for row in results.rows(cores) {
        y = panel(&mut body, results, peers, cores, row, y);
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"26\" font-size=\"18\" fill=\"#222222\">What a broker takes, on {}: less is better</text>\n\
         <text x=\"10\" y=\"46\" fill=\"#555555\">µs of processor time for each delivered message; bytes for each idle connection</text>\n\
         {body}</svg>\n",
        cores.name()
    )
}

fn panel(out: &mut String, results: &Results, peers: &[Peer], cores: Cores, row: &Row, top: f64) -> f64 {
    let (figure, say): (Figure, fn(f64) -> String) = match row.kind {
        Kind::Idle => (Figure::BytesPerConnection, bytes),
        Kind::Throughput | Kind::Paced => (Figure::CpuPerMessage, |value| format!("{} µs", three_digits(value))),
    };
    let values: Vec<(&Peer, Option<f64>)> =
        peers.iter().map(|peer| (peer, results.median(cores, row, &peer.key, figure))).collect();
    let most = values.iter().filter_map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let _ = writeln!(
        out,
        "<text x=\"10\" y=\"{}\" font-weight=\"bold\" fill=\"#222222\">{}</text>",
        top + 18.0,
        escaped(row.title)
    );
    let mut y = top + HEAD;
    for (peer, value) in values {
        let colour = if peer.key == OURS { "#0b6e4f" } else { "#9aa5b1" };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#222222\">{}</text>",
            LEFT - 8.0,
            y + 12.5,
            escaped(&peer.name)
        );
        let width = value.map_or(0.0, |value| ((WIDTH - LEFT - RIGHT) * value / most).max(1.0));
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#222222\">{}</text>",
            LEFT + width + 6.0,
            y + 12.5,
            value.map_or_else(|| "–".to_owned(), say)
        );
        y += BAR + GAP;
    }
    y + 8.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::peer;
    use crate::compare::rows;
    use crate::compare::run::{Figures, Measured};

    #[test]
    fn each_row_is_a_panel_and_the_longest_bar_fits() {
        let peers = peer::all(None).expect("they can be read");
        let mut results = Results::default();
        for row in ["pairs-q0", "idle"] {
            let row = rows::find(row).expect("it is a row");
            let figures = Figures(vec![(Figure::CpuPerMessage, 12.0), (Figure::BytesPerConnection, 700.0)]);
            results.add(Cores::One, row, OURS, Measured::Figures(figures));
        }
        let picture = draw(&results, &peers);
        assert_eq!(picture.matches("font-weight=\"bold\"").count(), 2);
        assert!(picture.contains("width=\"680.0\"") && picture.contains("12.0 µs") && picture.contains("700 B"));
        assert_eq!(picture.matches("<text").count(), picture.matches("</text>").count());
    }
}
