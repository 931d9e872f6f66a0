//! Whatever happens in whatever order, the books balance and no count falls.
//!
//! The checks are [`World::tick_after`]'s; here are only the histories.

use std::sync::Arc;
use std::time::Duration;

use netmon::model::flow::{FlowKey, Protocol};
use netmon::model::snapshot::Snapshot;
use netmon::model::tracker::Settings;
use proptest::prelude::*;

use super::world::{World, bytes, flow, process, settings};

/// So few that they meet each other again and again.
const FLOWS: u16 = 12;
pub const PROCESSES: u32 = 4;

#[derive(Debug, Clone)]
pub enum Event {
    Moves(u16, u64, u64),
    MovesClosed(u16, u64),
    MovesWithoutProcess(u16, u64),
    Closes(u16),
    Removes(u16),
    Exits(u32),
    Ticks(u64),
}

pub fn event() -> impl Strategy<Value = Event> {
    let n = 0..FLOWS;
    prop_oneof![
        6 => (n.clone(), 0..100_000_u64, 0..100_000_u64)
            .prop_map(|(n, tx, rx)| Event::Moves(n, tx, rx)),
        1 => (n.clone(), 0..100_000_u64).prop_map(|(n, tx)| Event::MovesClosed(n, tx)),
        1 => (n.clone(), 0..1_000_u64).prop_map(|(n, tx)| Event::MovesWithoutProcess(n, tx)),
        1 => n.clone().prop_map(Event::Closes),
        1 => n.prop_map(Event::Removes),
        1 => (0..PROCESSES).prop_map(Event::Exits),
        5 => prop_oneof![4 => 1..2_000_u64, 1 => Just(0_u64), 1 => 2_000..70_000_u64]
            .prop_map(Event::Ticks),
    ]
}

fn key(n: u16) -> FlowKey {
    let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Packet][usize::from(n) % 3];
    let mut key = flow(process(1 + u32::from(n) % PROCESSES), protocol, n);
    if n.is_multiple_of(5) {
        key.remote = None;
    }
    key
}

/// Lets it happen; a tick's snapshot is returned.
pub fn happens(world: &mut World, event: &Event) -> Option<Arc<Snapshot>> {
    match *event {
        Event::Moves(n, tx, rx) => world.moves(key(n), bytes(tx, rx)),
        Event::MovesClosed(n, tx) => {
            world.moves(key(n), bytes(tx, 0));
            world.marks_closed(&key(n));
        }
        Event::MovesWithoutProcess(n, tx) => {
            let stranger = flow(process(1000), key(n).protocol, n);
            world.moves_without_process(stranger, bytes(tx, 0));
        }
        Event::Closes(n) => world.closes(key(n).connection()),
        Event::Removes(n) => world.removes(&key(n)),
        Event::Exits(n) => world.exits(process(1 + n)),
        Event::Ticks(milliseconds) => {
            return Some(world.tick_after(Duration::from_millis(milliseconds)));
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A failure prints the history that led to it; that one becomes a test.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_history_loses_a_byte_or_makes_a_count_fall(
        events in proptest::collection::vec(event(), 1..120),
        max_flows in 4..16_usize,
        max_listed_ended in 0..6_usize,
        linger in 0..4_000_u64,
        kernel_threads: bool,
    ) {
        let mut world = World::new(Settings {
            max_flows,
            max_listed_ended,
            linger: Duration::from_millis(linger),
            kernel_threads,
            ..settings()
        });
        world.starts(process(PROCESSES), "kworker", true);
        for event in &events {
            happens(&mut world, event);
        }
        // What is over is forgotten in the end, and nothing else is left.
        for n in 0..PROCESSES {
            world.exits(process(1 + n));
        }
        let last = world.pass(Duration::from_secs(65));
        prop_assert!(last.flows.is_empty(), "{:?}", last.flows);
        prop_assert!(last.processes.is_empty(), "{:?}", last.processes);
        // And yet the run's final record has every process that was listed.
        let complete = world.finish();
        let kernel = complete.processes.iter().any(|row| row.kernel_thread);
        prop_assert!(kernel_threads || !kernel);
        prop_assert!(complete.processes.iter().all(|row| row.exited));
    }
}
