//! What an answer is laid out on: width, character set, time zone; bars and texts that fit.
//!
//! Knows no question.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::endpoint::printable;
use crate::model::filter::Filter;
use crate::tui::Options;

/// Columns where nobody can be asked for them.
const WIDTH: usize = 80;

/// Fewer columns than this are taken as so many: lines are then longer than the screen.
const LEAST_WIDTH: usize = 30;

/// Most columns of a bar: longer ones say no more.
const MOST_BAR: usize = 50;

/// Eighths of a column, from one to all.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Heights of a line's graph, from nothing to full.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same without UTF-8.
const ASCII_HEIGHTS: [char; 8] = [' ', '.', ':', '-', '=', '+', '*', '#'];

/// What an answer is laid out on.
#[derive(Debug, Clone)]
pub struct Page {
    /// Columns.
    pub width: usize,
    /// Nothing but ASCII.
    pub ascii: bool,
    /// In which times are shown.
    pub zone: TimeZone,
}

impl Page {
    /// The terminal as it is, or 80 columns where there is none. Without colours there
    /// are no glyphs either: who asks for plain text gets it.
    pub fn from_environment(zone: TimeZone) -> Page {
        let size = crossterm::terminal::size().ok();
        let width = size
            .filter(|_| io::stdout().is_terminal())
            .map_or(WIDTH, |(columns, _)| usize::from(columns));
        let options = Options::from_environment(Filter::default());
        Page {
            width: width.max(LEAST_WIDTH),
            ascii: options.ascii || !options.color,
            zone,
        }
    }

    /// A bar for `value` where `most` is `width` columns long. Whatever is not nothing
    /// has one.
    pub fn bar(&self, value: u64, most: u64, width: usize) -> String {
        let width = width.min(MOST_BAR);
        let parts = if self.ascii { 1 } else { EIGHTHS.len() };
        let all = (width * parts) as u128;
        let most = u128::from(most.max(1));
        let reached = (u128::from(value) * all).div_ceil(most).min(all) as usize;
        let mut bar: String = match self.ascii {
            true => "#".repeat(reached),
            false => "█".repeat(reached / parts),
        };
        if !self.ascii && !reached.is_multiple_of(parts) {
            bar.push(EIGHTHS[reached % parts - 1]);
        }
        bar
    }

    /// One column of a graph of one line.
    pub fn height(&self, value: u64, most: u64) -> char {
        let heights: &[char] = if self.ascii { &ASCII_HEIGHTS } else { &HEIGHTS };
        let steps = (heights.len() - 1) as u128;
        let reached = (u128::from(value) * steps).div_ceil(u128::from(most.max(1)));
        heights[reached.min(steps) as usize]
    }

    /// A text safe for a terminal, in exactly `width` columns.
    pub fn fit(&self, text: &str, width: usize) -> String {
        let safe = self.safe(text);
        let columns = safe.width();
        if columns <= width {
            return safe + &" ".repeat(width - columns);
        }
        let mut fitted = String::new();
        let mut used = 0;
        for character in safe.chars() {
            let columns = character.width().unwrap_or_default();
            if used + columns + 1 > width {
                break;
            }
            used += columns;
            fitted.push(character);
        }
        fitted.push(if self.ascii { '~' } else { '…' });
        fitted + &" ".repeat(width.saturating_sub(used + 1))
    }

    /// A text without what would act on a terminal, or what it cannot show.
    pub fn safe(&self, text: &str) -> String {
        printable(text)
            .map(|c| if self.ascii && !c.is_ascii() { '?' } else { c })
            .collect()
    }

    /// Columns of a text as [`Page::fit`] writes it.
    pub fn columns(&self, text: &str) -> usize {
        self.safe(text).width()
    }

    /// Writes sentences, broken between words where they are too long, and within one
    /// that is longer than a line.
    pub fn say(&self, to: &mut dyn Write, text: &str) -> io::Result<()> {
        let mut used = 0;
        for (at, word) in text.split(' ').enumerate() {
            let columns = word.width();
            if at > 0 && used + 1 + columns > self.width {
                writeln!(to)?;
                used = 0;
            } else if at > 0 {
                write!(to, " ")?;
                used += 1;
            }
            for character in word.chars() {
                let columns = character.width().unwrap_or_default();
                if used + columns > self.width {
                    writeln!(to)?;
                    used = 0;
                }
                write!(to, "{character}")?;
                used += columns;
            }
        }
        writeln!(to)
    }

    /// A time of an answer, as a person here writes it: `format` as of strftime.
    pub fn time(&self, text: &str, format: &str) -> String {
        match text.parse::<Timestamp>() {
            Ok(time) => time
                .to_zoned(self.zone.clone())
                .strftime(format)
                .to_string(),
            Err(_) => text.to_owned(),
        }
    }

    /// A title with the window that is answered for.
    pub fn title(
        &self,
        to: &mut dyn Write,
        what: &str,
        since: &str,
        until: &str,
    ) -> io::Result<()> {
        let day = |text| self.time(text, "%Y-%m-%d");
        let whole = [since, until]
            .into_iter()
            .all(|text| self.time(text, "%S") == "00");
        let clock = if whole { "%H:%M" } else { "%H:%M:%S" };
        let from = self.time(since, &format!("%Y-%m-%d {clock}"));
        let end = match day(since) == day(until) {
            true => self.time(until, &format!("{clock} %Z")),
            false => self.time(until, &format!("%Y-%m-%d {clock} %Z")),
        };
        // Broken where a person would: before the times, between the two.
        let line = format!("{what}, {from} to {end}");
        if line.width() <= self.width {
            return writeln!(to, "{line}");
        }
        writeln!(to, "{what}")?;
        self.say(to, &format!("{from} to {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: usize, ascii: bool) -> Page {
        Page {
            width,
            ascii,
            zone: TimeZone::UTC,
        }
    }

    #[test]
    fn bars_say_the_share_and_never_nothing_for_something() {
        let page = page(80, false);
        assert_eq!(page.bar(0, 10, 8), "");
        assert_eq!(page.bar(1, 1_000_000, 8), "▏");
        assert_eq!(page.bar(5, 10, 8), "████");
        assert_eq!(page.bar(10, 10, 8), "████████");
        assert_eq!(page.bar(u64::MAX, u64::MAX, 8), "████████");
        assert_eq!(page.bar(3, 0, 2), "██");
        assert_eq!(self::page(80, true).bar(1, 16, 8), "#");
    }

    #[test]
    fn texts_fit_and_hold_no_control_characters() {
        let page = page(80, false);
        assert_eq!(page.fit("abc", 5), "abc  ");
        assert_eq!(page.fit("abcdef", 5), "abcd…");
        assert_eq!(page.fit("日本語", 4), "日… ");
        assert_eq!(page.fit("a\x1b[2Jb", 8), "a?[2Jb  ");
        assert_eq!(self::page(80, true).fit("日本", 3), "?? ");
    }

    #[test]
    fn sentences_are_broken_between_words() {
        let mut to = Vec::new();
        page(10, true)
            .say(&mut to, "one two three incomprehensible four")
            .unwrap();
        assert_eq!(
            String::from_utf8(to).unwrap(),
            "one two\nthree\nincomprehe\nnsible\nfour\n"
        );
    }
}
