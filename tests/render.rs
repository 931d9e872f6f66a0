//! What the screen looks like, as text: every size, character set and state.
//!
//! Drawn into memory through the same code as in a terminal. Attributes that
//! carry meaning (reversed rows) are asserted beside the text.

#[path = "support/fixture.rs"]
mod fixture;

use std::sync::Arc;
use std::time::Duration;

use netmon::feed::Feed;
use netmon::model::filter::Filter;
use netmon::model::flow::Protocol;
use netmon::model::snapshot::{Balance, Loss, Snapshot};
use netmon::tui::Options;
use netmon::tui::keys::Action;
use netmon::tui::screen::{Effect, Screen};
use netmon::tui::state::RowId;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

const INTERVAL: Duration = Duration::from_millis(500);

fn options(ascii: bool, color: bool) -> Options {
    Options {
        filter: Filter::default(),
        ascii,
        color,
    }
}

/// A screen that has seen `snapshots`.
fn screen_with(options: Options, snapshots: Vec<Snapshot>) -> Screen {
    let mut screen = Screen::new(options, INTERVAL);
    for snapshot in snapshots {
        screen.take(Arc::new(snapshot));
    }
    screen
}

/// A screen after ten seconds of the small scene.
fn screen() -> Screen {
    let scenes = (1..=20).map(|n| fixture::scene(n, false)).collect();
    screen_with(options(false, true), scenes)
}

fn buffer(screen: &mut Screen, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| screen.draw(frame.buffer_mut()))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as lines without the blanks at their ends.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut text = String::new();
    for line in buffer.content.chunks(width) {
        let mut hidden = 0;
        let mut shown = String::new();
        for cell in line {
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            hidden = unicode_width::UnicodeWidthStr::width(cell.symbol()).saturating_sub(1);
            shown.push_str(cell.symbol());
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    text(&buffer(screen, width, height))
}

fn act(screen: &mut Screen, actions: &[Action]) {
    for action in actions {
        screen.act(*action);
    }
}

fn type_text(screen: &mut Screen, text: &str) {
    screen.act(Action::EditFilter);
    for character in text.chars() {
        screen.act(Action::Type(character));
    }
}

#[test]
fn processes_at_all_sizes() {
    insta::assert_snapshot!("processes_200x50", drawn(&mut screen(), 200, 50));
    insta::assert_snapshot!("processes_80x24", drawn(&mut screen(), 80, 24));
    insta::assert_snapshot!("processes_40x12", drawn(&mut screen(), 40, 12));
    insta::assert_snapshot!("processes_20x5", drawn(&mut screen(), 20, 5));
}

#[test]
fn flows_at_all_sizes() {
    let mut screen = screen();
    screen.act(Action::TurnPage);
    insta::assert_snapshot!("flows_200x50", drawn(&mut screen, 200, 50));
    insta::assert_snapshot!("flows_120x30", drawn(&mut screen, 120, 30));
    insta::assert_snapshot!("flows_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("flows_40x12", drawn(&mut screen, 40, 12));
}

#[test]
fn ascii_terminals_get_ascii_only() {
    let scenes = (1..=20).map(|n| fixture::scene(n, n == 20)).collect();
    let mut screen = screen_with(options(true, false), scenes);
    let table = drawn(&mut screen, 80, 24);
    screen.act(Action::Open);
    let details = drawn(&mut screen, 80, 24);
    screen.act(Action::ToggleHelp);
    let help = drawn(&mut screen, 80, 24);
    for text in [&table, &details, &help] {
        assert!(text.is_ascii(), "{text}");
    }
    insta::assert_snapshot!("ascii_80x24", table);
    insta::assert_snapshot!("ascii_detail_80x24", details);
}

#[test]
fn without_colours_there_are_none() {
    let mut screen = screen_with(options(false, false), vec![fixture::scene(1, true)]);
    act(&mut screen, &[Action::First, Action::Move(1)]);
    for actions in [
        &[][..],
        &[Action::ToggleFreeze, Action::Open],
        &[Action::ToggleHelp],
    ] {
        act(&mut screen, actions);
        let buffer = buffer(&mut screen, 100, 30);
        let is_plain =
            |cell: &ratatui::buffer::Cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset);
        assert!(buffer.content.iter().all(is_plain));
    }
    act(&mut screen, &[Action::ToggleHelp, Action::Back]);
    insta::assert_snapshot!("no_color_100x30", drawn(&mut screen, 100, 30));
}

#[test]
fn rows_above_the_threshold_are_reversed_and_marked() {
    for color in [true, false] {
        let mut screen = screen_with(options(false, color), vec![fixture::scene(1, true)]);
        let buffer = buffer(&mut screen, 80, 24);
        let lines = text(&buffer);
        let y = lines
            .lines()
            .position(|line| line.contains("4242"))
            .unwrap() as u16;
        assert!(lines.lines().nth(y.into()).unwrap().starts_with(" !"));
        for x in 1..80 {
            assert!(buffer[(x, y)].modifier.contains(Modifier::REVERSED), "{x}");
        }
        assert!(!buffer[(5, y + 1)].modifier.contains(Modifier::REVERSED));
        assert!(lines.contains("⚠ ALERT 1 flow above 10.0 MiB/s: curl"));
        assert!(!lines.contains("No anomalies"));
    }
}

#[test]
fn an_alert() {
    let mut screen = screen_with(options(false, true), vec![fixture::scene(1, true)]);
    insta::assert_snapshot!("alert_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("alert_40x12", drawn(&mut screen, 40, 12));
}

#[test]
fn the_filter_is_live_while_it_is_edited() {
    let mut screen = screen();
    type_text(&mut screen, "fire");
    insta::assert_snapshot!("filter_editing_80x24", drawn(&mut screen, 80, 24));
    screen.act(Action::KeepFilter);
    assert!(drawn(&mut screen, 80, 24).contains(" /fire "));
    type_text(&mut screen, "zzz");
    insta::assert_snapshot!("filter_nothing_80x24", drawn(&mut screen, 80, 24));
    screen.act(Action::ClearFilter);
    assert!(drawn(&mut screen, 80, 24).contains("curl"));
}

#[test]
fn filters_find_addresses_ports_and_protocols() {
    for (filter, found, hidden) in [
        ("93.184.216.34", "curl", "sshd"),
        ("60022", "sshd", "curl"),
        ("icmp", "ping", "curl"),
        ("655", "systemd-r", "curl"),
    ] {
        let mut screen = screen();
        type_text(&mut screen, filter);
        let text = drawn(&mut screen, 120, 30);
        assert!(
            text.contains(found) && !text.contains(hidden),
            "{filter}: {text}"
        );
    }
}

#[test]
fn help_covers_the_screen() {
    let mut screen = screen();
    screen.act(Action::ToggleHelp);
    insta::assert_snapshot!("help_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("help_40x12", drawn(&mut screen, 40, 12));
}

#[test]
fn details_of_process_flow_and_sum() {
    let mut screen = screen();
    type_text(&mut screen, "firefox");
    act(&mut screen, &[Action::KeepFilter, Action::Open]);
    insta::assert_snapshot!("detail_120x40", drawn(&mut screen, 120, 40));
    insta::assert_snapshot!("detail_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("detail_40x12", drawn(&mut screen, 40, 12));
    act(
        &mut screen,
        &[Action::Back, Action::TurnPage, Action::First, Action::Open],
    );
    insta::assert_snapshot!("detail_flow_80x24", drawn(&mut screen, 80, 24));
    act(
        &mut screen,
        &[Action::Back, Action::ClearFilter, Action::TurnPage],
    );
    type_text(&mut screen, "[kernel]");
    act(
        &mut screen,
        &[Action::KeepFilter, Action::First, Action::Open],
    );
    assert!(drawn(&mut screen, 80, 24).contains("bytes that kernel threads moved"));
}

#[test]
fn details_outlive_their_row() {
    let mut screen = screen();
    act(&mut screen, &[Action::First, Action::Open]);
    let mut later = fixture::scene(21, false);
    later.processes.remove(0);
    later.flows.remove(0);
    for flow in &mut later.flows {
        flow.process -= 1;
    }
    screen.take(Arc::new(later));
    let text = drawn(&mut screen, 80, 24);
    assert!(text.contains("no longer listed"), "{text}");
    assert!(text.contains("large-disk-image.iso"), "{text}");
}

#[test]
fn before_the_first_snapshot_it_says_what_it_waits_for() {
    let mut screen = Screen::new(options(false, true), INTERVAL);
    insta::assert_snapshot!("waiting_80x24", drawn(&mut screen, 80, 24));
    // No key may need data.
    let actions = [
        Action::First,
        Action::Open,
        Action::ToggleFreeze,
        Action::Last,
        Action::TurnPage,
        Action::Click(5, 5),
        Action::Scroll(3),
        Action::Back,
    ];
    act(&mut screen, &actions);
    drawn(&mut screen, 80, 24);
    screen.take(Arc::new(fixture::scene(1, false)));
    assert!(drawn(&mut screen, 80, 24).contains("curl"));
}

#[test]
fn no_traffic_yet() {
    let mut screen = screen_with(options(false, true), vec![fixture::quiet(1)]);
    insta::assert_snapshot!("quiet_80x24", drawn(&mut screen, 80, 24));
}

#[test]
fn losses_and_wrong_books_are_warned_of() {
    let mut snapshot = fixture::scene(1, false);
    snapshot.loss = Loss {
        untracked_flow_bytes: 12_288,
        missed_events: 3,
        unknown_peer_bytes: 2_048,
    };
    snapshot.balance = Balance {
        flows: 90,
        processes: 100,
        totals: 100,
        settled: 100,
        lost: 0,
    };
    let mut screen = screen_with(options(false, true), vec![snapshot]);
    insta::assert_snapshot!("losses_120x30", drawn(&mut screen, 120, 30));
    for (width, height) in [(80, 24), (40, 12)] {
        let text = drawn(&mut screen, width, height);
        assert!(text.contains("books off by 10 B"), "{text}");
    }
    let mut snapshot = fixture::scene(1, false);
    snapshot.loss.unknown_peer_bytes = 2_048;
    let mut screen = screen_with(options(false, true), vec![snapshot]);
    let text = drawn(&mut screen, 120, 30);
    assert!(text.contains("2.0 KiB with unknown peers") && !text.contains('⚠'));
}

#[test]
fn a_frozen_screen_says_so_and_stays() {
    let mut screen = screen();
    screen.act(Action::ToggleFreeze);
    let before = drawn(&mut screen, 80, 24);
    assert!(before.contains("FROZEN"));
    screen.take(Arc::new(fixture::scene(21, true)));
    assert!(!screen.is_dirty());
    assert_eq!(drawn(&mut screen, 80, 24), before);
    for (width, height) in [(40, 12), (20, 5)] {
        assert!(drawn(&mut screen, width, height).contains("FROZEN"));
    }
    screen.act(Action::ToggleFreeze);
    assert!(drawn(&mut screen, 80, 24).contains("ALERT"));
}

#[test]
fn the_selection_sticks_to_its_row() {
    let mut screen = screen();
    drawn(&mut screen, 80, 24);
    assert_eq!(screen.selected(), None);
    act(&mut screen, &[Action::Move(1), Action::Move(1)]);
    let selected = screen.selected();
    let Some(RowId::Process(id)) = selected else {
        panic!("{selected:?}");
    };
    for action in [
        Action::Reverse,
        Action::SortNeighbour(1),
        Action::SortNeighbour(-1),
    ] {
        screen.act(action);
        assert_eq!(screen.selected(), selected);
        let text = drawn(&mut screen, 80, 24);
        let line = text.lines().find(|line| line.starts_with('▸')).unwrap();
        assert!(line.contains(&id.pid.to_string()), "{line}");
    }
    // The row goes; the selection stays near.
    let place = screen.view().unwrap().place_of(selected.unwrap()).unwrap();
    let mut later = fixture::scene(21, false);
    let index = later.processes.iter().position(|row| row.id == id).unwrap();
    later.flows.retain(|flow| flow.process != index);
    later.processes.remove(index);
    for flow in &mut later.flows {
        flow.process -= usize::from(flow.process > index);
    }
    screen.take(Arc::new(later));
    let view = screen.view().unwrap();
    let now = view.place_of(screen.selected().unwrap()).unwrap();
    assert_eq!(now, place.min(view.rows.len() - 1));
}

#[test]
fn idle_rows_keep_their_places() {
    let idle = |sequence| {
        let mut snapshot = fixture::many(sequence, 500);
        for row in &mut snapshot.processes {
            row.rates = fixture::rates(0.0, 0.0);
            row.totals = fixture::totals(u64::from(row.id.pid % 3), 0);
        }
        if sequence % 2 == 0 {
            snapshot.processes.reverse();
            for flow in &mut snapshot.flows {
                flow.process = 99 - flow.process;
            }
        }
        snapshot
    };
    let order = |screen: &Screen| {
        let view = screen.view().unwrap();
        view.rows
            .iter()
            .map(|row| view.id(*row))
            .collect::<Vec<_>>()
    };
    let mut screen = screen_with(options(false, true), vec![idle(1)]);
    let before = order(&screen);
    screen.take(Arc::new(idle(2)));
    assert_eq!(order(&screen), before);
    screen.act(Action::Reverse);
    assert_eq!(order(&screen), before, "ties are broken the same way");
}

#[test]
fn the_mouse_selects_scrolls_and_sorts() {
    let many = || vec![fixture::many(1, 2_000)];
    let mut screen = screen_with(options(false, true), many());
    screen.act(Action::TurnPage);
    drawn(&mut screen, 120, 40);
    screen.act(Action::Scroll(30));
    let text = drawn(&mut screen, 120, 40);
    assert!(text.contains("31-"), "{text}");
    let body = text
        .lines()
        .position(|line| line.contains("REMOTE"))
        .unwrap() as u16
        + 1;
    screen.act(Action::Click(30, body + 2));
    let selected = screen.selected().unwrap();
    assert_eq!(screen.view().unwrap().place_of(selected), Some(32));
    // The wheel leaves the selection alone.
    screen.act(Action::Scroll(-30));
    assert!(drawn(&mut screen, 120, 40).contains("1-"));
    assert_eq!(screen.selected(), Some(selected));
    // A click on a title sorts by it, another reverses.
    let pid = text
        .lines()
        .nth(usize::from(body) - 1)
        .unwrap()
        .find("PID")
        .unwrap() as u16;
    let first_pid = |screen: &mut Screen| {
        let view = screen.view().unwrap();
        match view.id_at(0) {
            Some(RowId::Flow(key)) => key.process.pid,
            other => panic!("{other:?}"),
        }
    };
    screen.act(Action::Click(pid, body - 1));
    assert_eq!(first_pid(&mut screen), 1000);
    screen.act(Action::Click(pid, body - 1));
    assert_eq!(first_pid(&mut screen), 1099);
}

#[test]
fn every_column_sorts_all_rows() {
    let mut screen = screen_with(options(false, true), vec![fixture::many(1, 1_000)]);
    for _ in 0..2 {
        for _ in 0..12 {
            screen.act(Action::SortNeighbour(1));
            let view = screen.view().unwrap();
            assert_eq!(view.rows.len(), view.unfiltered());
        }
        screen.act(Action::TurnPage);
    }
}

#[test]
fn bits_and_intervals() {
    let mut screen = screen();
    screen.act(Action::ToggleUnit);
    assert!(drawn(&mut screen, 80, 24).contains("Mbit/s"));
    let longer = screen.act(Action::StepInterval(1));
    assert_eq!(longer, Effect::SetInterval(Duration::from_secs(1)));
    assert!(drawn(&mut screen, 80, 24).contains("every 1 s"));
}

#[test]
fn hostile_names_reach_no_terminal() {
    let mut screen = screen();
    let hostile = |screen: &mut Screen| {
        for (width, height) in [(200, 50), (80, 24)] {
            let buffer = buffer(screen, width, height);
            for cell in &buffer.content {
                assert!(!cell.symbol().contains(char::is_control));
            }
        }
    };
    hostile(&mut screen);
    type_text(&mut screen, "evil");
    act(&mut screen, &[Action::KeepFilter, Action::Open]);
    hostile(&mut screen);
}

#[test]
fn no_size_panics() {
    let mut snapshot = fixture::scene(20, true);
    snapshot.loss.missed_events = 1;
    fixture::add_flow(
        &mut snapshot,
        1,
        Protocol::Vsock,
        (None, None),
        fixture::totals(u64::MAX / 4, 1),
        fixture::rates(f64::MAX / 4.0, 0.0),
    );
    for ascii in [false, true] {
        for width in 1..=30 {
            for height in 1..=12 {
                every_state(&snapshot, ascii, width, height);
            }
        }
        for (width, height) in [(31, 10), (60, 20), (100, 30), (20, 5), (300, 100), (500, 1)] {
            every_state(&snapshot, ascii, width, height);
        }
    }
}

fn every_state(snapshot: &Snapshot, ascii: bool, width: u16, height: u16) {
    let mut screen = Screen::new(options(ascii, true), INTERVAL);
    drawn(&mut screen, width, height);
    screen.take(Arc::new(snapshot.clone()));
    for actions in [
        &[][..],
        &[Action::Last],
        &[Action::TurnPage, Action::MovePages(1)],
        &[Action::Open],
        &[Action::MovePages(1), Action::ToggleHelp],
        &[Action::ToggleHelp, Action::Back, Action::ToggleFreeze],
        &[Action::EditFilter, Action::Type('漢'), Action::Type('x')],
        &[Action::KeepFilter, Action::Click(0, 0), Action::Click(3, 2)],
    ] {
        act(&mut screen, actions);
        drawn(&mut screen, width, height);
    }
}

#[test]
fn a_quiet_tick_draws_nothing_and_an_end_is_told() {
    let feed = Feed::new(INTERVAL);
    let mut screen = Screen::new(options(false, true), INTERVAL);
    drawn(&mut screen, 80, 24);
    assert!(screen.tick(&feed).is_none() && !screen.is_dirty());
    feed.publish(Arc::new(fixture::scene(1, false)));
    assert!(screen.tick(&feed).is_none() && screen.is_dirty());
    drawn(&mut screen, 80, 24);
    assert!(screen.tick(&feed).is_none() && !screen.is_dirty());
    feed.end(Some("no more".to_string()));
    assert_eq!(screen.tick(&feed), Some(Some("no more".to_string())));
}
