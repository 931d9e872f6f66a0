//! One watch for the cases that follow each other, and one for those that want their own.
//!
//! Owns when a plan is loaded and let go. What is done under it is the cases' business.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use anyhow::anyhow;
use netmon::collect::accounting::Plan;
use netmon::model::snapshot::Snapshot;
use netmon::selftest::generator::unsupported;
use netmon::selftest::watch::Watch;

/// Room in the kernel's flow map.
pub const MAX_FLOWS: u32 = 10_240;

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
                let error = Watch::start(vec![plan], MAX_FLOWS).err();
                let reason = error.map(|error| format!("{error:#}")).unwrap_or_default();
                reason.contains("refused the programs") || reason.contains("preempts itself")
            });
            refused.then_some("fexit programs are not permitted, or would be preempted")
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
            let watch = Watch::start(vec![plan], MAX_FLOWS).map_err(|error| format!("{error:#}"));
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
    let mut watch = Watch::start(vec![plan], MAX_FLOWS)?;
    let result = work(&mut watch)?;
    watch.finish()?;
    Ok(result)
}
