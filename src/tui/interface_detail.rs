//! The details of an interface: what it moved, how it is sampled, a large graph, and
//! a table of what a sampler tells apart.
//!
//! Draws a [`Details`] of an interface; those of rows are `detail`'s business.

use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::model::interface::{Class, Interface, Sampled};
use crate::model::units::{self, AMOUNT_WIDTH, RATE_WIDTH};

use super::block;
use super::detail;
use super::inspect::Details;
use super::pen::Pen;
use super::words::{self, PACKETS_WIDTH};

/// Lines of a graph below which the two stand side by side: with their titles.
const STACKED: u16 = 5;

/// From this height of the box on there is room for more than graphs.
const ROOMY: u16 = 10;

/// From this width of the box on packets stand beside the rates.
const WITH_PACKETS: u16 = 70;

/// Columns of a class's name.
const CLASS: u16 = 10;

/// Draws everything inside the box.
pub fn draw(details: &Details, row: &Interface, pen: &mut Pen<'_, '_, '_>) {
    facts(row, pen);
    let is_past = pen.scene.past.is_some();
    let lines = row.sampled.as_ref().map_or(0, |_| Class::COUNT as u16 + 3);
    // The table scrolls, so the graphs have a few lines at least.
    let left = pen.left();
    let least = (left / 2).clamp(left.min(3), 4);
    let graphs = left.saturating_sub(lines).max(least);
    if !is_past && graphs >= 3 {
        draw_graphs(details, graphs, pen);
    }
    if let Some(sampled) = &row.sampled {
        classes(sampled, pen);
    }
}

fn facts(row: &Interface, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    let unit = pen.scene.state.unit;
    pen.counts("total", &row.totals, Some(["packets", "pkt"]));
    now(row, pen);
    // Where the graphs would have no room the rest is on the page before.
    if pen.area.height < ROOMY {
        return;
    }
    let average = format!(
        "{} over {}, peak {}",
        units::rate(row.average(), unit),
        words::elapsed(row.uptime),
        units::rate(row.peak, unit)
    );
    pen.line("average", &average, theme.text);
    match &row.sampled {
        Some(sampled) => {
            if let Some(hook) = block::hook(pen.scene, sampled) {
                let text = format!("{hook}, for {}", words::elapsed(sampled.uptime));
                pen.line("sampled", &text, theme.text);
                pen.paragraph("why so", &sampled.hook.reason, 3);
            }
        }
        None if pen.scene.past.is_some() => {
            pen.line("sampled", "not at that time", theme.muted);
        }
        None => unsampled(row, pen),
    }
}

/// Why its packets are not told apart, or what would do it.
fn unsampled(row: &Interface, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    if let Some(why) = &row.unsampled {
        pen.line("sampled", "no", theme.warning);
        pen.paragraph("why not", why, 4);
        return;
    }
    let text = match pen.scene.place {
        _ if pen.scene.is_estimated() => "no: not with --engine packet".to_owned(),
        Some(_) => "no: its netmon serve would need --iface".to_owned(),
        None => format!("no: netmon --iface {} tells protocols apart", row.name),
    };
    pen.line("sampled", &text, theme.muted);
}

/// Rates and packets of both directions, in the columns of the totals.
fn now(row: &Interface, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    let unit = pen.scene.state.unit;
    let ways = [
        (theme.glyphs.tx, row.rates.tx, row.tx_packets),
        (theme.glyphs.rx, row.rates.rx, row.rx_packets),
    ];
    let [tx, rx] = ways.map(|(glyph, rate, packets)| {
        let rate = units::rate(rate, unit);
        (
            format!("{glyph}{rate}"),
            format!("{glyph}{rate:>RATE_WIDTH$} {}", words::packets(packets)),
        )
    });
    let text = if pen.area.width >= WITH_PACKETS {
        let half = usize::from(pen.half());
        format!("{:<half$}{}", tx.1, rx.1)
    } else {
        format!("{} {}", tx.0, rx.0)
    };
    pen.line(pen.rate_label(), &text, theme.text);
}

/// Both directions in `lines` lines: one under the other over the whole width where
/// there is room, else side by side.
fn draw_graphs(details: &Details, lines: u16, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    let ways = [
        (theme.glyphs.tx, &details.minute.tx, theme.tx),
        (theme.glyphs.rx, &details.minute.rx, theme.rx),
    ];
    let top = pen.y;
    let each = lines / 2;
    if each > STACKED {
        for (at, (glyph, series, style)) in (0u16..).zip(ways) {
            let area = Rect::new(pen.area.x, top + at * each, pen.area.width, each);
            detail::minute(area, glyph, series, style, pen);
        }
    } else {
        let gap = 3;
        let width = pen.area.width.saturating_sub(gap) / 2;
        for (at, (glyph, series, style)) in (0u16..).zip(ways) {
            let x = pen.area.x + at * (width + gap);
            let area = Rect::new(x, top, width, lines);
            detail::minute(area, glyph, series, style, pen);
        }
    }
    pen.y = top + lines;
}

/// A column of the table: title, width, and whether it is of what is sent.
struct Column {
    title: &'static str,
    width: u16,
    sent: bool,
    value: fn(&Sampled, Class, bool, units::Unit) -> String,
}

const COLUMNS: [Column; 6] = [
    Column::new("RATE", RATE_WIDTH, true, rate),
    Column::new("RATE", RATE_WIDTH, false, rate),
    Column::new("TOTAL", AMOUNT_WIDTH, true, total),
    Column::new("TOTAL", AMOUNT_WIDTH, false, total),
    Column::new("PACKETS", PACKETS_WIDTH, true, packets),
    Column::new("PACKETS", PACKETS_WIDTH, false, packets),
];

impl Column {
    const fn new(
        title: &'static str,
        width: usize,
        sent: bool,
        value: fn(&Sampled, Class, bool, units::Unit) -> String,
    ) -> Column {
        Column {
            title,
            width: width as u16,
            sent,
            value,
        }
    }
}

fn rate(sampled: &Sampled, class: Class, sent: bool, unit: units::Unit) -> String {
    let pace = if sent {
        &sampled.tx_pace
    } else {
        &sampled.rx_pace
    };
    units::rate(pace.of(class).bytes, unit).to_string()
}

fn total(sampled: &Sampled, class: Class, sent: bool, unit: units::Unit) -> String {
    let way = if sent { &sampled.tx } else { &sampled.rx };
    units::amount(way.of(class).bytes, unit).to_string()
}

fn packets(sampled: &Sampled, class: Class, sent: bool, _: units::Unit) -> String {
    let way = if sent { &sampled.tx } else { &sampled.rx };
    way.of(class).packets.to_string()
}

/// The classes as the table has them: the web is a part of the two before.
const CLASSES: [Class; Class::COUNT] = [
    Class::Tcp,
    Class::Udp,
    Class::Https,
    Class::Http,
    Class::Icmp,
    Class::OtherIp,
    Class::NotIp,
];

fn title(class: Class) -> &'static str {
    match class {
        Class::OtherIp => "other IP",
        Class::NotIp => "not IP",
        Class::Http => " http",
        Class::Https => " https",
        _ => class.name(),
    }
}

/// What the table counts, and what the lines above it.
const COUNTED: [&str; 2] = [
    "here each segment has its headers; above, a train of segments is one frame",
    "segments here, frames above",
];

/// What the sampler tells apart, from the scrolled line on.
fn classes(sampled: &Sampled, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    let unit = pen.scene.state.unit;
    let area = pen.area;
    if pen.left() < 2 {
        return;
    }
    // Before it an empty line, if that hides nothing, and why its sums are not those above.
    pen.y += u16::from(usize::from(pen.left()) > Class::COUNT + 2);
    if pen.left() > 4 {
        let fits = |text: &&&str| text.width() <= usize::from(area.width);
        if let Some(text) = COUNTED.iter().find(fits) {
            pen.canvas
                .text(area.x, pen.y, area.width, text, theme.muted);
            pen.y += 1;
        }
    }
    let glyph = |sent| {
        if sent {
            theme.glyphs.tx
        } else {
            theme.glyphs.rx
        }
    };
    let mut x = area.x + CLASS;
    let mut shown = Vec::new();
    // Both directions or none.
    for pair in COLUMNS.chunks(2) {
        let width: u16 = pair.iter().map(|column| column.width + 2).sum();
        if x + width > area.right() + 2 {
            break;
        }
        for column in pair {
            shown.push((x, column));
            x += column.width + 2;
        }
    }
    pen.canvas
        .text(area.x, pen.y, area.width, "CLASS", theme.muted);
    for (x, column) in &shown {
        let text = format!("{} {}", glyph(column.sent), column.title);
        pen.canvas
            .right(*x, pen.y, column.width, &text, theme.muted);
    }
    pen.y += 1;
    let visible = usize::from(pen.left());
    let has_moved =
        |class: &Class| sampled.tx.of(*class).packets + sampled.rx.of(*class).packets > 0;
    let mut classes = CLASSES.to_vec();
    if visible < classes.len() {
        classes.retain(has_moved);
    }
    let offset = pen.scene.state.detail_offset;
    let offset = offset.min(classes.len().saturating_sub(visible));
    for class in classes.into_iter().skip(offset).take(visible) {
        let y = pen.y;
        let moved = has_moved(&class);
        let style = |usual: Style| if moved { usual } else { theme.muted };
        let name = title(class);
        pen.canvas
            .text(area.x, y, name.width() as u16, name, style(theme.strong));
        for (x, column) in &shown {
            let usual = if column.sent { theme.tx } else { theme.rx };
            let text = (column.value)(sampled, class, column.sent, unit);
            pen.canvas.right(*x, y, column.width, &text, style(usual));
        }
        pen.y += 1;
    }
}
