//! What keys, clicks and new snapshots do to a screen, whatever else is on it.

use std::sync::Arc;
use std::time::Duration;

use netmon::feed::Feed;
use netmon::model::flow::Protocol;
use netmon::model::snapshot::Snapshot;
use netmon::tui::keys::Action;
use netmon::tui::screen::{Effect, Screen};
use netmon::tui::state::RowId;
use ratatui::style::Modifier;

use crate::{INTERVAL, act, buffer, drawn, fixture, options, screen, screen_with, text, type_text};

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
