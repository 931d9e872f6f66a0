//! The life of a process: exited, removed, summed up; kernel threads; one PID twice.

use netmon::model::flow::{ProcessId, Protocol};
use netmon::model::tracker::Settings;

use super::world::{TICK, World, aggregate, bytes, flow, owner, process, row, settings};

#[test]
fn an_exited_process_is_shown_with_its_final_counts_and_then_summed_up() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    world.moves(key, bytes(10, 20));
    world.tick();
    world.moves(key, bytes(1, 2));
    world.exits(process(1));
    let ended = world.tick();
    let shown = owner(&ended, process(1)).unwrap();
    assert!(shown.exited);
    assert_eq!(shown.totals.bytes(), 33);
    // Its flow ends with it, although nobody closed the connection.
    assert!(row(&ended, &key).unwrap().closed);

    let last = world.tick();
    assert_eq!(owner(&last, process(1)).unwrap().totals, shown.totals);
    assert_eq!(row(&last, &key).unwrap().totals.bytes(), 33);
    world.pass(settings().linger - TICK);
    let gone = world.tick();
    assert!(gone.processes.is_empty() && gone.flows.is_empty());
    assert_eq!(aggregate(&gone, "[exited]").unwrap().bytes(), 33);
}

#[test]
fn a_process_that_moves_bytes_after_its_end_is_neither_lost_nor_counted_twice() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Udp, 0);
    world.moves(key, bytes(100, 0));
    world.exits(process(1));
    world.tick();
    world.tick();
    // A new entry, which counts more than the one that was removed.
    world.moves(key, bytes(700, 0));
    let snapshot = world.tick();
    let shown = owner(&snapshot, process(1)).unwrap();
    assert!(shown.exited);
    assert_eq!(shown.totals.tx_bytes, 800);
    // It leaves the kernel again and is forgotten like any other.
    let gone = world.pass(settings().linger + 3 * TICK);
    assert!(gone.processes.is_empty());
    assert_eq!(aggregate(&gone, "[exited]").unwrap().bytes(), 800);
}

#[test]
fn two_processes_that_had_one_pid_are_two_rows() {
    let mut world = World::new(settings());
    let first = process(7);
    let second = ProcessId {
        start_ns: first.start_ns + 1,
        ..first
    };
    world.moves(flow(first, Protocol::Tcp, 0), bytes(1, 0));
    world.exits(first);
    world.moves(flow(second, Protocol::Tcp, 0), bytes(10, 0));
    let snapshot = world.tick();
    let (old, new) = (owner(&snapshot, first), owner(&snapshot, second));
    assert_eq!(old.unwrap().totals.tx_bytes, 1);
    assert!(old.unwrap().exited);
    assert_eq!(new.unwrap().totals.tx_bytes, 10);
    assert!(!new.unwrap().exited);
    let ended = row(&snapshot, &flow(first, Protocol::Tcp, 0));
    assert!(ended.unwrap().closed);
    let open = row(&snapshot, &flow(second, Protocol::Tcp, 0));
    assert!(!open.unwrap().closed);
}

#[test]
fn kernel_threads_are_one_sum_unless_asked_for() {
    for shown in [false, true] {
        let mut world = World::new(Settings {
            kernel_threads: shown,
            ..settings()
        });
        for pid in [2, 3] {
            world.starts(process(pid), "kworker", true);
            world.moves(flow(process(pid), Protocol::Tcp, 0), bytes(50, 0));
        }
        world.moves(flow(process(1), Protocol::Tcp, 1), bytes(1, 0));
        let snapshot = world.tick();
        assert_eq!(owner(&snapshot, process(2)).is_some(), shown);
        assert_eq!(snapshot.flows.len(), if shown { 3 } else { 1 });
        let sum = aggregate(&snapshot, "[kernel]").map(|sum| sum.tx_bytes);
        assert_eq!(sum, (!shown).then_some(100));
        if let Some(row) = snapshot.aggregates.first() {
            assert!(row.kernel_thread);
            assert_eq!(row.rates.tx, 200.0);
        }

        // A kernel thread that ended stays in that sum.
        world.exits(process(2));
        let later = world.pass(settings().linger + 2 * TICK);
        let sum = aggregate(&later, "[kernel]").map(|sum| sum.tx_bytes);
        assert_eq!(sum, Some(if shown { 50 } else { 100 }));
        assert_eq!(aggregate(&later, "[exited]"), None);
    }
}

#[test]
fn a_process_without_room_is_a_sum_of_its_own() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Udp, 0);
    world.moves_without_process(key, bytes(5, 6));
    let snapshot = world.tick();
    assert_eq!(aggregate(&snapshot, "[untracked]"), Some(bytes(5, 6)));
    assert!(snapshot.processes.is_empty());
}

#[test]
fn flows_tell_what_a_process_moved_by_protocol() {
    let mut world = World::new(settings());
    for (n, protocol) in [(0, Protocol::Tcp), (1, Protocol::Udp), (2, Protocol::Udp)] {
        world.moves(flow(process(1), protocol, n), bytes(100, 0));
    }
    let snapshot = world.tick();
    let moved = owner(&snapshot, process(1)).unwrap().by_protocol;
    assert_eq!(moved[Protocol::Tcp.index()].tx_bytes, 100);
    assert_eq!(moved[Protocol::Udp.index()].tx_bytes, 200);
}

#[test]
fn a_new_program_changes_the_name_and_not_the_count() {
    let mut world = World::new(settings());
    let key = flow(process(1), Protocol::Tcp, 0);
    world.starts(process(1), "sh", false);
    world.moves(key, bytes(1, 0));
    world.tick();
    world.executes(process(1), "curl");
    world.moves(key, bytes(1, 0));
    let snapshot = world.tick();
    let shown = owner(&snapshot, process(1)).unwrap();
    assert_eq!(shown.identity.name, "curl");
    assert_eq!(shown.totals.tx_bytes, 2);
}
