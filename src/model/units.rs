//! Byte quantities as people write them: `1.4 MiB/s`, `532 B`, `80Mbit`.
//!
//! Owns formatting and parsing of amounts and rates. Does not decide where
//! they are shown. Table cells use [`amount`] and [`rate`], which allocate
//! nothing; one-off texts use [`describe`].

use std::fmt;

/// Columns that the widest [`amount`] takes: `1023.9 GiB`.
pub const AMOUNT_WIDTH: usize = 10;

/// Columns that the widest [`rate`] takes: `1023.9 MiB/s`.
pub const RATE_WIDTH: usize = 12;

/// Columns that the widest [`short`] takes: `999.9M`.
pub const SHORT_WIDTH: usize = 6;

/// Columns that the widest [`mark`] takes: `1023K`.
pub const MARK_WIDTH: usize = 5;

/// What quantities are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Bytes in powers of 1024: `KiB`, `MiB`, …
    #[default]
    Bytes,
    /// Bits in powers of 1000, as links are sold: `kbit`, `Mbit`, …
    Bits,
}

impl Unit {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Unit {
        match self {
            Unit::Bytes => Unit::Bits,
            Unit::Bits => Unit::Bytes,
        }
    }
}

const BYTES: [&str; 7] = [" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"];
const BITS: [&str; 7] = [" bit", " kbit", " Mbit", " Gbit", " Tbit", " Pbit", " Ebit"];

/// A short ASCII text that lives on the stack.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; 16],
    length: u8,
}

impl Text {
    const EMPTY: Text = Text {
        bytes: [0; 16],
        length: 0,
    };

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever pushed, so the fallback is never taken.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }

    /// Appends one byte; what does not fit is dropped. The longest text,
    /// `1023.9 MiB/s`, leaves room to spare.
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.length)) {
            *slot = byte;
            self.length += 1;
        }
    }

    fn push_str(&mut self, text: &str) {
        for byte in text.bytes() {
            self.push(byte);
        }
    }

    /// Appends a number below 10,000.
    fn push_number(&mut self, number: u64) {
        for (power, place) in [(1000, 3), (100, 2), (10, 1), (1, 0)] {
            if number >= power || place == 0 {
                self.push(b'0' + (number / power % 10) as u8);
            }
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

/// A quantity split into tenths of the largest prefix that leaves one whole:
/// (tenths, prefix). Without a prefix there are no tenths but whole units.
fn scale(value: u64, unit: Unit) -> (u64, usize) {
    let kilo = match unit {
        Unit::Bytes => 1024,
        Unit::Bits => 1000,
    };
    if value < kilo {
        return (value, 0);
    }
    let (whole, rest, divisor, mut prefix) = match unit {
        Unit::Bytes => {
            let prefix = (63 - value.leading_zeros()) / 10;
            let divisor = 1u64 << (10 * prefix);
            (
                value >> (10 * prefix),
                value & (divisor - 1),
                divisor,
                prefix as usize,
            )
        }
        Unit::Bits => {
            let mut divisor = 1000;
            let mut prefix = 1;
            while prefix < BITS.len() - 1 && value / divisor >= 1000 {
                divisor *= 1000;
                prefix += 1;
            }
            (value / divisor, value % divisor, divisor, prefix)
        }
    };
    // Half goes to the even tenth, as the standard library rounds. The rest is
    // below 2^60, so ten times it fits.
    let (mut tenths, remainder) = (rest * 10 / divisor, rest * 10 % divisor);
    tenths += whole * 10;
    if remainder > divisor / 2 || (remainder == divisor / 2 && tenths % 2 == 1) {
        tenths += 1;
    }
    // 1024.0 KiB is 1.0 MiB.
    if tenths >= kilo * 10 && prefix < BYTES.len() - 1 {
        tenths = 10;
        prefix += 1;
    }
    (tenths, prefix)
}

fn quantity(value: u64, unit: Unit) -> Text {
    let (number, prefix) = scale(value, unit);
    let mut text = Text::EMPTY;
    if prefix == 0 {
        text.push_number(number);
    } else {
        text.push_number(number / 10);
        text.push(b'.');
        text.push(b'0' + (number % 10) as u8);
    }
    text.push_str(match unit {
        Unit::Bytes => BYTES[prefix],
        Unit::Bits => BITS[prefix],
    });
    text
}

/// An amount given in bytes, at most [`AMOUNT_WIDTH`] columns wide.
pub fn amount(bytes: u64, unit: Unit) -> Text {
    match unit {
        Unit::Bytes => quantity(bytes, unit),
        Unit::Bits => quantity(bytes.saturating_mul(8), unit),
    }
}

/// A rate given in bytes per second, at most [`RATE_WIDTH`] columns wide.
pub fn rate(bytes_per_second: f64, unit: Unit) -> Text {
    let per_second = match unit {
        Unit::Bytes => bytes_per_second,
        Unit::Bits => bytes_per_second * 8.0,
    };
    // Adding a half rounds; the cast saturates, and makes 0 of a NaN.
    let mut text = quantity((per_second + 0.5) as u64, unit);
    text.push_str("/s");
    text
}

/// A number in powers of 1000 for a narrow column, at most [`SHORT_WIDTH`] columns wide:
/// `11.2M`.
pub fn short(number: f64) -> Text {
    // Adding a half rounds; the cast saturates, and makes 0 of a NaN.
    let (number, prefix) = scale((number + 0.5) as u64, Unit::Bits);
    let mut text = Text::EMPTY;
    if prefix == 0 {
        text.push_number(number);
    } else {
        text.push_number(number / 10);
        text.push(b'.');
        text.push(b'0' + (number % 10) as u8);
        text.push(b" kMGTPE"[prefix]);
    }
    text
}

/// A rate given in bytes per second as the mark of a scale, at most [`MARK_WIDTH`]
/// columns wide: `532B`, `1.4M`, `143K`. Beside a rate that names its unit it needs none.
pub fn mark(bytes_per_second: f64, unit: Unit) -> Text {
    let (value, units) = match unit {
        Unit::Bytes => (bytes_per_second, BYTES),
        Unit::Bits => (bytes_per_second * 8.0, BITS),
    };
    // As in `rate`.
    let (number, prefix) = scale((value + 0.5) as u64, unit);
    let mut text = Text::EMPTY;
    match (prefix, number) {
        (0, number) => text.push_number(number),
        (_, 1000..) => text.push_number(number / 10),
        (_, number) => {
            text.push_number(number / 10);
            text.push(b'.');
            text.push(b'0' + (number % 10) as u8);
        }
    }
    // The first letter of the unit.
    text.push_str(&units[prefix][1..2]);
    text
}

/// An amount in bytes for a text that is written once, such as a threshold or
/// a total in a sentence. It reads as [`amount`] does.
pub fn describe(bytes: u64) -> String {
    let (number, prefix) = scale(bytes, Unit::Bytes);
    // What rounds up to the next prefix is named by it, as in a cell.
    let bytes = if number == 10 && prefix > 0 {
        bytes.max(1 << (10 * prefix))
    } else {
        bytes
    };
    let format = humansize::BINARY
        .decimal_places(1)
        .decimal_zeroes(usize::from(prefix > 0));
    humansize::format_size(bytes, format)
}

/// What [`parse_rate`] reads, for help and error texts.
pub const RATE_FORMS: &str =
    "bytes per second as a number with an optional unit: 1000000, 10MB, 10MiB, 80Mbit, 1.5GiB/s";

/// Bytes per second of a rate such as `10MB`, `10MiB`, `80Mbit` or `1000000`,
/// optionally followed by `/s`. Prefixes without an `i` are powers of 1000, and
/// case does not matter.
///
/// # Errors
///
/// A sentence that names the value and the accepted forms.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let refuse = || format!("invalid rate '{text}': give {RATE_FORMS}");
    let lower = text.trim().to_ascii_lowercase();
    let quantity = lower.strip_suffix("/s").unwrap_or(&lower);
    let end = quantity
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(end);
    let number: f64 = number.parse().map_err(|_| refuse())?;
    let per_second = number * unit_bytes(unit.trim()).ok_or_else(refuse)?;
    if per_second.is_finite() {
        Ok(per_second)
    } else {
        Err(refuse())
    }
}

/// Bytes in one of a lower-case unit.
fn unit_bytes(unit: &str) -> Option<f64> {
    let (prefix, bytes) = if let Some(prefix) = unit.strip_suffix("bit") {
        (prefix, 0.125)
    } else {
        (unit.strip_suffix('b').unwrap_or(unit), 1.0)
    };
    let power = |prefix: &str| ["", "k", "m", "g", "t"].iter().position(|p| *p == prefix);
    let factor = match prefix.strip_suffix('i') {
        Some(prefix) => 1024f64.powi(power(prefix).filter(|power| *power > 0)? as i32),
        None => 1000f64.powi(power(prefix)? as i32),
    };
    Some(factor * bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        let cases = [
            (0, "0 B"),
            (532, "532 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10.0 MiB"),
            (1_048_575, "1.0 MiB"),
            (1023 << 30, "1023.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(amount(bytes, Unit::Bytes).as_str(), text);
        }
    }

    #[test]
    fn marks_are_short() {
        let cases = [
            (0.0, "0B", "0b"),
            (532.0, "532B", "4.3k"),
            (1.5e6, "1.4M", "12.0M"),
            (1_048_000.0, "1023K", "8.4M"),
            (1_048_575.0, "1.0M", "8.4M"),
            (12.5e9, "11.6G", "100G"),
            (f64::NAN, "0B", "0b"),
        ];
        for (value, bytes, bits) in cases {
            let marks = [Unit::Bytes, Unit::Bits].map(|unit| mark(value, unit));
            assert_eq!(marks.map(|mark| mark.to_string()), [bytes, bits]);
        }
    }

    #[test]
    fn rates_come_in_bytes_and_bits() {
        assert_eq!(rate(1_468_006.4, Unit::Bytes).as_str(), "1.4 MiB/s");
        assert_eq!(rate(1_400_000.0, Unit::Bits).as_str(), "11.2 Mbit/s");
        assert_eq!(rate(0.4, Unit::Bytes).as_str(), "0 B/s");
        assert_eq!(rate(124.0, Unit::Bits).as_str(), "992 bit/s");
        assert_eq!(rate(125.0, Unit::Bits).as_str(), "1.0 kbit/s");
        assert_eq!(rate(f64::NAN, Unit::Bytes).as_str(), "0 B/s");
        assert_eq!(rate(-1.0, Unit::Bytes).as_str(), "0 B/s");
    }

    #[test]
    fn short_numbers_are_in_powers_of_a_thousand() {
        for (number, text) in [
            (0.0, "0"),
            (0.6, "1"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (11_234_567.0, "11.2M"),
            (999_949_999.0, "999.9M"),
            (999_950_001.0, "1.0G"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(short(number).as_str(), text, "{number}");
        }
    }

    #[test]
    fn rates_are_parsed_with_their_units() {
        let cases = [
            ("1000000", 1e6),
            ("10MB", 1e7),
            ("10mb", 1e7),
            ("10MiB", 10_485_760.0),
            ("80Mbit", 1e7),
            ("80 Mbit/s", 1e7),
            ("1.5GiB", 1.5 * 1024.0 * 1024.0 * 1024.0),
            ("8bit", 1.0),
            ("3B/s", 3.0),
            ("2K", 2000.0),
            (" 0 ", 0.0),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_rate(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_wrong_rate_is_named_with_the_accepted_forms() {
        let wrong = [
            "", "MB", "ten", "-5", "10XB", "10iB", "1e9", "inf", "1.2.3", "5/h",
        ];
        for text in wrong {
            let error = parse_rate(text).unwrap_err();
            assert!(error.contains(&format!("'{text}'")), "{error}");
            assert!(error.contains("10MiB") && error.contains("80Mbit"));
        }
    }

    proptest! {
        #[test]
        fn cells_and_sentences_agree(shift in 0u32..53, bits in 0u64..(1 << 53)) {
            let bytes = bits >> shift;
            let cell = amount(bytes, Unit::Bytes);
            prop_assert_eq!(describe(bytes), cell.as_str());
        }

        #[test]
        fn widths_hold(bytes in any::<u64>(), shift in 0u32..64) {
            prop_assert!(short((bytes >> shift) as f64).len() <= SHORT_WIDTH);
            for unit in [Unit::Bytes, Unit::Bits] {
                prop_assert!(mark((bytes >> shift) as f64, unit).len() <= MARK_WIDTH);
                prop_assert!(amount(bytes >> shift, unit).len() <= AMOUNT_WIDTH);
                prop_assert!(rate((bytes >> shift) as f64, unit).len() <= RATE_WIDTH);
            }
        }

        #[test]
        fn what_is_shown_parses_back_to_within_its_rounding(bytes in 1u64..(1 << 50)) {
            let shown = rate(bytes as f64, Unit::Bytes);
            let parsed = parse_rate(&shown).map_err(TestCaseError::fail)?;
            prop_assert!((parsed - bytes as f64).abs() <= bytes as f64 * 0.051);
        }
    }
}
