//! Processes that fork, end early, or follow each other with one PID.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::namespaces::routed_pair;
use crate::netmon::{BINARY, Live, PATIENCE, Scratch, run};
use crate::puppet::{LEADERLESS, Puppet};
use crate::record::{ENDED, Last, last};
use crate::space::{Space, two};
use crate::stage::{command, connect, netmon, puppet, puppet_by};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("processes::forked_for_a_connection", forked),
        root("processes::short_lived", || short_lived(300)),
        root("processes::of_a_moment", || short_lived(0)),
        root("processes::burst_of_new_ones", burst),
        root("processes::without_its_first_thread", leaderless),
        root("processes::handshake_that_takes_long", slow_handshake),
        root("processes::ended_connections_are_closed", closed),
        root("processes::ended_is_told", ended_is_told),
        root("processes::one_pid_twice", one_pid_twice),
        root("processes::history_of_serve", history_of_serve),
    ]
}

/// A server that forks a child for each connection, which sends: each has its own bytes.
pub fn fork_thrice(
    live: Live,
    mut server: Puppet,
    mut client: Puppet,
    address: &str,
) -> anyhow::Result<()> {
    let port = server.ask(&format!("listen {address}:0"))?;
    let mut children = Vec::new();
    for _ in 0..3 {
        client.ask(&format!("connect {address}:{port}"))?;
        server.ask("accept")?;
        children.push(server.ask("fork 1000 100")?);
        client.ask("receive 100000")?;
    }
    let last = last(live)?;
    for child in children {
        last.check("the child", u32::try_from(child)?, (100_000, 0))?;
    }
    last.check("the listener", server.pid(), (0, 0))?;
    last.check("the client", client.pid(), (0, 300_000))
}

/// The listener accepts; the child that it forks sends.
fn forked() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let (server, client) = (puppet(&a)?, puppet(&b)?);
    fork_thrice(live, server, client, "10.9.0.1")
}

/// All bytes are there, and whose they are is known of those that live for some time.
fn short_lived(milliseconds: u64) -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let mut server = puppet(&b)?;
    let port = server.ask("listen 10.9.0.2:0")?;
    let mut pids = Vec::new();
    for _ in 0..20 {
        let mut client = puppet(&a)?;
        pids.push(client.pid());
        server.tell("accept")?;
        client.tell(&format!("connect 10.9.0.2:{port}"))?;
        client.tell("send 1000 5")?;
        client.tell(&format!("rest {milliseconds}"))?;
        client.tell("leave")?;
        server.hear()?;
        server.ask("receive 5000")?;
        for _ in 0..3 {
            client.hear()?;
        }
        client.end()?;
    }
    let last = last(live)?;
    last.check("the server", server.pid(), (0, 100_000))?;
    let mut known = 0;
    for pid in pids {
        let (sent, _) = last.of_pid(pid);
        let is_likely = if milliseconds > 0 {
            sent == 5000
        } else {
            sent == 0 || sent == 5000
        };
        ensure!(is_likely, "{pid}: {sent}: {:#}", last.record);
        known += sent;
    }
    let (unknown, _) = last.unattributed(ENDED);
    ensure!(
        known + unknown == 100_000,
        "{known} and {unknown}: {:#}",
        last.record
    );
    Ok(())
}

/// Many that begin at once, each known from its first byte on.
fn burst() -> anyhow::Result<()> {
    let a = Space::new()?;
    let live = netmon(&a, &[])?;
    let mut server = puppet(&a)?;
    let port = server.ask("bind 127.0.0.1:0")?;
    for round in 0..3 {
        let mut all = Vec::new();
        for number in 0..20 {
            let mut client = puppet(&a)?;
            // Below those that the kernel chooses from, and no port twice: that of one that
            // has ended just now would be taken for still its.
            client.tell(&format!("bind 127.0.0.1:{}", 20_000 + 20 * round + number))?;
            client.tell(&format!("sendto 127.0.0.1:{port} 700 10"))?;
            all.push(client);
        }
        for client in &mut all {
            client.hear()?;
            ensure!(client.hear()? == 7000, "not all was sent in {round}");
            client.ask("rest 30")?;
        }
    }
    let last = last(live)?;
    last.check("the server", server.pid(), (0, 3 * 20 * 7000))?;
    let rows = last.record["processes"].as_array().into_iter().flatten();
    let sent = rows.filter(|row| row["tx_bytes"] == 7000 && row["pid"] != 0);
    ensure!(sent.count() == 60, "{:#}", last.record);
    Ok(())
}

/// One whose first thread has ended while others go on.
fn leaderless() -> anyhow::Result<()> {
    let a = Space::new()?;
    let mut live = netmon(&a, &[])?;
    let mut command = command(&a, std::env::current_exe()?);
    command.env(LEADERLESS, "1");
    let mut puppet = puppet_by(&a, command)?;
    puppet.ask("bind 127.0.0.1:0")?;
    let bytes = puppet.ask("sendto 127.0.0.1:9 1000 100")?;
    let pid = format!("\"pid\":{},", puppet.pid());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = live.line()?;
        ensure!(!line.contains("\"exited\":true"), "{line}");
        ensure!(Instant::now() < deadline, "not known: {line}");
        if line.contains(&pid) {
            break;
        }
    }
    let more = puppet.ask("sendto 127.0.0.1:9 1000 100")?;
    last(live)?.check("without its first thread", puppet.pid(), (bytes + more, 0))
}

/// The server's end is there only some time after the first packet was seen, and has all
/// its bytes.
fn slow_handshake() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    let live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let port = server.ask("listen 0.0.0.0:0")?;
    client.ask("bind 0.0.0.0:0")?;
    // 500 bytes a second once the first 1550 are used up, for the handshake only.
    router.sh("tc qdisc add dev r2 root tbf rate 4kbit burst 1550 limit 100000")?;
    client.ask("sendto 10.9.2.2:9 1472 1")?;
    client.ask(&format!("connect 10.9.2.2:{port}"))?;
    server.ask("accept")?;
    router.sh("tc qdisc delete dev r2 root")?;
    server.tell("receive 300000")?;
    let bytes = client.ask("send 3000 100")?;
    ensure!(server.hear()? == bytes, "not all arrived");
    client.ask("rest 1500")?;
    let last = last(live)?;
    last.check("the client", client.pid(), (bytes + 1472, 0))?;
    last.check("the server", server.pid(), (0, bytes))
}

/// The server goes on listening, and what it served is over all the same.
fn closed() -> anyhow::Result<()> {
    let a = Space::new()?;
    let mut live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    let port = server.ask("listen 127.0.0.1:0")?;
    for _ in 0..20 {
        client.ask(&format!("connect 127.0.0.1:{port}"))?;
        server.ask("accept")?;
        client.ask("send 1000 1")?;
        server.ask("receive 1000")?;
    }
    client.ask("bind 127.0.0.1:0")?;
    client.end()?;
    let (mut told, mut most) = (HashSet::new(), 0);
    let deadline = Instant::now() + PATIENCE;
    // One connection is still in the server's hands.
    while told.len() < 19 {
        let record: serde_json::Value = serde_json::from_str(&live.line()?)?;
        let flows = record["flows"].as_array().into_iter().flatten();
        let of_server = flows.filter(|it| it["local_port"] == port);
        let mut open = 0;
        for flow in of_server {
            if flow["closed"] == true {
                told.insert(flow["remote_port"].to_string());
            } else {
                open += 1;
            }
        }
        most = most.max(open);
        ensure!(Instant::now() < deadline, "{} of {most}", told.len());
    }
    ensure!(most == 20, "only {most}");
    Ok(())
}

/// A process that ended is told as such once, with all its bytes.
fn ended_is_told() -> anyhow::Result<()> {
    let a = Space::new()?;
    let mut live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    connect((&mut client, "127.0.0.1"), (&mut server, "127.0.0.1"))?;
    client.ask("send 1000 10")?;
    server.ask("receive 10000")?;
    let pid = client.pid();
    // One that ends at once may end before it is known.
    while !live.line()?.contains(&format!("\"pid\":{pid},")) {}
    client.end()?;
    live.signal(nix::sys::signal::Signal::SIGINT)?;
    let done = live.end()?;
    Last::of(&done)?;
    let mut told = Vec::new();
    for line in done.stdout.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let rows = record["processes"].as_array().into_iter().flatten();
        let rows = rows.filter(|row| row["pid"] == pid && row["exited"] == true);
        told.extend(rows.map(|row| row["tx_bytes"].as_u64()));
    }
    ensure!(told == [Some(10_000)], "{told:?}: {}", done.stdout);
    Ok(())
}

/// In a PID namespace of its own, where the next PID can be chosen.
fn one_pid_twice() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let script = r#"
        ip link set lo up
        $NETMON stream --engine packet --interval 100ms > records 2> words &
        netmon=$!
        until [ -s records ]; do sleep 0.05; done
        for size in 100 200; do
            echo 4999 > /proc/sys/kernel/ns_last_pid
            $PUPPET --puppet > said <<END &
bind 127.0.0.1:0
sendto 127.0.0.1:9 $size 10
rest 1000
END
            echo $! >> pids
            wait $!
        done
        kill -INT $netmon
        wait $netmon
    "#;
    let mut command = std::process::Command::new("unshare");
    command
        .args([
            "--pid",
            "--fork",
            "--mount-proc",
            "--net",
            "sh",
            "-ec",
            script,
        ])
        .current_dir(&scratch.path)
        .env("NETMON", BINARY)
        .env("PUPPET", std::env::current_exe()?);
    run(&mut command)?.check_code(0)?;
    let read = |name: &str| std::fs::read_to_string(scratch.path.join(name));
    let pids = read("pids")?;
    let mut pids = pids.lines();
    let pid: u32 = pids.next().context("no pid")?.parse()?;
    let is_same = pids.next() == Some(&pid.to_string());
    ensure!(is_same, "another pid: {}", read("pids")?);
    let mut found = std::collections::BTreeMap::new();
    for line in read("records")?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        for row in record["processes"].as_array().into_iter().flatten() {
            if row["pid"] == pid {
                found.insert(row["start_time"].to_string(), row["tx_bytes"].as_u64());
            }
        }
    }
    let sent: Vec<_> = found.into_values().collect();
    ensure!(
        sent == [Some(1000), Some(2000)],
        "{sent:?}: {}",
        read("records")?
    );
    Ok(())
}

/// What `serve` keeps is there to be asked for.
fn history_of_serve() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let a = Space::new()?;
    let mut command = command(&a, BINARY);
    command.args(["serve", "--engine", "packet", "--listen", "127.0.0.1:0"]);
    command.args(["--interval", "200ms", "--db"]).arg(&file);
    let live = Live::start(&mut command)?;
    wait_for(&file)?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    // It may have begun to count only now.
    connect((&mut client, "127.0.0.1"), (&mut server, "127.0.0.1"))?;
    for _ in 0..20 {
        client.ask("send 1000 10")?;
        server.ask("receive 10000")?;
        client.ask("rest 50")?;
    }
    live.signal(nix::sys::signal::Signal::SIGINT)?;
    live.end()?.check_code(0)?;
    let pid = client.pid().to_string();
    let mut command = crate::netmon::netmon(["history", "top", "--pid", &pid, "--db"]);
    let done = run(command.arg(&file))?;
    done.check_code(0)?;
    // The name of the test program, which the puppet is.
    ensure!(done.stdout.contains("packet-"), "{}", done.stdout);
    Ok(())
}

fn wait_for(file: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() {
        ensure!(Instant::now() < deadline, "no {}", file.display());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Ok(())
}
