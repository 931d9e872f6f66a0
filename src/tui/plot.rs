//! A minute of rates as an area of glyphs.
//!
//! Writes into cells what `graph` makes of numbers, and how much its top is.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::graph;
use super::history::Series;
use super::paint::Canvas;
use crate::model::units::{self, MARK_WIDTH, Unit};

/// Columns beside a graph that its scale takes, with the gap before it.
pub const SCALE: u16 = MARK_WIDTH as u16 + 1;

/// Columns of a graph with a scale at least.
pub const LEAST: u16 = SCALE + 4;

/// Draws a minute that fills `area` at its peak.
pub fn minute(series: &Series, area: Rect, style: Style, muted: Style, canvas: &mut Canvas<'_>) {
    if area.is_empty() {
        return;
    }
    // A floor, so that a quiet minute is seen to be one.
    for x in area.left()..area.right() {
        let quiet = canvas.glyphs.quiet;
        canvas.symbol(x, area.bottom() - 1, quiet, muted);
    }
    let unicode = canvas.glyphs.unicode;
    let put = |column, row, symbol: char| {
        let mut bytes = [0; 4];
        let symbol = symbol.encode_utf8(&mut bytes);
        canvas.symbol(area.x + column, area.y + row, symbol, style);
    };
    let peak = graph::peak(series);
    if unicode {
        graph::braille(series, peak, area.width, area.height, put);
    } else {
        graph::ascii(series, peak, area.width, area.height, put);
    }
}

/// The same with its scale on the right, as far as there is room for both.
pub fn scaled(
    series: &Series,
    area: Rect,
    unit: Unit,
    [style, muted]: [Style; 2],
    canvas: &mut Canvas<'_>,
) {
    let peak = f64::from(graph::peak(series));
    let scale = if area.width >= LEAST { SCALE } else { 0 };
    let plot = Rect {
        width: area.width - scale,
        ..area
    };
    minute(series, plot, style, muted, canvas);
    // A graph of nothing has none.
    if scale == 0 || area.height == 0 || peak < 0.5 {
        return;
    }
    let (x, width) = (plot.right() + 1, scale - 1);
    canvas.right(x, area.y, width, &units::mark(peak, unit), muted);
    if area.height > 1 {
        canvas.right(x, area.bottom() - 1, width, "0", muted);
    }
}
