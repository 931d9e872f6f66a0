//! What the screen shows now: data, state and view brought together.
//!
//! Takes in snapshots and actions and says whether there is anything to draw.
//! Knows neither terminal nor clock, so that it can be tested without either.

mod moves;
mod times;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::feed::{Feed, News};
use crate::model::filter::Filter;
use crate::model::snapshot::Snapshot;

use super::blocks::Blocks;
use super::columns::{self, Column, Contents};
use super::elsewhere::{self, Elsewhere};
use super::history::History;
use super::inspect::Details;
use super::keys::Action;
use super::layout::{self, Layout};
use super::notices;
use super::past::Past;
use super::render::{self, Scene};
use super::state::{Mode, Page, RowId, State};
use super::theme::Theme;
use super::view::View;
use super::{Options, Trouble};

/// What an action asks of whoever owns terminal and feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing beyond the screen.
    None,
    /// Leave the program.
    Quit,
    /// Stop until continued.
    Suspend,
    /// Draw every cell anew.
    Redraw,
    /// Read at this interval from now on.
    SetInterval(Duration),
}

/// Why there will be no further snapshots; the reason if that is an error.
pub type Ended = Option<String>;

/// The whole screen; see the module's text.
pub struct Screen {
    theme: Theme,
    state: State,
    /// What the command line asked for, with the live text.
    filter: Filter,
    latest: Option<Arc<Snapshot>>,
    history: History,
    /// While frozen: the history as it was then.
    frozen: Option<History>,
    /// The stored past, where there is one.
    past: Option<Box<dyn Past>>,
    /// The part of it that is shown.
    then: Option<Arc<Snapshot>>,
    /// What is known of the minutes of the past: nothing.
    no_minutes: History,
    /// The machine whose snapshots these are, where it is not this one.
    elsewhere: Option<Arc<Elsewhere>>,
    /// What was last seen of it, by revision.
    place: Option<(u64, elsewhere::Place)>,
    /// Says what is wrong beside the screen.
    trouble: Option<Trouble>,
    zone: TimeZone,
    view: Option<View>,
    /// Revision of the state that the view was built from.
    built: u64,
    /// Where the selected row was last.
    row: usize,
    /// The screen when it was last drawn.
    area: Rect,
    dirty: bool,
}

impl Screen {
    /// A screen that has seen nothing yet. `interval` is the one asked for.
    pub fn new(options: Options, interval: Duration) -> Screen {
        Screen {
            theme: Theme::new(options.color, options.ascii),
            state: State::new(interval, options.filter.text.clone()),
            filter: options.filter,
            latest: None,
            history: History::default(),
            frozen: None,
            past: None,
            then: None,
            no_minutes: History::default(),
            elsewhere: None,
            place: None,
            trouble: None,
            zone: TimeZone::UTC,
            view: None,
            built: 0,
            row: 0,
            area: Rect::ZERO,
            dirty: true,
        }
    }

    /// The state, to find out what an event means.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// True when the screen differs from what was drawn last.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The next drawing must happen even if nothing changed.
    pub fn touch(&mut self) {
        self.dirty = true;
    }

    /// Takes in what the feed has, if it has anything. While it has not, this
    /// costs one atomic load.
    pub fn tick(&mut self, feed: &Feed) -> Option<Ended> {
        self.look_elsewhere();
        let seen = self.latest.as_ref().map_or(0, |latest| latest.sequence);
        match feed.newer_than(seen) {
            News::Nothing => None,
            News::Snapshot(snapshot) => {
                self.take(snapshot);
                None
            }
            News::Ended(reason) => Some(reason),
        }
    }

    /// Takes in a snapshot. A frozen screen, and one that shows the past, keep what
    /// they show.
    pub fn take(&mut self, snapshot: Arc<Snapshot>) {
        self.history.add(&snapshot);
        if self.elsewhere.is_some() {
            self.state.interval = snapshot.nominal_interval;
        }
        self.latest = Some(snapshot);
        self.look_for_trouble();
        if !self.is_held() {
            self.show_latest();
        }
    }

    fn show_latest(&mut self) {
        if let Some(snapshot) = self.latest.clone() {
            self.rebuild(snapshot);
        }
    }

    /// Chooses and sorts the rows of `snapshot` and finds the selected one again.
    fn rebuild(&mut self, snapshot: Arc<Snapshot>) {
        if self.filter.text != self.state.filter() {
            self.filter.text = self.state.filter().to_string();
        }
        // Out of the way of the history beside it, and put back.
        let mut view = match self.view.take() {
            Some(mut view) => {
                view.rebuild(snapshot, &self.filter, &self.state);
                view
            }
            None => View::new(snapshot, &self.filter, &self.state),
        };
        view.remember(self.minutes());
        if let Some(details) = &mut view.details {
            details.update(&view.snapshot, self.minutes());
        }
        let view = self.view.insert(view);
        self.built = self.state.revision();
        self.dirty = true;
        if let Some(id) = self.state.selected {
            match view.place_of(id) {
                Some(row) => self.row = row,
                None => self.select(self.row),
            }
        }
    }

    /// Selects the row at a place, or the last one before it.
    fn select(&mut self, row: usize) {
        let Some(view) = &self.view else { return };
        self.row = row.min(view.rows.len().saturating_sub(1));
        self.state.selected = view.id_at(self.row);
    }

    /// Carries out an action.
    pub fn act(&mut self, action: Action) -> Effect {
        self.dirty = true;
        self.state.notice = None;
        let mut effect = Effect::None;
        let page = isize::try_from(self.page_height()).unwrap_or(1);
        match action {
            Action::Quit => effect = Effect::Quit,
            Action::Suspend => effect = Effect::Suspend,
            Action::Redraw => effect = Effect::Redraw,
            Action::ToggleFreeze => self.toggle_freeze(),
            Action::TurnPage => self.show_page(self.state.page.neighbour(1)),
            Action::TurnPageBack => self.show_page(self.state.page.neighbour(-1)),
            Action::ShowPage(page) => self.show_page(page),
            Action::Move(rows) => self.step(rows),
            Action::MovePages(pages) => self.step(pages * page),
            Action::First => self.step(isize::MIN),
            Action::Last => self.step(isize::MAX),
            Action::Scroll(rows) => self.scroll(rows),
            Action::EditFilter => self.state.mode = Mode::Filter,
            Action::Type(character) => self.state.type_character(character),
            Action::Erase => self.state.erase_character(),
            Action::ClearFilter => self.state.clear_filter(),
            Action::KeepFilter => self.state.mode = Mode::Table,
            Action::SortNeighbour(step) => self.sort_by_neighbour(step),
            Action::Reverse => self.state.reverse(),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::ToggleUnit => self.state.unit = self.state.unit.other(),
            Action::StepInterval(_) if self.elsewhere.is_some() => {
                self.state.notice = Some("the interval is the server's: its --interval".to_owned());
            }
            Action::StepInterval(step) => {
                effect = Effect::SetInterval(self.state.step_interval(step));
            }
            Action::Travel(step) => self.travel(step),
            Action::ToggleHelp => {
                self.state.help = !self.state.help;
                self.state.help_offset = 0;
            }
            Action::Click(x, y) => self.click(x, y),
        }
        self.rebuild_if_due();
        effect
    }

    /// Chooses and sorts the rows anew if how that is done has changed.
    fn rebuild_if_due(&mut self) {
        if self.state.revision() != self.built
            && let Some(view) = &self.view
        {
            let shown = Arc::clone(&view.snapshot);
            self.rebuild(shown);
        }
    }

    /// Only columns that are visible are walked through: one could not see
    /// what the table is sorted by.
    fn sort_by_neighbour(&mut self, step: isize) {
        let places = self.columns();
        let columns: Vec<_> = places.iter().map(|place| place.column).collect();
        self.state.sort_by_neighbour(&columns, step);
    }

    fn columns(&self) -> Vec<columns::Place> {
        let view = self.view.as_ref();
        let contents = view.map_or_else(Contents::default, |view| view.contents);
        columns::fit(self.state.page, self.area.width, contents)
    }

    /// Rows that a screen down skips; 1 before anything was drawn.
    fn page_height(&self) -> usize {
        match self.blocks() {
            Some(blocks) => blocks.whole(self.state.offset),
            None => usize::from(self.layout().body.height).max(1),
        }
    }

    /// How the interfaces lie on the screen, where they are shown.
    fn blocks(&self) -> Option<Blocks> {
        let view = self.view.as_ref()?;
        (view.page == Page::Interfaces)
            .then(|| Blocks::plan(&self.layout(), view, self.then.is_none()))
    }

    fn details(&self) -> Option<&Details> {
        self.view.as_ref().and_then(|view| view.details.as_ref())
    }

    fn open(&mut self) {
        if self.state.selected.is_none() {
            self.select(self.state.offset);
        }
        let details = self.view.as_ref().zip(self.state.selected);
        let details = details.map(|(view, id)| Details::new(id, &view.snapshot, self.minutes()));
        if let (Some(view), Some(details)) = (&mut self.view, details) {
            view.details = Some(details);
            self.state.mode = Mode::Detail;
            self.state.detail_offset = 0;
        }
    }

    fn close_details(&mut self) {
        self.state.mode = Mode::Table;
        if let Some(view) = &mut self.view {
            view.details = None;
        }
    }

    fn show_page(&mut self, page: Page) {
        if self.state.mode == Mode::Detail {
            self.close_details();
        }
        self.state.show_page(page);
    }

    fn back(&mut self) {
        if self.state.mode == Mode::Detail {
            self.close_details();
        } else if self.state.filter().is_empty() {
            self.state.selected = None;
            self.state.offset = 0;
            self.state.follow = true;
        } else {
            self.state.clear_filter();
        }
    }

    fn layout(&self) -> Layout {
        let (protocols, notices) = self.view.as_ref().map_or((0, false), |view| {
            (
                view.snapshot.protocols.len(),
                notices::are_due(&view.snapshot, self.area),
            )
        });
        layout::plan(self.area, protocols, notices)
    }

    /// Draws everything into a buffer whose cells are empty.
    pub fn draw(&mut self, buffer: &mut Buffer) {
        self.area = buffer.area;
        let layout = self.layout();
        self.suit_order();
        self.settle(layout.body.height);
        let scene = Scene {
            view: self.view.as_ref(),
            state: &self.state,
            theme: &self.theme,
            layout,
            frozen: self.frozen.is_some(),
            past: self.then.as_deref(),
            place: self.place.as_ref().map(|(_, place)| place),
            zone: &self.zone,
            selected: self.state.selected.map(|_| self.row),
        };
        render::draw(&scene, buffer);
        self.dirty = false;
    }

    /// The order that suits how much room there is for interfaces, if its title is seen.
    fn suit_order(&mut self) {
        let Some(blocks) = self.blocks() else { return };
        let mut titles = self.columns().into_iter();
        let is_seen = titles.any(|title| title.column == Column::Smoothed);
        self.state.suit_order(blocks.is_list() && is_seen);
        self.rebuild_if_due();
    }

    /// Brings the visible part of the table to where it belongs.
    fn settle(&mut self, height: u16) {
        let rows = self.view.as_ref().map_or(0, |view| view.rows.len());
        let last = rows.saturating_sub(1);
        let (least, most) = match self.blocks() {
            Some(blocks) => (blocks.least_offset(self.row), blocks.least_offset(last)),
            None => {
                let least = |row: usize| (row + 1).saturating_sub(height.into());
                (least(self.row), least(last))
            }
        };
        let offset = &mut self.state.offset;
        if self.state.follow && self.state.selected.is_some() {
            *offset = (*offset).clamp(least, self.row);
        }
        *offset = (*offset).min(most);
    }

    /// The selected row.
    pub fn selected(&self) -> Option<RowId> {
        self.state.selected
    }

    /// The cached view, once there is a snapshot.
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }
}
