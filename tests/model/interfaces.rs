//! Interfaces that come, go, are renamed and made anew, sampled and not: sums that never
//! fall and are what a naive model says, paces and peaks that follow from them.
//!
//! The checks of every tick are [`Machine::ticks`]'s; here are the histories.

use std::time::Duration;

use netmon::model::interface::{Class, Interface, InterfaceReport, Sampled, Survey};
use netmon::model::rate::Ema;
use netmon::model::sample::Moment;
use proptest::prelude::*;

use super::machine::{Lacks, Machine, tick, totals};

/// The nominal tick.
const TICK: Duration = Duration::from_millis(500);

/// One veth, sampled, where counting begins.
fn one() -> Machine {
    let mut machine = Machine::new();
    machine.appears(2, "veth", 1_000);
    machine.sampler(2);
    machine.changes();
    machine.begins();
    machine
}

fn sampled(rows: &[Interface]) -> &Sampled {
    rows[0].sampled.as_ref().unwrap()
}

#[test]
fn rates_averages_and_peaks() {
    let mut machine = one();
    machine.moves(2, 10, 20);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!((rows[0].rates.tx, rows[0].rates.rx), (2_000.0, 4_000.0));
    assert_eq!((rows[0].tx_packets, rows[0].rx_packets), (20.0, 40.0));
    assert_eq!((rows[0].average(), rows[0].peak), (6_000.0, 6_000.0));
    let told = sampled(&rows);
    assert_eq!(told.tx_pace.all().bytes, 2_000.0);
    assert_eq!(told.rx_pace.frames.packets, 20.0);
    assert_eq!(told.rx_pace.of(Class::Https).packets, 2.0);
    assert_eq!((told.average(), told.peak), (6_000.0, 6_000.0));
    // A late tick: the same rate takes more bytes.
    machine.moves(2, 30, 30);
    let rows = machine.ticks(TICK * 4, Lacks::Nothing);
    assert_eq!(rows[0].rates.tx, 1_500.0);
    assert_eq!((rows[0].average(), rows[0].peak), (3_600.0, 6_000.0));
    assert_eq!(rows[0].uptime, TICK * 5);
    assert_eq!(sampled(&rows).average(), 3_600.0);
    assert_eq!(sampled(&rows).peak, 6_000.0);
}

#[test]
fn a_tick_in_no_time_keeps_the_pace_and_loses_nothing() {
    let mut machine = one();
    machine.moves(2, 10, 0);
    machine.ticks(TICK, Lacks::Nothing);
    machine.moves(2, 10, 0);
    let rows = machine.ticks(Duration::ZERO, Lacks::Nothing);
    assert_eq!((rows[0].rates.tx, rows[0].tx_packets), (2_000.0, 20.0));
    assert_eq!(rows[0].rates.tx_bytes, 0);
    assert_eq!(sampled(&rows).tx_pace.all().packets, 20.0);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!((rows[0].rates.tx, rows[0].tx_packets), (2_000.0, 20.0));
    assert_eq!(rows[0].rates.tx_bytes, 1_000);
    assert_eq!(sampled(&rows).tx_pace.all().packets, 20.0);
    assert_eq!(sampled(&rows).uptime, TICK * 2);
}

#[test]
fn a_burst_before_an_early_last_tick_is_no_peak() {
    let mut machine = one();
    machine.moves(2, 10, 0);
    machine.ticks(TICK, Lacks::Nothing);
    machine.moves(2, 44, 0);
    let rows = machine.ticks(Duration::from_millis(1), Lacks::Nothing);
    assert_eq!(rows[0].rates.tx, 4_400_000.0);
    assert_eq!((rows[0].peak, sampled(&rows).peak), (2_000.0, 2_000.0));
}

#[test]
fn what_a_reading_lacks_is_in_the_next_at_its_rate() {
    let mut machine = one();
    machine.moves(2, 10, 0);
    let rows = machine.ticks(TICK, Lacks::Counters);
    assert_eq!((rows[0].totals, rows[0].rates.tx_bytes), (totals(0, 0), 0));
    machine.moves(2, 10, 0);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!((rows[0].rates.tx, rows[0].peak), (2_000.0, 2_000.0));
    // Tick by tick at the same rate the smoothed one would be just so.
    let expected = 2_000.0 * (1.0 - 0.6_f64.powi(2));
    assert!((rows[0].rates.smoothed - expected).abs() < 1e-9);
    assert_eq!(rows[0].uptime, TICK * 2);

    machine.moves(2, 10, 0);
    machine.ticks(TICK, Lacks::Sampler);
    machine.moves(2, 10, 0);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!(sampled(&rows).tx_pace.all().bytes, 2_000.0);
    assert_eq!(
        (sampled(&rows).peak, sampled(&rows).uptime),
        (2_000.0, TICK * 4)
    );
}

#[test]
fn one_that_appears_counts_from_then_on() {
    let mut machine = one();
    machine.appears(3, "veth", 5_000);
    machine.changes();
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!(
        (rows[1].totals, rows[1].uptime),
        (totals(0, 0), Duration::ZERO)
    );
    machine.moves(3, 1, 2);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!((rows[1].totals, rows[1].peak), (totals(1, 2), 600.0));
    machine.devices.remove(&3);
    machine.changes();
    assert_eq!(machine.ticks(TICK, Lacks::Nothing).len(), 1);
}

/// The set-up tells of it, and its counters come one reading later.
#[test]
fn one_without_counters_yet_does_not_jump() {
    let mut machine = one();
    machine.appears(3, "veth", 5_000);
    machine.changes();
    let mut sample = machine.sample();
    sample.links.retain(|link| link.index == 2);
    for lacking in [true, false] {
        machine.table.tick(&sample, &tick(TICK));
        let row = &machine.table.rows()[1];
        assert_eq!(
            (row.totals, row.uptime, row.peak),
            (totals(0, 0), Duration::ZERO, 0.0)
        );
        if lacking {
            sample = machine.sample();
        }
    }
}

#[test]
fn a_new_name_is_the_same_interface_and_another_kind_is_not() {
    let mut machine = one();
    machine.moves(2, 10, 10);
    machine.ticks(TICK, Lacks::Nothing);
    machine.devices.get_mut(&2).unwrap().name = "up\u{1b}link".to_owned();
    machine.changes();
    machine.moves(2, 1, 1);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!(
        (&*rows[0].name, rows[0].totals),
        ("up?link", totals(11, 11))
    );
    // Gone and made anew between two readings: it counts from 0, so all of it is new.
    let name = machine.devices[&2].name.clone();
    machine.appears(2, "veth", 0);
    machine.devices.get_mut(&2).unwrap().name = name;
    machine.changes();
    machine.moves(2, 3, 3);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!((rows[0].totals, &rows[0].sampled), (totals(14, 14), &None));
    // Another kind of device with its number.
    machine.appears(2, "bridge", 7);
    machine.changes();
    machine.naive.remove(&2);
    machine.last.clear();
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!(
        (rows[0].totals, rows[0].uptime),
        (totals(0, 0), Duration::ZERO)
    );
}

#[test]
fn a_sampler_that_is_attached_anew_goes_on() {
    let mut machine = one();
    machine.moves(2, 10, 10);
    machine.ticks(TICK, Lacks::Nothing);
    machine.sampler(2);
    machine.moves(2, 20, 0);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!(sampled(&rows).tx.all().packets, 30);
    assert_eq!(sampled(&rows).tx_pace.all().bytes, 4_000.0);
    // It was off for a while: what moved then nobody told apart, and no time of it counts.
    machine.devices.get_mut(&2).unwrap().sampler = None;
    for _ in 0..3 {
        assert_eq!(machine.ticks(TICK, Lacks::Nothing)[0].sampled, None);
    }
    machine.sampler(2);
    machine.moves(2, 5, 0);
    let rows = machine.ticks(TICK, Lacks::Nothing);
    assert_eq!(sampled(&rows).tx.all().packets, 35);
    assert_eq!(sampled(&rows).tx_pace.all().bytes, 1_000.0);
    assert_eq!(sampled(&rows).uptime, TICK * 3);
}

#[test]
fn a_survey_reports_what_is_sampled() {
    let mut machine = one();
    machine.appears(3, "veth", 0);
    machine.changes();
    let at = |milliseconds| Moment {
        monotonic: Duration::from_millis(milliseconds),
        wall: Duration::from_millis(1_000 + milliseconds),
    };
    let ema = Ema {
        alpha: 0.4,
        interval: TICK,
    };
    let mut survey = Survey::new(&machine.sample(), &[], ema, at(0));
    assert_eq!(survey.interfaces().len(), 1);
    machine.moves(2, 10, 0);
    machine.moves(3, 10, 0);
    let InterfaceReport {
        sequence,
        at: now,
        interval,
        interfaces,
        flows,
    } = survey.tick(&machine.sample(), &[], 1, at(250));
    assert_eq!((sequence, now, interval), (1, at(250), TICK / 2));
    assert_eq!((interfaces.len(), flows.len()), (1, 0));
    assert_eq!(sampled(&interfaces).tx_pace.all().bytes, 4_000.0);
}

/// What may happen to one of a few interfaces.
#[derive(Debug, Clone)]
enum Event {
    Moves(u32, u64, u64),
    Appears(u32, u64),
    Goes(u32),
    IsRenamed(u32, u8),
    IsMadeAnew(u32),
    IsAttached(u32),
    IsDetached(u32),
    Ticks(u64, Lacks),
}

fn event() -> impl Strategy<Value = Event> {
    let n = 1..5_u32;
    let lacks = prop_oneof![
        4 => Just(Lacks::Nothing),
        1 => Just(Lacks::Counters),
        1 => Just(Lacks::Sampler),
    ];
    prop_oneof![
        6 => (n.clone(), 0..99_u64, 0..99_u64).prop_map(|(n, tx, rx)| Event::Moves(n, tx, rx)),
        2 => (n.clone(), 0..9_u64).prop_map(|(n, counted)| Event::Appears(n, counted)),
        1 => n.clone().prop_map(Event::Goes),
        1 => (n.clone(), any::<u8>()).prop_map(|(n, name)| Event::IsRenamed(n, name)),
        1 => n.clone().prop_map(Event::IsMadeAnew),
        2 => n.clone().prop_map(Event::IsAttached),
        1 => n.prop_map(Event::IsDetached),
        5 => (prop_oneof![4 => 1..2_000_u64, 1 => Just(0_u64), 1 => 2_000..70_000_u64], lacks)
            .prop_map(|(milliseconds, lacks)| Event::Ticks(milliseconds, lacks)),
    ]
}

fn happens(machine: &mut Machine, event: Event) {
    match event {
        Event::Moves(n, tx, rx) => machine.moves(n, tx, rx),
        Event::Appears(n, counted) => {
            if !machine.devices.contains_key(&n) {
                machine.appears(n, "veth", counted);
                machine.changes();
                // Told by a reading before anything else happens to it.
                machine.ticks(TICK, Lacks::Nothing);
            }
        }
        Event::Goes(n) => {
            if machine.devices.remove(&n).is_some() {
                machine.since.remove(&n);
                machine.changes();
                machine.ticks(TICK, Lacks::Nothing);
            }
        }
        Event::IsRenamed(n, name) => {
            if let Some(device) = machine.devices.get_mut(&n) {
                device.name = format!("lan{name}");
                machine.changes();
            }
        }
        Event::IsMadeAnew(n) => {
            if let Some(device) = machine.devices.get(&n) {
                // Below what it was, or nobody could tell.
                let (name, moved) = (device.name.clone(), device.totals.tx_operations > 0);
                if moved {
                    machine.ticks(TICK, Lacks::Nothing);
                    machine.appears(n, "veth", 0);
                    machine.devices.get_mut(&n).unwrap().name = name;
                    machine.changes();
                    machine.ticks(TICK, Lacks::Nothing);
                }
            }
        }
        Event::IsAttached(n) => {
            // What the one before counted was read before it went.
            machine.ticks(TICK, Lacks::Nothing);
            machine.sampler(n);
        }
        Event::IsDetached(n) => {
            machine.ticks(TICK, Lacks::Nothing);
            if let Some(device) = machine.devices.get_mut(&n) {
                device.sampler = None;
            }
        }
        Event::Ticks(milliseconds, lacks) => {
            machine.ticks(Duration::from_millis(milliseconds), lacks);
        }
    }
}

proptest! {
    #[test]
    fn sums_are_those_of_the_naive_model(events in proptest::collection::vec(event(), 0..120)) {
        let mut machine = one();
        for event in events {
            happens(&mut machine, event);
        }
        machine.ticks(TICK, Lacks::Nothing);
    }

    /// With every tick at full length nothing is above the peak, and all of it below.
    #[test]
    fn averages_lie_between_nothing_and_the_peak(
        ticks in proptest::collection::vec((25..3_000_u64, 0..99_u64, 0..99_u64), 1..60),
    ) {
        let mut machine = one();
        let mut highest: f64 = 0.0;
        for (milliseconds, tx, rx) in ticks {
            let elapsed = Duration::from_millis(milliseconds);
            machine.moves(2, tx, rx);
            let rows = machine.ticks(elapsed, Lacks::Nothing);
            let pace = ((tx + rx) * 100) as f64 / elapsed.as_secs_f64();
            highest = highest.max(pace);
            let told = sampled(&rows);
            prop_assert!((told.peak - highest).abs() <= 1e-9 * highest);
            prop_assert!((rows[0].peak - highest).abs() <= 1e-9 * highest);
            prop_assert!(told.average() <= told.peak * (1.0 + 1e-9));
            prop_assert!(rows[0].average() <= rows[0].peak * (1.0 + 1e-9));
            let all = told.tx_pace.all().bytes + told.rx_pace.all().bytes;
            prop_assert!((all - pace).abs() <= 1e-9 * pace);
        }
    }
}
