//! Interfaces in the history: every level holds the same packets, whatever came when,
//! and they take little room. A real one is `loopback`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::model::interface::{Class, Count};
use netmon::model::ledger::{Bucket, InterfaceRow};
use netmon::sink::history::retention::Retention;
use netmon::sink::history::store::Store;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::books::{Books, FOREVER, Moved, bucket, tidy};
use crate::levels::START;
use crate::netmon::Scratch;
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("interfaces::all_levels_agree_in_any_history", any_history),
        trial("interfaces::they_are_kept_as_long_as_the_rest", kept),
        trial("interfaces::a_clock_that_steps_back_adds", steps_back),
        trial("interfaces::a_day_of_five_takes_few_megabytes", a_day),
    ]
}

const NAMES: [&str; 3] = ["lo", "eth0", "a name with ü"];

/// What happens to a writer.
#[derive(Debug, Clone)]
enum Event {
    /// So many seconds pass (or the clock steps back), then a bucket of these interfaces:
    /// name, packets sent and received, and those of a class.
    Bucket(i64, BTreeMap<usize, (u64, u64, Option<usize>)>),
    Tidies(usize),
    Restarts,
}

fn event() -> impl Strategy<Value = Event> {
    let gap = prop_oneof![6 => Just(10_i64), 2 => 0..900_i64, 1 => -4000..0_i64, 1 => 0..8000_i64];
    let one = (
        0..1_000_u64,
        1..1_000_u64,
        proptest::option::of(0..Class::COUNT),
    );
    let rows = proptest::collection::btree_map(0..NAMES.len(), one, 0..3);
    prop_oneof![
        6 => (gap, rows).prop_map(|(gap, rows)| Event::Bucket(gap, rows)),
        2 => (0..20_usize).prop_map(Event::Tidies),
        1 => Just(Event::Restarts),
    ]
}

fn count(packets: u64, size: u64) -> Count {
    Count {
        packets,
        bytes: packets * size,
    }
}

/// An interface whose packets have 100 bytes, and those of its class 90.
fn interface(name: &str, tx: u64, rx: u64, class: Option<usize>) -> InterfaceRow {
    let told = class.map(|class| (Class::ALL[class], count(tx, 90), count(rx, 90)));
    InterfaceRow {
        name: name.into(),
        tx: count(tx, 100),
        rx: count(rx, 100),
        peak: (tx + rx) * 10,
        classes: told.into_iter().collect(),
    }
}

fn with(start: i64, interfaces: Vec<InterfaceRow>) -> Bucket {
    Bucket {
        interfaces,
        protocols: Vec::new(),
        ..bucket(start, Vec::new())
    }
}

fn any_history() -> anyhow::Result<()> {
    let mut runner = TestRunner::new(Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    });
    let events = proptest::collection::vec(event(), 1..60);
    let judged = runner.run(&events, |events| {
        history(&events).map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    Ok(judged?)
}

fn history(events: &[Event]) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let mut written = Vec::new();
    let mut now = START;
    for event in events {
        match event {
            Event::Bucket(gap, rows) => {
                now = (now + gap).max(START) / 10 * 10;
                let rows = rows.iter();
                let rows: Vec<_> = rows
                    .map(|(name, (tx, rx, class))| interface(NAMES[*name], *tx, *rx, *class))
                    .collect();
                store.write(&with(now, rows.clone()))?;
                written.extend(rows.into_iter().map(|row| (now, row)));
            }
            Event::Tidies(steps) => {
                for _ in 0..*steps {
                    store.tidy(&FOREVER)?;
                }
            }
            Event::Restarts => {
                drop(store);
                store = Store::open(&file)?;
            }
        }
    }
    check(&Books::open(&file)?, &written)?;
    // Once a later time has come, all of it is rolled up.
    let latest = written.iter().map(|(time, _)| *time).max().unwrap_or(now);
    store.write(&with(latest.max(now) + 8000, Vec::new()))?;
    tidy(&mut store, &FOREVER)?;
    let books = Books::open(&file)?;
    let mark = books.number("SELECT max(time) FROM progress WHERE level = '1m'", [])?;
    ensure!(written.is_empty() || latest < mark, "{latest} {mark}");
    check(&books, &written)?;
    books.check_whole()
}

/// Compares every table with what was written, as far as it is rolled up.
fn check(books: &Books, written: &[(i64, InterfaceRow)]) -> anyhow::Result<()> {
    let mark = books.number("SELECT max(time) FROM progress WHERE level = '1m'", [])?;
    for (level, length) in [("10s", 10), ("1m", 60), ("1h", 3600)] {
        let mut rows: BTreeMap<String, Moved> = BTreeMap::new();
        let mut peaks: BTreeMap<String, Moved> = BTreeMap::new();
        let mut classes: BTreeMap<String, Moved> = BTreeMap::new();
        let is_in = |time: i64| level == "10s" || time < mark;
        for (time, row) in written.iter().filter(|(time, _)| is_in(*time)) {
            let key = format!("{} {}", time / length * length, row.name);
            add(rows.entry(key.clone()).or_default(), row.tx, row.rx);
            let peak = peaks.entry(key.clone()).or_default();
            peak[0] = peak[0].max(row.peak);
            for (class, tx, rx) in &row.classes {
                let key = format!("{key} {}", class.name());
                add(classes.entry(key).or_default(), *tx, *rx);
            }
        }
        let of = |columns: &str| {
            let query = format!(
                "SELECT t.time || ' ' || i.name, {columns}
                 FROM interface_{level} t JOIN interface i ON i.id = t.interface"
            );
            books.sums(&query, [])
        };
        let found = of("tx_bytes, rx_bytes")?;
        ensure!(found == rows, "interface_{level}: {found:?}, not {rows:?}");
        let found = of("tx_packets * 100, rx_packets * 100")?;
        ensure!(found == rows, "packets of {level}: {found:?}, not {rows:?}");
        let found = of("peak, 0")?;
        ensure!(found == peaks, "peaks of {level}: {found:?}, not {peaks:?}");
        for columns in ["tx_bytes, rx_bytes", "tx_packets * 90, rx_packets * 90"] {
            let query = format!(
                "SELECT t.time || ' ' || i.name || ' ' || c.name, {columns}
                 FROM class_{level} t JOIN interface i ON i.id = t.interface
                 JOIN class c ON c.id = t.class"
            );
            let found = books.sums(&query, [])?;
            ensure!(
                found == classes,
                "class_{level}: {found:?}, not {classes:?}"
            );
        }
    }
    Ok(())
}

fn add(sum: &mut Moved, tx: Count, rx: Count) {
    sum[0] += tx.bytes;
    sum[1] += rx.bytes;
}

fn kept() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let retention = Retention {
        keep_10s: Duration::from_secs(1800),
        keep_1m: Duration::from_secs(2 * 3600),
        keep_1h: Duration::from_secs(24 * 3600),
        ..FOREVER
    };
    // One that is there for the first minute alone, and one that stays.
    for at in 0..40 * 60 {
        let mut rows = vec![interface("eth0", 1, 2, Some(0))];
        if at == 0 {
            rows.push(interface("veth1", 1, 2, Some(1)));
        }
        store.write(&with(START + at * 60, rows))?;
        if at % 10 == 9 {
            tidy(&mut store, &retention)?;
        }
    }
    tidy(&mut store, &retention)?;
    let books = Books::open(&file)?;
    let now = START + (40 * 60 - 1) * 60 + 10;
    for (level, length, kept) in [
        ("10s", 60, 1800),
        ("1m", 3600, 2 * 3600),
        ("1h", 3600, 24 * 3600),
    ] {
        for table in ["interface", "class"] {
            let oldest = books.number(&format!("SELECT min(time) FROM {table}_{level}"), [])?;
            let expected = (now - kept) / length * length;
            ensure!(
                oldest == expected,
                "{table}_{level}: {oldest}, not {expected}"
            );
        }
    }
    let names = books.text("SELECT group_concat(name) FROM interface")?;
    ensure!(names == "eth0", "{names}");
    // It may come back.
    store.write(&with(now + 60, vec![interface("veth1", 7, 0, None)]))?;
    let back = "SELECT tx_packets FROM interfaces WHERE interface = 'veth1'";
    ensure!(books.number(back, [])? == 7);
    books.check_whole()
}

fn steps_back() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let rows = || vec![interface("eth0", 3, 4, Some(6))];
    let mut written = Vec::new();
    // Two days ahead for a while, then set right; and once more through the same times.
    for first in [START + 2 * 86_400, START, START] {
        for at in 0..30 {
            let time = first + at * 10;
            store.write(&with(time, rows()))?;
            tidy(&mut store, &FOREVER)?;
            written.extend(rows().into_iter().map(|row| (time, row)));
        }
    }
    check(&Books::open(&file)?, &written)
}

/// An hour of five interfaces, each busy in every bucket: so many bytes, of `classes`.
fn an_hour(classes: usize) -> anyhow::Result<i64> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let books = Books::open(&file)?;
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let empty = books.number(size, [])?;
    for at in 0..360 {
        let row = |n: u64| {
            let told = |class| (class, count(9000 + n, 1200), count(8000 + n, 1200));
            InterfaceRow {
                classes: Class::ALL.into_iter().take(classes).map(told).collect(),
                ..interface(&format!("eth{n}"), 9000 + n, 8000 + n, None)
            }
        };
        store.write(&with(START + at * 10, (0..5).map(row).collect()))?;
        tidy(&mut store, &FOREVER)?;
    }
    Ok(books.number(size, [])? - empty)
}

fn a_day() -> anyhow::Result<()> {
    let [kernel, sampled] = [an_hour(0)?, an_hour(4)?].map(|hour| hour * 24);
    println!("a day of 5 interfaces: {kernel} bytes, with 4 classes each {sampled}");
    ensure!(kernel < 3 << 20, "{kernel} bytes");
    ensure!(sampled < 12 << 20, "{sampled} bytes");
    // Where nothing moves nothing is written, not even a time.
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    for at in 0..360 {
        store.write(&with(START + at * 10, Vec::new()))?;
    }
    let rows = "SELECT (SELECT count(*) FROM interface_10s) + (SELECT count(*) FROM total_10s)";
    ensure!(Books::open(&file)?.number(rows, [])? == 0);
    Ok(())
}
