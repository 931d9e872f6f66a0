//! A running netmon inside the testing program, whose books are checked at every step.
//!
//! Owns the sampler's life. What a case must have counted is `expect`'s business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::collect::accounting::Plan;
use crate::model::flow::Totals;
use crate::model::snapshot::Snapshot;
use crate::sampler::{Sampler, Settings};

/// How often a machine with other traffic is given a chance to fall silent.
const QUIET_ATTEMPTS: u32 = 15;

/// How often the last reading is taken until every program is done.
const LAST_ATTEMPTS: u32 = 20;

/// Readings that were wanted quiet and were not.
static NOISY: AtomicU32 = AtomicU32::new(0);

/// A sampler and the last thing it said.
pub struct Watch {
    /// How it counts.
    pub plan: Plan,
    /// Its last reading.
    pub last: Arc<Snapshot>,
    sampler: Sampler,
}

impl Watch {
    /// Loads the first of `plans` that this kernel accepts, with room for
    /// `max_flows` flows, and takes a first reading.
    pub fn start(plans: Vec<Plan>, max_flows: u32) -> anyhow::Result<Watch> {
        let mut sampler = Sampler::start(Settings {
            plans,
            packets: None,
            max_flows,
            interval: Duration::from_millis(500),
            alpha: 0.4,
            threshold: 10.0 * 1024.0 * 1024.0,
            kernel_threads: false,
            linger: Duration::from_secs(30),
            // Others may open thousands of connections meanwhile.
            max_listed_ended: 65_536,
            pin: None,
            interfaces: None,
        })?;
        let last = sampler.step()?;
        let mut watch = Watch {
            plan: sampler.accounting().context("no programs")?.plan,
            last,
            sampler,
        };
        watch.quiet()?;
        Ok(watch)
    }

    /// One reading now, with its books in order.
    pub fn step(&mut self) -> anyhow::Result<Arc<Snapshot>> {
        self.last = self.sampler.step()?;
        check_books(&self.last)?;
        Ok(Arc::clone(&self.last))
    }

    /// Readings until one falls into a moment in which nothing moved. Where other
    /// processes never stop moving bytes, the last of them: see [`is_quiet`].
    pub fn quiet(&mut self) -> anyhow::Result<Arc<Snapshot>> {
        for _ in 0..QUIET_ATTEMPTS {
            let snapshot = self.step()?;
            if is_quiet(&snapshot) {
                let rows = rows_total(&snapshot, |_| true);
                let overall = snapshot.overall().0;
                ensure!(
                    rows == overall,
                    "the rows sum up to {rows:?}, the protocols to {overall:?}"
                );
                return Ok(snapshot);
            }
            thread::sleep(Duration::from_millis(2));
        }
        NOISY.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(&self.last))
    }

    /// Detaches and checks the books of the final reading, in which all sums are equal.
    pub fn finish(mut self) -> anyhow::Result<Arc<Snapshot>> {
        self.sampler.detach();
        for _ in 0..LAST_ATTEMPTS {
            let last = self.step()?;
            if is_quiet(&last) {
                return Ok(last);
            }
            // A program that was at work on another CPU is not done yet.
            thread::sleep(Duration::from_millis(50));
        }
        let books = self.last.balance;
        bail!("nothing is counted any more, but the sums differ: {books:?}")
    }
}

/// True when all sums of a reading are equal, so that deltas between two such
/// readings are exact; while something moves they are bounds. The rows of a
/// process that has stopped moving bytes are exact in any reading.
pub fn is_quiet(snapshot: &Snapshot) -> bool {
    let books = snapshot.balance;
    books.flows + books.lost == books.processes && books.processes == books.totals
}

/// How many readings other processes' traffic kept from being quiet.
pub fn noisy_readings() -> u32 {
    NOISY.load(Ordering::Relaxed)
}

/// The order in which the sums are read bounds them at any moment.
fn check_books(snapshot: &Snapshot) -> anyhow::Result<()> {
    let books = snapshot.balance;
    let sequence = snapshot.sequence;
    ensure!(
        books.flows + books.lost <= books.processes && books.processes <= books.totals,
        "snapshot {sequence}: the sums are out of order: {books:?}"
    );
    let discrepancy = books.discrepancy();
    ensure!(
        discrepancy == 0,
        "snapshot {sequence}: {discrepancy} bytes are missing: {books:?}"
    );
    Ok(())
}

/// Sum of all aggregate rows and of the process rows whose PID is `wanted`.
pub fn rows_total(snapshot: &Snapshot, wanted: impl Fn(u32) -> bool) -> Totals {
    let listed = snapshot.processes.iter().filter(|row| wanted(row.id.pid));
    let aggregates = snapshot.aggregates.iter().map(|row| row.totals);
    listed.map(|row| row.totals).chain(aggregates).sum()
}
