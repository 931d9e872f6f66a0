//! What the interfaces move: all of them, and the numbers of one that is sampled.
//!
//! Owns those numbers and the words in which an interface that has none is refused. Bits
//! where a name ends in `bps`; both directions together.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;

use super::Sources;
use super::parameters::Parameters;
use super::picture::Picture;
use super::plain::json;
use super::refusal::Refusal;
use crate::model::interface::{Class, Count, Interface, Pace, Sampled};
use crate::model::snapshot::Snapshot;
use crate::sink::record::{rounded, rounded_seconds};

/// Most interfaces that a refusal names.
const NAMED: usize = 20;

/// `/api/metrics/realtime`: the last interval; packets and bytes since the sampling began.
#[derive(Debug, PartialEq, Serialize)]
pub struct Realtime {
    bandwidth_bps: f64,
    packets_per_sec: f64,
    tcp_bandwidth_bps: f64,
    tcp_packets_per_sec: f64,
    http_bandwidth_bps: f64,
    http_packets_per_sec: f64,
    https_bandwidth_bps: f64,
    https_packets_per_sec: f64,
    total_packets: u64,
    total_bytes: u64,
}

/// `/api/stats/summary`: all since the sampling began; percentages are shares of the bytes.
#[derive(Debug, PartialEq, Serialize)]
pub struct Stats {
    uptime_seconds: f64,
    avg_bandwidth_bps: f64,
    peak_bandwidth_bps: f64,
    total_packets: u64,
    total_bytes: u64,
    tcp_percentage: f64,
    http_percentage: f64,
    https_percentage: f64,
}

impl Realtime {
    fn new(sampled: &Sampled) -> Realtime {
        let mut pace = sampled.tx_pace.all();
        pace += sampled.rx_pace.all();
        let of = |class| {
            let mut pace = sampled.tx_pace.of(class);
            pace += sampled.rx_pace.of(class);
            pace
        };
        let packets = |pace: Pace| rounded(pace.packets);
        let (tcp, http, https) = (of(Class::Tcp), of(Class::Http), of(Class::Https));
        let total = total(sampled);
        Realtime {
            bandwidth_bps: bits(pace.bytes),
            packets_per_sec: packets(pace),
            tcp_bandwidth_bps: bits(tcp.bytes),
            tcp_packets_per_sec: packets(tcp),
            http_bandwidth_bps: bits(http.bytes),
            http_packets_per_sec: packets(http),
            https_bandwidth_bps: bits(https.bytes),
            https_packets_per_sec: packets(https),
            total_packets: total.packets,
            total_bytes: total.bytes,
        }
    }
}

impl Stats {
    fn new(sampled: &Sampled) -> Stats {
        let total = total(sampled);
        let percentage = |class| {
            let part = sampled.tx.of(class).bytes + sampled.rx.of(class).bytes;
            match total.bytes {
                0 => 0.0,
                all => rounded(100.0 * part as f64 / all as f64),
            }
        };
        Stats {
            uptime_seconds: rounded_seconds(sampled.uptime),
            avg_bandwidth_bps: bits(sampled.average()),
            peak_bandwidth_bps: bits(sampled.peak),
            total_packets: total.packets,
            total_bytes: total.bytes,
            tcp_percentage: percentage(Class::Tcp),
            http_percentage: percentage(Class::Http),
            https_percentage: percentage(Class::Https),
        }
    }
}

fn total(sampled: &Sampled) -> Count {
    sampled.tx.all() + sampled.rx.all()
}

fn bits(bytes: f64) -> f64 {
    rounded(bytes * 8.0)
}

type Answer<T> = Result<T, Refusal>;

/// `/api/metrics/realtime`
pub async fn realtime(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer<Json<Realtime>> {
    answer(&sources, &uri, Realtime::new)
}

/// `/api/stats/summary`
pub async fn stats(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer<Json<Stats>> {
    answer(&sources, &uri, Stats::new)
}

/// `/api/interfaces`
pub async fn interfaces(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer<Response> {
    Parameters::of(&uri, &[])?;
    let picture = latest(&sources)?;
    let encode = move || Ok::<_, Refusal>(picture.interfaces());
    Ok(json(sources.answers.answer(encode).await??))
}

fn answer<T>(sources: &Sources, uri: &Uri, of: fn(&Sampled) -> T) -> Answer<Json<T>> {
    let asked = Parameters::of(uri, &["iface"])?;
    let picture = latest(sources)?;
    sampled(picture.snapshot(), asked.text("iface")).map(|sampled| Json(of(sampled)))
}

fn latest(sources: &Sources) -> Answer<Arc<Picture>> {
    let picture = sources.live.latest();
    picture.ok_or_else(|| Refusal::busy("nothing is counted yet"))
}

/// What is sampled of the interface with this name; without one, of the only one that is.
fn sampled<'a>(snapshot: &'a Snapshot, name: Option<&str>) -> Answer<&'a Sampled> {
    let of = |row: &'a Interface| Some((&*row.name, row.sampled.as_ref()?));
    let all: Vec<(&str, &Sampled)> = snapshot.interfaces.iter().filter_map(of).collect();
    let mut there = snapshot.interfaces.iter();
    match (name, &all[..]) {
        (None, [(_, only)]) => Ok(only),
        (None, []) => {
            let hindered = there.find(|row| row.unsampled.is_some());
            Err(off(snapshot, hindered))
        }
        (None, all) => Err(Refusal::question(format!(
            "`iface` is missing; sampled are {}",
            named(all)
        ))),
        (Some(name), all) => match all.iter().find(|(its, _)| *its == name) {
            Some((_, found)) => Ok(found),
            None => Err(match there.find(|row| *row.name == *name) {
                Some(row) => off(snapshot, Some(row)),
                None if all.is_empty() => off(snapshot, None),
                None => Refusal::new(
                    StatusCode::NOT_FOUND,
                    format!("there is no interface `{name}`; sampled are {}", named(all)),
                ),
            }),
        },
    }
}

/// Why nothing is sampled, of an interface or at all.
fn off(snapshot: &Snapshot, row: Option<&Interface>) -> Refusal {
    if snapshot.engine.estimates() {
        return Refusal::off(
            "the interface sampler is off with --engine packet, whose --iface says where it \
             captures",
        );
    }
    let Some(Interface {
        name, unsampled, ..
    }) = row
    else {
        return Refusal::off("the interface sampler is off; start `netmon serve --iface NAME`");
    };
    Refusal::off(match unsampled {
        Some(why) => format!("the interface sampler is off on `{name}`: {why}"),
        None => {
            format!("the interface sampler is off on `{name}`; start `netmon serve --iface {name}`")
        }
    })
}

/// The names of these, as many as fit into a sentence.
fn named(all: &[(&str, &Sampled)]) -> String {
    let names: Vec<&str> = all.iter().take(NAMED).map(|(name, _)| *name).collect();
    match all.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
