//! `netmon top`: the sampler on its own thread, the screen on the main one.

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::sampler_settings;
use crate::cli::Common;
use crate::feed::Feed;
use crate::sampler::{Sampler, Settings};
use crate::tui;

/// The first reading comes early, so that the first rows do.
const FIRST: Duration = Duration::from_millis(100);
/// How long a person can see a process or flow that has ended.
const LINGER: Duration = Duration::from_secs(3);
/// Most ended rows on the screen.
const MAX_LISTED_ENDED: usize = 1024;

/// Shows the screen until a person quits, a signal comes or the sampler fails.
pub fn run(options: &Common) -> Result<ExitCode> {
    if !stdout().is_terminal() {
        bail!(
            "standard output is not a terminal; use `netmon stream` for output that a program or \
             a file takes"
        );
    }
    let sampler = Sampler::start(Settings {
        linger: LINGER,
        max_listed_ended: MAX_LISTED_ENDED,
        ..sampler_settings(options)
    })?;
    let feed = Arc::new(Feed::new(options.interval));
    let worker = thread::Builder::new()
        .name("sampler".to_owned())
        .spawn({
            let feed = Arc::clone(&feed);
            move || sample(sampler, &feed)
        })
        .context("could not start a thread")?;

    let worker = Worker {
        feed: &feed,
        thread: Some(worker),
    };
    let shown = tui::run(
        &feed,
        tui::Options::from_environment(options.filter.filter()),
    );
    worker.end()?;
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// The sampler's thread; whatever becomes of the screen, it ends in order, so
/// that nothing stays attached or pinned.
struct Worker<'a> {
    feed: &'a Feed,
    thread: Option<JoinHandle<()>>,
}

impl Worker<'_> {
    fn end(mut self) -> Result<()> {
        self.feed.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(anyhow!("the sampler panicked")),
            _ => Ok(()),
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.feed.stop();
        if let Some(thread) = self.thread.take() {
            // Already unwinding: what it says has been printed.
            let _ = thread.join();
        }
    }
}

/// Steps once per interval and publishes, until asked to stop.
fn sample(mut sampler: Sampler, feed: &Feed) {
    let mut last = Instant::now();
    let mut due = last + FIRST.min(feed.interval());
    loop {
        if feed.sleep_until(due) {
            feed.end(None);
            return;
        }
        let now = Instant::now();
        let interval = feed.interval();
        sampler.set_interval(interval);
        if now < due {
            // Woken by a change of the interval, which counts from the last reading.
            due = last + interval;
            continue;
        }
        last = now;
        due = now + interval;
        match sampler.step() {
            Ok(snapshot) => feed.publish(snapshot),
            Err(error) => {
                feed.end(Some(format!("{error:#}")));
                return;
            }
        }
    }
}
