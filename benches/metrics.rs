//! The metrics: taking a snapshot of ten thousand flows in, and writing the text.
//!
//! Why this is hot: the first runs in the sampler's thread at every interval and delays
//! the picture by what it costs; the second answers each scrape. Targets: 5 ms for
//! `text`, and `absorb` well below the tick.

#[path = "../tests/support/fixture.rs"]
mod fixture;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use netmon::model::snapshot::Snapshot;
use netmon::sink::health::Health;
use netmon::sink::metrics::{Metrics, Settings};

const FLOWS: usize = 10_240;
const TOOK: Duration = Duration::from_millis(1);

fn metrics() -> Metrics {
    Metrics::new(Settings {
        top: 50,
        version: "0",
        health: Arc::new(Health::default()),
        parts: vec!["history"],
    })
}

/// All flows of a hundred processes move, and their bytes are in the processes' rows.
fn busy() -> Snapshot {
    let mut snapshot = fixture::many(1, FLOWS);
    for row in &mut snapshot.processes {
        row.rates.tx_bytes = 1000 + u64::from(row.id.pid);
        row.rates.rx_bytes = 4000;
    }
    snapshot
}

/// As many processes as flows, each with labels of its own, half of them new every time:
/// the most that the table of labels can be asked.
fn crowd(round: u32) -> Snapshot {
    let mut snapshot = fixture::quiet(u64::from(round));
    for n in 0..FLOWS as u32 {
        let number = if n % 2 == 0 { n } else { n + round * 20_000 };
        let name = format!("w{number}");
        let mut row = fixture::process(n, &name, "-", 1000, "service", 1);
        row.rates.tx_bytes = u64::from(n);
        snapshot.processes.push(row);
    }
    snapshot
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("metrics");
    let snapshot = busy();
    let filled = metrics();
    filled.absorb(&snapshot, TOOK);
    assert!(filled.text().contains("netmon_flows 10240\n"));
    group.bench_function("text", |b| b.iter(|| black_box(&filled).text()));
    group.bench_function("absorb", |b| {
        b.iter(|| filled.absorb(black_box(&snapshot), TOOK));
    });

    let crowded = metrics();
    let crowds: Vec<Snapshot> = (1..=4).map(crowd).collect();
    let mut turn = crowds.iter().cycle();
    group.bench_function("absorb_crowd", |b| {
        b.iter(|| {
            if let Some(snapshot) = turn.next() {
                crowded.absorb(black_box(snapshot), TOOK);
            }
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
