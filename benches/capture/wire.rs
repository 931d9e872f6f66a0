//! The wire and who sends on it: a veth pair, and a thread with sockets at its near end.
//!
//! Both namespaces are threads': this one's from when [`Wire::new`] returns, and the
//! sender's. With them the wire goes.

use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

/// Addresses that are sent from.
const SOURCES: u8 = 16;
/// Messages of one call.
const BATCH: usize = 64;
/// Bytes of a message: a frame of 60, Ethernet's least without its checksum.
const BYTES: usize = 18;

/// What was sent.
pub struct Sent {
    pub packets: usize,
    pub nanoseconds: u64,
}

pub struct Wire {
    asked: Sender<usize>,
    sent: Receiver<Sent>,
}

impl Wire {
    /// Moves this thread into a namespace with the far end, and starts the sender.
    pub fn new() -> Wire {
        enter_namespace();
        pin(true);
        ip("link add near type veth peer name far");
        let (asked, questions) = channel();
        let (answers, sent) = channel();
        let (say, number) = channel();
        let sender = thread::Builder::new().name("sender".to_owned());
        let work = move || {
            enter_namespace();
            pin(false);
            // SAFETY: no pointers.
            say.send(unsafe { libc::gettid() }).expect("a listener");
            send_all(&questions, &answers);
        };
        sender.spawn(work).expect("a thread");
        let sender = number.recv().expect("the sender's number");
        ip(&format!("link set near netns {sender}"));
        ip("link set far address 02:00:00:00:00:02 up");
        // Nobody is there; what arrives is dropped without an answer.
        ip("route add blackhole 10.77.1.0/24");
        let wire = Wire { asked, sent };
        wire.asked.send(0).expect("a sender");
        wire.sent.recv().expect("a sender that is ready");
        wire
    }

    /// Sends at least so many packets at once.
    pub fn send(&mut self, packets: usize) -> Sent {
        self.asked.send(packets).expect("a sender");
        self.sent.recv().expect("what was sent")
    }
}

fn enter_namespace() {
    // SAFETY: no pointers; only this thread moves.
    let code = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(code, 0, "unshare: {}", std::io::Error::last_os_error());
}

/// Keeps this thread, and what it starts, on the last CPU, else on the first.
fn pin(last: bool) {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: a set is plain bits, the CPU's number far below its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(if last { cpus - 1 } else { 0 }, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).status();
    assert!(done.is_ok_and(|status| status.success()), "ip {words}");
}

/// The first question waits for the wire.
fn send_all(questions: &Receiver<usize>, answers: &Sender<Sent>) {
    let mut sockets: Vec<UdpSocket> = Vec::new();
    while let Ok(packets) = questions.recv() {
        if sockets.is_empty() {
            sockets = open();
        }
        let start = Instant::now();
        let mut sent = 0;
        while sent < packets {
            for socket in &sockets {
                sent += send(socket);
            }
        }
        let nanoseconds = start.elapsed().as_nanos() as u64;
        if answers
            .send(Sent {
                packets: sent,
                nanoseconds,
            })
            .is_err()
        {
            return;
        }
    }
}

fn open() -> Vec<UdpSocket> {
    ip("link set near up");
    for last in 1..=SOURCES {
        ip(&format!("addr add 10.77.0.{last}/16 dev near"));
    }
    ip("neigh add 10.77.1.1 lladdr 02:00:00:00:00:02 dev near");
    (1..=SOURCES)
        .map(|last| {
            let socket = UdpSocket::bind((IpAddr::from([10, 77, 0, last]), 0)).expect("a socket");
            socket.connect("10.77.1.1:9").expect("a peer");
            socket
        })
        .collect()
}

/// One call; how many messages the kernel took.
fn send(socket: &UdpSocket) -> usize {
    let mut data = [0_u8; BYTES];
    let mut part = libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: BYTES,
    };
    // SAFETY: mmsghdr is plain integers and pointers, for which zero is valid.
    let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for message in &mut messages {
        message.msg_hdr.msg_iov = &mut part;
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: all headers point at `part`, and that at `data`; all outlive the call.
    let sent =
        unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), BATCH as u32, 0) };
    assert!(sent > 0, "sendmmsg: {}", std::io::Error::last_os_error());
    sent as usize
}
