//! What the records of a whole run say: the last one, and each flow as last seen.
//!
//! Owns what must hold whatever the load is. Fields and formats of a record are
//! tested in `cli`; here are too many rows to look at each field.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::handle::{Ends, Report};
use crate::netmon::{Live, netmon};
use crate::traffic::Moved;

/// A row of any list; what a list has not stays empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Row {
    pub pid: u32,
    pub name: String,
    pub protocol: String,
    local_address: Option<String>,
    local_port: Option<u16>,
    remote_address: Option<String>,
    remote_port: Option<u16>,
    tx_bytes: u64,
    rx_bytes: u64,
    tx_operations: u64,
    rx_operations: u64,
    pub tx_rate: f64,
    pub rx_rate: f64,
    pub smoothed_rate: f64,
    pub exited: bool,
    pub closed: bool,
}

impl Row {
    /// The four counts.
    pub fn counts(&self) -> Moved {
        [
            self.tx_bytes,
            self.rx_bytes,
            self.tx_operations,
            self.rx_operations,
        ]
    }

    /// Both ends, where both are addresses with ports.
    pub fn ends(&self) -> Option<Ends> {
        let end = |address: &Option<String>, port: Option<u16>| {
            let address: IpAddr = address.as_ref()?.parse().ok()?;
            Some(SocketAddr::new(address, port?))
        };
        Some((
            end(&self.local_address, self.local_port)?,
            end(&self.remote_address, self.remote_port)?,
        ))
    }
}

/// What was lost, by a record's own account.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Loss {
    pub untracked_flow_bytes: u64,
    pub missed_events: u64,
}

/// One record.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    pub interval_seconds: f64,
    pub protocols: Vec<Row>,
    pub processes: Vec<Row>,
    pub flows: Vec<Row>,
    pub anomalies: Vec<Row>,
    pub loss: Loss,
}

impl Record {
    /// Parses a line; the processes of a record add up to its protocols.
    pub fn parse(line: &str) -> anyhow::Result<Record> {
        let record: Record = serde_json::from_str(line).context("a record")?;
        let (processes, protocols) = (sum(&record.processes), sum(&record.protocols));
        ensure!(
            processes == protocols,
            "processes {processes:?}, protocols {protocols:?}"
        );
        Ok(record)
    }

    /// The row of a process; no PID came twice.
    pub fn process(&self, pid: u32) -> anyhow::Result<&Row> {
        let row = self.processes.iter().find(|row| row.pid == pid);
        row.with_context(|| format!("process {pid} is not in the record"))
    }

    /// Fails unless process `pid` has moved just this.
    pub fn check_process(&self, pid: u32, moved: Moved) -> anyhow::Result<()> {
        let counts = self.process(pid)?.counts();
        ensure!(counts == moved, "true {moved:?}, counted {counts:?}");
        Ok(())
    }

    /// Fails unless `protocol` has moved this, and no more where nobody else moved
    /// anything.
    pub fn check_protocol(&self, protocol: &str, moved: Moved) -> anyhow::Result<()> {
        let row = self.protocols.iter().find(|row| row.protocol == protocol);
        let counts = row.with_context(|| format!("no {protocol}"))?.counts();
        let holds = match self.processes.len() {
            1 => counts == moved,
            _ => counts
                .iter()
                .zip(moved)
                .all(|(count, moved)| *count >= moved),
        };
        ensure!(holds, "{protocol}: true {moved:?}, counted {counts:?}");
        Ok(())
    }
}

fn sum<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Moved {
    let rows = rows.into_iter().map(Row::counts);
    rows.fold([0; 4], |sum, row| {
        std::array::from_fn(|at| sum[at] + row[at])
    })
}

/// A netmon with these options, that lists kernel threads: then nothing is in a
/// process and not in a flow, except for what had no room.
pub fn watch(options: &[&str]) -> anyhow::Result<Live> {
    let mut command = netmon(["stream", "--kernel-threads"]);
    Live::start(command.args(options))
}

/// A run, from its records.
pub struct Run {
    pub last: Record,
    /// Each flow as last seen, by process, protocol and ends.
    flows: BTreeMap<FlowKey, Row>,
}

/// Process, protocol, and what is known of the local and the remote end.
type FlowKey = (u32, String, [Option<String>; 2], [Option<u16>; 2]);

impl Run {
    /// Ends `live` and reads all that it wrote.
    pub fn end(live: Live) -> anyhow::Result<Run> {
        let done = live.interrupt()?;
        let mut flows: BTreeMap<FlowKey, Row> = BTreeMap::new();
        let mut last = None;
        for line in done.stdout.lines() {
            let record = Record::parse(line)?;
            for row in &record.flows {
                let addresses = [row.local_address.clone(), row.remote_address.clone()];
                let ports = [row.local_port, row.remote_port];
                let key = (row.pid, row.protocol.clone(), addresses, ports);
                flows.insert(key, row.clone());
            }
            last = Some(record);
        }
        let last = last.context("no record at all")?;
        Ok(Run { last, flows })
    }

    /// The flows of a process, as last seen.
    pub fn flows(&self, pid: u32) -> impl Iterator<Item = &Row> {
        self.flows.values().filter(move |row| row.pid == pid)
    }

    /// The counts of each flow of a process, as last seen.
    pub fn counts(&self, pid: u32) -> BTreeMap<&FlowKey, Moved> {
        let flows = self.flows.iter().filter(|(key, _)| key.0 == pid);
        flows.map(|(key, row)| (key, row.counts())).collect()
    }

    /// Fails unless what has no flow is said to the byte.
    pub fn check_books(&self) -> anyhow::Result<()> {
        let bytes = |[tx, rx, ..]: Moved| tx + rx;
        let flows = bytes(sum(self.flows.values()));
        let processes = bytes(sum(&self.last.processes));
        let untracked = self.last.loss.untracked_flow_bytes;
        ensure!(
            flows + untracked == processes,
            "flows {flows} and {untracked} without one, processes {processes}"
        );
        Ok(())
    }

    /// Compares the flows of a process with what is true of them: each exact, or
    /// where some bytes found no room, none of them too large. Returns how many
    /// of them there are.
    pub fn check_flows(&self, pid: u32, report: &Report) -> anyhow::Result<usize> {
        let exact = self.last.loss.untracked_flow_bytes == 0;
        let mut found = 0;
        for row in self.flows(pid) {
            let Some(truth) = row.ends().and_then(|ends| report.flows.get(&ends)) else {
                continue;
            };
            let counts = row.counts();
            let within = counts
                .iter()
                .zip(truth)
                .all(|(count, truth)| count <= truth);
            ensure!(
                counts == *truth || !exact && within,
                "true {truth:?}, counted {row:?}"
            );
            found += 1;
        }
        ensure!(
            !exact || found == report.flows.len(),
            "{found} of {} flows",
            report.flows.len()
        );
        Ok(found)
    }
}
