//! What the last record of a run says, and whether its sums hold.

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::netmon::{Done, Live};

/// The reasons for which nobody is named.
pub const ENDED: &str = "no socket there when it was looked up";
pub const ICMP: &str = "icmp has no owner in the socket tables";
pub const HIDDEN: &str = "process that may not be looked at";
pub const UNSEEN: &str = "process of another PID namespace or hidden";
pub const PASSING: &str = "forwarded or of another host";

/// The last record of a run, all of whose records were checked.
pub struct Last {
    pub record: Value,
}

/// Bytes sent and received.
pub type Bytes = (u64, u64);

/// Ends a run of `netmon stream` by SIGINT.
pub fn last(live: Live) -> anyhow::Result<Last> {
    live.signal(Signal::SIGINT)?;
    let done = live.end()?;
    Last::of(&done)
}

impl Last {
    /// Of a run that ended well and said on stderr that it estimates.
    pub fn of(done: &Done) -> anyhow::Result<Last> {
        done.check_code(0)?;
        done.check_says(&["estimated"])?;
        ensure!(done.stderr.lines().count() == 1, "{}", done.stderr);
        let mut last = None;
        for line in done.stdout.lines() {
            let record: Value = serde_json::from_str(line)?;
            check_sums(&record)?;
            last = Some(record);
        }
        let record = last.context("no record")?;
        ensure!(record["engine"] == "packet", "{}", record["engine"]);
        ensure!(record["loss"]["missed_events"] == 0, "{}", record["loss"]);
        Ok(Last { record })
    }

    fn rows(&self, which: impl Fn(&Value) -> bool) -> Vec<&Value> {
        let rows = self.record["processes"].as_array();
        rows.into_iter()
            .flatten()
            .filter(|row| which(row))
            .collect()
    }

    /// What processes with this PID moved.
    pub fn of_pid(&self, pid: u32) -> Bytes {
        sum(self.rows(|row| row["pid"] == pid))
    }

    /// What the row of this reason moved.
    pub fn unattributed(&self, reason: &str) -> Bytes {
        let is_it = |row: &Value| row["name"] == "<unattributed>" && row["command"] == reason;
        sum(self.rows(is_it))
    }

    /// What all of them moved by TCP; an interface that comes up has things to say.
    pub fn of_tcp(&self) -> Bytes {
        let rows = self.record["protocols"].as_array().into_iter().flatten();
        sum(rows.filter(|row| row["protocol"] == "tcp").collect())
    }

    /// What ICMPv6 moved, which an interface that comes up does by itself.
    pub fn of_icmp6(&self) -> Bytes {
        let rows = self.record["flows"].as_array().into_iter().flatten();
        let is_it = |row: &&Value| {
            let address = row["remote_address"].as_str().unwrap_or_default();
            row["protocol"] == "icmp" && address.contains(':')
        };
        sum(rows.filter(is_it).collect())
    }

    /// Fails unless a process moved just that.
    pub fn check(&self, what: &str, pid: u32, expected: Bytes) -> anyhow::Result<()> {
        let found = self.of_pid(pid);
        ensure!(
            found == expected,
            "{what}, pid {pid}: moved {expected:?}, counted {found:?}; {:#}",
            self.record
        );
        Ok(())
    }
}

/// Bytes sent and received by these rows.
pub fn sum(rows: Vec<&Value>) -> Bytes {
    let part = |name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum();
    (part("tx_bytes"), part("rx_bytes"))
}

/// Processes and protocols have the same sums, flows and what is lost too.
fn check_sums(record: &Value) -> anyhow::Result<()> {
    let rows = |name: &str| {
        let rows = record[name].as_array();
        rows.into_iter().flatten().collect::<Vec<&Value>>()
    };
    let (processes, protocols) = (sum(rows("processes")), sum(rows("protocols")));
    ensure!(
        processes == protocols,
        "processes {processes:?}, protocols {protocols:?}: {record:#}"
    );
    Ok(())
}
