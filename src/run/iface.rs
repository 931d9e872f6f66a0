//! `netmon iface`: a report of the interfaces per interval, without any tracing.
//!
//! Owns when a report is made and of what. How it looks is `sink::interfaces`' business.

use std::io::{self, BufWriter};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::schedule::{Schedule, Signalled};
use super::told::Told;
use super::{format, which, written, xdp_mode};
use crate::cli::Iface;
use crate::collect::clock;
use crate::collect::interfaces::Interfaces;
use crate::collect::xdp::{FlowCount, InterfaceSampler, Settings};
use crate::model::interface::{Exchange, FlowReading, InterfaceReport, Survey, WireFlow};
use crate::model::rate::Ema;
use crate::model::sample::Sample;
use crate::sink::interfaces::Reports;

/// Flows that the kernel keeps apart; those that were silent longest give way.
const MAX_FLOWS: u32 = 65_536;

/// Weight of the newest interval in smoothed rates: what the other commands take if
/// nobody says otherwise.
const ALPHA: f64 = 0.4;

/// Reports until a signal, the count or the time ends it, or a reader that has seen
/// enough.
pub fn run(options: &Iface) -> Result<ExitCode> {
    let signalled = Signalled::watch(options.interval)?;
    let mut station = Station::open(options)?;
    let to = BufWriter::new(io::stdout().lock());
    let mut reports = Reports::new(to, format(options.format));
    let mut schedule = Schedule::new(signalled, options.count, options.duration);
    loop {
        let last = schedule.wait();
        let report = station.report()?;
        if let Err(error) = reports.write(&report) {
            return written(Err(error));
        }
        if last {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The readers and what they fill.
struct Station {
    sampler: InterfaceSampler,
    interfaces: Interfaces,
    survey: Survey,
    sample: Sample,
    /// Most flows in a report, 0 where none are counted.
    top: usize,
    told: Told,
}

impl Station {
    /// Attaches; counting has begun when it returns.
    fn open(options: &Iface) -> Result<Station> {
        let top = if options.flows { options.top } else { 0 };
        let mut sampler = InterfaceSampler::open(&Settings {
            interfaces: which(&options.iface),
            mode: xdp_mode(options.xdp),
            max_flows: if top > 0 { MAX_FLOWS } else { 0 },
        })?;
        let mut interfaces =
            Interfaces::open().context("could not read the interfaces of this machine")?;
        let mut sample = Sample::default();
        sampler.read(&mut sample);
        interfaces.read(&mut sample);
        let flows = flows(&mut sampler, top)?;
        let ema = Ema {
            alpha: ALPHA,
            interval: options.interval,
        };
        let survey = Survey::new(&sample, &flows, ema, clock::now());
        let mut told = Told::default();
        told.on_stderr(&survey.interfaces());
        Ok(Station {
            sampler,
            interfaces,
            survey,
            sample,
            top,
            told,
        })
    }

    /// Takes one reading now.
    fn report(&mut self) -> Result<InterfaceReport> {
        self.sampler.read(&mut self.sample);
        self.interfaces.read(&mut self.sample);
        let flows = flows(&mut self.sampler, self.top)?;
        let now = clock::now();
        let report = self.survey.tick(&self.sample, &flows, self.top, now);
        self.told.on_stderr(&report.interfaces);
        Ok(report)
    }
}

/// The flows as the kernel counts them, if they are shown.
fn flows(sampler: &mut InterfaceSampler, top: usize) -> Result<Vec<FlowReading>> {
    if top == 0 {
        return Ok(Vec::new());
    }
    Ok(sampler.flows()?.iter().map(reading).collect())
}

fn reading(count: &FlowCount) -> FlowReading {
    FlowReading {
        flow: WireFlow {
            index: count.index,
            protocol: count.protocol,
            source: count.source,
            destination: count.destination,
        },
        counts: Exchange {
            forth: count.forth,
            back: count.back,
        },
    }
}
