//! `netmon capture`: workers that count, and one thread that asks them for reports,
//! watches the interface, and writes.
//!
//! Owns when a report is made and how a run ends. A slow reader only makes the next report
//! later: the workers go on counting.

use std::io::{self, BufWriter};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::history::usage;
use super::schedule::{next, stop_on_signals};
use super::{VERBOSE_LINES, written};
use crate::cli;
use crate::collect::capture::link::{Link, State};
use crate::collect::capture::{Capture, Settings, lists};
use crate::collect::filter::Lists;
use crate::collect::{capability, libbpf_log};
use crate::feed::Feed;
use crate::model::census::Census;
use crate::model::census::tally::Tally;
use crate::model::prefix::Prefix;
use crate::model::units;
use crate::sink::census::{Format, Reports};

/// Longest time until a change of the interface is told.
const LOOK: Duration = Duration::from_millis(500);

/// Why it is time for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Due,
    /// A signal asks for an end.
    Stopped,
    /// The interface is gone.
    Gone,
}

/// Reports until a signal, the count or the time ends it.
pub fn run(options: &cli::Capture) -> Result<ExitCode> {
    if options.frame_size > options.block_size {
        usage(&format!(
            "frame-size {} does not fit into a block; accepted is at most --block-size, {}",
            options.frame_size, options.block_size
        ));
    }
    // Before capturing, so that a signal at any time ends in order.
    let feed = Arc::new(Feed::new(Duration::from_secs(options.report_interval_secs)));
    stop_on_signals(Arc::clone(&feed))?;

    let settings = settings(options)?;
    let mut link = Link::find(&options.iface)?;
    let mut capture = Capture::start(&settings, &link)?;
    if options.verbose {
        eprintln!("netmon: {}", memory(options));
    }
    if let Some(error) = capture.without_bpf() {
        tell_without_bpf(error, options.verbose);
    }
    let format = match options.format {
        cli::Format::Json => Format::Json,
        cli::Format::Csv => Format::Csv,
        cli::Format::Text => Format::Text {
            workers: options.verbose,
        },
    };
    let mut reports = Reports::new(BufWriter::new(io::stdout().lock()), format);
    let start = Instant::now();
    let end = options
        .duration
        .and_then(|length| start.checked_add(length));
    let mut due = start;
    let mut count = 0;
    loop {
        due = next(due, &feed);
        let until = end.map_or(due, |end| due.min(end));
        let why = wait(until, &feed, &mut capture, &mut link)?;
        let over = end.is_some_and(|end| due >= end);
        let last = why != Why::Due || over || options.count == Some(count + 1);
        let report = capture.report(link.name(), options.top, last)?;
        if let Err(error) = reports.write(&report) {
            return written(Err(error));
        }
        if why == Why::Gone {
            bail!(
                "interface {} is gone; start again when it is back",
                link.name()
            );
        }
        if last {
            return Ok(ExitCode::SUCCESS);
        }
        count += 1;
    }
}

/// Says what is different without the eBPF filter, and why there is none.
fn tell_without_bpf(error: &anyhow::Error, verbose: bool) {
    let why = match capability::missing().contains(&"CAP_BPF") {
        true => {
            "CAP_BPF is missing (`setcap cap_net_raw,cap_bpf=ep $(command -v netmon)` grants it)"
        }
        false if verbose => "the kernel refused the eBPF filter",
        false => "the kernel refused the eBPF filter (-v shows why)",
    };
    if verbose {
        for line in libbpf_log::last_lines(VERBOSE_LINES) {
            eprintln!("{line}");
        }
        eprintln!("netmon: {}", format!("{error:#}").replace('\n', " "));
    }
    eprintln!(
        "netmon: {why}: the classic filter leaves out what is not IP uncounted, and knows no lists"
    );
}

/// What the capture takes when its tables are full, in words.
fn memory(options: &cli::Capture) -> String {
    let (addresses, workers) = (options.max_addresses, u64::from(options.workers));
    let tables = Census::bytes(addresses, options.flows) as u64
        + workers * Tally::bytes(addresses, options.flows) as u64;
    let ring = u64::from(options.block_size) * u64::from(options.block_count);
    format!(
        "{workers} rings of {}, tables of at most {} in all",
        units::describe(ring),
        units::describe(tables)
    )
}

/// Waits for the next report, and tells when the interface goes down, comes up or has
/// another name: as with tcpdump, that is no end.
fn wait(until: Instant, feed: &Feed, capture: &mut Capture, link: &mut Link) -> Result<Why> {
    loop {
        if feed.sleep_until(until.min(Instant::now() + LOOK)) {
            return Ok(Why::Stopped);
        }
        let change = link.changed()?;
        if let Some(before) = change.renamed {
            eprintln!("netmon: interface {before} is now {}", link.name());
        }
        match change.state {
            Some(State::Gone) => return Ok(Why::Gone),
            Some(State::Down) => {
                eprintln!(
                    "netmon: interface {} went down; waiting for it",
                    link.name()
                );
            }
            Some(State::Up) => eprintln!("netmon: interface {} is up again", link.name()),
            None => {}
        }
        capture.check()?;
        if Instant::now() >= until {
            return Ok(Why::Due);
        }
    }
}

fn settings(options: &cli::Capture) -> Result<Settings> {
    let ignored = options
        .ignore_file
        .as_deref()
        .map(lists::read)
        .transpose()?;
    Ok(Settings {
        workers: options.workers,
        fanout_group: options.fanout_group,
        block_size: options.block_size,
        block_count: options.block_count,
        frame_size: options.frame_size,
        lists: Lists {
            ignore: ignored.unwrap_or_default(),
            accept: accepted(options.accept_source_file.as_deref())?,
        },
        max_addresses: options.max_addresses,
        flows: options.flows,
    })
}

fn accepted(file: Option<&Path>) -> Result<Option<Vec<Prefix>>> {
    let Some(file) = file else { return Ok(None) };
    let networks = lists::read(file)?;
    ensure!(
        !networks.is_empty(),
        "{} names no network, so no packet would be counted; leave out --accept-source-file to \
         count all",
        file.display()
    );
    Ok(Some(networks))
}
