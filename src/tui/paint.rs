//! Writing text into cells, fast and safely.
//!
//! Owns the rule that no character from outside reaches the terminal unless it
//! is harmless, and that columns stay aligned whatever a name holds. Knows
//! nothing of what is written where.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::theme::Glyphs;

/// The printable ASCII characters, to slice one-character strings from without
/// encoding anything.
const PLAIN: &str = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// Whether a character may be written. Control characters steer the terminal;
/// the others listed are invisible or turn the direction of writing, and so
/// could make a name look like another or break the columns.
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `text` without anything a terminal would act upon; characters outside
/// ASCII stay only where the terminal can show them.
pub fn harmless(text: &str, glyphs: &Glyphs) -> String {
    text.chars()
        .map(|character| {
            if is_harmless(character) && (glyphs.unicode || character.is_ascii()) {
                character
            } else {
                // Replacements are single characters in both character sets.
                glyphs.unprintable.chars().next().unwrap_or('?')
            }
        })
        .collect()
}

/// A buffer with the glyphs that its terminal can show.
pub struct Canvas<'a> {
    /// Where the cells are.
    pub buffer: &'a mut Buffer,
    /// What the terminal can show.
    pub glyphs: &'static Glyphs,
}

impl Canvas<'_> {
    /// The whole screen.
    pub fn area(&self) -> Rect {
        self.buffer.area
    }

    /// Writes one symbol known to be one column wide. Outside the buffer
    /// nothing happens, as everywhere here.
    pub fn symbol(&mut self, x: u16, y: u16, symbol: &str, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_symbol(symbol).set_style(style);
        }
    }

    /// Writes `text` in at most `width` columns from (x, y), cut with an
    /// ellipsis where it is longer. Returns the column after it.
    pub fn text(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if x >= area.right() || y < area.top() || y >= area.bottom() {
            return x;
        }
        let width = width.min(area.right() - x);
        if text.bytes().all(is_plain) {
            self.plain(x, y, width, text, style)
        } else {
            self.exotic(x, y, width, text, style)
        }
    }

    /// The common case: one byte is one column.
    fn plain(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let room = usize::from(width);
        let fits = text.len() <= room;
        let shown = if fits {
            text.len()
        } else {
            room.saturating_sub(1)
        };
        let start = self.buffer.index_of(x, y);
        let cells = &mut self.buffer.content[start..start + shown];
        for (cell, byte) in cells.iter_mut().zip(text.bytes()) {
            let at = usize::from(byte - b' ');
            cell.set_symbol(&PLAIN[at..=at]).set_style(style);
        }
        let end = x + shown as u16;
        if fits || room == 0 {
            return end;
        }
        self.symbol(end, y, self.glyphs.ellipsis, style);
        end + 1
    }

    fn exotic(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let text = harmless(text, self.glyphs);
        if width == 0 {
            return x;
        }
        if text.width() <= usize::from(width) {
            return self
                .buffer
                .set_stringn(x, y, &text, usize::from(width), style)
                .0;
        }
        let (end, _) = self
            .buffer
            .set_stringn(x, y, &text, usize::from(width - 1), style);
        self.symbol(end, y, self.glyphs.ellipsis, style);
        end + 1
    }

    /// Writes `text` so that it ends before column `x + width`.
    pub fn right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let length = text.width().min(usize::from(width)) as u16;
        self.text(x + width - length, y, length, text, style);
    }

    /// Applies a style to cells without changing what they say.
    pub fn tint(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area, style);
    }

    /// Empties cells.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }
}

/// `text` in lines of at most `width` columns, broken at spaces where
/// possible, at most `lines` of them.
pub fn wrap(text: &str, width: usize, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    if width == 0 {
        return wrapped;
    }
    for word in text.split_inclusive(' ') {
        if used > 0 && used + word.trim_end().width() > width {
            wrapped.push(std::mem::take(&mut line));
            used = 0;
        }
        for character in word.chars() {
            let wide = character.to_string().width();
            if used + wide > width {
                // A space at the end of a line is the line break itself.
                if character == ' ' {
                    continue;
                }
                wrapped.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(character);
            used += wide;
        }
    }
    if !line.is_empty() {
        wrapped.push(line);
    }
    if wrapped.len() > lines {
        let rest = wrapped.split_off(lines);
        // The last line is cut where it is written, since it is now too long.
        if let (Some(last), Some(next)) = (wrapped.last_mut(), rest.first()) {
            last.push_str(next);
        }
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::theme;

    fn written(text: &str, width: u16, glyphs: &'static Glyphs) -> (String, u16) {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
        let mut canvas = Canvas {
            buffer: &mut buffer,
            glyphs,
        };
        let end = canvas.text(0, 0, width, text, Style::new());
        let line = buffer.content.iter().map(|cell| cell.symbol()).collect();
        (line, end)
    }

    #[test]
    fn long_texts_are_cut_with_an_ellipsis() {
        assert_eq!(written("abcdef", 4, &theme::UNICODE).0.trim_end(), "abc…");
        assert_eq!(written("abcdef", 4, &theme::ASCII).0.trim_end(), "abc~");
        assert_eq!(
            written("abcd", 4, &theme::ASCII),
            written("abcd", 9, &theme::ASCII)
        );
        assert_eq!(written("abcd", 0, &theme::UNICODE).1, 0);
    }

    #[test]
    fn escape_sequences_become_harmless() {
        let (line, _) = written("a\u{1b}[31m\u{9b}\u{202e}b\n", 20, &theme::UNICODE);
        assert_eq!(line.trim_end(), "a·[31m··b·");
        let (line, _) = written("é\u{1b}[", 20, &theme::ASCII);
        assert_eq!(line.trim_end(), "??[");
    }

    #[test]
    fn wide_characters_take_two_columns_and_are_never_halved() {
        assert_eq!(written("漢字漢字", 8, &theme::UNICODE).1, 8);
        assert_eq!(written("漢字漢字", 6, &theme::UNICODE).1, 5);
        assert_eq!(written("漢字漢字", 1, &theme::UNICODE).1, 1);
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("ab cd ef", 5, 9), ["ab cd", "ef"]);
        assert_eq!(wrap("abcdefgh", 3, 9), ["abc", "def", "gh"]);
        assert_eq!(wrap("abcdefgh", 3, 2), ["abc", "defgh"]);
        assert!(wrap("abc", 0, 3).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_ever_leaves_its_columns(text in any::<String>(), width in 0u16..25, unicode: bool) {
            let glyphs = if unicode { &theme::UNICODE } else { &theme::ASCII };
            let (line, end) = written(&text, width, glyphs);
            prop_assert!(end <= width.min(20));
            prop_assert!(!line.contains(char::is_control));
            prop_assert!(unicode || line.is_ascii());
        }

        #[test]
        fn wrapped_lines_fit_and_lose_no_letter(text in "[a-z漢 ]{0,80}", width in 2usize..20) {
            let lines = wrap(&text, width, usize::MAX);
            for line in &lines {
                prop_assert!(line.width() <= width);
            }
            let letters = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
