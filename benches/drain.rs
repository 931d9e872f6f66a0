//! Reading the kernel: ten thousand flows out of the map and into the model's types.
//!
//! Why this is hot: it runs twice a second on every machine, and while the
//! kernel copies a bucket of the map, programs that count in it wait. `lookup`
//! is the reference in the same run: the bare system call on the same map.
//! Target for `read`, the call and decoding all of it: 2 × `lookup`.
//! Loads the real programs, so it needs root, and says so where it has it not.

use std::net::IpAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use libbpf_rs::{MapCore, MapFlags};
use netmon::collect::accounting::{Accounting, Maps, Plan, Settings};
use netmon::collect::batch::Batch;
use netmon::collect::capability;
use netmon::collect::drain::Drain;
use netmon::collect::wire::{self, RawFlowKey, RawTotals, RawTraffic};
use netmon::model::flow::{Address, Endpoint, FlowKey, ProcessId, Protocol};

const FLOWS: u32 = 10_240;

/// The default of `--max-flows`, and room for what this machine does meanwhile.
const CAPACITY: u32 = FLOWS + 1024;

fn flow(n: u32) -> FlowKey {
    // Every third flow is IPv6, every fifth UDP.
    let [_, _, high, low] = n.to_be_bytes();
    let (near, far) = if n.is_multiple_of(3) {
        (
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5]),
            IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, n as u16]),
        )
    } else {
        ([10, 0, 0, 5].into(), [93, 184, high, low].into())
    };
    let (near, far) = (Address::Ip(near), Address::Ip(far));
    FlowKey {
        process: ProcessId {
            pid: 4_000_000 + n % 500,
            start_ns: u64::from(n % 500) * 1_000_000_007,
        },
        protocol: if n.is_multiple_of(5) {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        network_namespace: 4_026_531_840,
        local: Some(Endpoint {
            address: near,
            port: 10_000 + n as u16,
        }),
        remote: Some(Endpoint {
            address: far,
            port: 443,
        }),
    }
}

fn fill(maps: &Maps, keys: &[FlowKey]) {
    for (n, key) in keys.iter().enumerate() {
        let raw = wire::raw_flow_key(key);
        let value = RawTraffic {
            totals: RawTotals {
                tx_bytes: n as u64 * 1_000,
                rx_bytes: n as u64 * 3_000,
                tx_operations: n as u64,
                rx_operations: n as u64 * 2,
            },
            start_ns: key.process.start_ns,
            network_namespace: key.network_namespace,
            ..RawTraffic::default()
        };
        maps.traffic
            .update(wire::bytes_of(&raw), wire::bytes_of(&value), MapFlags::ANY)
            .expect("an entry of traffic_map");
    }
}

fn drains(c: &mut Criterion) {
    let missing = capability::missing();
    if !missing.is_empty() {
        eprintln!(
            "drain: skipped, {} missing; run it as root",
            missing.join(" and ")
        );
        return;
    }
    let mut accounting = Accounting::open(&Settings {
        plans: vec![Plan::Residual, Plan::EnterExit],
        max_flows: CAPACITY,
        pin: None,
    })
    .expect("the programs load");
    // The machine's own traffic would change the map under the comparison.
    accounting.detach();
    let maps = &accounting.maps;
    let keys: Vec<FlowKey> = (0..FLOWS).map(flow).collect();
    fill(maps, &keys);

    let mut group = c.benchmark_group("drain");
    group.throughput(Throughput::Elements(FLOWS.into()));

    let mut batch = Batch::<RawFlowKey, RawTraffic>::new(CAPACITY as usize);
    group.bench_function("lookup", |b| {
        b.iter(|| {
            batch.read(&maps.traffic).expect("a batch look-up");
            assert!(batch.len() >= FLOWS as usize);
        });
    });

    let mut drain = Drain::new(&accounting).expect("the ring of closed connections");
    let mut flows = Vec::new();
    group.bench_function("read", |b| {
        b.iter(|| {
            flows.clear();
            drain
                .read_flows(&maps.traffic, &mut flows)
                .expect("a batch look-up");
            assert!(flows.len() >= FLOWS as usize);
        });
    });

    let mut rate = 0;
    group.bench_function("write_rates", |b| {
        b.iter(|| {
            rate += 1;
            drain
                .write_rates(maps, keys.iter().map(|key| (*key, rate)))
                .expect("a batch update");
        });
    });
    group.finish();
}

criterion_group!(benches, drains);
criterion_main!(benches);
