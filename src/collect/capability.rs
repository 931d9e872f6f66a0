//! What this process may do and this kernel offers, as far as netmon needs it.
//!
//! Looks only at files under `/proc` and `/sys`; loads nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Kernel type information, without which nothing can be relocated.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Bit numbers of include/uapi/linux/capability.h.
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The effective capabilities of this process, as a bit set.
pub fn effective() -> u64 {
    status_field("/proc/self/status", "CapEff")
        .and_then(|hex| u64::from_str_radix(&hex, 16).ok())
        .unwrap_or(0)
}

fn status_field(path: &str, field: &str) -> Option<String> {
    let status = fs::read_to_string(path).ok()?;
    status.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == field).then(|| value.trim().to_owned())
    })
}

/// The capabilities that tracing BPF programs need and this process lacks.
pub fn missing() -> Vec<&'static str> {
    missing_of(effective())
}

fn missing_of(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|&(bit, _)| !has(bit))
        .map(|(_, name)| name)
        .collect()
}

/// The capabilities that sampling interfaces needs and this process lacks.
pub fn missing_for_interfaces() -> Vec<&'static str> {
    missing_for_interfaces_of(effective())
}

fn missing_for_interfaces_of(effective: u64) -> Vec<&'static str> {
    let mut missing = missing_of(effective);
    // CAP_SYS_ADMIN does not stand for this one.
    if effective & (1 << CAP_NET_ADMIN) == 0 {
        missing.insert(0, "CAP_NET_ADMIN");
    }
    missing
}

/// True if this process may capture packets.
pub fn captures() -> bool {
    effective() & (1 << CAP_NET_RAW) != 0
}

/// True if the open files of every user's processes may be looked at.
pub fn sees_all_processes() -> bool {
    sees_all_with(effective())
}

fn sees_all_with(effective: u64) -> bool {
    let has = |bit: u32| effective & (1 << bit) != 0;
    has(CAP_SYS_PTRACE) && (has(CAP_DAC_READ_SEARCH) || has(CAP_DAC_OVERRIDE))
}

/// The PID namespace that the machine began with (`PROC_PID_INIT_INO`,
/// include/linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// True if every process of the machine is listed in `/proc`: this is the first PID
/// namespace, and nothing is left out (`hidepid`).
pub fn lists_all_processes() -> bool {
    let namespace = fs::metadata("/proc/self/ns/pid");
    let is_first = namespace.is_ok_and(|it| it.ino() == FIRST_PID_NAMESPACE);
    is_first && Path::new("/proc/1").exists()
}

/// True inside a user namespace other than the first, such as a rootless
/// container: capabilities held there count for nothing towards tracing.
pub fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_whole(&map))
}

/// True for the map of the first user namespace: every id, each as itself.
fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// True if the kernel was built with type information (CONFIG_DEBUG_INFO_BTF).
pub fn has_btf() -> bool {
    Path::new(BTF).exists()
}

/// The kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// The lockdown level in force, `None` where the kernel has no lockdown.
pub fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, rest) = text.split_once('[')?;
    let (level, _) = rest.split_once(']')?;
    Some(level.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_user_namespace_has_every_id() {
        assert!(is_whole("         0          0 4294967295\n"));
        assert!(!is_whole("         0       1000          1\n"));
    }

    #[test]
    fn other_processes_take_two_capabilities() {
        let ptrace = 1 << CAP_SYS_PTRACE;
        assert!(sees_all_with(ptrace | 1 << CAP_DAC_READ_SEARCH));
        assert!(sees_all_with(ptrace | 1 << CAP_DAC_OVERRIDE));
        assert!(!sees_all_with(ptrace));
        assert!(!sees_all_with(1 << CAP_DAC_OVERRIDE | 1 << CAP_SYS_ADMIN));
    }

    #[test]
    fn sys_admin_stands_for_both() {
        assert!(missing_of(1 << CAP_SYS_ADMIN).is_empty());
        assert!(missing_of(1 << CAP_BPF | 1 << CAP_PERFMON).is_empty());
        assert_eq!(missing_of(1 << CAP_BPF), ["CAP_PERFMON"]);
        assert_eq!(missing_of(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(
            missing_for_interfaces_of(1 << CAP_SYS_ADMIN),
            ["CAP_NET_ADMIN"]
        );
        assert_eq!(missing_for_interfaces_of(1 << CAP_NET_ADMIN).len(), 2);
    }
}
