//! The real `netmon serve`, started on a port of the kernel's choice and ended.
//!
//! Owns the child process, what it said on stderr, and its directory. What it should
//! answer is the tests' business.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::attached::Held;
use crate::netmon::{PATIENCE, Scratch, roomy};

/// A running server; killed and reaped when dropped.
pub struct Served {
    child: Child,
    lines: Receiver<String>,
    said: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// A directory of its own, with its history in it.
    pub scratch: Scratch,
}

impl Served {
    /// Starts `netmon serve` with these options besides `--listen` (unless one of them
    /// is that) and `--db`, and waits until it listens.
    pub fn start(options: &[&str]) -> anyhow::Result<Served> {
        Served::start_in(Scratch::new()?, options)
    }

    /// The same with a directory that holds things already.
    pub fn start_in(scratch: Scratch, options: &[&str]) -> anyhow::Result<Served> {
        let mut command = roomy(["serve"]);
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !options.contains(&"--no-history") {
            command.arg("--db").arg(scratch.path.join("history.db"));
        }
        let mut child = command
            .args(options)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting netmon serve")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let mut served = Served {
            child,
            lines: lines(stderr),
            said: String::new(),
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            scratch,
        };
        served.address = served.wait_for_address()?;
        Ok(served)
    }

    fn wait_for_address(&mut self) -> anyhow::Result<SocketAddr> {
        const WORDS: &str = "listening on http://";
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!("it does not listen: {}", self.said),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended: {}", self.said),
            };
            self.said.push_str(&line);
            if let Some((_, rest)) = line.split_once(WORDS) {
                let address = rest.split_whitespace().next().unwrap_or_default();
                return address.parse().with_context(|| line.clone());
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it holds in the kernel.
    pub fn held(&self) -> Held {
        Held::by(self.pid())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid())?;
        Ok(signal::kill(Pid::from_raw(pid), signal)?)
    }

    /// Waits for its end; how it ended and what it said on stderr.
    pub fn ended(&mut self) -> anyhow::Result<(ExitStatus, String)> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < deadline,
                "still running after {PATIENCE:?}"
            );
            thread::sleep(Duration::from_millis(5));
        };
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push_str(&line);
        }
        Ok((status, std::mem::take(&mut self.said)))
    }

    /// Ends it by SIGTERM, checks that it ended well and left nothing behind, and
    /// returns what it said.
    pub fn end(mut self) -> anyhow::Result<String> {
        let held = self.held();
        self.signal(Signal::SIGTERM)?;
        let (status, said) = self.ended()?;
        ensure!(status.code() == Some(0), "{status}: {said}");
        held.check_gone()?;
        Ok(said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    lines
}
