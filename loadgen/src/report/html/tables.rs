//! The tables of the page: what was expected, accounts, latencies, the broker, the load tool, how to run it again.

use serde_json::{Map, Value};

use super::charts;
use super::markup::Markup;
use crate::format::{bytes, count, duration};
use crate::report::command;
use crate::report::members::readable;
use crate::report::saved::{Saved, Streams};

pub(super) fn write_expectations(page: &mut Markup, saved: &Saved) {
    if saved.expectations.is_empty() {
        return;
    }
    page.raw("<h2>Expectations</h2>\n<div class=\"card\"><table><caption>Expectations</caption><thead><tr>");
    page.raw("<th scope=\"col\">condition</th><th scope=\"col\">was</th><th scope=\"col\">verdict</th></tr></thead><tbody>\n");
    for condition in &saved.expectations {
        let verdict = saved.verdict_of(condition);
        page.raw("<tr><td class=\"text\">").text(&verdict.text).raw("</td><td>").text(&verdict.shown).raw("</td><td>");
        page.raw(if verdict.held {
            "<span class=\"mark good\">\u{2713} held</span>"
        } else {
            "<span class=\"mark bad\">\u{2717} not held</span>"
        });
        page.raw("</td></tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}

pub(super) fn write(page: &mut Markup, saved: &Saved) {
    page.raw("<h2>Numbers</h2>\n");
    write_latencies(page, saved);
    write_parts(page, saved);
    write_agents(page, saved);
    write_streams(page, saved.streams.as_ref());
    write_errors(page, saved);
    page.raw("<div class=\"tables\">\n");
    write_accounts(page, saved);
    pairs(page, "Connections", &connections(saved));
    if let Some(broker) = &saved.broker {
        let each =
            |value: Option<f64>, unit: &str| value.map_or_else(|| "-".to_owned(), |value| format!("{value}{unit}"));
        let rows = [
            ("process", broker.pid.to_string()),
            ("processor time", format!("{:.3} cores", broker.cores)),
            ("for each message", each(broker.cpu_us_per_message, " us")),
            ("memory when all were connected", bytes(broker.rss_bytes)),
            ("memory at most", bytes(broker.rss_peak_bytes)),
            ("more for each connection", each(broker.bytes_per_connection, " B")),
        ];
        pairs(page, "Broker", &rows);
    }
    let percent = |parts: &[f64]| {
        let parts: Vec<String> = parts.iter().map(|part| format!("{:.0} %", part * 100.0)).collect();
        if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
    };
    let lag = saved.latency.get("lag").and_then(|lag| lag.percentile("p99"));
    let rows = [
        ("send lag p99", lag.map_or_else(|| "-".to_owned(), duration)),
        ("workers busy", percent(&saved.tool.workers_busy)),
        ("workers waited for a CPU", percent(&saved.tool.workers_waited_for_cpu)),
        ("stolen CPU", percent(&[saved.tool.stolen_cpu])),
        ("bytes sent", bytes(saved.bytes.sent)),
        ("bytes received", bytes(saved.bytes.received)),
    ];
    pairs(page, "Load tool", &rows);
    object(page, "Configuration", &saved.config);
    let mut environment = saved.environment.clone();
    environment.insert("program".to_owned(), format!("{} {}", saved.program.name, saved.program.version).into());
    environment.insert("written".to_owned(), date(saved.written_at_unix_s).into());
    object(page, "Environment", &environment);
    page.raw("</div>\n");
    if !saved.command.is_empty() {
        page.raw("<section class=\"card\"><h3>Run it again</h3><pre>").text(&command::shown(&saved.command));
        page.raw("</pre></section>\n");
    }
}

fn write_latencies(page: &mut Markup, saved: &Saved) {
    const COLUMNS: [&str; 7] = ["p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"];
    if saved.latencies().next().is_none() {
        return;
    }
    page.raw("<section class=\"card\"><h3>Latencies</h3><table><caption>Latencies</caption><thead><tr>");
    page.raw("<th scope=\"col\">latency</th><th scope=\"col\">number</th>");
    page.raw("<th scope=\"col\">least</th><th scope=\"col\">mean</th>");
    for column in COLUMNS {
        page.raw("<th scope=\"col\">").raw(column).raw("</th>");
    }
    page.raw("<th scope=\"col\" class=\"text\">counted</th></tr></thead><tbody>\n");
    for (name, latency) in saved.latencies() {
        page.raw("<tr><th scope=\"row\">").text(charts::label(name)).raw("</th><td>").text(&count(latency.count));
        page.raw("</td>");
        let percentiles = COLUMNS.iter().map(|column| latency.percentile(column));
        for value in [latency.min(), latency.mean()].into_iter().chain(percentiles) {
            page.raw("<td>").text(&value.map_or_else(|| "-".to_owned(), duration)).raw("</td>");
        }
        page.raw("<td class=\"text\">").text(&latency.from).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></section>\n");
}

fn write_accounts(page: &mut Markup, saved: &Saved) {
    let messages = &saved.messages;
    let some = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), count);
    if saved.receives() || saved.config_number("publishers") > 0 {
        let rows = [
            ("sent", count(messages.sent)),
            ("acknowledged", count(messages.acked)),
            ("sent again", count(messages.resent)),
            ("expected to arrive", some(messages.expected)),
            ("received", count(messages.received)),
            ("lost", some(messages.lost)),
            ("doubled", count(messages.doubled)),
            ("reordered", count(messages.reordered)),
            ("due but unsent", count(messages.unsent)),
            ("of others", count(messages.foreign)),
        ];
        pairs(page, "Messages", &rows);
    }
}

fn connections(saved: &Saved) -> [(&'static str, String); 7] {
    let connections = &saved.connections;
    [
        ("planned", count(connections.planned)),
        ("ready", count(connections.ready)),
        ("failed", count(connections.failed)),
        ("lost later", count(connections.dropped)),
        ("returned", count(connections.returned)),
        ("found their session", count(connections.resumed)),
        ("opened in", format!("{:.2} s ({}/s)", connections.ramp_ns as f64 / 1e9, count(connections.per_s))),
    ]
}

/// The streams of a mix.
fn write_parts(page: &mut Markup, saved: &Saved) {
    let Some(parts) = &saved.parts else { return };
    page.raw(
        "<section class=\"card\"><h3>Streams of the mix</h3><table><caption>Streams of the mix</caption><thead><tr>",
    );
    page.raw("<th scope=\"col\">stream</th><th scope=\"col\">scenario</th><th scope=\"col\">rate</th>");
    page.raw("<th scope=\"col\">sent</th><th scope=\"col\">received</th><th scope=\"col\">lost</th>");
    page.raw("<th scope=\"col\">doubled</th><th scope=\"col\">reordered</th><th scope=\"col\">latency</th>");
    page.raw("<th scope=\"col\">p50</th><th scope=\"col\">p99</th><th scope=\"col\">max</th></tr></thead><tbody>\n");
    for part in parts {
        let (messages, scenario) = (&part.messages, part.config.get("scenario").and_then(Value::as_str));
        page.raw("<tr><th scope=\"row\">").text(&part.name).raw("</th><td>").text(scenario.unwrap_or("-"));
        page.raw("</td><td>").text(&format!("{}/s", count(part.measured.rate_per_s))).raw("</td>");
        let lost = messages.lost.map_or_else(|| "-".to_owned(), count);
        for number in [count(messages.sent), count(messages.received), lost] {
            page.raw("<td>").text(&number).raw("</td>");
        }
        for number in [messages.doubled, messages.reordered] {
            page.raw("<td>").text(&count(number)).raw("</td>");
        }
        let main = part.main_latency();
        page.raw("<td>").text(main.map_or("-", |(name, _)| charts::label(name))).raw("</td>");
        for percentile in ["p50", "p99", "max"] {
            let value = main.and_then(|(_, latency)| latency.percentile(percentile));
            page.raw("<td>").text(&value.map_or_else(|| "-".to_owned(), duration)).raw("</td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table></section>\n");
    parts.iter().for_each(|part| write_streams(page, part.streams.as_ref()));
}

/// The machines that did it.
fn write_agents(page: &mut Markup, saved: &Saved) {
    let Some(agents) = &saved.agents else { return };
    page.raw("<section class=\"card\"><h3>Agents</h3>");
    if let Some(error) = agents.latency_error_ns {
        let text = format!("latencies between agents may be wrong by {}", duration(error));
        page.raw("<p class=\"what\">").text(&text).raw("</p>");
    }
    page.raw("<table><caption>Agents</caption><thead><tr><th scope=\"col\">agent</th>");
    page.raw("<th scope=\"col\">workers</th><th scope=\"col\">connections</th><th scope=\"col\">clock known to</th>");
    page.raw("<th scope=\"col\">drifted by</th><th scope=\"col\" class=\"text\">lost</th></tr></thead><tbody>\n");
    for agent in &agents.members {
        page.raw("<tr><td class=\"text\">").text(&agent.address).raw("</td><td>").text(&count(agent.workers));
        page.raw("</td><td>").text(&count(agent.connections)).raw("</td><td>").text(&duration(agent.clock_error_ns));
        page.raw("</td><td>").text(&duration(agent.clock_drift_ns)).raw("</td><td class=\"text\">");
        page.text(agent.lost.as_deref().unwrap_or("no")).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></section>\n");
}

fn write_streams(page: &mut Markup, streams: Option<&Streams>) {
    let Some(streams) = streams.filter(|streams| !streams.worst.is_empty()) else { return };
    page.raw("<section class=\"card\"><h3>Worst of ").text(&count(streams.number));
    page.raw(" pairs of publisher and subscriber</h3><p class=\"what\">");
    page.text(&format!(
        "{} with losses, {} with doubles, {} with reordering",
        count(streams.with_loss),
        count(streams.with_doubles),
        count(streams.with_reordering)
    ));
    page.raw("</p><table><caption>Worst streams</caption><thead><tr><th scope=\"col\">publisher</th>");
    page.raw("<th scope=\"col\">subscriber</th><th scope=\"col\">lost</th><th scope=\"col\">doubled</th>");
    page.raw("<th scope=\"col\">reordered</th></tr></thead><tbody>\n");
    for stream in &streams.worst {
        page.raw("<tr>");
        for number in [stream.publisher, stream.subscriber, stream.lost, stream.doubled, stream.reordered] {
            page.raw("<td>").text(&count(number)).raw("</td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table></section>\n");
}

fn write_errors(page: &mut Markup, saved: &Saved) {
    if saved.errors.is_empty() {
        return;
    }
    page.raw("<section class=\"card\"><h3>Errors</h3><table><caption>Errors</caption><thead><tr>");
    page.raw("<th scope=\"col\">error</th><th scope=\"col\">times</th></tr></thead><tbody>\n");
    for (name, times) in &saved.errors {
        page.raw("<tr><td class=\"text\">").text(name).raw("</td><td>").text(&count(*times)).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></section>\n");
}

/// A card of names and values.
fn pairs(page: &mut Markup, title: &'static str, rows: &[(&'static str, String)]) {
    page.raw("<section class=\"card\"><h3>").raw(title).raw("</h3><table><caption>").raw(title);
    page.raw("</caption><tbody>\n");
    for (name, value) in rows {
        page.raw("<tr><th scope=\"row\">").raw(name).raw("</th><td>").text(value).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></section>\n");
}

/// A card of whatever a part of the report holds.
fn object(page: &mut Markup, title: &'static str, object: &Map<String, Value>) {
    page.raw("<section class=\"card\"><h3>").raw(title).raw("</h3><table class=\"plain\"><caption>").raw(title);
    page.raw("</caption><tbody>\n");
    for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let (name, value) = readable(name, value);
        page.raw("<tr><th scope=\"row\">").text(&name).raw("</th><td>").text(&value).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></section>\n");
}

/// Seconds since 1970 as a date of the Gregorian calendar and a time, in UTC.
fn date(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years begin in March here, so that a leap day is the last of its year; an era is 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(unix), text);
        }
    }
}
