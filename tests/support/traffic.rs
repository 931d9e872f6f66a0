//! Known traffic from a process of its own: this very test program, started again.
//!
//! Owns both ends: the child's work ([`main`]) and the handle that starts, tells
//! and reaps it. Knows nothing of netmon.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};

/// The first argument that makes the test program a generator.
pub const OPTION: &str = "--traffic";

/// What a generator does, between two sockets of its own on loopback.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The process's name, at most 15 bytes.
    pub name: String,
    /// TCP, else UDP.
    pub tcp: bool,
    /// Loopback of either family.
    pub address: IpAddr,
    /// Bytes per message.
    pub size: usize,
    /// Messages; 0 to go on until told to stop.
    pub count: usize,
    /// Rest after each message.
    pub pause: Duration,
    /// Under which user and group id it runs.
    pub uid: u32,
    /// Directory of the cgroup it moves itself to.
    pub cgroup: Option<String>,
}

impl Plan {
    /// `count` UDP messages of `size` bytes without a rest, as the present user.
    pub fn udp(name: &str, size: usize, count: usize) -> Plan {
        Plan {
            name: name.to_owned(),
            tcp: false,
            address: IpAddr::from([127, 0, 0, 1]),
            size,
            count,
            pause: Duration::ZERO,
            uid: nix::unistd::geteuid().as_raw(),
            cgroup: None,
        }
    }

    /// UDP messages of `size` bytes every `pause` for as long as the handle lives.
    pub fn endless(name: &str, size: usize, pause: Duration) -> Plan {
        Plan {
            pause,
            ..Plan::udp(name, size, 0)
        }
    }

    /// The same over TCP.
    pub fn over_tcp(self) -> Plan {
        Plan { tcp: true, ..self }
    }

    fn words(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.tcp.to_string(),
            self.address.to_string(),
            self.size.to_string(),
            self.count.to_string(),
            self.pause.as_micros().to_string(),
            self.uid.to_string(),
            self.cgroup.clone().unwrap_or_default(),
        ]
    }

    fn from_words(words: &[String]) -> anyhow::Result<Plan> {
        let [name, tcp, address, size, count, pause, uid, cgroup] = words else {
            anyhow::bail!("not a plan: {words:?}");
        };
        Ok(Plan {
            name: name.clone(),
            tcp: tcp.parse()?,
            address: address.parse()?,
            size: size.parse()?,
            count: count.parse()?,
            pause: Duration::from_micros(pause.parse()?),
            uid: uid.parse()?,
            cgroup: Some(cgroup.clone()).filter(|path| !path.is_empty()),
        })
    }
}

/// Bytes sent and received, operations that sent and received: what the calls
/// returned. A loaded machine drops datagrams, even on loopback.
pub type Moved = [u64; 4];

/// How long a datagram may take before it is taken for lost.
pub const LOST: Duration = Duration::from_millis(300);

/// A running generator; killed and reaped when dropped.
pub struct Traffic {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Port of the sending and of the receiving socket.
    pub ports: (u16, u16),
}

impl Traffic {
    /// Starts a generator, which has its sockets and waits.
    pub fn prepare(plan: &Plan) -> anyhow::Result<Traffic> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(OPTION)
            .args(plan.words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the generator")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no output")?;
        let mut traffic = Traffic {
            child,
            input,
            output: BufReader::new(output),
            ports: (0, 0),
        };
        let line = traffic.line()?;
        let (from, to) = line.split_once(' ').context("no ports")?;
        traffic.ports = (from.parse()?, to.parse()?);
        Ok(traffic)
    }

    /// Starts a generator and lets it go.
    pub fn start(plan: &Plan) -> anyhow::Result<Traffic> {
        let mut traffic = Traffic::prepare(plan)?;
        traffic.go()?;
        Ok(traffic)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the generator ended unexpectedly");
        Ok(line.trim_end().to_owned())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it move its bytes.
    pub fn go(&mut self) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("already ended")?;
        Ok(writeln!(input, "go")?)
    }

    /// Waits until all is moved.
    pub fn moved(&mut self) -> anyhow::Result<Moved> {
        let line = self.line()?;
        let numbers: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
        let moved = Moved::try_from(numbers?).ok();
        moved.with_context(|| format!("not four numbers: {line}"))
    }

    /// Tells an endless one to stop, waits until it has, and lets it end.
    pub fn end(mut self) -> anyhow::Result<Moved> {
        self.input = None;
        let moved = self.moved()?;
        self.child.wait()?;
        Ok(moved)
    }

    /// Lets one that has said what it moved end.
    pub fn reap(mut self) -> anyhow::Result<()> {
        self.input = None;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child: what it does when the test program is started with [`OPTION`].
pub fn main(words: &[String]) -> anyhow::Result<()> {
    let plan = Plan::from_words(words)?;
    let name = std::ffi::CString::new(plan.name.as_str())?;
    nix::sys::prctl::set_name(&name)?;
    if let Some(directory) = &plan.cgroup {
        std::fs::write(format!("{directory}/cgroup.procs"), "0")?;
    }
    if plan.uid != nix::unistd::geteuid().as_raw() {
        nix::unistd::setgid(plan.uid.into())?;
        nix::unistd::setuid(plan.uid.into())?;
    }
    let mut pair = Pair::new(&plan)?;
    let (from, to) = pair.ports()?;
    println!("{from} {to}");

    let mut line = String::new();
    let mut input = BufReader::new(std::io::stdin());
    input.read_line(&mut line)?;
    let over = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            // The end of the input, or of whoever held it.
            let _ = input.read_to_end(&mut Vec::new());
            over.store(true, Ordering::Relaxed);
        }
    });
    let mut left = plan.count;
    while left > 0 || plan.count == 0 && !over.load(Ordering::Relaxed) {
        pair.move_one()?;
        left = left.saturating_sub(1);
        if !plan.pause.is_zero() {
            std::thread::sleep(plan.pause);
        }
    }
    println!("{}", pair.moved.map(|number| number.to_string()).join(" "));
    watcher.join().map_err(|_| anyhow::anyhow!("no end"))
}

enum Ends {
    Udp(UdpSocket, UdpSocket),
    Tcp(TcpStream, TcpStream),
}

struct Pair {
    ends: Ends,
    message: Vec<u8>,
    room: Vec<u8>,
    moved: Moved,
}

impl Pair {
    fn new(plan: &Plan) -> anyhow::Result<Pair> {
        let any = SocketAddr::new(plan.address, 0);
        let ends = if plan.tcp {
            let listener = TcpListener::bind(any)?;
            let from = TcpStream::connect(listener.local_addr()?)?;
            from.set_nodelay(true)?;
            Ends::Tcp(from, listener.accept()?.0)
        } else {
            let (from, to) = (UdpSocket::bind(any)?, UdpSocket::bind(any)?);
            from.connect(to.local_addr()?)?;
            to.connect(from.local_addr()?)?;
            to.set_read_timeout(Some(LOST))?;
            Ends::Udp(from, to)
        };
        Ok(Pair {
            ends,
            message: vec![b'n'; plan.size],
            room: vec![0; plan.size],
            moved: [0; 4],
        })
    }

    fn ports(&self) -> anyhow::Result<(u16, u16)> {
        let (from, to) = match &self.ends {
            Ends::Udp(from, to) => (from.local_addr()?, to.local_addr()?),
            Ends::Tcp(from, to) => (from.local_addr()?, to.local_addr()?),
        };
        Ok((from.port(), to.port()))
    }

    /// Sends one message and receives all of it, if it arrives.
    fn move_one(&mut self) -> anyhow::Result<()> {
        let size = self.message.len();
        match &mut self.ends {
            Ends::Udp(from, to) => {
                let sent = from.send(&self.message)?;
                count(&mut self.moved, 0, sent);
                match to.recv(&mut self.room) {
                    Ok(received) => count(&mut self.moved, 1, received),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ends::Tcp(from, to) => {
                let mut sent = 0;
                while sent < size {
                    let length = from.write(&self.message[sent..])?;
                    count(&mut self.moved, 0, length);
                    sent += length;
                }
                let mut received = 0;
                while received < size {
                    let length = to.read(&mut self.room[received..])?;
                    ensure!(length > 0, "the connection ended");
                    count(&mut self.moved, 1, length);
                    received += length;
                }
            }
        }
        Ok(())
    }
}

/// Counts one operation of direction 0 (sent) or 1 (received).
pub fn count(moved: &mut Moved, direction: usize, bytes: usize) {
    moved[direction] += bytes as u64;
    moved[direction + 2] += 1;
}
