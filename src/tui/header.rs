//! The header: what all traffic together does, and what netmon knows of itself.
//!
//! Three sizes, from two lines to six. Draws; computes nothing but lengths.

use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::model::snapshot::ProtocolRow;
use crate::model::units::{self, AMOUNT_WIDTH, RATE_WIDTH};

use super::graph;
use super::history::Series;
use super::layout::{self, HeaderSize};
use super::paint::Canvas;
use super::render::Scene;
use super::state::Page;
use super::table;
use super::view::View;
use super::{badges, notices, words};

/// Columns of a graph at most: two per second of the minute.
const GRAPH_WIDTH: u16 = 120;

/// Draws the header where the layout has it.
pub fn draw(scene: &Scene<'_>, view: &View, canvas: &mut Canvas<'_>) {
    let area = scene.layout.header;
    let line = |y| Rect::new(area.x, area.y + y, area.width, 1);
    match scene.layout.header_size {
        HeaderSize::None => {}
        HeaderSize::Small => {
            rates(scene, view, line(0), canvas);
            status(scene, view, line(1), canvas);
        }
        HeaderSize::Medium => {
            title(scene, view, line(0), canvas);
            rates(scene, view, line(1), canvas);
            protocols(scene, view, 2, canvas);
        }
        HeaderSize::Large => {
            title(scene, view, line(0), canvas);
            direction(scene, view, Direction::Tx, line(1), canvas);
            direction(scene, view, Direction::Rx, line(2), canvas);
            protocols(scene, view, 3, canvas);
        }
    }
    let roomy = matches!(
        scene.layout.header_size,
        HeaderSize::Medium | HeaderSize::Large
    );
    if roomy && notices::are_due(&view.snapshot, canvas.area()) {
        notices::draw(scene, view, line(area.height.saturating_sub(1)), canvas);
    }
}

/// How many rows there are; of the page shown, how many the filter leaves.
fn counts(view: &View) -> String {
    let count = |page, all: usize| {
        let noun = words::noun(page, all);
        if view.page == page && view.listed() < all {
            format!("{} of {all} {noun}", view.listed())
        } else {
            format!("{all} {noun}")
        }
    };
    format!(
        "{}, {}",
        count(Page::Processes, view.snapshot.processes.len()),
        count(Page::Flows, view.snapshot.flows.len())
    )
}

fn title(scene: &Scene<'_>, view: &View, line: Rect, canvas: &mut Canvas<'_>) {
    let theme = scene.theme;
    let separator = theme.glyphs.separator;
    let mut right = counts(view);
    // A part of the past has its length in the badge.
    if scene.past.is_none() {
        let interval = words::interval(scene.state.interval);
        right.push_str(&format!(" {separator} every {interval}"));
    }
    right.push(' ');
    let right_at = line.right().saturating_sub(right.width() as u16);
    let x = canvas.text(line.x, line.y, line.width, &scene.brand(), theme.brand) + 1;
    let x = badges::draw(scene, x, line, canvas);
    canvas.text(
        right_at.max(x),
        line.y,
        line.right().saturating_sub(right_at.max(x)),
        &right,
        theme.text,
    );

    if scene.past.is_some() || scene.is_stale() {
        return;
    }
    let engine = &view.snapshot.engine;
    let name = format!("{} engine", engine.name);
    let blind = match &engine.blind_spots[..] {
        [] => String::new(),
        spots => format!(" {separator} cannot see {}", spots.join(", ")),
    };
    let few_words = match engine.blind_spots.len() {
        0 => String::new(),
        1 => format!(" {separator} 1 blind spot"),
        n => format!(" {separator} {n} blind spots"),
    };
    let method = format!(" {separator} {}", engine.method);
    // The most telling text that fits.
    let room = right_at.saturating_sub(x + 2);
    let texts = [
        format!("{name}{method}{blind}"),
        format!("{name}{method}{few_words}"),
        format!("{name}{few_words}"),
        name,
    ];
    let fits = |text: &&String| text.width() <= usize::from(room);
    if let Some(text) = texts.iter().find(fits) {
        canvas.text(x, line.y, room, text, theme.muted);
    }
}

/// Both rates, their totals where there is room, and the graph of both, in one line.
fn rates(scene: &Scene<'_>, view: &View, line: Rect, canvas: &mut Canvas<'_>) {
    let theme = scene.theme;
    let (totals, rates) = &view.overall;
    let unit = scene.state.unit;
    let with_totals = line.width >= 70;
    let mut x = line.x + 1;
    for (glyph, rate, total, style) in [
        (theme.glyphs.tx, rates.tx, totals.tx_bytes, theme.tx),
        (theme.glyphs.rx, rates.rx, totals.rx_bytes, theme.rx),
    ] {
        canvas.symbol(x, line.y, glyph, style);
        let width = RATE_WIDTH as u16;
        table::rate(canvas, x + 1, line.y, width, rate, unit, style);
        x += width + 2;
        if with_totals {
            let total = units::amount(total, unit);
            canvas.right(x, line.y, AMOUNT_WIDTH as u16, &total, theme.muted);
            x += AMOUNT_WIDTH as u16 + 2;
        }
    }
    if scene.past.is_some() {
        return;
    }
    let graph = Rect::new(x + 1, line.y, line.right().saturating_sub(x + 2), 1);
    let mut both = view.minute.tx;
    for (sum, rx) in both.iter_mut().zip(&view.minute.rx) {
        *sum += rx;
    }
    spark(&both, graph, theme.text, theme.muted, canvas);
}

enum Direction {
    Tx,
    Rx,
}

/// One direction: rate, total, graph, peak.
fn direction(
    scene: &Scene<'_>,
    view: &View,
    direction: Direction,
    line: Rect,
    canvas: &mut Canvas<'_>,
) {
    let theme = scene.theme;
    let unit = scene.state.unit;
    let (totals, rates) = &view.overall;
    let (glyph, label, rate, total, series, style) = match direction {
        Direction::Tx => (
            theme.glyphs.tx,
            "sent",
            rates.tx,
            totals.tx_bytes,
            &view.minute.tx,
            theme.tx,
        ),
        Direction::Rx => (
            theme.glyphs.rx,
            "received",
            rates.rx,
            totals.rx_bytes,
            &view.minute.rx,
            theme.rx,
        ),
    };
    let y = line.y;
    let mut x = line.x + 1;
    canvas.symbol(x, y, glyph, style);
    x += 1;
    let strong = style.add_modifier(ratatui::style::Modifier::BOLD);
    table::rate(canvas, x, y, RATE_WIDTH as u16, rate, unit, strong);
    x += RATE_WIDTH as u16 + 1;
    canvas.right(
        x,
        y,
        AMOUNT_WIDTH as u16,
        &units::amount(total, unit),
        theme.text,
    );
    x += AMOUNT_WIDTH as u16 + 1;
    canvas.text(x, y, 8, label, theme.muted);
    x += 10;
    // Of the past only sums are known.
    if scene.past.is_some() {
        return;
    }

    let peak = format!(
        "peak {:>RATE_WIDTH$} ",
        units::rate(graph::peak(series).into(), unit)
    );
    let room = line.right().saturating_sub(x + peak.width() as u16 + 1);
    let graph = Rect::new(x, y, room.min(GRAPH_WIDTH), 1);
    spark(series, graph, style, theme.muted, canvas);
    canvas.text(
        graph.right() + 1,
        y,
        peak.width() as u16,
        &peak,
        theme.muted,
    );
}

/// A minute as a line of blocks.
fn spark(series: &Series, area: Rect, style: Style, muted: Style, canvas: &mut Canvas<'_>) {
    let peak = graph::peak(series);
    let levels = canvas.glyphs.levels;
    let values = graph::resample(series, usize::from(area.width));
    for (x, value) in (area.x..).zip(values) {
        // Dots show where the minute begins, and how much of it was quiet.
        if value > 0.0 {
            canvas.symbol(x, area.y, graph::spark(value, peak, levels), style);
        } else {
            canvas.symbol(x, area.y, canvas.glyphs.quiet, muted);
        }
    }
}

/// A grid of protocols from line `from` of the header on.
fn protocols(scene: &Scene<'_>, view: &View, from: u16, canvas: &mut Canvas<'_>) {
    let area = scene.layout.header;
    let notice = u16::from(notices::are_due(&view.snapshot, canvas.area()));
    let lines = area.height.saturating_sub(from + notice);
    let per_line = layout::protocols_per_line(area.width);
    // A cell is as wide on every line, but no wider than it is good to read.
    let width = (area.width / per_line).min(52);
    let rows = &view.snapshot.protocols;
    let room = usize::from(lines * per_line);
    for (place, row) in (0u16..).zip(rows.iter().take(room)) {
        let cell = Rect::new(
            area.x + 1 + place % per_line * width,
            area.y + from + place / per_line,
            width - 2,
            1,
        );
        protocol(scene, row, cell, canvas);
    }
    if rows.len() > room {
        let more = format!("+{} ", rows.len() - room);
        let y = area.y + from + lines.saturating_sub(1);
        canvas.right(
            area.right().saturating_sub(6),
            y,
            6,
            &more,
            scene.theme.muted,
        );
    }
    if rows.is_empty() {
        let text = "no traffic yet";
        canvas.text(
            area.x + 1,
            area.y + from,
            area.width,
            text,
            scene.theme.muted,
        );
    }
}

/// `tcp ↑ 1.4 MiB/s ↓ 3.0 MiB/s Σ 1.2 GiB`, in columns where the cell allows.
fn protocol(scene: &Scene<'_>, row: &ProtocolRow, cell: Rect, canvas: &mut Canvas<'_>) {
    let theme = scene.theme;
    let unit = scene.state.unit;
    let y = cell.y;
    let left = |x: u16| cell.right().saturating_sub(x);
    let mut x = canvas.text(cell.x, y, left(cell.x), row.protocol.name(), theme.strong) + 1;
    for (glyph, value, style) in [
        (theme.glyphs.tx, row.rates.tx, theme.tx),
        (theme.glyphs.rx, row.rates.rx, theme.rx),
    ] {
        let style = if value < 0.5 { theme.muted } else { style };
        let text = units::rate(value, unit);
        x = canvas.text(x, y, left(x), glyph, style);
        x = canvas.text(x, y, left(x), &text, style) + 1;
    }
    let total = units::amount(row.totals.bytes(), unit);
    if usize::from(left(x)) > total.len() {
        x = canvas.text(x, y, left(x), theme.glyphs.sum, theme.muted);
        canvas.text(x, y, left(x), &total, theme.muted);
    }
}

/// The second line of a small header: state or warnings, else the counts.
fn status(scene: &Scene<'_>, view: &View, line: Rect, canvas: &mut Canvas<'_>) {
    let x = badges::draw(scene, line.x + 1, line, canvas);
    if notices::is_warned(&view.snapshot) {
        notices::draw_from(scene, view, x, line, canvas);
        return;
    }
    let separator = scene.theme.glyphs.separator;
    let counts = counts(view);
    let interval = words::interval(scene.state.interval);
    // Where it looks is worth more than how it counts.
    let name = match scene.place {
        Some(place) => &place.name,
        None => &view.snapshot.engine.name,
    };
    let texts = match (scene.past, scene.place) {
        (Some(_), _) => vec![counts],
        (None, Some(_)) => vec![format!("{name} {separator} {counts}"), name.clone(), counts],
        (None, None) => vec![
            format!("{counts} {separator} {interval} {separator} {name}"),
            format!("{counts} {separator} {interval}"),
            counts,
        ],
    };
    let room = line.right().saturating_sub(x);
    let fits = |text: &&String| text.width() <= usize::from(room);
    if let Some(text) = texts.iter().find(fits) {
        canvas.text(x, line.y, room, text, scene.theme.muted);
    }
}
