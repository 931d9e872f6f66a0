/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which syscalls matter, and what a thread inside one of them leaves behind
 * (its stash) for the socket layer and for the call's exit.
 *
 * Does not count: that is netmon.bpf.c.
 */
#ifndef NETMON_CALLS_H
#define NETMON_CALLS_H

/* Set before load: the programs of the sock tracepoints are attached. */
const volatile bool socket_layer_counts = true;
/* Set before load: the programs of sys_enter and sys_exit are attached. */
const volatile bool syscalls_are_armed = true;

enum call {
	CALL_NONE,
	CALL_SENDTO,
	CALL_SENDMSG,
	CALL_SENDMMSG,
	CALL_RECVFROM,
	CALL_RECVMSG,
	CALL_RECVMMSG,
	CALL_SPLICE,
	CALL_SENDFILE,
	CALL_ZEROCOPY_RECEIVE,
	CALL_WRITE, /* write, writev, pwritev2 */
	CALL_READ,  /* read, readv, preadv2 */
};

/* No more go into a recvmmsg (UIO_MAXIOV, __sys_recvmmsg, net/socket.c). */
#define MOST_MESSAGES 1024

/* What a thread inside a network syscall is doing. */
struct stash {
	__u32 call; /* enum call */
	__u32 fd;
	__u32 flags;
	__u32 messages; /* counted by the socket layer */
	__u64 address;  /* user: sockaddr, msghdr, mmsghdr[] or tcp_zerocopy_receive */
	__u64 extra;    /* user: optlen or addrlen; sendto: the address's length */
	__u64 tx_bytes; /* counted by the socket layer */
	__u64 rx_bytes;
	struct sock *sk;     /* where the exit will ask: the fd may name another file then */
	struct sock *sk_out; /* splice: where it goes */
	__u32 deferred;      /* 1: a datagram whose peer only the exit knows */
	__u32 arrived;       /* messages of this recvmmsg so far */
	__u64 rooms[MOST_MESSAGES / 64]; /* bit by message: it has room for a peer's address */
	struct socket_key socket; /* the deferred datagram's, or the one found at exit */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stash);
} stashes SEC(".maps");

static __always_inline enum call call_of(long number)
{
	switch (number) { /* x86-64 */
	case 44:
		return CALL_SENDTO;
	case 45:
		return CALL_RECVFROM;
	case 46:
		return CALL_SENDMSG;
	case 47:
		return CALL_RECVMSG;
	case 307:
		return CALL_SENDMMSG;
	case 299:
		return CALL_RECVMMSG;
	case 275:
		return CALL_SPLICE;
	case 40:
		return CALL_SENDFILE;
	case 55: /* getsockopt */
		return CALL_ZEROCOPY_RECEIVE;
	}
	if (socket_layer_counts)
		return CALL_NONE;
	switch (number) {
	case 1:
	case 20:
	case 328:
		return CALL_WRITE;
	case 0:
	case 19:
	case 327:
		return CALL_READ;
	}
	return CALL_NONE;
}

/*
 * send and recv are sendto and recvfrom without an address: where the socket
 * layer counts, it knows all there is to know of them. Asked first, at entry and
 * at exit, where the argument register still holds what it held.
 */
static __always_inline bool needs_no_stash(long number, struct pt_regs *regs)
{
	return socket_layer_counts && (number == 44 || number == 45) && !regs->r8;
}

/* Numbers mean other calls for a 32-bit task; the socket layer counts those. */
static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT;
}

#endif
