//! How TCP connections fare: what netmon says of one is what its own socket says, on a
//! wire that loses packets, and in another network namespace.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::collect::tcp_health::TcpHealths;
use netmon::model::flow::{FlowKey, ProcessId, Protocol, Totals};
use netmon::model::sample::{FlowCounters, Sample};
use netmon::model::tcp::TcpHealth;
use serde_json::Value;

use crate::contract::check_line;
use crate::coverage::start;
use crate::netmon::{Live, PATIENCE, run, shell};
use crate::space::{Space, connection, stream, two};
use crate::trial::{Impossible, root};

pub fn trials() -> Vec<Trial> {
    vec![
        root("health::retransmissions_are_told", lossy),
        root("health::other_namespaces_are_asked", elsewhere),
        root("health::ended_namespaces_are_let_go", let_go),
    ]
}

/// What the socket itself says.
fn own(socket: &TcpStream) -> anyhow::Result<TcpHealth> {
    // SAFETY: plain numbers, for which zeros are fine.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `info`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    ensure!(result == 0, "TCP_INFO: {}", std::io::Error::last_os_error());
    Ok(TcpHealth {
        rtt_us: info.tcpi_rtt,
        rtt_variance_us: info.tcpi_rttvar,
        retransmits: info.tcpi_total_retrans,
        lost: info.tcpi_lost,
        congestion_window: info.tcpi_snd_cwnd,
        send_mss: info.tcpi_snd_mss,
    })
}

/// Reads records until one says of that connection what its socket says.
fn await_agreement(live: &mut Live, socket: &TcpStream) -> anyhow::Result<TcpHealth> {
    let (local, remote) = (socket.local_addr()?, socket.peer_addr()?);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let record = check_line(&live.line()?)?;
        let flows = record["flows"].as_array().context("no flows")?;
        let is_it = |flow: &&Value| {
            flow["local_port"] == local.port() && flow["remote_port"] == remote.port()
        };
        let told = flows.iter().find(is_it).map(|flow| flow["tcp"].clone());
        let known = own(socket)?;
        if told == Some(serde_json::to_value(known)?) {
            return Ok(known);
        }
        ensure!(
            Instant::now() < deadline,
            "netmon: {told:?}, the socket: {known:?}"
        );
    }
}

fn lossy() -> anyhow::Result<()> {
    let (a, b) = two()?;
    if !run(&mut shell("nft --version"))?.status.success() {
        return Err(Impossible("it needs `nft` (package nftables)".to_owned()).into());
    }
    // Each segment is a packet of its own, of which every tenth is lost.
    b.sh("nft add table inet lossy
        nft 'add chain inet lossy in { type filter hook input priority 0; }'
        nft add rule inet lossy in meta l4proto tcp numgen inc mod 10 9 drop")?;
    let mut live = start(&a, &[])?;
    let (mut near, mut far) = connection(&a, &b, "10.9.0.2")?;
    let (mut near6, mut far6) = connection(&a, &b, "fd00:9::2")?;
    stream(&mut near, &mut far, 1_000, 300)?;
    stream(&mut near6, &mut far6, 1_000, 300)?;
    for socket in [&near, &near6] {
        let health = await_agreement(&mut live, socket)?;
        ensure!(health.retransmits > 0, "nothing was lost: {health:?}");
        ensure!(
            health.rtt_us > 0 && health.congestion_window > 0,
            "{health:?}"
        );
    }
    Ok(())
}

/// A flow of that namespace's process, for whose connections the kernel is asked.
fn sample(space: &Space) -> anyhow::Result<Sample> {
    let key = FlowKey {
        process: ProcessId {
            pid: space.pid(),
            start_ns: 0,
        },
        protocol: Protocol::Tcp,
        network_namespace: u32::try_from(fs::metadata(space.path())?.ino())?,
        local: None,
        remote: None,
    };
    let mut sample = Sample::default();
    sample.flows.push(FlowCounters {
        key,
        totals: Totals::default(),
        closed: false,
    });
    Ok(sample)
}

fn elsewhere() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (near, far) = connection(&space, &space, "127.0.0.1")?;
    let mut sample = sample(&space)?;
    // Of nobody, of one who ended, and of one who is elsewhere now: no way in.
    for pid in [0, u32::MAX >> 1, std::process::id()] {
        let mut flow = sample.flows[0];
        flow.key.process.pid = pid;
        sample.flows.insert(0, flow);
    }
    let mut connections = HashSet::new();
    for socket in [&near, &far] {
        connections.insert(
            FlowKey {
                local: Some(socket.local_addr()?.into()),
                remote: Some(socket.peer_addr()?.into()),
                ..sample.flows[0].key
            }
            .connection(),
        );
    }
    let mut healths = TcpHealths::start()?;
    let deadline = Instant::now() + PATIENCE;
    let table = loop {
        healths.read(&mut sample);
        if let Some(table) = sample.tcp.take() {
            break table;
        }
        ensure!(Instant::now() < deadline, "no table");
        thread::sleep(Duration::from_millis(10));
    };
    ensure!(table.len() == 2, "{} connections", table.len());
    for connection in &connections {
        ensure!(
            table.get(connection).is_some(),
            "{connection:?} is not there"
        );
    }
    // The same ends in another namespace are another connection.
    for mut connection in connections {
        connection.network_namespace += 1;
        ensure!(table.get(&connection).is_none(), "{connection:?} is there");
    }
    Ok(())
}

/// Nobody notices that netmon has looked into a namespace: its interfaces go with its
/// last process.
fn let_go() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let (mut near, mut far) = connection(&a, &b, "10.9.0.2")?;
    stream(&mut near, &mut far, 1_000, 10)?;
    let mut sample = sample(&b)?;
    let mut healths = TcpHealths::start()?;
    let deadline = Instant::now() + PATIENCE;
    while sample.tcp.is_none() {
        healths.read(&mut sample);
        ensure!(Instant::now() < deadline, "no table");
        thread::sleep(Duration::from_millis(10));
    }
    drop((near, far, b));
    loop {
        let shown = a.command().args(["ip", "link", "show", "a0"]).output();
        match shown {
            Ok(done) if !done.status.success() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(Instant::now() < deadline, "its interfaces are still there");
        thread::sleep(Duration::from_millis(20));
    }
}
