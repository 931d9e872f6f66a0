//! A running netmon inside the testing program, whose books are checked at every step.
//!
//! Owns the sampler's life: one per plan, shared by the cases that follow each
//! other. What a case must have counted is `expect`'s business.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::collect::accounting::Plan;
use crate::model::flow::Totals;
use crate::model::snapshot::Snapshot;
use crate::sampler::{Sampler, Settings};
use anyhow::{Context, anyhow, ensure};

use super::generator::unsupported;

/// Room in the kernel's flow map.
pub const MAX_FLOWS: u32 = 10_240;

/// How often a machine with other traffic is given a chance to fall silent.
const QUIET_ATTEMPTS: u32 = 15;

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
    /// Loads the programs of `plan` and takes a first reading.
    pub fn start(plan: Plan) -> anyhow::Result<Watch> {
        let mut sampler = Sampler::start(Settings {
            plans: vec![plan],
            max_flows: MAX_FLOWS,
            interval: Duration::from_millis(500),
            alpha: 0.4,
            threshold: 10.0 * 1024.0 * 1024.0,
            kernel_threads: false,
            linger: Duration::from_secs(3),
            // Others may open thousands of connections meanwhile.
            max_listed_ended: 65_536,
            pin: None,
        })
        .with_context(|| format!("starting the sampler with {plan:?}"))?;
        let last = sampler.step()?;
        let mut watch = Watch {
            plan,
            last,
            sampler,
        };
        watch.quiet()?;
        Ok(watch)
    }

    /// One reading now, with its books in order.
    pub fn step(&mut self) -> anyhow::Result<Arc<Snapshot>> {
        let earlier = std::mem::replace(&mut self.last, self.sampler.step()?);
        check_books(&self.last)?;
        let books = self.last.balance;
        ensure!(
            is_quiet(&self.last) || books.totals != earlier.balance.totals,
            "nothing moved since the last reading, but the sums differ: {books:?}"
        );
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

    /// Detaches and checks the books of the final reading.
    pub fn finish(self) -> anyhow::Result<Arc<Snapshot>> {
        let last = self.sampler.finish()?;
        check_books(&last)?;
        Ok(last)
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

thread_local! {
    /// The shared watch, or why its plan could not be started. Cases run one after
    /// the other on one thread.
    static SHARED: RefCell<Option<(Plan, Result<Watch, String>)>> = const { RefCell::new(None) };
}

/// An error that marks the case as not for this kernel where `plan` has no hooks.
fn require(plan: Plan) -> anyhow::Result<()> {
    const HOOK: &str = "btf_trace_sock_send_length";
    static HAS_HOOK: OnceLock<bool> = OnceLock::new();
    static REFUSED: OnceLock<bool> = OnceLock::new();
    let missing = match plan {
        Plan::EnterExit => None,
        Plan::Functions => {
            let refused = REFUSED.get_or_init(|| {
                let error = Watch::start(plan).err();
                error.is_some_and(|error| format!("{error:#}").contains("refused the programs"))
            });
            refused.then_some("fexit programs are not permitted")
        }
        Plan::Residual | Plan::Socket => {
            let has_hook = HAS_HOOK.get_or_init(|| {
                let types = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
                let name = HOOK.as_bytes();
                types.windows(name.len()).any(|bytes| bytes == name)
            });
            (!has_hook).then_some("no tracepoint sock_send_length")
        }
    };
    match missing {
        Some(what) => Err(unsupported("the plan", what)),
        None => Ok(()),
    }
}

/// Runs `work` under the shared watch of `plan`, loading it if another one was there.
pub fn shared<T>(
    plan: Plan,
    work: impl FnOnce(&mut Watch) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    require(plan)?;
    SHARED.with_borrow_mut(|shared| {
        if shared.as_ref().is_none_or(|(loaded, _)| *loaded != plan) {
            // The old one detaches before the new one counts.
            *shared = None;
            let watch = Watch::start(plan).map_err(|error| format!("{error:#}"));
            *shared = Some((plan, watch));
        }
        match shared {
            Some((_, Ok(watch))) => work(watch),
            Some((_, Err(error))) => Err(anyhow!("{error}")),
            None => Err(anyhow!("no sampler")),
        }
    })
}

/// Ends the shared watch, if there is one, and returns its last reading.
pub fn end_shared() -> anyhow::Result<Option<Arc<Snapshot>>> {
    match SHARED.take() {
        Some((_, Ok(watch))) => watch.finish().map(Some),
        _ => Ok(None),
    }
}

/// Runs `work` under a watch of its own, so that what it fills harms no other case.
pub fn alone<T>(
    plan: Plan,
    work: impl FnOnce(&mut Watch) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    require(plan)?;
    end_shared()?;
    let mut watch = Watch::start(plan)?;
    let result = work(&mut watch)?;
    watch.finish()?;
    Ok(result)
}
