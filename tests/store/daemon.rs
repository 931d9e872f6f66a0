//! `netmon serve` next to real traffic: what is in the history is what was moved.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::books::{Books, Moved};
use crate::netmon::{Live, PATIENCE, Scratch, roomy, run};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("every_byte_is_in_the_history_after_the_end", exact),
        root("readers_read_while_it_writes", readers),
        root("alerts_are_in_it_from_their_rise_to_their_fall", alerts),
        root("a_second_writer_is_refused", second_writer),
        root("a_file_of_somebody_else_is_refused", foreign),
        root("without_history_there_is_no_file", without),
    ]
}

/// The daemon with its history in `file`.
pub fn serve(file: &Path) -> Command {
    let mut command = roomy(["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--db").arg(file);
    command
}

/// Ends a daemon in order.
pub fn terminate(daemon: Live) -> anyhow::Result<String> {
    let held = daemon.held();
    daemon.signal(Signal::SIGTERM)?;
    let done = daemon.end()?;
    done.check_code(0)?;
    held.check_gone()?;
    Ok(done.stderr)
}

/// Waits until `is_so`, for anything that a loaded machine may delay.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Waits until the history has all that a process moved.
pub fn wait_until_written(books: &Books, name: &str, pid: u32, moved: Moved) -> anyhow::Result<()> {
    let mut found = [0; 2];
    let all = || {
        found = books.of_process(name, pid)?;
        Ok(found == moved)
    };
    wait_for("the history has what was moved", all)
        .with_context(|| format!("{name} {pid}: {found:?}, not {moved:?}"))
}

fn exact() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("state/netmon/history.db");
    let daemon = Live::start(&mut serve(&file))?.attached()?;
    let v6 = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]);
    let plans = [
        Plan::udp("store-udp", 1000, 500),
        Plan::udp("store-tcp", 4096, 700).over_tcp(),
        Plan {
            address: v6,
            ..Plan::udp("store-six", 300, 900).over_tcp()
        },
        // One name and two processes.
        Plan::udp("store-udp", 77, 400),
    ];
    let mut generators = plans
        .iter()
        .map(Traffic::start)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut expected = Vec::new();
    for (plan, generator) in plans.iter().zip(&mut generators) {
        let moved = generator.moved()?;
        expected.push((plan, generator.pid(), [moved[0], moved[1]]));
    }
    // Two end before the daemon does, and perhaps before it could look at them.
    let program = std::env::current_exe()?.display().to_string();
    let programs = ["", "", &program, &program];
    for generator in generators.drain(..2) {
        generator.reap()?;
    }
    terminate(daemon)?;

    let books = Books::open(&file)?;
    for ((plan, pid, moved), program) in expected.into_iter().zip(programs) {
        let query = "SELECT name || ' ' || iif(?3 = '', '', executable) || ' ' || user || ' ' || protocol || ' '
                            || remote_address, tx_bytes, rx_bytes
                     FROM traffic WHERE pid = ?1 AND name = ?2";
        let found = books.sums(query, (pid, &plan.name, program))?;
        let protocol = if plan.tcp { "tcp" } else { "udp" };
        let row = format!("{} {program} root {protocol} {}", plan.name, plan.address);
        ensure!(
            found == [(row, moved)].into(),
            "{pid}: {found:?}, not {moved:?} of {plan:?}"
        );
    }
    books.check_whole()?;
    let mode = |path: &Path| anyhow::Ok(fs::metadata(path)?.permissions().mode() & 0o777);
    let directory = file.parent().context("a directory")?;
    ensure!(mode(&file)? & 0o027 == 0, "{:o}", mode(&file)?);
    ensure!(mode(directory)? & 0o027 == 0, "{:o}", mode(directory)?);
    Ok(())
}

fn readers() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let daemon = Live::start(&mut serve(&file))?.attached()?;
    let endless = Plan::endless("store-readers", 500, Duration::from_millis(2));
    let generator = Traffic::start(&endless)?;
    let pid = generator.pid();
    let books = Books::open(&file)?;
    // Two flushes are seen by a reader that was there before them.
    let mut seen = [0; 2];
    for _ in 0..2 {
        let before = seen;
        wait_for("the next flush", || {
            seen = books.of_process("store-readers", pid)?;
            ensure!(
                seen[0] >= before[0] && seen[1] >= before[1],
                "{before:?}, {seen:?}"
            );
            Ok(seen != before)
        })?;
    }
    let moved = generator.end()?;
    terminate(daemon)?;
    let found = books.of_process("store-readers", pid)?;
    ensure!(found == [moved[0], moved[1]], "{found:?}, not {moved:?}");
    books.check_whole()
}

fn alerts() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut command = serve(&file);
    // So far below the rate that no pause of a busy machine brings that down to it.
    command.args(["--threshold", "5kB"]);
    let daemon = Live::start(&mut command)?.attached()?;
    let loud = Plan::endless("store-loud", 8000, Duration::from_millis(2));
    let generator = Traffic::start(&loud)?;
    let (pid, ports) = (generator.pid(), generator.ports);
    let books = Books::open(&file)?;
    let count = |which: &str| {
        let query = format!(
            "SELECT count(*) FROM alert a JOIN process p ON p.id = a.process
             JOIN remote r ON r.id = a.remote JOIN protocol c ON c.id = a.protocol
             WHERE p.name = 'store-loud' AND a.pid = ?1 AND a.remote_port IN (?2, ?3)
               AND r.address = '127.0.0.1' AND c.name = 'udp' AND a.kind = 'rate'
               AND a.threshold = 5000 AND a.peak > a.threshold AND {which}"
        );
        books.number(&query, (pid, ports.0, ports.1))
    };
    // Both ends of the one conversation.
    wait_for("an alert of each flow", || Ok(count("ended IS NULL")? == 2))?;
    generator.end()?;
    wait_for("the same two end", || {
        let ended = count("ended > started")?;
        let all = count("1")?;
        ensure!(all == 2, "{all} alerts");
        Ok(ended == 2)
    })?;
    // One that goes on ends with netmon.
    let generator = Traffic::start(&loud)?;
    let going_on = "SELECT count(*) FROM alert WHERE ended IS NULL AND pid = ?1";
    wait_for("alerts of another process", || {
        Ok(books.number(going_on, [generator.pid()])? == 2)
    })?;
    terminate(daemon)?;
    let ended = "SELECT count(*) FROM alert WHERE ended > started AND pid = ?1";
    let ended = books.number(ended, [generator.pid()])?;
    ensure!(ended == 2, "{ended} ended with netmon");
    let open = books.number("SELECT count(*) FROM alert WHERE ended IS NULL", [])?;
    ensure!(open == 0, "{open} go on for ever");
    generator.end()?;
    Ok(())
}

fn second_writer() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let daemon = Live::start(&mut serve(&file))?.attached()?;
    let name = file.display().to_string();
    run(&mut serve(&file))?.check_failure(&["another netmon writes", &name, "--db"])?;
    terminate(daemon)?;
    // Now it may.
    terminate(Live::start(&mut serve(&file))?.attached()?)?;
    Ok(())
}

fn foreign() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("notes.txt");
    let notes = "To whom it may concern: this is no database. ".repeat(30);
    fs::write(&file, &notes)?;
    let name = file.display().to_string();
    run(&mut serve(&file))?.check_failure(&["no history of netmon", &name, "--db"])?;
    ensure!(fs::read_to_string(&file)? == notes, "it was changed");
    run(&mut serve(&file.join("history.db")))?.check_failure(&["directory", &name, "--db"])?;
    Ok(())
}

fn without() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let mut command = roomy(["serve", "--listen", "127.0.0.1:0", "--no-history"]);
    command.current_dir(&scratch.path);
    terminate(Live::start(&mut command)?.attached()?)?;
    ensure!(fs::read_dir(&scratch.path)?.next().is_none(), "a file");
    Ok(())
}
