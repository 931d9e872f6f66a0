//! Interfaces of programs (tun, tap): without an Ethernet header, and with trains that
//! a program makes.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::model::interface::{Class, Count};

use crate::frames;
use crate::space::Space;
use crate::sys::{PacketSocket, tun, unwaiting_tun};
use crate::trial::root;
use crate::watched::{AUTO, GENERIC, How, NATIVE, Watched, is_hook, settled};

pub fn trials() -> Vec<Trial> {
    vec![
        root("tunnels::raw_ip", || raw_ip(AUTO, "tcx")),
        root("tunnels::raw_ip_generic", || raw_ip(GENERIC, "xdp generic")),
        root("tunnels::trains", || trains(AUTO, "tcx")),
        root("tunnels::trains_generic", || trains(GENERIC, "xdp generic")),
        root("tunnels::trains_native", || trains(NATIVE, "xdp native")),
        root("tunnels::trains_among_frames", || trains_among_frames(AUTO)),
        root("tunnels::trains_among_frames_native", || {
            trains_among_frames(NATIVE)
        }),
    ]
}

fn silent() -> anyhow::Result<Space> {
    let space = Space::new()?;
    space.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")?;
    Ok(space)
}

fn raw_ip(how: How, ingress: &str) -> anyhow::Result<()> {
    let a = silent()?;
    a.inside(|| {
        let mut device = tun("t0", libc::IFF_TUN | libc::IFF_NO_PI)?;
        let mut watched = Watched::open(&["t0"], how, 8)?;
        let hook = watched.hook("t0")?;
        ensure!(is_hook(&hook, ingress, "tcx"), "{hook:?}");
        a.sh("ip link set t0 up")?;
        let packets = [
            (
                frames::ipv4(6, 0, &[], &frames::tcp(80, 7, 100)),
                Class::Tcp,
            ),
            (frames::ipv4(1, 0, &[], &[8; 30]), Class::Icmp),
            (frames::ipv6(17, &frames::udp(4, 443, 9)), Class::Udp),
        ];
        let out = PacketSocket::open(a.index("t0")?)?;
        for (packet, _) in &packets {
            device.write_all(packet)?;
            out.send(packet)?;
            // The device counts what its program has read.
            ensure!(
                device.read(&mut [0; 2_000])? == packet.len(),
                "another packet"
            );
        }
        settled(|| {
            let (tx, rx) = watched.agree("t0")?;
            for (packet, class) in &packets {
                let bytes = packet.len() as u64;
                let one = Count { packets: 1, bytes };
                ensure!(tx.of(*class) == one, "{class:?}: {tx:?}");
                ensure!(rx.of(*class) == one, "{class:?}: {rx:?}");
            }
            ensure!(rx.of(Class::Http).packets == 1 && rx.of(Class::Https).packets == 1);
            Ok(())
        })?;
        ensure!(watched.sampler.flows()?.len() == 3, "flows");
        Ok(())
    })
}

/// `struct virtio_net_hdr`: checksum still to be made; TCP over IPv4 in segments.
pub fn train_header(headers: u16, segment: u16) -> Vec<u8> {
    let mut header = vec![1, 1];
    for field in [headers, segment, 34, 16] {
        header.extend(field.to_ne_bytes());
    }
    header
}

fn trains(how: How, ingress: &str) -> anyhow::Result<()> {
    let a = silent()?;
    a.inside(|| {
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let mut device = tun("t0", flags)?;
        ensure!(device.as_raw_fd() > 2, "no device");
        let mut watched = Watched::open(&["t0"], how, 0)?;
        let hook = watched.hook("t0")?;
        ensure!(is_hook(&hook, ingress, "tcx"), "{hook:?}");
        a.sh("ip link set t0 up")?;
        for payload in [2_000, 14_480, 30_001] {
            let packet = frames::ipv4(6, 0, &[], &frames::tcp(443, 7, payload));
            let frame = frames::ethernet(&[], 0x0800, &packet);
            let train = [train_header(54, 1_448), frame.clone()].concat();
            device.write_all(&train)?;
            // The same as one, which nobody would send; and a small one.
            for frame in [&frame[..3_000.min(frame.len())], &frame[..200]] {
                device.write_all(&[&[0; 10], frame].concat())?;
            }
        }
        settled(|| {
            let (_, rx) = watched.agree("t0")?;
            let whole = [2_054, 200, 3_000, 200, 3_000, 200];
            let packets = 2 + 10 + 21 + whole.len() as u64;
            let bytes = 2_000 + 14_480 + 30_001 + 33 * 54 + whole.iter().sum::<u64>();
            let expected = Count { packets, bytes };
            let counted = rx.of(Class::Https);
            ensure!(counted == expected, "{counted:?}, not {expected:?}");
            ensure!(rx.frames.packets == 9, "{rx:?}");
            Ok(())
        })
    })
}

/// Frames that never were socket buffers lie where trains of the same length were.
fn trains_among_frames(how: How) -> anyhow::Result<()> {
    let a = silent()?;
    a.inside(|| {
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let mut device = unwaiting_tun("t0", flags)?;
        let mut watched = Watched::open(&["t0"], how, 0)?;
        a.sh("ip link set t0 up")?;
        let packet = frames::ipv4(6, 0, &[], &frames::tcp(443, 7, 1_460));
        let frame = frames::ethernet(&[], 0x0800, &packet);
        for segment in [100, 700] {
            for _ in 0..14 {
                for _ in 0..14 {
                    device.write_all(&[train_header(54, segment), frame.clone()].concat())?;
                }
                for _ in 0..14 {
                    device.write_all(&[&[0; 10], &*frame].concat())?;
                }
            }
        }
        let (_, rx) = watched.agree("t0")?;
        // Of 15 segments and of 3.
        let packets = 196 * (15 + 3 + 2);
        let bytes = 196 * (4 * 1_460 + 20 * 54);
        let counted = rx.of(Class::Https);
        ensure!(
            counted == Count { packets, bytes },
            "{counted:?}, not {packets} and {bytes}"
        );
        Ok(())
    })
}
