//! What `serve` logs: how lines look, and which there are.

use std::fs;

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::netmon::{Live, Scratch};
use crate::serve::{line_with, serve, serve_in_journal};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("logs::with_time_and_level", plain),
        root("logs::with_priority_for_the_journal", journal),
        root("logs::by_rust_log", rust_log),
    ]
}

/// Has a running `serve` log a reload and one that is refused.
fn lines(live: &mut Live, file: &std::path::Path) -> anyhow::Result<(String, String)> {
    live.signal(Signal::SIGHUP)?;
    let good = line_with(live, "reloaded")?;
    fs::write(file, "interval = 5\n")?;
    live.signal(Signal::SIGHUP)?;
    let bad = line_with(live, "not reloaded")?;
    Ok((good, bad))
}

fn plain() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("netmon.toml");
    fs::write(&file, "")?;
    let mut command = serve(&["--config", &file.to_string_lossy()]);
    let mut live = Live::start(&mut command)?.attached()?;
    let (good, bad) = lines(&mut live, &file)?;
    for (line, level) in [(&good, "INFO"), (&bad, "ERROR")] {
        let mut words = line.split_whitespace();
        let time = words.next().unwrap_or_default();
        ensure!(time.parse::<jiff::Timestamp>().is_ok(), "no time: {line}");
        ensure!(words.next() == Some(level), "not {level}: {line}");
        ensure!(!line.contains('\u{1b}'), "colour: {line}");
    }
    live.signal(Signal::SIGTERM)?;
    live.end()?.check_code(0)
}

fn journal() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("netmon.toml");
    fs::write(&file, "")?;
    let mut command = serve_in_journal(&["--config", &file.to_string_lossy()]);
    let mut live = Live::start(&mut command)?.attached()?;
    let (good, bad) = lines(&mut live, &file)?;
    ensure!(good.starts_with("<6>reloaded"), "{good}");
    ensure!(bad.starts_with("<3>not reloaded"), "{bad}");
    live.signal(Signal::SIGTERM)?;
    live.end()?.check_code(0)?;

    // What ends it at once has its priority too.
    let mut command = serve_in_journal(&["--config", &file.to_string_lossy()]);
    let done = Live::start(&mut command)?.end()?;
    done.check_code(1)?;
    let said = done.stdout.lines().last().unwrap_or_default();
    ensure!(said.starts_with("<3>netmon: "), "{}", done.stdout);
    Ok(())
}

fn rust_log() -> anyhow::Result<()> {
    for (words, variable, is_told) in [
        (&[][..], "error", false),
        (&[], "info", true),
        (&[], "netmon=debug", true),
        (&["--log", "info"], "error", true),
        (&["--log", "error"], "info", false),
        (&[], "netmon=loud", true),
    ] {
        let scratch = Scratch::new()?;
        let file = scratch.path.join("netmon.toml");
        fs::write(&file, "")?;
        let mut command = serve(&["--config", &file.to_string_lossy()]);
        command.args(words).env("RUST_LOG", variable);
        let mut live = Live::start(&mut command)?.attached()?;
        live.signal(Signal::SIGHUP)?;
        // An error is told in any case, and ends the waiting.
        if is_told {
            line_with(&mut live, "INFO  reloaded; no option has changed")?;
        }
        fs::write(&file, "interval = 5\n")?;
        live.signal(Signal::SIGHUP)?;
        line_with(&mut live, "not reloaded")?;
        live.signal(Signal::SIGTERM)?;
        let done = live.end()?;
        done.check_code(0)?;
        let told = done.stdout.contains("no option has changed");
        ensure!(told == is_told, "{words:?} {variable}: {}", done.stdout);
        let warned = done.stdout.contains("RUST_LOG says not what to log");
        ensure!(warned == variable.contains("loud"), "{}", done.stdout);
    }
    Ok(())
}
