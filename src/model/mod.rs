//! The model: what was counted, turned into rates, anomalies and snapshots.
//!
//! Owns every computation of netmon. Owns no I/O, no clock and no thread: time
//! is an argument, and nothing here can fail.

pub mod anomaly;
pub mod census;
pub mod cgroup;
mod counter;
pub mod coverage;
pub mod ended;
pub mod endpoint;
pub mod filter;
pub mod flow;
mod flow_table;
mod headers;
pub mod interface;
pub mod ledger;
mod needle;
pub mod network;
pub mod packet;
pub mod packets;
pub mod prefix;
mod process_table;
pub mod rate;
pub mod sample;
pub mod snapshot;
pub mod tcp;
pub mod tracker;
pub mod units;
mod ways_out;
pub mod wire;
