//! What can hardly be undercut: a TPACKET_V3 loop that counts bytes by source, without
//! filter, parser, checks or table.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use super::capturers::{BLOCK_COUNT, BLOCK_SIZE, BLOCK_TIMEOUT_MS, FRAME_SIZE};

pub struct Bare {
    socket: OwnedFd,
    ring: *mut u8,
    block: usize,
    /// Bytes by the last 16 bits of an IPv4 source.
    pub bytes: Vec<u64>,
    pub packets: usize,
}

impl Bare {
    pub fn open(interface: u32) -> Bare {
        // SAFETY: each call gets pointers to values that outlive it, with their sizes; the
        // mapping is checked before it is used.
        unsafe {
            let raw = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
            assert!(raw >= 0, "socket: {}", std::io::Error::last_os_error());
            let socket = OwnedFd::from_raw_fd(raw);
            let version = libc::tpacket_versions::TPACKET_V3 as i32;
            set(&socket, libc::PACKET_VERSION, &version);
            let request = libc::tpacket_req3 {
                tp_block_size: BLOCK_SIZE,
                tp_block_nr: BLOCK_COUNT,
                tp_frame_size: FRAME_SIZE,
                tp_frame_nr: BLOCK_SIZE / FRAME_SIZE * BLOCK_COUNT,
                tp_retire_blk_tov: BLOCK_TIMEOUT_MS,
                tp_sizeof_priv: 0,
                tp_feature_req_word: 0,
            };
            set(&socket, libc::PACKET_RX_RING, &request);
            let (length, access) = (length(), libc::PROT_READ | libc::PROT_WRITE);
            let ring = libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, raw, 0);
            assert_ne!(ring, libc::MAP_FAILED);
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            address.sll_ifindex = interface as i32;
            let size = size_of_val(&address) as u32;
            assert_eq!(libc::bind(raw, (&raw const address).cast(), size), 0);
            Bare {
                socket,
                ring: ring.cast(),
                block: 0,
                bytes: vec![0; 1 << 16],
                packets: 0,
            }
        }
    }

    /// Waits for a block at the longest `milliseconds` and counts what is there.
    pub fn turn(&mut self, milliseconds: i32) -> bool {
        let before = self.packets;
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the ring is laid out as linux/if_packet.h says; the kernel's offsets are
        // trusted, as a bare loop does. Only blocks that the kernel gave away are read.
        unsafe {
            let block = |number: usize| {
                self.ring
                    .add(number * BLOCK_SIZE as usize)
                    .cast::<libc::tpacket_block_desc>()
            };
            if (*block(self.block)).hdr.bh1.block_status & libc::TP_STATUS_USER == 0 {
                libc::poll(&mut poll, 1, milliseconds);
            }
            loop {
                let header = &raw mut (*block(self.block)).hdr.bh1;
                let status = &raw mut (*header).block_status;
                if status.read_volatile() & libc::TP_STATUS_USER == 0 {
                    break;
                }
                std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
                let first = (*header).offset_to_first_pkt as usize;
                let mut at = block(self.block).cast::<u8>().add(first);
                for _ in 0..(*header).num_pkts {
                    let frame = at.cast::<libc::tpacket3_hdr>();
                    let network = at.add((*frame).tp_net as usize);
                    let source = network.add(14).cast::<u16>().read_unaligned();
                    self.bytes[usize::from(source)] += u64::from((*frame).tp_len);
                    at = at.add((*frame).tp_next_offset as usize);
                }
                self.packets += (*header).num_pkts as usize;
                std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
                status.write_volatile(libc::TP_STATUS_KERNEL);
                self.block = (self.block + 1) % BLOCK_COUNT as usize;
            }
        }
        self.packets != before
    }

    pub fn drops(&self) -> u64 {
        // SAFETY: pointer and length describe `counts`, plain integers.
        unsafe {
            let mut counts: libc::tpacket_stats_v3 = std::mem::zeroed();
            let mut size = size_of_val(&counts) as u32;
            let (level, name) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
            let value = (&raw mut counts).cast();
            libc::getsockopt(self.socket.as_raw_fd(), level, name, value, &mut size);
            u64::from(counts.tp_drops)
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `open` made.
        unsafe { libc::munmap(self.ring.cast(), length()) };
    }
}

fn length() -> usize {
    BLOCK_SIZE as usize * BLOCK_COUNT as usize
}

/// # Safety
/// As for the option `name` of packet sockets; it must have the type T.
unsafe fn set<T>(socket: &OwnedFd, name: i32, value: &T) {
    let (value, size) = (ptr::from_ref(value).cast(), size_of::<T>() as u32);
    // SAFETY: pointer and size describe one T.
    let code = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, name, value, size) };
    assert_eq!(code, 0, "setsockopt: {}", std::io::Error::last_os_error());
}
