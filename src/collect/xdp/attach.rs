//! The programs on one interface: attached, told why not, detached.
//!
//! Which interfaces, and when, is `mod.rs`'s business.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use libbpf_rs::MapHandle;

use super::clsact::{Filter, Number};
use super::mode::{self, Choice, Place};
use super::sys::Way;
use super::{Mode, counters, sys};
use crate::model::interface::Hook;
use crate::model::network::Link;

/// What the programs need to be attached.
#[derive(Debug)]
pub struct Programs {
    /// XDP.
    pub xdp: OwnedFd,
    /// tc, for what comes in where XDP would be in the way.
    pub ingress: OwnedFd,
    /// tc, for what goes out.
    pub egress: OwnedFd,
    /// Map `interfaces`.
    pub interfaces: MapHandle,
    /// Held once the kernel has turned out to have no tcx links.
    pub number: Option<Number>,
}

/// A program on an interface, as long as this lives.
#[derive(Debug)]
enum Hold {
    /// An XDP or tcx link.
    Link(OwnedFd),
    /// A filter.
    Clsact(Filter),
}

impl Hold {
    /// What a tc program is held by, in words.
    fn name(&self) -> &'static str {
        match self {
            Hold::Link(_) => "tcx",
            Hold::Clsact(filter) if filter.is_first() => "tc clsact",
            Hold::Clsact(_) => "tc clsact behind other filters",
        }
    }

    /// Whether it is still on that interface.
    fn is_there(&self, index: u32) -> bool {
        match self {
            Hold::Link(link) => sys::interface_of(link.as_fd()).ok() == Some(index),
            Hold::Clsact(filter) => filter.is_there(),
        }
    }
}

/// One interface with our programs; dropping it detaches them.
#[derive(Debug)]
pub struct Attached {
    /// `ifindex`.
    pub index: u32,
    /// How.
    pub hook: Arc<Hook>,
    /// Before the other, which may have made the qdisc of both.
    ingress: Hold,
    egress: Hold,
    programs: Arc<Programs>,
}

impl Attached {
    /// Attaches to `link`; its counters begin at 0.
    ///
    /// # Errors
    /// One line for a person that begins with the interface's name.
    pub fn new(programs: &Arc<Programs>, link: &Link, mode: Mode) -> Result<Attached> {
        let choice = mode::choose(mode, link, driver(&link.name).as_deref());
        let settings = mode::settings(link, choice.place);
        counters::begin(&programs.interfaces, link.index, &settings)?;
        // What goes out first, as dropping it may take the qdisc away.
        let attached = attach_tc(programs, link, Way::Out)
            .and_then(|egress| Ok((attach_ingress(programs, link, choice.place)?, egress)));
        match attached {
            Ok((ingress, egress)) => Ok(Attached {
                index: link.index,
                hook: Arc::new(hook(&choice, &ingress, &egress)),
                ingress,
                egress,
                programs: Arc::clone(programs),
            }),
            Err(error) => {
                counters::end(&programs.interfaces, link.index);
                Err(error)
            }
        }
    }

    /// Whether both programs are still on it: a new interface may have the index of one
    /// that was deleted, and others may have detached them.
    pub fn is_there(&self) -> bool {
        self.ingress.is_there(self.index) && self.egress.is_there(self.index)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        counters::end(&self.programs.interfaces, self.index);
    }
}

fn hook(choice: &Choice, ingress: &Hold, egress: &Hold) -> Hook {
    Hook {
        ingress: choice.place.xdp().unwrap_or(ingress.name()).to_owned(),
        egress: egress.name().to_owned(),
        reason: choice.reason.clone(),
    }
}

fn attach_ingress(programs: &Programs, link: &Link, place: Place) -> Result<Hold> {
    let in_driver = match place {
        Place::Native => true,
        Place::Generic => false,
        Place::Tc => return attach_tc(programs, link, Way::In),
    };
    sys::attach_xdp(programs.xdp.as_fd(), link.index, in_driver)
        .map(Hold::Link)
        .map_err(|error| explain(error, link, place))
}

fn attach_tc(programs: &Programs, link: &Link, way: Way) -> Result<Hold> {
    let program = match way {
        Way::In => programs.ingress.as_fd(),
        Way::Out => programs.egress.as_fd(),
    };
    let held = match &programs.number {
        None => sys::attach_tcx(program, link.index, way)
            .map(Hold::Link)
            .context("the kernel refused a tcx program"),
        Some(number) => Filter::attach(program, link.index, way, number).map(Hold::Clsact),
    };
    held.with_context(|| link.name.to_string())
}

/// Whether this kernel has tcx links, tried where no interface is: one that has them
/// misses the interface, one that has not does not know what is meant.
pub fn has_tcx(programs: &Programs) -> bool {
    match sys::attach_tcx(programs.egress.as_fd(), i32::MAX as u32, Way::Out) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(libc::ENODEV),
    }
}

/// The name of a card's driver. Read where this namespace's interfaces are: a name that
/// sysfs, which may show another one, does not know has none.
pub fn driver(name: &str) -> Option<String> {
    let path = fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// Whether there was no such interface any more.
pub fn is_gone(error: &anyhow::Error) -> bool {
    let error: Option<&io::Error> = error.root_cause().downcast_ref();
    error.and_then(io::Error::raw_os_error) == Some(libc::ENODEV)
}

/// Turns what the kernel answered into what a person can do about it.
fn explain(error: io::Error, link: &Link, place: Place) -> anyhow::Error {
    let name = &link.name;
    match error.raw_os_error() {
        Some(libc::ENODEV) => anyhow::Error::new(error).context(name.to_string()),
        Some(libc::EBUSY | libc::EEXIST) => anyhow!(
            "{name} has an XDP program of another owner already{}, which netmon leaves in place; \
             {}, or use --xdp auto, which works beside it",
            owners(link.index),
            way_off(link)
        ),
        Some(libc::EOPNOTSUPP) if place == Place::Native => anyhow!(
            "{name} cannot have a native XDP program: its driver knows none, or not with its \
             present offloads and MTU; use --xdp auto or --xdp generic"
        ),
        Some(libc::EPERM | libc::EACCES) => anyhow!(
            "not permitted to attach to {name}; run netmon as root, outside of any user namespace"
        ),
        _ if place == Place::Native => anyhow!(
            "{name}'s driver refused a native XDP program ({error}), often for its MTU or its \
             number of queues; use --xdp auto or --xdp generic"
        ),
        _ => anyhow!(
            "the kernel refused an XDP program on {name} ({error}); leave it out by --iface"
        ),
    }
}

/// How another owner's XDP program is taken off: a link only by who holds it.
fn way_off(link: &Link) -> String {
    let programs = sys::xdp_programs(link.index).unwrap_or_default();
    match programs.first() {
        Some((word, id)) if !sys::is_held_by_link(link.index, *id) => {
            format!("`ip link set dev {} {word} off` takes it off", link.name)
        }
        _ => "end its owner".to_owned(),
    }
}

/// ` (name, id 7)`, as far as it can be had.
fn owners(index: u32) -> String {
    let programs = sys::xdp_programs(index).unwrap_or_default();
    let words: Vec<String> = programs
        .iter()
        .map(|(_, id)| match sys::program_name(*id) {
            Some(name) if !name.is_empty() => format!("`{name}`, id {id}"),
            _ => format!("id {id}"),
        })
        .collect();
    if words.is_empty() {
        return String::new();
    }
    format!(" ({})", words.join("; "))
}
