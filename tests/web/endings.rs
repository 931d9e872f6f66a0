//! How a server begins to listen and how it ends.

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::answers::wait;
use crate::client::{Events, connect, head, request};
use crate::large;
use crate::netmon::{netmon, run};
use crate::served::Served;
use crate::trial::{Impossible, root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("endings::sigterm_with_open_streams", || {
            ends_on(Signal::SIGTERM)
        }),
        root("endings::sigint_with_open_streams", || {
            ends_on(Signal::SIGINT)
        }),
        root("endings::a_running_answer_is_ended", running_answer),
        root("endings::two_servers", two_servers),
        trial("endings::port_in_use", port_in_use),
        trial("endings::no_such_address", no_such_address),
        trial("endings::port_not_permitted", not_permitted),
    ]
}

/// Every stream ends in order, a request that is half said does not hold it, and it
/// ends with 0 and nothing left in the kernel.
fn ends_on(signal: Signal) -> anyhow::Result<()> {
    let mut served = Served::start(&["--interval", "100ms"])?;
    let address = served.address;
    let mut streams = Vec::new();
    for target in ["/api/events", "/api/events?view=summary", "/api/events"] {
        let stream = Events::open(address, target, &[])?;
        let mut stream = stream.map_err(|status| anyhow::anyhow!("{status}"))?;
        stream.next()?.context("no event")?;
        streams.push(stream);
    }
    let mut kept = connect(address)?;
    let text = request("GET", "/health", &[("Host", "127.0.0.1")]);
    kept.write_all(text.replace("Connection: close\r\n", "").as_bytes())?;
    let mut kept = BufReader::new(kept);
    ensure!(head(&mut kept)?.0 == 200, "a connection that is kept");
    let mut half = connect(address)?;
    half.write_all(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")?;

    let held = served.held();
    served.signal(signal)?;
    for mut stream in streams {
        while stream.next()?.is_some() {}
    }
    let (status, said) = served.ended()?;
    ensure!(status.code() == Some(0), "{status}: {said}");
    ensure!(!said.contains("panic"), "{said}");
    held.check_gone()?;
    ensure!(connect(address).is_err(), "somebody still listens");
    Ok(())
}

/// An answer that was being sent when it was told to end comes whole.
fn running_answer() -> anyhow::Result<()> {
    let mut served = Served::start(&["--no-history"])?;
    let flows = large::record(served.address)?;
    let mut stream = large::small(served.address)?;
    let host = served.address.to_string();
    stream.write_all(request("GET", "/api/current", &[("Host", &host)]).as_bytes())?;
    let narrow = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader)?;
    ensure!(status == 200, "{status}");
    let length: usize = headers
        .get("content-length")
        .context("no length")?
        .parse()?;
    served.signal(Signal::SIGTERM)?;
    wait("an end of listening", || Ok(connect(served.address).err()))?;
    large::widen(&narrow)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    ensure!(body.len() == length, "{} of {length} bytes", body.len());
    let (status, said) = served.ended()?;
    ensure!(status.code() == Some(0), "{status}: {said}");
    drop(flows);
    Ok(())
}

fn two_servers() -> anyhow::Result<()> {
    let one = Served::start(&["--no-history"])?;
    let two = Served::start(&["--no-history"])?;
    ensure!(one.address != two.address, "{} twice", one.address);
    one.end()?;
    two.end()?;
    Ok(())
}

fn port_in_use() -> anyhow::Result<()> {
    let other = TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?.to_string();
    let done = run(&mut netmon(["serve", "--no-history", "--listen", &address]))?;
    done.check_failure(&[&address, "in use", "--listen"])
}

fn no_such_address() -> anyhow::Result<()> {
    // An address for documentation, which nobody has.
    let address = "192.0.2.1:9600";
    let options = ["serve", "--no-history", "--no-auth", "--listen", address];
    run(&mut netmon(options))?.check_failure(&[address, "no interface here has it"])
}

fn not_permitted() -> anyhow::Result<()> {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?;
    if first.trim().parse::<u32>()? <= 81 || !nix::unistd::geteuid().is_root() {
        let why = "it needs root and a port that is for root alone";
        return Err(Impossible(why.to_owned()).into());
    }
    let scratch = crate::netmon::Scratch::new()?;
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(scratch.binary()?)
        .args(["serve", "--no-history", "--listen", "127.0.0.1:81"]);
    let done = run(&mut command)?;
    done.check_failure(&["127.0.0.1:81", "Permission denied", "CAP_NET_BIND_SERVICE"])
}
