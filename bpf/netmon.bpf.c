// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts every payload byte a process moves through a socket, once.
 *
 * The residual rule: the socket layer counts what it sees (sock_send_length,
 * sock_recv_length); sys_exit counts only what a network syscall moved beyond
 * that. Without the sock tracepoints (before Linux 6.3) the rest is everything,
 * and the read/write family is armed too. All programs are tp_btf: classic
 * tracepoint programs are skipped while user space reads maps on preempt=full
 * kernels (trace_call_bpf, kernel/trace/bpf_trace.c).
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "netmon.h"

#include "maps.h"
#include "socket.h"
#include "calls.h"
#include "rest.h"
#include "io_uring.h"

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long number)
{
	struct task_struct *task;
	struct stash *stash;
	struct losses *lost;
	struct sock *sk = NULL, *sk_out = NULL;
	__u64 address = 0, extra = 0;
	__u32 fd, flags = 0;
	enum call call;

	if (needs_no_stash(number, regs))
		return 0;
	call = call_of(number);
	if (call == CALL_NONE)
		return 0;
	task = bpf_get_current_task_btf();
	if (is_compat(task))
		return 0;

	fd = regs->di;
	switch (call) {
	case CALL_SENDTO:
	case CALL_RECVFROM:
		flags = regs->r10;
		address = regs->r8;
		extra = regs->r9;
		break;
	case CALL_SENDMSG:
	case CALL_RECVMSG:
		flags = regs->dx;
		address = regs->si;
		break;
	case CALL_SENDMMSG:
	case CALL_RECVMMSG:
		flags = regs->r10;
		address = regs->si;
		break;
	case CALL_ZEROCOPY_RECEIVE:
		if (regs->si != IPPROTO_TCP || regs->dx != TCP_ZEROCOPY_RECEIVE)
			return 0;
		address = regs->r10;
		extra = regs->r8;
		sk = socket_of(fd);
		break;
	case CALL_SPLICE:
		sk = socket_of(fd);
		sk_out = socket_of(regs->dx);
		if (!sk && !sk_out)
			return 0;
		break;
	case CALL_SENDFILE:
		/* Into a socket, or out of one into a pipe. */
		sk = socket_of(regs->si);
		sk_out = socket_of(fd);
		if (!sk && !sk_out)
			return 0;
		break;
	default:
		break;
	}
	if (!socket_layer_counts && !sk && !sk_out) {
		sk = socket_of(fd);
		if (!sk)
			return 0;
	}

	stash = bpf_task_storage_get(&stashes, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!stash) {
		lost = this_cpu_losses();
		if (lost)
			lost->unarmed++;
		return 0;
	}
	stash->call = call;
	stash->fd = fd;
	stash->flags = flags;
	stash->messages = 0;
	stash->address = address;
	stash->extra = extra;
	stash->tx_bytes = 0;
	stash->rx_bytes = 0;
	stash->sk = sk;
	stash->sk_out = sk_out;
	stash->deferred = 0;
	stash->arrived = 0;
	if (!socket_layer_counts)
		note_rooms(stash, regs->dx);
	return 0;
}

/* One socket-layer event, by its own tracepoint. */
static __always_inline int on_socket(struct sock *sk, int length, bool tx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct stash *stash = NULL;
	struct flow_key key;
	__u32 protocol;
	bool is_stream;

	protocol = protocol_of(sk, true);
	if (protocol == NOT_NETWORK)
		return 0;
	is_stream = sk->sk_type == SOCK_STREAM;

	/* A thread that was never armed has no storage at all: one load tells. */
	if (syscalls_are_armed && task->bpf_storage) {
		stash = bpf_task_storage_get(&stashes, task, 0, 0);
		if (stash && stash->call == CALL_NONE)
			stash = NULL;
	}
	if (length <= 0) {
		/* An empty datagram has its place in an mmsghdr[] too. */
		if (stash && length == 0) {
			if (tx)
				stash->messages++;
			else
				stash->arrived++;
		}
		return 0;
	}

	connection_of(sk, protocol, true, &key.connection);
	if (stash) {
		if (!is_stream) {
			if (tx) {
				set_peer(&key.connection, destination(stash), sk,
					 sk->__sk_common.skc_family == AF_INET);
			} else if (!has_peer(&key.connection) && source_comes_later(stash)) {
				note_room(stash, stash->arrived,
					  least_room(sk->__sk_common.skc_family));
				stash->arrived++;
				stash->deferred = 1;
				stash->sk = sk;
				stash->socket.network_namespace = namespace_of(sk, true);
				stash->socket.connection = key.connection;
				return 0;
			}
		}
		stash->messages++;
		if (tx)
			stash->tx_bytes += length;
		else
			stash->rx_bytes += length;
	}
	account(task, &key, namespace_of(sk, true), length, 1, tx,
		protocol == PROTOCOL_TCP && sk->__sk_common.skc_state == TCP_CLOSE);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_sock_send, struct sock *sk, int length, int flags)
{
	return on_socket(sk, length, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_sock_recv, struct sock *sk, int length, int flags)
{
	if (flags & (MSG_PEEK | MSG_ERRQUEUE))
		return 0;
	return on_socket(sk, length, false);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	long number = regs->orig_ax;
	enum call call;
	struct stash *stash;
	struct sock *sk;
	bool tx;
	long rest;

	if (needs_no_stash(number, regs))
		return 0;
	call = call_of(number);
	if (call == CALL_NONE)
		return 0;
	stash = bpf_task_storage_get(&stashes, bpf_get_current_task_btf(), 0, 0);
	if (!stash || stash->call != call)
		return 0;
	stash->call = CALL_NONE;
	if (stash->flags & (MSG_PEEK | MSG_ERRQUEUE))
		return 0;
	if (socket_layer_counts && !stash->deferred && is_socket_call(call))
		return 0;
	if (call == CALL_ZEROCOPY_RECEIVE)
		ret = ret == 0 ? zerocopy_bytes(stash) : 0;
	if (ret <= 0)
		return 0;
	if (call == CALL_SENDMMSG || call == CALL_RECVMMSG) {
		stash->call = call;
		count_messages(stash, ret);
		stash->call = CALL_NONE;
		return 0;
	}

	tx = sends(call);
	sk = stash->sk;
	if (!sk && stash->sk_out) {
		sk = stash->sk_out;
		tx = true;
	}
	rest = ret - (tx ? stash->tx_bytes : stash->rx_bytes);
	if (rest <= 0)
		return 0;
	if (!stash->deferred && !sk)
		sk = socket_of(stash->fd);
	stash->call = call;
	count_rest(stash, sk, rest, stash->messages ? 0 : 1, tx);
	stash->call = CALL_NONE;
	return 0;
}

/*
 * Where the kernel lacks the sock tracepoints (before Linux 6.3) and takes
 * fexit programs, these count what no armed thread moves: io_uring, 32-bit
 * processes, kernel threads. What an armed thread moves its exit counts.
 */
static __noinline int on_function(struct sock *sk, int length, int flags, bool tx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct stash *stash = NULL;

	if (length <= 0 || flags & (MSG_PEEK | MSG_ERRQUEUE))
		return 0;
	if (task->bpf_storage)
		stash = bpf_task_storage_get(&stashes, task, 0, 0);
	if (stash && stash->call != CALL_NONE)
		return 0;
	return on_socket(sk, length, tx);
}

SEC("fexit/inet_sendmsg")
int BPF_PROG(on_inet_send, struct socket *socket, void *message, size_t size, int length)
{
	return on_function(socket->sk, length, 0, true);
}

SEC("fexit/inet6_sendmsg")
int BPF_PROG(on_inet6_send, struct socket *socket, void *message, size_t size, int length)
{
	return on_function(socket->sk, length, 0, true);
}

/* Until 6.4: how a page of a file or pipe goes into a socket. */
SEC("fexit/inet_sendpage")
int BPF_PROG(on_inet_page, struct socket *socket, void *page, int offset, size_t size, int flags,
	     int length)
{
	struct sock *sk = socket->sk;

	/* Others make an inet_sendmsg of it (sock_no_sendpage, net/core/sock.c 6.1). */
	if (sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_UDP)
		return 0;
	return on_function(sk, length, 0, true);
}

SEC("fexit/packet_sendmsg")
int BPF_PROG(on_packet_send, struct socket *socket, void *message, size_t size, int length)
{
	return on_function(socket->sk, length, 0, true);
}

SEC("fexit/inet_recvmsg")
int BPF_PROG(on_inet_recv, struct socket *socket, void *message, size_t size, int flags, int length)
{
	return on_function(socket->sk, length, flags, false);
}

SEC("fexit/inet6_recvmsg")
int BPF_PROG(on_inet6_recv, struct socket *socket, void *message, size_t size, int flags,
	     int length)
{
	return on_function(socket->sk, length, flags, false);
}

/* Raw and ping sockets of IPv6. */
SEC("fexit/sock_common_recvmsg")
int BPF_PROG(on_common_recv, struct socket *socket, void *message, size_t size, int flags,
	     int length)
{
	return on_function(socket->sk, length, flags, false);
}

SEC("fexit/packet_recvmsg")
int BPF_PROG(on_packet_recv, struct socket *socket, void *message, size_t size, int flags,
	     int length)
{
	return on_function(socket->sk, length, flags, false);
}

/* Tells user space that a connection is over. */
static __always_inline void tell_closed(struct sock *sk)
{
	struct socket_key socket;
	struct losses *lost;
	__u64 wake = BPF_RB_NO_WAKEUP;
	__u32 protocol;

	protocol = protocol_of(sk, true);
	if (protocol == NOT_NETWORK)
		return;
	connection_of(sk, protocol, true, &socket.connection);
	if (!has_peer(&socket.connection))
		return;
	socket.network_namespace = namespace_of(sk, true);
	if (bpf_ringbuf_query(&closed, BPF_RB_AVAIL_DATA) >= NETMON_CLOSED_BYTES / 2)
		wake = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(&closed, &socket, sizeof(socket), wake)) {
		lost = this_cpu_losses();
		if (lost)
			__sync_fetch_and_add(&lost->closed, 1);
	}
}

/*
 * A timer or a packet closes a connection in a softirq, which may interrupt this very
 * program at another's closing, and the kernel skips a program that interrupts itself
 * (__bpf_trace_run, kernel/trace/bpf_trace.c, Linux 6.18). So there are two: whichever of
 * them is interrupted, the other is not. A third is not needed, as a softirq interrupts
 * no softirq. The first notes what it has told; a closing interrupted between the two is
 * told twice, which does no harm.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, const struct sock *const_sk, int old_state, int new_state)
{
	struct sock *sk = (struct sock *)const_sk;
	volatile __u64 *told;
	__u32 zero = 0;

	if (new_state != TCP_CLOSE)
		return 0;
	told = bpf_map_lookup_elem(&told_closed, &zero);
	if (!told)
		return 0;
	/* What it says of an earlier socket there must not hold for one that interrupts. */
	*told = 0;
	tell_closed(sk);
	*told = (__u64)sk;
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_beside, const struct sock *const_sk, int old_state, int new_state)
{
	struct sock *sk = (struct sock *)const_sk;
	volatile __u64 *told;
	__u32 zero = 0;

	if (new_state != TCP_CLOSE)
		return 0;
	told = bpf_map_lookup_elem(&told_closed, &zero);
	if (!told || *told != (__u64)sk)
		tell_closed(sk);
	return 0;
}

/* Marks a process whose last thread exits; nothing is counted for it afterwards. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct process_key key = {};
	struct process *process;
	__u32 *slot;

	if (task->signal->live.counter)
		return 0;
	key.start_ns = task->group_leader->start_boottime;
	key.tgid = task->tgid;
	slot = bpf_map_lookup_elem(&process_slots, &key);
	process = slot ? bpf_map_lookup_elem(&pid_stats, slot) : NULL;
	if (process)
		__sync_fetch_and_or(&process->flags, PROCESS_EXITED);
	return 0;
}
