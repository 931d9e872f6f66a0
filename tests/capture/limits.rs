//! What does not fit into the tables is in one row, and nothing is lost.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::packet::IPV4;
use serde_json::Value;

use crate::running::{Running, moved, number};
use crate::space::{Sender, ethernet, inside, ipv4, wire};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("limits::other_has_the_rest", || inside(other)),
        root("limits::more_than_a_worker_holds", || inside(handed_over)),
        root("limits::top_lists_the_largest", || inside(top)),
        root("limits::growth", || inside(growth)),
    ]
}

/// Packets from 200 hosts, of which 16 rows hold 15 and their destination.
fn other() -> anyhow::Result<()> {
    wire()?;
    let words = ["--max-addresses", "16", "--flows", "--workers", "2"];
    let mut running = Running::start("far", &[&words[..], &["--top", "100"]].concat())?;
    let sender = Sender::new("near")?;
    // The first to come have the rows.
    let send = |hosts: std::ops::RangeInclusive<u8>| -> anyhow::Result<u64> {
        let mut bytes = 0;
        for host in hosts {
            let frame = ethernet(&[], IPV4, &ipv4(host, 7, usize::from(host)));
            sender.send(&frame)?;
            bytes += frame.len() as u64;
        }
        Ok(bytes)
    };
    send(1..=15)?;
    while number(&running.report()?["table"], "entries")? < 16 {}
    let others = send(16..=200)?;
    send(1..=15)?;
    let report = running.end()?;
    ensure!(number(&report, "packets")? == 215, "{report}");
    ensure!(number(&report["table"], "entries")? == 16, "{report}");
    ensure!(number(&report["other"], "tx_packets")? == 185, "{report}");
    ensure!(number(&report["other"], "tx_bytes")? == others, "{report}");
    ensure!(number(&report["other"], "rx_packets")? == 0, "{report}");
    ensure!(
        number(&report["other_flows"], "packets")? == 184,
        "{report}"
    );
    for host in 1..=15 {
        ensure!(
            moved(&report, &format!("10.0.0.{host}"))?[1] == 2,
            "{report}"
        );
    }
    ensure!(moved(&report, "10.0.1.1")?[3] == 215, "{report}");
    Ok(())
}

/// More addresses in an interval than a worker's table has room for.
fn handed_over() -> anyhow::Result<()> {
    const SENT: u32 = 3000;
    wire()?;
    let words = ["--max-addresses", "2000", "--workers", "1"];
    let running = Running::start("far", &words)?;
    let sender = Sender::new("near")?;
    for host in 0..SENT {
        let mut packet = ipv4(1, 7, 10);
        packet[12..16].copy_from_slice(&(0x0b00_0000 + host).to_be_bytes());
        sender.send(&ethernet(&[], IPV4, &packet))?;
    }
    let report = running.end()?;
    ensure!(number(&report, "packets")? == u64::from(SENT), "{report}");
    ensure!(number(&report["table"], "entries")? == 2000, "{report}");
    ensure!(
        number(&report["other"], "tx_packets")? == u64::from(SENT) - 1999,
        "{report}"
    );
    ensure!(
        moved(&report, "10.0.1.1")?[3] == u64::from(SENT),
        "{report}"
    );
    Ok(())
}

fn top() -> anyhow::Result<()> {
    wire()?;
    let running = Running::start("far", &["--top", "3", "--flows"])?;
    let sender = Sender::new("near")?;
    for host in 1..=20 {
        sender.send(&ethernet(&[], IPV4, &ipv4(host, 7, usize::from(host) * 10)))?;
    }
    let report = running.end()?;
    let names = |list: &str, name: &str| -> anyhow::Result<Vec<String>> {
        let rows = report[list].as_array().context("no rows")?;
        let names = rows.iter().filter_map(|row| row[name].as_str());
        Ok(names.map(str::to_owned).collect())
    };
    let listed = names("addresses", "address")?;
    ensure!(
        listed == ["10.0.1.1", "10.0.0.20", "10.0.0.19"],
        "{listed:?}"
    );
    let listed = names("flows", "source")?;
    ensure!(
        listed == ["10.0.0.20", "10.0.0.19", "10.0.0.18"],
        "{listed:?}"
    );
    ensure!(number(&report["unlisted"], "addresses")? == 18, "{report}");
    ensure!(number(&report["unlisted"], "tx_packets")? == 18, "{report}");
    Ok(())
}

/// New rows are new in one report only.
fn growth() -> anyhow::Result<()> {
    wire()?;
    let mut running = Running::start("far", &["--flows"])?;
    let sender = Sender::new("near")?;
    let mut new = [0; 2];
    for round in 1..=3_u64 {
        for host in 1..=10 {
            let host = host + (round as u8 - 1) * 10;
            sender.send(&ethernet(&[], IPV4, &ipv4(host, 7, 10)))?;
        }
        loop {
            let report = running.report()?;
            let entries = number(&report["flow_table"], "entries")?;
            let tables: [&Value; 2] = [&report["table"], &report["flow_table"]];
            for (sum, table) in new.iter_mut().zip(tables) {
                *sum += number(table, "new")?;
                ensure!(*sum == number(table, "entries")?, "{report}");
            }
            if entries == 10 * round {
                break;
            }
            ensure!(entries < 10 * round, "{report}");
        }
    }
    let report = running.end()?;
    ensure!(number(&report["table"], "new")? == 0, "{report}");
    ensure!(number(&report["table"], "entries")? == 31, "{report}");
    Ok(())
}
