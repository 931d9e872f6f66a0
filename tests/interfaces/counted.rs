//! What is counted is what the kernel counted, and what was really sent.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::netmon::Live;
use crate::space::{Space, connection, datagrams, pair, stream, two};
use crate::station::{frames, interrupt, number, of, report, reporting, settled, totals};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("counted::as_the_kernel_does", as_the_kernel_does),
        root("counted::in_the_driver_too", in_the_driver_too),
        root("counted::classes", classes),
        root("counted::both_ends_agree", both_ends_agree),
        root("counted::rates_and_peak", rates_and_peak),
        root("counted::flows", flows),
    ]
}

/// Of UDP over IPv4 over Ethernet.
const HEADERS: u64 = 14 + 20 + 8;

/// Streams and datagrams of both families, both ways.
fn traffic(a: &Space, b: &Space) -> anyhow::Result<()> {
    for address in ["10.9.0.2", "fd00:9::2"] {
        let (mut near, mut far) = connection(a, b, address)?;
        stream(&mut near, &mut far, 30_000, 300)?;
        stream(&mut far, &mut near, 1_000, 2_000)?;
    }
    let (from, to) = pair((a, "10.9.0.1"), (b, "10.9.0.2"))?;
    datagrams(&from, &to, 700, 500)?;
    datagrams(&to, &from, 1_400, 500)?;
    // In fragments.
    datagrams(&from, &to, 9_000, 50)?;
    Ok(())
}

/// Fails unless traffic was counted alike by the sampler, by the kernel's counters as
/// netmon shows them, and by the kernel.
fn check_alike(live: &mut Live, a: &Space, b: &Space) -> anyhow::Result<Value> {
    let (row, kernel) = settled(live, a, "a0")?;
    let (frames_before, totals_before) = (frames(&row)?, totals(&row)?);
    traffic(a, b)?;
    let (row, later) = settled(live, a, "a0")?;
    let moved = later.since(kernel);
    ensure!(moved[0] > 18_000_000 && moved[2] > 4_000_000, "{moved:?}");
    let since = |now: [u64; 4], before: [u64; 4]| {
        let parts = now.into_iter().zip(before);
        parts
            .map(|(now, before)| now - before)
            .collect::<Vec<u64>>()
    };
    let counted = since(totals(&row)?, totals_before);
    ensure!(counted == moved, "{counted:?}, the kernel: {moved:?}");
    let counted = since(frames(&row)?, frames_before);
    ensure!(
        counted == moved,
        "frames {counted:?}, the kernel: {moved:?}"
    );
    Ok(row)
}

fn as_the_kernel_does() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = reporting(&a, &["--iface", "a0"])?;
    let row = check_alike(&mut live, &a, &b)?;
    let sampled = &row["sampled"];
    let ingress = sampled["ingress"].as_str().context("no ingress")?;
    ensure!(["tcx", "tc clsact"].contains(&ingress), "{sampled}");
    let reason = sampled["reason"].as_str().context("no reason")?;
    ensure!(!reason.is_empty(), "{sampled}");
    Ok(())
}

fn in_the_driver_too() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = reporting(&a, &["--iface", "a0", "--xdp", "native"])?;
    // With native XDP veth counts what it receives without the Ethernet header: its
    // length is taken after `eth_type_trans` (`veth_xdp_rcv`, drivers/net/veth.c), and so
    // do the sampler's frames.
    let row = check_alike(&mut live, &a, &b)?;
    ensure!(row["sampled"]["ingress"] == "xdp native", "{row}");
    Ok(())
}

/// What a class of one direction counted, packets and bytes.
fn class(row: &Value, direction: &str, class: &str) -> anyhow::Result<(u64, u64)> {
    let at = |what| number(row, &format!("/sampled/{direction}/{class}/{what}"));
    Ok((at("packets")?, at("bytes")?))
}

fn classes() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = reporting(&a, &["--iface", "a0"])?;
    let address: SocketAddr = "10.9.0.2:80".parse()?;
    let listener = b.inside(|| Ok(TcpListener::bind(address)?))?;
    let mut near = a.inside(|| Ok(TcpStream::connect(address)?))?;
    let mut far = listener.accept()?.0;
    stream(&mut near, &mut far, 10_000, 100)?;
    stream(&mut far, &mut near, 10_000, 200)?;
    let secure = b.inside(|| Ok(UdpSocket::bind("10.9.0.2:443")?))?;
    let near = a.inside(|| Ok(UdpSocket::bind("10.9.0.1:0")?))?;
    near.connect("10.9.0.2:443")?;
    secure.connect(near.local_addr()?)?;
    let there = datagrams(&near, &secure, 1_000, 400)?;
    let back = datagrams(&secure, &near, 100, 300)?;
    ensure!((there, back) == (400_000, 30_000), "{there} and {back}");

    let (row, _) = settled(&mut live, &a, "a0")?;
    for (direction, packets, size, payload) in
        [("tx", 400, 1_000, 1_000_000), ("rx", 300, 100, 2_000_000)]
    {
        let of = |name| class(&row, direction, name);
        let datagrams = (packets, packets * (size + HEADERS));
        ensure!(of("udp")? == datagrams, "{direction}: {row}");
        ensure!(of("https")? == datagrams, "{direction}: {row}");
        // Nothing but HTTP is TCP here, and each segment has headers of its own.
        let (packets, bytes) = of("tcp")?;
        ensure!(of("http")? == (packets, bytes), "{direction}: {row}");
        ensure!(bytes >= payload + packets * 54, "{direction}: {row}");
        ensure!(packets >= payload / 1_448, "trains for packets: {row}");
        let parts = ["tcp", "udp", "icmp", "other_ip", "not_ip"];
        let parts = parts.into_iter().map(of).collect::<Result<Vec<_>, _>>()?;
        let all: u64 = parts.iter().map(|(packets, _)| packets).sum();
        ensure!(all >= of("frames")?.0, "{direction}: {row}");
    }
    Ok(())
}

/// What one end sends the other receives.
fn both_ends_agree() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut there = reporting(&a, &["--iface", "a0"])?;
    let mut here = reporting(&b, &["--iface", "b0"])?;
    let (near, _) = settled(&mut there, &a, "a0")?;
    let (far, _) = settled(&mut here, &b, "b0")?;
    let (before, before_far) = (near, far);
    traffic(&a, &b)?;
    let (near, _) = settled(&mut there, &a, "a0")?;
    let (far, _) = settled(&mut here, &b, "b0")?;
    for name in ["tcp", "udp", "icmp"] {
        for (one, other) in [("tx", "rx"), ("rx", "tx")] {
            let moved = |row, before, direction| {
                let ((packets, bytes), then) = (
                    class(row, direction, name)?,
                    class(before, direction, name)?,
                );
                anyhow::Ok((packets - then.0, bytes - then.1))
            };
            let sent = moved(&near, &before, one)?;
            let received = moved(&far, &before_far, other)?;
            // Neighbours are asked for at any time, at one end after the other.
            if name != "icmp" {
                ensure!(sent == received, "{name} {one}: {sent:?}, {received:?}");
                ensure!(sent.0 > 0, "{name} {one}: nothing");
            }
        }
    }
    Ok(())
}

fn rates_and_peak() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = reporting(&a, &["--iface", "a0"])?;
    let (mut near, mut far) = connection(&a, &b, "10.9.0.2")?;
    stream(&mut near, &mut far, 10_000, 500)?;
    settled(&mut live, &a, "a0")?;
    let done = interrupt(live, &["a0"])?;
    let (mut moved, mut highest): (f64, f64) = (0.0, 0.0);
    let mut last = Value::Null;
    for line in done.stdout.lines() {
        let report = crate::station::parsed(line)?;
        let row = of(&report, "a0")?;
        let number = |path: &str| row.pointer(path).and_then(Value::as_f64);
        let interval = report["interval_seconds"].as_f64().context("no interval")?;
        let rate: f64 = ["tx", "rx"]
            .into_iter()
            .flat_map(|way| {
                let parts = ["tcp", "udp", "icmp", "other_ip", "not_ip"];
                parts.map(|part| number(&format!("/sampled/{way}/{part}/rate")).unwrap_or(-1e99))
            })
            .sum();
        moved += rate * interval;
        highest = highest.max(rate);
        let peak = number("/sampled/peak_rate").context("no peak")?;
        let average = number("/sampled/average_rate").context("no average")?;
        ensure!(average <= peak * 1.001 + 1.0, "{row}");
        last = row.clone();
    }
    // What the rates say adds up to what was counted.
    let counted = ["tx", "rx"].map(|way| number(&last, &format!("/sampled/{way}/tcp/bytes")));
    let [tx, rx] = counted;
    let counted = (tx? + rx?) as f64;
    ensure!(counted > 5_000_000.0, "{last}");
    ensure!(
        (moved - counted).abs() < counted * 0.01 + 10_000.0,
        "{moved} of {counted}"
    );
    let peak = last["sampled"]["peak_rate"].as_f64().context("no peak")?;
    // Only a last tick of almost no time may be above it.
    ensure!(
        peak <= highest * 1.001 && peak > 5_000_000.0,
        "{peak}, {highest}"
    );
    Ok(())
}

fn flows() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = reporting(&a, &["--iface", "a0", "--flows", "--top", "2"])?;
    let (mut near, mut far) = connection(&a, &b, "fd00:9::2")?;
    let port = near.local_addr()?.port();
    let other = far.local_addr()?.port();
    let (from, to) = pair((&a, "10.9.0.1"), (&b, "10.9.0.2"))?;
    stream(&mut near, &mut far, 10_000, 100)?;
    datagrams(&from, &to, 100, 20)?;
    datagrams(&to, &from, 100, 10)?;
    let (mut tcp, mut udp) = (Value::Null, Value::Null);
    let count = from.local_addr()?.port();
    // In the reports of the intervals in which they moved.
    while tcp.is_null() || udp["forth_packets"] != 20 || udp["back_packets"] != 10 {
        let report = report(&mut live)?;
        let rows = report["flows"].as_array().context("no flows")?;
        ensure!(rows.len() <= 2, "{report}");
        for row in rows {
            ensure!(row["interface"] == "a0", "{row}");
            let ports = [&row["source_port"], &row["destination_port"]];
            if ports == [&Value::from(port), &Value::from(other)] {
                tcp = row.clone();
            } else if ports[0] == count {
                udp = row.clone();
            }
        }
    }
    ensure!(tcp["protocol"] == "tcp", "{tcp}");
    ensure!(tcp["source_address"] == "fd00:9::1", "{tcp}");
    ensure!(tcp["destination_address"] == "fd00:9::2", "{tcp}");
    ensure!(
        number(&tcp, "/forth_bytes")? > number(&tcp, "/back_bytes")?,
        "{tcp}"
    );
    ensure!(udp["protocol"] == "udp", "{udp}");
    ensure!(udp["destination_address"] == "10.9.0.2", "{udp}");
    ensure!(udp["forth_bytes"] == 20 * (100 + HEADERS), "{udp}");
    ensure!(udp["back_bytes"] == 10 * (100 + HEADERS), "{udp}");
    Ok(())
}
