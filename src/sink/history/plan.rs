//! Which level of buckets answers for which part of a window.
//!
//! Owns that no byte is read twice and none is missed. Pure arithmetic on times; how
//! far each level reaches is told by `kept`.

use super::ask::Window;

/// Buckets of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Ten seconds.
    Finest,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Level {
    /// Length of a bucket, seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Level::Finest => 10,
            Level::Minute => 60,
            Level::Hour => 3600,
        }
    }

    /// What the names of its tables end in.
    pub fn suffix(self) -> &'static str {
        match self {
            Level::Finest => "10s",
            Level::Minute => "1m",
            Level::Hour => "1h",
        }
    }

    /// The coarsest whose buckets are no longer than `step` seconds.
    pub fn within(step: i64) -> Level {
        [Level::Hour, Level::Minute]
            .into_iter()
            .find(|level| level.seconds() <= step)
            .unwrap_or(Level::Finest)
    }
}

/// The multiple of `length` at or before `time`.
pub fn down(time: i64, length: i64) -> i64 {
    time.div_euclid(length).saturating_mul(length)
}

/// The multiple of `length` at or after `time`.
pub fn up(time: i64, length: i64) -> i64 {
    down(time.saturating_add(length - 1), length)
}

/// How far each level reaches. The coarser a level, the longer it is kept; the
/// coarsest has all that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Buckets of ten seconds are whole from here on.
    pub finest_from: i64,
    /// Buckets of a minute are whole from here on.
    pub minutes_from: i64,
    /// What is before this is rolled up, into minutes and these into hours: an hour
    /// that it cuts has its minutes before it.
    pub rolled_up: i64,
    /// From the first bucket of all to the last; `None` if there are none.
    pub stored: Option<Window>,
}

/// One stretch of time and the level that answers for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which buckets.
    pub level: Level,
    /// First second: a multiple of the level's length.
    pub since: i64,
    /// The second after the last: all buckets that start before it are read whole.
    pub until: i64,
}

/// A window as it can be answered: widened to buckets that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is answered for.
    pub window: Window,
    /// What to read, in order and without gaps; all of the window that can hold buckets.
    pub parts: Vec<Part>,
}

impl Kept {
    /// What follows from the roll-up's mark, from times before which buckets of ten
    /// seconds and of a minute were deleted, if any were, and from what is stored.
    pub fn new(
        rolled_up: i64,
        cut_10s: Option<i64>,
        cut_1m: Option<i64>,
        stored: Option<Window>,
    ) -> Kept {
        // Of a longer bucket that is cut, only that one is whole. What is not rolled up
        // is never deleted.
        let whole_from = |cut: Option<i64>, coarser: Level| {
            cut.map_or(i64::MIN, |cut| up(cut, coarser.seconds()).min(rolled_up))
        };
        let minutes_from = whole_from(cut_1m, Level::Hour);
        Kept {
            // An hour without its minutes is read whole, so none of it is read finer.
            finest_from: whole_from(cut_10s, Level::Minute).max(minutes_from),
            minutes_from,
            rolled_up,
            stored,
        }
    }

    /// What of a window is stored, from its first bucket to its last: what there can be an
    /// average over.
    pub fn covered(&self, window: Window) -> Option<Window> {
        let stored = self.stored?;
        let covered = Window {
            since: window.since.max(stored.since),
            until: window.until.min(stored.until),
        };
        (covered.since < covered.until).then_some(covered)
    }

    /// What of a stretch of time there can be buckets in, the longest among them: far
    /// beyond, there is nothing to look for.
    fn within_stored(&self, since: i64, until: i64) -> (i64, i64) {
        let hour = Level::Hour.seconds();
        match self.stored {
            Some(stored) => (
                since.max(down(stored.since, hour)),
                until.min(up(stored.until, hour)),
            ),
            None => (until, until),
        }
    }

    /// The finest level that still has the bucket of that second.
    pub fn finest_at(&self, time: i64) -> Level {
        if time >= self.finest_from || time >= self.rolled_up {
            Level::Finest
        } else if time >= self.minutes_from {
            Level::Minute
        } else {
            Level::Hour
        }
    }

    /// The window widened to buckets that are there.
    pub fn widened(&self, window: Window) -> Window {
        let first = self.finest_at(window.since).seconds();
        let last = self.finest_at(window.until - 1).seconds();
        Window {
            since: down(window.since, first),
            until: up(window.until, last),
        }
    }

    /// What to read for a window, from buckets of at most `coarsest` where they are
    /// there, and of the coarsest that fit.
    pub fn plan(&self, window: Window, coarsest: Level) -> Plan {
        let window = self.widened(window);
        let mut parts: Vec<Part> = Vec::new();
        let (mut since, end) = self.within_stored(window.since, window.until);
        while since < end {
            let (level, until) = self.next(since, end, coarsest);
            match parts.last_mut() {
                Some(part) if part.level == level => part.until = until,
                _ => parts.push(Part {
                    level,
                    since,
                    until,
                }),
            }
            since = until;
        }
        Plan { window, parts }
    }

    /// The same from buckets of ten seconds alone, as far as they are there: nothing
    /// else knows process ids.
    pub fn plan_finest(&self, window: Window) -> Plan {
        let until = up(window.until, 10);
        let since = down(window.since, 10).max(self.finest_from).min(until);
        let window = Window { since, until };
        let (since, until) = self.within_stored(since, until);
        let whole = (since < until).then_some(Part {
            level: Level::Finest,
            since,
            until,
        });
        Plan {
            window,
            parts: whole.into_iter().collect(),
        }
    }

    /// The level that answers from `since` on, and until when.
    fn next(&self, since: i64, until: i64, coarsest: Level) -> (Level, i64) {
        for level in [Level::Hour, Level::Minute] {
            let length = level.seconds();
            let kept = level == Level::Hour || since >= self.minutes_from;
            if !kept || since % length != 0 || level > coarsest.max(self.finest_at(since)) {
                continue;
            }
            // The watermark may cut the last bucket, the window may not.
            let end = if until >= self.rolled_up {
                self.rolled_up
            } else {
                down(until, length)
            };
            if end > since {
                let hour = up(since + 1, Level::Hour.seconds());
                let stop = level == Level::Minute && coarsest == Level::Hour;
                return (level, if stop { end.min(hour) } else { end });
            }
        }
        let minute = up(since + 1, Level::Minute.seconds());
        let stop = coarsest > Level::Finest && since < self.rolled_up;
        (Level::Finest, if stop { until.min(minute) } else { until })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;
    const NOON: i64 = 1_790_000_000 / DAY * DAY + DAY / 2;

    /// Ten seconds for a day, minutes for two weeks, rolled up a minute ago.
    const KEPT: Kept = Kept {
        finest_from: NOON - DAY,
        minutes_from: NOON - 14 * DAY,
        rolled_up: NOON - 60,
        stored: Some(Window {
            since: NOON - 400 * DAY,
            until: NOON + 3600,
        }),
    };

    fn stored(since: i64, until: i64) -> Option<Window> {
        Some(Window { since, until })
    }

    fn parts(since: i64, until: i64, coarsest: Level) -> (Window, Vec<(Level, i64, i64)>) {
        let plan = KEPT.plan(Window { since, until }, coarsest);
        let part = |part: &Part| (part.level, part.since - NOON, part.until - NOON);
        (plan.window, plan.parts.iter().map(part).collect())
    }

    #[test]
    fn whole_hours_and_minutes_come_from_their_own_level() {
        use Level::{Finest, Hour, Minute};
        let (window, found) = parts(NOON - 3 * 3600 - 135, NOON + 3, Hour);
        let since = NOON - 3 * 3600 - 140;
        let until = NOON + 10;
        assert_eq!(window, Window { since, until });
        assert_eq!(
            found,
            [
                (Finest, -10_940, -10_920),
                (Minute, -10_920, -10_800),
                (Hour, -10_800, -60),
                (Finest, -60, 10),
            ]
        );
        let (_, found) = parts(NOON - 7200, NOON - 1800, Minute);
        assert_eq!(found, [(Minute, -7200, -1800)]);
        let (_, found) = parts(NOON - 7200, NOON - 1805, Finest);
        assert_eq!(found, [(Finest, -7200, -1800)]);
    }

    #[test]
    fn edges_widen_to_what_is_kept() {
        use Level::{Hour, Minute};
        let (window, found) = parts(NOON - 2 * DAY - 7, NOON - 2 * DAY + 7, Hour);
        let since = NOON - 2 * DAY - 60;
        let until = NOON - 2 * DAY + 60;
        assert_eq!(window, Window { since, until });
        assert_eq!(found, [(Minute, -172_860, -172_740)]);
        let (_, found) = parts(NOON - 20 * DAY - 7, NOON - 20 * DAY + 7, Minute);
        assert_eq!(found, [(Hour, -1_731_600, -1_724_400)]);
    }

    #[test]
    fn nothing_is_looked_for_beyond_what_is_stored() {
        let window = Window {
            since: 5,
            until: 1 << 40,
        };
        let kept = Kept::new(i64::MIN, None, None, stored(NOON + 10, NOON + 20));
        let hour = Part {
            level: Level::Finest,
            since: NOON,
            until: NOON + 3600,
        };
        for plan in [kept.plan(window, Level::Hour), kept.plan_finest(window)] {
            assert_eq!(plan.parts, [hour]);
            assert_eq!(plan.window.since, 0);
            assert!(plan.window.until >= window.until);
        }
        let empty = Kept::new(i64::MIN, None, None, None);
        assert!(empty.plan(window, Level::Hour).parts.is_empty());
        assert!(empty.plan_finest(window).parts.is_empty());
    }

    #[test]
    fn covered_is_what_is_stored_of_a_window() {
        let kept = Kept::new(i64::MIN, None, None, stored(NOON + 10, NOON + 240));
        let covered = |since, until| kept.covered(Window { since, until });
        assert_eq!(covered(NOON - DAY, NOON + DAY), kept.stored);
        assert_eq!(covered(NOON + 20, NOON + 60), stored(NOON + 20, NOON + 60));
        assert_eq!(covered(NOON - DAY, NOON + 10), None);
        assert_eq!(covered(NOON + 240, NOON + DAY), None);
        let empty = Kept::new(i64::MIN, None, None, None);
        assert_eq!(
            empty.covered(Window {
                since: 0,
                until: NOON
            }),
            None
        );
    }

    #[test]
    fn an_hour_without_its_minutes_is_read_whole() {
        // Given up in the running hour, of which buckets of ten seconds came since.
        let kept = Kept::new(
            NOON + 600,
            Some(NOON + 360),
            Some(NOON + 120),
            stored(NOON, NOON + 640),
        );
        let plan = kept.plan(
            Window {
                since: NOON + 180,
                until: NOON + 480,
            },
            Level::Finest,
        );
        assert_eq!(plan.window.since, NOON);
        assert_eq!(plan.window.until, NOON + 3600);
        let parts: Vec<_> = plan.parts.iter().map(|it| (it.level, it.until)).collect();
        assert_eq!(
            parts,
            [(Level::Hour, NOON + 600), (Level::Finest, NOON + 3600)]
        );
    }

    #[test]
    fn process_ids_are_known_as_long_as_the_finest_level_is() {
        let day = |days: i64| NOON - days * DAY;
        let plan = |since, until| KEPT.plan_finest(Window { since, until });
        assert_eq!(plan(day(2), NOON).window.since, day(1));
        assert!(plan(day(3), day(2)).parts.is_empty());
        assert_eq!(plan(NOON - 15, NOON).window.since, NOON - 20);
    }

    proptest! {
        #[test]
        fn parts_have_no_gaps_and_only_whole_buckets_that_are_there(
            since in -20 * DAY..0,
            length in 1..20 * DAY,
            ages in (1..5 * DAY, -2 * DAY..15 * DAY, 0..7200_i64),
            span in (-20 * DAY..0, 0..20 * DAY),
            coarsest in prop::sample::select(vec![Level::Finest, Level::Minute, Level::Hour]),
        ) {
            let kept = Kept::new(
                down(NOON - ages.2, 60),
                Some(down(NOON - ages.0, 10)),
                Some(down(NOON - ages.0 - ages.1, 60)),
                self::stored(NOON + span.0, NOON + span.0 + span.1),
            );
            let window = Window { since: NOON + since, until: NOON + since + length };
            let plan = kept.plan(window, coarsest);
            prop_assert!(plan.window.since <= window.since && window.until <= plan.window.until);
            prop_assert!(window.since - plan.window.since < 3600);
            let (first, last) = kept.within_stored(plan.window.since, plan.window.until);
            let mut at = first;
            for part in &plan.parts {
                prop_assert_eq!(part.since, at);
                prop_assert!(part.until > part.since);
                at = part.until;
                let length = part.level.seconds();
                prop_assert_eq!(part.since % length, 0);
                let cut = part.level == Level::Hour && part.until == kept.rolled_up;
                prop_assert!(part.until % length == 0 || cut);
                prop_assert!(part.level == Level::Finest || part.until <= kept.rolled_up);
                let from = match part.level {
                    Level::Finest => kept.finest_from.min(kept.rolled_up),
                    Level::Minute => kept.minutes_from,
                    Level::Hour => i64::MIN,
                };
                prop_assert!(part.since >= from, "{:?} of {:?}", part, kept);
            }
            prop_assert_eq!(at, last.max(first));
        }
    }
}
