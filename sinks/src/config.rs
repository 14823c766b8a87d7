//! `[sinks.NAME]`: what a sink is in the config; `kind` chooses it.

use std::path::PathBuf;
use std::time::Duration;

use millrace_core::units::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use crate::batch::BatchLimits;

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SinkConfig {
    /// A file of the embedded database.
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConfig),
}

impl SinkConfig {
    /// What all kinds of sink have.
    #[must_use]
    pub const fn buffering(&self) -> Buffering {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => config.buffering(),
        }
    }
}

/// What happens to a row that finds the buffer full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The new row is dropped and counted.
    #[default]
    DropNewest,
}

/// How rows wait for a sink and are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// When a batch is complete.
    pub batch: BatchLimits,
    /// Rows that wait on each shard at most.
    pub buffer_rows: usize,
    /// Bytes of the rows that wait on all shards together.
    pub buffer_bytes: u64,
    /// What happens when there is no room.
    pub overflow: Overflow,
    /// The first wait after a failure.
    pub retry_min: Duration,
    /// The longest wait between tries.
    pub retry_max: Duration,
}

const BATCH_ROWS: u32 = 100;
const BATCH_BYTES: ByteSize = ByteSize(1 << 20);
const BATCH_AGE: Span = Span(Duration::from_millis(10));
const BUFFER_ROWS: u32 = 8192;
const BUFFER_BYTES: ByteSize = ByteSize(64 << 20);
const RETRY_MIN: Span = Span(Duration::from_millis(100));
const RETRY_MAX: Span = Span(Duration::from_secs(10));

impl Default for Buffering {
    fn default() -> Self {
        Self {
            batch: BatchLimits { rows: BATCH_ROWS as usize, bytes: 1 << 20, age: BATCH_AGE.0 },
            buffer_rows: BUFFER_ROWS as usize,
            buffer_bytes: BUFFER_BYTES.0,
            overflow: Overflow::default(),
            retry_min: RETRY_MIN.0,
            retry_max: RETRY_MAX.0,
        }
    }
}

mod defaults {
    use super::{ByteSize, Span};

    pub(super) const fn batch_rows() -> u32 {
        super::BATCH_ROWS
    }
    pub(super) const fn batch_bytes() -> ByteSize {
        super::BATCH_BYTES
    }
    pub(super) const fn batch_age() -> Span {
        super::BATCH_AGE
    }
    pub(super) const fn buffer_rows() -> u32 {
        super::BUFFER_ROWS
    }
    pub(super) const fn buffer_bytes() -> ByteSize {
        super::BUFFER_BYTES
    }
    pub(super) const fn retry_min() -> Span {
        super::RETRY_MIN
    }
    pub(super) const fn retry_max() -> Span {
        super::RETRY_MAX
    }
    pub(super) fn table() -> String {
        "rows".to_owned()
    }
}

/// Declares the settings of one kind of sink: its own, and after them those that all kinds have. (serde's `flatten`
/// would do this, but then no unknown key is refused.)
macro_rules! sink_config {
    ($(#[$doc:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            /// Rows in a batch at most, 1 to 100,000.
            #[serde(default = "defaults::batch_rows")]
            pub batch_rows: u32,
            /// Bytes in a batch at most; a larger row is a batch of its own.
            #[serde(default = "defaults::batch_bytes")]
            pub batch_bytes: ByteSize,
            /// How long a row may wait for others.
            #[serde(default = "defaults::batch_age")]
            pub batch_age: Span,
            /// Rows that wait on each shard at most, 1 to 16,777,216; rounded up to a power of two.
            #[serde(default = "defaults::buffer_rows")]
            pub buffer_rows: u32,
            /// Bytes of the rows that wait, all shards together.
            #[serde(default = "defaults::buffer_bytes")]
            pub buffer_bytes: ByteSize,
            /// What happens to a row that finds the buffer full.
            #[serde(default)]
            pub overflow: Overflow,
            /// How long to wait after the first failure; each further one waits twice as long.
            #[serde(default = "defaults::retry_min")]
            pub retry_min: Span,
            /// The longest wait between tries. There is no last try.
            #[serde(default = "defaults::retry_max")]
            pub retry_max: Span,
        }

        impl $name {
            /// What all kinds of sink have.
            #[must_use]
            pub const fn buffering(&self) -> Buffering {
                Buffering {
                    batch: BatchLimits {
                        rows: self.batch_rows as usize,
                        bytes: if self.batch_bytes.0 > usize::MAX as u64 {
                            usize::MAX
                        } else {
                            self.batch_bytes.0 as usize
                        },
                        age: self.batch_age.0,
                    },
                    buffer_rows: self.buffer_rows as usize,
                    buffer_bytes: self.buffer_bytes.0,
                    overflow: self.overflow,
                    retry_min: self.retry_min.0,
                    retry_max: self.retry_max.0,
                }
            }
        }
    };
}

sink_config! {
    /// Settings of a SQLite sink.
    SqliteConfig {
        /// The file, below `data_dir`.
        pub file: PathBuf,
        /// The table; it and its columns are made when they are missing.
        #[serde(default = "defaults::table")]
        pub table: String,
        /// Bytes that the file may grow to; rows that find no room wait. No limit if it is not given.
        #[serde(default)]
        pub max_size: Option<ByteSize>,
    }
}

impl Buffering {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The key, its value and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        const BATCH_ROWS_MAX: usize = 100_000;
        const BUFFER_ROWS_MAX: usize = 1 << 24;
        const AGE_MAX: Duration = Duration::from_secs(60);
        if !(1..=BATCH_ROWS_MAX).contains(&self.batch.rows) {
            return Err(format!("batch_rows = {} is not within 1 to {BATCH_ROWS_MAX}", self.batch.rows));
        }
        if self.batch.bytes == 0 {
            return Err("batch_bytes = \"0B\" leaves no room for a row".to_owned());
        }
        if self.batch.age > AGE_MAX {
            return Err(format!("batch_age = \"{}\" is over 60s", Span(self.batch.age)));
        }
        if !(1..=BUFFER_ROWS_MAX).contains(&self.buffer_rows) {
            return Err(format!("buffer_rows = {} is not within 1 to {BUFFER_ROWS_MAX}", self.buffer_rows));
        }
        if self.buffer_bytes == 0 {
            return Err("buffer_bytes = \"0B\" leaves no room for a row".to_owned());
        }
        if self.retry_min.is_zero() {
            return Err("retry_min = \"0ms\" would never rest".to_owned());
        }
        if self.retry_max < self.retry_min {
            return Err(format!(
                "retry_max = \"{}\" is less than retry_min = \"{}\"",
                Span(self.retry_max),
                Span(self.retry_min)
            ));
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SinkConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_sink_needs_its_kind_and_file_and_has_defaults() {
        let config = read("kind = 'sqlite'\nfile = 'demo.sqlite'").expect("complete");
        assert_eq!(config.buffering(), Buffering::default());
        let config = read("kind = 'sqlite'\nfile = 'f'\nbatch_age = '1s'\nbuffer_rows = 16").expect("complete");
        assert_eq!(config.buffering().batch.age, Duration::from_secs(1));
        assert_eq!(config.buffering().buffer_rows, 16);
    }

    #[test]
    fn unknown_keys_and_kinds_are_refused_by_name() {
        for (text, named) in [
            ("kind = 'sqlite'\nfile = 'f'\nbatch_row = 1", "batch_row"),
            ("kind = 'sqlight'\nfile = 'f'", "sqlight"),
            ("kind = 'sqlite'", "file"),
            ("file = 'f'", "kind"),
            ("kind = 'sqlite'\nfile = 'f'\noverflow = 'explode'", "explode"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let check = |change: fn(&mut Buffering)| {
            let mut buffering = Buffering::default();
            change(&mut buffering);
            buffering.check().map_err(|words| words.split(' ').next().unwrap_or("").to_owned())
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|b| b.batch.rows = 0), Err("batch_rows".into()));
        assert_eq!(check(|b| b.buffer_rows = 0), Err("buffer_rows".into()));
        assert_eq!(check(|b| b.buffer_bytes = 0), Err("buffer_bytes".into()));
        assert_eq!(check(|b| b.retry_min = Duration::ZERO), Err("retry_min".into()));
        assert_eq!(check(|b| b.retry_max = Duration::from_millis(1)), Err("retry_max".into()));
    }
}
