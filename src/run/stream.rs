//! `netmon stream`: a record per interval.

use std::io::{self, BufWriter};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::schedule::{Schedule, Signalled};
use super::told::Told;
use super::{format, sampler_settings, written};
use crate::cli;
use crate::model::ended::Ended;
use crate::sampler::Sampler;
use crate::sink::stream::Stream;

/// Runs until a signal, the last of `--count` records, `--duration`, or a
/// reader that has seen enough.
pub fn run(options: &cli::Stream) -> Result<ExitCode> {
    let common = &options.common;
    let signalled = Signalled::watch(common.monitor.interval)?;

    let settings = sampler_settings(&common.monitor);
    let wanted = settings.plans.first().copied();
    let mut sampler = Sampler::start(settings)?;
    // The screen says it in its header; the record has no field for it.
    let engine = Arc::clone(sampler.engine());
    if wanted.is_none_or(|wanted| wanted.engine() != *engine) {
        eprintln!(
            "netmon: counting by {} (`netmon doctor` says more); not counted or not \
             known: {}",
            engine.method,
            engine.blind_spots.join(", ")
        );
    }
    let filter = common.filter.filter();
    let mut stream = Stream::new(
        BufWriter::new(io::stdout().lock()),
        format(options.format),
        filter,
    );
    let mut ended = Ended::default();
    let mut told = Told::default();
    let mut schedule = Schedule::new(signalled, options.count, options.duration);
    loop {
        if schedule.wait() {
            let snapshot = ended.complete(&*sampler.finish()?);
            return written(stream.write(&snapshot).map(|()| ExitCode::SUCCESS));
        }
        let snapshot = sampler.step()?;
        told.on_stderr(&snapshot.interfaces);
        for trouble in sampler.troubles() {
            eprintln!("netmon: {trouble}");
        }
        ended.absorb(&snapshot);
        if let Err(error) = stream.write(&snapshot) {
            return written(Err(error));
        }
    }
}
