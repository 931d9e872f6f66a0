//! A process that does with sockets what it is told, line by line, and says what it
//! really moved.
//!
//! Owns both ends: the child's work ([`main`]) and the handle that starts, tells and reaps
//! it. Knows nothing of netmon.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::socket::sockopt::{BindToDevice, ReusePort};
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn,
};
use nix::unistd::{ForkResult, fork};

/// The argument that makes the test program a puppet.
pub const OPTION: &str = "--puppet";

/// The variable that lets a puppet end its first thread, and go on by another.
pub const LEADERLESS: &str = "PUPPET_LEADERLESS";

/// A running puppet; killed and reaped when dropped.
pub struct Puppet {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Puppet {
    /// Starts the command of this test program, as a puppet.
    pub fn start(mut command: Command) -> anyhow::Result<Puppet> {
        let mut child = command
            .arg(OPTION)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a puppet")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Puppet {
            child,
            input,
            output,
        })
    }

    /// Its process id: what starts it in a namespace becomes it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it what to do, and does not wait for it.
    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("already ended")?;
        Ok(writeln!(input, "{line}")?)
    }

    /// What it says next.
    pub fn hear(&mut self) -> anyhow::Result<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let line = line.trim_end();
        line.parse().with_context(|| format!("it says `{line}`"))
    }

    /// Tells it what to do and returns the number that it says.
    pub fn ask(&mut self, line: &str) -> anyhow::Result<u64> {
        self.tell(line)?;
        self.hear().with_context(|| line.to_owned())
    }

    /// Lets it end.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.input = None;
        ensure!(self.child.wait()?.success(), "the puppet failed");
        Ok(())
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a puppet has in its hands.
#[derive(Default)]
struct Hands {
    listener: Option<TcpListener>,
    stream: Option<TcpStream>,
    socket: Option<UdpSocket>,
    /// Those that it had before, still open.
    kept: Vec<UdpSocket>,
}

/// The child: does what it is told until nobody tells it any more.
pub fn main() -> anyhow::Result<()> {
    if std::env::var_os(LEADERLESS).is_some() {
        std::thread::spawn(|| std::process::exit(i32::from(obey_all().is_err())));
        // SAFETY: it ends this thread alone, which holds nothing that another one needs.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    obey_all()
}

fn obey_all() -> anyhow::Result<()> {
    let mut hands = Hands::default();
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let said = hands.obey(&words).with_context(|| line.clone())?;
        println!("{said}");
    }
    Ok(())
}

/// Asks for echoes by a socket to which the kernel adds the checksum; bytes that came
/// back, with ICMP's headers.
fn ping(address: &str, size: usize, count: usize) -> anyhow::Result<u64> {
    let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
    let flags = SockFlag::empty();
    let ping = socket::socket(family, kind, flags, SockProtocol::Icmp)?;
    let to = SockaddrIn::from(SocketAddrV4::new(address.parse()?, 0));
    let mut message = vec![0; 8 + size];
    message[0] = ECHO;
    let mut moved = 0;
    for _ in 0..count {
        socket::sendto(ping.as_raw_fd(), &message, &to, MsgFlags::empty())?;
        let mut room = vec![0; message.len()];
        moved += socket::recv(ping.as_raw_fd(), &mut room, MsgFlags::empty())?;
    }
    Ok(moved as u64)
}

/// The type of an echo request.
const ECHO: u8 = 8;

impl Hands {
    fn obey(&mut self, words: &[&str]) -> anyhow::Result<u64> {
        let said = match words {
            ["listen", address] => {
                let listener = TcpListener::bind(address)?;
                let port = listener.local_addr()?.port();
                self.listener = Some(listener);
                port.into()
            }
            ["connect", address] => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                let port = stream.local_addr()?.port();
                self.stream = Some(stream);
                port.into()
            }
            ["accept"] => {
                let (stream, from) = self.listener.as_ref().context("no listener")?.accept()?;
                self.stream = Some(stream);
                from.port().into()
            }
            ["send", size, count] => {
                let (message, count) = (vec![b'n'; size.parse()?], count.parse::<u64>()?);
                for _ in 0..count {
                    self.stream()?.write_all(&message)?;
                }
                message.len() as u64 * count
            }
            ["receive", bytes] => {
                let bytes = bytes.parse()?;
                let mut limited = self.stream()?.take(bytes);
                let moved = std::io::copy(&mut limited, &mut std::io::sink())?;
                ensure!(moved == bytes, "only {moved}");
                moved
            }
            ["bind", address] => {
                let socket = UdpSocket::bind(address)?;
                socket.set_broadcast(true)?;
                self.take_up(socket)?
            }
            ["share", address] => {
                let flags = SockFlag::empty();
                let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
                let socket = socket::socket(family, kind, flags, None)?;
                socket::setsockopt(&socket, ReusePort, &true)?;
                socket::bind(socket.as_raw_fd(), &address.parse::<SockaddrIn>()?)?;
                self.take_up(UdpSocket::from(socket))?
            }
            ["gather"] => {
                let socket = self.socket()?;
                socket.set_nonblocking(true)?;
                let mut moved = 0;
                // All of it was sent before this was asked for.
                while let Ok(length) = socket.recv(&mut [0; 2000]) {
                    moved += length as u64;
                }
                moved
            }
            ["point", address] => {
                self.socket()?.connect(address)?;
                0
            }
            ["device", name] => {
                let name = std::ffi::OsString::from(name);
                socket::setsockopt(self.socket()?, BindToDevice, &name)?;
                0
            }
            ["sendto", address, size, count] => {
                let (message, count) = (vec![b'n'; size.parse()?], count.parse::<u64>()?);
                let mut moved = 0;
                for _ in 0..count {
                    moved += match *address {
                        "-" => self.socket()?.send(&message)?,
                        address => self.socket()?.send_to(&message, address)?,
                    };
                    // So that none is lost.
                    std::thread::sleep(Duration::from_micros(200));
                }
                moved as u64
            }
            ["ping", address, size, count] => ping(address, size.parse()?, count.parse()?)?,
            ["rest", milliseconds] => {
                std::thread::sleep(Duration::from_millis(milliseconds.parse()?));
                0
            }
            ["fork", size, count] => self.fork(size, count)?,
            ["leave"] => std::process::exit(0),
            words => bail!("nobody taught it {words:?}"),
        };
        Ok(said)
    }

    /// Lets a child send on the connection, which this process closes; the child's id.
    fn fork(&mut self, size: &str, count: &str) -> anyhow::Result<u64> {
        // SAFETY: this process has one thread.
        match unsafe { fork()? } {
            ForkResult::Parent { child } => {
                self.stream = None;
                Ok(u64::try_from(child.as_raw())?)
            }
            ForkResult::Child => {
                self.listener = None;
                for _ in 0..count.parse()? {
                    self.obey(&["send", size, "1"])?;
                    std::thread::sleep(Duration::from_millis(5));
                }
                // Whoever looks at it must find it.
                std::thread::sleep(Duration::from_secs(2));
                std::process::exit(0);
            }
        }
    }

    /// Another socket for datagrams; its port.
    fn take_up(&mut self, socket: UdpSocket) -> anyhow::Result<u64> {
        let port = socket.local_addr()?.port();
        self.kept.extend(self.socket.replace(socket));
        Ok(port.into())
    }

    fn stream(&mut self) -> anyhow::Result<&mut TcpStream> {
        self.stream.as_mut().context("no connection")
    }

    fn socket(&mut self) -> anyhow::Result<&mut UdpSocket> {
        self.socket.as_mut().context("no socket")
    }
}
