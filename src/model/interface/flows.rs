//! What each flow on an interface moved between two readings of a map that forgets.
//!
//! Owns the rules for flows that the kernel's map forgot, forgot and met again, or did
//! not show in one reading although it has them. No count of a flow ever falls while it
//! is known, and nothing is counted twice.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::{Count, Pace};
use crate::model::flow::Address;

/// Readings that may lack a flow before it is forgotten here, too: a map that is changed
/// while it is read may hide what it has, and would seem to have it anew.
const PATIENCE: u32 = 3;

/// One flow on one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireFlow {
    /// `ifindex` of the interface.
    pub index: u32,
    /// The protocol's number in the IP header.
    pub protocol: u8,
    /// Who sent the first packet that was seen, and its port (0 where there are none).
    pub source: (Address, u16),
    /// The other end.
    pub destination: (Address, u16),
}

/// Both directions of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exchange {
    /// From source to destination.
    pub forth: Count,
    /// From destination to source.
    pub back: Count,
}

impl Exchange {
    /// Bytes of both directions.
    pub fn bytes(&self) -> u64 {
        self.forth.bytes + self.back.bytes
    }

    /// What was added since `before`: all, if any part fell, as the map forgot the flow
    /// and met it again.
    fn since(self, before: Exchange) -> Exchange {
        if self.forth.fell(before.forth) || self.back.fell(before.back) {
            return self;
        }
        Exchange {
            forth: self.forth.beyond(before.forth),
            back: self.back.beyond(before.back),
        }
    }
}

/// What the kernel has counted of a flow, cumulative as long as it keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowReading {
    /// Which.
    pub flow: WireFlow,
    /// How much.
    pub counts: Exchange,
}

/// One flow's line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WireFlowRow {
    /// Which.
    pub flow: WireFlow,
    /// Cumulative for as long as netmon has known it without a break.
    pub totals: Exchange,
    /// Of the last interval.
    pub moved: Exchange,
    /// From source to destination, of the last interval.
    pub forth: Pace,
    /// From destination to source, of the last interval.
    pub back: Pace,
}

/// The flows between two readings.
#[derive(Debug, Default)]
pub struct WireFlows {
    known: HashMap<WireFlow, Known, RandomState>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The kernel's counters when they were last seen.
    last: Exchange,
    totals: Exchange,
    /// Readings since then.
    missed: u32,
}

impl WireFlows {
    /// Takes the flows in as where counting begins.
    pub fn begin(&mut self, readings: &[FlowReading]) {
        for FlowReading { flow, counts } in readings {
            let known = self.known.entry(*flow).or_default();
            known.last = *counts;
        }
    }

    /// Takes a reading in; the `top` flows that moved most in `elapsed`, most first.
    pub fn tick(
        &mut self,
        readings: &[FlowReading],
        elapsed: Duration,
        top: usize,
    ) -> Vec<WireFlowRow> {
        for known in self.known.values_mut() {
            known.missed += 1;
        }
        let mut moved: HashMap<WireFlow, Exchange, RandomState> = HashMap::default();
        for FlowReading { flow, counts } in readings {
            let known = self.known.entry(*flow).or_default();
            let added = counts.since(known.last);
            known.last = *counts;
            known.missed = 0;
            if added != Exchange::default() {
                known.totals.add(added);
                // A map that is changed while it is read may show a flow twice.
                moved.entry(*flow).or_default().add(added);
            }
        }
        self.known.retain(|_, known| known.missed <= PATIENCE);
        let mut moved: Vec<(WireFlow, Exchange)> = moved.into_iter().collect();
        moved.sort_unstable_by_key(|(flow, moved)| (Reverse(moved.bytes()), *flow));
        moved.truncate(top);
        let row = |(flow, moved): (WireFlow, Exchange)| WireFlowRow {
            flow,
            totals: self.known.get(&flow).map_or(moved, |known| known.totals),
            moved,
            forth: moved.forth.pace(elapsed),
            back: moved.back.pace(elapsed),
        };
        moved.into_iter().map(row).collect()
    }
}

impl Exchange {
    fn add(&mut self, other: Exchange) {
        self.forth += other.forth;
        self.back += other.back;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn flow(n: u16) -> WireFlow {
        let end = |text: &str| text.parse().unwrap();
        WireFlow {
            index: 2,
            protocol: 6,
            source: (end("10.0.0.1"), 40_000 + n),
            destination: (end("10.0.0.2"), 443),
        }
    }

    fn exchange(forth: u64, back: u64) -> Exchange {
        let count = |packets| Count {
            packets,
            bytes: packets * 100,
        };
        Exchange {
            forth: count(forth),
            back: count(back),
        }
    }

    fn reading(n: u16, forth: u64, back: u64) -> FlowReading {
        FlowReading {
            flow: flow(n),
            counts: exchange(forth, back),
        }
    }

    /// What each flow moved.
    fn moved(rows: &[WireFlowRow]) -> Vec<(WireFlow, Exchange)> {
        rows.iter().map(|row| (row.flow, row.moved)).collect()
    }

    #[test]
    fn flows_that_moved_are_there_most_first() {
        let mut flows = WireFlows::default();
        flows.begin(&[reading(1, 5, 5)]);
        let now = [reading(1, 6, 5), reading(2, 3, 0), reading(3, 0, 0)];
        let rows = flows.tick(&now, SECOND * 2, 10);
        let expected = [(flow(2), exchange(3, 0)), (flow(1), exchange(1, 0))];
        assert_eq!(moved(&rows), expected);
        assert_eq!((rows[0].forth.packets, rows[0].forth.bytes), (1.5, 150.0));
        assert_eq!(rows[0].back, Pace::default());
        assert_eq!(rows[1].totals, exchange(1, 0));
        assert_eq!(flows.tick(&now, SECOND, 10), []);
        let rows = flows.tick(&[reading(1, 7, 6), reading(2, 4, 0)], SECOND, 1);
        assert_eq!(moved(&rows), [(flow(1), exchange(1, 1))]);
        assert_eq!(rows[0].totals, exchange(2, 1));
    }

    #[test]
    fn what_was_forgotten_and_met_again_is_all_new() {
        let mut flows = WireFlows::default();
        flows.tick(&[reading(1, 50, 50)], SECOND, 1);
        for met in [reading(1, 60, 2), reading(1, 1, 40)] {
            let rows = flows.tick(&[met], SECOND, 1);
            assert_eq!(moved(&rows), [(met.flow, met.counts)]);
        }
    }

    #[test]
    fn what_one_reading_hides_is_not_counted_again() {
        let mut flows = WireFlows::default();
        flows.tick(&[reading(1, 50, 50)], SECOND, 1);
        for _ in 0..PATIENCE {
            assert_eq!(flows.tick(&[], SECOND, 1), []);
        }
        let rows = flows.tick(&[reading(1, 51, 50)], SECOND, 1);
        assert_eq!(moved(&rows), [(flow(1), exchange(1, 0))]);
        for _ in 0..=PATIENCE {
            flows.tick(&[], SECOND, 1);
        }
        assert!(flows.known.is_empty());
    }

    #[test]
    fn what_one_reading_shows_twice_is_counted_once() {
        let mut flows = WireFlows::default();
        let rows = flows.tick(&[reading(1, 5, 0), reading(1, 6, 1)], SECOND, 10);
        assert_eq!(moved(&rows), [(flow(1), exchange(6, 1))]);
    }

    #[test]
    fn a_reading_in_no_time_has_no_pace() {
        let mut flows = WireFlows::default();
        let rows = flows.tick(&[reading(1, 5, 0)], Duration::ZERO, 10);
        assert_eq!(moved(&rows), [(flow(1), exchange(5, 0))]);
        assert_eq!(rows[0].forth, Pace::default());
    }

    /// What may happen to one of a few flows.
    #[derive(Debug, Clone)]
    enum Event {
        Moves(u16, u64, u64),
        IsForgotten(u16),
        IsHidden(u16),
        IsRead,
    }

    fn event() -> impl Strategy<Value = Event> {
        let n = 0..4_u16;
        prop_oneof![
            5 => (n.clone(), 0..9_u64, 0..9_u64).prop_map(|(n, forth, back)| {
                Event::Moves(n, forth, back)
            }),
            1 => n.clone().prop_map(Event::IsForgotten),
            1 => n.prop_map(Event::IsHidden),
            3 => Just(Event::IsRead),
        ]
    }

    proptest! {
        /// All that moved is reported once; what the map forgot before it was read may be
        /// missing, and nothing else.
        #[test]
        fn nothing_is_counted_twice(events in proptest::collection::vec(event(), 0..200)) {
            let mut flows = WireFlows::default();
            let mut kernel: HashMap<u16, Exchange> = HashMap::new();
            let (mut hidden, mut hidden_before) = (Vec::new(), Vec::new());
            let (mut true_bytes, mut reported) = (0, 0);
            let mut forgot = false;
            let mut totals: HashMap<WireFlow, Exchange> = HashMap::new();
            for event in events.into_iter().chain([Event::IsRead, Event::IsRead]) {
                match event {
                    Event::Moves(n, forth, back) => {
                        let moved = exchange(forth, back);
                        true_bytes += moved.bytes();
                        kernel.entry(n).or_default().add(moved);
                    }
                    Event::IsForgotten(n) => forgot |= kernel.remove(&n).is_some(),
                    // Not for so long that it is taken for forgotten.
                    Event::IsHidden(n) if hidden_before.contains(&n) => (),
                    Event::IsHidden(n) => hidden.push(n),
                    Event::IsRead => {
                        let seen = kernel.iter().filter(|(n, _)| !hidden.contains(*n));
                        let readings: Vec<FlowReading> = seen
                            .map(|(n, counts)| FlowReading { flow: flow(*n), counts: *counts })
                            .collect();
                        for row in flows.tick(&readings, SECOND, 100) {
                            prop_assert!(row.moved != Exchange::default());
                            let before = totals.insert(row.flow, row.totals).unwrap_or_default();
                            let mut sum = before;
                            sum.add(row.moved);
                            // Known without a break, or forgotten and begun anew.
                            prop_assert!(row.totals == sum || forgot && row.totals == row.moved);
                            reported += row.moved.bytes();
                        }
                        hidden_before = std::mem::take(&mut hidden);
                    }
                }
                prop_assert!(reported <= true_bytes);
            }
            prop_assert!(forgot || reported == true_bytes, "{reported} of {true_bytes}");
        }
    }
}
