//! Snapshots to draw: a small scene that has everything, and as many flows as asked for.
//!
//! Included by tests and benches alike; deterministic, no clock.

#![allow(dead_code)] // Nobody needs all of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use netmon::model::anomaly::Anomaly;
use netmon::model::coverage::{Coverage, Covered};
use netmon::model::flow::{Address, Endpoint, FlowKey, ProcessId, Protocol, Totals};
use netmon::model::sample::{Identity, Moment};
use netmon::model::snapshot::{
    AggregateRow, Balance, Engine, FlowRow, Loss, ProcessRow, ProtocolRow, Rates, Snapshot,
};

/// Boot, in seconds since the Unix epoch.
const BOOT: u64 = 1_790_000_000;

/// Seconds since boot at the first snapshot.
const UP: u64 = 100_000;

pub const MIB: f64 = 1024.0 * 1024.0;

pub fn v4(address: [u8; 4], port: u16) -> Option<Endpoint> {
    Some(Endpoint {
        address: Address::Ip(IpAddr::V4(Ipv4Addr::from(address))),
        port,
    })
}

pub fn v6(address: &str, port: u16) -> Option<Endpoint> {
    let address: Ipv6Addr = address.parse().expect("an address in a test");
    Some(Endpoint {
        address: Address::Ip(IpAddr::V6(address)),
        port,
    })
}

pub fn rates(tx: f64, rx: f64) -> Rates {
    Rates {
        tx_bytes: (tx / 2.0) as u64,
        rx_bytes: (rx / 2.0) as u64,
        tx,
        rx,
        smoothed: (tx + rx) * 0.9,
    }
}

pub fn totals(tx: u64, rx: u64) -> Totals {
    Totals {
        tx_bytes: tx,
        rx_bytes: rx,
        tx_operations: tx.div_ceil(1400),
        rx_operations: rx.div_ceil(1400),
    }
}

/// A process without flows, started `age` seconds before the first snapshot.
pub fn process(pid: u32, name: &str, command: &str, uid: u32, user: &str, age: u64) -> ProcessRow {
    ProcessRow {
        id: ProcessId {
            pid,
            start_ns: (UP - age) * 1_000_000_000,
        },
        identity: Arc::new(Identity {
            name: name.to_string(),
            command: command.to_string(),
            executable: Some(format!("/usr/bin/{name}")),
            uid,
            user: user.to_string(),
            cgroup: Some(format!("/system.slice/{name}.service")),
            unit: Some(format!("{name}.service")),
            container: None,
        }),
        totals: Totals::default(),
        rates: Rates::default(),
        by_protocol: Default::default(),
        kernel_thread: false,
        exited: false,
        anomalous: false,
    }
}

/// A snapshot of nothing at all.
pub fn quiet(sequence: u64) -> Snapshot {
    let since = Duration::from_millis(500 * sequence);
    Snapshot {
        interfaces: Vec::new(),
        sequence,
        at: Moment {
            monotonic: Duration::from_secs(UP) + since,
            wall: Duration::from_secs(BOOT + UP) + since,
        },
        boot: Duration::from_secs(BOOT),
        interval: Duration::from_millis(500),
        nominal_interval: Duration::from_millis(500),
        engine: Arc::new(Engine::new(
            "syscall",
            "socket lengths, the rest at system call exit",
            &["32-bit system calls"],
        )),
        threshold: 10.0 * MIB,
        protocols: Vec::new(),
        processes: Vec::new(),
        flows: Vec::new(),
        aggregates: Vec::new(),
        anomalies: Vec::new(),
        loss: Loss::default(),
        balance: Balance::default(),
        coverage: None,
    }
}

/// Adds a flow and its bytes to its process and protocol.
pub fn add_flow(
    snapshot: &mut Snapshot,
    process: usize,
    protocol: Protocol,
    ends: (Option<Endpoint>, Option<Endpoint>),
    moved: Totals,
    rates: Rates,
) {
    let anomalous = rates.smoothed > snapshot.threshold;
    let owner = &mut snapshot.processes[process];
    let key = FlowKey {
        process: owner.id,
        protocol,
        network_namespace: 4_026_531_840,
        local: ends.0,
        remote: ends.1,
    };
    owner.totals += moved;
    owner.by_protocol[protocol.index()] += moved;
    owner.rates.tx += rates.tx;
    owner.rates.rx += rates.rx;
    owner.rates.smoothed += rates.smoothed;
    owner.anomalous |= anomalous;
    if anomalous {
        snapshot.anomalies.push(Anomaly {
            key,
            name: owner.identity.name.clone(),
            value: rates.smoothed,
            threshold: snapshot.threshold,
            since: snapshot.at.wall,
        });
    }
    snapshot.flows.push(FlowRow {
        key,
        process,
        totals: moved,
        rates,
        tcp: None,
        closed: false,
        anomalous,
    });
    let at = match snapshot
        .protocols
        .iter()
        .position(|row| row.protocol == protocol)
    {
        Some(at) => at,
        None => {
            snapshot.protocols.push(ProtocolRow {
                protocol,
                totals: Totals::default(),
                rates: Rates::default(),
            });
            snapshot.protocols.sort_by_key(|row| row.protocol.index());
            snapshot
                .protocols
                .iter()
                .position(|row| row.protocol == protocol)
                .expect("it was just added")
        }
    };
    let row = &mut snapshot.protocols[at];
    row.totals += moved;
    row.rates.tx += rates.tx;
    row.rates.rx += rates.rx;
    row.rates.smoothed += rates.smoothed;
}

/// A small machine at work. `busy` adds a flow above the threshold.
pub fn scene(sequence: u64, busy: bool) -> Snapshot {
    let mut scene = quiet(sequence);
    scene.processes = vec![
        process(
            4242,
            "curl",
            "curl -L -O https://downloads.example.org/images/large-disk-image.iso",
            1000,
            "alice",
            75,
        ),
        process(812, "sshd", "sshd: alice@pts/0", 0, "root", 90_061),
        process(
            1733,
            "firefox",
            "/usr/lib/firefox/firefox --new-window https://example.org/",
            1000,
            "alice",
            7_260,
        ),
        process(
            655,
            "systemd-resolve",
            "/lib/systemd/systemd-resolved",
            101,
            "resolve",
            99_000,
        ),
        process(9001, "ping", "ping -c 3 192.0.2.1", 1000, "alice", 12),
        process(
            5150,
            "漢字サーバ",
            "/opt/漢字サーバ --port 8080",
            33,
            "www-data",
            3_600,
        ),
        process(
            7777,
            "evil\u{1b}[2J\u{7}name",
            "evil\u{1b}[2J\u{7}name --flag",
            65_534,
            "nobody",
            30,
        ),
    ];
    scene.processes[4].exited = true;
    let curl = if busy { 31.4 * MIB } else { 3.4 * MIB };
    add_flow(
        &mut scene,
        0,
        Protocol::Tcp,
        (v4([10, 0, 0, 5], 51_234), v4([93, 184, 216, 34], 443)),
        totals(48_128, 812_646_400),
        rates(20.0 * 1024.0, curl),
    );
    add_flow(
        &mut scene,
        1,
        Protocol::Tcp,
        (v4([10, 0, 0, 5], 22), v4([10, 0, 0, 77], 60_022)),
        totals(1_887_436, 204_800),
        rates(5_300.0, 212.0),
    );
    for (port, host, tx, rx) in [
        (
            40_100,
            "2606:2800:220:1:248:1893:25c8:1946",
            2_048.0,
            310_000.0,
        ),
        (40_101, "2a00:1450:4001:82f::200e", 0.0, 0.0),
        (40_102, "2001:db8::7", 900.0, 1_450.0),
    ] {
        add_flow(
            &mut scene,
            2,
            Protocol::Tcp,
            (v6("2001:db8:85a3::8a2e:370:7334", port), v6(host, 443)),
            totals(524_288, 73_400_320),
            rates(tx, rx),
        );
    }
    add_flow(
        &mut scene,
        2,
        Protocol::Udp,
        (v4([10, 0, 0, 5], 38_000), v4([142, 250, 185, 78], 443)),
        totals(9_000_000, 120_000_000),
        rates(15_000.0, 180_000.0),
    );
    add_flow(
        &mut scene,
        3,
        Protocol::Udp,
        (v4([127, 0, 0, 53], 53), None),
        totals(34_000, 91_000),
        rates(0.0, 0.0),
    );
    add_flow(
        &mut scene,
        4,
        Protocol::Icmp,
        (v4([10, 0, 0, 5], 0), v4([192, 0, 2, 1], 0)),
        totals(252, 252),
        rates(0.0, 0.0),
    );
    add_flow(
        &mut scene,
        5,
        Protocol::Tcp,
        (v4([10, 0, 0, 5], 8080), v4([198, 51, 100, 23], 33_912)),
        totals(6_442_450_944, 88_000_000),
        rates(1.4 * MIB, 11_000.0),
    );
    add_flow(
        &mut scene,
        6,
        Protocol::Udp,
        (v4([10, 0, 0, 5], 6881), v4([203, 0, 113, 200], 6881)),
        totals(77, 1_000),
        rates(77.0, 0.0),
    );
    let ended = scene.flows.len() - 3;
    scene.flows[ended].closed = true;
    scene.coverage = Some(coverage());
    scene.aggregates = vec![AggregateRow {
        name: "[kernel]",
        kernel_thread: true,
        totals: totals(1_048_576, 2_097_152),
        rates: rates(128.0, 256.0),
    }];
    scene
}

/// Some gigabytes by two cards, most of it payload.
fn coverage() -> Coverage {
    Coverage {
        links: vec!["eth0".into(), "wlan0".into()],
        tx: Covered {
            wire_bytes: 6_750_000_000,
            wire_packets: 4_600_000,
            payload_bytes: 6_454_000_000,
            overhead_bytes: 280_000_000,
            other_bytes: 16_000_000,
            excess_bytes: 0,
        },
        rx: Covered {
            wire_bytes: 1_300_000_000,
            wire_packets: 900_000,
            payload_bytes: 1_030_000_000,
            overhead_bytes: 58_000_000,
            other_bytes: 212_000_000,
            excess_bytes: 0,
        },
        wire_rates: rates(1.5 * MIB, 4.1 * MIB),
    }
}

/// `count` flows of a hundred processes, all busy, different at each sequence.
pub fn many(sequence: u64, count: usize) -> Snapshot {
    let mut snapshot = quiet(sequence);
    snapshot.processes = (0..100)
        .map(|n| {
            process(
                1000 + n,
                &format!("worker-{n}"),
                &format!("/usr/bin/worker-{n} --listen 0.0.0.0:{}", 8000 + n),
                1000 + n % 7,
                "service",
                u64::from(n),
            )
        })
        .collect();
    for n in 0..count {
        // A multiplicative hash: rates in no order, and others next time.
        let mixed = (n as u64 + sequence * 7919).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let rate = mixed as f64 / 16.0;
        let protocol = if n % 5 == 0 {
            Protocol::Udp
        } else {
            Protocol::Tcp
        };
        let [_, _, high, low] = (n as u32).to_be_bytes();
        add_flow(
            &mut snapshot,
            n % 100,
            protocol,
            (
                v4([10, 0, high, low], 40_000 + (n % 20_000) as u16),
                v4([93, 184, high, low], 443),
            ),
            totals(mixed * 3 * sequence, mixed * 5 * sequence),
            rates(rate, rate * 1.5),
        );
    }
    snapshot
}
