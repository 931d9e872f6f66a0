//! Rates: the closed form of the average, late ticks, and ticks without time.

use std::sync::Arc;
use std::time::Duration;

use netmon::model::flow::Protocol;
use netmon::model::snapshot::{Rates, Snapshot};

use super::world::{TICK, World, bytes, flow, owner, process, row, settings};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[test]
fn the_first_tick_spans_the_time_since_the_start() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    world.moves(key, bytes(100, 300));
    let snapshot = world.tick();
    assert_eq!(snapshot.sequence, 1);
    assert_eq!(snapshot.interval, TICK);
    assert_eq!(snapshot.balance.settled, 0);
    let row = row(&snapshot, &key).unwrap();
    assert_eq!((row.rates.tx, row.rates.rx), (200.0, 600.0));
    assert!(close(row.rates.smoothed, 0.4 * 800.0));
    assert_eq!(owner(&snapshot, process(1)).unwrap().rates, row.rates);
    assert_eq!(snapshot.protocols[0].rates, row.rates);
}

#[test]
fn sums_settle_after_a_second() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    let snapshots: Vec<_> = (0..9)
        .map(|_| {
            world.moves(key, bytes(10, 0));
            world.tick()
        })
        .collect();
    for (index, snapshot) in snapshots.iter().enumerate() {
        let is_old = |other: &&Arc<Snapshot>| {
            snapshot.at.monotonic - other.at.monotonic >= Duration::from_secs(1)
        };
        let old = snapshots[..index].iter().filter(is_old);
        let most = old.map(|other| other.balance.totals).max().unwrap_or(0);
        let settled = snapshot.balance.settled;
        assert!(settled <= most, "tick {index}: {settled} of {most}");
    }
    // Two seconds and a tick later at the latest.
    let last = &snapshots[8].balance;
    assert!(last.settled >= snapshots[3].balance.totals, "{last:?}");
}

#[test]
fn nothing_at_all_is_a_snapshot_too() {
    let snapshot = World::new(settings()).tick();
    assert!(snapshot.protocols.is_empty() && snapshot.processes.is_empty());
    assert!(snapshot.flows.is_empty() && snapshot.aggregates.is_empty());
    assert!(snapshot.loss.is_zero());
}

#[test]
fn a_constant_rate_and_its_end_follow_the_closed_form() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    for n in 1..=20 {
        world.moves(key, bytes(1_000, 4_000));
        let snapshot = world.tick();
        let expected = 10_000.0 * (1.0 - 0.6_f64.powi(n));
        assert!(close(
            row(&snapshot, &key).unwrap().rates.smoothed,
            expected
        ));
    }
    let top = 10_000.0 * (1.0 - 0.6_f64.powi(20));
    for n in 1..=20 {
        let snapshot = world.tick();
        let rates = row(&snapshot, &key).unwrap().rates;
        assert_eq!((rates.tx, rates.rx), (0.0, 0.0));
        assert!(close(rates.smoothed, top * 0.6_f64.powi(n)));
    }
    let snapshot = world.pass(Duration::from_secs(30));
    assert_eq!(row(&snapshot, &key).unwrap().rates.smoothed, 0.0);
}

#[test]
fn a_late_tick_weighs_as_much_as_the_ticks_it_stands_for() {
    let key = flow(process(1), Protocol::Tcp, 0);
    let (mut punctual, mut late) = (World::new(settings()), World::new(settings()));
    for world in [&mut punctual, &mut late] {
        world.moves(key, bytes(700, 0));
        world.tick();
    }
    for _ in 0..3 {
        punctual.moves(key, bytes(1_000, 0));
        punctual.tick();
    }
    late.moves(key, bytes(3_000, 0));
    let late = late.tick_after(3 * TICK);
    let punctual = punctual.tick_only(Duration::ZERO);
    let [late, punctual] = [late, punctual].map(|s| row(&s, &key).unwrap().rates);
    assert_eq!(late.tx, punctual.tx);
    assert!(close(late.smoothed, punctual.smoothed));
}

#[test]
fn bytes_of_a_tick_without_time_belong_to_the_next() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Udp, 0);
    world.moves(key, bytes(500, 0));
    let before = world.tick();
    world.moves(key, bytes(1_000, 0));
    let between = world.tick_after(Duration::ZERO);
    assert_eq!(row(&between, &key).unwrap().totals.tx_bytes, 1_500);
    let quiet = |rates: Rates| Rates {
        tx_bytes: 0,
        ..rates
    };
    assert_eq!(
        row(&between, &key).unwrap().rates,
        quiet(row(&before, &key).unwrap().rates)
    );
    assert_eq!(between.protocols[0].rates, quiet(before.protocols[0].rates));
    world.moves(key, bytes(1_000, 0));
    let after = world.tick();
    assert_eq!(row(&after, &key).unwrap().rates.tx, 4_000.0);
    assert_eq!(row(&after, &key).unwrap().rates.tx_bytes, 2_000);
    assert_eq!(owner(&after, process(1)).unwrap().rates.tx, 4_000.0);
    assert_eq!(after.overall().1.tx, 4_000.0);
}

#[test]
fn another_interval_changes_the_weight_and_not_the_rate() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    world.tracker.set_interval(Duration::from_secs(2));
    world.moves(key, bytes(2_000, 0));
    let snapshot = world.tick_after(Duration::from_secs(2));
    assert_eq!(snapshot.nominal_interval, Duration::from_secs(2));
    let first = row(&snapshot, &key).unwrap().rates;
    assert_eq!(first.tx, 1_000.0);
    assert!(close(first.smoothed, 400.0));
    // A quarter of the new interval.
    world.moves(key, bytes(500, 0));
    let second = world.tick_after(TICK);
    let rates = row(&second, &key).unwrap().rates;
    assert_eq!(rates.tx, 1_000.0);
    assert!(close(rates.smoothed, 1_000.0 - 600.0 * 0.6_f64.powf(0.25)));
}

#[test]
fn only_rates_that_changed_go_back_to_the_kernel() {
    let mut world = World::new(settings());
    let (busy, once) = (
        flow(process(1), Protocol::Tcp, 0),
        flow(process(1), Protocol::Tcp, 1),
    );
    world.moves(once, bytes(1, 0));
    world.moves(busy, bytes(1_000, 0));
    world.tick();
    assert_eq!(
        world
            .tracker
            .feedback()
            .rates
            .iter()
            .find(|(key, _)| *key == busy),
        Some(&(busy, 800))
    );
    for _ in 0..20 {
        world.moves(busy, bytes(1_000, 0));
        world.tick();
    }
    // The average of `once` was written as 0 long ago; that of `busy` still rises.
    let rates = world.tracker.feedback().rates;
    assert!(rates.iter().all(|(key, _)| *key == busy), "{rates:?}");
}
