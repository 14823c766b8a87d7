//! The outcome of cases as JUnit XML, which build servers read.

use std::fmt::Write as _;

use super::suite::{Outcome, lines};

/// The document.
#[must_use]
pub fn xml(outcomes: &[Outcome]) -> String {
    let failed = |of: &[&Outcome]| of.iter().filter(|outcome| outcome.failure.is_some()).count();
    let seconds = |of: &[&Outcome]| of.iter().map(|outcome| outcome.took.as_secs_f64()).sum::<f64>();
    let all: Vec<&Outcome> = outcomes.iter().collect();
    let mut files: Vec<&str> = outcomes.iter().map(|outcome| outcome.file.as_str()).collect();
    files.dedup();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        out,
        "<testsuites name=\"millrace rules test\" tests=\"{}\" failures=\"{}\" time=\"{:.6}\">",
        all.len(),
        failed(&all),
        seconds(&all)
    );
    for file in files {
        let of: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.file == file).collect();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{:.6}\">",
            escaped(file),
            of.len(),
            failed(&of),
            seconds(&of)
        );
        for outcome in of {
            case(&mut out, outcome);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, outcome: &Outcome) {
    let file = escaped(&outcome.file);
    let _ = write!(
        out,
        "    <testcase name=\"{}\" classname=\"{file}\" file=\"{file}\" line=\"{}\" time=\"{:.6}\"",
        escaped(&outcome.name),
        outcome.line,
        outcome.took.as_secs_f64()
    );
    let Some(failure) = &outcome.failure else {
        out.push_str("/>\n");
        return;
    };
    let _ = writeln!(
        out,
        ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
        escaped(&format!("expected {}, got {}", failure.expected.join(" "), failure.got.join(" "))),
        escaped(&lines(failure).join("\n"))
    );
}

/// Text for an attribute or between tags. What XML has no place for becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c if c.is_control() && c < ' ' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::suite::Failure;

    #[test]
    fn what_would_break_the_document_is_escaped() {
        let outcome = |name: &str, failure| Outcome {
            file: "a.toml".to_owned(),
            name: name.to_owned(),
            line: 3,
            took: Duration::from_micros(4),
            failure,
        };
        let failure = Failure {
            expected: vec!["no row".to_owned()],
            got: vec!["{\"t\": 1 integer}".to_owned()],
            notes: vec!["a & b\u{1b}".to_owned()],
        };
        assert_eq!(
            xml(&[outcome("x < \"1\"", Some(failure)), outcome("y", None)]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"millrace rules test\" tests=\"2\" failures=\"1\" time=\"0.000008\">\n\
             \x20 <testsuite name=\"a.toml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"0.000008\">\n\
             \x20   <testcase name=\"x &lt; &quot;1&quot;\" classname=\"a.toml\" file=\"a.toml\" line=\"3\" time=\"0.000004\">\n\
             \x20     <failure message=\"expected no row, got {&quot;t&quot;: 1 integer}\">expected  no row&#10;got       \
             {&quot;t&quot;: 1 integer}&#10;a &amp; b\u{fffd}</failure>\n\
             \x20   </testcase>\n\
             \x20   <testcase name=\"y\" classname=\"a.toml\" file=\"a.toml\" line=\"3\" time=\"0.000004\"/>\n\
             \x20 </testsuite>\n</testsuites>\n"
        );
    }
}
