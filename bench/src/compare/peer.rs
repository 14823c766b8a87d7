//! A broker that takes part: where it is, how it is started, what it lacks; read from `bench/peers/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::rows::Needs;
use crate::host;
use crate::process::Programs;

/// The file name of Millrace itself.
pub(crate) const OURS: &str = "millrace";

/// The ending of the files.
const ENDING: &str = ".peer.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    name: String,
    /// Where it may be: names on PATH, or paths.
    program: Vec<String>,
    /// Arguments with which it says its version.
    #[serde(default)]
    version: Vec<String>,
    /// Another program that says it.
    #[serde(default)]
    version_command: Vec<String>,
    arguments: Vec<String>,
    /// The file with its settings, beside this one.
    config: String,
    /// More files, by name, in its folder.
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Whether it takes part without being named.
    default: bool,
    /// How it gets here: by a Debian package, by a crate, or as the words say.
    apt: Option<String>,
    cargo: Option<String>,
    get: Option<String>,
    #[serde(default)]
    lacks: BTreeMap<String, String>,
}

/// What stands for what in its files.
pub(crate) struct Places<'a> {
    pub(crate) port: u16,
    pub(crate) threads: usize,
    pub(crate) dir: &'a Path,
}

/// What is added to the command line and to the environment of a peer.
pub(crate) struct Start {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The name of its file, by which it is asked for.
    pub(crate) key: String,
    pub(crate) name: String,
    /// Whether it takes part without being named.
    pub(crate) usual: bool,
    sheet: Sheet,
    settings: String,
    /// Millrace, where it was built.
    ours: Option<PathBuf>,
}

/// All that have a file, Millrace first.
pub(crate) fn all(programs: Option<&Programs>) -> Result<Vec<Peer>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut keys: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(ENDING)?.to_owned())).collect();
    keys.sort_by_key(|key| (key != OURS, key.clone()));
    keys.into_iter().map(|key| Peer::read(&folder, key, programs)).collect()
}

impl Peer {
    fn read(folder: &Path, key: String, programs: Option<&Programs>) -> Result<Self, String> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let name = format!("{key}{ENDING}");
        let sheet: Sheet = toml::from_str(&read(&name)?).map_err(|error| format!("{name}: {error}"))?;
        let settings = read(&sheet.config)?;
        let ours = programs.map(|programs| programs.broker.clone());
        Ok(Self { key, name: sheet.name.clone(), usual: sheet.default, sheet, settings, ours })
    }

    /// Where it is.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        self.sheet.program.iter().find_map(|place| {
            if place == "{millrace}" {
                return self.ours.clone();
            }
            let place = in_cache(place);
            if place.contains('/') {
                return Some(PathBuf::from(place)).filter(|path| path.is_file());
            }
            std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(&place)).find(|path| path.is_file())
        })
    }

    /// How it gets here, in words.
    pub(crate) fn install(&self) -> String {
        match (&self.sheet.apt, &self.sheet.cargo) {
            (Some(package), _) => format!("apt-get install {package}"),
            (None, Some(package)) => format!("cargo install {package} --root {}", in_cache("{cache}")),
            (None, None) => self.sheet.get.clone().unwrap_or_default(),
        }
    }

    /// The shell command that brings it here, run in the root of the checkout.
    pub(crate) fn installer(&self) -> Option<String> {
        match (&self.sheet.apt, &self.sheet.cargo) {
            // The package must not start its daemon.
            (Some(package), _) => Some(format!(". tests/services/_lib.sh && apt_install {package}")),
            (None, Some(package)) => Some(in_cache(&format!("cargo install {package} --locked --root {{cache}}"))),
            (None, None) => None,
        }
    }

    /// What it says of its version.
    pub(crate) fn version(&self) -> String {
        let said = match self.sheet.version_command.split_first() {
            Some((program, arguments)) => host::said(Path::new(program), arguments),
            None => self.program().and_then(|program| host::said(&program, &self.sheet.version)),
        };
        said.unwrap_or_else(|| "unknown".to_owned())
    }

    /// Why it cannot do what a row needs.
    pub(crate) fn lacks(&self, needs: Needs) -> Option<&str> {
        match needs {
            Needs::Nothing => None,
            Needs::QoS2 => self.sheet.lacks.get("qos2").map(String::as_str),
        }
    }

    /// Writes its files; says how it is started.
    pub(crate) fn prepare(&self, places: &Places<'_>) -> std::io::Result<Start> {
        let config = places.dir.join(&self.sheet.config);
        let fill = |text: &str| {
            text.replace("{port}", &places.port.to_string())
                .replace("{port2}", &places.port.wrapping_add(1).to_string())
                .replace("{port3}", &places.port.wrapping_add(2).to_string())
                .replace("{threads}", &places.threads.to_string())
                .replace("{dir}", &places.dir.display().to_string())
                .replace("{config}", &config.display().to_string())
        };
        std::fs::write(&config, fill(&self.settings))?;
        for (name, text) in &self.sheet.files {
            std::fs::write(places.dir.join(name), fill(text))?;
        }
        let arguments = self.sheet.arguments.iter().map(|argument| fill(argument)).collect();
        let environment = self.sheet.environment.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        Ok(Start { arguments, environment })
    }
}

/// Where peers are that cargo built: outside of the checkout, kept from run to run.
fn in_cache(text: &str) -> String {
    let cache = std::env::var_os("MILLRACE_BENCH_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/millrace-bench"),
        PathBuf::from,
    );
    text.replace("{cache}", &cache.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_its_files_and_leaves_nothing_unfilled() {
        let dir = std::env::temp_dir().join(format!("millrace-peers-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("it can be made");
        let peers = all(None).expect("they can be read");
        assert!(peers.len() > 5 && peers[0].key == OURS);
        for peer in peers {
            let Start { arguments, environment } =
                peer.prepare(&Places { port: 1234, threads: 3, dir: &dir }).expect("it can be written");
            let written = std::fs::read_to_string(dir.join(&peer.sheet.config)).expect("it was written");
            let port = environment.iter().any(|(_, value)| value.contains("1234")) || written.contains("1234");
            assert!(port, "{} is not told its port", peer.key);
            let all = arguments.into_iter().chain(environment.into_iter().map(|(_, value)| value)).chain([written]);
            for text in all {
                for name in ["{port", "{threads}", "{dir}", "{config}", "{cache}"] {
                    assert!(
                        !text.lines().any(|line| line.contains(name) && !line.starts_with('#')),
                        "{}: {text}",
                        peer.key
                    );
                }
            }
        }
        let _ = std::fs::remove_dir_all(dir);
    }
}
