//! What a lint cannot say about this tree: crate arrows, file headers, forbidden words, live paths in the docs.
//!
//! Each test walks the checkout, gathers every breach and fails with the whole list.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Which of our crates each crate may use, dev-dependencies included.
const ARROWS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("store", &[]),
    ("rules", &["core"]),
    ("sinks", &["core", "store"]),
    ("shards", &["core", "rules", "store"]),
    ("gateways", &["core", "shards"]),
    ("admin", &["core", "shards", "rules", "sinks"]),
    ("broker", &["core", "store", "rules", "sinks", "shards", "gateways", "admin"]),
    ("loadgen", &["core"]),
    ("bench", &["core", "store", "rules", "sinks", "shards", "gateways", "admin", "loadgen"]),
    ("tests", &["core", "store", "rules", "sinks", "shards", "gateways", "admin", "broker", "loadgen"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

/// Every file of the checkout with this extension, as a path from the root, without what builds and tools leave.
fn files(extension: &str) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, extension: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("a folder of the checkout can be read") {
            let path = entry.expect("its entries too").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8");
            if path.is_dir() {
                if !matches!(name, "target" | ".git" | "node_modules" | "data") {
                    walk(&path, root, extension, found);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                let relative = path.strip_prefix(root).expect("it lies under the root");
                found.push(relative.to_str().expect("names are UTF-8").to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &root(), extension, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no .{extension} file in {:?}", root());
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// The source without comments and string contents, so that words in prose do not count; line breaks stay.
fn code_of(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let bytes: Vec<char> = source.chars().collect();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        match rest {
            ['/', '/', ..] => {
                while i < bytes.len() && bytes[i] != '\n' {
                    i += 1;
                }
            }
            ['/', '*', ..] => {
                while i < bytes.len() && !matches!(&bytes[i..], ['*', '/', ..]) {
                    if bytes[i] == '\n' {
                        out.push('\n');
                    }
                    i += 1;
                }
                i += 2;
            }
            ['r', '#', '"', ..] | ['r', '"', ..] => {
                let hashes = usize::from(rest[1] == '#');
                i += 2 + hashes;
                out.push_str("\"\"");
                while i < bytes.len() && !(bytes[i] == '"' && (hashes == 0 || bytes.get(i + 1) == Some(&'#'))) {
                    if bytes[i] == '\n' {
                        out.push('\n');
                    }
                    i += 1;
                }
                i += 1 + hashes;
            }
            ['"', ..] => {
                i += 1;
                out.push_str("\"\"");
                while i < bytes.len() && bytes[i] != '"' {
                    if bytes[i] == '\n' {
                        out.push('\n');
                    }
                    i += if bytes[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            ['\'', '\\', _, '\'', ..] => i += 4,
            ['\'', _, '\'', ..] => i += 3,
            [c, ..] => {
                out.push(*c);
                i += 1;
            }
            [] => {}
        }
    }
    out
}

/// Whether `word` stands in `text` on its own.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(is_part)
            && !text[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

fn lines_with<'a>(text: &'a str, matches: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines().enumerate().filter(move |(_, line)| matches(line)).map(|(at, line)| (at + 1, line.trim()))
}

#[track_caller]
fn none(breaches: &[String], what: &str) {
    let mut list = String::new();
    for breach in breaches {
        let _ = write!(list, "\n  {breach}");
    }
    assert!(breaches.is_empty(), "{what}:{list}");
}

/// The `Cargo.toml` of each member, by folder.
fn manifests() -> Vec<(String, toml::Table)> {
    let workspace: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members is a list");
    members
        .iter()
        .map(|member| {
            let folder = member.as_str().expect("members are folders").to_owned();
            let manifest = read(&format!("{folder}/Cargo.toml")).parse().expect("a Cargo.toml is TOML");
            (folder, manifest)
        })
        .collect()
}

/// Each dependency of a manifest: the table it stands in, its name, its value.
fn dependencies(manifest: &toml::Table) -> Vec<(String, String, toml::Value)> {
    fn gather(table: &toml::Table, prefix: &str, found: &mut Vec<(String, String, toml::Value)>) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(toml::Value::Table(entries)) = table.get(kind) {
                for (name, value) in entries {
                    found.push((format!("{prefix}{kind}"), name.clone(), value.clone()));
                }
            }
        }
    }
    let mut found = Vec::new();
    gather(manifest, "", &mut found);
    if let Some(toml::Value::Table(targets)) = manifest.get("target") {
        for (target, table) in targets {
            gather(table.as_table().expect("a target is a table"), &format!("target.{target}."), &mut found);
        }
    }
    found
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let mut breaches = Vec::new();
    for (folder, manifest) in manifests() {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == folder) else {
            breaches.push(format!("{folder}/ is not in the table of crates"));
            continue;
        };
        for (kind, name, _) in dependencies(&manifest) {
            let ours = match name.as_str() {
                "millrace" => "broker",
                "millrace-load" => "loadgen",
                other => match other.strip_prefix("millrace-") {
                    Some(ours) => ours,
                    None => continue,
                },
            };
            if !allowed.contains(&ours) {
                breaches.push(format!("{folder}/ may not use {ours}/ ({kind})"));
            }
        }
    }
    none(&breaches, "an arrow between crates points the wrong way");
}

#[test]
fn dependencies_are_named_once_in_the_root() {
    let mut breaches = Vec::new();
    for (folder, manifest) in manifests() {
        for (kind, name, value) in dependencies(&manifest) {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                breaches.push(format!("{folder}/Cargo.toml [{kind}]: {name} without workspace = true"));
            }
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) != Some(true) {
            breaches.push(format!("{folder}/Cargo.toml: [lints] without workspace = true"));
        }
    }
    none(&breaches, "the root Cargo.toml names versions and lints");
}

#[test]
fn dependencies_of_the_root_are_all_used() {
    let workspace: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let named = workspace["workspace"]["dependencies"].as_table().expect("dependencies is a table");
    let used: BTreeSet<String> =
        manifests().iter().flat_map(|(_, manifest)| dependencies(manifest)).map(|(_, name, _)| name).collect();
    let breaches: Vec<String> = named.keys().filter(|name| !used.contains(*name)).cloned().collect();
    none(&breaches, "named in the root Cargo.toml and used by nobody");
}

#[test]
fn every_file_says_its_job_first() {
    let breaches: Vec<String> = files("rs")
        .into_iter()
        .filter(|path| !read(path).lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 8))
        .collect();
    none(&breaches, "a file opens with //! and one sentence that says its job");
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
        ["HA", "CK"].concat(),
        ["unimplemen", "ted!"].concat(),
        ["to", "do!"].concat(),
        ["placehol", "der"].concat(),
    ];
    let mut breaches = Vec::new();
    for path in ["rs", "toml", "md", "sh", "py", "mjs"].iter().flat_map(|e| files_if_any(e)) {
        let text = read(&path);
        for word in &words {
            for (line, content) in lines_with(&text, |line| has_word(line, word)) {
                breaches.push(format!("{path}:{line}: {content}"));
            }
        }
    }
    none(&breaches, "work that is left becomes an issue, not a comment");
}

fn files_if_any(extension: &str) -> Vec<String> {
    std::panic::catch_unwind(|| files(extension)).unwrap_or_default()
}

#[test]
fn no_test_is_switched_off() {
    let mark = ["#[ign", "ore"].concat();
    let mut breaches = Vec::new();
    for path in files("rs") {
        let text = read(&path);
        for (line, content) in lines_with(&text, |line| line.contains(&mark)) {
            breaches.push(format!("{path}:{line}: {content}"));
        }
    }
    none(&breaches, "a test that does not run holds nothing; long ones go behind the feature `long`");
}

#[test]
fn core_and_the_shard_logic_have_no_clock_and_no_socket() {
    const FORBIDDEN: &[&str] = &[
        "Instant::now",
        "SystemTime::now",
        "std::net::Tcp",
        "std::net::Udp",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "thread::sleep",
        "thread::spawn",
    ];
    let mut breaches = Vec::new();
    for path in files("rs") {
        if !path.starts_with("core/src/") && !path.starts_with("shards/src/shard/") {
            continue;
        }
        let code = before_tests(&code_of(&read(&path)));
        for (line, content) in lines_with(&code, |line| FORBIDDEN.iter().any(|f| line.contains(f))) {
            breaches.push(format!("{path}:{line}: {content}"));
        }
    }
    none(&breaches, "time and bytes come in as arguments");
}

/// The part of a file in front of its unit tests, which may use clocks to measure and threads to race.
fn before_tests(code: &str) -> String {
    match code.find("#[cfg(test)]\nmod ") {
        Some(at) => code[..at].to_owned(),
        None => code.to_owned(),
    }
}

#[test]
fn only_the_runtime_imports_glommio_and_io_uring() {
    let mut breaches = Vec::new();
    for path in files("rs") {
        if ["shards/src/runtime/", "shards/tests/", "loadgen/src/"].iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let code = code_of(&read(&path));
        for (line, content) in lines_with(&code, |line| line.contains("glommio::") || line.contains("io_uring::")) {
            breaches.push(format!("{path}:{line}: {content}"));
        }
    }
    none(&breaches, "glommio and io_uring are known under shards/src/runtime/ and to its tests only");
}

#[test]
fn unsafe_code_is_where_the_architecture_says() {
    let architecture = read("ARCHITECTURE.md");
    let section = architecture
        .split("\n## ")
        .find(|section| section.starts_with("Unsafe code"))
        .expect("ARCHITECTURE.md has a section \"Unsafe code\"");
    let listed: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next()).collect();
    let mut seen = BTreeSet::new();
    let mut breaches = Vec::new();
    for path in files("rs") {
        let code = code_of(&read(&path));
        if !has_word(&code, "unsafe") && !code.contains("(unsafe_code") {
            continue;
        }
        match listed.iter().find(|entry| path == **entry || (entry.ends_with('/') && path.starts_with(**entry))) {
            Some(entry) => {
                seen.insert(*entry);
            }
            None => breaches.push(format!("{path} has unsafe code and is not in the list of ARCHITECTURE.md")),
        }
    }
    for entry in listed {
        if !seen.contains(entry) {
            breaches.push(format!("ARCHITECTURE.md lists {entry}, which has no unsafe code"));
        }
    }
    none(&breaches, "unsafe code is confined");
}

#[test]
fn paths_in_the_docs_exist() {
    let mut breaches = Vec::new();
    for page in files("md") {
        let text = read(&page);
        let folder = Path::new(&page).parent().expect("a page lies in a folder");
        for (line, content) in lines_with(&text, |_| true) {
            for path in paths_in_backticks(content) {
                if !root().join(path).exists() {
                    breaches.push(format!("{page}:{line}: `{path}` is gone"));
                }
            }
            for target in link_targets(content) {
                let target = target.split('#').next().unwrap_or_default();
                if !target.is_empty()
                    && !target.contains("://")
                    && !target.starts_with("mailto:")
                    && !root().join(folder).join(target).exists()
                {
                    breaches.push(format!("{page}:{line}: link to {target} leads nowhere"));
                }
            }
        }
    }
    none(&breaches, "a wrong map is worse than none");
}

/// Words in backticks that begin with a folder of the checkout, without patterns.
fn paths_in_backticks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|word| {
        let first = word.split('/').next().unwrap_or_default();
        word.contains('/')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c))
            && (ARROWS.iter().any(|(name, _)| *name == first) || matches!(first, "docs" | "deploy" | ".ci"))
    })
}

/// The targets of Markdown links in a line.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let numbers: Vec<String> = files("md")
        .into_iter()
        .filter_map(|path| path.strip_prefix("docs/decisions/").map(str::to_owned))
        .map(|name| name.chars().take(4).collect())
        .collect();
    let wanted: Vec<String> = (1..=numbers.len()).map(|n| format!("{n:04}")).collect();
    assert_eq!(numbers, wanted, "docs/decisions/ holds 0001, 0002, … each once");
}
