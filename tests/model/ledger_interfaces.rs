//! The ledger's interfaces: what was in a snapshot is in a bucket once, under the name
//! it was counted by, whichever come, go, are renamed or sampled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use netmon::model::flow::Totals;
use netmon::model::interface::{Class, Count, Hook, Way, WireCounters};
use netmon::model::ledger::{Bucket, InterfaceRow, Ledger};
use netmon::model::network::{Link, LinkCounters, Lower, Network};
use netmon::model::snapshot::Snapshot;
use proptest::prelude::*;

use super::ledger::at;
use super::world::{World, settings};

const LENGTH: Duration = Duration::from_secs(10);
/// Every packet here has so many bytes: so one count is a check of the other.
const PACKET: u64 = 100;
const NAMES: [&str; 3] = ["eth0", "eth1", "veth9"];

#[derive(Debug, Clone)]
enum Event {
    /// Packets of an interface, and the same of a class where it is sampled.
    Moves(u32, usize, u64, u64),
    Comes(u32, usize),
    Goes(u32),
    Attaches(u32),
    Detaches(u32),
    Ticks(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let index = 1..4_u32;
    prop_oneof![
        6 => (index.clone(), 0..Class::COUNT, 0..50_u64, 0..50_u64)
            .prop_map(|(index, class, tx, rx)| Event::Moves(index, class, tx, rx)),
        2 => (index.clone(), 0..NAMES.len()).prop_map(|(index, name)| Event::Comes(index, name)),
        1 => index.clone().prop_map(Event::Goes),
        1 => index.clone().prop_map(Event::Attaches),
        1 => index.prop_map(Event::Detaches),
        5 => prop_oneof![8 => 1..2_000_u64, 1 => 2_000..30_000_u64].prop_map(Event::Ticks),
    ]
}

fn count(packets: u64) -> Count {
    Count {
        packets,
        bytes: packets * PACKET,
    }
}

/// An interface that is there.
#[derive(Default)]
struct There {
    name: &'static str,
    totals: Totals,
    sampler: Option<(Arc<Hook>, Way, Way)>,
    /// By class, since the last reading of the sampler that is attached.
    unread: BTreeMap<&'static str, [u64; 2]>,
}

/// Interfaces by `ifindex`, a tracker that reads them, a ledger, and what it must say.
struct Fleet {
    world: World,
    there: BTreeMap<u32, There>,
    ledger: Ledger,
    buckets: Vec<Bucket>,
    /// Bytes sent and received by name, out of the snapshots' intervals.
    moved: BTreeMap<String, [u64; 2]>,
    /// Packets by name and class, as they were put into samplers that were read.
    classes: BTreeMap<(String, &'static str), [u64; 2]>,
}

impl Fleet {
    fn new() -> Fleet {
        let mut fleet = Fleet {
            world: World::new(settings()),
            there: BTreeMap::new(),
            ledger: Ledger::new(LENGTH),
            buckets: Vec::new(),
            moved: BTreeMap::new(),
            classes: BTreeMap::new(),
        };
        fleet.links();
        fleet
    }

    /// Tells the tracker which there are.
    fn links(&mut self) {
        let link = |(index, there): (&u32, &There)| Link {
            index: *index,
            name: there.name.into(),
            medium: 1,
            loopback: false,
            hardware: true,
            kind: None,
            lower: Lower::Nothing,
            master: None,
        };
        self.world.sample.network = Some(Arc::new(Network {
            links: self.there.iter().map(link).collect(),
            ..Network::default()
        }));
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Moves(index, class, tx, rx) => self.moves(index, Class::ALL[class], tx, rx),
            Event::Comes(index, name) => {
                let taken = self.there.values().any(|there| there.name == NAMES[name]);
                if !taken {
                    // One that is there is renamed.
                    self.there.entry(index).or_default().name = NAMES[name];
                    self.links();
                }
            }
            Event::Goes(index) => {
                self.there.remove(&index);
                self.links();
            }
            Event::Attaches(index) => {
                if let Some(there) = self.there.get_mut(&index) {
                    let hook = Hook {
                        ingress: String::new(),
                        egress: String::new(),
                        reason: String::new(),
                    };
                    there.sampler = Some((Arc::new(hook), Way::default(), Way::default()));
                    there.unread.clear();
                }
            }
            Event::Detaches(index) => {
                if let Some(there) = self.there.get_mut(&index) {
                    there.sampler = None;
                    there.unread.clear();
                }
            }
            Event::Ticks(milliseconds) => self.ticks(milliseconds),
        }
    }

    fn moves(&mut self, index: u32, class: Class, tx: u64, rx: u64) {
        let Some(there) = self.there.get_mut(&index) else {
            return;
        };
        let totals = &mut there.totals;
        totals.tx_bytes += tx * PACKET;
        totals.rx_bytes += rx * PACKET;
        totals.tx_operations += tx;
        totals.rx_operations += rx;
        if let Some((_, sent, received)) = &mut there.sampler {
            sent.classes[class as usize] += count(tx);
            received.classes[class as usize] += count(rx);
            let unread = there.unread.entry(class.name()).or_default();
            unread[0] += tx;
            unread[1] += rx;
        }
    }

    fn ticks(&mut self, milliseconds: u64) {
        let sample = &mut self.world.sample;
        let links = self.there.iter().map(|(index, there)| LinkCounters {
            index: *index,
            totals: there.totals,
        });
        sample.links = links.collect();
        let wire = self.there.iter().filter_map(|(index, there)| {
            let (hook, tx, rx) = there.sampler.as_ref()?;
            Some(WireCounters {
                index: *index,
                hook: Arc::clone(hook),
                tx: *tx,
                rx: *rx,
            })
        });
        sample.wire = wire.collect();
        let snapshot = self.world.tick_after(Duration::from_millis(milliseconds));
        for row in &snapshot.interfaces {
            let sum = self.moved.entry(row.name.to_string()).or_default();
            sum[0] += row.rates.tx_bytes;
            sum[1] += row.rates.rx_bytes;
        }
        for there in self.there.values_mut() {
            for (class, [tx, rx]) in std::mem::take(&mut there.unread) {
                let sum = self.classes.entry((there.name.to_owned(), class));
                let sum = sum.or_default();
                sum[0] += tx;
                sum[1] += rx;
            }
        }
        self.absorb(&snapshot);
    }

    fn absorb(&mut self, snapshot: &Snapshot) {
        self.buckets.extend(self.ledger.absorb(snapshot));
    }

    /// Ends the run and checks every sum.
    fn end(mut self) {
        self.buckets.extend(self.ledger.finish());
        let rows = || self.buckets.iter().flat_map(|bucket| &bucket.interfaces);
        let mut moved: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        let mut classes: BTreeMap<(String, &str), [u64; 2]> = BTreeMap::new();
        for row in rows() {
            for count in [row.tx, row.rx] {
                assert_eq!(count.bytes, count.packets * PACKET, "{row:?}");
            }
            let bytes = row.tx.bytes + row.rx.bytes;
            assert!(row.peak <= bytes.div_ceil(LENGTH.as_secs()), "{row:?}");
            let sum = moved.entry(row.name.to_string()).or_default();
            sum[0] += row.tx.bytes;
            sum[1] += row.rx.bytes;
            for (class, tx, rx) in &row.classes {
                assert_eq!((*tx, *rx), (count(tx.packets), count(rx.packets)));
                let sum = classes.entry((row.name.to_string(), class.name()));
                let sum = sum.or_default();
                sum[0] += tx.packets;
                sum[1] += rx.packets;
            }
        }
        self.moved.retain(|_, sum| *sum != [0; 2]);
        moved.retain(|_, sum| *sum != [0; 2]);
        self.classes.retain(|_, sum| *sum != [0; 2]);
        assert_eq!(moved, self.moved);
        assert_eq!(classes, self.classes);
        for bucket in &self.buckets {
            let names: Vec<_> = bucket.interfaces.iter().map(|row| &row.name).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_packet_is_in_one_bucket_under_its_name(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut fleet = Fleet::new();
        events.iter().for_each(|event| fleet.happens(event));
        fleet.ticks(500);
        fleet.end();
    }
}

/// A fleet of `eth0`, counted from here on.
fn one() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.happens(&Event::Comes(1, 0));
    fleet.ticks(500);
    fleet
}

fn rows(fleet: &mut Fleet) -> Vec<InterfaceRow> {
    let bucket = fleet.ledger.finish().expect("a bucket");
    bucket.interfaces
}

#[test]
fn one_that_vanishes_leaves_what_was_in_a_snapshot() {
    let mut fleet = one();
    fleet.happens(&Event::Moves(1, 0, 3, 4));
    fleet.ticks(500);
    fleet.happens(&Event::Goes(1));
    fleet.ticks(500);
    // Another one of that number and name begins anew.
    fleet.happens(&Event::Comes(1, 0));
    fleet.happens(&Event::Moves(1, 0, 50, 0));
    fleet.ticks(500);
    fleet.happens(&Event::Moves(1, 0, 1, 0));
    fleet.ticks(500);
    let rows = rows(&mut fleet);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].tx, rows[0].rx), (count(4), count(4)));
}

#[test]
fn what_moved_nothing_takes_no_row() {
    let mut fleet = one();
    fleet.happens(&Event::Attaches(1));
    for _ in 0..3 {
        fleet.ticks(500);
    }
    assert_eq!(rows(&mut fleet), []);
}

#[test]
fn a_peak_is_over_ten_seconds_or_longer_readings() {
    for (milliseconds, peak) in [(500, 100), (10_000, 100), (20_000, 50)] {
        let mut fleet = one();
        fleet.happens(&Event::Moves(1, 0, 4, 6));
        // Only this reading is in the bucket.
        let before = fleet.world.tick();
        fleet.ledger = Ledger::new(LENGTH);
        fleet.absorb(&at(&before, 1000.0));
        fleet.ledger.finish();
        fleet.ticks(milliseconds);
        let rows = rows(&mut fleet);
        assert_eq!(rows[0].peak, peak, "{milliseconds}");
    }
}
