/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few kernel types the programs touch, and the kernel constants they need.
 *
 * Only the fields that are read are listed: preserve_access_index makes libbpf
 * relocate each access to the running kernel's layout (CO-RE), so neither the
 * order nor the completeness of these structs matters. Names and types were
 * checked against Linux 6.1, 6.12 and 6.18.
 */
#ifndef NETMON_KERNEL_H
#define NETMON_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

/* clang-format off */
#define AF_UNSPEC    0
#define AF_UNIX      1
#define AF_INET      2
#define AF_INET6    10
#define AF_KEY      15
#define AF_NETLINK  16
#define AF_PACKET   17
#define AF_ALG      38
#define AF_VSOCK    40

#define SOCK_STREAM  1
#define SOCK_RAW     3

#define IPPROTO_ICMP      1
#define IPPROTO_TCP       6
#define IPPROTO_UDP      17
#define IPPROTO_ICMPV6   58
#define IPPROTO_SCTP    132
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP   262

#define MSG_PEEK     0x0002
#define MSG_ERRQUEUE 0x2000

#define TCP_ZEROCOPY_RECEIVE 35 /* include/uapi/linux/tcp.h */

#define TCP_CLOSE 7 /* include/net/tcp_states.h */

#define S_IFMT   0170000
#define S_IFSOCK 0140000

#define PF_IO_WORKER 0x00000010 /* include/linux/sched.h */
#define PF_KTHREAD   0x00200000

/* include/uapi/linux/io_uring.h */
#define IORING_OP_READV        1
#define IORING_OP_WRITEV       2
#define IORING_OP_READ_FIXED   4
#define IORING_OP_WRITE_FIXED  5
#define IORING_OP_SENDMSG      9
#define IORING_OP_RECVMSG     10
#define IORING_OP_READ        22
#define IORING_OP_WRITE       23
#define IORING_OP_SEND        26
#define IORING_OP_RECV        27
#define IORING_OP_SPLICE      30
#define IORING_OP_SEND_ZC     47
#define IORING_OP_SENDMSG_ZC  48

#define NETDEV_BUCKETS  256 /* NETDEV_HASHENTRIES, include/linux/netdevice.h */
#define TS_COMPAT    0x0002     /* arch/x86/include/asm/thread_info.h */
/* clang-format on */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* x86-64; the syscall arguments are di, si, dx, r10, r8, r9. */
struct pt_regs {
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct net {
	struct ns_common ns;
	struct hlist_head *dev_index_head;
};

struct net_device {
	char name[16];
	int ifindex;
	struct hlist_node index_hlist;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport; /* network order */
	__u16 skc_num;   /* host order */
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

typedef struct {
	int owned;
} socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	__u16 sk_type;
	__u16 sk_protocol;
};

struct packet_type {
	struct net_device *dev;
};

struct packet_sock {
	struct packet_type prot_hook;
};

struct inet_sock {
	__u16 inet_sport; /* network order; outlives skc_num */
};

struct socket {
	struct sock *sk;
};

struct inode {
	unsigned short i_mode;
};

struct file {
	void *private_data;
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	int nr_threads;
};

typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t euid;
};

struct thread_info {
	__u32 status;
};

struct bpf_local_storage;

struct io_wq_work {}; /* only its place matters */

struct io_worker { /* io_uring/io-wq.c; task_struct.worker_private of its workers */
	struct io_wq_work *cur_work;
};

struct io_cqe {
	__u64 user_data;
	__s32 res;
};

struct io_splice { /* io_uring/splice.c; at the start of its request */
	int splice_fd_in;
};

struct io_sr_msg { /* io_uring/net.c; at the start of its request */
	unsigned int msg_flags;
};

struct io_kiocb {
	struct file *file;
	__u8 opcode;
	struct io_cqe cqe;
	struct io_wq_work work;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int tgid;
	struct task_struct *group_leader;
	__u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	__u64 self_exec_id;
	struct bpf_local_storage *bpf_storage;
	void *worker_private;
};

#pragma clang attribute pop

/* User-space layouts (ABI, 64-bit), read with bpf_probe_read_user. */
struct user_sockaddr {
	__u16 family;
	__u16 port; /* network order */
	union {
		__u32 v4;
		struct {
			__u32 flowinfo;
			__u32 v6[4];
		};
		__s32 interface; /* sockaddr_ll.sll_ifindex */
	};
};

struct user_msghdr {
	__u64 name;
	__u32 name_length;
	__u32 zero;
	__u64 iov;
	__u64 iov_length;
	__u64 control;
	__u64 control_length;
	__u32 flags;
	__u32 zero2;
};

struct user_mmsghdr {
	struct user_msghdr header;
	__u32 length;
	__u32 zero;
};

/* struct tcp_zerocopy_receive of include/uapi/linux/tcp.h, up to copybuf_len. */
struct user_zerocopy_receive {
	__u64 address;
	__u32 length;
	__u32 recv_skip_hint;
	__u32 inq;
	__s32 err;
	__u64 copybuf_address;
	__s32 copybuf_length;
	__u32 zero;
};

_Static_assert(sizeof(struct user_mmsghdr) == 64, "mmsghdr");

#endif
