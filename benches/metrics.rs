//! The metrics: taking a snapshot of ten thousand flows in, and writing the text; and
//! what twenty interfaces add to both and to the record.
//!
//! Why this is hot: the first runs in the sampler's thread at every interval and delays
//! the picture by what it costs; the second answers each scrape. Targets: 5 ms for
//! `text`, and `absorb` well below the tick.

#[path = "../tests/support/fixture.rs"]
mod fixture;
#[path = "../tests/support/links.rs"]
mod links;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use netmon::model::filter::Filter;
use netmon::model::snapshot::Snapshot;
use netmon::sink::health::Health;
use netmon::sink::metrics::{Metrics, Settings};
use netmon::sink::record::Record;

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
    interfaces(c);
}

/// Nothing but twenty interfaces, a quarter of them or all sampled.
fn interfaces(c: &mut Criterion) {
    let mut group = c.benchmark_group("interfaces");
    for (name, sampled) in [("5_of_20_sampled", 5), ("20_of_20_sampled", 20)] {
        let mut snapshot = fixture::quiet(1);
        snapshot.interfaces = (1..=20)
            .map(|n| match n <= sampled {
                true => links::sampled(n, &format!("eth{n}"), 1_234_567),
                false => links::interface(n, &format!("eth{n}"), 1_234_567),
            })
            .collect();
        let filled = metrics();
        filled.absorb(&snapshot, TOOK);
        let none = metrics();
        none.absorb(&fixture::quiet(1), TOOK);
        let record = || serde_json::to_vec(&Record::new(&snapshot, &[], &Filter::default()));
        println!(
            "{name}: a record of {} bytes, metrics of {} more",
            record().map_or(0, |record| record.len()),
            filled.text().len() - none.text().len()
        );
        group.bench_function(format!("{name}/text"), |b| {
            b.iter(|| black_box(&filled).text());
        });
        group.bench_function(format!("{name}/absorb"), |b| {
            b.iter(|| filled.absorb(black_box(&snapshot), TOOK));
        });
        group.bench_function(format!("{name}/record"), |b| b.iter(record));
    }
    let none = metrics();
    none.absorb(&fixture::quiet(1), TOOK);
    group.bench_function("none/text", |b| b.iter(|| black_box(&none).text()));
    let quiet = fixture::quiet(1);
    group.bench_function("none/absorb", |b| {
        b.iter(|| none.absorb(black_box(&quiet), TOOK));
    });
    group.bench_function("none/record", |b| {
        b.iter(|| serde_json::to_vec(&Record::new(black_box(&quiet), &[], &Filter::default())));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
