//! Files of networks: what they keep out is told, and a wrong line is named.

use std::fs;
use std::path::PathBuf;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::model::packet::{IPV4, IPV6};

use crate::netmon::{Scratch, run};
use crate::running::{Running, capture, moved, number};
use crate::space::{Sender, ethernet, inside, ipv4, ipv6, wire};
use crate::trial::{root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("lists::ignored", || inside(ignored)),
        root("lists::accepted", || inside(accepted)),
        root("lists::both", || inside(both)),
        root("lists::as_editors_write_them", || inside(editors)),
        trial("lists::wrong_lines", wrong_lines),
        trial("lists::no_file", no_file),
        trial("lists::accepting_nothing", accepting_nothing),
    ]
}

/// A file of a test's own.
fn file(scratch: &Scratch, name: &str, text: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
    let path = scratch.path.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

const IGNORED: &str = "# ours\n10.0.0.4/30\n\n2001:db8::1 # one\n";
const ACCEPTED: &str = "10.0.0.0/29\n2001:db8::/32\n";

/// Counts a packet of 10.0.0.1 to .9 and 2001:db8::1 to ::9 each; the sources that were
/// counted, and how many frames were not.
fn counted(words: &[&str]) -> anyhow::Result<(Vec<String>, u64)> {
    wire()?;
    let running = Running::start("far", words)?;
    let sender = Sender::new("near")?;
    for host in 1..=9 {
        sender.send(&ethernet(&[], IPV4, &ipv4(host, 1, 10)))?;
        sender.send(&ethernet(&[9], IPV6, &ipv6(host, 1, 10)))?;
    }
    // Not IP, which no list keeps out.
    sender.send(&ethernet(&[], 0x0806, &[0; 28]))?;
    let report = running.end()?;
    let sources = (1..=9)
        .flat_map(|host| [format!("10.0.0.{host}"), format!("2001:db8::{host}")])
        .filter(|source| moved(&report, source).is_ok_and(|moved| moved[1] == 1))
        .collect::<Vec<_>>();
    let ignored = number(&report, "ignored")?;
    ensure!(
        number(&report, "packets")? == sources.len() as u64,
        "{report}"
    );
    ensure!(sources.len() as u64 + ignored == 18, "{report}");
    ensure!(number(&report, "not_ip")? == 1, "{report}");
    Ok((sources, ignored))
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn ignored() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let ignored = file(&scratch, "ignored", IGNORED)?;
    let (sources, count) = counted(&["--ignore-file", path(&ignored)])?;
    ensure!(count == 5, "{sources:?}");
    for gone in ["10.0.0.4", "10.0.0.7", "2001:db8::1"] {
        ensure!(!sources.iter().any(|source| source == gone), "{sources:?}");
    }
    Ok(())
}

fn accepted() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let accepted = file(&scratch, "accepted", "10.0.0.2/31\n2001:db8::8/127\n")?;
    let (sources, _) = counted(&["--accept-source-file", path(&accepted)])?;
    let expected = ["10.0.0.2", "10.0.0.3", "2001:db8::8", "2001:db8::9"];
    ensure!(sources == expected, "{sources:?}");
    Ok(())
}

/// What is accepted and ignored is ignored; destinations are ignored, too, and never
/// accepted.
fn both() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let accepted = file(&scratch, "accepted", format!("{ACCEPTED}10.0.1.1\n"))?;
    let ignored = file(&scratch, "ignored", format!("{IGNORED}2001:db8::c8\n"))?;
    let lists = [
        "--ignore-file",
        path(&ignored),
        "--accept-source-file",
        path(&accepted),
    ];
    let (sources, _) = counted(&lists)?;
    ensure!(
        sources == ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        "{sources:?}"
    );
    Ok(())
}

/// A byte order mark, carriage returns, a comment in another character set, and networks
/// of IPv4 as IPv6 writes them.
fn editors() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let text = b"\xef\xbb\xbf10.0.0.4/31\r\n# B\xfcro\r\n::ffff:10.0.0.6/127 # caf\xe9\r\n";
    let ignored = file(&scratch, "ignored", text)?;
    let (sources, count) = counted(&["--ignore-file", path(&ignored)])?;
    ensure!(count == 4, "{sources:?}");
    for host in 4..=7 {
        let gone = format!("10.0.0.{host}");
        ensure!(!sources.contains(&gone), "{sources:?}");
    }
    let wrong = file(&scratch, "wrong", b"# B\xfcro\n10.0.0.\xfc\n")?;
    let done = run(&mut capture("lo", &["--ignore-file", path(&wrong)]))?;
    done.check_failure(&[&format!("{}, line 2: `10.0.0.", wrong.display())])
}

fn wrong_lines() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    for (number, text, wrong) in [
        (1, "10.0.0.0/33", "10.0.0.0/33"),
        (3, "# fine\n10.0.0.0/8\nexample.org\n", "example.org"),
        (2, "\n  2001:db8::/129 # too long", "2001:db8::/129"),
    ] {
        let list = file(&scratch, "list", text)?;
        for option in ["--ignore-file", "--accept-source-file"] {
            let done = run(&mut capture("lo", &[option, path(&list)]))?;
            let place = format!("{}, line {number}: `{wrong}`", list.display());
            done.check_failure(&[&place, "10.0.0.0/8", "2001:db8::/32"])?;
        }
    }
    Ok(())
}

fn no_file() -> anyhow::Result<()> {
    let done = run(&mut capture("lo", &["--ignore-file", "/nowhere/list"]))?;
    done.check_failure(&["/nowhere/list", "No such file", "give a file of networks"])
}

fn accepting_nothing() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let list = file(&scratch, "list", "# nobody\n")?;
    let done = run(&mut capture("lo", &["--accept-source-file", path(&list)]))?;
    done.check_failure(&[path(&list), "names no network", "leave out"])
}
