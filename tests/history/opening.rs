//! Files that are there, not there, or something else; readers beside a writer.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::sink::history::ask::{By, Whose, Window};
use netmon::sink::history::reader::Reader;
use rusqlite::Connection;

use crate::answers::{NOON, world};
use crate::netmon::{Done, Scratch, netmon, run};
use crate::trial::{Impossible, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("opening::what_is_no_history", refused),
        trial("opening::beside_a_writer", beside_a_writer),
        trial("opening::by_a_user_who_may_only_read", only_read),
        trial("opening::a_file_that_changes_after_all", changes),
    ]
}

fn ask(file: &Path) -> anyhow::Result<Done> {
    let file = file.to_str().context("a name")?;
    run(&mut netmon([
        "history", "top", "--since", "1d", "--db", file,
    ]))
}

fn refused() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = |name: &str| scratch.path.join(name);
    ask(&file("missing"))?.check_failure(&["no history", "netmon serve", "--db", "missing"])?;
    ask(&scratch.path)?.check_failure(&["not a file", "--db"])?;

    fs::write(
        file("text"),
        "no database, but longer than a header is".repeat(9),
    )?;
    fs::write(file("empty"), "")?;
    Connection::open(file("other"))?.execute_batch("CREATE TABLE progress (time)")?;
    for name in ["text", "empty", "other"] {
        ask(&file(name))?.check_failure(&["no history of netmon", name, "--db"])?;
    }

    let newer = world(1).write(&file("newer"))?;
    newer.pragma_update(None, "user_version", 999)?;
    ask(&file("newer"))?.check_failure(&["newer netmon", "999"])?;

    let damaged = file("damaged");
    drop(world(1).write(&damaged)?);
    let mut bytes = fs::read(&damaged)?;
    bytes[4096..].fill(0x5a);
    fs::write(&damaged, bytes)?;
    ask(&damaged)?.check_failure(&["history", "malformed"])
}

/// A question sees what was committed before it, all of it and nothing else.
fn beside_a_writer() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut writer = world(1).write(&file)?;
    let reader = Reader::open(&file)?;
    let window = Window {
        since: NOON - 86_400,
        until: NOON + 86_400,
    };
    let total = || -> anyhow::Result<u64> {
        let top = reader.top(window, By::Process, &Whose::default(), 5)?;
        Ok(top.total.tx_bytes)
    };
    let before = total()?;
    let insert = "INSERT INTO traffic_10s VALUES (?1, 1, 3, 1, 5, 1000, 0)";
    let transaction = writer.transaction()?;
    transaction.execute(insert, [NOON + 100])?;
    ensure!(total()? == before, "what is not committed is seen");
    transaction.commit()?;
    ensure!(total()? == before + 1000, "what is committed is not seen");
    Ok(())
}

/// In a directory of root's, with and without a writer's log beside the file.
fn only_read() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Impossible("it needs root, to be somebody else".to_owned()).into());
    }
    let scratch = Scratch::new()?;
    let binary = scratch.binary()?;
    let directory = scratch.path.join("kept");
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    let file = directory.join("odd name?#%.db");
    let writer = world(1).write(&file)?;
    let ask = || {
        let mut command = std::process::Command::new(&binary);
        let file = file.as_os_str();
        command.args(["history", "top", "--json", "--since", "@1", "--db"]);
        run(command.arg(file).uid(65_534).gid(65_534))
    };
    let beside = ask()?;
    beside.check_quiet()?;
    drop(writer);
    ensure!(
        !directory.join("odd name?#%.db-wal").exists(),
        "a log is left"
    );
    let alone = ask()?;
    alone.check_quiet()?;
    ensure!(
        alone.stdout == beside.stdout,
        "{} {}",
        alone.stdout,
        beside.stdout
    );

    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    chown(&file, Some(0), Some(0))?;
    ask()?.check_failure(&["could not read", "denied", "root"])
}

/// Opened where nobody writes it and nothing may be written beside it; then somebody does.
fn changes() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Impossible("it needs root, to be somebody else".to_owned()).into());
    }
    let scratch = Scratch::new()?;
    fs::set_permissions(&scratch.path, Permissions::from_mode(0o755))?;
    let file = scratch.path.join("history.db");
    drop(world(1).write(&file)?);
    let insert = "INSERT INTO traffic_10s VALUES (?1, 1, 3, 1, 5, 1000, 0)";
    std::thread::scope(|scope| {
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let (answer, answers) = std::sync::mpsc::channel();
        let reads = scope.spawn(|| -> anyhow::Result<()> {
            become_nobody()?;
            let reader = Reader::open(&file)?;
            let window = Window {
                since: NOON - 86_400,
                until: NOON + 86_400,
            };
            for () in asked {
                let top = reader.top(window, By::Process, &Whose::default(), 5)?;
                answer.send(top.total.tx_bytes)?;
            }
            drop(answer);
            Ok(())
        });
        let judge = || -> anyhow::Result<()> {
            let total = || -> anyhow::Result<u64> {
                ask.send(())?;
                answers.recv().context("the reader has failed")
            };
            let before = total()?;
            // One that comes and goes leaves another file and no log.
            let writer = Connection::open(&file)?;
            writer.execute(insert, [NOON + 100])?;
            drop(writer);
            ensure!(!file.with_extension("db-wal").exists(), "a log is left");
            ensure!(total()? == before + 1000, "another file is not seen");
            // What one that stays has written is in its log alone.
            let writer = Connection::open(&file)?;
            for times in 2..4 {
                writer.execute(insert, [NOON + 100 * times])?;
                let found = total()?;
                ensure!(
                    found == before + 1000 * times.unsigned_abs(),
                    "the log is not seen: {before}, then {found}"
                );
            }
            Ok(())
        };
        let judged = judge();
        drop(ask);
        let read = reads.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
        read.and(judged)
    })
}

/// This thread alone: it may read what everybody may, and write nothing.
fn become_nobody() -> anyhow::Result<()> {
    const NOBODY: nix::libc::uid_t = 65_534;
    const SAME: nix::libc::uid_t = nix::libc::uid_t::MAX;
    // SAFETY: takes three numbers; the call itself, unlike the C library's function of
    // that name, changes the calling thread only, and that one ends with the test.
    let done = unsafe { nix::libc::syscall(nix::libc::SYS_setresuid, SAME, NOBODY, SAME) };
    nix::errno::Errno::result(done)?;
    Ok(())
}
