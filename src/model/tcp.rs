//! How a TCP connection fares: what the kernel tells of its path.
//!
//! Plain data; who asks the kernel is `collect::tcp_health`.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::flow::{Connection, Protocol};

/// One end's view of a TCP connection (`struct tcp_info`, include/uapi/linux/tcp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TcpHealth {
    /// Smoothed round-trip time, microseconds (`tcpi_rtt`); 0 before the first measurement.
    pub rtt_us: u32,
    /// Its mean deviation, microseconds (`tcpi_rttvar`).
    pub rtt_variance_us: u32,
    /// Segments sent again since the connection began (`tcpi_total_retrans`).
    pub retransmits: u32,
    /// Segments now thought lost (`tcpi_lost`).
    pub lost: u32,
    /// Congestion window, segments (`tcpi_snd_cwnd`).
    pub congestion_window: u32,
    /// Largest segment that is sent, bytes (`tcpi_snd_mss`).
    pub send_mss: u32,
}

/// Connections of all network namespaces that could be asked, by both ends.
///
/// Kept by a hash of 64 bits in place of the ends themselves, a third of the memory: of
/// 20,000 connections two share one with a chance of 1 in 10^11 (n²/2^65).
#[derive(Debug, Default)]
pub struct TcpTable {
    hasher: RandomState,
    healths: HashMap<u64, TcpHealth, RandomState>,
}

impl TcpTable {
    /// Takes a connection in.
    pub fn insert(&mut self, connection: &Connection, health: TcpHealth) {
        self.healths.insert(self.hash(connection), health);
    }

    /// How that connection fares. One of MPTCP is known by its first subflow, which has
    /// the same ends.
    pub fn get(&self, connection: &Connection) -> Option<TcpHealth> {
        self.healths.get(&self.hash(connection)).copied()
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.healths.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.healths.is_empty()
    }

    fn hash(&self, connection: &Connection) -> u64 {
        self.hasher.hash_one(Connection {
            protocol: Protocol::Tcp,
            ..*connection
        })
    }
}
