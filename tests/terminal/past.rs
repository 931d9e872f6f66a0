//! The stored past on the real screen: histories that the test wrote by the writer of
//! `netmon serve`, and one that the screen's own run writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use libtest_mimic::Trial;
use netmon::model::flow::{Address, Protocol};
use netmon::model::interface::{Class, Count};
use netmon::model::ledger::{Bucket, BucketRow, InterfaceRow};
use netmon::model::sample::Identity;
use netmon::sink::history::store::Store;

use crate::netmon::Scratch;
use crate::session::{Session, WIDE, netmon};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("past::steps_at_all_sizes", steps),
        root("past::the_present_goes_on", present),
        root("past::recorded_by_the_screen_itself", recorded),
        root("past::what_cannot_be_opened", refused),
    ]
}

/// A zone of its own, in which no machine runs by chance: five and a half hours ahead.
const ZONE: &str = "NMT-05:30";

/// A history that was written with known buckets.
struct Written {
    _scratch: Scratch,
    file: PathBuf,
    /// Starts of the buckets, seconds since the epoch.
    starts: [u64; 3],
}

const MIB: u64 = 1 << 20;

/// Buckets of ten seconds: some two hours ago, a minute and a half ago, and the one
/// after that. What moved in each tells which it is.
fn written() -> anyhow::Result<Written> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let recent = (now - 90) / 10 * 10;
    let starts = [recent - 7200, recent, recent + 10];
    let mut store = Store::open(&file)?;
    for (start, name) in starts.into_iter().zip(["nmp-early", "nmp-a", "nmp-b"]) {
        store.write(&bucket(start, name)?)?;
    }
    Ok(Written {
        _scratch: scratch,
        file,
        starts,
    })
}

/// 10 MiB sent and 20 MiB received by one process.
fn bucket(start: u64, name: &str) -> anyhow::Result<Bucket> {
    let identity = Arc::new(Identity {
        name: name.to_owned(),
        executable: Some(format!("/usr/bin/{name}")),
        user: "backup".to_owned(),
        uid: 34,
        unit: Some("backup.service".to_owned()),
        ..Identity::default()
    });
    let row = |address: &str, protocol, tx: u64, rx: u64| {
        anyhow::Ok(BucketRow {
            identity: Arc::clone(&identity),
            pid: 4711,
            protocol: Some(protocol),
            remote: Some(address.parse::<Address>()?),
            tx_bytes: tx * MIB,
            rx_bytes: rx * MIB,
        })
    };
    Ok(Bucket {
        start: Duration::from_secs(start),
        rows: vec![
            row("192.0.2.7", Protocol::Tcp, 10, 15)?,
            row("2001:db8::7", Protocol::Udp, 0, 5)?,
        ],
        protocols: vec![
            (Protocol::Tcp, 10 * MIB, 15 * MIB),
            (Protocol::Udp, 0, 5 * MIB),
        ],
        interfaces: interfaces(name),
        alerts: Vec::new(),
    })
}

/// What interfaces moved beside it: two of which this machine may have none, the second
/// only in the bucket of nmp-b; and its loopback.
fn interfaces(name: &str) -> Vec<InterfaceRow> {
    let count = |packets| Count {
        packets,
        bytes: packets * 1024,
    };
    let row = |name: &str, tx, rx, classes| InterfaceRow {
        name: name.into(),
        tx: count(tx),
        rx: count(rx),
        peak: (tx + rx) * 1024 / 10,
        classes,
    };
    let mut rows = vec![
        row(
            "nmp0",
            10_240,
            30_720,
            vec![(Class::Udp, count(10_240), count(20_480))],
        ),
        row("lo", 10, 10, Vec::new()),
    ];
    if name == "nmp-b" {
        rows.push(row("nmp1", 1024, 0, Vec::new()));
    }
    rows
}

/// What the header says of a bucket.
fn badge(start: u64) -> anyhow::Result<String> {
    let zone = TimeZone::fixed(Offset::from_seconds(5 * 3600 + 1800)?);
    let time = zone.to_datetime(Timestamp::from_second(i64::try_from(start)?)?);
    Ok(time.strftime(" PAST %Y-%m-%d %H:%M:%S, 10 s ").to_string())
}

/// A screen with the history in `file`.
fn open(file: &PathBuf, arguments: &[&str]) -> anyhow::Result<Session> {
    let mut command = netmon(&["top"]);
    command.arg("--db").arg(file).args(arguments);
    command.env("TZ", ZONE);
    let session = Session::run(WIDE, command)?;
    session.wait_text("every 500 ms")?;
    Ok(session)
}

fn steps() -> anyhow::Result<()> {
    let past = written()?;
    let session = open(&past.file, &[])?;
    let [early, a, b] = past.starts;
    for (key, start, name) in [
        ("[", b, "nmp-b"),
        ("[", a, "nmp-a"),
        ("]", b, "nmp-b"),
        ("{", early, "nmp-early"),
        ("}", a, "nmp-a"),
        ("[", early, "nmp-early"),
    ] {
        session.type_for(key, &badge(start)?)?;
        session.wait_line(&["4711", name, "1.0 MiB/s", "2.0 MiB/s", "30.0 MiB"])?;
    }
    session.type_for("[", "nothing earlier")?;
    session.type_for("]", &badge(a)?)?;

    // Flows, filter, details and units are those of that time.
    session.type_for("2", "REMOTE")?;
    session.wait_line(&["nmp-a", "tcp", "192.0.2.7", "1.0 MiB/s", "25.0 MiB"])?;
    session.send("/2001:db8\r")?;
    session.wait_gone("192.0.2.7")?;
    session.wait_line(&["nmp-a", "udp", "2001:db8::7", "512.0 KiB/s"])?;
    session.send("\x1b")?;
    session.wait_text("192.0.2.7")?;
    session.type_for("1", "FLOWS")?;
    session.type_for("\r", "nmp-a (pid 4711)")?;
    session.wait_line(&["command", "/usr/bin/nmp-a"])?;
    session.wait_line(&["unit", "backup.service"])?;
    session.send("qu")?;
    session.wait_line(&["nmp-a", "8.4 Mbit/s"])?;
    session.send("u")?;

    for size in [(80, 24), (40, 12)] {
        session.pty.resize(size)?;
        session.wait(&format!("the past at {size:?}"), |it| {
            it.line_with(badge(a).ok()?.trim())?;
            it.line_with("nmp-a")?;
            it.line_with(". now")
        })?;
    }
    session.pty.resize(WIDE)?;
    // The interfaces of that time, with what was told apart, and no advice how to.
    session.type_for("3", &badge(a)?)?;
    session.wait_line(&["nmp0", "↑   1.0 MiB/s", "1024 pkt/s", "↓   3.0 MiB/s"])?;
    session.wait_line(&[
        "avg 4.0 MiB/s",
        "peak 4.0 MiB/s",
        "total ↑ 10.0 MiB ↓ 30.0 MiB in 10 s",
    ])?;
    session.wait_line(&["udp ↑1.0 MiB/s ↓2.0 MiB/s"])?;
    session.wait_line(&["lo", "↑   1.0 KiB/s"])?;
    let text = session.text();
    ensure!(
        !text.contains("nmp1") && !text.contains("--iface"),
        "{text}"
    );
    session.type_for("]", &badge(b)?)?;
    session.wait_line(&["nmp1", "↑ 102.4 KiB/s", "↓       0 B/s"])?;
    // Its details go with the time, and say where there is nothing of it.
    session.send("/nmp1\r\r")?;
    session.wait_line(&["total", "↑   1.0 MiB", "in 1024 packets"])?;
    session.wait_line(&["sampled", "not at that time"])?;
    session.type_for("[", "moved nothing at that time")?;
    session.type_for("\x1b", "No interface matches 'nmp1'")?;
    session.type_for("\x1b", "1024 pkt/s")?;
    session.type_for(".", "by protocol: netmon --iface NAME")?;
    session.wait_gone("PAST")?;
    session.quit()
}

fn present() -> anyhow::Result<()> {
    let past = written()?;
    let session = open(&past.file, &["--name", "nmp-"])?;
    let mut traffic = Traffic::start(&Plan::udp("nmp-live", 70, 100).over_tcp())?;
    session.type_for("[", &badge(past.starts[2])?)?;
    // What moves meanwhile is counted, and not shown.
    let moved = traffic.moved()?;
    ensure!(moved[..2] == [7000, 7000], "{moved:?}");
    std::thread::sleep(Duration::from_millis(1200));
    ensure!(!session.text().contains("nmp-live"), "{}", session.text());
    session.type_for("]", "every 500 ms")?;
    session.wait_line(&["nmp-live", "13.7 KiB"])?;
    ensure!(!session.text().contains("nmp-b"), "{}", session.text());
    session.quit()
}

/// Written by one run, stepped into by the same one, and found by the next.
fn recorded() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let session = open(&file, &["--record", "--name", "nmp-record"])?;
    let mut traffic = Traffic::start(&Plan::udp("nmp-record", 70, 100).over_tcp())?;
    traffic.moved()?;
    session.wait_line(&["nmp-record", "13.7 KiB"])?;
    // In a bucket that ends within ten seconds, or two.
    session.wait("the bucket of it", |it| {
        it.send("[").ok()?;
        std::thread::sleep(Duration::from_millis(300));
        let found = it.text().contains("PAST") && it.text().contains("nmp-record");
        if !found {
            it.send(".").ok()?;
        }
        found.then_some(())
    })?;
    session.send(".")?;
    session.wait_gone("PAST")?;
    session.quit()?;
    traffic.reap()?;
    // All that was counted is there.
    let session = open(&file, &["--name", "nmp-record"])?;
    let mut sum = 0.0;
    session.send("[")?;
    session.wait_text("PAST")?;
    while !session.text().contains("nothing earlier") {
        let text = session.text();
        if let Some(line) = text.lines().find(|line| line.contains("nmp-record")) {
            let total = line
                .split(" KiB ")
                .find_map(|part| part.rsplit(' ').next()?.parse::<f64>().ok());
            sum += total.context("no total")?;
        }
        session.send("[")?;
        session.wait("another screen", |it| (it.text() != text).then_some(()))?;
    }
    ensure!((sum - 13.7).abs() < 0.11, "{sum} KiB");
    session.quit()
}

fn refused() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let missing = scratch.path.join("none.db");
    let text = scratch.path.join("text.db");
    std::fs::write(
        &text,
        "no history at all, and longer than a header of SQLite's\n".repeat(9),
    )?;
    let held = scratch.path.join("held.db");
    let _held = Store::open(&held)?;
    for (file, arguments, word) in [
        (&missing, &[][..], "none.db"),
        (&text, &[], "text.db"),
        (&held, &["--record"], "held.db"),
    ] {
        let mut command = netmon(&["top"]);
        command.arg("--db").arg(file).args(arguments);
        let mut session = Session::run(WIDE, command)?;
        let status = session.end()?;
        ensure!(status.code() == Some(1), "{status}\n{}", session.text());
        session.wait_text("netmon: ")?;
        let said = session.pty.shown().bytes.clone();
        let said = String::from_utf8_lossy(&said);
        ensure!(said.contains(word) && said.lines().count() == 1, "{said}");
    }
    ensure!(!missing.exists(), "a file was made to be read");
    // Without a history the keys say how to get one.
    let session = Session::start(WIDE, &[])?;
    session.wait_text("every 500 ms")?;
    for key in ["[", "]", "{", "}"] {
        session.type_for(key, "no history: start with --db FILE")?;
        session.send("\x1b")?;
        session.wait_gone("no history")?;
    }
    session.quit()
}
