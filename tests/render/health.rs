//! How connections fare, and the engine that estimates.

use std::sync::Arc;

use netmon::model::flow::Protocol;
use netmon::model::snapshot::{Engine, Snapshot};
use netmon::model::tcp::TcpHealth;
use netmon::tui::keys::Action;
use netmon::tui::screen::Screen;
use netmon::tui::state::Page;

use crate::{act, drawn, fixture, options, screen_with};

/// The first flow's connection, as its kernel sees it.
const HEALTH: TcpHealth = TcpHealth {
    rtt_us: 12_345,
    rtt_variance_us: 678,
    retransmits: 42,
    lost: 3,
    congestion_window: 10,
    send_mss: 1448,
};

fn healthy(sequence: u64) -> Snapshot {
    let mut snapshot = fixture::scene(sequence, false);
    snapshot.flows[0].tcp = Some(HEALTH);
    snapshot.flows[2].tcp = Some(TcpHealth {
        rtt_us: 85,
        retransmits: 1,
        lost: 0,
        ..HEALTH
    });
    snapshot.flows[3].tcp = Some(TcpHealth {
        rtt_us: 0,
        retransmits: 0,
        ..HEALTH
    });
    snapshot
}

#[test]
fn a_connection_tells_how_it_fares() {
    let scenes = (1..=20).map(healthy).collect();
    let mut screen = screen_with(options(false, true), scenes);
    act(
        &mut screen,
        &[Action::ShowPage(Page::Flows), Action::First, Action::Open],
    );
    let text = drawn(&mut screen, 120, 40);
    insta::assert_snapshot!("detail_health_120x40", text);
    for words in [
        "rtt        12.3 ms ± 678 µs",
        "retransmit 42 segments; 3 now thought lost",
        "congestion 10 segments of 1448 B: 14.1 KiB",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn the_health_of_connections_has_columns_that_sort() {
    let scenes = (1..=20).map(healthy).collect();
    let mut screen = screen_with(options(false, true), scenes);
    screen.act(Action::ShowPage(Page::Flows));
    let text = drawn(&mut screen, 200, 50);
    insta::assert_snapshot!("flows_health_200x50", text);
    let titles = text.lines().position(|line| line.contains("RTT")).unwrap();
    for (column, wanted) in [("RTT", ["12.3 ms", "85 µs"]), ("RETR", ["42", "1"])] {
        let line = text.lines().nth(titles).unwrap();
        let x = line.find(column).unwrap();
        let x = line[..x].chars().count() as u16;
        screen.act(Action::Click(x, titles as u16));
        let sorted = drawn(&mut screen, 200, 50);
        assert!(sorted.contains(&format!("▼{column}")), "{sorted}");
        let rows: Vec<&str> = sorted.lines().skip(titles + 1).collect();
        for (row, wanted) in rows.iter().zip(wanted) {
            assert!(row.contains(&format!(" {wanted} ")), "{wanted} {row}");
        }
    }
    // Nobody asked: no columns.
    let scenes = vec![fixture::scene(1, false)];
    let mut untold = screen_with(options(false, true), scenes);
    untold.act(Action::ShowPage(Page::Flows));
    assert!(!drawn(&mut untold, 250, 50).contains("RTT"));
}

fn estimated() -> Screen {
    let mut snapshot = fixture::scene(1, false);
    snapshot.engine = Arc::new(Engine::new(
        "packet",
        "packets of all interfaces, owners from the socket tables",
        &["who sent what before netmon looked"],
    ));
    let mut nobody = fixture::process(
        0,
        "<unattributed>",
        "its process ended before it could be looked up",
        0,
        "root",
        0,
    );
    nobody.id.start_ns = 0;
    snapshot.processes.push(nobody);
    let place = snapshot.processes.len() - 1;
    fixture::add_flow(
        &mut snapshot,
        place,
        Protocol::Tcp,
        (
            fixture::v4([10, 0, 0, 5], 40_000),
            fixture::v4([192, 0, 2, 1], 25),
        ),
        fixture::totals(1 << 33, 900),
        fixture::rates(9.0 * fixture::MIB, 10.0),
    );
    screen_with(options(false, true), vec![snapshot])
}

#[test]
fn an_engine_that_estimates_says_so() {
    let mut screen = estimated();
    let text = drawn(&mut screen, 200, 50);
    insta::assert_snapshot!("estimated_200x50", text);
    insta::assert_snapshot!("estimated_80x24", drawn(&mut screen, 80, 24));
    assert!(drawn(&mut screen, 40, 12).contains(" ESTIMATED "));
    let row = text.lines().find(|line| line.contains("<unattributed>"));
    let row = row.unwrap();
    assert!(
        row.contains("its process ended") && !row.contains("root"),
        "{row}"
    );
    assert!(row.trim_start().starts_with("<unattributed>"), "{row}");
    act(&mut screen, &[Action::First, Action::Open]);
    let text = drawn(&mut screen, 80, 24);
    assert!(text.contains(" <unattributed> ─"), "{text}");
    assert!(
        text.contains("why        its process ended before"),
        "{text}"
    );
    assert!(
        !text.contains("pid 0") && !text.contains("started"),
        "{text}"
    );
    act(&mut screen, &[Action::Back, Action::ToggleHelp]);
    let help = drawn(&mut screen, 120, 40);
    assert!(help.contains("ESTIMATED: packets are counted"), "{help}");
    let mut certain = screen_with(options(false, true), vec![fixture::scene(1, false)]);
    assert!(!drawn(&mut certain, 200, 50).contains("ESTIMATED"));
}
