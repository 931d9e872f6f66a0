//! The handle on a generator: starts it, tells it how much to do, reads what it says.
//!
//! Owns the child process and its pipes; what it does is `generator`'s.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::generator::OPTION;
use crate::traffic::Moved;

/// Local and remote end of a flow.
pub type Ends = (SocketAddr, SocketAddr);

/// All that a generator has moved since it started.
#[derive(Debug, Default)]
pub struct Report {
    pub moved: Moved,
    /// The flows it tells apart: both ends of live connections, a server's peers.
    pub flows: HashMap<Ends, Moved>,
    /// How long the last stage took.
    pub took: Duration,
}

/// A running generator; killed and reaped when dropped.
pub struct Load {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Load {
    /// Starts `scenario`, which has its sockets and waits.
    pub fn start(scenario: &str, size: usize) -> anyhow::Result<Load> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([OPTION, scenario, &size.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the generator")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no output")?;
        let mut load = Load {
            child,
            input,
            output: BufReader::new(output),
        };
        let line = load.line()?;
        ensure!(line == "ready", "the generator says: {line}");
        Ok(load)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the generator ended unexpectedly");
        Ok(line.trim_end().to_owned())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it do `size` more; returns all it has done by then.
    pub fn stage(&mut self, size: usize) -> anyhow::Result<Report> {
        self.begin(size)?;
        self.report()
    }

    /// Lets it do `size` more, without waiting.
    pub fn begin(&mut self, size: usize) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("already ended")?;
        Ok(writeln!(input, "{size}")?)
    }

    /// Waits until what was begun is done.
    pub fn report(&mut self) -> anyhow::Result<Report> {
        let mut report = Report::default();
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["flow", local, remote, a, b, c, d] => {
                    let ends = (local.parse()?, remote.parse()?);
                    report.flows.insert(ends, moved([a, b, c, d])?);
                }
                ["moved", a, b, c, d, took] => {
                    report.moved = moved([a, b, c, d])?;
                    report.took = Duration::from_micros(took.parse()?);
                    return Ok(report);
                }
                _ => anyhow::bail!("the generator says: {line}"),
            }
        }
    }

    /// Lets it end.
    pub fn reap(mut self) -> anyhow::Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "the generator ended with {status}");
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn moved(words: [&str; 4]) -> anyhow::Result<Moved> {
    let mut moved = [0; 4];
    for (number, word) in moved.iter_mut().zip(words) {
        *number = word.parse()?;
    }
    Ok(moved)
}
