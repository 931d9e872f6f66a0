//! Snapshots of another machine, from its `netmon serve`.
//!
//! `client` asks and waits, `sse` cuts the answer into events, `record` and `interface`
//! read them and `snapshot` makes of them what the screen shows. None of it needs privileges.

pub mod client;
mod interface;
mod record;
pub mod snapshot;
pub mod sse;
