//! What a frame is told to be: once, whole, from its network header on.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use libtest_mimic::Trial;
use netmon::collect::ring::Ring;
use netmon::model::packet::{self, IPV4, IPV6};

use crate::space::{
    PATIENCE, Sender, collect_one, ethernet, index, inside, ip, ipv4, ipv6, received, settings,
    wire,
};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("frames::loopback_counts_once", || inside(loopback)),
        root("frames::of_all_interfaces", || inside(all_interfaces)),
        root("frames::as_the_interface_counts", || inside(as_counted)),
        root("frames::begin_at_the_network_header", || inside(headers)),
        root("frames::without_a_link_header", || inside(tun)),
        root("frames::fragments", || inside(fragments)),
        root("frames::drops_are_counted", || inside(drops)),
        root("frames::to_the_end", || inside(to_the_end)),
        root("frames::interface_goes_down", || inside(down)),
        root("frames::refusals", || inside(refusals)),
    ]
}

/// Datagrams on loopback of both families, once each, with the bytes they had.
fn loopback() -> anyhow::Result<()> {
    let mut ring = Ring::open(&settings(Some("lo"))?)?;
    let before = received("lo")?;
    for address in ["127.0.0.1", "::1"] {
        let far = UdpSocket::bind((address, 0))?;
        let near = UdpSocket::bind((address, 0))?;
        for size in [0, 1, 1000] {
            near.send_to(&vec![7; size], far.local_addr()?)?;
        }
    }
    let seen = collect_one(&mut ring, 6)?;
    let after = received("lo")?;
    let bytes: u64 = seen.iter().map(|frame| u64::from(frame.length)).sum();
    let counted = (after.0 - before.0, after.1 - before.1);
    ensure!(counted == (6, bytes), "{counted:?}, not {bytes} bytes");
    let payloads: Vec<u32> = seen
        .iter()
        .map(|seen| packet::parse(seen.protocol, &seen.network, seen.length - seen.link))
        .map(|packet| packet.map(|packet| packet.payload))
        .collect::<Option<_>>()
        .context("not IP")?;
    ensure!(payloads == [0, 1, 1000, 0, 1, 1000], "{payloads:?}");
    let counts = ring.statistics()?;
    ensure!(counts.packets == 6 && counts.drops == 0, "{counts:?}");
    ensure!(ring.statistics()?.packets == 0, "not since the last call");
    ensure!(ring.take_unread() == 0);
    Ok(())
}

/// A ring on all interfaces: loopback once and without a link header, a veth pair at
/// both its ends.
fn all_interfaces() -> anyhow::Result<()> {
    wire()?;
    let mut ring = Ring::open(&settings(None)?)?;
    let far = UdpSocket::bind("127.0.0.1:0")?;
    far.send_to(&[1; 10], far.local_addr()?)?;
    Sender::new("near")?.send(&ethernet(&[], IPV4, &ipv4(1, 1, 10)))?;
    let seen = collect_one(&mut ring, 3)?;
    let mut ends: Vec<_> = seen
        .iter()
        .map(|seen| (seen.interface, seen.outgoing, seen.length))
        .collect();
    ends.sort_unstable();
    let mut expected = vec![
        (1, false, 38),
        (index("near")?, true, 52),
        (index("far")?, false, 52),
    ];
    expected.sort_unstable();
    ensure!(ends == expected, "{ends:?}, not {expected:?}");
    Ok(())
}

/// Frames of every kind have together the packets and bytes of the interface's counters.
fn as_counted() -> anyhow::Result<()> {
    wire()?;
    let mut ring = Ring::open(&settings(Some("far"))?)?;
    let before = received("far")?;
    let sender = Sender::new("near")?;
    for tags in [&[][..], &[5], &[6, 7]] {
        for size in [0, 18, 400, 1400] {
            sender.send(&ethernet(tags, IPV4, &ipv4(1, 1, size)))?;
            sender.send(&ethernet(tags, IPV6, &ipv6(1, 1, size)))?;
            sender.send(&ethernet(tags, 0x88b5, &vec![1; size.max(2)]))?;
        }
    }
    let seen = collect_one(&mut ring, 36)?;
    let bytes: u64 = seen.iter().map(|seen| u64::from(seen.length)).sum();
    let after = received("far")?;
    let counted = (after.0 - before.0, after.1 - before.1);
    ensure!(counted == (36, bytes), "{counted:?}, not {bytes} bytes");
    Ok(())
}

/// Whatever tags are before it, the network header is found, going out and coming in.
fn headers() -> anyhow::Result<()> {
    wire()?;
    let sender = Sender::new("near")?;
    for name in ["near", "far"] {
        let mut ring = Ring::open(&settings(Some(name))?)?;
        for tags in [&[][..], &[5], &[6, 7]] {
            sender.send(&ethernet(tags, IPV4, &ipv4(3, 4000, 25)))?;
            sender.send(&ethernet(tags, IPV6, &ipv6(3, 4000, 25)))?;
        }
        for (at, seen) in collect_one(&mut ring, 6)?.iter().enumerate() {
            ensure!(seen.outgoing == (name == "near"));
            let length = 14 + 4 * (at / 2) + if at % 2 == 0 { 53 } else { 73 };
            ensure!(seen.length as usize == length, "{at}: {seen:x?}");
            let rest = seen.length - seen.link;
            ensure!(seen.network.len() as u32 == rest, "{at}: {seen:x?}");
            let packet = packet::parse(seen.protocol, &seen.network, rest)
                .with_context(|| format!("{name} {at}: not IP: {seen:x?}"))?;
            ensure!(
                packet.ports == Some((4000, 9)) && packet.payload == 25,
                "{at}: {packet:?}"
            );
        }
    }
    Ok(())
}

/// A tun device has no link header at all.
fn tun() -> anyhow::Result<()> {
    ip("tuntap add dev tunnel mode tun")?;
    ip("addr add 10.9.0.1/24 dev tunnel")?;
    // A device that nobody reads from has no carrier; what is sent is dropped behind the tap.
    ip("link set tunnel up")?;
    let _reader = crate::space::open_tun("tunnel")?;
    let mut ring = Ring::open(&settings(Some("tunnel"))?)?;
    let socket = UdpSocket::bind("10.9.0.1:0")?;
    socket.send_to(&[1; 33], "10.9.0.2:99")?;
    let deadline = Instant::now() + PATIENCE;
    let mut found = None;
    while found.is_none() {
        ensure!(Instant::now() < deadline, "the datagram is not seen");
        ring.wait(Duration::from_millis(100))?;
        // The kernel sends IPv6 router solicitations of its own.
        ring.drain(|frame| {
            if frame.protocol == IPV4 {
                let packet = packet::parse(IPV4, frame.network, frame.length - frame.link);
                found = Some((frame.link, frame.length, packet));
            }
        });
    }
    let Some((0, 61, Some(packet))) = found else {
        bail!("{found:?}")
    };
    ensure!(packet.payload == 33 && packet.ports.is_some_and(|ports| ports.1 == 99));
    Ok(())
}

/// A datagram in three pieces is three frames, as the interface counts them.
fn fragments() -> anyhow::Result<()> {
    ip("link set lo mtu 1500")?;
    let none = netmon::collect::ring::Filter::None;
    let mut rings = Ring::open_group(&settings(Some("lo"))?, 9, 2, none)?;
    for address in ["127.0.0.1", "::1"] {
        let before = received("lo")?;
        let far = UdpSocket::bind((address, 0))?;
        far.send_to(&[7; 4000], far.local_addr()?)?;
        let rings = crate::space::collect(&mut rings, 3)?;
        let used = rings.iter().filter(|seen| !seen.is_empty()).count();
        ensure!(used == 1, "the pieces are in {used} rings");
        let seen = rings.concat();
        let bytes: u64 = seen.iter().map(|seen| u64::from(seen.length)).sum();
        let after = received("lo")?;
        let counted = (after.0 - before.0, after.1 - before.1);
        ensure!(counted == (3, bytes), "{counted:?}, not {bytes} bytes");
        let mut payload = 0;
        for seen in &seen {
            let packet = packet::parse(seen.protocol, &seen.network, seen.length - seen.link)
                .context("not IP")?;
            ensure!(packet.fragment && packet.protocol == 17, "{packet:?}");
            payload += packet.payload;
        }
        ensure!(payload == 4000, "{payload}");
    }
    Ok(())
}

/// A ring that nobody reads fills up; the kernel's count of what found no room is told.
fn drops() -> anyhow::Result<()> {
    wire()?;
    let mut ring = Ring::open(&netmon::collect::ring::Settings {
        block_size: 4096,
        block_count: 2,
        ..settings(Some("far"))?
    })?;
    let sender = Sender::new("near")?;
    for _ in 0..100 {
        sender.send(&ethernet(&[], IPV4, &ipv4(1, 1, 1000)))?;
    }
    let mut counts = ring.statistics()?;
    let deadline = Instant::now() + PATIENCE;
    while counts.packets < 100 {
        ensure!(Instant::now() < deadline, "{counts:?}");
        thread::sleep(Duration::from_millis(5));
        counts.packets += ring.statistics()?.packets;
    }
    ensure!(counts.drops > 80, "{counts:?}");
    let kept = (counts.packets - counts.drops) as usize;
    collect_one(&mut ring, kept)?;
    Ok(())
}

/// What arrived before a ring is closed is read, though the kernel holds its block back for
/// long; what arrives later is not. Of a ring that is full, or was, too.
fn to_the_end() -> anyhow::Result<()> {
    let far = UdpSocket::bind("127.0.0.1:0")?;
    far.connect(far.local_addr()?)?;
    // Whoever has received it knows that it is in the ring.
    let move_by = |count: usize| -> anyhow::Result<()> {
        for _ in 0..count {
            far.send(&[1; 1000])?;
            ensure!(far.recv(&mut [0; 1000])? == 1000);
        }
        Ok(())
    };
    for (before, after) in [
        (0, 0),
        (0, 1),
        (0, 5),
        (7, 0),
        (7, 3),
        (23, 9),
        (60, 0),
        (60, 1),
    ] {
        let mut ring = Ring::open(&netmon::collect::ring::Settings {
            block_size: 4096,
            block_count: 12,
            block_timeout: Duration::from_millis(200),
            ..settings(Some("lo"))?
        })?;
        let mut lengths = Vec::new();
        move_by(before)?;
        ring.wait(Duration::from_millis(500))?;
        ring.drain(|frame| lengths.push(frame.length));
        move_by(after)?;
        ring.close()?;
        move_by(2)?;
        while ring.wait_for_rest() {
            ring.drain(|frame| lengths.push(frame.length));
        }
        let counts = ring.statistics()?;
        let is_all = counts.packets == (before + after) as u64
            && lengths.len() as u64 + counts.drops == counts.packets;
        ensure!(
            is_all && (counts.drops > 0) == (before == 60) && ring.take_unread() == 0,
            "{before} and {after}: {counts:?}, read {}",
            lengths.len()
        );
        ensure!(lengths.iter().all(|&length| length == 1028), "{lengths:?}");
        move_by(1)?;
        ensure!(!ring.wait(Duration::from_millis(20))?, "it is open again");
    }
    Ok(())
}

/// An interface that goes down, or away, is an error in words.
fn down() -> anyhow::Result<()> {
    for (command, name) in [("link set far down", "far"), ("link del far", "number")] {
        wire()?;
        let mut ring = Ring::open(&settings(Some("far"))?)?;
        ensure!(!ring.wait(Duration::ZERO)?);
        ip(command)?;
        let deadline = Instant::now() + PATIENCE;
        let error = loop {
            ensure!(Instant::now() < deadline, "no error");
            if let Err(error) = ring.wait(Duration::from_millis(100)) {
                break error.to_string();
            }
        };
        ensure!(
            error.contains("is down or gone") && error.contains(name),
            "{error}"
        );
        if name == "far" {
            ip("link del near")?;
        }
    }
    Ok(())
}

/// What cannot be opened is refused with what to do.
fn refusals() -> anyhow::Result<()> {
    wire()?;
    ip("link set far down")?;
    let good = settings(Some("near"))?;
    let bad = |change: fn(&mut netmon::collect::ring::Settings), words: &str| {
        let mut settings = good.clone();
        change(&mut settings);
        match Ring::open(&settings) {
            Ok(_) => bail!("{settings:?} was opened"),
            Err(error) if format!("{error:#}").contains(words) => Ok(()),
            Err(error) => bail!("not `{words}`: {error:#}"),
        }
    };
    bad(|s| s.interface = 4_000_000, "no interface has the number")?;
    bad(
        |s| s.interface = index("far").unwrap_or(0),
        "interface far is down or gone",
    )?;
    bad(|s| s.block_size = 5000, "whole pages")?;
    bad(|s| s.frame_size = 1 << 20, "hold a whole frame")?;
    bad(
        |s| (s.block_size, s.block_count) = (1 << 30, 1 << 20),
        "no memory for a capture ring of 1073741824 MiB (1 × 1048576 blocks",
    )?;
    Ok(())
}
