//! Bytes that a process moved and its flows did not, or not yet.
//!
//! The kernel adds to a process before it adds to the flow, so a process may be some
//! bytes ahead of its flows at a reading; what found no room in the flow map stays
//! ahead for good. Owns how long to wait for a flow, and what becomes of bytes that
//! show up in one even later. Knows no buckets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::flow::ProcessId;
use crate::model::sample::Identity;
use crate::model::snapshot::ProcessRow;

/// How long bytes may take from the process to its flow: longer than a CPU of a virtual
/// machine stands still, and a further reading in any case.
const SETTLING: Duration = Duration::from_secs(1);

/// The processes that are ahead of their flows, or once were for too long.
#[derive(Debug, Default)]
pub struct Carries {
    open: HashMap<ProcessId, Carry, RandomState>,
    seen: u64,
}

/// What a reading means for the bytes of one process that are in no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Will be in no flow: sent, received.
    pub unassigned: [u64; 2],
    /// Were called unassigned before, and are in a flow of this reading after all.
    pub excess: [u64; 2],
}

#[derive(Debug)]
struct Carry {
    identity: Arc<Identity>,
    lanes: [Lane; 2],
    /// Monotonic time at which the lanes were last marked.
    marked: Duration,
    /// The reading in which the process was last listed.
    seen: u64,
}

/// One direction of one process.
#[derive(Debug, Clone, Copy, Default)]
struct Lane {
    /// Moved by the process, less what its flows moved and what was called unassigned.
    ahead: i64,
    /// The part of it that was there at the last mark: flows pay the oldest first.
    old: u64,
    /// Called unassigned so far.
    unassigned: u64,
}

impl Lane {
    /// Takes in what both moved; returns what is in a flow after all.
    fn absorb(&mut self, moved: u64, by_flow: u64) -> u64 {
        self.old = self.old.saturating_sub(by_flow);
        self.ahead += moved.cast_signed() - by_flow.cast_signed();
        let behind = self.ahead.min(0).unsigned_abs();
        let excess = behind.min(self.unassigned);
        self.unassigned -= excess;
        self.ahead += excess.cast_signed();
        excess
    }

    /// What has waited since the last mark; the rest waits until the next.
    fn mark(&mut self) -> u64 {
        let unassigned = self.old.min(self.outstanding());
        self.ahead -= unassigned.cast_signed();
        self.unassigned += unassigned;
        self.old = self.outstanding();
        unassigned
    }

    fn outstanding(&self) -> u64 {
        self.ahead.max(0).unsigned_abs()
    }

    fn is_settled(&self) -> bool {
        self.ahead == 0 && self.unassigned == 0
    }
}

impl Carries {
    /// Takes in what a process and its flows moved in the interval that ended at `now`
    /// (monotonic). `None` if there is nothing to do.
    pub fn absorb(
        &mut self,
        process: &ProcessRow,
        moved: [u64; 2],
        by_flow: [u64; 2],
        now: Duration,
    ) -> Option<Settled> {
        if moved == by_flow && self.open.is_empty() {
            return None;
        }
        let is_ahead = moved != by_flow;
        if is_ahead && !self.open.contains_key(&process.id) {
            let lane = |at: usize| {
                let mut lane = Lane::default();
                lane.absorb(moved[at], by_flow[at]);
                lane.old = lane.outstanding();
                lane
            };
            let carry = Carry {
                identity: Arc::clone(&process.identity),
                lanes: [lane(0), lane(1)],
                marked: now,
                seen: self.seen,
            };
            self.open.insert(process.id, carry);
            return None;
        }
        let carry = self.open.get_mut(&process.id)?;
        carry.seen = self.seen;
        if !Arc::ptr_eq(&carry.identity, &process.identity) {
            carry.identity = Arc::clone(&process.identity);
        }
        let mut settled = Settled::default();
        for (at, lane) in carry.lanes.iter_mut().enumerate() {
            settled.excess[at] = lane.absorb(moved[at], by_flow[at]);
        }
        if now.saturating_sub(carry.marked) >= SETTLING {
            carry.marked = now;
            settled.unassigned = carry.lanes.each_mut().map(Lane::mark);
        }
        (settled != Settled::default()).then_some(settled)
    }

    /// Ends a reading: forgets what is settled, and gives what processes were ahead
    /// that it did not list any more.
    pub fn gone(&mut self) -> Vec<Rest> {
        let seen = self.seen;
        self.seen += 1;
        let over = |carry: &Carry| carry.seen != seen || carry.lanes.iter().all(Lane::is_settled);
        self.open
            .extract_if(|_, carry| over(carry))
            .filter_map(rest)
            .collect()
    }

    /// What all processes were ahead.
    pub fn finish(&mut self) -> Vec<Rest> {
        self.open.drain().filter_map(rest).collect()
    }
}

/// What a process was ahead of its flows at the end: sent, received.
pub type Rest = (ProcessId, Arc<Identity>, [u64; 2]);

fn rest((id, carry): (ProcessId, Carry)) -> Option<Rest> {
    let outstanding = carry.lanes.map(|lane| lane.outstanding());
    (outstanding != [0; 2]).then_some((id, carry.identity, outstanding))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: Duration = Duration::from_millis(500);

    fn row() -> ProcessRow {
        ProcessRow {
            id: ProcessId {
                pid: 1,
                start_ns: 1,
            },
            identity: Arc::default(),
            totals: Default::default(),
            rates: Default::default(),
            by_protocol: Default::default(),
            kernel_thread: false,
            exited: false,
            anomalous: false,
        }
    }

    /// One process, read every half second.
    #[derive(Default)]
    struct Readings {
        carries: Carries,
        now: Duration,
    }

    impl Readings {
        fn take(&mut self, moved: u64, by_flow: u64) -> Settled {
            self.now += TICK;
            let settled = self
                .carries
                .absorb(&row(), [moved, 0], [by_flow, 0], self.now);
            assert!(self.carries.gone().is_empty());
            settled.unwrap_or_default()
        }
    }

    #[test]
    fn bytes_on_their_way_to_a_flow_are_waited_for() {
        let mut readings = Readings::default();
        // Always some bytes behind, and never the same.
        for (moved, by_flow) in [(100, 90), (100, 100), (200, 190), (50, 60), (70, 60)] {
            assert_eq!(readings.take(moved, by_flow), Settled::default());
        }
        assert_eq!(readings.take(0, 20), Settled::default());
        assert!(readings.carries.open.is_empty());
    }

    #[test]
    fn what_is_in_no_flow_for_a_second_is_given_once() {
        let mut readings = Readings::default();
        let given: Vec<u64> = [(100, 60), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]
            .map(|(moved, by_flow)| readings.take(moved, by_flow).unassigned[0])
            .into();
        assert_eq!(given, [0, 0, 40, 0, 0, 0]);
    }

    #[test]
    fn what_shows_up_in_a_flow_after_all_is_taken_back() {
        let mut readings = Readings::default();
        readings.take(100, 60);
        readings.take(0, 0);
        assert_eq!(readings.take(0, 0).unassigned, [40, 0]);
        assert_eq!(readings.take(10, 40).excess, [30, 0]);
        assert_eq!(readings.take(0, 10).excess, [10, 0]);
        assert_eq!(readings.take(5, 5), Settled::default());
        assert!(readings.carries.open.is_empty());
    }

    #[test]
    fn a_process_that_is_gone_leaves_what_it_was_ahead() {
        let mut readings = Readings::default();
        readings.take(100, 60);
        let rest: Vec<_> = readings.carries.gone().iter().map(|rest| rest.2).collect();
        assert_eq!(rest, [[40, 0]]);
        assert!(readings.carries.finish().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Whatever the flows get, and however late, each byte is in exactly one place.
        #[test]
        fn each_byte_is_given_once(
            readings in proptest::collection::vec((0..1000_u64, 0..1500_u64), 1..60),
        ) {
            let mut world = Readings::default();
            let (mut ahead, mut given) = (0_u64, 0_u64);
            let mut all = (0, 0);
            for (moved, by_flow) in readings {
                // As many as there are, those called unassigned included.
                let by_flow = by_flow.min(ahead + moved);
                ahead = ahead + moved - by_flow;
                all = (all.0 + moved, all.1 + by_flow);
                let settled = world.take(moved, by_flow);
                prop_assert!(settled.excess[0] <= by_flow);
                given = given + settled.unassigned[0] - settled.excess[0];
            }
            given += world.carries.finish().iter().map(|rest| rest.2[0]).sum::<u64>();
            prop_assert_eq!(all.0, all.1 + given);
        }
    }
}
