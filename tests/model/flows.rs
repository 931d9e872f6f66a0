//! The life of a flow: closed, idle, removed from the kernel, born again, forgotten.

use std::time::Duration;

use netmon::model::flow::{Connection, FlowKey, Protocol};

use super::world::{TICK, World, bytes, flow, owner, process, row, settings};

fn tcp() -> FlowKey {
    flow(process(1), Protocol::Tcp, 0)
}

#[test]
fn a_closed_flow_leaves_with_its_last_bytes_and_is_shown_once_more() {
    let mut world = World::new(settings());
    world.moves(tcp(), bytes(10, 0));
    world.tick();
    world.closes(tcp().connection());
    let closed = world.tick_only(TICK);
    assert!(row(&closed, &tcp()).unwrap().closed);
    assert_eq!(world.tracker.feedback().flows, [tcp()]);

    // Bytes between the reading and the removal.
    world.moves(tcp(), bytes(5, 7));
    world.removes(&tcp());
    let last = world.tick();
    let shown = row(&last, &tcp()).unwrap();
    assert!(shown.closed);
    assert_eq!((shown.totals.tx_bytes, shown.totals.rx_bytes), (15, 7));
    assert!(world.tracker.feedback().flows.is_empty());

    let lingering = world.pass(settings().linger - TICK);
    assert_eq!(row(&lingering, &tcp()).unwrap().totals, shown.totals);
    let gone = world.tick();
    assert!(row(&gone, &tcp()).is_none());
    assert_eq!(gone.balance.flows, 22);
    assert_eq!(owner(&gone, process(1)).unwrap().totals.bytes(), 22);
}

#[test]
fn without_linger_the_final_counts_are_still_shown() {
    let mut world = World::new(netmon::model::tracker::Settings {
        linger: Duration::ZERO,
        ..settings()
    });
    world.moves(tcp(), bytes(10, 0));
    world.closes(tcp().connection());
    world.tick();
    assert!(row(&world.tick(), &tcp()).unwrap().closed);
    assert!(row(&world.tick(), &tcp()).is_none());
}

#[test]
fn a_flow_that_was_forgotten_goes_on_from_where_it_was() {
    let mut world = World::new(netmon::model::tracker::Settings {
        linger: Duration::ZERO,
        ..settings()
    });
    world.moves(tcp(), bytes(10, 0));
    world.closes(tcp().connection());
    for _ in 0..4 {
        world.tick();
    }
    assert!(row(&world.tick(), &tcp()).is_none());
    world.moves(tcp(), bytes(5, 0));
    assert_eq!(row(&world.tick(), &tcp()).unwrap().totals.tx_bytes, 15);
}

#[test]
fn a_flow_that_lived_between_two_readings_is_shown() {
    let mut world = World::new(settings());
    world.moves(tcp(), bytes(3, 4));
    world.removes(&tcp());
    let snapshot = world.tick();
    assert_eq!(row(&snapshot, &tcp()).unwrap().totals, bytes(3, 4));
}

#[test]
fn an_entry_born_again_goes_on_from_where_the_flow_was() {
    let mut world = World::new(settings());
    world.moves(tcp(), bytes(1_000, 0));
    world.tick();
    // More than before the removal: only the removal tells that it began anew.
    world.removes(&tcp());
    world.moves(tcp(), bytes(4_000, 0));
    let snapshot = world.tick();
    let shown = row(&snapshot, &tcp()).unwrap();
    assert_eq!(shown.totals.tx_bytes, 5_000);
    assert_eq!(shown.rates.tx, 8_000.0);
    assert!(!shown.closed);
}

#[test]
fn a_counter_that_fell_began_anew() {
    let mut world = World::new(settings());
    world.moves(tcp(), bytes(1_000, 0));
    world.tick();
    // Nobody says so, but the count fell.
    world.vanishes(&tcp());
    world.moves(tcp(), bytes(400, 0));
    let snapshot = world.tick();
    assert_eq!(row(&snapshot, &tcp()).unwrap().totals.tx_bytes, 1_400);
}

#[test]
fn a_connection_ends_for_every_process_that_shares_it() {
    let mut world = World::new(settings());
    let keys = [1, 2].map(|pid| flow(process(pid), Protocol::Tcp, 0));
    for key in keys {
        world.moves(key, bytes(1, 1));
    }
    world.tick();
    world.closes(keys[0].connection());
    let snapshot = world.tick();
    assert!(keys.iter().all(|key| row(&snapshot, key).unwrap().closed));

    // In another network namespace the same ends are another connection.
    let other = flow(process(3), Protocol::Tcp, 1);
    world.moves(other, bytes(1, 1));
    world.closes(Connection {
        network_namespace: 2,
        ..other.connection()
    });
    assert!(!row(&world.tick(), &other).unwrap().closed);
}

#[test]
fn bytes_after_the_end_end_the_flow_again() {
    let mut world = World::new(settings());
    world.moves(tcp(), bytes(1, 0));
    world.closes(tcp().connection());
    world.tick();
    world.moves(tcp(), bytes(1, 0));
    world.marks_closed(&tcp());
    let snapshot = world.tick();
    assert!(!world.holds(&tcp()));
    assert!(row(&snapshot, &tcp()).unwrap().closed);
    world.pass(settings().linger);
    assert!(world.tick().flows.is_empty());
}

#[test]
fn silence_of_a_minute_ends_datagrams_and_no_connection() {
    let mut world = World::new(settings());
    let keys = Protocol::ALL.map(|protocol| flow(process(1), protocol, 0));
    for key in keys {
        world.moves(key, bytes(1, 1));
    }
    world.tick();
    let before = world.pass(Duration::from_millis(59_500));
    assert!(before.flows.iter().all(|row| !row.closed));
    let after = world.tick();
    for key in keys {
        let connection = ["tcp", "mptcp", "sctp"].contains(&key.protocol.name());
        assert_eq!(row(&after, &key).unwrap().closed, !connection, "{key:?}");
        assert_eq!(world.holds(&key), connection);
    }
    world.pass(settings().linger + TICK);
    assert_eq!(world.tick().flows.len(), 3);
}

#[test]
fn a_datagram_flow_that_comes_back_while_it_lingers_goes_on() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Udp, 0);
    world.moves(key, bytes(10, 0));
    world.pass(Duration::from_secs(61));
    assert!(row(&world.tick(), &key).unwrap().closed);
    world.moves(key, bytes(5, 0));
    let snapshot = world.tick();
    let shown = row(&snapshot, &key).unwrap();
    assert!(!shown.closed);
    assert_eq!(shown.totals.tx_bytes, 15);
    // It is alive: nothing forgets it after the linger time.
    assert!(row(&world.pass(Duration::from_secs(10)), &key).is_some());
}

#[test]
fn unknown_peers_are_added_up_for_ever() {
    let mut world = World::new(settings());
    let mut key = flow(process(1), Protocol::Udp, 0);
    world.moves(key, bytes(1_000, 0));
    key.remote = None;
    world.moves(key, bytes(20, 3));
    assert_eq!(world.tick().loss.unknown_peer_bytes, 23);
    let later = world.pass(Duration::from_secs(70));
    assert!(later.flows.is_empty());
    assert_eq!(later.loss.unknown_peer_bytes, 23);
}
