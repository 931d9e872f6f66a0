//! The programs' way into the kernel, and what to do when it refuses them.
//!
//! Attaches nothing.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{ErrorKind, MapHandle};

use super::attach::Programs;
use super::skeleton::XdpSkelBuilder;
use crate::collect::{capability, libbpf_log};

/// Loads the programs with room for `max_flows` flows; 0 for none. Returns the flows'
/// map, too.
///
/// # Errors
/// One line for a person.
pub fn load(max_flows: u32) -> Result<(Programs, MapHandle)> {
    libbpf_log::collect();
    libbpf_log::clear();
    check_prerequisites()?;
    load_programs(max_flows).map_err(explain)
}

fn load_programs(max_flows: u32) -> Result<(Programs, MapHandle)> {
    let mut storage = MaybeUninit::uninit();
    let mut open = XdpSkelBuilder::default()
        .open(&mut storage)
        .context("could not open the programs for interfaces")?;
    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .context("the programs for interfaces have no settings")?;
    rodata.flows_are_counted = max_flows > 0;
    open.maps.flows.set_max_entries(max_flows.max(1))?;
    let skeleton = open.load()?;
    let programs = Programs {
        xdp: skeleton.progs.on_ingress.as_fd().try_clone_to_owned()?,
        ingress: skeleton.progs.on_ingress_tc.as_fd().try_clone_to_owned()?,
        egress: skeleton.progs.on_egress.as_fd().try_clone_to_owned()?,
        interfaces: MapHandle::try_from(&skeleton.maps.interfaces)?,
        number: None,
    };
    Ok((programs, MapHandle::try_from(&skeleton.maps.flows)?))
}

fn check_prerequisites() -> Result<()> {
    let missing = capability::missing_for_interfaces();
    if !missing.is_empty() {
        bail!(
            "not permitted to sample interfaces: {} missing; run it by `sudo`, or grant the \
             binary `setcap cap_net_admin,cap_bpf,cap_perfmon=ep $(command -v netmon)`",
            missing.join(" and ")
        );
    }
    if !capability::has_btf() {
        bail!(
            "this kernel ({}) has no type information: {} is missing; use a kernel built with \
             CONFIG_DEBUG_INFO_BTF=y (every current distribution's is)",
            capability::kernel_release(),
            capability::BTF
        );
    }
    Ok(())
}

/// Turns what the kernel answered into what a person can do about it.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let Some(kind) = error.downcast_ref().map(libbpf_rs::Error::kind) else {
        return error;
    };
    let advice = match kind {
        ErrorKind::OutOfMemory => {
            "the kernel refused memory for the sampler's maps; keep fewer flows".to_owned()
        }
        ErrorKind::PermissionDenied if capability::in_user_namespace() => {
            "not permitted to sample interfaces from within a user namespace (a rootless \
             container?); run netmon outside of it, as root"
                .to_owned()
        }
        ErrorKind::PermissionDenied => format!(
            "the kernel refused the programs for interfaces; lockdown is {}, and `netmon doctor` \
             tells what else is needed",
            capability::lockdown().unwrap_or_else(|| "off".to_owned())
        ),
        _ => format!(
            "kernel {} did not accept netmon's programs for interfaces, which need Linux 6.1 or \
             newer (known to work up to 6.18); -v shows the verifier's words",
            capability::kernel_release()
        ),
    };
    error.context(advice)
}
