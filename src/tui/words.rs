//! Texts that several parts of the screen need: ends of flows, times, nouns.
//!
//! Pure functions. Byte quantities are `model::units`' business.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::flow::{Address, Endpoint};

use super::state::Page;
use super::theme::Theme;

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

/// What the rows of a page are called, for `count` of them.
pub fn noun(page: Page, count: usize) -> &'static str {
    match (page, count) {
        (Page::Processes, 1) => "process",
        (Page::Processes, _) => "processes",
        (Page::Flows, 1) => "flow",
        (Page::Flows, _) => "flows",
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
