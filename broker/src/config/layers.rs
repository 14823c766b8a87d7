//! Which texts are config, and how they lie over each other: built-in, file, `conf.d`, environment, `--set`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Config;
use super::tree::{Origin, Source, Table};
use super::{DEFAULT_TOML, de, report, validate};
use crate::diagnostics::{Diagnostic, Place, Severity};

/// Looked for in this order when no `--config` is given.
const FILES: [&str; 2] = ["millrace.toml", "/etc/millrace/millrace.toml"];
/// Environment variables that begin so are config.
const ENV_PREFIX: &str = "MILLRACE__";
/// A config file larger than this is not one.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where config comes from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Each `--set`.
    pub set: Vec<String>,
    /// The environment.
    pub env: Vec<(String, String)>,
}

impl Inputs {
    /// With the environment of this process.
    #[must_use]
    pub fn from_process(file: Option<PathBuf>, set: Vec<String>) -> Self {
        let env = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Self { file, set, env }
    }
}

/// A config that holds.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What was merged, with origins.
    pub tree: Table,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// What does not stop the start.
    pub warnings: Vec<Diagnostic>,
}

/// Reads all layers.
///
/// # Errors
/// All that is wrong with them.
pub fn load(inputs: &Inputs) -> Result<Loaded, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let built_in = Arc::new(Source { name: "built-in".to_owned(), text: DEFAULT_TOML.to_owned(), built_in: true });
    let mut tree = parse(&built_in, &mut diagnostics);

    let file = inputs.file.clone().or_else(|| FILES.iter().map(PathBuf::from).find(|path| path.exists()));
    let mut written = Table::default();
    if let Some(file) = &file {
        for path in std::iter::once(file.clone()).chain(beside(file, &mut diagnostics)) {
            if let Some(source) = read_file(&path, &mut diagnostics) {
                written.merge(parse(&source, &mut diagnostics));
            }
        }
    }
    drop_replaced_defaults(&mut tree, &written);
    tree.merge(written);
    for (name, value) in sorted_env(&inputs.env) {
        let parts: Vec<&str> = name[ENV_PREFIX.len()..].split("__").collect();
        let path = tree.resolve(&parts, true);
        tree.put(&path, value, &Origin::Env(name.to_owned()));
    }
    for set in &inputs.set {
        match set.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let parts: Vec<&str> = key.trim().split('.').map(str::trim).collect();
                let path = tree.resolve(&parts, false);
                tree.put(&path, value.trim(), &Origin::Set(key.trim().to_owned()));
            }
            _ => diagnostics.push(Diagnostic::error(
                "C0104",
                format!("--set {set} is not KEY=VALUE (for example --set listeners.default.port=18830)"),
            )),
        }
    }
    finish(tree, file, diagnostics)
}

fn finish(mut tree: Table, file: Option<PathBuf>, mut diagnostics: Vec<Diagnostic>) -> Result<Loaded, Vec<Diagnostic>> {
    let root = Origin::Set(String::new());
    drop_unused_default_sink(&mut tree);
    let config: Config = match de::read(&tree, &root) {
        Ok(config) => config,
        Err((findings, rest)) => {
            let broken: Vec<Place> = diagnostics.iter().filter_map(|d| d.place.clone()).collect();
            let on_broken_line = |diagnostic: &Diagnostic| {
                let place = diagnostic.place.as_ref();
                place.is_some_and(|p| broken.iter().any(|b| b.file == p.file && b.line == p.line))
            };
            let found: Vec<Diagnostic> = findings.iter().map(report::diagnostic).collect();
            diagnostics.extend(found.into_iter().filter(|d| !on_broken_line(d)));
            if let Some(rest) = rest {
                validate::each(&rest, &tree, &mut diagnostics);
            }
            in_order(&mut diagnostics);
            return Err(diagnostics);
        }
    };
    diagnostics.extend(validate::check(&config, &tree));
    in_order(&mut diagnostics);
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(Loaded { config, tree, file, warnings: diagnostics })
}

/// As they stand in the files; what has no place there comes last.
fn in_order(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(|d| match &d.place {
        Some(place) => (0, place.file.clone(), place.line, place.column),
        None => (1, String::new(), 0, 0),
    });
}

/// The `MILLRACE__…` variables, in an order that does not depend on the shell.
fn sorted_env(env: &[(String, String)]) -> Vec<(&str, &str)> {
    let mut ours: Vec<(&str, &str)> = env
        .iter()
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    ours.sort_unstable();
    ours
}

fn beside(file: &Path, diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let directory = file.parent().unwrap_or_else(|| Path::new("")).join("conf.d");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            diagnostics.push(unreadable(&directory, &error));
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    files.sort();
    files
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error("C0112", format!("cannot read {}: {error}", path.display()))
}

fn read_file(path: &Path, diagnostics: &mut Vec<Diagnostic>) -> Option<Arc<Source>> {
    let read = || {
        let bytes = std::fs::metadata(path)?.len();
        if bytes > FILE_BYTES_MAX {
            let text = format!("{bytes} bytes are over the {FILE_BYTES_MAX} that a config may have");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, text));
        }
        std::fs::read_to_string(path)
    };
    match read() {
        Ok(text) => Some(Arc::new(Source { name: path.display().to_string(), text, built_in: false })),
        Err(error) => {
            diagnostics.push(unreadable(path, &error));
            None
        }
    }
}

fn parse(source: &Arc<Source>, diagnostics: &mut Vec<Diagnostic>) -> Table {
    let (table, errors) = toml::de::DeTable::parse_recoverable(&source.text);
    for error in errors {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        let place = error.span().map(|span| Place::of(&source.name, &source.text, &span));
        diagnostics.push(Diagnostic::error("C0105", format!("this is not TOML: {message}")).at(place));
    }
    Table::from_toml(source, table.get_ref())
}

/// The built-in listener, rule and sink hold only while the files name none of their kind, so that nobody runs a demo
/// without knowing. One that the files name too keeps its other values.
fn drop_replaced_defaults(tree: &mut Table, written: &Table) {
    let names = |kind: &str| written.table(kind).map(|table| &table.entries);
    let rules_or_sinks = names("rules").is_some() || names("sinks").is_some();
    for (kind, replaced) in
        [("listeners", names("listeners").is_some()), ("rules", rules_or_sinks), ("sinks", names("sinks").is_some())]
    {
        if replaced && let Some(table) = table_mut(tree, kind) {
            table
                .entries
                .retain(|entry| names(kind).is_some_and(|named| named.iter().any(|named| named.name == entry.name)));
        }
    }
}

/// The built-in sink is not opened when no rule names it.
fn drop_unused_default_sink(tree: &mut Table) {
    let Some(rules) = tree.table("rules") else {
        return;
    };
    let used = |sink: &str| {
        rules.entries.iter().any(|rule| match &rule.node {
            super::tree::Node::Table(rule) => rule.get("sinks").is_some_and(|sinks| names(&sinks.node, sink)),
            super::tree::Node::Leaf(_) => true,
        })
    };
    let unused: Vec<String> = tree
        .table("sinks")
        .into_iter()
        .flat_map(|sinks| &sinks.entries)
        .filter(|sink| sink.origin.is_built_in() && !used(&sink.name))
        .map(|sink| sink.name.clone())
        .collect();
    if let Some(sinks) = table_mut(tree, "sinks") {
        sinks.entries.retain(|sink| !unused.contains(&sink.name));
    }
}

fn names(sinks: &super::tree::Node, name: &str) -> bool {
    use super::tree::{Node, Value};
    match sinks {
        Node::Leaf(leaf) => match &leaf.value {
            Value::Toml(toml::Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(name)),
            Value::Toml(_) => false,
            Value::Text(text) => text.contains(name),
        },
        Node::Table(_) => false,
    }
}

fn table_mut<'a>(tree: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    tree.entries.iter_mut().find(|entry| entry.name == name).and_then(|entry| match &mut entry.node {
        super::tree::Node::Table(table) => Some(table),
        super::tree::Node::Leaf(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::render_all;

    /// A directory of its own that goes with the value.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("millrace-layers-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.join("conf.d")).expect("the temporary directory is writable");
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).expect("the temporary directory is writable");
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn inputs(file: Option<PathBuf>, set: &[&str], env: &[(&str, &str)]) -> Inputs {
        Inputs {
            // A file that is always there, so that none of the machine is read.
            file: Some(file.unwrap_or_else(|| PathBuf::from("/dev/null"))),
            set: set.iter().map(|s| (*s).to_owned()).collect(),
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    fn wrong(inputs: &Inputs) -> String {
        let found = load(inputs).expect_err("it does not hold");
        render_all(&found, "nothing was started")
    }

    #[test]
    fn without_anything_the_defaults_hold() {
        let loaded = load(&inputs(None, &[], &[])).expect("the built-in config holds");
        assert_eq!(loaded.config, Config::default());
    }

    #[test]
    fn each_layer_wins_over_those_before_it() {
        let dir = Dir::new("order");
        let file = dir.write("a.toml", "shards = 1\n[mqtt]\nmaximum_qos = 1\nmax_inflight = 1\nreceive_maximum = 1\n");
        dir.write("conf.d/20.toml", "[mqtt]\nmax_inflight = 3\n");
        dir.write("conf.d/10.toml", "[mqtt]\nmax_inflight = 2\nreceive_maximum = 2\nmaximum_qos = 0\n");
        dir.write("conf.d/30.txt", "not read");
        let loaded = load(&inputs(
            Some(file),
            &["mqtt.maximum_qos=2", "listeners.0.port=7"],
            &[("MILLRACE__MQTT__MAXIMUM_QOS", "1"), ("MILLRACE__LISTENERS__DEFAULT__PORT", "6"), ("MILLRACE", "x")],
        ))
        .expect("it holds");
        assert_eq!(loaded.config.shards, 1);
        assert_eq!(loaded.config.mqtt.receive_maximum, 2);
        assert_eq!(loaded.config.mqtt.max_inflight, 3);
        assert_eq!(loaded.config.mqtt.maximum_qos, 2);
        assert_eq!(loaded.config.listeners["default"].port, 7);
        let origin = |path: &str| {
            loaded.tree.find(path.split('.')).map(|e| match &e.node {
                super::super::tree::Node::Leaf(leaf) => leaf.origin.to_string(),
                super::super::tree::Node::Table(_) => String::new(),
            })
        };
        assert!(origin("mqtt.max_inflight").is_some_and(|o| o.ends_with("conf.d/20.toml:2:16")));
        assert_eq!(origin("listeners.default.port").as_deref(), Some("--set"));
        assert_eq!(origin("engine").as_deref(), Some("built-in"));
    }

    #[test]
    fn text_from_outside_is_read_as_the_type_of_its_key() {
        let loaded = load(&inputs(
            None,
            &["data_dir=/tmp/x", "engine=epoll", "rules.demo.enabled=false", "limits.connect_timeout=\"3s\""],
            &[("MILLRACE__RULES__DEMO__SINKS", "local"), ("MILLRACE__LISTENERS__DEFAULT__ADDRESS", "::1")],
        ))
        .expect("it holds");
        assert_eq!(loaded.config.data_dir, PathBuf::from("/tmp/x"));
        assert_eq!(loaded.config.engine, millrace_shards::config::EngineChoice::Epoll);
        assert_eq!(loaded.config.limits.connect_timeout.to_string(), "3s");
        assert!(!loaded.config.rules["demo"].enabled);
        assert_eq!(loaded.config.listeners["default"].address.to_string(), "::1");
    }

    #[test]
    fn the_demo_goes_when_a_file_names_others() {
        let dir = Dir::new("demo");
        let own = dir.write("own.toml", "[listeners.plant]\nport = 1\n[rules.hot]\nsql = 'SELECT * FROM \"a\"'\n");
        let config = load(&inputs(Some(own), &[], &[])).expect("it holds").config;
        assert_eq!(config.listeners.keys().collect::<Vec<_>>(), ["plant"]);
        assert_eq!(config.rules.keys().collect::<Vec<_>>(), ["hot"]);
        assert!(config.sinks.is_empty(), "a built-in sink that no rule names is not opened");
        let uses = dir.write("uses.toml", "[rules.hot]\nsql = 'SELECT * FROM \"a\"'\nsinks = [\"local\"]\n");
        let config = load(&inputs(Some(uses), &[], &[])).expect("it holds").config;
        assert_eq!(config.sinks.keys().collect::<Vec<_>>(), ["local"]);
        assert_eq!(config.listeners.keys().collect::<Vec<_>>(), ["default"]);
    }

    #[test]
    fn all_errors_are_told_at_once_with_their_places() {
        let dir = Dir::new("errors");
        let file = dir.write(
            "bad.toml",
            "shards = \"two\"\n[log]\nlevel = \"inf\"\n[listeners.default]\nmax_conections = 50_000\nport = 70000\n[mqtt]\n\
             maximum_qos = 3\n[sessions]\nv3_expiry = 30\n[rules.hot]\nsinks = [\"local\"]\n\
             [rules.cold]\nsql = \"SELEC x\"\n",
        );
        let name = file.display().to_string();
        let told = wrong(&inputs(
            Some(file),
            &["listeners.0.prot=5", "shards"],
            &[("MILLRACE__LISTENERS__DEFAULT__PROXY_PROTOCOL", "http")],
        ))
        .replace(&name, "bad.toml");
        let expected = "\
error[C0102]: `shards` wants a number of shards (whole number, 0 to 512)
 --> bad.toml:1:10
 1 | shards = \"two\"
   |          ^^^^^ this is text
error[C0103]: \"inf\" is not a choice of `log.level`
 --> bad.toml:3:9
 3 | level = \"inf\"
   |         ^^^^^ did you mean `info`? allowed: error, warn, info, debug, trace
error[C0101]: unknown key `max_conections`
 --> bad.toml:5:1
 5 | max_conections = 50_000
   | ^^^^^^^^^^^^^^ did you mean `max_connections`?
error[C0103]: 70000 is not a port (whole number, 0 to 65535)
 --> bad.toml:6:8
 6 | port = 70000
   |        ^^^^^ `listeners.default.port` wants a port (whole number, 0 to 65535)
error[C0103]: `mqtt.maximum_qos` = 3 is not a QoS (whole number, 0 to 2)
 --> bad.toml:8:15
 8 | maximum_qos = 3
   |               ^ wants a QoS (whole number, 0 to 2)
error[C0102]: `sessions.v3_expiry` wants a duration (0ms to 36500d)
  --> bad.toml:10:13
 10 | v3_expiry = 30
    |             ^^ this is a number
error[C0106]: [rules.hot] has no `sql`
  --> bad.toml:11:8
 11 | [rules.hot]
    |        ^^^ `sql` must be set
error[R0003]: rules.cold: expected SELECT or FOREACH, found `SELEC`
  --> bad.toml:14:8
 14 | sql = \"SELEC x\"
    |        ^^^^^ a rule is SELECT fields FROM \"topic/filter\" WHERE condition
error[C0104]: --set shards is not KEY=VALUE (for example --set listeners.default.port=18830)
error[C0104]: MILLRACE__LISTENERS__DEFAULT__PROXY_PROTOCOL=\"http\" is not true or false
error[C0101]: --set listeners.0.prot: unknown key `prot`; did you mean listeners.default.port?
11 errors; nothing was started
";
        assert_eq!(told, expected);
    }

    #[test]
    fn values_of_a_section_with_kinds_are_told_at_their_key_too() {
        let dir = Dir::new("kinds");
        let file = dir.write(
            "bad.toml",
            "[sinks.a]\nkind = \"sqlite\"\nfile = 5\nbatch_rows = \"many\"\noverflow = \"drop\"\nbatch_row = 1\n\
             [sinks.b]\nkind = \"sqllite\"\nfile = \"f\"\n[limits]\nconnect_timeout = 5\n[retained]\nmax_bytes = 5\n\
             [sinks.c]\nkind = \"sqlite\"\nfile = \"f\"\nbatch_rows = 0\n",
        );
        let told = wrong(&inputs(Some(file), &[], &[("MILLRACE__SINKS__C__BATCH_AGE", "5")]));
        for part in [
            "bad.toml:3:8\n 3 | file = 5\n",
            "bad.toml:4:14\n 4 | batch_rows = \"many\"\n",
            "bad.toml:5:12\n 5 | overflow = \"drop\"\n",
            "bad.toml:6:1\n 6 | batch_row = 1\n   | ^^^^^^^^^ did you mean `batch_rows`?",
            "bad.toml:8:8\n 8 | kind = \"sqllite\"\n   |        ^^^^^^^^^ did you mean `sqlite`?",
            "`limits.connect_timeout` wants a duration (100ms to 1h)",
            "`retained.max_bytes` wants a size with its unit, such as \"64KiB\"",
            "MILLRACE__SINKS__C__BATCH_AGE=\"5\" is not a duration with its unit, such as \"30s\"",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
        assert!(told.ends_with("8 errors; nothing was started\n"), "{told}");
        let file = dir.write(
            "zero.toml",
            "[rules.r]\nsql = 'SELECT * FROM \"a\"'\nsinks = [\"c\"]\n[sinks.c]\nkind = \"sqlite\"\nfile = \"../f\"\n\
             batch_rows = 0\n",
        );
        let told = wrong(&inputs(Some(file), &[], &[]));
        assert!(told.contains("error[S0001]: sinks.c: batch_rows = 0") && told.contains("zero.toml:7:14"), "{told}");
    }

    #[test]
    fn a_value_from_outside_is_named_as_it_was_given() {
        let told = wrong(&inputs(None, &["mqtt.maximum_qos=7"], &[("MILLRACE__LISTENERS__DEFAULT__PORT", "http")]));
        let expected = "\
error[C0104]: MILLRACE__LISTENERS__DEFAULT__PORT=\"http\" is not a port (whole number, 0 to 65535)
error[C0104]: --set mqtt.maximum_qos=7: `mqtt.maximum_qos` = 7 is not a QoS (whole number, 0 to 2)
2 errors; nothing was started
";
        let mut sorted: Vec<&str> = told.lines().collect();
        sorted.sort_by_key(|line| !line.contains("MILLRACE"));
        assert_eq!(sorted.join("\n") + "\n", expected);
        assert!(wrong(&inputs(None, &[], &[("MILLRACE__MQT__MAXIMUM_QOS", "1")])).contains("unknown key `mqt`"));
    }

    #[test]
    fn broken_toml_is_told_with_what_else_is_wrong() {
        let dir = Dir::new("syntax");
        let file = dir.write("bad.toml", "shards = \n[log]\nlevel = \"loud\"\nlevel = \"info\"\n[x\n");
        let told = wrong(&inputs(Some(file), &[], &[]));
        assert_eq!(told.matches("error[C0105]").count(), 3, "{told}");
        assert!(told.contains("bad.toml:5:3") && told.contains("duplicate key"), "{told}");
        let absent = inputs(Some(dir.0.join("absent.toml")), &[], &[]);
        assert!(wrong(&absent).starts_with("error[C0112]: cannot read"));
    }

    #[test]
    fn ports_that_clash_and_sinks_that_do_not_exist_are_told() {
        let dir = Dir::new("clash");
        let file = dir.write(
            "bad.toml",
            "[listeners.a]\naddress = \"0.0.0.0\"\n[listeners.b]\nmountpoint = \"x/#\"\n[listeners.\"c d\"]\nport = 5\n\
             [rules.hot]\nsql = 'SELECT * FROM \"a\"'\nsinks = [\"locl\"]\n[sinks.local]\nkind = \"sqlite\"\n\
             file = \"x\"\ntable = \"t\"\n",
        );
        let told = wrong(&inputs(Some(file), &[], &[]));
        for part in [
            "error[C0107]: listeners.b and listeners.a both want 127.0.0.1:1883",
            "error[C0111]: the mountpoint \"x/#\" of listeners.b",
            "whole levels that end in `/`, as in \"tenant/\"; no `+`, `#`, NUL or leading `$`; at most 256 bytes",
            "error[C0109]: \"c d\" cannot be a name",
            "error[C0108]: rules.hot writes to the sink `locl`, which does not exist",
            "did you mean `local`?",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
        let none = wrong(&inputs(None, &["listeners.default.enabled=false"], &[]));
        assert!(none.starts_with("error[C0110]: no listener is enabled"), "{none}");
    }
}
