//! How many connections each machine has: nobody elsewhere shall take all places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most connections from one address beyond this machine.
const MOST: usize = 64;

/// Connections by address; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub struct Counted {
    peers: Peers,
    whose: Option<IpAddr>,
}

impl Peers {
    /// A panicking holder leaves the map whole: every write to it is one number.
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a further connection from `address`, unless there are too many.
    pub fn count(&self, address: IpAddr) -> Option<Counted> {
        let whose = whose(address);
        if let Some(whose) = whose {
            let mut counts = self.counts();
            let count = counts.entry(whose).or_default();
            if *count >= MOST {
                return None;
            }
            *count += 1;
        }
        Some(Counted {
            peers: self.clone(),
            whose,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(whose) = self.whose else {
            return;
        };
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&whose) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&whose);
            }
        }
    }
}

/// What is counted together; nothing for this machine itself. One machine has all
/// addresses of a /64.
fn whose(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        own if own.is_loopback() => None,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Some(Ipv6Addr::from(network).into())
        }
        address => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_machine_elsewhere_has_so_many_and_others_have_theirs() {
        let peers = Peers::default();
        for (one, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::ff:1", "2001:db8:0:1::1"),
        ] {
            let count = |text| peers.count(address(text));
            let mut all: Vec<_> = (0..MOST).map(|_| count(one).expect("a place")).collect();
            assert!(count(one).is_none());
            assert!(count(same).is_none());
            assert!(count(other).is_some());
            all.pop();
            assert!(count(same).is_some());
        }
        assert!(peers.counts().is_empty());
    }

    #[test]
    fn this_machine_is_not_counted() {
        let peers = Peers::default();
        for own in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            let all: Vec<_> = (0..=MOST).map(|_| peers.count(address(own))).collect();
            assert!(all.iter().all(Option::is_some), "{own}");
        }
    }
}
