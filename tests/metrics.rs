//! The metrics as a whole: snapshots in, OpenMetrics text out.
//!
//! What is kept of one label set is tested beside `top`; the real scraper and the real
//! collector are `fleet`'s.

#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/links.rs"]
mod links;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use netmon::model::anomaly::Anomaly;
use netmon::model::flow::Protocol;
use netmon::model::interface::Class;
use netmon::model::snapshot::{AggregateRow, Loss, ProtocolRow, Snapshot};
use netmon::sink::health::Health;
use netmon::sink::metrics::{Metrics, Settings};

const TOOK: Duration = Duration::from_micros(700);

fn metrics(top: usize) -> Metrics {
    Metrics::new(Settings {
        top,
        version: "1.2.3",
        health: Arc::new(Health::default()),
        parts: Vec::new(),
    })
}

/// Series and values of a text.
fn values(text: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

fn process(name: &str, user: &str, unit: &str, direction: &str) -> String {
    format!(
        "netmon_process_bytes_total{{process=\"{name}\",user=\"{user}\",unit=\"{unit}\",\
         direction=\"{direction}\"}}"
    )
}

/// A snapshot in which `n` processes move bytes: process `p` of user `u` sends 10 + p.
fn snapshot(sequence: u64, n: u32) -> Snapshot {
    let mut snapshot = fixture::quiet(sequence);
    for p in 0..n {
        let mut row = fixture::process(100 + p, &format!("p{p}"), "-", 1000, "alice", 9);
        row.rates.tx_bytes = u64::from(10 + p);
        row.rates.rx_bytes = 1;
        row.totals = fixture::totals(row.rates.tx_bytes * sequence, sequence);
        snapshot.processes.push(row);
    }
    snapshot
}

#[test]
fn bytes_of_all_snapshots_add_up_by_label_set() {
    let metrics = metrics(50);
    for sequence in 1..=3 {
        metrics.absorb(&snapshot(sequence, 2), TOOK);
    }
    let values = values(&metrics.text());
    for (name, sent) in [("p0", 30.0), ("p1", 33.0)] {
        let unit = format!("{name}.service");
        assert_eq!(values[&process(name, "alice", &unit, "transmit")], sent);
        assert_eq!(values[&process(name, "alice", &unit, "receive")], 3.0);
    }
    // The sums are there from the start, so that a rate has a first value to start from.
    for sum in ["other", "[kernel]", "[untracked]"] {
        assert_eq!(values[&process(sum, "", "", "transmit")], 0.0);
    }
}

#[test]
fn processes_with_the_same_labels_are_one_series_and_a_container_comes_before_its_unit() {
    let mut snapshot = snapshot(1, 0);
    for pid in [7, 8] {
        let mut row = fixture::process(pid, "nginx", "-", 33, "www-data", 9);
        let identity = Arc::make_mut(&mut row.identity);
        identity.unit = Some("docker-0123.scope".to_owned());
        identity.container = Some("0123456789ab".to_owned());
        row.rates.tx_bytes = 21;
        snapshot.processes.push(row);
    }
    let metrics = metrics(50);
    metrics.absorb(&snapshot, TOOK);
    let values = values(&metrics.text());
    let series = process("nginx", "www-data", "0123456789ab", "transmit");
    assert_eq!(values[&series], 42.0);
}

#[test]
fn beyond_the_top_bytes_are_in_other_and_the_sum_is_that_of_all() {
    let metrics = metrics(3);
    for sequence in 1..=200 {
        metrics.absorb(&snapshot(sequence, 40), TOOK);
    }
    let text = metrics.text();
    let series: Vec<f64> = values(&text)
        .into_iter()
        .filter(|(series, _)| series.starts_with("netmon_process_bytes_total"))
        .filter(|(series, _)| series.contains("transmit"))
        .map(|(_, value)| value)
        .collect();
    // Three, `other` and the two aggregates; which three changed in between, to those
    // that move more, and what left took its bytes along.
    assert_eq!(series.len(), 6);
    let all: u64 = (10..50).sum::<u64>() * 200;
    assert!(series.iter().sum::<f64>() <= all as f64);
    for large in ["p37", "p38", "p39"] {
        assert!(text.contains(&format!("process=\"{large}\"")), "{text}");
    }
}

#[test]
fn aggregates_have_series_of_their_own() {
    let metrics = metrics(1);
    let mut snapshot = snapshot(1, 3);
    for (name, tx) in [
        ("[kernel]", 100.0),
        ("[untracked]", 200.0),
        ("[exited]", 0.0),
    ] {
        snapshot.aggregates.push(AggregateRow {
            name,
            kernel_thread: name == "[kernel]",
            totals: fixture::totals(tx as u64, 0),
            // Of half a second.
            rates: fixture::rates(tx * 2.0, 0.0),
        });
    }
    metrics.absorb(&snapshot, TOOK);
    let values = values(&metrics.text());
    assert_eq!(values[&process("[kernel]", "", "", "transmit")], 100.0);
    assert_eq!(values[&process("[untracked]", "", "", "transmit")], 200.0);
    assert!(!values.contains_key(&process("[exited]", "", "", "transmit")));
    assert_eq!(values[&process("other", "", "", "transmit")], 11.0 + 12.0);
}

#[test]
fn a_real_process_called_other_is_not_mistaken_for_the_sum() {
    let metrics = metrics(1);
    let mut snapshot = snapshot(1, 0);
    for (name, user) in [("other", ""), ("late", "alice")] {
        let mut row = fixture::process(5, name, "-", 0, user, 9);
        Arc::make_mut(&mut row.identity).unit = None;
        row.rates.tx_bytes = 9;
        snapshot.processes.push(row);
    }
    metrics.absorb(&snapshot, TOOK);
    let values = values(&metrics.text());
    assert_eq!(values[&process("other", "-", "", "transmit")], 9.0);
    assert_eq!(values[&process("other", "", "", "transmit")], 9.0);
}

#[test]
fn protocols_agree_with_the_processes_of_the_same_text() {
    let metrics = metrics(50);
    let mut snapshot = snapshot(1, 2);
    // Read last, the protocols are ahead by what moved in between.
    snapshot.protocols = vec![
        ProtocolRow {
            protocol: Protocol::Tcp,
            totals: fixture::totals(15, 2),
            rates: fixture::rates(0.0, 0.0),
        },
        ProtocolRow {
            protocol: Protocol::Udp,
            totals: fixture::totals(13, 0),
            rates: fixture::rates(0.0, 0.0),
        },
    ];
    metrics.absorb(&snapshot, TOOK);
    let sum = |family: &str| -> f64 {
        let values = values(&metrics.text());
        let sent = values
            .iter()
            .filter(|(series, _)| series.starts_with(family));
        let sent = sent.filter(|(series, _)| series.contains("transmit"));
        sent.map(|(_, value)| value).sum()
    };
    assert_eq!(sum("netmon_process_bytes_total"), 21.0);
    assert_eq!(sum("netmon_protocol_bytes_total"), 21.0);
}

#[test]
fn hostile_names_do_not_break_the_text() {
    let metrics = metrics(50);
    let mut snapshot = snapshot(1, 0);
    let mut row = fixture::process(5, "a\"} 1\nnetmon_flows 7\\", "-", 0, "al\nice", 9);
    row.rates.tx_bytes = 9;
    snapshot.processes.push(row);
    metrics.absorb(&snapshot, TOOK);
    let text = metrics.text();
    let escaped = r#"process="a\"} 1\nnetmon_flows 7\\",user="al\nice""#;
    assert!(text.contains(escaped), "{text}");
    assert_eq!(text.matches("\nnetmon_flows ").count(), 1, "{text}");
}

#[test]
fn an_anomaly_is_counted_when_it_begins_and_shown_while_it_lasts() {
    let metrics = metrics(50);
    let mut snapshot = fixture::scene(1, true);
    let began = snapshot.at.wall;
    assert_eq!(snapshot.anomalies.len(), 1);
    metrics.absorb(&snapshot, TOOK);
    snapshot = fixture::scene(2, true);
    snapshot.anomalies[0].since = began;
    let another = Anomaly {
        since: snapshot.at.wall,
        ..snapshot.anomalies[0].clone()
    };
    snapshot.anomalies.push(another);
    metrics.absorb(&snapshot, TOOK);
    let now = values(&metrics.text());
    assert_eq!(now["netmon_anomalies"], 2.0);
    assert_eq!(now["netmon_anomalies_begun_total"], 2.0);
    metrics.absorb(&fixture::scene(3, false), TOOK);
    let then = values(&metrics.text());
    assert_eq!(then["netmon_anomalies"], 0.0);
    assert_eq!(then["netmon_anomalies_begun_total"], 2.0);
}

#[test]
fn loss_coverage_and_times_are_told() {
    let metrics = metrics(50);
    let mut snapshot = fixture::scene(1, false);
    snapshot.interval = snapshot.nominal_interval + Duration::from_millis(40);
    snapshot.loss = Loss {
        untracked_flow_bytes: 11,
        missed_events: 22,
        unknown_peer_bytes: 33,
    };
    metrics.absorb(&snapshot, TOOK);
    let values = values(&metrics.text());
    for (series, value) in [
        ("netmon_untracked_flow_bytes_total", 11.0),
        ("netmon_missed_events_total", 22.0),
        ("netmon_unknown_peer_bytes_total", 33.0),
        ("netmon_wire_bytes_total{direction=\"transmit\"}", 6.75e9),
        ("netmon_wire_packets_total{direction=\"receive\"}", 9e5),
        (
            "netmon_wire_payload_bytes_total{direction=\"receive\"}",
            1.03e9,
        ),
        (
            "netmon_wire_other_estimate_bytes{direction=\"receive\"}",
            2.12e8,
        ),
        ("netmon_flows", 10.0),
        ("netmon_processes", 7.0),
        ("netmon_healthy", 1.0),
        ("netmon_read_cycle_seconds_count", 1.0),
        ("netmon_read_cycle_seconds_sum", 0.0007),
        ("netmon_read_cycle_seconds_bucket{le=\"0.0005\"}", 0.0),
        ("netmon_read_cycle_seconds_bucket{le=\"0.001\"}", 1.0),
        ("netmon_read_lateness_seconds_sum", 0.04),
    ] {
        assert_eq!(values.get(series), Some(&value), "{series}");
    }
    let explained = values["netmon_wire_explained_ratio"];
    assert!((0.97..0.98).contains(&explained), "{explained}");
    for series in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
        assert!(values.contains_key(series), "{series}");
    }
    assert!(values.keys().any(|series| {
        series.starts_with("netmon_build_info{version=\"1.2.3\",engine=\"syscall\"")
    }));
}

#[test]
fn interfaces_are_told_by_direction_and_the_sampled_by_class() {
    let metrics = metrics(50);
    let mut snapshot = fixture::quiet(1);
    metrics.absorb(&snapshot, TOOK);
    assert!(!metrics.text().contains("netmon_interface"));
    snapshot.interfaces = links::few();
    snapshot.interfaces.push(links::interface(9, "a\"b\\", 1));
    metrics.absorb(&snapshot, TOOK);
    let text = metrics.text();
    let now = values(&text);
    let of = |family: &str, labels: &str, direction: &str| {
        let series =
            format!("netmon_interface_{family}_total{{{labels},direction=\"{direction}\"}}");
        now.get(&series).copied()
    };
    for (name, n) in [("lo", 3.0), ("eth0", 500.0), ("wg0", 40.0), ("other", 0.0)] {
        let name = format!("interface=\"{name}\"");
        assert_eq!(of("bytes", &name, "transmit"), Some(n * 1_000.0), "{text}");
        assert_eq!(of("bytes", &name, "receive"), Some(n * 2_000.0));
        assert_eq!(of("packets", &name, "transmit"), Some(n * 10.0));
        assert_eq!(of("packets", &name, "receive"), Some(n * 20.0));
    }
    assert_eq!(
        of("packets", r#"interface="a\"b\\""#, "transmit"),
        Some(10.0),
        "{text}"
    );
    for (at, class) in Class::ALL.into_iter().enumerate() {
        let labels = format!("interface=\"eth0\",class=\"{}\"", class.name());
        let packets = (at as f64 + 1.0) * 500.0;
        assert_eq!(of("class_packets", &labels, "transmit"), Some(packets));
        assert_eq!(of("class_bytes", &labels, "receive"), Some(packets * 200.0));
    }
    let classes = now.keys().filter(|it| it.contains("class="));
    assert_eq!(classes.count(), Class::COUNT * 4);

    // One goes, one is counted anew: nothing falls.
    snapshot.interfaces = vec![links::interface(2, "eth0", 2)];
    metrics.absorb(&snapshot, TOOK);
    let text = metrics.text();
    let then = values(&text);
    let eth0 = "netmon_interface_bytes_total{interface=\"eth0\",direction=\"transmit\"}";
    assert_eq!(then.get(eth0), Some(&502_000.0));
    assert!(!text.contains("wg0") && !text.contains("class="), "{text}");
}

#[test]
fn beyond_128_interfaces_all_others_are_one() {
    let metrics = metrics(50);
    let mut snapshot = fixture::quiet(1);
    snapshot.interfaces = (1..=400)
        .map(|n| links::sampled(n, &format!("veth{n}"), 1))
        .collect();
    metrics.absorb(&snapshot, TOOK);
    let text = metrics.text();
    let of = |family: &str| {
        let values = values(&text).into_iter();
        let values = values.filter(|(series, _)| series.starts_with(&format!("{family}{{")));
        values
            .filter(|(series, _)| series.contains("transmit"))
            .collect::<Vec<_>>()
    };
    let bytes = of("netmon_interface_bytes_total");
    assert_eq!(bytes.len(), 129);
    assert_eq!(bytes.iter().map(|(_, value)| value).sum::<f64>(), 400_000.0);
    let classes = of("netmon_interface_class_packets_total");
    assert_eq!(classes.len(), 129 * Class::COUNT);
    let all = 400 * (1..=Class::COUNT).sum::<usize>();
    assert_eq!(
        classes.iter().map(|(_, value)| value).sum::<f64>(),
        all as f64
    );
}

#[test]
fn parts_that_run_are_up_until_something_is_wrong() {
    let health = Arc::new(Health::default());
    let metrics = Metrics::new(Settings {
        top: 50,
        version: "1.2.3",
        health: Arc::clone(&health),
        parts: vec!["history"],
    });
    assert_eq!(values(&metrics.text())["netmon_history_up"], 1.0);
    health.trouble("history", "disk full".to_owned());
    let values = values(&metrics.text());
    assert_eq!(values["netmon_history_up"], 0.0);
    assert_eq!(values["netmon_healthy"], 0.0);
}

#[test]
fn every_family_has_help_and_type_and_the_text_its_end() {
    let metrics = metrics(50);
    for text in [metrics.text(), {
        let mut scene = fixture::scene(1, true);
        scene.interfaces = links::few();
        metrics.absorb(&scene, TOOK);
        metrics.text()
    }] {
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let types: Vec<_> = text.lines().filter(|it| it.starts_with("# TYPE")).collect();
        let helps = text.lines().filter(|it| it.starts_with("# HELP"));
        assert_eq!(helps.count(), types.len());
        for series in values(&text).keys() {
            let name = series.split('{').next().expect("a name");
            let of = |kind: &&&str| {
                let family = kind.split(' ').nth(2).expect("a family");
                name.starts_with(family)
            };
            assert!(types.iter().any(|it| of(&it)), "{name} has no type");
        }
    }
}
