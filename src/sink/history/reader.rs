//! Answers to questions, read from the file while another process may write it.
//!
//! Owns the open file and that each answer is of one moment. What is asked of which
//! table is the business of the modules beside it.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use rusqlite::{Connection, Error, ErrorCode, InterruptHandle, OpenFlags};

use super::answer::{Alerts, Interfaces, Protocols, Remotes, Timeline, Top};
use super::ask::{By, Whose, Window};
use super::plan::Kept;
use super::schema::{APPLICATION, VERSION, no_history};
use super::{alerts, lock, timeline, top, wire};

/// How long a question waits for a writer that has the file to itself, which it has
/// for moments only.
const BUSY: Duration = Duration::from_secs(5);

/// An open history; see the module's text.
#[derive(Debug)]
pub struct Reader {
    file: PathBuf,
    opened: RefCell<Opened>,
}

/// A connection, and what it takes for granted.
#[derive(Debug)]
struct Opened {
    db: Connection,
    /// The file as it was opened, if as one that nobody changes.
    unchanging: Option<Stamp>,
}

/// A history at one moment.
#[derive(Debug)]
pub struct Look<'a> {
    /// In a transaction.
    pub db: &'a Connection,
    /// How far its levels reach.
    pub kept: Kept,
}

impl Reader {
    /// Opens the file for reading only.
    ///
    /// # Errors
    /// If there is none, or it is no history of netmon, or of a newer netmon.
    pub fn open(file: &Path) -> Result<Reader> {
        let name = file.display();
        // SQLite tells all of these as the same error. The file must not be opened for
        // this: to close it would let go of all locks that this process has on it, the
        // writer's among them (fcntl_locking(2)), and the next one to close the history
        // would delete its log under the writer.
        let kind = fs::metadata(file).and_then(|metadata| {
            faccessat(AT_FDCWD, file, AccessFlags::R_OK, AtFlags::AT_EACCESS)?;
            Ok(metadata.is_file())
        });
        match kind {
            Ok(true) => {}
            Ok(false) => bail!("{name} is not a file; name the history with --db"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "there is no history at {name}; start `netmon serve`, which writes one, or name \
                 the file with --db"
            ),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("could not read the history at {name}; run as a user who may (root)")
                });
            }
        }
        let opened = connect(file).map_err(|error| refusal(file, &error))?;
        let db = &opened.db;
        let mark = |pragma| db.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let application = mark("PRAGMA application_id").map_err(|error| refusal(file, &error))?;
        let version = mark("PRAGMA user_version").map_err(|error| refusal(file, &error))?;
        if application != APPLICATION || version < 1 {
            return Err(no_history(file));
        }
        if version > VERSION {
            bail!(
                "{name} is of a newer netmon (version {version} of the tables, this one reads \
                 {VERSION}); use that netmon"
            );
        }
        Ok(Reader {
            file: file.to_owned(),
            opened: RefCell::new(opened),
        })
    }

    /// What ends a running question from another thread; it then fails.
    pub fn interrupter(&self) -> InterruptHandle {
        self.opened.borrow().db.get_interrupt_handle()
    }

    /// Who moved most.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn top(&self, window: Window, by: By, whose: &Whose, limit: usize) -> Result<Top> {
        self.look(|look| top::top(look, window, by, whose, limit))
    }

    /// How much moved when, in points of about `step`; by key if `by` says so, then at
    /// most `limit` keys apart.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn timeline(
        &self,
        window: Window,
        step: Duration,
        whose: &Whose,
        by: Option<(By, usize)>,
    ) -> Result<Timeline> {
        self.look(|look| timeline::timeline(look, window, step, whose, by))
    }

    /// Bytes by protocol.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn protocols(&self, window: Window, whose: &Whose) -> Result<Protocols> {
        self.look(|look| top::protocols(look, window, whose))
    }

    /// Bytes by remote address.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn remotes(&self, window: Window, whose: &Whose, limit: usize) -> Result<Remotes> {
        self.look(|look| top::remotes(look, window, whose, limit))
    }

    /// Flows that were above the threshold.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn alerts(&self, window: Window, whose: &Whose, limit: usize) -> Result<Alerts> {
        self.look(|look| alerts::alerts(look, window, whose, limit))
    }

    /// What interfaces moved, or the one that is called so.
    ///
    /// # Errors
    /// If the file cannot be read, or was written before netmon kept interfaces.
    pub fn interfaces(
        &self,
        window: Window,
        name: Option<&str>,
        limit: usize,
    ) -> Result<Interfaces> {
        self.look(|look| wire::interfaces(look, window, name, limit))
    }

    /// How much one interface moved when, in points of about `step`.
    ///
    /// # Errors
    /// As [`Reader::interfaces`].
    pub fn interface_timeline(
        &self,
        window: Window,
        step: Duration,
        name: &str,
    ) -> Result<Timeline> {
        self.look(|look| timeline::of_interface(look, window, step, name))
    }

    /// Opens the file anew if it was taken as one that nobody changes and somebody did.
    fn refresh(&self) -> Result<()> {
        let mut opened = self.opened.borrow_mut();
        if opened.unchanging.is_some() && opened.unchanging != Stamp::of(&self.file) {
            *opened = connect(&self.file).map_err(|error| refusal(&self.file, &error))?;
        }
        Ok(())
    }

    /// Answers a question within one transaction, so that what a writer does meanwhile
    /// is in all of the answer or in nothing of it.
    pub(super) fn look<T>(&self, answer: impl FnOnce(&Look) -> Result<T>) -> Result<T> {
        self.refresh()?;
        let opened = self.opened.borrow();
        let read = || {
            let transaction = opened.db.unchecked_transaction()?;
            let kept = Kept::read(&transaction)?;
            answer(&Look {
                db: &transaction,
                kept,
            })
        };
        read().context("could not read the history")
    }
}

/// A connection that only reads.
fn connect(file: &Path) -> rusqlite::Result<Opened> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |db: rusqlite::Result<Connection>| -> rusqlite::Result<Connection> {
        let db = db?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "query_only", true)?;
        // Only now the file is looked into.
        db.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        Ok(db)
    };
    let refused = match open(Connection::open_with_flags(file, flags)) {
        Ok(db) => {
            return Ok(Opened {
                db,
                unchanging: None,
            });
        }
        Err(error) => error,
    };
    // Where it may not write beside it, SQLite cannot share the file with a writer. That
    // there is no writer the missing log tells.
    let code = refused.sqlite_error_code();
    if matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
        && let Some(stamp) = Stamp::of(file).filter(|stamp| !stamp.has_log)
        && let Some(uri) = immutable(file)
    {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        return Ok(Opened {
            db: open(Connection::open_with_flags(uri, flags))?,
            unchanging: Some(stamp),
        });
    }
    Err(refused)
}

/// What changes about a file when somebody writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    /// The log beside it has something in it.
    has_log: bool,
    /// Which file it is: device and inode.
    inode: (u64, u64),
    length: u64,
    /// Last change: seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// That of a file, if there is one.
    fn of(file: &Path) -> Option<Stamp> {
        let log = fs::metadata(lock::beside(file, "-wal"));
        let file = fs::metadata(file).ok()?;
        Some(Stamp {
            has_log: log.is_ok_and(|log| log.len() > 0),
            inode: (file.dev(), file.ino()),
            length: file.len(),
            changed: (file.mtime(), file.mtime_nsec()),
        })
    }
}

/// The file as one that nobody changes; `None` for a name that is not text.
fn immutable(file: &Path) -> Option<String> {
    let name = file.to_str()?;
    let mut uri = String::from("file:");
    for character in name.chars() {
        match character {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            character => uri.push(character),
        }
    }
    uri.push_str("?immutable=1");
    Some(uri)
}

/// Why a file cannot be read, and what to do.
fn refusal(file: &Path, error: &Error) -> anyhow::Error {
    let name = file.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => no_history(file),
        Some(ErrorCode::DatabaseCorrupt) => anyhow!(
            "the history at {name} is damaged ({error}); move it away, and `netmon serve` begins \
             a new one"
        ),
        _ => anyhow!(
            "could not open the history at {name}: {error}; run as a user who may read it and \
             write beside it (root)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::history::{schema, scratch::Scratch};

    #[test]
    fn what_reads_cannot_write() {
        let scratch = Scratch::new();
        let file = scratch.path.join("history.db");
        let writer = schema::open(&file).unwrap();
        let insert = "INSERT INTO progress (level, time) VALUES ('1m', 0)";
        let is_refused = |db: &Connection| {
            let code = db.execute(insert, []).unwrap_err().sqlite_error_code();
            code == Some(ErrorCode::ReadOnly)
        };
        let opened = connect(&file).unwrap();
        assert!(opened.unchanging.is_none());
        assert!(is_refused(&opened.db));
        // Not only its own promise keeps it from that.
        opened.db.pragma_update(None, "query_only", false).unwrap();
        assert!(is_refused(&opened.db));
        assert_eq!(writer.execute(insert, []), Ok(1));
    }
}
