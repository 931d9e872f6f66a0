//! The three formats of one report: each is well-formed, and all of them say the same.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::flow::Totals;
use crate::model::interface::{
    Class, Count, Exchange, Hook, Interface, Pace, Sampled, Way, WayPace, WireFlow, WireFlowRow,
};
use crate::model::sample::Moment;
use crate::model::snapshot::Rates;

fn way(packets: u64) -> Way {
    let mut way = Way::default();
    for (place, count) in (1..).zip(&mut way.classes) {
        *count = Count {
            packets: packets * place,
            bytes: packets * place * 100,
        };
    }
    way.frames = way.of(Class::Tcp);
    way
}

fn pace(way: &Way, factor: f64) -> WayPace {
    let pace = |count: Count| Pace {
        packets: count.packets as f64 * factor,
        bytes: count.bytes as f64 * factor,
    };
    WayPace {
        frames: pace(way.frames),
        classes: way.classes.map(pace),
    }
}

fn interface(name: &str, factor: f64) -> Interface {
    let (tx, rx) = (way(3), way(5));
    Interface {
        index: 7,
        name: name.into(),
        loopback: false,
        totals: Totals::default(),
        rates: Rates::default(),
        tx_packets: 0.0,
        rx_packets: 0.0,
        uptime: Duration::from_millis(72_500),
        peak: 0.0,
        unsampled: None,
        sampled: Some(Sampled {
            hook: Arc::new(Hook {
                ingress: "xdp generic".to_owned(),
                egress: "tcx".to_owned(),
                reason: "a test".to_owned(),
            }),
            tx,
            rx,
            tx_pace: pace(&tx, factor),
            rx_pace: pace(&rx, factor),
            uptime: Duration::from_millis(72_500),
            peak: 1e6,
        }),
    }
}

/// One interface with the longest name, and a flow on it.
fn report(factor: f64) -> InterfaceReport {
    let count = |packets| Count {
        packets,
        bytes: packets * 100,
    };
    let end = |text: &str| text.parse().unwrap();
    InterfaceReport {
        sequence: 2,
        at: Moment {
            monotonic: Duration::from_secs(5),
            wall: Duration::from_secs(1_790_000_000),
        },
        interval: Duration::from_millis(500),
        interfaces: vec![interface("enp0s31f6,\"wan", factor)],
        flows: vec![WireFlowRow {
            flow: WireFlow {
                index: 7,
                protocol: 6,
                source: (end("192.168.100.101"), 54_321),
                destination: (end("192.168.100.102"), 65_432),
            },
            totals: Exchange {
                forth: count(9),
                back: count(8),
            },
            moved: Exchange::default(),
            forth: Pace {
                packets: 2.0 * factor,
                bytes: 200.0 * factor,
            },
            back: Pace::default(),
        }],
    }
}

fn written(format: Format, reports: &[InterfaceReport]) -> String {
    let mut to = Vec::new();
    let mut writer = Reports::new(&mut to, format);
    for report in reports {
        writer.write(report).unwrap();
    }
    String::from_utf8(to).unwrap()
}

#[test]
fn text_fits_a_terminal_whatever_the_numbers() {
    for factor in [0.0, 1.0, 1e3, 1e9, 1e14] {
        let mut wide = report(factor);
        let sampled = wide.interfaces[0].sampled.as_mut().unwrap();
        sampled.peak = f64::MAX;
        sampled.uptime = Duration::from_secs(86_400 * 400 + 3 * 3_600 + 59 * 60 + 59);
        wide.interfaces[0].name = "a-name-of-15-cs".into();
        let text = written(Format::Text, &[wide]);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn text_says_who_moved_what() {
    let text = written(Format::Text, &[report(1.0)]);
    let expected = "\
2026-09-21T14:13:20.000Z  0.5 s  bit/s, packets/s; HTTP(S) is part of TCP, UDP
INTERFACE            RATE PACKETS    TCP    UDP   ICMP  OTHER   HTTP  HTTPS
enp0s31f6,\"wan  rx  60.0k      75   4.0k   8.0k  12.0k  36.0k  24.0k  28.0k
                tx  36.0k      45   2.4k   4.8k   7.2k  21.6k  14.4k  16.8k
  both: average 1.3 kbit/s, peak 8.0 Mbit/s, 11.7 KiB in 1m 12s
 FORTH   BACK PROT INTERFACE  SOURCE > DESTINATION
  1.6k      0 tcp  enp0s31f6,\"wan 192.168.100.101:54321 > 192.168.100.102:65432

";
    assert_eq!(text, expected);
}

#[test]
fn nothing_to_show_is_said() {
    let mut empty = report(1.0);
    empty.interfaces.clear();
    empty.flows.clear();
    let text = written(Format::Text, &[empty]);
    assert!(text.contains("no interface that is up"), "{text}");
    assert!(!text.contains("SOURCE"), "{text}");
}

#[test]
fn csv_has_as_many_fields_in_every_row() {
    let text = written(Format::Csv, &[report(1.0), report(2.0)]);
    let rows: Vec<Vec<&str>> = text
        .lines()
        // The one name with a comma in it.
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 1 + 2 * 4);
    let quoted = "\"enp0s31f6,\"\"wan\"";
    for (line, fields) in text.lines().zip(&rows) {
        let extra = line.matches(quoted).count();
        assert_eq!(fields.len(), rows[0].len() + extra, "{line}");
    }
    assert!(
        rows[1][..7]
            .join(",")
            .ends_with(&format!("interface,{quoted},7,rx")[..])
    );
    let row = text.lines().find(|line| line.contains(",tx,")).unwrap();
    // All parts, the frames, TCP.
    let numbers = ",tx,,,,,,45,4500,45.00,4500.00,3,300,3.00,300.00,3,300,3.00,300.00,";
    assert!(row.contains(numbers), "{row}");
    assert!(row.ends_with(",165.52,1000000.00,72.5000"), "{row}");
    let flow = ",forth,tcp,192.168.100.101,54321,192.168.100.102,65432,9,900,2.00,200.00,,";
    assert!(text.contains(flow), "{text}");
}

#[test]
fn json_is_an_object_per_line() {
    let text = written(Format::Json, &[report(1.0), report(2.0)]);
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 2);
    let object = &objects[0];
    assert_eq!(object["schema"], 1);
    assert_eq!(object["interval_seconds"], 0.5);
    let told = &object["interfaces"][0];
    assert_eq!(told["interface"], "enp0s31f6,\"wan");
    assert_eq!(told["sampled"]["ingress"], "xdp generic");
    assert_eq!(told["sampled"]["uptime_seconds"], 72.5);
    assert_eq!(told["sampled"]["tx"]["frames"]["bytes"], 300);
    assert_eq!(told["sampled"]["rx"]["https"]["packet_rate"], 35.0);
    let flow = &object["flows"][0];
    assert_eq!(flow["interface"], "enp0s31f6,\"wan");
    assert_eq!(flow["protocol"], "tcp");
    assert_eq!(
        (&flow["source_port"], &flow["forth_bytes"]),
        (&54_321.into(), &900.into())
    );
    assert_eq!(
        (&flow["back_packets"], &flow["forth_rate"]),
        (&8.into(), &200.0.into())
    );
}
