//! What is counted is what went over the wire: per address, to the byte and packet.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::packet::{IPV4, IPV6};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::counters::counters;
use crate::interface::settle;
use crate::peer::{FAR, NEAR, Peer};
use crate::running::{Running, moved, number};
use crate::space::{Sender, cpus, ethernet, inside, ipv4, ipv6, stay_on, wire};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("counts::crafted_frames", || inside(crafted)),
        root("counts::real_traffic", || inside(real)),
        root("counts::loopback_once", || inside(loopback)),
        root("counts::several_workers", || inside(workers)),
        root("counts::flows", || inside(flows)),
        root("counts::at_full_speed", || inside(fast)),
        root("counts::drops_are_told", || inside(drops)),
    ]
}

/// One frame of a kind, with its source's last byte.
fn frame(kind: usize, host: u8) -> Vec<u8> {
    let with = |mut packet: Vec<u8>, at: usize, bytes: &[u8]| {
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let size = 40 + usize::from(host);
    match kind {
        0 => ethernet(&[], IPV4, &ipv4(host, 53, size)),
        // TCP, ICMP, a protocol that nobody has.
        1 => ethernet(&[], IPV4, &with(ipv4(host, 53, size), 9, &[6])),
        2 => ethernet(&[], IPV4, &with(ipv4(host, 53, size), 9, &[1])),
        3 => ethernet(&[], IPV4, &with(ipv4(host, 53, size), 9, &[253])),
        // A first fragment and a later one.
        4 => ethernet(&[], IPV4, &with(ipv4(host, 53, size), 6, &[0x20, 0])),
        5 => ethernet(&[], IPV4, &with(ipv4(host, 53, size), 6, &[0x00, 9])),
        6 => ethernet(&[], IPV6, &ipv6(host, 53, size)),
        // A fragment header, ICMPv6.
        7 => ethernet(&[], IPV6, &with(ipv6(host, 53, size), 6, &[44])),
        8 => ethernet(&[], IPV6, &with(ipv6(host, 53, size), 6, &[58])),
        // VLAN, two of them.
        9 => ethernet(&[5], IPV4, &ipv4(host, 53, size)),
        10 => ethernet(&[5], IPV6, &ipv6(host, 53, size)),
        _ => ethernet(&[6, 7], IPV4, &ipv4(host, 53, size)),
    }
}

const KINDS: usize = 12;

/// Each kind of frame from each of some hosts: what each address sent and received is
/// known, and all is what the interface counted.
fn crafted() -> anyhow::Result<()> {
    wire()?;
    let before = counters("far")?;
    let running = Running::start("far", &["--workers", "2", "--top", "100"])?;
    let sender = Sender::new("near")?;
    let mut expected: BTreeMap<String, [u64; 4]> = BTreeMap::new();
    for kind in 0..KINDS {
        for host in 1..=9 {
            let frame = frame(kind, host);
            sender.send(&frame)?;
            let (source, destination) = match kind {
                6..=8 | 10 => (format!("2001:db8::{host}"), "2001:db8::c8"),
                _ => (format!("10.0.0.{host}"), "10.0.1.1"),
            };
            let from = expected.entry(source).or_default();
            (from[0], from[1]) = (from[0] + frame.len() as u64, from[1] + 1);
            let to = expected.entry(destination.to_owned()).or_default();
            (to[2], to[3]) = (to[2] + frame.len() as u64, to[3] + 1);
        }
    }
    // Not IP: ARP, and IPv4 by its name alone.
    let arp = ethernet(&[], 0x0806, &[0; 28]);
    let broken = ethernet(&[], IPV4, &[0; 46]);
    sender.send(&arp)?;
    sender.send(&broken)?;
    let report = running.end()?;

    for (address, moved_by) in &expected {
        let moved = moved(&report, address)?;
        ensure!(moved == *moved_by, "{address}: {moved:?}, not {moved_by:?}");
    }
    let listed = report["addresses"].as_array().map(Vec::len);
    ensure!(listed == Some(expected.len()), "{report}");
    ensure!(number(&report, "not_ip")? == 2, "{report}");
    let after = counters("far")?;
    let not_ip = (arp.len() + broken.len()) as u64;
    ensure!(number(&report, "packets")? + 2 == after.received.packets - before.received.packets);
    ensure!(number(&report, "bytes")? + not_ip == after.received.bytes - before.received.bytes);
    ensure!(number(&report, "dropped")? == 0, "{report}");
    Ok(())
}

/// Sends datagrams of both families to the far end, and a stream both ways.
fn talk(peer: &Peer) -> anyhow::Result<()> {
    for (near, far) in NEAR.iter().zip(FAR) {
        let (near, far): (IpAddr, IpAddr) = (near.parse()?, far.parse()?);
        let server = peer.run(move || -> anyhow::Result<_> {
            let listener = TcpListener::bind((far, 0))?;
            let address = listener.local_addr()?;
            let echo = UdpSocket::bind((far, 0))?;
            let port = echo.local_addr()?.port();
            let thread = thread::spawn(move || -> anyhow::Result<()> {
                let (mut stream, _) = listener.accept()?;
                let mut bytes = vec![0; 3_000_000];
                stream.read_exact(&mut bytes)?;
                Ok(stream.write_all(&bytes[..1_000_000])?)
            });
            Ok((thread, address, port, echo))
        })??;
        let (thread, address, port, _echo) = server;
        let datagrams = UdpSocket::bind((near, 0))?;
        for size in [0, 1, 1400, 4000] {
            // The last one goes in fragments.
            datagrams.send_to(&vec![1; size], SocketAddr::new(far, port))?;
        }
        // Nobody is there: an ICMP message comes back.
        let nobody = UdpSocket::bind((near, 0))?;
        nobody.send_to(b"?", SocketAddr::new(far, 1))?;
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&vec![2; 3_000_000])?;
        stream.read_exact(&mut vec![0; 1_000_000])?;
        let served = thread.join().map_err(|_| anyhow::anyhow!("panicked"))?;
        served?;
    }
    Ok(())
}

/// TCP, UDP, ICMP, both families and fragments between two namespaces: what the two ends
/// moved, by the report, is what the interface counted each way.
fn real() -> anyhow::Result<()> {
    let peer = Peer::wired()?;
    let before = counters("near")?;
    let running = Running::start("near", &["--workers", "3"])?;
    talk(&peer)?;
    // Last words of the connections are on their way.
    settle("near")?;
    let report = running.end()?;
    let after = counters("near")?;
    let (sent, received) = (after.sent - before.sent, after.received - before.received);
    let mut ends = [[0; 4]; 2];
    for (end, addresses) in ends.iter_mut().zip([NEAR, FAR]) {
        for address in addresses {
            for (sum, number) in end.iter_mut().zip(moved(&report, address)?) {
                *sum += number;
            }
        }
    }
    let both = [sent.bytes, sent.packets, received.bytes, received.packets];
    ensure!(ends[0] == both, "near: {:?}, not {both:?}", ends[0]);
    let turned = [both[2], both[3], both[0], both[1]];
    ensure!(ends[1] == turned, "far: {:?}, not {turned:?}", ends[1]);
    ensure!(sent.bytes > 6_000_000, "{sent:?}");
    ensure!(number(&report, "not_ip")? == 0, "{report}");
    Ok(())
}

/// A packet socket sees loopback's frames twice; they are counted once.
fn loopback() -> anyhow::Result<()> {
    let before = counters("lo")?;
    let running = Running::start("lo", &["--workers", "2"])?;
    let far = UdpSocket::bind("127.0.0.1:0")?;
    let near = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..50 {
        near.send_to(&[0; 100], far.local_addr()?)?;
    }
    let report = running.end()?;
    let after = counters("lo")?;
    ensure!(number(&report, "packets")? == 50, "{report}");
    let bytes = after.received.bytes - before.received.bytes;
    ensure!(number(&report, "bytes")? == bytes, "{bytes}: {report}");
    let row = moved(&report, "127.0.0.1")?;
    ensure!(row == [bytes, 50, bytes, 50], "{row:?}");
    Ok(())
}

/// What comes in on different CPUs is counted by different workers, each frame once.
fn workers() -> anyhow::Result<()> {
    wire()?;
    let running = Running::start("far", &["--workers", "4"])?;
    let sender = Sender::new("near")?;
    let cpus = cpus()?;
    for &cpu in &cpus {
        stay_on(cpu)?;
        for port in 0..200 {
            sender.send(&ethernet(&[], IPV4, &ipv4(1, 1000 + port, 10)))?;
        }
    }
    let report = running.end()?;
    let all = 200 * cpus.len() as u64;
    ensure!(moved(&report, "10.0.0.1")?[1] == all, "{report}");
    let workers = report["workers"].as_array().context("no workers")?;
    ensure!(workers.len() == 4, "{report}");
    let busy = |worker: &&Value| worker["packets"].as_u64() > Some(0);
    let rings: BTreeSet<usize> = cpus.iter().map(|cpu| cpu % 4).collect();
    ensure!(
        workers.iter().filter(busy).count() == rings.len(),
        "{report}"
    );
    Ok(())
}

/// Each flow by its five numbers, one way.
fn flows() -> anyhow::Result<()> {
    wire()?;
    let running = Running::start("far", &["--flows"])?;
    let sender = Sender::new("near")?;
    for (host, port, times) in [(1, 1000, 3), (1, 1001, 2), (2, 1000, 1)] {
        for _ in 0..times {
            sender.send(&ethernet(&[], IPV4, &ipv4(host, port, 10)))?;
        }
    }
    sender.send(&ethernet(&[], IPV6, &ipv6(1, 1000, 100)))?;
    let mut icmp = ipv4(3, 0, 10);
    icmp[9] = 1;
    sender.send(&ethernet(&[], IPV4, &icmp))?;
    let report = running.end()?;
    let rows = report["flows"].as_array().context("no flows")?;
    let row = |source: &str, port: Option<u16>| {
        let is = |row: &&Value| row["source"] == source && row["source_port"] == Value::from(port);
        let row = rows.iter().find(is).context("no such flow");
        row.with_context(|| format!("{source} {port:?}: {report}"))
    };
    for (source, port, packets) in [
        ("10.0.0.1", 1000, 3),
        ("10.0.0.1", 1001, 2),
        ("10.0.0.2", 1000, 1),
        ("2001:db8::1", 1000, 1),
    ] {
        let row = row(source, Some(port))?;
        ensure!(row["packets"] == packets, "{row}");
        ensure!(
            row["protocol"] == "udp" && row["destination_port"] == 9,
            "{row}"
        );
    }
    let icmp = row("10.0.0.3", None)?;
    ensure!(
        icmp["protocol"] == "icmp" && icmp["destination"] == "10.0.1.1",
        "{icmp}"
    );
    ensure!(rows.len() == 5, "{report}");
    ensure!(number(&report["flow_table"], "entries")? == 5, "{report}");
    Ok(())
}

/// As fast as they can be sent, so that the workers rest between full blocks: trains, answers
/// to them and changes of both families. The ring has room for all, so none may be dropped.
fn fast() -> anyhow::Result<()> {
    const ROUNDS: u64 = 2000;
    wire()?;
    let mut command = crate::netmon::netmon(["capture", "--iface", "far", "--format", "json"]);
    command.args(["--report-interval-secs", "1", "--workers", "1", "--flows"]);
    command.args(["--block-size", "262144", "--block-count", "128"]);
    let mut live = crate::netmon::Live::start(&mut command)?;
    live.line()?;
    let sender = Sender::new("near")?;
    // The addresses change places.
    let answer = |mut packet: Vec<u8>, [a, b]: [usize; 2], size: usize| {
        for at in 0..size {
            packet.swap(a + at, b + at);
        }
        packet
    };
    let there = [
        ethernet(&[], IPV4, &ipv4(1, 1000, 10)),
        ethernet(&[], IPV6, &ipv6(1, 1000, 10)),
    ];
    let back = [
        ethernet(&[], IPV4, &answer(ipv4(1, 1000, 10), [12, 16], 4)),
        ethernet(&[], IPV6, &answer(ipv6(1, 1000, 10), [8, 24], 16)),
    ];
    for _ in 0..ROUNDS {
        for (there, back) in there.iter().zip(&back) {
            for _ in 0..20 {
                sender.send(there)?;
            }
            for frame in [back, there, back] {
                sender.send(frame)?;
            }
        }
    }
    let report = Running { live }.end()?;
    ensure!(number(&report, "dropped")? == 0, "{report}");
    for (host, length) in ["10.0.0.1", "2001:db8::1"].into_iter().zip(there) {
        let length = length.len() as u64;
        let [sent, received] = [21 * ROUNDS, 2 * ROUNDS];
        let expected = [length * sent, sent, length * received, received];
        let row = moved(&report, host)?;
        ensure!(row == expected, "{host}: {row:?}, not {expected:?}");
    }
    let flows = report["flows"].as_array().context("no flows")?;
    let packets: Vec<u64> = flows
        .iter()
        .filter_map(|row| row["packets"].as_u64())
        .collect();
    ensure!(
        packets == [21 * ROUNDS, 21 * ROUNDS, 2 * ROUNDS, 2 * ROUNDS],
        "{report}"
    );
    Ok(())
}

/// A ring that is not read drops; every frame that was sent is counted or dropped.
fn drops() -> anyhow::Result<()> {
    const SENT: u64 = 5000;
    wire()?;
    let small = [
        "--workers",
        "2",
        "--block-size",
        "4096",
        "--block-count",
        "4",
    ];
    let small = [&small[..], &["--frame-size", "2048"]].concat();
    let mut command = crate::netmon::netmon(["capture", "--iface", "far", "--format", "json"]);
    command.args(["--report-interval-secs", "1"]).args(small);
    let mut live = crate::netmon::Live::start(&mut command)?;
    live.line()?;
    live.signal(Signal::SIGSTOP)?;
    let sender = Sender::new("near")?;
    for number in 0..SENT {
        let port = 1000 + (number % 50) as u16;
        sender.send(&ethernet(&[], IPV4, &ipv4(1, port, 100)))?;
    }
    live.signal(Signal::SIGCONT)?;
    let report = Running { live }.end()?;
    let (packets, dropped) = (number(&report, "packets")?, number(&report, "dropped")?);
    ensure!(dropped > 0 && packets > 0, "{report}");
    ensure!(packets + dropped == SENT, "{report}");
    let workers = report["workers"].as_array().context("no workers")?;
    let by_worker: u64 = workers
        .iter()
        .filter_map(|one| one["dropped"].as_u64())
        .sum();
    ensure!(by_worker == dropped, "{report}");
    Ok(())
}
