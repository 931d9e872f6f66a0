//! What a client may not do to a server: too long, too slow, too much, too many.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::answers::wait;
use crate::client::{Events, ask, connect, get, head, request};
use crate::large;
use crate::served::Served;
use crate::trial::root;

/// Most event streams at a time.
const STREAMS: usize = 512;

pub fn trials() -> Vec<Trial> {
    vec![
        root("limits::too_long", too_long),
        root("limits::too_slow", too_slow),
        root("limits::too_many_streams", too_many),
        root("limits::a_client_that_does_not_read", stalled),
    ]
}

fn too_long() -> anyhow::Result<()> {
    let served = Served::start(&["--no-history"])?;
    let address = served.address;
    let own = address.to_string();
    let host = ("Host", own.as_str());
    let path = |length: usize| format!("/health?{}", "x".repeat(length - "/health".len()));
    ensure!(get(address, &path(4096))?.status == 200, "a long path");
    get(address, &path(4097))?.check_refusal(414, "4096 bytes")?;
    let value = "x".repeat(20_000);
    ask(address, "GET", "/health", &[host, ("X-Long", &value)])?.check_refusal(431, "headers")?;
    let value = "x".repeat(100_000);
    // Beyond all bounds there are no words, but the right status.
    let answer = ask(address, "GET", "/health", &[host, ("X-Long", &value)])?;
    ensure!(answer.status == 431, "{answer:?}");
    let many: Vec<_> = (0..200).map(|n| (format!("X-{n}"), "1")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let answer = ask(address, "GET", "/health", &[&[host], &many[..]].concat())?;
    ensure!(answer.status == 431, "{answer:?}");

    let body = ask(
        address,
        "GET",
        "/health",
        &[host, ("Content-Length", "1000000000")],
    )?;
    body.check_refusal(413, "no request has a body")?;
    let body = ask(
        address,
        "GET",
        "/health",
        &[host, ("Transfer-Encoding", "chunked")],
    )?;
    body.check_refusal(413, "no request has a body")?;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let answer = ask(address, method, "/api/current", &[host])?;
        answer.check_refusal(405, "GET and HEAD")?;
        ensure!(answer.header("allow") == "GET, HEAD", "{answer:?}");
    }
    for nonsense in [
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ] {
        let mut stream = connect(address)?;
        stream.write_all(nonsense.as_bytes())?;
        let (status, _) = head(&mut BufReader::new(stream))?;
        ensure!(status == 400, "{nonsense:?}: {status}");
    }
    ensure!(get(address, "/health")?.status == 200, "it lives");
    served.end()?;
    Ok(())
}

/// A request that never comes to its end, an idle connection, and silence: each is
/// closed, and others are answered in the meantime.
fn too_slow() -> anyhow::Result<()> {
    let served = Served::start(&["--no-history"])?;
    let address = served.address;
    let mut slow = connect(address)?;
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")?;
    let mut dripping = slow.try_clone()?;
    let drip = thread::spawn(move || {
        // Ends when the other end is gone.
        while dripping.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(200));
        }
    });
    let mut idle = connect(address)?;
    let kept = request("GET", "/health", &[("Host", "127.0.0.1")]);
    idle.write_all(kept.replace("Connection: close\r\n", "").as_bytes())?;
    let silent = connect(address)?;
    for mut stream in [slow, idle, silent] {
        ensure!(get(address, "/health")?.status == 200, "others wait");
        let mut said = Vec::new();
        // The end may come as a reset where something was still on its way.
        let end = stream.read_to_end(&mut said);
        let kind = end.as_ref().err().map(std::io::Error::kind);
        ensure!(
            end.is_ok() || kind == Some(std::io::ErrorKind::ConnectionReset),
            "it was not closed: {end:?}"
        );
    }
    drip.join()
        .map_err(|_| anyhow::anyhow!("no end of the drip"))?;
    served.end()?;
    Ok(())
}

fn too_many() -> anyhow::Result<()> {
    // The first record comes soon, the next one late: hundreds of streams at rest.
    let served = Served::start(&["--no-history", "--interval", "1m"])?;
    let address = served.address;
    let open = |target: &str| Events::open(address, target, &[]);
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let target = ["/api/events", "/api/events?view=summary"][number % 2];
        let stream = open(target)?.map_err(|status| anyhow::anyhow!("{number}: {status}"))?;
        streams.push(stream);
    }
    get(address, "/api/events")?.check_refusal(503, "512 event streams")?;
    for stream in &mut streams {
        let event = stream.next()?.context("a stream without an event")?;
        ensure!(event.id == 1, "{}", event.id);
    }
    ensure!(
        get(address, "/health")?.status == 200,
        "others are answered"
    );
    streams.truncate(STREAMS - 1);
    let mut stream = wait("a place that became free", || Ok(open("/api/events")?.ok()))?;
    ensure!(stream.next()?.is_some(), "the place is no good");
    drop(stream);
    drop(streams);
    served.end()?;
    Ok(())
}

/// It neither holds others nor gets what is long over: after its rest it reads what was
/// on its way, and then the latest. One that never reads is cut.
fn stalled() -> anyhow::Result<()> {
    let served = Served::start(&["--no-history", "--interval", "100ms"])?;
    let flows = large::record(served.address)?;
    let open = |stream| {
        let stream = Events::over(stream, "/api/events", &[])?;
        stream.map_err(|status| anyhow::anyhow!("{status}"))
    };
    let narrow = large::small(served.address)?;
    let mut slow = open(narrow.try_clone()?)?;
    let mut quick = open(connect(served.address)?)?;
    let first = quick.next()?.context("no event")?.id;
    let mut last = 0;
    while last < first + 30 {
        last = quick.next()?.context("no event")?.id;
    }
    large::widen(&narrow)?;
    let mut before = slow.next()?.context("no event")?.id;
    let mut skipped = 0;
    while before < last {
        let id = slow.next()?.context("no event")?.id;
        ensure!(id > before, "{id} after {before}");
        skipped += id - before - 1;
        before = id;
    }
    ensure!(skipped > 0, "every event up to {last} was kept for it");
    drop((slow, quick, narrow));

    let never = large::small(served.address)?;
    let port = never.local_addr()?.port();
    let never = open(never)?;
    ensure!(is_open(served.address, port)?, "not there at all");
    wait("the cut of who never reads", || {
        Ok((!is_open(served.address, port)?).then_some(()))
    })?;
    drop((never, flows));
    served.end()?;
    Ok(())
}

/// Whether the server's end of the connection to `port` is established.
fn is_open(server: SocketAddr, port: u16) -> anyhow::Result<bool> {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp")?;
    let (own, other) = (format!(":{:04X}", server.port()), format!(":{port:04X}"));
    Ok(table.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        matches!(words[..], [_, local, remote, state, ..]
            if local.ends_with(&own) && remote.ends_with(&other) && state == ESTABLISHED)
    }))
}
