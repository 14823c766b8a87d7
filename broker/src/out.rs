//! Standard output, without a panic when nobody reads it.

use std::io::Write;

/// Writes to standard output. A closed pipe is no error: who read it has read enough.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
