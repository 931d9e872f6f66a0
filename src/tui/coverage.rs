//! How much of the wire's traffic is explained, and why not the rest: a line of the
//! header and a paragraph of the help.
//!
//! Chooses the words and how many fit. Compares nothing.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use crate::model::coverage::Coverage;
use crate::model::units::{self, Unit};

use super::notices;
use super::paint::Canvas;
use super::render::Scene;
use super::theme::Glyphs;

/// From this share of the wire on a part is worth a word.
const WORTH_A_WORD: f64 = 0.01;

/// One piece of the line, and whether it is what the line is about.
pub type Piece = (String, bool);

/// Draws pieces from column `x` of a line on.
pub fn draw(scene: &Scene<'_>, pieces: &[Piece], mut x: u16, line: Rect, canvas: &mut Canvas<'_>) {
    for (index, (text, strong)) in pieces.iter().enumerate() {
        if index > 0 {
            x = notices::separator(scene, x, line, canvas);
        }
        let style = if *strong {
            scene.theme.text
        } else {
            scene.theme.muted
        };
        x = canvas.text(x, line.y, line.right().saturating_sub(x), text, style);
    }
}

/// The most telling pieces that fit into `room` columns; none if nothing does.
pub fn pieces(coverage: &Coverage, unit: Unit, glyphs: &Glyphs, room: usize) -> Vec<Piece> {
    let amount = |bytes| units::amount(bytes, unit);
    let moved = format!(
        "wire {} {} {} {}",
        glyphs.tx,
        amount(coverage.tx.wire_bytes),
        glyphs.rx,
        amount(coverage.rx.wire_bytes)
    );
    let Some(explained) = coverage.explained() else {
        let mut pieces = vec![(moved, false)];
        pieces.retain(|(text, _)| text.width() <= room);
        return pieces;
    };
    // Downwards: 100 % means all.
    let percent = (explained * 100.0).floor();
    let mut pieces = vec![(moved, false), (format!("{percent} % explained"), true)];
    if 1.0 - explained >= WORTH_A_WORD {
        let rest = 100.0 - percent;
        let reason = |words| (format!("{rest} % {words}"), false);
        pieces.push(reason("forwarded, kernel or not counted"));
        if width(&pieces) > room {
            pieces[2] = reason("forwarded or kernel");
        }
    }
    let excess = coverage.tx.excess_bytes + coverage.rx.excess_bytes;
    let wire = coverage.tx.wire_bytes + coverage.rx.wire_bytes;
    if excess as f64 >= wire as f64 * WORTH_A_WORD {
        pieces.push((format!("{} not on the wire", amount(excess)), false));
    }
    pieces.push((coverage.links.join(" "), false));
    let rates = &coverage.wire_rates;
    let (tx, rx) = (units::rate(rates.tx, unit), units::rate(rates.rx, unit));
    // Last, since its length changes all the time.
    pieces.push((format!("now {} {tx} {} {rx}", glyphs.tx, glyphs.rx), false));
    while pieces.len() > 2 && width(&pieces) > room {
        pieces.pop();
    }
    if width(&pieces) > room {
        pieces = vec![(format!("wire {percent} % explained"), true)];
    }
    pieces.retain(|(text, _)| text.width() <= room);
    pieces
}

fn width(pieces: &[Piece]) -> usize {
    let texts: usize = pieces.iter().map(|(text, _)| text.width()).sum();
    texts + 3 * pieces.len().saturating_sub(1)
}

/// Every part of a direction in words, a line for each.
pub fn parts(coverage: &Coverage, unit: Unit, glyphs: &Glyphs) -> [String; 2] {
    let amount = |bytes| units::amount(bytes, unit);
    [(glyphs.tx, &coverage.tx), (glyphs.rx, &coverage.rx)].map(|(glyph, direction)| {
        let mut text = format!(
            "wire {glyph} {} payload + {} headers + {} other",
            amount(direction.payload_bytes - direction.excess_bytes),
            amount(direction.overhead_bytes),
            amount(direction.other_bytes),
        );
        if direction.excess_bytes > 0 {
            text.push_str(&format!(" ({} not on it)", amount(direction.excess_bytes)));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::coverage::Covered;
    use crate::model::snapshot::Rates;
    use crate::tui::theme::UNICODE;

    fn coverage(rx: Covered) -> Coverage {
        Coverage {
            links: vec!["eth0".into()],
            tx: Covered::default(),
            rx,
            wire_rates: Rates::default(),
        }
    }

    fn shown(rx: Covered, room: usize) -> String {
        let pieces = pieces(&coverage(rx), Unit::Bytes, &UNICODE, room);
        let texts: Vec<String> = pieces.into_iter().map(|piece| piece.0).collect();
        texts.join(" · ")
    }

    #[test]
    fn what_fits_is_what_matters_most() {
        let rx = Covered {
            wire_bytes: 1000 << 10,
            payload_bytes: 955 << 10,
            overhead_bytes: 15 << 10,
            other_bytes: 30 << 10,
            ..Covered::default()
        };
        let start = "wire ↑ 0 B ↓ 1000.0 KiB · 97 % explained";
        let long = "3 % forwarded, kernel or not counted";
        for (room, text) in [
            (
                120,
                format!("{start} · {long} · eth0 · now ↑ 0 B/s ↓ 0 B/s"),
            ),
            (100, format!("{start} · {long} · eth0")),
            (80, format!("{start} · {long}")),
            (70, format!("{start} · 3 % forwarded or kernel")),
            (50, start.to_owned()),
            (30, "wire 97 % explained".to_owned()),
            (10, String::new()),
        ] {
            assert_eq!(shown(rx, room), text);
        }
    }

    #[test]
    fn nothing_is_said_to_be_all_that_is_not() {
        let mut rx = Covered {
            wire_bytes: 100_000,
            payload_bytes: 99_999,
            other_bytes: 1,
            ..Covered::default()
        };
        assert!(shown(rx, 100).contains("99 % explained · eth0"));
        rx.wire_bytes = 100;
        assert_eq!(shown(rx, 100), "wire ↑ 0 B ↓ 100 B");
        let rx = Covered {
            wire_bytes: 100_000,
            payload_bytes: 102_400,
            excess_bytes: 2_400,
            ..Covered::default()
        };
        assert!(shown(rx, 100).contains("100 % explained · 2.3 KiB not on the wire · eth0"));
        let [sent, received] = parts(&coverage(rx), Unit::Bytes, &UNICODE);
        assert_eq!(sent, "wire ↑ 0 B payload + 0 B headers + 0 B other");
        let text = "wire ↓ 97.7 KiB payload + 0 B headers + 0 B other (2.3 KiB not on it)";
        assert_eq!(received, text);
    }
}
