//! The families of the interfaces.
//!
//! No family tells of a peak: `max_over_time` does, of the time that was asked for. None
//! tells of retransmissions, either: a sum over the flows that are there now falls with
//! each that ends.

use std::fmt;

use prometheus_client::registry::Unit;

use super::{Page, RECEIVED, SENT};
use crate::model::interface::{Class, Count};
use crate::sink::metrics::{Classes, InterfaceSeries};

impl Page<'_> {
    pub(super) fn interfaces(&mut self, series: &[InterfaceSeries]) -> fmt::Result {
        // Before the first snapshot, and where they cannot be read.
        if series.is_empty() {
            return Ok(());
        }
        let rows = |of: fn(Count) -> u64| {
            series.iter().flat_map(move |series| {
                let name = ("interface", &*series.name);
                let [sent, received] = series.moved.map(of);
                [([name, SENT], sent), ([name, RECEIVED], received)]
            })
        };
        self.counters(
            "netmon_interface",
            "Bytes of frames that each interface moved, by the kernel's counters; those beyond the first 128 are in interface=\"other\"",
            Some(&Unit::Bytes),
            rows(|count| count.bytes),
        )?;
        self.counters(
            "netmon_interface_packets",
            "Packets that each interface moved, by the kernel's counters",
            None,
            rows(|count| count.packets),
        )?;
        self.classes(series)
    }

    fn classes(&mut self, series: &[InterfaceSeries]) -> fmt::Result {
        if series.iter().all(|series| series.classes.is_none()) {
            return Ok(());
        }
        let rows = |of: fn(Count) -> u64| {
            let sampled = series
                .iter()
                .filter_map(|series| Some((&*series.name, series.classes?)));
            sampled.flat_map(move |(name, [sent, received])| {
                Class::ALL.into_iter().flat_map(move |class| {
                    let row = |direction, counts: Classes| {
                        let labels = [("interface", name), ("class", class.name()), direction];
                        (labels, of(counts[class as usize]))
                    };
                    [row(SENT, sent), row(RECEIVED, received)]
                })
            })
        };
        self.counters(
            "netmon_interface_class",
            "Bytes of frames that a sampled interface moved, by what they were; http and https are parts of tcp and udp",
            Some(&Unit::Bytes),
            rows(|count| count.bytes),
        )?;
        self.counters(
            "netmon_interface_class_packets",
            "Packets that a sampled interface moved, by what they were",
            None,
            rows(|count| count.packets),
        )
    }
}
