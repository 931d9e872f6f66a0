//! A history of the first version is opened by this netmon, goes on, and loses nothing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::sink::history::ask::{Whose, Window};
use netmon::sink::history::reader::Reader;
use netmon::sink::history::store::Store;
use rusqlite::Connection;

use crate::books::{Books, FOREVER, bucket, row, tidy, who};
use crate::netmon::Scratch;
use crate::trial::trial;

/// As version 1 wrote it: never changed, unlike the tables.
const VERSION_1: &str = include_str!("version-1.sql");
/// What version 2 added to it, the same.
const VERSION_2: &str = include_str!("version-2.sql");
/// The step from one to the other.
const STEP: &str = include_str!("../../src/sink/history/schema-2.sql");
/// Of a new history.
const NEW: &str = "SELECT group_concat(line, ';') FROM
                   (SELECT type || name || ifnull(sql, '') AS line FROM sqlite_schema
                    ORDER BY name)";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("version_1_is_intact_and_current_after_opening", version_1),
        trial("version_2_is_intact_and_current_after_opening", version_2),
        trial("version_1_is_read_but_for_what_it_cannot_know", read_1),
        trial("version_1_is_whole_after_a_crash_on_the_way", crash),
        trial("version_1_is_whole_where_the_step_fails", refused),
    ]
}

/// A history as an earlier netmon left it.
fn made(file: &Path, statements: &str) -> anyhow::Result<()> {
    Ok(Connection::open(file)?.execute_batch(statements)?)
}

/// What is the same in a new history: version, tables and all.
fn check_current(books: &Books, scratch: &Scratch) -> anyhow::Result<()> {
    let new = scratch.path.join("new.db");
    drop(Store::open(&new)?);
    let new = Books::open(&new)?;
    for query in [
        "SELECT '' || user_version FROM pragma_user_version",
        "SELECT '' || count(*) FROM sqlite_schema",
        NEW,
    ] {
        let (found, expected) = (books.text(query)?, new.text(query)?);
        ensure!(found == expected, "{query}: {found}\n{expected}");
    }
    Ok(())
}

/// What version 1 has in all of its tables, as a text.
fn contents(file: &Path) -> anyhow::Result<String> {
    let db = Connection::open(file)?;
    let mut tables = db.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
         ORDER BY name",
    )?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0))?;
    let mut text = format!(
        "version {}",
        db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?
    );
    for table in tables {
        let table = table?;
        let mut rows = db.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = rows.column_count();
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            text += &format!("\n{table}");
            for column in 0..columns {
                text += &format!(" {:?}", row.get_ref(column)?);
            }
        }
    }
    Ok(text)
}

fn version_1() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    made(&file, VERSION_1)?;
    let mut store = Store::open(&file)?;
    let books = Books::open(&file)?;
    let count = |query: &str| books.number(query, []);
    check_current(&books, &scratch)?;
    for (query, expected) in [
        (
            "SELECT sum(tx_bytes) * 10000 + sum(rx_bytes) FROM traffic_10s",
            1_182_272,
        ),
        (
            "SELECT sum(tx_bytes) * 10000 + sum(rx_bytes) FROM traffic_1m",
            1_102_200,
        ),
        (
            "SELECT sum(tx_bytes) * 10000 + sum(rx_bytes) FROM traffic_1h",
            1_102_200,
        ),
        (
            "SELECT sum(tx_bytes) FROM traffic WHERE name = 'nginx' AND pid = 80",
            7,
        ),
        (
            "SELECT count(*) FROM alert WHERE ended = 1799999949.25 AND peak = 2e7",
            1,
        ),
    ] {
        let found = count(query)?;
        ensure!(found == expected, "{query}: {found}");
    }

    // It goes on: the same remote, and minutes from where the roll-up was.
    store.write(&bucket(1_800_000_070, vec![row(&who("new"), 5, 1, [3, 4])]))?;
    tidy(&mut store, &FOREVER)?;
    ensure!(count("SELECT sum(tx_bytes) FROM traffic_1m")? == 118);
    ensure!(count("SELECT tx_bytes FROM process_1h WHERE time = 1800000000 AND process = 2")? == 7);
    ensure!(count("SELECT time FROM progress WHERE level = '1m'")? == 1_800_000_060);
    books.check_whole()
}

fn version_2() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    made(&file, VERSION_1)?;
    made(&file, VERSION_2)?;
    let mut store = Store::open(&file)?;
    let books = Books::open(&file)?;
    check_current(&books, &scratch)?;
    let count = |query: &str| books.number(query, []);
    for (query, expected) in [
        ("SELECT sum(tx_bytes + rx_bytes) FROM traffic_10s", 2390),
        ("SELECT sum(tx_bytes + rx_bytes) FROM interface_10s", 14_000),
        ("SELECT sum(tx_bytes + rx_bytes) FROM interface_1m", 6000),
        ("SELECT sum(tx_packets) FROM interface_1h", 20),
        ("SELECT max(peak) FROM interface_1h", 300),
        (
            "SELECT sum(t.rx_bytes) FROM class_10s t JOIN class c ON c.id = t.class
             WHERE c.name = 'https'",
            3600,
        ),
    ] {
        let found = count(query)?;
        ensure!(found == expected, "{query}: {found}");
    }
    // It goes on: minutes of interfaces from where the roll-up was.
    store.write(&bucket(1_800_000_130, Vec::new()))?;
    tidy(&mut store, &FOREVER)?;
    ensure!(count("SELECT sum(tx_bytes + rx_bytes) FROM interface_1h")? == 14_000);
    books.check_whole()
}

fn read_1() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    made(&file, VERSION_1)?;
    let reader = Reader::open(&file)?;
    let window = Window {
        since: 1_799_990_000,
        until: 1_800_001_000,
    };
    ensure!(
        !reader
            .protocols(window, &Whose::default())?
            .protocols
            .is_empty()
    );
    let asked = [
        reader.interfaces(window, None, 5).map(drop),
        reader
            .interface_timeline(window, Duration::from_secs(60), "eth0")
            .map(drop),
    ];
    for answer in asked {
        let error = answer.err().context("an answer")?;
        let text = format!("{error:#}");
        ensure!(text.contains("before netmon kept interfaces"), "{text}");
        ensure!(text.contains("netmon serve"), "{text}");
    }
    // One steps through it as ever.
    let steps = |reader: &Reader| -> anyhow::Result<Vec<i64>> {
        let (mut time, mut starts) = (i64::MAX, Vec::new());
        while let Some(past) = reader.past_before(time)? {
            ensure!(past.interfaces.is_empty(), "{past:?}");
            time = past.start;
            starts.push(time);
        }
        Ok(starts)
    };
    let before = steps(&reader)?;
    ensure!(before.len() >= 4, "{before:?}");
    // A writer brings it up to date, and the same reader sees it.
    let _store = Store::open(&file)?;
    ensure!(reader.interfaces(window, None, 5)?.interfaces.is_empty());
    ensure!(steps(&reader)? == before);
    Ok(())
}

/// Has this program take half of the step in the history named after it, and wait.
pub const HALF: &str = "--half";

/// See [`HALF`].
pub fn half(file: &str) -> anyhow::Result<()> {
    let db = Connection::open(file)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    // So small that much of the step is on disk before it is done.
    db.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE")?;
    db.execute_batch(STEP)?;
    db.pragma_update(None, "user_version", 2)?;
    println!("half");
    thread::sleep(crate::netmon::PATIENCE);
    Ok(())
}

fn crash() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    made(&file, VERSION_1)?;
    let before = contents(&file)?;
    let mut dying = Command::new(std::env::current_exe()?)
        .arg(HALF)
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = dying.stdout.take().context("no stdout")?;
    let line = BufReader::new(stdout).lines().next();
    dying.kill()?;
    dying.wait()?;
    ensure!(line.context("no line")?? == "half");
    let after = contents(&file)?;
    ensure!(after == before, "{after}\n{before}");
    drop(Store::open(&file)?);
    let books = Books::open(&file)?;
    check_current(&books, &scratch)?;
    ensure!(books.number("SELECT sum(tx_bytes) FROM traffic WHERE name = 'nginx'", [])? > 0);
    books.check_whole()
}

fn refused() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    made(&file, VERSION_1)?;
    // Somebody keeps something of his own in it, by a name that is needed near the end.
    made(&file, "CREATE TABLE class_1h (mine)")?;
    let before = contents(&file)?;
    let error = Store::open(&file).err().context("it was opened")?;
    let text = format!("{error:#}");
    ensure!(
        text.contains("could not bring") && text.contains("class_1h"),
        "{text}"
    );
    let after = contents(&file)?;
    ensure!(after == before, "{after}\n{before}");
    made(&file, "DROP TABLE class_1h")?;
    drop(Store::open(&file)?);
    check_current(&Books::open(&file)?, &scratch)
}
