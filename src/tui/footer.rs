//! The footer: alert or all-clear, and the keys; or the filter being edited.
//!
//! Draws what fits, most important first.

use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr;

use crate::model::snapshot::Snapshot;
use crate::model::units::{self, Unit};

use super::badges;
use super::blocks::Blocks;
use super::layout::{HeaderSize, Layout};
use super::paint::Canvas;
use super::render::Scene;
use super::state::{Mode, Page, State};
use super::words;

/// From this width on the tabs have their names.
const NAMED: u16 = 60;

/// Names an alert lists at most.
const NAMES: usize = 8;

/// Draws the footer where the layout has it.
pub fn draw(scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
    let area = scene.layout.footer;
    if area.height == 0 {
        return;
    }
    let first = Rect { height: 1, ..area };
    let last = Rect::new(area.x, area.bottom() - 1, area.width, 1);
    if area.height > 1 {
        verdict(scene, first, canvas);
    }
    if let Some(notice) = &scene.state.notice {
        let text = format!(" {notice} ");
        canvas.text(last.x, last.y, last.width, &text, scene.theme.badge);
        return;
    }
    if scene.state.mode == Mode::Filter && !scene.state.help {
        prompt(scene, last, canvas);
        return;
    }
    if area.height > 1 {
        hints(scene, last.x + 1, last, canvas);
    } else {
        let mut x = first.x;
        if scene.layout.header_size == HeaderSize::None {
            x = badges::draw(scene, x, first, canvas);
        }
        let rest = Rect::new(x, first.y, first.right().saturating_sub(x), 1);
        let end = verdict(scene, rest, canvas);
        hints(scene, end + 2, last, canvas);
    }
}

/// Alert or all-clear, and on the right what part of the rows is visible.
/// Returns the column after the text.
fn verdict(scene: &Scene<'_>, line: Rect, canvas: &mut Canvas<'_>) -> u16 {
    let theme = scene.theme;
    let Some(view) = scene.view else {
        return line.x;
    };
    let position = position(scene);
    let position_at = line.right().saturating_sub(position.width() as u16 + 1);
    let wide = scene.layout.footer.height > 1;
    let room = if wide {
        position_at.saturating_sub(line.x + 2)
    } else {
        line.width
    };
    if wide {
        canvas.text(position_at, line.y, line.width, &position, theme.muted);
    }
    let (text, style) = match alert(&view.snapshot) {
        Some(alert) => (format!(" {} {alert} ", theme.glyphs.alert), theme.anomalous),
        None if scene.is_stale() => (" Out of reach".to_owned(), theme.muted),
        None => (
            format!(" {} No anomalies detected", theme.glyphs.fine),
            theme.fine,
        ),
    };
    canvas.text(line.x, line.y, room, &text, style)
}

/// `2 flows above 10.0 MiB/s: curl, rsync`.
fn alert(snapshot: &Snapshot) -> Option<String> {
    let anomalies = &snapshot.anomalies;
    if anomalies.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for anomaly in anomalies {
        if !names.contains(&anomaly.name.as_str()) && names.len() < NAMES {
            names.push(&anomaly.name);
        }
    }
    Some(format!(
        "{} {} above {}/s: {}",
        anomalies.len(),
        words::noun(Page::Flows, anomalies.len()),
        units::describe(snapshot.threshold as u64),
        names.join(", ")
    ))
}

fn position(scene: &Scene<'_>) -> String {
    let Some(view) = scene.view else {
        return String::new();
    };
    let offset = scene.state.offset;
    let visible = match view.page {
        Page::Processes | Page::Flows => usize::from(scene.layout.body.height),
        Page::Interfaces => Blocks::plan(&scene.layout, view, scene.past.is_none()).whole(offset),
    };
    let end = (offset + visible).min(view.rows.len());
    if view.rows.is_empty() || scene.state.mode == Mode::Detail {
        return String::new();
    }
    format!("{}-{end} of {}", offset + 1, view.rows.len())
}

fn prompt(scene: &Scene<'_>, line: Rect, canvas: &mut Canvas<'_>) {
    let theme = scene.theme;
    let mut x = canvas.text(line.x, line.y, line.width, " Filter: ", theme.badge) + 1;
    let text = scene.state.filter();
    // Of a long text the end is what one is typing.
    let room = usize::from(line.right().saturating_sub(x + 1));
    let mut shown = text;
    while shown.width() > room {
        let mut rest = shown.chars();
        rest.next();
        shown = rest.as_str();
    }
    x = canvas.text(x, line.y, room as u16, shown, theme.strong);
    canvas.symbol(x, line.y, theme.glyphs.cursor, theme.key);
    let hints = "name, pid, user, address, port, protocol";
    let keys = [("Enter", "keep"), ("Esc", "clear")];
    x = draw_keys(scene, &keys, x + 3, line, canvas);
    if usize::from(line.right().saturating_sub(x + 2)) > hints.width() {
        canvas.text(x + 1, line.y, hints.width() as u16, hints, theme.muted);
    }
}

fn hints(scene: &Scene<'_>, x: u16, line: Rect, canvas: &mut Canvas<'_>) {
    let freeze = if scene.frozen { "resume" } else { "freeze" };
    let unit = match scene.state.unit {
        Unit::Bytes => "bits",
        Unit::Bits => "bytes",
    };
    let vertical = scene.theme.glyphs.vertical_keys;
    let of_details = [
        ("Esc", "back"),
        ("?", "help"),
        (vertical, "scroll"),
        ("Space", freeze),
        ("u", unit),
        ("+ -", "interval"),
    ];
    let of_table = [
        ("q", "quit"),
        ("?", "help"),
        ("/", "filter"),
        ("Enter", "details"),
        ("Space", freeze),
        ("[", "past"),
        ("s", "sort"),
        ("r", "reverse"),
        ("u", unit),
        ("+ -", "interval"),
        (vertical, "select"),
    ];
    let keys = match scene.state.mode {
        Mode::Detail => &of_details[..],
        Mode::Table | Mode::Filter => &of_table[..],
    };
    let is_now = scene.past.is_none();
    let of_use = |(key, _): &&(&str, &str)| match *key {
        "Space" => is_now,
        "[" => is_now && scene.state.has_past,
        // That of another machine is set there.
        "+ -" => is_now && scene.place.is_none(),
        _ => true,
    };
    let keys: Vec<_> = keys.iter().filter(of_use).copied().collect();
    let x = draw_tabs(scene, x, canvas);
    let x = travel_hints(scene, x, line, canvas);
    draw_keys(scene, &keys, x, line, canvas);
}

/// Where the tabs stand: in a footer of one line there is no room, and in other modes
/// their keys mean something else.
fn tabs(state: &State, layout: &Layout) -> impl Iterator<Item = (Page, Rect)> {
    let area = layout.footer;
    let is_shown = area.height > 1 && state.mode == Mode::Table;
    let with_names = area.width >= NAMED;
    let mut x = area.x + 1;
    let pages = Page::ALL.into_iter().filter(move |_| is_shown);
    pages.map(move |page| {
        let name = if with_names {
            words::tab(page).len() + 1
        } else {
            0
        };
        let width = 1 + name as u16;
        let tab = Rect::new(x, area.bottom() - 1, width, 1);
        x += width + 2;
        (page, tab.intersection(area))
    })
}

/// The page whose tab is at this place of the screen.
pub fn tab_at(state: &State, layout: &Layout, x: u16, y: u16) -> Option<Page> {
    let mut tabs = tabs(state, layout);
    let found = tabs.find(|(_, tab)| tab.contains(Position { x, y }));
    found.map(|(page, _)| page)
}

/// Draws the pages' keys and names, that of the page shown marked. Returns the column
/// after.
fn draw_tabs(scene: &Scene<'_>, mut x: u16, canvas: &mut Canvas<'_>) -> u16 {
    let theme = scene.theme;
    for (number, (page, tab)) in (1..).zip(tabs(scene.state, &scene.layout)) {
        let is_shown = page == scene.state.page;
        let pick = |usual| if is_shown { theme.sorted } else { usual };
        if is_shown {
            canvas.tint(tab, theme.sorted);
        }
        let key = number.to_string();
        let at = canvas.text(tab.x, tab.y, tab.width, &key, pick(theme.key)) + 1;
        let room = tab.right().saturating_sub(at);
        canvas.text(at, tab.y, room, words::tab(page), pick(theme.muted));
        x = tab.right() + 2;
    }
    x
}

/// In the past, how to get out of it comes first. Returns the column after.
fn travel_hints(scene: &Scene<'_>, x: u16, line: Rect, canvas: &mut Canvas<'_>) -> u16 {
    if scene.past.is_none() {
        return x;
    }
    let keys = [(".", "now"), ("[ ]", "step"), ("{ }", "hour")];
    draw_keys(scene, &keys, x, line, canvas)
}

/// Draws those of `keys` that fit from column `x` on; returns the column after.
fn draw_keys(
    scene: &Scene<'_>,
    keys: &[(&str, &str)],
    mut x: u16,
    line: Rect,
    canvas: &mut Canvas<'_>,
) -> u16 {
    for (key, meaning) in keys {
        let width = (key.width() + 1 + meaning.width()) as u16;
        if x + width > line.right() {
            break;
        }
        let next = canvas.text(x, line.y, width, key, scene.theme.key) + 1;
        canvas.text(next, line.y, width, meaning, scene.theme.muted);
        x += width + 2;
    }
    x
}
