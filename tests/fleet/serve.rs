//! The real `netmon serve` on a port that the kernel gave, asked over HTTP.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::blocking::Client;

use crate::listens;
use crate::netmon::{Done, Live, PATIENCE, Scratch, netmon};

/// The token of every server here.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A running server; killed when dropped.
pub struct Serve {
    live: Live,
    client: Client,
    /// Its port on 127.0.0.1.
    pub port: u16,
    _scratch: Scratch,
}

impl Serve {
    /// Starts one that reads five times a second and knows room for all flows of a busy
    /// machine, and waits until it has counted for the first time.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Serve> {
        Serve::start_by(netmon([] as [&str; 0]), arguments)
    }

    /// The same by a command that becomes netmon.
    pub fn start_by(mut command: Command, arguments: &[&str]) -> anyhow::Result<Serve> {
        let scratch = Scratch::new()?;
        let token = scratch.path.join("token");
        fs::write(&token, TOKEN)?;
        fs::set_permissions(&token, Permissions::from_mode(0o600))?;
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--interval", "200ms"])
            .args(["--max-flows", "131072", "--token-file"])
            .arg(&token)
            .arg("--db")
            .arg(scratch.path.join("history.db"))
            .args(arguments);
        let live = Live::start(&mut command)?;
        // A server that ended has no port; what it said is told by `end`.
        let port = match listens::port(live.pid(), || alive(live.pid())) {
            Ok(port) => port,
            Err(error) => {
                let done = live.end()?;
                return Err(error.context(done.stderr));
            }
        };
        let serve = Serve {
            live,
            client: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            port,
            _scratch: scratch,
        };
        serve.metrics_with(|text| text.contains("\nnetmon_flows "))?;
        Ok(serve)
    }

    /// The answer to a path, with its media type.
    pub fn get(&self, path: &str) -> anyhow::Result<(String, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = self.client.get(url).bearer_auth(TOKEN).send()?;
        ensure!(answer.status() == 200, "{path}: {}", answer.status());
        let kind = answer.headers().get("content-type");
        let kind = kind.context("no content type")?.to_str()?.to_owned();
        Ok((answer.text()?, kind))
    }

    /// Waits for metrics that are `right`.
    pub fn metrics_with(&self, right: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        self.wait_for("/metrics", right)
    }

    /// Waits for an answer that is `right`.
    pub fn wait_for(&self, path: &str, right: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = match self.get(path) {
                Ok((text, _)) if right(&text) => return Ok(text),
                Ok((text, _)) => text,
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "{path} says to the end: {text}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it by SIGTERM; fails unless it ended well.
    pub fn end(self) -> anyhow::Result<Done> {
        self.live.signal(nix::sys::signal::Signal::SIGTERM)?;
        let done = self.live.end()?;
        done.check_code(0)?;
        Ok(done)
    }
}

fn alive(pid: u32) -> anyhow::Result<()> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ensure!(!stat.contains(") Z "), "it ended");
    Ok(())
}
