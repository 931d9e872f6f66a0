//! The kernel's counters: entries of `interfaces`, one for each CPU, and of `flows`.
//!
//! Owns the maps' bytes and what they mean; the layouts are generated from
//! `bpf/xdp.h`. Adds up CPUs, computes nothing else.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use super::FlowCount;
pub use super::skeleton::types::{
    count as RawCount, interface as RawInterface, way as RawWay, wire_flow as RawFlow,
    wire_flow_key as RawFlowKey,
};
use crate::collect::wire::{Wire, bytes_of, read};
use crate::model::flow::Address;
use crate::model::interface::{Count, Way};

/// Bits of `interface.flags` (bpf/xdp.h).
pub const INTERFACE_TRAINS: u32 = 1;
/// See [`INTERFACE_TRAINS`].
pub const INTERFACE_MAYBE: u32 = 2;
/// See [`INTERFACE_TRAINS`].
pub const INTERFACE_SEGMENTS: u32 = 4;
/// See [`INTERFACE_TRAINS`].
pub const INTERFACE_LOOPBACK: u32 = 8;

/// `interface.layer` (enum layer, bpf/xdp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// An Ethernet header.
    Ethernet,
    /// The IP header.
    Ip,
    /// Neither.
    Other,
}

/// Indices of `interface.ways` (enum direction, bpf/xdp.h).
const RX: usize = 0;
const TX: usize = 1;

// SAFETY: generated from bpf/xdp.h, which holds plain integers with explicit padding
// only (its _Static_asserts pin the sizes).
unsafe impl Wire for RawInterface {}
// SAFETY: as above.
unsafe impl Wire for RawFlowKey {}
// SAFETY: as above.
unsafe impl Wire for RawFlow {}

/// Begins an interface's entry at 0.
pub fn begin(map: &MapHandle, index: u32, settings: &RawInterface) -> Result<()> {
    let cpus = libbpf_rs::num_possible_cpus()?;
    let values = vec![bytes_of(settings).to_vec(); cpus];
    map.update_percpu(&index.to_ne_bytes(), &values, MapFlags::ANY)
        .context("the kernel gave no room for its counters")
}

/// Forgets an interface's entry.
pub fn end(map: &MapHandle, index: u32) {
    // One that is not there is as good as deleted.
    let _ = map.delete(&index.to_ne_bytes());
}

/// What an interface sent and received since [`begin`].
pub fn counted(map: &MapHandle, index: u32) -> Result<(Way, Way)> {
    let cpus = map
        .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)?
        .context("its counters are gone")?;
    let (mut tx, mut rx) = (Way::default(), Way::default());
    for bytes in cpus {
        let raw: RawInterface = read(&bytes).context("its counters are cut")?;
        tx += way(&raw.ways[TX]);
        rx += way(&raw.ways[RX]);
    }
    Ok((tx, rx))
}

fn way(raw: &RawWay) -> Way {
    Way {
        frames: count(&raw.frames),
        classes: raw.classes.each_ref().map(count),
    }
}

fn count(raw: &RawCount) -> Count {
    Count {
        packets: raw.packets,
        bytes: raw.bytes,
    }
}

/// One entry of `flows`, turned so that who began it is its source.
pub fn flow(key: &RawFlowKey, value: &RawFlow) -> FlowCount {
    let first = usize::from(value.first == 1);
    let end = |end: usize| (address(key.addresses[end]), key.ports[end]);
    FlowCount {
        index: key.interface,
        protocol: key.protocol,
        source: end(first),
        destination: end(1 - first),
        forth: count(&value.counts[first]),
        back: count(&value.counts[1 - first]),
    }
}

/// Words in network order; IPv4-mapped addresses become IPv4.
fn address(words: [u32; 4]) -> Address {
    let mut octets = [0; 16];
    for (to, word) in octets.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let v6 = Ipv6Addr::from(octets);
    Address::Ip(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::interface::Class;

    #[test]
    fn classes_are_as_many_as_the_kernel_counts() {
        let raw = RawWay::default();
        assert_eq!(raw.classes.len(), Class::COUNT);
    }

    #[test]
    fn a_flow_has_as_source_who_began_it() {
        let mapped = |last: u8| {
            [
                0,
                0,
                0xffff_u32.to_be(),
                u32::from_ne_bytes([10, 0, 0, last]),
            ]
        };
        let key = RawFlowKey {
            interface: 3,
            addresses: [mapped(1), mapped(2)],
            ports: [80, 40_000],
            protocol: 6,
            ..RawFlowKey::default()
        };
        let counts = [1, 2].map(|packets| RawCount { packets, bytes: 9 });
        let mut value = RawFlow {
            counts,
            first: 1,
            ..RawFlow::default()
        };
        let turned = flow(&key, &value);
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        assert_eq!(turned.source, (ip("10.0.0.2"), 40_000));
        assert_eq!((turned.forth.packets, turned.back.packets), (2, 1));
        value.first = 0;
        assert_eq!(flow(&key, &value).source, (ip("10.0.0.1"), 80));
    }
}
