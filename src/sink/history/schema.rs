//! Opens the file of a history for writing: creates it, or brings it up to date.
//!
//! Owns what a file must be to be a history, and the steps from each version of the
//! tables to the next. What is written into them is `store`'s business.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::lock;

/// Steps from version 0 (an empty file) to 1, from 1 to 2 and so on. A released step is
/// never changed: a new version is a new step in a file of its own.
const STEPS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema-2.sql")];

/// The version of the tables (`PRAGMA user_version`) after all steps.
pub const VERSION: i64 = STEPS.len() as i64;

/// `PRAGMA application_id` of a history; the first step sets it.
pub const APPLICATION: i64 = 0x6E74_6D6E;

/// Files of the history are for their owner and its group: they say who talks to whom.
pub const MODE: u32 = 0o640;

/// The same for a directory that is made for them.
const DIRECTORY_MODE: u32 = 0o750;

/// How long to wait while somebody else, a person with a shell perhaps, writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Memory for pages, KiB.
const CACHE: i64 = 4096;

/// Makes the directory of a history that will be in `file`, if there is none.
///
/// # Errors
/// If it cannot be made.
pub fn make_directory(file: &Path) -> Result<()> {
    let Some(directory) = file.parent().filter(|it| !it.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .with_context(|| {
            format!(
                "could not make the directory {} for the history; make it or give --db a file \
                 elsewhere",
                directory.display()
            )
        })
}

/// Opens the history in `file` for writing, with the tables of this version.
///
/// # Errors
/// If it is no history, of a newer netmon, or cannot be opened.
pub fn open(file: &Path) -> Result<Connection> {
    match OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(MODE)
        .open(file)
    {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("could not create {}", file.display()));
        }
        // Closed again before SQLite has a lock that could be lost by it.
        _ => {}
    }
    may_write(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(file, flags);
    let mut connection = opened.with_context(|| format!("could not open {}", file.display()))?;
    prepare(&mut connection, file, &STEPS).map_err(|error| {
        let foreign = error
            .downcast_ref::<rusqlite::Error>()
            .and_then(rusqlite::Error::sqlite_error_code)
            == Some(ErrorCode::NotADatabase);
        if foreign {
            return no_history(file);
        }
        error
    })?;
    Ok(connection)
}

/// Fails, with what to do, if a file of the history is another user's: SQLite would open
/// it for reading, or not say which one it is. Closes them before SQLite has a lock, too.
fn may_write(file: &Path) -> Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let part = lock::beside(file, ending);
        let Err(error) = OpenOptions::new().write(true).open(&part) else {
            continue;
        };
        if let Some(told) = lock::owned_by_another(&part, &error) {
            return Err(told);
        }
    }
    Ok(())
}

fn prepare(connection: &mut Connection, file: &Path, steps: &[&str]) -> Result<()> {
    let could_not = || format!("could not open the history in {}", file.display());
    connection.busy_timeout(PATIENCE).with_context(could_not)?;
    // Before anything is written: a file of somebody else stays as it is.
    check(connection, file, steps.len())?;
    configure(connection).with_context(could_not)?;
    migrate(connection, file, steps)
}

/// The version of the tables; 0 in an empty file.
fn check(connection: &Connection, file: &Path, newest: usize) -> Result<usize> {
    let could_not = || format!("could not read {}", file.display());
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application = number("application_id").with_context(could_not)?;
    let version = number("user_version").with_context(could_not)?;
    let is_empty = !connection
        .prepare("SELECT 1 FROM sqlite_schema")
        .and_then(|mut tables| tables.exists([]))
        .with_context(could_not)?;
    if is_empty && application == 0 && version == 0 {
        return Ok(0);
    }
    let version = usize::try_from(version).unwrap_or(0);
    if application != APPLICATION || version == 0 {
        return Err(no_history(file));
    }
    ensure!(
        version <= newest,
        "{} was written by a newer netmon (version {version} of the history, this netmon knows up \
         to {newest}); use that netmon or give --db another file",
        file.display()
    );
    Ok(version)
}

/// What is said of a file of somebody else.
pub fn no_history(file: &Path) -> anyhow::Error {
    anyhow!(
        "{} is no history of netmon; give --db another file",
        file.display()
    )
}

fn configure(connection: &Connection) -> Result<()> {
    // The first only counts before there are tables, and makes it possible to give room
    // back later. FULL: what was flushed is there after a power cut, too.
    connection.execute_batch(&format!(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA synchronous = FULL;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{CACHE};"
    ))?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    ensure!(
        mode == "wal",
        "its file system cannot hold a history; give --db a file on a local disk"
    );
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Takes the steps that are missing, each whole or not at all.
fn migrate(connection: &mut Connection, file: &Path, steps: &[&str]) -> Result<()> {
    loop {
        let could_not = || format!("could not bring {} up to date", file.display());
        let step = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .with_context(could_not)?;
        let version = check(&step, file, steps.len())?;
        let Some(statements) = steps.get(version) else {
            return Ok(());
        };
        step.execute_batch(statements).with_context(could_not)?;
        // There are not many steps.
        step.pragma_update(None, "user_version", version as i64 + 1)
            .with_context(could_not)?;
        step.commit().with_context(could_not)?;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sink::history::scratch::Scratch;

    fn number(connection: &Connection, query: &str) -> i64 {
        connection.query_row(query, [], |row| row.get(0)).unwrap()
    }

    fn refusal(file: &Path) -> String {
        let error = open(file).err().unwrap();
        let text = format!("{error:#}");
        assert!(!text.contains('\n'), "{text}");
        assert!(text.contains(&*file.to_string_lossy()), "{text}");
        text
    }

    #[test]
    fn a_new_history_is_for_its_owner_and_can_give_room_back() {
        let scratch = Scratch::new();
        let file = scratch.path.join("a/b/history.db");
        make_directory(&file).unwrap();
        let history = open(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file) & !MODE, 0);
        assert_eq!(mode(&lock::beside(&file, "-wal")) & !MODE, 0);
        assert_eq!(mode(file.parent().unwrap()) & !DIRECTORY_MODE, 0);
        assert_eq!(number(&history, "PRAGMA auto_vacuum"), 2);
        assert_eq!(number(&history, "PRAGMA synchronous"), 2);
        assert_eq!(number(&history, "PRAGMA user_version"), VERSION);
        assert_eq!(number(&history, "PRAGMA application_id"), APPLICATION);
        drop(history);
        open(&file).unwrap();
    }

    #[test]
    fn files_of_others_are_refused_and_left_alone() {
        let scratch = Scratch::new();
        let file = scratch.path.join("notes.db");
        fs::write(&file, "These are notes, and long ones. ".repeat(40)).unwrap();
        let before = fs::read(&file).unwrap();
        assert!(refusal(&file).contains("is no history of netmon"));
        assert_eq!(fs::read(&file).unwrap(), before);

        let file = scratch.path.join("theirs.db");
        let theirs = Connection::open(&file).unwrap();
        theirs.execute_batch("CREATE TABLE t (a)").unwrap();
        drop(theirs);
        let before = fs::read(&file).unwrap();
        assert!(refusal(&file).contains("is no history of netmon"));
        assert_eq!(fs::read(&file).unwrap(), before);
    }

    #[test]
    fn a_newer_history_is_refused_and_left_alone() {
        let scratch = Scratch::new();
        let file = scratch.path.join("history.db");
        let newer = STEPS.len() + 1;
        let history = open(&file).unwrap();
        history
            .pragma_update(None, "user_version", newer as i64)
            .unwrap();
        drop(history);
        let text = refusal(&file);
        assert!(text.contains("newer netmon"), "{text}");
        let history = Connection::open(&file).unwrap();
        assert_eq!(number(&history, "PRAGMA user_version"), newer as i64);
    }

    #[test]
    fn each_step_is_taken_once_and_whole_or_not_at_all() {
        let scratch = Scratch::new();
        let file = scratch.path.join("history.db");
        let mut history = open(&file).unwrap();
        history
            .execute_batch("INSERT INTO protocol (id, name) VALUES (1, 'tcp')")
            .unwrap();
        let bad = [
            STEPS[0],
            STEPS[1],
            "ALTER TABLE protocol ADD COLUMN word TEXT; INSERT INTO nowhere VALUES (1)",
        ];
        let error = prepare(&mut history, &file, &bad).unwrap_err();
        assert!(
            format!("{error:#}").contains("could not bring"),
            "{error:#}"
        );
        assert_eq!(number(&history, "PRAGMA user_version"), VERSION);
        assert!(history.prepare("SELECT word FROM protocol").is_err());

        let good = [
            STEPS[0],
            STEPS[1],
            "ALTER TABLE protocol ADD COLUMN word TEXT NOT NULL DEFAULT 'yes'",
            "UPDATE protocol SET word = word || '!'",
        ];
        for _ in 0..2 {
            prepare(&mut history, &file, &good).unwrap();
            assert_eq!(number(&history, "PRAGMA user_version"), VERSION + 2);
            let query = "SELECT count(*) FROM protocol WHERE id = 1 AND word = 'yes!'";
            assert_eq!(number(&history, query), 1);
        }
    }
}
