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
        root("selftest::without_ipv6", without_ipv6),
        root("selftest::pid_namespace", pid_namespace),
        root("selftest::pid_reuse_by_name", pid_reuse_by_name),
        root("selftest::modules_not_loaded", modules_not_loaded),
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
        // Documented as unknown: peers that only a request of io_uring names, and
        // what a 32-bit process splices out of a TCP socket.
        let unseen = ["udp unconnected io_uring ", "tcp compat32 splice_from "];
        let is_unseen = unseen.iter().any(|path| row.starts_with(path));
        let known = row.ends_with("  EXACT")
            || row.contains("  EXACT (")
            || row.contains("  NOT ON THIS KERNEL: ")
            || (is_unseen && row.contains("  NOT SEEN: "));
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
    // That would number the whole machine's next processes.
    let intrusive = rows.iter().find(|row| row.contains("pid_reuse"));
    ensure!(intrusive.is_none(), "{intrusive:?}");
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
    ensure!(said["error"] == Value::Null, "{said}");
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

/// A loopback without an address of IPv6, as containers have it, fails no case.
fn without_ipv6() -> anyhow::Result<()> {
    let inside = "ip link set lo up
        echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6
        exec $NETMON selftest -v tcp6::recv:: udp6::recv:: udp_mapped::recv:: tcp4::recv::";
    let done = run(&mut shell(&format!("unshare --net sh -ec '{inside}'")))?;
    done.check_quiet().with_context(|| done.stdout.clone())?;
    let found = rows(&done.stdout);
    ensure!(found.len() > 9, "{}", done.stdout);
    for row in found {
        let has_none = row.starts_with("tcp6") || row.starts_with("udp6");
        let verdict = if has_none {
            "  NOT ON THIS KERNEL: IPv6: "
        } else {
            "  EXACT"
        };
        ensure!(row.contains(verdict), "{row}");
    }
    Ok(())
}

/// Where processes have other ids than the kernel's no count could be compared.
fn pid_namespace() -> anyhow::Result<()> {
    let line = r#"unshare --pid --fork --mount-proc "$NETMON" selftest udp"#;
    let done = run(&mut shell(line))?;
    done.check_failure(&["PID namespace", "--pid=host"])?;
    ensure!(done.stdout.is_empty(), "{}", done.stdout);
    Ok(())
}

fn pid_reuse_by_name() -> anyhow::Result<()> {
    let done = selftest(&["pid_reuse"])?;
    let found = rows(&done.stdout);
    let [row] = found[..] else {
        anyhow::bail!("{}", done.stdout);
    };
    ensure!(row.starts_with("process pid_reuse "), "{row}");
    // The ids that are wanted may be taken by other processes each time.
    let known = row.ends_with("  EXACT") || row.contains("  NOT ON THIS KERNEL: choosing a PID");
    ensure!(known, "{row}");
    Ok(())
}

/// The kernel's list of protocols is the same after a selftest as before it.
fn modules_not_loaded() -> anyhow::Result<()> {
    let protocols = || -> anyhow::Result<Vec<String>> {
        let text = std::fs::read_to_string("/proc/net/protocols")?;
        let names = text.lines().filter_map(|line| line.split(' ').next());
        Ok(names.map(str::to_owned).collect())
    };
    let before = protocols()?;
    let done = selftest(&["sctp", "tls", "vsock", "crypto", "packet"])?;
    ensure!(protocols()? == before, "{}", done.stdout);
    let is_there = before.iter().any(|name| name == "SCTP");
    for row in rows(&done.stdout) {
        let is_refused = row.contains("NOT ON THIS KERNEL: sctp is not loaded; --modules loads it");
        let is_sctp = row.starts_with("sctp ");
        ensure!(is_refused == (is_sctp && !is_there), "{row}");
    }
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
