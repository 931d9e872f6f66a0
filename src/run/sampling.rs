//! The sampler's thread: a step per interval, to every tap and into the feed.
//!
//! Whatever becomes of the screen or the server, the thread ends in order, so that
//! nothing stays attached or pinned.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::told::Told;
use crate::feed::Feed;
use crate::model::snapshot::Snapshot;
use crate::sampler::Sampler;

/// The first reading comes early, so that the first rows do.
const FIRST: Duration = Duration::from_millis(100);

/// Sees every snapshot of a run, the last one too, before any reader of the feed: what
/// must not miss one. It is called in the sampler's thread and must never wait. Told
/// with each is how long the step took.
pub type Tap = Box<dyn FnMut(&Arc<Snapshot>, Duration) + Send>;

/// The running thread; see the module's text.
pub struct Sampling {
    feed: Arc<Feed>,
    thread: Option<JoinHandle<()>>,
}

impl Sampling {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn start(sampler: Sampler, feed: Arc<Feed>, taps: Vec<Tap>) -> Result<Sampling> {
        let thread = thread::Builder::new()
            .name("sampler".to_owned())
            .spawn({
                let feed = Arc::clone(&feed);
                move || sample(sampler, &feed, taps)
            })
            .context("could not start a thread")?;
        Ok(Sampling {
            feed,
            thread: Some(thread),
        })
    }

    /// Lets it take its last reading, and waits for it.
    ///
    /// # Errors
    /// If it panicked.
    pub fn end(mut self) -> Result<()> {
        self.feed.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(anyhow!("the sampler panicked")),
            _ => Ok(()),
        }
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.feed.stop();
        if let Some(thread) = self.thread.take() {
            // Already unwinding: what it says has been printed.
            let _ = thread.join();
        }
    }
}

/// Says that nothing more comes when the thread panics, or readers would wait for ever.
struct EndOnPanic<'a>(&'a Feed);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(Some("the sampler panicked".to_owned()));
        }
    }
}

/// Steps once per interval and publishes, until asked to stop; then once more, with
/// the programs detached, so that the last snapshot is complete.
fn sample(mut sampler: Sampler, feed: &Feed, mut taps: Vec<Tap>) {
    let _end = EndOnPanic(feed);
    let mut told = Told::default();
    let mut last = Instant::now();
    let mut due = last + FIRST.min(feed.interval());
    loop {
        let stop = feed.sleep_until(due);
        let now = Instant::now();
        let interval = feed.interval();
        sampler.set_interval(interval);
        if now < due && !stop {
            // Woken by a change of the interval, which counts from the last reading.
            due = last + interval;
            continue;
        }
        last = now;
        due = now + interval;
        if let Some(judgement) = feed.take_judgement() {
            sampler.set_judgement(judgement);
        }
        if stop {
            sampler.detach();
        }
        let stepped = sampler.step();
        for trouble in sampler.troubles() {
            tracing::warn!("{trouble}");
        }
        match stepped {
            Ok(snapshot) => {
                told.in_log(&snapshot.interfaces);
                // Of the step alone, whatever the taps take.
                let took = now.elapsed();
                for tap in &mut taps {
                    tap(&snapshot, took);
                }
                feed.publish(snapshot);
            }
            Err(error) => {
                feed.end(Some(format!("{error:#}")));
                return;
            }
        }
        if stop {
            feed.end(None);
            return;
        }
    }
}
