//! Rings of a fanout group: each frame in one of them.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::collect::ring::{Filter, Ring};
use netmon::model::packet::IPV4;

use crate::space::{Sender, collect, cpus, ethernet, inside, ipv4, settings, stay_on, wire};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("groups::each_frame_in_one_ring", || inside(shared)),
        root("groups::a_full_ring_is_helped_out", || inside(helped_out)),
        root("groups::loopback_counts_once", || inside(loopback)),
        root("groups::another_program", || inside(taken)),
        root("groups::of_another_kind", || inside(of_another_kind)),
        root("groups::two_at_once", || inside(at_once)),
    ]
}

/// So many rings of group `number`.
fn open(name: &str, number: u16, count: u16) -> anyhow::Result<Vec<Ring>> {
    Ring::open_group(&settings(Some(name))?, number, count, Filter::None)
}

/// All frames of a CPU are in the same ring, those of others in others.
fn shared() -> anyhow::Result<()> {
    wire()?;
    let mut rings = open("far", 7, 4)?;
    let sender = Sender::new("near")?;
    let cpus = cpus()?;
    for &cpu in &cpus {
        stay_on(cpu)?;
        for port in 0..64 {
            sender.send(&ethernet(&[], IPV4, &ipv4(1, 1000 + port, 10)))?;
        }
    }
    let seen = collect(&mut rings, 64 * cpus.len())?;
    let mut found: Vec<usize> = seen.iter().map(Vec::len).collect();
    let mut expected = vec![0; 4];
    for cpu in cpus {
        expected[cpu % 4] += 64;
    }
    // Which of them is which ring is the kernel's business.
    found.sort_unstable();
    expected.sort_unstable();
    ensure!(found == expected, "{found:?}, not {expected:?}");
    Ok(())
}

/// What has no room in a CPU's ring comes into another one.
fn helped_out() -> anyhow::Result<()> {
    // More than one ring has room for, less than three quarters of two.
    const FRAMES: usize = 9000;
    wire()?;
    let mut settings = settings(Some("far"))?;
    // No block is closed before it is full.
    settings.block_timeout = Duration::from_secs(2);
    let mut rings = Ring::open_group(&settings, 9, 2, Filter::None)?;
    let sender = Sender::new("near")?;
    let cpus = cpus()?;
    stay_on(*cpus.first().context("no CPU")?)?;
    for _ in 0..FRAMES {
        sender.send(&ethernet(&[], IPV4, &ipv4(1, 1000, 10)))?;
    }
    let seen = collect(&mut rings, FRAMES)?;
    ensure!(
        seen.iter().all(|seen| seen.len() > 1000),
        "{}",
        seen[0].len()
    );
    Ok(())
}

/// On loopback, too, a frame is in one ring once.
fn loopback() -> anyhow::Result<()> {
    let mut rings = open("lo", 8, 2)?;
    let far = std::net::UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..20 {
        let near = std::net::UdpSocket::bind("127.0.0.1:0")?;
        near.send_to(&[1; 10], far.local_addr()?)?;
    }
    collect(&mut rings, 20)?;
    for ring in &mut rings {
        let counts = ring.statistics()?;
        ensure!(counts.packets <= 20 && counts.drops == 0, "{counts:?}");
    }
    Ok(())
}

/// What another program has joined: its frames are spread in another way, or it is on
/// another interface, or it is just as one's own would be.
fn stranger(name: &str, number: u16, kind: u32) -> anyhow::Result<Sender> {
    let mut sender = Sender::new(name)?;
    sender.join(number, kind)?;
    Ok(sender)
}

fn check_taken(name: &str, number: u16, count: u16) -> anyhow::Result<()> {
    let Err(error) = open(name, number, count) else {
        anyhow::bail!("{name} {count}: the group was shared");
    };
    let error = format!("{error:#}");
    let words = format!("group {number} is in use");
    ensure!(error.contains(&words), "{error}");
    ensure!(error.contains("--fanout-group"), "{error}");
    Ok(())
}

/// A group is not shared with a program that did not open it, however alike it is.
fn taken() -> anyhow::Result<()> {
    wire()?;
    let _rings = open("far", 7, 2)?;
    for (name, count) in [("far", 2), ("far", 3), ("near", 2)] {
        check_taken(name, 7, count)?;
    }
    // One alone needs no group, and another number is another group.
    open("far", 7, 1)?;
    open("far", 8, 2)?;
    Ok(())
}

/// Groups that spread their frames otherwise, or on another interface.
fn of_another_kind() -> anyhow::Result<()> {
    wire()?;
    // Not the same number twice: a process that another test starts may hold on to a
    // socket for a moment.
    let mut number = 10;
    for kind in [
        libc::PACKET_FANOUT_HASH,
        libc::PACKET_FANOUT_CPU,
        libc::PACKET_FANOUT_LB,
        libc::PACKET_FANOUT_CPU | libc::PACKET_FANOUT_FLAG_ROLLOVER,
        libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG,
    ] {
        for other in ["near", "far"] {
            number += 1;
            let _stranger = stranger(other, number, kind)?;
            check_taken("far", number, 2)?;
        }
    }
    Ok(())
}

/// Of two that begin at the same moment one gets the group, and the other is told.
fn at_once() -> anyhow::Result<()> {
    wire()?;
    let settings = settings(Some("far"))?;
    for number in 0..20 {
        let start = Barrier::new(2);
        let both = thread::scope(|scope| {
            let open = || {
                start.wait();
                Ring::open_group(&settings, number, 8, Filter::None)
            };
            let other = scope.spawn(open);
            [open(), other.join().expect("no panic")]
        });
        let won = both.iter().filter(|rings| rings.is_ok()).count();
        ensure!(won == 1, "{won} of two: {both:?}");
    }
    Ok(())
}
