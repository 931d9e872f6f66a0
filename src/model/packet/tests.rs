//! Packets made by hand, and what is told of them.

use super::*;

/// An IPv4 header without options that tells `total` bytes, and what follows it.
fn v4(protocol: u8, total: u16, fragment: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7]);
    packet.extend(rest);
    packet
}

/// An IPv6 header that tells `length` bytes behind it, and these.
fn v6(next: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend(rest);
    packet
}

/// The ports 4660 and 80, and a TCP header of `words` words up to its options.
fn tcp(words: u8) -> Vec<u8> {
    let mut header = vec![0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, words << 4];
    header.resize(20, 0);
    header
}

const UDP_HEADER: [u8; 8] = [0x12, 0x34, 0, 80, 0, 0, 0, 0];
const PORTS: Option<(u16, u16)> = Some((4660, 80));

/// Protocol, ports, payload, and whether it is a fragment, of a packet of that length.
fn told(kind: u16, bytes: &[u8], length: u32) -> (u8, Option<(u16, u16)>, u32, bool) {
    let packet = parse(kind, bytes, length).unwrap();
    let two = |last| match packet.source {
        IpAddr::V4(_) => [
            IpAddr::from([192, 0, 2, 1]),
            IpAddr::from([198, 51, 100, 7]),
        ][last],
        IpAddr::V6(_) => [
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        ][last],
    };
    assert_eq!((packet.source, packet.destination), (two(0), two(1)));
    (
        packet.protocol,
        packet.ports,
        packet.payload,
        packet.fragment,
    )
}

#[test]
fn payload_is_beyond_the_transport_header() {
    let all = |rest: &[u8], protocol| v4(protocol, 120, 0, rest);
    assert_eq!(
        told(IPV4, &all(&tcp(5), 6), 120),
        (6, PORTS, 120 - 40, false)
    );
    assert_eq!(
        told(IPV4, &all(&tcp(8), 6), 120),
        (6, PORTS, 120 - 52, false)
    );
    assert_eq!(
        told(IPV4, &all(&UDP_HEADER, 17), 120),
        (17, PORTS, 120 - 28, false)
    );
    assert_eq!(
        told(IPV4, &all(&UDP_HEADER, 132), 120),
        (132, PORTS, 120 - 32, false)
    );
    // To sockets ICMP's header is payload.
    assert_eq!(
        told(IPV4, &all(&[8, 0, 1, 2], 1), 120),
        (1, None, 100, false)
    );
    assert_eq!(told(IPV6, &v6(6, 80, &tcp(5)), 120), (6, PORTS, 60, false));
    assert_eq!(
        told(IPV6, &v6(17, 80, &UDP_HEADER), 120),
        (17, PORTS, 72, false)
    );
}

#[test]
fn tags_and_options_are_gone_over() {
    for tags in 1..3 {
        let mut bytes = Vec::new();
        for depth in 1..=tags {
            let kind = if depth == tags { IPV4 } else { 0x8100 };
            bytes.extend([0, 9]);
            bytes.extend(kind.to_be_bytes());
        }
        bytes.extend(v4(17, 30, 0, &UDP_HEADER));
        let length = 30 + 4 * tags;
        assert_eq!(told(0x88a8, &bytes, length), (17, PORTS, 2, false));
    }
    let mut options = v4(17, 60, 0, &[1; 12]);
    options[0] = 0x48;
    options.extend(UDP_HEADER);
    assert_eq!(told(IPV4, &options, 60), (17, PORTS, 20, false));
}

#[test]
fn extension_headers_are_gone_over() {
    let mut rest = vec![ROUTING, 0, 1, 4, 0, 0, 0, 0];
    rest.extend([DESTINATION, 1]);
    rest.extend([0; 14]);
    // An authentication header of 24 bytes: 4 words beyond its first two.
    rest.extend([AUTHENTICATION, 0, 0, 0, 0, 0, 0, 0]);
    rest.extend([17, 4]);
    rest.extend([0; 22]);
    rest.extend(UDP_HEADER);
    let extensions = 8 + 16 + 8 + 24;
    let length = extensions as u16 + 8 + 50;
    let packet = v6(HOP_BY_HOP, length, &rest);
    let wire = 40 + u32::from(length);
    assert_eq!(told(IPV6, &packet, wire), (17, PORTS, 50, false));
    // IPv4 has but the one.
    let mut rest = vec![6, 4];
    rest.extend([0; 22]);
    rest.extend(tcp(5));
    let packet = v4(AUTHENTICATION, 20 + 24 + 20 + 5, 0, &rest);
    assert_eq!(told(IPV4, &packet, 69), (6, PORTS, 5, false));
    // Cut off in the middle, and one that is longer than the packet.
    let packet = v6(HOP_BY_HOP, length, &[ROUTING, 0, 0]);
    assert_eq!(
        told(IPV6, &packet, wire),
        (HOP_BY_HOP, None, u32::from(length), false)
    );
    let packet = v6(
        HOP_BY_HOP,
        16,
        &[ROUTING, 255, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9],
    );
    assert_eq!(told(IPV6, &packet, 56), (HOP_BY_HOP, None, 16, false));
    assert_eq!(
        told(IPV6, &v6(NO_NEXT, 0, &[]), 99),
        (NO_NEXT, None, 0, false)
    );
}

#[test]
fn only_the_first_fragment_has_ports() {
    let more = 0x2000;
    let first = v4(17, 1500, more, &UDP_HEADER);
    assert_eq!(told(IPV4, &first, 1500), (17, PORTS, 1472, true));
    let later = v4(17, 1500, more | 185, &UDP_HEADER);
    assert_eq!(told(IPV4, &later, 1500), (17, None, 1480, true));
    let last = v4(17, 100, 370, &UDP_HEADER);
    assert_eq!(told(IPV4, &last, 100), (17, None, 80, true));
    let whole = v4(17, 100, 0x4000, &UDP_HEADER);
    assert_eq!(told(IPV4, &whole, 100), (17, PORTS, 72, false));
    for (offset, ports, payload, fragment) in [
        (1, PORTS, 72, true),
        (1448 | 1, None, 80, true),
        (1448, None, 80, true),
        // A fragment in name only (RFC 6946).
        (0, PORTS, 72, false),
    ] {
        let offset = u16::to_be_bytes(offset);
        let mut rest = vec![17, 0, offset[0], offset[1], 0, 0, 0, 1];
        rest.extend(UDP_HEADER);
        let packet = v6(FRAGMENT, 88, &rest);
        assert_eq!(told(IPV6, &packet, 128), (17, ports, payload, fragment));
    }
}

#[test]
fn lengths_are_believed_as_far_as_the_wire_agrees() {
    // More than there was, less than the headers, and none (a joined packet).
    assert_eq!(told(IPV4, &v4(17, 9000, 0, &UDP_HEADER), 100).2, 72);
    assert_eq!(told(IPV4, &v4(17, 21, 0, &UDP_HEADER), 100).2, 0);
    assert_eq!(told(IPV4, &v4(17, 0, 0, &UDP_HEADER), 99_028).2, 99_000);
    assert_eq!(told(IPV6, &v6(17, 9000, &UDP_HEADER), 100).2, 52);
    assert_eq!(told(IPV6, &v6(17, 0, &UDP_HEADER), 99_048).2, 99_000);
    // What fills up a short frame is no header.
    let padded = v4(17, 20, 0, &[0; 26]);
    assert_eq!(told(IPV4, &padded, 46), (17, None, 0, false));
    // A TCP header shorter than any, and one longer than the packet.
    assert_eq!(told(IPV4, &v4(6, 50, 0, &tcp(2)), 50).2, 10);
    assert_eq!(told(IPV4, &v4(6, 50, 0, &tcp(15)), 50).2, 0);
    // Kept only as far as the ports.
    let cut = v4(6, 140, 0, &tcp(8)[..4]);
    assert_eq!(told(IPV4, &cut, 140), (6, PORTS, 100, false));
}

#[test]
fn what_has_no_addresses_is_no_packet() {
    assert_eq!(parse(IPV4, &v4(17, 28, 0, &[])[..19], 28), None);
    assert_eq!(parse(IPV6, &v6(17, 8, &[])[..39], 48), None);
    assert_eq!(parse(IPV6, &v4(17, 200, 0, &[0; 180]), 200), None);
    assert_eq!(parse(IPV4, &v6(17, 8, &UDP_HEADER), 48), None);
    let mut short = v4(17, 28, 0, &UDP_HEADER);
    short[0] = 0x44;
    assert_eq!(parse(IPV4, &short, 28), None);
    assert_eq!(parse(0x0806, &[1; 60], 60), None);
    assert_eq!(parse(0x8100, &[0, 1, 8], 60), None);
    assert_eq!(parse(0x8100, &[0x81; 60], 60), None);
}

#[test]
fn protocols_without_a_name_are_numbers() {
    assert_eq!(
        [6, 17, 58, 200].map(protocol_name),
        ["tcp", "udp", "icmpv6", "200"]
    );
}

#[test]
fn fragments_of_one_packet_have_its_number() {
    let id = |kind, bytes: &[u8]| parse(kind, bytes, 128).unwrap().id;
    assert_eq!(id(IPV4, &v4(UDP, 128, 0x2000, &UDP_HEADER)), 1);
    assert_eq!(id(IPV4, &v4(UDP, 128, 5, &[0; 8])), 1);
    // Nobody sets the number of a packet that is not to be cut.
    assert_eq!(id(IPV4, &v4(UDP, 128, 0, &UDP_HEADER)), 0);
    for (offset, expected) in [(1_u8, 0x0102_0304), (8, 0x0102_0304), (0, 0)] {
        let mut rest = vec![UDP, 0, 0, offset, 1, 2, 3, 4];
        rest.extend(UDP_HEADER);
        assert_eq!(id(IPV6, &v6(FRAGMENT, 88, &rest)), expected);
    }
}
