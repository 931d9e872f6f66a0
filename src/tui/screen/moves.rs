//! Where keys and mouse lead on the screen: rows, screens, what was clicked on.
//!
//! A part of [`Screen`] in a file of its own. What an event means is `keys`' business.

use super::Screen;
use crate::tui::state::Mode;
use crate::tui::{footer, help, inspect::Details};

impl Screen {
    /// Moves the selection, or the flows of the details.
    pub(super) fn step(&mut self, rows: isize) {
        if self.state.help || self.state.mode == Mode::Detail {
            self.scroll(rows);
            return;
        }
        // The first step from the unselected top selects the top itself.
        let from = match self.state.selected {
            Some(_) => self.row.saturating_add_signed(rows),
            None if rows == isize::MAX => usize::MAX,
            None => self
                .state
                .offset
                .saturating_add_signed(rows - rows.signum()),
        };
        self.state.follow = true;
        self.select(from);
    }

    pub(super) fn scroll(&mut self, rows: isize) {
        if self.state.help {
            let offset = self.state.help_offset.saturating_add_signed(rows);
            self.state.help_offset = offset.min(help::LINES - 1);
        } else if self.state.mode == Mode::Detail {
            let lines = self.details().map_or(0, Details::scrollable);
            self.state.detail_offset = self
                .state
                .detail_offset
                .saturating_add_signed(rows)
                .min(lines.saturating_sub(1));
        } else {
            self.state.follow = false;
            self.state.offset = self.state.offset.saturating_add_signed(rows);
        }
    }

    pub(super) fn click(&mut self, x: u16, y: u16) {
        if self.state.help {
            self.state.help = false;
            return;
        }
        if self.state.mode == Mode::Detail {
            return;
        }
        let layout = self.layout();
        if let Some(page) = footer::tab_at(&self.state, &layout, x, y) {
            self.show_page(page);
            return;
        }
        let position = ratatui::layout::Position { x, y };
        if layout.titles.contains(position) {
            let places = self.columns();
            // The gap after a column belongs to it.
            let hit = places.iter().find(|p| x >= p.x && x <= p.x + p.width);
            if let Some(place) = hit {
                self.state.sort_by(place.column);
            }
        } else if layout.body.contains(position) {
            let place = match self.blocks() {
                Some(blocks) => blocks.at(self.state.offset, y),
                None => Some(self.state.offset + usize::from(y - layout.body.y)),
            };
            let Some(place) = place else { return };
            if self.view.as_ref().is_some_and(|v| place < v.rows.len()) {
                self.state.follow = true;
                self.select(place);
            }
        }
    }
}
