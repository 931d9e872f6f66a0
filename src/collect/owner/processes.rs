//! Which process has a socket open, by the links in `/proc/PID/fd`.
//!
//! Owns the search: new processes first, since a new socket is mostly theirs, then those
//! that are known to have sockets, then all. What was found is not believed for ever: each
//! use looks at the link and the process's start again. A search of all processes has a
//! bound on how often.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::BuildHasher;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::Pace;
use super::descriptors::{descriptor_of, open_sockets, socket_of};
use crate::collect::clock;
use crate::collect::identity::{self, Identities, Seen};
use crate::model::flow::ProcessId;
use crate::model::sample::Identity;

/// Most sockets remembered; beyond it the search begins anew.
const SOCKETS: usize = 131_072;
/// A socket that no process has is not looked for again for this long at first, each time
/// twice as long, up to the longest.
const ABSENT: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// Most generations that a socket is followed up to whoever opened it.
const ANCESTORS: usize = 16;

/// Which holder of a shared socket counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// The youngest: who was forked to serve a connection.
    Youngest,
    /// The eldest: who opened what its children share.
    Eldest,
}

/// Where a socket was found.
#[derive(Debug, Clone, Copy)]
struct Holder {
    process: ProcessId,
    /// The thread by which its files are seen: the first, unless that has ended.
    task: u32,
    descriptor: u32,
}

/// A socket that a search of all did not find.
#[derive(Debug, Clone, Copy)]
struct Absent {
    until: Duration,
    wait: Duration,
    /// Some processes could not be asked.
    hidden: bool,
}

/// What the kernel tells of a process in one line.
#[derive(Debug, Clone)]
struct Stat {
    id: ProcessId,
    parent: u32,
    name: String,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Processes {
    holders: HashMap<u32, Holder>,
    absent: HashMap<u32, Absent>,
    /// Those that were there at the last search.
    seen: HashSet<u32>,
    identities: Identities,
    /// What was verified since the last search began: sockets and processes.
    verified: HashMap<u32, ProcessId>,
    stats: HashMap<u32, Option<Stat>>,
    all: Pace,
    new: Pace,
}

/// What is known of a socket.
pub enum Held {
    /// By that process.
    By(ProcessId, Arc<Identity>),
    /// By none that could be asked, and whether some could not.
    ByNobody {
        /// See above.
        hidden: bool,
    },
    /// It was not yet looked for: too much was lately.
    Unknown,
}

impl Processes {
    /// Looks for all of these sockets at once, as far as they are not known.
    pub fn search(&mut self, sockets: &HashMap<u32, Prefer>, now: Duration) {
        self.verified.clear();
        self.stats.clear();
        let mut wanted: HashMap<u32, Prefer> = HashMap::new();
        for (socket, prefer) in sockets {
            let is_known = self.holders.contains_key(socket) && self.verified(*socket).is_some();
            if !is_known && self.absent(*socket, now).is_none() {
                self.holders.remove(socket);
                wanted.insert(*socket, *prefer);
            }
        }
        if wanted.is_empty() {
            return;
        }
        if self.holders.len() > SOCKETS {
            self.holders.clear();
        }
        if self.new.may(now) {
            let before = clock::thread_cpu();
            let listed: Vec<u32> = all().collect();
            let mut new: Vec<u32> = listed
                .iter()
                .copied()
                .filter(|it| !self.seen.contains(it))
                .collect();
            self.seen = listed.into_iter().collect();
            new.sort_unstable_by(|a, b| b.cmp(a));
            self.look_through(&new, &mut wanted);
            let cost = clock::thread_cpu().saturating_sub(before);
            self.new.took_briefly(cost, now);
        }
        if wanted.is_empty() || !self.all.may(now) {
            return;
        }
        let before = clock::thread_cpu();
        let holders: HashSet<u32> = self.holders.values().map(|it| it.process.pid).collect();
        // Listed anew: the latest are those that are mostly wanted.
        let mut listed: Vec<u32> = all().collect();
        self.seen = listed.iter().copied().collect();
        // Who has sockets has more of them; of the others the young ones.
        listed.sort_unstable_by_key(|it| (!holders.contains(it), std::cmp::Reverse(*it)));
        let hidden = self.look_through(&listed, &mut wanted);
        for (socket, _) in wanted {
            let known = self.absent.get(&socket);
            let wait = known.map_or(ABSENT, |it| (it.wait * 2).min(LONGEST));
            let until = now + wait;
            let absent = Absent {
                until,
                wait,
                hidden,
            };
            self.absent.insert(socket, absent);
        }
        self.absent.retain(|_, it| it.until + LONGEST > now);
        self.all
            .took(clock::thread_cpu().saturating_sub(before), now);
    }

    /// Lets every process be looked at in the next search, however much was lately.
    pub fn hurry(&mut self) {
        self.absent.clear();
        (self.new, self.all) = (Pace::default(), Pace::default());
    }

    fn absent(&self, socket: u32, now: Duration) -> Option<&Absent> {
        self.absent.get(&socket).filter(|it| it.until > now)
    }

    /// Who has a socket that the user `uid` made, as far as it was looked for.
    pub fn holder(&mut self, socket: u32, uid: u32, now: Duration) -> Held {
        if let Some(stat) = self.verified(socket) {
            return Held::By(stat.id, self.identity(&stat, uid));
        }
        match self.absent(socket, now) {
            Some(&Absent { hidden, .. }) => Held::ByNobody { hidden },
            None => Held::Unknown,
        }
    }

    /// The process that has the socket, if it still has.
    fn verified(&mut self, socket: u32) -> Option<Stat> {
        let Holder {
            process,
            task,
            descriptor,
        } = *self.holders.get(&socket)?;
        if self.verified.get(&socket) == Some(&process) {
            return self.stats.get(&process.pid).cloned().flatten();
        }
        let path = format!("/proc/{}/task/{task}/fd/{descriptor}", process.pid);
        if socket_of(&fs::read_link(path).ok()?) != Some(socket) {
            return None;
        }
        let stats = self.stats.entry(process.pid);
        let known = stats.or_insert_with(|| stat(process.pid)).as_ref();
        let known = known.filter(|stat| stat.id == process).cloned()?;
        self.verified.insert(socket, process);
        Some(known)
    }

    /// Looks at one after the other until nothing is wanted any more; whether some could
    /// not be looked at.
    fn look_through(&mut self, processes: &[u32], wanted: &mut HashMap<u32, Prefer>) -> bool {
        let mut hidden = false;
        for &process in processes {
            if wanted.is_empty() {
                break;
            }
            hidden |= !self.look_at(process, wanted);
        }
        hidden
    }

    /// Notes every socket that the process has; false if it may not be looked at.
    fn look_at(&mut self, process: u32, wanted: &mut HashMap<u32, Prefer>) -> bool {
        let (task, found) = match open_sockets(process) {
            Ok(found) => found,
            Err(error) => return error.kind() != ErrorKind::PermissionDenied,
        };
        if found.is_empty() {
            return true;
        }
        let Some(stat) = stat(process) else {
            return true;
        };
        for (socket, descriptor) in found {
            let prefer = wanted.remove(&socket);
            let holder = Holder {
                process: stat.id,
                task,
                descriptor,
            };
            let holder = match prefer {
                Some(Prefer::Eldest) => eldest(holder, socket, stat.parent),
                _ => holder,
            };
            // One that is known stays with whom it was found.
            match prefer {
                Some(_) => _ = self.holders.insert(socket, holder),
                None => _ = self.holders.entry(socket).or_insert(holder),
            }
        }
        true
    }

    fn identity(&mut self, stat: &Stat, uid: u32) -> Arc<Identity> {
        // Another name is another program.
        let exec_id = FixedState::default().hash_one(&stat.name);
        if let Some(identity) = self.identities.known(&stat.id, exec_id) {
            return identity;
        }
        self.identities.begin();
        self.identities.of(&Seen {
            id: stat.id,
            exec_id,
            comm: stat.name.as_bytes(),
            // One that is about to end tells it no more.
            uid: identity::effective_user(stat.id.pid).unwrap_or(uid),
            cgroup_id: 0,
            kernel_thread: false,
            exited: false,
        })
    }

    /// Forgets who a process was.
    pub fn forget(&mut self, process: &ProcessId) {
        self.identities.forget(process);
    }
}

/// The eldest of its ancestors that has the same socket, else the holder itself.
fn eldest(mut holder: Holder, socket: u32, mut parent: u32) -> Holder {
    for _ in 0..ANCESTORS {
        let Some(found) = descriptor_of(parent, socket) else {
            break;
        };
        let Some(stat) = stat(parent) else {
            break;
        };
        holder = Holder {
            process: stat.id,
            task: parent,
            descriptor: found,
        };
        parent = stat.parent;
    }
    holder
}

/// Every process that there is.
pub fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(process: u32) -> Option<Stat> {
    let text = fs::read(PathBuf::from(format!("/proc/{process}/stat"))).ok()?;
    let text = String::from_utf8_lossy(&text);
    let start_ns = identity::start_ticks(&text)? * identity::NS_PER_USER_TICK;
    let (head, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some(Stat {
        id: ProcessId {
            pid: process,
            start_ns,
        },
        parent,
        name: head.split_once('(')?.1.to_owned(),
    })
}

/// Which word after the name in `/proc/PID/stat` is the number of threads.
const THREADS: usize = 17;

/// Whether that process is there no more.
pub fn has_ended(process: ProcessId) -> bool {
    let path = format!("/proc/{}/stat", process.pid);
    let text = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return error.kind() != ErrorKind::PermissionDenied,
    };
    let text = String::from_utf8_lossy(&text);
    let is_zombie = text.rsplit_once(')').is_some_and(|(_, rest)| {
        // While it has other threads it goes on.
        let threads = rest.split_ascii_whitespace().nth(THREADS);
        rest.starts_with(" Z") && !threads.is_some_and(|it| it != "1" && it != "0")
    });
    let start = identity::start_ticks(&text).map(|ticks| ticks * identity::NS_PER_USER_TICK);
    is_zombie || start != Some(process.start_ns)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    fn inode(socket: &UdpSocket) -> u32 {
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()));
        socket_of(&link.unwrap()).unwrap()
    }

    #[test]
    fn a_socket_is_found_with_its_process_and_lost_with_it() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let number = inode(&socket);
        let mut processes = Processes::default();
        let now = Duration::from_secs(1);
        processes.search(&HashMap::from([(number, Prefer::Youngest)]), now);
        let Held::By(id, identity) = processes.holder(number, 0, now) else {
            panic!("not found");
        };
        assert_eq!(id.pid, std::process::id());
        assert_ne!(id.start_ns, 0);
        assert!(identity.command.contains("netmon"), "{}", identity.command);
        assert!(!has_ended(id));
        assert!(has_ended(ProcessId { start_ns: 1, ..id }));
        drop(socket);
        // What was verified holds for one round.
        processes.search(&HashMap::new(), now);
        assert!(matches!(processes.holder(number, 0, now), Held::Unknown));
        // Nobody has it: that is known after a search of all.
        let later = now + Duration::from_secs(100);
        processes.search(&HashMap::from([(number, Prefer::Eldest)]), later);
        assert!(matches!(
            processes.holder(number, 0, later),
            Held::ByNobody { .. }
        ));
        // And not believed for long at first.
        assert!(processes.absent(number, later + ABSENT / 2).is_some());
        assert!(processes.absent(number, later + ABSENT).is_none());
        let later = later + LONGEST - ABSENT * 2;
        processes.search(&HashMap::from([(number, Prefer::Eldest)]), later);
        assert!(processes.absent(number, later + ABSENT).is_some());
    }
}
