//! Lines of the details: a label, and a text or numbers in columns.
//!
//! Knows how a line is laid out, not what it is about.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::model::flow::Totals;
use crate::model::snapshot::Rates;
use crate::model::units::{self, AMOUNT_WIDTH, RATE_WIDTH};

use super::paint::{Canvas, wrap};
use super::render::Scene;
use super::table;

/// Columns of a label and the gap after it.
const LABEL: u16 = 11;

/// Writes downwards, line by line.
pub struct Pen<'a, 'b, 'c> {
    /// What the frame depends on.
    pub scene: &'a Scene<'b>,
    /// Where it is drawn.
    pub canvas: &'a mut Canvas<'c>,
    /// What may be written on.
    pub area: Rect,
    /// The next line.
    pub y: u16,
}

impl Pen<'_, '_, '_> {
    /// Lines that are left.
    pub fn left(&self) -> u16 {
        self.area.bottom().saturating_sub(self.y)
    }

    /// Columns from one direction to the other, where both are in a line.
    pub fn half(&self) -> u16 {
        (self.area.width.saturating_sub(LABEL) / 2).min(40)
    }

    fn label(&mut self, label: &str) {
        let width = LABEL.min(self.area.width);
        let style = self.scene.theme.muted;
        self.canvas.text(self.area.x, self.y, width, label, style);
    }

    /// A label and a text.
    pub fn line(&mut self, label: &str, text: &str, style: Style) {
        if self.left() == 0 {
            return;
        }
        self.label(label);
        let width = self.area.width.saturating_sub(LABEL);
        self.canvas
            .text(self.area.x + LABEL, self.y, width, text, style);
        self.y += 1;
    }

    /// A text over as many lines as it needs, at most `lines`.
    pub fn paragraph(&mut self, label: &str, text: &str, lines: u16) {
        let width = usize::from(self.area.width.saturating_sub(LABEL));
        let style = self.scene.theme.text;
        let wrapped = wrap(text, width, usize::from(lines));
        for (index, line) in wrapped.iter().enumerate() {
            self.line(if index == 0 { label } else { "" }, line, style);
        }
    }

    /// Bytes and operations of both directions, in columns.
    pub fn totals(&mut self, label: &str, totals: &Totals) {
        // The past knows bytes only.
        let words = self.scene.past.is_none().then_some(["operations", "ops"]);
        self.counts(label, totals, words);
    }

    /// The same where it is other things that were counted, or nothing else than bytes.
    pub fn counts(&mut self, label: &str, totals: &Totals, words: Option<[&str; 2]>) {
        if self.left() == 0 {
            return;
        }
        self.label(label);
        let theme = self.scene.theme;
        let right = self.area.right();
        let mut x = self.area.x + LABEL;
        let half = self.half();
        for (glyph, bytes, operations, style) in [
            (
                theme.glyphs.tx,
                totals.tx_bytes,
                totals.tx_operations,
                theme.tx,
            ),
            (
                theme.glyphs.rx,
                totals.rx_bytes,
                totals.rx_operations,
                theme.rx,
            ),
        ] {
            let width = AMOUNT_WIDTH as u16;
            if x + width + 2 > right {
                break;
            }
            self.canvas.symbol(x, self.y, glyph, style);
            let amount = units::amount(bytes, self.scene.state.unit);
            self.canvas.right(x + 1, self.y, width, &amount, style);
            let text = match (words, half) {
                (Some([long, _]), 38..) => format!("in {operations} {long}"),
                (Some([_, short]), 26..) => format!("{operations} {short}"),
                _ => String::new(),
            };
            let room = half.saturating_sub(width + 3);
            self.canvas
                .text(x + width + 2, self.y, room, &text, theme.muted);
            x += half.max(width + 2);
        }
        self.y += 1;
    }

    /// What rates are called: those of the past are of all of its stretch.
    pub fn rate_label(&self) -> &'static str {
        if self.scene.past.is_some() {
            "rate"
        } else {
            "now"
        }
    }

    /// Rates of both directions and the smoothed one.
    pub fn rates(&mut self, rates: &Rates) {
        if self.left() == 0 {
            return;
        }
        self.label(self.rate_label());
        let theme = self.scene.theme;
        let unit = self.scene.state.unit;
        let mut x = self.area.x + LABEL;
        for (glyph, rate, style) in [
            (theme.glyphs.tx, rates.tx, theme.tx),
            (theme.glyphs.rx, rates.rx, theme.rx),
        ] {
            let width = RATE_WIDTH as u16;
            if x + width + 1 > self.area.right() {
                break;
            }
            self.canvas.symbol(x, self.y, glyph, style);
            table::rate(self.canvas, x + 1, self.y, width, rate, unit, style);
            x += width + 3;
        }
        let room = self.area.right().saturating_sub(x);
        let text = format!("smoothed {}", units::rate(rates.smoothed, unit));
        if usize::from(room) >= text.len() {
            self.canvas.text(x, self.y, room, &text, theme.text);
        }
        self.y += 1;
    }
}
