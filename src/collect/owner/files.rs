//! The socket tables as `/proc/PID/net` shows them, where sock_diag does not answer.
//!
//! Owns the files' format (net/ipv4/tcp_ipv4.c, udp.c, raw.c) and how old what was read
//! may be. The kernel's rules for wildcards are followed as far as the files tell.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Pace;
use crate::collect::clock;
use crate::collect::sock_diag::states::LISTEN;
use crate::collect::sock_diag::{Question, Socket};
use crate::model::flow::Endpoint;
use crate::model::packets::number;

/// Each table's file, and the protocol in it; 0 for raw sockets, where the port says it.
const TABLES: [(&str, u8); 8] = [
    ("tcp", number::TCP),
    ("tcp6", number::TCP),
    ("udp", number::UDP),
    ("udp6", number::UDP),
    ("udplite", number::UDP_LITE),
    ("udplite6", number::UDP_LITE),
    ("raw", 0),
    ("raw6", 0),
];

/// How long a socket that was read is believed to be there, with the same number.
const BELIEVED: Duration = Duration::from_secs(1);

/// What was read last does not tell, and it is too early to read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooEarly;

/// The tables of one network namespace.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    connected: HashMap<(u8, Endpoint, Endpoint), Socket>,
    bound: HashMap<(u8, u16), Vec<(IpAddr, Socket)>>,
    /// When they were read.
    read: Option<Duration>,
    pace: Pace,
}

impl Files {
    /// Those in `/proc/PID/net`; nothing is read yet.
    pub fn new(directory: PathBuf) -> Files {
        Files {
            directory,
            connected: HashMap::new(),
            bound: HashMap::new(),
            read: None,
            pace: Pace::default(),
        }
    }

    /// Reads from another directory from now on: that process may end before this one does.
    pub fn move_to(&mut self, directory: PathBuf) {
        self.directory = directory;
    }

    /// Lets them be read again at the next question.
    pub fn hurry(&mut self) {
        (self.read, self.pace) = (None, Pace::default());
    }

    /// The socket that a packet would come to; read again where what was read does not tell
    /// or is old, if that was long enough ago.
    ///
    /// # Errors
    /// If it was not, and there may be a socket since.
    pub fn find(&mut self, question: &Question, now: Duration) -> Result<Option<Socket>, TooEarly> {
        let found = self.known(question);
        let age = self.read.map(|read| now.saturating_sub(read));
        // Who listens may have got a connection since.
        let is_good = found.is_some_and(|it| it.inode != 0 && it.state != LISTEN);
        let is_new = age.is_some_and(|age| age.is_zero() || is_good && age < BELIEVED);
        if is_new {
            return Ok(found);
        }
        if !self.pace.may(now) {
            return if is_good { Ok(found) } else { Err(TooEarly) };
        }
        let before = clock::thread_cpu();
        self.read();
        self.read = Some(now);
        self.pace
            .took(clock::thread_cpu().saturating_sub(before), now);
        Ok(self.known(question))
    }

    fn known(&self, question: &Question) -> Option<Socket> {
        let Question {
            protocol,
            local,
            remote,
            ..
        } = *question;
        if let Some(found) = self.connected.get(&(protocol, local, remote)) {
            return Some(*found);
        }
        let own = local.address.ip()?;
        let port = if local.port == 0 {
            u16::from(protocol)
        } else {
            local.port
        };
        let sockets = self.bound.get(&(protocol, port))?;
        let bound_to = |address: IpAddr| {
            let mut sockets = sockets.iter();
            sockets
                .find(|(to, _)| *to == address)
                .map(|(_, found)| *found)
        };
        // A socket of IPv6 for all addresses takes IPv4, too, unless it was told not to.
        let any_v6 = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let any_v4 = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        bound_to(own)
            .or_else(|| own.is_ipv4().then(|| bound_to(any_v4)).flatten())
            .or_else(|| bound_to(any_v6))
    }

    fn read(&mut self) {
        self.connected.clear();
        self.bound.clear();
        for (file, protocol) in TABLES {
            // One that this kernel has no protocol for is not there.
            let Ok(text) = fs::read_to_string(self.directory.join(file)) else {
                continue;
            };
            for found in text.lines().filter_map(line) {
                let Socket { local, remote, .. } = found;
                let protocol = match protocol {
                    // Raw sockets show the protocol in place of the port.
                    0 => local.port.try_into().unwrap_or(0),
                    protocol => protocol,
                };
                if remote.port != 0 {
                    self.connected.insert((protocol, local, remote), found);
                } else if let Some(address) = local.address.ip() {
                    let bound = self.bound.entry((protocol, local.port)).or_default();
                    bound.push((address, found));
                }
            }
        }
    }
}

/// One line: a number, both ends, the state, …, the user as the eighth word, the inode as
/// the tenth.
fn line(line: &str) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace();
    let local = end(words.nth(1)?)?;
    let remote = end(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let uid = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some(Socket {
        local,
        remote,
        state,
        inode,
        uid,
        health: None,
    })
}

/// `0100007F:1F90`: words of the address as this machine would read them.
fn end(text: &str) -> Option<Endpoint> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        let word = u32::from_str_radix(digits, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(Endpoint {
        address: address.into(),
        port: u16::from_str_radix(port, 16).ok()?,
    })
}

/// The addresses of a network namespace, by `fib_trie` and `if_inet6`.
pub fn addresses(directory: &Path) -> HashSet<IpAddr> {
    let read = |name| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let mut addresses = own_v4(&read("fib_trie"));
    addresses.extend(read("if_inet6").lines().filter_map(own_v6));
    addresses
}

/// Those whose line is followed by one that says they are the namespace's own.
fn own_v4(trie: &str) -> HashSet<IpAddr> {
    let mut own = HashSet::new();
    let mut last = None;
    for line in trie.lines() {
        let line = line.trim_start_matches([' ', '|']);
        if let Some(leaf) = line.strip_prefix("-- ") {
            last = leaf.trim().parse::<IpAddr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            own.extend(last);
        }
    }
    own
}

fn own_v6(line: &str) -> Option<IpAddr> {
    let digits = line.split_ascii_whitespace().next()?;
    let bits = u128::from_str_radix(digits, 16).ok()?;
    Some(Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str, port: u16) -> Endpoint {
        Endpoint {
            address: address.parse().unwrap(),
            port,
        }
    }

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let text = "   0: 0100007F:1F90 0200A8C0:C350 01 00000000:00000000 02:000A7C8B 00000000  1000        0 31337 2 0000000000000000 20 4 30 10 -1";
        let found = line(text).unwrap();
        assert_eq!(found.local, at("127.0.0.1", 8080));
        assert_eq!(found.remote, at("192.168.0.2", 50_000));
        assert_eq!((found.inode, found.state, found.uid), (31_337, 1, 1000));
        let text = "  10: 0000000000000000FFFF00000100007F:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0000000000000000";
        let found = line(text).unwrap();
        // IPv4-mapped addresses are IPv4.
        assert_eq!(found.local, at("127.0.0.1", 22));
        assert_eq!(found.remote, at("::", 0));
        assert_eq!((found.inode, found.state), (77, 10));
        for text in ["", "  sl  local_address rem_address   st", "0: 0:1 2:3 4"] {
            assert!(line(text).is_none(), "{text}");
        }
    }

    #[test]
    fn own_addresses_are_told_from_routes() {
        let trie = "\
Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.9.0.0/24 2 0 2
        |-- 10.9.0.0
           /24 link UNICAST
        |-- 10.9.0.1
           /32 host LOCAL
        |-- 10.9.0.255
           /32 link BROADCAST
";
        let own = own_v4(trie);
        assert_eq!(own, HashSet::from(["10.9.0.1".parse().unwrap()]));
        let line = "fd000009000000000000000000000001 02 40 00 80       a0";
        assert_eq!(own_v6(line), Some("fd00:9::1".parse().unwrap()));
        assert_eq!(own_v6("nonsense"), None);
    }

    #[test]
    fn this_process_finds_its_sockets() {
        let mut files = Files::new("/proc/self/net".into());
        let wildcard = std::net::UdpSocket::bind("[::]:0").unwrap();
        let port = wildcard.local_addr().unwrap().port();
        let question = Question {
            protocol: number::UDP,
            local: at("127.0.0.1", port),
            remote: at("127.0.0.1", 9),
            interface: 0,
        };
        let found = files.find(&question, Duration::from_secs(5)).unwrap();
        assert_ne!(found.unwrap().inode, 0);
        let own = addresses(Path::new("/proc/self/net"));
        assert!(own.contains(&"127.0.0.1".parse().unwrap()), "{own:?}");
    }

    /// Asks for what a datagram to that port would come to.
    fn ask(files: &mut Files, port: u16, now: Duration) -> Result<Option<Socket>, TooEarly> {
        let question = Question {
            protocol: number::UDP,
            local: at("127.0.0.1", port),
            remote: at("127.0.0.1", 9),
            interface: 0,
        };
        files.find(&question, now)
    }

    #[test]
    fn a_file_that_may_not_be_read_again_yet_does_not_say_there_is_nobody() {
        let mut files = Files::new("/proc/self/net".into());
        let open = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = |socket: &std::net::UdpSocket| socket.local_addr().unwrap().port();
        let seconds = Duration::from_secs;
        let first = port(&open());
        assert_eq!(
            ask(&mut files, first, seconds(100)).unwrap().map(|_| ()),
            None
        );
        // In one round files are read once.
        let socket = open();
        assert!(
            ask(&mut files, port(&socket), seconds(100))
                .unwrap()
                .is_none()
        );
        let soon = seconds(100) + Duration::from_millis(50);
        assert_eq!(
            ask(&mut files, port(&socket), soon).map(|_| ()),
            Err(TooEarly)
        );
        files.hurry();
        assert!(ask(&mut files, port(&socket), soon).unwrap().is_some());
        let socket = open();
        assert!(
            ask(&mut files, port(&socket), seconds(200))
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_socket_in_place_of_another_is_found() {
        let mut files = Files::new("/proc/self/net".into());
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut inode = |now| {
            let found = ask(&mut files, address.port(), now);
            found.unwrap().unwrap().inode
        };
        let old = inode(Duration::from_secs(100));
        drop(socket);
        let _new = std::net::UdpSocket::bind(address).unwrap();
        assert_ne!(inode(Duration::from_secs(200)), old);
    }
}
