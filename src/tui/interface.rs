//! The page of interfaces: a block with graphs for each, or a line where they are many;
//! a line for an idle one.
//!
//! Draws the titles and chooses what is visible. Which interfaces there are is
//! `interfaces`' business, where their blocks lie `blocks`', how one looks `block`'s.

use unicode_width::UnicodeWidthStr;

use crate::model::interface::Interface;

use super::block::Block;
use super::blocks::Blocks;
use super::history::Minute;
use super::order::Row;
use super::paint::Canvas;
use super::render::Scene;
use super::view::View;
use super::{columns, interfaces};

/// Columns of a name at least and at most (`IFNAMSIZ`).
const NAME: std::ops::RangeInclusive<usize> = 4..=15;

/// Draws titles and blocks where the layout has them.
pub fn draw(scene: &Scene<'_>, view: &View, canvas: &mut Canvas<'_>) {
    titles(scene, view, canvas);
    let blocks = Blocks::plan(&scene.layout, view, scene.past.is_none());
    let visible: Vec<_> = blocks.visible(scene.state.offset).collect();
    let row = |place: usize| match view.rows.get(place) {
        Some(Row::Interface(index)) => view.snapshot.interfaces.get(*index as usize),
        _ => None,
    };
    // Names of idle ones are often long, and have the line to themselves.
    let longest = |idle: bool| {
        let rows = visible.iter().filter_map(|(place, _)| row(*place));
        let rows = rows.filter(|row| interfaces::is_idle(row) == idle);
        let longest = rows.map(|row| row.name.width()).max().unwrap_or_default();
        longest.clamp(*NAME.start(), *NAME.end()) as u16
    };
    let names = [false, true].map(longest);
    let mut shown = visible.iter().filter_map(|(place, _)| row(*place));
    let has_classes = shown.any(|row| row.sampled.is_some());
    let nothing = Minute::default();
    for (place, area) in visible {
        let Some(row) = row(place) else { continue };
        let mut block = Block {
            scene,
            row,
            minute: view.minutes.get(place).unwrap_or(&nothing),
            selected: scene.selected == Some(place),
            area,
            name: names[usize::from(interfaces::is_idle(row))],
            canvas: &mut *canvas,
        };
        if interfaces::is_idle(row) {
            block.idle();
        } else if blocks.is_list() {
            block.line(has_classes);
        } else {
            block.draw();
        }
    }
}

/// What the blocks are sorted by, to click on; and how to learn more.
fn titles(scene: &Scene<'_>, view: &View, canvas: &mut Canvas<'_>) {
    let area = scene.layout.titles;
    if area.height == 0 {
        return;
    }
    let theme = scene.theme;
    canvas.tint(area, theme.title);
    let places = columns::fit(view.page, area.width, view.contents);
    let sort = scene.state.sort();
    for place in &places {
        let name = match place.column {
            columns::Column::Smoothed => "by rate",
            columns::Column::Total => "by total",
            _ => "by index",
        };
        let (style, arrow) = if sort.column != place.column {
            (theme.title, "")
        } else if sort.descending {
            (theme.sorted, theme.glyphs.descending)
        } else {
            (theme.sorted, theme.glyphs.ascending)
        };
        let text = format!("{name}{arrow}");
        canvas.text(area.x + place.x, area.y, place.width, &text, style);
    }
    let rows = &view.snapshot.interfaces;
    let is_untold = |row: &Interface| row.sampled.is_none() && !interfaces::is_idle(row);
    if scene.past.is_some() || !rows.iter().any(is_untold) {
        return;
    }
    let hindered = rows.iter().find(|row| row.unsampled.is_some());
    let refused = hindered.map(|row| format!("{} is not sampled: Enter says why", row.name));
    let used = places.last().map_or(0, |last| last.x + last.width);
    let room = area.width.saturating_sub(used + 4);
    let texts: &[&str] = match (&refused, scene.place) {
        (Some(refused), _) => &[refused],
        _ if scene.is_estimated() => &[],
        (None, Some(_)) => &["by protocol: --iface NAME at its netmon serve"],
        (None, None) => &[
            "what each carries by protocol: netmon --iface NAME (or all)",
            "by protocol: --iface NAME",
        ],
    };
    let fits = |text: &&&str| text.len() <= usize::from(room);
    if let Some(text) = texts.iter().find(fits) {
        canvas.right(area.x, area.y, area.width - 1, text, theme.title);
    }
}
