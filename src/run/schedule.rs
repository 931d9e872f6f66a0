//! When a command on standard output reports, and when it ends.
//!
//! One thread reads and writes in turn, another waits for signals. There is only one
//! reader, so a slow one simply makes the next reading later: the kernel's counters are
//! cumulative and nothing is skipped.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::feed::Feed;

/// Signals, watched from before anything is loaded, so that one at any time ends in order.
pub struct Signalled(Arc<Feed>);

impl Signalled {
    /// Watches for them.
    ///
    /// # Errors
    /// If there can be no handler or no further thread.
    pub fn watch(interval: Duration) -> Result<Signalled> {
        let feed = Arc::new(Feed::new(interval));
        stop_on_signals(Arc::clone(&feed))?;
        Ok(Signalled(feed))
    }
}

/// The times at which reports are due; see the module's text.
pub struct Schedule {
    feed: Arc<Feed>,
    due: Instant,
    end: Option<Instant>,
    count: Option<u64>,
    done: u64,
}

impl Schedule {
    /// Reports from now on: `count` of them or for `duration`, where that is said.
    pub fn new(signalled: Signalled, count: Option<u64>, duration: Option<Duration>) -> Schedule {
        let start = Instant::now();
        Schedule {
            feed: signalled.0,
            due: start,
            end: duration.and_then(|length| start.checked_add(length)),
            count,
            done: 0,
        }
    }

    /// Waits until a report is due; true if it is the last.
    pub fn wait(&mut self) -> bool {
        self.due = next(self.due, &self.feed);
        let due = self.end.map_or(self.due, |end| self.due.min(end));
        let over = self.end.is_some_and(|end| self.due >= end);
        let stopped = self.feed.sleep_until(due);
        self.done += 1;
        stopped || over || self.count == Some(self.done)
    }
}

/// The next due time: one interval on, or from now where that has passed.
pub(super) fn next(due: Instant, feed: &Feed) -> Instant {
    let now = Instant::now();
    let due = due + feed.interval();
    if due > now {
        due
    } else {
        now + feed.interval()
    }
}

/// Stops `feed` at the first signal that asks for an end. SIGHUP stays ignored where it
/// was (`nohup`); SIGINT does not, as a shell has what a script starts by `&` ignore it,
/// and `kill -INT` is how that script ends it.
///
/// # Errors
/// If there can be no handler or no further thread.
pub(super) fn stop_on_signals(feed: Arc<Feed>) -> Result<()> {
    let mut heeded = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        heeded.push(SIGHUP);
    }
    let mut signals = Signals::new(heeded).context("could not watch for signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                feed.stop();
            }
            // A reader that has stalled holds the main thread in a write: who asks
            // a second time wants an end at once.
            if let Some(signal) = signals.next() {
                let _ = emulate_default_handler(signal);
            }
        })
        .context("could not start a thread")?;
    Ok(())
}

/// Whether this process was started to ignore that signal.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    // Bit 0 is signal 1.
    set.is_some_and(|set| set >> (signal - 1) & 1 == 1)
}
