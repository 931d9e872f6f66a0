//! Where the blocks of the interfaces lie: how high one is, which are visible, and
//! what there is room for in one.
//!
//! Pure arithmetic, shared by drawing, keys and mouse. Writes nothing.

use ratatui::layout::Rect;

use super::layout::Layout;
use super::view::View;

/// Lines of a block at most: more would not tell more.
const HIGHEST: u16 = 14;

/// The same where there are no graphs.
const HIGHEST_PLAIN: u16 = 4;

/// Lines of a block at least: its first, and a graph or numbers. Below it is a list.
const LOWEST: u16 = 2;

/// The part of the page that idle interfaces may have, when there are too many for
/// all of them: one in this many lines.
const IDLE_SHARE: u16 = 3;

/// Blocks of about one height, or a line for each where these do not fit; and after them
/// a line for each idle interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    area: Rect,
    /// Lines of a block.
    height: u16,
    /// The first so many blocks have a line more, so that none is left over.
    higher: usize,
    /// Number of blocks.
    active: usize,
    /// Number of blocks and lines.
    rows: usize,
}

impl Blocks {
    /// The blocks of a view, as high as its page allows; with graphs or without.
    pub fn plan(layout: &Layout, view: &View, graphs: bool) -> Blocks {
        Blocks::new(layout.body, view.active, view.rows.len(), graphs)
    }

    fn new(area: Rect, active: usize, rows: usize, graphs: bool) -> Blocks {
        let highest = if graphs { HIGHEST } else { HIGHEST_PLAIN };
        let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let idle = count(rows - active).min(area.height / IDLE_SHARE);
        let room = area.height - idle;
        let each = room / count(active).max(1);
        let height = each.clamp(1, highest);
        let shared = (LOWEST..highest).contains(&each);
        let left = room.saturating_sub(count(active).saturating_mul(height));
        Blocks {
            area,
            height,
            higher: if shared { left.into() } else { 0 },
            active,
            rows,
        }
    }

    /// There is no room for more than a line each.
    pub fn is_list(&self) -> bool {
        self.height < LOWEST
    }

    fn height_of(&self, row: usize) -> u16 {
        if row < self.active {
            self.height + u16::from(row < self.higher)
        } else {
            1
        }
    }

    /// The rows from `offset` on that are visible, and where. The last may be cut.
    pub fn visible(self, offset: usize) -> impl Iterator<Item = (usize, Rect)> {
        let mut y = self.area.y;
        (offset..self.rows).map_while(move |row| {
            let left = self.area.bottom().saturating_sub(y);
            let height = self.height_of(row).min(left);
            let area = Rect {
                y,
                height,
                ..self.area
            };
            y += height;
            (height > 0).then_some((row, area))
        })
    }

    /// How many rows from `offset` on are visible as a whole, at least 1.
    pub fn whole(&self, offset: usize) -> usize {
        let rows = self.visible(offset);
        let whole = rows.filter(|(row, area)| area.height == self.height_of(*row));
        whole.count().max(1)
    }

    /// The least offset at which `row` is visible as a whole.
    pub fn least_offset(&self, row: usize) -> usize {
        let mut used = 0;
        let fits = |above: &usize| {
            used += self.height_of(*above);
            used <= self.area.height
        };
        let before = (0..=row).rev().take_while(fits).count();
        (row + 1).saturating_sub(before.max(1))
    }

    /// The row at a line of the screen.
    pub fn at(&self, offset: usize, y: u16) -> Option<usize> {
        let mut rows = self.visible(offset);
        rows.find(|(_, area)| (area.top()..area.bottom()).contains(&y))
            .map(|(row, _)| row)
    }
}

/// The lines of a block below the first: of graphs, and whether there are numbers and
/// classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Lines of graphs.
    pub graph: u16,
    /// A line of average, peak and totals.
    pub numbers: bool,
    /// A line of protocols.
    pub classes: bool,
}

impl Parts {
    /// What a block of `height` lines has room for, and of graphs if there are any.
    pub fn new(height: u16, sampled: bool, graphs: bool) -> Parts {
        // A graph has two lines before there is anything below it.
        let least = if graphs { 4 } else { 2 };
        let numbers = height >= least;
        let classes = height > least && sampled;
        // A high block has an empty line below it.
        let others = 1 + u16::from(numbers) + u16::from(classes) + u16::from(height >= 7);
        Parts {
            graph: if graphs {
                height.saturating_sub(others)
            } else {
                0
            },
            numbers,
            classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(lines: u16, active: usize, idle: usize) -> Blocks {
        Blocks::new(Rect::new(0, 5, 80, lines), active, active + idle, true)
    }

    fn heights(blocks: Blocks, offset: usize) -> Vec<u16> {
        blocks
            .visible(offset)
            .map(|(_, area)| area.height)
            .collect()
    }

    #[test]
    fn blocks_share_what_there_is() {
        assert_eq!(heights(blocks(40, 1, 1), 0), [14, 1]);
        assert_eq!(heights(blocks(16, 2, 2), 0), [7, 7, 1, 1]);
        assert_eq!(heights(blocks(18, 3, 2), 0), [6, 5, 5, 1, 1]);
        assert_eq!(heights(blocks(9, 4, 0), 0), [3, 2, 2, 2]);
        // Too many: a line each.
        assert_eq!(heights(blocks(10, 6, 0), 0), [1; 6]);
        assert_eq!(heights(blocks(10, 99, 0), 0), [1; 10]);
        assert_eq!(heights(blocks(3, 2, 1), 0), [1; 3]);
        // Many idle ones do not take the blocks' room.
        assert_eq!(heights(blocks(9, 1, 30), 0), [6, 1, 1, 1]);
        assert_eq!(heights(blocks(9, 0, 0), 0), [0; 0]);
        assert_eq!(heights(blocks(0, 3, 3), 0), [0; 0]);
        for (lines, active, list) in [(10, 5, false), (10, 6, true), (9, 0, false), (0, 1, true)] {
            assert_eq!(blocks(lines, active, 0).is_list(), list, "{lines} {active}");
        }
        // Without graphs they are lower.
        let plain = Blocks::new(Rect::new(0, 0, 80, 16), 2, 3, false);
        assert_eq!(heights(plain, 0), [4, 4, 1]);
    }

    #[test]
    fn the_last_row_can_be_reached_and_nothing_is_left_empty() {
        for lines in 0..30 {
            for (active, idle) in [(1, 0), (3, 2), (0, 9), (40, 40)] {
                let blocks = blocks(lines, active, idle);
                for row in 0..active + idle {
                    let least = blocks.least_offset(row);
                    assert!(least <= row);
                    if lines > 0 {
                        let seen = blocks.visible(least).any(|(seen, _)| seen == row);
                        assert!(seen, "{lines} {active} {idle} {row}");
                    }
                    assert!(blocks.whole(least) >= 1);
                }
            }
        }
    }

    #[test]
    fn lines_belong_to_rows() {
        let blocks = blocks(16, 2, 2);
        assert_eq!(blocks.at(0, 4), None);
        assert_eq!(blocks.at(0, 5), Some(0));
        assert_eq!(blocks.at(0, 12), Some(1));
        assert_eq!(blocks.at(0, 20), Some(3));
        assert_eq!(blocks.at(0, 21), None);
        assert_eq!(blocks.at(2, 6), Some(3));
    }

    #[test]
    fn a_block_grows_from_its_first_line_on() {
        let parts = |height, sampled| {
            let Parts {
                graph,
                numbers,
                classes,
            } = Parts::new(height, sampled, true);
            (graph, numbers, classes)
        };
        for (height, plain, sampled) in [
            (1, (0, false, false), (0, false, false)),
            (3, (2, false, false), (2, false, false)),
            (4, (2, true, false), (2, true, false)),
            (5, (3, true, false), (2, true, true)),
            (6, (4, true, false), (3, true, true)),
            (7, (4, true, false), (3, true, true)),
            (14, (11, true, false), (10, true, true)),
        ] {
            assert_eq!(parts(height, false), plain, "{height}");
            assert_eq!(parts(height, true), sampled, "{height}");
        }
        let plain = |height| Parts::new(height, true, false);
        let expected = [
            (1, false, false),
            (2, true, false),
            (3, true, true),
            (4, true, true),
        ];
        for (height, numbers, classes) in expected {
            let parts = Parts {
                graph: 0,
                numbers,
                classes,
            };
            assert_eq!(plain(height), parts, "{height}");
        }
    }
}
