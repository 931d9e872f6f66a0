//! The threads of the server step back behind the one that counts.

/// Nice value of the server's threads: about a third of the sampler's share of a
/// processor that both want.
const NICE: libc::c_int = 5;

/// Gives the calling thread, and those it starts, a lower priority than the sampler's.
pub fn lower() {
    // SAFETY: it takes numbers only; in Linux, process 0 means the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0;
    if refused {
        // Nothing depends on it: the sampler may be a little later, and says so.
        tracing::debug!("could not lower the priority of a thread");
    }
}
