//! The badges: what one must not overlook, such as that this is the past.
//!
//! Chooses the words that fit. Decides no state.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::elsewhere::Lost;
use super::paint::Canvas;
use super::render::Scene;
use super::state::Mode;
use super::words;

/// Columns of the filter's text at most.
const FILTER: u16 = 30;

/// Columns of a trouble's words at most: more would hide the other badges.
const TROUBLE: u16 = 60;

/// PAST, RECONNECTING, ESTIMATED, what is wrong, FROZEN and the filter's text, from column `x` on; returns the
/// column after.
pub fn draw(scene: &Scene<'_>, mut x: u16, line: Rect, canvas: &mut Canvas<'_>) -> u16 {
    let style = scene.theme.badge;
    let mut draw = |texts: &[String], most: u16| {
        let room = line.right().saturating_sub(x).min(most);
        let fits = |text: &&String| text.width() <= usize::from(room);
        let Some(text) = texts.iter().find(fits).or(texts.last()) else {
            return;
        };
        x = canvas.text(x, line.y, room, text, style) + 1;
    };
    if let Some(past) = scene.past {
        let length = words::length(past.interval);
        draw(&then(past.at.wall, &length, scene.zone), u16::MAX);
    }
    if let Some(lost) = scene.place.and_then(|place| place.lost.as_ref()) {
        draw(&reconnecting(lost, scene.zone), u16::MAX);
    }
    if scene.is_estimated() {
        draw(&[" ESTIMATED ".to_owned()], u16::MAX);
    }
    if let Some(trouble) = &scene.state.trouble {
        draw(&[format!(" {trouble} ")], TROUBLE);
    }
    if scene.frozen {
        draw(&[" FROZEN ".to_owned()], u16::MAX);
    }
    // While it is edited the footer shows it.
    if !scene.state.filter().is_empty() && scene.state.mode != Mode::Filter {
        draw(&[format!(" /{} ", scene.state.filter())], FILTER);
    }
    x
}

/// From the most telling to the shortest.
fn then(wall: Duration, length: &str, zone: &TimeZone) -> Vec<String> {
    vec![
        local(wall, zone, &format!(" PAST %Y-%m-%d %H:%M:%S, {length} ")),
        local(wall, zone, " PAST %m-%d %H:%M:%S "),
        local(wall, zone, " PAST %H:%M:%S "),
        " PAST ".to_owned(),
    ]
}

fn reconnecting(lost: &Lost, zone: &TimeZone) -> Vec<String> {
    let since = local(lost.since, zone, "%H:%M:%S");
    vec![
        format!(" RECONNECTING, nothing since {since}: {} ", lost.why),
        format!(" RECONNECTING, nothing since {since} "),
        format!(" RECONNECTING since {since} "),
        " RECONNECTING ".to_owned(),
    ]
}

/// A wall-clock time in local terms.
fn local(wall: Duration, zone: &TimeZone, format: &str) -> String {
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    zone.to_datetime(time).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let wall = Duration::from_millis(1_795_140_010_900);
        assert_eq!(
            then(wall, "10 s", &zone)[..2],
            [
                " PAST 2026-11-20 03:00:10, 10 s ".to_owned(),
                " PAST 11-20 03:00:10 ".to_owned()
            ]
        );
        let lost = Lost {
            since: wall,
            why: "connection refused".to_owned(),
        };
        assert_eq!(
            reconnecting(&lost, &zone)[0],
            " RECONNECTING, nothing since 03:00:10: connection refused "
        );
        // Whatever a record says.
        assert!(local(Duration::MAX, &zone, "%Y").starts_with("9999"));
    }
}
