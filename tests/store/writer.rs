//! The writer's thread: failures and what becomes of buckets meanwhile, settings that
//! change, and the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::sink::health::Health;
use netmon::sink::history::ask::{Whose, Window};
use netmon::sink::history::reader::Reader;
use netmon::sink::history::retention::Retention;
use netmon::sink::history::store::Store;
use netmon::sink::history::writer::{Settings, Writer};

use crate::books::{Books, FOREVER, bucket, row, who};
use crate::daemon::wait_for;
use crate::netmon::Scratch;
use crate::trial::{root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("what_cannot_be_written_waits_and_health_tells", recovers),
        trial("what_was_never_written_is_told_at_the_end", never),
        root("a_file_of_another_user_is_named_with_what_to_do", owners),
        trial("retention_changes_while_it_runs", retention),
        trial("questions_in_its_own_process_leave_its_log_alone", asked),
    ]
}

/// Some day, at the begin of an hour.
const START: i64 = 1_800_000_000;

fn start(file: &Path, health: &Arc<Health>) -> anyhow::Result<Writer> {
    let settings = Settings {
        file: file.to_owned(),
        retention: FOREVER,
    };
    Writer::start(settings, Arc::clone(health))
}

/// A shell's table that lets no bucket in.
fn refuse(file: &Path) -> anyhow::Result<rusqlite::Connection> {
    let shell = rusqlite::Connection::open(file)?;
    shell.busy_timeout(Duration::from_secs(10))?;
    shell.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON protocol_10s
         BEGIN SELECT raise(ABORT, 'not today'); END",
    )?;
    Ok(shell)
}

fn recovers() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let health = Arc::new(Health::default());
    let writer = start(&file, &health)?;
    let sender = writer.sender();
    let shell = refuse(&file)?;
    let one = who("one");
    for at in 0..3 {
        sender.push(bucket(START + at * 10, vec![row(&one, 1, 1, [1, 2])]));
    }
    wait_for("three buckets wait", || {
        Ok(health.text().contains("3 buckets wait"))
    })?;
    // Why and where in SQLite's words is the log's to say.
    let text = health.text();
    let plain = "DEGRADED history: the file could not be written; 3 buckets wait";
    ensure!(text == plain, "{text}");
    let books = Books::open(&file)?;
    ensure!(
        books.number("SELECT count(*) FROM process", [])? == 0,
        "half written"
    );

    shell.execute_batch("DROP TRIGGER refuse")?;
    sender.push(bucket(START + 30, vec![row(&one, 1, 1, [1, 2])]));
    wait_for("it is well again", || Ok(health.text() == "OK"))?;
    writer.end()?;
    let found = books.sums("SELECT '' || time, tx_bytes, rx_bytes FROM traffic_10s", [])?;
    let expected = (0..4).map(|at| ((START + at * 10).to_string(), [1, 2]));
    ensure!(found == expected.collect(), "{found:?}");
    Ok(())
}

fn never() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let writer = start(&file, &Arc::default())?;
    let _shell = refuse(&file)?;
    writer
        .sender()
        .push(bucket(START, vec![row(&who("one"), 1, 1, [1000, 234])]));
    let error = writer.end().err().context("no error")?.to_string();
    for word in ["1234 bytes", &file.display().to_string()] {
        ensure!(error.contains(word), "{word} is not in: {error}");
    }
    Ok(())
}

/// What `nobody` is told who would write this history.
fn refused(file: &Path) -> anyhow::Result<String> {
    const NOBODY: libc::c_long = 65_534;
    let asks = || {
        let same: libc::c_long = -1;
        // SAFETY: it takes three numbers and no memory. As a system call, not libc's
        // function, it changes this thread alone, which ends with the question.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, same, NOBODY, same) };
        ensure!(changed == 0, "{}", std::io::Error::last_os_error());
        let refused = Store::open(file).err().context("it may write it")?;
        Ok(format!("{refused:#}"))
    };
    thread::scope(|scope| scope.spawn(asks).join().expect("it does not panic"))
}

fn owners() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    drop(Store::open(&file)?);
    let lock = scratch.path.join("history.db-lock");
    // First the one, then, once that is mended, the other.
    fs::set_permissions(&scratch.path, fs::Permissions::from_mode(0o777))?;
    for part in [&lock, &file] {
        let text = refused(&file)?;
        let part = part.display();
        let what = format!("{part} belongs to root, and netmon runs as nobody; run: chown");
        ensure!(text.contains(&what), "{text}");
        fs::remove_file(&lock)?;
    }
    Ok(())
}

fn retention() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let writer = start(&file, &Arc::default())?;
    let sender = writer.sender();
    for at in 0..12 {
        sender.push(bucket(
            START + at * 10,
            vec![row(&who("one"), 1, 1, [1, 2])],
        ));
    }
    let books = Books::open(&file)?;
    let count = || books.number("SELECT count(*) FROM traffic_10s", []);
    wait_for("all buckets", || Ok(count()? == 12))?;
    writer.set_retention(Retention {
        keep_10s: Duration::ZERO,
        ..FOREVER
    });
    sender.push(bucket(START + 120, Vec::new()));
    wait_for("they are gone", || Ok(count()? == 0))?;
    writer.end()?;
    ensure!(books.number("SELECT sum(tx_bytes) FROM traffic_1m", [])? == 12);
    Ok(())
}

/// Has this program look at the history named after it as another process does.
pub const LOOK: &str = "--look";

/// Fails unless another process holds the lock by which SQLite knows that a history is
/// open: SHARED_FIRST and SHARED_SIZE of `os.h` in SQLite 3.
pub fn look(file: &str) -> anyhow::Result<()> {
    let file = std::fs::File::options().read(true).write(true).open(file)?;
    let mut held = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0x4000_0002,
        l_len: 510,
        l_pid: 0,
    };
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETLK(&mut held))?;
    ensure!(
        held.l_type != libc::F_UNLCK as libc::c_short,
        "nobody holds a lock"
    );
    Ok(())
}

/// A process that closes a file lets go of all its locks on it. A question answered in
/// the writer's process must not: the next one to close the history would take itself
/// for the last and delete the log, and with it everything written from then on.
fn asked() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let one = who("one");
    // Some hour that is over.
    let start = 1_700_002_800;
    store.write(&bucket(start, vec![row(&one, 1, 1, [1, 2])]))?;
    let window = Window {
        since: start,
        until: start + 3600,
    };
    for _ in 0..2 {
        Reader::open(&file)?.protocols(window, &Whose::default())?;
        let mut elsewhere = Command::new(std::env::current_exe()?);
        let done = elsewhere.arg(LOOK).arg(&file).output()?;
        ensure!(done.status.success(), "{done:?}");
    }
    store.write(&bucket(start + 10, vec![row(&one, 1, 1, [10, 20])]))?;
    let found = Books::open(&file)?.of_process("one", 1)?;
    ensure!(
        found == [11, 22],
        "{found:?}: the log was deleted under its writer"
    );
    Ok(())
}
