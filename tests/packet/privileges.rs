//! With few privileges, and with too few.

use std::path::Path;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::namespaces::alone;
use crate::netmon::{BINARY, Done, Live, Scratch, netmon, run, shell};
use crate::processes::fork_thrice;
use crate::record::{HIDDEN, Last, UNSEEN, last};
use crate::space::{Space, two};
use crate::stage::{STREAM, command, connect, counting, puppet, puppet_by};
use crate::trial::{Impossible, root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("privileges::without_tracing", without_tracing),
        root("privileges::other_namespaces_by_files", other_namespaces),
        root("privileges::forked_by_files", forked_by_files),
        root("privileges::of_one_pid_namespace", of_one_pid_namespace),
        root("privileges::without_raw_sockets", without_raw_sockets),
        root("privileges::named_ones_are_enough", named_ones),
        root("privileges::of_one_user", of_one_user),
        root("privileges::named_as_the_way_out", way_out),
        root("privileges::doctor_tells", doctor_tells),
        trial("privileges::pin_is_refused", pin_is_refused),
        trial("privileges::xdp_is_refused", xdp_is_refused),
    ]
}

/// A command that has all privileges but these.
fn without(space: &Space, privileges: &str) -> anyhow::Result<std::process::Command> {
    if !run(&mut shell("setpriv --version"))?.status.success() {
        return Err(Impossible("it needs `setpriv` (package util-linux)".to_owned()).into());
    }
    let mut command = command(space, "setpriv");
    command.args([&format!("--bounding-set={privileges}"), "--", BINARY]);
    Ok(command)
}

/// A stream of the packet engine that has all privileges but these.
pub fn packets_without(space: &Space, privileges: &str) -> anyhow::Result<std::process::Command> {
    let mut command = without(space, privileges)?;
    command.args(STREAM);
    Ok(command)
}

const TRACING: &str = "-sys_admin,-bpf,-perfmon";

/// Another namespace may not be entered then, and is looked into by files.
fn other_namespaces() -> anyhow::Result<()> {
    for (listen, address) in [("0.0.0.0", "10.9.0.2"), ("[::]", "[fd00:9::2]")] {
        let (a, b) = two()?;
        let live = counting(&mut packets_without(&a, TRACING)?)?;
        let mut server = puppet(&b)?;
        let port = server.ask(&format!("listen {listen}:0"))?;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = puppet(&a)?;
            client.ask(&format!("connect {address}:{port}"))?;
            server.ask("accept")?;
            server.tell("receive 100000")?;
            client.ask("send 1000 100")?;
            server.hear()?;
            clients.push(client);
        }
        // Files are read ten times a second at most, and once more at the end.
        let last = last(live)?;
        last.check("the server", server.pid(), (0, 300_000))?;
        for client in &clients {
            last.check("a client", client.pid(), (100_000, 0))?;
        }
    }
    Ok(())
}

/// The same for a server whose children have the connections.
fn forked_by_files() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = counting(&mut packets_without(&a, TRACING)?)?;
    fork_thrice(live, puppet(&b)?, puppet(&a)?, "10.9.0.2")
}

/// What this engine is for.
fn without_tracing() -> anyhow::Result<()> {
    let a = Space::new()?;
    let live = counting(&mut packets_without(&a, TRACING)?)?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    connect((&mut client, "127.0.0.1"), (&mut server, "127.0.0.1"))?;
    let bytes = client.ask("send 1000 100")?;
    server.ask("receive 100000")?;
    let last = last(live)?;
    last.check("the client", client.pid(), (bytes, 0))?;
    last.check("the server", server.pid(), (0, bytes))
}

fn without_raw_sockets() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mut command = without(&space, "-sys_admin,-bpf,-perfmon,-net_raw")?;
    command.args(["stream", "--engine", "packet"]);
    let setcap = format!(
        "setcap {}=ep",
        ENOUGH.map(|it| format!("cap_{it}")).join(",")
    );
    run(&mut command)?.check_failure(&["CAP_NET_RAW", "sudo", &setcap])
}

/// What netmon asks for, in the order in which it says what each is for.
const ENOUGH: [&str; 5] = [
    "net_raw",
    "sys_ptrace",
    "dac_read_search",
    "sys_admin",
    "net_admin",
];

/// A stream of nobody's with exactly these privileges, where `binary` is.
fn as_nobody(space: &Space, binary: &Path, privileges: &[&str]) -> anyhow::Result<Live> {
    let set = privileges
        .iter()
        .fold("-all".to_owned(), |set, it| set + ",+" + it);
    let mut command = command(space, "setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(format!("--inh-caps={set}"))
        .arg(format!("--ambient-caps={set}"))
        .arg(format!("--bounding-set={set}"))
        .arg(binary)
        .args(STREAM);
    counting(&mut command)
}

/// All that it asks for is enough to see what root sees, and each of them is needed.
fn named_ones() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let binary = scratch.binary()?;
    for missing in [
        None,
        Some("sys_ptrace"),
        Some("dac_read_search"),
        Some("sys_admin"),
    ] {
        let (a, b) = two()?;
        let privileges = ENOUGH.into_iter().filter(|it| Some(*it) != missing);
        let live = as_nobody(&a, &binary, &privileges.collect::<Vec<_>>())?;
        let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
        let to = server.ask("bind 10.9.0.2:0")?;
        client.ask("bind 10.9.0.1:0")?;
        let bytes = client.ask(&format!("sendto 10.9.0.2:{to} 500 100"))?;
        client.ask("rest 500")?;
        let last = last(live)?;
        let found = (last.of_pid(client.pid()), last.of_pid(server.pid()));
        let all = ((bytes, 0), (0, bytes));
        // Without the right to enter, files tell the same, only later.
        let is_good = match missing {
            None => found == all,
            Some("sys_admin") => found.0 == all.0,
            Some(_) => found == ((0, 0), (0, 0)),
        };
        ensure!(is_good, "without {missing:?}: {found:?}: {:#}", last.record);
    }
    Ok(())
}

/// May capture, and may not look at processes that may do more than it: their bytes say
/// so, whoever else was found.
fn of_one_user() -> anyhow::Result<()> {
    let a = Space::new()?;
    let live = counting(&mut packets_without(&a, "-all,+net_raw")?)?;
    let mut equal = command(&a, "setpriv");
    equal.args(["--bounding-set=-all", "--"]);
    equal.arg(std::env::current_exe()?);
    let (mut equal, mut other) = (puppet_by(&a, equal)?, puppet(&a)?);
    let (mut seen, mut unseen) = (0, 0);
    other.ask("bind 127.0.0.1:0")?;
    for size in 100..105 {
        equal.ask("bind 127.0.0.1:0")?;
        for (puppet, sent) in [(&mut equal, &mut seen), (&mut other, &mut unseen)] {
            *sent += puppet.ask(&format!("sendto 127.0.0.1:9 {size} 50"))?;
            puppet.ask("rest 300")?;
        }
    }
    other.ask("rest 1500")?;
    live.signal(nix::sys::signal::Signal::SIGINT)?;
    let done = live.end()?;
    done.check_says(&["other users' processes", "CAP_SYS_PTRACE"])?;
    let last = Last::of(&done)?;
    last.check("who may do as little", equal.pid(), (seen, 0))?;
    last.check("who may do more", other.pid(), (0, 0))?;
    let found = last.unattributed(HIDDEN);
    ensure!(found == (unseen, 0), "{found:?}: {:#}", last.record);
    Ok(())
}

/// In a PID namespace of its own it does not see whose sockets there are, and says so.
fn of_one_pid_namespace() -> anyhow::Result<()> {
    let a = Space::new()?;
    let live = alone(&a)?;
    let mut puppet = puppet(&a)?;
    puppet.ask("bind 127.0.0.1:0")?;
    let bytes = puppet.ask("sendto 127.0.0.1:9 1000 100")?;
    let done = live.end()?;
    done.check_says(&["another PID namespace"])?;
    let last = Last::of(&done)?;
    let found = last.unattributed(UNSEEN);
    ensure!(found == (bytes, 0), "{found:?}: {:#}", last.record);
    Ok(())
}

/// The default engine's refusal names this one.
fn way_out() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mut command = without(&space, TRACING)?;
    run(command.arg("stream"))?.check_failure(&["CAP_BPF", "--engine packet"])
}

fn doctor_tells() -> anyhow::Result<()> {
    let space = Space::new()?;
    let examine = |privileges: &str| {
        let done = run(without(&space, privileges)?.arg("doctor"))?;
        let mut lines = done.stdout.lines();
        let found = lines.find(|line| line.contains("engine packet:"));
        let is_good =
            found.is_some_and(|line| line.starts_with("[ok]") && line.contains("estimated"));
        ensure!(is_good, "{}", done.stdout);
        anyhow::Ok(done)
    };
    let check = |done: &Done, expected: &[&str]| {
        for text in expected {
            ensure!(done.stdout.contains(text), "`{text}`: {}", done.stdout);
        }
        Ok(())
    };
    let done = examine("+all")?;
    check(
        &done,
        &[
            "sockets: the kernel is asked",
            "other network namespaces: entered",
            "address translations: the kernel is asked",
            "netmon can run",
        ],
    )?;
    let done = examine("-sys_admin,-bpf,-perfmon,-net_admin")?;
    done.check_code(1)?;
    let expected = [
        "other network namespaces: not entered, only read by files (CAP_SYS_ADMIN missing)",
        "address translations: may not be asked for (CAP_NET_ADMIN missing)",
        "[!!] are mended; meanwhile `netmon --engine packet` can, as an estimate",
    ];
    check(&done, &expected)
}

fn pin_is_refused() -> anyhow::Result<()> {
    refused(["--pin", "/nowhere"])
}

fn xdp_is_refused() -> anyhow::Result<()> {
    refused(["--xdp", "native"])
}

/// An option that this engine has no use for.
fn refused(option: [&str; 2]) -> anyhow::Result<()> {
    let done = run(netmon(["stream", "--count", "1", "--engine", "packet"]).args(option))?;
    done.check_code(2)?;
    done.check_says(&[option[0], "--engine packet"])
}
