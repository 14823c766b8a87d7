//! What makes a comparison unfair: other configurations, another machine, runs that are not valid.

use serde_json::{Map, Value};

use crate::report::members::readable;
use crate::report::saved::Saved;

/// Members of the configuration that differ between any two runs.
const OWN: [&str; 2] = ["tag", "client_prefix"];

/// One sentence for each reason to doubt.
pub(super) fn warnings(sides: &[(char, Vec<String>)], runs: &[Vec<Saved>]) -> Vec<String> {
    let mut warnings = Vec::new();
    let base = &runs[0][0];
    for ((letter, files), side) in sides.iter().zip(runs) {
        for (file, run) in files.iter().zip(side) {
            if !run.verdict.valid {
                let reasons = run.verdict.limited_by_the_load_tool.join("; ");
                warnings.push(format!("{letter} {file} was limited by the load tool: {reasons}"));
            }
            if run.interrupted {
                warnings.push(format!("{letter} {file} was interrupted"));
            }
            let differences = differences(base, run);
            if !differences.is_empty() {
                let first = &sides[0].1[0];
                warnings.push(format!("{letter} {file} is not like {first}: {}", differences.join(", ")));
            }
        }
    }
    warnings
}

/// Each member that both have with another value, and both values. What another version of the program does not tell is
/// no difference.
fn differences(base: &Saved, run: &Saved) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |name: &str, base: &Value, value: &Value| {
        if base != value {
            let (shown, new) = readable(name, value);
            found.push(format!("{shown} {new} (not {})", readable(name, base).1));
        }
    };
    for (stream, config) in configs(run) {
        let Some((_, others)) = configs(base).find(|(name, _)| *name == stream) else { continue };
        for (name, value) in config.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
            if let Some(other) = others.get(name) {
                let shown = if stream.is_empty() { name.clone() } else { format!("{stream}: {name}") };
                look(&shown, &fair(base, name, other), &fair(run, name, value));
            }
        }
    }
    look("streams", &streams(base), &streams(run));
    look("agents", &machines(base), &machines(run));
    for (name, value) in &run.environment {
        if let Some(other) = base.environment.get(name) {
            look(name, other, value);
        }
    }
    look("load tool", &base.program.version.clone().into(), &run.program.version.clone().into());
    found
}

/// The configuration of the whole run, whose name is empty, and of each stream of a mix.
fn configs(run: &Saved) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
    let parts = run.parts.iter().flatten().map(|part| (part.name.as_str(), &part.config));
    std::iter::once(("", &run.config)).chain(parts)
}

fn streams(run: &Saved) -> Value {
    run.parts.iter().flatten().map(|part| part.name.clone()).collect()
}

fn machines(run: &Saved) -> Value {
    run.agents.as_ref().map_or(0, |agents| agents.members.len()).into()
}

/// A member without what is this run's alone: its tag in topics, the port of its broker.
fn fair(run: &Saved, name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace(&format!("load/{:04x}", run.config_number("tag")), "load").into(),
        Value::Array(targets) if name == "targets" => {
            let host = |target: &Value| {
                target.as_str().and_then(|text| text.rsplit_once(':')).map(|(host, _)| host.to_owned())
            };
            targets.iter().map(|target| host(target).map_or_else(|| target.clone(), Value::from)).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(tag: u64, port: u16, qos: u8, kernel: &str) -> Saved {
        let run = json!({
            "schema": "millrace-load/1",
            "config": {
                "tag": tag, "topic": format!("load/{tag:04x}/%i"), "targets": [format!("127.0.0.{}:{port}", 1 + qos)], "qos": qos,
            },
            "parts": [{ "name": "telemetry", "config": { "tag": tag, "payload_bytes": 16 + u64::from(qos) } }],
            "environment": { "kernel": kernel },
            "verdict": { "valid": kernel != "none" },
        });
        Saved::from_json(run).expect("it has the schema")
    }

    fn of(base: Saved, other: Saved) -> Vec<String> {
        let sides = [('A', vec!["a".to_owned()]), ('B', vec!["b".to_owned()])];
        warnings(&sides, &[vec![base], vec![other]])
    }

    #[test]
    fn what_is_a_runs_own_is_no_difference() {
        assert!(of(run(1, 1883, 1, "6.1"), run(40_000, 1884, 1, "6.1")).is_empty());
    }

    #[test]
    fn what_makes_a_comparison_unfair_is_named() {
        let warnings = of(run(1, 1883, 0, "6.1"), run(2, 1883, 1, "none"));
        assert_eq!(
            warnings,
            [
                "B b was limited by the load tool: ",
                "B b is not like a: targets 127.0.0.2 (not 127.0.0.1), qos 1 (not 0), \
                 telemetry: payload bytes 17 (not 16), kernel none (not 6.1)",
            ]
        );
    }

    #[test]
    fn other_streams_and_machines_are_named() {
        let (base, mut other) = (run(1, 1883, 0, "6.1"), run(2, 1883, 0, "6.1"));
        other.parts.get_or_insert_default()[0].name = "commands".to_owned();
        other.agents.get_or_insert_default().members.resize_with(2, Default::default);
        let wanted = "B b is not like a: streams commands (not telemetry), agents 2 (not 0)";
        assert_eq!(of(base, other), [wanted]);
    }
}
