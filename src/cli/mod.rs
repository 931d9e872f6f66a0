//! The command line: names, defaults, bounds and help. Types only; what the
//! commands do is in `run`.

mod config;
mod history;
mod serve;
mod server;
mod values;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use config::{Config, ConfigCommand};
pub use history::{By, History, Question, Shape, Whose, Window};
pub use serve::{DEFAULT_DB, Serve, Store};
use server::server;
use values::{alpha, count, duration, interval, max_flows, pid, port, protocol};
pub use wire::{Capture, Iface, XdpMode};

use crate::model::filter::Filter;
use crate::model::flow::Protocol;
use crate::model::units;

/// Which process moves how many bytes to whom, exactly and live.
///
/// Without a command: the terminal monitor (`netmon top`).
#[derive(Debug, Parser)]
#[command(name = "netmon", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `top` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file with options of top, stream, serve and history; none for no file
    /// (default: $NETMON_CONFIG, else /etc/netmon.toml if it is there)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Options of `top`.
    #[command(flatten)]
    pub top: Top,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Live terminal monitor (the default)
    Top(Top),
    /// One record per interval on standard output, for programs
    Stream(Stream),
    /// Daemon: history, HTTP API, dashboard and metrics
    Serve(Serve),
    /// Questions to the stored past
    History(History),
    /// What crosses the interfaces, by protocol and by flow
    Iface(Iface),
    /// Bytes and packets of each address on an interface
    Capture(Capture),
    /// What this kernel and these privileges allow, and how to mend what is missing
    Doctor(Doctor),
    /// Moves known bytes by every path and compares them with what is counted
    Selftest(Selftest),
    /// The configuration file
    Config(Config),
}

/// `netmon top`
#[derive(Debug, Clone, Args)]
pub struct Top {
    /// Show what `netmon serve` sees there, in place of this machine
    #[arg(long, value_name = "URL", value_parser = server,
          conflicts_with_all = ["db", "record", "interval", "alpha", "threshold", "max_flows",
                                "engine", "kernel_threads", "pin"])]
    pub connect: Option<String>,
    /// File with the token that the server asks for
    #[arg(long, value_name = "FILE", requires = "connect")]
    pub token_file: Option<PathBuf>,
    /// History to step back into
    #[arg(
        long,
        value_name = "FILE",
        help = "History to step back into with [ and ]"
    )]
    pub db: Option<PathBuf>,
    /// Write the history too (to --db, else to /var/lib/netmon/history.db)
    #[arg(long)]
    pub record: bool,
    /// Options shared with `stream`.
    #[command(flatten)]
    pub common: Common,
}

/// Options that `top` and `stream` share.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// How to count.
    #[command(flatten)]
    pub monitor: Monitor,
    /// Which rows to show.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Options of every command that counts.
#[derive(Debug, Clone, Args)]
pub struct Monitor {
    /// Time between two readings of the kernel, 50ms to 1m
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = interval)]
    pub interval: Duration,
    /// Weight of the newest interval in the smoothed rate, above 0 and at most 1
    #[arg(long, value_name = "WEIGHT", default_value = "0.4", value_parser = alpha)]
    pub alpha: f64,
    /// Rate above which a flow is an anomaly, per second: 10MiB, 10MB, 80Mbit
    #[arg(long, value_name = "RATE", default_value = "10MiB", value_parser = units::parse_rate)]
    pub threshold: f64,
    /// Flows the kernel keeps apart at a time (beyond it, bytes are counted without their flow)
    #[arg(long, value_name = "N", default_value_t = 10_240,
          value_parser = max_flows)]
    pub max_flows: u32,
    /// Which hooks count
    #[arg(long, value_enum, default_value_t = EngineChoice::Syscall)]
    pub engine: EngineChoice,
    /// Interfaces whose packets are told apart by protocol (XDP), `all` for all that are
    /// up; with the packet engine those it captures on (default there: all)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub iface: Vec<String>,
    /// Where a sampled interface's incoming packets are seen
    #[arg(long, value_enum, default_value_t = XdpMode::Auto)]
    pub xdp: XdpMode,
    /// List kernel threads too
    #[arg(long)]
    pub kernel_threads: bool,
    /// Pin the four kernel maps under this directory on bpffs while netmon runs
    #[arg(long, value_name = "DIR")]
    pub pin: Option<PathBuf>,
    /// Say more when something fails (the verifier's last words)
    #[arg(short, long)]
    pub verbose: bool,
}

/// Row filters. Values of one option are alternatives; different options must all hold.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters (repeat or separate by commas)")]
pub struct FilterArgs {
    /// Only these process ids
    #[arg(long, value_name = "PID", value_delimiter = ',', value_parser = pid)]
    pub pid: Vec<u32>,
    /// Only processes whose name contains this
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub name: Vec<String>,
    /// Only processes of this user (name or number)
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    pub user: Vec<String>,
    /// Only processes whose cgroup path contains this (units and containers are in it)
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub cgroup: Vec<String>,
    /// Only flows with this local or remote port, and their processes
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port)]
    pub port: Vec<u16>,
    /// Only flows of this protocol, and their processes
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',', value_parser = protocol)]
    pub protocol: Vec<Protocol>,
}

impl FilterArgs {
    /// The filter these options describe.
    pub fn filter(&self) -> Filter {
        Filter {
            pids: self.pid.clone(),
            names: self.name.clone(),
            users: self.user.clone(),
            cgroups: self.cgroup.clone(),
            ports: self.port.clone(),
            protocols: self.protocol.clone(),
            text: String::new(),
        }
    }
}

/// `netmon stream`
#[derive(Debug, Args)]
pub struct Stream {
    /// What a record looks like
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
    /// End after this many records
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<u64>,
    /// End after this time: 10s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Options shared with `top`.
    #[command(flatten)]
    pub common: Common,
}

/// `netmon doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Show the verifier's last words where a program is refused
    #[arg(short, long)]
    pub verbose: bool,
}

/// `netmon selftest`
#[derive(Debug, Args)]
pub struct Selftest {
    /// Only paths whose name contains one of these words: udp, sendmmsg, "tcp splice".
    /// pid_reuse is run only when named: it sets /proc/sys/kernel/ns_last_pid
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// Which hooks count
    #[arg(long, value_enum, default_value_t = Tested::Syscall)]
    pub engine: Tested,
    /// One JSON object in place of the table
    #[arg(long)]
    pub json: bool,
    /// Also paths for which the kernel must load a module (sctp, vsock, tls, af_alg);
    /// it stays loaded
    #[arg(long)]
    pub modules: bool,
    /// A row for each case of a path (and the verifier's last words when loading fails)
    #[arg(short, long)]
    pub verbose: bool,
    /// What netmon starts itself with to move bytes: a case and its arguments.
    #[arg(long, hide = true, exclusive = true, num_args = 1.., value_name = "CASE")]
    pub generator: Vec<String>,
}

/// Which hooks count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// Socket layer and syscalls: every path, every peer
    Syscall,
    /// Socket layer only: least overhead, no peers of unconnected datagrams
    Socket,
    /// Captured packets, their owners by the socket tables: an estimate, and no BPF tracing
    Packet,
}

/// The engines whose counts are exact, so that a self-test can judge them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tested {
    /// Socket layer and syscalls: every path, every peer
    Syscall,
    /// Socket layer only: least overhead, no peers of unconnected datagrams
    Socket,
}

/// What a record or a report looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object per line
    Json,
    /// Rows below a header line
    Csv,
    /// Tables for reading
    Text,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_top_with_its_options() {
        let cli = Cli::parse_from(["netmon", "--interval", "2s", "--port", "80,443"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.top.common.monitor.interval, Duration::from_secs(2));
        assert_eq!(cli.top.common.filter.port, [80, 443]);
    }

    #[test]
    fn wrong_values_are_named_with_the_accepted_forms() {
        for (arguments, words) in [
            (["--interval", "fast"], ["`fast`", "500ms"]),
            (["--interval", "1ms"], ["`1ms`", "50ms"]),
            (["--alpha", "0"], ["`0`", "above 0"]),
            (["--threshold", "lots"], ["lots", "10MiB"]),
            (["--protocol", "tpc"], ["`tpc`", "tcp, udp"]),
            (["--max-flows", "3"], ["`3`", "64 to 16777216"]),
        ] {
            let error = Cli::try_parse_from(["netmon"].into_iter().chain(arguments)).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            for word in words {
                assert!(error.to_string().contains(word), "{word} not in: {error}");
            }
        }
    }
}
