//! On which TCP port a process listens, as the kernel says: no log is read for it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::netmon::PATIENCE;

/// State `LISTEN` in `/proc/net/tcp` (include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// Waits until the process listens on IPv4; `alive` fails when there is nothing left to
/// wait for.
pub fn port(pid: u32, mut alive: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<u16> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        alive()?;
        if let Some(port) = look(pid) {
            return Ok(port);
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("process {pid} does not listen within {PATIENCE:?}")
}

fn look(pid: u32) -> Option<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (_, port) = local.split_once(':')?;
        let mine = *state == LISTEN && sockets.iter().any(|socket| socket == inode);
        mine.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    })
}
