//! Packets that do not just come and go: copies of our own, redirected and bridged ones, in
//! tunnels, with tags beside the frame.

use std::io::Write;
use std::net::UdpSocket;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::interface::{Class, Count};

use crate::frames::{self, QINQ, VLAN};
use crate::space::{Space, connection, ethtool, silent, two, up};
use crate::sys::{PacketSocket, tun};
use crate::trial::{Impossible, root};
use crate::tunnels::train_header;
use crate::watched::{AUTO, CLSACT, How, Watched, settled};

pub fn trials() -> Vec<Trial> {
    vec![
        root("passed_on::copies_of_what_is_sent_to_many", || copies(AUTO)),
        root("passed_on::copies_with_clsact", || copies(CLSACT)),
        root("passed_on::redirected", redirected),
        root("passed_on::tags_beside_the_frame", || tags("")),
        root("passed_on::tags_that_nobody_inserts", || {
            tags("tx-vlan-hw-insert off tx-vlan-stag-hw-insert off")
        }),
        root("passed_on::tags_of_one_kind_inserted", || {
            tags("tx-vlan-stag-hw-insert off")
        }),
        root("passed_on::tags_of_the_other_kind_inserted", || {
            tags("tx-vlan-hw-insert off")
        }),
        root("passed_on::trains_of_a_guest", trains_of_a_guest),
        root("passed_on::in_a_tunnel", in_a_tunnel),
    ]
}

/// Who sends to many hears it, too, but not from the wire.
fn copies(how: How) -> anyhow::Result<()> {
    let (a, b) = silent()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], how, 0)?;
        up(&a, &b)?;
        a.sh("ip route add 239.0.0.0/8 dev a0")?;
        let member = UdpSocket::bind("0.0.0.0:9999")?;
        member.join_multicast_v4(&"239.1.2.3".parse()?, &"10.9.0.1".parse()?)?;
        let from = UdpSocket::bind("10.9.0.1:0")?;
        from.set_broadcast(true)?;
        for to in ["10.9.0.255:9999", "239.1.2.3:9999"] {
            for _ in 0..10 {
                from.send_to(&[b'n'; 100], to)?;
                member.recv(&mut [0; 200]).context("no copy")?;
            }
        }
        let (tx, rx) = watched.agree("a0")?;
        ensure!(tx.of(Class::Udp).packets == 20, "{tx:?}");
        ensure!(rx.all().packets == rx.frames.packets, "{rx:?}");
        ensure!(rx.of(Class::Udp).packets == 0, "{rx:?}");
        Ok(())
    })
}

/// Where a bridge shows its packets to iptables, that has none with a wrong checksum.
const UNFILTERED: &str = "f=/proc/sys/net/bridge/bridge-nf-call-iptables
    [ ! -e $f ] || echo 0 > $f";

/// A namespace where all that comes to `c0` from a peer `d0` goes on: out of `a0` to `b0`
/// by what `line` sets up.
fn passing(line: &str) -> anyhow::Result<(Space, Space)> {
    let (a, b) = silent()?;
    a.sh(&format!(
        "{UNFILTERED}
         ip address flush dev a0
         ip link add c0 type veth peer name d0
         ip link set c0 up; ip link set d0 up
         {line}"
    ))?;
    up(&a, &b)?;
    Ok((a, b))
}

fn redirected() -> anyhow::Result<()> {
    let (a, b) = passing(
        "tc qdisc add dev c0 clsact
         tc filter add dev c0 ingress u32 match u32 0 0 action mirred egress redirect dev a0",
    )?;
    let mut there = b.inside(|| Watched::open(&["b0"], AUTO, 0))?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0", "c0"], AUTO, 0)?;
        let out = PacketSocket::open(a.index("d0")?)?;
        let packet = frames::ipv4(17, 0, &[], &frames::udp(9, 9, 1_000));
        for _ in 0..10 {
            out.send(&frames::ethernet(&[], 0x0800, &packet))?;
        }
        let (_, rx) = watched.agree("c0")?;
        let (tx, _) = watched.agree("a0")?;
        for way in [tx, rx] {
            ensure!(way.of(Class::Udp).packets == 10, "{way:?}");
        }
        Ok(())
    })?;
    b.inside(|| {
        let (_, rx) = there.agree("b0")?;
        ensure!(rx.of(Class::Udp).packets == 10, "{rx:?}");
        Ok(())
    })
}

/// A frame with tags that is bridged goes on with its outer tag beside it, which the
/// device inserts or, as `offloads` say, the kernel does.
fn tags(offloads: &str) -> anyhow::Result<()> {
    let (a, b) = passing(
        "ip link add br0 type bridge mcast_snooping 0
         ip link set c0 master br0; ip link set a0 master br0; ip link set br0 up",
    )?;
    a.inside(|| {
        // What comes there has its tags within.
        ethtool("-K c0 rx-vlan-hw-parse off rx-vlan-stag-hw-parse off")?;
        if offloads.is_empty() {
            return Ok(());
        }
        ethtool(&format!("-K a0 {offloads}"))
    })?;
    let mut there = b.inside(|| Watched::open(&["b0"], AUTO, 0))?;
    let payload = frames::ipv4(17, 0, &[], &frames::udp(9, 443, 1_000));
    let stacks: [&[u16]; 4] = [&[], &[VLAN], &[QINQ], &[QINQ, VLAN]];
    let mut bytes = 0;
    a.inside(|| {
        let mut watched = Watched::open(&["a0", "c0"], AUTO, 0)?;
        let out = PacketSocket::open(a.index("d0")?)?;
        for stack in stacks {
            let frame = frames::ethernet(stack, 0x0800, &payload);
            for _ in 0..10 {
                out.send(&frame)?;
                bytes += frame.len() as u64;
            }
        }
        let (_, rx) = watched.agree("c0")?;
        let (tx, _) = watched.agree("a0")?;
        let packets = 10 * stacks.len() as u64;
        for way in [tx, rx] {
            ensure!(way.of(Class::Https) == Count { packets, bytes }, "{way:?}");
        }
        Ok(())
    })?;
    b.inside(|| {
        // What the kernel inserted comes within, which a veth does not tell.
        let (_, rx) = match offloads {
            "" => there.agree("b0")?,
            _ => there.ways("b0")?,
        };
        ensure!(rx.of(Class::Https).bytes == bytes, "{bytes}: {rx:?}");
        Ok(())
    })
}

/// Trains of a guest, which nobody has checked, go on whole.
fn trains_of_a_guest() -> anyhow::Result<()> {
    let (a, b) = silent()?;
    let mut there = b.inside(|| Watched::open(&["b0"], AUTO, 0))?;
    a.inside(|| {
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let mut device = tun("t0", flags)?;
        a.sh(&format!(
            "{UNFILTERED}
             ip address flush dev a0
             ip link add br0 type bridge mcast_snooping 0
             ip link set t0 master br0; ip link set a0 master br0
             ip link set t0 up; ip link set br0 up"
        ))?;
        up(&a, &b)?;
        let mut watched = Watched::open(&["a0", "t0"], AUTO, 0)?;
        let packet = frames::ipv4(6, 0, &[], &frames::tcp(443, 7, 14_480));
        let frame = frames::ethernet(&[], 0x0800, &packet);
        let train = [train_header(54, 1_448), frame].concat();
        for _ in 0..10 {
            device.write_all(&train)?;
        }
        let (_, rx) = watched.agree("t0")?;
        let (tx, _) = watched.agree("a0")?;
        let whole = Count {
            packets: 100,
            bytes: 10 * 14_480 + 100 * 54,
        };
        for way in [tx, rx] {
            ensure!(way.of(Class::Https) == whole, "{way:?}");
        }
        ensure!(tx.frames.packets == 10, "{tx:?}");
        Ok(())
    })?;
    b.inside(|| there.agree("b0").map(drop))
}

/// Each segment has the tunnel's headers, too; what the tunnel sends it counts without its
/// Ethernet headers.
fn in_a_tunnel() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let make = |space: &Space, name: &str, other: u8, own: u8| {
        let line = format!(
            "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
             ip link add vx0 type vxlan id 7 remote 10.9.0.{other} dstport 4789 dev {name}
             ip address add 10.10.0.{own}/24 dev vx0; ip link set vx0 up"
        );
        match space.sh(&line) {
            Err(error) if format!("{error:#}").contains("Unknown device type") => {
                Err(Impossible("this kernel has no vxlan".to_owned()).into())
            }
            done => done,
        }
    };
    make(&a, "a0", 2, 1)?;
    make(&b, "b0", 1, 2)?;
    let mut there = b.inside(|| Watched::open(&["b0", "vx0"], AUTO, 0))?;
    let sent = a.inside(|| {
        let mut watched = Watched::open(&["a0", "vx0"], AUTO, 0)?;
        up(&a, &b)?;
        let (mut near, mut far) = connection(&a, &b, "10.10.0.2", 0)?;
        crate::trains::one_way(&mut near, &mut far)?;
        crate::trains::one_way(&mut far, &mut near)?;
        drop((near, far));
        for name in ["vx0", "a0"] {
            let (tx, rx) = watched.agree(name)?;
            let class = if name == "a0" { Class::Udp } else { Class::Tcp };
            for way in [tx, rx] {
                ensure!(way.of(class).packets > 5_000, "{name}: {way:?}");
            }
        }
        settled(|| Ok(watched.agree("a0")?.0.of(Class::Udp)))
    })?;
    b.inside(|| {
        there.agree("vx0")?;
        settled(|| {
            let received = there.agree("b0")?.1.of(Class::Udp);
            ensure!(received == sent, "sent {sent:?}, received {received:?}");
            Ok(())
        })
    })
}
