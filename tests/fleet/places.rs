//! More processes than places of their own: who moves more takes a place, and no series
//! falls meanwhile.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::netmon::PATIENCE;
use crate::serve::Serve;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![root(
        "places::the_larger_moves_in_and_nothing_falls",
        moves_in,
    )]
}

/// Bytes by series of processes.
fn series(text: &str) -> BTreeMap<&str, u64> {
    text.lines()
        .filter(|line| line.starts_with("netmon_process_bytes_total"))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(series, value)| Some((series, value.parse().ok()?)))
        .collect()
}

fn moves_in() -> anyhow::Result<()> {
    let serve = Serve::start(&["--metrics-top", "1"])?;
    let (small, large) = (
        format!("small{}", std::process::id()),
        format!("large{}", std::process::id()),
    );
    let pause = Duration::from_millis(20);
    // Whoever is first has the only place, this one or another of the machine.
    let first = Traffic::start(&Plan::endless(&small, 10, pause))?;
    serve.metrics_with(|text| series(text).len() == 8)?;
    // More than all else here moves: by far the larger share of the machine's bytes.
    let size = 60_000;
    let second = Traffic::start(&Plan::endless(&large, size, Duration::ZERO).over_tcp())?;

    let deadline = Instant::now() + PATIENCE;
    let mut last = String::new();
    loop {
        let (text, _) = serve.get("/metrics")?;
        let (now, before) = (series(&text), series(&last));
        ensure!(now.len() == 8, "{now:?}");
        for (name, bytes) in &now {
            let was = before.get(name).copied().unwrap_or(0);
            ensure!(*bytes >= was, "{name} fell from {was} to {bytes}");
        }
        let moved = |(name, bytes): (&&str, &u64)| name.contains(&*large) && *bytes > 0;
        if now.iter().any(moved) {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "it did not get the place: {now:?}"
        );
        last = text;
        thread::sleep(Duration::from_millis(100));
    }
    first.end()?;
    second.end()?;
    serve.end()?;
    Ok(())
}
