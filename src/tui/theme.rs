//! What things look like: colours, and glyphs for UTF-8 and for ASCII.
//!
//! Every meaning that a colour carries is also carried by a glyph or a text
//! attribute, so that a screen without colours says the same.

use ratatui::style::{Color, Modifier, Style};

/// Symbols of one character set.
#[derive(Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// Sent.
    pub tx: &'static str,
    /// Received.
    pub rx: &'static str,
    /// Both together.
    pub sum: &'static str,
    /// Before the selected row.
    pub selected: &'static str,
    /// Before a row above the threshold.
    pub anomalous: &'static str,
    /// Before a row that has ended.
    pub ended: &'static str,
    /// Sorted with the largest first.
    pub descending: &'static str,
    /// Sorted with the smallest first.
    pub ascending: &'static str,
    /// Where a text was cut.
    pub ellipsis: &'static str,
    /// Instead of a character that must not reach the terminal.
    pub unprintable: &'static str,
    /// Between two pieces of text.
    pub separator: &'static str,
    /// A horizontal rule.
    pub rule: &'static str,
    /// Corners of a box, clockwise from the upper left, and its vertical side.
    pub corners: [&'static str; 4],
    /// Vertical side of a box.
    pub side: &'static str,
    /// Before an alert.
    pub alert: &'static str,
    /// Before good news.
    pub fine: &'static str,
    /// The text cursor.
    pub cursor: &'static str,
    /// The up and down keys.
    pub vertical_keys: &'static str,
    /// One-line graph, from nothing to full.
    pub levels: &'static [&'static str],
    /// Where a graph has nothing.
    pub quiet: &'static str,
    /// True where text outside ASCII may be written.
    pub unicode: bool,
}

/// For terminals in a UTF-8 locale.
pub static UNICODE: Glyphs = Glyphs {
    tx: "↑",
    rx: "↓",
    sum: "Σ",
    selected: "▸",
    anomalous: "!",
    ended: "†",
    descending: "▼",
    ascending: "▲",
    ellipsis: "…",
    unprintable: "·",
    separator: "·",
    rule: "─",
    corners: ["╭", "╮", "╯", "╰"],
    side: "│",
    alert: "⚠ ALERT",
    fine: "✓",
    cursor: "▏",
    vertical_keys: "↑↓",
    levels: &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    quiet: "·",
    unicode: true,
};

/// For every other terminal.
pub static ASCII: Glyphs = Glyphs {
    tx: "^",
    rx: "v",
    sum: "=",
    selected: ">",
    anomalous: "!",
    ended: "x",
    descending: "-",
    ascending: "+",
    ellipsis: "~",
    unprintable: "?",
    separator: "-",
    rule: "-",
    corners: ["+", "+", "+", "+"],
    side: "|",
    alert: "! ALERT",
    fine: "ok",
    cursor: "_",
    vertical_keys: "arrows",
    levels: &[" ", ".", ":", "-", "=", "+", "*", "#"],
    quiet: "_",
    unicode: false,
};

/// The styles of everything on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Symbols.
    pub glyphs: &'static Glyphs,
    /// The program's name.
    pub brand: Style,
    /// Ordinary text.
    pub text: Style,
    /// Text that matters: names, values one looks for.
    pub strong: Style,
    /// Labels, hints, zeros.
    pub muted: Style,
    /// Quantities sent.
    pub tx: Style,
    /// Quantities received.
    pub rx: Style,
    /// Column titles.
    pub title: Style,
    /// Title of the sorted column.
    pub sorted: Style,
    /// The selected row, over the styles of its cells.
    pub selected: Style,
    /// A row above the threshold.
    pub anomalous: Style,
    /// A row that has ended.
    pub ended: Style,
    /// A state one must not overlook, such as FROZEN.
    pub badge: Style,
    /// Something is wrong.
    pub warning: Style,
    /// All is well.
    pub fine: Style,
    /// A key in a hint.
    pub key: Style,
}

impl Theme {
    /// The theme for a terminal that has colours or not, UTF-8 or not.
    pub fn new(color: bool, ascii: bool) -> Theme {
        let glyphs = if ascii { &ASCII } else { &UNICODE };
        if color {
            Theme::colored(glyphs)
        } else {
            Theme::plain(glyphs)
        }
    }

    /// The 256-colour palette is the same in every terminal; the first 16
    /// colours are whatever a person made of them, and are used only where
    /// their meaning (red, green) is what counts.
    fn colored(glyphs: &'static Glyphs) -> Theme {
        let text = Style::new();
        Theme {
            glyphs,
            brand: text
                .fg(Color::Indexed(231))
                .bg(Color::Indexed(25))
                .add_modifier(Modifier::BOLD),
            text,
            strong: text.add_modifier(Modifier::BOLD),
            muted: text.fg(Color::Indexed(245)),
            tx: text.fg(Color::Indexed(215)),
            rx: text.fg(Color::Indexed(80)),
            title: text.fg(Color::Indexed(252)).bg(Color::Indexed(237)),
            sorted: text
                .fg(Color::Indexed(231))
                .bg(Color::Indexed(25))
                .add_modifier(Modifier::BOLD),
            selected: text
                .fg(Color::Indexed(231))
                .bg(Color::Indexed(24))
                .add_modifier(Modifier::BOLD),
            anomalous: text.fg(Color::LightRed).add_modifier(Modifier::REVERSED),
            ended: text.fg(Color::Indexed(241)),
            badge: text
                .fg(Color::Indexed(16))
                .bg(Color::Indexed(221))
                .add_modifier(Modifier::BOLD),
            warning: text.fg(Color::LightRed).add_modifier(Modifier::BOLD),
            fine: text.fg(Color::Indexed(114)),
            key: text.fg(Color::Indexed(110)).add_modifier(Modifier::BOLD),
        }
    }

    fn plain(glyphs: &'static Glyphs) -> Theme {
        let text = Style::new();
        let strong = text.add_modifier(Modifier::BOLD);
        let dim = text.add_modifier(Modifier::DIM);
        let reversed = text.add_modifier(Modifier::REVERSED);
        Theme {
            glyphs,
            brand: strong,
            text,
            strong,
            muted: dim,
            tx: text,
            rx: text,
            title: text.add_modifier(Modifier::UNDERLINED),
            sorted: strong.add_modifier(Modifier::UNDERLINED),
            // Reversed is taken: it means above the threshold.
            selected: strong.add_modifier(Modifier::UNDERLINED),
            anomalous: reversed,
            ended: dim,
            badge: reversed.add_modifier(Modifier::BOLD),
            warning: strong,
            fine: text,
            key: strong,
        }
    }
}
