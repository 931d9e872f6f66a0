//! Every level of the history holds the same bytes, whatever came when and however
//! often the writer began anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::model::flow::Protocol;
use netmon::model::ledger::BucketRow;
use netmon::sink::history::retention::Retention;
use netmon::sink::history::store::Store;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::books::{Books, FOREVER, Moved, bucket, remote, row, tidy, who};
use crate::netmon::Scratch;
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("all_levels_agree_in_any_history", any_history),
        trial("a_minute_is_rolled_up_when_it_is_over", a_minute),
        trial("what_comes_late_is_added_to_all_levels", late),
        trial("a_clock_that_was_ahead_costs_the_present_nothing", ahead),
        trial("a_failed_flush_leaves_nothing_and_can_be_repeated", failed),
        trial("alerts_are_kept_apart_over_restarts", alerts),
    ]
}

/// Some day, at the begin of an hour.
pub const START: i64 = 1_800_000_000;

/// What happens to a writer.
#[derive(Debug, Clone)]
pub enum Event {
    /// So many seconds pass (or the clock steps back), then a bucket of these rows:
    /// process, remote, protocol, bytes.
    Bucket(i64, Vec<(u32, u32, usize, u64)>),
    Tidies(usize),
    Restarts,
}

pub fn event() -> impl Strategy<Value = Event> {
    let row = (0..3_u32, 0..4_u32, 0..=2_usize, 1..1_000_000_u64);
    let gap = prop_oneof![6 => Just(10_i64), 2 => 0..900_i64, 1 => -4000..0_i64, 1 => 0..8000_i64];
    prop_oneof![
        6 => (gap, proptest::collection::vec(row, 0..6))
            .prop_map(|(gap, rows)| Event::Bucket(gap, rows)),
        2 => (0..20_usize).prop_map(Event::Tidies),
        1 => Just(Event::Restarts),
    ]
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

/// Bytes by a text of what a level keeps apart.
type Sums = BTreeMap<String, Moved>;

fn history(events: &[Event]) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let (mut store, now, written) = live(&file, events, &FOREVER)?;
    check(&Books::open(&file)?, &written)?;
    // Once a later time has come, all of it is rolled up.
    let latest = written.iter().map(|(time, _)| *time).max();
    let later = latest.map_or(now, |latest| latest.max(now)) + 8000;
    store.write(&bucket(later, Vec::new()))?;
    tidy(&mut store, &FOREVER)?;
    let books = Books::open(&file)?;
    let mark = books.number("SELECT max(time) FROM progress WHERE level = '1m'", [])?;
    ensure!(
        latest.is_none_or(|latest| latest < mark),
        "{latest:?} {mark}"
    );
    check(&books, &written)?;
    books.check_whole()
}

/// Rows, and the start of the bucket of each.
pub type Written = Vec<(i64, BucketRow)>;

/// A writer to whom all of this happened while so much was kept, its clock, and when it
/// wrote what.
pub fn live(
    file: &Path,
    events: &[Event],
    retention: &Retention,
) -> anyhow::Result<(Store, i64, Written)> {
    let mut store = Store::open(file)?;
    let names = ["one", "two", "three"].map(who);
    let mut written = Written::new();
    let mut now = START;
    for event in events {
        match event {
            Event::Bucket(gap, rows) => {
                now = (now + gap).max(START) / 10 * 10;
                let rows = rows.iter().map(|(process, to, protocol, bytes)| BucketRow {
                    protocol: protocol.checked_sub(1).map(|index| Protocol::ALL[index]),
                    remote: remote(*to).filter(|_| *to > 0),
                    ..row(&names[*process as usize], *process, 0, [*bytes, bytes / 2])
                });
                let bucket = bucket(now, rows.collect());
                store.write(&bucket)?;
                written.extend(bucket.rows.into_iter().map(|row| (now, row)));
            }
            Event::Tidies(steps) => {
                for _ in 0..*steps {
                    store.tidy(retention)?;
                }
            }
            Event::Restarts => {
                drop(store);
                store = Store::open(file)?;
            }
        }
    }
    Ok((store, now, written))
}

/// Compares every table with what was written, as far as it is rolled up.
fn check(books: &Books, written: &[(i64, BucketRow)]) -> anyhow::Result<()> {
    let mark = books.number("SELECT max(time) FROM progress WHERE level = '1m'", [])?;
    for (level, length) in [("10s", 10), ("1m", 60), ("1h", 3600)] {
        let is_in = |time: i64| level == "10s" || time < mark;
        let by = |name: &dyn Fn(i64, &BucketRow) -> String| {
            let mut sums = Sums::new();
            for (time, row) in written.iter().filter(|(time, _)| is_in(*time)) {
                let sum = sums.entry(name(time / length * length, row)).or_default();
                sum[0] += row.tx_bytes;
                sum[1] += row.rx_bytes;
            }
            sums
        };
        let protocol = |row: &BucketRow| row.protocol.map_or("", Protocol::name);
        let expected = by(&|time, row| {
            let remote = row.remote.map(|it| it.to_string()).unwrap_or_default();
            let name = &row.identity.name;
            format!("{time} {name} {remote} {}", protocol(row))
        });
        let found = books.sums(
            &format!(
                "SELECT t.time || ' ' || p.name || ' ' || r.address || ' ' || c.name,
                        tx_bytes, rx_bytes
                 FROM traffic_{level} t JOIN process p ON p.id = t.process
                 JOIN remote r ON r.id = t.remote JOIN protocol c ON c.id = t.protocol"
            ),
            [],
        )?;
        ensure!(
            found == expected,
            "traffic_{level}: {found:?}, written {expected:?}"
        );

        let by_name = by(&|time, row| format!("{time} {}", row.identity.name));
        let by_remote = by(&|time, row| {
            let remote = row.remote.map(|it| it.to_string()).unwrap_or_default();
            format!("{time} {remote}")
        });
        for (table, name, expected) in [
            ("process", "name", by_name),
            ("remote", "address", by_remote),
        ] {
            if level == "10s" {
                continue;
            }
            let query = format!(
                "SELECT t.time || ' ' || n.{name}, tx_bytes, rx_bytes
                 FROM {table}_{level} t JOIN {table} n ON n.id = t.{table}"
            );
            let found = books.sums(&query, [])?;
            ensure!(
                found == expected,
                "{table}_{level}: {found:?}, written {expected:?}"
            );
        }
        // The buckets here call all bytes TCP's.
        let expected = by(&|time, _| time.to_string());
        for table in ["protocol", "total"] {
            let query = format!("SELECT '' || time, tx_bytes, rx_bytes FROM {table}_{level}");
            let mut found = books.sums(&query, [])?;
            found.retain(|_, sum| *sum != [0; 2]);
            ensure!(
                found == expected,
                "{table}_{level}: {found:?}, written {expected:?}"
            );
        }
    }
    Ok(())
}

fn a_minute() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let one = who("one");
    let minutes = |books: &Books| books.number("SELECT count(*) FROM traffic_1m", []);
    for at in 0..5 {
        store.write(&bucket(START + at * 10, vec![row(&one, 1, 1, [1, 2])]))?;
        tidy(&mut store, &FOREVER)?;
        ensure!(minutes(&Books::open(&file)?)? == 0, "after {at}");
    }
    store.write(&bucket(START + 50, Vec::new()))?;
    tidy(&mut store, &FOREVER)?;
    let books = Books::open(&file)?;
    ensure!(minutes(&books)? == 1);
    ensure!(books.number("SELECT tx_bytes FROM traffic_1m", [])? == 5);
    let hour = books.number("SELECT time FROM progress WHERE level = '1h'", [])?;
    ensure!(hour == START, "{hour}");
    Ok(())
}

fn late() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let one = who("one");
    let first = bucket(
        START,
        vec![row(&one, 1, 1, [1, 2]), row(&one, 2, 1, [10, 0])],
    );
    let mut store = Store::open(&file)?;
    store.write(&first)?;
    store.write(&bucket(START + 7200, Vec::new()))?;
    tidy(&mut store, &FOREVER)?;
    drop(store);
    // Another run whose clock is behind.
    let mut store = Store::open(&file)?;
    store.write(&first)?;
    tidy(&mut store, &FOREVER)?;
    let mut written: Vec<_> = first.rows.into_iter().map(|row| (START, row)).collect();
    written.extend(written.clone());
    check(&Books::open(&file)?, &written)
}

fn ahead() -> anyhow::Result<()> {
    const AHEAD: i64 = 2 * 24 * 3600;
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let one = who("one");
    let retention = Retention {
        keep_10s: Duration::from_secs(3600),
        ..FOREVER
    };
    let mut store = Store::open(&file)?;
    let mut written = Vec::new();
    let times = (0..12).map(|at| START + AHEAD + at * 10);
    // The clock is set right, and the hour goes on.
    for time in times.chain((0..360).map(|at| START + at * 10)) {
        let bucket = bucket(time, vec![row(&one, 1, 1, [1, 2])]);
        store.write(&bucket)?;
        tidy(&mut store, &retention)?;
        written.push((time, row(&one, 1, 1, [1, 2])));
    }
    let books = Books::open(&file)?;
    let mark = books.number("SELECT max(time) FROM progress WHERE level = '1m'", [])?;
    ensure!(mark == START + AHEAD + 120, "it went back: {mark}");
    // All that is younger than an hour is there, in every level.
    check(&books, &written)?;
    store.write(&bucket(START + 3600 + 50, Vec::new()))?;
    tidy(&mut store, &retention)?;
    let oldest = books.number("SELECT min(time) FROM traffic_10s", [])?;
    ensure!(oldest == START + 60, "{oldest}");
    books.check_whole()
}

fn failed() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let [one, two] = ["one", "two"].map(who);
    let first = bucket(START, vec![row(&one, 1, 1, [1, 2])]);
    let second = bucket(
        START + 10,
        vec![row(&two, 1, 2, [1, 2]), row(&one, 1, 2, [1, 2])],
    );
    store.write(&first)?;
    // A person's shell makes a table that refuses one of the rows.
    let shell = rusqlite::Connection::open(&file)?;
    shell.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON protocol_10s WHEN new.time > 1800000000
         BEGIN SELECT raise(ABORT, 'refused'); END",
    )?;
    ensure!(store.write(&second).is_err(), "written");
    let books = Books::open(&file)?;
    ensure!(
        books.number("SELECT count(*) FROM process", [])? == 1,
        "half written"
    );
    shell.execute_batch("DROP TRIGGER refuse")?;
    store.write(&second)?;
    let rows = [first, second].into_iter();
    let rows = rows.flat_map(|it| {
        let time = it.start.as_secs().cast_signed();
        it.rows.into_iter().map(move |row| (time, row))
    });
    check(&books, &rows.collect::<Vec<_>>())
}

fn alerts() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let alert = |peak, ended| netmon::model::ledger::Alert {
        number: 1,
        started: Duration::from_secs_f64(1_800_000_001.5),
        ended,
        identity: who("one"),
        pid: 7,
        protocol: Protocol::Udp,
        remote: remote(1),
        remote_port: 0,
        peak,
        threshold: 1.0,
    };
    for run in 0..2 {
        let mut store = Store::open(&file)?;
        for (at, alert) in [
            alert(2.0, None),
            alert(3.0, Some(Duration::from_secs(1_800_000_020))),
        ]
        .into_iter()
        .take(2 - run)
        .enumerate()
        {
            let mut bucket = bucket(START + at as i64 * 10, Vec::new());
            bucket.alerts = vec![alert];
            store.write(&bucket)?;
        }
    }
    let books = Books::open(&file)?;
    let count = |query: &str| books.number(query, []);
    ensure!(count("SELECT count(*) FROM alert")? == 2);
    ensure!(count("SELECT count(*) FROM alert WHERE ended IS NULL")? == 1);
    // The second run ended without a word; the last bucket of all ends 20 seconds in.
    drop(Store::open(&file)?);
    ensure!(count("SELECT count(*) FROM alert WHERE ended = 1800000020.0 AND peak = 3.0")? == 1);
    ensure!(count("SELECT count(*) FROM alert WHERE ended = 1800000020.0 AND peak = 2.0")? == 1);
    let named = "SELECT count(*) FROM alert a JOIN process p ON p.id = a.process
                 JOIN remote r ON r.id = a.remote JOIN protocol c ON c.id = a.protocol
                 WHERE p.name = 'one' AND r.address = '10.0.0.1' AND c.name = 'udp'
                   AND a.pid = 7 AND a.remote_port IS NULL AND a.kind = 'rate'
                   AND a.started = 1800000001.5";
    ensure!(count(named)? == 2);
    Ok(())
}
