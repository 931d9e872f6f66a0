//! A real `netmon serve` with a database of its own, ended when dropped.
//!
//! Owns the process and its address. What it serves is the tests' business.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::PATIENCE;
use crate::netmon::{Scratch, roomy};

/// A running server.
pub struct Served {
    child: Child,
    /// Where it listens, as `127.0.0.1:PORT`.
    pub address: String,
    _scratch: Scratch,
}

impl Served {
    /// Starts one with a history, on a port that the kernel chooses.
    pub fn start() -> anyhow::Result<Served> {
        let scratch = Scratch::new()?;
        let db = scratch.path.join("history.db");
        let db = db.display().to_string();
        Served::with(scratch, "127.0.0.1:0", &["--db", &db])
    }

    /// Starts one without a history.
    pub fn without_history() -> anyhow::Result<Served> {
        Served::with(Scratch::new()?, "127.0.0.1:0", &["--no-history"])
    }

    /// Starts one with a history that tells packets of an interface apart.
    pub fn sampling(interface: &str) -> anyhow::Result<Served> {
        let scratch = Scratch::new()?;
        let db = scratch.path.join("history.db");
        let db = db.display().to_string();
        Served::with(scratch, "127.0.0.1:0", &["--db", &db, "--iface", interface])
    }

    /// Starts one without a history that asks for this token.
    pub fn with_token(token: &str) -> anyhow::Result<Served> {
        let scratch = Scratch::new()?;
        let file = scratch.path.join("token");
        fs::write(&file, format!("{token}\n"))?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let file = file.display().to_string();
        let options = ["--no-history", "--token-file", &file];
        Served::with(scratch, "127.0.0.1:0", &options)
    }

    fn with(scratch: Scratch, listen: &str, options: &[&str]) -> anyhow::Result<Served> {
        let mut child = roomy(["serve", "--listen", listen])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting netmon serve")?;
        let address = address(&mut child);
        let mut served = Served {
            child,
            address: String::new(),
            _scratch: scratch,
        };
        served.address = address?;
        Ok(served)
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id())?;
        Ok(signal::kill(Pid::from_raw(pid), signal)?)
    }

    /// Ends it in order, and gives what it takes to start it again.
    pub fn stop(mut self) -> anyhow::Result<Stopped> {
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "it did not end");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Stopped(self.address.clone()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of a server that has ended.
pub struct Stopped(String);

impl Stopped {
    /// Starts one without a history where the other was.
    pub fn start(&self) -> anyhow::Result<Served> {
        Served::with(Scratch::new()?, &self.0, &["--no-history"])
    }
}

/// Where a server says it listens.
fn address(child: &mut Child) -> anyhow::Result<String> {
    let stderr = child.stderr.take().context("no stderr")?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Read to its end, so that it never waits for a full pipe.
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens once the address is known.
            let _ = tell.send(line);
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut said = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = told.recv_timeout(left) else {
            bail!("it did not say where it listens: {said:?}");
        };
        if let Some((_, address)) = line.split_once("listening on http://") {
            let end = address.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
            return Ok(address[..end.unwrap_or(address.len())].to_owned());
        }
        said.push(line);
    }
}
