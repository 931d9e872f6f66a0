//! Frames made by hand, and what they are: a parser written apart from the kernel's.

use netmon::model::interface::Class;

pub const VLAN: u16 = 0x8100;
pub const QINQ: u16 = 0x88a8;

/// An Ethernet frame from nobody to nobody, with tags.
pub fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 0x77, 0x02, 0, 0, 0, 0, 0x78];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0x20, 5]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 packet; `fragment` is the field of that name, `options` in whole words.
pub fn ipv4(protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// An IPv6 packet whose payload begins with header `next`.
pub fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend([0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend(payload);
    packet
}

/// An IPv6 extension header of `length` bytes, in front of `payload`.
pub fn extension(next: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[0] = next;
    bytes[1] = (length / 8 - 1) as u8;
    bytes.extend(payload);
    bytes
}

/// A fragment header.
pub fn fragment(next: u8, field: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend(field.to_be_bytes());
    bytes.extend([0, 0, 0, 7]);
    bytes.extend(payload);
    bytes
}

/// An authentication header of `words` 32-bit words.
pub fn authentication(next: u8, words: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; words * 4];
    bytes[0] = next;
    bytes[1] = (words - 2) as u8;
    bytes.extend(payload);
    bytes
}

pub fn tcp(from: u16, to: u16, payload: usize) -> Vec<u8> {
    let mut segment = ports(from, to);
    segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    segment.resize(20 + payload, b'n');
    segment
}

pub fn udp(from: u16, to: u16, payload: usize) -> Vec<u8> {
    let mut datagram = ports(from, to);
    datagram.extend(((8 + payload) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.resize(8 + payload, b'n');
    datagram
}

fn ports(from: u16, to: u16) -> Vec<u8> {
    [from.to_be_bytes(), to.to_be_bytes()].concat()
}

/// Every kind of frame that the parser has a rule for.
pub fn all() -> Vec<Vec<u8>> {
    let v4 = |packet: Vec<u8>| ethernet(&[], 0x0800, &packet);
    let v6 = |packet: Vec<u8>| ethernet(&[], 0x86dd, &packet);
    let web = tcp(40_000, 443, 30);
    let mut frames = vec![
        v4(ipv4(6, 0, &[], &tcp(40_000, 80, 100))),
        v4(ipv4(6, 0x4000, &[1; 12], &tcp(443, 40_000, 0))),
        v4(ipv4(6, 0, &[1; 40], &tcp(5, 6, 7))),
        v4(ipv4(17, 0, &[], &udp(53, 5_353, 40))),
        v4(ipv4(17, 0, &[], &udp(40_000, 443, 900))),
        v4(ipv4(17, 0, &[], &udp(80, 80, 9))),
        v4(ipv4(1, 0, &[], &[8, 0, 0, 0, 0, 1, 0, 1])),
        // A first fragment, and one from the middle.
        v4(ipv4(17, 0x2000, &[], &udp(40_000, 443, 64))),
        v4(ipv4(17, 0x2000 | 185, &[], &udp(40_000, 443, 64))),
        v4(ipv4(6, 1, &[], &tcp(80, 80, 64))),
        v4(ipv4(47, 0, &[], &[0; 30])),
        v4(ipv4(132, 0, &[], &[0; 30])),
        v6(ipv6(6, &web)),
        v6(ipv6(17, &udp(443, 4, 20))),
        v6(ipv6(58, &[128, 0, 0, 0, 0, 1, 0, 1])),
        v6(ipv6(59, &[])),
        v6(ipv6(50, &[7; 40])),
        v6(ipv6(0, &extension(58, 8, &[143, 0, 0, 0]))),
        v6(ipv6(
            0,
            &extension(43, 16, &extension(60, 24, &extension(6, 8, &web))),
        )),
        v6(ipv6(44, &fragment(6, 1, &web))),
        v6(ipv6(44, &fragment(6, 8 * 180 + 1, &web))),
        v6(ipv6(44, &fragment(60, 8 * 180, &extension(6, 8, &web)))),
        v6(ipv6(51, &authentication(6, 6, &web))),
        v6(ipv6(
            135,
            &extension(139, 8, &extension(140, 8, &extension(17, 8, &udp(1, 2, 3)))),
        )),
        ethernet(&[], 0x0806, &[0; 28]),
        ethernet(&[], 38, &[0x42; 38]),
        ethernet(&[], 0x0800, &[0x65; 40]),
        ethernet(&[], 0x0800, &[0x42; 40]),
        ethernet(&[], 0x86dd, &[0x45; 60]),
        ethernet(&[VLAN, VLAN, VLAN], 0x0800, &ipv4(6, 0, &[], &web)),
    ];
    // As many extension headers as are walked, and one more.
    for count in [8, 9] {
        let chain = (1..count).fold(extension(6, 8, &web), |rest, _| extension(60, 8, &rest));
        frames.push(v6(ipv6(60, &chain)));
    }
    for tags in [&[VLAN][..], &[QINQ], &[QINQ, VLAN], &[VLAN, VLAN]] {
        frames.push(ethernet(tags, 0x0800, &ipv4(6, 0, &[], &tcp(80, 9, 11))));
        frames.push(ethernet(tags, 0x0800, &ipv4(1, 0, &[], &[8; 16])));
        frames.push(ethernet(tags, 0x86dd, &ipv6(17, &udp(443, 9, 11))));
        frames.push(ethernet(tags, 0x0806, &[0; 28]));
    }
    frames
}

/// Whether a frame counts to a class, by the standards' words alone.
pub fn classes_of(frame: &[u8]) -> Vec<Class> {
    let Some((protocol, transport)) = ip_of(frame) else {
        return vec![Class::NotIp];
    };
    let mut classes = vec![match protocol {
        6 => Class::Tcp,
        17 => Class::Udp,
        1 | 58 => Class::Icmp,
        _ => return vec![Class::OtherIp],
    }];
    let port = |at: usize| {
        let transport = transport.filter(|bytes| bytes.len() >= 4)?;
        Some(u16::from_be_bytes([transport[at], transport[at + 1]]))
    };
    let ports = [port(0), port(2)];
    if protocol == 6 && ports.contains(&Some(80)) {
        classes.push(Class::Http);
    }
    if matches!(protocol, 6 | 17) && ports.contains(&Some(443)) {
        classes.push(Class::Https);
    }
    classes
}

/// The protocol, and what follows all IP headers where that is its beginning.
fn ip_of(frame: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let mut rest = frame.get(12..)?;
    let mut tags = 0;
    while let [0x81, 0, _, _, inner @ ..] | [0x88, 0xa8, _, _, inner @ ..] = rest {
        tags += 1;
        rest = inner;
        if tags == 3 {
            return None;
        }
    }
    match rest {
        [0x08, 0x00, packet @ ..] => v4_of(packet),
        [0x86, 0xdd, packet @ ..] => v6_of(packet),
        _ => None,
    }
}

fn v4_of(packet: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let header = packet.get(..20)?;
    let length = usize::from(header[0] & 15) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return None;
    }
    let is_later = header[6] & 0x1f != 0 || header[7] != 0;
    let transport = packet.get(length..).filter(|_| !is_later);
    Some((header[9], transport))
}

fn v6_of(packet: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let header = packet.get(..40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (mut next, mut rest) = (header[6], &packet[40..]);
    for _ in 0..8 {
        let length = match (next, rest) {
            (0 | 43 | 60 | 135 | 139 | 140, [_, length, _, _, ..]) => usize::from(*length) * 8 + 8,
            (51, [_, length, _, _, ..]) => usize::from(*length) * 4 + 8,
            (44, [inner, _, high, low, ..]) => {
                if *high != 0 || low >> 3 != 0 {
                    return Some((*inner, None));
                }
                8
            }
            _ => break,
        };
        next = rest[0];
        rest = rest.get(length..).unwrap_or_default();
    }
    Some((next, Some(rest)))
}
