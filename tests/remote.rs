//! Snapshots that come from elsewhere: what a record carries arrives as it was, and
//! nothing that a server may send is more than the screen can show.
//!
//! Written by the record that `netmon serve` writes, read by what `netmon top
//! --connect` reads.

#[path = "support/event.rs"]
mod event;
#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/links.rs"]
mod links;

use std::sync::Arc;
use std::time::Duration;

use netmon::collect::remote::snapshot::{Arrival, Decoder, Unfit};
use netmon::model::flow::{Address, Endpoint, Protocol};
use netmon::model::interface::Class;
use netmon::model::packets::unattributed::{self, Reason};
use netmon::model::sample::Identity;
use netmon::model::snapshot::{AggregateRow, Balance, FlowRow, Loss, Snapshot};
use netmon::tui::Options;
use netmon::tui::keys::Action;
use netmon::tui::screen::Screen;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use crate::event::{event, record};

fn decoded(decoder: &mut Decoder, event: &Value) -> Result<Arrival, Unfit> {
    decoder.decode(event.to_string().as_bytes())
}

/// A scene with all that a record can hold.
fn scene(sequence: u64) -> Snapshot {
    let mut scene = fixture::scene(sequence, true);
    scene.processes[1].kernel_thread = true;
    scene.flows[2].key.remote = Some(Endpoint {
        address: Address::Interface("eth0".parse().unwrap()),
        port: 0,
    });
    for name in ["[exited]", "[untracked]"] {
        scene.aggregates.push(AggregateRow {
            name,
            kernel_thread: false,
            totals: fixture::totals(7, 70),
            rates: fixture::rates(0.0, 0.0),
        });
    }
    scene.loss = Loss {
        untracked_flow_bytes: 1,
        missed_events: 2,
        unknown_peer_bytes: 3,
    };
    scene.flows[0].tcp = Some(links::health());
    scene.interfaces = links::few();
    scene.balance = Balance {
        flows: 90,
        processes: 100,
        totals: 100,
        settled: 100,
        lost: 0,
    };
    scene
}

#[test]
fn what_a_record_carries_arrives() {
    let sent = scene(1);
    let mut decoder = Decoder::default();
    let Arrival { snapshot, host } = decoded(&mut decoder, &event(&sent)).unwrap();
    assert_eq!(host, "web1");
    // All that the record says of it is what it said of the one that was sent.
    assert_eq!(record(&snapshot), record(&sent));
    assert_eq!(snapshot.engine, sent.engine);
    assert_eq!(snapshot.threshold, sent.threshold);
    assert_eq!(snapshot.nominal_interval, sent.nominal_interval);
    assert_eq!(snapshot.balance.discrepancy(), 10);
    // Beyond it: the parts of a process by protocol, as its flows tell.
    let sums = |snapshot: &Snapshot| -> Vec<_> {
        let rows = snapshot.processes.iter();
        rows.map(|row| row.by_protocol).collect()
    };
    assert_eq!(sums(&snapshot), sums(&sent));
    assert_eq!(snapshot.flows[0].tcp, Some(links::health()));
}

#[test]
fn interfaces_arrive_whole_but_for_the_bytes_of_the_interval() {
    let mut sent = scene(1);
    let arrival = decoded(&mut Decoder::default(), &event(&sent)).unwrap();
    for row in &mut sent.interfaces {
        (row.rates.tx_bytes, row.rates.rx_bytes) = (0, 0);
    }
    assert_eq!(arrival.snapshot.interfaces, sent.interfaces);
}

#[test]
fn an_older_server_tells_of_no_interfaces_and_of_no_connection() {
    let mut older = event(&scene(1));
    older.as_object_mut().unwrap().remove("interfaces");
    for flow in older["flows"].as_array_mut().unwrap() {
        flow.as_object_mut().unwrap().remove("tcp");
    }
    let arrival = decoded(&mut Decoder::default(), &older).unwrap();
    assert!(arrival.snapshot.interfaces.is_empty());
    assert!(arrival.snapshot.flows.iter().all(|flow| flow.tcp.is_none()));
}

#[test]
fn what_a_server_says_of_interfaces_has_bounds() {
    let mut hostile = event(&scene(1));
    let rows = hostile["interfaces"].as_array_mut().unwrap();
    rows[0]["interface"] = json!("a\u{1b}[2J name longer than any is");
    rows[0]["uptime_seconds"] = json!(1e18);
    rows[0]["peak_rate"] = json!(-5.0);
    rows[1]["sampled"]["reason"] = json!("\u{7}".repeat(5_000));
    rows[0]["unsampled"] = json!("\u{7}".repeat(5_000));
    rows[1]["sampled"]["tx"]["sctp"] = json!("of a newer version");
    rows[1]["sampled"]["rx"]
        .as_object_mut()
        .unwrap()
        .remove("https");
    // The same one again, and out of order.
    let again = rows[0].clone();
    rows.push(again);
    rows.reverse();
    let arrival = decoded(&mut Decoder::default(), &hostile).unwrap();
    let found = &arrival.snapshot.interfaces;
    let indices: Vec<u32> = found.iter().map(|row| row.index).collect();
    assert_eq!(indices, [1, 2, 7]);
    assert_eq!(&*found[0].name, "a?[2J name long");
    assert_eq!(found[0].peak, 0.0);
    assert!(found[0].average() >= 0.0);
    assert_eq!(found[0].unsampled.as_deref(), Some(&*"?".repeat(400)));
    let sampled = found[1].sampled.as_ref().unwrap();
    assert_eq!(sampled.hook.reason, "?".repeat(400));
    assert_eq!(sampled.rx.of(Class::Https).bytes, 0);

    let places = [
        "/interfaces/0/tx_packets",
        "/interfaces/1/sampled/rx/frames/bytes",
    ];
    for place in places {
        let mut hostile = event(&scene(1));
        *hostile.pointer_mut(place).unwrap() = json!(u64::MAX);
        let refused = decoded(&mut Decoder::default(), &hostile).unwrap_err();
        assert!(refused.to_string().contains("overflow"), "{refused}");
    }
}

#[test]
fn what_is_nobodys_arrives_with_its_reasons() {
    let mut sent = scene(1);
    let reasons = [Reason::Icmp, Reason::Passing];
    for (row, reason) in sent.processes.iter_mut().zip(reasons) {
        row.id = reason.process();
        row.identity = Arc::new(Identity {
            name: unattributed::NAME.to_owned(),
            command: reason.text().to_owned(),
            ..Identity::default()
        });
    }
    let nobodys = |snapshot: &Snapshot| {
        let rows = snapshot.processes.iter();
        let mut found: Vec<_> = rows
            .filter(|row| row.id.pid == 0)
            .map(|row| (row.id, row.identity.command.clone(), row.totals))
            .collect();
        found.sort_by_key(|row| row.0);
        found
    };
    let event = event(&sent);
    let record = &event["processes"].as_array().unwrap();
    let of_nobody = record.iter().filter(|row| row["pid"] == 0);
    assert!(of_nobody.clone().count() >= 2);
    assert!(of_nobody.clone().all(|row| row["start_time"].is_null()));
    let arrival = decoded(&mut Decoder::default(), &event).unwrap();
    assert_eq!(nobodys(&arrival.snapshot), nobodys(&sent));
}

#[test]
fn many_rows_arrive_too() {
    let sent = fixture::many(1, 10_240);
    let mut decoder = Decoder::default();
    let arrival = decoded(&mut decoder, &event(&sent)).unwrap();
    assert_eq!(record(&arrival.snapshot), record(&sent));
}

#[test]
fn a_record_without_what_only_servers_or_newer_ones_say_will_do() {
    let mut plain = record(&scene(1));
    plain.as_object_mut().unwrap().remove("coverage");
    plain["news"] = json!({"of": ["a", "newer", "version"]});
    plain["protocols"][0]["protocol"] = json!("quic");
    plain["processes"][0]["executable"] = json!("/usr/bin/curl");
    let arrival = decoded(&mut Decoder::default(), &plain).unwrap();
    assert!(arrival.host.is_empty());
    assert_eq!(arrival.snapshot.coverage, None);
    assert_eq!(arrival.snapshot.protocols[0].protocol, Protocol::Other);
}

#[test]
fn another_schema_is_refused_by_its_number() {
    let mut decoder = Decoder::default();
    let refused = decoded(&mut decoder, &json!({"schema": 2, "rows": []})).unwrap_err();
    assert_eq!(refused, Unfit::Schema(2));
    let words = refused.to_string();
    assert!(
        words.contains("schema 2") && words.contains("schema 1"),
        "{words}"
    );
    for other in [
        json!([]),
        json!({"schema": 1}),
        json!("schema"),
        Value::Null,
    ] {
        assert!(
            matches!(decoded(&mut decoder, &other), Err(Unfit::Broken(_))),
            "{other}"
        );
    }
}

#[test]
fn sums_that_overflow_are_refused() {
    for member in ["protocols", "processes", "flows"] {
        let mut event = event(&scene(1));
        event[member][0]["tx_bytes"] = json!(u64::MAX);
        event[member][1]["rx_bytes"] = json!(1);
        let refused = decoded(&mut Decoder::default(), &event).unwrap_err();
        assert!(refused.to_string().contains("overflow"), "{refused}");
    }
}

#[test]
fn snapshots_are_numbered_and_timed_here() {
    let mut decoder = Decoder::default();
    let mut take = |sequence: u64, wall: Duration| {
        let mut sent = scene(sequence);
        sent.at.wall = wall;
        decoded(&mut decoder, &event(&sent)).unwrap().snapshot
    };
    let hour = Duration::from_secs(500_000 * 3600);
    let first = take(400, hour);
    let second = take(401, hour + Duration::from_millis(510));
    // The server was started again, and its clock was set back.
    let third = take(1, hour - Duration::from_secs(100));
    assert_eq!([first.sequence, second.sequence, third.sequence], [1, 2, 3]);
    let passed = |from: &Snapshot, to: &Snapshot| to.at.monotonic - from.at.monotonic;
    assert_eq!(passed(&first, &second), Duration::from_millis(510));
    assert_eq!(passed(&second, &third), third.interval);
    assert_eq!(third.at.wall, hour - Duration::from_secs(100));
}

#[test]
fn what_the_wire_moves_follows_from_what_it_had_moved() {
    let mut decoder = Decoder::default();
    let mut take = |sequence: u64, more: u64| {
        let mut sent = scene(sequence);
        let coverage = sent.coverage.as_mut().unwrap();
        coverage.tx.wire_bytes += more;
        coverage.tx.other_bytes += more;
        let arrival = decoded(&mut decoder, &event(&sent)).unwrap();
        arrival.snapshot.coverage.as_ref().unwrap().wire_rates
    };
    assert_eq!(take(1, 0).tx, 0.0);
    // Half a second lies between two scenes.
    assert_eq!(take(2, 5_000).tx, 10_000.0);
    assert_eq!(take(3, 5_000).tx, 0.0);
    // Started again.
    assert_eq!(take(4, 1_000).tx, 0.0);
}

#[test]
fn coverage_that_does_not_add_up_is_not_shown() {
    let mut event = event(&scene(1));
    event["coverage"]["excess_tx_estimate"] = json!(u64::MAX);
    let arrival = decoded(&mut Decoder::default(), &event).unwrap();
    assert_eq!(arrival.snapshot.coverage, None);
}

#[test]
fn a_flow_belongs_to_the_latest_process_of_its_pid_and_name() {
    let mut sent = scene(1);
    // PID 4242 had been sshd's, and was another curl's before and after.
    let mut before = sent.processes[0].clone();
    before.id.start_ns -= 1_000_000_000;
    let mut after = sent.processes[1].clone();
    after.id = before.id;
    after.id.start_ns += 5_000_000_000;
    sent.processes.push(before);
    sent.processes.push(after);
    let flows = |pid: u32| {
        move |snapshot: &Snapshot| -> Vec<usize> {
            let of_pid = |flow: &&FlowRow| flow.key.process.pid == pid;
            let found = snapshot.flows.iter().filter(of_pid);
            found.map(|flow| flow.process).collect()
        }
    };
    let arrival = decoded(&mut Decoder::default(), &event(&sent)).unwrap();
    assert_eq!(flows(4242)(&arrival.snapshot), flows(4242)(&sent));
    assert_eq!(flows(4242)(&arrival.snapshot), [0]);
}

/// What a number or a text may be replaced by.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(|number| json!(number)),
        any::<i32>().prop_map(|number| json!(number)),
        Just(json!(u64::MAX / 64)),
        Just(json!(0)),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!(f64::MAX)),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("1970-01-01T00:00:00Z")),
        ".{0,40}".prop_map(|text| json!(text)),
        Just(json!("[kernel]")),
        Just(json!([])),
        Just(json!(true)),
    ]
}

/// Every member that holds no further ones.
fn leaves<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| leaves(item, found)),
        Value::Object(members) => members.values_mut().for_each(|item| leaves(item, found)),
        leaf => found.push(leaf),
    }
}

/// Draws a snapshot in every state that shows other parts of it.
fn draw(snapshots: &[Arc<Snapshot>]) {
    let mut screen = Screen::new(Options::default(), Duration::from_millis(500));
    for snapshot in snapshots {
        screen.take(Arc::clone(snapshot));
    }
    for (width, height) in [(200, 50), (80, 24), (40, 12)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        for action in [
            Action::First,
            Action::Open,
            Action::Back,
            Action::TurnPage,
            Action::First,
            Action::Open,
            Action::ToggleHelp,
            Action::ToggleHelp,
            Action::Back,
            Action::TurnPage,
        ] {
            terminal
                .draw(|frame| screen.draw(frame.buffer_mut()))
                .unwrap();
            screen.act(action);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_a_server_sends_is_refused_or_shown(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), anything()), 1..6),
    ) {
        let mut decoder = Decoder::default();
        let mut shown = vec![decoded(&mut decoder, &event(&scene(1))).unwrap().snapshot];
        let mut event = event(&scene(2));
        for (index, value) in changes {
            let mut found = Vec::new();
            leaves(&mut event, &mut found);
            let at = index.index(found.len());
            *found[at] = value;
        }
        if let Ok(arrival) = decoded(&mut decoder, &event) {
            shown.push(arrival.snapshot);
            draw(&shown);
        }
    }

    #[test]
    fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Decoder::default().decode(&bytes).is_err());
    }
}
