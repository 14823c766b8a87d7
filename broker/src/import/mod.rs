//! `millrace rules import FILE`: makes a config of an export of EMQX, and says what became of each rule.
//!
//! | question | module |
//! | --- | --- |
//! | how a file becomes one tree of values | [`source`], [`archive`], [`hocon`] |
//! | what the two generations of exports look like | [`v4`], [`v5`], [`republish`], [`templates`] |
//! | what is made of them | [`model`], [`names`] |
//! | what of a sink is carried over, and that no secret is | [`params`] |
//! | where a rule means something else here | [`differences`], [`words`] |
//! | how it is written and told | [`write`](mod@write), [`report`] |

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::exit::Exit;
use model::Imported;
use report::Report;
use source::ImportError;

pub mod archive;
pub mod differences;
pub mod hocon;
pub mod model;
pub mod names;
pub mod params;
pub mod report;
pub mod republish;
pub mod source;
pub mod templates;
pub mod v4;
pub mod v5;
pub mod words;
pub mod write;

/// What can be typed after `rules import`.
#[derive(Args, Clone, Debug)]
pub struct ImportOptions {
    /// Export of EMQX: 4.x JSON, 5.x tar.gz, cluster.hocon or JSON
    pub file: PathBuf,
    /// Where the config goes, a file that does not exist; without it standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The report as one JSON document on standard output, with the config in it unless --out is given
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
#[must_use]
pub fn run(options: &ImportOptions) -> Exit {
    let file = options.file.display().to_string();
    let imported = match source::read(&options.file).and_then(|tree| recognise(&tree, &file)) {
        Ok(imported) => imported,
        Err(error) => {
            eprintln!("{}nothing was imported", error.diagnostic().render());
            return Exit::Config;
        }
    };
    let config = write::write(&imported, &file);
    if let Some(out) = &options.out
        && let Err(error) = save(out, &config)
    {
        let out = crate::diagnostics::printable(&out.display().to_string());
        eprintln!("error: {out} cannot be written: {error}; name a file that does not exist yet");
        return Exit::Failed;
    }
    let report = Report::new(&imported, &file, options.out.as_deref());
    eprint!("{}", report.text());
    if options.json {
        let embedded = options.out.is_none().then_some(config.as_str());
        crate::out::say(&report.json(embedded));
    } else if options.out.is_none() {
        crate::out::say(&config);
    }
    if report.is_complete() { Exit::Done } else { Exit::Failed }
}

/// Which generation it is, and all that is in it.
///
/// # Errors
/// It is none that is known.
fn recognise(tree: &Value, file: &str) -> Result<Imported, ImportError> {
    let Some(root) = tree.as_object() else {
        return Err(ImportError::not_an_export(file, "its outermost value is not an object"));
    };
    let (is_v5, is_v4) = (v5::is_export(root), v4::is_export(root));
    let items = if is_v5 { v5::items(root) } else { v4::items(root) };
    if (is_v5 || is_v4) && items > model::ITEMS_MAX {
        let what = format!("it has {items} things of one kind, such as rules; at most {} are read", model::ITEMS_MAX);
        return Err(ImportError::not_an_export(file, what));
    }
    if is_v5 {
        return Ok(v5::import(root));
    }
    if is_v4 {
        return Ok(v4::import(root));
    }
    const SHOWN: usize = 8;
    let mut keys: Vec<String> = root.keys().take(SHOWN).map(|key| format!("`{}`", model::short(key, 40))).collect();
    if root.len() > SHOWN {
        keys.push("…".to_owned());
    }
    let met = if keys.is_empty() { "an empty object".to_owned() } else { keys.join(", ") };
    Err(ImportError::not_an_export(
        file,
        format!(
            "a 4.x export has `rules` with `rawsql`, a 5.x export has `rule_engine`, `actions` or `bridges`; met: {met}"
        ),
    ))
}

fn save(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
