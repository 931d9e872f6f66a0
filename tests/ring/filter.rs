//! The filter of captures in the kernel: what comes into the ring, how much of it, and
//! what is said of the rest.

use std::net::IpAddr;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::collect::filter::{Count, Counts, Filter, KEPT_BYTES, Lists};
use netmon::collect::ring::Ring;
use netmon::model::packet::{self, IPV4, IPV6};
use netmon::model::prefix::Prefix;

use crate::space::{
    Seen, Sender, collect_one, ethernet, inside, ipv4, ipv6, received, settings, wire,
};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("filter::only_ip_and_its_headers", || {
            inside(|| headers(&Filter::bpf(&Lists::default(), 1)?))
        }),
        root("filter::classic_as_the_other", || {
            inside(|| headers(&Filter::classic(1)))
        }),
        root("filter::lists", || inside(lists)),
        root("filter::accept_nothing", || inside(nothing)),
        root("filter::cut_off", || inside(cut_off)),
        root("filter::all_interfaces", || inside(all_interfaces)),
        root("filter::loopback_bytes", || inside(loopback)),
    ]
}

fn network(address: &str, length: u8) -> Prefix {
    let address: IpAddr = address.parse().expect("an address");
    Prefix { address, length }
}

const TAGS: [&[u16]; 3] = [&[], &[5], &[6, 7]];

/// What is not IP stays out, however it is tagged; of the rest the headers come in.
fn headers(filter: &Filter) -> anyhow::Result<()> {
    wire()?;
    let sender = Sender::new("near")?;
    for name in ["near", "far"] {
        let mut ring = Ring::open_filtered(&settings(Some(name))?, filter.for_ring())?;
        let mut sizes = Vec::new();
        for tags in TAGS {
            for size in [0, 1000] {
                for frame in [
                    ethernet(tags, IPV4, &ipv4(1, 1, size)),
                    ethernet(tags, IPV6, &ipv6(1, 1, size)),
                ] {
                    sender.send(&frame)?;
                    sizes.push(frame.len() as u32);
                }
                sender.send(&ethernet(tags, 0x88b5, &[1; 64]))?;
            }
        }
        let seen = collect_one(&mut ring, sizes.len())?;
        let lengths: Vec<u32> = seen.iter().map(|seen| seen.length).collect();
        ensure!(lengths == sizes, "{name}: {lengths:?}, not {sizes:?}");
        for seen in &seen {
            let kept = seen.network.len() as u32;
            let most = KEPT_BYTES.min(seen.length - seen.link);
            ensure!(kept + 14 + 8 >= most && kept <= most, "{kept} kept");
            packet::parse(seen.protocol, &seen.network, seen.length - seen.link)
                .with_context(|| format!("{seen:x?}"))?;
        }
    }
    Ok(())
}

/// Hosts of the IPv4 and IPv6 packets that came.
fn hosts(seen: &[Seen]) -> anyhow::Result<Vec<(bool, u8)>> {
    seen.iter()
        .map(|seen| {
            let packet = packet::parse(seen.protocol, &seen.network, seen.length - seen.link)
                .context("not IP")?;
            Ok(match packet.source {
                IpAddr::V4(address) => (false, address.octets()[3]),
                IpAddr::V6(address) => (true, address.octets()[15]),
            })
        })
        .collect()
}

/// Ignored networks by source and destination, accepted ones by source, with any tags;
/// what is left out is counted, and all together is what the interface counts.
fn lists() -> anyhow::Result<()> {
    wire()?;
    let sender = Sender::new("near")?;
    let ignore4 = vec![network("10.0.0.4", 30), network("10.0.0.9", 32)];
    let ignore6 = vec![network("2001:db8::8", 125)];
    let both = || [ignore4.clone(), ignore6.clone()].concat();
    let accept = || Some(vec![network("10.0.0.0", 29), network("2001:db8::", 124)]);
    let all: Vec<u8> = (1..=17).collect();
    let without = |gone: &dyn Fn(u8) -> bool| -> Vec<u8> {
        all.iter().copied().filter(|&host| !gone(host)).collect()
    };
    let gone4 = |host: u8| (4..8).contains(&host) || host == 9;
    let gone6 = |host: u8| (8..16).contains(&host);
    let cases: [(Lists, Vec<u8>, Vec<u8>); 5] = [
        (
            Lists {
                ignore: ignore4.clone(),
                accept: None,
            },
            without(&gone4),
            all.clone(),
        ),
        (
            Lists {
                ignore: ignore6.clone(),
                accept: None,
            },
            all.clone(),
            without(&gone6),
        ),
        (
            Lists {
                ignore: Vec::new(),
                accept: accept(),
            },
            without(&|h| h > 7),
            without(&|h| h > 15),
        ),
        (
            Lists {
                ignore: both(),
                accept: accept(),
            },
            without(&|h| h > 7 || gone4(h)),
            without(&|h| h > 15 || gone6(h)),
        ),
        // The packets' destination.
        (
            Lists {
                ignore: vec![network("10.0.1.0", 24)],
                accept: None,
            },
            Vec::new(),
            all.clone(),
        ),
    ];
    for (lists, v4, v6) in cases {
        let (filter, _) = Filter::load(&lists, 1)?;
        ensure!(filter.kind() == "eBPF");
        let mut ring = Ring::open_filtered(&settings(Some("far"))?, filter.for_ring())?;
        let before = received("far")?;
        let mut expected = Vec::new();
        for tags in TAGS {
            for host in all.clone() {
                sender.send(&ethernet(tags, IPV4, &ipv4(host, 1, 30)))?;
                sender.send(&ethernet(tags, IPV6, &ipv6(host, 1, 30)))?;
                expected.extend(v4.contains(&host).then_some((false, host)));
                expected.extend(v6.contains(&host).then_some((true, host)));
            }
            sender.send(&ethernet(tags, 0x88b5, &[1; 64]))?;
        }
        let seen = collect_one(&mut ring, expected.len())?;
        ensure!(hosts(&seen)? == expected, "{lists:?}");
        let Counts { ignored, not_ip } = filter.counts()?.context("no counts")?;
        let bytes = seen.iter().map(|seen| u64::from(seen.length)).sum();
        let packets = seen.len() as u64;
        let passed = Count { packets, bytes };
        ensure!(ring.statistics()?.packets == packets);
        ensure!(
            not_ip
                == Count {
                    packets: 3,
                    bytes: 3 * 78 + 4 + 8
                },
            "{not_ip:?}"
        );
        let after = received("far")?;
        let sum = passed.packets + ignored.packets + not_ip.packets;
        ensure!(sum == after.0 - before.0, "{sum} frames of {after:?}");
        let sum = passed.bytes + ignored.bytes + not_ip.bytes;
        ensure!(sum == after.1 - before.1, "{sum} bytes of {after:?}");
    }
    Ok(())
}

/// An empty list of networks to accept accepts none.
fn nothing() -> anyhow::Result<()> {
    wire()?;
    let accept = Some(Vec::new());
    let (filter, _) = Filter::load(
        &Lists {
            accept,
            ..Lists::default()
        },
        1,
    )?;
    let mut ring = Ring::open_filtered(&settings(Some("far"))?, filter.for_ring())?;
    let sender = Sender::new("near")?;
    sender.send(&ethernet(&[], IPV4, &ipv4(1, 1, 30)))?;
    sender.send(&ethernet(&[], IPV6, &ipv6(1, 1, 30)))?;
    collect_one(&mut ring, 0)?;
    let counts = filter.counts()?.context("no counts")?;
    ensure!(counts.ignored.packets == 2, "{counts:?}");
    Ok(())
}

/// A packet that ends before its addresses cannot be judged by lists: it is let through,
/// to be counted as what cannot be read.
fn cut_off() -> anyhow::Result<()> {
    wire()?;
    let ignore = vec![network("0.0.0.0", 0), network("::", 0)];
    let (filter, _) = Filter::load(
        &Lists {
            ignore,
            accept: None,
        },
        1,
    )?;
    let mut ring = Ring::open_filtered(&settings(Some("far"))?, filter.for_ring())?;
    let sender = Sender::new("near")?;
    for tags in TAGS {
        sender.send(&ethernet(tags, IPV4, &ipv4(1, 1, 30)[..19]))?;
        sender.send(&ethernet(tags, IPV6, &ipv6(1, 1, 30)[..39]))?;
        sender.send(&ethernet(tags, IPV4, &ipv4(1, 1, 30)))?;
    }
    for seen in collect_one(&mut ring, 6)? {
        let packet = packet::parse(seen.protocol, &seen.network, seen.length - seen.link);
        ensure!(packet.is_none(), "{packet:?}");
    }
    Ok(())
}

/// On all interfaces what loopback sends is left out, as it comes in again.
fn all_interfaces() -> anyhow::Result<()> {
    for filter in [Filter::bpf(&Lists::default(), 0)?, Filter::classic(0)] {
        let mut ring = Ring::open_filtered(&settings(None)?, filter.for_ring())?;
        let far = std::net::UdpSocket::bind("127.0.0.1:0")?;
        for _ in 0..5 {
            far.send_to(&[1; 10], far.local_addr()?)?;
        }
        collect_one(&mut ring, 5)?;
        let counts = ring.statistics()?;
        ensure!(counts.packets == 5, "{}: {counts:?}", filter.kind());
        if let Some(counts) = filter.counts()? {
            ensure!(counts == Counts::default(), "{counts:?}");
        }
    }
    Ok(())
}

/// The filter's bytes are those of the interface on loopback, too.
fn loopback() -> anyhow::Result<()> {
    let lists = Lists {
        ignore: vec![network("127.0.0.0", 8)],
        accept: None,
    };
    let filter = Filter::bpf(&lists, 1)?;
    let mut ring = Ring::open_filtered(&settings(Some("lo"))?, filter.for_ring())?;
    let before = received("lo")?;
    let far = std::net::UdpSocket::bind("127.0.0.1:0")?;
    far.send_to(&[1; 1000], far.local_addr()?)?;
    collect_one(&mut ring, 0)?;
    let counts = filter.counts()?.context("no counts")?;
    let after = received("lo")?;
    ensure!(
        (counts.ignored.packets, counts.ignored.bytes) == (after.0 - before.0, after.1 - before.1)
    );
    Ok(())
}
