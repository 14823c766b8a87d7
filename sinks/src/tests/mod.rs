//! From rows to a file, and what happens on the way when things go wrong.

#[cfg(feature = "sqlite")]
mod sqlite;
mod worker;

#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "sqlite")]
use std::sync::atomic::{AtomicU32, Ordering};

use millrace_core::value::{Columns, Record, Row, Value};

/// Columns of these names.
fn columns(names: &[&str]) -> Arc<Columns> {
    Arc::new(Columns::new(names.iter().map(|name| (*name).into()).collect()))
}

/// A row of these columns.
fn record(columns: &Arc<Columns>, values: &[Value<'_>]) -> Record {
    let mut row = Row::default();
    for value in values {
        row.push(value).expect("a small row");
    }
    row.record(columns, 0, 1_000)
}

#[cfg(feature = "sqlite")]
/// A directory that goes with the test.
struct TempDir(PathBuf);

#[cfg(feature = "sqlite")]
impl TempDir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-sinks-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }
}

#[cfg(feature = "sqlite")]
impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
