//! One frame: header, table or details, footer, help.
//!
//! Draws a [`Scene`] into a buffer. Decides nothing and changes nothing.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use jiff::tz::TimeZone;

use super::elsewhere::Place;
use super::layout::{HeaderSize, Layout};
use super::paint::{Canvas, wrap};
use super::state::{Mode, Page, State};
use super::theme::Theme;
use super::view::View;
use super::{badges, detail, footer, header, help, interface, table};
use crate::model::snapshot::Snapshot;

/// Everything a frame depends on.
pub struct Scene<'a> {
    /// What is shown; nothing before the first snapshot.
    pub view: Option<&'a View>,
    /// What a person has set.
    pub state: &'a State,
    /// What things look like.
    pub theme: &'a Theme,
    /// Where things are.
    pub layout: Layout,
    /// The screen is held.
    pub frozen: bool,
    /// What is shown is this part of the past.
    pub past: Option<&'a Snapshot>,
    /// What is shown is of this machine, and not of the one that netmon runs on.
    pub place: Option<&'a Place>,
    /// Where times are of.
    pub zone: &'a TimeZone,
    /// Place of the selected row in the table.
    pub selected: Option<usize>,
}

impl Scene<'_> {
    /// What is shown is what was last heard of a machine that is out of reach.
    pub fn is_stale(&self) -> bool {
        self.place.is_some_and(|place| place.lost.is_some())
    }

    /// Who moved what is shown was not counted but looked up afterwards.
    pub fn is_estimated(&self) -> bool {
        let estimates = self
            .view
            .is_some_and(|view| view.snapshot.engine.estimates());
        self.past.is_none() && estimates
    }

    /// The program, and where it looks.
    pub fn brand(&self) -> String {
        match self.place {
            Some(place) => format!(" netmon @ {} ", place.name),
            None => " netmon ".to_owned(),
        }
    }
}

/// Draws a frame into a buffer whose cells are empty.
pub fn draw(scene: &Scene<'_>, buffer: &mut Buffer) {
    let mut canvas = Canvas {
        buffer,
        glyphs: scene.theme.glyphs,
    };
    match scene.view {
        None => waiting(scene, &mut canvas),
        Some(view) => {
            if scene.layout.header_size != HeaderSize::None {
                header::draw(scene, view, &mut canvas);
            }
            match &view.details {
                Some(details) if scene.state.mode == Mode::Detail => {
                    detail::draw(scene, details, &view.snapshot, &mut canvas);
                }
                _ => {
                    match view.page {
                        Page::Processes | Page::Flows => table::draw(scene, view, &mut canvas),
                        Page::Interfaces => interface::draw(scene, view, &mut canvas),
                    }
                    if scene.is_stale() {
                        canvas.tint(scene.layout.body, scene.theme.muted);
                    }
                    if view.rows.is_empty() {
                        empty(scene, view, &mut canvas);
                    }
                }
            }
        }
    }
    footer::draw(scene, &mut canvas);
    if scene.state.help {
        help::draw(scene, &mut canvas);
    }
}

fn waiting(scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
    let area = canvas.area();
    let x = canvas.text(
        area.x,
        area.y,
        area.width,
        &scene.brand(),
        scene.theme.brand,
    );
    badges::draw(scene, x + 1, Rect { height: 1, ..area }, canvas);
    let text = match scene.place {
        Some(place) => format!("Waiting for the first record of {}", place.name),
        None => "Waiting for the first reading of the kernel's counters".to_owned(),
    };
    notice(&text, scene.layout.table(), scene.theme, canvas);
}

fn empty(scene: &Scene<'_>, view: &View, canvas: &mut Canvas<'_>) {
    let rows = match view.page {
        Page::Processes => "process",
        Page::Flows => "flow",
        Page::Interfaces => "interface",
    };
    let text = if view.unfiltered() > 0 && !scene.state.filter().is_empty() {
        format!(
            "No {rows} matches '{}': Esc clears the filter",
            scene.state.filter()
        )
    } else if view.unfiltered() > 0 {
        format!("No {rows} matches the filters of the command line")
    } else if view.page == Page::Interfaces {
        no_interfaces(scene)
    } else if scene.past.is_some() {
        "Nothing moved then".to_string()
    } else {
        "No network traffic yet: rows appear with the first byte sent or received".to_string()
    };
    notice(&text, scene.layout.body, scene.theme, canvas);
}

/// Why there are none: each machine has a loopback at the least.
fn no_interfaces(scene: &Scene<'_>) -> String {
    if scene.past.is_some() {
        return "Nothing is kept of interfaces then: . goes back to now".to_owned();
    }
    match scene.place {
        Some(place) => format!("{} does not tell of its interfaces", place.name),
        None => "The kernel's counters of interfaces could not be read".to_owned(),
    }
}

/// A quiet text in the middle of an area.
fn notice(text: &str, area: Rect, theme: &Theme, canvas: &mut Canvas<'_>) {
    let width = area.width.saturating_sub(2).min(60);
    let lines = wrap(text, usize::from(width), usize::from(area.height));
    let top = area.y + (area.height - lines.len() as u16) / 3;
    for (y, line) in (top..).zip(&lines) {
        let length = unicode_width::UnicodeWidthStr::width(line.as_str()).min(usize::from(width));
        let x = area.x + (area.width - length as u16) / 2;
        canvas.text(x, y, width, line, theme.muted);
    }
}
