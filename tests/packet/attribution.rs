//! Bytes of living processes, to the byte, at the right one.

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::netmon::{BINARY, Live, roomy, run};
use crate::puppet::Puppet;
use crate::record::{ENDED, ICMP, Last, last, sum};
use crate::space::{Space, two};
use crate::stage::{self, STREAM, command, netmon, puppet};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("attribution::tcp_ipv4", || tcp("10.9.0.2", "10.9.0.2")),
        root("attribution::tcp_ipv6", || {
            tcp("[fd00:9::2]", "[fd00:9::2]")
        }),
        root("attribution::tcp_ipv4_mapped", || tcp("[::]", "10.9.0.2")),
        root("attribution::tcp_mapped_client", || {
            tcp("10.9.0.2", "[::ffff:10.9.0.2]")
        }),
        root("attribution::tcp_on_loopback", loopback),
        root("attribution::udp_connected", || udp("10.9.0.2", true)),
        root("attribution::udp_unconnected", || udp("10.9.0.2", false)),
        root("attribution::udp_wildcard", || udp("0.0.0.0", false)),
        root("attribution::udp_dual_stack", || udp("[::]", false)),
        root("attribution::udp_of_a_shared_port", shared_port),
        root("attribution::large_datagrams", large_datagrams),
        root(
            "attribution::large_datagrams_of_two",
            large_datagrams_of_two,
        ),
        root("attribution::icmp", icmp),
        root("attribution::subnet_broadcast", broadcast),
        root("attribution::as_the_default_engine", as_the_default_engine),
        root("attribution::one_interface", one_interface),
        root("attribution::one_interface_named_twice", named_twice),
        root("attribution::one_interface_that_goes_down", goes_down),
    ]
}

/// Moves bytes both ways between a listener at `listen` and a client that connects to
/// `connect`; what each sent.
fn talk(
    client: &mut Puppet,
    server: &mut Puppet,
    listen: &str,
    connect: &str,
) -> anyhow::Result<(u64, u64)> {
    stage::connect((client, connect), (server, listen))?;
    server.tell("receive 3000000")?;
    let forth = client.ask("send 30000 100")?;
    ensure!(server.hear()? == forth, "not all arrived");
    client.tell("receive 70000")?;
    let back = server.ask("send 700 100")?;
    ensure!(client.hear()? == back, "not all came back");
    Ok((forth, back))
}

fn tcp(listen: &str, connect: &str) -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let (forth, back) = talk(&mut client, &mut server, listen, connect)?;
    let last = last(live)?;
    last.check("the client", client.pid(), (forth, back))?;
    // Its packets cross netmon's namespace, and its own can be looked into.
    last.check("the server", server.pid(), (back, forth))?;
    ensure!(
        last.of_tcp() == (forth + back, forth + back),
        "{:#}",
        last.record
    );
    for flow in last.record["flows"].as_array().into_iter().flatten() {
        let remote = flow["remote_address"].as_str();
        ensure!(remote.is_some_and(|it| !it.contains("ffff")), "{flow}");
    }
    Ok(())
}

fn loopback() -> anyhow::Result<()> {
    let a = Space::new()?;
    let live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    let (forth, back) = talk(&mut client, &mut server, "127.0.0.1", "127.0.0.1")?;
    let last = last(live)?;
    last.check("the client", client.pid(), (forth, back))?;
    last.check("the server", server.pid(), (back, forth))?;
    ensure!(
        last.of_tcp() == (forth + back, forth + back),
        "{:#}",
        last.record
    );
    Ok(())
}

fn udp(bind: &str, connected: bool) -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let (mut near, mut far) = (puppet(&a)?, puppet(&b)?);
    let own = if connected { "10.9.0.1" } else { "0.0.0.0" };
    let from = near.ask(&format!("bind {own}:0"))?;
    let to = far.ask(&format!("bind {bind}:0"))?;
    let (mut there, mut here) = (format!("10.9.0.2:{to}"), format!("10.9.0.1:{from}"));
    if connected {
        near.ask(&format!("point {there}"))?;
        far.ask(&format!("point {here}"))?;
        (there, here) = ("-".to_owned(), "-".to_owned());
    } else if bind == "[::]" {
        here = format!("[::ffff:10.9.0.1]:{from}");
    }
    let forth = near.ask(&format!("sendto {there} 300 200"))?;
    let back = far.ask(&format!("sendto {here} 1000 50"))?;
    let last = last(live)?;
    last.check("the near one", near.pid(), (forth, back))?;
    last.check("the far one", far.pid(), (back, forth))
}

/// Of several that share a port (SO_REUSEPORT) the kernel chooses one for each sender.
fn shared_port() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let mut near = puppet(&a)?;
    let mut sharers = [puppet(&b)?, puppet(&b)?, puppet(&b)?];
    let mut port = 0;
    for sharer in &mut sharers {
        port = sharer.ask(&format!("share 10.9.0.2:{port}"))?;
    }
    // What arrives waits until it is gathered: as many as a socket's usual buffer (208 KiB)
    // holds with what the kernel adds to each (1,280 bytes in all), were they all one's.
    let mut forth = 0;
    for _ in 0..40 {
        near.ask("bind 10.9.0.1:0")?;
        forth += near.ask(&format!("sendto 10.9.0.2:{port} 300 4"))?;
    }
    let last = last(live)?;
    last.check("the sender", near.pid(), (forth, 0))?;
    let mut arrived = 0;
    for (number, sharer) in sharers.iter_mut().enumerate() {
        let own = sharer.ask("gather")?;
        ensure!(own > 0, "the kernel chose {number} for nobody");
        last.check(&format!("sharer {number}"), sharer.pid(), (0, own))?;
        arrived += own;
    }
    ensure!(arrived == forth, "{arrived} of {forth} arrived");
    Ok(())
}

/// Cut into fragments, of which only the first has ports.
fn large_datagrams() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let (mut near, mut far) = (puppet(&a)?, puppet(&b)?);
    near.ask("bind 10.9.0.1:0")?;
    let to = far.ask("bind 10.9.0.2:0")?;
    let forth = near.ask(&format!("sendto 10.9.0.2:{to} 20000 20"))?;
    let last = last(live)?;
    last.check("the near one", near.pid(), (forth, 0))?;
    last.check("the far one", far.pid(), (0, forth))
}

/// At the same time between the same addresses.
fn large_datagrams_of_two() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let mut talks = Vec::new();
    for _ in 0..2 {
        let (mut near, mut far) = (puppet(&a)?, puppet(&b)?);
        near.ask("bind 10.9.0.1:0")?;
        let to = far.ask("bind 10.9.0.2:0")?;
        talks.push((near, far, to));
    }
    for (near, _, to) in &mut talks {
        near.tell(&format!("sendto 10.9.0.2:{to} 20000 300"))?;
    }
    for (near, ..) in &mut talks {
        ensure!(near.hear()? == 6_000_000, "not all was sent");
    }
    let last = last(live)?;
    for (near, far, _) in &talks {
        last.check("a sender", near.pid(), (6_000_000, 0))?;
        last.check("a receiver", far.pid(), (0, 6_000_000))?;
    }
    Ok(())
}

/// Who sends it does not receive it, whoever listens there.
fn broadcast() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let (mut near, mut far) = (puppet(&a)?, puppet(&b)?);
    near.ask("bind 0.0.0.0:5000")?;
    far.ask("bind 0.0.0.0:5001")?;
    let forth = near.ask("sendto 10.9.0.255:5001 500 20")?;
    let back = far.ask("sendto 10.9.0.255:5000 400 20")?;
    let last = last(live)?;
    last.check("the near one", near.pid(), (forth, back))?;
    last.check("the far one", far.pid(), (back, forth))?;
    ensure!(last.unattributed(ENDED) == (0, 0), "{:#}", last.record);
    Ok(())
}

fn icmp() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    a.sh("echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range")?;
    let live = netmon(&a, &[])?;
    let mut puppet = puppet(&a)?;
    let came = puppet.ask("ping 10.9.0.2 100 3")?;
    ensure!(came == 3 * 108, "{came} bytes of echoes");
    let last = last(live)?;
    // Three there and three back, at both ends, with ICMP's own header.
    let (found, ipv6) = (last.unattributed(ICMP), last.of_icmp6());
    let expected = (2 * came + ipv6.0, 2 * came + ipv6.1);
    ensure!(found == expected, "{found:?}: {:#}", last.record);
    last.check("who asked", puppet.pid(), (0, 0))
}

/// Two netmons see the same traffic, and count the same bytes of it.
fn as_the_default_engine() -> anyhow::Result<()> {
    let a = Space::new()?;
    let live = netmon(&a, &[])?;
    let mut other = Live::start(roomy(["stream", "--interval", "200ms"]).arg("--kernel-threads"))?;
    other.line()?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    talk(&mut client, &mut server, "[::1]", "[::1]")?;
    let estimated = last(live)?;
    let done = other.interrupt()?;
    let line = done.stdout.lines().last().unwrap_or_default();
    let exact: Value = serde_json::from_str(line)?;
    for puppet in [&client, &server] {
        let rows = exact["processes"].as_array().into_iter().flatten();
        let rows = rows.filter(|row| row["pid"] == puppet.pid()).collect();
        estimated.check("as the default engine", puppet.pid(), sum(rows))?;
    }
    Ok(())
}

/// Only what crosses the interface that was asked for.
fn one_interface() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut refused = command(&a, BINARY);
    run(refused.args(STREAM).args(["--iface", "eth9"]))?.check_failure(&[
        "eth9",
        "no such interface",
        "a0",
    ])?;
    let live = netmon(&a, &["--iface", "a0"])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    talk(&mut client, &mut server, "127.0.0.1", "127.0.0.1")?;
    let (mut near, mut far) = (puppet(&a)?, puppet(&b)?);
    let (forth, back) = talk(&mut near, &mut far, "10.9.0.2", "10.9.0.2")?;
    let last = last(live)?;
    last.check("on the interface", near.pid(), (forth, back))?;
    last.check("on loopback", client.pid(), (0, 0))
}

fn named_twice() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &["--iface", "a0", "--iface", "a0"])?;
    let (mut near, mut far) = (puppet(&a)?, puppet(&b)?);
    let (forth, back) = talk(&mut near, &mut far, "10.9.0.2", "10.9.0.2")?;
    let last = last(live)?;
    last.check("the near one", near.pid(), (forth, back))?;
    last.check("the far one", far.pid(), (back, forth))
}

/// It is said once that an interface is down, and once that it is up again.
fn goes_down() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = netmon(&a, &["--iface", "a0"])?;
    a.sh("ip link set a0 down")?;
    for _ in 0..5 {
        live.line()?;
    }
    a.sh("ip link set a0 up")?;
    for _ in 0..5 {
        live.line()?;
    }
    let (mut near, mut far) = (puppet(&a)?, puppet(&b)?);
    let (forth, back) = talk(&mut near, &mut far, "10.9.0.2", "10.9.0.2")?;
    live.signal(nix::sys::signal::Signal::SIGINT)?;
    let mut done = live.end()?;
    let lines: Vec<&str> = done.stderr.lines().collect();
    let said = lines[1..]
        == [
            "netmon: interface a0 went down; its packets are not counted until it is up again",
            "netmon: interface a0 is up again; its packets are counted",
        ];
    ensure!(said, "{}", done.stderr);
    done.stderr = lines[0].to_owned();
    let last = Last::of(&done)?;
    last.check("the near one", near.pid(), (forth, back))?;
    last.check("the far one", far.pid(), (back, forth))
}
