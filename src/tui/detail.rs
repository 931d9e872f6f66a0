//! The details of one row: who it is, what it moved, its last minute, its flows.
//!
//! Draws a [`Details`]; what is in there is `inspect`'s business.

use std::fmt::Write as _;
use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::model::flow::Protocol;
use crate::model::snapshot::{FlowRow, ProcessRow, Snapshot};
use crate::model::tcp::TcpHealth;
use crate::model::units::{self, AMOUNT_WIDTH, RATE_WIDTH};

use super::graph;
use super::help::frame;
use super::history::Series;
use super::inspect::Details;
use super::interface_detail;
use super::paint::Canvas;
use super::pen::Pen;
use super::plot;
use super::render::Scene;
use super::table::{self, Standing};
use super::words;

/// Lines of a graph at least and at most.
const GRAPH: std::ops::RangeInclusive<u16> = 2..=8;

/// Draws the details in place of the table.
pub fn draw(scene: &Scene<'_>, details: &Details, snapshot: &Snapshot, canvas: &mut Canvas<'_>) {
    let area = scene.layout.table();
    frame(scene, area, &title(details, scene.past.is_some()), canvas);
    let inner = Rect::new(
        area.x + 2,
        area.y + 1,
        area.width.saturating_sub(4),
        area.height.saturating_sub(2),
    );
    let mut pen = Pen {
        scene,
        canvas,
        area: inner,
        y: inner.y,
    };
    facts(details, snapshot, &mut pen);
    if let Some(interface) = &details.interface {
        interface_detail::draw(details, interface, &mut pen);
        return;
    }
    // A flow that is the only one of its process is told of above.
    let is_told = |row: &FlowRow| details.flow.is_some_and(|flow| flow.key == row.key);
    let lines = match details.flows.iter().all(is_told) {
        true => 0,
        false => u16::try_from(details.flows.len() + 1).unwrap_or(u16::MAX),
    };
    // What the flows leave, and a third at least, so that these have a line.
    let left = pen.left();
    let spare = left.saturating_sub(lines.saturating_add(1 + 2 * airy(left)));
    let graph = spare.max(left / 3).clamp(*GRAPH.start(), *GRAPH.end());
    let is_past = pen.scene.past.is_some();
    if !is_past && left > graph + 2 * u16::from(lines > 0) {
        graphs(details, graph, &mut pen);
    }
    if lines > 0 {
        flows(details, &mut pen);
    }
}

fn title(details: &Details, is_past: bool) -> String {
    let mut title = String::from(" ");
    if let Some(flow) = &details.flow {
        let _ = write!(title, "{} flow of ", flow.key.protocol);
    }
    if let Some(interface) = &details.interface {
        let _ = write!(title, "{} ", interface.name);
        // Which index it had then nobody knows.
        if !is_past {
            let _ = write!(title, "(index {}) ", interface.index);
        }
        return title;
    }
    match (&details.process, &details.aggregate) {
        // What belongs to nobody, and what the past no longer knows, has none.
        (Some(process), _) if process.id.pid == 0 => {
            let _ = write!(title, "{} ", process.identity.name);
        }
        (Some(process), _) => {
            let _ = write!(title, "{} (pid {}) ", process.identity.name, process.id.pid);
        }
        (None, Some(sum)) => {
            let _ = write!(title, "{} ", sum.name);
        }
        (None, None) => title.push_str("unknown process "),
    }
    title
}

fn facts(details: &Details, snapshot: &Snapshot, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    if details.gone {
        let text = match pen.scene.past {
            Some(_) => "moved nothing at that time; this is what was last shown",
            None => "no longer listed; this is what was last known",
        };
        pen.line("state", text, theme.warning);
    }
    if let Some(flow) = &details.flow {
        for (label, end) in [("local", flow.key.local), ("remote", flow.key.remote)] {
            let mut text = String::new();
            words::push_end(&mut text, end, usize::MAX, theme);
            pen.line(label, &text, theme.strong);
        }
        if flow.closed {
            pen.line("state", "closed", theme.text);
        }
        // Neither another machine nor the past tells of it.
        if flow.key.network_namespace != 0 {
            let space = format!("net:[{}]", flow.key.network_namespace);
            pen.line("namespace", &space, theme.text);
        }
        pen.totals("total", &flow.totals);
        pen.rates(&flow.rates);
        if let Some(tcp) = &flow.tcp {
            health(tcp, pen);
        }
    }
    if let Some(sum) = &details.aggregate {
        let text = match sum.name {
            "[kernel]" => "bytes that kernel threads moved; they are not listed",
            "[exited]" => "bytes of processes that ended and are no longer listed",
            _ => "bytes of processes that found no place in the process map",
        };
        pen.paragraph("what", text, 2);
        pen.totals("total", &sum.totals);
        pen.rates(&sum.rates);
    }
    if let Some(process) = &details.process {
        process_facts(process, details.flow.is_some(), snapshot, pen);
    }
}

/// How a connection fares, as its own end sees it.
fn health(tcp: &TcpHealth, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    let mut text = String::new();
    if tcp.rtt_us == 0 {
        text.push_str("not measured yet");
    } else {
        words::push_time(&mut text, tcp.rtt_us, theme);
        text.push_str(if theme.glyphs.unicode { " ± " } else { " +- " });
        words::push_time(&mut text, tcp.rtt_variance_us, theme);
    }
    pen.line("rtt", &text, theme.text);
    let style = if tcp.lost > 0 {
        theme.warning
    } else {
        theme.text
    };
    let segments = |count| if count == 1 { "segment" } else { "segments" };
    let again = format!(
        "{} {}; {} now thought lost",
        tcp.retransmits,
        segments(tcp.retransmits),
        tcp.lost
    );
    pen.line("retransmit", &again, style);
    let bytes = u64::from(tcp.congestion_window) * u64::from(tcp.send_mss);
    let window = format!(
        "{} {} of {} B: {}",
        tcp.congestion_window,
        segments(tcp.congestion_window),
        tcp.send_mss,
        units::amount(bytes, pen.scene.state.unit)
    );
    pen.line("congestion", &window, theme.text);
}

fn process_facts(
    process: &ProcessRow,
    in_flow: bool,
    snapshot: &Snapshot,
    pen: &mut Pen<'_, '_, '_>,
) {
    let theme = pen.scene.theme;
    let who = &process.identity;
    if !in_flow {
        pen.totals("total", &process.totals);
        pen.rates(&process.rates);
    }
    let third = (pen.area.height / 3).max(1);
    if words::is_unattributed(process) {
        pen.paragraph("why", &who.command, third);
        return;
    }
    pen.paragraph("command", &who.command, third);
    let user = if who.user == who.uid.to_string() {
        format!("uid {}", who.uid)
    } else {
        format!("{} (uid {})", who.user, who.uid)
    };
    pen.line("user", &user, theme.text);
    let start = snapshot.boot + Duration::from_nanos(process.id.start_ns);
    let mut started = format!(
        "{} ago",
        words::elapsed(snapshot.at.wall.saturating_sub(start))
    );
    if process.exited {
        started.push_str("; has exited");
    }
    if process.kernel_thread {
        started.push_str("; kernel thread");
    }
    // The past does not know.
    if pen.scene.past.is_none() && process.id.start_ns != 0 {
        pen.line("started", &started, theme.text);
    }
    let places = [
        ("unit", &who.unit),
        ("container", &who.container),
        ("cgroup", &who.cgroup),
    ];
    for (label, value) in places {
        if let Some(value) = value {
            pen.line(label, value, theme.text);
        }
    }
    let used = Protocol::ALL
        .into_iter()
        .map(|protocol| (protocol, &process.by_protocol[protocol.index()]))
        .filter(|(_, totals)| !totals.is_zero());
    if in_flow {
        pen.totals("process", &process.totals);
    } else {
        for (protocol, totals) in used {
            pen.totals(protocol.name(), totals);
        }
    }
}

/// Empty lines above the graphs, and as many below, where so many are left.
fn airy(left: u16) -> u16 {
    u16::from(left > 12)
}

/// The two directions side by side, each with its own scale.
fn graphs(details: &Details, height: u16, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    let airy = airy(pen.left());
    pen.y += airy;
    let gap = 3;
    let width = (pen.area.width.saturating_sub(gap) / 2).min(90);
    let left = Rect::new(pen.area.x, pen.y, width, height + 1);
    let right = Rect {
        x: left.right() + gap,
        ..left
    };
    minute(left, theme.glyphs.tx, &details.minute.tx, theme.tx, pen);
    minute(right, theme.glyphs.rx, &details.minute.rx, theme.rx, pen);
    pen.y += height + 1 + airy;
}

/// One direction: a line of text with a graph under it.
pub fn minute(area: Rect, glyph: &str, series: &Series, style: Style, pen: &mut Pen<'_, '_, '_>) {
    let peak = graph::peak(series);
    let shown = units::rate(peak.into(), pen.scene.state.unit);
    let [long, short, least] = ["last minute, peak ", "peak ", ""];
    let fits = |words: &&str| {
        let columns = glyph.width() + 1 + words.len() + shown.len();
        columns <= usize::from(area.width)
    };
    let words = [long, short].into_iter().find(fits).unwrap_or(least);
    let text = format!("{glyph} {words}{shown}");
    let canvas = &mut *pen.canvas;
    canvas.text(area.x, area.y, area.width, &text, pen.scene.theme.muted);
    let plot = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    plot::minute(series, plot, style, pen.scene.theme.muted, canvas);
}

/// The flows, as many as fit, from the scrolled one on.
fn flows(details: &Details, pen: &mut Pen<'_, '_, '_>) {
    let theme = pen.scene.theme;
    let unit = pen.scene.state.unit;
    if pen.left() >= 2 {
        let count = details.flows.len();
        let text = format!("{count} {}", words::noun(super::state::Page::Flows, count));
        pen.canvas
            .text(pen.area.x, pen.y, pen.area.width, &text, theme.muted);
        pen.y += 1;
    }
    let area = pen.area;
    let rate_width = RATE_WIDTH as u16;
    let amount_width = AMOUNT_WIDTH as u16;
    // From right to left, as fits: total, both rates; the ends take the rest.
    let with_total = area.width >= 90;
    let with_rates = area.width >= 56;
    let numbers =
        u16::from(with_rates) * 2 * (rate_width + 1) + u16::from(with_total) * (amount_width + 1);
    let ends = area.width.saturating_sub(numbers + 2 + 7);
    let each = usize::from(ends.saturating_sub(3) / 2);
    let arrow = if theme.glyphs.unicode { " ⇄ " } else { " - " };
    let shown = details.flows.iter().skip(pen.scene.state.detail_offset);
    for flow in shown.take(usize::from(pen.left())) {
        let y = pen.y;
        let standing = Standing::new(flow.anomalous, flow.closed);
        if let Some((mark, style)) = standing.mark(theme) {
            pen.canvas.symbol(area.x, y, mark, style);
        }
        let style = |usual| standing.style(usual, theme);
        let name = flow.key.protocol.name();
        pen.canvas.text(area.x + 2, y, 6, name, style(theme.muted));
        let mut text = String::new();
        words::push_end(&mut text, flow.key.local, each, theme);
        text.push_str(arrow);
        words::push_end(&mut text, flow.key.remote, each, theme);
        pen.canvas
            .text(area.x + 9, y, ends, &text, style(theme.text));
        let mut x = area.right().saturating_sub(numbers);
        if with_rates {
            for (rate, usual) in [(flow.rates.tx, theme.tx), (flow.rates.rx, theme.rx)] {
                let usual = if rate < 0.5 { theme.muted } else { usual };
                table::rate(pen.canvas, x + 1, y, rate_width, rate, unit, style(usual));
                x += rate_width + 1;
            }
        }
        if with_total {
            let total = units::amount(flow.totals.bytes(), unit);
            pen.canvas
                .right(x + 1, y, amount_width, &total, style(theme.text));
        }
        pen.y += 1;
    }
}
