//! `netmon config`: the configuration file.
//!
//! Owns its options, not what the file may hold: that is every option of the commands
//! that read it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `netmon config`
#[derive(Debug, Args)]
pub struct Config {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with the file.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Says whether the file can be used, and what is wrong if not
    Check {
        /// The file (default: the one that the other commands would read)
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Prints the options that `netmon serve` would run with, those of the file included
    Show,
}
