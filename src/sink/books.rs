//! Protocol counts that balance with the process counts of the same record.
//!
//! Flows, processes and protocols are read one after the other while traffic
//! goes on, so the protocols, read last, are some bytes ahead. A record says
//! that both sums are equal: what came after the processes were read belongs to
//! the next record. Owns that rule only; reads nothing.

use std::time::Duration;

use crate::model::flow::{Protocol, Totals};
use crate::model::snapshot::{ProtocolRow, Rates, Snapshot};

/// What the last record said, and what the kernel had counted by then.
#[derive(Debug, Default)]
pub struct Books {
    said: [Totals; Protocol::COUNT],
    read: [Totals; Protocol::COUNT],
    /// When that was, by the monotonic clock; `None` before the first record.
    at: Option<Duration>,
}

/// One of the four counts of a [`Totals`].
type Field = fn(&mut Totals) -> &mut u64;

const FIELDS: [Field; 4] = [
    |totals| &mut totals.tx_bytes,
    |totals| &mut totals.rx_bytes,
    |totals| &mut totals.tx_operations,
    |totals| &mut totals.rx_operations,
];

impl Books {
    /// The protocol rows of `snapshot`, as of when its processes were read.
    pub fn protocols(&mut self, snapshot: &Snapshot) -> Vec<ProtocolRow> {
        let mut read = [Totals::default(); Protocol::COUNT];
        for row in &snapshot.protocols {
            read[row.protocol.index()] = row.totals;
        }
        // What each protocol had moved by then at the least: all that the last
        // reading saw, and all that the flows of this one show.
        let mut flows = [Totals::default(); Protocol::COUNT];
        for row in &snapshot.flows {
            flows[row.key.protocol.index()] += row.totals;
        }
        let mut sum: Totals = snapshot.processes.iter().map(|row| row.totals).sum();
        sum += snapshot.aggregates.iter().map(|row| row.totals).sum();

        let mut said = read;
        for field in FIELDS {
            let mut counts = read.map(|mut totals| *field(&mut totals));
            let least = std::array::from_fn(|at| {
                let seen = *field(&mut self.read[at]);
                seen.max(*field(&mut flows[at])).min(counts[at])
            });
            balance(&mut counts, &least, *field(&mut sum));
            for (totals, count) in said.iter_mut().zip(counts) {
                *field(totals) = count;
            }
        }
        let earlier = std::mem::replace(&mut self.said, said);
        self.read = read;
        let at = snapshot.at.monotonic;
        // A snapshot that this reader missed makes its interval the longer.
        let interval = match self.at.replace(at) {
            Some(before) => at.saturating_sub(before).max(snapshot.interval),
            None => snapshot.interval,
        };
        let rows = Protocol::ALL.into_iter().zip(said).zip(earlier);
        rows.filter(|((_, totals), _)| !totals.is_zero())
            .map(|((protocol, totals), earlier)| ProtocolRow {
                protocol,
                totals,
                rates: rates(totals.since(&earlier), interval, snapshot, protocol),
            })
            .collect()
    }
}

fn rates(moved: Totals, interval: Duration, snapshot: &Snapshot, protocol: Protocol) -> Rates {
    let per_second = |bytes: u64| match interval {
        Duration::ZERO => 0.0,
        interval => bytes as f64 / interval.as_secs_f64(),
    };
    let row = snapshot.protocols.iter().find(|r| r.protocol == protocol);
    Rates {
        tx_bytes: moved.tx_bytes,
        rx_bytes: moved.rx_bytes,
        tx: per_second(moved.tx_bytes),
        rx: per_second(moved.rx_bytes),
        smoothed: row.map_or(0.0, |row| row.rates.smoothed),
    }
}

/// Lowers `counts` until they sum up to `sum`: each by its share of what is
/// above its `least`, and below that only if nothing else is left.
fn balance<const N: usize>(counts: &mut [u64; N], least: &[u64; N], sum: u64) {
    let mut excess = counts.iter().sum::<u64>().saturating_sub(sum);
    let room: u64 = counts
        .iter()
        .zip(least)
        .map(|(count, least)| count - least)
        .sum();
    if room > 0 {
        let due = excess.min(room);
        for (count, least) in counts.iter_mut().zip(least) {
            let share = u128::from(due) * u128::from(*count - least) / u128::from(room);
            // A share of `due` is no larger than it.
            let share = u64::try_from(share).unwrap_or(due);
            *count -= share;
            excess -= share;
        }
    }
    // What rounding left, and what should not be.
    for floor in [least, &[0; N]] {
        for (count, floor) in counts.iter_mut().zip(floor) {
            let more = excess.min(count.saturating_sub(*floor));
            *count -= more;
            excess -= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced<const N: usize>(mut counts: [u64; N], least: [u64; N], sum: u64) -> [u64; N] {
        balance(&mut counts, &least, sum);
        counts
    }

    #[test]
    fn equal_sums_stay_as_they_are() {
        assert_eq!(balanced([100, 7], [50, 0], 107), [100, 7]);
    }

    #[test]
    fn only_what_moved_gives_way() {
        assert_eq!(balanced([100, 7], [40, 7], 97), [90, 7]);
        assert_eq!(balanced([100, 60], [70, 30], 100), [70, 30]);
        assert_eq!(balanced([100, 60, 5], [70, 45, 5], 135), [80, 50, 5]);
    }

    #[test]
    fn no_share_is_lost_to_rounding() {
        for excess in 0..=30 {
            let counts = balanced([11, 12, 13], [1, 2, 3], 36 - excess);
            assert_eq!(counts.iter().sum::<u64>(), 36 - excess);
            assert!(counts[0] >= 1 && counts[1] >= 2 && counts[2] >= 3);
        }
    }

    #[test]
    fn sums_are_equal_even_where_the_bounds_are_not() {
        assert_eq!(balanced([10, 10], [10, 10], 5).iter().sum::<u64>(), 5);
        assert_eq!(balanced([10, 10], [10, 10], 25), [10, 10]);
    }
}
