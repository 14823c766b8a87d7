//! A run as one page for a browser: no network, no file beside it, readable without scripts.
//!
//! Invariants: what the run brought along is text and never markup (`markup.rs`), and should that fail, the page's own
//! policy lets no script run but the one whose hash it names.

mod chart;
mod charts;
mod markup;
mod process;
mod scale;
mod seconds;
mod tables;

use markup::Markup;

use super::saved::Saved;
use crate::format::{bytes, count, duration};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// What the browser may do: nothing but this style and this script. A test holds the hash to the script.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                      script-src 'sha256-m1pTquAI0G9lK1rn12XhjNj8sCHFree5I5C30bO37Jk='";

/// Connections from which on the memory of each says something.
const MANY: u64 = 1000;

/// The whole page.
pub(super) fn page(saved: &Saved) -> String {
    let mut page = Markup::default();
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\"").attr("content", POLICY).raw(">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>");
    page.text(&format!("{}: millrace-load", saved.scenario()));
    page.raw("</title>\n<style>\n").raw(STYLE).raw("</style>\n</head>\n<body>\n<main>\n");
    write_head(&mut page, saved);
    write_tiles(&mut page, saved);
    tables::write_expectations(&mut page, saved);
    let charts = charts::charts(saved);
    if !charts.is_empty() {
        page.raw("<h2>Charts</h2>\n<div class=\"charts\">\n");
        charts.iter().for_each(|chart| chart.write(&mut page));
        page.raw("</div>\n");
    }
    tables::write(&mut page, saved);
    page.raw("</main>\n<script>").raw(SCRIPT).raw("</script>\n</body>\n</html>\n");
    page.finish()
}

fn write_head(page: &mut Markup, saved: &Saved) {
    let (scenario, what) = match saved.title().split_once("  ") {
        Some((scenario, what)) => (scenario, what),
        None => (saved.title(), ""),
    };
    page.raw("<header>\n<h1>").text(scenario).raw("</h1>\n<p class=\"what\">").text(what).raw("</p>\n");
    if saved.interrupted {
        page.raw("<p class=\"verdict warn\"><b>interrupted</b>the run ended before its time</p>\n");
    }
    if saved.verdict.valid {
        page.raw("<p class=\"verdict good\"><b>\u{2713} valid</b>the broker was measured, not the load tool");
    } else {
        let limits = saved.verdict.limited_by_the_load_tool.join("; ");
        page.raw("<p class=\"verdict warn\"><b>\u{26a0} limited by the load tool</b>").text(&limits);
    }
    page.raw("<small>").text(&saved.tool_line()).raw("</small></p>\n");
    let missed = saved.expectations.iter().filter(|condition| !condition.held).count();
    match (missed, saved.expectations.len()) {
        (_, 0) => {}
        (0, all) => {
            let text =
                if all == 1 { "the expectation held".to_owned() } else { format!("all {all} expectations held") };
            page.raw("<p class=\"verdict good\"><b>\u{2713}</b>").text(&text).raw("</p>\n");
        }
        (_, 1) => {
            page.raw("<p class=\"verdict bad\"><b>\u{2717}</b>the expectation did not hold</p>\n");
        }
        (missed, all) => {
            let text = format!("{missed} of {all} expectations did not hold");
            page.raw("<p class=\"verdict bad\"><b>\u{2717}</b>").text(&text).raw("</p>\n");
        }
    }
    page.raw("</header>\n");
}

/// The few numbers that most readers came for.
fn write_tiles(page: &mut Markup, saved: &Saved) {
    page.raw("<dl class=\"tiles\">\n");
    let mut tile = |name: &str, value: &str, note: &str, bad: bool| {
        page.raw("<div><dt>").text(name).raw(if bad { "</dt><dd class=\"bad\">" } else { "</dt><dd>" }).text(value);
        page.raw("<small>").text(note).raw("</small></dd></div>\n");
    };
    let (messages, connections) = (&saved.messages, &saved.connections);
    let of_connections = !saved.receives() && saved.config_number("publishers") == 0;
    let what = if of_connections { "connects" } else { "messages" };
    let seconds = saved.measured.duration_ns as f64 / 1e9;
    tile("rate", &format!("{}/s", count(saved.measured.rate_per_s)), &format!("{what}, in {seconds:.1} s"), false);
    if let Some((name, latency)) = saved.main_latency() {
        let label = charts::label(name);
        for percentile in ["p50", "p99", "max"] {
            let value = latency.percentile(percentile).map_or_else(|| "-".to_owned(), duration);
            tile(percentile, &value, &format!("{label} latency"), false);
        }
    }
    if let Some(lost) = messages.lost {
        let rest = format!("{} doubled, {} reordered", count(messages.doubled), count(messages.reordered));
        tile("lost", &count(lost), &rest, lost + messages.doubled > 0);
    }
    let trouble = connections.failed + connections.dropped;
    let rest = format!("{} failed, {} lost later", count(connections.failed), count(connections.dropped));
    tile("connections", &count(connections.ready), &rest, trouble > 0);
    if let Some(broker) = &saved.broker {
        match broker.cpu_us_per_message {
            Some(us) => {
                let digits = if us < 10.0 { 2 } else { 1 };
                tile(
                    "broker CPU",
                    &format!("{us:.digits$} us"),
                    &format!("a message; {:.2} cores", broker.cores),
                    false,
                );
            }
            None => tile("broker CPU", &format!("{:.2}", broker.cores), "cores", false),
        }
        let each = broker.bytes_per_connection.filter(|_| connections.ready >= MANY);
        let each = each.map_or_else(|| "at most".to_owned(), |each| format!("{} B a connection", count(each as u64)));
        tile("broker memory", &bytes(broker.rss_peak_bytes), &each, false);
    }
    page.raw("</dl>\n");
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use serde_json::{Value, json};

    use super::*;

    const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&";

    /// Every text of it is hostile, the names too.
    fn hostile() -> Saved {
        let words: Vec<&str> = vec![HOSTILE; 3];
        let map = json!({ HOSTILE: HOSTILE, "scenario": HOSTILE, "topic": HOSTILE, "publishers": 1, "targets": words });
        let point = json!({ "at_ns": 1, "received_per_s": 5, "max_ns": 7, "p50_ns": 7 });
        let later = json!({ "at_ns": 2_000_000_000_u64, "received_per_s": 5, "max_ns": 7, "p50_ns": 7 });
        let run: Value = json!({
            "schema": "millrace-load/1",
            "program": { "name": HOSTILE, "version": HOSTILE },
            "command": words,
            "headline": HOSTILE,
            "config": map,
            "environment": map,
            "messages": { "expected": 1, "lost": 1 },
            "latency": { "delivery": { "count": 1, "from": HOSTILE, "p50_ns": 7, "max_ns": 7 } },
            "errors": { HOSTILE: 3 },
            "parts": [{ "name": HOSTILE, "config": map }],
            "agents": { "members": [{ "address": HOSTILE, "lost": HOSTILE }] },
            "expectations": [{ "condition": HOSTILE, "held": false, "met": 1.5 }],
            "verdict": { "valid": false, "limited_by_the_load_tool": words },
            "series": [point, later],
        });
        Saved::from_json(run).expect("it has the schema")
    }

    #[test]
    fn nothing_of_a_run_becomes_markup() {
        let page = page(&hostile());
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("<img").count(), 0);
        assert!(page.matches("&lt;script&gt;alert(1)").count() > 10, "{page}");
        assert!(!page.contains(HOSTILE));
    }

    #[test]
    fn a_page_needs_no_network() {
        let page = page(&hostile());
        for word in ["http://", "https://", "src=\"", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.len() < 60_000, "{} bytes", page.len());
    }

    #[test]
    fn the_policy_names_the_hash_of_the_script() {
        let mut hash = Command::new("sha256sum")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("every Debian has sha256sum");
        hash.stdin.take().expect("it is piped").write_all(SCRIPT.as_bytes()).expect("it reads");
        let output = hash.wait_with_output().expect("it ends");
        let digits = String::from_utf8(output.stdout).expect("it writes ASCII");
        let bytes: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).expect("it writes hexadecimal digits"))
            .collect();
        let wanted = format!("'sha256-{}'", super::super::base64::encode(&bytes));
        assert!(POLICY.contains(&wanted), "the policy should name {wanted}");
    }
}
