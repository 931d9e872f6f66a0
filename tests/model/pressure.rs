//! A kernel map that fills up, and lists that must stay bounded.

use std::time::Duration;

use netmon::model::flow::{FlowKey, Protocol};
use netmon::model::tracker::Settings;

use super::world::{TICK, World, bytes, flow, process, row, settings};

const CAPACITY: u16 = 100;

fn world() -> World {
    World::new(Settings {
        max_flows: CAPACITY.into(),
        max_listed_ended: 10,
        ..settings()
    })
}

fn tcp(n: u16) -> FlowKey {
    flow(process(1), Protocol::Tcp, n)
}

fn held(world: &World, keys: impl Iterator<Item = FlowKey>) -> usize {
    keys.filter(|key| world.holds(key)).count()
}

#[test]
fn three_quarters_full_is_no_pressure() {
    let mut world = world();
    for n in 0..75 {
        world.moves(tcp(n), bytes(1, 0));
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(held(&world, (0..75).map(tcp)), 75);
}

#[test]
fn the_longest_silent_leave_until_half_of_the_map_is_free() {
    let mut world = world();
    for n in 0..70 {
        world.moves(tcp(n), bytes(1, 0));
        if n % 10 == 9 {
            world.tick();
        }
    }
    world.pass(Duration::from_secs(2));
    for n in 70..80 {
        world.moves(tcp(n), bytes(1, 0));
    }
    world.tick();
    // 80 were there, 50 stay: the first three tens were silent longest.
    assert_eq!(held(&world, (0..30).map(tcp)), 0);
    assert_eq!(held(&world, (30..80).map(tcp)), 50);
}

#[test]
fn flows_that_move_stay_whatever_the_pressure() {
    let mut world = world();
    for _ in 0..5 {
        for n in 0..120 {
            world.moves(tcp(n), bytes(1, 0));
        }
        world.tick();
    }
    assert_eq!(held(&world, (0..120).map(tcp)), 100);
    assert_eq!(world.tick().loss.untracked_flow_bytes, 100);
}

#[test]
fn an_open_connection_keeps_its_count_while_it_is_out_of_the_map() {
    let mut world = world();
    world.moves(tcp(0), bytes(1_000, 0));
    world.pass(Duration::from_secs(3));
    for n in 1..=80 {
        world.moves(tcp(n), bytes(1, 0));
    }
    world.tick();
    assert!(!world.holds(&tcp(0)));
    let resting = world.pass(Duration::from_secs(10));
    let shown = row(&resting, &tcp(0)).unwrap();
    assert!(!shown.closed);
    assert_eq!(shown.totals.tx_bytes, 1_000);

    world.moves(tcp(0), bytes(5_000, 0));
    let back = world.tick();
    let shown = row(&back, &tcp(0)).unwrap();
    assert_eq!(shown.totals.tx_bytes, 6_000);
    assert_eq!(shown.rates.tx, 10_000.0);
}

#[test]
fn a_connection_may_close_while_it_is_out_of_the_map() {
    let mut world = world();
    for n in 0..80 {
        world.moves(tcp(n), bytes(1, 0));
    }
    world.pass(Duration::from_secs(3));
    assert!(!world.holds(&tcp(0)));
    world.closes(tcp(0).connection());
    assert!(row(&world.tick(), &tcp(0)).unwrap().closed);
    let later = world.pass(settings().linger);
    assert!(row(&later, &tcp(0)).is_none());
}

#[test]
fn connections_out_of_the_map_are_bounded_too() {
    let mut world = world();
    for n in 0..1_000 {
        world.moves(tcp(n), bytes(1, 0));
        if n % 20 == 19 {
            world.tick();
        }
    }
    let snapshot = world.pass(Duration::from_secs(5));
    // As many again as the map holds, and what is in the map.
    assert!(snapshot.flows.len() <= 2 * usize::from(CAPACITY));
    assert!(row(&snapshot, &tcp(999)).is_some());
}

#[test]
fn the_ended_flows_that_linger_are_the_latest() {
    let mut world = world();
    for n in 0..40 {
        world.moves(tcp(n), bytes(1, 0));
        world.closes(tcp(n).connection());
        if n % 20 == 19 {
            world.tick();
        }
    }
    // All that have just left the kernel are shown, however many they are.
    let snapshot = world.tick();
    assert!((20..40).all(|n| row(&snapshot, &tcp(n)).is_some()));
    assert!(snapshot.flows.len() <= 30);
    let later = world.tick_after(TICK);
    assert_eq!(later.flows.len(), 10);
    assert!(later.flows.iter().all(|row| row.key >= tcp(20)));
}

#[test]
fn ended_processes_that_linger_are_bounded() {
    let mut world = world();
    for pid in 100..140 {
        world.moves(flow(process(pid), Protocol::Tcp, 0), bytes(1, 0));
        world.exits(process(pid));
    }
    assert_eq!(world.tick().processes.len(), 40);
    assert_eq!(world.tick().processes.len(), 40);
    assert!(world.tick().processes.len() <= 10);
}
