//! Where the tests play: namespaces with netmon and puppets in them.

use std::ffi::OsStr;
use std::process::Command;

use crate::netmon::{BINARY, Live};
use crate::puppet::Puppet;
use crate::space::Space;

/// A command in a namespace.
pub fn command(space: &Space, program: impl AsRef<OsStr>) -> Command {
    let mut command = space.command();
    command.arg(program);
    command
}

/// A puppet in a namespace, where from then on nothing is sent again because an answer is
/// late, or because one packet overtook another, as they do where a sender changes its CPU:
/// the packet engine would count it again.
pub fn puppet(space: &Space) -> anyhow::Result<Puppet> {
    puppet_by(space, command(space, std::env::current_exe()?))
}

/// The same, started by a command of its own.
pub fn puppet_by(space: &Space, command: Command) -> anyhow::Result<Puppet> {
    space.sh("cd /proc/sys/net/ipv4
         echo 0 > tcp_early_retrans
         echo 0 > tcp_sack
         echo 127 > tcp_reordering
         test ! -e tcp_rto_min_us || echo 5000000 > tcp_rto_min_us")?;
    Puppet::start(command)
}

/// What follows the binary's name, or stands in for it, to stream by the packet engine.
pub const STREAM: [&str; 5] = ["stream", "--engine", "packet", "--interval", "200ms"];

/// A stream of the packet engine in a namespace, which counts when this returns.
pub fn netmon(space: &Space, arguments: &[&str]) -> anyhow::Result<Live> {
    counting(command(space, BINARY).args(STREAM).args(arguments))
}

/// Starts a stream, which counts when this returns.
pub fn counting(command: &mut Command) -> anyhow::Result<Live> {
    let mut live = Live::start(command)?;
    live.line()?;
    Ok(live)
}

/// Lets a client connect to a server that is to listen at `listen`; the port.
pub fn connect(
    (client, connect): (&mut Puppet, &str),
    (server, listen): (&mut Puppet, &str),
) -> anyhow::Result<u64> {
    let port = server.ask(&format!("listen {listen}:0"))?;
    client.ask(&format!("connect {connect}:{port}"))?;
    server.ask("accept")
}
