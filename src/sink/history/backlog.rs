//! Buckets that wait to be written, in bounded memory however long that takes.
//!
//! Owns what is given up first when there are too many: remote addresses, then the
//! shorter buckets, then the oldest bytes, which are counted. How buckets become one is
//! `merge`'s business. Writes nothing.

use std::collections::VecDeque;

use super::merge::{append, merged};
use super::store::{HOUR, MINUTE};
use crate::model::ledger::{Bucket, BucketRow};

/// Most rows that wait: 12 MiB of 48 bytes each, and what they share with the model: the
/// identities of their processes, each with its command line, which live on as long as
/// a row that names them. It is held to after each attempt to write, and takes twice
/// that while it is folded; meanwhile up to [`STUCK`] times as many may come.
pub const MOST: usize = 262_144;

/// So many times the most rows mean that nobody folds them, as the writer has been stuck
/// in one attempt for long or has panicked: then they are folded where they come in.
const STUCK: usize = 2;

/// The buckets, oldest first; see the module's text.
#[derive(Debug)]
pub struct Backlog {
    waiting: VecDeque<Bucket>,
    rows: usize,
    most: usize,
    lost: u64,
}

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog::of(MOST)
    }
}

impl Backlog {
    /// One that holds at most `most` rows.
    pub fn of(most: usize) -> Backlog {
        Backlog {
            waiting: VecDeque::new(),
            rows: 0,
            most,
            lost: 0,
        }
    }

    /// Adds the latest bucket. Takes long only if the excess was not taken for long.
    pub fn push(&mut self, bucket: Bucket) {
        self.rows += rows(&bucket);
        self.waiting.push_back(bucket);
        if self.rows > self.most * STUCK {
            self.fold();
        }
    }

    /// Takes all out if there is too much, to be [`folded`](Backlog::fold) without
    /// keeping others from what is left, and [`returned`](Backlog::give_back).
    pub fn take_excess(&mut self) -> Option<Backlog> {
        (self.rows > self.most).then(|| Backlog {
            waiting: std::mem::take(&mut self.waiting),
            rows: std::mem::take(&mut self.rows),
            most: self.most,
            lost: 0,
        })
    }

    /// Puts what was taken out before all that came since.
    pub fn give_back(&mut self, mut folded: Backlog) {
        folded.waiting.append(&mut self.waiting);
        self.waiting = folded.waiting;
        self.rows += folded.rows;
        self.lost += folded.lost;
    }

    /// Takes the oldest bucket out.
    pub fn pop(&mut self) -> Option<Bucket> {
        let bucket = self.waiting.pop_front()?;
        self.rows -= rows(&bucket);
        Some(bucket)
    }

    /// Puts a bucket back that [`pop`](Backlog::pop) took out.
    pub fn put_back(&mut self, bucket: Bucket) {
        self.rows += rows(&bucket);
        self.waiting.push_front(bucket);
    }

    /// Buckets that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of buckets for which there was no room.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.waiting.iter().map(bytes).sum()
    }

    /// Makes so much room that it is not to be done again soon.
    pub fn fold(&mut self) {
        let enough = self.most / 4 * 3;
        for bucket in &mut self.waiting {
            let rows = std::mem::take(&mut bucket.rows);
            let unknown = rows.into_iter().map(|row| BucketRow {
                remote: None,
                ..row
            });
            bucket.rows = merged(unknown);
        }
        for length in [MINUTE, HOUR] {
            self.recount();
            if self.rows > enough {
                self.join(length);
            }
        }
        self.recount();
        while self.rows > enough
            && let Some(bucket) = self.pop()
        {
            self.lost += bytes(&bucket);
        }
    }

    /// Makes one bucket of all that are in the same `length` seconds.
    fn join(&mut self, length: i64) {
        let mut joined: VecDeque<Bucket> = VecDeque::new();
        let number = |bucket: &Bucket| bucket.start.as_secs() / length.unsigned_abs();
        for bucket in self.waiting.drain(..) {
            match joined.back_mut() {
                Some(last) if number(last) == number(&bucket) => append(last, bucket),
                _ => joined.push_back(bucket),
            }
        }
        self.waiting = joined;
    }

    fn recount(&mut self) {
        self.rows = self.waiting.iter().map(rows).sum();
    }
}

/// What a bucket takes, in rows; an empty one takes something, too.
fn rows(bucket: &Bucket) -> usize {
    // An interface takes as much as two rows, and each of its classes as one.
    let interfaces = bucket.interfaces.iter();
    let interfaces: usize = interfaces.map(|row| 2 + row.classes.len()).sum();
    1 + bucket.rows.len() + bucket.protocols.len() + interfaces + bucket.alerts.len()
}

fn bytes(bucket: &Bucket) -> u64 {
    let rows = bucket.rows.iter();
    rows.map(|row| row.tx_bytes + row.rx_bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::endpoint::Address;
    use crate::model::flow::Protocol;
    use crate::model::sample::Identity;

    fn bucket(number: u64, who: &[Arc<Identity>], remotes: u32) -> Bucket {
        let row = |at: u32| BucketRow {
            identity: Arc::clone(&who[at as usize % who.len()]),
            pid: at % who.len() as u32,
            protocol: Some(Protocol::Tcp),
            remote: Some(Address::Ip(std::net::Ipv4Addr::from_bits(at).into())),
            tx_bytes: 1,
            rx_bytes: u64::from(at),
        };
        Bucket {
            start: Duration::from_secs(number * 10),
            rows: (0..remotes).map(row).collect(),
            protocols: vec![(Protocol::Tcp, u64::from(remotes), 7)],
            interfaces: Vec::new(),
            alerts: Vec::new(),
        }
    }

    fn who(count: usize) -> Vec<Arc<Identity>> {
        (0..count).map(|_| Arc::default()).collect()
    }

    /// As the writer does it.
    fn push(backlog: &mut Backlog, bucket: Bucket) {
        backlog.push(bucket);
        if let Some(mut excess) = backlog.take_excess() {
            excess.fold();
            backlog.give_back(excess);
        }
    }

    fn left(backlog: &mut Backlog) -> Vec<Bucket> {
        std::iter::from_fn(|| backlog.pop()).collect()
    }

    #[test]
    fn what_fits_waits_as_it_is_in_its_order() {
        let who = who(3);
        let mut backlog = Backlog::of(100);
        let buckets: Vec<Bucket> = (0..3).map(|n| bucket(n, &who, 20)).collect();
        buckets.iter().for_each(|it| backlog.push(it.clone()));
        let first = backlog.pop().unwrap();
        assert_eq!((backlog.len(), backlog.lost()), (2, 0));
        backlog.put_back(first);
        assert_eq!(left(&mut backlog), buckets);
        assert!(backlog.is_empty());
    }

    #[test]
    fn remotes_go_first_then_minutes_then_hours_then_bytes() {
        let who = who(3);
        let mut backlog = Backlog::of(100);
        for n in 0..5 {
            push(&mut backlog, bucket(n, &who, 20));
        }
        // Five of three processes each, as long as they were.
        let folded = left(&mut backlog);
        assert_eq!(folded.len(), 5);
        assert!(folded.iter().all(|it| it.rows.len() == 3));
        assert!(
            folded
                .iter()
                .all(|it| it.rows.iter().all(|row| row.remote.is_none()))
        );

        for n in 0..60 {
            push(&mut backlog, bucket(n, &who, 20));
        }
        let minutes = left(&mut backlog);
        assert!(minutes.len() < 40, "{}", minutes.len());
        assert!(minutes.is_sorted_by_key(|it| it.start));
        assert_eq!(minutes[0].start, Duration::ZERO);
        let protocols: u64 = minutes.iter().map(|it| it.protocols[0].1).sum();
        assert_eq!((protocols, backlog.lost()), (60 * 20, 0));

        let sent = |buckets: &[Bucket]| buckets.iter().map(bytes).sum::<u64>();
        let each = bytes(&bucket(0, &who, 20));
        for n in 0..360 * 40 {
            push(&mut backlog, bucket(n, &who, 20));
        }
        assert!(backlog.lost() > 0);
        let lost = backlog.lost();
        assert_eq!(sent(&left(&mut backlog)) + lost, 360 * 40 * each);
    }

    #[test]
    fn what_comes_while_the_excess_is_folded_stays_behind_it() {
        let who = who(3);
        let mut backlog = Backlog::of(50);
        for n in 0..3 {
            backlog.push(bucket(n, &who, 20));
        }
        let mut excess = backlog.take_excess().unwrap();
        assert!(backlog.take_excess().is_none());
        backlog.push(bucket(3, &who, 20));
        excess.fold();
        backlog.give_back(excess);
        let counted: usize = backlog.waiting.iter().map(rows).sum();
        assert_eq!(backlog.rows, counted);
        let left = left(&mut backlog);
        let seen: Vec<_> = left
            .iter()
            .map(|it| (it.start.as_secs(), it.rows.len()))
            .collect();
        assert_eq!(seen, [(0, 3), (10, 3), (20, 3), (30, 20)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// However many come, no more than allowed wait, and no byte goes unaccounted.
        #[test]
        fn memory_is_bounded_and_bytes_are_accounted_for(
            pushes in proptest::collection::vec((0..400_u64, 0..60_u32, 0..4_u8), 1..80),
            most in 20..300_usize,
            processes in 1..6_usize,
            is_stuck: bool,
        ) {
            let who = who(processes);
            let mut backlog = Backlog::of(most);
            let (mut number, mut all, mut written) = (0, 0, 0);
            for (gap, remotes, pops) in pushes {
                number += gap;
                let next = bucket(number, &who, remotes);
                all += bytes(&next);
                if is_stuck {
                    backlog.push(next);
                } else {
                    push(&mut backlog, next);
                }
                let bound = if is_stuck { most * STUCK } else { most };
                prop_assert!(backlog.rows <= bound);
                for _ in 1..pops {
                    written += backlog.pop().as_ref().map_or(0, bytes);
                }
                prop_assert_eq!(backlog.bytes() + backlog.lost() + written, all);
                let counted: usize = backlog.waiting.iter().map(rows).sum();
                prop_assert_eq!(backlog.rows, counted);
            }
        }
    }
}
