//! Other times and places: the stored past, and a machine that is out of reach.
//!
//! The past is one that the test made up, in memory; the real one is stepped through in
//! `terminal`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use jiff::tz::{self, TimeZone};
use netmon::model::flow::Protocol;
use netmon::model::sample::Moment;
use netmon::model::snapshot::Snapshot;
use netmon::tui::elsewhere::{Elsewhere, Lost};
use netmon::tui::keys::Action;
use netmon::tui::past::{Past, Step};
use netmon::tui::screen::Screen;
use netmon::tui::state::Page;
use ratatui::style::Color;

use crate::{INTERVAL, act, buffer, drawn, fixture, options, screen, type_text, wired};

/// 2026-11-20 03:00:10 in a zone an hour ahead of UTC.
const THREE: u64 = 1_795_140_010;

/// Stretches of the past by their start, or none that can be read.
enum Made {
    Of(Vec<Arc<Snapshot>>),
    Broken,
}

impl Past for Made {
    fn before(&mut self, wall: Duration) -> anyhow::Result<Option<Arc<Snapshot>>> {
        let all = self.all()?.iter().rev();
        Ok(all.clone().find(|it| it.at.wall < wall).cloned())
    }

    fn after(&mut self, wall: Duration) -> anyhow::Result<Option<Arc<Snapshot>>> {
        let mut all = self.all()?.iter();
        Ok(all.find(|it| it.at.wall > wall).cloned())
    }
}

impl Made {
    fn all(&self) -> anyhow::Result<&[Arc<Snapshot>]> {
        match self {
            Made::Of(all) => Ok(all),
            Made::Broken => bail!("the history cannot be read: disk on fire"),
        }
    }
}

/// What a process of that name moved in the stretch from `start` on.
fn then(start: u64, length: u64, name: &str) -> Arc<Snapshot> {
    let mut then = fixture::quiet(1);
    let wall = Duration::from_secs(start);
    then.at = Moment {
        monotonic: wall,
        wall,
    };
    then.interval = Duration::from_secs(length);
    let mut process = fixture::process(77, name, "/usr/bin/restic", 0, "root", 0);
    process.id.start_ns = 3;
    then.processes = vec![process];
    let bytes = 1_048_576 * length;
    fixture::add_flow(
        &mut then,
        0,
        Protocol::Tcp,
        (None, fixture::v4([192, 0, 2, 9], 0)),
        fixture::totals(bytes, 0),
        fixture::rates(1_048_576.0, 0.0),
    );
    Arc::new(then)
}

/// A screen of the present with a past of some stretches, one of them two hours back.
fn with_past() -> Screen {
    let made = Made::Of(vec![
        then(THREE - 7_210, 60, "early"),
        then(THREE - 10, 10, "backup-a"),
        then(THREE, 10, "backup-b"),
        then(THREE + 30, 10, "backup-c"),
    ]);
    present(made, THREE + 35)
}

fn present(past: Made, now: u64) -> Screen {
    let mut screen = netmon::tui::screen::Screen::new(options(false, true), INTERVAL)
        .with_past(Box::new(past))
        .in_zone(TimeZone::fixed(tz::offset(1)));
    for sequence in 1..=20 {
        let mut scene = fixture::scene(sequence, false);
        scene.at.wall = Duration::from_secs(now);
        screen.take(Arc::new(scene));
    }
    screen
}

fn step(screen: &mut Screen, steps: &[Step]) -> String {
    for step in steps {
        screen.act(Action::Travel(*step));
    }
    drawn(screen, 120, 30)
}

#[test]
fn the_past_at_all_sizes() {
    let mut screen = with_past();
    step(&mut screen, &[Step::Back, Step::Back]);
    insta::assert_snapshot!("past_200x50", drawn(&mut screen, 200, 50));
    insta::assert_snapshot!("past_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("past_40x12", drawn(&mut screen, 40, 12));
    insta::assert_snapshot!("past_20x5", drawn(&mut screen, 20, 5));
    act(&mut screen, &[Action::First, Action::Open]);
    insta::assert_snapshot!("past_detail_80x24", drawn(&mut screen, 80, 24));
}

#[test]
fn steps_lead_back_and_forth_and_to_now() {
    let mut screen = with_past();
    for (steps, badge, row) in [
        (
            &[Step::Back][..],
            "PAST 2026-11-20 03:00:40, 10 s",
            "backup-c",
        ),
        (&[Step::Back], "PAST 2026-11-20 03:00:10, 10 s", "backup-b"),
        (&[Step::Back], "PAST 2026-11-20 03:00:00, 10 s", "backup-a"),
        (&[Step::Back], "PAST 2026-11-20 01:00:00, 1 min", "early"),
        (&[Step::Forth, Step::Forth], "03:00:10, 10 s", "backup-b"),
        (&[Step::HourBack], "01:00:00, 1 min", "early"),
        (&[Step::HourForth], "03:00:00, 10 s", "backup-a"),
    ] {
        let text = step(&mut screen, steps);
        assert!(text.contains(badge) && text.contains(row), "{badge} {text}");
        assert!(!text.contains("curl") && !text.contains("every"), "{text}");
    }
    // Beyond the newest is now, and so is the way there at once.
    for steps in [
        &[Step::HourForth][..],
        &[Step::Back, Step::Forth],
        &[Step::Back, Step::Now],
    ] {
        let text = step(&mut screen, steps);
        assert!(
            !text.contains("PAST") && text.contains("curl"),
            "{steps:?} {text}"
        );
    }
}

#[test]
fn the_ends_of_time_are_told() {
    let mut screen = with_past();
    let text = step(&mut screen, &[Step::Forth]);
    assert!(text.contains("this is now; [ steps back"), "{text}");
    let text = step(&mut screen, &[Step::Now]);
    assert!(!text.contains("this is now"), "{text}");
    // An hour is more than there is: the first of all, then nothing.
    let text = step(&mut screen, &[Step::HourBack, Step::HourBack]);
    assert!(text.contains("01:00:00, 1 min"), "{text}");
    for back in [Step::Back, Step::HourBack] {
        let text = step(&mut screen, &[back]);
        assert!(
            text.contains("nothing earlier") && text.contains("01:00:00"),
            "{text}"
        );
    }

    let mut empty = present(Made::Of(Vec::new()), THREE);
    let text = step(&mut empty, &[Step::Back]);
    assert!(
        text.contains("nothing earlier") && text.contains("curl"),
        "{text}"
    );
    let mut broken = present(Made::Broken, THREE);
    let text = step(&mut broken, &[Step::HourBack]);
    assert!(
        text.contains("disk on fire") && text.contains("curl"),
        "{text}"
    );
    let text = step(&mut screen_without_past(), &[Step::Back]);
    assert!(text.contains("no history: start with --db FILE"), "{text}");
    // Before the first reading there is nothing to step from.
    let mut early = Screen::new(options(false, true), INTERVAL).with_past(Box::new(Made::Broken));
    assert!(step(&mut early, &[Step::Back, Step::Now]).contains("Waiting"));
}

fn screen_without_past() -> Screen {
    let mut screen = screen();
    assert!(!drawn(&mut screen, 200, 50).contains("[ past"));
    screen
}

#[test]
fn the_present_goes_on_beside_the_past() {
    let mut screen = with_past();
    assert!(drawn(&mut screen, 200, 50).contains("[ past"));
    let before = step(&mut screen, &[Step::Back]);
    let mut busy = fixture::scene(21, true);
    busy.at.wall = Duration::from_secs(THREE + 36);
    screen.take(Arc::new(busy));
    assert!(!screen.is_dirty());
    assert_eq!(drawn(&mut screen, 120, 30), before);
    // It is held by itself.
    screen.act(Action::ToggleFreeze);
    let text = drawn(&mut screen, 120, 30);
    assert!(
        text.contains("stands still") && !text.contains("FROZEN"),
        "{text}"
    );
    let text = step(&mut screen, &[Step::Now]);
    assert!(text.contains("ALERT") && text.contains("curl"), "{text}");
    // From a frozen screen one steps back too, and comes back to a running one.
    screen.act(Action::ToggleFreeze);
    let text = step(&mut screen, &[Step::Back, Step::Now]);
    assert!(!text.contains("FROZEN") && text.contains("curl"), "{text}");
}

#[test]
fn filter_order_unit_and_details_work_in_the_past() {
    let mut screen = with_past();
    step(&mut screen, &[Step::Back, Step::Back]);
    type_text(&mut screen, "no such");
    assert!(drawn(&mut screen, 120, 30).contains("No process matches"));
    screen.act(Action::ClearFilter);
    act(
        &mut screen,
        &[Action::Reverse, Action::ToggleUnit, Action::TurnPage],
    );
    let text = drawn(&mut screen, 120, 30);
    assert!(
        text.contains("Mbit/s") && text.contains("192.0.2.9"),
        "{text}"
    );
    act(
        &mut screen,
        &[
            Action::ShowPage(Page::Processes),
            Action::First,
            Action::Open,
        ],
    );
    assert!(drawn(&mut screen, 120, 30).contains("backup-b (pid 77)"));
    // The same process a step earlier: its details go with the time.
    let text = step(&mut screen, &[Step::Back]);
    assert!(
        text.contains("backup-a (pid 77)") && text.contains("03:00:00"),
        "{text}"
    );
    assert!(text.contains(". now"), "{text}");
}

/// The interfaces of an hour, of its last ten seconds, of which one has no rows, and of
/// ten seconds that tell nothing of interfaces. None has the index it has now.
fn with_wired_past() -> Screen {
    let stretch = |start, length, names: &[&str]| {
        let mut then = Arc::unwrap_or_clone(then(start, length, "backup"));
        then.interfaces = wired::wired(60).interfaces;
        then.interfaces.retain(|row| names.contains(&&*row.name));
        for row in &mut then.interfaces {
            row.index = (1 << 31) + u32::from(row.name.as_bytes()[0]);
            row.uptime = then.interval;
            let moved = |rate: f64| (rate * then.interval.as_secs_f64()) as u64;
            row.totals = fixture::totals(moved(row.rates.tx), moved(row.rates.rx));
            if row.sampled.is_some() {
                wired::sample(row, [0.9, 0.08, 0.001, 0.0, 0.019, 0.05, 0.8]);
            }
        }
        Arc::new(then)
    };
    let mut screen = present(
        Made::Of(vec![
            stretch(THREE - 3_610, 3_600, &["lo", "eth0", "wlan0"]),
            stretch(THREE - 10, 10, &["lo", "wlan0"]),
            then(THREE, 10, "backup"),
        ]),
        THREE + 35,
    );
    let mut now = wired::wired(130);
    now.at.wall = Duration::from_secs(THREE + 36);
    screen.take(Arc::new(now));
    screen.act(Action::ShowPage(Page::Interfaces));
    screen
}

#[test]
fn interfaces_of_the_past_at_all_sizes() {
    let mut screen = with_wired_past();
    step(&mut screen, &[Step::Back; 3]);
    insta::assert_snapshot!("past_interfaces_200x50", drawn(&mut screen, 200, 50));
    insta::assert_snapshot!("past_interfaces_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("past_interfaces_40x12", drawn(&mut screen, 40, 12));
    act(&mut screen, &[Action::First, Action::Open]);
    insta::assert_snapshot!("past_interface_80x24", drawn(&mut screen, 80, 24));
}

#[test]
fn an_interface_is_followed_from_now_into_the_past() {
    let mut screen = with_wired_past();
    act(&mut screen, &[Action::First, Action::Open]);
    let text = drawn(&mut screen, 120, 30);
    assert!(text.contains("eth0 (index 2)"), "{text}");
    let text = step(&mut screen, &[Step::Back]);
    let missing = "moved nothing at that time; this is what was last shown";
    assert!(text.contains(" eth0 ") && text.contains(missing), "{text}");
    let text = step(&mut screen, &[Step::Back, Step::Back]);
    assert!(text.contains(" over 1 h 0 min, peak "), "{text}");
    assert!(
        !text.contains("(index") && !text.contains(missing),
        "{text}"
    );
    // What has no rows is not there, and nobody knows whether it was.
    act(&mut screen, &[Action::Back]);
    let text = step(&mut screen, &[Step::Forth]);
    assert!(text.contains("wlan0") && !text.contains("eth0"), "{text}");
    let text = step(&mut screen, &[Step::Now]);
    assert!(text.contains("eth0") && text.contains("tun0"), "{text}");
}

#[test]
fn a_past_that_tells_nothing_of_interfaces_says_so() {
    let mut screen = with_past();
    screen.act(Action::ShowPage(Page::Interfaces));
    let text = step(&mut screen, &[Step::Back]);
    assert!(
        text.contains("Nothing is kept of interfaces then: . goes back to now"),
        "{text}"
    );
    // Nor does it say how to sample what is not there.
    assert!(!text.contains("--iface"), "{text}");
}

#[test]
fn what_is_out_of_reach_is_marked_at_all_sizes() {
    let elsewhere = Arc::new(Elsewhere::new("127.0.0.1", 9600));
    let mut screen = Screen::new(options(false, true), INTERVAL)
        .with_elsewhere(Arc::clone(&elsewhere))
        .in_zone(TimeZone::fixed(tz::offset(1)));
    insta::assert_snapshot!("elsewhere_waiting_80x24", drawn(&mut screen, 80, 24));
    elsewhere.arrived("web1");
    for sequence in 1..=20 {
        screen.take(Arc::new(fixture::scene(sequence, false)));
    }
    let feed = netmon::feed::Feed::new(INTERVAL);
    feed.publish(Arc::new(fixture::scene(21, false)));
    screen.tick(&feed);
    insta::assert_snapshot!("elsewhere_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("elsewhere_40x12", drawn(&mut screen, 40, 12));
    let live = buffer(&mut screen, 200, 50);
    elsewhere.lose(Lost {
        since: Duration::from_secs(THREE),
        why: "Connection refused".to_owned(),
    });
    assert!(!screen.is_dirty());
    screen.tick(&feed);
    assert!(screen.is_dirty());
    insta::assert_snapshot!("reconnecting_200x50", drawn(&mut screen, 200, 50));
    insta::assert_snapshot!("reconnecting_80x24", drawn(&mut screen, 80, 24));
    insta::assert_snapshot!("reconnecting_40x12", drawn(&mut screen, 40, 12));
    assert!(drawn(&mut screen, 20, 5).contains("RECONNECTING"));
    // The rows stay, without their colours.
    let stale = buffer(&mut screen, 200, 50);
    let colors = |buffer: &ratatui::buffer::Buffer| -> Vec<Color> {
        let row = (0..200).map(|x| buffer[(x, 8)].fg);
        let mut colors: Vec<Color> = row.collect();
        colors.dedup();
        colors
    };
    assert!(colors(&live).len() > 1);
    assert_eq!(colors(&stale).len(), 1);
    // It comes back.
    elsewhere.arrived("web1");
    screen.tick(&feed);
    assert!(!drawn(&mut screen, 80, 24).contains("RECONNECTING"));
    assert_eq!(buffer(&mut screen, 200, 50), live);
}
