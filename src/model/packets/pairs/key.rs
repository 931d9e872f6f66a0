//! What a pair of ends is called, and what can be known of it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::super::{Ends, Owner};
use crate::model::flow::Endpoint;

/// Where a packet was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `ifindex` of the interface.
    pub interface: u32,
    /// It was going out.
    pub outgoing: bool,
}

/// One direction between two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairKey {
    /// The protocol's number.
    pub protocol: u8,
    /// Who sends; port 0 where there are none.
    pub source: Endpoint,
    /// Who receives.
    pub destination: Endpoint,
}

impl Hash for PairKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
        self.destination.hash(state);
        state.write_u8(self.protocol);
    }
}

/// Who is at one end of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// `None` where it is not on this machine, or counts the bytes elsewhere.
    pub owner: Option<Arc<Owner>>,
    /// It is known. Else it is only likely: bytes wait for a while for a better answer.
    pub sure: bool,
}

/// Whose a pair is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has looked yet.
    Pending,
    /// Of those at its ends that are on this machine.
    Owned {
        /// Who sends.
        source: Party,
        /// Who receives.
        destination: Party,
    },
    /// Of nobody here: counted once, in the row of that reason.
    Passing(Arc<Owner>),
    /// The same bytes are counted with the addresses that their socket knows.
    Translated,
}

/// What a look at the sockets brought.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whose it is.
    pub verdict: Verdict,
    /// There is no socket at any end.
    pub gone: bool,
}

impl Verdict {
    /// Whether another look soon may know more.
    pub(super) fn is_sure(&self) -> bool {
        match self {
            Verdict::Owned {
                source,
                destination,
            } => source.sure && destination.sure,
            Verdict::Translated => true,
            Verdict::Pending | Verdict::Passing(_) => false,
        }
    }

    /// Whether somebody is known, or nobody has to be.
    fn is_kept(&self) -> bool {
        let is_somebody = |party: &Party| party.sure && party.owner.is_some();
        match self {
            Verdict::Owned {
                source,
                destination,
            } => is_somebody(source) || is_somebody(destination),
            Verdict::Translated => true,
            Verdict::Pending | Verdict::Passing(_) => false,
        }
    }

    /// What is to be believed after another look. Only what is known stays when the socket
    /// is gone: what still comes belongs to the connection that was.
    pub(super) fn then(self, new: Verdict) -> Verdict {
        match (self, new) {
            (
                Verdict::Owned {
                    source,
                    destination,
                },
                Verdict::Owned {
                    source: new_source,
                    destination: new_destination,
                },
            ) => Verdict::Owned {
                source: source.then(new_source),
                destination: destination.then(new_destination),
            },
            (Verdict::Translated, new) if new.is_kept() => new,
            (old, _) if old.is_kept() => old,
            (_, new) => new,
        }
    }
}

impl Party {
    fn then(self, new: Party) -> Party {
        if self.sure && (!new.sure || new.owner.is_none()) {
            self
        } else {
            new
        }
    }
}

/// A pair that is to be looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Which.
    pub key: PairKey,
    /// Where it counts.
    pub place: Place,
}

impl PairKey {
    /// The ends as the sender sees them.
    pub fn sending(&self) -> Ends {
        Ends {
            local: self.source,
            remote: self.destination,
        }
    }

    /// The ends as the receiver sees them.
    pub fn receiving(&self) -> Ends {
        Ends {
            local: self.destination,
            remote: self.source,
        }
    }
}
