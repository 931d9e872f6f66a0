//! The calls whose cost is measured: one byte by UDP and TCP, and none at all.
//!
//! Each is a loop on one thread; knows nothing of what is attached.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How many kinds of work there are.
pub const KINDS: usize = 4;

/// What each is called.
pub const NAMES: [&str; KINDS] = ["UDP", "UDP by name", "TCP", "getppid"];

/// The sockets of one thread that talks to itself.
pub struct Work {
    connected: UdpSocket,
    named: (UdpSocket, SocketAddr),
    near: TcpStream,
    far: TcpStream,
}

impl Work {
    pub fn new() -> Work {
        let connected = udp();
        let named = udp();
        let address = |socket: &UdpSocket| socket.local_addr().expect("a bound socket has one");
        connected
            .connect(address(&connected))
            .expect("a socket can talk to itself");
        let there = address(&named);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback binds");
        let to = listener.local_addr().expect("a bound socket has one");
        let near = TcpStream::connect(to).expect("loopback connects");
        near.set_nodelay(true).expect("it can be set");
        let (far, _) = listener.accept().expect("loopback accepts");
        Work {
            connected,
            named: (named, there),
            near,
            far,
        }
    }

    /// CPU time of one of `count` rounds, in ns: a send and a receive, or one `getppid`.
    pub fn nanoseconds(&mut self, kind: usize, count: u32) -> f64 {
        let mut byte = [7];
        let start = cpu_time();
        match NAMES[kind] {
            "UDP" => {
                for _ in 0..count {
                    self.connected.send(&byte).expect("loopback takes it");
                    let _ = self.connected.recv(&mut byte);
                }
            }
            "UDP by name" => {
                let (socket, address) = &self.named;
                for _ in 0..count {
                    socket.send_to(&byte, address).expect("loopback takes it");
                    let _ = socket.recv_from(&mut byte);
                }
            }
            "TCP" => {
                for _ in 0..count {
                    self.near.write_all(&byte).expect("loopback takes it");
                    self.far.read_exact(&mut byte).expect("it arrives");
                }
            }
            _ => {
                for _ in 0..count {
                    black_box(nix::unistd::getppid());
                }
            }
        }
        (cpu_time() - start).as_nanos() as f64 / f64::from(count)
    }
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
    // A loaded machine drops datagrams even on loopback: such a pair is not waited for.
    let patience = Duration::from_millis(100);
    socket
        .set_read_timeout(Some(patience))
        .expect("it can be set");
    socket
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("the thread's CPU clock exists")
        .into()
}
