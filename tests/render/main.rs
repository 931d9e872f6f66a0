//! What the screen looks like, as text: every size, character set and state.
//!
//! Drawn into memory through the same code as in a terminal. Attributes that
//! carry meaning (reversed rows) are asserted beside the text.

#[path = "../support/fixture.rs"]
mod fixture;
mod health;
mod interfaces;
mod looks;
mod manners;
mod times;
mod wired;

use std::sync::Arc;
use std::time::Duration;

use netmon::model::filter::Filter;
use netmon::model::snapshot::Snapshot;
use netmon::tui::Options;
use netmon::tui::keys::Action;
use netmon::tui::screen::Screen;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

const INTERVAL: Duration = Duration::from_millis(500);

fn options(ascii: bool, color: bool) -> Options {
    Options {
        filter: Filter::default(),
        ascii,
        color,
    }
}

/// A screen that has seen `snapshots`.
fn screen_with(options: Options, snapshots: Vec<Snapshot>) -> Screen {
    let mut screen = Screen::new(options, INTERVAL);
    for snapshot in snapshots {
        screen.take(Arc::new(snapshot));
    }
    screen
}

/// A screen after ten seconds of the small scene.
fn screen() -> Screen {
    let scenes = (1..=20).map(|n| fixture::scene(n, false)).collect();
    screen_with(options(false, true), scenes)
}

fn buffer(screen: &mut Screen, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| screen.draw(frame.buffer_mut()))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as lines without the blanks at their ends.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut text = String::new();
    for line in buffer.content.chunks(width) {
        let mut hidden = 0;
        let mut shown = String::new();
        for cell in line {
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            hidden = unicode_width::UnicodeWidthStr::width(cell.symbol()).saturating_sub(1);
            shown.push_str(cell.symbol());
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    text(&buffer(screen, width, height))
}

fn act(screen: &mut Screen, actions: &[Action]) {
    for action in actions {
        screen.act(*action);
    }
}

fn type_text(screen: &mut Screen, text: &str) {
    screen.act(Action::EditFilter);
    for character in text.chars() {
        screen.act(Action::Type(character));
    }
}
