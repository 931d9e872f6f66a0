//! A disk that is really full: netmon goes on, says so once, and when there is room
//! again every byte gets there.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use libtest_mimic::Trial;

use crate::books::Books;
use crate::daemon::{terminate, wait_for, wait_until_written};
use crate::netmon::{Live, PATIENCE, Scratch, shell};
use crate::traffic::{Plan, Traffic};
use crate::trial::{Impossible, root};

pub fn trials() -> Vec<Trial> {
    vec![root("a_full_disk_is_said_once_and_loses_nothing", full)]
}

/// A file system in memory of a few mebibytes.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(path: PathBuf) -> anyhow::Result<Disk> {
        fs::create_dir(&path)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "netmon-test"])
            .arg(&path)
            .output()?;
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
            return Err(Impossible(format!("no tmpfs can be mounted: {why}")).into());
        }
        Ok(Disk { path })
    }

    /// Takes all room that is left.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join("ballast");
        let mut ballast = File::create(&path)?;
        loop {
            match ballast.write(&[b'n'; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(path),
                Err(error) => bail!(error),
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there closes it later.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Lines of the daemon's that hold `words`.
fn lines(log: &Path, words: &str) -> anyhow::Result<usize> {
    let text = fs::read_to_string(log)?;
    Ok(text.lines().filter(|line| line.contains(words)).count())
}

/// What the daemon that wrote the log says at `/health`.
fn health(log: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(log)?;
    let (_, rest) = text
        .split_once("listening on http://")
        .context("it does not listen")?;
    let address = rest.split_whitespace().next().unwrap_or_default();
    let mut stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok(body.to_owned())
}

fn full() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let disk = Disk::mount(scratch.path.join("disk"))?;
    let file = disk.path.join("history.db");
    let log = scratch.path.join("log");
    let mut command = shell(
        "exec \"$NETMON\" serve --listen 127.0.0.1:0 --db \"$FILE\" --max-flows 131072 2>\"$LOG\"",
    );
    command.env("FILE", &file).env("LOG", &log);
    let daemon = Live::start(&mut command)?.attached()?;
    let ballast = disk.fill()?;

    let mut first = Traffic::start(&Plan::udp("store-full", 800, 600).over_tcp())?;
    let moved_first = first.moved()?;
    let cannot = "could not write";
    wait_for("the daemon says that the disk is full", || {
        Ok(lines(&log, cannot)? > 0)
    })?;
    ensure!(
        lines(&log, "full")? > 0,
        "not why: {}",
        fs::read_to_string(&log)?
    );
    let mut second = Traffic::start(&Plan::udp("store-full", 700, 500))?;
    let moved_second = second.moved()?;
    // Another bucket cannot be written, of which the log says nothing more.
    let mut said = String::new();
    wait_for("health says that two buckets wait", || {
        said = health(&log)?;
        // Or more, if the second generator took its time.
        Ok(said.starts_with("DEGRADED history: the disk is full; ")
            && said.ends_with("buckets wait"))
    })
    .with_context(|| said.clone())?;
    let books = Books::open(&file)?;
    for pid in [first.pid(), second.pid()] {
        let found = books.of_process("store-full", pid)?;
        ensure!(found == [0; 2], "{found:?} on a full disk");
    }

    fs::remove_file(ballast)?;
    for (traffic, moved) in [(&first, moved_first), (&second, moved_second)] {
        wait_until_written(&books, "store-full", traffic.pid(), [moved[0], moved[1]])?;
    }
    wait_for("the daemon says that it is over", || {
        Ok(lines(&log, "written again")? == 1)
    })?;
    let said = health(&log)?;
    ensure!(said == "OK", "{said}");
    ensure!(
        lines(&log, cannot)? == 1,
        "more than once: {}",
        fs::read_to_string(&log)?
    );
    terminate(daemon)?;
    for (traffic, moved) in [(first, moved_first), (second, moved_second)] {
        let found = books.of_process("store-full", traffic.pid())?;
        ensure!(found == [moved[0], moved[1]], "{found:?}, not {moved:?}");
        traffic.reap()?;
    }
    books.check_whole()
}
