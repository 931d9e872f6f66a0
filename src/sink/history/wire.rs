//! What interfaces moved in a window, or in one bucket: sums, averages, peaks, shares of classes.
//!
//! Owns the SQL that reads them. What a bucket is stands in `plan`, how they are written
//! in `interfaces`.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use foldhash::fast::RandomState;
use rusqlite::{OptionalExtension, Row};

use super::answer::{ClassShare, Frames, InterfaceSum, Interfaces, Moved, Stored};
use super::ask::Window;
use super::kept;
use super::names;
use super::past::PastInterface;
use super::plan::{Level, Part};
use super::reader::Look;
use crate::model::interface::Class;

/// A number that no row has.
const NOBODY: i64 = -1;

/// What one interface moved.
#[derive(Debug, Default)]
struct Sum {
    moved: Frames,
    /// Highest rate, bytes/s.
    peak: u64,
    /// By number of the class.
    classes: HashMap<i64, Frames, RandomState>,
}

type Sums = HashMap<i64, Sum, RandomState>;

impl Frames {
    /// Bytes of both directions.
    pub fn bytes(self) -> u64 {
        self.tx_bytes.saturating_add(self.rx_bytes)
    }

    /// Adds another's; stays at the end of the range rather than beginning anew.
    pub fn add(&mut self, other: Frames) {
        self.tx_bytes = self.tx_bytes.saturating_add(other.tx_bytes);
        self.rx_bytes = self.rx_bytes.saturating_add(other.rx_bytes);
        self.tx_packets = self.tx_packets.saturating_add(other.tx_packets);
        self.rx_packets = self.rx_packets.saturating_add(other.rx_packets);
    }

    /// The four counts from the column `first` on.
    fn of(row: &Row, first: usize) -> rusqlite::Result<Frames> {
        Ok(Frames {
            tx_bytes: count(row, first)?,
            rx_bytes: count(row, first + 1)?,
            tx_packets: count(row, first + 2)?,
            rx_packets: count(row, first + 3)?,
        })
    }
}

/// SQLite's integers are signed; the counts in them are not.
fn count(row: &Row, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0).cast_unsigned())
}

/// The `limit` interfaces that moved most in a window, or the one that is called so.
pub fn interfaces(
    look: &Look,
    window: Window,
    name: Option<&str>,
    limit: usize,
) -> Result<Interfaces> {
    let only = only(look, name)?;
    let plan = look.kept.plan(window, Level::Hour);
    let mut sums = Sums::default();
    for part in &plan.parts {
        add_part(look, part, only, &mut sums)?;
    }
    let mut rows = Vec::with_capacity(sums.len());
    for (id, sum) in sums {
        rows.push((called(look, id)?, sum));
    }
    rows.sort_unstable_by(|(name, a), (other, b)| {
        let larger = b.moved.bytes().cmp(&a.moved.bytes());
        larger.then_with(|| name.cmp(other))
    });
    let mut other = Frames::default();
    let rest = rows.split_off(limit.min(rows.len()));
    rest.iter().for_each(|(_, sum)| other.add(sum.moved));
    let covered = look.kept.covered(plan.window);
    let seconds = covered.map_or(1, |it| it.until - it.since) as f64;
    let row = |(name, sum): (String, Sum)| InterfaceSum {
        interface: name,
        moved: sum.moved,
        average_rate: hundredths(sum.moved.bytes() as f64 / seconds),
        peak_rate: sum.peak,
        classes: shares(&sum.classes),
    };
    Ok(Interfaces {
        since: plan.window.since_text(),
        until: plan.window.until_text(),
        stored: Stored::of(covered),
        interfaces: rows.into_iter().map(row).collect(),
        other,
    })
}

/// What interfaces moved in the bucket of a level that begins at `start`.
pub fn in_bucket(look: &Look, level: Level, start: i64) -> Result<Vec<PastInterface>> {
    if !kept::has_interfaces(look.db)? {
        return Ok(Vec::new());
    }
    let part = Part {
        level,
        since: start,
        until: start + 1,
    };
    let mut sums = Sums::default();
    add_part(look, &part, None, &mut sums)?;
    let mut rows = Vec::with_capacity(sums.len());
    for (
        number,
        Sum {
            moved,
            peak,
            classes,
        },
    ) in sums
    {
        rows.push(PastInterface {
            number,
            name: called(look, number)?,
            moved,
            peak,
            classes: told_apart(&classes).collect(),
        });
    }
    rows.sort_unstable_by_key(|row| row.number);
    Ok(rows)
}

/// Calls `each` with start of the bucket and bytes of every row of an interface.
pub fn each(
    look: &Look,
    parts: &[Part],
    name: &str,
    mut each: impl FnMut(i64, Moved),
) -> Result<()> {
    let Some(interface) = only(look, Some(name))? else {
        return Ok(());
    };
    for part in parts {
        let (level, length) = (part.level.suffix(), part.level.seconds());
        // Bucket by bucket: a range of times would read all other interfaces, too.
        let mut statement = look.db.prepare_cached(&format!(
            "WITH RECURSIVE bucket (time) AS (
               SELECT ?1 UNION ALL
               SELECT time + {length} FROM bucket WHERE time + {length} < ?2)
             SELECT b.time, b.tx_bytes, b.rx_bytes
             FROM bucket CROSS JOIN interface_{level} b
             WHERE b.time = bucket.time AND b.interface = ?3"
        ))?;
        let mut rows = statement.query((part.since, part.until, interface))?;
        while let Some(row) = rows.next()? {
            let moved = Moved {
                tx_bytes: count(row, 1)?,
                rx_bytes: count(row, 2)?,
            };
            each(row.get(0)?, moved);
        }
    }
    Ok(())
}

/// The number of the interface that is asked for; `None` for all of them.
fn only(look: &Look, name: Option<&str>) -> Result<Option<i64>> {
    ensure!(
        kept::has_interfaces(look.db)?,
        "it was written before netmon kept interfaces; `netmon serve` brings it up to date when \
         it opens it"
    );
    let Some(name) = name else {
        return Ok(None);
    };
    let mut statement = look
        .db
        .prepare_cached("SELECT id FROM interface WHERE name = ?1")?;
    let found = statement.query_row([name], |row| row.get(0)).optional()?;
    Ok(Some(found.unwrap_or(NOBODY)))
}

/// The name of an interface; empty if it is gone from the table.
fn called(look: &Look, id: i64) -> Result<String> {
    let mut statement = look
        .db
        .prepare_cached("SELECT name FROM interface WHERE id = ?1")?;
    let name = statement.query_row([id], |row| row.get(0)).optional()?;
    Ok(name.unwrap_or_default())
}

fn add_part(look: &Look, part: &Part, only: Option<i64>, sums: &mut Sums) -> Result<()> {
    let level = part.level.suffix();
    let which = "time >= ?1 AND time < ?2 AND (?3 IS NULL OR interface = ?3)";
    let bounds = (part.since, part.until, only);
    let mut statement = look.db.prepare_cached(&format!(
        "SELECT interface, peak, tx_bytes, rx_bytes, tx_packets, rx_packets
         FROM interface_{level} WHERE {which}"
    ))?;
    let mut rows = statement.query(bounds)?;
    while let Some(row) = rows.next()? {
        let sum = sums.entry(row.get(0)?).or_default();
        sum.peak = sum.peak.max(count(row, 1)?);
        sum.moved.add(Frames::of(row, 2)?);
    }
    let mut statement = look.db.prepare_cached(&format!(
        "SELECT interface, class, tx_bytes, rx_bytes, tx_packets, rx_packets
         FROM class_{level} WHERE {which}"
    ))?;
    let mut rows = statement.query(bounds)?;
    while let Some(row) = rows.next()? {
        let sum = sums.entry(row.get(0)?).or_default();
        let class = sum.classes.entry(row.get(1)?).or_default();
        class.add(Frames::of(row, 2)?);
    }
    Ok(())
}

/// The classes that moved something, in their order; `None` where nobody told them apart.
fn shares(classes: &HashMap<i64, Frames, RandomState>) -> Option<Vec<ClassShare>> {
    let mut all = Frames::default();
    told_apart(classes)
        .filter(|(class, _)| Class::PARTS.contains(class))
        .for_each(|(_, part)| all.add(part));
    let share = |(class, moved): (Class, Frames)| {
        let part = moved.bytes() as f64 / all.bytes().max(1) as f64;
        ClassShare {
            class: class.name(),
            moved,
            percentage: hundredths(part * 1e2),
        }
    };
    (!classes.is_empty()).then(|| told_apart(classes).map(share).collect())
}

/// The classes that moved something, in their order.
fn told_apart(
    classes: &HashMap<i64, Frames, RandomState>,
) -> impl Iterator<Item = (Class, Frames)> {
    let of = |class: Class| Some((class, *classes.get(&names::class(class))?));
    Class::ALL.into_iter().filter_map(of)
}

fn hundredths(value: f64) -> f64 {
    (value * 1e2).round() / 1e2
}
