//! The network namespaces of this machine: their addresses and their socket tables.
//!
//! Owns which there are and how each is looked into: by entering it in a thread of its
//! own (needs CAP_SYS_ADMIN), else by `/proc/PID/net` of a process in it. Holds nothing
//! in them but a netlink socket, and that only as long as somebody else is there.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::Pace;
use super::conntrack::Conntrack;
use super::files;
use super::tables::Tables;
use crate::collect::clock;
use crate::collect::rtnetlink::{self, Changes};
use crate::model::network::{Address, Link};

/// Where namespaces have names.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// How long an address that no namespace had is believed to be another machine's. A
/// namespace that comes tells of itself by an interface that comes or goes here.
const BELIEVED: Duration = Duration::from_secs(5);

/// One namespace.
#[derive(Debug)]
pub struct Namespace {
    /// Its inode number, as in `/proc/PID/ns/net`.
    pub inode: u32,
    /// The file that stands for it.
    door: PathBuf,
    /// Its sockets.
    pub tables: Tables,
    /// Its translations, if they may be asked for.
    pub conntrack: Option<Conntrack>,
    addresses: HashSet<IpAddr>,
    /// Those by which all of a network of IPv4 are meant.
    broadcasts: HashSet<IpAddr>,
}

impl Namespace {
    /// Whether all of one of its networks are meant.
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        self.broadcasts.contains(&address)
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Namespaces {
    /// The one that netmon runs in.
    pub own: Namespace,
    /// The others that could be looked into.
    pub others: Vec<Namespace>,
    /// There are others that could not.
    pub any_unreadable: bool,
    /// The interfaces of netmon's own.
    pub links: Vec<Link>,
    changes: Option<Changes>,
    /// When the others were looked for, unless an interface has changed since.
    looked: Option<Duration>,
    pace: Pace,
}

impl Namespaces {
    /// Looks into netmon's own; the others are looked for later.
    ///
    /// # Errors
    /// If rtnetlink cannot be read.
    pub fn open() -> Result<Namespaces> {
        // Listening comes first, so that no change falls between.
        let changes = Changes::open().ok();
        let (links, addresses) = rtnetlink::read()?;
        let directory = PathBuf::from("/proc/thread-self/net");
        let inode = fs::metadata("/proc/thread-self/ns/net")?.ino();
        let own = Namespace {
            // These inode numbers are 32 bits wide.
            inode: inode as u32,
            door: PathBuf::from("/proc/thread-self/ns/net"),
            tables: Tables::open(true, Some(directory)),
            conntrack: Conntrack::open().ok(),
            broadcasts: broadcasts(&addresses),
            addresses: own(&addresses),
        };
        Ok(Namespaces {
            own,
            others: Vec::new(),
            any_unreadable: false,
            links,
            changes,
            looked: None,
            pace: Pace::default(),
        })
    }

    /// Follows changes of the own interfaces and addresses; true if there were any.
    pub fn follow(&mut self) -> bool {
        let changed = self.changes.as_ref().is_some_and(Changes::any);
        if changed {
            // A container may have come.
            self.looked = None;
        }
        if changed && let Ok((links, addresses)) = rtnetlink::read() {
            self.links = links;
            self.own.broadcasts = broadcasts(&addresses);
            self.own.addresses = own(&addresses);
        }
        changed
    }

    /// Looks whose an address is among the other namespaces, unless that is known; false if
    /// nobody has it that is known, and it was not yet looked for: too much was lately.
    pub fn look_for(&mut self, address: IpAddr, now: Duration) -> bool {
        let looked = self
            .looked
            .is_some_and(|at| now.saturating_sub(at) < BELIEVED);
        looked || self.with_address(address).next().is_some() || self.refresh(now)
    }

    /// Looks for the other namespaces again, if that was long enough ago; whether it was.
    fn refresh(&mut self, now: Duration) -> bool {
        if !self.pace.may(now) {
            return false;
        }
        self.looked = Some(now);
        let before = clock::thread_cpu();
        let (mut doors, complete) = doors();
        doors.remove(&self.own.inode);
        // Whoever is gone is let go, and the kernel may take the namespace down.
        self.others.retain(|known| doors.contains_key(&known.inode));
        self.any_unreadable = !complete;
        // Only that thread changes its namespace, and then ends.
        let others = &mut self.others;
        let looked = thread::scope(|scope| {
            let look = || {
                let mut all = true;
                for (inode, door) in &doors {
                    all &= visit(others, *inode, door);
                }
                (all, clock::thread_cpu())
            };
            let visitor = thread::Builder::new().name("namespaces".to_owned());
            // Without a thread nothing is known.
            let thread = visitor.spawn_scoped(scope, look).ok();
            thread.and_then(|thread| thread.join().ok())
        });
        let (all, cost) = looked.unwrap_or_default();
        self.any_unreadable |= !all;
        self.pace
            .took(cost + clock::thread_cpu().saturating_sub(before), now);
        true
    }

    /// Lets everything be looked for again at the next question, however much was lately.
    pub fn hurry(&mut self) {
        (self.looked, self.pace) = (None, Pace::default());
        for namespace in std::iter::once(&mut self.own).chain(&mut self.others) {
            namespace.tables.hurry();
        }
    }

    /// Lets go of namespaces whose process has ended: the kernel takes one down when nobody
    /// is in it any more. One that others are in is found again.
    pub fn let_go(&mut self) {
        let known = self.others.len();
        self.others.retain(|it| {
            let door = fs::metadata(&it.door);
            door.is_ok_and(|door| door.ino() == u64::from(it.inode))
        });
        if self.others.len() < known {
            self.looked = None;
        }
    }

    /// The other namespaces that have this address.
    pub fn with_address(&mut self, address: IpAddr) -> impl Iterator<Item = &mut Namespace> {
        let others = self.others.iter_mut();
        others.filter(move |it| {
            let is_its = it.addresses.contains(&address) || it.is_broadcast(address);
            is_its && !address.is_loopback()
        })
    }

    /// Whether the address is netmon's own namespace's.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own.addresses.contains(&address)
    }
}

/// A file that stands for a namespace, and a process in it if there is one.
struct Door {
    path: PathBuf,
    process: Option<u32>,
}

/// A door to each namespace; whether every process told its own.
fn doors() -> (HashMap<u32, Door>, bool) {
    let mut doors = HashMap::new();
    let mut complete = true;
    for process in super::processes::all() {
        let path = PathBuf::from(format!("/proc/{process}/ns/net"));
        match fs::read_link(&path) {
            Ok(link) => {
                if let Some(inode) = inode_of(&link) {
                    let process = Some(process);
                    doors.entry(inode).or_insert(Door { path, process });
                }
            }
            // One that ended meanwhile is no longer there at all; a zombie has none.
            Err(error) => complete &= error.kind() != std::io::ErrorKind::PermissionDenied,
        }
    }
    for entry in NAMED
        .into_iter()
        .filter_map(|path| fs::read_dir(path).ok())
        .flatten()
    {
        let Ok(path) = entry.map(|entry| entry.path()) else {
            continue;
        };
        if let Ok(found) = fs::metadata(&path) {
            let process = None;
            // These inode numbers are 32 bits wide.
            let inode = found.ino() as u32;
            doors.entry(inode).or_insert(Door { path, process });
        }
    }
    (doors, complete)
}

/// `net:[4026531840]`
fn inode_of(link: &Path) -> Option<u32> {
    let text = link.to_str()?.strip_prefix("net:[")?;
    text.strip_suffix(']')?.parse().ok()
}

/// Reads the addresses of a namespace, and opens its tables if it is new; whether that
/// could be done. The calling thread is in that namespace afterwards.
fn visit(known: &mut Vec<Namespace>, inode: u32, door: &Door) -> bool {
    let place = known.iter().position(|it| it.inode == inode);
    let entered = enter(&door.path).is_ok();
    let directory = door
        .process
        .map(|process| PathBuf::from(format!("/proc/{process}/net")));
    let found = match (&directory, entered) {
        (_, true) => rtnetlink::read()
            .map(|(_, addresses)| (own(&addresses), broadcasts(&addresses)))
            .ok(),
        (Some(directory), false) => Some((files::addresses(directory), HashSet::new())),
        (None, false) => None,
    };
    let Some((addresses, broadcasts)) = found else {
        return false;
    };
    if let Some(place) = place {
        let known = &mut known[place];
        (known.addresses, known.broadcasts) = (addresses, broadcasts);
        known.door = door.path.clone();
        known.tables.move_to(directory);
        return true;
    }
    let tables = Tables::open(entered, directory);
    known.push(Namespace {
        inode,
        door: door.path.clone(),
        tables,
        conntrack: entered.then(|| Conntrack::open().ok()).flatten(),
        addresses,
        broadcasts,
    });
    true
}

fn enter(path: &Path) -> Result<()> {
    let space = File::open(path).with_context(|| path.display().to_string())?;
    setns(space, CloneFlags::CLONE_NEWNET).context("setns")
}

fn own(addresses: &[Address]) -> HashSet<IpAddr> {
    addresses.iter().map(|address| address.own).collect()
}

/// Those by which all of a network of IPv4 are meant.
fn broadcasts(addresses: &[Address]) -> HashSet<IpAddr> {
    let all = addresses
        .iter()
        .filter_map(|address| match address.network {
            IpAddr::V4(network) if address.prefix < 31 => {
                let hosts = u32::MAX >> address.prefix;
                Some(IpAddr::from(Ipv4Addr::from_bits(network.to_bits() | hosts)))
            }
            _ => None,
        });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_namespace() {
        assert_eq!(inode_of(Path::new("net:[4026531840]")), Some(4_026_531_840));
        for link in ["", "net:[]", "net:[1", "mnt:[4026531840]"] {
            assert_eq!(inode_of(Path::new(link)), None, "{link}");
        }
    }

    #[test]
    fn broadcasts_are_told_from_own_addresses() {
        let address = |own: &str, prefix| Address {
            index: 1,
            own: own.parse().unwrap(),
            network: own.parse().unwrap(),
            prefix,
        };
        let all = [address("10.9.0.1", 24), address("fd00::1", 64)];
        let set = |all: &[&str]| all.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(own(&all), set(&["10.9.0.1", "fd00::1"]));
        assert_eq!(broadcasts(&all), set(&["10.9.0.255"]));
    }

    /// The process by whose files a namespace was read ends, and another one is in it.
    #[test]
    fn files_are_read_by_whoever_is_there() {
        let sleep = || {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").spawn().unwrap()
        };
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let end = |port| crate::model::flow::Endpoint {
            address: IpAddr::from(Ipv4Addr::LOCALHOST).into(),
            port,
        };
        let question = crate::collect::sock_diag::Question {
            protocol: crate::model::packets::number::UDP,
            local: end(socket.local_addr().unwrap().port()),
            remote: end(9),
            interface: 0,
        };
        let mut known = Vec::new();
        for round in 1..3 {
            let mut process = sleep();
            let door = Door {
                path: format!("/proc/{}/ns/net", process.id()).into(),
                process: Some(process.id()),
            };
            let looked = thread::scope(|scope| {
                let look = scope.spawn(|| visit(&mut known, 7, &door));
                look.join().unwrap()
            });
            assert!(looked);
            let files = known[0].tables.files.as_mut().unwrap();
            let found = files.find(&question, Duration::from_secs(round * 100));
            process.kill().unwrap();
            process.wait().unwrap();
            assert!(found.unwrap().is_some(), "round {round}");
        }
        assert_eq!(known.len(), 1);
    }
}
