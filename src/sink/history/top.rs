//! Sums of a window, largest first: `top`, `protocols`, `remotes`.

use std::collections::HashMap;

use anyhow::Result;
use foldhash::fast::RandomState;

use super::answer::{Moved, ProtocolShare, Protocols, RemoteShare, Remotes, Top, TopRow, Who};
use super::ask::{By, Whose, Window};
use super::labels::{Labels, known};
use super::plan::{Level, Plan};
use super::reader::Look;
use super::source::{Column, Source};

/// Bytes by number of the column.
pub type Sums = HashMap<i64, Moved, RandomState>;

impl By {
    /// The column that tells its rows apart, or is summed further to them.
    pub(super) fn column(self) -> Column {
        match self {
            By::Process | By::User | By::Unit => Column::Process,
            By::Remote => Column::Remote,
            By::Protocol => Column::Protocol,
        }
    }
}

impl Moved {
    /// Bytes of both directions.
    pub fn bytes(self) -> u64 {
        self.tx_bytes.saturating_add(self.rx_bytes)
    }

    /// Adds another's; stays at the end of the range rather than beginning anew.
    pub fn add(&mut self, other: Moved) {
        self.tx_bytes = self.tx_bytes.saturating_add(other.tx_bytes);
        self.rx_bytes = self.rx_bytes.saturating_add(other.rx_bytes);
    }

    /// What of it is not in `part`.
    #[must_use]
    pub fn without(self, part: Moved) -> Moved {
        Moved {
            tx_bytes: self.tx_bytes.saturating_sub(part.tx_bytes),
            rx_bytes: self.rx_bytes.saturating_sub(part.rx_bytes),
        }
    }

    /// Its part of a whole in percent, to a hundredth.
    fn percentage(self, whole: Moved) -> f64 {
        match whole.bytes() {
            0 => 0.0,
            whole => (self.bytes() as f64 / whole as f64 * 1e4).round() / 1e2,
        }
    }
}

/// The plan of a window and the sums over it, by the column of `by`.
pub fn sums(look: &Look, window: Window, by: By, whose: &Whose) -> Result<(Plan, Sums)> {
    let plan = match whose.pid {
        Some(_) => look.kept.plan_finest(window),
        None => look.kept.plan(window, Level::Hour),
    };
    let source = Source::new(look.db, whose, by.column(), by == By::Protocol)?;
    let mut sums = Sums::default();
    for part in &plan.parts {
        source.read(part, |_, key, moved| {
            sums.entry(key).or_default().add(moved);
        })?;
    }
    Ok((plan, sums))
}

/// Largest first; of equals the one whose key comes first.
pub fn largest<K: Ord>(sums: impl IntoIterator<Item = (K, Moved)>) -> Vec<(K, Moved)> {
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_unstable_by(|(key, a), (other, b)| b.bytes().cmp(&a.bytes()).then(key.cmp(other)));
    rows
}

/// The sum of all rows.
fn total<K>(rows: &[(K, Moved)]) -> Moved {
    let mut total = Moved::default();
    rows.iter().for_each(|(_, moved)| total.add(*moved));
    total
}

/// A row before its share is known.
type Named = (String, Option<Who>, Moved);

/// The first `limit` rows with their names, and the sums of all.
fn rows(look: &Look, sums: Sums, by: By, limit: usize) -> Result<(Vec<Named>, Moved)> {
    let names = Labels::of(look.db);
    if matches!(by, By::User | By::Unit) {
        let groups = names.groups(by)?;
        let mut merged: HashMap<&str, Moved> = HashMap::new();
        for (id, moved) in &sums {
            let group = groups.get(id).map_or("", String::as_str);
            merged.entry(group).or_default().add(*moved);
        }
        let rows = largest(merged);
        let first = rows.iter().take(limit);
        let named = first.map(|(key, moved)| (key.to_string(), None, *moved));
        return Ok((named.collect(), total(&rows)));
    }
    let rows = largest(sums);
    let name = |(id, moved): &(i64, Moved)| -> Result<Named> {
        Ok(match by {
            By::Remote => (names.remote(*id)?, None, *moved),
            By::Protocol => (names.protocol(*id)?, None, *moved),
            _ => {
                let who = names.process(*id)?;
                (who.name.clone(), Some(who), *moved)
            }
        })
    };
    let named: Result<_> = rows.iter().take(limit).map(name).collect();
    Ok((named?, total(&rows)))
}

/// Who moved most.
pub fn top(look: &Look, window: Window, by: By, whose: &Whose, limit: usize) -> Result<Top> {
    let (plan, sums) = sums(look, window, by, whose)?;
    let (rows, total) = rows(look, sums, by, limit)?;
    let mut other = total;
    let row = |(key, who, moved): Named| {
        other = other.without(moved);
        TopRow {
            key,
            who,
            moved,
            percentage: moved.percentage(total),
        }
    };
    let rows = rows.into_iter().map(row).collect();
    Ok(Top {
        since: plan.window.since_text(),
        until: plan.window.until_text(),
        by: by.name(),
        rows,
        other,
        total,
    })
}

/// Bytes by protocol.
pub fn protocols(look: &Look, window: Window, whose: &Whose) -> Result<Protocols> {
    let top = top(look, window, By::Protocol, whose, usize::MAX)?;
    let share = |row: TopRow| ProtocolShare {
        protocol: row.key,
        moved: row.moved,
        percentage: row.percentage,
    };
    Ok(Protocols {
        since: top.since,
        until: top.until,
        protocols: top.rows.into_iter().map(share).collect(),
    })
}

/// Bytes by remote address.
pub fn remotes(look: &Look, window: Window, whose: &Whose, limit: usize) -> Result<Remotes> {
    let top = top(look, window, By::Remote, whose, limit)?;
    let share = |row: TopRow| RemoteShare {
        remote_address: known(row.key),
        moved: row.moved,
        percentage: row.percentage,
    };
    Ok(Remotes {
        since: top.since,
        until: top.until,
        remotes: top.rows.into_iter().map(share).collect(),
        other: top.other,
    })
}
