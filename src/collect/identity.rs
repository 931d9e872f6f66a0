//! Who a process is: names, command lines, users and cgroups from `/proc`.
//!
//! Each process is looked up once, and again when it runs another program. A
//! process that is gone before anyone could look keeps what the kernel noted
//! of it when it first moved a byte.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Uid, User};

use super::wire;
use crate::model::cgroup;
use crate::model::flow::ProcessId;
use crate::model::sample::Identity;

/// Longest command line kept, in bytes.
const COMMAND_BYTES: u64 = 4096;
/// Most cgroups looked through for the path of an ended process.
const CGROUPS_SEARCHED: usize = 10_000;
/// `/proc/PID/stat` gives start times in USER_HZ, 100 on every architecture
/// netmon runs on (include/asm-generic/param.h).
pub(super) const NS_PER_USER_TICK: u64 = 10_000_000;

/// What the kernel noted of a process.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Which process.
    pub id: ProcessId,
    /// Changes when the process runs another program.
    pub exec_id: u64,
    /// `comm` of its leader, NUL-terminated, any bytes.
    pub comm: &'a [u8],
    /// Effective user id.
    pub uid: u32,
    /// Id (inode number) of its cgroup in the unified hierarchy.
    pub cgroup_id: u64,
    /// A kernel thread.
    pub kernel_thread: bool,
    /// Already gone.
    pub exited: bool,
}

/// The identities resolved so far.
#[derive(Debug, Default)]
pub struct Identities {
    known: HashMap<ProcessId, (u64, Arc<Identity>)>,
    users: HashMap<u32, String>,
    cgroups: HashMap<u64, Option<String>>,
    may_search: bool,
}

impl Identities {
    /// Nothing known yet.
    pub fn new() -> Identities {
        Identities::default()
    }

    /// Starts a reading: at most one search through the cgroups in each.
    pub fn begin(&mut self) {
        self.may_search = true;
    }

    /// Who `seen` is.
    pub fn of(&mut self, seen: &Seen<'_>) -> Arc<Identity> {
        if let Some((exec_id, identity)) = self.known.get(&seen.id)
            && *exec_id == seen.exec_id
        {
            return Arc::clone(identity);
        }
        let identity = Arc::new(self.resolve(seen));
        self.known
            .insert(seen.id, (seen.exec_id, Arc::clone(&identity)));
        identity
    }

    /// Who that was found to be before, as long as it runs the same program.
    pub fn known(&self, id: &ProcessId, exec_id: u64) -> Option<Arc<Identity>> {
        let (known, identity) = self.known.get(id)?;
        (*known == exec_id).then(|| Arc::clone(identity))
    }

    /// Forgets a process whose entry has left the kernel's map.
    pub fn forget(&mut self, id: &ProcessId) {
        self.known.remove(id);
    }

    fn resolve(&mut self, seen: &Seen<'_>) -> Identity {
        let directory = PathBuf::from(format!("/proc/{}", seen.id.pid));
        let alive = !seen.exited && is_same_process(&directory, seen.id);
        let name = name(seen.comm, alive.then_some(directory.as_path()));
        let command = if seen.kernel_thread {
            format!("[{name}]")
        } else {
            alive
                .then(|| command(&directory))
                .flatten()
                .unwrap_or_else(|| "-".to_owned())
        };
        let cgroup = self.cgroup(seen.cgroup_id, alive.then_some(directory.as_path()));
        Identity {
            name,
            command,
            executable: alive.then(|| executable(&directory)).flatten(),
            uid: seen.uid,
            user: self.user(seen.uid),
            unit: cgroup.as_deref().and_then(cgroup::unit),
            container: cgroup.as_deref().and_then(cgroup::container),
            cgroup,
        }
    }

    fn user(&mut self, uid: u32) -> String {
        self.users
            .entry(uid)
            .or_insert_with(|| match User::from_uid(Uid::from_raw(uid)) {
                Ok(Some(user)) => user.name,
                _ => uid.to_string(),
            })
            .clone()
    }

    /// The path of a cgroup: from a live member, else by its inode number.
    fn cgroup(&mut self, id: u64, process: Option<&Path>) -> Option<String> {
        // A member may have been moved since it was counted, so what it says is
        // its own; only what the inode confirms, or a search found, serves others.
        if let Some(path) = process.and_then(cgroup_of) {
            if !self.cgroups.contains_key(&id) && has_inode(&path, id) {
                self.remember(id, Some(path.clone()));
            }
            return Some(path);
        }
        if let Some(known) = self.cgroups.get(&id) {
            return known.clone();
        }
        if !std::mem::take(&mut self.may_search) {
            return None;
        }
        let path = find_cgroup(id);
        self.remember(id, path.clone());
        path
    }

    fn remember(&mut self, id: u64, path: Option<String>) {
        if self.cgroups.len() >= CGROUPS_SEARCHED {
            self.cgroups.clear();
        }
        self.cgroups.insert(id, path);
    }
}

/// True if `/proc/PID` is still the process that was counted.
fn is_same_process(directory: &Path, id: ProcessId) -> bool {
    fs::read_to_string(directory.join("stat"))
        .ok()
        .and_then(|stat| start_ticks(&stat))
        .is_some_and(|ticks| ticks == id.start_ns / NS_PER_USER_TICK)
}

/// Field 22 of `/proc/PID/stat`; the name in field 2 may hold anything but
/// ends at the last parenthesis.
pub(super) fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// The effective user id of a process, by its `/proc/PID/status`.
pub(super) fn effective_user(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn name(comm: &[u8], process: Option<&Path>) -> String {
    let name = process
        .and_then(|directory| fs::read(directory.join("comm")).ok())
        .map(|bytes| wire::text(bytes.strip_suffix(b"\n").unwrap_or(&bytes)))
        .unwrap_or_else(|| wire::text(comm));
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}

fn command(directory: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(directory.join("cmdline"))
        .ok()?
        .take(COMMAND_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    let words: Vec<_> = bytes
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The path of the program, which the kernel marks if the file was removed.
fn executable(directory: &Path) -> Option<String> {
    let path = fs::read_link(directory.join("exe")).ok()?;
    let path = path.to_string_lossy();
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    Some(path.to_owned())
}

/// The unified hierarchy's line of `/proc/PID/cgroup`: `0::/path`.
fn cgroup_of(directory: &Path) -> Option<String> {
    let text = fs::read_to_string(directory.join("cgroup")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(ToOwned::to_owned)
}

/// True if the cgroup at `path` has inode number `id`.
fn has_inode(path: &str, id: u64) -> bool {
    cgroup_root()
        .map(|root| root.join(path.trim_start_matches('/')))
        .and_then(|directory| fs::metadata(directory).ok())
        .is_some_and(|found| found.ino() == id)
}

/// Where the unified hierarchy is mounted.
fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(at))
    })
}

/// The cgroup whose directory has inode number `id` (cgroup_id() is the
/// kernfs node's id, include/linux/cgroup.h).
fn find_cgroup(id: u64) -> Option<String> {
    let root = cgroup_root()?;
    let mut waiting = vec![root.clone()];
    let mut searched = 0;
    while let Some(directory) = waiting.pop() {
        if fs::metadata(&directory).is_ok_and(|found| found.ino() == id) {
            let path = directory.strip_prefix(&root).ok()?.to_str()?;
            return Some(format!("/{path}"));
        }
        searched += 1;
        if searched > CGROUPS_SEARCHED {
            return None;
        }
        let children = fs::read_dir(&directory).into_iter().flatten().flatten();
        waiting.extend(
            children
                .filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|child| child.path()),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        assert_eq!(start_ticks(stat), Some(987_654));
        assert_eq!(start_ticks("nonsense"), None);
    }

    #[test]
    fn this_process_knows_itself() {
        let pid = std::process::id();
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let seen = Seen {
            id: ProcessId {
                pid,
                start_ns: start_ticks(&stat).unwrap() * NS_PER_USER_TICK + 1,
            },
            exec_id: 1,
            comm: b"from-kernel\0",
            uid: 0,
            cgroup_id: 1,
            kernel_thread: false,
            exited: false,
        };
        let mut identities = Identities::new();
        let identity = identities.of(&seen);
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(identity.name, comm.trim_end());
        assert!(identity.command.contains("netmon"), "{}", identity.command);
        assert_eq!(identity.user, "root");
        let program = std::env::current_exe().unwrap();
        assert_eq!(identity.executable.as_deref(), program.to_str());
        assert!(Arc::ptr_eq(&identity, &identities.of(&seen)));
    }

    #[test]
    fn another_process_with_that_pid_is_not_asked() {
        let seen = Seen {
            id: ProcessId {
                pid: std::process::id(),
                start_ns: 1,
            },
            exec_id: 1,
            comm: b"short\0lived",
            uid: 12_345_678,
            cgroup_id: 0,
            kernel_thread: false,
            exited: true,
        };
        let identity = Identities::new().of(&seen);
        assert_eq!(identity.name, "short");
        assert_eq!(identity.command, "-");
        assert_eq!(identity.executable, None);
        assert_eq!(identity.user, "12345678");
    }

    #[test]
    fn a_program_that_was_removed_keeps_its_path() {
        let directory = std::env::temp_dir().join(format!("netmon-exe-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        for target in [
            "/opt/some where/program",
            "/opt/some where/program (deleted)",
        ] {
            std::os::unix::fs::symlink(target, directory.join("exe")).unwrap();
            let path = executable(&directory);
            fs::remove_file(directory.join("exe")).unwrap();
            assert_eq!(path.as_deref(), Some("/opt/some where/program"));
        }
        assert_eq!(executable(&directory), None);
        fs::remove_dir(&directory).unwrap();
    }
}
