//! The record of one interval as a server sends it, read back into Rust.
//!
//! The mirror of what `netmon stream` and `netmon serve` write (schema 1), with the
//! member `monitor` that only the latter adds. Fields that this netmon does not know
//! are passed over, members that an older one did not write may be missing. What a
//! record means as a [`Snapshot`] is `snapshot`'s business.
//!
//! [`Snapshot`]: crate::model::snapshot::Snapshot

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::interface::InterfaceRecord;
use crate::model::flow::{Address, Endpoint, InterfaceName, Protocol, Totals};
use crate::model::tcp::TcpHealth;

/// The version of the record's layout that is understood here.
pub const SCHEMA: u64 = 1;

/// No interval is longer: a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// One interval.
#[derive(Debug, Deserialize)]
pub struct Record {
    #[serde(deserialize_with = "moment")]
    pub time: Duration,
    #[serde(deserialize_with = "seconds")]
    pub interval_seconds: Duration,
    #[serde(default)]
    pub engine: String,
    pub protocols: Vec<ProtocolRecord>,
    pub processes: Vec<ProcessRecord>,
    pub flows: Vec<FlowRecord>,
    #[serde(default)]
    pub anomalies: Vec<AnomalyRecord>,
    #[serde(default)]
    pub loss: LossRecord,
    #[serde(default)]
    pub coverage: Option<CoverageRecord>,
    #[serde(default)]
    pub interfaces: Vec<InterfaceRecord>,
    #[serde(default)]
    pub monitor: MonitorRecord,
}

#[derive(Debug, Deserialize)]
pub struct ProtocolRecord {
    #[serde(deserialize_with = "protocol")]
    pub protocol: Protocol,
    tx_bytes: u64,
    rx_bytes: u64,
    tx_operations: u64,
    rx_operations: u64,
    pub tx_rate: f64,
    pub rx_rate: f64,
}

#[derive(Debug, Deserialize)]
pub struct ProcessRecord {
    pub pid: u32,
    #[serde(default, deserialize_with = "maybe_moment")]
    pub start_time: Option<Duration>,
    pub name: String,
    #[serde(default)]
    pub command: String,
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub cgroup: Option<String>,
    #[serde(default)]
    pub unit: Option<String>,
    #[serde(default)]
    pub container: Option<String>,
    tx_bytes: u64,
    rx_bytes: u64,
    tx_operations: u64,
    rx_operations: u64,
    pub tx_rate: f64,
    pub rx_rate: f64,
    pub smoothed_rate: f64,
    #[serde(default)]
    pub kernel_thread: bool,
    #[serde(default)]
    pub exited: bool,
    #[serde(default)]
    pub anomalous: bool,
}

#[derive(Debug, Deserialize)]
pub struct FlowRecord {
    pub pid: u32,
    pub name: String,
    #[serde(deserialize_with = "protocol")]
    pub protocol: Protocol,
    #[serde(default, deserialize_with = "address")]
    local_address: Option<Address>,
    #[serde(default)]
    local_port: Option<u16>,
    #[serde(default, deserialize_with = "address")]
    remote_address: Option<Address>,
    #[serde(default)]
    remote_port: Option<u16>,
    tx_bytes: u64,
    rx_bytes: u64,
    tx_operations: u64,
    rx_operations: u64,
    pub tx_rate: f64,
    pub rx_rate: f64,
    pub smoothed_rate: f64,
    #[serde(default)]
    pub closed: bool,
    #[serde(default)]
    pub anomalous: bool,
    #[serde(default)]
    pub tcp: Option<TcpHealth>,
}

#[derive(Debug, Deserialize)]
pub struct AnomalyRecord {
    pub pid: u32,
    pub name: String,
    #[serde(default, deserialize_with = "address")]
    remote_address: Option<Address>,
    #[serde(default)]
    remote_port: Option<u16>,
    #[serde(deserialize_with = "protocol")]
    pub protocol: Protocol,
    pub value: f64,
    pub threshold: f64,
    #[serde(deserialize_with = "moment")]
    pub since: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LossRecord {
    pub untracked_flow_bytes: u64,
    pub missed_events: u64,
    pub unknown_peer_bytes: u64,
}

#[derive(Debug, Deserialize)]
pub struct CoverageRecord {
    pub interfaces: Vec<String>,
    pub wire_tx_bytes: u64,
    pub wire_rx_bytes: u64,
    pub wire_tx_packets: u64,
    pub wire_rx_packets: u64,
    pub payload_tx_bytes: u64,
    pub payload_rx_bytes: u64,
    pub overhead_tx_estimate: u64,
    pub overhead_rx_estimate: u64,
    pub other_tx_estimate: u64,
    pub other_rx_estimate: u64,
    pub excess_tx_estimate: u64,
    pub excess_rx_estimate: u64,
}

/// What the server says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MonitorRecord {
    pub host: String,
    pub version: String,
    pub engine_method: String,
    pub blind_spots: Vec<String>,
    pub threshold: f64,
    #[serde(deserialize_with = "seconds")]
    pub nominal_interval_seconds: Duration,
    pub books_off_bytes: u64,
}

/// The four counts of a record's row.
macro_rules! totals {
    ($($record:ty),*) => {$(
        impl $record {
            /// Its counts.
            pub fn totals(&self) -> Totals {
                Totals {
                    tx_bytes: self.tx_bytes,
                    rx_bytes: self.rx_bytes,
                    tx_operations: self.tx_operations,
                    rx_operations: self.rx_operations,
                }
            }
        }
    )*};
}

totals!(ProtocolRecord, ProcessRecord, FlowRecord);

impl FlowRecord {
    /// Its local end.
    pub fn local(&self) -> Option<Endpoint> {
        end(self.local_address, self.local_port)
    }

    /// Its remote end.
    pub fn remote(&self) -> Option<Endpoint> {
        end(self.remote_address, self.remote_port)
    }
}

impl AnomalyRecord {
    /// The remote end of its flow.
    pub fn remote(&self) -> Option<Endpoint> {
        end(self.remote_address, self.remote_port)
    }
}

fn end(address: Option<Address>, port: Option<u16>) -> Option<Endpoint> {
    let port = port.unwrap_or(0);
    address.map(|address| Endpoint { address, port })
}

/// Why something is no record that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It has another layout.
    Schema(u64),
    /// It is no record at all.
    Broken(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Schema(schema) => write!(
                f,
                "records of schema {schema}, and this netmon reads schema {SCHEMA}; use the same \
                 version on both sides"
            ),
            Unfit::Broken(why) => write!(f, "no record of netmon: {why}"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// If it has another layout, or none.
    pub fn read(data: &[u8]) -> Result<Record, Unfit> {
        /// What tells layouts apart, wherever they differ.
        #[derive(Deserialize)]
        struct Layout {
            schema: u64,
        }
        let broken = |error: serde_json::Error| Unfit::Broken(error.to_string());
        match serde_json::from_slice::<Layout>(data)
            .map_err(broken)?
            .schema
        {
            SCHEMA => serde_json::from_slice(data).map_err(broken),
            other => Err(Unfit::Schema(other)),
        }
    }
}

/// A time since the Unix epoch from RFC 3339.
fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let time: Timestamp = text.parse().map_err(D::Error::custom)?;
    Duration::try_from(time.as_duration()).map_err(D::Error::custom)
}

fn maybe_moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    struct Moment(#[serde(deserialize_with = "moment")] Duration);
    Ok(Option::<Moment>::deserialize(from)?.map(|Moment(time)| time))
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let length = Duration::try_from_secs_f64(f64::deserialize(from)?);
    let length = length.map_err(D::Error::custom)?;
    if length > LONGEST {
        return Err(D::Error::custom("an interval of more than a year"));
    }
    Ok(length)
}

/// A protocol by its name; one that only a newer netmon knows is "other".
fn protocol<'de, D: Deserializer<'de>>(from: D) -> Result<Protocol, D::Error> {
    let name = String::deserialize(from)?;
    Ok(Protocol::from_name(&name).unwrap_or(Protocol::Other))
}

/// An IP address, or as much of an interface's name as a name may have.
fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Address>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.map(|text| text.parse().unwrap_or_else(|_| interface(&text))))
}

fn interface(text: &str) -> Address {
    let mut name = InterfaceName([0; _]);
    let mut length = text.len().min(name.0.len() - 1);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    name.0[..length].copy_from_slice(&text.as_bytes()[..length]);
    Address::Interface(name)
}
