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

/// Reads the file, whichever of the formats it has.
///
/// # Errors
/// It cannot be read, or it is none of them.
pub fn read(path: &Path) -> Result<Value, Diagnostic> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(|error| Diagnostic::error("C0112", format!("{name} cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!(
            "it is larger than {} MiB (of a 4.x export this keeps what matters: jq '{{version, rules, resources}}')",
            FILE_BYTES_MAX >> 20
        );
        return Err(unknown(&name, &what));
    }
    if archive::is_gzip(&bytes) {
        let found = archive::config_of(&bytes).map_err(|what| unknown(&name, &what))?;
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

fn parse(bytes: &[u8], name: &str) -> Result<Value, Diagnostic> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| unknown(name, &format!("it is not UTF-8 text (byte {})", error.valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // JSON is HOCON, too; but its own parser is quicker and says better what is wrong.
    if text.trim_start().starts_with(['{', '[']) {
        let json = match serde_json::from_str(text) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        return hocon::parse(text).map_err(|_| unknown(name, &format!("it is not JSON: {json}")));
    }
    if text.trim().is_empty() {
        return Err(unknown(name, "it is empty"));
    }
    hocon::parse(text).map_err(|wrong| unknown(name, &format!("it is neither JSON nor HOCON: {wrong}")))
}

/// The file is not what this verb reads.
#[must_use]
pub fn unknown(file: &str, what: &str) -> Diagnostic {
    Diagnostic::error("C0120", format!("{file} is not an export of EMQX that can be read: {what}"))
        .help("4.x: `emqx_ctl data export`; 5.x: `emqx ctl data export`, or the data/configs/cluster.hocon of a node")
}
