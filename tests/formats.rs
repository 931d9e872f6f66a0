//! What `netmon stream` writes of interfaces and of how connections fare, in each format.
//!
//! Snapshots in, text out; what real traffic looks like in it is `cli`'s.

#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/links.rs"]
mod links;

use netmon::model::filter::Filter;
use netmon::model::interface::Class;
use netmon::model::snapshot::Snapshot;
use netmon::sink::stream::{Format, Stream};
use serde_json::{Value, json};

/// A machine at work, with interfaces and with a connection that was asked.
fn scene() -> Snapshot {
    let mut scene = fixture::scene(1, false);
    scene.flows[0].tcp = Some(links::health());
    scene.interfaces = links::few();
    scene
}

fn written(snapshot: &Snapshot, format: Format, filter: Filter) -> String {
    let mut bytes = Vec::new();
    Stream::new(&mut bytes, format, filter)
        .write(snapshot)
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Lets one process through.
fn of_sshd() -> Filter {
    Filter {
        names: vec!["sshd".to_owned()],
        ..Filter::default()
    }
}

#[test]
fn the_record_has_every_interface_whole() {
    let text = written(&scene(), Format::Json, Filter::default());
    let record: Value = serde_json::from_str(&text).unwrap();
    let rows = record["interfaces"].as_array().unwrap();
    let expected = json!({
        "interface": "wg0", "index": 7, "loopback": false,
        "tx_bytes": 40_000, "rx_bytes": 80_000, "tx_packets": 400, "rx_packets": 800,
        "tx_rate": 320.0, "rx_rate": 640.0, "tx_packet_rate": 20.0, "rx_packet_rate": 10.0,
        "smoothed_rate": 860.0, "average_rate": 9_600.0, "peak_rate": 4_000.0,
        "uptime_seconds": 12.5, "sampled": null, "unsampled": null
    });
    assert_eq!(rows[2], expected);
    let sampled = &rows[1]["sampled"];
    for (member, value) in [
        ("ingress", json!("xdp generic")),
        ("egress", json!("tcx")),
        ("reason", json!("a native program turns GRO off")),
        ("uptime_seconds", json!(10.0)),
        // 15 packets of 100 bytes sent for each of 500, and twice as many received.
        ("average_rate", json!(225_000.0)),
        ("peak_rate", json!(2_500_000.0)),
    ] {
        assert_eq!(sampled[member], value, "{member}");
    }
    let names: Vec<&String> = sampled["rx"].as_object().unwrap().keys().collect();
    let mut expected = vec![
        "frames", "tcp", "udp", "icmp", "other_ip", "not_ip", "http", "https",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    let icmp = json!({
        "packets": 3_000, "bytes": 300_000, "packet_rate": 1_500.0, "rate": 150_000.0
    });
    assert_eq!(sampled["rx"]["icmp"], icmp);
    let frames = json!({
        "packets": 4_500, "bytes": 450_000, "packet_rate": 2_250.0, "rate": 225_000.0
    });
    assert_eq!(sampled["tx"]["frames"], frames);
}

#[test]
fn a_flow_of_the_record_says_how_its_connection_fares_where_that_is_known() {
    let text = written(&scene(), Format::Json, Filter::default());
    let record: Value = serde_json::from_str(&text).unwrap();
    let health = json!({
        "rtt_us": 12_345, "rtt_variance_us": 678, "retransmits": 9, "lost": 1,
        "congestion_window": 10, "send_mss": 1_448
    });
    assert_eq!(record["flows"][0]["tcp"], health);
    let others = &record["flows"].as_array().unwrap()[1..];
    let unknown = |flow: &Value| flow.as_object().unwrap().get("tcp") == Some(&Value::Null);
    assert!(others.iter().all(unknown), "{others:?}");
}

#[test]
fn no_filter_hides_an_interface() {
    let whole = written(&scene(), Format::Json, Filter::default());
    let filtered = written(&scene(), Format::Json, of_sshd());
    let interfaces = |text: &str| {
        let mut record: Value = serde_json::from_str(text).unwrap();
        record["interfaces"].take()
    };
    assert_eq!(interfaces(&filtered), interfaces(&whole));
    let text = written(&scene(), Format::Text, of_sshd());
    assert!(text.contains(" eth0 ") && !text.contains("curl"), "{text}");
}

#[test]
fn csv_has_the_connection_at_the_end_of_a_row_and_rows_of_what_is_sampled() {
    let text = written(&scene(), Format::Csv, Filter::default());
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let end = ",ended,anomalous,rtt_us,rtt_variance_us,retransmits,lost,congestion_window,send_mss";
    assert!(header.ends_with(end), "{header}");
    let columns = header.split(',').count();
    let (told, not): (Vec<&str>, Vec<&str>) = lines.partition(|line| !line.ends_with(",,,,,,"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].ends_with(",false,false,12345,678,9,1,10,1448"),
        "{told:?}"
    );
    let mut interfaces = Vec::new();
    for line in told.into_iter().chain(not) {
        let fields: Vec<&str> = line.split(',').collect();
        match fields[2] {
            "interface" => interfaces.push((fields[4], fields[6])),
            kind => assert!(["protocol", "process", "flow"].contains(&kind), "{line}"),
        }
        // No name of this scene has a comma in it.
        assert_eq!(fields.len(), columns, "{line}");
    }
    // What it counts, then what it is.
    let classes = Class::ALL.map(|class| ("eth0", class.name()));
    let expected: Vec<_> = [("eth0", "")].into_iter().chain(classes).collect();
    assert_eq!(interfaces, expected);
}

#[test]
fn text_has_a_block_of_the_interfaces_that_move_something() {
    let mut scene = scene();
    scene.interfaces.push(links::interface(8, "idle0", 0));
    let text = written(&scene, Format::Text, Filter::default());
    let block = text.split_once("INTERFACE").unwrap().1;
    let names: Vec<&str> = block
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    // What is sampled is told below its line.
    assert_eq!(names, ["eth0", "tcp", "wg0", "lo"]);
    assert!(text.ends_with("\n\n"), "{text}");

    scene.interfaces = (1..=30)
        .map(|n| links::interface(n, &format!("veth{n}"), u64::from(n)))
        .collect();
    let text = written(&scene, Format::Text, Filter::default());
    assert!(
        text.contains(" veth21 ") && !text.contains(" veth20 "),
        "{text}"
    );
    assert!(text.contains("and 20 more"), "{text}");

    scene.interfaces.clear();
    let text = written(&scene, Format::Text, Filter::default());
    assert!(!text.contains("INTERFACE"), "{text}");
}
