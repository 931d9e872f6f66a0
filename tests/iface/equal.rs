//! Real traffic on a wire: the sampler counts what the interface and nftables count.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::collect::xdp::Mode;
use netmon::model::interface::{Class, Way};

use crate::space::{Space, connection, datagram_pair, silent, two, up};
use crate::trial::root;
use crate::watched::{
    AUTO, CLSACT, GENERIC, How, NATIVE, Watched, check_nftables, is_hook, nftables, settled,
};

pub fn trials() -> Vec<Trial> {
    vec![
        root("equal::generic", || talk(GENERIC, "xdp generic", "tcx")),
        root("equal::native", || talk(NATIVE, "xdp native", "tcx")),
        root("equal::auto", || talk(AUTO, "tcx", "tcx")),
        root("equal::clsact", || talk(CLSACT, "tc clsact", "tc clsact")),
        root("equal::fragments", fragments),
        root("equal::loopback", loopback),
        root("equal::bridge", bridge),
        root("equal::macvlan", macvlan),
    ]
}

/// Messages to and fro, none larger than a packet; all of them arrive.
fn ping_pong(near: &mut TcpStream, far: &mut TcpStream, size: usize) -> anyhow::Result<()> {
    let mut room = vec![b'n'; size];
    for _ in 0..200 {
        near.write_all(&room)?;
        far.read_exact(&mut room)?;
        far.write_all(&room[..size / 2])?;
        near.read_exact(&mut room[..size / 2])?;
    }
    Ok(())
}

fn datagrams(near: &UdpSocket, far: &UdpSocket, size: usize, count: usize) -> anyhow::Result<()> {
    let mut room = vec![b'n'; size];
    for _ in 0..count {
        ensure!(near.send(&room)? == size, "a partial datagram");
        ensure!(far.recv(&mut room)? == size, "a partial datagram");
        ensure!(far.send(&room[..20])? == 20, "a partial datagram");
        near.recv(&mut room[..20])?;
    }
    Ok(())
}

/// A bit of everything between the two.
fn everything(a: &Space, b: &Space) -> anyhow::Result<()> {
    for (own, other) in [("10.9.0.1", "10.9.0.2"), ("fd00:9::1", "fd00:9::2")] {
        for port in [0, 80, 443] {
            let (mut near, mut far) = connection(a, b, other, port)?;
            ping_pong(&mut near, &mut far, 1_000)?;
            let (near, far) = datagram_pair((a, own), (b, other), port)?;
            datagrams(&near, &far, 700, 100)?;
        }
        // Nobody is there: an answer by ICMP.
        let lone = a.inside(|| Ok(UdpSocket::bind((own, 0))?))?;
        lone.connect((other, 9))?;
        lone.send(&[0; 50])?;
        settled(|| {
            ensure!(lone.recv(&mut [0]).is_err(), "somebody was there");
            Ok(())
        })?;
    }
    Ok(())
}

fn talk(how: How, ingress: &str, egress: &str) -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], how, 0)?;
        nftables("a0")?;
        up(&a, &b)?;
        everything(&a, &b)?;
        settled(|| {
            let (tx, rx) = watched.agree("a0")?;
            check_nftables(&tx, &rx)?;
            // With a native program a veth counts without Ethernet headers.
            let mut rx = rx;
            if how.mode == Mode::Native {
                rx.frames.bytes += 14 * rx.frames.packets;
            }
            for way in [tx, rx] {
                ensure!(
                    way.all() == way.frames,
                    "the parts are not the whole: {way:?}"
                );
                ensure!(
                    Class::ALL
                        .iter()
                        .filter(|class| way.of(**class).packets == 0)
                        .count()
                        <= 1
                );
            }
            Ok(())
        })?;
        let hook = watched.hook("a0")?;
        ensure!(is_hook(&hook, ingress, egress), "{hook:?}");
        Ok(())
    })
}

fn fragments() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], AUTO, 1024)?;
        up(&a, &b)?;
        // 8,008 bytes of UDP in pieces of 1,480 and of 1,448.
        for (own, other) in [("10.9.0.1", "10.9.0.2"), ("fd00:9::1", "fd00:9::2")] {
            let (near, far) = datagram_pair((&a, own), (&b, other), 443)?;
            datagrams(&near, &far, 8_000, 10)?;
        }
        let (tx, rx) = watched.agree("a0")?;
        let whole = |way: &Way| (way.of(Class::Udp).packets, way.of(Class::Https).packets);
        // Only the first piece of each has ports.
        ensure!(whole(&tx) == (10 * 6 + 10 * 6, 20), "{tx:?}");
        ensure!(whole(&rx) == (20, 20), "{rx:?}");
        let payload = 20 * 8_000 + 20 * 8 + 10 * 6 * 34 + 10 * 6 * (54 + 8);
        ensure!(tx.of(Class::Udp).bytes == payload, "{payload}: {tx:?}");
        // Pieces without ports are flows of their own.
        let flows = watched.sampler.flows()?;
        let udp: Vec<_> = flows.iter().filter(|flow| flow.protocol == 17).collect();
        ensure!(udp.len() == 4, "{udp:?}");
        let pieces: u64 = udp.iter().map(|flow| flow.forth.packets).sum();
        ensure!(pieces == 120, "{udp:?}");
        Ok(())
    })
}

fn loopback() -> anyhow::Result<()> {
    let a = Space::new()?;
    a.inside(|| {
        let mut watched = Watched::open(&["lo"], AUTO, 100)?;
        a.sh("ip link set lo up")?;
        for address in ["127.0.0.1", "::1"] {
            let (mut near, mut far) = connection(&a, &a, address, 0)?;
            ping_pong(&mut near, &mut far, 60_000)?;
            let (near, far) = datagram_pair((&a, address), (&a, address), 0)?;
            datagrams(&near, &far, 30_000, 50)?;
        }
        let (tx, rx) = watched.agree("lo")?;
        ensure!(tx.classes == rx.classes, "sent {tx:?}, got {rx:?}");
        // A flow is counted once, though its packets go out and come in.
        for flow in watched.sampler.flows()? {
            if flow.protocol == 17 {
                ensure!(
                    flow.forth.packets == 50 && flow.back.packets == 50,
                    "{flow:?}"
                );
            }
        }
        Ok(())
    })
}

fn bridge() -> anyhow::Result<()> {
    let (a, b) = silent()?;
    a.inside(|| {
        a.sh("ip address flush dev a0
             ip link add br0 type bridge mcast_snooping 0
             ip link set a0 master br0
             ip address add 10.9.0.1/24 dev br0")?;
        let mut watched = Watched::open(&["a0", "br0"], AUTO, 0)?;
        up(&a, &b)?;
        a.sh("ip link set br0 up")?;
        let (mut near, mut far) = connection(&b, &a, "10.9.0.1", 0)?;
        ping_pong(&mut near, &mut far, 1_000)?;
        ping_pong(&mut near, &mut far, 30_000)?;
        for name in ["a0", "br0"] {
            check_talked(&mut watched, name)?;
        }
        Ok(())
    })
}

/// One in another namespace than the interface that it rides on.
fn macvlan() -> anyhow::Result<()> {
    let (a, b) = silent()?;
    let c = Space::new()?;
    up(&a, &b)?;
    a.sh(&format!(
        "ip link add v0 link a0 netns {} type macvlan mode bridge",
        c.path()
    ))?;
    c.inside(|| {
        c.sh("ip address add 10.9.0.3/24 dev v0")?;
        let mut watched = Watched::open(&["v0"], AUTO, 0)?;
        c.sh("ip link set v0 up")?;
        let (mut near, mut far) = connection(&b, &c, "10.9.0.3", 0)?;
        ping_pong(&mut near, &mut far, 1_000)?;
        ping_pong(&mut near, &mut far, 30_000)?;
        check_talked(&mut watched, "v0")
    })
}

fn check_talked(watched: &mut Watched, name: &str) -> anyhow::Result<()> {
    let (tx, rx) = watched.agree(name)?;
    ensure!(tx.of(Class::Tcp).packets > 200, "{name}: {tx:?}");
    ensure!(rx.of(Class::Tcp).packets > 200, "{name}: {rx:?}");
    Ok(())
}
