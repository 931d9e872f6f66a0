//! What the interfaces of netmon's network namespace have moved, and how they are
//! set up.
//!
//! The counters are read at every reading, the set-up only when the kernel says
//! that it changed. Computes nothing: which of them are the wire is the model's rule.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::rtnetlink::{self, Changes};
use crate::model::flow::Totals;
use crate::model::network::{LinkCounters, Network};
use crate::model::sample::Sample;

/// The counters, of the reader's network namespace.
const COUNTERS: &str = "/proc/self/net/dev";
/// The network namespace.
const NAMESPACE: &str = "/proc/self/ns/net";
/// A setting of the machine's first network namespace, which those made later do not
/// have (`net_core_table`, net/core/sysctl_net_core.c): it says what they begin with.
/// Unlike `/proc/1/ns/net` everybody may look, and inside a container it is not taken
/// for the container's; a number of its own the first one has since Linux 6.18 only.
const FIRST_ONLY: &str = "/proc/sys/net/core/devconf_inherit_init_net";

/// Reads the interfaces again and again, with buffers that stay.
#[derive(Debug)]
pub struct Interfaces {
    changes: Changes,
    counters: File,
    network: Arc<Network>,
    /// The kernel says that `network` has changed since.
    is_stale: bool,
    /// `ifindex` of each interface of `network`, by its name.
    indices: HashMap<Arc<str>, u32>,
    text: Vec<u8>,
}

impl Interfaces {
    /// Reads the set-up, and listens for changes of it.
    ///
    /// # Errors
    /// If rtnetlink or /proc cannot be read.
    pub fn open() -> Result<Interfaces> {
        // Listening comes first, so that no change falls between.
        let changes = Changes::open()?;
        let mut interfaces = Interfaces {
            changes,
            counters: File::open(COUNTERS).context(COUNTERS)?,
            network: Arc::default(),
            is_stale: true,
            indices: HashMap::new(),
            text: vec![0; 4096],
        };
        interfaces.read_network()?;
        Ok(interfaces)
    }

    /// The set-up as it was last read.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Reads everything into `sample`, whose network stays `None` if the kernel
    /// does not let it: nothing but the comparison with the wire needs it.
    pub fn read(&mut self, sample: &mut Sample) {
        sample.network = None;
        sample.links.clear();
        if self.read_counters(sample).is_ok() {
            sample.network = Some(Arc::clone(&self.network));
        }
    }

    fn read_counters(&mut self, sample: &mut Sample) -> Result<()> {
        // The names belong to the set-up that is known when they are read.
        self.is_stale |= self.changes.any();
        if self.is_stale {
            self.read_network()?;
        }
        let mut length = 0;
        loop {
            let read = self
                .counters
                .read_at(&mut self.text[length..], length as u64)?;
            length += read;
            if read == 0 {
                break;
            }
            if length == self.text.len() {
                self.text.resize(length * 2, 0);
            }
        }
        let text = String::from_utf8_lossy(&self.text[..length]);
        for (name, totals) in text.lines().filter_map(counters) {
            // One that is not known yet has come since, and is at the next reading.
            if let Some(&index) = self.indices.get(name) {
                sample.links.push(LinkCounters { index, totals });
            }
        }
        // There is a loopback at the least.
        ensure!(!sample.links.is_empty(), "{COUNTERS} is empty");
        Ok(())
    }

    fn read_network(&mut self) -> Result<()> {
        let network = network()?;
        self.indices.clear();
        let links = network.links.iter();
        self.indices
            .extend(links.map(|link| (Arc::clone(&link.name), link.index)));
        self.network = Arc::new(network);
        self.is_stale = false;
        Ok(())
    }
}

/// The set-up as it is now.
fn network() -> Result<Network> {
    let (links, addresses) = rtnetlink::read()?;
    let namespace = fs::metadata(NAMESPACE).context(NAMESPACE)?.ino();
    Ok(Network {
        // Inode numbers of namespaces are 32 bits wide (`struct ns_common`).
        namespace: namespace as u32,
        is_first: Path::new(FIRST_ONLY).exists(),
        links,
        addresses,
    })
}

/// One line of `/proc/net/dev` (`dev_seq_printf_stats`, net/core/net-procfs.c):
/// the name, eight numbers received, eight sent. A name holds neither blanks nor
/// colons. `None` for the title lines and for what is no such line.
fn counters(line: &str) -> Option<(&str, Totals)> {
    let (name, numbers) = line.split_once(':')?;
    let mut numbers = numbers.split_ascii_whitespace().map(str::parse);
    let mut at = |skip: usize| numbers.nth(skip)?.ok();
    let totals = Totals {
        rx_bytes: at(0)?,
        rx_operations: at(0)?,
        tx_bytes: at(6)?,
        tx_operations: at(0)?,
    };
    Some((name.trim_ascii(), totals))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(rx_bytes: u64, rx: u64, tx_bytes: u64, tx: u64) -> Totals {
        Totals {
            tx_bytes,
            rx_bytes,
            tx_operations: tx,
            rx_operations: rx,
        }
    }

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 33683416665 275180199    0 1720566    0     0          0         0 33683416665 275180199    0    0    0     0       0          0
  eth0: 544750241   19914    0    0    0     0          0         0  1060956   12308    0    0    0     0       0          0
enp0s31f6:18446744073709551615 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
";
        let found: Vec<_> = text.lines().filter_map(counters).collect();
        let expected = [
            (
                "lo",
                totals(33_683_416_665, 275_180_199, 33_683_416_665, 275_180_199),
            ),
            ("eth0", totals(544_750_241, 19_914, 1_060_956, 12_308)),
            ("enp0s31f6", totals(u64::MAX, 1, 8, 9)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_such_line_is_passed_over() {
        for line in [
            "",
            "eth0",
            "eth0:",
            "eth0: 1 2 3 4 5 6 7 8 9",
            "eth0: 1 2 3 4 5 6 7 8 nine 10",
            "eth0: -1 2 3 4 5 6 7 8 9 10",
            "eth0: 18446744073709551616 2 3 4 5 6 7 8 9 10",
        ] {
            assert_eq!(counters(line), None, "{line}");
        }
        // More columns than today's would not disturb.
        let (name, read) = counters("日本: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17").unwrap();
        assert_eq!((name, read), ("日本", totals(1, 2, 9, 10)));
    }

    #[test]
    fn every_interface_has_counters() {
        let mut interfaces = Interfaces::open().unwrap();
        let mut sample = Sample::default();
        for _ in 0..2 {
            interfaces.read(&mut sample);
            let network = sample.network.as_ref().unwrap();
            let loopback = network.links.iter().find(|link| link.loopback).unwrap();
            let read = sample
                .links
                .iter()
                .find(|read| read.index == loopback.index);
            let read = read.unwrap().totals;
            assert_eq!(read.tx_bytes, read.rx_bytes);
        }
    }
}
