//! The set-up of the network as rtnetlink tells it: interfaces and addresses, and
//! word of every change.
//!
//! Owns the sockets and the messages' layout (include/uapi/linux/netlink.h,
//! rtnetlink.h, if_link.h, if_addr.h). sysfs would not do: it shows the network
//! namespace in which it was mounted, netlink the one netmon is in. Judges nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

use crate::model::network::{Address, Link, Lower};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// `NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH`: all of them.
const DUMP: u16 = 0x301;
/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR`.
const CHANGES: u32 = 0x1 | 0x10 | 0x100;

const IFF_LOOPBACK: u32 = 0x8;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
/// Since Linux 5.14; told of what `/sys/class/net/NAME/device` exists for.
const IFLA_PARENT_DEV_NAME: u16 = 56;
/// Leaves the counters out, most of a message.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// The upper bits of an attribute's type are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Lengths of the fixed parts, each a multiple of the alignment of 4.
const MESSAGE_HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ATTRIBUTE_HEADER: usize = 4;

/// The kernel fills at most this much at once (`netlink_recvmsg`, af_netlink.c).
const BUFFER: usize = 32 * 1024;

fn open(groups: u32) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// Hears of changes.
#[derive(Debug)]
pub struct Changes {
    socket: OwnedFd,
}

impl Changes {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the kernel refuses the socket.
    pub fn open() -> Result<Changes> {
        let socket = open(CHANGES).context("could not listen to rtnetlink")?;
        Ok(Changes { socket })
    }

    /// Whether anything has changed since the last call. Forgets what it was.
    pub fn any(&self) -> bool {
        let mut message = [0; 64];
        let mut any = false;
        loop {
            match recv(
                self.socket.as_raw_fd(),
                &mut message,
                MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(_) => any = true,
                // So many came that some were dropped, which is a change, too.
                Err(Errno::ENOBUFS) => any = true,
                Err(Errno::EINTR) => {}
                Err(_) => return any,
            }
        }
    }
}

/// All interfaces and addresses of the network namespace.
///
/// # Errors
/// If the kernel refuses, or answers what nobody can read.
pub fn read() -> Result<(Vec<Link>, Vec<Address>)> {
    let socket = open(0).context("could not open rtnetlink")?;
    let mut links = Vec::new();
    let mut request = vec![0; LINK_HEADER];
    request.extend_from_slice(&8_u16.to_ne_bytes());
    request.extend_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
    request.extend_from_slice(&RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    dump(&socket, RTM_GETLINK, &request, |kind, body| {
        if kind == RTM_NEWLINK {
            links.extend(link(body));
        }
    })
    .context("could not list the network interfaces")?;
    let mut addresses = Vec::new();
    dump(&socket, RTM_GETADDR, &[0; ADDRESS_HEADER], |kind, body| {
        if kind == RTM_NEWADDR {
            addresses.extend(address(body));
        }
    })
    .context("could not list the network addresses")?;
    Ok((links, addresses))
}

/// Asks for everything of one kind and hands each answer's type and body over.
fn dump(
    socket: &OwnedFd,
    request: u16,
    body: &[u8],
    mut each: impl FnMut(u16, &[u8]),
) -> Result<()> {
    let mut message = Vec::with_capacity(MESSAGE_HEADER + body.len());
    // A few dozen bytes.
    message.extend_from_slice(&((MESSAGE_HEADER + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&request.to_ne_bytes());
    message.extend_from_slice(&DUMP.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        // The kernel answers as it is read, so this never waits.
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut left = &buffer[..length];
        while let Some((kind, body, rest)) = message_of(left) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = u32_at(body, 0).unwrap_or(0).cast_signed();
                    return Err(Errno::from_raw(-code)).context("rtnetlink refused");
                }
                kind => each(kind, body),
            }
            left = rest;
        }
        if !left.is_empty() || length == 0 {
            bail!("rtnetlink's answer is cut");
        }
    }
}

/// The first message's type and body, and what follows it.
fn message_of(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let body = bytes.get(MESSAGE_HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16_at(bytes, 4)?, body, rest))
}

/// The attributes in `bytes`, up to the first that is cut.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NLA_TYPE_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: u32_at(body, 4)?,
        name: "".into(),
        medium: u16_at(body, 2)?,
        loopback: u32_at(body, 8)? & IFF_LOOPBACK != 0,
        hardware: false,
        kind: None,
        lower: Lower::Nothing,
        master: None,
    };
    let (mut lower, mut elsewhere) = (None, false);
    for (kind, value) in attributes(body.get(LINK_HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value).into(),
            IFLA_LINK => lower = u32_at(value, 0).filter(|index| *index != 0),
            IFLA_LINK_NETNSID => elsewhere = true,
            IFLA_MASTER => link.master = u32_at(value, 0).filter(|index| *index != 0),
            IFLA_PARENT_DEV_NAME => link.hardware = true,
            IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.map(|(_, value)| text(value));
            }
            _ => {}
        }
    }
    // Of a pair it is the other end, which is not below this one.
    let is_pair = matches!(link.kind.as_deref(), Some("veth" | "netkit" | "vxcan"));
    link.lower = match lower {
        Some(_) if is_pair => Lower::Nothing,
        Some(_) if elsewhere => Lower::Elsewhere,
        Some(index) => Lower::Here(index),
        None => Lower::Nothing,
    };
    Some(link)
}

fn address(body: &[u8]) -> Option<Address> {
    let prefix = *body.get(1)?;
    let index = u32_at(body, 4)?;
    let (mut own, mut network) = (None, None);
    for (kind, value) in attributes(body.get(ADDRESS_HEADER..)?) {
        match kind {
            IFA_LOCAL => own = ip(value),
            IFA_ADDRESS => network = ip(value),
            _ => {}
        }
    }
    let network = network.or(own)?;
    Some(Address {
        index,
        own: own.unwrap_or(network),
        network,
        prefix,
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(value).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// A text up to its NUL.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (ATTRIBUTE_HEADER + value.len()) as u16;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link_body(attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; LINK_HEADER];
        body[2..4].copy_from_slice(&280_u16.to_ne_bytes());
        body[4] = 7;
        body.extend(attributes.iter().flatten());
        body
    }

    #[test]
    fn a_pair_has_another_end_and_a_vlan_a_lower_interface() {
        let kind = |kind: &[u8]| attribute(IFLA_LINKINFO | 0x8000, &attribute(1, kind));
        let lower = attribute(IFLA_LINK, &3_u32.to_ne_bytes());
        let elsewhere = attribute(IFLA_LINK_NETNSID, &0_u32.to_ne_bytes());
        let name = attribute(IFLA_IFNAME, b"if7\0");
        for (attributes, expected) in [
            (vec![kind(b"veth\0"), lower.clone()], Lower::Nothing),
            (vec![lower.clone(), kind(b"vlan\0")], Lower::Here(3)),
            (vec![lower, elsewhere], Lower::Elsewhere),
            (vec![attribute(IFLA_LINK, &[0; 4])], Lower::Nothing),
        ] {
            let mut all = vec![name.clone()];
            all.extend(attributes);
            let link = link(&link_body(&all)).unwrap();
            assert_eq!((link.index, &*link.name, link.medium), (7, "if7", 280));
            assert_eq!(link.lower, expected);
        }
    }

    #[test]
    fn a_cut_message_is_read_as_far_as_it_goes() {
        let mut body = link_body(&[
            attribute(IFLA_IFNAME, b"eth0\0"),
            attribute(IFLA_MASTER, &[1; 4]),
        ]);
        body.truncate(body.len() - 2);
        let cut = link(&body).unwrap();
        assert_eq!((&*cut.name, cut.master), ("eth0", None));
        assert!(link(&body[..6]).is_none());
        assert!(message_of(&[9, 0, 0, 0]).is_none());
        // A length of nothing must not be read for ever.
        assert_eq!(attributes(&[0; 8]).count(), 0);
    }

    #[test]
    fn a_point_to_point_address_has_a_peer() {
        let mut body = vec![2, 32, 0, 0, 5, 0, 0, 0];
        body.extend(attribute(IFA_ADDRESS, &[10, 0, 0, 2]));
        let plain = address(&body).unwrap();
        assert_eq!((plain.own, plain.index), (plain.network, 5));
        body.extend(attribute(IFA_LOCAL, &[10, 0, 0, 1]));
        let pair = address(&body).unwrap();
        assert_eq!(pair.own.to_string(), "10.0.0.1");
        assert_eq!(pair.network.to_string(), "10.0.0.2");
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let (links, addresses) = read().unwrap();
        let loopback = links.iter().find(|link| link.loopback).unwrap();
        assert_eq!(&*loopback.name, "lo");
        assert!(!loopback.hardware);
        assert!(
            addresses
                .iter()
                .all(|address| { links.iter().any(|link| link.index == address.index) })
        );
    }
}
