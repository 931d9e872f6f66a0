//! Series of interfaces that come, go, are renamed, counted anew and too many.

use std::time::Duration;

use super::*;
use crate::model::flow::Totals;
use crate::model::interface::{Hook, Sampled, Way, WayPace};
use crate::model::snapshot::Rates;

fn interface(index: u32, name: &str, sent: u64) -> Interface {
    Interface {
        index,
        name: name.into(),
        loopback: false,
        totals: Totals {
            tx_bytes: sent * 100,
            rx_bytes: sent * 10,
            tx_operations: sent,
            rx_operations: 1,
        },
        rates: Rates::default(),
        tx_packets: 0.0,
        rx_packets: 0.0,
        uptime: Duration::ZERO,
        peak: 0.0,
        sampled: None,
        unsampled: None,
    }
}

/// The same with a sampler that counted so many packets of TCP sent.
fn sampled(index: u32, name: &str, sent: u64, tcp: u64) -> Interface {
    let mut tx = Way::default();
    tx.classes[Class::Tcp as usize] = Count {
        packets: tcp,
        bytes: tcp * 60,
    };
    let hook = Hook {
        ingress: "xdp generic".to_owned(),
        egress: "tcx".to_owned(),
        reason: "a test".to_owned(),
    };
    Interface {
        sampled: Some(Sampled {
            hook: Arc::new(hook),
            tx,
            rx: Way::default(),
            tx_pace: WayPace::default(),
            rx_pace: WayPace::default(),
            uptime: Duration::ZERO,
            peak: 0.0,
        }),
        ..interface(index, name, sent)
    }
}

/// Names and packets sent.
fn sent(interfaces: &Interfaces) -> Vec<(String, u64)> {
    let series = interfaces.series().into_iter();
    series
        .map(|series| (series.name.to_string(), series.moved[0].packets))
        .collect()
}

fn expected(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    let rows = rows.iter().map(|(name, sent)| ((*name).to_owned(), *sent));
    rows.collect()
}

#[test]
fn an_interface_shows_what_it_moved_and_other_is_there_from_the_start() {
    let mut interfaces = Interfaces::default();
    assert!(interfaces.series().is_empty());
    interfaces.absorb(&[interface(1, "lo", 3), interface(2, "eth0", 5)]);
    interfaces.absorb(&[interface(1, "lo", 3), interface(2, "eth0", 9)]);
    let rows = [("eth0", 9), ("lo", 3), (OTHER, 0)];
    assert_eq!(sent(&interfaces), expected(&rows));
    let eth0 = &interfaces.series()[0];
    assert_eq!(eth0.moved.map(|count| count.bytes), [900, 90]);
    assert!(eth0.classes.is_none());
}

#[test]
fn one_that_went_away_vanishes_and_goes_on_where_it_was_when_it_is_back() {
    let mut interfaces = Interfaces::default();
    interfaces.absorb(&[interface(1, "lo", 1), interface(7, "tun0", 50)]);
    interfaces.absorb(&[interface(1, "lo", 1)]);
    assert_eq!(sent(&interfaces), expected(&[("lo", 1), (OTHER, 0)]));
    // Another one of its name, which counts from 0.
    interfaces.absorb(&[interface(1, "lo", 1), interface(8, "tun0", 0)]);
    interfaces.absorb(&[interface(1, "lo", 1), interface(8, "tun0", 4)]);
    let rows = [("lo", 1), ("tun0", 54), (OTHER, 0)];
    assert_eq!(sent(&interfaces), expected(&rows));
    // Between two readings, and the same one counted anew.
    interfaces.absorb(&[interface(9, "tun0", 6)]);
    interfaces.absorb(&[interface(9, "tun0", 2)]);
    assert_eq!(sent(&interfaces), expected(&[("tun0", 62), (OTHER, 0)]));
}

#[test]
fn one_that_is_renamed_takes_no_bytes_along_and_leaves_none() {
    let mut interfaces = Interfaces::default();
    interfaces.absorb(&[interface(2, "eth0", 10), interface(3, "eth1", 1)]);
    interfaces.absorb(&[interface(2, "lan0", 12), interface(3, "eth0", 4)]);
    let rows = [("eth0", 13), ("lan0", 2), (OTHER, 0)];
    assert_eq!(sent(&interfaces), expected(&rows));
}

#[test]
fn two_that_print_alike_are_one_series_and_one_called_other_is_in_other() {
    let mut interfaces = Interfaces::default();
    let rows = [
        interface(2, "a?", 10),
        interface(3, "a?", 5),
        interface(4, OTHER, 7),
    ];
    interfaces.absorb(&rows);
    interfaces.absorb(&rows);
    assert_eq!(sent(&interfaces), expected(&[("a?", 15), (OTHER, 7)]));
}

#[test]
fn beyond_the_most_all_is_in_other_and_a_place_that_is_free_is_taken() {
    let most = u32::try_from(MOST).expect("a number");
    let rows = |sent| -> Vec<Interface> {
        let all = 1..=most + 3;
        all.map(|n| interface(n, &format!("veth{n}"), sent))
            .collect()
    };
    let mut interfaces = Interfaces::default();
    interfaces.absorb(&rows(10));
    let series = interfaces.series();
    assert_eq!(series.len(), MOST + 1);
    assert_eq!(series[MOST].moved[0].packets, 30);
    // The first one goes: one of the others has series from now on.
    interfaces.absorb(&rows(11)[1..]);
    let series = interfaces.series();
    assert_eq!(series.len(), MOST + 1);
    assert_eq!(series[MOST].moved[0].packets, 32);
    let newcomer = format!("veth{}", most + 1);
    let found = series.iter().find(|series| *series.name == *newcomer);
    assert_eq!(found.map(|series| series.moved[0].packets), Some(1));
}

#[test]
fn names_that_come_and_go_are_forgotten_but_not_those_that_are_there() {
    let mut interfaces = Interfaces::default();
    for n in 2..5000 {
        let passing = interface(n, &format!("veth{n}"), 1);
        interfaces.absorb(&[interface(1, "lo", u64::from(n)), passing]);
    }
    assert!(interfaces.names.len() <= REMEMBERED + 1);
    assert_eq!(interfaces.said.len(), 2);
    assert_eq!(sent(&interfaces)[0], ("lo".to_owned(), 4999));
}

#[test]
fn classes_are_there_while_a_sampler_is_and_never_fall() {
    let tcp = |interfaces: &Interfaces| {
        let classes = interfaces.series()[0].classes;
        classes.map(|[sent, _]| sent[Class::Tcp as usize].packets)
    };
    let mut interfaces = Interfaces::default();
    interfaces.absorb(&[interface(2, "eth0", 1)]);
    assert_eq!(tcp(&interfaces), None);
    interfaces.absorb(&[sampled(2, "eth0", 2, 7)]);
    interfaces.absorb(&[sampled(2, "eth0", 3, 9)]);
    assert_eq!(tcp(&interfaces), Some(9));
    interfaces.absorb(&[interface(2, "eth0", 4)]);
    assert_eq!(tcp(&interfaces), None);
    // Attached again: it goes on with what it had counted.
    interfaces.absorb(&[sampled(2, "eth0", 5, 12)]);
    assert_eq!(tcp(&interfaces), Some(12));
    // Counted anew: from 0.
    interfaces.absorb(&[sampled(2, "eth0", 5, 3)]);
    assert_eq!(tcp(&interfaces), Some(15));
    assert!(interfaces.series()[1].classes.is_none());
}
