//! Readers of the kernel: they fill [`Sample`](crate::model::sample::Sample)s.
//!
//! Owns the BPF programs' life, the maps' bytes and `/proc`. Computes nothing:
//! no rate, no threshold, no decision on what to forget.

pub mod accounting;
pub mod batch;
pub mod capability;
pub mod clock;
pub mod drain;
pub mod identity;
pub mod interfaces;
pub mod libbpf_log;
mod plan;
mod preemption;
pub mod remote;
pub mod rtnetlink;
mod skeleton;
pub mod wire;
