//! Which part of the screen belongs to what.
//!
//! Pure arithmetic over rectangles, shared by drawing and by the mouse.

use ratatui::layout::Rect;

/// How much of the header there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderSize {
    /// None: the table alone.
    None,
    /// Two lines: rates, and the rest in one line.
    Small,
    /// Title, rates in one line, protocols.
    Medium,
    /// Title, a line and a graph per direction, protocols.
    Large,
}

/// The parts of the screen from top to bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How the header is drawn.
    pub header_size: HeaderSize,
    /// Totals, rates, state.
    pub header: Rect,
    /// Titles of the columns.
    pub titles: Rect,
    /// Rows.
    pub body: Rect,
    /// Alert and key hints, or the filter being edited.
    pub footer: Rect,
}

/// Columns that one protocol takes in the header.
const PROTOCOL_WIDTH: u16 = 40;

/// Lines of the header that protocols take at most.
const PROTOCOL_LINES: u16 = 2;

/// Protocols that stand side by side in a header `width` wide.
pub fn protocols_per_line(width: u16) -> u16 {
    (width / PROTOCOL_WIDTH).max(1)
}

/// Divides `area`. `protocols` have had traffic; `notices` means that there is
/// something to say about losses.
pub fn plan(area: Rect, protocols: usize, notices: bool) -> Layout {
    let header_size = match (area.width, area.height) {
        (100.., 30..) => HeaderSize::Large,
        (60.., 20..) => HeaderSize::Medium,
        (30.., 10..) => HeaderSize::Small,
        _ => HeaderSize::None,
    };
    let fixed = match header_size {
        HeaderSize::None => 0,
        HeaderSize::Small | HeaderSize::Medium => 2,
        HeaderSize::Large => 3,
    };
    let more = match header_size {
        HeaderSize::Medium | HeaderSize::Large => {
            let protocols = u16::try_from(protocols).unwrap_or(u16::MAX);
            protocols
                .div_ceil(protocols_per_line(area.width))
                .clamp(1, PROTOCOL_LINES)
                + u16::from(notices)
        }
        _ => 0,
    };
    let footer = match area.height {
        20.. => 2,
        4.. => 1,
        _ => 0,
    };
    let titles = u16::from(area.height > 1);
    let mut y = area.y;
    let mut take = |height: u16| {
        let height = height.min(area.bottom() - y);
        let part = Rect::new(area.x, y, area.width, height);
        y += height;
        part
    };
    let header = take(fixed + more);
    let titles = take(titles);
    let body = take(
        area.height
            .saturating_sub(header.height + titles.height + footer),
    );
    let footer = take(footer);
    Layout {
        header_size,
        header,
        titles,
        body,
        footer,
    }
}

impl Layout {
    /// Where details are drawn: in place of the table.
    pub fn table(&self) -> Rect {
        Rect {
            height: self.titles.height + self.body.height,
            ..self.titles
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_cover_every_screen_exactly() {
        for width in 0..220 {
            for height in 0..60 {
                for (protocols, notices) in [(0, false), (2, true), (9, true)] {
                    let area = Rect::new(0, 0, width, height);
                    let layout = plan(area, protocols, notices);
                    let parts = [layout.header, layout.titles, layout.body, layout.footer];
                    assert_eq!(parts.iter().map(|p| p.height).sum::<u16>(), height);
                    assert!(height == 0 || layout.body.height > 0, "{width}x{height}");
                }
            }
        }
    }

    #[test]
    fn small_screens_have_small_headers() {
        let header = |w, h| plan(Rect::new(0, 0, w, h), 2, false).header.height;
        assert_eq!(header(200, 50), 4);
        assert_eq!(header(80, 24), 3);
        assert_eq!(header(40, 12), 2);
        assert_eq!(header(20, 5), 0);
    }
}
