//! `coverage` in the records: what crosses a real wire is explained, what stays on
//! the machine is not on it, what is only forwarded is said to be other.
//!
//! The wire is a veth pair between network namespaces of the tests' own, which
//! sleeping processes hold; with them it goes. Traffic is the test's own: a socket
//! stays in the namespace in which it was opened.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use libtest_mimic::Trial;
use netmon::collect::interfaces::Interfaces;
use serde_json::Value;

use crate::contract::{check_line, check_run, last, part};
use crate::netmon::{BINARY, Live, PATIENCE, run, shell, shell_with_mounts};
use crate::trial::{Impossible, root};

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

/// A network namespace with a loopback, as long as its holder sleeps.
pub struct Space {
    holder: Live,
}

impl Space {
    pub fn new() -> anyhow::Result<Space> {
        if !run(&mut shell("ip -V"))?.status.success() {
            return Err(Impossible("it needs `ip` (package iproute2)".to_owned()).into());
        }
        let line = "ip link set lo up && echo ready && exec sleep 600";
        let mut command = Command::new("unshare");
        let mut holder = Live::start(command.args(["--net", "sh", "-c", line]))?;
        holder.line()?;
        Ok(Space { holder })
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.pid())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path()));
        command
    }

    /// Runs a shell's line in it.
    pub fn sh(&self, line: &str) -> anyhow::Result<()> {
        let done = run(self.command().args(["sh", "-ec", line]))?;
        done.check_code(0).with_context(|| line.to_owned())
    }

    /// Joins it to `other` by a pair of interfaces with these names and addresses.
    pub fn join(&self, mine: (&str, &str), other: &Space, its: (&str, &str)) -> anyhow::Result<()> {
        let (name, peer, pid) = (mine.0, its.0, other.holder.pid());
        self.sh(&format!(
            "ip link add {name} type veth peer name {peer} netns {pid}"
        ))?;
        for (space, (name, address)) in [(self, mine), (other, its)] {
            space.sh(&format!("ip address add {address} dev {name}"))?;
            space.sh(&format!("ip link set {name} up"))?;
        }
        Ok(())
    }

    /// Netmon in it.
    fn netmon(&self, arguments: &[&str]) -> anyhow::Result<Live> {
        let mut command = self.command();
        command.args([BINARY, "stream", "--interval", "200ms"]);
        let mut live = Live::start(command.args(arguments))?;
        // It is reading now.
        live.line()?;
        Ok(live)
    }

    /// What `open` gives when it is done in this namespace.
    pub fn inside<T: Send>(
        &self,
        open: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let space = File::open(self.path())?;
        // Only that thread changes its namespace, and then ends.
        let open = || {
            // SAFETY: setns takes two numbers; the descriptor is open.
            let result = unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) };
            ensure!(result == 0, "setns: {}", std::io::Error::last_os_error());
            open()
        };
        thread::scope(|scope| scope.spawn(open).join()).map_err(|_| anyhow!("no socket"))?
    }
}

/// Two namespaces with a wire between them: `a0`, 10.9.0.1 and fd00:9::1, and `b0`,
/// the same with a 2.
fn two() -> anyhow::Result<(Space, Space)> {
    let (a, b) = (Space::new()?, Space::new()?);
    a.join(("a0", "10.9.0.1/24"), &b, ("b0", "10.9.0.2/24"))?;
    a.sh("ip address add fd00:9::1/64 dev a0 nodad")?;
    b.sh("ip address add fd00:9::2/64 dev b0 nodad")?;
    Ok((a, b))
}

/// A connection from one namespace to an address in another, or the same one.
fn connection(from: &Space, to: &Space, address: &str) -> anyhow::Result<(TcpStream, TcpStream)> {
    let address = SocketAddr::new(address.parse()?, 0);
    let listener = to.inside(|| Ok(TcpListener::bind(address)?))?;
    let port = listener.local_addr()?;
    let near = from.inside(|| Ok(TcpStream::connect(port)?))?;
    Ok((near, listener.accept()?.0))
}

/// Sends `count` messages of `size` bytes one way; all of them are received.
fn stream(
    from: &mut TcpStream,
    to: &mut TcpStream,
    size: usize,
    count: usize,
) -> anyhow::Result<()> {
    let message = vec![b'n'; size];
    thread::scope(|scope| {
        let sender = scope.spawn(|| (0..count).try_for_each(|_| from.write_all(&message)));
        let mut room = vec![0; 64 * 1024];
        let mut left = size * count;
        while left > 0 {
            let length = to.read(&mut room)?;
            ensure!(length > 0, "the connection ended");
            left -= length;
        }
        Ok(sender.join().map_err(|_| anyhow!("no sender"))??)
    })
}

/// Sends `count` datagrams of `size` bytes; how many bytes arrived.
fn datagrams(from: &UdpSocket, to: &UdpSocket, size: usize, count: usize) -> anyhow::Result<u64> {
    to.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut room = vec![0; size];
    let mut arrived = 0;
    for _ in 0..count {
        ensure!(from.send(&vec![b'n'; size])? == size, "a partial datagram");
        match to.recv(&mut room) {
            Ok(length) => arrived += length as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => bail!(error),
        }
    }
    Ok(arrived)
}

/// Connected UDP sockets at these addresses.
fn pair(from: (&Space, &str), to: (&Space, &str)) -> anyhow::Result<(UdpSocket, UdpSocket)> {
    let bind = |(space, address): (&Space, &str)| {
        space.inside(|| Ok(UdpSocket::bind(format!("{address}:0"))?))
    };
    let (near, far) = (bind(from)?, bind(to)?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    Ok((near, far))
}

/// The coverage of the run's last record; `check_run` has checked that the parts of
/// each add up.
fn end(live: Live) -> anyhow::Result<Value> {
    let records = check_run(&live.interrupt()?.stdout)?;
    Ok(last(&records)?["coverage"].clone())
}

fn crosses(engine: &str) -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = a.netmon(&["--engine", engine])?;
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
    let live = a.netmon(&[])?;
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
    let live = router.netmon(&[])?;
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
    let mut live = a.netmon(&[])?;
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
