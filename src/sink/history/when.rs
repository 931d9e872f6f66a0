//! How a person writes a time: `1h`, `yesterday`, `2026-11-20T03:00`.
//!
//! Owns the forms and the words in which a wrong one is refused. Knows neither the
//! clock nor the machine's zone: both are arguments.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::ask::Window;

/// What is accepted, for error texts.
const FORMS: &str = "90s, 15m, 1h, 14d or 2w (ago), now, today, yesterday, 2026-11-20, \
2026-11-20T03:00 (local time), 2026-11-20T03:00:00Z or +01:00, @1763600000";

/// The window from `since` until `until` (now, if nothing is said). A day stands for
/// its start, so from `yesterday` until `today` is all of yesterday. What lies in the
/// future is not part of a window.
///
/// # Errors
/// What is wrong with which of the two, with the accepted forms.
pub fn window(
    since: &str,
    until: Option<&str>,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Window, String> {
    let read = |name: &str, text: &str| {
        moment(text, now, zone)
            .ok_or_else(|| format!("{name}: `{text}` is not a time; accepted are {FORMS}"))
    };
    let start = read("since", since)?;
    let end = match until {
        Some(until) => read("until", until)?.min(now),
        None => now,
    };
    // Whole seconds that hold all of it; nothing was counted before 1970.
    let up = i64::from(end.subsec_nanosecond() > 0);
    let window = Window {
        since: start.as_second().max(0),
        until: end.as_second() + up,
    };
    if start >= end || window.since >= window.until {
        let until = until.unwrap_or("now");
        return Err(format!(
            "since: `{since}` is not before until: `{until}`, or not in the past"
        ));
    }
    Ok(window)
}

/// The time that one text means.
fn moment(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    let start_of = |day: Date| Some(day.to_zoned(zone.clone()).ok()?.timestamp());
    match text {
        "now" => return Some(now),
        "today" => return start_of(now.to_zoned(zone.clone()).date()),
        "yesterday" => return start_of(now.to_zoned(zone.clone()).date().yesterday().ok()?),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return Timestamp::from_second(seconds.parse().ok()?).ok();
    }
    if let Some(seconds) = ago(text) {
        return now.checked_sub(seconds.seconds()).ok();
    }
    // A sound date alone has ten characters; the parsers below would also take
    // weeks, years of six digits and names of zones.
    if text.len() == "2026-11-20".len() {
        return start_of(text.parse().ok()?);
    }
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"-:. Tt".contains(&b));
    if plain {
        let local: DateTime = text.parse().ok()?;
        return Some(local.to_zoned(zone.clone()).ok()?.timestamp());
    }
    text.parse().ok()
}

/// Seconds of a span such as `90s` or `1h30m`; days are of 24 hours.
fn ago(text: &str) -> Option<i64> {
    // The library's spans have bounds of their own and panic beyond.
    const MOST: i64 = 100 * 366 * 86_400;
    let mut seconds: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let mut unit = tail.chars();
        let length = match unit.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        let part = number.parse::<i64>().ok()?.checked_mul(length)?;
        seconds = seconds.checked_add(part)?;
        rest = unit.as_str();
    }
    (!text.is_empty() && seconds <= MOST).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use jiff::tz::{self, Dst};

    use super::*;

    /// 2026-11-21T02:30:15Z, a Saturday.
    fn now() -> Timestamp {
        "2026-11-21T02:30:15.5Z".parse().unwrap()
    }

    /// Five hours behind: still Friday evening there.
    fn west() -> TimeZone {
        TimeZone::fixed(tz::offset(-5))
    }

    fn at(text: &str) -> String {
        let time = moment(text, now(), &west());
        time.map_or("none".to_owned(), |time| time.to_string())
    }

    #[test]
    fn every_form_is_read() {
        for (text, time) in [
            ("now", "2026-11-21T02:30:15.5Z"),
            ("90s", "2026-11-21T02:28:45.5Z"),
            ("15m", "2026-11-21T02:15:15.5Z"),
            ("1h30m", "2026-11-21T01:00:15.5Z"),
            ("24h", "2026-11-20T02:30:15.5Z"),
            ("14d", "2026-11-07T02:30:15.5Z"),
            ("2w", "2026-11-07T02:30:15.5Z"),
            ("today", "2026-11-20T05:00:00Z"),
            ("yesterday", "2026-11-19T05:00:00Z"),
            ("2026-11-20", "2026-11-20T05:00:00Z"),
            ("2026-11-20T03:00", "2026-11-20T08:00:00Z"),
            ("2026-11-20 03:00:07", "2026-11-20T08:00:07Z"),
            ("2026-11-20T03:00Z", "2026-11-20T03:00:00Z"),
            ("2026-11-20T03:00:00.25+01:00", "2026-11-20T02:00:00.25Z"),
            ("@1763600000", "2025-11-20T00:53:20Z"),
        ] {
            assert_eq!(at(text), time, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_forms() {
        for wrong in [
            "",
            " ",
            "1",
            "h",
            "1x",
            "-1h",
            "1.5h",
            "1hour",
            "tomorrow",
            "2026-13-01",
            "2026-11-20T25:00",
            "2026-11-20T03:00:00Zulu",
            "@",
            "@1e9",
            "99999999999999999999s",
            "9223372036854775807w",
            "@9223372036854775807",
            "2026-W47-5",
            "üüüüü",
            "1h ago",
        ] {
            let error = window(wrong, None, now(), &west()).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
            assert!(
                error.contains("since") && error.contains("yesterday"),
                "{error}"
            );
            let error = window("2h", Some(wrong), now(), &west()).unwrap_err();
            assert!(error.contains("until"), "{error}");
        }
    }

    #[test]
    fn windows_hold_whole_seconds_and_end_now() {
        let read = |since, until| window(since, until, now(), &west());
        let now = now().as_second();
        let window = |since, until| Ok(Window { since, until });
        assert_eq!(read("1h", None), window(now - 3600, now + 1));
        assert_eq!(read("1h", Some("2027-01-01")), window(now - 3600, now + 1));
        assert_eq!(read("2h", Some("1h")), window(now - 7200, now - 3599));
        let day = 1_763_510_400 + 366 * 86_400 - 86_400 + 5 * 3600;
        assert_eq!(read("yesterday", Some("today")), window(day, day + 86_400));
        assert_eq!(read("@-5", Some("@10")), window(0, 10));
    }

    #[test]
    fn the_end_must_be_after_the_start() {
        for (since, until) in [
            ("1h", Some("2h")),
            ("1h", Some("1h")),
            ("now", None),
            ("2030-01-01", None),
            ("@-9", Some("@-5")),
        ] {
            let error = window(since, until, now(), &west()).unwrap_err();
            assert!(error.contains("not before"), "{error}");
        }
    }

    #[test]
    fn days_of_other_lengths_begin_when_they_begin() {
        // The clocks there go back on 2026-11-01 at 06:00Z: that day has 25 hours.
        let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
        let later: Timestamp = "2026-11-02T12:00:00Z".parse().unwrap();
        assert_eq!(zone.to_offset_info(later).dst(), Dst::No);
        let day = window("yesterday", Some("today"), later, &zone).unwrap();
        assert_eq!(day.until - day.since, 25 * 3600);
    }
}
