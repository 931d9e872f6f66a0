//! Super-frames: one to the interface, as many packets to the classes as TCP says it
//! sent, each with its headers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use anyhow::{anyhow, ensure};
use libtest_mimic::Trial;
use netmon::collect::xdp::Mode;
use netmon::model::interface::{Class, Count};

use crate::counters::counters;
use crate::space::{Space, connection, silent, two, up};
use crate::sys::tcp_info;
use crate::trial::root;
use crate::watched::{AUTO, GENERIC, How, NATIVE, Watched, own, settled};

pub fn trials() -> Vec<Trial> {
    vec![
        root("trains::ipv4", || streams("10.9.0.2", AUTO)),
        root("trains::ipv6", || streams("fd00:9::2", AUTO)),
        root("trains::ipv4_generic", || streams("10.9.0.2", GENERIC)),
        root("trains::ipv6_generic", || streams("fd00:9::2", GENERIC)),
        root("trains::native", || streams("10.9.0.2", NATIVE)),
        root("trains::small_segments", small_segments),
        root("trains::cut_before_the_interface", cut_before),
        root("trains::cut_for_a_native_program", cut_for_native),
        root("trains::of_udp", of_udp),
    ]
}

const BYTES: usize = 8 << 20;

pub fn one_way(from: &mut TcpStream, to: &mut TcpStream) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let sender = scope.spawn(|| from.write_all(&vec![b'n'; BYTES]));
        to.read_exact(&mut vec![0; BYTES])?;
        Ok(sender.join().map_err(|_| anyhow!("no sender"))??)
    })
}

/// Data both ways; its packets and bytes are those that TCP tells of. Returns how many
/// fewer frames than packets there were: sent, received.
fn check_stream(
    (a, b): (&Space, &Space),
    address: &str,
    watched: &mut Watched,
) -> anyhow::Result<(u64, u64)> {
    let (mut near, mut far) = connection(a, b, address, 0)?;
    one_way(&mut near, &mut far)?;
    one_way(&mut far, &mut near)?;
    let headers = if address.contains(':') { 40 } else { 20 } + 14 + 20 + 12;
    settled(|| {
        let (tx, rx) = watched.agree("a0")?;
        let info = tcp_info(&near)?;
        let (sent, received) = (tx.of(Class::Tcp), rx.of(Class::Tcp));
        ensure!(
            sent.packets == u64::from(info.tcpi_segs_out),
            "{} segments sent: {sent:?}",
            info.tcpi_segs_out
        );
        ensure!(
            received.packets == u64::from(info.tcpi_segs_in),
            "{} segments received: {received:?}",
            info.tcpi_segs_in
        );
        let other = tcp_info(&far)?;
        // A first segment has 8 bytes of options more, and one that was overtaken is told
        // of in 12; what was sent again cannot be told from here.
        if info.tcpi_total_retrans == 0 && other.tcpi_total_retrans == 0 {
            for count in [sent, received] {
                let bytes = BYTES as u64 + count.packets * headers + 8;
                let more = count.bytes.wrapping_sub(bytes);
                ensure!(
                    more % 12 == 0 && more <= 12 * 20,
                    "{count:?}, not {bytes} bytes"
                );
            }
        }
        Ok((
            tx.all().packets - tx.frames.packets,
            rx.all().packets - rx.frames.packets,
        ))
    })
}

fn streams(address: &str, how: How) -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], how, 0)?;
        up(&a, &b)?;
        let (tx, rx) = check_stream((&a, &b), address, &mut watched)?;
        ensure!(tx > 1_000, "no trains were sent: {tx}");
        // A native program has them cut before it.
        let is_native = how.mode == Mode::Native;
        ensure!((rx > 1_000) != is_native, "trains received: {rx}");
        Ok(())
    })
}

/// Segments far smaller than the MTU, so that a train need not be longer than it.
fn small_segments() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], AUTO, 0)?;
        up(&a, &b)?;
        for (space, other) in [(&a, 2), (&b, 1)] {
            space.sh(&format!(
                "ip route add 10.9.0.{other}/32 dev {} advmss 300",
                if other == 2 { "a0" } else { "b0" }
            ))?;
        }
        check_stream((&a, &b), "10.9.0.2", &mut watched)?;
        Ok(())
    })
}

/// The kernel cuts trains for an interface that takes none.
fn cut_before() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], AUTO, 0)?;
        up(&a, &b)?;
        a.sh("ip link set a0 gso_max_segs 1")?;
        let (tx, _) = check_stream((&a, &b), "10.9.0.2", &mut watched)?;
        ensure!(tx == 0, "{tx} packets more than frames were sent");
        Ok(())
    })
}

/// The same, as the other end has a native program: its interface counts then for ours,
/// without Ethernet headers.
fn cut_for_native() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let other = b.inside(|| Watched::open(&["b0"], NATIVE, 0))?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], AUTO, 0)?;
        up(&a, &b)?;
        let (mut near, mut far) = connection(&a, &b, "10.9.0.2", 0)?;
        one_way(&mut near, &mut far)?;
        settled(|| {
            let (tx, _) = watched.ways("a0")?;
            let (own, _) = own("a0")?;
            // What the other end's ring had no room for was sent and counts nowhere else.
            let dropped = counters("a0")?.sent.dropped;
            let (packets, bytes) = (own.packets + dropped, own.bytes + 14 * own.packets);
            ensure!(tx.frames.packets == packets, "{own:?}, {dropped}: {tx:?}");
            let is_exact = dropped > 0 || tx.frames == Count { packets, bytes };
            ensure!(is_exact, "{own:?}: {tx:?}");
            ensure!(tx.frames == tx.all(), "{tx:?}");
            Ok(())
        })
    })?;
    drop(other);
    Ok(())
}

/// Datagrams that were given to the kernel as one (UDP_SEGMENT).
fn of_udp() -> anyhow::Result<()> {
    let (a, b) = silent()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], AUTO, 0)?;
        up(&a, &b)?;
        let (near, far) = crate::space::datagram_pair((&a, "10.9.0.1"), (&b, "10.9.0.2"), 443)?;
        crate::sys::segment_datagrams(&near, 1_000)?;
        crate::sys::segment_datagrams(&far, 1_000)?;
        for _ in 0..20 {
            near.send(&[b'n'; 9_500])?;
            far.send(&[b'n'; 4_000])?;
        }
        settled(|| {
            let (tx, rx) = watched.agree("a0")?;
            let headers = 14 + 20 + 8;
            for (way, packets, payload) in [(tx, 20 * 10, 20 * 9_500), (rx, 20 * 4, 20 * 4_000)] {
                let counted = way.of(Class::Https);
                ensure!(counted.packets == packets, "{packets}: {counted:?}");
                let bytes = payload + packets * headers;
                ensure!(counted.bytes == bytes, "{bytes}: {counted:?}");
                ensure!(way.of(Class::Udp) == counted, "{way:?}");
                ensure!(way.frames.packets < packets, "{way:?}");
            }
            Ok(())
        })
    })
}
