//! The numbers of a running `serve`, for Prometheus and OpenTelemetry.
//!
//! [`Metrics::absorb`] takes every snapshot in, [`Metrics::reading`] gives a copy of
//! where the numbers stand, [`Metrics::text`] writes one down as OpenMetrics. Serves and
//! pushes nothing by itself.

mod histogram;
mod interfaces;
mod labels;
mod own;
mod state;
mod text;
mod top;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::histogram::Histogram;
pub use self::interfaces::{Classes, InterfaceSeries, MOST as MOST_INTERFACES};
pub use self::labels::Labels;
pub use self::own::Own;
use self::state::State;
pub use self::state::{Counts, Series};
pub use self::top::Bytes;
use crate::model::snapshot::Snapshot;
use crate::sink::health::Health;

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the metrics are told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most label sets of processes with series of their own; the rest is in `other`.
    pub top: usize,
    /// netmon's version.
    pub version: &'static str,
    /// What is wrong with the parts of the daemon.
    pub health: Arc<Health>,
    /// Parts of `health` that run, each of which gets a gauge that says whether it works.
    pub parts: Vec<&'static str>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Metrics {
    settings: Settings,
    state: Mutex<State>,
}

/// Where the numbers stand, all as of one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// netmon's version.
    pub version: &'static str,
    /// Bytes by process: the top in the order of their labels, then `other`,
    /// `[kernel]` and `[untracked]`.
    pub series: Vec<Series>,
    /// What each interface moved, by name, `other` last.
    pub interfaces: Vec<InterfaceSeries>,
    /// All else that the last snapshot said; `None` before the first.
    pub counts: Option<Counts>,
    /// Parts of the daemon, and whether each works.
    pub parts: Vec<(&'static str, bool)>,
    /// Nothing is wrong with any part.
    pub healthy: bool,
    /// How long each reading of the kernel took.
    pub cycle: Histogram,
    /// How much later than asked for each came.
    pub lateness: Histogram,
    /// What this process costs.
    pub own: Own,
}

impl Metrics {
    /// Metrics of a run that begins.
    pub fn new(settings: Settings) -> Metrics {
        let state = Mutex::new(State::new(settings.top));
        Metrics { settings, state }
    }

    /// A panicking holder may leave a snapshot half absorbed, which shows in the sums
    /// and is still better than no numbers at all.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a snapshot in, whose reading took so long. Every snapshot of a run must
    /// come here once, in their order.
    pub fn absorb(&self, snapshot: &Snapshot, took: Duration) {
        self.state().absorb(snapshot, took);
    }

    /// Where the numbers stand.
    pub fn reading(&self) -> Reading {
        let Settings {
            version,
            health,
            parts,
            ..
        } = &self.settings;
        let parts = parts.iter().map(|part| (*part, health.is_well(part)));
        let parts = parts.collect();
        let healthy = health.text() == "OK";
        let own = Own::read();

        let state = self.state();
        let mut reading = Reading {
            version,
            series: state.series(),
            interfaces: state.interfaces.series(),
            counts: state.counts.clone(),
            parts,
            healthy,
            cycle: state.cycle.clone(),
            lateness: state.lateness.clone(),
            own,
        };
        // The sampler may be waiting for it.
        drop(state);
        reading.series.sort_unstable_by(|a, b| a.order(b));
        reading
    }

    /// All of it as OpenMetrics text, `# EOF` included; see [`CONTENT_TYPE`].
    pub fn text(&self) -> String {
        text::write(self.reading())
    }
}
