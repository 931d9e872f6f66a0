//! How the values of options are written: times, sizes, counts, ports, names.
//!
//! Owns the words in which a wrong one is refused. Knows no option by name.

use std::net::SocketAddr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::model::flow::Protocol;

/// A time with its unit, above zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a time; accepted are 500ms, 2s, 1.5s, 10m, 1h, 14d");
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    if let Some(days) = days.and_then(|days: u64| days.checked_mul(24 * 60 * 60)) {
        return Some(Duration::from_secs(days))
            .filter(|duration| !duration.is_zero())
            .ok_or_else(refused);
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| refused())?;
    Duration::try_from(span)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(refused)
}

/// A time as a person would give it to [`duration`].
pub fn duration_text(duration: Duration) -> String {
    let (seconds, day) = (duration.as_secs(), 24 * 60 * 60);
    if duration.subsec_nanos() == 0 && seconds > 0 && seconds.is_multiple_of(day) {
        return format!("{}d", seconds / day);
    }
    match jiff::SignedDuration::try_from(duration) {
        Ok(span) => format!("{span:#}"),
        Err(_) => format!("{seconds}s"),
    }
}

/// The time between two readings.
pub fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if (Duration::from_millis(50)..=Duration::from_secs(60)).contains(&interval) {
        Ok(interval)
    } else {
        Err(format!("`{text}` is out of range; accepted is 50ms to 1m"))
    }
}

/// The time between two pushes.
pub fn push_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(60 * 60)).contains(&interval) {
        Ok(interval)
    } else {
        Err(format!("`{text}` is out of range; accepted is 1s to 1h"))
    }
}

/// The weight of the newest interval.
pub fn alpha(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|alpha| *alpha > 0.0 && *alpha <= 1.0)
        .ok_or_else(|| format!("`{text}` is not a weight; accepted is above 0 and at most 1"))
}

/// The size of the flow map.
pub fn max_flows(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|flows| (64..=16_777_216).contains(flows))
        .ok_or_else(|| format!("`{text}` is not a number of flows; accepted are 64 to 16777216"))
}

/// How many records.
pub fn count(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("`{text}` is not a number of records; accepted are 1 and above"))
}

/// How many rows, at most.
pub fn limit(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|limit| (1..=10_000).contains(limit))
        .ok_or_else(|| format!("`{text}` is not a number of rows; accepted are 1 to 10000"))
}

/// A process id.
pub fn pid(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a process id; accepted are numbers such as 4242"))
}

/// A port.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a port; accepted are numbers up to 65535"))
}

/// A protocol's name.
pub fn protocol(text: &str) -> Result<Protocol, String> {
    Protocol::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Protocol::ALL.iter().map(|p| p.name()).collect();
        format!("`{text}` is no protocol; accepted are {}", names.join(", "))
    })
}

/// An address with its port.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not an address with a port; accepted are 127.0.0.1:9600, 0.0.0.0:9600, \
             [::1]:9600"
        )
    })
}

/// Which events are logged.
pub fn log_filter(text: &str) -> Result<String, String> {
    // By itself a word that is no level would be taken for a part's name, and silence all.
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let mut words = text.split(',');
    let are_clear = words.all(|word| word.contains('=') || is_level(word));
    match EnvFilter::builder().parse(text) {
        Ok(_) if are_clear && !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!(
            "`{text}` says not what to log; accepted are error, warn, info, debug, trace, or by \
             part as in info,netmon::sink=debug"
        )),
    }
}

/// A size in bytes, at least a mebibyte.
pub fn size(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 20;
    let refused = || format!("`{text}` is not a size of at least 1MiB; accepted are 500MB, 2GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: f64 = number.parse().map_err(|_| refused())?;
    let unit: u64 = match unit.trim_start() {
        "MB" => 1_000_000,
        "MiB" | "M" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" | "G" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" | "T" => 1 << 40,
        _ => return Err(refused()),
    };
    // At most u64::MAX: the conversion saturates.
    let bytes = (number * unit as f64) as u64;
    if bytes < LEAST {
        return Err(refused());
    }
    Ok(bytes)
}

/// How many threads capture.
pub fn capture_workers(text: &str) -> Result<u16, String> {
    within(text, 1..=256, "workers").map(|workers| workers as u16)
}

/// The bytes of a ring's block.
pub fn block_size(text: &str) -> Result<u32, String> {
    within(text, 4096..=1 << 30, "bytes of a block")
        .ok()
        .filter(|size| size.is_power_of_two())
        .ok_or_else(|| {
            format!("`{text}` is not a block's size; accepted are powers of two from 4096 on")
        })
}

/// The blocks of a ring. The kernel keeps a pointer to each in one piece of at most 4 MiB.
pub fn block_count(text: &str) -> Result<u32, String> {
    within(text, 2..=1 << 19, "blocks")
}

/// The bytes of a ring's frame.
pub fn frame_size(text: &str) -> Result<u32, String> {
    within(text, 128..=1 << 20, "bytes of a frame")
        .ok()
        .filter(|size| size.is_multiple_of(16))
        .ok_or_else(|| {
            format!("`{text}` is not a frame's size; accepted are multiples of 16 from 128 on")
        })
}

/// The seconds between two reports.
pub fn report_interval(text: &str) -> Result<u64, String> {
    within(text, 1..=86_400, "seconds").map(u64::from)
}

/// How many addresses are kept apart.
pub fn max_addresses(text: &str) -> Result<u32, String> {
    within(text, 16..=16_777_216, "addresses")
}

fn within(text: &str, accepted: std::ops::RangeInclusive<u32>, what: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|number| accepted.contains(number))
        .ok_or_else(|| {
            let (least, most) = accepted.into_inner();
            format!("`{text}` is not a number of {what}; accepted are {least} to {most}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
        for wrong in ["-1s", "0s", "0d", "7", "d", "-1d", "213503982334602d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pushes_are_a_second_to_an_hour_apart() {
        for right in ["1s", "10s", "1h"] {
            assert_eq!(push_interval(right), duration(right), "{right}");
        }
        for wrong in ["1ns", "999ms", "3601s", "2h", "often"] {
            assert!(push_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn log_filters_take_levels_and_parts() {
        for right in ["debug", "warn,netmon=trace", "netmon::sink=debug", "off"] {
            assert_eq!(log_filter(right).as_deref(), Ok(right));
        }
        for wrong in ["", "loud", "info,", "netmon=loud", "info,netmon=much"] {
            assert!(log_filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_take_units() {
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1.5 GB"), Ok(1_500_000_000));
        assert_eq!(size("2TiB"), Ok(2 << 40));
        for wrong in [
            "", "5", "1KB", "0.5MiB", "GB", "1.2.3GB", "-1GB", "2 apples",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
