//! The filter of a capture: loaded, filled with the lists' networks, its counts read.
//!
//! Owns the choice between the two kinds of filter. What they do is in `bpf/filter.bpf.c`
//! and `classic`; who attaches them is `ring`.

mod classic;
mod skeleton;

use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, MapHandle, OpenMapMut};

use self::skeleton::FilterSkelBuilder;
use super::{capability, libbpf_log, ring};
use crate::model::prefix::Prefix;

/// Bytes of a frame that are kept: link header with two tags, IPv6 with 46 bytes of
/// extension headers, and a TCP header.
pub const KEPT_BYTES: u32 = 128;

/// Networks that decide what is counted.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// A packet from or to one of these is not counted.
    pub ignore: Vec<Prefix>,
    /// If given, only packets from one of these are counted.
    pub accept: Option<Vec<Prefix>>,
}

impl Lists {
    /// True if they leave nothing out.
    pub fn is_empty(&self) -> bool {
        self.ignore.is_empty() && self.accept.is_none()
    }
}

/// Frames that came to one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Their bytes on the wire, link headers included.
    pub bytes: u64,
}

/// What a filter left out since it was loaded; the ring counts what passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Left out by the lists.
    pub ignored: Count,
    /// Left out as neither IPv4 nor IPv6.
    pub not_ip: Count,
}

/// A filter, ready to be attached to any number of rings.
#[derive(Debug)]
pub enum Filter {
    /// `bpf/filter.bpf.c`.
    Bpf {
        /// The loaded program.
        program: OwnedFd,
        /// Verdict → per-CPU count.
        verdicts: MapHandle,
    },
    /// Without lists and counts.
    Classic(Vec<libc::sock_filter>),
}

impl Filter {
    /// The best filter that is allowed here, for a ring on `interface` (0: all), and why
    /// it is not the eBPF one, if it is not.
    ///
    /// # Errors
    /// One line for a person: lists without the privilege that they take, or the kernel
    /// refused the program.
    pub fn load(lists: &Lists, interface: u32) -> Result<(Filter, Option<anyhow::Error>)> {
        match Filter::bpf(lists, interface) {
            Ok(filter) => Ok((filter, None)),
            Err(error) if !lists.is_empty() => Err(explain(error)),
            Err(error) => Ok((Filter::classic(interface), Some(error))),
        }
    }

    /// The filter that needs CAP_BPF.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bpf(lists: &Lists, interface: u32) -> Result<Filter> {
        libbpf_log::collect();
        let accept = lists.accept.as_deref();
        let mut storage = MaybeUninit::uninit();
        let mut open = FilterSkelBuilder::default().open(&mut storage)?;
        let settings = open
            .maps
            .rodata_data
            .as_deref_mut()
            .context("the capture filter has no settings")?;
        settings.kept_bytes = KEPT_BYTES;
        settings.on_all_interfaces = interface == 0;
        settings.ignores_v4 = has(&lists.ignore, false);
        settings.ignores_v6 = has(&lists.ignore, true);
        settings.accepts_some = accept.is_some();
        let accept = accept.unwrap_or_default();
        make_room(&mut open.maps.ignored_v4, &lists.ignore, false)?;
        make_room(&mut open.maps.ignored_v6, &lists.ignore, true)?;
        make_room(&mut open.maps.accepted_v4, accept, false)?;
        make_room(&mut open.maps.accepted_v6, accept, true)?;
        let loaded = open.load()?;
        fill(&loaded.maps.ignored_v4, &lists.ignore, false)?;
        fill(&loaded.maps.ignored_v6, &lists.ignore, true)?;
        fill(&loaded.maps.accepted_v4, accept, false)?;
        fill(&loaded.maps.accepted_v6, accept, true)?;
        Ok(Filter::Bpf {
            program: loaded.progs.capture_filter.as_fd().try_clone_to_owned()?,
            verdicts: MapHandle::try_from(&loaded.maps.verdicts)?,
        })
    }

    /// The filter that anybody with a packet socket may attach; it has no lists.
    pub fn classic(interface: u32) -> Filter {
        Filter::Classic(classic::program(KEPT_BYTES, interface == 0))
    }

    /// As a ring takes it.
    pub fn for_ring(&self) -> ring::Filter<'_> {
        match self {
            Filter::Bpf { program, .. } => ring::Filter::Bpf(program.as_fd()),
            Filter::Classic(program) => ring::Filter::Classic(program),
        }
    }

    /// Which of the two it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Filter::Bpf { .. } => "eBPF",
            Filter::Classic(_) => "classic BPF",
        }
    }

    /// What it counted since it was loaded; `None` if it does not count.
    ///
    /// # Errors
    /// What `bpf(2)` says.
    pub fn counts(&self) -> Result<Option<Counts>> {
        let Filter::Bpf { verdicts, .. } = self else {
            return Ok(None);
        };
        Ok(Some(Counts {
            ignored: count(verdicts, IGNORED)?,
            not_ip: count(verdicts, NOT_IP)?,
        }))
    }
}

/// Networks of one family.
fn of_family(list: &[Prefix], v6: bool) -> impl Iterator<Item = &Prefix> {
    list.iter()
        .filter(move |network| network.address.is_ipv6() == v6)
}

fn has(list: &[Prefix], v6: bool) -> bool {
    of_family(list, v6).next().is_some()
}

/// Sizes a map for the networks of one family; the kernel wants room for one at least.
fn make_room(map: &mut OpenMapMut<'_>, list: &[Prefix], v6: bool) -> Result<()> {
    let count = of_family(list, v6).count().max(1);
    map.set_max_entries(u32::try_from(count).context("too many networks")?)?;
    Ok(())
}

fn fill(map: &impl MapCore, list: &[Prefix], v6: bool) -> Result<()> {
    for network in of_family(list, v6) {
        // struct network4 and network6 of bpf/filter.h.
        let mut key = u32::from(network.length).to_ne_bytes().to_vec();
        match network.address {
            IpAddr::V4(address) => key.extend(address.octets()),
            IpAddr::V6(address) => key.extend(address.octets()),
        }
        map.update(&key, &[1], MapFlags::ANY).with_context(|| {
            let Prefix { address, length } = network;
            format!("could not put {address}/{length} into the capture filter")
        })?;
    }
    Ok(())
}

/// Index into `verdicts` (enum verdict, bpf/filter.h).
const IGNORED: u32 = 0;
const NOT_IP: u32 = 1;

/// A verdict's count, of all CPUs.
fn count(verdicts: &MapHandle, index: u32) -> Result<Count> {
    let cpus = verdicts
        .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)
        .context("could not read the capture filter's counts")?
        .unwrap_or_default();
    let mut sum = Count::default();
    for cpu in &cpus {
        // struct verdict_count: packets, bytes.
        if let (Some(packets), Some(bytes)) = (cpu.first_chunk(), cpu.last_chunk()) {
            sum.packets += u64::from_ne_bytes(*packets);
            sum.bytes += u64::from_ne_bytes(*bytes);
        }
    }
    Ok(sum)
}

/// Why there is no filter, for lists that cannot do without.
fn explain(error: anyhow::Error) -> anyhow::Error {
    if capability::missing().contains(&"CAP_BPF") {
        return anyhow::anyhow!(
            "lists of networks need the eBPF filter, and that CAP_BPF, which is missing; run it by \
             `sudo`, or grant it by `setcap cap_net_raw,cap_bpf=ep $(command -v netmon)`"
        );
    }
    error.context("the kernel refused the capture filter (-v shows why)")
}
