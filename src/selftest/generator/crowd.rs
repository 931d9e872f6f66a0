//! Scenarios of several processes, threads or stages.
//!
//! Owns how they come about; each mover reports what it moved itself. What
//! netmon must make of them is the tests' business.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::ledger::{Ledger, Who};
use super::paths::{Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, udp, udp_pair};
use super::{command, handed, pause, report, say, sys, twins, unsupported};
use crate::model::flow::Protocol;

type Scenario = fn(&[String]) -> anyhow::Result<()>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("swarm", swarm),
    ("reuse", reuse),
    ("peers", peers),
    ("threads", threads),
    ("storm", storm),
    ("fork", fork),
    ("exec", exec),
    ("after-exec", after_exec),
    ("namespace", namespace),
    ("leader-exits", leader_exits),
    ("connections", connections),
    ("sink", sink),
    ("blocked", blocked),
    (handed::HEIR, handed::heir),
    ("two-namespaces", twins::two_namespaces),
];

/// The scenario of that name.
pub fn find(name: &str) -> Option<Scenario> {
    let entry = SCENARIOS.iter().find(|(of, _)| *of == name);
    entry.map(|(_, scenario)| *scenario)
}

fn number(text: Option<&String>) -> anyhow::Result<usize> {
    Ok(text.context("a number is missing")?.trim().parse()?)
}

/// Sends and receives `bytes` in this process.
fn move_bytes(bytes: usize, pair: &(Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    pair.0.send_plain(ledger, bytes)?;
    let received = pair.1.receive(ledger, ReceivePath::Recv, &[1 << 16], 0)?[0].bytes;
    ensure!(received == bytes, "{received} of {bytes} bytes received");
    Ok(())
}

/// What a forked process does: moves `bytes`, tells it and ends; its exit status.
fn short_life(bytes: usize) -> i32 {
    let life = || -> anyhow::Result<()> {
        let mut ledger = Ledger::default();
        move_bytes(bytes, &udp_pair(Family::V4)?, &mut ledger)?;
        report(&mut ledger)
    };
    i32::from(life().is_err())
}

/// Processes that each live a few milliseconds.
fn swarm(arguments: &[String]) -> anyhow::Result<()> {
    let mut children = Vec::new();
    for index in 0..number(arguments.first())? {
        children.push(sys::fork(|| {
            if sys::set_comm(&format!("swarm-{index:03}")).is_err() {
                return 1;
            }
            let status = short_life(1000 + index);
            thread::sleep(Duration::from_millis(2));
            status
        })?);
    }
    for child in children {
        let status = sys::reap(child)?;
        ensure!(status == 0, "a process of the swarm ended with {status}");
    }
    pause().map(|_| ())
}

/// Two processes, one after the other, with the same PID.
fn reuse(_: &[String]) -> anyhow::Result<()> {
    let first = sys::fork(|| short_life(1111))?;
    ensure!(sys::reap(first)? == 0, "the first process failed");
    for _ in 0..100 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (first - 1).to_string())
            .map_err(|error| unsupported("choosing a PID", error))?;
        // Another process of the machine may have taken the PID in between.
        let second = sys::fork(|| {
            if std::process::id() == first as u32 {
                short_life(2222)
            } else {
                2
            }
        })?;
        let status = sys::reap(second)?;
        if second == first {
            ensure!(status == 0, "the second process failed");
            return pause().map(|_| ());
        }
    }
    Err(unsupported(
        "choosing a PID",
        "always taken by another process",
    ))
}

/// One socket that sends one datagram to each of as many new peers as it is told.
fn peers(_: &[String]) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    let socket = udp(Family::V4)?;
    let mut used: u32 = 0;
    loop {
        say("ready\n")?;
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Ok(());
        }
        for _ in 0..number(Some(&line))? {
            used += 1;
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + used);
            let port = 40_000 + (used % 7) as u16;
            let data = [0x5a; 100];
            let message = [Outgoing {
                data: &data[..1 + (used % 100) as usize],
                to: Some(SocketAddr::from((address, port))),
            }];
            socket.send(&mut ledger, SendPath::Sendto, &message, 0)?;
        }
        report(&mut ledger)?;
    }
}

/// Runs `work` in each of `count` threads and puts their ledgers together.
fn in_threads(
    count: usize,
    work: impl Fn(usize, &mut Ledger) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Ledger> {
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..count)
            .map(|index| {
                scope.spawn(move || {
                    let mut ledger = Ledger::default();
                    work(index, &mut ledger).map(|()| ledger)
                })
            })
            .collect();
        let mut all = Ledger::default();
        for worker in workers {
            all.merge(worker.join().ok().context("a thread panicked")??);
        }
        Ok(all)
    })
}

/// Threads with a socket pair each.
fn threads(arguments: &[String]) -> anyhow::Result<()> {
    let mut all = in_threads(number(arguments.first())?, |index, ledger| {
        let pair = udp_pair(Family::V4)?;
        for round in 0..100 {
            move_bytes(100 * (index + 1) + round, &pair, ledger)?;
        }
        Ok(())
    })?;
    report(&mut all)?;
    pause().map(|_| ())
}

/// Threads that use one socket pair at the same time, as fast as they can.
fn storm(arguments: &[String]) -> anyhow::Result<()> {
    let rounds = number(arguments.first())?;
    let pair = udp_pair(Family::V4)?;
    let mut all = in_threads(4, |index, ledger| {
        for round in 0..rounds {
            pair.0.send_plain(ledger, 1 + (index * 7 + round) % 97)?;
            // Whichever thread's datagram it is: there is one for each that was sent.
            pair.1.receive(ledger, ReceivePath::Recv, &[100], 0)?;
        }
        Ok(())
    })?;
    report(&mut all)?;
    pause().map(|_| ())
}

/// A socket that two processes use.
fn fork(_: &[String]) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    let pair = udp_pair(Family::V4)?;
    move_bytes(1000, &pair, &mut ledger)?;
    handed::in_child(|ledger| move_bytes(2222, &pair, ledger))?.end_well()?;
    move_bytes(30, &pair, &mut ledger)?;
    report(&mut ledger)?;
    pause().map(|_| ())
}

/// A process that moves bytes, becomes another program and moves more. With an
/// argument it is not the first thread that calls exec.
fn exec(arguments: &[String]) -> anyhow::Result<()> {
    sys::set_comm("before-exec")?;
    let mut ledger = Ledger::default();
    move_bytes(500, &udp_pair(Family::V4)?, &mut ledger)?;
    report(&mut ledger)?;
    if !pause()? {
        return Ok(());
    }
    let become_it = || command("after-exec").exec();
    let error = if arguments.is_empty() {
        become_it()
    } else {
        let caller = thread::scope(|scope| scope.spawn(become_it).join());
        caller.ok().context("the thread panicked")?
    };
    Err(error.into())
}

fn after_exec(_: &[String]) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    move_bytes(600, &udp_pair(Family::V4)?, &mut ledger)?;
    report(&mut ledger)?;
    pause().map(|_| ())
}

/// A process whose own namespace calls it 1.
fn namespace(_: &[String]) -> anyhow::Result<()> {
    // SAFETY: takes an integer only.
    sys::check(unsafe { libc::unshare(libc::CLONE_NEWPID) } as isize)
        .map_err(|error| unsupported("a PID namespace", error))?;
    let child = sys::fork(|| short_life(1357))?;
    ensure!(
        sys::reap(child)? == 0,
        "the process in the namespace failed"
    );
    pause().map(|_| ())
}

/// A process whose first thread ends while another goes on.
fn leader_exits(_: &[String]) -> anyhow::Result<()> {
    let who = Who::me()?;
    let heir = thread::spawn(move || -> anyhow::Result<()> {
        // Until the first thread is gone.
        thread::sleep(Duration::from_millis(20));
        let mut ledger = Ledger::default();
        move_bytes(800, &udp_pair(Family::V4)?, &mut ledger)?;
        say(&ledger.take_report_of(&who))?;
        pause()?;
        std::process::exit(0)
    });
    drop(heir);
    // SAFETY: ends this thread alone; nothing on its stack is used by the other.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("a thread that has ended")
}

/// TCP connections that are opened, used once and closed.
fn connections(arguments: &[String]) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    for index in 0..number(arguments.first())? {
        let near = TcpStream::connect(address)?;
        let (far, _) = listener.accept()?;
        let pair = (
            Socket::new(near, Protocol::Tcp),
            Socket::new(far, Protocol::Tcp),
        );
        move_bytes(100 + index % 50, &pair, &mut ledger)?;
    }
    report(&mut ledger)?;
    pause().map(|_| ())
}

/// Accepts one connection, says where, and reads it to its end once it is told to.
fn sink(_: &[String]) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    say(&format!("value {}\n", listener.local_addr()?.port()))?;
    if !pause()? {
        return Ok(());
    }
    let (stream, _) = listener.accept()?;
    Socket::new(stream, Protocol::Tcp).drain(&mut ledger)?;
    report(&mut ledger)?;
    pause().map(|_| ())
}

/// Sends more than any queue holds to a peer that does not read, in one call.
fn blocked(arguments: &[String]) -> anyhow::Result<()> {
    let port = number(arguments.first())? as u16;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let socket = Socket::new(stream, Protocol::Tcp);
    let mut ledger = Ledger::default();
    report(&mut ledger)?;
    say("ready\n")?;
    socket.send_plain(&mut ledger, 64 << 20)?;
    Ok(())
}
