//! What a capture costs, and whether it gets every packet.
//!
//! A veth pair between two network namespaces of its own; at the near end a sender of
//! small datagrams from several addresses that goes as fast as it can, at the far end in
//! turns: nobody, a bare TPACKET_V3 loop that counts bytes by source, netmon's pipeline
//! (ring, filter, parser, tally) of one worker and of the command's default, with each
//! kind of filter, and `tcpdump -w /dev/null`.
//! Every packet of the machine pays for the ring and the filter, in the time of who sends
//! it, and every packet passes through the pipeline: this is the hottest path there is.
//!
//! Prints medians and minima: packets that were captured of those that were sent, those
//! that the kernel dropped, the capturer's CPU time and the sender's time for each.
//! `--rounds N` (default 9) and `--packets N` (default 1,000,000) set its length. The sender has the
//! first CPU to itself, the capturer the last.

mod bare;
mod capturers;
mod wire;

use std::process::ExitCode;

use capturers::{Captured, Capturer};
use wire::Wire;

fn option(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments
        .nth(1)
        .map_or(default, |value| value.parse().expect("a number"))
}

/// One turn of one capturer.
struct Turn {
    /// Of all that were sent.
    captured: f64,
    drops: f64,
    /// ns for each packet.
    capturer: f64,
    sender: f64,
}

fn main() -> ExitCode {
    // `cargo test` and `make test` ask every bench for one quick pass.
    let quick = std::env::args().any(|argument| argument == "--test");
    let (rounds, packets) = match quick {
        true => (1, 20_000),
        false => (option("--rounds", 9), option("--packets", 1_000_000)),
    };
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not measured here: it needs root");
        return ExitCode::from(u8::from(!quick));
    }
    let mut wire = Wire::new();
    let mut turns: Vec<Vec<Turn>> = capturers::ALL.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (&(name, capturer), turns) in capturers::ALL.iter().zip(&mut turns) {
            match turn(&mut wire, capturer, packets) {
                // The first round warms up.
                Some(turn) if round > 0 || quick => turns.push(turn),
                Some(_) => {}
                None if round == 0 => println!("{name} is not measured: it is not installed"),
                None => {}
            }
        }
    }
    print(&turns);
    ExitCode::SUCCESS
}

/// `None` if the capturer is not there.
fn turn(wire: &mut Wire, capturer: Capturer, packets: usize) -> Option<Turn> {
    let running = capturers::start(capturer)?;
    let sent = wire.send(packets);
    let Captured {
        packets: captured,
        drops,
        nanoseconds,
    } = running.end();
    Some(Turn {
        captured: captured as f64 / sent.packets as f64,
        drops: drops as f64,
        capturer: nanoseconds as f64 / captured.max(1) as f64,
        sender: sent.nanoseconds as f64 / sent.packets as f64,
    })
}

/// The value that stands at this place of all, the smallest first.
fn ranked(turns: &[Turn], value: impl Fn(&Turn) -> f64, place: fn(usize) -> usize) -> f64 {
    let mut values: Vec<f64> = turns.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[place(values.len())]
}

fn print(turns: &[Vec<Turn>]) {
    print_by("medians", turns, |turns| turns / 2);
    // What other programs of the machine did meanwhile is least in these.
    print_by("minima", turns, |_| 0);
}

fn print_by(title: &str, turns: &[Vec<Turn>], place: fn(usize) -> usize) {
    let alone = ranked(&turns[0], |turn| turn.sender, place);
    let bare = ranked(&turns[1], |turn| turn.capturer, place);
    println!(
        "{title:<34}{:>10}{:>9}{:>14}{:>9}{:>12}{:>9}",
        "captured", "drops", "capturer [ns]", "of bare", "sender [ns]", "of none"
    );
    for ((name, _), turns) in capturers::ALL.iter().zip(turns) {
        if turns.is_empty() {
            continue;
        }
        let capturer = ranked(turns, |turn| turn.capturer, place);
        let sender = ranked(turns, |turn| turn.sender, place);
        println!(
            "{name:<34}{:>9.2}%{:>9.0}{capturer:>14.1}{:>9.2}{sender:>12.1}{:>9.3}",
            100.0 * ranked(turns, |turn| turn.captured, place),
            ranked(turns, |turn| turn.drops, place),
            capturer / bare,
            sender / alone,
        );
    }
}
