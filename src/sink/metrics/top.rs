//! Which processes have series of their own, and how many bytes each of them shows.
//!
//! A byte is counted in the series that its label set had when it moved: its own while
//! it is among the top, [`Top::other`] else. So no series ever falls, and none of the
//! bytes is in two. A set that leaves the top takes its series along and keeps its value
//! for as long as it is remembered; when it returns, the series goes on from there.
//! Pure: no clock, time is an argument.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::labels::{Labels, Parts, Who};

/// Label sets that are remembered, in the top or not, unless the top is so large that
/// it takes more.
pub const REMEMBERED: usize = 16_384;

/// Time between two reviews of who is in the top.
pub const REVIEW: Duration = Duration::from_secs(10);

/// In this time without traffic a set's weight halves.
const HALF_LIFE: Duration = Duration::from_secs(300);

/// How many times a member's weight a newcomer must have to take its place, so that two
/// that are about equal do not change places again and again.
const MARGIN: f64 = 1.25;

/// Bytes of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bytes {
    /// Sent.
    pub tx: u64,
    /// Received.
    pub rx: u64,
}

impl Bytes {
    fn is_zero(&self) -> bool {
        self.tx == 0 && self.rx == 0
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, more: Bytes) {
        self.tx += more.tx;
        self.rx += more.rx;
    }
}

/// One label set.
#[derive(Debug, Clone, Default)]
struct Set {
    /// Counted while it was in the top.
    shown: Bytes,
    /// Bytes since the last review.
    recent: u64,
    /// Bytes before it, the older the less.
    weight: f64,
    member: bool,
    /// The last reading in which it moved bytes.
    active: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Top {
    limit: usize,
    capacity: usize,
    sets: HashMap<Labels, Set, RandomState>,
    members: usize,
    other: Bytes,
    reading: u64,
    reviewed: Duration,
}

impl Top {
    /// An empty table whose top has `limit` members.
    pub fn new(limit: usize) -> Top {
        Top::with_capacity(limit, REMEMBERED.max(limit.saturating_mul(2)))
    }

    fn with_capacity(limit: usize, capacity: usize) -> Top {
        Top {
            limit,
            capacity,
            sets: HashMap::default(),
            members: 0,
            other: Bytes::default(),
            reading: 0,
            reviewed: Duration::ZERO,
        }
    }

    /// A reading begins, at this monotonic time. Every [`REVIEW`] it is looked at who
    /// belongs to the top.
    pub fn begin(&mut self, now: Duration) {
        self.reading += 1;
        let elapsed = now.saturating_sub(self.reviewed);
        if elapsed >= REVIEW {
            self.reviewed = now;
            self.review(elapsed);
        }
    }

    /// Bytes that a process with these labels moved.
    pub fn count(&mut self, who: Who<'_>, moved: Bytes) {
        if moved.is_zero() {
            return;
        }
        if !self.sets.contains_key(&who as &dyn Parts) {
            self.add(who);
        }
        let Some(set) = self.sets.get_mut(&who as &dyn Parts) else {
            self.other += moved;
            return;
        };
        set.active = self.reading;
        set.recent += moved.tx + moved.rx;
        *if set.member {
            &mut set.shown
        } else {
            &mut self.other
        } += moved;
    }

    /// While there is a free place, whoever comes is in the top.
    fn add(&mut self, who: Who<'_>) {
        if self.sets.len() >= self.capacity {
            self.forget();
        }
        let member = self.members < self.limit;
        self.members += usize::from(member);
        let set = Set {
            member,
            ..Set::default()
        };
        self.sets.insert(who.into(), set);
    }

    /// Makes room: an eighth of those outside the top leave, least recently active first.
    fn forget(&mut self) {
        let outside = self.sets.values().filter(|set| !set.member);
        let mut active: Vec<u64> = outside.map(|set| set.active).collect();
        if active.is_empty() {
            return;
        }
        let at = active.len() / 8;
        let (_, bound, _) = active.select_nth_unstable(at);
        self.sets.retain(|_, set| set.member || set.active > *bound);
    }

    fn review(&mut self, elapsed: Duration) {
        let halves = elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64();
        let kept = 0.5_f64.powf(halves);
        for set in self.sets.values_mut() {
            set.weight = set.weight * kept + set.recent as f64;
            set.recent = 0;
        }
        if self.sets.len() == self.members {
            return;
        }
        let (mut members, mut others): (Vec<&mut Set>, Vec<&mut Set>) =
            self.sets.values_mut().partition(|set| set.member);
        members.sort_unstable_by(|a, b| a.weight.total_cmp(&b.weight));
        let least = members.first().map_or(0.0, |set| set.weight);
        others.retain(|set| set.weight > least * MARGIN);
        others.sort_unstable_by(|a, b| b.weight.total_cmp(&a.weight));
        for (member, newcomer) in members.into_iter().zip(others) {
            if newcomer.weight <= member.weight * MARGIN {
                return;
            }
            member.member = false;
            newcomer.member = true;
        }
    }

    /// The series of the top, in no order.
    pub fn series(&self) -> impl Iterator<Item = (&Labels, Bytes)> {
        self.sets
            .iter()
            .filter(|(_, set)| set.member)
            .map(|(labels, set)| (labels, set.shown))
    }

    /// What all others moved.
    pub fn other(&self) -> Bytes {
        self.other
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn who(name: &str) -> Who<'_> {
        Who {
            process: name,
            user: "alice",
            unit: "",
        }
    }

    fn sent(tx: u64) -> Bytes {
        Bytes { tx, rx: 0 }
    }

    fn shown(top: &Top) -> HashMap<String, u64> {
        top.series()
            .map(|(labels, bytes)| (labels.process.to_string(), bytes.tx + bytes.rx))
            .collect()
    }

    #[test]
    fn the_first_to_come_are_in_and_the_others_are_summed() {
        let mut top = Top::new(2);
        top.begin(Duration::ZERO);
        for (name, bytes) in [("a", 5), ("b", 7), ("c", 100), ("a", 1)] {
            top.count(who(name), sent(bytes));
        }
        assert_eq!(
            shown(&top),
            [("a".to_owned(), 6), ("b".to_owned(), 7)].into()
        );
        assert_eq!(top.other(), sent(100));
    }

    #[test]
    fn labels_that_differ_in_any_part_are_different() {
        let mut top = Top::new(9);
        let [a, b] = [("alice", "x.service"), ("bob", "x.service")];
        for (user, unit) in [a, b, ("alice", "")] {
            let who = Who {
                process: "curl",
                user,
                unit,
            };
            top.count(who, sent(1));
        }
        assert_eq!(top.series().count(), 3);
    }

    #[test]
    fn the_larger_takes_the_place_of_the_smallest_and_it_returns_where_it_was() {
        let mut top = Top::new(1);
        top.begin(Duration::ZERO);
        top.count(who("old"), sent(1000));
        top.count(who("new"), sent(1200));
        // Not larger by so much that it would count.
        top.begin(REVIEW);
        assert_eq!(shown(&top), [("old".to_owned(), 1000)].into());
        top.count(who("new"), sent(1000));
        top.begin(REVIEW * 2);
        assert_eq!(shown(&top), [("new".to_owned(), 0)].into());
        top.count(who("new"), sent(10));
        top.count(who("old"), sent(5000));
        assert_eq!(shown(&top), [("new".to_owned(), 10)].into());
        assert_eq!(top.other(), sent(1200 + 1000 + 5000));
        top.begin(REVIEW * 3);
        assert_eq!(shown(&top), [("old".to_owned(), 1000)].into());
    }

    #[test]
    fn who_is_quiet_for_long_gives_way() {
        let mut top = Top::new(1);
        top.begin(Duration::ZERO);
        top.count(who("once"), sent(1 << 30));
        top.begin(REVIEW);
        for minutes in 1..=100 {
            top.count(who("steady"), sent(100_000));
            top.begin(Duration::from_secs(60 * minutes));
        }
        assert!(shown(&top).contains_key("steady"));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_top() {
        let mut top = Top::with_capacity(2, 64);
        for round in 0..200_u64 {
            top.begin(Duration::from_millis(round));
            for n in 0..20 {
                top.count(who(&format!("{round}-{n}")), sent(1));
            }
            assert!(top.sets.len() <= 64);
        }
        assert_eq!(
            shown(&top),
            [("0-0".to_owned(), 1), ("0-1".to_owned(), 1)].into()
        );
        assert_eq!(top.other(), sent(200 * 20 - 2));
    }

    #[derive(Debug, Clone)]
    enum Event {
        Moves(u8, u64, u64),
        Passes(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            8 => (0..40_u8, 0..100_000_u64, 0..100_000_u64)
                .prop_map(|(n, tx, rx)| Event::Moves(n, tx, rx)),
            2 => prop_oneof![3 => 0..3_000_u64, 1 => 3_000..900_000_u64].prop_map(Event::Passes),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_series_falls_and_no_byte_is_lost_or_counted_twice(
            events in proptest::collection::vec(event(), 1..400),
            limit in 1..6_usize,
            capacity in 12..24_usize,
        ) {
            let mut top = Top::with_capacity(limit, capacity);
            let mut now = Duration::ZERO;
            // What every series showed last, and the sum of all that was ever added.
            let mut seen: HashMap<Labels, Bytes> = HashMap::new();
            let mut other = Bytes::default();
            let (mut moved, mut added) = (Bytes::default(), Bytes::default());
            top.begin(now);
            for event in events {
                match event {
                    Event::Moves(n, tx, rx) => {
                        top.count(who(&format!("p{n}")), Bytes { tx, rx });
                        moved += Bytes { tx, rx };
                    }
                    Event::Passes(milliseconds) => {
                        now += Duration::from_millis(milliseconds);
                        top.begin(now);
                    }
                }
                prop_assert!(top.sets.len() <= capacity);
                let members = top.series().count();
                prop_assert_eq!(members, top.members);
                prop_assert!(members <= limit);
                for (labels, bytes) in top.series() {
                    let last = seen.insert(labels.clone(), bytes).unwrap_or_default();
                    // One that was forgotten between begins anew, which is told apart
                    // by its being less than before: all of it is new then.
                    let anew = bytes.tx < last.tx || bytes.rx < last.rx;
                    let last = if anew { Bytes::default() } else { last };
                    prop_assert!(!anew || bytes.is_zero());
                    added += Bytes { tx: bytes.tx - last.tx, rx: bytes.rx - last.rx };
                }
                let rest = top.other();
                prop_assert!(rest.tx >= other.tx && rest.rx >= other.rx);
                added += Bytes { tx: rest.tx - other.tx, rx: rest.rx - other.rx };
                other = rest;
                prop_assert_eq!(added, moved);
            }
        }
    }
}
