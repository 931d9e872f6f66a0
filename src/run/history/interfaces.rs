//! What interfaces moved, as a table: a line for each, and one of its classes where a
//! sampler told them apart.

use std::io::{self, Write};

use super::page::Page;
use super::table::{NOTHING, WIDE, WIDER};
use crate::model::units::{AMOUNT_WIDTH, RATE_WIDTH, Unit, amount, rate, short};
use crate::sink::history::answer::{ClassShare, Frames, InterfaceSum, Interfaces};

/// Columns of the longest name that the kernel takes.
const NAME_WIDTH: usize = 15;

/// Bytes, packets and rates of interfaces.
pub fn interfaces(to: &mut dyn Write, page: &Page, answer: &Interfaces) -> io::Result<()> {
    page.title(to, "Interfaces", &answer.since, &answer.until)?;
    if answer.interfaces.is_empty() {
        return writeln!(to, "{NOTHING}");
    }
    writeln!(to, "{}", heads(page))?;
    for row in &answer.interfaces {
        let rates = [row.average_rate, row.peak_rate as f64];
        writeln!(to, "{}", line(page, &row.interface, row.moved, Some(rates)))?;
        if let Some(words) = classes(row) {
            page.say(to, &words)?;
        }
    }
    if answer.other != Frames::default() {
        let rest = line(page, "(others)", answer.other, None);
        writeln!(to, "{}", rest.trim_end())?;
    }
    Ok(())
}

fn heads(page: &Page) -> String {
    let mut text = page.fit("INTERFACE", NAME_WIDTH);
    match page.width >= WIDE {
        true => text += &format!(" {:>AMOUNT_WIDTH$} {:>AMOUNT_WIDTH$}", "SENT", "RECEIVED"),
        false => text += &format!(" {:>AMOUNT_WIDTH$}", "BYTES"),
    }
    if page.width >= WIDER {
        text += &format!(" {:>AMOUNT_WIDTH$}", "PACKETS");
    }
    if page.width >= WIDE {
        text += &format!(" {:>RATE_WIDTH$}", "AVERAGE");
    }
    text + &format!(" {:>RATE_WIDTH$}", "PEAK")
}

/// A line; sums of several interfaces have no rates.
fn line(page: &Page, name: &str, moved: Frames, rates: Option<[f64; 2]>) -> String {
    let mut text = page.fit(name, NAME_WIDTH);
    let cell = |bytes| format!(" {:>AMOUNT_WIDTH$}", amount(bytes, Unit::Bytes));
    match page.width >= WIDE {
        true => text += &(cell(moved.tx_bytes) + &cell(moved.rx_bytes)),
        false => text += &cell(moved.bytes()),
    }
    if page.width >= WIDER {
        text += &format!(" {:>AMOUNT_WIDTH$}", packets(moved));
    }
    let Some([average, peak]) = rates else {
        return text;
    };
    let cell = |value| format!(" {:>RATE_WIDTH$}", rate(value, Unit::Bytes));
    if page.width >= WIDE {
        text += &cell(average);
    }
    text + &cell(peak)
}

/// Packets of both directions, to the last one if the column holds it.
fn packets(moved: Frames) -> String {
    let packets = moved.tx_packets.saturating_add(moved.rx_packets);
    let exact = packets.to_string();
    match exact.len() > AMOUNT_WIDTH {
        true => short(packets as f64).to_string(),
        false => exact,
    }
}

/// A sentence about the classes, if they were told apart.
fn classes(row: &InterfaceSum) -> Option<String> {
    let classes = row.classes.as_ref()?;
    let share = |one: &ClassShare| format!("{} {:.1}%", one.class, one.percentage);
    let is_part = |one: &&ClassShare| matches!(one.class, "http" | "https");
    let join = |ones: Vec<String>| ones.join(", ");
    let parts = join(
        classes
            .iter()
            .filter(|it| !is_part(it))
            .map(share)
            .collect(),
    );
    let within = join(classes.iter().filter(is_part).map(share).collect());
    Some(match within.is_empty() {
        true => format!("    {parts}"),
        false => format!("    {parts} (of it {within})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_fit_their_column() {
        let cases = [
            (0, 7, "7"),
            (9_999_999_990, 9, "9999999999"),
            (9_999_999_990, 10, "10.0G"),
            (u64::MAX, 1, "18.4E"),
        ];
        for (tx_packets, rx_packets, text) in cases {
            let moved = Frames {
                tx_packets,
                rx_packets,
                ..Frames::default()
            };
            assert_eq!(packets(moved), text);
        }
    }
}
