//! Every path of a real server next to real traffic.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::client::{Events, ask, get};
use crate::contract::{check_line, check_moved, check_sums, process};
use crate::netmon::PATIENCE;
use crate::served::Served;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("answers::every_path", every_path),
        root("answers::current_has_the_bytes", current),
        root("answers::current_filtered", filtered),
        root("answers::records_arrive", records),
        root("answers::summaries_arrive", summaries),
        root("answers::questions_to_the_past", past),
    ]
}

/// Looks until it is there.
pub fn wait<T>(
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn every_path() -> anyhow::Result<()> {
    let served = Served::start(&["--interval", "100ms", "--no-history"])?;
    let address = served.address;
    let host = address.to_string();
    let document = get(address, "/api/openapi.json")?.json()?;
    let paths = document["paths"].as_object().context("no paths")?;
    wait("a first record", || {
        Ok(Some(()).filter(|()| get(address, "/api/current").is_ok_and(|it| it.status == 200)))
    })?;
    for (path, described) in paths {
        if path == "/api/events" {
            continue;
        }
        let answer = get(address, path)?;
        let tag = &described["get"]["tags"][0];
        let off = tag == "past" || tag == "interface";
        // Whatever it says, it says what the description has.
        ensure!(
            answer.status == if off { 503 } else { 200 },
            "{path}: {answer:?}"
        );
        let responses = &described["get"]["responses"];
        ensure!(
            !responses[answer.status.to_string()].is_null(),
            "{path}: {answer:?}"
        );
        let csp = answer.header("content-security-policy");
        ensure!(
            csp.starts_with("default-src 'none'; "),
            "{path}: {answer:?}"
        );
        ensure!(
            answer.header("x-content-type-options") == "nosniff",
            "{path}"
        );

        let head = ask(address, "HEAD", path, &[("Host", &host)])?;
        ensure!(head.status == answer.status, "{path}: {head:?}");
        ensure!(head.body.is_empty(), "{path}: {head:?}");
        let kind = |it: &crate::client::Answer| it.header("content-type").to_owned();
        ensure!(kind(&head) == kind(&answer), "{path}: {head:?}");
    }
    ensure!(get(address, "/health")?.body == "OK", "health");
    let metrics = get(address, "/metrics")?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ensure!(metrics.header("content-type") == kind, "{metrics:?}");
    ensure!(metrics.body.ends_with("# EOF\n"), "{metrics:?}");
    let head = ask(address, "HEAD", "/api/events", &[("Host", &host)])?;
    ensure!(
        head.header("content-type") == "text/event-stream",
        "{head:?}"
    );
    get(address, "/nothing")?.check_refusal(404, "/api/openapi.json")?;
    get(address, "/api/current?x=1")?
        .check_refusal(400, "`x` is unknown; accepted are pid, name")?;
    get(address, "/api/current?pid=x")?.check_refusal(400, "`pid` is `x`")?;
    get(address, "/api/events?view=x")?.check_refusal(400, "accepted are record, summary")?;
    served.end()?;
    Ok(())
}

/// Waits until the latest record has all that was moved.
fn current() -> anyhow::Result<()> {
    let served = Served::start(&["--interval", "100ms"])?;
    let mut traffic = Traffic::prepare(&Plan::udp("nmw-current", 321, 200))?;
    traffic.go()?;
    let moved = traffic.moved()?;
    let record = wait("its bytes", || {
        let answer = get(served.address, "/api/current")?;
        if answer.status == 503 {
            return Ok(None);
        }
        let record = check_line(&answer.body)?;
        check_sums(&record)?;
        let there = check_moved(process(&record, traffic.pid()), moved).is_ok();
        Ok(Some(record).filter(|_| there))
    })?;
    let row = process(&record, traffic.pid()).context("no row")?;
    ensure!(row["name"] == "nmw-current", "{row}");
    traffic.reap()?;
    served.end()?;
    Ok(())
}

fn filtered() -> anyhow::Result<()> {
    let served = Served::start(&["--interval", "100ms"])?;
    let one = Traffic::start(&Plan::endless("nmw-one", 10, Duration::from_millis(5)))?;
    let two = Traffic::start(&Plan::endless("nmw two", 10, Duration::from_millis(5)))?;
    let rows = |query: &str| {
        let record = check_line(&get(served.address, &format!("/api/current?{query}"))?.body)?;
        let rows = record["processes"].as_array().context("no rows")?.iter();
        let pids = rows.map(|row| row["pid"].as_u64().unwrap_or(0));
        anyhow::Ok(pids.collect::<Vec<_>>())
    };
    wait("both", || {
        let answer = get(served.address, "/api/current")?;
        let record: Value = serde_json::from_str(&answer.body)?;
        let both = process(&record, one.pid()).and(process(&record, two.pid()));
        Ok(both.map(drop))
    })?;
    let (first, second) = (u64::from(one.pid()), u64::from(two.pid()));
    ensure!(rows(&format!("pid={first}"))? == [first], "by pid");
    // Other tests have generators of their own with other names.
    ensure!(
        rows(&format!("name=NMW%20tw&pid={second}"))? == [second],
        "by name"
    );
    ensure!(
        rows(&format!("name=nmw%20tw&pid={first}"))?.is_empty(),
        "by both"
    );
    one.end()?;
    two.end()?;
    served.end()?;
    Ok(())
}

fn records() -> anyhow::Result<()> {
    let served = Served::start(&["--interval", "100ms"])?;
    let open = |headers| Events::open(served.address, "/api/events", headers);
    let mut events = open(&[])?.map_err(|status| anyhow::anyhow!("{status}"))?;
    let mut traffic = Traffic::start(&Plan::udp("nmw-events", 77, 300).over_tcp())?;
    let moved = traffic.moved()?;
    let deadline = Instant::now() + PATIENCE;
    let mut last = 0;
    loop {
        let mut event = events.next()?.context("it ended")?;
        ensure!(event.name == "record", "{event:?}");
        ensure!(event.id > last, "{} after {last}", event.id);
        last = event.id;
        let data = event.data.as_object_mut().context("no object")?;
        let monitor = data.remove("monitor").context("no monitor")?;
        ensure!(monitor["nominal_interval_seconds"] == 0.1, "{monitor}");
        ensure!(monitor["version"] == env!("CARGO_PKG_VERSION"), "{monitor}");
        // Without that member it is the record to the letter.
        let record = check_line(&event.data.to_string())?;
        ensure!(record["sequence"] == event.id, "{record}");
        check_sums(&record)?;
        if check_moved(process(&record, traffic.pid()), moved).is_ok() {
            break;
        }
        ensure!(Instant::now() < deadline, "its bytes never came");
    }
    traffic.reap()?;
    served.end()?;
    Ok(())
}

fn summaries() -> anyhow::Result<()> {
    let served = Served::start(&["--interval", "100ms", "--threshold", "1KB"])?;
    let traffic = Plan::endless("nmw-summary", 1000, Duration::from_millis(1));
    let traffic = Traffic::start(&traffic)?;
    let target = "/api/events?view=summary";
    let events = Events::open(served.address, target, &[])?;
    let mut events = events.map_err(|status| anyhow::anyhow!("{status}"))?;
    let deadline = Instant::now() + PATIENCE;
    let data = loop {
        let event = events.next()?.context("it ended")?;
        ensure!(event.name == "summary", "{event:?}");
        let pid = traffic.pid();
        let alert = event.data["anomalies"]
            .as_array()
            .context("no list")?
            .iter();
        if alert.into_iter().any(|row| row["pid"] == pid) {
            break event.data;
        }
        ensure!(Instant::now() < deadline, "its anomaly never came");
    };
    ensure!(data["health"] == "OK", "{data}");
    let sum = |name: &str| {
        let rows = data["protocols"].as_array().map_or(&[][..], Vec::as_slice);
        rows.iter()
            .filter_map(|row| row[name].as_u64())
            .sum::<u64>()
    };
    for name in ["tx_bytes", "rx_bytes"] {
        ensure!(data["totals"][name] == sum(name), "{name}: {data}");
    }
    let local = data["remotes"].as_array().context("no remotes")?.iter();
    let local: Vec<_> = local
        .filter(|row| row["remote_address"] == "127.0.0.1")
        .collect();
    ensure!(local.len() == 1, "{data}");
    let processes = data["processes"].as_array().context("no processes")?;
    let rates: Option<Vec<f64>> = processes
        .iter()
        .map(|row| row["smoothed_rate"].as_f64())
        .collect();
    ensure!(
        rates.context("no rate")?.is_sorted_by(|a, b| a >= b),
        "{data}"
    );
    traffic.end()?;
    served.end()?;
    Ok(())
}

/// The history's own tests are elsewhere: here its questions pass through HTTP.
fn past() -> anyhow::Result<()> {
    let served = Served::start(&["--interval", "100ms"])?;
    let mut traffic = Traffic::start(&Plan::udp("nmw-past", 123, 50))?;
    let moved = traffic.moved()?;
    // A bucket is written when its time is over.
    wait("its bytes in the history", || {
        let answer = get(
            served.address,
            "/api/history/top?since=1h&name=nmw-past&by=process",
        )?;
        if answer.status == 503 {
            return Ok(None);
        }
        let top = answer.json()?;
        let row = &top["rows"][0];
        let bytes = ["tx_bytes", "rx_bytes"].map(|name| row[name].as_u64().unwrap_or(0));
        Ok(Some(()).filter(|()| bytes == [moved[0], moved[1]]))
    })?;
    for target in [
        "/api/timeseries?since=1h&step=10s&by=process&limit=3",
        "/api/protocol?since=1h",
        "/api/remotes?since=1h&name=nmw-past",
        "/api/alerts?since=24h",
        "/api/timeseries?since=1h&step=10s&iface=lo",
    ] {
        let answer = get(served.address, target)?;
        ensure!(answer.status == 200, "{target}: {answer:?}");
        answer.json()?;
    }
    get(served.address, "/api/history/top?since=soon")?.check_refusal(400, "`soon`")?;
    get(served.address, "/api/history/top?by=port")?
        .check_refusal(400, "accepted are process, ")?;
    get(served.address, "/api/history/top?limit=0")?.check_refusal(400, "from 1 to 10000")?;
    get(served.address, "/api/timeseries?since=400d&step=1m")?
        .check_refusal(400, "a step of 1715s")?;
    // They went over the loopback, with headers, as other things may have.
    let answer = get(served.address, "/api/history/interfaces?since=1h&iface=lo")?;
    let interfaces = answer.json()?;
    let lo = &interfaces["interfaces"][0];
    let sent = lo["tx_bytes"].as_u64().unwrap_or(0);
    ensure!(lo["interface"] == "lo" && sent > moved[0], "{lo}");
    ensure!(
        lo["classes"].is_null() && lo["peak_rate"].as_u64() > Some(0),
        "{lo}"
    );
    for besides in ["name=x", "pid=1", "remote=::1", "protocol=tcp", "by=user"] {
        let target = format!("/api/timeseries?iface=lo&{besides}");
        get(served.address, &target)?.check_refusal(400, "`iface` does not go with")?;
    }
    traffic.reap()?;
    served.end()?;
    Ok(())
}
