//! The life of the kernel programs: open, load, attach, pin, detach.
//!
//! Everything that can fail fails here, on the caller's thread, with a line
//! that says what to do. What the maps hold is read by `drain`.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{ErrorKind, Link, MapHandle, ProgramMut};

use super::batch::{ProgramStatistics, statistics};
pub use super::plan::Plan;
use super::skeleton::{NetmonSkel, NetmonSkelBuilder};
use super::{capability, clock, libbpf_log, preemption};
use crate::model::snapshot::Engine;

/// What to load.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Plans in order of preference; the first that loads is used.
    pub plans: Vec<Plan>,
    /// Entries of `traffic_map` and `anomaly_map`.
    pub max_flows: u32,
    /// Directory on bpffs under which the four maps are pinned while netmon runs.
    pub pin: Option<PathBuf>,
}

/// The maps user space reads or writes.
#[derive(Debug)]
pub struct Maps {
    /// Flow key → `traffic`.
    pub traffic: MapHandle,
    /// Slot → `process`.
    pub processes: MapHandle,
    /// Process key → slot.
    pub process_slots: MapHandle,
    /// Slots to use again.
    pub free_slots: MapHandle,
    /// 0 → number of slots ever handed out.
    pub slots_used: MapHandle,
    /// Protocol index → per-CPU `totals`.
    pub protocols: MapHandle,
    /// Flow key → smoothed bytes/s.
    pub anomalies: MapHandle,
    /// 0 → per-CPU `losses`.
    pub losses: MapHandle,
    /// Ring of `socket_key`s: connections that closed.
    pub closed: MapHandle,
}

/// Loaded and attached programs; dropping it detaches and unpins them.
#[derive(Debug)]
pub struct Accounting {
    /// The plan that loaded.
    pub plan: Plan,
    /// What it can and cannot see here.
    pub engine: Arc<Engine>,
    /// Their maps.
    pub maps: Maps,
    links: Vec<Link>,
    programs: Vec<(&'static str, OwnedFd)>,
    pins: Vec<PathBuf>,
    /// Directories made for the pins, inner ones first.
    directories: Vec<PathBuf>,
}

impl Accounting {
    /// Loads and attaches the first of the plans that this kernel accepts.
    ///
    /// # Errors
    /// One line for a person: the missing privilege, kernel feature or memory,
    /// and what to do about it.
    pub fn open(settings: &Settings) -> Result<Accounting> {
        libbpf_log::collect();
        check_prerequisites()?;
        let mut failure = None;
        for &plan in &settings.plans {
            libbpf_log::clear();
            if plan == Plan::Functions
                && let Err(error) = check_preemption()
            {
                failure = Some(error);
                continue;
            }
            match load_most(plan, settings) {
                Ok(mut accounting) => {
                    if let Some(directory) = &settings.pin {
                        accounting.pin(directory)?;
                    }
                    return Ok(accounting);
                }
                // Another plan needs as much; where it then happened to fit, it
                // would have taken the place of a better one unnoticed.
                Err(error) if kind_of(&error) == Some(ErrorKind::OutOfMemory) => {
                    return Err(explain(plan, error));
                }
                Err(error) => failure = Some(explain(plan, error)),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow!("no engine was asked for")))
    }

    /// Name and statistics of each attached program.
    pub fn statistics(&self) -> Vec<(&'static str, ProgramStatistics)> {
        self.programs
            .iter()
            .filter_map(|(name, fd)| Some((*name, statistics(fd.as_fd()).ok()?)))
            .collect()
    }

    /// Runs that the kernel skipped, of all programs but the two that are told of closed
    /// connections: each of these takes what the other was skipped for.
    pub fn recursion_misses(&self) -> u64 {
        self.statistics()
            .iter()
            .filter(|(name, _)| *name != CLOSING)
            .map(|(_, statistics)| statistics.recursion_misses)
            .sum()
    }

    /// Detaches every program; the maps stay readable and no longer change.
    pub fn detach(&mut self) {
        self.links.clear();
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        for pin in &self.pins {
            // The file may have been removed by hand, which is what we want.
            let _ = fs::remove_file(pin);
        }
        for directory in &self.directories {
            // One that somebody else uses by now is not empty, and stays.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The tracepoint of the two programs of which one interrupts the other.
pub const CLOSING: &str = "inet_sock_set_state";

/// The way out where no tracing is allowed.
const OTHERWISE: &str = "or --engine packet, which estimates from captured packets";

fn check_prerequisites() -> Result<()> {
    let missing = capability::missing();
    if !missing.is_empty() {
        bail!(
            "not permitted to trace the kernel: {} missing; run `sudo netmon`, or grant the binary \
             `setcap cap_bpf,cap_perfmon=ep $(command -v netmon)`; {OTHERWISE}",
            missing.join(" and ")
        );
    }
    if !capability::has_btf() {
        bail!(
            "this kernel ({}) has no type information: {} is missing; use a kernel built with \
             CONFIG_DEBUG_INFO_BTF=y (every current distribution's is); {OTHERWISE}",
            capability::kernel_release(),
            capability::BTF
        );
    }
    Ok(())
}

/// Programs on functions would miss events where they can be preempted.
fn check_preemption() -> Result<()> {
    match preemption::is_possible() {
        Some(false) => Ok(()),
        Some(true) => bail!(
            "programs on the sockets' functions would miss events, as this kernel preempts itself; \
             boot it with preempt=voluntary for them"
        ),
        None => bail!(
            "programs on the sockets' functions would miss events if this kernel preempts itself, \
             which cannot be read here: run netmon as root, with debugfs mounted"
        ),
    }
}

/// The plan whole, or without the programs for io_uring's splice if only these fail.
fn load_most(plan: Plan, settings: &Settings) -> Result<Accounting> {
    match load(plan, settings, true) {
        Err(error)
            if plan.sees_ring_splice()
                && !libbpf_log::lacks_tracepoints()
                && kind_of(&error) != Some(ErrorKind::OutOfMemory) =>
        {
            load(plan, settings, false).map_err(|_| error)
        }
        result => result,
    }
}

fn load(plan: Plan, settings: &Settings, with_ring: bool) -> Result<Accounting> {
    let mut storage = MaybeUninit::uninit();
    let mut open = NetmonSkelBuilder::default()
        .open(&mut storage)
        .context("could not open the kernel programs")?;

    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .context("the kernel programs have no settings")?;
    rodata.tick_ns = clock::tick_ns();
    rodata.boot_jiffies = clock::boot_jiffies(rodata.tick_ns);
    rodata.socket_layer_counts = plan.uses_socket_layer();
    rodata.syscalls_are_armed = plan.uses_syscalls();
    rodata.completions_count = with_ring && plan.counts_completions();
    open.maps.traffic_map.set_max_entries(settings.max_flows)?;
    open.maps.anomaly_map.set_max_entries(settings.max_flows)?;
    plan.select(with_ring, &mut open.progs)?;

    let skeleton = open.load()?;
    let maps = maps_of(&skeleton)?;
    let (links, programs) = attach(&skeleton)?;
    Ok(Accounting {
        plan,
        engine: Arc::new(if with_ring {
            plan.engine()
        } else {
            plan.engine_without_ring()
        }),
        maps,
        links,
        programs,
        pins: Vec::new(),
        directories: Vec::new(),
    })
}

fn maps_of(skeleton: &NetmonSkel<'_>) -> Result<Maps> {
    let maps = &skeleton.maps;
    Ok(Maps {
        traffic: MapHandle::try_from(&maps.traffic_map)?,
        processes: MapHandle::try_from(&maps.pid_stats)?,
        process_slots: MapHandle::try_from(&maps.process_slots)?,
        free_slots: MapHandle::try_from(&maps.free_slots)?,
        slots_used: MapHandle::try_from(&maps.slots_used)?,
        protocols: MapHandle::try_from(&maps.protocol_totals)?,
        anomalies: MapHandle::try_from(&maps.anomaly_map)?,
        losses: MapHandle::try_from(&maps.losses)?,
        closed: MapHandle::try_from(&maps.closed)?,
    })
}

type Attached = (Vec<Link>, Vec<(&'static str, OwnedFd)>);

/// Attaches what reports ends first and what arms threads last, so that no call
/// is armed before everything that completes it is there. Links are dropped,
/// hence detached, in the opposite order of need: the last call armed is
/// completed by programs that are still attached.
fn attach(skeleton: &NetmonSkel<'_>) -> Result<Attached> {
    let programs = &skeleton.progs;
    let mut wanted: Vec<(&'static str, &ProgramMut<'_>)> = vec![
        ("sched_process_exit", &programs.on_exit),
        (CLOSING, &programs.on_state),
        (CLOSING, &programs.on_state_beside),
        ("io_uring_complete", &programs.on_ring_complete),
        ("tcp_rcv_space_adjust", &programs.on_receive_space),
        ("sys_exit", &programs.on_sys_exit),
        ("sock_send_length", &programs.on_sock_send),
        ("sock_recv_length", &programs.on_sock_recv),
        ("inet_sendmsg", &programs.on_inet_send),
        ("inet6_sendmsg", &programs.on_inet6_send),
        ("inet_sendpage", &programs.on_inet_page),
        ("packet_sendmsg", &programs.on_packet_send),
        ("inet_recvmsg", &programs.on_inet_recv),
        ("inet6_recvmsg", &programs.on_inet6_recv),
        ("sock_common_recvmsg", &programs.on_common_recv),
        ("packet_recvmsg", &programs.on_packet_recv),
        ("sys_enter", &programs.on_sys_enter),
    ];
    wanted.retain(|(_, program)| program.autoload());
    let mut links = Vec::new();
    let mut fds = Vec::new();
    for (name, program) in wanted {
        let link = program
            .attach()
            .with_context(|| format!("could not attach to {name}"))?;
        links.insert(0, link);
        fds.push((name, program.as_fd().try_clone_to_owned()?));
    }
    Ok((links, fds))
}

impl Accounting {
    fn pin(&mut self, directory: &Path) -> Result<()> {
        self.directories = directory
            .ancestors()
            .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
            .map(Path::to_path_buf)
            .collect();
        fs::create_dir_all(directory).with_context(|| {
            format!(
                "--pin {}: could not create it; it must lie on bpffs (`mount -t bpf bpf /sys/fs/bpf`)",
                directory.display()
            )
        })?;
        let maps = [
            ("traffic_map", &mut self.maps.traffic),
            ("pid_stats", &mut self.maps.processes),
            ("protocol_totals", &mut self.maps.protocols),
            ("anomaly_map", &mut self.maps.anomalies),
        ];
        let all = maps.each_ref().map(|(name, _)| *name).join(",");
        for (name, map) in maps {
            let path = directory.join(name);
            map.pin(&path).with_context(|| {
                if path.exists() {
                    format!(
                        "--pin: {} exists; another netmon uses it, or was killed: then \
                         `rm {}/{{{all}}}`",
                        path.display(),
                        directory.display()
                    )
                } else {
                    format!(
                        "--pin {}: could not pin {name}; the directory must lie on bpffs \
                         (`mount -t bpf bpf /sys/fs/bpf`)",
                        directory.display()
                    )
                }
            })?;
            self.pins.push(path);
        }
        Ok(())
    }
}

/// What kind of error the kernel answered with, where it was the kernel.
fn kind_of(error: &anyhow::Error) -> Option<ErrorKind> {
    let error = error.downcast_ref::<libbpf_rs::Error>()?;
    Some(error.kind())
}

/// Turns what the kernel answered into what a person can do about it.
fn explain(plan: Plan, error: anyhow::Error) -> anyhow::Error {
    let kernel = capability::kernel_release();
    let Some(kind) = kind_of(&error) else {
        return error;
    };
    let advice = match kind {
        ErrorKind::OutOfMemory => {
            "the kernel refused memory for the maps; try a smaller --max-flows".to_owned()
        }
        ErrorKind::PermissionDenied if capability::in_user_namespace() => {
            "not permitted to trace the kernel from within a user namespace (a rootless \
             container?); run netmon outside of it, as root"
                .to_owned()
        }
        ErrorKind::PermissionDenied => format!(
            "the kernel refused the programs; lockdown is {}, and `netmon doctor` tells what else \
             is needed; {OTHERWISE}",
            capability::lockdown().unwrap_or_else(|| "off".to_owned())
        ),
        _ if libbpf_log::lacks_tracepoints() => format!(
            "the tracepoints sock_send_length and sock_recv_length are missing, which Linux has \
             since 6.3 (this is {kernel}){}",
            match plan {
                Plan::Socket => "; --engine syscall does without them",
                _ => "",
            }
        ),
        _ => format!(
            "kernel {kernel} did not accept netmon's programs, which need Linux 6.1 or newer (known \
             to work up to 6.18); -v shows the verifier's words"
        ),
    };
    error.context(advice)
}
