//! The ledger beside a wall clock that is set: what is counted stays near the present.

use netmon::model::flow::Protocol;

use super::ledger::{Kept, at, starts, sum};
use super::world::{World, bytes, flow, process, settings};

#[test]
fn a_clock_that_jumps_ahead_cuts_and_one_that_steps_back_a_little_does_not() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    for wall in [1000.0, 5003.0, 4980.0, 4980.5, 5009.0, 5010.0] {
        world.moves(flow(process(1), Protocol::Tcp, 0), bytes(1, 0));
        kept.absorb(&at(&world.tick(), wall));
    }
    let buckets = kept.end();
    assert_eq!(starts(&buckets), [1000, 5000, 5010]);
    assert_eq!(sum(buckets[1].rows.iter()), [4, 0]);
}

#[test]
fn while_the_clock_stands_a_little_behind_the_bucket_comes_in_parts() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    kept.absorb(&at(&world.tick(), 5003.0));
    for tick in 0..62 {
        world.moves(flow(process(1), Protocol::Tcp, 0), bytes(1, 0));
        kept.absorb(&at(&world.tick(), 4985.0 + f64::from(tick) / 10.0));
    }
    let buckets = kept.end();
    assert_eq!(starts(&buckets), [5000, 5000, 5000]);
    assert_eq!(sum(buckets[0].rows.iter()), [29, 0]);
    assert_eq!(sum(buckets[1].rows.iter()), [30, 0]);
}

#[test]
fn a_clock_that_was_far_ahead_is_followed_back() {
    let mut world = World::new(settings());
    let mut kept = Kept::new();
    for wall in [9003.0, 9004.0, 1801.0, 1809.0, 1812.0, 1822.0, 1799.9] {
        world.moves(flow(process(1), Protocol::Tcp, 0), bytes(1, 0));
        kept.absorb(&at(&world.tick(), wall));
    }
    let buckets = kept.end();
    // 1790 is three buckets before 1820; 1800 would not be followed.
    assert_eq!(starts(&buckets), [9000, 1800, 1810, 1820, 1790]);
    assert_eq!(sum(buckets[0].rows.iter()), [2, 0]);
    assert_eq!(sum(buckets[1].rows.iter()), [2, 0]);
}
