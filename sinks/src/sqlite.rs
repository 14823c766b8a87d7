//! Rows into a table of a SQLite file: one transaction a batch, values always bound, never text in a statement.
//!
//! The table and its columns are made as rows bring them. Columns have no declared type, so that each value keeps its
//! own; a table that was made beforehand keeps its types and constraints, and what they refuse is rejected in SQLite's
//! words. Lists and maps become JSON text, true and false 1 and 0.
//!
//! What is written survives the death of the process. When power goes the file stays whole, but the last commits may be
//! missing: `synchronous = NORMAL` in WAL mode.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millrace_core::units::ByteSize;
use millrace_core::value::{Columns, Record, Value};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use crate::config::SqliteConfig;
use crate::sink::{Failure, Reason, Sink, Verdicts};

/// SQLite's own limit on the columns of a table.
const COLUMNS_MAX: usize = 2000;
/// Column lists for which the statement is remembered.
const PLANS_MAX: usize = 4096;

/// A SQLite file as a sink.
pub struct Sqlite {
    data_dir: PathBuf,
    file: PathBuf,
    table: String,
    max_size: Option<ByteSize>,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    path: PathBuf,
    /// Device and inode: whether the file is still the one that the name stands for.
    identity: (u64, u64),
    /// Columns that the table has, in lower case; nothing while it is not known to exist.
    columns: Option<HashSet<String>>,
    /// What to do with rows of these columns. The key is the address of the columns, kept alive by the value.
    plans: HashMap<usize, (Arc<Columns>, Plan)>,
}

#[derive(Clone)]
enum Plan {
    Insert(Arc<str>),
    Reject(Reason),
}

impl Sqlite {
    /// A sink for this file; nothing is touched yet.
    ///
    /// # Errors
    /// A file outside `data_dir`, or a table without a name.
    pub fn new(config: &SqliteConfig, data_dir: &Path) -> Result<Self, String> {
        let inside = config.file.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || config.file.as_os_str().is_empty() {
            return Err(format!("file = {:?} is not below data_dir: write a relative path without ..", config.file));
        }
        if config.table.is_empty() || config.table.contains('\0') || config.table.to_lowercase().starts_with("sqlite_")
        {
            return Err(format!(
                "table = {:?} is not a name for a table; those that begin with sqlite_ are SQLite's own",
                config.table
            ));
        }
        Ok(Self {
            data_dir: data_dir.to_owned(),
            file: config.file.clone(),
            table: config.table.clone(),
            max_size: config.max_size,
            open: None,
        })
    }

    /// The path of the file, its directories made; symbolic links do not lead out of `data_dir`.
    fn place(&self) -> io::Result<PathBuf> {
        let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(&self.data_dir)?;
        let path = self.data_dir.join(&self.file);
        let parent = path.parent().unwrap_or(&self.data_dir);
        make(parent)?;
        let outside = || io::Error::new(io::ErrorKind::PermissionDenied, "the path leads out of data_dir");
        let real = parent.canonicalize()?;
        if !real.starts_with(self.data_dir.canonicalize()?) {
            return Err(outside());
        }
        let path = real.join(path.file_name().ok_or_else(outside)?);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_symlink()) {
            return Err(outside());
        }
        Ok(path)
    }
}

impl Sink for Sqlite {
    fn open(&mut self) -> Result<(), Reason> {
        const BUSY_WAIT: Duration = Duration::from_millis(200);
        self.open = None;
        let io_reason = |error: io::Error| Reason::new("cannot_open", format!("{}: {error}", self.file.display()));
        let path = self.place().map_err(io_reason)?;
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(io_reason)?;
        let found = file.metadata().map_err(io_reason)?;
        let identity = (found.dev(), found.ino());
        drop(file);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(BUSY_WAIT)?;
            connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            connection.execute_batch("PRAGMA synchronous = NORMAL")?;
            if let Some(ByteSize(bytes)) = self.max_size {
                let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
                let pages = format!("PRAGMA max_page_count = {}", (bytes / u64::from(page.max(1))).max(1));
                connection.query_row(&pages, [], |_| Ok(()))?;
            }
            Ok(connection)
        };
        let connection = connect().map_err(|error| reason(&error))?;
        self.open = Some(Open { connection, path, identity, columns: None, plans: HashMap::new() });
        Ok(())
    }

    fn write(&mut self, rows: &[Record], verdicts: &mut Verdicts) -> Result<(), Failure> {
        let Some(open) = &mut self.open else {
            return Err(Failure::Reopen(Reason::new("cannot_open", "the file is not open")));
        };
        if !open.is_same_file() {
            return Err(Failure::Reopen(Reason::new("moved", "the file was moved or deleted and is made again")));
        }
        let result = open.write(&self.table, rows, verdicts);
        if result.is_err() {
            // What was learned or made in this transaction may be gone with it.
            open.columns = None;
            open.plans.clear();
            if !open.connection.is_autocommit() && open.connection.execute_batch("ROLLBACK").is_err() {
                return Err(Failure::Reopen(Reason::new("rollback", "a transaction could not be undone")));
            }
        }
        result
    }

    fn close(&mut self) {
        self.open = None;
    }
}

impl Open {
    fn is_same_file(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    fn write(&mut self, table: &str, rows: &[Record], verdicts: &mut Verdicts) -> Result<(), Failure> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failure(&error))?;
        let mut from = 0;
        while from < rows.len() {
            let columns = rows[from].columns();
            let same = rows[from..].iter().take_while(|row| Arc::ptr_eq(row.columns(), columns)).count();
            let group = from..from + same;
            match self.plan(table, columns)? {
                Plan::Insert(statement) => self.insert(&statement, &rows[group.clone()], from, verdicts)?,
                Plan::Reject(reason) => group.clone().for_each(|row| verdicts.rejected(row, reason.clone())),
            }
            from = group.end;
        }
        self.connection.execute_batch("COMMIT").map_err(|error| failure(&error))
    }

    fn insert(&self, statement: &str, rows: &[Record], from: usize, verdicts: &mut Verdicts) -> Result<(), Failure> {
        let mut statement = self.connection.prepare_cached(statement).map_err(|error| failure(&error))?;
        for (index, row) in rows.iter().enumerate() {
            let done = row
                .values()
                .enumerate()
                .try_for_each(|(column, value)| statement.raw_bind_parameter(column + 1, Bound(value)))
                .and_then(|()| statement.raw_execute());
            match done {
                Ok(_) => verdicts.written(from + index),
                Err(error) if is_about_the_row(&error) => {
                    if self.connection.is_autocommit() {
                        // A constraint of the table ended the whole transaction: rows before this one are undone.
                        return Err(Failure::Split(reason(&error)));
                    }
                    verdicts.rejected(from + index, reason(&error));
                }
                Err(error) => return Err(failure(&error)),
            }
        }
        Ok(())
    }

    /// The statement for rows of these columns; the table has them all when this returns.
    fn plan(&mut self, table: &str, columns: &Arc<Columns>) -> Result<Plan, Failure> {
        let key = Arc::as_ptr(columns) as usize;
        if let Some((_, plan)) = self.plans.get(&key) {
            return Ok(plan.clone());
        }
        let plan = match self.prepare_table(table, columns)? {
            Some(reason) => Plan::Reject(reason),
            None => Plan::Insert(insert_statement(table, columns)),
        };
        if self.plans.len() >= PLANS_MAX {
            self.plans.clear();
        }
        self.plans.insert(key, (Arc::clone(columns), plan.clone()));
        Ok(plan)
    }

    /// Makes the table and the columns that are missing; says why rows like these can never be stored, if so.
    fn prepare_table(&mut self, table: &str, columns: &Columns) -> Result<Option<Reason>, Failure> {
        let mut seen = HashSet::new();
        for name in columns.names() {
            if name.contains('\0') {
                return Ok(Some(Reason::new("column_name", format!("{name:?} is not a name for a column"))));
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                return Ok(Some(Reason::new(
                    "column_name",
                    format!("two columns are called {name:?}: SQLite does not tell capital letters from small ones"),
                )));
            }
        }
        let known = match self.columns.take() {
            Some(known) => known,
            None => self.read_columns(table).map_err(|error| failure(&error))?,
        };
        let missing: Vec<&str> = columns
            .names()
            .iter()
            .map(AsRef::as_ref)
            .filter(|name: &&str| !known.contains(&name.to_ascii_lowercase()))
            .collect();
        if known.len() + missing.len() > COLUMNS_MAX {
            self.columns = Some(known);
            return Ok(Some(Reason::new("column_count", format!("a table has at most {COLUMNS_MAX} columns"))));
        }
        let table = quoted(table);
        if known.is_empty() {
            let names: Vec<_> = missing.iter().map(|name| quoted(name)).collect();
            self.connection
                .execute_batch(&format!("CREATE TABLE {table} ({})", names.join(", ")))
                .map_err(|error| failure(&error))?;
        } else {
            for name in &missing {
                self.connection
                    .execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {}", quoted(name)))
                    .map_err(|error| failure(&error))?;
            }
        }
        self.columns = Some(known.into_iter().chain(seen).collect());
        Ok(None)
    }

    fn read_columns(&self, table: &str) -> rusqlite::Result<HashSet<String>> {
        let mut statement = self.connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get::<_, String>(0))?;
        names.map(|name| name.map(|name| name.to_ascii_lowercase())).collect()
    }
}

fn insert_statement(table: &str, columns: &Columns) -> Arc<str> {
    let names: Vec<_> = columns.names().iter().map(|name| quoted(name)).collect();
    let places: Vec<_> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", quoted(table), names.join(", "), places.join(", ")).into()
}

/// A name as SQL writes it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Bound<'a>(Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match &self.0 {
            Value::Null => rusqlite::types::Null.to_sql().map(|_| ToSqlOutput::from(rusqlite::types::Null)),
            Value::Bool(value) => Ok(i64::from(*value).into()),
            Value::Int(value) => Ok((*value).into()),
            Value::Float(value) => Ok((*value).into()),
            Value::Text(text) => Ok(text.as_ref().into()),
            Value::Bytes(bytes) => Ok(bytes.as_ref().into()),
            list_or_map => Ok(list_or_map.to_json().into()),
        }
    }
}

/// Whether SQLite said that the row itself is bad. Everything else is tried again.
fn is_about_the_row(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

fn failure(error: &rusqlite::Error) -> Failure {
    let reason = reason(error);
    match error.sqlite_error_code() {
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ReadOnly,
        ) => Failure::Reopen(reason),
        _ => Failure::Retry(reason),
    }
}

fn reason(error: &rusqlite::Error) -> Reason {
    let code = match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => "constraint",
        Some(ErrorCode::TypeMismatch) => "type",
        Some(ErrorCode::TooBig) => "too_big",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "locked",
        Some(ErrorCode::DiskFull) => "disk_full",
        Some(ErrorCode::SystemIoFailure) => "io",
        Some(ErrorCode::CannotOpen) => "cannot_open",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "damaged",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "read_only",
        _ => "other",
    };
    Reason::new(code, error.to_string())
}
