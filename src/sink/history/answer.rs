//! Answers of the history, as they are written in JSON.
//!
//! Plain data; bytes are payload bytes, those of interfaces bytes of frames, times RFC
//! 3339 in UTC. How they are found is the reader's business.

use serde::Serialize;

use super::ask::Window;

/// Bytes of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Moved {
    /// Sent, bytes.
    pub tx_bytes: u64,
    /// Received, bytes.
    pub rx_bytes: u64,
}

/// What of a window is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Start of the first bucket in it.
    pub since: String,
    /// End of the last one.
    pub until: String,
}

impl Stored {
    /// Of `covered`, as `Kept` tells it.
    pub(super) fn of(covered: Option<Window>) -> Option<Stored> {
        covered.map(|window| Stored {
            since: window.since_text(),
            until: window.until_text(),
        })
    }
}

/// Who moved most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top {
    /// Start of the first bucket read.
    pub since: String,
    /// End of the last one.
    pub until: String,
    /// `process`, `remote`, `protocol`, `user` or `unit`.
    pub by: &'static str,
    /// Largest first.
    pub rows: Vec<TopRow>,
    /// What all the rows beyond the limit moved.
    pub other: Moved,
    /// What all rows moved.
    pub total: Moved,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopRow {
    /// What the row is called: the process, address, protocol, user or unit; empty
    /// where it is not known.
    pub key: String,
    /// Of `by=process` only.
    #[serde(flatten)]
    pub who: Option<Who>,
    /// What it moved.
    #[serde(flatten)]
    pub moved: Moved,
    /// Of all bytes of the window, in percent.
    pub percentage: f64,
}

/// A process as the history keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Who {
    /// Short name.
    pub name: String,
    /// Path of the program.
    pub executable: Option<String>,
    /// User name.
    pub user: String,
    /// systemd unit.
    pub unit: Option<String>,
    /// Container id.
    pub container: Option<String>,
}

/// How much moved when: either the points of all, or a series for each key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// Start of the first point.
    pub since: String,
    /// End of the last one.
    pub until: String,
    /// Length of a point, seconds; at least the asked-for step, and a multiple of the
    /// buckets that are still there.
    pub step_seconds: u64,
    /// What of the points is stored: of the others nobody knows what moved. `None` if
    /// nothing is.
    pub stored: Option<Stored>,
    /// All points of the window, those without bytes too.
    pub points: Vec<Point>,
    /// With `by`: the largest keys apart, and `other` last; each has the bytes of
    /// every point (index by index).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<Series>>,
}

/// One point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Its start.
    pub t: String,
    /// What moved.
    #[serde(flatten)]
    pub moved: Moved,
}

/// The part of one key in a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Series {
    /// As [`TopRow::key`].
    pub key: String,
    /// Sent, bytes by point.
    pub tx_bytes: Vec<u64>,
    /// Received, bytes by point.
    pub rx_bytes: Vec<u64>,
}

/// Bytes by protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Protocols {
    /// Start of the first bucket read.
    pub since: String,
    /// End of the last one.
    pub until: String,
    /// Largest first.
    pub protocols: Vec<ProtocolShare>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProtocolShare {
    /// Its name; empty where it is not known.
    pub protocol: String,
    /// What it moved.
    #[serde(flatten)]
    pub moved: Moved,
    /// Of all bytes of the window, in percent.
    pub percentage: f64,
}

/// Bytes by remote address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remotes {
    /// Start of the first bucket read.
    pub since: String,
    /// End of the last one.
    pub until: String,
    /// Largest first.
    pub remotes: Vec<RemoteShare>,
    /// What all beyond the limit moved.
    pub other: Moved,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemoteShare {
    /// Address or interface; `null` where nobody knows it.
    pub remote_address: Option<String>,
    /// What was moved to and from it.
    #[serde(flatten)]
    pub moved: Moved,
    /// Of all bytes of the window, in percent.
    pub percentage: f64,
}

/// What interfaces moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Interfaces {
    /// Start of the first bucket read.
    pub since: String,
    /// End of the last one.
    pub until: String,
    /// What of it is stored, which averages are over; `None` if nothing is.
    pub stored: Option<Stored>,
    /// Largest first.
    pub interfaces: Vec<InterfaceSum>,
    /// What all beyond the limit moved.
    pub other: Frames,
}

/// Frames of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Frames {
    /// Sent, bytes with headers.
    pub tx_bytes: u64,
    /// Received, the same.
    pub rx_bytes: u64,
    /// Sent, packets.
    pub tx_packets: u64,
    /// Received, packets.
    pub rx_packets: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InterfaceSum {
    /// Its name.
    pub interface: String,
    /// By the kernel's counters.
    #[serde(flatten)]
    pub moved: Frames,
    /// Bytes/s of both directions over what is stored of the window.
    pub average_rate: f64,
    /// Highest bytes/s of both directions over ten seconds.
    pub peak_rate: u64,
    /// Classes of packets, as far as a sampler told them apart; `null` where none did.
    pub classes: Option<Vec<ClassShare>>,
}

/// A class of packets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassShare {
    /// `tcp`, `udp`, `icmp`, `other_ip` and `not_ip` share out every packet; `http` and
    /// `https` are parts of the first two.
    pub class: &'static str,
    /// Each segment of a train a packet with headers of its own.
    #[serde(flatten)]
    pub moved: Frames,
    /// Of the sampled bytes, in percent.
    pub percentage: f64,
}

/// Flows that were above the threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alerts {
    /// Start of the window.
    pub since: String,
    /// End of the window.
    pub until: String,
    /// Latest first; all that had not ended before the window began.
    pub alerts: Vec<Alert>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// `rate`.
    pub kind: String,
    /// When the smoothed rate rose above the threshold.
    pub started: String,
    /// When it fell below; `null` while it is above.
    pub ended: Option<String>,
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub name: String,
    /// User name.
    pub user: String,
    /// Protocol.
    pub protocol: String,
    /// Address or interface.
    pub remote_address: Option<String>,
    /// Port, where the protocol has one.
    pub remote_port: Option<u16>,
    /// Highest smoothed rate, bytes/s.
    pub peak: f64,
    /// What it was above, bytes/s.
    pub threshold: f64,
}
