//! Addresses that the kernel rewrites: each byte is counted once at each end that is on
//! this machine, and nobody is given those of another.

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::namespaces::{alone, routed_pair, send};
use crate::netmon::{Live, run, shell};
use crate::privileges::packets_without;
use crate::puppet::Puppet;
use crate::record::{ENDED, Last, PASSING, last};
use crate::space::{Space, two};
use crate::stage::{counting, netmon, puppet};
use crate::trial::{Impossible, root};

pub fn trials() -> Vec<Trial> {
    vec![
        root("translations::source", source),
        root("translations::source_of_unseen_clients", unseen_clients),
        root("translations::destination_here", destination_here),
        root(
            "translations::destination_on_the_way",
            destination_on_the_way,
        ),
        root("translations::destination_of_connected_udp", || udp(true)),
        root("translations::destination_of_unconnected_udp", || {
            udp(false)
        }),
        root("translations::destination_forwarded", destination_forwarded),
        root("translations::redirected_on_loopback", redirected),
        root(
            "translations::redirected_from_outside",
            redirected_from_outside,
        ),
        root("translations::one_interface", one_interface),
        root("translations::bystander", bystander),
        root("translations::bystander_in_a_container", bystander_inside),
        root("translations::without_conntrack", without_conntrack),
    ]
}

/// Adds a rule for addresses to a namespace.
fn rewrite(space: &Space, hook: &str, priority: i32, rule: &str) -> anyhow::Result<()> {
    if !run(&mut shell("nft --version"))?.status.success() {
        return Err(Impossible("it needs `nft` (package nftables)".to_owned()).into());
    }
    space.sh(&format!(
        "nft add table ip t
         nft add chain ip t {hook} '{{ type nat hook {hook} priority {priority} ; }}'
         nft add rule ip t {hook} {rule}"
    ))
}

fn masquerade(router: &Space) -> anyhow::Result<()> {
    rewrite(router, "postrouting", 100, "oifname r2 masquerade")
}

/// The address of a service that nobody has.
const SERVICE: &str = "10.96.0.1";

/// Lets a client talk to a server that listens at `listen` by the service's address;
/// bytes forth and back.
fn talk(client: &mut Puppet, server: &mut Puppet, address: &str) -> anyhow::Result<(u64, u64)> {
    server.ask("listen 0.0.0.0:8080")?;
    client.ask(&format!("connect {address}:80"))?;
    server.ask("accept")?;
    server.tell("receive 1000000")?;
    let forth = client.ask("send 10000 100")?;
    ensure!(server.hear()? == forth, "not all arrived");
    client.tell("receive 70000")?;
    let back = server.ask("send 700 100")?;
    ensure!(client.hear()? == back, "not all came back");
    Ok((forth, back))
}

/// Fails unless both moved that, and nobody anything else.
fn check(
    last: &Last,
    (client, server): (&Puppet, &Puppet),
    (forth, back): (u64, u64),
) -> anyhow::Result<()> {
    last.check("the client", client.pid(), (forth, back))?;
    last.check("the server", server.pid(), (back, forth))?;
    let all = (forth + back, forth + back);
    ensure!(last.of_tcp() == all, "not {all:?}: {:#}", last.record);
    Ok(())
}

/// Behind a router that puts its own address in place of the client's.
fn source() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    masquerade(&router)?;
    let live = netmon(&router, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let bytes = send(&mut client, &mut server, "10.9.2.2")?;
    check(&last(live)?, (&client, &server), (bytes, 0))
}

/// The same on a machine that has neither the client nor the server.
fn unseen_clients() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    masquerade(&router)?;
    let live = alone(&router)?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let bytes = send(&mut client, &mut server, "10.9.2.2")?;
    check_passing(live, bytes)
}

/// All of it, and nothing else, is of nobody here.
fn check_passing(live: Live, bytes: u64) -> anyhow::Result<()> {
    let last = Last::of(&live.end()?)?;
    let found = last.unattributed(PASSING);
    ensure!(found == (0, bytes), "{found:?}: {:#}", last.record);
    ensure!(last.of_tcp() == (0, bytes), "{:#}", last.record);
    Ok(())
}

/// A client here connects to a service, which the kernel sends to a server.
fn destination_here() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.sh("ip route add default via 10.9.0.2")?;
    let rule = "ip daddr 10.96.0.1 tcp dport 80 dnat to 10.9.0.2:8080";
    rewrite(&a, "output", -100, rule)?;
    let live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let moved = talk(&mut client, &mut server, SERVICE)?;
    check(&last(live)?, (&client, &server), moved)
}

/// What is for the service goes on to the server.
fn serve_elsewhere(router: &Space) -> anyhow::Result<()> {
    let rule = "ip daddr 10.96.0.1 tcp dport 80 dnat to 10.9.2.2:8080";
    rewrite(router, "prerouting", -100, rule)
}

/// A container's client does, and its packets are seen on both sides of the kernel.
fn destination_on_the_way() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    serve_elsewhere(&router)?;
    let live = netmon(&router, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let moved = talk(&mut client, &mut server, SERVICE)?;
    check(&last(live)?, (&client, &server), moved)
}

/// The same where neither end can be seen.
fn destination_forwarded() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    serve_elsewhere(&router)?;
    let live = alone(&router)?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let (forth, back) = talk(&mut client, &mut server, SERVICE)?;
    check_passing(live, forth + back)
}

/// Datagrams of a client here and of one in a container, to a service.
fn udp(connected: bool) -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    for (hook, priority) in [("prerouting", -100), ("output", -100)] {
        rewrite(
            &router,
            hook,
            priority,
            "ip daddr 10.96.0.1 udp dport 53 dnat to 10.9.2.2:5353",
        )?;
    }
    router.sh("ip route add 10.96.0.0/16 via 10.9.2.2")?;
    let live = netmon(&router, &[])?;
    let mut server = puppet(&b)?;
    server.ask("bind 0.0.0.0:5353")?;
    let (mut inside, mut here) = (puppet(&a)?, puppet(&router)?);
    let mut sent = Vec::new();
    for client in [&mut inside, &mut here] {
        client.ask("bind 0.0.0.0:0")?;
        let mut to = format!("{SERVICE}:53");
        if connected {
            client.ask(&format!("point {to}"))?;
            to = "-".to_owned();
        }
        sent.push(client.ask(&format!("sendto {to} 500 200"))?);
    }
    let last = last(live)?;
    last.check("in the container", inside.pid(), (sent[0], 0))?;
    last.check("here", here.pid(), (sent[1], 0))?;
    last.check("the server", server.pid(), (0, sent[0] + sent[1]))?;
    ensure!(last.unattributed(ENDED) == (0, 0), "{:#}", last.record);
    Ok(())
}

/// To another port of the same machine, as a proxy on it wants.
fn redirected() -> anyhow::Result<()> {
    let a = Space::new()?;
    rewrite(
        &a,
        "output",
        -100,
        "ip daddr 127.0.0.1 tcp dport 80 redirect to :8080",
    )?;
    let live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&a)?);
    let moved = talk(&mut client, &mut server, "127.0.0.1")?;
    check(&last(live)?, (&client, &server), moved)
}

fn redirected_from_outside() -> anyhow::Result<()> {
    let (a, b) = two()?;
    rewrite(&a, "prerouting", -100, "tcp dport 80 redirect to :8080")?;
    let live = netmon(&a, &[])?;
    let (mut client, mut server) = (puppet(&b)?, puppet(&a)?);
    let moved = talk(&mut client, &mut server, "10.9.0.1")?;
    check(&last(live)?, (&client, &server), moved)
}

/// Only the far side of a router is captured: the client is found behind its new address.
fn one_interface() -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    masquerade(&router)?;
    let live = netmon(&router, &["--iface", "r2"])?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let bytes = send(&mut client, &mut server, "10.9.2.2")?;
    check(&last(live)?, (&client, &server), (bytes, 0))
}

/// Twenty clients that end at once, next to one that holds a connection to their server.
fn burst(from: &Space, port: u64, server: &mut Puppet) -> anyhow::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for _ in 0..20 {
        let mut client = puppet(from)?;
        pids.push(client.pid());
        server.tell("accept")?;
        client.tell(&format!("connect 10.9.2.2:{port}"))?;
        client.tell("send 1000 200")?;
        client.tell("leave")?;
        server.hear()?;
        server.ask("receive 200000")?;
        client.hear()?;
        client.hear()?;
        client.end()?;
    }
    Ok(pids)
}

/// All of `burst`'s bytes are at its clients or at nobody.
fn check_burst(last: &Last, pids: &[u32], idle: &Puppet) -> anyhow::Result<()> {
    last.check("the bystander", idle.pid(), (0, 0))?;
    let known: u64 = pids.iter().map(|pid| last.of_pid(*pid).0).sum();
    let (unknown, _) = last.unattributed(ENDED);
    ensure!(
        known + unknown == 20 * 200_000,
        "{known} and {unknown}: {:#}",
        last.record
    );
    Ok(())
}

fn bystander() -> anyhow::Result<()> {
    beside(|_, router| puppet(router))
}

fn bystander_inside() -> anyhow::Result<()> {
    beside(|a, router| {
        masquerade(router)?;
        puppet(a)
    })
}

/// An idle connection to where the router's burst goes gets none of it, whose ever it is.
fn beside(idle: impl FnOnce(&Space, &Space) -> anyhow::Result<Puppet>) -> anyhow::Result<()> {
    let (a, router, b) = routed_pair()?;
    let mut idle = idle(&a, &router)?;
    let live = netmon(&router, &[])?;
    let mut server = puppet(&b)?;
    let port = server.ask("listen 10.9.2.2:0")?;
    idle.ask(&format!("connect 10.9.2.2:{port}"))?;
    server.ask("accept")?;
    let pids = burst(&router, port, &mut server)?;
    let last = last(live)?;
    last.check("the server", server.pid(), (0, 20 * 200_000))?;
    check_burst(&last, &pids, &idle)
}

/// Who may not ask says that nobody is known, and gives the bytes to nobody else.
fn without_conntrack() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.sh("ip route add default via 10.9.0.2")?;
    let rule = "ip daddr 10.96.0.1 tcp dport 80 dnat to 10.9.0.2:8080";
    rewrite(&a, "output", -100, rule)?;
    let live = counting(&mut packets_without(&a, "-net_admin")?)?;
    let (mut client, mut server) = (puppet(&a)?, puppet(&b)?);
    let (forth, back) = talk(&mut client, &mut server, SERVICE)?;
    let last = last(live)?;
    last.check("the client", client.pid(), (0, 0))?;
    last.check("the server", server.pid(), (back, forth))?;
    let found = last.unattributed(ENDED);
    ensure!(found == (forth, back), "{found:?}: {:#}", last.record);
    Ok(())
}
