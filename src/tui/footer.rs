//! The footer: alert or all-clear, and the keys; or the filter being edited.
//!
//! Draws what fits, most important first.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use crate::model::snapshot::Snapshot;
use crate::model::units::{self, Unit};

use super::badges;
use super::layout::HeaderSize;
use super::paint::Canvas;
use super::render::Scene;
use super::state::{Mode, Page};
use super::words;

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
    let end = (offset + usize::from(scene.layout.body.height)).min(view.rows.len());
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
    let page = match scene.state.page {
        Page::Processes => "flows",
        Page::Flows => "processes",
    };
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
        ("Tab", page),
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
    let x = travel_hints(scene, x, line, canvas);
    draw_keys(scene, &keys, x, line, canvas);
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
