//! `--otlp`: a real push, decoded by the protocol's own messages, holds the generator's
//! exact bytes; a collector that is not there is told and disturbs nothing.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::collector::{Collector, attribute, free_port, sum};
use crate::netmon::{netmon, run};
use crate::serve::Serve;
use crate::traffic::{Plan, Traffic};
use crate::trial::{root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("otlp::exact_bytes_arrive", exact),
        root("otlp::the_end_is_pushed", the_end),
        root("otlp::a_path_is_taken_as_it_is", path),
        root("otlp::a_collector_that_comes_later", later),
        root("otlp::a_collector_that_never_answers", silent),
        trial("otlp::refusals", refusals),
    ]
}

fn serve(port: u16, interval: &str) -> anyhow::Result<Serve> {
    let url = format!("http://127.0.0.1:{port}");
    Serve::start(&["--otlp", &url, "--otlp-interval", interval])
}

fn exact() -> anyhow::Result<()> {
    let collector = Collector::start(0)?;
    let serve = serve(collector.port, "1s")?;
    let name = format!("otlp{}", std::process::id());
    let mut traffic = Traffic::start(&Plan::udp(&name, 1200, 500))?;
    let [sent, received, ..] = traffic.moved()?;
    traffic.reap()?;
    let moved = |push: &_, direction| {
        let of = [
            ("process.executable.name", &*name),
            ("network.io.direction", direction),
        ];
        sum(push, "process.network.io", &of)
    };
    let push = collector.wait_for(|push| {
        moved(push, "transmit") == i64::try_from(sent).ok()
            && moved(push, "receive") == i64::try_from(received).ok()
    })?;
    ensure!(push.0 == "POST /v1/metrics HTTP/1.1", "{}", push.0);

    let resource = push.1.resource_metrics[0].resource.as_ref();
    let about = &resource.context("no resource")?.attributes;
    ensure!(attribute(about, "service.name") == "netmon", "{about:?}");
    ensure!(!attribute(about, "host.name").is_empty(), "{about:?}");
    ensure!(attribute(about, "os.type") == "linux", "{about:?}");
    let udp = [
        ("network.transport", "udp"),
        ("network.io.direction", "transmit"),
    ];
    let all = sum(&push, "netmon.protocol.io", &udp);
    ensure!(all >= i64::try_from(sent).ok(), "udp: {all:?} of {sent}");
    let lo = [("network.interface.name", "lo")];
    for metric in ["netmon.interface.io", "netmon.interface.packet.count"] {
        ensure!(sum(&push, metric, &lo) > Some(0), "{metric}: {push:?}");
    }
    for metric in ["netmon.flows", "process.memory.usage", "netmon.read_cycles"] {
        ensure!(sum(&push, metric, &[]) > Some(0), "{metric}: {push:?}");
    }
    // All instruments of a push tell of the same moment.
    for direction in ["transmit", "receive"] {
        let of = [("network.io.direction", direction)];
        let (processes, protocols) = (
            sum(&push, "process.network.io", &of),
            sum(&push, "netmon.protocol.io", &of),
        );
        ensure!(processes <= protocols, "{processes:?} and {protocols:?}");
    }
    serve.end()?;
    Ok(())
}

/// What moved after the last push before the end is pushed at the end.
fn the_end() -> anyhow::Result<()> {
    let collector = Collector::start(0)?;
    let serve = serve(collector.port, "1h")?;
    let name = format!("last{}", std::process::id());
    let mut traffic = Traffic::start(&Plan::udp(&name, 900, 100))?;
    let [sent, ..] = traffic.moved()?;
    serve.end()?;
    traffic.reap()?;
    let of = [
        ("process.executable.name", &*name),
        ("network.io.direction", "transmit"),
    ];
    collector.wait_for(|push| sum(push, "process.network.io", &of) == i64::try_from(sent).ok())?;
    Ok(())
}

fn path() -> anyhow::Result<()> {
    let collector = Collector::start(0)?;
    let url = format!("http://127.0.0.1:{}/tenant/a", collector.port);
    let serve = Serve::start(&["--otlp", &url, "--otlp-interval", "1s"])?;
    let push = collector.wait_for(|_| true)?;
    ensure!(push.0 == "POST /tenant/a HTTP/1.1", "{}", push.0);
    serve.end()?;
    Ok(())
}

fn later() -> anyhow::Result<()> {
    let port = free_port()?;
    let serve = serve(port, "1s")?;
    let health = serve.wait_for("/health", |text| text.contains("DEGRADED otlp"))?;
    ensure!(health.contains("127.0.0.1"), "{health}");
    serve.metrics_with(|text| text.contains("\nnetmon_otlp_up 0\n"))?;
    // It counts on meanwhile.
    let name = format!("late{}", std::process::id());
    let mut traffic = Traffic::start(&Plan::udp(&name, 700, 100))?;
    let [sent, ..] = traffic.moved()?;
    traffic.reap()?;
    std::thread::sleep(Duration::from_millis(300));

    let collector = Collector::start(port)?;
    let of = [
        ("process.executable.name", &*name),
        ("network.io.direction", "transmit"),
    ];
    collector.wait_for(|push| sum(push, "process.network.io", &of) == i64::try_from(sent).ok())?;
    serve.wait_for("/health", |text| text.trim_end() == "OK")?;
    serve.metrics_with(|text| text.contains("\nnetmon_otlp_up 1\n"))?;
    let done = serve.end()?;
    let told = done.stderr.matches("could not push metrics").count();
    ensure!(told == 1, "told {told} times: {}", done.stderr);
    Ok(())
}

/// It goes on counting and ends, though every push waits for an answer in vain.
fn silent() -> anyhow::Result<()> {
    // Connections are taken by the kernel, and nobody ever reads them.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let serve = serve(listener.local_addr()?.port(), "1s")?;
    serve.wait_for("/health", |text| text.contains("DEGRADED otlp"))?;
    let readings = |text: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(READINGS))?;
        line.trim().parse().ok()
    };
    let before = readings(&serve.get("/metrics")?.0).context("no readings")?;
    serve.metrics_with(|text| readings(text) > Some(before + 5))?;
    serve.end()?;
    Ok(())
}

const READINGS: &str = "netmon_read_cycle_seconds_count";

fn refusals() -> anyhow::Result<()> {
    for (url, word) in [
        ("https://collector.example.org", "TLS"),
        ("collector:4318", "http://127.0.0.1:4318"),
        (
            "http://me:secret@127.0.0.1:4318",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
    ] {
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--no-history",
            "--otlp",
            url,
        ];
        let done = run(&mut netmon(arguments))?;
        done.check_failure(&["--otlp", word])?;
        ensure!(!done.stderr.contains("secret"), "{}", done.stderr);
    }
    Ok(())
}
