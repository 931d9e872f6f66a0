//! Rates of a sampled interface over HTTP, next to traffic of a known size and the
//! records of the same intervals; and who is refused them.
//!
//! Nothing here is timed: a rate is compared with what its interval's record counted more
//! than the one before, and by how long both say that it was.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::answers::wait;
use crate::client::Events;
use crate::interfaces::{HEADERS, Inside};
use crate::space::{Space, two};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("realtime::rates_are_those_of_the_intervals", rates),
        root("realtime::one_of_two_must_be_named", named),
    ]
}

/// Payload of a step, bytes: sent and received, by port 80 and by port 443.
const HTTP: [usize; 2] = [1000, 500];
const HTTPS: [usize; 2] = [700, 300];

/// Between two steps.
const PACE: Duration = Duration::from_millis(2);

/// Intervals whose rates are compared.
const INTERVALS: usize = 10;

/// The names of a rate and what it is of, in bits and packets per second.
const RATES: [(&str, &str, &[&str]); 4] = [
    (
        "bandwidth_bps",
        "packets_per_sec",
        &["tcp", "udp", "icmp", "other_ip", "not_ip"],
    ),
    ("tcp_bandwidth_bps", "tcp_packets_per_sec", &["tcp"]),
    ("http_bandwidth_bps", "http_packets_per_sec", &["http"]),
    ("https_bandwidth_bps", "https_packets_per_sec", &["https"]),
];

/// The near and the far ends of what is sent.
struct Ends {
    http: [TcpStream; 2],
    https: [UdpSocket; 2],
}

impl Ends {
    fn open(a: &Space, b: &Space) -> anyhow::Result<Ends> {
        let listener = b.inside(|| Ok(TcpListener::bind("10.9.0.2:80")?))?;
        let near = a.inside(|| Ok(TcpStream::connect("10.9.0.2:80")?))?;
        let own = a.inside(|| Ok(UdpSocket::bind("10.9.0.1:0")?))?;
        let far = b.inside(|| Ok(UdpSocket::bind("10.9.0.2:443")?))?;
        own.connect(far.local_addr()?)?;
        far.connect(own.local_addr()?)?;
        Ok(Ends {
            http: [near, listener.accept()?.0],
            https: [own, far],
        })
    }

    /// Sends both ways at a steady pace until told to stop; how many steps that were.
    fn send(self, stops: &AtomicBool) -> anyhow::Result<usize> {
        let mut steps = 0;
        while !stops.load(Ordering::Relaxed) {
            for (from, to) in [(0, 1), (1, 0)] {
                let mut message = vec![b'n'; HTTP[from]];
                (&self.http[from]).write_all(&message)?;
                (&self.http[to]).read_exact(&mut message)?;
                self.https[from].send(&vec![b'n'; HTTPS[from]])?;
            }
            steps += 1;
            thread::sleep(PACE);
        }
        Ok(steps)
    }
}

/// One record: its number, its length in seconds, what is sampled of the interface.
struct Record {
    sequence: u64,
    seconds: f64,
    sampled: Value,
}

impl Record {
    fn next(events: &mut Events) -> anyhow::Result<Record> {
        let data = events.next()?.context("no record")?.data;
        let rows = data["interfaces"].as_array().context("no list")?;
        let row = rows.iter().find(|row| row["interface"] == "a0");
        Ok(Record {
            sequence: data["sequence"].as_u64().context("no number")?,
            seconds: data["interval_seconds"].as_f64().context("no length")?,
            sampled: row.context("no row")?["sampled"].clone(),
        })
    }

    /// Counted so far of these classes, in one direction or both.
    fn sum(&self, ways: &[&str], classes: &[&str], what: &str) -> anyhow::Result<u64> {
        let mut sum = 0;
        for (way, class) in ways
            .iter()
            .flat_map(|way| classes.iter().map(move |it| (way, it)))
        {
            let count = self.sampled[way][class][what].as_u64();
            sum += count.with_context(|| format!("no {way} {class}: {}", self.sampled))?;
        }
        Ok(sum)
    }

    /// True if something of each class that has a rate moved since.
    fn is_beyond(&self, before: &Record) -> anyhow::Result<bool> {
        for (_, _, classes) in RATES {
            let sum = |record: &Record| record.sum(&["tx", "rx"], classes, "packets");
            if sum(self)? == sum(before)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if the answer has this record's totals.
    fn is_of(&self, answer: &Value) -> anyhow::Result<bool> {
        let all = |what| self.sum(&["tx", "rx"], RATES[0].2, what);
        Ok(answer["total_packets"] == all("packets")? && answer["total_bytes"] == all("bytes")?)
    }
}

fn rates() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let inside = Inside::start(&a, &["--iface", "a0"])?;
    wait("a sampled interface", || {
        let row = inside.row("a0")?;
        Ok(row.filter(|row| !row["sampled"].is_null()).map(|_| ()))
    })?;
    let address = inside.address();
    let events = a.inside(|| Events::open(address, "/api/events", &[]))?;
    let mut events = events.map_err(|status| anyhow::anyhow!("{status}"))?;
    let ends = Ends::open(&a, &b)?;
    let stops = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| ends.send(&stops));
        let compared = compare(&inside, &mut events);
        stops.store(true, Ordering::Relaxed);
        let steps = sender.join().expect("no panic")?;
        compared?;
        all_of_it(&mut events, steps)
    })?;
    inside.served.end()?;
    Ok(())
}

/// Compares answers with the records that have the same totals.
fn compare(inside: &Inside<'_>, events: &mut Events) -> anyhow::Result<()> {
    let mut records: Vec<Record> = Vec::new();
    let mut answers: Vec<Value> = Vec::new();
    let mut compared = 0;
    while compared < INTERVALS {
        records.push(Record::next(events)?);
        answers.push(inside.get("/api/metrics/realtime?iface=a0")?.json()?);
        ensure!(records.len() < 600, "{compared} answers in 600 records");
        compared = 0;
        for pair in records.windows(2) {
            let [before, record] = pair else { continue };
            // Where one was skipped, or nothing of a class moved, nothing is to be learnt.
            if record.sequence != before.sequence + 1 || !record.is_beyond(before)? {
                continue;
            }
            for answer in &answers {
                if record.is_of(answer)? {
                    check(before, record, answer)?;
                    compared += 1;
                    break;
                }
            }
        }
    }
    Ok(())
}

/// A rate times the length of its interval is what the interval counted, but for rounding.
fn check(before: &Record, record: &Record, answer: &Value) -> anyhow::Result<()> {
    for (bits, packets, classes) in RATES {
        for (name, what, unit) in [(bits, "bytes", 8.0), (packets, "packets", 1.0)] {
            let both = ["tx", "rx"];
            let counted = record.sum(&both, classes, what)? - before.sum(&both, classes, what)?;
            let rate = answer[name].as_f64().context("no rate")?;
            let (said, counted) = (rate * record.seconds, unit * counted as f64);
            // Lengths are told to a tenth of a millisecond, rates to a hundredth.
            let slack = rate * 0.000_05 + 0.005 * record.seconds + 1e-6;
            ensure!(
                (said - counted).abs() <= slack,
                "{name}: {said} is not {counted}, in {} s: {answer}",
                record.seconds
            );
        }
    }
    Ok(())
}

/// In the end every byte of each direction is in its class.
fn all_of_it(events: &mut Events, steps: usize) -> anyhow::Result<()> {
    let expected = |at: usize| [steps, steps * (HTTPS[at] + HEADERS)].map(|it| it as u64);
    for _ in 0..600 {
        let record = Record::next(events)?;
        let found = |way| -> anyhow::Result<[u64; 2]> {
            Ok([
                record.sum(&[way], &["https"], "packets")?,
                record.sum(&[way], &["https"], "bytes")?,
            ])
        };
        let [sent, received] = [found("tx")?, found("rx")?];
        ensure!(sent[0] <= expected(0)[0] && received[0] <= expected(1)[0]);
        if sent[0] < expected(0)[0] || received[0] < expected(1)[0] {
            continue;
        }
        ensure!(sent == expected(0), "{sent:?} in {steps} steps");
        ensure!(received == expected(1), "{received:?} in {steps} steps");
        for (way, size) in [("tx", HTTP[0]), ("rx", HTTP[1])] {
            let [http, tcp] = ["http", "tcp"].map(|class| record.sum(&[way], &[class], "bytes"));
            let (http, payload) = (http?, (steps * size) as u64);
            ensure!(http == tcp? && http > payload, "{way}: {http} of {payload}");
        }
        return Ok(());
    }
    anyhow::bail!("not all of {steps} steps was counted")
}

/// With two there is no number of "the" interface.
fn named() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    a.sh("ip link add c0 type veth peer name c1 && ip link set c0 up && ip link set c1 up")?;
    let inside = Inside::start(&a, &["--iface", "a0", "--iface", "c0"])?;
    for name in ["a0", "c0"] {
        wait("both to be sampled", || {
            let row = inside.row(name)?;
            Ok(row.filter(|row| !row["sampled"].is_null()).map(|_| ()))
        })?;
    }
    for path in ["/api/metrics/realtime", "/api/stats/summary"] {
        for (query, status, named) in [
            ("", 400, ["iface", "a0", "c0"]),
            ("?iface=eth7", 404, ["eth7", "a0", "c0"]),
            ("?iface=c1", 503, ["c1", "--iface", "serve"]),
        ] {
            let answer = inside.get(&format!("{path}{query}"))?;
            for words in named {
                answer.check_refusal(status, words)?;
            }
        }
        for name in ["a0", "c0"] {
            let answer = inside.get(&format!("{path}?iface={name}"))?.json()?;
            ensure!(answer["total_packets"].is_u64(), "{answer}");
        }
    }
    inside.served.end()?;
    Ok(())
}
