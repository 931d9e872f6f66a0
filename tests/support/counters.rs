//! What an interface counts itself: its line of `/proc/net/dev`.
//!
//! Owns the line's meaning. Reads it in the thread's network namespace or a process's.

#![allow(dead_code)] // Nobody needs all of it.

use std::ops::Sub;

use anyhow::Context;

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub bytes: u64,
    pub packets: u64,
    pub dropped: u64,
}

impl Sub for Moved {
    type Output = Moved;

    fn sub(self, before: Moved) -> Moved {
        Moved {
            bytes: self.bytes - before.bytes,
            packets: self.packets - before.packets,
            dropped: self.dropped - before.dropped,
        }
    }
}

/// Both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub received: Moved,
    pub sent: Moved,
}

/// The counters of an interface of this thread's namespace.
pub fn counters(name: &str) -> anyhow::Result<Counters> {
    read("thread-self", name)
}

/// The counters of an interface of the namespace that `pid` is in.
pub fn counters_beside(pid: u32, name: &str) -> anyhow::Result<Counters> {
    read(&pid.to_string(), name)
}

/// Eight numbers of what was received (bytes, packets, errors, drops and four more), then
/// as many of what was sent (`dev_seq_printf_stats` in `net/core/net-procfs.c`, Linux 6.18).
fn read(process: &str, name: &str) -> anyhow::Result<Counters> {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/dev"))?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(it, _)| it.trim() == name);
    let (_, numbers) = line.with_context(|| format!("no interface {name}"))?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let moved = |at: usize| {
        let [bytes, packets, _, dropped] = *numbers.get(at..at + 4)? else {
            return None;
        };
        Some(Moved {
            bytes,
            packets,
            dropped,
        })
    };
    let both = moved(0).zip(moved(8));
    let (received, sent) = both.with_context(|| format!("{name} tells {numbers:?}"))?;
    Ok(Counters { received, sent })
}
