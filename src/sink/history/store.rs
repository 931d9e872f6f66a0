//! A history that is being written: one bucket in one transaction.
//!
//! Owns the connection and what becomes of a bucket in the tables. When buckets come
//! and what becomes of failures is `writer`'s business.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::lock::Lock;
use super::names::{self, Names};
use super::retention::{Keeper, Retention};
use super::{interfaces, rollup, schema};
use crate::model::ledger::{Alert, Bucket};

/// Length of the finest buckets, seconds.
pub const BUCKET: i64 = 10;
pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 3600;

/// The rows of a bucket that are not in the tables it is rolled up into yet go there by
/// the roll-up; a row that comes after it goes there at once.
const TRAFFIC: [(&str, i64); 2] = [("1m", MINUTE), ("1h", HOUR)];

/// Alerts of a netmon that was killed ended when it did, as far as is known.
const END_ALERTS: &str = "
UPDATE alert SET ended = max(started, ifnull(
    (SELECT max(time) FROM (SELECT max(time) + 10 AS time FROM total_10s
                            UNION ALL SELECT max(time) + 10 FROM protocol_10s
                            UNION ALL SELECT max(time) + 10 FROM interface_10s
                            UNION ALL SELECT time FROM progress WHERE level = '1m')),
    started))
WHERE ended IS NULL";

/// The one writer's hold on a history; see the module's text.
pub struct Store {
    file: PathBuf,
    connection: Connection,
    names: Names,
    keeper: Keeper,
    /// Number of the last alert of earlier runs.
    alerts: i64,
    /// End of the last bucket written, which may be before that of an earlier one: it
    /// follows a clock that was ahead and was set right.
    now: Option<i64>,
    /// The rows of a bucket, sorted as the table is.
    lines: Vec<Line>,
    // Dropped last: let go of when everything is written.
    _lock: Lock,
}

/// A row of a bucket in numbers, in the order of the table's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    process: i64,
    remote: i64,
    protocol: i64,
    pid: u32,
    tx_bytes: i64,
    rx_bytes: i64,
}

impl Store {
    /// Opens the history in `file` as its one writer; makes it if there is none.
    ///
    /// # Errors
    /// If another process writes it, it is no history, of a newer netmon, or cannot be
    /// written.
    pub fn open(file: &Path) -> Result<Store> {
        schema::make_directory(file)?;
        let lock = Lock::take(file)?;
        let connection = schema::open(file)?;
        let could_not = || format!("could not write {}", file.display());
        names::write_constants(&connection).with_context(could_not)?;
        let alerts = connection
            .query_row("SELECT ifnull(max(id), 0) FROM alert", [], |row| row.get(0))
            .with_context(could_not)?;
        connection.execute(END_ALERTS, []).with_context(could_not)?;
        Ok(Store {
            file: file.to_owned(),
            connection,
            names: Names::default(),
            keeper: Keeper::default(),
            alerts,
            now: None,
            lines: Vec::new(),
            _lock: lock,
        })
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Writes a bucket: all of it or nothing.
    ///
    /// # Errors
    /// If it could not be written; it may be tried again.
    pub fn write(&mut self, bucket: &Bucket) -> rusqlite::Result<()> {
        let written = self.try_write(bucket);
        if written.is_err() {
            // Numbers that were new in it are nobody's now.
            self.names.forget();
        }
        written
    }

    fn try_write(&mut self, bucket: &Bucket) -> rusqlite::Result<()> {
        let time = bucket.start.as_secs().cast_signed();
        let nothing = bucket.rows.is_empty()
            && bucket.protocols.is_empty()
            && bucket.interfaces.is_empty()
            && bucket.alerts.is_empty();
        if !nothing {
            let behavior = TransactionBehavior::Immediate;
            let flush = self.connection.transaction_with_behavior(behavior)?;
            self.names.begin();
            number_lines(&flush, &mut self.names, bucket, &mut self.lines)?;
            write_lines(&flush, &self.lines, time)?;
            write_protocols(&flush, bucket, time)?;
            add_total(&flush, "10s", time, &self.lines)?;
            interfaces::add(&flush, &mut self.names, "10s", time, &bucket.interfaces)?;
            if rollup::mark(&flush)?.is_some_and(|mark| time < mark) {
                write_late(&flush, &mut self.names, &self.lines, bucket, time)?;
            }
            for alert in &bucket.alerts {
                write_alert(&flush, &mut self.names, alert, self.alerts)?;
            }
            flush.commit()?;
        }
        self.now = Some(time + BUCKET);
        Ok(())
    }

    /// Does one small piece of what is to be done between two buckets: rolling up,
    /// deleting, giving room back. True if there is more.
    ///
    /// # Errors
    /// If it could not be done; nothing is half done then.
    pub fn tidy(&mut self, retention: &Retention) -> rusqlite::Result<bool> {
        let Some(now) = self.now else {
            return Ok(false);
        };
        if rollup::step(&mut self.connection, now)? {
            return Ok(true);
        }
        let more = self.keeper.step(&mut self.connection, retention, now)?;
        if self.keeper.has_removed_names() {
            self.names.forget();
        }
        Ok(more)
    }
}

fn number_lines(
    flush: &Connection,
    names: &mut Names,
    bucket: &Bucket,
    lines: &mut Vec<Line>,
) -> rusqlite::Result<()> {
    let time = bucket.start.as_secs().cast_signed();
    let hour = time - time.rem_euclid(HOUR);
    lines.clear();
    for row in &bucket.rows {
        lines.push(Line {
            process: names.process(flush, &row.identity, hour)?,
            remote: names.remote(flush, row.remote, hour)?,
            protocol: names::protocol(row.protocol),
            pid: row.pid,
            tx_bytes: integer(row.tx_bytes),
            rx_bytes: integer(row.rx_bytes),
        });
    }
    // In the order of the key each page is filled once.
    lines.sort_unstable();
    Ok(())
}

fn write_lines(flush: &Connection, lines: &[Line], time: i64) -> rusqlite::Result<()> {
    let mut insert = flush.prepare_cached(
        "INSERT INTO traffic_10s (time, process, remote, protocol, pid, tx_bytes, rx_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                   rx_bytes = rx_bytes + excluded.rx_bytes",
    )?;
    for line in lines {
        insert.execute((
            time,
            line.process,
            line.remote,
            line.protocol,
            line.pid,
            line.tx_bytes,
            line.rx_bytes,
        ))?;
    }
    Ok(())
}

fn write_protocols(flush: &Connection, bucket: &Bucket, time: i64) -> rusqlite::Result<()> {
    for (protocol, tx_bytes, rx_bytes) in &bucket.protocols {
        let key = (names::protocol(Some(*protocol)), *tx_bytes, *rx_bytes);
        add_protocol(flush, "10s", time, key)?;
    }
    Ok(())
}

fn add_protocol(
    flush: &Connection,
    level: &str,
    time: i64,
    (protocol, tx_bytes, rx_bytes): (i64, u64, u64),
) -> rusqlite::Result<()> {
    flush
        .prepare_cached(&format!(
            "INSERT INTO protocol_{level} (time, protocol, tx_bytes, rx_bytes)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                       rx_bytes = rx_bytes + excluded.rx_bytes"
        ))?
        .execute((time, protocol, integer(tx_bytes), integer(rx_bytes)))?;
    Ok(())
}

/// Adds the sum of all rows, if there are any.
fn add_total(flush: &Connection, level: &str, time: i64, lines: &[Line]) -> rusqlite::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let sum = |bytes: fn(&Line) -> i64| lines.iter().map(bytes).fold(0, i64::saturating_add);
    flush
        .prepare_cached(&format!(
            "INSERT INTO total_{level} (time, tx_bytes, rx_bytes) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                       rx_bytes = rx_bytes + excluded.rx_bytes"
        ))?
        .execute((time, sum(|line| line.tx_bytes), sum(|line| line.rx_bytes)))?;
    Ok(())
}

/// Adds a bucket whose minute was rolled up before to all that came of it.
fn write_late(
    flush: &Connection,
    names: &mut Names,
    lines: &[Line],
    bucket: &Bucket,
    time: i64,
) -> rusqlite::Result<()> {
    for (level, length) in TRAFFIC {
        let time = time - time.rem_euclid(length);
        let mut traffic = flush.prepare_cached(&format!(
            "INSERT INTO traffic_{level} (time, process, remote, protocol, tx_bytes, rx_bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                       rx_bytes = rx_bytes + excluded.rx_bytes"
        ))?;
        let mut process = flush.prepare_cached(&format!(
            "INSERT INTO process_{level} (time, process, tx_bytes, rx_bytes)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                       rx_bytes = rx_bytes + excluded.rx_bytes"
        ))?;
        let mut remote = flush.prepare_cached(&format!(
            "INSERT INTO remote_{level} (time, remote, tx_bytes, rx_bytes)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                       rx_bytes = rx_bytes + excluded.rx_bytes"
        ))?;
        for line in lines {
            let (tx_bytes, rx_bytes) = (line.tx_bytes, line.rx_bytes);
            traffic.execute((
                time,
                line.process,
                line.remote,
                line.protocol,
                tx_bytes,
                rx_bytes,
            ))?;
            process.execute((time, line.process, tx_bytes, rx_bytes))?;
            remote.execute((time, line.remote, tx_bytes, rx_bytes))?;
        }
        add_total(flush, level, time, lines)?;
        for (protocol, tx_bytes, rx_bytes) in &bucket.protocols {
            let key = (names::protocol(Some(*protocol)), *tx_bytes, *rx_bytes);
            add_protocol(flush, level, time, key)?;
        }
        interfaces::add(flush, names, level, time, &bucket.interfaces)?;
    }
    Ok(())
}

fn write_alert(
    flush: &Connection,
    names: &mut Names,
    alert: &Alert,
    before: i64,
) -> rusqlite::Result<()> {
    let started = alert.started.as_secs().cast_signed();
    let hour = started - started.rem_euclid(HOUR);
    let process = names.process(flush, &alert.identity, hour)?;
    let remote = names.remote(flush, alert.remote, hour)?;
    flush
        .prepare_cached(
            "INSERT INTO alert (id, started, ended, kind, process, pid, protocol, remote,
                                remote_port, peak, threshold)
             VALUES (?1, ?2, ?3, 'rate', ?4, ?5, ?6, ?7, nullif(?8, 0), ?9, ?10)
             ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, peak = excluded.peak",
        )?
        .execute(params![
            before + alert.number.cast_signed(),
            alert.started.as_secs_f64(),
            // The clock may have been set back in between.
            alert
                .ended
                .map(|time| time.max(alert.started).as_secs_f64()),
            process,
            alert.pid,
            names::protocol(Some(alert.protocol)),
            remote,
            alert.remote_port,
            alert.peak,
            alert.threshold,
        ])?;
    Ok(())
}

/// A count as SQLite holds it; 8 EiB in a bucket are more than there can be.
pub(super) fn integer(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// One number out of one row, if there is one.
pub(super) fn number(connection: &Connection, query: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_row([], |row| row.get(0)).optional()?;
    Ok(found.flatten())
}
