//! `netmon iface` and `netmon capture`: the commands that look at packets.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Format;
use super::values::{
    block_count, block_size, capture_workers, count, duration, frame_size, interval, limit,
    max_addresses, report_interval,
};

/// What sees packets that come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum XdpMode {
    /// A tc program, beside any other: native XDP was free on no interface measured
    #[default]
    Auto,
    /// XDP in the driver
    Native,
    /// XDP after the driver, on any interface (turns LRO and the card's GRO off)
    Generic,
}

/// `netmon iface`
#[derive(Debug, Args)]
pub struct Iface {
    /// Interfaces to sample (default: all that are up), followed as they come and go
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub iface: Vec<String>,
    /// What sees packets that come in; those that go out a tc program does
    #[arg(long, value_enum, default_value_t = XdpMode::Auto)]
    pub xdp: XdpMode,
    /// Count each flow (both ends with their ports), too
    #[arg(long)]
    pub flows: bool,
    /// Most flows in a report
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit, requires = "flows")]
    pub top: usize,
    /// Time between two reports, 50ms to 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// What a report looks like
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// End after this many reports
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<u64>,
    /// End after this time: 10s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Say more when something fails (the verifier's last words)
    #[arg(short, long)]
    pub verbose: bool,
}

/// `netmon capture`
#[derive(Debug, Clone, Args)]
pub struct Capture {
    /// Interface to capture on
    #[arg(long, value_name = "NAME")]
    pub iface: String,
    /// Threads, each with a ring of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = capture_workers)]
    pub workers: u16,
    /// Number that joins the rings of several workers (PACKET_FANOUT); no other program's.
    /// With --workers 1 there is nothing to join
    #[arg(long, value_name = "N", default_value_t = 101)]
    pub fanout_group: u16,
    /// Bytes of a block: a power of two of at least a page
    #[arg(long, value_name = "BYTES", default_value_t = 262_144, value_parser = block_size)]
    pub block_size: u32,
    /// Blocks of each ring
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = block_count)]
    pub block_count: u32,
    /// Bytes of a frame, which the kernel wants told: a multiple of 16, at most a block. Frames
    /// take just the room that they need, whatever this is
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = frame_size)]
    pub frame_size: u32,
    /// Seconds between two reports
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = report_interval)]
    pub report_interval_secs: u64,
    /// File with networks (CIDR, one a line) whose packets are not counted
    #[arg(long, value_name = "FILE")]
    pub ignore_file: Option<PathBuf>,
    /// File with networks (CIDR, one a line): only packets from them are counted
    #[arg(long, value_name = "FILE")]
    pub accept_source_file: Option<PathBuf>,
    /// Count each flow (both ends with their ports), too
    #[arg(long)]
    pub flows: bool,
    /// Most rows in a report
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit)]
    pub top: usize,
    /// Addresses (and flows) that are counted apart; all others are in one row, "other"
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = max_addresses)]
    pub max_addresses: u32,
    /// What a report looks like
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// End after this many reports
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<u64>,
    /// End after this time: 10s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Each worker's line, too; more words when something fails
    #[arg(short, long)]
    pub verbose: bool,
}
