//! The page of interfaces: every size, what keys and mouse do, what comes and goes.

use std::sync::Arc;

use netmon::model::interface::Interface;
use netmon::model::snapshot::Snapshot;
use netmon::tui::elsewhere::Elsewhere;
use netmon::tui::keys::Action;
use netmon::tui::screen::Screen;
use netmon::tui::state::{Page, RowId};

use crate::{INTERVAL, act, drawn, fixture, options, screen_with, type_text, wired};

/// A minute of the wired scene, on the third page.
fn page(ascii: bool) -> Screen {
    let scenes = (1..=130).map(wired::wired).collect();
    let mut screen = screen_with(options(ascii, !ascii), scenes);
    screen.act(Action::ShowPage(Page::Interfaces));
    screen
}

fn with(interfaces: Vec<Interface>) -> Screen {
    let scenes = (1..=20).map(|sequence| Snapshot {
        interfaces: interfaces.clone(),
        ..fixture::scene(sequence, false)
    });
    let mut screen = screen_with(options(false, true), scenes.collect());
    screen.act(Action::ShowPage(Page::Interfaces));
    screen
}

fn many(count: u32) -> Screen {
    with(
        (1..=count)
            .map(|n| wired::interface(n, &format!("veth{n:03}"), f64::from(n) * 900.0, 5_000.0, 60))
            .collect(),
    )
}

#[test]
fn interfaces_at_all_sizes() {
    let mut screen = page(false);
    insta::assert_snapshot!("interfaces_200x50", drawn(&mut screen, 200, 50));
    insta::assert_snapshot!("interfaces_110x24", drawn(&mut screen, 110, 24));
    insta::assert_snapshot!("interfaces_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("interfaces_40x12", drawn(&mut screen, 40, 12));
    insta::assert_snapshot!("interfaces_20x5", drawn(&mut screen, 20, 5));
}

#[test]
fn details_of_an_interface_at_all_sizes() {
    let mut screen = page(false);
    act(&mut screen, &[Action::First, Action::Open]);
    insta::assert_snapshot!("interface_detail_200x50", drawn(&mut screen, 200, 50));
    insta::assert_snapshot!("interface_detail_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("interface_detail_40x12", drawn(&mut screen, 40, 12));
    // The table scrolls to its end, and not beyond.
    screen.act(Action::Move(20));
    let text = drawn(&mut screen, 80, 24);
    assert!(text.contains(" not IP "), "{text}");
    // One that is not sampled says how it would be.
    act(&mut screen, &[Action::Back, Action::Move(1), Action::Open]);
    insta::assert_snapshot!("interface_unsampled_80x24", drawn(&mut screen, 80, 24));
}

#[test]
fn ascii_terminals_get_ascii_graphs() {
    let mut screen = page(true);
    let page = drawn(&mut screen, 80, 24);
    act(&mut screen, &[Action::First, Action::Open]);
    let details = drawn(&mut screen, 80, 24);
    assert!(page.is_ascii() && details.is_ascii(), "{page}{details}");
    insta::assert_snapshot!("interfaces_ascii_80x24", page);
    insta::assert_snapshot!("interface_detail_ascii_80x24", details);
}

#[test]
fn no_interfaces_are_explained() {
    let mut screen = with(Vec::new());
    insta::assert_snapshot!("interfaces_none_80x24", drawn(&mut screen, 80, 24));
    let elsewhere = Arc::new(Elsewhere::new("web1", 9600));
    let mut there = Screen::new(options(false, true), INTERVAL).with_elsewhere(elsewhere);
    there.take(Arc::new(fixture::scene(1, false)));
    there.act(Action::ShowPage(Page::Interfaces));
    let text = drawn(&mut there, 80, 24);
    assert!(
        text.contains("web1:9600 does not tell of its interfaces"),
        "{text}"
    );
}

#[test]
fn many_interfaces_scroll() {
    let mut screen = many(40);
    let text = drawn(&mut screen, 80, 24);
    assert!(
        text.contains("  veth040") && text.contains("1-16 of 40"),
        "{text}"
    );
    screen.act(Action::Last);
    let text = drawn(&mut screen, 80, 24);
    assert!(
        text.contains("▸ veth001") && text.contains("-40 of 40"),
        "{text}"
    );
    // Each one is seen on the way up.
    for n in 2..=40 {
        screen.act(Action::Move(-1));
        let text = drawn(&mut screen, 80, 24);
        assert!(text.contains(&format!("▸ veth{n:03}")), "{n} {text}");
    }
    // A screen down starts with the one after the last.
    screen.act(Action::MovePages(1));
    assert_eq!(screen.selected(), Some(RowId::Interface(24)));
}

/// Many, as on a machine with containers: a few busy ones, sampled.
fn crowd() -> Screen {
    let rows = (1..=83).map(|n| {
        let rate = match n % 9 {
            0 => f64::from(n) * 1e5,
            1..=5 => f64::from(n) * 31.0,
            _ => 0.0,
        };
        let seconds = if n > 80 { 0 } else { 60 };
        let mut row = wired::interface(
            n,
            &format!("veth{:x}", n * 104_729),
            rate,
            rate / 7.0,
            seconds,
        );
        if n % 2 == 0 {
            wired::sample(&mut row, [0.6, 0.38, 0.001, 0.0, 0.019, 0.05, 0.3]);
        }
        row
    });
    with(rows.collect())
}

#[test]
fn interfaces_that_do_not_fit_have_a_line_each() {
    let mut screen = crowd();
    insta::assert_snapshot!("interfaces_crowd_200x50", drawn(&mut screen, 200, 50));
    insta::assert_snapshot!("interfaces_crowd_110x30", drawn(&mut screen, 110, 30));
    insta::assert_snapshot!("interfaces_crowd_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("interfaces_crowd_40x12", drawn(&mut screen, 40, 12));
}

#[test]
fn many_are_sorted_by_rate_until_somebody_chooses() {
    let mut screen = many(9);
    let first = |screen: &Screen| screen.view().and_then(|view| view.id_at(0));
    for (height, order, id) in [
        (24, "by rate▼", 9),
        (50, "by index▲", 1),
        (24, "by rate▼", 9),
    ] {
        let text = drawn(&mut screen, 80, height);
        assert!(text.contains(order), "{height} {text}");
        assert_eq!(first(&screen), Some(RowId::Interface(id)));
    }
    screen.act(Action::SortNeighbour(1));
    for height in [24, 50] {
        let text = drawn(&mut screen, 80, height);
        assert!(text.contains("by total▼"), "{height} {text}");
    }
}

#[test]
fn blocks_keep_their_places_while_rates_change() {
    let names = |screen: &Screen| -> Vec<_> {
        let view = screen.view().unwrap();
        view.rows.iter().map(|row| view.id(*row)).collect()
    };
    let mut screen = page(false);
    let before = names(&screen);
    let order = [2, 3, 1, 4, 7].map(|index| Some(RowId::Interface(index)));
    assert_eq!(before, order);
    for sequence in 131..200 {
        screen.take(Arc::new(wired::wired(sequence)));
        assert_eq!(names(&screen), before);
    }
    // Who wants the busiest first can have it; idle ones stay last.
    drawn(&mut screen, 80, 24);
    screen.act(Action::SortNeighbour(1));
    assert_eq!(names(&screen)[0], Some(RowId::Interface(2)));
    act(&mut screen, &[Action::Reverse]);
    let reversed = names(&screen);
    assert_eq!(reversed[3..], before[3..]);
    assert_ne!(reversed[0], Some(RowId::Interface(2)));
    assert!(drawn(&mut screen, 80, 24).contains("by rate▲"));
}

#[test]
fn keys_and_mouse_reach_each_page() {
    let mut screen = page(false);
    let text = drawn(&mut screen, 80, 24);
    let footer = text.lines().last().unwrap();
    assert!(
        footer.starts_with(" 1 processes  2 flows  3 interfaces  q quit"),
        "{footer}"
    );
    for (word, page) in [
        ("1 processes", Page::Processes),
        ("2 flows", Page::Flows),
        ("3 interfaces", Page::Interfaces),
    ] {
        let x = footer.find(word).unwrap() as u16;
        screen.act(Action::Click(x + 3, 23));
        assert_eq!(screen.state().page, page);
    }
    screen.act(Action::TurnPage);
    assert_eq!(screen.state().page, Page::Processes);
    screen.act(Action::TurnPageBack);
    assert_eq!(screen.state().page, Page::Interfaces);
    // From the details, too.
    act(&mut screen, &[Action::First, Action::Open]);
    assert!(drawn(&mut screen, 80, 24).contains("eth0 (index 2)"));
    screen.act(Action::ShowPage(Page::Flows));
    assert!(drawn(&mut screen, 80, 24).contains("REMOTE"));
}

#[test]
fn a_click_selects_a_block_and_a_title_sorts() {
    let mut screen = page(false);
    let text = drawn(&mut screen, 80, 24);
    let line = |word: &str| text.lines().position(|line| line.contains(word)).unwrap() as u16;
    screen.act(Action::Click(20, line("wlan0") + 1));
    assert_eq!(screen.selected(), Some(RowId::Interface(3)));
    screen.act(Action::Click(5, line("tun0")));
    assert_eq!(screen.selected(), Some(RowId::Interface(4)));
    let titles = line("by index");
    screen.act(Action::Click(14, titles));
    assert!(drawn(&mut screen, 80, 24).contains("by rate▼"));
}

#[test]
fn the_filter_of_interfaces_is_their_own() {
    let mut screen = page(false);
    type_text(&mut screen, "LAN");
    screen.act(Action::KeepFilter);
    let text = drawn(&mut screen, 110, 24);
    assert!(
        text.contains("wlan0") && !text.contains("avg 10.1"),
        "{text}"
    );
    screen.act(Action::ShowPage(Page::Processes));
    assert!(drawn(&mut screen, 110, 24).contains("curl"));
    screen.act(Action::ShowPage(Page::Interfaces));
    type_text(&mut screen, "x");
    let text = drawn(&mut screen, 110, 24);
    assert!(text.contains("No interface matches 'LANx'"), "{text}");
}

#[test]
fn frozen_interfaces_stand_still() {
    let mut screen = page(false);
    screen.act(Action::ToggleFreeze);
    let before = drawn(&mut screen, 80, 24);
    assert!(before.contains("FROZEN"));
    for sequence in 131..140 {
        screen.take(Arc::new(wired::wired(sequence)));
    }
    assert!(!screen.is_dirty());
    assert_eq!(drawn(&mut screen, 80, 24), before);
    // There and back again: still the same minute.
    screen.act(Action::ShowPage(Page::Flows));
    screen.act(Action::ShowPage(Page::Interfaces));
    assert_eq!(drawn(&mut screen, 80, 24), before);
    screen.act(Action::ToggleFreeze);
    assert_ne!(drawn(&mut screen, 80, 24), before);
}

#[test]
fn an_interface_that_goes_leaves_its_details() {
    let mut screen = page(false);
    act(&mut screen, &[Action::First, Action::Move(1), Action::Open]);
    let mut later = wired::wired(131);
    later.interfaces.retain(|row| &*row.name != "wlan0");
    screen.take(Arc::new(later));
    let text = drawn(&mut screen, 80, 24);
    assert!(
        text.contains("wlan0 (index 3)") && text.contains("no longer listed"),
        "{text}"
    );
    screen.act(Action::Back);
    let text = drawn(&mut screen, 80, 24);
    assert!(!text.contains("wlan0") && text.contains("▸ lo"), "{text}");
}

#[test]
fn an_interface_that_moves_a_first_packet_gets_its_block() {
    let mut screen = page(false);
    assert!(drawn(&mut screen, 200, 50).contains("tun0        idle"));
    let mut later = wired::wired(131);
    later.interfaces[3] = wired::interface(4, "tun0", 60.0, 0.0, 1);
    screen.take(Arc::new(later));
    let text = drawn(&mut screen, 200, 50);
    assert!(
        !text.contains("tun0 idle") && !text.contains("tun0        idle"),
        "{text}"
    );
}

#[test]
fn no_size_breaks_the_page() {
    let mut hostile = wired::interface(9, "e\u{1b}[2J漢", f64::MAX / 4.0, f64::NAN, 3);
    wired::sample(&mut hostile, [1.0; 7]);
    let mut all = wired::wired(1).interfaces;
    all.push(hostile);
    let mut screens = [with(all), with(Vec::new()), many(30)];
    for screen in &mut screens {
        for (width, height) in (1..=70).flat_map(|w| (1..=14).map(move |h| (w, h * 2 - 1))) {
            for actions in [
                &[Action::Last][..],
                &[Action::Open, Action::Move(9)],
                &[
                    Action::Back,
                    Action::First,
                    Action::Click(3, 3),
                    Action::MovePages(1),
                ],
            ] {
                act(screen, actions);
                let text = drawn(screen, width, height);
                assert!(!text.replace('\n', "").contains(char::is_control));
            }
        }
    }
}
