//! What of the command line says where config comes from.

use std::path::PathBuf;

use clap::Args;

use super::layers::{Inputs, Loaded, load};
use crate::diagnostics::render_all;
use crate::exit::Exit;

/// Where config comes from, for every verb that reads it.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// Config file; without it ./millrace.toml, else /etc/millrace/millrace.toml
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One value over all others, such as listeners.default.port=18830
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// What stands before the verb and what stands after it, which wins.
    #[must_use]
    pub fn with(mut self, after: Self) -> Self {
        self.config = after.config.or(self.config);
        self.set.extend(after.set);
        self
    }

    /// With what this process was given besides.
    #[must_use]
    pub fn inputs(self) -> Inputs {
        Inputs::from_process(self.config, self.set)
    }

    /// The config; what is wrong with it, or only odd, is said, with what follows from that.
    ///
    /// # Errors
    /// What the program exits with.
    pub fn load_or_say(self, consequence: &str) -> Result<Loaded, Exit> {
        match load(&self.inputs()) {
            Ok(loaded) => {
                eprint!("{}", render_all(&loaded.warnings, consequence));
                Ok(loaded)
            }
            Err(diagnostics) => {
                eprint!("{}", render_all(&diagnostics, consequence));
                Err(Exit::Config)
            }
        }
    }
}
