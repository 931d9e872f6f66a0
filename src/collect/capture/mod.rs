//! The workers of `netmon capture`: rings, tables by address and by flow, their merging.
//!
//! Owns the threads and what they share. Each worker reads a ring of its own into a tally
//! of its own; when a report is due it hands the tally over to the one census, which is
//! the only lock. What is counted how is the model's business.

pub mod link;
pub mod lists;
mod worker;

use std::io::{self, PipeReader, PipeWriter};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::link::Link;
use self::worker::{Answer, Books, Shared};
pub use self::worker::{BLOCK_TIMEOUT, count};
use super::clock;
use super::filter::{Filter, Lists};
use super::ring::{Ring, Settings as RingSettings};
use crate::model::census::report::Report;
use crate::model::census::tally::Tally;
use crate::model::census::{Census, Facts};
use crate::model::sample::Moment;

/// What to capture, and with what.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads, each with a ring.
    pub workers: u16,
    /// Number that joins the rings, if there are several.
    pub fanout_group: u16,
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks of each ring.
    pub block_count: u32,
    /// Bytes that a frame may take.
    pub frame_size: u32,
    /// Networks that decide what is counted.
    pub lists: Lists,
    /// Addresses, and flows, that are counted apart.
    pub max_addresses: u32,
    /// Count each flow, too.
    pub flows: bool,
}

/// Longest wait for a worker's answer before it is looked whether the worker is alive.
const PATIENCE: Duration = Duration::from_millis(200);

/// A running capture; see the module's text.
pub struct Capture {
    filter: Filter,
    without_bpf: Option<anyhow::Error>,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Result<()>>>,
    answers: Receiver<Answer>,
    reported: Moment,
}

impl Capture {
    /// Opens the rings on `link`; packets are counted from when it returns.
    ///
    /// # Errors
    /// One line for a person, as [`Ring::open_group`] and the filter have them.
    pub fn start(settings: &Settings, link: &Link) -> Result<Capture> {
        let (filter, without_bpf) = Filter::load(&settings.lists, link.index())?;
        let rings = Ring::open_group(
            &RingSettings {
                interface: link.index(),
                block_size: settings.block_size,
                block_count: settings.block_count,
                frame_size: settings.frame_size,
                block_timeout: BLOCK_TIMEOUT,
            },
            settings.fanout_group,
            settings.workers,
            filter.for_ring(),
        )?;
        let (census, tallies) = tables(settings)?;
        let (ears, bells) = bells(rings.len())?;
        let shared = Arc::new(Shared::new(census, bells));
        let (sender, answers) = mpsc::channel();
        let mut capture = Capture {
            filter,
            without_bpf,
            shared,
            workers: Vec::with_capacity(rings.len()),
            answers,
            reported: clock::now(),
        };
        let parts = rings.into_iter().zip(tallies).zip(ears);
        for (number, ((ring, tally), ear)) in parts.enumerate() {
            let shared = Arc::clone(&capture.shared);
            let started = worker::start(number, ring, tally, shared, ear, sender.clone());
            capture.workers.push(started?);
        }
        Ok(capture)
    }

    /// Why the frames that the filter leaves out are not counted, if they are not: it is the
    /// classic one.
    pub fn without_bpf(&self) -> Option<&anyhow::Error> {
        self.without_bpf.as_ref()
    }

    /// What was counted up to now on the interface that is called `interface`, with at most
    /// `top` rows of each kind. With `last`, the rings are read to their end and the workers
    /// end.
    ///
    /// # Errors
    /// If a worker failed.
    pub fn report(&mut self, interface: &Arc<str>, top: usize, last: bool) -> Result<Report> {
        self.shared.ask(last);
        for _ in 0..self.workers.len() {
            self.answer()?;
        }
        let left_out = self.filter.counts()?;
        let at = clock::now();
        let mut books = self.shared.books();
        let Books { census, workers } = &mut *books;
        let facts = Facts {
            at,
            elapsed: at.monotonic.saturating_sub(self.reported.monotonic),
            interface: Arc::clone(interface),
            ignored: left_out.map_or(0, |counts| counts.ignored.packets),
            not_ip: left_out.map(|counts| counts.not_ip.packets),
            workers: workers.clone(),
        };
        self.reported = at;
        Ok(census.report(facts, top))
    }

    fn answer(&mut self) -> Result<Answer> {
        loop {
            match self.answers.recv_timeout(PATIENCE) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => self.check()?,
                Err(RecvTimeoutError::Disconnected) => {
                    self.check()?;
                    bail!("the capture threads ended");
                }
            }
        }
    }

    /// Says why, if a worker has failed.
    ///
    /// # Errors
    /// Its own, or that it panicked.
    pub fn check(&mut self) -> Result<()> {
        let ended = |worker: &JoinHandle<_>| worker.is_finished();
        while let Some(at) = self.workers.iter().position(ended) {
            match self.workers.swap_remove(at).join() {
                // As it was told.
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error).context("a capture thread failed"),
                Err(_) => bail!("a capture thread panicked"),
            }
        }
        Ok(())
    }
}

/// What each worker hears, and what to ring.
fn bells(workers: usize) -> Result<(Vec<PipeReader>, Vec<PipeWriter>)> {
    let pipes = (0..workers).map(|_| io::pipe());
    let pipes = pipes.collect::<io::Result<Vec<_>>>().context(
        "could not open a pipe to each capture thread; allow more open files (`ulimit -n`) or ask \
         for fewer --workers",
    )?;
    Ok(pipes.into_iter().unzip())
}

/// Where all is counted, and where each worker counts first.
fn tables(settings: &Settings) -> Result<(Census, Vec<Tally>)> {
    let (addresses, flows) = (settings.max_addresses, settings.flows);
    let census = Census::new(addresses, flows);
    let tallies = (0..settings.workers).map(|_| Tally::new(addresses, flows));
    match (census, tallies.collect::<Result<Vec<_>, _>>()) {
        (Ok(census), Ok(tallies)) => Ok((census, tallies)),
        _ => bail!(
            "there is no memory for tables of {addresses} addresses; ask for fewer by \
             --max-addresses"
        ),
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.ask(true);
        for worker in self.workers.drain(..) {
            // What it failed with has been said, or comes after another failure.
            let _ = worker.join();
        }
    }
}
