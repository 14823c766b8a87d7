//! Files that a scenario names: read once, where it is typed, and carried along to wherever it runs.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// The largest file that a payload may come from.
const BYTES_MAX: u64 = 16 << 20;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Files {
    known: RefCell<BTreeMap<String, String>>,
    /// Nothing is looked for on this machine.
    carried: bool,
}

impl Files {
    /// Those that somebody else has read.
    pub(crate) fn carried(known: BTreeMap<String, String>) -> Self {
        Self { known: RefCell::new(known), carried: true }
    }

    /// What stands in a file.
    pub(crate) fn read(&self, path: &str) -> Result<String, String> {
        if let Some(text) = self.known.borrow().get(path) {
            return Ok(text.clone());
        }
        if self.carried {
            return Err(format!("{path} was not sent along"));
        }
        let told = |error: std::io::Error| format!("cannot read {path}: {error}");
        if std::fs::metadata(path).map_err(told)?.len() > BYTES_MAX {
            return Err(format!("{path} is over {} MiB", BYTES_MAX >> 20));
        }
        let text = std::fs::read_to_string(path).map_err(told)?;
        self.known.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    }

    /// All that were read.
    pub(crate) fn known(&self) -> BTreeMap<String, String> {
        self.known.borrow().clone()
    }
}
