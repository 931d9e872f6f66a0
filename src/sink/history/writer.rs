//! The thread that writes a history: a transaction for each bucket, and what is to be
//! tidied in between.
//!
//! Whoever hands in a bucket never waits for the disk. What cannot be written waits in
//! memory and is tried again with each further bucket; so a crash loses no more than
//! the bucket that is being filled (10 s) and those that wait. What the tables hold is
//! `store`'s business, how much may wait `backlog`'s.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail};
use rusqlite::ErrorCode;

use super::backlog::Backlog;
use super::retention::Retention;
use super::store::Store;
use crate::model::ledger::Bucket;
use crate::sink::health::Health;

/// The part of the daemon whose health this is.
const PART: &str = "history";

/// Most steps of tidying after one bucket: an old history is brought into bounds little
/// by little, and a clock that is wrongly ahead makes it delete no more than so much with
/// each bucket until it is set right.
const STEPS: usize = 32;

/// Where a history is written, and what it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its file.
    pub file: PathBuf,
    /// What it keeps.
    pub retention: Retention,
}

/// The running thread; see the module's text.
pub struct Writer {
    file: PathBuf,
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

/// Where buckets are handed in.
#[derive(Clone)]
pub struct Sender(Arc<Inbox>);

impl Sender {
    /// Hands a bucket in, without waiting for it to be written.
    pub fn push(&self, bucket: Bucket) {
        let mut state = self.0.lock();
        state.backlog.push(bucket);
        state.pushed += 1;
        self.0.wake.notify_one();
    }
}

/// What the thread and its handles share.
struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    backlog: Backlog,
    /// Buckets handed in so far.
    pushed: u64,
    retention: Retention,
    ended: bool,
}

impl Inbox {
    /// A panicking holder leaves the state whole but for, at worst, the bucket in hand.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a bucket beyond the `seen` first ones, or the end. True for the end.
    fn wait(&self, seen: &mut u64) -> bool {
        let state = self
            .wake
            .wait_while(self.lock(), |state| state.pushed == *seen && !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        *seen = state.pushed;
        state.ended
    }

    /// True if something waits for the thread.
    fn is_waiting(&self) -> bool {
        let state = self.lock();
        state.ended || !state.backlog.is_empty()
    }
}

impl Writer {
    /// Opens the history, as its one writer, and starts the thread.
    ///
    /// # Errors
    /// If another process writes it, it is no history, of a newer netmon, or cannot be
    /// written; or if there can be no further thread.
    pub fn start(settings: Settings, health: Arc<Health>) -> Result<Writer> {
        let store = Store::open(&settings.file)?;
        let inbox = Arc::new(Inbox {
            state: Mutex::new(State {
                backlog: Backlog::default(),
                pushed: 0,
                retention: settings.retention,
                ended: false,
            }),
            wake: Condvar::new(),
        });
        let thread = thread::Builder::new()
            .name("history".to_owned())
            .spawn({
                let inbox = Arc::clone(&inbox);
                move || work(store, &inbox, &health)
            })
            .context("could not start a thread")?;
        Ok(Writer {
            file: settings.file,
            inbox,
            thread: Some(thread),
        })
    }

    /// Where buckets are handed in.
    pub fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.inbox))
    }

    /// Changes what is kept, from the next bucket on.
    pub fn set_retention(&self, retention: Retention) {
        self.inbox.lock().retention = retention;
    }

    /// Writes what waits, and ends the thread.
    ///
    /// # Errors
    /// If something could not be written, or the thread panicked.
    pub fn end(mut self) -> Result<()> {
        if self.join().is_err() {
            return Err(anyhow!("the history's thread panicked"));
        }
        let state = self.inbox.lock();
        let bytes = state.backlog.bytes() + state.backlog.lost();
        if bytes > 0 {
            bail!(
                "{bytes} bytes of what was counted could not be written to {}",
                self.file.display()
            );
        }
        Ok(())
    }

    fn join(&mut self) -> thread::Result<()> {
        self.inbox.lock().ended = true;
        self.inbox.wake.notify_one();
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // If it panicked, what it said has been printed.
        let _ = self.join();
    }
}

/// Tells if the thread that holds it panics: netmon goes on without it.
struct Watch<'a>(&'a Health);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let what = "its thread panicked, nothing more is written; start netmon again";
            self.0.trouble(PART, what.to_owned());
        }
    }
}

/// The thread.
fn work(mut store: Store, inbox: &Inbox, health: &Health) {
    let _watch = Watch(health);
    let mut seen = 0;
    loop {
        let ended = inbox.wait(&mut seen);
        let done = write(&mut store, inbox).and_then(|()| tidy(&mut store, inbox));
        tell(&store, inbox, health, done);
        if ended {
            return;
        }
    }
}

/// Writes what waits, oldest first, until something fails.
fn write(store: &mut Store, inbox: &Inbox) -> rusqlite::Result<()> {
    loop {
        fold(inbox);
        let Some(bucket) = inbox.lock().backlog.pop() else {
            return Ok(());
        };
        if let Err(error) = store.write(&bucket) {
            inbox.lock().backlog.put_back(bucket);
            fold(inbox);
            return Err(error);
        }
    }
}

/// Keeps what waits in bounds. Whoever hands in a bucket meanwhile does not wait for it.
fn fold(inbox: &Inbox) {
    let excess = inbox.lock().backlog.take_excess();
    if let Some(mut excess) = excess {
        excess.fold();
        inbox.lock().backlog.give_back(excess);
    }
}

fn tidy(store: &mut Store, inbox: &Inbox) -> rusqlite::Result<()> {
    for _ in 0..STEPS {
        let retention = inbox.lock().retention;
        if inbox.is_waiting() || !store.tidy(&retention)? {
            break;
        }
    }
    Ok(())
}

/// Says what went wrong, and when it is over, once each.
fn tell(store: &Store, inbox: &Inbox, health: &Health, done: rusqlite::Result<()>) {
    let file = store.file().display();
    let lost = inbox.lock().backlog.lost();
    match done {
        Ok(()) if health.well(PART) => {
            tracing::info!("the history is written again to {file}; {lost} bytes were lost");
        }
        Ok(()) => {}
        Err(error) => {
            let waiting = match inbox.lock().backlog.len() {
                1 => "1 bucket waits".to_owned(),
                count => format!("{count} buckets wait"),
            };
            let mut what = format!("{}; {waiting}", plainly(&error));
            if lost > 0 {
                what.push_str(&format!(", {lost} bytes were lost"));
            }
            if health.trouble(PART, what.clone()) {
                tracing::warn!(
                    "could not write {file}: {error}: {what}; it is tried again every 10 seconds"
                );
            }
        }
    }
}

/// What is wrong, for a person who looks at netmon and not at its file.
fn plainly(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the file"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "the file may not be written",
        Some(ErrorCode::CannotOpen) => "the file cannot be opened",
        Some(ErrorCode::SystemIoFailure) => "the disk cannot be read or written",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "the file is damaged",
        _ => "the file could not be written",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_told() {
        let health = Arc::new(Health::default());
        let watched = |panics: bool| {
            let health = Arc::clone(&health);
            let thread = thread::spawn(move || {
                let _watch = Watch(&health);
                assert!(!panics, "as it should");
            });
            thread.join().is_err()
        };
        assert!(!watched(false));
        assert_eq!(health.text(), "OK");
        assert!(watched(true));
        let text = health.text();
        assert!(
            text.starts_with("DEGRADED history: its thread panicked"),
            "{text}"
        );
    }
}
