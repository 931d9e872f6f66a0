//! SIGHUP: what changes, what needs a restart, what stays when the file is broken.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::netmon::{Live, PATIENCE, Scratch};
use crate::serve::{Manager, address, get, line_with, serve, serve_with_history};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("reload::threshold_makes_a_flow_an_anomaly", threshold),
        root("reload::what_cannot_change_is_named", restart),
        root("reload::log_filter", log_filter),
        root("reload::token_is_read_again", token),
        root("reload::retention", retention),
    ]
}

/// A configuration file with that text.
fn configured(text: &str) -> anyhow::Result<(Scratch, String)> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("netmon.toml");
    fs::write(&file, text)?;
    Ok((scratch, file.to_string_lossy().into_owned()))
}

/// Whether the latest record has an anomaly of process `pid`, with its threshold.
fn judged(address: &str, pid: u32) -> anyhow::Result<Option<(bool, u64)>> {
    let (status, text) = get(&format!("{address}/api/current"), None)?;
    if status == 503 {
        return Ok(None);
    }
    ensure!(status == 200, "{status}: {text}");
    let record: Value = serde_json::from_str(&text)?;
    let of_pid = |list: &str| {
        let rows = record[list].as_array().cloned().unwrap_or_default();
        rows.into_iter().any(|row| row["pid"] == pid)
    };
    let sequence = record["sequence"].as_u64().context("no sequence")?;
    Ok(of_pid("flows").then(|| (of_pid("anomalies"), sequence)))
}

/// Waits until it is judged so.
fn wait_judged(address: &str, pid: u32, anomalous: bool) -> anyhow::Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = judged(address, pid)?;
        if let Some((found, sequence)) = found
            && found == anomalous
        {
            return Ok(sequence);
        }
        ensure!(Instant::now() < deadline, "never {anomalous}: {found:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn threshold() -> anyhow::Result<()> {
    let (scratch, file) = configured("threshold = \"900TiB\"\ninterval = \"100ms\"\n")?;
    let traffic = Traffic::start(&Plan::endless("nmr", 1000, Duration::from_millis(10)))?;
    let pid = traffic.pid();
    let mut live = Live::start(&mut serve(&["--config", &file, "--alpha", "0.5"]))?;
    let address = address(&mut live)?;
    wait_judged(&address, pid, false)?;

    fs::write(
        &file,
        "threshold = \"1KiB\"\ninterval = \"100ms\"\nalpha = 0.1\n",
    )?;
    live.signal(Signal::SIGHUP)?;
    let line = line_with(&mut live, "reloaded")?;
    // What was typed stays, whatever the file says.
    ensure!(line.contains("reloaded changed=threshold\n"), "{line}");
    let anomalous = wait_judged(&address, pid, true)?;

    fs::write(&file, "threshold = \"900TiB\"\ninterval = \"1x\"\n")?;
    live.signal(Signal::SIGHUP)?;
    let line = line_with(&mut live, "not reloaded")?;
    let place = format!("{file}:2: interval: `1x`");
    for words in ["ERROR", "all settings stay", &place] {
        ensure!(line.contains(words), "{words} is not in {line}");
    }
    // Some records later it is one still.
    loop {
        let (found, sequence) = judged(&address, pid)?.context("no flow of it")?;
        ensure!(found, "the old threshold holds no more");
        if sequence > anomalous + 5 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    traffic.end()?;
    drop(scratch);
    live.signal(Signal::SIGTERM)?;
    live.end()?.check_code(0)
}

fn retention() -> anyhow::Result<()> {
    let (scratch, file) = configured("max-size = \"20MiB\"\n[serve]\nkeep-10s = \"1h\"\n")?;
    let db = scratch.path.join("history.db");
    let mut command = serve_with_history(&["--config", &file, "--db", &db.to_string_lossy()]);
    let mut live = Live::start(&mut command)?;
    address(&mut live)?;
    fs::write(
        &file,
        "max-size = \"10MiB\"\ndb = \"/elsewhere\"\nkeep-1m = \"2d\"\n",
    )?;
    live.signal(Signal::SIGHUP)?;
    // The history that was typed stays where it is.
    line_with(&mut live, "reloaded changed=keep-10s,keep-1m,max-size\n")?;
    fs::write(&file, "[serve]\nno-history = true\n")?;
    live.signal(Signal::SIGHUP)?;
    // Typed, too: who names a history wants one.
    line_with(&mut live, "reloaded changed=keep-1m,max-size\n")?;
    live.signal(Signal::SIGTERM)?;
    live.end()?.check_code(0)
}

/// A file that only its owner may read.
fn write_secret(path: &Path, token: &str) -> anyhow::Result<()> {
    fs::write(path, token)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}

fn token() -> anyhow::Result<()> {
    const OLD: &str = "the-old-token-of-a-test";
    const NEW: &str = "the-new-token-of-a-test";
    let scratch = Scratch::new()?;
    let secret = scratch.path.join("token");
    write_secret(&secret, OLD)?;
    let mut live = Live::start(&mut serve(&["--token-file", &secret.to_string_lossy()]))?;
    let address = address(&mut live)?;
    let is_let_in = |token| {
        let (status, text) = get(&format!("{address}/api/openapi.json"), Some(token))?;
        ensure!([200, 401].contains(&status), "{status}: {text}");
        anyhow::Ok(status == 200)
    };
    ensure!(is_let_in(OLD)? && !is_let_in(NEW)?, "not by the old token");
    write_secret(&secret, NEW)?;
    ensure!(is_let_in(OLD)? && !is_let_in(NEW)?, "read unasked");
    live.signal(Signal::SIGHUP)?;
    line_with(&mut live, "reloaded; no option has changed")?;
    ensure!(!is_let_in(OLD)? && is_let_in(NEW)?, "not by the new token");

    fs::remove_file(&secret)?;
    live.signal(Signal::SIGHUP)?;
    let line = line_with(&mut live, "not reloaded")?;
    ensure!(line.contains("could not open the token file"), "{line}");
    ensure!(!is_let_in(OLD)? && is_let_in(NEW)?, "another token");
    live.signal(Signal::SIGTERM)?;
    live.end()?.check_code(0)
}

fn restart() -> anyhow::Result<()> {
    let (_scratch, file) = configured("max-flows = 2000\n[serve]\nallow-host = [\"a\"]\n")?;
    let mut live = Live::start(&mut serve(&["--config", &file]))?;
    address(&mut live)?;
    live.signal(Signal::SIGHUP)?;
    line_with(&mut live, "reloaded; no option has changed")?;
    fs::write(
        &file,
        "max-flows = 3000\nengine = \"socket\"\ninterval = \"200ms\"\n",
    )?;
    live.signal(Signal::SIGHUP)?;
    for option in ["allow-host", "engine", "max-flows"] {
        let line = line_with(&mut live, "needs a restart")?;
        let named = line.contains(&format!("option={option}\n"));
        ensure!(named && line.contains("WARN"), "{option}: {line}");
    }
    line_with(&mut live, "reloaded changed=interval\n")?;
    live.signal(Signal::SIGTERM)?;
    let done = live.end()?;
    let named = done.stdout.matches("needs a restart").count();
    ensure!(named == 3, "{}", done.stdout);
    done.check_code(0)
}

fn log_filter() -> anyhow::Result<()> {
    let (scratch, file) = configured("[serve]\nlog = \"error\"\n")?;
    let manager = Manager::new(&scratch)?;
    let mut command = serve(&["--config", &file]);
    manager.over(&mut command, Duration::from_secs(60));
    let live = Live::start(&mut command)?;
    let ready = || manager.until(|word| word == "READY=1\n");
    ready()?;
    live.signal(Signal::SIGHUP)?;
    ready()?;
    fs::write(&file, "[serve]\nlog = \"info\"\n")?;
    live.signal(Signal::SIGHUP)?;
    ready()?;
    live.signal(Signal::SIGTERM)?;
    let done = live.end()?;
    done.check_code(0)?;
    let reloads: Vec<_> = done
        .stdout
        .lines()
        .filter(|it| it.contains("reloaded"))
        .collect();
    let [only] = reloads[..] else {
        anyhow::bail!("not one line: {}", done.stdout);
    };
    ensure!(only.contains("reloaded changed=log"), "{only}");
    Ok(())
}
