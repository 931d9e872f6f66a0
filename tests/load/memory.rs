//! The memory of a process, and how many descriptors one may have.

use std::fs;

use anyhow::{Context, ensure};

use crate::trial::Impossible;

/// Most memory that a process ever had resident, in bytes. A later answer may be a
/// little less than an earlier one: the kernel sums its per-CPU counters roughly
/// (`get_mm_counter` in `include/linux/mm.h`, Linux 6.18).
pub fn peak(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.context("no VmHWM")?.trim();
    let kilobytes: u64 = size.trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// Fails if `pid` ever had more than `limit` MB resident; says what it had.
pub fn check_peak(what: &str, pid: u32, limit: u64) -> anyhow::Result<()> {
    let peak = peak(pid)?;
    println!("{what}: {:.1} MB", peak as f64 / 1e6);
    ensure!(peak <= limit * 1_000_000, "{peak} bytes of memory");
    Ok(())
}

/// Lets this process and those it starts have as many descriptors.
pub fn want_descriptors(count: u64) -> anyhow::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call fills the struct.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if limit.rlim_cur >= count {
        return Ok(());
    }
    limit.rlim_cur = count;
    limit.rlim_max = limit.rlim_max.max(count);
    // SAFETY: the call reads the struct.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        let why = format!("no {count} descriptors for one process (ulimit -n)");
        return Err(Impossible(why).into());
    }
    Ok(())
}
