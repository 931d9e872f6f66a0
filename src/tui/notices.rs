//! What is known not to be fully counted, and how much of the wire is explained,
//! as a line of the header.
//!
//! Chooses the words and which of them warn. Counts nothing.

use ratatui::layout::Rect;

use crate::model::snapshot::Snapshot;
use crate::model::units;

use super::coverage;
use super::paint::Canvas;
use super::render::Scene;
use super::view::View;

/// Something on the notice line, and whether it is a warning.
struct Notice {
    text: String,
    warning: bool,
}

/// Whether the header needs a line for losses and coverage. On a screen of few
/// lines unknown peers alone are not worth one.
pub fn are_due(snapshot: &Snapshot, area: Rect) -> bool {
    let loss = &snapshot.loss;
    is_warned(snapshot)
        || snapshot.coverage.is_some()
        || (loss.unknown_peer_bytes > 0 && area.height >= 30)
}

/// Whether any of it is a warning.
pub fn is_warned(snapshot: &Snapshot) -> bool {
    let loss = &snapshot.loss;
    loss.untracked_flow_bytes > 0 || loss.missed_events > 0 || snapshot.balance.discrepancy() > 0
}

fn notices(snapshot: &Snapshot) -> Vec<Notice> {
    let loss = &snapshot.loss;
    let discrepancy = snapshot.balance.discrepancy();
    let mut notices = Vec::new();
    let mut add = |warning, text| notices.push(Notice { text, warning });
    if discrepancy > 0 {
        add(
            true,
            format!("books off by {}", units::describe(discrepancy)),
        );
    }
    if loss.missed_events > 0 {
        let events = if loss.missed_events == 1 {
            "event"
        } else {
            "events"
        };
        add(true, format!("{} {events} missed", loss.missed_events));
    }
    if loss.untracked_flow_bytes > 0 {
        let bytes = units::describe(loss.untracked_flow_bytes);
        add(true, format!("{bytes} without a flow (map full)"));
    }
    if loss.unknown_peer_bytes > 0 {
        let bytes = units::describe(loss.unknown_peer_bytes);
        add(false, format!("{bytes} with unknown peers"));
    }
    notices
}

/// Draws all of it on a line of its own, and after it what is explained.
pub fn draw(scene: &Scene<'_>, view: &View, line: Rect, canvas: &mut Canvas<'_>) {
    let theme = scene.theme;
    let start = line.x + 1;
    let mut x = start;
    if is_warned(&view.snapshot) {
        let sign = if theme.glyphs.unicode { "⚠ " } else { "! " };
        let room = line.right().saturating_sub(x);
        x = canvas.text(x, line.y, room, sign, theme.warning);
    }
    x = draw_from(scene, view, x, line, canvas);
    let Some(coverage) = &view.snapshot.coverage else {
        return;
    };
    let gap = if x > start { 3 } else { 0 };
    let room = line.right().saturating_sub(x + gap + 1).into();
    let pieces = coverage::pieces(coverage, scene.state.unit, theme.glyphs, room);
    if x > start && !pieces.is_empty() {
        x = separator(scene, x, line, canvas);
    }
    coverage::draw(scene, &pieces, x, line, canvas);
}

/// Draws the losses from column `x` of a line on; gives the column after them.
pub fn draw_from(
    scene: &Scene<'_>,
    view: &View,
    mut x: u16,
    line: Rect,
    canvas: &mut Canvas<'_>,
) -> u16 {
    let theme = scene.theme;
    for (index, notice) in notices(&view.snapshot).iter().enumerate() {
        if index > 0 {
            x = separator(scene, x, line, canvas);
        }
        let style = if notice.warning {
            theme.warning
        } else {
            theme.muted
        };
        x = canvas.text(
            x,
            line.y,
            line.right().saturating_sub(x),
            &notice.text,
            style,
        );
    }
    x
}

/// Draws what stands between two texts after column `x`; gives the next one's.
pub fn separator(scene: &Scene<'_>, x: u16, line: Rect, canvas: &mut Canvas<'_>) -> u16 {
    canvas.symbol(
        x + 1,
        line.y,
        scene.theme.glyphs.separator,
        scene.theme.muted,
    );
    x + 3
}
