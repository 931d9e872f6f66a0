//! `netmon stream` in CSV and as text.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::contract::{check_lines, last};
use crate::netmon::{BINARY, Live, roomy};
use crate::space::{self, Space};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("formats::csv", csv),
        root("formats::csv_of_a_filter", csv_of_a_filter),
        root(
            "formats::an_interface_as_the_peer",
            an_interface_as_the_peer,
        ),
        root("formats::interfaces", interfaces),
        root("formats::text", text),
    ]
}

const HEADER: &str = "time,sequence,kind,pid,name,user,protocol,local_address,local_port,\
remote_address,remote_port,tx_bytes,rx_bytes,tx_operations,rx_operations,tx_rate,rx_rate,\
smoothed_rate,ended,anomalous,rtt_us,rtt_variance_us,retransmits,lost,congestion_window,send_mss";

/// The fields of one line (RFC 4180).
fn fields(line: &str) -> anyhow::Result<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().context("no field")?;
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => field.push(character),
        }
    }
    ensure!(!quoted, "an open quote: {line}");
    Ok(fields)
}

/// The rows of a run as fields, all with as many columns as the header has.
fn rows(output: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let mut lines = output.lines();
    ensure!(lines.next() == Some(HEADER), "header: {output}");
    let columns = HEADER.split(',').count();
    lines
        .map(|line| {
            let fields = fields(line)?;
            ensure!(fields.len() == columns, "{} columns: {line}", fields.len());
            ensure!(
                ["protocol", "interface", "process", "flow"].contains(&fields[2].as_str()),
                "what is `{}`: {line}",
                fields[2]
            );
            // A class of an interface has no smoothed rate.
            let numbers = &fields[11..18];
            for number in numbers.iter().filter(|it| !it.is_empty()) {
                number
                    .parse::<f64>()
                    .with_context(|| format!("`{number}` in {line}"))?;
            }
            for flag in &fields[18..20] {
                flag.parse::<bool>()
                    .with_context(|| format!("`{flag}` in {line}"))?;
            }
            // How a connection fares: all of it or nothing, and only of TCP.
            let fares = &fields[20..];
            let is_told = fares.iter().any(|field| !field.is_empty());
            ensure!(
                !is_told || fields[6] == "tcp" || fields[6] == "mptcp",
                "{line}"
            );
            for number in fares.iter().filter(|_| is_told) {
                number
                    .parse::<u32>()
                    .with_context(|| format!("`{number}` in {line}"))?;
            }
            Ok(fields)
        })
        .collect()
}

const AWKWARD: &str = "nmc, \"q\" 'x";

fn csv() -> anyhow::Result<()> {
    let arguments = ["stream", "--format", "csv", "--interval", "100ms"];
    let mut live = Live::start(&mut roomy(arguments))?;
    live.line()?;
    let mut traffic = Traffic::start(&Plan::udp(AWKWARD, 50, 20))?;
    let moved = traffic.moved()?.map(|number| number.to_string());
    // Two intervals on, it is in a record.
    let sequence = |line: &str| line.split(',').nth(1).and_then(|it| it.parse::<u64>().ok());
    let mut seen = 0;
    let first = sequence(&live.line()?).unwrap_or(0);
    while seen < first + 2 {
        seen = sequence(&live.line()?).unwrap_or(0);
    }
    let rows = rows(&live.interrupt()?.stdout)?;
    let pid = traffic.pid().to_string();
    let of = |kind: &str| {
        let mut mine = rows.iter().filter(|row| row[2] == kind && row[3] == pid);
        mine.next_back()
            .cloned()
            .with_context(|| format!("no {kind} row"))
    };
    let process = of("process")?;
    ensure!(process[4] == AWKWARD, "name: {process:?}");
    ensure!(process[6..11].iter().all(String::is_empty), "{process:?}");
    ensure!(process[11..15] == moved, "{process:?}");
    let flow = of("flow")?;
    ensure!(flow[4] == AWKWARD && flow[6] == "udp", "{flow:?}");
    ensure!(flow[7] == "127.0.0.1" && flow[9] == "127.0.0.1", "{flow:?}");
    let ports = [traffic.ports.0, traffic.ports.1].map(|port| port.to_string());
    ensure!(
        ports.contains(&flow[8]) && ports.contains(&flow[10]),
        "{flow:?}"
    );
    let protocol = rows.iter().find(|row| row[2] == "protocol");
    let protocol = protocol.context("no protocol row")?;
    ensure!(protocol[3..6].iter().all(String::is_empty), "{protocol:?}");
    // Every record's sums agree here, too.
    let last = rows.last().context("no rows")?[1].parse()?;
    for sequence in 1..=last {
        let sum = |kind: &str, column: usize| -> u64 {
            rows.iter()
                .filter(|row| row[2] == kind && row[1] == sequence.to_string())
                .filter_map(|row| row[column].parse::<u64>().ok())
                .sum()
        };
        for column in 11..15 {
            let (processes, protocols) = (sum("process", column), sum("protocol", column));
            ensure!(processes == protocols, "record {sequence}, column {column}");
        }
    }
    traffic.reap()
}

fn csv_of_a_filter() -> anyhow::Result<()> {
    let mut traffic = Traffic::prepare(&Plan::udp("nmc-mine", 50, 20))?;
    let mut live = Live::start(
        roomy(["stream", "--format", "csv", "--interval", "100ms"])
            .args(["--pid", &traffic.pid().to_string()]),
    )?;
    live.line()?;
    std::thread::sleep(Duration::from_millis(500));
    traffic.go()?;
    traffic.moved()?;
    let rows = rows(&live.interrupt()?.stdout)?;
    let pid = traffic.pid().to_string();
    let mut others = rows
        .iter()
        .filter(|row| row[2] != "protocol" && row[3] != pid);
    ensure!(others.next().is_none(), "rows of others: {rows:?}");
    ensure!(rows.iter().any(|row| row[3] == pid), "no row: {rows:?}");
    traffic.reap()
}

const FRAME: usize = 300;

/// Sends one frame of no known protocol by this interface.
fn send_frame(interface: &CStr) -> anyhow::Result<()> {
    // SAFETY: three numbers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    ensure!(fd >= 0, "AF_PACKET: {}", io::Error::last_os_error());
    // SAFETY: just opened, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_ll is plain integers, for which zero is valid.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    // SAFETY: a C string.
    to.sll_ifindex = unsafe { libc::if_nametoindex(interface.as_ptr()) } as i32;
    let frame = [0_u8; FRAME];
    let (to, length) = (&raw const to, size_of_val(&to) as u32);
    // SAFETY: the frame and the address outlive the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            FRAME,
            0,
            to.cast(),
            length,
        )
    };
    ensure!(sent == FRAME as isize, "{}", io::Error::last_os_error());
    Ok(())
}

/// The peer of a packet socket is an interface, whatever its name is.
fn an_interface_as_the_peer() -> anyhow::Result<()> {
    let space = Space::new()?;
    space.sh(
        "ip link add 'a,b' type veth peer name c && ip link set 'a,b' up && ip link set c up",
    )?;
    let pid = std::process::id().to_string();
    let run = |format| {
        let arguments = [
            "stream",
            "--format",
            format,
            "--interval",
            "100ms",
            "--pid",
            &pid,
        ];
        let mut live = Live::start(&mut roomy(arguments))?;
        live.line()?;
        space.inside(|| send_frame(c"a,b"))?;
        anyhow::Ok(live.interrupt()?.stdout)
    };
    let records = check_lines(&run("json")?)?;
    let mut flows = crate::contract::rows(last(&records)?, "flows").iter();
    let flow = flows.find(|row| row["protocol"] == "packet");
    let flow = flow.context("no packet flow")?;
    ensure!(flow["remote_address"] == "a,b", "{flow}");
    ensure!(flow["tx_bytes"] == FRAME, "{flow}");

    let rows = rows(&run("csv")?)?;
    let mut flows = rows.iter().filter(|row| row[2] == "flow");
    let flow = flows.rfind(|row| row[6] == "packet");
    let flow = flow.context("no packet flow")?;
    ensure!(flow[9] == "a,b" && flow[10].is_empty(), "{flow:?}");
    ensure!(flow[11] == FRAME.to_string(), "{flow:?}");
    Ok(())
}

/// Interfaces have rows where a sampler was asked for, and only there.
fn interfaces() -> anyhow::Result<()> {
    let (a, b) = space::two()?;
    let stream = |format: &str, rest: &[&str]| {
        let mut command = a.command();
        command.args([BINARY, "stream", "--interval", "100ms", "--format", format]);
        Live::start(command.args(rest))
    };
    let mut csv = stream("csv", &["--iface", "a0"])?;
    let mut text = stream("text", &["--iface", "a0"])?;
    let mut plain = stream("csv", &[])?;
    for live in [&mut csv, &mut text, &mut plain] {
        live.line()?;
    }
    let (from, to) = space::pair((&a, "10.9.0.1"), (&b, "10.9.0.2"))?;
    space::datagrams(&from, &to, 1_000, 50)?;
    let ended = |live: Live| {
        live.signal(Signal::SIGINT)?;
        let done = live.end()?;
        done.check_code(0)?;
        anyhow::Ok(done)
    };
    let csv = ended(csv)?;
    csv.check_says(&["a0: packets are seen by tc"])?;
    let rows = rows(&csv.stdout)?;
    let last = |protocol: &str| {
        let mut rows = rows.iter().rev();
        let found = rows.find(|row| row[2] == "interface" && row[6] == protocol);
        found.with_context(|| format!("no row of {protocol}: {}", csv.stdout))
    };
    let udp = last("udp")?;
    ensure!(udp[4] == "a0", "{udp:?}");
    let bytes = 50 * (1_000 + 14 + 20 + 8);
    ensure!(udp[11..14] == [&bytes.to_string(), "0", "50"], "{udp:?}");
    let whole: u64 = last("")?[11].parse()?;
    ensure!(whole >= bytes, "{:?}", last("")?);
    ensure!(last("https")?[13] == "0", "{:?}", last("https")?);
    let text = ended(text)?.stdout;
    ensure!(text.lines().any(|line| line.contains("  udp ")), "{text}");
    let plain = plain.interrupt()?.stdout;
    ensure!(!plain.contains("interface"), "{plain}");
    Ok(())
}

fn text() -> anyhow::Result<()> {
    let traffic = Traffic::start(&Plan::endless("nmc-text", 400, Duration::from_millis(1)))?;
    let mut live = Live::start(
        roomy([
            "stream",
            "--format",
            "text",
            "--interval",
            "100ms",
            "--threshold",
            "10KB",
        ])
        .args(["--name", "nmc-text"]),
    )?;
    // Above the threshold only once the smoothed rate has risen.
    let row = loop {
        let line = live.line()?;
        if line.contains("nmc-text") && line.trim_end().ends_with('!') {
            break line;
        }
    };
    let words: Vec<&str> = row.split_whitespace().collect();
    ensure!(words[0] == traffic.pid().to_string(), "{row}");
    ensure!(words[1..3] == ["nmc-text", "udp"], "{row}");
    let output = live.interrupt()?.stdout;
    let mut lines = output.lines();
    let (first, second) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    for word in [
        "tx ",
        "rx ",
        "total",
        "processes",
        "flows",
        "engine syscall",
    ] {
        ensure!(first.contains(word), "`{word}` is not in: {first}");
    }
    let titles: Vec<&str> = second.split_whitespace().collect();
    let expected = [
        "PID", "NAME", "PROTO", "LOCAL", "REMOTE", "TX", "RX", "TOTAL",
    ];
    ensure!(titles == expected, "{second}");
    // Its datagrams pass the loopback, whatever is filtered.
    let block = output
        .lines()
        .skip_while(|line| !line.contains("INTERFACE"));
    let mut names = block.map_while(|line| line.split_whitespace().next());
    ensure!(names.any(|name| name == "lo"), "no loopback: {output}");
    ensure!(output.ends_with("\n\n"), "no empty line after a record");
    traffic.end()?;
    Ok(())
}
