//! The final record: what ended during a run comes back with its last counts.

use std::time::Duration;

use netmon::model::flow::Protocol;
use netmon::model::snapshot::Rates;
use netmon::model::tracker::Settings;

use super::world::{World, aggregate, bytes, flow, owner, process, row, settings};

#[test]
fn every_ended_row_comes_back_and_leaves_the_sum() {
    let mut world = World::new(Settings {
        linger: Duration::ZERO,
        max_listed_ended: 2,
        ..settings()
    });
    let keys: Vec<_> = (1..=50)
        .map(|pid| flow(process(pid), Protocol::Tcp, 0))
        .collect();
    for (key, n) in keys.iter().zip(1..) {
        world.moves(*key, bytes(1_000_000 * n, 0));
        world.exits(key.process);
    }
    let stays = flow(process(99), Protocol::Udp, 0);
    world.moves(stays, bytes(7, 0));
    world.tick();
    let last = world.pass(Duration::from_secs(2));
    assert_eq!(last.processes.len(), 1);
    assert_eq!(
        aggregate(&last, "[exited]").unwrap().tx_bytes,
        1_275_000_000
    );

    let complete = world.finish();
    assert_eq!(complete.processes.len(), 51);
    assert_eq!(complete.flows.len(), 51);
    assert_eq!(aggregate(&complete, "[exited]"), None);
    for (key, n) in keys.iter().zip(1..) {
        let shown = owner(&complete, key.process).unwrap();
        assert!(shown.exited && !shown.anomalous);
        assert_eq!(shown.totals.tx_bytes, 1_000_000 * n);
        assert_eq!(shown.rates, Rates::default());
        let shown = row(&complete, key).unwrap();
        assert!(shown.closed && !shown.anomalous);
        assert_eq!(shown.totals.tx_bytes, 1_000_000 * n);
    }
}

#[test]
fn a_row_that_is_still_listed_is_not_doubled() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    world.moves(key, bytes(5, 5));
    world.exits(process(1));
    world.tick();
    world.tick();
    let complete = world.finish();
    assert_eq!((complete.processes.len(), complete.flows.len()), (1, 1));
}

#[test]
fn a_kernel_thread_comes_back_out_of_its_own_sum() {
    let mut world = World::new(Settings {
        kernel_threads: true,
        linger: Duration::ZERO,
        ..settings()
    });
    world.starts(process(2), "kworker", true);
    world.moves(flow(process(2), Protocol::Tcp, 0), bytes(30, 0));
    world.exits(process(2));
    let last = world.pass(Duration::from_secs(2));
    assert_eq!(aggregate(&last, "[kernel]").unwrap().tx_bytes, 30);
    let complete = world.finish();
    assert!(complete.aggregates.is_empty());
    assert!(owner(&complete, process(2)).unwrap().kernel_thread);
}
