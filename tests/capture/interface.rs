//! What an interface has counted itself.

use std::fs;
use std::ops::Sub;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::space::PATIENCE;

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub bytes: u64,
    pub packets: u64,
}

impl Sub for Moved {
    type Output = Moved;

    fn sub(self, before: Moved) -> Moved {
        Moved {
            bytes: self.bytes - before.bytes,
            packets: self.packets - before.packets,
        }
    }
}

/// Both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub received: Moved,
    pub sent: Moved,
}

/// What an interface of this thread's namespace has counted.
pub fn counters(name: &str) -> anyhow::Result<Counters> {
    let text = fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
        .context("no such interface")?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let moved = |at: usize| -> anyhow::Result<Moved> {
        Ok(Moved {
            bytes: *numbers.get(at).context("too few numbers")?,
            packets: *numbers.get(at + 1).context("too few numbers")?,
        })
    };
    Ok(Counters {
        received: moved(0)?,
        sent: moved(8)?,
    })
}

/// Waits until an interface has been quiet for a while.
pub fn settle(name: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = counters(name)?;
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = counters(name)?;
        if now == before {
            return Ok(());
        }
        before = now;
        ensure!(Instant::now() < deadline, "never quiet");
    }
}
