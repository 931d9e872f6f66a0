//! Single buckets of the past, for a screen that steps through them.
//!
//! Owns which bucket is next to a time: always one of the finest that are still there,
//! so that stepping meets every byte once. How one is shown is its reader's business.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use rusqlite::{Connection, Row};

use super::answer::{Frames, Who};
use super::kept::{Edge, has_interfaces, within};
use super::labels::{Labels, known};
use super::plan::{Kept, Level, down};
use super::reader::{Look, Reader};
use super::wire;
use crate::model::flow::Protocol;
use crate::model::interface::Class;

/// What moved in one stored bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Its start, seconds since the Unix epoch.
    pub start: i64,
    /// Its length, seconds: 10, 60 or 3600.
    pub length: i64,
    /// Who moved what to whom.
    pub rows: Vec<PastRow>,
    /// Bytes sent and received by protocol, of the whole machine.
    pub protocols: Vec<(Protocol, u64, u64)>,
    /// Flows that were above the threshold in it, highest peak first.
    pub alerts: Vec<PastAlert>,
    /// Interfaces that moved something, by number; none in a file that was written
    /// before netmon kept them.
    pub interfaces: Vec<PastInterface>,
}

/// What one process moved to and from one remote address by one protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRow {
    /// Number of the process in this history: equal for equal `who`.
    pub process: i64,
    /// Who it is; the same `Arc` for the same process.
    pub who: Arc<Who>,
    /// User id.
    pub uid: u32,
    /// Process id; 0 where it is no longer known.
    pub pid: u32,
    /// By which protocol; `None` for bytes that are in no flow.
    pub protocol: Option<Protocol>,
    /// Address or interface; `None` where nobody knows.
    pub remote: Option<String>,
    /// Sent, bytes.
    pub tx_bytes: u64,
    /// Received, bytes.
    pub rx_bytes: u64,
}

/// What one interface moved.
#[derive(Debug, Clone, PartialEq)]
pub struct PastInterface {
    /// Its number in this history.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// By the kernel's counters.
    pub moved: Frames,
    /// Highest rate of ten seconds, both directions, bytes/s.
    pub peak: u64,
    /// The classes that moved something, where a sampler told them apart.
    pub classes: Vec<(Class, Frames)>,
}

/// A flow above the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct PastAlert {
    /// When it rose above, seconds since the Unix epoch.
    pub started: f64,
    /// Number of the process in this history.
    pub process: i64,
    /// Process name.
    pub name: String,
    /// Process id.
    pub pid: u32,
    /// Protocol.
    pub protocol: Option<Protocol>,
    /// Address or interface; `None` where nobody knows.
    pub remote: Option<String>,
    /// Port, 0 where there is none.
    pub remote_port: u16,
    /// Highest smoothed rate, bytes/s.
    pub peak: f64,
    /// What it was above, bytes/s.
    pub threshold: f64,
}

impl Reader {
    /// The last bucket that begins before `time` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn past_before(&self, time: i64) -> Result<Option<Past>> {
        self.look(|look| match before(look, time)? {
            Some((level, start)) => bucket(look, level, start).map(Some),
            None => Ok(None),
        })
    }

    /// The first bucket that begins after `time`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn past_after(&self, time: i64) -> Result<Option<Past>> {
        self.look(|look| match after(look, time)? {
            Some((level, start)) => bucket(look, level, start).map(Some),
            None => Ok(None),
        })
    }

    /// The bucket that holds `time`; where nothing moved then, the last before it, else
    /// the first after it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn past_at(&self, time: i64) -> Result<Option<Past>> {
        self.look(|look| {
            let found = match before(look, time.saturating_add(1))? {
                Some(found) => Some(found),
                None => after(look, time)?,
            };
            match found {
                Some((level, start)) => bucket(look, level, start).map(Some),
                None => Ok(None),
            }
        })
    }
}

/// The stretches of time in which each level is the finest, latest first.
fn reigns(kept: &Kept) -> [(Level, i64, i64); 3] {
    let (finest_from, minutes_from) = (kept.finest_from, kept.minutes_from);
    [
        (Level::Finest, finest_from, i64::MAX),
        (Level::Minute, minutes_from, finest_from),
        (Level::Hour, i64::MIN, minutes_from),
    ]
}

fn before(look: &Look, time: i64) -> Result<Option<(Level, i64)>> {
    let wired = has_interfaces(look.db)?;
    for (level, from, until) in reigns(&look.kept) {
        let found = within(look.db, level, Edge::Last, wired, (from, until.min(time)))?;
        if let Some(found) = found {
            return Ok(Some((level, found)));
        }
    }
    Ok(None)
}

fn after(look: &Look, time: i64) -> Result<Option<(Level, i64)>> {
    let wired = has_interfaces(look.db)?;
    let next = time.saturating_add(1);
    for (level, from, until) in reigns(&look.kept).into_iter().rev() {
        let found = within(look.db, level, Edge::First, wired, (from.max(next), until))?;
        if let Some(found) = found {
            return Ok(Some((level, found)));
        }
    }
    Ok(None)
}

fn bucket(look: &Look, level: Level, start: i64) -> Result<Past> {
    let db = look.db;
    let length = level.seconds();
    debug_assert_eq!(start, down(start, length));
    Ok(Past {
        start,
        length,
        rows: rows(db, level, start)?,
        protocols: protocols(db, level, start)?,
        alerts: alerts(db, start, start + length)?,
        interfaces: wire::in_bucket(look, level, start)?,
    })
}

fn rows(db: &Connection, level: Level, start: i64) -> Result<Vec<PastRow>> {
    let pid = match level {
        Level::Finest => "b.pid",
        Level::Minute | Level::Hour => "0",
    };
    let query = format!(
        "SELECT b.process, ifnull(p.uid, 0), {pid}, c.name, r.address, b.tx_bytes, b.rx_bytes
         FROM traffic_{of} b
         LEFT JOIN process p ON p.id = b.process
         LEFT JOIN remote r ON r.id = b.remote
         LEFT JOIN protocol c ON c.id = b.protocol
         WHERE b.time = ?1",
        of = level.suffix()
    );
    let names = Labels::of(db);
    let mut known_by_now: HashMap<i64, Arc<Who>> = HashMap::new();
    let mut statement = db.prepare_cached(&query)?;
    let mut found = statement.query([start])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let process = row.get(0)?;
        let who = match known_by_now.get(&process) {
            Some(who) => Arc::clone(who),
            None => {
                let who = Arc::new(names.process(process)?);
                known_by_now.insert(process, Arc::clone(&who));
                who
            }
        };
        rows.push(PastRow {
            process,
            who,
            uid: row.get(1)?,
            pid: row.get(2)?,
            protocol: protocol(row, 3)?,
            remote: remote(row, 4)?,
            tx_bytes: bytes(row, 5)?,
            rx_bytes: bytes(row, 6)?,
        });
    }
    Ok(rows)
}

fn protocols(db: &Connection, level: Level, start: i64) -> Result<Vec<(Protocol, u64, u64)>> {
    let query = format!(
        "SELECT c.name, b.tx_bytes, b.rx_bytes FROM protocol_{of} b
         JOIN protocol c ON c.id = b.protocol WHERE b.time = ?1",
        of = level.suffix()
    );
    let mut statement = db.prepare_cached(&query)?;
    let rows = statement.query_map([start], |row| {
        Ok((protocol(row, 0)?, bytes(row, 1)?, bytes(row, 2)?))
    })?;
    let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    let known = |(protocol, tx, rx): (Option<_>, _, _)| Some((protocol?, tx, rx));
    let mut protocols: Vec<_> = rows.into_iter().filter_map(known).collect();
    protocols.sort_by_key(|(protocol, ..): &(Protocol, u64, u64)| protocol.index());
    Ok(protocols)
}

fn alerts(db: &Connection, start: i64, end: i64) -> Result<Vec<PastAlert>> {
    let mut statement = db.prepare_cached(
        "SELECT a.started, a.process, ifnull(p.name, ''), a.pid, c.name, r.address,
                ifnull(a.remote_port, 0), a.peak, a.threshold
         FROM alert a
         LEFT JOIN process p ON p.id = a.process
         LEFT JOIN remote r ON r.id = a.remote
         LEFT JOIN protocol c ON c.id = a.protocol
         WHERE a.started < ?2 AND (a.ended IS NULL OR a.ended >= ?1)
         ORDER BY a.peak DESC, a.id",
    )?;
    let alert = |row: &Row| {
        Ok(PastAlert {
            started: row.get(0)?,
            process: row.get(1)?,
            name: row.get(2)?,
            pid: row.get(3)?,
            protocol: protocol(row, 4)?,
            remote: remote(row, 5)?,
            remote_port: row.get(6)?,
            peak: row.get(7)?,
            threshold: row.get(8)?,
        })
    };
    let alerts = statement.query_map([start, end], alert)?;
    Ok(alerts.collect::<rusqlite::Result<_>>()?)
}

fn protocol(row: &Row, column: usize) -> rusqlite::Result<Option<Protocol>> {
    let name: Option<String> = row.get(column)?;
    Ok(name.and_then(|name| Protocol::from_name(&name)))
}

fn remote(row: &Row, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(known))
}

/// SQLite's integers are signed; the counts in them are not.
fn bytes(row: &Row, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0).cast_unsigned())
}
