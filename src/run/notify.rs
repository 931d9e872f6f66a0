//! What the service manager is told: ready, how it goes, reloading, stopping, and that
//! the sampler still steps.
//!
//! The words go over the socket that NOTIFY_SOCKET names; without one nobody is told.
//! The watchdog is fed by the sampler's steps alone, so that it bites when they stop,
//! whatever else still runs. Owns no reading and no signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sd_notify::NotifyState::{
    MonotonicUsec, Ready, Reloading, Status, Stopping, Watchdog, WatchdogUsec,
};
use sd_notify::{NotifyState, notify};

use super::sampling::Tap;
use crate::model::snapshot::Snapshot;
use crate::model::units::{self, Unit};

/// Time between two lines about how it goes.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// Steps that may be late before the watchdog bites, whatever it was set to.
const PATIENT_STEPS: u32 = 3;

/// Tells the service manager; see the module's text.
#[derive(Debug, Clone)]
pub struct Notifier {
    /// Within which time the watchdog wants to be fed, as the manager set it.
    watchdog: Option<Duration>,
    /// The same as the manager has it now, µs; 0 without a watchdog.
    set_usec: Arc<AtomicU64>,
}

impl Notifier {
    /// A notifier for the manager that this environment names, if it does.
    pub fn from_environment() -> Notifier {
        let watchdog = sd_notify::watchdog_enabled();
        Notifier {
            watchdog,
            set_usec: Arc::new(AtomicU64::new(watchdog.map_or(0, micros))),
        }
    }

    /// Counting and listening have begun; steps come every `interval`.
    pub fn ready(&self, interval: Duration) {
        self.set_interval(interval);
        tell(&[Ready]);
    }

    /// Steps come every `interval` from now on, which the watchdog must bear.
    pub fn set_interval(&self, interval: Duration) {
        let Some(watchdog) = self.watchdog else {
            return;
        };
        let usec = micros(watchdog.max(interval * PATIENT_STEPS));
        if self.set_usec.swap(usec, Ordering::Relaxed) != usec {
            // The longest interval is a minute, the longest sum some minutes.
            tell(&[WatchdogUsec(u32::try_from(usec).unwrap_or(u32::MAX))]);
        }
    }

    /// New settings are being taken over, until [`Notifier::reloaded`].
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(MonotonicUsec(now)) => tell(&[Reloading, MonotonicUsec(now)]),
            _ => tell(&[Reloading]),
        }
    }

    /// All goes on, with new settings or the old ones.
    pub fn reloaded(&self) {
        tell(&[Ready]);
    }

    /// The end has begun.
    pub fn stopping(&self) {
        tell(&[Stopping]);
    }

    /// What feeds the watchdog and tells how it goes, from every snapshot. The socket
    /// could be full, and a tap must not wait: a thread of its own sends, and only what
    /// the sampler has handed it.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn tap(&self) -> Result<Tap> {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Box::new(|_, _| {}));
        }
        let (sender, steps): (SyncSender<Arc<Snapshot>>, _) = sync_channel(1);
        let fed_within = self.watchdog;
        thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || send(&steps, fed_within))
            .context("could not start a thread")?;
        Ok(Box::new(move |snapshot, _| {
            // One that waits is as good as this one.
            let _ = sender.try_send(Arc::clone(snapshot));
        }))
    }
}

/// Tells of each step until there will be no more: the watchdog often enough, how it
/// goes now and then.
fn send(steps: &Receiver<Arc<Snapshot>>, fed_within: Option<Duration>) {
    // Half of it, as the manager advises, and half again, since a step can come late.
    let feed_every = fed_within.map(|within| within / 4);
    let is_due =
        |last: Option<Instant>, every: Duration| last.is_none_or(|at| at.elapsed() >= every);
    let (mut fed, mut told) = (None, None);
    for snapshot in steps {
        if feed_every.is_some_and(|every| is_due(fed, every)) {
            tell(&[Watchdog]);
            fed = Some(Instant::now());
        }
        if is_due(told, STATUS_EVERY) {
            tell(&[Status(&status(&snapshot))]);
            told = Some(Instant::now());
        }
    }
}

/// How it goes, in a few figures.
fn status(snapshot: &Snapshot) -> String {
    let rate: f64 = snapshot
        .protocols
        .iter()
        .map(|row| row.rates.tx + row.rates.rx)
        .sum();
    format!(
        "{} flows of {} processes, {}, {} above the threshold",
        snapshot.flows.len(),
        snapshot.processes.len(),
        units::rate(rate, Unit::Bytes),
        snapshot.anomalies.len(),
    )
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = notify(words) {
        // Once a step at most: whoever set a watchdog wants to know why it bites.
        tracing::warn!(%error, "could not tell the service manager");
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
