//! Whole screens, compared with what they looked like before.

use std::sync::Arc;

use netmon::model::snapshot::{Balance, Loss};
use netmon::tui::keys::Action;
use netmon::tui::screen::Screen;
use netmon::tui::state::Page;
use ratatui::style::Color;

use crate::{INTERVAL, act, buffer, drawn, fixture, options, screen, screen_with, type_text};

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
fn help_covers_the_screen() {
    let mut screen = screen();
    // As long as this text gets.
    let mut scene = fixture::scene(21, false);
    Arc::make_mut(&mut scene.engine).blind_spots = [
        "AF_PACKET receive rings and AF_XDP",
        "io_uring zero-copy receive from TCP",
        "peers of unconnected datagrams of io_uring and 32-bit processes",
    ]
    .map(str::to_owned)
    .into();
    screen.take(Arc::new(scene));
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
        &[
            Action::Back,
            Action::ClearFilter,
            Action::ShowPage(Page::Processes),
        ],
    );
    type_text(&mut screen, "[kernel]");
    act(
        &mut screen,
        &[Action::KeepFilter, Action::First, Action::Open],
    );
    assert!(drawn(&mut screen, 80, 24).contains("bytes that kernel threads moved"));
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
