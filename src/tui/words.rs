//! Texts that several parts of the screen need: ends of flows, times, nouns.
//!
//! Pure functions. Byte quantities are `model::units`' business.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::flow::{Address, Endpoint};
use crate::model::snapshot::ProcessRow;

use super::state::Page;
use super::theme::Theme;

/// Columns that the widest [`push_time`] takes: `999.9 ms`.
pub const TIME_WIDTH: usize = 8;

/// Columns that the widest [`packets`] takes: `9999.9G pkt/s`.
pub const PACKETS_WIDTH: usize = 13;

/// Appends an end of a flow, `-` for an unknown one. A text is cut at its end,
/// where the port is; so where it is longer than `width` columns, an IPv6
/// address loses a piece before the port and IPv4 the port itself.
pub fn push_end(text: &mut String, end: Option<Endpoint>, width: usize, theme: &Theme) {
    // Writing to a String cannot fail.
    let Some(end) = end else {
        text.push('-');
        return;
    };
    let start = text.len();
    let _ = write!(text, "{end}");
    if text.len() - start <= width || end.port == 0 {
        return;
    }
    match end.address {
        // Half a port misleads; none does not.
        Address::Ip(IpAddr::V4(address)) => {
            text.truncate(start);
            let _ = write!(text, "{address}");
            return;
        }
        Address::Interface(_) => return,
        Address::Ip(IpAddr::V6(_)) => {}
    }
    let port = format!("]:{}", end.port);
    if let Some(keep) = width.checked_sub(port.len() + 1) {
        text.truncate(start + keep);
        text.push_str(theme.glyphs.ellipsis);
        text.push_str(&port);
    }
}

/// `500 ms`, `2 s`.
pub fn interval(interval: Duration) -> String {
    let ms = interval.as_millis();
    if ms < 1000 {
        format!("{ms} ms")
    } else if ms.is_multiple_of(1000) {
        format!("{} s", ms / 1000)
    } else {
        format!("{:.1} s", interval.as_secs_f64())
    }
}

/// `10 s`, `1 min`, `1 h`: the length of a stretch of the past.
pub fn length(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 1.. if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        seconds @ 1.. if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => interval(length),
    }
}

/// `12 d 3 h`, `4 min 5 s`: the two largest parts.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = parts
        .iter()
        .position(|(length, _)| seconds >= *length)
        .unwrap_or(parts.len() - 1);
    let mut left = seconds;
    let mut text = String::new();
    for (length, name) in parts.iter().skip(first).take(2) {
        let _ = write!(
            text,
            "{}{} {name}",
            if text.is_empty() { "" } else { " " },
            left / length
        );
        left %= length;
    }
    text
}

/// Whether a row stands for traffic that the engine could give to no process; the
/// reason is where a command is.
pub fn is_unattributed(row: &ProcessRow) -> bool {
    row.id.pid == 0 && row.identity.name == "<unattributed>"
}

/// What the rows of a page are called, for `count` of them.
pub fn noun(page: Page, count: usize) -> &'static str {
    match (page, count) {
        (Page::Processes, 1) => "process",
        (Page::Processes, _) => "processes",
        (Page::Flows, 1) => "flow",
        (Page::Flows, _) => "flows",
        (Page::Interfaces, 1) => "interface",
        (Page::Interfaces, _) => "interfaces",
    }
}

/// The name of a page as its tab has it.
pub fn tab(page: Page) -> &'static str {
    noun(page, 2)
}

/// Appends a short time: `456 µs`, `12.3 ms`, `1.5 s`.
pub fn push_time(text: &mut String, microseconds: u32, theme: &Theme) {
    let micro = if theme.glyphs.unicode { "µs" } else { "us" };
    let value = f64::from(microseconds);
    // Writing to a String cannot fail. What rounds up to the next unit is in it.
    let _ = match microseconds {
        0..1000 => write!(text, "{microseconds} {micro}"),
        1000..999_950 => write!(text, "{:.1} ms", value / 1e3),
        _ => write!(text, "{:.1} s", value / 1e6),
    };
}

/// Packets per second: `980 pkt/s`, `12.3k pkt/s`.
pub fn packets(per_second: f64) -> String {
    // A NaN becomes 0.
    let value = per_second.max(0.0);
    match value {
        ..9_999.5 => format!("{value:.0} pkt/s"),
        ..999_950.0 => format!("{:.1}k pkt/s", value / 1e3),
        ..999_950_000.0 => format!("{:.1}M pkt/s", value / 1e6),
        _ => format!("{:.1}G pkt/s", (value / 1e9).min(9999.9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(end: &str, width: usize) -> String {
        let address: std::net::SocketAddr = end.parse().unwrap();
        let end = Endpoint {
            address: Address::Ip(address.ip()),
            port: address.port(),
        };
        let mut text = String::new();
        push_end(&mut text, Some(end), width, &Theme::new(true, false));
        text
    }

    #[test]
    fn ends_that_are_too_long_keep_what_helps() {
        assert_eq!(shown("192.0.2.1:443", 13), "192.0.2.1:443");
        assert_eq!(shown("192.0.2.1:443", 12), "192.0.2.1");
        assert_eq!(shown("[2001:db8:1:2::3]:443", 21), "[2001:db8:1:2::3]:443");
        assert_eq!(shown("[2001:db8:1:2::3]:443", 15), "[2001:db8…]:443");
    }

    #[test]
    fn intervals_are_short() {
        assert_eq!(interval(Duration::from_millis(100)), "100 ms");
        assert_eq!(interval(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(interval(Duration::from_secs(10)), "10 s");
    }

    #[test]
    fn lengths_are_in_the_largest_unit_that_is_exact() {
        let cases = [(10, "10 s"), (60, "1 min"), (90, "90 s"), (7200, "2 h")];
        for (seconds, text) in cases {
            assert_eq!(length(Duration::from_secs(seconds)), text);
        }
        assert_eq!(length(Duration::ZERO), "0 ms");
    }

    #[test]
    fn short_times_fit_their_column() {
        let theme = Theme::new(true, false);
        let shown = |us| {
            let mut text = String::new();
            push_time(&mut text, us, &theme);
            text
        };
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (12_345, "12.3 ms"),
            (999_949, "999.9 ms"),
            (999_999, "1.0 s"),
            (u32::MAX, "4295.0 s"),
        ] {
            assert_eq!(shown(us), text);
            assert!(text.chars().count() <= TIME_WIDTH);
        }
        let mut plain = String::new();
        push_time(&mut plain, 7, &Theme::new(true, true));
        assert_eq!(plain, "7 us");
    }

    #[test]
    fn packets_fit_their_column() {
        for (rate, text) in [
            (0.0, "0 pkt/s"),
            (9_999.0, "9999 pkt/s"),
            (9_999.6, "10.0k pkt/s"),
            (999_990.0, "1.0M pkt/s"),
            (14_880_952.0, "14.9M pkt/s"),
            (f64::NAN, "0 pkt/s"),
            (f64::MAX, "9999.9G pkt/s"),
        ] {
            assert_eq!(packets(rate), text);
            assert!(text.len() <= PACKETS_WIDTH);
        }
    }

    #[test]
    fn elapsed_time_has_its_two_largest_parts() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h 0 min"),
            (90_061, "1 d 1 h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(elapsed(Duration::from_secs(seconds)), text);
        }
    }
}
