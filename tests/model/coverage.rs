//! What the wire moved beside what was counted: parts that add up whatever happens.
//!
//! `check` holds for every snapshot of any history; the rest are the histories.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use netmon::model::coverage::{Coverage, Covered};
use netmon::model::flow::{Endpoint, FlowKey, Protocol, Totals};
use netmon::model::network::{Address, Link, LinkCounters, Lower, Network};
use proptest::prelude::*;

use super::world::{TICK, World, bytes, flow, process, settings};

/// Network cards of these numbers, each with an address 10.0.0.N.
fn cards(indices: &[u32]) -> Arc<Network> {
    Arc::new(Network {
        namespace: 1,
        is_first: true,
        links: indices.iter().map(|index| card(*index)).collect(),
        addresses: indices
            .iter()
            .map(|index| {
                let own = IpAddr::from([10, 0, 0, *index as u8]);
                Address {
                    index: *index,
                    own,
                    network: own,
                    prefix: 24,
                }
            })
            .collect(),
    })
}

fn card(index: u32) -> Link {
    Link {
        index,
        name: format!("eth{index}").into(),
        medium: 1,
        loopback: false,
        hardware: true,
        kind: None,
        lower: Lower::Nothing,
        master: None,
    }
}

/// A world whose first interval begins with these counters.
fn world(network: &Arc<Network>, links: &[(u32, Totals)]) -> World {
    let mut world = World::new(settings());
    connect(&mut world, network, links);
    world.tracker.begin(&world.sample);
    world
}

fn connect(world: &mut World, network: &Arc<Network>, links: &[(u32, Totals)]) {
    world.sample.network = Some(Arc::clone(network));
    let links = links.iter();
    world.sample.links = links
        .map(|&(index, totals)| LinkCounters { index, totals })
        .collect();
}

/// Frames: bytes and packets sent and received.
fn frames(tx: (u64, u64), rx: (u64, u64)) -> Totals {
    Totals {
        tx_bytes: tx.0,
        tx_operations: tx.1,
        rx_bytes: rx.0,
        rx_operations: rx.1,
    }
}

fn tcp(n: u16) -> FlowKey {
    flow(process(1), Protocol::Tcp, n)
}

fn coverage(world: &mut World) -> Coverage {
    let snapshot = world.tick();
    let coverage = snapshot.coverage.clone().expect("a wire");
    check(&coverage);
    coverage
}

fn check(coverage: &Coverage) {
    for one in [&coverage.tx, &coverage.rx] {
        assert_eq!(
            one.wire_bytes + one.excess_bytes,
            one.payload_bytes + one.overhead_bytes + one.other_bytes,
            "{one:?}"
        );
        assert!(one.excess_bytes == 0 || one.other_bytes == 0, "{one:?}");
        assert!(one.excess_bytes <= one.payload_bytes, "{one:?}");
        let share = one.explained();
        assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
    }
    let share = coverage.explained();
    assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
}

#[test]
fn payload_and_its_headers_are_explained_and_the_rest_is_other() {
    let network = cards(&[2]);
    let boot = frames((5_000_000, 9_000), (7_000_000, 9_000));
    let mut world = world(&network, &[(2, boot)]);
    // 100 full segments out, 50 acknowledgements in; 30,000 bytes are somebody else's.
    let moved = frames((100 * 1514 + 30_000, 120), (50 * 66, 50));
    connect(&mut world, &network, &[(2, boot + moved)]);
    world.moves(tcp(1), bytes(100 * 1448, 0));
    let Coverage { tx, rx, .. } = coverage(&mut world);
    let expected = Covered {
        wire_bytes: 100 * 1514 + 30_000,
        wire_packets: 120,
        payload_bytes: 100 * 1448,
        // With the three of a handshake.
        overhead_bytes: 103 * 66,
        other_bytes: 30_000 - 3 * 66,
        excess_bytes: 0,
    };
    assert_eq!(tx, expected);
    assert_eq!((rx.overhead_bytes, rx.other_bytes), (50 * 66, 0));
    assert!(
        tx.explained()
            .is_some_and(|share| (0.83..0.85).contains(&share))
    );
    // Too little came back to speak of a share.
    assert_eq!(rx.explained(), None);
}

#[test]
fn small_packets_of_others_are_not_taken_for_headers() {
    let network = cards(&[2]);
    let mut world = world(&network, &[(2, Totals::default())]);
    // A router: a million packets of 60 bytes, none of them of a process here.
    let moved = frames((60_000_000, 1_000_000), (60_000_000, 1_000_000));
    connect(&mut world, &network, &[(2, moved)]);
    world.moves(flow(process(1), Protocol::Udp, 1), bytes(100, 0));
    let coverage = coverage(&mut world);
    assert_eq!(coverage.tx.overhead_bytes, 42);
    assert!(coverage.explained().is_some_and(|share| share < 1e-5));
}

#[test]
fn payload_that_is_not_yet_on_the_wire_is_a_number_of_its_own() {
    let network = cards(&[2]);
    let mut world = world(&network, &[(2, Totals::default())]);
    world.moves(tcp(1), bytes(1_000_000, 0));
    let first = frames((200_000, 150), (0, 0));
    connect(&mut world, &network, &[(2, first)]);
    let Coverage { tx, .. } = coverage(&mut world);
    assert_eq!((tx.excess_bytes, tx.overhead_bytes), (800_000, 0));
    assert_eq!(tx.explained(), Some(1.0));
    connect(
        &mut world,
        &network,
        &[(2, frames((1_050_000, 700), (0, 0)))],
    );
    let Coverage { tx, .. } = coverage(&mut world);
    assert_eq!((tx.excess_bytes, tx.payload_bytes), (0, 1_000_000));
}

#[test]
fn what_stays_on_the_machine_counts_nowhere() {
    let network = cards(&[2, 3]);
    let still = [(2, Totals::default()), (3, Totals::default())];
    let mut world = world(&network, &still);
    for address in [[127, 0, 0, 1], [10, 0, 0, 3]] {
        let remote = Endpoint {
            address: IpAddr::from(address).into(),
            port: 80,
        };
        let key = FlowKey {
            remote: Some(remote),
            ..tcp(u16::from(address[0]))
        };
        world.moves(key, bytes(1_000_000, 1_000_000));
    }
    world.moves(
        FlowKey {
            remote: None,
            ..tcp(3)
        },
        bytes(5_000, 5_000),
    );
    let coverage = coverage(&mut world);
    assert_eq!((coverage.tx, coverage.rx), Default::default());
}

#[test]
fn flows_that_are_forgotten_stay_counted() {
    let network = cards(&[2]);
    let mut world = world(&network, &[(2, Totals::default())]);
    world.moves(tcp(1), bytes(100_000, 0));
    coverage(&mut world);
    world.closes(tcp(1).connection());
    let last = world.pass(Duration::from_secs(10));
    assert!(last.flows.is_empty());
    let coverage = last.coverage.as_ref().expect("a wire");
    assert_eq!(coverage.tx.payload_bytes, 100_000);
}

#[test]
fn interfaces_come_go_and_begin_anew() {
    let (one, both) = (cards(&[2]), cards(&[2, 3]));
    let sent = |bytes| frames((bytes, bytes / 1000), (0, 0));
    let mut world = world(&one, &[(2, sent(1_000))]);
    let wire = |world: &mut World| coverage(world).tx.wire_bytes;
    connect(&mut world, &one, &[(2, sent(6_000))]);
    assert_eq!(wire(&mut world), 5_000);
    // What a new one moved before is not this run's.
    connect(&mut world, &both, &[(2, sent(6_000)), (3, sent(1 << 40))]);
    assert_eq!(wire(&mut world), 5_000);
    connect(
        &mut world,
        &both,
        &[(2, sent(7_000)), (3, sent((1 << 40) + 10_000))],
    );
    assert_eq!(wire(&mut world), 16_000);
    // Its driver forgets a part: nothing is added, nothing taken back.
    connect(&mut world, &both, &[(2, sent(7_000)), (3, sent(1 << 39))]);
    assert_eq!(wire(&mut world), 16_000);
    connect(
        &mut world,
        &both,
        &[(2, sent(7_000)), (3, sent((1 << 39) + 1_000))],
    );
    assert_eq!(wire(&mut world), 17_000);
    connect(&mut world, &one, &[(2, sent(8_000))]);
    assert_eq!(wire(&mut world), 18_000);
    // It was away, and its counters with it.
    connect(&mut world, &both, &[(2, sent(8_000)), (3, sent(500_000))]);
    let coverage = coverage(&mut world);
    assert_eq!(coverage.tx.wire_bytes, 18_000);
    assert_eq!(coverage.links, ["eth2".into(), "eth3".into()]);
}

#[test]
fn a_reading_that_fails_is_made_up_for() {
    let network = cards(&[2]);
    let sent = |bytes| frames((bytes, bytes / 1000), (0, 0));
    let mut world = world(&network, &[(2, sent(0))]);
    world.sample.network = None;
    world.sample.links.clear();
    world.moves(tcp(1), bytes(100_000, 0));
    assert_eq!(world.tick().coverage, None);
    connect(&mut world, &network, &[(2, sent(110_000))]);
    let Coverage { tx, .. } = coverage(&mut world);
    assert_eq!((tx.wire_bytes, tx.payload_bytes), (110_000, 100_000));
    // Without any interface there is no wire.
    connect(&mut world, &cards(&[]), &[]);
    assert_eq!(world.tick().coverage, None);
}

#[test]
fn rates_are_of_the_interval() {
    let network = cards(&[2]);
    let mut world = world(&network, &[(2, Totals::default())]);
    connect(
        &mut world,
        &network,
        &[(2, frames((10_000, 10), (5_000, 5)))],
    );
    world.moves(tcp(1), bytes(9_000, 4_000));
    let first = coverage(&mut world);
    let seconds = TICK.as_secs_f64();
    assert_eq!(first.wire_rates.tx, 10_000.0 / seconds);
    assert_eq!(first.wire_rates.rx, 5_000.0 / seconds);
    let still = coverage(&mut world);
    assert_eq!((still.wire_rates.tx, still.wire_rates.rx), (0.0, 0.0));
}

#[derive(Debug, Clone)]
enum Event {
    Moves(u16, u64, u64),
    Frames(u32, u64, u64),
    BeginsAnew(u32, u64),
    Appears(u32),
    Vanishes(u32),
    Fails,
    Ticks,
}

fn event() -> impl Strategy<Value = Event> {
    let card = 2..5_u32;
    prop_oneof![
        4 => (0..12_u16, 0..3_000_000_u64, 0..3_000_000_u64)
            .prop_map(|(n, tx, rx)| Event::Moves(n, tx, rx)),
        4 => (card.clone(), 0..3_000_000_u64, 0..3_000_000_u64)
            .prop_map(|(n, tx, rx)| Event::Frames(n, tx, rx)),
        1 => (card.clone(), 0..5_000_000_u64).prop_map(|(n, to)| Event::BeginsAnew(n, to)),
        1 => card.clone().prop_map(Event::Appears),
        1 => card.prop_map(Event::Vanishes),
        1 => Just(Event::Fails),
        6 => Just(Event::Ticks),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn in_any_history_the_parts_add_up_and_the_wire_never_falls(
        events in proptest::collection::vec(event(), 1..100),
    ) {
        let mut present = vec![2_u32];
        let mut network = cards(&present);
        let mut counters = [Totals::default(); 5];
        let mut world = world(&network, &[(2, Totals::default())]);
        let mut before = [0; 4];
        for event in events {
            match event {
                Event::Moves(n, tx, rx) => {
                    let protocol = Protocol::ALL[usize::from(n) % 6];
                    world.moves(flow(process(1), protocol, n), bytes(tx, rx));
                }
                Event::Frames(n, tx, rx) => {
                    counters[n as usize] += frames((tx, tx.div_ceil(900)), (rx, rx / 40));
                }
                Event::BeginsAnew(n, to) => {
                    let was = &mut counters[n as usize];
                    *was = frames((to.min(was.tx_bytes), 0), (0, 0));
                }
                Event::Appears(n) => {
                    present.retain(|card| *card != n);
                    present.push(n);
                    network = cards(&present);
                }
                Event::Vanishes(n) => {
                    present.retain(|card| *card != n);
                    network = cards(&present);
                }
                Event::Fails => {
                    world.sample.network = None;
                    world.sample.links.clear();
                    prop_assert_eq!(&world.tick().coverage, &None);
                }
                Event::Ticks => {
                    let links: Vec<_> = present
                        .iter()
                        .map(|card| (*card, counters[*card as usize]))
                        .collect();
                    connect(&mut world, &network, &links);
                    let snapshot = world.tick();
                    prop_assert_eq!(snapshot.coverage.is_none(), present.is_empty());
                    let Some(coverage) = &snapshot.coverage else {
                        continue;
                    };
                    check(coverage);
                    let (tx, rx) = (&coverage.tx, &coverage.rx);
                    let now = [tx.wire_bytes, tx.payload_bytes, rx.wire_packets, rx.payload_bytes];
                    prop_assert!(before.iter().zip(now).all(|(before, now)| *before <= now));
                    before = now;
                }
            }
        }
    }
}
