//! Numbers of processes, remotes, interfaces, protocols and classes in the tables.
//!
//! Owns which number a name has, and a bounded memory of them; a failed transaction
//! takes new numbers back, and then it must be [`forgotten`](Names::forget).

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use rusqlite::{Connection, Result, params};

use crate::model::endpoint::Address;
use crate::model::flow::Protocol;
use crate::model::interface::Class;
use crate::model::sample::Identity;

/// Most numbers remembered, of processes and of remotes each: about 20 MB in all.
const REMEMBERED: usize = 65_536;

/// The numbers that were asked for lately; see the module's text.
#[derive(Debug, Default)]
pub struct Names {
    processes: HashMap<Who, Known, RandomState>,
    remotes: HashMap<Address, Known, RandomState>,
    interfaces: HashMap<Arc<str>, Known, RandomState>,
    /// By the address of an identity that somebody holds: only as long as one bucket.
    identities: HashMap<usize, i64, RandomState>,
}

/// What makes two processes different in the tables.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Who {
    name: String,
    executable: String,
    uid: u32,
    unit: String,
    container: String,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    id: i64,
    /// As the column `last_seen`.
    last_seen: i64,
}

/// Fills the tables of protocols and classes, which a newer netmon may know more of.
///
/// # Errors
/// If the file cannot be written.
pub fn write_constants(connection: &Connection) -> Result<()> {
    let mut insert =
        connection.prepare("INSERT OR IGNORE INTO protocol (id, name) VALUES (?1, ?2)")?;
    insert.execute((0, ""))?;
    for known in Protocol::ALL {
        insert.execute((protocol(Some(known)), known.name()))?;
    }
    let mut insert =
        connection.prepare("INSERT OR IGNORE INTO class (id, name) VALUES (?1, ?2)")?;
    for known in Class::ALL {
        insert.execute((class(known), known.name()))?;
    }
    Ok(())
}

/// The number of a protocol: 0 where it is not known.
pub fn protocol(protocol: Option<Protocol>) -> i64 {
    // There are nine.
    protocol.map_or(0, |protocol| protocol.index() as i64 + 1)
}

/// The number of a class.
pub fn class(class: Class) -> i64 {
    // There are seven.
    class as i64 + 1
}

impl Names {
    /// Begins a bucket.
    pub fn begin(&mut self) {
        self.identities.clear();
        if self.processes.len() > REMEMBERED {
            self.processes.clear();
        }
        if self.remotes.len() > REMEMBERED {
            self.remotes.clear();
        }
        if self.interfaces.len() > REMEMBERED {
            self.interfaces.clear();
        }
    }

    /// Forgets all numbers.
    pub fn forget(&mut self) {
        self.identities.clear();
        self.processes.clear();
        self.remotes.clear();
        self.interfaces.clear();
    }

    /// The number of a process that moved bytes in the hour that began at `hour`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn process(
        &mut self,
        connection: &Connection,
        identity: &Arc<Identity>,
        hour: i64,
    ) -> Result<i64> {
        let address = Arc::as_ptr(identity).addr();
        if let Some(id) = self.identities.get(&address) {
            return Ok(*id);
        }
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let who = Who {
            name: identity.name.clone(),
            executable: text(&identity.executable),
            uid: identity.uid,
            unit: text(&identity.unit),
            container: text(&identity.container),
        };
        let id = match self.processes.get(&who) {
            Some(known) if known.last_seen >= hour => known.id,
            _ => {
                let id = insert_process(connection, &who, &identity.user, hour)?;
                let last_seen = hour;
                self.processes.insert(who, Known { id, last_seen });
                id
            }
        };
        self.identities.insert(address, id);
        Ok(id)
    }

    /// The number of a remote that was talked to in the hour that began at `hour`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remote(
        &mut self,
        connection: &Connection,
        remote: Option<Address>,
        hour: i64,
    ) -> Result<i64> {
        let Some(address) = remote else {
            return Ok(0);
        };
        if let Some(known) = self.remotes.get(&address)
            && known.last_seen >= hour
        {
            return Ok(known.id);
        }
        let id = connection
            .prepare_cached(
                "INSERT INTO remote (address, last_seen) VALUES (?1, ?2)
                 ON CONFLICT (address) DO UPDATE SET last_seen = max(last_seen, ?2)
                 RETURNING id",
            )?
            .query_row((address.to_string(), hour), |row| row.get(0))?;
        let last_seen = hour;
        self.remotes.insert(address, Known { id, last_seen });
        Ok(id)
    }

    /// The number of an interface that moved something in the hour that began at `hour`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn interface(
        &mut self,
        connection: &Connection,
        name: &Arc<str>,
        hour: i64,
    ) -> Result<i64> {
        if let Some(known) = self.interfaces.get(name)
            && known.last_seen >= hour
        {
            return Ok(known.id);
        }
        let id = connection
            .prepare_cached(
                "INSERT INTO interface (name, last_seen) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET last_seen = max(last_seen, ?2)
                 RETURNING id",
            )?
            .query_row((&**name, hour), |row| row.get(0))?;
        let last_seen = hour;
        let known = Known { id, last_seen };
        self.interfaces.insert(Arc::clone(name), known);
        Ok(id)
    }
}

fn insert_process(connection: &Connection, who: &Who, user: &str, hour: i64) -> Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO process (name, executable, uid, user, unit, container, last_seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (name, executable, uid, unit, container)
             DO UPDATE SET user = ?4, last_seen = max(last_seen, ?7)
             RETURNING id",
        )?
        .query_row(
            params![
                who.name,
                who.executable,
                who.uid,
                user,
                who.unit,
                who.container,
                hour
            ],
            |row| row.get(0),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Histories hold these numbers for years: a new one comes last.
    #[test]
    fn each_protocol_and_class_keeps_its_number() {
        let names = [
            "tcp", "udp", "icmp", "sctp", "mptcp", "raw", "packet", "vsock", "other",
        ];
        assert_eq!(Protocol::ALL.map(Protocol::name), names);
        assert_eq!(protocol(None), 0);
        assert_eq!(
            Protocol::ALL.map(|it| protocol(Some(it))),
            [1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
        let names = ["tcp", "udp", "icmp", "other_ip", "not_ip", "http", "https"];
        assert_eq!(Class::ALL.map(Class::name), names);
        assert_eq!(Class::ALL.map(class), [1, 2, 3, 4, 5, 6, 7]);
    }
}
