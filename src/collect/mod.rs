//! Readers of the kernel: they fill [`Sample`](crate::model::sample::Sample)s.
//!
//! Owns the BPF programs' life, the maps' bytes and `/proc`. Computes nothing:
//! no rate, no threshold, no decision on what to forget.

pub mod accounting;
pub mod batch;
pub mod capability;
pub mod capture;
pub mod clock;
pub mod closings;
pub mod drain;
pub mod filter;
pub mod identity;
pub mod interfaces;
pub mod libbpf_log;
mod netlink;
pub mod owner;
pub mod packets;
mod plan;
mod preemption;
pub mod remote;
pub mod ring;
pub mod rtnetlink;
mod skeleton;
pub mod sock_diag;
pub mod tcp_health;
pub mod wire;
pub mod xdp;
