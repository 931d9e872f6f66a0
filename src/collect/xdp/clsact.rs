//! Before Linux 6.6, which has no tcx links: filters on a clsact qdisc.
//!
//! A filter outlives its program's owner. So that one left by a netmon that was killed
//! can be told from one in use, each netmon takes a number that it holds by a socket:
//! a filter whose number nobody holds is nobody's.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context, Result, bail};

use super::sys::{FilterPlace, Way, program_name};
use crate::collect::rtnetlink;

/// The first that is free: behind a filter that decides on a packet ours would not see
/// it, and ours decides on none. One priority has filters of one kind.
const PRIORITIES: std::ops::RangeInclusive<u32> = 1..=4;
/// `nm` before the number of a filter: a handle that is ours alone.
const HANDLES: u32 = 0x6e6d_0000;
/// How many netmons can do so at once in a network namespace.
const NUMBERS: u32 = 16;
/// Our programs' names in the kernel.
const PROGRAMS: [&str; 2] = ["on_egress", "on_ingress_tc"];
/// `TC_H_CLSACT` with `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`.
const PARENTS: [u32; 2] = [0xffff_fff2, 0xffff_fff3];

/// A number that is ours as long as this lives. Abstract names belong to the network
/// namespace, as the interfaces do, and vanish with their holder.
#[derive(Debug)]
pub struct Number {
    number: u32,
    _held: UnixDatagram,
}

fn hold(number: u32) -> io::Result<UnixDatagram> {
    let name = format!("netmon-egress-{number}");
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

impl Number {
    /// The first that nobody holds.
    ///
    /// # Errors
    /// If there is none.
    pub fn take() -> Result<Number> {
        for number in 1..=NUMBERS {
            if let Ok(held) = hold(number) {
                return Ok(Number {
                    number,
                    _held: held,
                });
            }
        }
        bail!("{NUMBERS} netmons sample interfaces already; end one")
    }
}

/// A filter on its interface; dropping it removes it, and the qdisc if that is ours.
#[derive(Debug)]
pub struct Filter {
    place: FilterPlace,
    /// The qdisc is there for our sake.
    is_our_qdisc: bool,
}

impl Filter {
    /// Attaches `program`, after removing what killed ones have left.
    ///
    /// # Errors
    /// If the kernel refuses, or others are in every place of ours.
    pub fn attach(
        program: BorrowedFd<'_>,
        index: u32,
        way: Way,
        number: &Number,
    ) -> Result<Filter> {
        let place = |priority, number| FilterPlace {
            index,
            way,
            handle: HANDLES | number,
            priority,
        };
        let mut is_our_qdisc = place(0, 0).add_qdisc().context("no clsact qdisc")?;
        if !is_our_qdisc {
            check_qdisc(index)?;
            for priority in PRIORITIES {
                for handle in 1..=NUMBERS {
                    let is_ours = handle == number.number;
                    is_our_qdisc |= remove_left(place(priority, handle), is_ours)?;
                }
            }
        }
        // The last refusal is told.
        let attach = |priority| {
            let place = place(priority, number.number);
            place.attach(program).map(|()| place)
        };
        let mut attached = attach(*PRIORITIES.start());
        for priority in PRIORITIES.skip(1) {
            attached = attached.or_else(|_| attach(priority));
        }
        Ok(Filter {
            place: attached.context("no place for a tc filter")?,
            is_our_qdisc,
        })
    }

    /// Whether no other filter can have decided on a packet before.
    pub fn is_first(&self) -> bool {
        self.place.priority == *PRIORITIES.start()
    }

    /// Whether it is still there.
    pub fn is_there(&self) -> bool {
        self.place.program().is_some()
    }
}

/// Refuses the older qdisc that has no side for what goes out, on which a filter for that
/// would see what comes in.
fn check_qdisc(index: u32) -> Result<()> {
    match rtnetlink::ingress_qdisc(index)?.as_deref() {
        Some("ingress") => bail!(
            "it has an ingress qdisc, beside which there is no place for what goes out before \
             Linux 6.6; have a clsact qdisc in its place, which takes the same filters, or leave \
             it out by --iface"
        ),
        _ => Ok(()),
    }
}

/// Removes a filter that its netmon has left. True if there was one: its qdisc is
/// then taken for that netmon's, too.
fn remove_left(place: FilterPlace, is_ours: bool) -> Result<bool> {
    let Some(id) = place.program() else {
        return Ok(false);
    };
    let is_held = !is_ours && hold(place.handle & !HANDLES).is_err();
    let is_netmons = program_name(id).is_some_and(|name| PROGRAMS.contains(&&*name));
    if is_held || !is_netmons {
        return Ok(false);
    }
    place.detach().context("a filter left behind stays")?;
    Ok(true)
}

impl Drop for Filter {
    fn drop(&mut self) {
        // The interface may have gone, and with it all this.
        let _ = self.place.detach();
        let is_used = |parent| rtnetlink::has_filters(self.place.index, parent).unwrap_or(true);
        if self.is_our_qdisc && !PARENTS.into_iter().any(is_used) {
            let _ = self.place.remove_qdisc();
        }
    }
}
