//! What a history keeps: by age, by size, and never what is not rolled up.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::model::ledger::Bucket;
use netmon::sink::history::retention::Retention;
use netmon::sink::history::store::Store;

use crate::books::{Books, FOREVER, bucket, row, tidy, who};
use crate::netmon::Scratch;
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("each_level_is_kept_for_its_time", by_age),
        trial("what_is_not_rolled_up_is_kept", not_rolled_up),
        trial("the_file_stays_within_its_size", by_size),
        trial(
            "in_far_too_little_room_the_running_hour_stays",
            far_too_small,
        ),
        trial("a_smaller_size_gives_room_back", smaller),
        trial("a_time_of_many_rows_goes_in_pieces", pieces),
        trial("names_that_nothing_needs_go_too", names),
    ]
}

/// Some day, at its begin.
const START: i64 = 1_800_057_600;
const MIB: u64 = 1 << 20;

/// `remotes` rows of 1 byte sent and 2 received each, always to others.
fn busy(start: i64, remotes: u32) -> Bucket {
    let one = who("one");
    let first = u32::try_from((start - START) / 10).unwrap_or(0) * remotes;
    let rows = (0..remotes).map(|n| row(&one, 1, first + n, [1, 2]));
    bucket(start, rows.collect())
}

/// The oldest time of a level and the bytes sent that it holds.
fn level(books: &Books, level: &str) -> anyhow::Result<(i64, i64)> {
    let oldest = books.number(&format!("SELECT min(time) FROM traffic_{level}"), [])?;
    let sum = books.number(&format!("SELECT sum(tx_bytes) FROM traffic_{level}"), [])?;
    Ok((oldest, sum))
}

fn by_age() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let retention = Retention {
        keep_10s: Duration::from_secs(1800),
        keep_1m: Duration::from_secs(2 * 3600),
        keep_1h: Duration::from_secs(24 * 3600),
        ..FOREVER
    };
    let end = START + 6 * 3600;
    for start in (START..end).step_by(60) {
        store.write(&busy(start, 1))?;
        tidy(&mut store, &retention)?;
    }
    let books = Books::open(&file)?;
    let found = ["10s", "1m", "1h"].map(|name| level(&books, name));
    let [fine, minutes, hours] = found.map(|level| level.unwrap_or_default());
    // The last bucket ended ten seconds into the last minute, which is not over.
    ensure!(fine == (end - 60 - 1800, 31), "{fine:?}");
    ensure!(minutes == (end - 3 * 3600, 179), "{minutes:?}");
    ensure!(hours == (START, 359), "{hours:?}");
    for (table, oldest) in [
        ("protocol_10s", fine.0),
        ("total_10s", fine.0),
        ("protocol_1m", minutes.0),
        ("process_1m", minutes.0),
        ("remote_1m", minutes.0),
        ("total_1m", minutes.0),
        ("protocol_1h", START),
        ("process_1h", START),
        ("remote_1h", START),
        ("total_1h", START),
    ] {
        let found = books.number(&format!("SELECT min(time) FROM {table}"), [])?;
        ensure!(found == oldest, "{table}: {found}, not {oldest}");
    }
    // Two days later all of it is over.
    store.write(&bucket(end + 48 * 3600, Vec::new()))?;
    tidy(&mut store, &retention)?;
    for table in [
        "traffic_10s",
        "total_10s",
        "traffic_1m",
        "process_1m",
        "remote_1m",
        "total_1m",
        "traffic_1h",
        "process_1h",
        "remote_1h",
        "total_1h",
    ] {
        let rows = books.number(&format!("SELECT count(*) FROM {table}"), [])?;
        ensure!(rows == 0, "{table}: {rows} rows");
    }
    books.check_whole()
}

fn not_rolled_up() -> anyhow::Result<()> {
    for max_size in [u64::MAX, 1] {
        let scratch = Scratch::new()?;
        let file = scratch.path.join("history.db");
        let mut store = Store::open(&file)?;
        let nothing = Retention {
            keep_10s: Duration::ZERO,
            keep_1m: Duration::ZERO,
            keep_1h: Duration::ZERO,
            max_size,
        };
        // Ten minutes to the full hour, and some after it.
        const FIRST: i64 = 300;
        for at in FIRST..FIRST + 99 {
            store.write(&busy(START + at * 10, 1))?;
            tidy(&mut store, &nothing)?;
            let books = Books::open(&file)?;
            let all = |table: &str| books.number(&format!("SELECT sum(tx_bytes) FROM {table}"), []);
            // Of the running minute all is there, and of the running hour.
            ensure!(all("traffic_10s")? == (at + 1) % 6, "after {at}");
            let rolled_up = (at + 1) / 6 * 6;
            let whole = rolled_up - (rolled_up / 360 * 360).max(FIRST);
            ensure!(all("traffic_1h")? == whole, "after {at}");
            ensure!(all("process_1h")? == whole, "after {at}");
            // Its minutes apart, too, if there is room.
            let minutes = if max_size == 1 { 0 } else { whole };
            ensure!(all("traffic_1m")? == minutes, "after {at}");
            ensure!(all("process_1m")? == minutes, "after {at}");
        }
    }
    Ok(())
}

/// Bytes on disk, the write-ahead log included.
fn size(file: &Path) -> anyhow::Result<u64> {
    let log = file.with_extension("db-wal");
    Ok(fs::metadata(file)?.len() + fs::metadata(log).map_or(0, |log| log.len()))
}

fn by_size() -> anyhow::Result<()> {
    const ROWS: u32 = 500;
    const REMOTES: u32 = 2000;
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let bounded = Retention {
        max_size: 2 * MIB,
        ..FOREVER
    };
    // What a flush and the steps after it write, by far.
    let slack = MIB;
    let mut largest = 0;
    let one = who("one");
    let buckets = 3 * 360;
    for at in 0..buckets {
        let first = at as u32 * 7;
        let rows = (first..first + ROWS).map(|n| row(&one, 1, n % REMOTES, [1, 2]));
        store.write(&bucket(START + at * 10, rows.collect()))?;
        // As many as the writer's thread does.
        for _ in 0..32 {
            if !store.tidy(&bounded)? {
                break;
            }
        }
        largest = largest.max(size(&file)?);
    }
    ensure!(largest <= bounded.max_size + slack, "{largest} bytes");
    ensure!(
        largest > bounded.max_size / 2,
        "{largest} bytes, so little is no test"
    );
    let books = Books::open(&file)?;
    let [fine, minutes, hours] =
        ["10s", "1m", "1h"].map(|name| level(&books, name).unwrap_or_default());
    // The finest went first, and then no more than had to.
    ensure!(
        fine.0 > minutes.0 && minutes.0 > START,
        "{fine:?} {minutes:?}"
    );
    ensure!(hours == (START, buckets * i64::from(ROWS)), "{hours:?}");
    books.check_whole()
}

fn far_too_small() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let tiny = Retention {
        max_size: MIB,
        ..FOREVER
    };
    // Always others, as of one who scans: the names alone take more than that.
    for day in 0..4 {
        for at in 0..30 {
            store.write(&busy(START + day * 86_400 + at * 10, 1000))?;
            tidy(&mut store, &tiny)?;
        }
        let books = Books::open(&file)?;
        let names = books.number("SELECT count(*) FROM remote", [])?;
        // Of the running hour the coarsest stays, and what it needs; all else went.
        ensure!(names <= 31_000, "{names} names");
        ensure!(level(&books, "1h")?.0 == START + day * 86_400, "day {day}");
        ensure!(level(&books, "1m")?.1 <= 1000, "day {day}");
    }
    Books::open(&file)?.check_whole()
}

fn smaller() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    for at in 0..120 {
        // The same remotes in each, so that an hour of them is small.
        let one = who("one");
        let rows = (0..2000).map(|n| row(&one, 1, n, [1, 2]));
        store.write(&bucket(START + at * 10, rows.collect()))?;
        tidy(&mut store, &FOREVER)?;
    }
    let before = size(&file)?;
    ensure!(before > 4 * MIB, "{before} bytes");
    tidy(
        &mut store,
        &Retention {
            max_size: 2 * MIB,
            ..FOREVER
        },
    )?;
    let books = Books::open(&file)?;
    let (fine, hours) = (level(&books, "10s")?, level(&books, "1h")?);
    ensure!(fine.1 < 120 * 2000, "nothing went");
    ensure!(
        hours.1 == 120 * 2000,
        "of the hours something went: {hours:?}"
    );
    drop((books, store));
    // Closing writes the log back.
    let after = size(&file)?;
    ensure!(after <= 2 * MIB, "{before} bytes, then {after}");
    Ok(())
}

fn pieces() -> anyhow::Result<()> {
    const ROWS: u32 = 40_000;
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    store.write(&busy(START, ROWS))?;
    store.write(&bucket(START + 120, Vec::new()))?;
    tidy(&mut store, &FOREVER)?;
    // The hour is over when a later one has minutes.
    store.write(&busy(START + 7200, 1))?;
    store.write(&bucket(START + 7260, Vec::new()))?;
    tidy(&mut store, &FOREVER)?;
    let nothing = Retention {
        keep_10s: Duration::ZERO,
        keep_1m: Duration::ZERO,
        ..FOREVER
    };
    let books = Books::open(&file)?;
    let tables = ["traffic_10s", "traffic_1m", "remote_1m", "process_1m"];
    let mut left: [Vec<i64>; 4] = Default::default();
    loop {
        for (table, left) in tables.into_iter().zip(&mut left) {
            left.push(books.number(&format!("SELECT count(*) FROM {table}"), [])?);
            left.dedup();
        }
        if !store.tidy(&nothing)? {
            break;
        }
    }
    for (table, left) in tables.into_iter().zip(&left) {
        let steps = if table == "process_1m" { 2 } else { 4 };
        ensure!(
            left.len() >= steps && left.last() <= Some(&1),
            "{table}: {left:?}"
        );
        let is_small = left.is_sorted_by(|a, b| a > b && a - b <= 20_000);
        ensure!(is_small, "{table}: {left:?}");
    }
    let protocols = "SELECT count(*) FROM protocol_1m WHERE time < ?1";
    ensure!(books.number(protocols, [START + 60])? == 0);
    ensure!(level(&books, "1h")?.1 == i64::from(ROWS) + 1);
    Ok(())
}

fn names() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut store = Store::open(&file)?;
    let day = Retention {
        keep_1h: Duration::from_secs(24 * 3600),
        ..FOREVER
    };
    let [one, two] = ["one", "two"].map(who);
    store.write(&bucket(
        START,
        vec![row(&one, 1, 1, [1, 1]), row(&two, 2, 2, [1, 1])],
    ))?;
    let week = Retention {
        keep_10s: Duration::from_secs(3600),
        keep_1m: Duration::from_secs(3600),
        ..day
    };
    for hour in 1..40 {
        store.write(&bucket(START + hour * 3600, vec![row(&two, 2, 2, [1, 1])]))?;
        tidy(&mut store, &week)?;
        let books = Books::open(&file)?;
        let count = |query: &str| books.number(query, []);
        let lost = "SELECT count(*) FROM traffic_1h t
                    LEFT JOIN process p ON p.id = t.process LEFT JOIN remote r ON r.id = t.remote
                    WHERE p.id IS NULL OR r.id IS NULL";
        ensure!(count(lost)? == 0, "hour {hour}: a row without a name");
        if hour < 24 {
            ensure!(count("SELECT count(*) FROM process")? == 2, "hour {hour}");
        }
    }
    let books = Books::open(&file)?;
    let count = |query: &str| books.number(query, []);
    ensure!(count("SELECT count(*) FROM process")? == 1);
    ensure!(count("SELECT count(*) FROM remote WHERE address = '10.0.0.1'")? == 0);
    ensure!(count("SELECT count(*) FROM remote WHERE id = 0")? == 1);
    // It may come back.
    store.write(&bucket(START + 41 * 3600, vec![row(&one, 1, 1, [5, 5])]))?;
    ensure!(count("SELECT sum(tx_bytes) FROM traffic WHERE name = 'one'")? == 5);
    Ok(())
}
