//! `netmon history`: questions to the stored past.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::serve::DEFAULT_DB;
use super::values::{duration, limit, pid, protocol};
use crate::model::flow::Protocol;

/// `netmon history`
#[derive(Debug, Args)]
pub struct History {
    /// What to ask.
    #[command(subcommand)]
    pub question: Question,
}

/// The questions.
#[derive(Debug, Subcommand)]
pub enum Question {
    /// Who moved most
    Top {
        /// What the rows are
        #[arg(long, value_enum, default_value_t = By::Process)]
        by: By,
        /// Most rows
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit)]
        limit: usize,
        /// Whose.
        #[command(flatten)]
        whose: Whose,
        /// When and how.
        #[command(flatten)]
        window: Window,
    },
    /// How much moved when
    Timeline {
        /// Length of a bar (default: one that gives some sixty of them)
        #[arg(long, value_name = "TIME", value_parser = duration)]
        step: Option<Duration>,
        /// A line for each of the largest of these, and one for all others
        #[arg(long, value_enum)]
        by: Option<By>,
        /// Most lines
        #[arg(long, value_name = "N", default_value_t = 8, value_parser = limit, requires = "by")]
        limit: usize,
        /// Bytes of this interface, with headers, in place of those of processes
        // `iface` in a configuration file is the sampler's, and no question.
        #[arg(long, visible_alias = "iface", value_name = "NAME",
              conflicts_with_all = ["by", "name", "pid", "remote", "protocol"])]
        interface: Option<String>,
        /// Whose.
        #[command(flatten)]
        whose: Whose,
        /// When and how.
        #[command(flatten)]
        window: Window,
    },
    /// Bytes by protocol
    Protocols {
        /// Whose.
        #[command(flatten)]
        whose: Whose,
        /// When and how.
        #[command(flatten)]
        window: Window,
    },
    /// Bytes by remote address
    Remotes {
        /// Most rows
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit)]
        limit: usize,
        /// Whose.
        #[command(flatten)]
        whose: Whose,
        /// When and how.
        #[command(flatten)]
        window: Window,
    },
    /// Bytes and packets of interfaces, and what they were
    Interfaces {
        /// Only this interface
        #[arg(long, visible_alias = "iface", value_name = "NAME")]
        interface: Option<String>,
        /// Most rows
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit)]
        limit: usize,
        /// When and how.
        #[command(flatten)]
        window: Window,
    },
    /// Flows that were above the threshold
    Alerts {
        /// Most rows
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
        limit: usize,
        /// Whose.
        #[command(flatten)]
        whose: Whose,
        /// When and how.
        #[command(flatten)]
        window: Window,
    },
}

impl Question {
    /// The options that all of them have.
    pub fn window(&self) -> &Window {
        match self {
            Question::Top { window, .. }
            | Question::Timeline { window, .. }
            | Question::Protocols { window, .. }
            | Question::Remotes { window, .. }
            | Question::Interfaces { window, .. }
            | Question::Alerts { window, .. } => window,
        }
    }
}

/// Which part of the past, and how to print the answer.
#[derive(Debug, Clone, Args)]
pub struct Window {
    /// The history to read
    #[arg(long, value_name = "FILE", default_value = DEFAULT_DB)]
    pub db: PathBuf,
    /// From when: 1h (ago), 14d, today, yesterday, 2026-11-20, 2026-11-20T03:00, or with a zone
    #[arg(long, value_name = "WHEN", default_value = "1h")]
    pub since: String,
    /// Until when (default: now)
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub format: Shape,
    /// The same as --format json
    #[arg(long, conflicts_with_all = ["csv", "format"])]
    pub json: bool,
    /// The same as --format csv
    #[arg(long, conflicts_with = "format")]
    pub csv: bool,
}

impl Window {
    /// How the answer is written.
    pub fn shape(&self) -> Shape {
        match (self.json, self.csv) {
            (true, _) => Shape::Json,
            (_, true) => Shape::Csv,
            _ => self.format,
        }
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// For people, as wide as the terminal
    Table,
    /// One JSON object
    Json,
    /// Comma-separated values below a header
    Csv,
}

/// Whose bytes.
#[derive(Debug, Clone, Default, Args)]
pub struct Whose {
    /// Only processes of this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Only this process id (known as long as buckets of ten seconds are kept)
    #[arg(long, value_name = "PID", value_parser = pid)]
    pub pid: Option<u32>,
    /// Only this remote address
    #[arg(long, value_name = "ADDRESS")]
    pub remote: Option<String>,
    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    pub protocol: Option<Protocol>,
}

/// What a row of `history top` is, or a line of `history timeline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A process by name, executable, user, unit and container
    Process,
    /// A remote address
    Remote,
    /// A protocol
    Protocol,
    /// A user
    User,
    /// A systemd unit or container
    Unit,
}
