//! The calls of libbpf that libbpf-rs does not offer in the form needed here: XDP and
//! tcx links, tc filters, who is attached.
//!
//! Thin and safe; knows no policy. Every error is the kernel's errno.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;
use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo, ProgInfoIter};

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Into the machine.
    In,
    /// Out of it.
    Out,
}

fn check(code: i32) -> io::Result<i32> {
    if code < 0 {
        return Err(io::Error::from_raw_os_error(-code));
    }
    Ok(code)
}

fn link(program: BorrowedFd<'_>, index: u32, kind: u32, flags: u32) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        flags,
        ..Default::default()
    };
    // SAFETY: the program is open, `options` is whole and all zero but for its flags.
    let code = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            index.cast_signed(),
            kind,
            &raw const options,
        )
    };
    let fd = check(code)?;
    // SAFETY: it is a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches an XDP program, in the driver or after it, until the link is closed, by
/// whatever end.
pub fn attach_xdp(program: BorrowedFd<'_>, index: u32, in_driver: bool) -> io::Result<OwnedFd> {
    let flags = match in_driver {
        true => libbpf_sys::XDP_FLAGS_DRV_MODE,
        false => libbpf_sys::XDP_FLAGS_SKB_MODE,
    };
    link(program, index, libbpf_sys::BPF_XDP, flags)
}

/// Attaches a tc program to what goes that way, before all others, until the link is
/// closed. Linux 6.6 and later; `EINVAL` before.
pub fn attach_tcx(program: BorrowedFd<'_>, index: u32, way: Way) -> io::Result<OwnedFd> {
    let kind = match way {
        Way::In => libbpf_sys::BPF_TCX_INGRESS,
        Way::Out => libbpf_sys::BPF_TCX_EGRESS,
    };
    link(program, index, kind, libbpf_sys::BPF_F_BEFORE)
}

/// The interface that an XDP or tcx link is on, 0 if it no longer is.
pub fn interface_of(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = libbpf_sys::bpf_link_info::default();
    // The struct is a few dozen bytes.
    let mut length = size_of_val(&info) as u32;
    // SAFETY: the link is open; pointer and length describe one bpf_link_info, all zero,
    // which asks for no arrays.
    let code = unsafe {
        libbpf_sys::bpf_link_get_info_by_fd(link.as_raw_fd(), &raw mut info, &raw mut length)
    };
    check(code)?;
    // SAFETY: every variant is plain integers; those of XDP and tcx begin with the index.
    Ok(unsafe { info.__bindgen_anon_1.xdp.ifindex })
}

/// The XDP programs on an interface: the word by which `ip` takes each off, and its id.
pub fn xdp_programs(index: u32) -> io::Result<Vec<(&'static str, u32)>> {
    let mut options = libbpf_sys::bpf_xdp_query_opts {
        sz: size_of::<libbpf_sys::bpf_xdp_query_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    // SAFETY: `options` is whole, its size in it.
    let code = unsafe { libbpf_sys::bpf_xdp_query(index.cast_signed(), 0, &raw mut options) };
    check(code)?;
    let mut programs = vec![
        ("xdpdrv", options.drv_prog_id),
        ("xdpgeneric", options.skb_prog_id),
        ("xdpoffload", options.hw_prog_id),
    ];
    programs.retain(|(_, id)| *id != 0);
    Ok(programs)
}

/// Whether a link holds that XDP program on an interface: `ip` cannot take that one off.
pub fn is_held_by_link(index: u32, program: u32) -> bool {
    LinkInfoIter::default().any(|link| match link.info {
        LinkTypeInfo::Xdp(xdp) => xdp.ifindex == index && link.prog_id == program,
        _ => false,
    })
}

/// The name of a loaded program; `None` if it has gone or may not be looked at.
pub fn program_name(id: u32) -> Option<String> {
    let info = ProgInfoIter::default().find(|info| info.id == id)?;
    Some(info.name.to_string_lossy().into_owned())
}

/// Where a filter of ours hangs on a clsact qdisc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterPlace {
    /// `ifindex` of the interface.
    pub index: u32,
    /// Which way.
    pub way: Way,
    /// Its number among filters of one priority.
    pub handle: u32,
    /// Its priority.
    pub priority: u32,
}

impl FilterPlace {
    fn hook(self) -> libbpf_sys::bpf_tc_hook {
        libbpf_sys::bpf_tc_hook {
            sz: size_of::<libbpf_sys::bpf_tc_hook>() as libbpf_sys::size_t,
            ifindex: self.index.cast_signed(),
            attach_point: match self.way {
                Way::In => libbpf_sys::BPF_TC_INGRESS,
                Way::Out => libbpf_sys::BPF_TC_EGRESS,
            },
            ..Default::default()
        }
    }

    fn options(self) -> libbpf_sys::bpf_tc_opts {
        libbpf_sys::bpf_tc_opts {
            sz: size_of::<libbpf_sys::bpf_tc_opts>() as libbpf_sys::size_t,
            handle: self.handle,
            priority: self.priority,
            ..Default::default()
        }
    }

    /// Adds a clsact qdisc; false if there is one, or an ingress qdisc, already.
    pub fn add_qdisc(self) -> io::Result<bool> {
        let mut hook = self.hook();
        // SAFETY: `hook` is whole, its size in it.
        match check(unsafe { libbpf_sys::bpf_tc_hook_create(&raw mut hook) }) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the clsact qdisc with all that hangs on it.
    pub fn remove_qdisc(self) -> io::Result<()> {
        let mut hook = self.hook();
        hook.attach_point = libbpf_sys::BPF_TC_INGRESS | libbpf_sys::BPF_TC_EGRESS;
        // SAFETY: as above.
        check(unsafe { libbpf_sys::bpf_tc_hook_destroy(&raw mut hook) }).map(drop)
    }

    /// Puts `program` here, in place of what is.
    pub fn attach(self, program: BorrowedFd<'_>) -> io::Result<()> {
        let (hook, mut options) = (self.hook(), self.options());
        options.prog_fd = program.as_raw_fd();
        options.flags = libbpf_sys::BPF_TC_F_REPLACE;
        // SAFETY: both are whole, their sizes in them; the program is open.
        check(unsafe { libbpf_sys::bpf_tc_attach(&raw const hook, &raw mut options) }).map(drop)
    }

    /// Removes the filter that is here.
    pub fn detach(self) -> io::Result<()> {
        let (hook, options) = (self.hook(), self.options());
        // SAFETY: both are whole, their sizes in them.
        check(unsafe { libbpf_sys::bpf_tc_detach(&raw const hook, &raw const options) }).map(drop)
    }

    /// The id of the program that is here, if there is one.
    pub fn program(self) -> Option<u32> {
        let (hook, mut options) = (self.hook(), self.options());
        // SAFETY: both are whole, their sizes in them.
        let code = unsafe { libbpf_sys::bpf_tc_query(&raw const hook, &raw mut options) };
        check(code).ok().map(|_| options.prog_id)
    }
}
