//! Questions about interfaces: the numbers, and the refusals of those that have none.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Scene, run, snapshot};
use crate::model::interface::{Class, Count, Hook, Interface, Pace, Sampled, Way, WayPace};
use crate::model::snapshot::{Engine, PACKET, Snapshot};

const REALTIME: &str = "/api/metrics/realtime";
const STATS: &str = "/api/stats/summary";

fn interface(index: u32, name: &str) -> Interface {
    Interface {
        index,
        name: name.into(),
        loopback: name == "lo",
        totals: Default::default(),
        rates: Default::default(),
        tx_packets: 0.0,
        rx_packets: 0.0,
        uptime: Duration::from_secs(4),
        peak: 0.0,
        sampled: None,
        unsampled: None,
    }
}

/// 4 seconds in which 30 packets with 3000 bytes were sent and 10 with 500 received: of
/// those sent 20 with 2000 of TCP, of which 5 with 400 were of HTTP.
fn sampled(index: u32, name: &str) -> Interface {
    let count = |packets, bytes| Count { packets, bytes };
    let mut tx = Way::default();
    tx.classes[Class::Tcp as usize] = count(20, 2_000);
    tx.classes[Class::Udp as usize] = count(10, 1_000);
    tx.classes[Class::Http as usize] = count(5, 400);
    let mut rx = Way::default();
    rx.classes[Class::NotIp as usize] = count(10, 500);
    rx.classes[Class::Https as usize] = count(0, 0);
    let pace = |way: &Way| WayPace {
        frames: Pace::default(),
        classes: way.classes.map(|count| Pace {
            packets: count.packets as f64,
            bytes: count.bytes as f64,
        }),
    };
    Interface {
        sampled: Some(Sampled {
            hook: Arc::new(Hook {
                ingress: "xdp generic".to_owned(),
                egress: "tcx".to_owned(),
                reason: "a reason".to_owned(),
            }),
            tx_pace: pace(&tx),
            rx_pace: pace(&rx),
            tx,
            rx,
            uptime: Duration::from_secs(4),
            peak: 3_000.0,
        }),
        ..interface(index, name)
    }
}

/// A server that shows these.
fn scene(interfaces: Vec<Interface>) -> Scene {
    let scene = Scene::open();
    scene.publish_one(Snapshot {
        interfaces,
        ..(*snapshot(1)).clone()
    });
    scene
}

async fn json_of(scene: &Scene, uri: &str) -> Value {
    let (status, _, body) = scene.asked("GET", uri).await;
    assert_eq!(status, 200, "{uri}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

async fn refused(scene: &Scene, uri: &str, status: u16, words: &str) {
    let (its, _, body) = scene.asked("GET", uri).await;
    assert_eq!(its, status, "{uri}: {body}");
    assert!(body.contains(words), "{uri}: `{words}` is not in {body}");
}

#[test]
fn both_directions_are_together_and_bandwidths_are_bits() {
    run(async {
        let scene = scene(vec![interface(1, "lo"), sampled(2, "eth0")]);
        for query in ["?iface=eth0", ""] {
            let found = json_of(&scene, &format!("{REALTIME}{query}")).await;
            let expected = json!({
                "bandwidth_bps": 28_000.0, "packets_per_sec": 40.0,
                "tcp_bandwidth_bps": 16_000.0, "tcp_packets_per_sec": 20.0,
                "http_bandwidth_bps": 3_200.0, "http_packets_per_sec": 5.0,
                "https_bandwidth_bps": 0.0, "https_packets_per_sec": 0.0,
                "total_packets": 40, "total_bytes": 3_500
            });
            assert_eq!(found, expected);
            let found = json_of(&scene, &format!("{STATS}{query}")).await;
            let expected = json!({
                "uptime_seconds": 4.0, "avg_bandwidth_bps": 7_000.0, "peak_bandwidth_bps": 24_000.0,
                "total_packets": 40, "total_bytes": 3_500,
                "tcp_percentage": 57.14, "http_percentage": 11.43, "https_percentage": 0.0
            });
            assert_eq!(found, expected);
        }
    });
}

#[test]
fn an_interface_that_moved_nothing_has_no_share_of_nothing() {
    run(async {
        let mut idle = sampled(2, "eth0");
        let seen = idle.sampled.as_mut().expect("it is sampled");
        (seen.tx, seen.rx) = Default::default();
        seen.uptime = Duration::ZERO;
        let found = json_of(&scene(vec![idle]), STATS).await;
        for name in ["tcp_percentage", "avg_bandwidth_bps", "total_bytes"] {
            assert_eq!(found[name].as_f64(), Some(0.0), "{name}: {found}");
        }
    });
}

#[test]
fn an_interface_without_numbers_is_refused_with_what_there_is() {
    run(async {
        for path in [REALTIME, STATS] {
            let asked = |query: &str| format!("{path}{query}");
            let start = "the interface sampler is off; start `netmon serve --iface NAME`";
            refused(&Scene::open(), path, 503, "nothing is counted yet").await;

            let off = scene(vec![interface(1, "lo"), interface(2, "eth0")]);
            refused(&off, path, 503, start).await;
            refused(&off, &asked("?iface=nowhere"), 503, start).await;
            let words = "off on `eth0`; start `netmon serve --iface eth0`";
            refused(&off, &asked("?iface=eth0"), 503, words).await;

            let taken = || Interface {
                unsampled: Some("it is taken; end its owner".into()),
                ..interface(2, "eth0")
            };
            let words = "off on `eth0`: it is taken; end its owner";
            refused(&scene(vec![taken()]), path, 503, words).await;
            refused(&scene(vec![taken()]), &asked("?iface=eth0"), 503, words).await;

            let packets = Scene::open();
            packets.publish_one(Snapshot {
                interfaces: vec![interface(2, "eth0")],
                engine: Arc::new(Engine::new(PACKET, "packets", &[])),
                ..(*snapshot(1)).clone()
            });
            refused(
                &packets,
                &asked("?iface=eth0"),
                503,
                "off with --engine packet",
            )
            .await;

            let rows = vec![interface(1, "lo"), sampled(2, "eth0"), sampled(5, "eth1")];
            let two = scene(rows);
            let words = "`iface` is missing; sampled are eth0, eth1";
            refused(&two, path, 400, words).await;
            let words = "there is no interface `eth`; sampled are eth0, eth1";
            refused(&two, &asked("?iface=eth"), 404, words).await;
            refused(&two, &asked("?iface=lo"), 503, "off on `lo`").await;
            refused(&two, &asked("?iface="), 400, "`iface` is empty").await;
            refused(&two, &asked("?dev=eth0"), 400, "`dev` is unknown").await;

            let all = (1..=300).map(|n| sampled(n, &format!("veth{n}"))).collect();
            let words = "veth20 and 280 more\"";
            refused(&scene(all), path, 400, words).await;
        }
    });
}

#[test]
fn all_interfaces_are_told_as_the_record_tells_them() {
    run(async {
        refused(&Scene::open(), "/api/interfaces", 503, "nothing").await;
        let scene = scene(vec![interface(1, "lo"), sampled(2, "eth0")]);
        let listed = json_of(&scene, "/api/interfaces").await;
        let record = json_of(&scene, "/api/current?pid=1").await;
        assert_eq!(listed["interfaces"], record["interfaces"]);
        let [lo, eth0] = [0, 1].map(|at| &listed["interfaces"][at]);
        assert_eq!(lo["interface"], "lo");
        assert_eq!(
            (&lo["loopback"], &lo["sampled"]),
            (&json!(true), &json!(null))
        );
        let tcp = json!({"packets": 20, "bytes": 2_000, "packet_rate": 20.0, "rate": 2_000.0});
        assert_eq!(eth0["sampled"]["tx"]["tcp"], tcp);
        assert_eq!(eth0["sampled"]["rx"]["not_ip"]["packets"], 10);
    });
}

#[test]
fn a_page_gets_the_sampled_and_the_largest_by_their_index() {
    let rows: Vec<Interface> = (1..=80)
        .map(|n| {
            let mut row = match n {
                3 => sampled(n, "eth0"),
                80 => Interface {
                    unsampled: Some("taken".into()),
                    ..interface(n, "eth1")
                },
                n => interface(n, &format!("veth{n}")),
            };
            row.rates.smoothed = f64::from(n);
            row
        })
        .collect();
    let scene = scene(rows);
    let picture = scene.sources.live.latest().expect("a picture");
    let event = picture.event(crate::sink::http::picture::View::Summary);
    let text = std::str::from_utf8(&event).expect("text");
    let data = text.split_once("data: ").expect("data").1;
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data["counts"]["interfaces"], 80);
    let rows = data["interfaces"].as_array().expect("a list");
    let found: Vec<u64> = rows
        .iter()
        .filter_map(|row| row["index"].as_u64())
        .collect();
    let expected: Vec<u64> = [3].into_iter().chain(32..=80).collect();
    assert_eq!(found, expected);
    let classes = rows[0]["sampled"]["classes"].as_array().expect("classes");
    assert_eq!(classes.len(), Class::COUNT);
    assert_eq!(rows[0]["unsampled"], json!(null));
    assert_eq!(rows[49]["unsampled"], "taken");
    let udp = json!({
        "class": "udp", "tx_rate": 1_000.0, "rx_rate": 0.0,
        "tx_packet_rate": 10.0, "rx_packet_rate": 0.0
    });
    assert_eq!(classes[1], udp);
}
