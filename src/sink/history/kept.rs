//! How far each level of a stored history reaches, read from its tables.
//!
//! What follows from it for a window is `plan`'s business; what is deleted is that of
//! `retention`, which notes here how far it got.

use rusqlite::{Connection, OptionalExtension, Result};

use super::ask::Window;
use super::plan::{Kept, Level};

impl Kept {
    /// Reads it; the connection must be in a transaction that the answer is read in too.
    pub fn read(db: &Connection) -> Result<Kept> {
        let rolled_up = progress(db, Level::Minute.suffix())?;
        let cut_10s = progress(db, &cut(Level::Finest))?;
        let cut_1m = progress(db, &cut(Level::Minute))?;
        let stored = stored(db, rolled_up, [None, cut_1m, cut_10s])?;
        let rolled_up = rolled_up.unwrap_or(i64::MIN);
        Ok(Kept::new(rolled_up, cut_10s, cut_1m, stored))
    }
}

/// From the first bucket of all to the last. In an hour that is stored there may be a
/// minute alone, in this ten seconds: the finer buckets say so, as far as none of them
/// was deleted, which `cuts` tell of each level.
fn stored(
    db: &Connection,
    rolled_up: Option<i64>,
    cuts: [Option<i64>; 3],
) -> Result<Option<Window>> {
    let has_interfaces = has_interfaces(db)?;
    // Bounds of the first bucket, and of the last.
    let mut ends: Option<(Window, Window)> = None;
    for (level, cut) in [Level::Hour, Level::Minute, Level::Finest]
        .into_iter()
        .zip(cuts)
    {
        let [first, last] =
            [Edge::First, Edge::Last].map(|which| edge(db, level, which, has_interfaces));
        let (Some(first), Some(last)) = (first?, last?) else {
            continue;
        };
        let bucket = |since: i64| Window {
            since,
            until: since.saturating_add(level.seconds()),
        };
        let (mut begin, mut end) = (bucket(first), bucket(last));
        // Only what is rolled up is in the longer ones.
        if level != Level::Finest {
            end.until = end.until.min(rolled_up.unwrap_or(i64::MAX));
        }
        if let Some((coarse, coarse_end)) = ends {
            if begin.since >= coarse.until || cut.is_some_and(|cut| cut > coarse.since) {
                begin = coarse;
            }
            if end.since < coarse_end.since {
                end = coarse_end;
            }
        }
        ends = Some((begin, end));
    }
    Ok(ends.map(|(begin, end)| Window {
        since: begin.since,
        until: end.until,
    }))
}

/// Notes that of `level` buckets are deleted that began before `time`. Belongs into the
/// transaction that deletes them.
pub fn note_cut(db: &Connection, level: Level, time: i64) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO progress (level, time) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET time = max(time, excluded.time)",
    )?
    .execute((cut(level), time))?;
    Ok(())
}

/// Under which name it is noted how far a level was deleted.
fn cut(level: Level) -> String {
    format!("{} cut", level.suffix())
}

fn progress(db: &Connection, of: &str) -> Result<Option<i64>> {
    db.prepare_cached("SELECT time FROM progress WHERE level = ?1")?
        .query_row([of], |row| row.get(0))
        .optional()
}

/// Which bucket of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The earliest.
    First,
    /// The latest.
    Last,
}

impl Edge {
    fn of(self, times: impl Iterator<Item = i64>) -> Option<i64> {
        match self {
            Edge::First => times.min(),
            Edge::Last => times.max(),
        }
    }
}

/// True for a history that knows interfaces: of version 2 or later.
pub fn has_interfaces(db: &Connection) -> Result<bool> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version >= 2)
}

/// When the first or last bucket of a level begins, interfaces' among them.
pub fn edge(
    db: &Connection,
    level: Level,
    which: Edge,
    has_interfaces: bool,
) -> Result<Option<i64>> {
    within(db, level, which, has_interfaces, (i64::MIN, i64::MAX))
}

/// The same of the buckets that begin in a stretch of time: since, and before.
pub fn within(
    db: &Connection,
    level: Level,
    edge: Edge,
    has_interfaces: bool,
    (since, until): (i64, i64),
) -> Result<Option<i64>> {
    let (which, of) = match edge {
        Edge::First => ("min", level.suffix()),
        Edge::Last => ("max", level.suffix()),
    };
    let tables: &[&str] = match has_interfaces {
        true => &["traffic", "protocol", "interface", "class"],
        false => &["traffic", "protocol"],
    };
    let one = |table: &str| {
        let query =
            format!("SELECT {which}(time) FROM {table}_{of} WHERE time >= ?1 AND time < ?2");
        let mut statement = db.prepare_cached(&query)?;
        statement.query_row([since, until], |row| row.get::<_, Option<i64>>(0))
    };
    let found: Result<Vec<_>> = tables.iter().map(|table| one(table)).collect();
    Ok(edge.of(found?.into_iter().flatten()))
}
