//! The set-up of the network as rtnetlink tells it: interfaces and addresses, and
//! word of every change.
//!
//! Owns the sockets and the messages' layout (include/uapi/linux/rtnetlink.h,
//! if_link.h, if_addr.h). sysfs would not do: it shows the network
//! namespace in which it was mounted, netlink the one netmon is in. Judges nothing.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockProtocol, recv};

use super::netlink::{self, Asker, attributes, ip, u16_at, u32_at};
use crate::model::network::{Address, Link, Lower};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_GETTFILTER: u16 = 46;
/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR`.
const CHANGES: u32 = 0x1 | 0x10 | 0x100;

const IFF_UP: u32 = 0x1;
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

/// Lengths of the fixed parts, each a multiple of the alignment of 4.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const TC_HEADER: usize = 20;
const TCA_KIND: u16 = 1;
/// The parent of both a clsact and an ingress qdisc (include/uapi/linux/pkt_sched.h).
const TC_H_INGRESS: u32 = 0xffff_fff1;

fn open() -> Result<Asker> {
    Asker::open(SockProtocol::NetlinkRoute).context("could not open rtnetlink")
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
        let socket = netlink::open(SockProtocol::NetlinkRoute, CHANGES)
            .context("could not listen to rtnetlink")?;
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
    let mut asker = open()?;
    let mut links = Vec::new();
    dump_links(&mut asker, |body| links.extend(link(body)))?;
    let mut addresses = Vec::new();
    asker
        .dump(RTM_GETADDR, &[0; ADDRESS_HEADER], |kind, body| {
            if kind == RTM_NEWADDR {
                addresses.extend(address(body));
            }
        })
        .context("could not list the network addresses")?;
    Ok((links, addresses))
}

/// All interfaces of the network namespace, and whether each is up (`IFF_UP`).
///
/// # Errors
/// As [`read`].
pub fn links() -> Result<Vec<(Link, bool)>> {
    let mut asker = open()?;
    let mut links = Vec::new();
    dump_links(&mut asker, |body| {
        let is_up = u32_at(body, 8).is_some_and(|flags| flags & IFF_UP != 0);
        links.extend(link(body).map(|link| (link, is_up)));
    })?;
    Ok(links)
}

fn dump_links(asker: &mut Asker, mut each: impl FnMut(&[u8])) -> Result<()> {
    let mut request = vec![0; LINK_HEADER];
    request.extend_from_slice(&8_u16.to_ne_bytes());
    request.extend_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
    request.extend_from_slice(&RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    asker
        .dump(RTM_GETLINK, &request, |kind, body| {
            if kind == RTM_NEWLINK {
                each(body);
            }
        })
        .context("could not list the network interfaces")
}

/// Whether any tc filter hangs on `parent`, a qdisc's handle, of interface `index`.
///
/// # Errors
/// If the kernel refuses.
pub fn has_filters(index: u32, parent: u32) -> Result<bool> {
    let mut asker = open()?;
    let mut request = [0; TC_HEADER];
    request[4..8].copy_from_slice(&index.to_ne_bytes());
    request[12..16].copy_from_slice(&parent.to_ne_bytes());
    let mut any = false;
    asker
        .dump(RTM_GETTFILTER, &request, |kind, _| {
            any |= kind == RTM_NEWTFILTER;
        })
        .context("could not list the tc filters")?;
    Ok(any)
}

/// Which qdisc an interface has for what comes in: `clsact`, which is for what goes out,
/// too, or `ingress`.
///
/// # Errors
/// If the kernel refuses.
pub fn ingress_qdisc(index: u32) -> Result<Option<String>> {
    let mut asker = open()?;
    let mut request = [0; TC_HEADER];
    request[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut found = None;
    // The kernel lists those of all interfaces.
    asker
        .dump(RTM_GETQDISC, &request, |kind, body| {
            let is_its = u32_at(body, 4) == Some(index) && u32_at(body, 12) == Some(TC_H_INGRESS);
            if kind == RTM_NEWQDISC && is_its {
                let rest = body.get(TC_HEADER..).unwrap_or_default();
                let kind = attributes(rest).find(|(kind, _)| *kind == TCA_KIND);
                found = kind.map(|(_, name)| text(name));
            }
        })
        .context("could not list the qdiscs")?;
    Ok(found)
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

/// A text up to its NUL.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::netlink::{ATTRIBUTE_HEADER, message_of};

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
