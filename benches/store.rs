//! Writing the history: the ledger's part of a tick, the flush of a bucket, the roll-up
//! of a minute, and the CPU time of all of it.
//!
//! Why this is hot: the ledger runs in the sampler's thread with every reading, and the
//! rest is what a machine pays for a history as long as netmon runs. Targets with ten
//! thousand active flows: 100 ms for `flush`, and 1 % of a core for `ten_seconds_of_cpu`,
//! which is 100 ms.

#[path = "../tests/support/fixture.rs"]
mod fixture;

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use netmon::model::flow::{Protocol, Totals};
use netmon::model::interface::{Class, Count, Hook, Interface, Sampled, Way, WayPace};
use netmon::model::ledger::{Bucket, Ledger};
use netmon::model::snapshot::{Rates, Snapshot};
use netmon::sink::history::retention::Retention;
use netmon::sink::history::store::Store;
use nix::time::{ClockId, clock_gettime};

const FLOWS: u32 = 10_240;
const PROCESSES: u32 = 512;
/// Readings in a bucket.
const READINGS: u32 = 20;
const START: u64 = 1_800_000_000;

/// So short that every bucket finds old ones to delete.
const RETENTION: Retention = Retention {
    keep_10s: Duration::from_secs(120),
    keep_1m: Duration::from_secs(3600),
    keep_1h: Duration::from_secs(7200),
    max_size: 2 << 30,
};

/// A directory on disk, not in memory; removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("store-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    fn store(&self) -> Store {
        Store::open(&self.0.join("history.db")).expect("a history")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Every flow active, each to an address of its own, of processes that move the same.
fn snapshot() -> Snapshot {
    let mut snapshot = fixture::quiet(1);
    for n in 0..PROCESSES {
        let name = format!("worker-{n}");
        let worker = fixture::process(1000 + n, &name, &name, 0, "root", 100);
        snapshot.processes.push(worker);
    }
    for n in 0..FLOWS {
        let [_, _, high, low] = n.to_be_bytes();
        let ends = (
            fixture::v4([10, 0, 0, 5], 10_000 + n as u16),
            fixture::v4([93, 184, high, low], 443),
        );
        let process = (n % PROCESSES) as usize;
        let moved = fixture::totals(100, 1400 + u64::from(n));
        let rates = fixture::rates(200.0, 2800.0 + f64::from(n));
        fixture::add_flow(&mut snapshot, process, Protocol::Tcp, ends, moved, rates);
    }
    for process in &mut snapshot.processes {
        process.rates = Rates::default();
    }
    for flow in &snapshot.flows {
        snapshot.processes[flow.process].rates += flow.rates;
    }
    snapshot.protocols[0].rates = snapshot
        .flows
        .iter()
        .fold(Rates::default(), |mut sum, row| {
            sum += row.rates;
            sum
        });
    snapshot
}

/// The same at the n-th reading.
fn reading(snapshot: &mut Snapshot, n: u32) {
    snapshot.sequence = u64::from(n);
    let since = Duration::from_millis(500) * n;
    snapshot.at.monotonic = since;
    snapshot.at.wall = Duration::from_secs(START) + since;
}

fn bucket(snapshot: &mut Snapshot, ledger: &mut Ledger, readings: &mut u32) -> Bucket {
    loop {
        *readings += 1;
        reading(snapshot, *readings);
        if let Some(bucket) = ledger.absorb(snapshot)
            && bucket.rows.len() == FLOWS as usize
        {
            return bucket;
        }
    }
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("a clock")
        .into()
}

fn history(c: &mut Criterion) {
    let mut snapshot = snapshot();
    let mut ledger = Ledger::new(Duration::from_secs(10));
    let mut readings = 0;
    let mut group = c.benchmark_group("store");

    group.bench_function("absorb", |b| {
        b.iter(|| {
            readings += 1;
            reading(&mut snapshot, readings);
            black_box(ledger.absorb(&snapshot))
        });
    });
    ledger.finish();

    let template = bucket(&mut snapshot, &mut ledger, &mut readings);
    let at = |n: u64| Bucket {
        start: Duration::from_secs(START + n * 10),
        ..template.clone()
    };
    group.sample_size(20);
    group.bench_function("flush", |b| {
        let directory = Directory::new("flush");
        let mut store = directory.store();
        let mut n = 0;
        b.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let bucket = at(n);
                    n += 1;
                    let start = Instant::now();
                    store.write(&bucket).expect("written");
                    start.elapsed()
                })
                .sum()
        });
    });

    group.bench_function("flush_of_new_remotes", |b| {
        let directory = Directory::new("remotes");
        let mut store = directory.store();
        let mut n = 0;
        b.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let mut bucket = at(n);
                    n += 1;
                    for (remote, row) in (n as u32 * FLOWS..).zip(&mut bucket.rows) {
                        row.remote = fixture::v4(remote.to_be_bytes(), 0).map(|end| end.address);
                    }
                    let start = Instant::now();
                    store.write(&bucket).expect("written");
                    start.elapsed()
                })
                .sum()
        });
    });

    group.bench_function("roll_up_of_a_minute", |b| {
        let directory = Directory::new("rollup");
        let mut store = directory.store();
        let mut n = 0;
        b.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    for _ in 0..6 {
                        store.write(&at(n)).expect("written");
                        n += 1;
                    }
                    let start = Instant::now();
                    assert!(store.tidy(&RETENTION).expect("rolled up"));
                    let took = start.elapsed();
                    while store.tidy(&RETENTION).expect("tidied") {}
                    took
                })
                .sum()
        });
    });

    group.bench_function("ten_seconds_of_cpu", |b| {
        let directory = Directory::new("cpu");
        let mut store = directory.store();
        let mut ledger = Ledger::new(Duration::from_secs(10));
        // A whole number of minutes, so that each has its part of the roll-up.
        let mut minute = || {
            let mut absorbed = 0;
            let before = cpu();
            while absorbed < 6 * READINGS {
                absorbed += 1;
                readings += 1;
                reading(&mut snapshot, readings);
                if let Some(bucket) = ledger.absorb(&snapshot) {
                    store.write(&bucket).expect("written");
                    while store.tidy(&RETENTION).expect("tidied") {}
                }
            }
            (cpu() - before) / 6
        };
        // Until there is something to delete.
        for _ in 0..5 {
            minute();
        }
        b.iter_custom(|rounds| (0..rounds).map(|_| minute()).sum());
    });
    group.finish();
}

/// What interfaces add: five that are sampled, busy, on a machine that is quiet else.
fn interfaces(c: &mut Criterion) {
    let mut snapshot = fixture::quiet(1);
    let hook = Arc::new(Hook {
        ingress: "xdp generic".to_owned(),
        egress: "tcx".to_owned(),
        reason: String::new(),
    });
    let way = Way {
        frames: Count::default(),
        classes: [Count::default(); Class::COUNT],
    };
    snapshot.interfaces = (1..=5)
        .map(|index| Interface {
            index,
            name: format!("eth{index}").into(),
            loopback: false,
            totals: Totals::default(),
            rates: Rates::default(),
            tx_packets: 0.0,
            rx_packets: 0.0,
            uptime: Duration::ZERO,
            peak: 0.0,
            unsampled: None,
            sampled: Some(Sampled {
                hook: Arc::clone(&hook),
                tx: way,
                rx: way,
                tx_pace: WayPace::default(),
                rx_pace: WayPace::default(),
                uptime: Duration::ZERO,
                peak: 0.0,
            }),
        })
        .collect();
    let moves = |snapshot: &mut Snapshot| {
        for one in &mut snapshot.interfaces {
            one.totals += fixture::totals(120_000, 1_400_000);
            let sampled = one.sampled.as_mut().expect("it is sampled");
            for class in [Class::Tcp, Class::Udp, Class::Http, Class::Https] {
                for way in [&mut sampled.tx, &mut sampled.rx] {
                    way.classes[class as usize] += Count {
                        packets: 100,
                        bytes: 120_000,
                    };
                }
            }
        }
    };
    let mut ledger = Ledger::new(Duration::from_secs(10));
    let mut readings = 0;
    let mut group = c.benchmark_group("interfaces");
    group.bench_function("absorb", |b| {
        b.iter(|| {
            readings += 1;
            moves(&mut snapshot);
            reading(&mut snapshot, readings);
            black_box(ledger.absorb(&snapshot))
        });
    });
    ledger.finish();
    group.sample_size(20);
    group.bench_function("ten_seconds_of_cpu", |b| {
        let directory = Directory::new("interfaces");
        let mut store = directory.store();
        let mut ledger = Ledger::new(Duration::from_secs(10));
        let mut minute = || {
            let before = cpu();
            for _ in 0..6 * READINGS {
                readings += 1;
                moves(&mut snapshot);
                reading(&mut snapshot, readings);
                if let Some(bucket) = ledger.absorb(&snapshot) {
                    store.write(&bucket).expect("written");
                    while store.tidy(&RETENTION).expect("tidied") {}
                }
            }
            (cpu() - before) / 6
        };
        b.iter_custom(|rounds| (0..rounds).map(|_| minute()).sum());
    });
    group.finish();
}

criterion_group!(benches, history, interfaces);
criterion_main!(benches);
