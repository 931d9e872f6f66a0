//! `coverage` in the records: what crosses a real wire is explained, what stays on
//! the machine is not on it, what is only forwarded is said to be other.

use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::collect::interfaces::Interfaces;
use serde_json::Value;

use crate::contract::{check_line, check_run, last, part};
use crate::netmon::{BINARY, Live, PATIENCE, run, shell_with_mounts};
use crate::space::{Space, connection, datagrams, pair, stream, two};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("coverage::what_crosses_is_explained", || crosses("syscall")),
        root("coverage::by_the_socket_engine", || crosses("socket")),
        root("coverage::what_stays_is_not_on_the_wire", stays),
        root("coverage::what_is_forwarded_is_other", forwarded),
        root("coverage::interfaces_come_and_go", come_and_go),
        root(
            "coverage::one_namespace_is_the_first",
            one_namespace_is_the_first,
        ),
        root("coverage::no_wire", no_wire),
        root("coverage::no_counters", no_counters),
    ]
}

/// Netmon in a namespace.
pub fn start(space: &Space, arguments: &[&str]) -> anyhow::Result<Live> {
    let mut command = space.command();
    command.args([BINARY, "stream", "--interval", "200ms"]);
    let mut live = Live::start(command.args(arguments))?;
    // It is reading now.
    live.line()?;
    Ok(live)
}

/// The coverage of the run's last record; `check_run` has checked that the parts of
/// each add up.
fn end(live: Live) -> anyhow::Result<Value> {
    let records = check_run(&live.interrupt()?.stdout)?;
    Ok(last(&records)?["coverage"].clone())
}

fn crosses(engine: &str) -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = start(&a, &["--engine", engine])?;
    let (mut near, mut far) = connection(&a, &b, "10.9.0.2")?;
    stream(&mut near, &mut far, 30_000, 500)?;
    stream(&mut far, &mut near, 1_000, 5_000)?;
    let (mut near6, mut far6) = connection(&a, &b, "fd00:9::2")?;
    stream(&mut near6, &mut far6, 5_000, 200)?;
    let (from, to) = pair((&a, "10.9.0.1"), (&b, "10.9.0.2"))?;
    datagrams(&from, &to, 200, 3_000)?;
    let arrived = datagrams(&to, &from, 1_400, 1_000)?;

    let coverage = end(live)?;
    ensure!(
        coverage["interfaces"] == serde_json::json!(["a0"]),
        "{coverage}"
    );
    for (direction, payload) in [
        ("tx", 30_000 * 500 + 5_000 * 200 + 200 * 3_000),
        ("rx", 1_000 * 5_000 + arrived),
    ] {
        let part = |name| part(&coverage, name, direction);
        let counted = part("payload");
        ensure!(counted == payload, "{direction} {payload}: {coverage}");
        ensure!(part("wire") > payload, "less on the wire: {coverage}");
        ensure!(part("excess") == 0, "not on the wire: {coverage}");
        ensure!(part("overhead") > 0, "no headers: {coverage}");
        ensure!(part("other") * 20 < part("wire"), "other: {coverage}");
    }
    let explained = coverage["explained"].as_f64();
    ensure!(explained > Some(0.9), "{coverage}");
    Ok(())
}

fn stays() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let live = start(&a, &[])?;
    // An own address is reached by loopback, too.
    for address in ["127.0.0.1", "10.9.0.1"] {
        let (mut near, mut far) = connection(&a, &a, address)?;
        stream(&mut near, &mut far, 30_000, 500)?;
        let (from, to) = pair((&a, address), (&a, address))?;
        datagrams(&from, &to, 1_000, 500)?;
    }
    let coverage = end(live)?;
    for direction in ["tx", "rx"] {
        let part = |name| part(&coverage, name, direction);
        ensure!(part("payload") == 0, "{coverage}");
        // What IPv6 and ARP say to begin with.
        ensure!(part("wire") < 16 * 1024, "{coverage}");
    }
    ensure!(coverage["explained"].is_null(), "of nothing: {coverage}");
    Ok(())
}

fn forwarded() -> anyhow::Result<()> {
    let (a, router, b) = (Space::new()?, Space::new()?, Space::new()?);
    router.join(("r0", "10.9.1.1/24"), &a, ("a0", "10.9.1.2/24"))?;
    router.join(("r1", "10.9.2.1/24"), &b, ("b0", "10.9.2.2/24"))?;
    a.sh("ip route add default via 10.9.1.1")?;
    b.sh("ip route add default via 10.9.2.1")?;
    router.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")?;
    let live = start(&router, &[])?;
    let (from, to) = pair((&a, "10.9.1.2"), (&b, "10.9.2.2"))?;
    let mut arrived = datagrams(&from, &to, 1_200, 2_000)?;
    // Of so small ones most is headers, but nobody's here.
    arrived += datagrams(&from, &to, 20, 3_000)?;

    let coverage = end(live)?;
    ensure!(
        coverage["interfaces"] == serde_json::json!(["r0", "r1"]),
        "{coverage}"
    );
    for (direction, bytes) in [("rx", 1_200 * 2_000 + 20 * 3_000), ("tx", arrived)] {
        let part = |name| part(&coverage, name, direction);
        ensure!(part("other") > bytes, "{direction} {bytes}: {coverage}");
        ensure!(part("payload") + part("overhead") == 0, "{coverage}");
    }
    ensure!(coverage["explained"] == 0.0, "{coverage}");
    Ok(())
}

fn come_and_go() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = start(&a, &[])?;
    let mut await_names = |names: &[&str]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let record = check_line(&live.line()?)?;
            let coverage = &record["coverage"];
            if coverage["interfaces"] == serde_json::json!(names) {
                return anyhow::Ok(coverage.clone());
            }
            ensure!(Instant::now() < deadline, "not {names:?}: {coverage}");
        }
    };
    await_names(&["a0"])?;
    a.join(("a1", "10.9.1.1/24"), &b, ("b1", "10.9.1.2/24"))?;
    await_names(&["a0", "a1"])?;
    let (mut near, mut far) = connection(&a, &b, "10.9.1.2")?;
    stream(&mut near, &mut far, 10_000, 100)?;
    // Until a reading has it: what moves between the last one and the end of an
    // interface nobody can know.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let coverage = await_names(&["a0", "a1"])?;
        if part(&coverage, "wire", "tx") > 1_000_000 {
            break;
        }
        ensure!(Instant::now() < deadline, "nothing moved: {coverage}");
    }
    a.sh("ip link delete a1")?;
    await_names(&["a0"])?;
    // A renamed one is still the same, whatever its name is.
    a.sh("ip link set a0 down
        ip link set a0 name \"$(printf 'a\\033,b')\"
        ip link set dev \"$(printf 'a\\033,b')\" up")?;
    await_names(&["a?,b"])?;
    let doctor = run(a.command().args([BINARY, "doctor"]))?.stdout;
    let line = "coverage: compared with what a?,b moved\n";
    ensure!(doctor.contains(line), "{doctor:?}");
    let (mut near, mut far) = connection(&a, &b, "10.9.0.2")?;
    stream(&mut near, &mut far, 10_000, 100)?;
    let coverage = end(live)?;
    ensure!(part(&coverage, "wire", "tx") > 2_000_000, "{coverage}");
    ensure!(part(&coverage, "payload", "tx") == 2_000_000, "{coverage}");
    Ok(())
}

/// In no other network namespace is a card the way out of the whole machine.
fn one_namespace_is_the_first() -> anyhow::Result<()> {
    let is_first = || Ok(Interfaces::open()?.network().is_first);
    ensure!(!Space::new()?.inside(is_first)?, "a new one is the first");
    // The number it has since Linux 6.18 (`NET_NS_INIT_INO`); before, any.
    let own = std::fs::metadata("/proc/self/ns/net")?.ino();
    ensure!(own != 0xefff_fff9 || is_first()?, "the first one is not");
    Ok(())
}

fn no_wire() -> anyhow::Result<()> {
    let space = Space::new()?;
    let done = run(space.command().args([BINARY, "stream", "--count", "1"]))?;
    done.check_quiet()?;
    let records = check_run(&done.stdout)?;
    ensure!(last(&records)?["coverage"].is_null(), "a wire to nowhere");
    Ok(())
}

/// Without the interfaces' counters nothing can be compared; all else is counted.
fn no_counters() -> anyhow::Result<()> {
    // Of /proc only what says that netmon may run.
    let line = "status=$(cat /proc/self/status)
        mount -t tmpfs none /proc
        mkdir /proc/self
        echo \"$status\" > /proc/self/status
        exec \"$NETMON\" stream --count 2 --interval 100ms";
    let done = run(&mut shell_with_mounts(line))?;
    done.check_quiet()?;
    let records = check_run(&done.stdout)?;
    ensure!(records.len() == 2, "{} records", records.len());
    ensure!(last(&records)?["coverage"].is_null(), "from where");
    Ok(())
}
