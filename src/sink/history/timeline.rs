//! How much moved when: points of equal length, of all or of the largest keys apart.
//!
//! Owns the grid of points. What a bucket is and where it is read stand in `plan` and
//! `source`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use foldhash::fast::RandomState;

use super::answer::{Moved, Point, Series, Stored, Timeline};
use super::ask::{By, Whose, Window, text};
use super::labels::Labels;
use super::plan::{Kept, Level, Plan, down, up};
use super::reader::Look;
use super::source::{Column, Source};
use super::top::{largest, sums};
use super::wire;

/// Most points of an answer.
pub const MOST_POINTS: i64 = 2000;

/// Most keys apart from `other`.
pub const MOST_SERIES: usize = 50;

/// Lengths of a point, seconds: each is made of whole buckets of every level below it
/// and fits into those above. Beyond the last, whole days.
const STEPS: [i64; 19] = [
    10, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 14_400, 21_600,
    28_800, 43_200, 86_400,
];

/// Longer steps than this, a hundred years, are taken as so long.
const MOST_STEP: i64 = 36_525 * 86_400;

/// Points of equal length, from one multiple of it to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    window: Window,
    step: i64,
}

impl Grid {
    /// Points of at least `step` over all of `window`, each of whole buckets of `finest`
    /// or coarser ones.
    fn new(window: Window, step: Duration, finest: Level) -> Grid {
        let step = i64::try_from(step.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let step = step.min(MOST_STEP);
        // Two more than fit, for the edges.
        let least = (window.until - window.since) / (MOST_POINTS - 2) + 1;
        let least = step.max(finest.seconds()).max(least);
        let step = STEPS.into_iter().find(|length| *length >= least);
        let step = step.unwrap_or_else(|| up(least, 86_400));
        Grid {
            window: Window {
                since: down(window.since, step),
                until: up(window.until, step),
            },
            step,
        }
    }

    /// The same for what a history still has.
    fn kept(window: Window, step: Duration, kept: &Kept) -> Grid {
        let grid = Grid::new(window, step, kept.finest_at(window.since));
        // The first point may begin among buckets that are longer than it.
        let finest = kept.finest_at(grid.window.since);
        if finest.seconds() > grid.step {
            return Grid::new(window, step, finest);
        }
        grid
    }

    fn len(&self) -> usize {
        let points = (self.window.until - self.window.since) / self.step;
        usize::try_from(points).unwrap_or_default()
    }

    /// The answer of these points, and what is stored of them.
    fn timeline(
        &self,
        stored: Option<Window>,
        line: Line,
        series: Option<Vec<Series>>,
    ) -> Timeline {
        let point = |(at, moved): (usize, Moved)| Point {
            t: text(self.window.since + i64::try_from(at).unwrap_or_default() * self.step),
            moved,
        };
        Timeline {
            since: self.window.since_text(),
            until: self.window.until_text(),
            step_seconds: self.step.cast_unsigned(),
            stored: Stored::of(stored),
            points: line.into_iter().enumerate().map(point).collect(),
            series,
        }
    }

    /// The point that a bucket belongs to.
    fn index(&self, time: i64) -> Option<usize> {
        usize::try_from((time - self.window.since).div_euclid(self.step)).ok()
    }
}

/// Bytes of every point.
type Line = Vec<Moved>;

/// How much moved when.
pub fn timeline(
    look: &Look,
    window: Window,
    step: Duration,
    whose: &Whose,
    by: Option<(By, usize)>,
) -> Result<Timeline> {
    let kept = &look.kept;
    let (grid, plan) = match whose.pid {
        // Only the finest level knows process ids.
        Some(_) => {
            let window = kept.plan_finest(window).window;
            let grid = Grid::new(window, step, Level::Finest);
            (grid, kept.plan_finest(grid.window))
        }
        None => {
            let grid = Grid::kept(window, step, kept);
            (grid, kept.plan(grid.window, Level::within(grid.step)))
        }
    };
    let stored = kept.covered(plan.window);
    let asked = Asked {
        look,
        grid,
        plan,
        whose,
    };
    let (line, series) = match by {
        None => (asked.line(Column::Nothing, true)?, None),
        Some((by, limit)) => {
            let (line, series) = asked.series(by, limit.min(MOST_SERIES))?;
            (line, Some(series))
        }
    };
    Ok(grid.timeline(stored, line, series))
}

/// How much one interface moved when.
pub fn of_interface(look: &Look, window: Window, step: Duration, name: &str) -> Result<Timeline> {
    let grid = Grid::kept(window, step, &look.kept);
    let plan = look.kept.plan(grid.window, Level::within(grid.step));
    let mut line = vec![Moved::default(); grid.len()];
    wire::each(look, &plan.parts, name, |time, moved| {
        if let Some(point) = grid.index(time).and_then(|at| line.get_mut(at)) {
            point.add(moved);
        }
    })?;
    Ok(grid.timeline(look.kept.covered(grid.window), line, None))
}

/// A question whose grid is known.
struct Asked<'a> {
    look: &'a Look<'a>,
    grid: Grid,
    plan: Plan,
    whose: &'a Whose,
}

impl Asked<'_> {
    /// All rows of the question together.
    fn line(&self, column: Column, machine: bool) -> Result<Line> {
        let source = Source::new(self.look.db, self.whose, column, machine)?;
        let mut line = vec![Moved::default(); self.grid.len()];
        self.each(&source, |at, _, moved| line[at].add(moved))?;
        Ok(line)
    }

    /// Calls `each` with index of the point, key and bytes of every row.
    fn each(&self, source: &Source, mut each: impl FnMut(usize, i64, Moved)) -> Result<()> {
        let points = self.grid.len();
        for part in &self.plan.parts {
            source.read(part, |time, key, moved| {
                if let Some(at) = self.grid.index(time).filter(|at| *at < points) {
                    each(at, key, moved);
                }
            })?;
        }
        Ok(())
    }

    /// All rows together, and the largest keys apart with the rest as `other`.
    fn series(&self, by: By, limit: usize) -> Result<(Line, Vec<Series>)> {
        let keys = self.largest_keys(by, limit)?;
        let places: HashMap<i64, usize, RandomState> = keys
            .iter()
            .enumerate()
            .flat_map(|(place, (_, ids))| ids.iter().map(move |id| (*id, place)))
            .collect();
        let points = self.grid.len();
        let mut lines = vec![vec![Moved::default(); points]; keys.len()];
        let source = Source::new(self.look.db, self.whose, by.column(), by == By::Protocol)?;
        let apart = source.has_totals();
        let mut line = if apart {
            self.line(Column::Nothing, false)?
        } else {
            vec![Moved::default(); points]
        };
        let ids: Vec<i64> = places.keys().copied().collect();
        let source = if apart { source.only(&ids) } else { source };
        self.each(&source, |at, key, moved| {
            if !apart {
                line[at].add(moved);
            }
            if let Some(place) = places.get(&key) {
                lines[*place][at].add(moved);
            }
        })?;
        let mut other = line.clone();
        for line in &lines {
            for (rest, moved) in other.iter_mut().zip(line) {
                *rest = rest.without(*moved);
            }
        }
        let names = keys.into_iter().map(|(name, _)| name);
        let rest = ("other".to_owned(), other);
        let series = names.zip(lines).chain([rest]);
        Ok((
            line,
            series.map(|(key, line)| series_of(key, &line)).collect(),
        ))
    }

    /// The `limit` largest keys of the window, each with the numbers it has.
    fn largest_keys(&self, by: By, limit: usize) -> Result<Vec<(String, Vec<i64>)>> {
        let (_, sums) = sums(self.look, self.grid.window, by, self.whose)?;
        let names = Labels::of(self.look.db);
        if by.column() != Column::Process {
            let first = largest(sums).into_iter().take(limit);
            let name = |(id, _)| {
                let name = match by {
                    By::Remote => names.remote(id)?,
                    _ => names.protocol(id)?,
                };
                Ok((name, vec![id]))
            };
            return first.map(name).collect();
        }
        // A line is known by its name alone, so that processes of one name share it.
        let groups = names.groups(by)?;
        let mut merged: HashMap<String, (Moved, Vec<i64>)> = HashMap::new();
        for (id, moved) in sums {
            let group = groups.get(&id).cloned().unwrap_or_default();
            let (sum, ids) = merged.entry(group).or_default();
            sum.add(moved);
            ids.push(id);
        }
        let sizes = merged.iter().map(|(key, (sum, _))| (key.clone(), *sum));
        let first: Vec<String> = largest(sizes).into_iter().map(|(key, _)| key).collect();
        let ids = |key: String| {
            let ids = merged.remove(&key).map(|(_, ids)| ids).unwrap_or_default();
            (key, ids)
        };
        Ok(first.into_iter().take(limit).map(ids).collect())
    }
}

fn series_of(key: String, line: &[Moved]) -> Series {
    Series {
        key,
        tx_bytes: line.iter().map(|moved| moved.tx_bytes).collect(),
        rx_bytes: line.iter().map(|moved| moved.rx_bytes).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(since: i64, until: i64, step: u64, finest: Level) -> (i64, i64, i64) {
        let window = Window { since, until };
        let grid = Grid::new(window, Duration::from_secs(step), finest);
        assert!(grid.len() as i64 <= MOST_POINTS);
        (grid.window.since, grid.window.until, grid.step)
    }

    #[test]
    fn points_are_multiples_of_buckets_and_hold_the_window() {
        assert_eq!(grid(1005, 2001, 1, Level::Finest), (1000, 2010, 10));
        assert_eq!(grid(1005, 2001, 45, Level::Finest), (960, 2040, 60));
        assert_eq!(grid(1005, 2001, 61, Level::Finest), (960, 2040, 120));
        assert_eq!(grid(1005, 2001, 1, Level::Minute), (960, 2040, 60));
        assert_eq!(grid(1005, 2001, 1, Level::Hour), (0, 3600, 3600));
        assert_eq!(grid(7205, 7300, 3601, Level::Finest), (7200, 14_400, 7200));
        for step in STEPS {
            for level in [Level::Finest, Level::Minute, Level::Hour] {
                let length = level.seconds();
                assert!(step % length == 0 || length % step == 0, "{step}");
            }
        }
    }

    #[test]
    fn too_many_points_make_longer_ones() {
        let day = 86_400;
        assert_eq!(grid(0, day, 1, Level::Finest), (0, day, 60));
        assert_eq!(grid(0, 14 * day, 60, Level::Minute).2, 900);
        assert_eq!(grid(0, 400 * day, 60, Level::Hour).2, 6 * 3600);
        assert_eq!(grid(0, 14 * day, 86_401, Level::Hour).2, 2 * day);
        assert_eq!(grid(0, 100 * 366 * day, 60, Level::Finest).2 % day, 0);
        assert_eq!(grid(5, 10, u64::MAX, Level::Finest).1, MOST_STEP);
    }
}
