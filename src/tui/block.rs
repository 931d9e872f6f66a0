//! The block of one interface: name and rates, graphs, sums, protocols; or the line
//! of an idle one.
//!
//! Draws what the height it is given has room for. That of one among many is `line`'s.

mod line;

use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::model::interface::{Class, Hook, Interface, Pace, Sampled, WayPace};
use crate::model::units::{self, RATE_WIDTH};

use super::blocks::Parts;
use super::graph;
use super::history::{Minute, Series};
use super::paint::Canvas;
use super::plot;
use super::render::Scene;
use super::table;
use super::words::{self, PACKETS_WIDTH};

/// Between the graphs of both directions.
const GAP: u16 = 3;

/// Before the highest rate of a graph with room for all these words.
const MINUTE: &str = "last minute, max ";

/// The same with room for few.
const MOST: &str = "max ";

/// Columns beside the numbers from which there is: with how it is sampled, too.
const LONG: u16 = 60;

/// Columns of a direction's rate and packets.
const NUMBERS: u16 = (2 + RATE_WIDTH + PACKETS_WIDTH) as u16;

/// Columns of a direction from which its scale stands beside them; below, beside the graph.
const WITH_SCALE: u16 = NUMBERS + GAP + (MOST.len() + RATE_WIDTH) as u16;

/// From this width of the page on the two directions stand side by side with their
/// numbers; below, the numbers are on the right.
const ROOMY: u16 = 60;

/// From this width on every line of a block begins under its graph.
const WIDE: u16 = 120;

/// Columns of a class with both directions, and with their sum. Names and rates that are
/// rarely so long make one longer.
const CELL: [u16; 2] = [30, 19];

/// What a block tells apart, what one looks for first: the web is a part of the two
/// before.
const CELLS: [(&str, &[Class]); 6] = [
    ("tcp", &[Class::Tcp]),
    ("udp", &[Class::Udp]),
    ("https", &[Class::Https]),
    ("http", &[Class::Http]),
    ("icmp", &[Class::Icmp]),
    ("other", &[Class::OtherIp, Class::NotIp]),
];

/// One interface, and where it is drawn.
pub struct Block<'a, 'b, 'c> {
    /// What the frame depends on.
    pub scene: &'a Scene<'b>,
    /// What it is about.
    pub row: &'a Interface,
    /// Its last minute.
    pub minute: &'a Minute,
    /// A person selected it.
    pub selected: bool,
    /// What may be written on.
    pub area: Rect,
    /// Columns of the name.
    pub name: u16,
    /// Where it is drawn.
    pub canvas: &'a mut Canvas<'c>,
}

impl Block<'_, '_, '_> {
    /// Draws the line of one that never moved anything.
    pub fn idle(&mut self) {
        let theme = self.scene.theme;
        self.mark(theme.muted);
        let x = self.area.x + 3 + self.name;
        let room = self.area.right().saturating_sub(x);
        let style = self.over(theme.muted);
        let text = ["idle: nothing has moved", "idle"];
        let fits = |text: &&&str| text.len() <= usize::from(room);
        if let Some(text) = text.iter().find(fits) {
            self.canvas.text(x, self.area.y, room, text, style);
        }
    }

    /// Draws a block as high as its area.
    pub fn draw(&mut self) {
        self.mark(self.scene.theme.strong);
        let Rect { width, height, .. } = self.area;
        let has_graphs = self.scene.past.is_none();
        let parts = Parts::new(height, self.row.sampled.is_some(), has_graphs);
        let text_at = if width >= WIDE { 3 + self.name } else { 2 };
        let at = if width >= ROOMY { 3 + self.name } else { 2 };
        let each = width.saturating_sub(at + GAP + 1) / 2;
        let [left, right] = [0, each + GAP].map(|x| Rect {
            x: self.area.x + at + x,
            y: self.area.y + 1,
            width: each,
            height: parts.graph,
        });
        let sampled = self.row.sampled.as_ref();
        let aside = sampled.and_then(|sampled| match parts.classes {
            true => hook(self.scene, sampled),
            false => line::most(sampled),
        });
        let is_beside = |text: &String| self.has_room_beside(text, right.width);
        let (beside, below) = match aside.filter(|_| width >= ROOMY) {
            Some(text) if is_beside(&text) => (Some(text), None),
            aside => (None, aside),
        };
        if width >= ROOMY {
            self.directions(left, right, beside.as_deref());
        } else {
            self.few_numbers();
        }
        let theme = self.scene.theme;
        for (series, area, style) in [
            (&self.minute.tx, left, theme.tx),
            (&self.minute.rx, right, theme.rx),
        ] {
            if has_graphs && each >= WITH_SCALE {
                plot::minute(series, area, style, theme.muted, self.canvas);
            } else if has_graphs {
                let unit = self.scene.state.unit;
                plot::scaled(series, area, unit, [style, theme.muted], self.canvas);
            }
        }
        let mut line = Rect {
            x: self.area.x + text_at,
            y: self.area.y + 1 + parts.graph,
            width: width.saturating_sub(text_at + 1),
            height: 1,
        };
        if parts.numbers {
            self.numbers(line);
            line.y += 1;
        }
        if let Some(sampled) = sampled.filter(|_| parts.classes) {
            self.classes(sampled, below.as_deref(), line);
        }
    }

    /// The name, and that the block is selected.
    fn mark(&mut self, style: Style) {
        let theme = self.scene.theme;
        if self.selected {
            let line = Rect {
                height: 1,
                ..self.area
            };
            self.canvas.tint(line, theme.selected);
            let (x, y) = (self.area.x, self.area.y);
            let style = theme.strong.patch(theme.selected);
            self.canvas.symbol(x, y, theme.glyphs.selected, style);
        }
        let room = self.name.min(self.area.width.saturating_sub(2));
        let style = self.over(style);
        let (x, y) = (self.area.x + 2, self.area.y);
        self.canvas.text(x, y, room, &self.row.name, style);
    }

    /// A style of the first line. On a selected one quantities keep their hue, and all
    /// else gets a colour that is readable on its background.
    fn over(&self, usual: Style) -> Style {
        if !self.selected {
            return usual;
        }
        usual.patch(self.scene.theme.selected)
    }

    fn hued(&self, usual: Style) -> Style {
        Style {
            fg: usual.fg.or(self.over(usual).fg),
            ..self.over(usual)
        }
    }

    /// Both directions, each over its graph, and a text beside the second.
    fn directions(&mut self, left: Rect, right: Rect, beside: Option<&str>) {
        let theme = self.scene.theme;
        let row = self.row;
        for (glyph, rate, packets, series, style, area) in [
            (
                theme.glyphs.tx,
                row.rates.tx,
                row.tx_packets,
                &self.minute.tx,
                theme.tx,
                left,
            ),
            (
                theme.glyphs.rx,
                row.rates.rx,
                row.rx_packets,
                &self.minute.rx,
                theme.rx,
                right,
            ),
        ] {
            let x = self.rate(area.x, glyph, rate, style);
            self.beside(x, area, packets, series);
        }
        if let Some(text) = beside {
            let style = self.over(theme.muted);
            self.canvas
                .right(right.x, self.area.y, right.width, text, style);
        }
    }

    /// A direction's glyph and rate; gives the column after.
    fn rate(&mut self, x: u16, glyph: &str, rate: f64, style: Style) -> u16 {
        let theme = self.scene.theme;
        let shown = if rate < 0.5 { theme.muted } else { style };
        let (y, width) = (self.area.y, RATE_WIDTH as u16);
        let hued = self.hued(shown);
        self.canvas.symbol(x, y, glyph, self.hued(style));
        let unit = self.scene.state.unit;
        table::rate(self.canvas, x + 1, y, width, rate, unit, hued);
        x + 1 + width
    }

    /// Packets and the highest of the minute, as far as there is room, after column `x` of
    /// a direction.
    fn beside(&mut self, x: u16, area: Rect, packets: f64, series: &Series) {
        let unit = self.scene.state.unit;
        let style = self.over(self.scene.theme.muted);
        let y = self.area.y;
        let width = PACKETS_WIDTH as u16;
        if x + 1 + width > area.right() {
            return;
        }
        let text = words::packets(packets);
        self.canvas.right(x + 1, y, width, &text, style);
        if self.scene.past.is_some() || area.width < WITH_SCALE {
            return;
        }
        let x = x + 1 + width + GAP;
        let room = area.right() - x;
        // That a graph is of a minute is said where it is seen to be long.
        let words = if room >= LONG { MINUTE } else { MOST };
        let text = format!("{words}{}", units::rate(graph::peak(series).into(), unit));
        self.canvas.text(x, y, room, &text, style);
    }

    /// Whether a text has room in the first line, beside all the numbers of a direction.
    fn has_room_beside(&self, text: &str, width: u16) -> bool {
        let scale = match self.scene.past {
            Some(_) => 0,
            None => GAP + (MINUTE.len() + RATE_WIDTH) as u16,
        };
        NUMBERS + scale + GAP + text.width() as u16 <= width
    }

    /// Where there is little room: both rates on the right, or their sum.
    fn few_numbers(&mut self) {
        let theme = self.scene.theme;
        let each = RATE_WIDTH as u16 + 1;
        let right = self.area.right();
        let room = self.area.width.saturating_sub(2 + self.name);
        let rates = &self.row.rates;
        if room >= 2 * each + 2 {
            let x = self.rate(right - 2 * each - 1, theme.glyphs.tx, rates.tx, theme.tx);
            self.rate(x + 1, theme.glyphs.rx, rates.rx, theme.rx);
        } else if room >= each {
            let x = right - each;
            let glyph = if room > each { theme.glyphs.sum } else { "" };
            self.rate(x, glyph, rates.tx + rates.rx, theme.strong);
        }
    }

    /// Average, peak, totals and for how long; what does not fit is left out.
    fn numbers(&mut self, line: Rect) {
        let theme = self.scene.theme;
        let unit = self.scene.state.unit;
        let row = self.row;
        let totals = &row.totals;
        let (tx, rx) = (theme.glyphs.tx, theme.glyphs.rx);
        let average = format!("avg {}", units::rate(row.average(), unit));
        let peak = format!("peak {}", units::rate(row.peak, unit));
        let total = format!(
            "total {tx} {} {rx} {}",
            units::amount(totals.tx_bytes, unit),
            units::amount(totals.rx_bytes, unit)
        );
        let with_time = format!("{total} in {}", words::elapsed(row.uptime));
        let packets = format!(
            "{tx} {} {rx} {} packets",
            totals.tx_operations, totals.rx_operations
        );
        let mut x = line.x;
        for texts in [&[average][..], &[peak], &[with_time, total], &[packets]] {
            let gap = if x == line.x { 0 } else { GAP };
            let room = line.right().saturating_sub(x + gap);
            let fits = |text: &&String| text.width() <= usize::from(room);
            let Some(text) = texts.iter().find(fits) else {
                return;
            };
            if gap > 0 {
                let separator = theme.glyphs.separator;
                self.canvas.symbol(x + 1, line.y, separator, theme.muted);
            }
            x = self.canvas.text(x + gap, line.y, room, text, theme.text);
        }
    }

    /// A cell for each class that ever moved; what does not fit is left out.
    fn classes(&mut self, sampled: &Sampled, hook: Option<&str>, line: Rect) {
        let theme = self.scene.theme;
        let mut x = line.x;
        if let Some(hook) = hook {
            x = self.canvas.text(x, line.y, line.width, hook, theme.muted) + 2;
        }
        let room = line.right().saturating_sub(x);
        let has_moved = |classes: &&[Class]| {
            let moved =
                |class: &Class| sampled.tx.of(*class).packets + sampled.rx.of(*class).packets;
            classes.iter().any(|class| moved(class) > 0)
        };
        let cells: Vec<_> = CELLS
            .iter()
            .filter(|(_, classes)| has_moved(classes))
            .collect();
        let both = cells.len() as u16 * CELL[0] <= room;
        let width = if both { CELL[0] } else { CELL[1] };
        for (name, classes) in cells {
            if x + width > line.right() + 1 {
                break;
            }
            let tx = sum(&sampled.tx_pace, classes);
            let rx = sum(&sampled.rx_pace, classes);
            let room = line.right() - x;
            let cell = Rect {
                x,
                width: room,
                ..line
            };
            x = self.class(name, tx, rx, both, cell).max(x + width);
        }
    }

    /// One of them; gives the column after it and a gap.
    fn class(&mut self, name: &str, tx: Pace, rx: Pace, both: bool, cell: Rect) -> u16 {
        let theme = self.scene.theme;
        let unit = self.scene.state.unit;
        let y = cell.y;
        let left = |x: u16| cell.right().saturating_sub(x);
        let mut x = self.canvas.text(cell.x, y, left(cell.x), name, theme.text) + 1;
        let quantities = if both {
            vec![
                (theme.glyphs.tx, tx.bytes, theme.tx),
                (theme.glyphs.rx, rx.bytes, theme.rx),
            ]
        } else {
            vec![("", tx.bytes + rx.bytes, theme.strong)]
        };
        for (glyph, value, style) in quantities {
            let style = if value < 0.5 { theme.muted } else { style };
            let text = units::rate(value, unit);
            x = self.canvas.text(x, y, left(x), glyph, style);
            x = self.canvas.text(x, y, left(x), &text, style) + 1;
        }
        x
    }
}

/// What sees the packets of both directions; the past does not tell.
pub fn hook(scene: &Scene<'_>, sampled: &Sampled) -> Option<String> {
    let Hook {
        ingress, egress, ..
    } = &*sampled.hook;
    let is_told = scene.past.is_none();
    is_told.then(|| match ingress == egress {
        true => egress.clone(),
        false => format!("{ingress} + {egress}"),
    })
}

fn sum(pace: &WayPace, classes: &[Class]) -> Pace {
    let mut sum = Pace::default();
    for class in classes {
        sum += pace.of(*class);
    }
    sum
}
