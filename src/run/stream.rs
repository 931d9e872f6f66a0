//! `netmon stream`: one thread that reads and writes in turn, and one that
//! waits for signals.
//!
//! There is only one reader here, so a slow one simply makes the next reading
//! later: the kernel's counters are cumulative and nothing is skipped.

use std::io::{self, BufWriter};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::{sampler_settings, written};
use crate::cli;
use crate::feed::Feed;
use crate::model::ended::Ended;
use crate::sampler::Sampler;
use crate::sink::stream::{Format, Stream};

/// Runs until a signal, the last of `--count` records, `--duration`, or a
/// reader that has seen enough.
pub fn run(options: &cli::Stream) -> Result<ExitCode> {
    let common = &options.common;
    // Before loading, so that a signal at any time ends in order.
    let feed = Arc::new(Feed::new(common.monitor.interval));
    stop_on_signals(Arc::clone(&feed))?;

    let settings = sampler_settings(&common.monitor);
    let wanted = settings.plans.first().copied();
    let mut sampler = Sampler::start(settings)?;
    // The screen says it in its header; the record has no field for it.
    let engine = Arc::clone(&sampler.accounting().engine);
    if wanted.is_some_and(|wanted| wanted.engine() != *engine) {
        eprintln!(
            "netmon: counting by {} (`netmon doctor` says more); not counted or not \
             known: {}",
            engine.method,
            engine.blind_spots.join(", ")
        );
    }
    let format = match options.format {
        cli::Format::Json => Format::Json,
        cli::Format::Csv => Format::Csv,
        cli::Format::Text => Format::Text,
    };
    let filter = common.filter.filter();
    let mut stream = Stream::new(BufWriter::new(io::stdout().lock()), format, filter);
    let mut ended = Ended::default();
    let start = Instant::now();
    let end = options
        .duration
        .and_then(|length| start.checked_add(length));
    let mut due = start;
    let mut count = 0;
    loop {
        due = next(due, &feed);
        let over = end.is_some_and(|end| due >= end);
        let stopped = feed.sleep_until(end.map_or(due, |end| due.min(end)));
        let last = stopped || over || options.count == Some(count + 1);
        if last {
            let snapshot = ended.complete(&*sampler.finish()?);
            return written(stream.write(&snapshot).map(|()| ExitCode::SUCCESS));
        }
        let snapshot = sampler.step()?;
        ended.absorb(&snapshot);
        if let Err(error) = stream.write(&snapshot) {
            return written(Err(error));
        }
        count += 1;
    }
}

/// The next due time: one interval on, or from now where that has passed.
fn next(due: Instant, feed: &Feed) -> Instant {
    let now = Instant::now();
    let due = due + feed.interval();
    if due > now {
        due
    } else {
        now + feed.interval()
    }
}

fn stop_on_signals(feed: Arc<Feed>) -> Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("could not watch for signals")?;
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
