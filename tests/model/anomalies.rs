//! Anomalies: who is above the threshold, since when, in which order.

use netmon::model::anomaly::Judgement;
use netmon::model::flow::{FlowKey, Protocol};

use super::world::{World, bytes, flow, owner, process, row, settings};

/// Moves bytes enough for that rate (bytes/s) in one nominal tick.
fn runs(world: &mut World, key: FlowKey, rate: u64) {
    world.moves(key, bytes(rate / 2, 0));
}

#[test]
fn a_flow_is_anomalous_while_its_average_is_above_the_threshold() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    // 2 MB/s: the average passes 1 MB/s with the second tick (1.28 MB/s).
    runs(&mut world, key, 2_000_000);
    assert!(world.tick().anomalies.is_empty());
    runs(&mut world, key, 2_000_000);
    let first = world.tick();
    let anomaly = &first.anomalies[0];
    assert_eq!((anomaly.key, anomaly.name.as_str()), (key, "worker"));
    assert_eq!(anomaly.threshold, 1_000_000.0);
    assert_eq!(anomaly.value, row(&first, &key).unwrap().rates.smoothed);
    assert_eq!(anomaly.since, first.at.wall);
    assert!(owner(&first, process(1)).unwrap().anomalous);

    runs(&mut world, key, 2_000_000);
    let second = world.tick();
    assert_eq!(second.anomalies[0].since, first.at.wall);

    // 0.6 of 1.57 MB/s is below it; a new rise is a new anomaly.
    assert!(world.tick().anomalies.is_empty());
    runs(&mut world, key, 3_000_000);
    let again = world.tick();
    assert_eq!(again.anomalies[0].since, again.at.wall);
}

#[test]
fn the_highest_comes_first() {
    let mut world = World::new(settings());
    let keys: Vec<FlowKey> = (0..5).map(|n| flow(process(1), Protocol::Tcp, n)).collect();
    for (key, rate) in keys.iter().zip([4, 9, 6, 9, 1]) {
        runs(&mut world, *key, rate * 1_000_000);
    }
    let snapshot = world.tick();
    let order: Vec<FlowKey> = snapshot.anomalies.iter().map(|a| a.key).collect();
    assert_eq!(order, [keys[1], keys[3], keys[2], keys[0]]);
}

#[test]
fn a_process_can_be_above_it_without_any_of_its_flows() {
    let mut world = World::new(settings());
    for n in 0..4 {
        runs(&mut world, flow(process(1), Protocol::Udp, n), 1_000_000);
    }
    let snapshot = world.tick();
    assert!(snapshot.anomalies.is_empty());
    assert!(owner(&snapshot, process(1)).unwrap().anomalous);
}

#[test]
fn a_flow_without_a_listed_process_raises_none() {
    let mut world = World::new(settings());
    world.starts(process(2), "kworker", true);
    runs(&mut world, flow(process(2), Protocol::Tcp, 0), 9_000_000);
    let snapshot = world.tick();
    assert!(snapshot.anomalies.is_empty() && snapshot.flows.is_empty());
}

#[test]
fn a_new_judgement_holds_from_the_next_tick_on() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    runs(&mut world, key, 500_000);
    let before = world.tick();
    assert!(before.anomalies.is_empty());
    let judgement = Judgement {
        alpha: 1.0,
        threshold: 400_000.0,
    };
    world.tracker.set_judgement(judgement);
    runs(&mut world, key, 500_000);
    let after = world.tick();
    assert_eq!(
        (before.threshold, after.threshold),
        (1_000_000.0, 400_000.0)
    );
    // All of the last interval, nothing of those before.
    assert_eq!(after.anomalies[0].value, 500_000.0);
    assert_eq!(after.anomalies[0].since, after.at.wall);
}
