//! From SQL to rows in a file, and what happens on the way when things go wrong.

#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod thread;
mod worker;

use std::sync::Arc;

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
