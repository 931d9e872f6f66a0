//! The thread that looks for owners: new pairs at once, others from time to time.
//!
//! Owns how much of a CPU that may take. Where to look is the business of `owner`.

use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use crate::collect::clock;
use crate::collect::owner::{Owners, has_ended};
use crate::model::network::Link;
use crate::model::packets::pairs::{Answer, PairKey, Wanted};

/// Pairs looked for in one round.
const ROUND: usize = 256;
/// The same at the end, where each round reads everything anew and nobody waits for its turn.
const LAST_ROUND: usize = 4096;
/// Time between two rounds without news.
const REST: Duration = Duration::from_millis(100);
/// The same while there are some left that nobody has looked for.
const SOON: Duration = Duration::from_millis(5);
/// When one that is put off is looked for again.
const LATER: Duration = Duration::from_millis(20);
/// A round's CPU time is followed by this many times as much rest: a fifth of a CPU.
const SHARE: u32 = 4;
/// Time between two looks at what can be forgotten.
const TIDY: Duration = Duration::from_secs(2);
/// How long the last bytes may be looked for; those beyond have been looked for too late.
const LAST: Duration = Duration::from_millis(500);

/// The interfaces that show only what another one shows that they are a part of and that
/// is captured, too: one of the `named`, or all are.
pub(super) fn parts(links: &[Link], named: &[String]) -> Vec<u32> {
    let is_whole = |index: u32| {
        let mut links = links.iter();
        links.any(|link| {
            link.index == index
                && matches!(link.kind.as_deref(), Some("bond" | "team"))
                && (named.is_empty() || named.iter().any(|name| **name == *link.name))
        })
    };
    let parts = links
        .iter()
        .filter(|link| link.master.is_some_and(is_whole));
    parts.map(|link| link.index).collect()
}

/// Looks until nobody captures any more, and then for the last ones.
pub(super) fn run(owners: Owners, named: &[String], shared: &Shared, woken: &Receiver<()>) {
    let mut lookup = Lookup {
        owners,
        wanted: Vec::with_capacity(ROUND),
        answers: Vec::with_capacity(ROUND),
    };
    let start = clock::now().monotonic;
    let (mut again_at, mut tidy_at, mut let_go_at) = (start, start, start);
    let mut rest = REST;
    loop {
        if woken.recv_timeout(rest) == Err(RecvTimeoutError::Disconnected) {
            lookup.end(shared);
            return;
        }
        let now = clock::now().monotonic;
        let before = clock::thread_cpu();
        if lookup.owners.follow() {
            let parts = parts(lookup.owners.links(), named);
            *shared.parts.lock().unwrap_or_else(PoisonError::into_inner) = parts;
        }
        let again = now >= again_at;
        if again {
            again_at = now + LATER;
        }
        rest = if lookup.round(shared, ROUND, again, now) {
            REST
        } else {
            SOON
        };
        if now >= tidy_at {
            tidy_at = now + TIDY;
            lookup.owners.tidy(has_ended);
        }
        if now >= let_go_at {
            let_go_at = now + REST;
            lookup.owners.let_go();
        }
        let worked = clock::thread_cpu().saturating_sub(before);
        thread::sleep((worked * SHARE).min(REST));
    }
}

struct Lookup {
    owners: Owners,
    wanted: Vec<Wanted>,
    answers: Vec<(PairKey, Option<Answer>)>,
}

impl Lookup {
    /// One round of at most `most` pairs; whether all that was wanted is known.
    fn round(&mut self, shared: &Shared, most: usize, again: bool, now: Duration) -> bool {
        let mut pairs = shared.pairs();
        pairs.wanted(most, again, now, &mut self.wanted);
        // Nobody waits for the sockets.
        drop(pairs);
        let answers = &mut self.answers;
        answers.clear();
        let is_captured = |key: &PairKey| shared.pairs().has(key);
        let each = |key: &PairKey, answer| answers.push((*key, answer));
        self.owners.look(&self.wanted, is_captured, now, each);
        let mut pairs = shared.pairs();
        let mut complete = !pairs.has_fresh();
        for (key, answer) in answers.drain(..) {
            match answer {
                Some(answer) => pairs.settle(&key, answer, now),
                None => {
                    complete = false;
                    pairs.put_off(&key, now + LATER);
                }
            }
        }
        complete && !(again && pairs.has_due(now))
    }

    /// Looks once more for all whose owner is not known, and each time for everything: no
    /// later look makes good what these leave out.
    fn end(&mut self, shared: &Shared) {
        shared.pairs().hasten(clock::now().monotonic);
        let end = Instant::now() + LAST;
        loop {
            self.owners.hurry();
            let complete = self.round(shared, LAST_ROUND, true, clock::now().monotonic);
            if complete || Instant::now() >= end {
                return;
            }
            if self.wanted.is_empty() {
                thread::sleep(LATER);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::Lower;

    #[test]
    fn a_part_is_left_out_only_where_the_whole_is_captured() {
        let link = |index, name: &str, kind: Option<&str>, master| Link {
            index,
            name: name.into(),
            medium: 1,
            loopback: false,
            hardware: false,
            kind: kind.map(str::to_owned),
            lower: Lower::Nothing,
            master,
        };
        let links = [
            link(1, "bond0", Some("bond"), None),
            link(2, "eth0", None, Some(1)),
            link(3, "br0", Some("bridge"), None),
            link(4, "eth1", None, Some(3)),
        ];
        let parts = |named: &[&str]| {
            let named: Vec<String> = named.iter().map(|&it| it.to_owned()).collect();
            parts(&links, &named)
        };
        assert_eq!(parts(&[]), [2]);
        assert_eq!(parts(&["eth0", "bond0"]), [2]);
        assert!(parts(&["eth0"]).is_empty());
    }
}
