//! The tracker: one tick of ten thousand flows, and one in which nothing moved.
//!
//! Why this is hot: it runs between reading the kernel and publishing the
//! picture, twice a second on every machine, and what it costs is netmon's own
//! load and the age of what the screen shows. Target: 2 ms for `moving`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use netmon::model::flow::{Address, Endpoint, FlowKey, ProcessId, Protocol, Totals};
use netmon::model::network::{Link, LinkCounters, Lower, Network};
use netmon::model::sample::{FlowCounters, Identity, Moment, ProcessCounters, Sample};
use netmon::model::snapshot::Engine;
use netmon::model::tracker::{Settings, Tracker};

const FLOWS: u32 = 10_240;
const PROCESSES: u32 = 500;
const CARD: u32 = 2;
const INTERVAL: Duration = Duration::from_millis(500);

fn settings() -> Settings {
    Settings {
        interval: INTERVAL,
        alpha: 0.4,
        // About one flow in a hundred is above it.
        threshold: 2_450_000.0,
        kernel_threads: false,
        linger: Duration::from_secs(3),
        max_listed_ended: 1024,
        // Not so full that the tracker would start to empty it.
        max_flows: 16_384,
        engine: Arc::new(Engine::new("syscall", "", &[])),
        boot: Duration::ZERO,
    }
}

fn process(n: u32) -> ProcessId {
    ProcessId {
        pid: 1000 + n,
        start_ns: u64::from(n) * 1_000_000_007,
    }
}

fn flow(n: u32) -> FlowKey {
    let [_, _, high, low] = n.to_be_bytes();
    let end = |address: [u8; 4], port| {
        Some(Endpoint {
            address: Address::Ip(IpAddr::V4(Ipv4Addr::from(address))),
            port,
        })
    };
    FlowKey {
        process: process(n % PROCESSES),
        protocol: Protocol::Tcp,
        network_namespace: 4_026_531_840,
        local: end([10, 0, 0, 5], 10_000 + n as u16),
        remote: end([93, 184, high, low], 443),
    }
}

/// The kernel's counters before anything moved.
fn sample() -> Sample {
    Sample {
        flows: (0..FLOWS)
            .map(|n| FlowCounters {
                key: flow(n),
                totals: Totals::default(),
                closed: false,
            })
            .collect(),
        processes: (0..PROCESSES)
            .map(|n| ProcessCounters {
                id: process(n),
                totals: Totals::default(),
                identity: Arc::new(Identity {
                    name: format!("worker-{n}"),
                    ..Identity::default()
                }),
                kernel_thread: false,
                exited: false,
            })
            .collect(),
        // Every flow leaves by this card, and is compared with what it moved.
        network: Some(Arc::new(Network {
            namespace: 4_026_531_840,
            is_first: true,
            links: vec![Link {
                index: CARD,
                name: "eth0".into(),
                medium: 1,
                loopback: false,
                hardware: true,
                kind: None,
                lower: Lower::Nothing,
                master: None,
            }],
            addresses: Vec::new(),
        })),
        links: vec![LinkCounters {
            index: CARD,
            totals: Totals::default(),
        }],
        ..Sample::default()
    }
}

/// Every flow moves, each at another rate that changes from tick to tick.
fn advance(sample: &mut Sample, sequence: u32) {
    for (n, flow) in sample.flows.iter_mut().enumerate() {
        let bytes = ((n as u64) + u64::from(sequence) * 7) % u64::from(FLOWS) * 97;
        let moved = Totals {
            tx_bytes: bytes / 4,
            rx_bytes: bytes,
            tx_operations: 1,
            rx_operations: 2,
        };
        flow.totals += moved;
        sample.processes[n % PROCESSES as usize].totals += moved;
        sample.protocols[Protocol::Tcp.index()] += moved;
        sample.links[0].totals += moved;
    }
}

fn moment(sequence: u32) -> Moment {
    let now = Duration::from_secs(1000) + INTERVAL * sequence;
    Moment {
        monotonic: now,
        wall: now,
    }
}

fn ticks(c: &mut Criterion) {
    let mut group = c.benchmark_group("tracker");
    let mut sample = sample();
    let mut tracker = Tracker::new(settings(), moment(0));
    let mut sequence = 0;
    group.bench_function("moving", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                sequence += 1;
                advance(&mut sample, sequence);
                let start = Instant::now();
                let snapshot = tracker.tick(black_box(&sample), moment(sequence));
                spent += start.elapsed();
                assert_eq!(snapshot.flows.len(), FLOWS as usize);
                assert_eq!(snapshot.balance.discrepancy(), 0);
                assert!(snapshot.coverage.is_some());
                assert!(tracker.feedback().rates.len() > FLOWS as usize * 9 / 10);
            }
            spent
        });
    });

    // Long enough for the averages to come to rest.
    let mut rest = || {
        sequence += 1;
        tracker.tick(black_box(&sample), moment(sequence))
    };
    while rest().overall().1.smoothed > 0.0 {}
    group.bench_function("silent", |b| b.iter(&mut rest));
    group.finish();
}

criterion_group!(benches, ticks);
criterion_main!(benches);
