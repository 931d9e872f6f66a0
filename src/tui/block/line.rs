//! An interface in one line, as where there are too many for blocks.

use ratatui::layout::Rect;

use crate::model::interface::{Class, Sampled};

use super::{Block, CELLS, GAP, ROOMY, sum};
use crate::tui::plot;
use crate::tui::words::{self, PACKETS_WIDTH};

/// Columns of the class that moves most, and its share: `other 100%`.
const CLASS: u16 = 10;

/// Columns of a graph with its scale from which on packets go before more of it.
const GRAPH: u16 = plot::SCALE + 8;

impl Block<'_, '_, '_> {
    /// Draws the line: rates of both directions, each with its minute, and which class
    /// moves most if the list `has_classes`.
    pub fn line(&mut self, has_classes: bool) {
        let theme = self.scene.theme;
        self.mark(theme.strong);
        let Rect { x, y, width, .. } = self.area;
        if width < ROOMY {
            self.few_numbers();
            return;
        }
        let start = 3 + self.name;
        let class = if has_classes { CLASS + GAP } else { 0 };
        let each = width.saturating_sub(start + class + GAP + 1) / 2;
        let row = self.row;
        let tx = (theme.glyphs.tx, row.rates.tx, row.tx_packets, theme.tx);
        let rx = (theme.glyphs.rx, row.rates.rx, row.rx_packets, theme.rx);
        let minutes = [&self.minute.tx, &self.minute.rx];
        let has_graphs = self.scene.past.is_none();
        for (at, ((glyph, rate, packets, style), minute)) in
            (0u16..).zip([tx, rx].into_iter().zip(minutes))
        {
            let left = x + start + at * (each + GAP);
            let right = left + each;
            let mut x = self.rate(left, glyph, rate, style);
            let columns = PACKETS_WIDTH as u16 + 1;
            let more = if has_graphs { GRAPH + 1 } else { 0 };
            if x + columns + more <= right {
                let text = words::packets(packets);
                let muted = self.over(theme.muted);
                self.canvas.right(x + 1, y, columns - 1, &text, muted);
                x += columns;
            }
            if has_graphs && x + 1 + plot::LEAST <= right {
                let area = Rect::new(x + 1, y, right - x - 1, 1);
                let styles = [self.hued(style), self.over(theme.muted)];
                let unit = self.scene.state.unit;
                plot::scaled(minute, area, unit, styles, self.canvas);
            }
        }
        if let Some(text) = row.sampled.as_ref().and_then(most).filter(|_| class > 0) {
            let x = self.area.right().saturating_sub(CLASS + 1);
            let style = self.over(theme.text);
            self.canvas.text(x, y, CLASS, &text, style);
        }
    }
}

/// The class that moves most, and its share; `None` while nothing does.
pub(super) fn most(sampled: &Sampled) -> Option<String> {
    let bytes = |classes: &[Class]| {
        sum(&sampled.tx_pace, classes).bytes + sum(&sampled.rx_pace, classes).bytes
    };
    let all = bytes(&Class::PARTS);
    if all < 0.5 {
        return None;
    }
    let parts = CELLS
        .iter()
        .filter(|(_, classes)| Class::PARTS.contains(&classes[0]));
    let parts = parts.map(|(name, classes)| (*name, bytes(classes)));
    let (name, most) = parts.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    Some(format!("{name} {:.0}%", most / all * 1e2))
}
