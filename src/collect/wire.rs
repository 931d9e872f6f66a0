//! Between the kernel's bytes and the model's types, both ways.
//!
//! The layouts themselves are generated from `bpf/netmon.h`. Calls no kernel.

use std::net::{IpAddr, Ipv6Addr};

pub use super::skeleton::types::{
    connection as RawConnection, flow_key as RawFlowKey, losses as RawLosses,
    process as RawProcess, process_key as RawProcessKey, socket_key as RawSocketKey,
    totals as RawTotals, traffic as RawTraffic,
};
use crate::model::flow::{
    Address, Connection, Endpoint, FlowKey, InterfaceName, ProcessId, Protocol, Totals,
};
use crate::model::sample::FlowCounters;

/// Bits of `flow_key.connection.ends` (enum ends, bpf/netmon.h).
const END_LOCAL: u8 = 1;
const END_REMOTE: u8 = 2;
const END_INTERFACE: u8 = 4;
/// Bits of `traffic.flags` and `process.flags` (bpf/netmon.h).
const TRAFFIC_CLOSED: u32 = 1;
/// The last thread of the process has exited.
pub const PROCESS_EXITED: u64 = 1;
/// The process is a kernel thread.
pub const PROCESS_KERNEL: u64 = 2;
/// The element of `pid_stats` holds a process.
pub const PROCESS_USED: u64 = 4;

/// A type that crosses the wire as it stands in memory.
///
/// # Safety
/// The type must be `Copy`, valid for every bit pattern of its size, and free
/// of padding the compiler could leave unwritten.
pub unsafe trait Wire: Copy + Default {}

// SAFETY: generated from bpf/netmon.h, which holds plain integers with explicit
// padding only (its _Static_asserts pin the sizes).
unsafe impl Wire for RawFlowKey {}
// SAFETY: as above.
unsafe impl Wire for RawTraffic {}
// SAFETY: as above.
unsafe impl Wire for RawProcessKey {}
// SAFETY: as above.
unsafe impl Wire for RawProcess {}
// SAFETY: as above.
unsafe impl Wire for RawTotals {}
// SAFETY: as above.
unsafe impl Wire for RawLosses {}
// SAFETY: as above.
unsafe impl Wire for RawSocketKey {}
// SAFETY: an integer.
unsafe impl Wire for u64 {}
// SAFETY: an integer.
unsafe impl Wire for u32 {}

/// The value in `bytes`, or `None` if they are too few.
pub fn read<T: Wire>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked, T is valid for any bytes (Wire), and the
    // read does not need alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The bytes of `value`.
pub fn bytes_of<T: Wire>(value: &T) -> &[u8] {
    // SAFETY: T is plain data without padding (Wire), so all of it is initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The bytes of consecutive `values`.
pub fn bytes_of_slice<T: Wire>(values: &[T]) -> &[u8] {
    // SAFETY: as in `bytes_of`; a slice has no gaps between its elements.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes behind four words, in the order they have in memory.
fn octets(words: [u32; 4]) -> [u8; 16] {
    let mut octets = [0; 16];
    for (to, word) in octets.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    octets
}

/// Network-order words of an address; IPv4-mapped ones become IPv4.
fn ip_address(words: [u32; 4]) -> Address {
    let v6 = Ipv6Addr::from(octets(words));
    Address::Ip(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

fn words(address: Address) -> [u32; 4] {
    let octets = match address {
        Address::Ip(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        Address::Ip(IpAddr::V6(v6)) => v6.octets(),
        Address::Interface(name) => name.0,
    };
    let mut words = [0; 4];
    for (word, octets) in words.iter_mut().zip(octets.chunks_exact(4)) {
        *word = u32::from_ne_bytes([octets[0], octets[1], octets[2], octets[3]]);
    }
    words
}

fn connection(raw: &RawConnection, network_namespace: u32) -> Connection {
    let end = |bit, words, port| {
        (raw.ends & bit != 0).then(|| Endpoint {
            address: ip_address(words),
            port,
        })
    };
    let interface = || {
        (raw.ends & END_INTERFACE != 0).then(|| Endpoint {
            address: Address::Interface(InterfaceName(octets(raw.remote_address))),
            port: 0,
        })
    };
    Connection {
        protocol: Protocol::ALL
            .get(usize::from(raw.protocol))
            .copied()
            .unwrap_or(Protocol::Other),
        network_namespace,
        local: end(END_LOCAL, raw.local_address, raw.local_port),
        remote: end(END_REMOTE, raw.remote_address, raw.remote_port).or_else(interface),
    }
}

/// Decodes what the ring of closed connections carries.
pub fn closed_connection(raw: &RawSocketKey) -> Connection {
    connection(&raw.connection, raw.network_namespace)
}

/// The identity of the process in an element of `pid_stats`.
pub fn process_id(raw: &RawProcess) -> ProcessId {
    ProcessId {
        pid: raw.tgid,
        start_ns: raw.start_ns,
    }
}

/// Encodes a process key.
pub fn raw_process_key(id: &ProcessId) -> RawProcessKey {
    RawProcessKey {
        start_ns: id.start_ns,
        tgid: id.pid,
        zero: 0,
    }
}

/// Decodes a flow's key; what has no room in the kernel's key is in its value.
pub fn flow_key(raw: &RawFlowKey, value: &RawTraffic) -> FlowKey {
    let connection = connection(&raw.connection, value.network_namespace);
    FlowKey {
        process: ProcessId {
            pid: raw.tgid,
            start_ns: value.start_ns,
        },
        protocol: connection.protocol,
        network_namespace: connection.network_namespace,
        local: connection.local,
        remote: connection.remote,
    }
}

/// Encodes a flow key: the inverse of [`flow_key`].
pub fn raw_flow_key(key: &FlowKey) -> RawFlowKey {
    let mut raw = RawConnection {
        // The kernel's key holds the low half of these two.
        namespace_low: key.network_namespace as u16,
        // There are nine protocols.
        protocol: key.protocol.index() as u8,
        ..RawConnection::default()
    };
    if let Some(local) = key.local {
        raw.ends |= END_LOCAL;
        raw.local_address = words(local.address);
        raw.local_port = local.port;
    }
    if let Some(remote) = key.remote {
        raw.ends |= match remote.address {
            Address::Ip(_) => END_REMOTE,
            Address::Interface(_) => END_INTERFACE,
        };
        raw.remote_address = words(remote.address);
        raw.remote_port = remote.port;
    }
    RawFlowKey {
        tgid: key.process.pid,
        start_low: key.process.start_ns as u32,
        connection: raw,
    }
}

/// Decodes counters.
pub fn totals(raw: &RawTotals) -> Totals {
    Totals {
        tx_bytes: raw.tx_bytes,
        rx_bytes: raw.rx_bytes,
        tx_operations: raw.tx_operations,
        rx_operations: raw.rx_operations,
    }
}

/// Decodes one entry of `traffic_map`.
pub fn flow_counters(key: FlowKey, value: &RawTraffic) -> FlowCounters {
    FlowCounters {
        key,
        totals: totals(&value.totals),
        closed: value.flags & TRAFFIC_CLOSED != 0,
    }
}

/// The text of a NUL-terminated name of any bytes.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn key(local: Option<Endpoint>, remote: Option<Endpoint>) -> FlowKey {
        FlowKey {
            process: ProcessId {
                pid: 42,
                start_ns: 7_000_000_000_123,
            },
            protocol: Protocol::Udp,
            network_namespace: 4_026_531_840,
            local,
            remote,
        }
    }

    fn over_the_wire(key: &FlowKey) -> FlowKey {
        let value = RawTraffic {
            start_ns: key.process.start_ns,
            network_namespace: key.network_namespace,
            ..RawTraffic::default()
        };
        flow_key(&raw_flow_key(key), &value)
    }

    #[test]
    fn a_flow_key_survives_the_wire() {
        let v4 = Endpoint {
            address: Address::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5))),
            port: 51_234,
        };
        let v6 = Endpoint {
            address: "2001:db8::1".parse().unwrap(),
            port: 443,
        };
        let interface = Endpoint {
            address: Address::Interface(InterfaceName(*b"wlan0\0\0\0\0\0\0\0\0\0\0\0")),
            port: 0,
        };
        for (local, remote) in [
            (Some(v4), Some(v4)),
            (Some(v6), Some(v6)),
            (Some(v6), None),
            (None, Some(interface)),
            (None, None),
        ] {
            let key = key(local, remote);
            assert_eq!(over_the_wire(&key), key);
        }
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mapped = Endpoint {
            address: "::ffff:192.0.2.1".parse().unwrap(),
            port: 1,
        };
        let decoded = over_the_wire(&key(Some(mapped), None));
        assert_eq!(
            decoded.local.unwrap().address,
            Address::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))
        );
    }

    #[test]
    fn too_few_bytes_are_no_value() {
        assert!(read::<RawTraffic>(&[0; 8]).is_none());
        let bytes = bytes_of(&RawTotals {
            tx_bytes: 5,
            ..RawTotals::default()
        })
        .to_vec();
        assert_eq!(read::<RawTotals>(&bytes).unwrap().tx_bytes, 5);
    }
}
