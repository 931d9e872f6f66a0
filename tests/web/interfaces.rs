//! Interfaces over HTTP, next to the kernel's own counters: a wire between two network
//! namespaces, and a server in one of them.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::answers::wait;
use crate::client::{Answer, Events, get};
use crate::served::Served;
use crate::space::{Space, stream, two};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("interfaces::as_the_kernel_counts", as_the_kernel_counts),
        root("interfaces::sampled", sampled),
        root("interfaces::come_and_go", come_and_go),
    ]
}

/// The kernel's four counts of an interface, or netmon's.
const COUNTS: [&str; 4] = ["tx_bytes", "rx_bytes", "tx_packets", "rx_packets"];

/// A server in a namespace, asked from there.
pub struct Inside<'a> {
    pub space: &'a Space,
    pub served: Served,
}

impl<'a> Inside<'a> {
    pub fn start(space: &'a Space, options: &[&str]) -> anyhow::Result<Inside<'a>> {
        let options = [&["--interval", "100ms", "--no-history"], options].concat();
        let served = space.inside(|| Served::start(&options))?;
        Ok(Inside { space, served })
    }

    pub fn address(&self) -> SocketAddr {
        self.served.address
    }

    pub fn get(&self, target: &str) -> anyhow::Result<Answer> {
        let address = self.address();
        self.space.inside(|| get(address, target))
    }

    /// The row of an interface; `None` before the first snapshot and where there is none.
    pub fn row(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.get("/api/interfaces")?;
        if answer.status == 503 {
            return Ok(None);
        }
        let body = answer.json()?;
        let rows = body["interfaces"].as_array().context("no list")?;
        Ok(rows.iter().find(|row| row["interface"] == name).cloned())
    }

    /// What the kernel has counted of an interface.
    fn kernel(&self, name: &str) -> anyhow::Result<[u64; 4]> {
        let output = self.space.inside(|| {
            let mut ip = Command::new("ip");
            Ok(ip
                .args(["-s", "-j", "link", "show", "dev", name])
                .output()?)
        })?;
        let said: Value = serde_json::from_slice(&output.stdout)?;
        let stats = &said[0]["stats64"];
        let count = |way: &str, what: &str| stats[way][what].as_u64().context("no count");
        Ok([
            count("tx", "bytes")?,
            count("rx", "bytes")?,
            count("tx", "packets")?,
            count("rx", "packets")?,
        ])
    }

    /// How much more the kernel has counted than `counts` says: what moved before netmon
    /// looked, once that stays the same while netmon reads again.
    fn ahead(&self, name: &str, counts: Counts) -> anyhow::Result<[u64; 4]> {
        let mut before: Option<(u64, [u64; 4])> = None;
        wait("the same twice", || {
            let Some((sequence, said)) = self.said(name, counts)? else {
                return Ok(None);
            };
            let ahead = difference(self.kernel(name)?, said)?;
            match before {
                Some((earlier, same)) if same == ahead => {
                    Ok(Some(ahead).filter(|_| sequence >= earlier + 2))
                }
                _ => {
                    before = Some((sequence, ahead));
                    Ok(None)
                }
            }
        })
    }

    /// Waits until netmon counted all that moved since it was so much `ahead`.
    fn wait_for(&self, name: &str, counts: Counts, ahead: [u64; 4]) -> anyhow::Result<()> {
        wait("all that the kernel counted", || {
            let said = self.said(name, counts)?.context("no counts")?.1;
            let now = difference(self.kernel(name)?, said)?;
            Ok(Some(()).filter(|()| now == ahead))
        })
    }

    /// Checks an interface's row against other answers, again if something moved meanwhile.
    fn while_quiet(
        &self,
        name: &str,
        check: impl Fn(&Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        wait("a wire at rest", || {
            let row = self.row(name)?.context("no row")?;
            let result = check(&row);
            let after = self.row(name)?.context("no row")?;
            match listed(&row)? == listed(&after)? {
                true => result.map(Some),
                false => Ok(None),
            }
        })
    }

    /// What the latest record says of an interface, and the record's number.
    fn said(&self, name: &str, counts: Counts) -> anyhow::Result<Option<(u64, [u64; 4])>> {
        let answer = self.get("/api/current?pid=1")?;
        if answer.status == 503 {
            return Ok(None);
        }
        let record = answer.json()?;
        let rows = record["interfaces"].as_array().context("no list")?;
        let row = rows.iter().find(|row| row["interface"] == name);
        let counts = counts(row.context("no row")?)?;
        let sequence = record["sequence"].as_u64().context("no number")?;
        Ok(Some((sequence, counts)))
    }
}

/// Takes four counts out of a row.
type Counts = fn(&Value) -> anyhow::Result<[u64; 4]>;

/// Read later, the kernel is never behind.
fn difference(kernel: [u64; 4], said: [u64; 4]) -> anyhow::Result<[u64; 4]> {
    let is_behind = kernel.iter().zip(said).any(|(kernel, said)| *kernel < said);
    ensure!(!is_behind, "netmon is ahead: {said:?} of {kernel:?}");
    Ok(std::array::from_fn(|at| kernel[at] - said[at]))
}

fn listed(row: &Value) -> anyhow::Result<[u64; 4]> {
    counts(COUNTS.map(|name| &row[name]))
}

/// The same four as the sampler counts them.
fn frames(row: &Value) -> anyhow::Result<[u64; 4]> {
    let [tx, rx] = ["tx", "rx"].map(|way| &row["sampled"][way]["frames"]);
    counts([&tx["bytes"], &rx["bytes"], &tx["packets"], &rx["packets"]])
}

fn counts(values: [&Value; 4]) -> anyhow::Result<[u64; 4]> {
    let counts: Option<Vec<u64>> = values.into_iter().map(Value::as_u64).collect();
    let counts = counts.and_then(|counts| counts.try_into().ok());
    counts.with_context(|| format!("no counts: {values:?}"))
}

/// What the traffic of these tests is, and leaves on the wire.
const MESSAGES: (usize, usize) = (10_000, 300);
const DATAGRAMS: (usize, usize) = (1_000, 100);

/// Bytes of the headers of Ethernet, IPv4 and UDP.
pub const HEADERS: usize = 14 + 20 + 8;

/// Some megabytes from port 80 of `b`, and datagrams to its port 443.
fn traffic(a: &Space, b: &Space) -> anyhow::Result<()> {
    let to = "10.9.0.2:80";
    let listener = b.inside(|| Ok(TcpListener::bind(to)?))?;
    let mut near = a.inside(|| Ok(TcpStream::connect(to)?))?;
    let mut far = listener.accept()?.0;
    stream(&mut far, &mut near, MESSAGES.0, MESSAGES.1)?;
    let far = b.inside(|| Ok(UdpSocket::bind("10.9.0.2:443")?))?;
    let near = a.inside(|| Ok(UdpSocket::bind("10.9.0.1:0")?))?;
    for _ in 0..DATAGRAMS.1 {
        near.send_to(&vec![b'n'; DATAGRAMS.0], far.local_addr()?)?;
    }
    Ok(())
}

fn as_the_kernel_counts() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let inside = Inside::start(&a, &[])?;
    let before = inside.ahead("a0", listed)?;
    traffic(&a, &b)?;
    inside.wait_for("a0", listed, before)?;
    let row = inside.row("a0")?.context("no row")?;
    let payload = MESSAGES.0 * MESSAGES.1;
    ensure!(row["rx_bytes"].as_u64() > Some(payload as u64), "{row}");
    ensure!(row["peak_rate"].as_f64() > Some(0.0), "{row}");
    ensure!(row["sampled"].is_null(), "{row}");

    let record = inside.get("/api/current?pid=1")?.json()?;
    let rows = record["interfaces"].as_array().context("no list")?;
    let lo = rows.iter().find(|row| row["interface"] == "lo");
    ensure!(lo.context("no loopback")?["loopback"] == json!(true));
    inside.while_quiet("a0", |row| elsewhere(&inside, row))?;
    for path in ["/api/metrics/realtime", "/api/stats/summary"] {
        let refused = inside.get(&format!("{path}?iface=a0"))?;
        refused.check_refusal(503, "start `netmon serve --iface a0`")?;
        inside
            .get(path)?
            .check_refusal(503, "start `netmon serve --iface NAME`")?;
    }
    inside.served.end()?;
    Ok(())
}

/// The next event for a page.
fn summary(inside: &Inside<'_>) -> anyhow::Result<Value> {
    let address = inside.address();
    let event = inside.space.inside(|| {
        let events = Events::open(address, "/api/events?view=summary", &[])?;
        let mut events = events.map_err(|status| anyhow::anyhow!("{status}"))?;
        events.next()
    })?;
    Ok(event.context("no event")?.data)
}

/// The same in what a page gets and in the metrics.
fn elsewhere(inside: &Inside<'_>, row: &Value) -> anyhow::Result<()> {
    let page = summary(inside)?;
    let found = page["interfaces"].as_array().context("no list")?;
    let found = found.iter().find(|row| row["interface"] == "a0");
    let found = found.context("not on the page")?;
    ensure!(listed(found)? == listed(row)?, "{found} and {row}");
    for (direction, way) in [("transmit", "tx"), ("receive", "rx")] {
        for family in ["bytes", "packets"] {
            let labels = format!("interface=\"a0\",direction=\"{direction}\"");
            let series = format!("netmon_interface_{family}_total{{{labels}}}");
            let value = metric(inside, &series)?;
            let said = &row[format!("{way}_{family}")];
            ensure!(said.as_u64() == Some(value), "{series} {value}: {row}");
        }
    }
    Ok(())
}

fn metric(inside: &Inside<'_>, series: &str) -> anyhow::Result<u64> {
    let text = inside.get("/metrics")?.body;
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.with_context(|| format!("no {series}: {text}"))?;
    Ok(value.trim().parse()?)
}

/// What the sampler tells apart is what was sent, and all of it is what the kernel counts.
fn sampled() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let inside = Inside::start(&a, &["--iface", "a0"])?;
    wait("a sampled interface", || {
        let row = inside.row("a0")?;
        Ok(row.filter(|row| !row["sampled"].is_null()).map(|_| ()))
    })?;
    let before = inside.ahead("a0", frames)?;
    let first = inside.row("a0")?.context("no row")?;
    traffic(&a, &b)?;
    inside.wait_for("a0", frames, before)?;
    let row = inside.row("a0")?.context("no row")?;
    let moved = |way: &str, class: &str, what: &str| -> anyhow::Result<u64> {
        let of = |row: &Value| {
            row["sampled"][way][class][what]
                .as_u64()
                .context("no count")
        };
        Ok(of(&row)? - of(&first)?)
    };
    for class in ["udp", "https"] {
        let found = [moved("tx", class, "packets")?, moved("tx", class, "bytes")?];
        let expected = [DATAGRAMS.1, DATAGRAMS.1 * (DATAGRAMS.0 + HEADERS)];
        ensure!(found == expected.map(|it| it as u64), "{class}: {found:?}");
        ensure!(moved("rx", class, "packets")? == 0, "{class}: {row}");
    }
    let payload = (MESSAGES.0 * MESSAGES.1) as u64;
    for what in ["packets", "bytes"] {
        for way in ["tx", "rx"] {
            let (tcp, http) = (moved(way, "tcp", what)?, moved(way, "http", what)?);
            ensure!(tcp == http && tcp > 0, "{way} {what}: {row}");
        }
    }
    let received = moved("rx", "http", "bytes")?;
    ensure!(
        (payload..payload * 11 / 10).contains(&received),
        "{received}: {row}"
    );
    inside.while_quiet("a0", |row| {
        answers(&inside, row)?;
        classes(&inside, row)
    })?;
    inside
        .get("/api/metrics/realtime?iface=lo")?
        .check_refusal(503, "start `netmon serve --iface lo`")?;
    inside
        .get("/api/stats/summary?iface=eth7")?
        .check_refusal(404, "there is no interface `eth7`; sampled are a0")?;
    inside.served.end()?;
    Ok(())
}

/// The two answers about one interface, while nothing moves.
fn answers(inside: &Inside<'_>, row: &Value) -> anyhow::Result<()> {
    let sum = |class: &str, what: &str| -> u64 {
        let ways = ["tx", "rx"].map(|way| row["sampled"][way][class][what].as_u64());
        ways.iter().flatten().sum()
    };
    let all = |what: &str| -> u64 {
        let parts = ["tcp", "udp", "icmp", "other_ip", "not_ip"];
        parts.iter().map(|class| sum(class, what)).sum()
    };
    for query in ["", "?iface=a0"] {
        let now = inside
            .get(&format!("/api/metrics/realtime{query}"))?
            .json()?;
        let stats = inside.get(&format!("/api/stats/summary{query}"))?.json()?;
        for answer in [&now, &stats] {
            ensure!(answer["total_bytes"] == all("bytes"), "{answer}: {row}");
            ensure!(answer["total_packets"] == all("packets"), "{answer}: {row}");
        }
        for class in ["tcp", "http", "https"] {
            let share = 100.0 * sum(class, "bytes") as f64 / all("bytes") as f64;
            let said = stats[format!("{class}_percentage")].as_f64();
            let off = said.context("no percentage")? - share;
            ensure!(off.abs() <= 0.01, "{class}: {share} and {stats}");
        }
        let [average, peak] =
            ["avg", "peak"].map(|it| stats[format!("{it}_bandwidth_bps")].as_f64());
        ensure!(Some(0.0) < average && average < peak, "{stats}");
    }
    Ok(())
}

/// The series of each class.
fn classes(inside: &Inside<'_>, row: &Value) -> anyhow::Result<()> {
    for class in ["tcp", "not_ip", "https"] {
        for (direction, way) in [("transmit", "tx"), ("receive", "rx")] {
            let labels = format!("interface=\"a0\",class=\"{class}\",direction=\"{direction}\"");
            let series = format!("netmon_interface_class_bytes_total{{{labels}}}");
            let value = metric(inside, &series)?;
            let said = &row["sampled"][way][class]["bytes"];
            ensure!(said.as_u64() == Some(value), "{series} {value}: {row}");
        }
    }
    Ok(())
}

/// An interface that goes is nowhere any longer, and one that comes is everywhere.
fn come_and_go() -> anyhow::Result<()> {
    let a = Space::new()?;
    let inside = Inside::start(&a, &[])?;
    for _ in 0..2 {
        a.sh("ip link add c0 type veth peer name c1 && ip link set c0 up && ip link set c1 up")?;
        wait("the new interface", || inside.row("c0"))?;
        let series = "netmon_interface_bytes_total{interface=\"c1\",direction=\"receive\"}";
        wait("its series", || Ok(metric(&inside, series).ok()))?;
        a.sh("ip link delete c0")?;
        wait("its end", || Ok(inside.row("c0")?.is_none().then_some(())))?;
        wait("its series' end", || {
            Ok(metric(&inside, series).is_err().then_some(()))
        })?;
    }
    inside.served.end()?;
    Ok(())
}
