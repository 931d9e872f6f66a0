//! The help: every key, the marks, how netmon counts here and what of the
//! wire that explains.
//!
//! A box over whatever is on the screen.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::coverage;
use super::paint::{Canvas, wrap};
use super::render::Scene;

/// Every key and what it does.
const KEYS: [(&str, &str); 15] = [
    ("1 2 3 Tab", "processes, flows, interfaces"),
    ("up down j k", "select a row"),
    ("PgUp PgDn", "a screen up or down"),
    ("Home End g G", "first or last row"),
    ("Enter", "details of the row or interface"),
    ("Esc", "back; clear filter or selection"),
    ("/", "filter: name, pid, user, address, port, protocol"),
    ("s S < >", "sort by the next or previous column"),
    ("r", "reverse the order"),
    ("Space", "freeze the screen; reading goes on"),
    ("u   + -", "bytes or bits; longer or shorter interval"),
    (
        "[ ] { } .",
        "the past, with --db: back, forth; by an hour; now",
    ),
    ("mouse", "wheel scrolls; click a row, a title, a page below"),
    ("? F1", "this help"),
    ("q F10 Ctrl-C", "quit; Ctrl-Z suspends"),
];

/// What that badge means.
const ESTIMATED: &str = "ESTIMATED: packets are counted, and who sent or got them is looked \
    up in the socket tables afterwards; what found no owner is <unattributed>";

/// Lines with a key: as far as the help scrolls where it does not fit.
pub const LINES: usize = KEYS.len();

/// Columns of the longest key, and the gap after it.
const KEY_WIDTH: u16 = 15;

/// Columns inside the box.
const WIDTH: u16 = 66;

/// Draws the help in the middle of the screen.
pub fn draw(scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
    let screen = canvas.area();
    let theme = scene.theme;
    let inner_width = WIDTH.min(screen.width.saturating_sub(4));
    let marks = format!(
        "{} above the threshold   {} exited or closed   {} sent   {} received",
        theme.glyphs.anomalous, theme.glyphs.ended, theme.glyphs.tx, theme.glyphs.rx
    );
    let mut notes = wrap(&marks, usize::from(inner_width), 2);
    // The past does not tell how it was counted.
    if let Some(view) = scene.view.filter(|_| scene.past.is_none()) {
        let engine = &view.snapshot.engine;
        let blind = match &engine.blind_spots[..] {
            [] => "no blind spots".to_string(),
            spots => format!("cannot see {}", spots.join(", ")),
        };
        let text = format!("{} engine: {}; {blind}", engine.name, engine.method);
        notes.push(String::new());
        // First what is short: where the rest does not fit, it scrolls.
        if let Some(coverage) = &view.snapshot.coverage {
            for text in coverage::parts(coverage, scene.state.unit, theme.glyphs) {
                notes.extend(wrap(&text, usize::from(inner_width), 2));
            }
        }
        if scene.is_estimated() {
            notes.extend(wrap(ESTIMATED, usize::from(inner_width), 3));
        }
        notes.extend(wrap(&text, usize::from(inner_width), 4));
    }
    notes.insert(0, String::new());
    if KEYS.len() + notes.len() + 2 > usize::from(screen.height) {
        notes.retain(|note| !note.is_empty());
    }
    let lines = (KEYS.len() + notes.len()) as u16;
    let height = (lines + 2).min(screen.height);
    let width = inner_width + 4;
    let area = Rect::new(
        screen.x + screen.width.saturating_sub(width) / 2,
        screen.y + (screen.height - height) / 2,
        width.min(screen.width),
        height,
    );
    canvas.clear(area);
    frame(scene, area, " netmon: keys ", canvas);

    let x = area.x + 2;
    let bottom = area.bottom().saturating_sub(1);
    let mut y = area.y + 1;
    let overflow = usize::from(lines.saturating_sub(height.saturating_sub(2)));
    let offset = scene.state.help_offset.min(overflow);
    for (key, meaning) in KEYS.into_iter().skip(offset) {
        if y >= bottom {
            return;
        }
        let narrow = inner_width < 40;
        let key_width = if narrow { KEY_WIDTH - 2 } else { KEY_WIDTH };
        canvas.text(x, y, key_width.min(inner_width), key, theme.key);
        let room = inner_width.saturating_sub(key_width);
        canvas.text(x + key_width, y, room, meaning, theme.text);
        y += 1;
    }
    for note in notes {
        if y >= bottom {
            return;
        }
        canvas.text(x, y, inner_width, &note, theme.muted);
        y += 1;
    }
}

/// A box with a title, just inside `area`.
pub fn frame(scene: &Scene<'_>, area: Rect, title: &str, canvas: &mut Canvas<'_>) {
    if area.width < 2 || area.height < 2 {
        return;
    }
    let theme = scene.theme;
    let (right, bottom) = (area.right() - 1, area.bottom() - 1);
    for x in area.x + 1..right {
        canvas.symbol(x, area.y, theme.glyphs.rule, theme.muted);
        canvas.symbol(x, bottom, theme.glyphs.rule, theme.muted);
    }
    for y in area.y + 1..bottom {
        canvas.symbol(area.x, y, theme.glyphs.side, theme.muted);
        canvas.symbol(right, y, theme.glyphs.side, theme.muted);
    }
    let [a, b, c, d] = theme.glyphs.corners;
    canvas.symbol(area.x, area.y, a, theme.muted);
    canvas.symbol(right, area.y, b, theme.muted);
    canvas.symbol(right, bottom, c, theme.muted);
    canvas.symbol(area.x, bottom, d, theme.muted);
    let room = area.width.saturating_sub(4).min(title.width() as u16);
    canvas.text(area.x + 2, area.y, room, title, theme.strong);
}
