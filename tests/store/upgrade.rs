//! A history of the first version is opened by this netmon, goes on, and loses nothing.

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::sink::history::store::Store;

use crate::books::{Books, FOREVER, bucket, row, tidy, who};
use crate::netmon::Scratch;
use crate::trial::trial;

/// As version 1 wrote it: never changed, unlike the tables.
const VERSION_1: &str = include_str!("version-1.sql");
/// Of a new history.
const NEW: &str = "SELECT group_concat(line, ';') FROM
                   (SELECT type || name || ifnull(sql, '') AS line FROM sqlite_schema
                    ORDER BY name)";

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "version_1_is_intact_and_current_after_opening",
        version_1,
    )]
}

fn version_1() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let made = rusqlite::Connection::open(&file)?;
    made.execute_batch(VERSION_1)?;
    drop(made);

    let mut store = Store::open(&file)?;
    let books = Books::open(&file)?;
    let count = |query: &str| books.number(query, []);
    let new = scratch.path.join("new.db");
    drop(Store::open(&new)?);
    let (new, tables) = (Books::open(&new)?, "SELECT count(*) FROM sqlite_schema");
    ensure!(
        count("PRAGMA user_version")? == new.number("PRAGMA user_version", [])?,
        "not current"
    );
    ensure!(count(tables)? == new.number(tables, [])?, "other tables");
    ensure!(
        books.text(NEW)? == new.text(NEW)?,
        "{}\n{}",
        books.text(NEW)?,
        new.text(NEW)?
    );
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
