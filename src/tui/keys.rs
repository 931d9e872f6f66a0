//! What keys and mouse mean.
//!
//! Translates one event into one [`Action`]. Does not carry it out.

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};

use super::past::Step;
use super::state::{Mode, Page, State};

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave the program.
    Quit,
    /// Stop the program until the shell continues it.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Hold the screen, or let it run again.
    ToggleFreeze,
    /// Show the next page.
    TurnPage,
    /// Show the page before.
    TurnPageBack,
    /// Show this page, and close what lies over it.
    ShowPage(Page),
    /// Move by rows.
    Move(isize),
    /// Move by screens.
    MovePages(isize),
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// Move the visible part by rows, and leave the selection.
    Scroll(isize),
    /// Start to edit the filter text.
    EditFilter,
    /// Add to the filter text.
    Type(char),
    /// Take the last character off the filter text.
    Erase,
    /// Empty the filter text.
    ClearFilter,
    /// Keep the filter text and go back to the table.
    KeepFilter,
    /// Sort by the next (1) or previous (-1) column.
    SortNeighbour(isize),
    /// Turn the order round.
    Reverse,
    /// Show the details of the selected row.
    Open,
    /// Close what lies over the table, else drop filter, else selection.
    Back,
    /// Rates in bits or bytes.
    ToggleUnit,
    /// A longer (1) or shorter (-1) interval.
    StepInterval(isize),
    /// Go through time.
    Travel(Step),
    /// Show or hide the help.
    ToggleHelp,
    /// The left button was pressed at this column and row of the screen.
    Click(u16, u16),
}

/// Rows that one notch of the wheel moves.
const WHEEL: isize = 3;

/// The action of an event in the present state, if it has one.
pub fn action(event: &Event, state: &State) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key_action(*key, state),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::ScrollUp => Some(Action::Scroll(-WHEEL)),
            MouseEventKind::ScrollDown => Some(Action::Scroll(WHEEL)),
            MouseEventKind::Down(MouseButton::Left) => Some(Action::Click(mouse.column, mouse.row)),
            _ => None,
        },
        _ => None,
    }
}

fn key_action(key: KeyEvent, state: &State) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            KeyCode::Char('l') => Some(Action::Redraw),
            KeyCode::Char('u') if state.mode == Mode::Filter => Some(Action::ClearFilter),
            KeyCode::Char('f') => Some(Action::MovePages(1)),
            KeyCode::Char('b') => Some(Action::MovePages(-1)),
            KeyCode::Char('n') => Some(Action::Move(1)),
            KeyCode::Char('p') => Some(Action::Move(-1)),
            KeyCode::Char('h') if state.mode == Mode::Filter => Some(Action::Erase),
            _ => None,
        };
    }
    if key.code == KeyCode::F(10) {
        return Some(Action::Quit);
    }
    if state.help {
        return match key.code {
            KeyCode::Char('?' | 'q') | KeyCode::F(1) | KeyCode::Esc | KeyCode::Enter => {
                Some(Action::ToggleHelp)
            }
            KeyCode::Up | KeyCode::Char('k') => Some(Action::Move(-1)),
            KeyCode::Down | KeyCode::Char('j') => Some(Action::Move(1)),
            KeyCode::PageUp => Some(Action::MovePages(-1)),
            KeyCode::PageDown => Some(Action::MovePages(1)),
            _ => None,
        };
    }
    if state.mode == Mode::Filter {
        return filter_action(key.code);
    }
    let in_detail = state.mode == Mode::Detail;
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Enter | KeyCode::Esc | KeyCode::Backspace if in_detail => {
            Action::Back
        }
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Esc => Action::Back,
        KeyCode::Enter => Action::Open,
        KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
        KeyCode::PageUp => Action::MovePages(-1),
        KeyCode::PageDown => Action::MovePages(1),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Char(' ') => Action::ToggleFreeze,
        KeyCode::Char('u') => Action::ToggleUnit,
        KeyCode::Char('+' | '=') => Action::StepInterval(1),
        KeyCode::Char('-' | '_') => Action::StepInterval(-1),
        KeyCode::Char('?') | KeyCode::F(1) => Action::ToggleHelp,
        KeyCode::Char('1') => Action::ShowPage(Page::Processes),
        KeyCode::Char('2') => Action::ShowPage(Page::Flows),
        KeyCode::Char('3') => Action::ShowPage(Page::Interfaces),
        KeyCode::Char('[') => Action::Travel(Step::Back),
        KeyCode::Char(']') => Action::Travel(Step::Forth),
        KeyCode::Char('{') => Action::Travel(Step::HourBack),
        KeyCode::Char('}') => Action::Travel(Step::HourForth),
        KeyCode::Char('.') => Action::Travel(Step::Now),
        // The rest acts on the table, which the details hide.
        _ if in_detail => return None,
        KeyCode::Tab => Action::TurnPage,
        KeyCode::BackTab => Action::TurnPageBack,
        KeyCode::Char('/') => Action::EditFilter,
        KeyCode::Char('s' | '>') => Action::SortNeighbour(1),
        KeyCode::Char('S' | '<') => Action::SortNeighbour(-1),
        KeyCode::Char('r') => Action::Reverse,
        _ => return None,
    })
}

fn filter_action(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Enter => Some(Action::KeepFilter),
        KeyCode::Esc => Some(Action::ClearFilter),
        KeyCode::Backspace => Some(Action::Erase),
        KeyCode::Up => Some(Action::Move(-1)),
        KeyCode::Down => Some(Action::Move(1)),
        KeyCode::PageUp => Some(Action::MovePages(-1)),
        KeyCode::PageDown => Some(Action::MovePages(1)),
        KeyCode::Char(character) => Some(Action::Type(character)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers, state: &State) -> Option<Action> {
        action(&Event::Key(KeyEvent::new(code, modifiers)), state)
    }

    fn state(mode: Mode, help: bool) -> State {
        let mut state = State::new(Duration::from_millis(500), String::new());
        state.mode = mode;
        state.help = help;
        state
    }

    #[test]
    fn ctrl_c_and_f10_quit_everywhere() {
        for mode in [Mode::Table, Mode::Filter, Mode::Detail] {
            for help in [false, true] {
                let state = state(mode, help);
                let quit = Some(Action::Quit);
                assert_eq!(
                    press(KeyCode::Char('c'), KeyModifiers::CONTROL, &state),
                    quit
                );
                assert_eq!(press(KeyCode::F(10), KeyModifiers::NONE, &state), quit);
            }
        }
    }

    #[test]
    fn letters_are_text_while_the_filter_is_edited() {
        let state = state(Mode::Filter, false);
        for letter in ['q', 'j', ' ', '?', '/', 'é'] {
            assert_eq!(
                press(KeyCode::Char(letter), KeyModifiers::NONE, &state),
                Some(Action::Type(letter))
            );
        }
        assert_eq!(
            press(KeyCode::Esc, KeyModifiers::NONE, &state),
            Some(Action::ClearFilter)
        );
        assert_eq!(
            press(KeyCode::Enter, KeyModifiers::NONE, &state),
            Some(Action::KeepFilter)
        );
    }

    #[test]
    fn q_closes_what_lies_over_the_table_first() {
        let q = KeyCode::Char('q');
        let none = KeyModifiers::NONE;
        assert_eq!(
            press(q, none, &state(Mode::Table, false)),
            Some(Action::Quit)
        );
        assert_eq!(
            press(q, none, &state(Mode::Detail, false)),
            Some(Action::Back)
        );
        assert_eq!(
            press(q, none, &state(Mode::Detail, true)),
            Some(Action::ToggleHelp)
        );
    }

    #[test]
    fn digits_show_a_page_from_everywhere_but_a_text() {
        for (at, page) in Page::ALL.into_iter().enumerate() {
            let digit = char::from_digit(at as u32 + 1, 10).unwrap();
            for mode in [Mode::Table, Mode::Detail] {
                let action = press(
                    KeyCode::Char(digit),
                    KeyModifiers::NONE,
                    &state(mode, false),
                );
                assert_eq!(action, Some(Action::ShowPage(page)));
            }
            let typed = press(
                KeyCode::Char(digit),
                KeyModifiers::NONE,
                &state(Mode::Filter, false),
            );
            assert_eq!(typed, Some(Action::Type(digit)));
        }
    }

    #[test]
    fn a_released_key_means_nothing() {
        let key = KeyEvent::new_with_kind(
            KeyCode::Char('q'),
            KeyModifiers::NONE,
            KeyEventKind::Release,
        );
        assert_eq!(action(&Event::Key(key), &state(Mode::Table, false)), None);
    }
}
