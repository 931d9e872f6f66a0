//! Traffic of other network namespaces: containers, routers, address translation.

use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::netmon::{BINARY, Live, PATIENCE, run};
use crate::puppet::Puppet;
use crate::record::{PASSING, last};
use crate::space::{Space, two};
use crate::stage::{STREAM, command, connect, counting, netmon, puppet};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("namespaces::routed_between_two", routed),
        root("namespaces::forwarded_of_others", forwarded),
        root("namespaces::bridged_container", bridged),
        root("namespaces::let_go_with_the_last_process", let_go),
        root("namespaces::bound_to_a_bridge", bound_to_a_bridge),
    ]
}

/// `a` and `b` with a router between them: 10.9.1.2 and 10.9.2.2.
pub fn routed_pair() -> anyhow::Result<(Space, Space, Space)> {
    let (a, router, b) = (Space::new()?, Space::new()?, Space::new()?);
    router.join(("r1", "10.9.1.1/24"), &a, ("a0", "10.9.1.2/24"))?;
    router.join(("r2", "10.9.2.1/24"), &b, ("b0", "10.9.2.2/24"))?;
    router.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")?;
    a.sh("ip route add default via 10.9.1.1")?;
    b.sh("ip route add default via 10.9.2.1")?;
    Ok((a, router, b))
}

/// One connection from `client` to `server`, which sends nothing; the bytes.
pub fn send(client: &mut Puppet, server: &mut Puppet, address: &str) -> anyhow::Result<u64> {
    connect((client, address), (server, "0.0.0.0"))?;
    server.tell("receive 1000000")?;
    let bytes = client.ask("send 10000 100")?;
    ensure!(server.hear()? == bytes, "not all arrived");
    Ok(bytes)
}

/// What passes two interfaces is counted once, at both ends that are on this machine.
fn routed() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    let live = netmon(&router, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let bytes = send(&mut client, &mut server, "10.9.2.2")?;
    let last = last(live)?;
    last.check("the client", client.pid(), (bytes, 0))?;
    last.check("the server", server.pid(), (0, bytes))?;
    ensure!(last.of_tcp() == (bytes, bytes), "{:#}", last.record);
    Ok(())
}

/// A stream of a netmon that sees no process but its own, for six seconds: a signal would
/// only reach what started it.
pub fn alone(space: &Space) -> anyhow::Result<Live> {
    let mut alone = command(space, "unshare");
    alone.args(["--pid", "--fork", "--kill-child", "--mount-proc", BINARY]);
    counting(alone.args(STREAM).args(["--count", "30"]))
}

/// A router that does not see the processes of others counts what it forwards, once.
fn forwarded() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    let live = alone(&router)?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let bytes = send(&mut client, &mut server, "10.9.2.2")?;
    let last = crate::record::Last::of(&live.end()?)?;
    let found = last.unattributed(PASSING);
    ensure!(found == (0, bytes), "{found:?}: {:#}", last.record);
    ensure!(last.of_tcp() == (0, bytes), "{:#}", last.record);
    Ok(())
}

/// A host whose bridge has the address 10.7.0.1, and a container with 10.7.0.2 at it.
fn bridge() -> anyhow::Result<(Space, Space)> {
    let (host, inner) = (Space::new()?, Space::new()?);
    host.join(("port", "10.8.0.1/32"), &inner, ("eth0", "10.7.0.2/24"))?;
    host.sh("ip link add br0 type bridge
         ip link set port master br0
         ip address add 10.7.0.1/24 dev br0
         ip link set br0 up")?;
    Ok((host, inner))
}

/// A socket that takes only what comes by the bridge, whose packets are seen at its port.
fn bound_to_a_bridge() -> anyhow::Result<()> {
    let (host, inner) = bridge()?;
    let live = netmon(&host, &[])?;
    let (mut client, mut server) = (puppet(&inner)?, puppet(&host)?);
    client.ask("bind 10.7.0.2:0")?;
    let port = server.ask("bind 0.0.0.0:0")?;
    server.ask("device br0")?;
    let bytes = client.ask(&format!("sendto 10.7.0.1:{port} 500 50"))?;
    let last = last(live)?;
    last.check("in the container", client.pid(), (bytes, 0))?;
    last.check("on the host", server.pid(), (0, bytes))
}

/// Through a bridge that has the host's address: ports and bridge show the same packets.
fn bridged() -> anyhow::Result<()> {
    let (host, inner) = bridge()?;
    let live = netmon(&host, &[])?;
    let (mut client, mut server) = (puppet(&inner)?, puppet(&host)?);
    let bytes = send(&mut client, &mut server, "10.7.0.1")?;
    let last = last(live)?;
    last.check("in the container", client.pid(), (bytes, 0))?;
    last.check("on the host", server.pid(), (0, bytes))?;
    ensure!(last.of_tcp() == (bytes, bytes), "{:#}", last.record);
    Ok(())
}

/// Nobody notices that netmon has looked into a namespace: its interfaces go with it.
fn let_go() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let bytes = send(&mut client, &mut server, "10.9.0.2")?;
    let pid = server.pid();
    server.ask("rest 300")?;
    drop((server, b));
    let deadline = Instant::now() + PATIENCE;
    while run(a.command().args(["ip", "link", "show", "a0"]))?
        .status
        .success()
    {
        ensure!(Instant::now() < deadline, "its interface is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    let last = last(live)?;
    last.check("the server", pid, (0, bytes))
}
