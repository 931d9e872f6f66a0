//! netmon: which process moves how many bytes to whom, exactly and live.
//!
//! This crate is the whole of the program; `main.rs` only calls [`run::main`].
//! Data flows one way, and a module may only import what stands to its right
//! of the arrow's tail:
//!
//! ```text
//!  kernel (bpf/)            collect                model                      sinks
//!  tp_btf programs ──► traffic_map      ─┐
//!                      pid_stats         ├─► Drain::poll      ─► Sample ─► Tracker::tick ─► Arc<Snapshot> ─┬─► tui
//!                      protocol_totals  ─┘                                   │                            ├─► sink::stream
//!                      anomaly_map   ◄───────── smoothed rates, removals ────┘                            ├─► model::ledger ─► sink::history
//!  another netmon's serve ─► collect::remote ───────────────────────────────► Arc<Snapshot> ─► tui        ├─► sink::http, sink::dashboard
//!                                                                                                        └─► sink::metrics ─► sink::otlp
//! ```
//!
//! * [`collect`] touches the kernel and `/proc`, and computes nothing.
//! * [`model`] computes, and touches nothing: no I/O, no clock, no threads.
//! * [`tui`] and [`sink`] show [`model::snapshot::Snapshot`]s and know neither
//!   each other nor where the numbers came from.
//! * [`sampler`] is one step of that path, [`feed`] the slot between the thread
//!   that takes steps and the one that shows them.
//! * What must not miss a snapshot (the ledger, the metrics) sees each one in the
//!   sampler's thread; whoever can do with the latest reads the [`feed`].
//! * [`selftest`] moves bytes of its own and compares what that path made of them.
//! * [`run`] is the only place that wires them together.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

pub mod cli;
pub mod collect;
pub mod feed;
pub mod model;
pub mod run;
pub mod sampler;
pub mod selftest;
pub mod sink;
pub mod tui;
