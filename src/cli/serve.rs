//! `netmon serve`: where it listens, who may ask, and what it keeps.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Monitor;
use super::values::{duration, duration_text, limit, listen, log_filter, push_interval, size};

/// Where the history is when nobody says otherwise.
pub const DEFAULT_DB: &str = "/var/lib/netmon/history.db";

/// `netmon serve`
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Address and port to serve on; beyond this machine it takes --token-file or --no-auth
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9600", value_parser = listen)]
    pub listen: SocketAddr,
    /// File with the token that every request must bring (Authorization: Bearer TOKEN)
    #[arg(long, value_name = "FILE", conflicts_with = "no_auth")]
    pub token_file: Option<PathBuf>,
    /// Serve anyone who can reach the address
    #[arg(long)]
    pub no_auth: bool,
    /// Names besides addresses and localhost under which it may be asked (Host header)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Processes with series of their own in the metrics; all others are summed in "other"
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = limit)]
    pub metrics_top: usize,
    /// Push the metrics to this OpenTelemetry collector too (OTLP over HTTP)
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Time between two pushes
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = push_interval,
          requires = "otlp")]
    pub otlp_interval: Duration,
    /// Keep no history
    #[arg(long, conflicts_with = "db")]
    pub no_history: bool,
    /// What to log: error, warn, info, debug, or by part as in info,netmon::sink=debug
    /// (default: $RUST_LOG, else info)
    #[arg(long, value_name = "LEVEL", value_parser = log_filter)]
    pub log: Option<String>,
    /// How to count.
    #[command(flatten)]
    pub monitor: Monitor,
    /// What the history keeps; last, since its heading holds for all that follows.
    #[command(flatten)]
    pub store: Store,
}

impl Serve {
    /// Judges what the parser cannot, since it looks at one option at a time.
    ///
    /// # Errors
    /// What does not go together, and what would.
    pub fn check(&self) -> Result<(), String> {
        self.check_guard()?;
        self.store.check()
    }

    fn check_guard(&self) -> Result<(), String> {
        let guarded = self.token_file.is_some() || self.no_auth;
        if guarded || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "--listen {} would let others on the network read everything: add --token-file FILE \
             (recommended), or --no-auth if that is meant, or listen on 127.0.0.1 or [::1]",
            self.listen
        ))
    }
}

/// What the history keeps, and where.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "History")]
pub struct Store {
    /// Where the history is written
    #[arg(long, value_name = "FILE", default_value = DEFAULT_DB)]
    pub db: PathBuf,
    /// How long buckets of ten seconds are kept
    #[arg(long = "keep-10s", value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub keep_10s: Duration,
    /// How long buckets of a minute are kept
    #[arg(long = "keep-1m", value_name = "TIME", default_value = "14d", value_parser = duration)]
    pub keep_1m: Duration,
    /// How long buckets of an hour are kept
    #[arg(long = "keep-1h", value_name = "TIME", default_value = "400d", value_parser = duration)]
    pub keep_1h: Duration,
    /// Most bytes on disk; beyond it the finest and oldest go first
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size)]
    pub max_size: u64,
}

impl Store {
    /// A level that is kept no longer than the finer one would leave holes where that one
    /// ends: sums of it would be too small without a word.
    fn check(&self) -> Result<(), String> {
        let levels = [
            ("--keep-10s", self.keep_10s),
            ("--keep-1m", self.keep_1m),
            ("--keep-1h", self.keep_1h),
        ];
        for pair in levels.windows(2) {
            let [(finer, fine), (coarser, coarse)] = [pair[0], pair[1]];
            if coarse < fine {
                return Err(format!(
                    "{coarser} {} is shorter than {finer} {}: keep the longer buckets at least as \
                     long as the shorter ones",
                    duration_text(coarse),
                    duration_text(fine)
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    fn check(arguments: &[&str]) -> Result<(), String> {
        let all = ["netmon", "serve"].iter().chain(arguments);
        match Cli::parse_from(all).command {
            Some(Command::Serve(options)) => options.check(),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn beyond_this_machine_it_takes_a_token_or_a_word() {
        let own = [
            "127.0.0.1:0",
            "127.8.8.8:9600",
            "[::1]:9600",
            "[::ffff:127.0.0.1]:1",
        ];
        assert_eq!(check(&[]), Ok(()));
        for address in own {
            assert_eq!(check(&["--listen", address]), Ok(()));
        }
        for address in ["0.0.0.0:9600", "[::]:9600", "192.168.1.7:9600"] {
            let refused = check(&["--listen", address]).expect_err(address);
            assert!(refused.contains(address), "{refused}");
            assert!(refused.contains("--token-file"), "{refused}");
            assert_eq!(check(&["--listen", address, "--no-auth"]), Ok(()));
            assert_eq!(check(&["--listen", address, "--token-file", "x"]), Ok(()));
        }
    }

    #[test]
    fn longer_buckets_are_kept_at_least_as_long() {
        for (arguments, named) in [
            (
                ["--keep-1h", "7d"].as_slice(),
                ["--keep-1h 7d", "--keep-1m 14d"],
            ),
            (&["--keep-10s", "15d"], ["--keep-1m 14d", "--keep-10s 15d"]),
            (
                &["--keep-1m", "90m", "--keep-10s", "2h"],
                ["--keep-1m 1h 30m", "--keep-10s 2h"],
            ),
        ] {
            let refused = check(arguments).expect_err(named[0]);
            assert!(named.iter().all(|it| refused.contains(it)), "{refused}");
            assert!(!refused.contains('\n'), "{refused}");
        }
        let equal = ["--keep-10s", "1h", "--keep-1m", "1h", "--keep-1h", "60m"];
        assert_eq!(check(&equal), Ok(()));
    }
}
