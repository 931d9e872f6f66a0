//! The clocks: the only file of the data path that asks what time it is.

use std::time::Duration;

use nix::time::{ClockId, clock_getres, clock_gettime};

use crate::model::sample::Moment;

/// Time on `clock`, zero if the kernel has no such clock.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// This instant.
pub fn now() -> Moment {
    Moment {
        monotonic: read(ClockId::CLOCK_MONOTONIC),
        wall: read(ClockId::CLOCK_REALTIME),
    }
}

/// CPU time that the calling thread has had, of the kernel on its behalf included.
pub fn thread_cpu() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Wall-clock time of boot since the Unix epoch, as of now (the wall clock may
/// be set later, so a run asks once and keeps the answer).
pub fn boot_wall() -> Duration {
    read(ClockId::CLOCK_REALTIME).saturating_sub(read(ClockId::CLOCK_BOOTTIME))
}

/// Length of the kernel's timer tick in ns: what the coarse clocks resolve to
/// (`hrtimer_get_res`/`posix_get_coarse_res`, kernel/time/posix-timers.c: KTIME_LOW_RES).
pub fn tick_ns() -> u64 {
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(Duration::ZERO, Duration::from)
        .as_nanos()
        .try_into()
        .unwrap_or(0)
}

/// Value of `jiffies_64` at boot: `INITIAL_JIFFIES` of include/linux/jiffies.h,
/// five minutes before the low 32 bits wrap.
pub fn boot_jiffies(tick_ns: u64) -> u64 {
    const FIVE_MINUTES_NS: u64 = 300 * 1_000_000_000;
    (1 << 32) - FIVE_MINUTES_NS / tick_ns.max(1)
}
