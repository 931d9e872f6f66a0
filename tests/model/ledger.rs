//! The ledger: every byte of a run in one bucket, once, under who moved it to whom.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use netmon::model::flow::{Address, ProcessId, Protocol, Totals};
use netmon::model::ledger::{Bucket, BucketRow, Ledger};
use netmon::model::snapshot::Snapshot;
use netmon::model::tracker::Settings;
use proptest::prelude::*;

use super::properties::{Event, PROCESSES, event, happens};
use super::world::{World, bytes, flow, process, settings};

const LENGTH: Duration = Duration::from_secs(10);

/// A ledger, the buckets it gave, and what the snapshots said.
pub struct Kept {
    ledger: Ledger,
    buckets: Vec<Bucket>,
    /// Of processes as they are listed, and of earlier times that they were.
    processes: HashMap<ProcessId, Totals>,
    earlier: HashMap<ProcessId, Totals>,
    aggregates: HashMap<&'static str, Totals>,
    protocols: HashMap<Protocol, Totals>,
}

impl Kept {
    pub fn new() -> Kept {
        Kept {
            ledger: Ledger::new(LENGTH),
            buckets: Vec::new(),
            processes: HashMap::new(),
            earlier: HashMap::new(),
            aggregates: HashMap::new(),
            protocols: HashMap::new(),
        }
    }

    pub fn absorb(&mut self, snapshot: &Snapshot) {
        // What is forgotten and moves again is counted from zero.
        let listed = snapshot.processes.iter().map(|row| (row.id, row.totals));
        let before = std::mem::replace(&mut self.processes, listed.collect());
        for (id, totals) in before {
            if !self.processes.contains_key(&id) {
                *self.earlier.entry(id).or_default() += totals;
            }
        }
        for row in &snapshot.aggregates {
            self.aggregates.insert(row.name, row.totals);
        }
        for row in &snapshot.protocols {
            self.protocols.insert(row.protocol, row.totals);
        }
        self.buckets.extend(self.ledger.absorb(snapshot));
    }

    /// Ends the run and checks every sum.
    pub fn end(mut self) -> Vec<Bucket> {
        self.buckets.extend(self.ledger.finish());
        assert_eq!(self.ledger.finish(), None);
        let starts: Vec<Duration> = self.buckets.iter().map(|bucket| bucket.start).collect();
        // A small step back of the clock is not followed.
        let follows = |two: &[Duration]| two[0] <= two[1] || two[0] - two[1] > LENGTH * 2;
        assert!(starts.windows(2).all(follows), "{starts:?}");
        assert!(
            starts
                .iter()
                .all(|start| start.as_nanos() % LENGTH.as_nanos() == 0)
        );
        let rows = || self.buckets.iter().flat_map(|bucket| &bucket.rows);
        for (id, totals) in self.processes.drain() {
            *self.earlier.entry(id).or_default() += totals;
        }
        for (id, totals) in &self.earlier {
            let sum = sum(rows().filter(|row| row.pid == id.pid));
            assert_eq!(sum, [totals.tx_bytes, totals.rx_bytes], "{id:?}");
        }
        for (name, totals) in &self.aggregates {
            // Its bytes are those of rows that left the list.
            if *name != "[exited]" && *name != "[kernel]" {
                let sum = sum(rows().filter(|row| row.identity.name == *name));
                assert_eq!(sum, [totals.tx_bytes, totals.rx_bytes], "{name}");
            }
        }
        for (protocol, totals) in &self.protocols {
            let parts = self.buckets.iter().flat_map(|bucket| &bucket.protocols);
            let parts = parts.filter(|part| part.0 == *protocol);
            let sum = parts.fold([0; 2], |sum, part| [sum[0] + part.1, sum[1] + part.2]);
            assert_eq!(sum, [totals.tx_bytes, totals.rx_bytes], "{protocol}");
        }
        let all: Totals = self.protocols.values().copied().sum();
        assert_eq!(sum(rows()).iter().sum::<u64>(), all.bytes());
        self.buckets
    }
}

pub fn sum<'a>(rows: impl Iterator<Item = &'a BucketRow>) -> [u64; 2] {
    rows.fold([0; 2], |sum, row| {
        [sum[0] + row.tx_bytes, sum[1] + row.rx_bytes]
    })
}

/// The same snapshot at another time of the wall clock.
pub fn at(snapshot: &Arc<Snapshot>, wall: f64) -> Snapshot {
    let mut snapshot = (**snapshot).clone();
    snapshot.at.wall = Duration::from_secs_f64(wall);
    snapshot
}

pub fn starts(buckets: &[Bucket]) -> Vec<u64> {
    buckets
        .iter()
        .map(|bucket| bucket.start.as_secs())
        .collect()
}

#[test]
fn buckets_begin_at_multiples_and_hold_what_was_read_in_them() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    let key = flow(process(1), Protocol::Tcp, 0);
    for wall in [1003.5, 1009.9, 1010.0, 1019.9, 1020.2] {
        world.moves(key, bytes(1, 10));
        kept.absorb(&at(&world.tick(), wall));
    }
    let buckets = kept.end();
    assert_eq!(starts(&buckets), [1000, 1010, 1020]);
    let moved: Vec<_> = buckets
        .iter()
        .map(|bucket| sum(bucket.rows.iter()))
        .collect();
    assert_eq!(moved, [[2, 20], [2, 20], [1, 10]]);
    assert_eq!(buckets[0].protocols, [(Protocol::Tcp, 2, 20)]);
    let row = &buckets[0].rows[0];
    assert_eq!((row.pid, row.identity.name.as_str()), (1, "worker"));
    assert_eq!(row.protocol, Some(Protocol::Tcp));
    assert_eq!(row.remote, "192.0.2.1".parse::<Address>().ok());
}

#[test]
fn a_bucket_in_which_nothing_moved_is_given_too() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    for wall in [1000.0, 1010.0, 1020.0] {
        kept.absorb(&at(&world.tick(), wall));
    }
    assert_eq!(
        kept.buckets,
        [1000, 1010].map(|start| Bucket {
            start: Duration::from_secs(start),
            ..Bucket::default()
        })
    );
}

#[test]
fn flows_to_one_address_are_one_row_and_others_are_not() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    for n in 0..3 {
        world.moves(flow(process(1), Protocol::Tcp, n), bytes(1, 0));
        world.moves(flow(process(1), Protocol::Udp, n), bytes(10, 0));
        world.moves(flow(process(2), Protocol::Udp, n), bytes(100, 0));
    }
    let mut nobody = flow(process(2), Protocol::Udp, 9);
    nobody.remote = None;
    world.moves(nobody, bytes(1000, 0));
    kept.absorb(&world.tick());
    let mut rows: Vec<_> = kept.end().remove(0).rows;
    rows.sort_by_key(|row| row.tx_bytes);
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.pid, row.remote.is_some(), row.tx_bytes))
        .collect();
    assert_eq!(
        seen,
        [
            (1, true, 3),
            (1, true, 30),
            (2, true, 300),
            (2, false, 1000)
        ]
    );
    assert_eq!(rows[3].protocol, Some(Protocol::Udp));
}

#[test]
fn bytes_without_a_flow_are_their_processs_all_the_same() {
    let mut world = World::new(Settings {
        max_flows: 1,
        ..settings()
    });
    let mut kept = Kept::new();
    world.moves(flow(process(1), Protocol::Tcp, 0), bytes(5, 0));
    world.moves(flow(process(1), Protocol::Tcp, 1), bytes(700, 30));
    for _ in 0..4 {
        kept.absorb(&world.tick());
    }
    let rows: Vec<_> = kept
        .end()
        .into_iter()
        .flat_map(|bucket| bucket.rows)
        .collect();
    assert_eq!(rows.len(), 2);
    let row = rows.iter().find(|row| row.protocol.is_none()).unwrap();
    assert_eq!((row.tx_bytes, row.rx_bytes, row.remote), (700, 30, None));
}

#[test]
fn what_runs_another_program_is_another_row() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    let key = flow(process(1), Protocol::Tcp, 0);
    world.moves(key, bytes(5, 0));
    kept.absorb(&world.tick());
    world.executes(process(1), "other");
    world.moves(key, bytes(7, 0));
    kept.absorb(&world.tick());
    let mut rows: Vec<_> = kept.end().remove(0).rows;
    rows.sort_by_key(|row| row.tx_bytes);
    let seen: Vec<_> = rows.iter().map(|row| row.identity.name.as_str()).collect();
    assert_eq!(seen, ["worker", "other"]);
}

#[test]
fn kernel_threads_and_strangers_are_under_a_name_in_brackets() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    world.starts(process(1), "kworker", true);
    world.moves(flow(process(1), Protocol::Tcp, 0), bytes(5, 0));
    world.moves_without_process(flow(process(9), Protocol::Tcp, 1), bytes(0, 8));
    kept.absorb(&world.tick());
    let mut rows: Vec<_> = kept.end().remove(0).rows;
    rows.sort_by_key(|row| row.rx_bytes);
    let names: Vec<_> = rows
        .iter()
        .map(|row| (row.identity.name.as_str(), row.pid, row.protocol))
        .collect();
    assert_eq!(names, [("[kernel]", 0, None), ("[untracked]", 0, None)]);
}

#[test]
fn an_alert_is_told_when_it_begins_rises_and_ends() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    let key = flow(process(1), Protocol::Tcp, 0);
    let mut walls = 0;
    let mut tick = |world: &mut World, kept: &mut Kept, rate: u64| {
        world.moves(key, bytes(rate / 2, 0));
        walls += 10;
        kept.absorb(&at(&world.tick(), 1000.0 + f64::from(walls)));
    };
    // The average: 1.6, 2.56, 2.3, then down through the threshold of 1 MB/s.
    for rate in [4_000_000, 4_000_000, 2_000_000, 0, 0, 0, 0] {
        tick(&mut world, &mut kept, rate);
    }
    tick(&mut world, &mut kept, 9_000_000);
    world.exits(process(1));
    tick(&mut world, &mut kept, 0);
    kept.absorb(&at(&world.pass(Duration::from_secs(5)), 2000.0));
    let alerts: Vec<_> = kept
        .end()
        .into_iter()
        .flat_map(|bucket| bucket.alerts)
        .collect();
    let seen: Vec<_> = alerts
        .iter()
        .map(|alert| {
            let ended = alert.ended.map(|time| time.as_secs());
            (
                alert.number,
                alert.started.as_secs_f64() > 1_000_000.0,
                ended,
            )
        })
        .collect();
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert_eq!(seen[0], (1, true, None));
    assert_eq!(seen[1], (1, true, None));
    assert_eq!(seen[2], (1, true, Some(1050)));
    assert_eq!(seen[3], (2, true, None));
    assert_eq!((seen[4].0, seen[4].2.is_some()), (2, true));
    assert_eq!(alerts[0].peak, 1_600_000.0);
    assert!((alerts[1].peak - 2_560_000.0).abs() < 1.0);
    assert_eq!(alerts[1].peak, alerts[2].peak);
    assert_eq!(alerts[2].threshold, 1_000_000.0);
    assert_eq!((alerts[2].remote_port, alerts[2].pid), (443, 1));
}

#[test]
fn an_alert_that_goes_on_ends_with_the_run() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    for wall in [1000.0, 1012.0] {
        world.moves(flow(process(1), Protocol::Tcp, 0), bytes(2_000_000, 0));
        kept.absorb(&at(&world.tick(), wall));
    }
    let buckets = kept.end();
    let ends = |bucket: &Bucket| -> Vec<_> {
        let alerts = bucket.alerts.iter();
        alerts.map(|it| (it.number, it.ended)).collect()
    };
    let each: Vec<_> = buckets.iter().map(ends).collect();
    assert_eq!(
        each,
        [vec![(1, None)], vec![(1, Some(Duration::from_secs(1012)))]]
    );
}

#[test]
fn more_remotes_than_anybody_looks_at_are_one_row() {
    const REMOTES: u32 = 131_072;
    const MORE: u32 = 1000;
    let mut world = World::new(Settings {
        max_flows: 200_000,
        ..settings()
    });
    let mut kept = Kept::new();
    for n in 0..REMOTES + MORE {
        let mut key = flow(process(1), Protocol::Udp, 0);
        key.remote = Some(SocketAddr::from((Ipv4Addr::from_bits(n + 1), 53)).into());
        world.moves(key, bytes(1, 1));
    }
    kept.absorb(&world.tick());
    let rows = kept.end().remove(0).rows;
    assert_eq!(rows.len(), REMOTES as usize + 1);
    let rest = rows.iter().find(|row| row.remote.is_none()).unwrap();
    assert_eq!(rest.tx_bytes, u64::from(MORE));
    assert_eq!(rest.protocol, Some(Protocol::Udp));
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// In any history, with a map that is too small and a clock that wanders.
    #[test]
    fn no_history_puts_a_byte_in_two_buckets_or_in_none(
        events in proptest::collection::vec((event(), -20..20_i64), 1..120),
        max_flows in 2..16_usize,
        max_listed_ended in 0..6_usize,
        linger in 0..4_000_u64,
    ) {
        let mut world = World::new(Settings {
            max_flows,
            max_listed_ended,
            linger: Duration::from_millis(linger),
            // So that every row is listed once at least.
            kernel_threads: true,
            ..settings()
        });
        world.starts(process(PROCESSES), "kworker", true);
        let mut kept = Kept::new();
        let mut shift = 1_000_i64;
        for (event, step) in &events {
            let event = match event {
                // What ends in a tick that takes no time has no last interval.
                Event::Ticks(milliseconds) => &Event::Ticks((*milliseconds).max(1)),
                other => other,
            };
            if let Some(snapshot) = happens(&mut world, event) {
                shift = (shift + step).max(0);
                let wall = snapshot.at.wall.as_secs_f64() + shift as f64;
                kept.absorb(&at(&snapshot, wall));
            }
        }
        let last = happens(&mut world, &Event::Ticks(500));
        kept.absorb(&last.expect("a snapshot"));
        kept.end();
    }
}
