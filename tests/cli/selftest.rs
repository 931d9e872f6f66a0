//! `netmon selftest`: what it says and how it ends; the counts are its own tests.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::netmon::{Done, Live, netmon, run, shell};
use crate::trial::{root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("selftest::every_path_is_exact", every_path),
        root("selftest::json", json),
        root("selftest::socket_engine", socket_engine),
        root("selftest::single_cases", single_cases),
        root("selftest::reader_that_has_seen_enough", head_only),
        trial("selftest::unknown_path", unknown_path),
    ]
}

/// The rows of a table: between the line of the columns and the empty line.
fn rows(stdout: &str) -> Vec<&str> {
    let lines = stdout.lines().skip(2);
    lines.take_while(|line| !line.is_empty()).collect()
}

fn selftest(arguments: &[&str]) -> anyhow::Result<Done> {
    let done = run(netmon(["selftest"]).args(arguments))?;
    done.check_quiet().with_context(|| done.stdout.clone())?;
    Ok(done)
}

/// All of it, read line by line: it takes as long as the machine is loaded.
fn every_path() -> anyhow::Result<()> {
    let mut live = Live::start(&mut netmon(["selftest"]))?;
    let title = format!("netmon {} on Linux ", env!("CARGO_PKG_VERSION"));
    let first = live.line()?;
    ensure!(
        first.starts_with(&title) && first.contains("engine syscall: "),
        "{first}"
    );
    let columns = live.line()?;
    ensure!(columns.starts_with("PATH ") && columns.ends_with("  VERDICT\n"));
    let held = live.held();
    let mut said = String::new();
    while !said.ends_with(" 0 OFF\n") {
        said += &live
            .line()
            .with_context(|| format!("no last line: {said}"))?;
    }
    let done = live.end()?;
    done.check_quiet()?;
    held.check_gone()?;

    let rows = rows(&done.stdout);
    ensure!(rows.len() > 90, "{} rows", rows.len());
    for row in &rows {
        // Documented as unknown: peers that only a request of io_uring names.
        let unseen = "udp unconnected io_uring ";
        let known = row.ends_with("  EXACT")
            || row.contains("  EXACT (")
            || row.contains("  NOT ON THIS KERNEL: ")
            || (row.starts_with(unseen) && row.contains("  NOT SEEN: "));
        ensure!(known, "{row}");
        // The numbers of an exact row are the same to the reader's eye, too.
        let verdict = row.find("  EXACT");
        let words = verdict.map(|at| row[..at].split_whitespace().collect::<Vec<_>>());
        if let Some([.., true_tx, true_rx, tx, rx]) = words.as_deref() {
            ensure!((true_tx, true_rx) == (tx, rx) && *true_tx != "0", "{row}");
        }
    }
    for path in ["tcp sendmmsg ", "udp unconnected recvmsg ", "process "] {
        let found = rows.iter().find(|row| row.starts_with(path));
        let row = found.with_context(|| format!("no row {path}: {}", done.stdout))?;
        ensure!(row.ends_with("  EXACT"), "{row}");
    }
    let blind = "\nnot counted or not known: AF_PACKET receive rings and AF_XDP\n";
    ensure!(done.stdout.contains(blind), "{}", done.stdout);
    let sums = format!("{} paths: ", rows.len());
    let last = done.stdout.lines().next_back().unwrap_or("");
    ensure!(last.starts_with(&sums), "{last}");
    Ok(())
}

fn json() -> anyhow::Result<()> {
    let done = selftest(&["--json", "tcp send", "tcp recv", "icmp raw"])?;
    ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
    let said: Value = serde_json::from_str(&done.stdout)?;
    ensure!(said["schema"] == 1 && said["passed"] == true, "{said}");
    ensure!(said["netmon"] == env!("CARGO_PKG_VERSION"), "{said}");
    ensure!(said["engine"] == "syscall", "{said}");
    let blind = said["blind_spots"].as_array().context("no blind spots")?;
    ensure!(
        blind.contains(&"AF_PACKET receive rings and AF_XDP".into()),
        "{said}"
    );
    let paths = said["paths"].as_array().context("no paths")?;
    let (mut truth, mut counted) = ([0, 0], [0, 0]);
    for path in paths {
        let verdict = &path["verdict"];
        ensure!(
            verdict == "exact" || verdict == "not_on_this_kernel",
            "{path}"
        );
        ensure!(path["off_by"] == 0 && path["failures"] == Value::Array(vec![]));
        ensure!(path["cases"].as_u64() > Some(0), "{path}");
        for (index, field) in ["tx_bytes", "rx_bytes"].into_iter().enumerate() {
            truth[index] += path["true"][field].as_u64().context("no number")?;
            counted[index] += path["counted"][field].as_u64().context("no number")?;
        }
    }
    ensure!(paths.len() > 9, "{} paths", paths.len());
    ensure!(truth == counted, "{truth:?} true, {counted:?} counted");
    ensure!(truth[0] > 1_000_000 && truth[1] > 1_000_000, "{truth:?}");
    Ok(())
}

fn socket_engine() -> anyhow::Result<()> {
    let arguments = [
        "--engine",
        "socket",
        "tcp send",
        "tcp splice_from",
        "udp unbound",
    ];
    let done = selftest(&arguments)?;
    let verdict = |path: &str| {
        let rows = rows(&done.stdout).into_iter();
        rows.filter(|row| row.starts_with(path))
            .find_map(|row| row.split("  ").last().map(str::to_owned))
            .unwrap_or_default()
    };
    ensure!(done.stdout.contains(", engine socket: "), "{}", done.stdout);
    ensure!(verdict("tcp sendto ") == "EXACT", "{}", done.stdout);
    let splice = verdict("tcp splice_from ");
    ensure!(
        splice.starts_with("NOT SEEN: ") && splice.contains("splice from TCP"),
        "{splice}"
    );
    let peers = verdict("udp unbound ");
    ensure!(
        peers.starts_with("NOT SEEN: ") && peers.contains("peers"),
        "{peers}"
    );
    ensure!(done.stdout.contains(" 2 NOT SEEN, "), "{}", done.stdout);
    Ok(())
}

fn single_cases() -> anyhow::Result<()> {
    let done = selftest(&["-v", "tcp6::recv::peek", "udp4_unconnected::sendto"])?;
    let found = rows(&done.stdout);
    let names: Vec<&str> = found
        .iter()
        .filter_map(|row| row.split(' ').next())
        .collect();
    let expected = [
        "tcp6::recv::peek",
        "udp4_unconnected::sendto::plain",
        "udp4_unconnected::sendto::emsgsize",
        "udp4_unconnected::sendto::empty",
    ];
    ensure!(names == expected, "{}", done.stdout);
    Ok(())
}

fn head_only() -> anyhow::Result<()> {
    let done = run(&mut shell(r#""$NETMON" selftest | head -n 3"#))?;
    done.check_quiet()?;
    ensure!(done.stdout.lines().count() == 3, "{}", done.stdout);
    Ok(())
}

fn unknown_path() -> anyhow::Result<()> {
    let done = run(&mut netmon(["selftest", "udp", "quic"]))?;
    done.check_code(2)?;
    done.check_says(&["`quic`", "udp, sendmmsg"])?;
    ensure!(done.stderr.lines().count() == 1, "{}", done.stderr);
    ensure!(done.stdout.is_empty(), "{}", done.stdout);
    Ok(())
}
