//! An interface that is quiet.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::counters::counters;
use crate::space::PATIENCE;

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
