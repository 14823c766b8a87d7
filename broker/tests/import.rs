//! `millrace rules import` as a process: what it writes and where, and what it exits with.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, gone with the value.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-import-program-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).expect("the temporary directory is writable");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_millrace"))
            .current_dir(&self.0)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_is_written_is_a_config_that_holds() {
    for name in ["emqx-4.4-export.json", "emqx-5-cluster.hocon", "emqx-5-events.json"] {
        let dir = Dir::new();
        dir.write(name, &data(name));
        let output = dir.run(&["rules", "import", name, "--out", "millrace.toml"]);
        assert_eq!(output.status.code(), Some(1), "something was not supported: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        assert!(text(&output.stderr).contains(" -> millrace.toml\n"), "{}", text(&output.stderr));
        let check = dir.run(&["check-config", "--offline", "millrace.toml"]);
        assert_eq!(check.status.code(), Some(0), "{}\n{}", text(&check.stderr), dir.read("millrace.toml"));
    }
}

#[test]
fn an_export_of_which_nothing_is_lost_exits_with_0() {
    let dir = Dir::new();
    dir.write(
        "export.json",
        br#"{"version": "4.3", "resources": [], "rules": [{"id": "rule:1", "rawsql": "SELECT * FROM \"t/#\"", "enabled": true,
            "actions": [{"id": "i", "name": "inspect", "fallbacks": [], "args": {}}], "description": "looks"}]}"#,
    );
    let output = dir.run(&["rules", "import", "export.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stderr),
        "export.json (EMQX 4.3): 1 rule: 1 taken, 0 changed, 0 not supported\n",
        "the report goes where it can be seen"
    );
    let config = text(&output.stdout);
    let (_, rule) = config.split_once("\n\n").expect("two lines of comments stand first");
    assert_eq!(
        rule,
        "# rule:1\n[rules.rule_1]\ndescription = \"looks\"\ncompat = \"4.x\"\nsql = 'SELECT * FROM \"t/#\"'\n\n\
         [[rules.rule_1.actions]]\nkind = \"console\"\n"
    );
}

#[test]
fn json_has_the_report_and_the_config_unless_it_went_to_a_file() {
    let dir = Dir::new();
    dir.write("export.json", &data("emqx-4.4-export.json"));
    let output = dir.run(&["rules", "import", "--json", "export.json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!((output.status.code(), &report["rules"]["total"]), (Some(1), &8.into()));
    assert!(report["config"].as_str().is_some_and(|config| config.contains("[rules.rule_9a6a725d]")));
    let output = dir.run(&["rules", "import", "--json", "export.json", "-o", "out.toml"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!((&report["out"], report.get("config")), (&"out.toml".into(), None));
    assert!(dir.read("out.toml").contains("[rules.rule_9a6a725d]"));
}

#[test]
fn a_file_that_exists_is_not_overwritten() {
    let dir = Dir::new();
    dir.write("export.json", &data("emqx-4.4-export.json"));
    dir.write("mine.toml", b"# mine");
    let output = dir.run(&["rules", "import", "export.json", "--out", "mine.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error: mine.toml cannot be written"), "{}", text(&output.stderr));
    assert_eq!(dir.read("mine.toml"), "# mine");
}

#[test]
fn what_cannot_be_read_is_refused_by_name_and_code() {
    let dir = Dir::new();
    dir.write("text", b"Dear broker, here are my rules!\n");
    dir.write("deep.json", "{\"rules\":".repeat(100_000).as_bytes());
    dir.write("other.json", b"{\"streams\": {}}");
    std::fs::File::create(dir.0.join("large.json"))
        .and_then(|file| file.set_len(100 << 20))
        .expect("a file may have holes");
    for (file, code) in [
        ("text", "C0122"),
        ("deep.json", "C0122"),
        ("other.json", "C0122"),
        ("large.json", "C0122"),
        ("absent", "C0112"),
        (".", "C0112"),
    ] {
        let output = dir.run(&["rules", "import", file, "--out", "out.toml"]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{file}: {errors}");
        assert!(errors.starts_with(&format!("error[{code}]: {file} ")), "{errors}");
        assert!(errors.ends_with("nothing was imported\n") && errors.len() < 1000, "{errors}");
        assert!(!dir.0.join("out.toml").exists());
    }
    assert_eq!(dir.run(&["rules", "import"]).status.code(), Some(2));
    assert_eq!(dir.run(&["rules"]).status.code(), Some(2));
}
