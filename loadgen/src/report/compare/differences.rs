//! What makes a comparison unfair: other configurations, another machine, runs that are not valid.

use serde_json::Value;

use crate::report::saved::Saved;

/// Members of the configuration that differ between any two runs.
const OWN: [&str; 2] = ["tag", "client_prefix"];

/// One sentence for each reason to doubt.
pub(super) fn warnings(sides: &[(char, Vec<String>)], runs: &[Vec<Saved>]) -> Vec<String> {
    let mut warnings = Vec::new();
    let base = &runs[0][0];
    for ((letter, files), side) in sides.iter().zip(runs) {
        for (file, run) in files.iter().zip(side) {
            let mut say = |what: String| warnings.push(format!("{letter} {file}: {what}"));
            if !run.verdict.valid {
                say(format!("limited by the load tool: {}", run.verdict.limited_by_the_load_tool.join("; ")));
            }
            if run.interrupted {
                say("was interrupted".to_owned());
            }
            for (name, value) in &run.config {
                differs(
                    name,
                    base.config.get(name).map(|value| fair(base, name, value)),
                    &fair(run, name, value),
                    &mut say,
                );
            }
            for (name, value) in &run.environment {
                differs(name, base.environment.get(name).cloned(), value, &mut say);
            }
            let version = Value::from(run.program.version.clone());
            differs("the load tool's version", Some(base.program.version.clone().into()), &version, &mut say);
        }
    }
    warnings
}

/// What another version of the program does not tell is no difference.
fn differs(name: &str, base: Option<Value>, value: &Value, say: &mut impl FnMut(String)) {
    if let Some(base) = base.filter(|base| base != value && !OWN.contains(&name)) {
        say(format!("{} is {}, that of A {}", name.replace('_', " "), shown(value), shown(&base)));
    }
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

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(tag: u64, port: u16, qos: u8, kernel: &str) -> Saved {
        let run = json!({
            "schema": "millrace-load/1",
            "config": {
                "tag": tag, "topic": format!("load/{tag:04x}/%i"), "targets": [format!("127.0.0.1:{port}")], "qos": qos,
            },
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
            ["B b: limited by the load tool: ", "B b: qos is 1, that of A 0", "B b: kernel is none, that of A 6.1"]
        );
    }
}
