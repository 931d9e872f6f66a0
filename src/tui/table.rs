//! The table: titles, and the rows that are visible.
//!
//! Formats exactly the cells it draws, straight into the buffer. Neither sorts
//! nor filters.

use std::fmt::Write as _;

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::model::flow::Totals;
use crate::model::snapshot::{FlowRow, ProcessRow, Rates};
use crate::model::units::{self, Unit};

use super::columns::{self, Column, Place};
use super::order::{self, Row};
use super::paint::Canvas;
use super::render::Scene;
use super::theme::Theme;
use super::view::View;
use super::words;

/// Draws titles and rows where the layout has them.
pub fn draw(scene: &Scene<'_>, view: &View, canvas: &mut Canvas<'_>) {
    let places = columns::fit(scene.state.page, scene.layout.body.width, view.contents);
    titles(scene, &places, canvas);
    let body = scene.layout.body;
    let mut painter = Painter {
        theme: scene.theme,
        unit: scene.state.unit,
        view,
        scratch: String::with_capacity(64),
    };
    let offset = scene.state.offset;
    let visible = view.rows.iter().enumerate().skip(offset);
    for (y, (index, row)) in (body.y..body.bottom()).zip(visible) {
        let line = Rect::new(body.x, y, body.width, 1);
        let selected = scene.selected == Some(index);
        painter.row(*row, selected, &places, line, canvas);
    }
}

fn titles(scene: &Scene<'_>, places: &[Place], canvas: &mut Canvas<'_>) {
    let area = scene.layout.titles;
    if area.height == 0 {
        return;
    }
    let theme = scene.theme;
    canvas.tint(area, theme.title);
    let sort = scene.state.sort();
    for place in places {
        let arrow = match place.column {
            Column::Tx => theme.glyphs.tx,
            Column::Rx => theme.glyphs.rx,
            _ => "",
        };
        let space = if arrow.is_empty() { "" } else { " " };
        let title = place.column.title();
        let (style, order) = if sort.column != place.column {
            (theme.title, "")
        } else if sort.descending {
            (theme.sorted, theme.glyphs.descending)
        } else {
            (theme.sorted, theme.glyphs.ascending)
        };
        let text = if place.column.is_number() {
            format!("{order}{arrow}{space}{title}")
        } else {
            format!("{title}{order}")
        };
        if sort.column == place.column {
            let cell = Rect::new(place.x, area.y, place.width, 1);
            canvas.tint(cell, theme.sorted);
        }
        if place.column.is_number() {
            canvas.right(place.x, area.y, place.width, &text, style);
        } else {
            canvas.text(place.x, area.y, place.width, &text, style);
        }
    }
}

/// What a row is, for its mark and colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing special.
    Ordinary,
    /// A process that exited, a flow that closed.
    Ended,
    /// Above the threshold.
    Anomalous,
    /// A sum over processes that are not listed.
    Sum,
}

impl Standing {
    /// Of a row that may be above the threshold and may have ended; the former
    /// matters more.
    pub fn new(anomalous: bool, ended: bool) -> Standing {
        if anomalous {
            Standing::Anomalous
        } else if ended {
            Standing::Ended
        } else {
            Standing::Ordinary
        }
    }

    /// Its mark and the mark's style.
    pub fn mark(self, theme: &Theme) -> Option<(&'static str, Style)> {
        match self {
            Standing::Ordinary | Standing::Sum => None,
            Standing::Ended => Some((theme.glyphs.ended, theme.ended)),
            Standing::Anomalous => Some((theme.glyphs.anomalous, theme.anomalous)),
        }
    }

    /// The style of a cell that is `usual` in an ordinary row.
    pub fn style(self, usual: Style, theme: &Theme) -> Style {
        match self {
            Standing::Ordinary => usual,
            Standing::Ended => theme.ended,
            Standing::Anomalous => theme.anomalous,
            Standing::Sum => usual.patch(theme.muted),
        }
    }
}

/// The numbers every row has.
struct Numbers {
    totals: Totals,
    rates: Rates,
}

struct Painter<'a> {
    theme: &'a Theme,
    unit: Unit,
    view: &'a View,
    /// Memory for texts that are put together.
    scratch: String,
}

impl Painter<'_> {
    fn row(
        &mut self,
        row: Row,
        selected: bool,
        places: &[Place],
        line: Rect,
        canvas: &mut Canvas<'_>,
    ) {
        let snapshot = &self.view.snapshot;
        let (standing, numbers) = match row {
            Row::Process(index) => {
                let Some(row) = snapshot.processes.get(index as usize) else {
                    return;
                };
                (
                    Standing::new(row.anomalous, row.exited),
                    Numbers {
                        totals: row.totals,
                        rates: row.rates,
                    },
                )
            }
            Row::Flow(index) => {
                let Some(row) = snapshot.flows.get(index as usize) else {
                    return;
                };
                (
                    Standing::new(row.anomalous, row.closed),
                    Numbers {
                        totals: row.totals,
                        rates: row.rates,
                    },
                )
            }
            // They have a page of blocks.
            Row::Interface(_) => return,
            Row::Aggregate(index) => {
                let Some(row) = snapshot.aggregates.get(index as usize) else {
                    return;
                };
                (
                    Standing::Sum,
                    Numbers {
                        totals: row.totals,
                        rates: row.rates,
                    },
                )
            }
        };
        let over = self.over(standing, selected);
        if standing == Standing::Anomalous {
            canvas.tint(line, self.theme.anomalous);
        }
        if selected {
            canvas.tint(line, over);
            let style = standing.style(self.theme.strong, self.theme).patch(over);
            canvas.symbol(line.x, line.y, self.theme.glyphs.selected, style);
        }
        if let Some((mark, style)) = standing.mark(self.theme) {
            canvas.symbol(line.x + 1, line.y, mark, style.patch(over));
        }
        for place in places {
            let style = standing.style(self.usual(place.column, &numbers), self.theme);
            // On the selected row quantities keep their hue, and all else gets
            // a colour that is readable on its background.
            let style = match place.column {
                Column::Tx | Column::Rx if standing == Standing::Ordinary => Style {
                    fg: style.fg.or(over.fg),
                    ..style.patch(over)
                },
                _ => style.patch(over),
            };
            let at = Place {
                x: line.x + place.x,
                ..*place
            };
            self.cell(row, &numbers, at, line.y, style, canvas);
        }
    }

    /// What the selection adds to a row's styles.
    fn over(&self, standing: Standing, selected: bool) -> Style {
        match (selected, standing) {
            (false, _) => Style::new(),
            // Its colours are taken by what is more important.
            (true, Standing::Anomalous) => {
                Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
            }
            (true, _) => self.theme.selected,
        }
    }

    fn usual(&self, column: Column, numbers: &Numbers) -> Style {
        let theme = self.theme;
        let unless_zero = |value: f64, style| if value < 0.5 { theme.muted } else { style };
        match column {
            Column::Process => theme.strong,
            Column::Tx => unless_zero(numbers.rates.tx, theme.tx),
            Column::Rx => unless_zero(numbers.rates.rx, theme.rx),
            Column::Smoothed => unless_zero(numbers.rates.smoothed, theme.strong),
            Column::Remote | Column::Total | Column::Flows => theme.text,
            Column::Pid
            | Column::User
            | Column::Protocol
            | Column::Local
            | Column::Rtt
            | Column::Retransmits
            | Column::Command
            | Column::Interface => theme.muted,
        }
    }

    fn cell(
        &mut self,
        row: Row,
        numbers: &Numbers,
        place: Place,
        y: u16,
        style: Style,
        canvas: &mut Canvas<'_>,
    ) {
        let Place { column, x, width } = place;
        match column {
            Column::Tx => rate(canvas, x, y, width, numbers.rates.tx, self.unit, style),
            Column::Rx => rate(canvas, x, y, width, numbers.rates.rx, self.unit, style),
            Column::Smoothed => {
                rate(
                    canvas,
                    x,
                    y,
                    width,
                    numbers.rates.smoothed,
                    self.unit,
                    style,
                );
            }
            Column::Total => {
                let total = units::amount(numbers.totals.bytes(), self.unit);
                canvas.right(x, y, width, &total, style);
            }
            _ => {
                let mut text = std::mem::take(&mut self.scratch);
                text.clear();
                self.describe(row, column, usize::from(width), &mut text);
                if column.is_number() {
                    canvas.right(x, y, width, &text, style);
                } else {
                    canvas.text(x, y, width, &text, style);
                }
                self.scratch = text;
            }
        }
    }

    /// The text of a cell that is no quantity.
    fn describe(&self, row: Row, column: Column, width: usize, text: &mut String) {
        let snapshot = &self.view.snapshot;
        match row {
            Row::Process(index) => {
                if let Some(process) = snapshot.processes.get(index as usize) {
                    self.describe_process(process, index as usize, column, text);
                }
            }
            Row::Flow(index) => {
                let Some(flow) = snapshot.flows.get(index as usize) else {
                    return;
                };
                match column {
                    Column::Protocol => text.push_str(flow.key.protocol.name()),
                    Column::Local => words::push_end(text, flow.key.local, width, self.theme),
                    Column::Remote => words::push_end(text, flow.key.remote, width, self.theme),
                    Column::Rtt | Column::Retransmits => self.health(flow, column, text),
                    _ => {
                        if let Some(process) = snapshot.process_of(flow) {
                            self.describe_process(process, flow.process, column, text);
                        }
                    }
                }
            }
            Row::Interface(_) => {}
            Row::Aggregate(index) => {
                if let (Column::Process, Some(sum)) =
                    (column, snapshot.aggregates.get(index as usize))
                {
                    text.push_str(sum.name);
                }
            }
        }
    }

    /// How a flow's connection fares; `-` where nobody knows.
    fn health(&self, flow: &FlowRow, column: Column, text: &mut String) {
        match (flow.tcp, column) {
            (Some(tcp), Column::Rtt) if tcp.rtt_us > 0 => {
                words::push_time(text, tcp.rtt_us, self.theme);
            }
            (Some(tcp), Column::Retransmits) => push_number(text, u64::from(tcp.retransmits)),
            _ => text.push('-'),
        }
    }

    fn describe_process(
        &self,
        process: &ProcessRow,
        index: usize,
        column: Column,
        text: &mut String,
    ) {
        match column {
            // What belongs to nobody, and what the past no longer knows, has none.
            Column::Pid if process.id.pid == 0 => {}
            Column::Pid => push_number(text, u64::from(process.id.pid)),
            Column::Process => text.push_str(&process.identity.name),
            Column::User if words::is_unattributed(process) => text.push('-'),
            Column::User => text.push_str(&process.identity.user),
            Column::Command => text.push_str(&process.identity.command),
            Column::Flows => {
                let flows = self.view.flow_counts.get(index).copied().unwrap_or(0);
                push_number(text, u64::from(flows));
            }
            Column::Protocol => {
                let (main, count) = order::main_protocol(process);
                text.push_str(main.map_or("-", |protocol| protocol.name()));
                if count > 1 {
                    text.push_str(" +");
                    push_number(text, count as u64 - 1);
                }
            }
            _ => {}
        }
    }
}

/// Writes a rate that ends before column `x + width`.
pub fn rate(
    canvas: &mut Canvas<'_>,
    x: u16,
    y: u16,
    width: u16,
    bytes_per_second: f64,
    unit: Unit,
    style: Style,
) {
    canvas.right(x, y, width, &units::rate(bytes_per_second, unit), style);
}

fn push_number(text: &mut String, number: u64) {
    let _ = write!(text, "{number}");
}
