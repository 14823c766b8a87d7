//! From a file to one tree of values: which format it is, and what is refused by name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{archive, hocon};
use crate::diagnostics::Diagnostic;

/// A file with rules larger than this is refused; real ones are a few megabytes.
pub const FILE_BYTES_MAX: u64 = 32 << 20;
/// The text of rules and actions in an archive.
pub const TEXT_BYTES_MAX: u64 = 32 << 20;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// Its path.
        file: String,
        /// Why not.
        error: std::io::Error,
    },
    /// What is in it.
    #[error("{file} is not an export of EMQX that can be read: {what}")]
    NotAnExport {
        /// Its path, and the path inside of an archive.
        file: String,
        /// What was met.
        what: String,
    },
}

impl ImportError {
    /// The file is not what this verb reads.
    #[must_use]
    pub fn not_an_export(file: &str, what: impl Into<String>) -> Self {
        Self::NotAnExport { file: file.to_owned(), what: what.into() }
    }

    /// For people, with what to do.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        match self {
            Self::Unreadable { .. } => Diagnostic::error("C0112", self.to_string()),
            Self::NotAnExport { .. } => Diagnostic::error("C0122", self.to_string()).help(
                "4.x: `emqx_ctl data export`; 5.x: `emqx ctl data export`, or the data/configs/cluster.hocon of a node",
            ),
        }
    }
}

/// Reads the file, whichever of the formats it has.
///
/// # Errors
/// It cannot be read, or it is none of them.
pub fn read(path: &Path) -> Result<Value, ImportError> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(|error| ImportError::Unreadable { file: name.clone(), error })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!(
            "it is larger than {} MiB (of a 4.x export this keeps what matters: jq '{{version, rules, resources}}')",
            FILE_BYTES_MAX >> 20
        );
        return Err(ImportError::not_an_export(&name, what));
    }
    if archive::is_gzip(&bytes) {
        let found = archive::config_of(&bytes).map_err(|what| ImportError::not_an_export(&name, what))?;
        return parse(&found.bytes, &format!("{name}, {}", found.name));
    }
    parse(&bytes, &name)
}

fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8], name: &str) -> Result<Value, ImportError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        ImportError::not_an_export(name, format!("it is not UTF-8 text (byte {})", error.valid_up_to()))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // JSON is HOCON, too; but its own parser is quicker and says better what is wrong.
    if text.trim_start().starts_with(['{', '[']) {
        let json = match serde_json::from_str(text) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        return hocon::parse(text).map_err(|_| ImportError::not_an_export(name, format!("it is not JSON: {json}")));
    }
    if text.trim().is_empty() {
        return Err(ImportError::not_an_export(name, "it is empty"));
    }
    hocon::parse(text)
        .map_err(|wrong| ImportError::not_an_export(name, format!("it is neither JSON nor HOCON: {wrong}")))
}
