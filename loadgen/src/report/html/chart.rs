//! A chart: lines on two axes as inline SVG that stretches, its marks as text beside it, its values as a table below.
//!
//! The drawing has no text of its own, so that it can be as wide as the page while letters keep their size. A reader who
//! sees no drawing gets its title, a sentence and the table; the pointer, if scripts run, gets the table's rows.

use std::fmt::Write as _;

use super::markup::Markup;
use super::scale::Axis;

/// The drawing's own units, which stretch.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 300.0;
/// How far apart marks of the x axis are on a phone, as part of it.
const CLOSE: f64 = 0.15;
/// Points up to which each is marked by a dot.
const DOTTED: usize = 40;

/// See the head of this file.
pub(super) struct Chart {
    /// Its name in the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// Whether it is as wide as the page.
    pub(super) wide: bool,
    /// What is drawn, in a few words.
    pub(super) note: String,
    /// What there is to see, for those who do not.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) x_title: &'static str,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    pub(super) bands: Vec<Band>,
    /// Titles of the table's columns; the first is that of the x axis.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// One line.
pub(super) struct Line {
    /// Colour and dashes, which are told apart without seeing colours.
    pub(super) class: &'static str,
    pub(super) name: String,
    /// The one number that says most of it.
    pub(super) summary: String,
    /// Whether the room under it is filled.
    pub(super) filled: bool,
    /// Values on both axes; none where there is a gap.
    pub(super) points: Vec<Option<(f64, f64)>>,
}

/// A span of the x axis that is not like the others.
pub(super) struct Band {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: &'static str,
}

/// The values at one place of the x axis.
pub(super) struct Row {
    pub(super) x: f64,
    pub(super) cells: Vec<String>,
}

impl Chart {
    pub(super) fn write(&self, page: &mut Markup) {
        page.raw("<figure")
            .attr("class", if self.wide { "chart wide" } else { "chart" })
            .attr("id", self.id)
            .raw(">\n<figcaption><h3>")
            .text(self.title);
        page.raw("</h3><p>").text(&self.note).raw("</p></figcaption>\n");
        self.write_legend(page);
        page.raw("<div class=\"frame\"><div class=\"y\" aria-hidden=\"true\">");
        for (place, label) in &self.y.ticks {
            page.raw("<span").attr("style", &format!("top:{:.2}%", (1.0 - place) * 100.0)).raw(">");
            page.text(label).raw("</span>");
        }
        page.raw("</div>\n<div class=\"plot\">");
        self.write_drawing(page);
        for band in &self.bands {
            let middle = f64::midpoint(self.x.place(band.from), self.x.place(band.to)).clamp(0.1, 0.9);
            page.raw("<span class=\"band\"").attr("style", &format!("left:{:.2}%", middle * 100.0)).raw(">");
            page.text(band.label).raw("</span>");
        }
        page.raw("</div>\n<div class=\"x\" aria-hidden=\"true\">");
        let ticks = &self.x.ticks;
        for (number, (place, label)) in ticks.iter().enumerate() {
            // A phone has no room for it.
            let close = number > 0 && place - ticks[number - 1].0 < CLOSE;
            let spare = close || (ticks.len() > 5 && number % 2 == 1);
            page.raw(if spare { "<span class=\"spare\"" } else { "<span" });
            page.attr("style", &format!("left:{:.2}%", place * 100.0)).raw(">").text(label).raw("</span>");
        }
        page.raw("</div><p class=\"x-title\">").text(self.x_title).raw("</p></div>\n");
        self.write_table(page);
        page.raw("</figure>\n");
    }

    fn write_legend(&self, page: &mut Markup) {
        page.raw("<ul class=\"legend\">");
        for line in &self.lines {
            page.raw("<li><svg viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path d=\"M1 4H27\"");
            page.attr("class", &format!("line {}", line.class)).raw("/></svg>");
            page.text(&line.name).raw(" <b>").text(&line.summary).raw("</b></li>");
        }
        page.raw("</ul>\n");
    }

    fn write_drawing(&self, page: &mut Markup) {
        page.raw("<svg viewBox=\"0 0 1000 300\" preserveAspectRatio=\"none\" role=\"img\"");
        page.attr("aria-labelledby", &format!("{0}-title {0}-desc", self.id)).raw("><title");
        page.attr("id", &format!("{}-title", self.id)).raw(">").text(self.title).raw("</title><desc");
        page.attr("id", &format!("{}-desc", self.id)).raw(">").text(&self.description).raw("</desc>");
        for band in &self.bands {
            let (from, to) = (self.x.place(band.from) * WIDTH, self.x.place(band.to) * WIDTH);
            page.raw("<rect class=\"band\" y=\"0\" height=\"300\"").attr("x", &format!("{from:.1}"));
            page.attr("width", &format!("{:.1}", (to - from).max(2.0))).raw("/>");
        }
        let mut grid = String::new();
        for (place, _) in &self.y.ticks {
            // Writing to a string does not fail.
            let _ = write!(grid, "M0 {:.1}H1000", (1.0 - place) * HEIGHT);
        }
        for (place, _) in &self.x.ticks {
            let _ = write!(grid, "M{:.1} 0V300", place * WIDTH);
        }
        page.raw("<path class=\"grid\"").attr("d", &grid).raw("/>");
        for line in &self.lines {
            if line.filled {
                page.raw("<path").attr("class", &format!("area {}", line.class)).attr("d", &self.area(line)).raw("/>");
            }
        }
        // The first line is the most telling: it is drawn last, above the others.
        for line in self.lines.iter().rev() {
            let stroke = self.stroke(line);
            page.raw("<path").attr("class", &format!("line {}", line.class)).attr("d", &stroke).raw("/>");
            let dots = self.dots(line);
            if !dots.is_empty() {
                page.raw("<path").attr("class", &format!("dots {}", line.class)).attr("d", &dots).raw("/>");
            }
        }
        page.raw("</svg>");
    }

    fn spot(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.place(x) * WIDTH, (1.0 - self.y.place(y)) * HEIGHT)
    }

    fn stroke(&self, line: &Line) -> String {
        let (mut path, mut joined) = (String::new(), false);
        for point in &line.points {
            let Some((x, y)) = point.map(|point| self.spot(point)) else {
                joined = false;
                continue;
            };
            let _ = write!(path, "{}{x:.1} {y:.1}", if joined { 'L' } else { 'M' });
            joined = true;
        }
        path
    }

    fn area(&self, line: &Line) -> String {
        let mut path = String::new();
        for run in line.points.split(Option::is_none).filter(|run| run.len() > 1) {
            let spots = run.iter().flatten().map(|point| self.spot(*point));
            for (at, (x, y)) in spots.enumerate() {
                let _ = if at == 0 { write!(path, "M{x:.1} 300V{y:.1}") } else { write!(path, "L{x:.1} {y:.1}") };
            }
            path.push_str("V300Z");
        }
        path
    }

    /// All points if they are few, else those that have no neighbour and would not be seen.
    fn dots(&self, line: &Line) -> String {
        let mut path = String::new();
        let points = &line.points;
        let is_point = |at: Option<usize>| at.and_then(|at| points.get(at)).is_some_and(Option::is_some);
        for (at, point) in points.iter().enumerate() {
            let alone = !is_point(at.checked_sub(1)) && !is_point(Some(at + 1));
            if let Some(point) = point.filter(|_| points.len() <= DOTTED || alone) {
                let (x, y) = self.spot(point);
                let _ = write!(path, "M{x:.1} {y:.1}h0");
            }
        }
        path
    }

    fn write_table(&self, page: &mut Markup) {
        page.raw("<details><summary>Values</summary><div class=\"scroll\"><table><caption>").text(self.title);
        page.raw("</caption><thead><tr>");
        for column in &self.columns {
            page.raw("<th scope=\"col\">").text(column).raw("</th>");
        }
        page.raw("</tr></thead><tbody>\n");
        for row in &self.rows {
            page.raw("<tr").attr("data-x", &format!("{:.4}", self.x.place(row.x))).raw(">");
            for cell in &row.cells {
                page.raw("<td>").text(cell).raw("</td>");
            }
            page.raw("</tr>\n");
        }
        page.raw("</tbody></table></div></details>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::scale;
    use super::*;

    fn chart(points: Vec<Option<(f64, f64)>>) -> Chart {
        Chart {
            id: "one",
            title: "One",
            wide: false,
            note: "n".to_owned(),
            description: "d".to_owned(),
            x: Axis::time(10e9),
            x_title: "time",
            y: Axis::from_zero(100.0, scale::number),
            lines: vec![Line { class: "a", name: "<i>".to_owned(), summary: "7".to_owned(), filled: true, points }],
            bands: vec![Band { from: 2e9, to: 4e9, label: "still" }],
            columns: vec!["time".to_owned(), "value".to_owned()],
            rows: vec![Row { x: 5e9, cells: vec!["5 s".to_owned(), "<7>".to_owned()] }],
        }
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let chart = chart(vec![Some((0.0, 0.0)), Some((5e9, 50.0)), None, Some((10e9, 100.0))]);
        assert_eq!(chart.stroke(&chart.lines[0]), "M0.0 300.0L500.0 150.0M1000.0 0.0");
        assert_eq!(chart.area(&chart.lines[0]), "M0.0 300V300.0L500.0 150.0V300Z");
        assert_eq!(chart.dots(&chart.lines[0]), "M0.0 300.0h0M500.0 150.0h0M1000.0 0.0h0");
    }

    #[test]
    fn a_chart_tells_the_same_to_those_who_cannot_see_it() {
        let mut page = Markup::default();
        chart(vec![Some((0.0, 0.0))]).write(&mut page);
        let page = page.finish();
        for part in [
            "aria-labelledby=\"one-title one-desc\"",
            "<title id=\"one-title\">One</title>",
            "<desc id=\"one-desc\">d</desc>",
            "<tr data-x=\"0.5000\"><td>5 s</td><td>&lt;7&gt;</td></tr>",
            "&lt;i&gt;",
            "class=\"band\"",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
