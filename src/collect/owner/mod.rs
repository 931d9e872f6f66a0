//! Which process owns a socket, by the kernel's socket tables and `/proc/PID/fd`.
//!
//! Owns the way from a packet's ends to an owner: whose namespace an address is of, which
//! socket the kernel would take there, which process has it open, and the reason where
//! nobody is found. Who counts is `packets`.

mod conntrack;
mod descriptors;
mod ends;
mod files;
mod namespaces;
mod processes;
pub mod sight;
mod tables;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::collect::capability;
use crate::model::flow::ProcessId;
use crate::model::network::Link;
use crate::model::packets::Owner;
use crate::model::packets::pairs::{Answer, PairKey, Party, Verdict, Wanted};
use crate::model::packets::unattributed::Reason;
use ends::{End, Kind, Sockets, Spot};
use namespaces::Namespaces;
pub use processes::has_ended;
use processes::{Held, Prefer, Processes};

/// How often something costly is done: at most every 100 ms, and for at most a twentieth
/// of a CPU's time.
#[derive(Debug, Default)]
struct Pace {
    next: Duration,
}

impl Pace {
    const LEAST: Duration = Duration::from_millis(100);
    const BRIEF: Duration = Duration::from_millis(2);
    const SHARE: u32 = 20;

    fn may(&self, now: Duration) -> bool {
        now >= self.next
    }

    /// It was done, and took that much CPU time.
    fn took(&mut self, cost: Duration, now: Duration) {
        self.next = now + Self::LEAST.max(cost * Self::SHARE);
    }

    /// The same for what is cheap and may be done more often.
    fn took_briefly(&mut self, cost: Duration, now: Duration) {
        self.next = now + Self::BRIEF.max(cost * Self::SHARE);
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Owners {
    namespaces: Namespaces,
    processes: Processes,
    /// Every process of the machine is in `/proc`.
    sees_all: bool,
    /// One for each reason and namespace.
    nobody: HashMap<(Reason, u32), Arc<Owner>>,
    /// One for each process and namespace, renewed with the identity.
    somebody: HashMap<(ProcessId, u32), Arc<Owner>>,
}

impl Owners {
    /// Looks into netmon's own namespace.
    ///
    /// # Errors
    /// If its interfaces cannot be read.
    pub fn open() -> Result<Owners> {
        Ok(Owners {
            namespaces: Namespaces::open()?,
            processes: Processes::default(),
            sees_all: capability::lists_all_processes(),
            nobody: HashMap::new(),
            somebody: HashMap::new(),
        })
    }

    /// Follows changes of interfaces and addresses; true if there were any.
    pub fn follow(&mut self) -> bool {
        self.namespaces.follow()
    }

    /// The interfaces.
    pub fn links(&self) -> &[Link] {
        &self.namespaces.links
    }

    /// The row of a reason.
    pub fn nobody(&mut self, reason: Reason) -> Arc<Owner> {
        self.nobody_in(reason, self.namespaces.own.inode)
    }

    fn nobody_in(&mut self, reason: Reason, namespace: u32) -> Arc<Owner> {
        let owner = self.nobody.entry((reason, namespace));
        Arc::clone(owner.or_insert_with(|| Arc::new(reason.owner(namespace))))
    }

    /// Lets the next look find all that there is by then, however much was looked for lately.
    pub fn hurry(&mut self) {
        self.namespaces.hurry();
        self.processes.hurry();
    }

    /// Lets go of namespaces that nobody is in.
    pub fn let_go(&mut self) {
        self.namespaces.let_go();
    }

    /// Forgets processes that ended.
    pub fn tidy(&mut self, has_ended: impl Fn(ProcessId) -> bool) {
        let processes = &mut self.processes;
        self.somebody.retain(|(process, _), _| {
            let is_over = has_ended(*process);
            if is_over {
                processes.forget(process);
            }
            !is_over
        });
    }

    /// Whose these pairs are; `None` for one that is to be put off. `is_captured` says
    /// whether there are packets of another pair.
    pub fn look(
        &mut self,
        wanted: &[Wanted],
        is_captured: impl Fn(&PairKey) -> bool,
        now: Duration,
        mut each: impl FnMut(&PairKey, Option<Answer>),
    ) {
        let found: Vec<Sockets> = wanted
            .iter()
            .map(|it| self.namespaces.sockets(it, &is_captured, now))
            .collect();
        let mut inodes = HashMap::new();
        for sockets in &found {
            if let Sockets::Ends(a, b) = sockets {
                for end in [a, b] {
                    if let End::Socket { inode, kind, .. } = &end.end {
                        let prefer = match kind {
                            Kind::Connected => Prefer::Youngest,
                            _ => Prefer::Eldest,
                        };
                        inodes.insert(*inode, prefer);
                    }
                }
            }
        }
        self.processes.search(&inodes, now);
        for (wanted, mut sockets) in wanted.iter().zip(found) {
            if let Sockets::Ends(a, b) = &mut sockets
                && (self.is_nobodys(a.end, now) || self.is_nobodys(b.end, now))
                && let Sockets::Ends(c, d) = self.namespaces.sockets(wanted, &is_captured, now)
            {
                // Nobody has it because it is gone?
                for (old, new) in [(a, c), (b, d)] {
                    if self.is_nobodys(old.end, now) && new.end.inode() != old.end.inode() {
                        *old = gone(*old);
                    }
                }
            }
            let answer = self.answer(wanted, sockets, now);
            each(&wanted.key, answer);
        }
    }

    /// Whether a search of all did not find whose socket it is.
    fn is_nobodys(&mut self, end: End, now: Duration) -> bool {
        let End::Socket { inode, uid, .. } = end else {
            return false;
        };
        matches!(
            self.processes.holder(inode, uid, now),
            Held::ByNobody { .. }
        )
    }

    fn answer(&mut self, wanted: &Wanted, sockets: Sockets, now: Duration) -> Option<Answer> {
        let (source, destination) = match sockets {
            Sockets::Ends(source, destination) => (source, destination),
            Sockets::Translated => {
                return Some(Answer {
                    verdict: Verdict::Translated,
                    gone: false,
                });
            }
        };
        if let (End::Elsewhere, End::Elsewhere) = (source.end, destination.end) {
            let reason = self.namespaces.why_passing(wanted.place.interface);
            return Some(Answer {
                verdict: Verdict::Passing(self.nobody(reason)),
                gone: false,
            });
        }
        // Whoever listens goes on when a connection is over.
        let is_gone = |spot: Spot| match spot.end {
            End::Socket { kind, .. } => matches!(kind, Kind::Listening | Kind::Over),
            // It was not looked for.
            End::Nobody { reason, .. } => reason != Reason::Late,
            End::Elsewhere => true,
        };
        let (from, to) = (self.party(source, now), self.party(destination, now));
        let (Ok(source_party), Ok(destination_party)) = (from, to) else {
            return None;
        };
        Some(Answer {
            verdict: Verdict::Owned {
                source: source_party,
                destination: destination_party,
            },
            gone: is_gone(source) && is_gone(destination),
        })
    }

    /// Whose an end is; an error if that is to be looked for later.
    fn party(&mut self, spot: Spot, now: Duration) -> Result<Party, ()> {
        let Spot { end, sure } = spot;
        let (namespace, inode, uid) = match end {
            End::Elsewhere => return Ok(Party { owner: None, sure }),
            End::Nobody { namespace, reason } => {
                let owner = Some(self.nobody_in(reason, namespace));
                return Ok(Party { owner, sure });
            }
            End::Socket {
                namespace,
                inode,
                uid,
                ..
            } => (namespace, inode, uid),
        };
        let (process, identity) = match self.processes.holder(inode, uid, now) {
            Held::By(process, identity) => (process, identity),
            Held::Unknown => return Err(()),
            Held::ByNobody { hidden } => {
                let reason = match hidden {
                    _ if !self.sees_all => Reason::Unseen,
                    true => Reason::Hidden,
                    false => Reason::Kernel,
                };
                let owner = Some(self.nobody_in(reason, namespace));
                // It may be on its way from one process to another.
                let sure = false;
                return Ok(Party { owner, sure });
            }
        };
        let key = (process, namespace);
        let known = self.somebody.get(&key);
        if let Some(owner) = known
            && Arc::ptr_eq(&owner.identity, &identity)
        {
            let owner = Some(Arc::clone(owner));
            return Ok(Party { owner, sure });
        }
        let owner = Arc::new(Owner {
            process,
            namespace,
            identity,
        });
        self.somebody.insert(key, Arc::clone(&owner));
        let owner = Some(owner);
        Ok(Party { owner, sure })
    }
}

/// In place of a socket that is no longer there.
fn gone(spot: Spot) -> Spot {
    match spot.end {
        End::Socket { namespace, .. } => Spot {
            end: End::Nobody {
                namespace,
                reason: Reason::Ended,
            },
            sure: false,
        },
        _ => spot,
    }
}
