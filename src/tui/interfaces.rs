//! Which interfaces the third page lists, and in which order.
//!
//! A pure choice; where the blocks lie is `blocks`' business, how they look
//! `interface`'s.

use std::cmp::Ordering;

use crate::model::interface::Interface;

use super::columns::Column;
use super::order;
use super::state::Sort;

/// Places in a snapshot's interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// In their order.
    pub indices: Vec<u32>,
    /// How many of them, all at the start, are not idle.
    pub active: usize,
}

/// Nothing has moved since netmon first saw it: it is down, or nobody uses it.
pub fn is_idle(row: &Interface) -> bool {
    let sampled = row.sampled.iter();
    let sampled = sampled.map(|it| it.tx.all().packets + it.rx.all().packets);
    row.totals.is_zero() && sampled.sum::<u64>() == 0
}

/// The interfaces whose name holds `text`, in any case. An idle one comes last
/// whatever the order; once anything moved, it is idle no more, so that no block
/// comes and goes.
pub fn choose(rows: &[Interface], text: &str, sort: Sort) -> Choice {
    let text = text.to_lowercase();
    let mut chosen: Vec<(u32, &Interface)> = (0..)
        .zip(rows)
        .filter(|(_, row)| row.name.to_lowercase().contains(&text))
        .collect();
    chosen.sort_by(|(_, a), (_, b)| {
        is_idle(a)
            .cmp(&is_idle(b))
            .then_with(|| {
                let order = compare(sort.column, a, b);
                if sort.descending {
                    order.reverse()
                } else {
                    order
                }
            })
            .then_with(|| a.index.cmp(&b.index))
    });
    Choice {
        active: chosen.iter().filter(|(_, row)| !is_idle(row)).count(),
        indices: chosen.into_iter().map(|(place, _)| place).collect(),
    }
}

/// By index what leads out of the machine comes before its loopback.
fn compare(column: Column, a: &Interface, b: &Interface) -> Ordering {
    match column {
        Column::Smoothed => {
            order::rate_key(a.rates.smoothed).cmp(&order::rate_key(b.rates.smoothed))
        }
        Column::Total => a.totals.bytes().cmp(&b.totals.bytes()),
        _ => (a.loopback, a.index).cmp(&(b.loopback, b.index)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::flow::Totals;
    use crate::model::snapshot::Rates;

    fn interface(index: u32, name: &str, total: u64, rate: f64) -> Interface {
        Interface {
            index,
            name: name.into(),
            loopback: name == "lo",
            totals: Totals {
                tx_bytes: total,
                ..Totals::default()
            },
            rates: Rates {
                smoothed: rate,
                ..Rates::default()
            },
            tx_packets: 0.0,
            rx_packets: 0.0,
            uptime: Duration::ZERO,
            peak: 0.0,
            sampled: None,
            unsampled: None,
        }
    }

    fn chosen(text: &str, column: Column, descending: bool) -> (Vec<u32>, usize) {
        let rows = [
            interface(1, "lo", 900, 5.0),
            interface(2, "tun0", 0, 0.0),
            interface(3, "eth0", 500, 9.0),
            interface(4, "Veth1", 700, 9.0),
            interface(5, "eth1", 0, 0.0),
        ];
        let choice = choose(&rows, text, Sort { column, descending });
        let place = |place: &u32| rows[*place as usize].index;
        (choice.indices.iter().map(place).collect(), choice.active)
    }

    #[test]
    fn idle_ones_come_last_whatever_the_order() {
        use Column::{Interface, Smoothed, Total};
        assert_eq!(chosen("", Interface, false), (vec![3, 4, 1, 2, 5], 3));
        assert_eq!(chosen("", Interface, true), (vec![1, 4, 3, 5, 2], 3));
        assert_eq!(chosen("", Smoothed, true), (vec![3, 4, 1, 2, 5], 3));
        assert_eq!(chosen("", Total, true), (vec![1, 4, 3, 2, 5], 3));
        assert_eq!(chosen("", Total, false), (vec![3, 4, 1, 2, 5], 3));
    }

    #[test]
    fn a_text_is_part_of_a_name() {
        assert_eq!(chosen("ETH", Column::Interface, false), (vec![3, 4, 5], 2));
        assert_eq!(chosen("no", Column::Interface, false), (vec![], 0));
    }
}
