//! What is attached during a round: nothing, empty programs, or netmon.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::Link;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use netmon::collect::accounting::{Accounting, Plan, Settings};
use netmon::collect::batch::{ProgramStatistics, statistics};

#[allow(
    missing_docs,
    dead_code,
    non_snake_case,
    non_camel_case_types,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction
)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/empty.skel.rs"));
}

/// Bits that name the empty programs.
const ENTER: u8 = 1;
const EXIT: u8 = 2;
const SOCKET: u8 = 4;
const SPACE: u8 = 8;

/// What may be attached.
#[derive(Clone, Copy)]
pub enum Variant {
    /// Empty programs on these tracepoints.
    Empty(u8),
    /// netmon's; with the index of the variant that has as many empty ones.
    Netmon(Plan, usize),
}

/// All of them; the first is what the others are compared with.
pub const VARIANTS: [(&str, Variant); 10] = [
    ("no hooks", Variant::Empty(0)),
    ("empty sys_enter", Variant::Empty(ENTER)),
    ("empty sys_exit", Variant::Empty(EXIT)),
    ("empty sys_enter, sys_exit", Variant::Empty(ENTER | EXIT)),
    ("empty sock_*_length", Variant::Empty(SOCKET)),
    ("empty all four", Variant::Empty(ENTER | EXIT | SOCKET)),
    // The tracepoint from which a splice from TCP could be counted without sys_exit.
    (
        "empty rcv_space, no sys_exit",
        Variant::Empty(ENTER | SOCKET | SPACE),
    ),
    (
        "empty all four and rcv_space",
        Variant::Empty(ENTER | EXIT | SOCKET | SPACE),
    ),
    ("netmon --engine socket", Variant::Netmon(Plan::Socket, 4)),
    (
        "netmon --engine syscall",
        Variant::Netmon(Plan::Residual, 7),
    ),
];

/// Whatever has to stay alive for the programs to stay attached.
pub enum Attached {
    Empty {
        _links: Vec<Link>,
        programs: Vec<(&'static str, OwnedFd)>,
    },
    Netmon(Box<Accounting>),
}

impl Attached {
    /// Name and statistics of each program.
    pub fn statistics(&self) -> Vec<(&'static str, ProgramStatistics)> {
        match self {
            Attached::Netmon(accounting) => accounting.statistics(),
            Attached::Empty { programs, .. } => programs
                .iter()
                .filter_map(|(name, fd)| Some((*name, statistics(fd.as_fd()).ok()?)))
                .collect(),
        }
    }
}

impl Variant {
    /// Loads and attaches it.
    pub fn attach(self) -> Attached {
        match self {
            Variant::Empty(which) => attach_empty(which),
            Variant::Netmon(plan, _) => {
                let settings = Settings {
                    plans: vec![plan],
                    max_flows: 10_240,
                    pin: None,
                };
                let accounting = Accounting::open(&settings).expect("netmon loads");
                Attached::Netmon(Box::new(accounting))
            }
        }
    }
}

fn attach_empty(which: u8) -> Attached {
    let mut storage = MaybeUninit::uninit();
    let loaded = skeleton::EmptySkelBuilder::default()
        .open(&mut storage)
        .and_then(OpenSkel::load)
        .expect("the empty programs load");
    let all = [
        (SOCKET, "sock_send_length", &loaded.progs.empty_sock_send),
        (SOCKET, "sock_recv_length", &loaded.progs.empty_sock_recv),
        (
            SPACE,
            "tcp_rcv_space_adjust",
            &loaded.progs.empty_receive_space,
        ),
        (EXIT, "sys_exit", &loaded.progs.empty_sys_exit),
        (ENTER, "sys_enter", &loaded.progs.empty_sys_enter),
    ];
    let (mut links, mut programs) = (Vec::new(), Vec::new());
    for (_, name, program) in all.into_iter().filter(|(bit, ..)| which & bit != 0) {
        links.push(program.attach().expect("it attaches"));
        let fd = program.as_fd().try_clone_to_owned();
        programs.push((name, fd.expect("a descriptor")));
    }
    Attached::Empty {
        _links: links,
        programs,
    }
}
