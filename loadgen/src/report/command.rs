//! The command line of a run: what is kept of it, since reports are passed on, and how it can be typed again.

use crate::mix;

const HIDDEN: &str = "***";

/// What was typed, but for the passwords.
pub(super) fn kept(typed: impl Iterator<Item = String>) -> Vec<String> {
    let mut before = String::new();
    typed
        .map(|word| {
            let kept = match (before.as_str(), word.as_str()) {
                ("-P" | "--password", _) => HIDDEN.to_owned(),
                ("--stream", stream) => stream_kept(stream),
                (_, long) if long.starts_with("--password=") => format!("--password={HIDDEN}"),
                (_, short) if short.starts_with("-P") && short.len() > 2 => format!("-P{HIDDEN}"),
                (_, other) => match other.strip_prefix("--stream=") {
                    Some(stream) => format!("--stream={}", stream_kept(stream)),
                    None => other.to_owned(),
                },
            };
            before = word;
            kept
        })
        .collect()
}

/// A stream of a mix is a command line in one word.
fn stream_kept(stream: &str) -> String {
    let Ok(words) = mix::split(stream) else { return HIDDEN.to_owned() };
    let kept = kept(words.iter().cloned());
    if kept == words { stream.to_owned() } else { joined(&kept, "'\"'\"'") }
}

/// A command line that a shell reads as it was, but for the folder of the program.
pub(super) fn shown(words: &[String]) -> String {
    let mut words = words.to_vec();
    if let Some(program) = words.first_mut() {
        *program = program.rsplit('/').next().unwrap_or_default().to_owned();
    }
    joined(&words, "'\\''")
}

/// Words with quotes where they are needed, and `quote` for a quote within.
fn joined(words: &[String], quote: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    let quoted = words.iter().map(|word| match word {
        plain if !plain.is_empty() && plain.chars().all(is_plain) => plain.clone(),
        other => format!("'{}'", other.replace('\'', quote)),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn passwords_are_not_kept() {
        for (typed, wanted) in [
            ("load pairs -P secret -q 1", "load pairs -P *** -q 1"),
            ("load pairs --password secret", "load pairs --password ***"),
            ("load pairs --password=secret -Psecret", "load pairs --password=*** -P***"),
            ("load pairs -p 1883", "load pairs -p 1883"),
        ] {
            assert_eq!(kept(typed.split(' ').map(str::to_owned)).join(" "), wanted);
        }
    }

    #[test]
    fn passwords_of_streams_are_not_kept() {
        let typed = words(&[
            "--stream",
            "pub -u it\"'\"s -P 'my secret' -q 1",
            "--stream=conn -Psecret",
            "--stream",
            "sub  -q 1",
        ]);
        let wanted =
            ["--stream", "pub -u 'it'\"'\"'s' -P '***' -q 1", "--stream=conn '-P***'", "--stream", "sub  -q 1"];
        assert_eq!(kept(typed.into_iter()), wanted);
        let again = mix::split(wanted[1]).expect("it is one still");
        assert_eq!(again, ["pub", "-u", "it's", "-P", "***", "-q", "1"]);
    }

    #[test]
    fn a_command_can_be_typed_again() {
        let typed =
            words(&["/usr/bin/millrace-load", "pairs", "-t", "a b/%i", "-m", "it's", "", "--expect", "p99<5ms"]);
        assert_eq!(shown(&typed), "millrace-load pairs -t 'a b/%i' -m 'it'\\''s' '' --expect 'p99<5ms'");
    }
}
