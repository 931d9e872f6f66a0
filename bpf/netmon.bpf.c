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

char LICENSE[] SEC("license") = "GPL";

/*
 * How many bytes of the sender's address the process takes, asked before the
 * kernel writes the address's true length in the same place.
 */
static __always_inline __u32 room_for_source(const struct stash *stash)
{
	__u32 room = 0;

	if (stash->call == CALL_RECVFROM && stash->address)
		bpf_probe_read_user(&room, sizeof(room), (void *)stash->extra);
	else if (stash->call == CALL_RECVMSG || stash->call == CALL_RECVMMSG)
		/* All messages of a recvmmsg are taken to have as much as the first. */
		room = name_of(stash->address).length;
	return room;
}

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
		sk = socket_of(fd);
		break;
	default:
		break;
	}
	if (!socket_layer_counts && call != CALL_SPLICE && !sk) {
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
	stash->room = socket_layer_counts ? 0 : room_for_source(stash);
	return 0;
}

/* The calls of which the socket layer, where it counts, sees every byte. */
static __always_inline bool is_socket_call(enum call call)
{
	return call != CALL_SPLICE && call != CALL_SENDFILE && call != CALL_ZEROCOPY_RECEIVE;
}

/* Where a datagram that is being sent goes, if the process named it. */
static __always_inline struct name destination(const struct stash *stash)
{
	struct name none = {}, given = { .address = stash->address, .length = stash->extra };

	switch (stash->call) {
	case CALL_SENDTO:
		return given;
	case CALL_SENDMSG:
		return name_of(stash->address);
	case CALL_SENDMMSG:
		return name_of(stash->address + stash->messages * sizeof(struct user_mmsghdr));
	default:
		return none;
	}
}

/* True when the exit of this call will know who sent the datagram. */
static __always_inline bool source_comes_later(const struct stash *stash)
{
	return (stash->call == CALL_RECVFROM && stash->address) || stash->call == CALL_RECVMSG ||
	       stash->call == CALL_RECVMMSG;
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
		/* An empty datagram has its place in sendmmsg's mmsghdr[] too. */
		if (stash && tx && length == 0)
			stash->messages++;
		return 0;
	}

	connection_of(sk, protocol, true, &key.connection);
	if (stash) {
		if (!is_stream) {
			if (tx) {
				set_peer(&key.connection, destination(stash),
					 sk->__sk_common.skc_family == AF_INET);
			} else if (!has_peer(&key.connection) && source_comes_later(stash)) {
				if (!stash->deferred)
					stash->room = room_for_source(stash);
				stash->deferred = 1;
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

/* Counts at the exit of a call; the caller fills key->connection. */
static __noinline int account_at_exit(struct flow_key *key, __u64 sk, __u64 bytes, __u32 operations,
			       __u64 network_namespace_and_tx)
{
	bool is_closed = false;

	if (!key)
		return 0;
	if (sk && key->connection.protocol == PROTOCOL_TCP)
		is_closed = BPF_CORE_READ((struct sock *)sk, __sk_common.skc_state) == TCP_CLOSE;
	account(bpf_get_current_task_btf(), key, network_namespace_and_tx >> 1, bytes, operations,
		network_namespace_and_tx & 1, is_closed);
	return 0;
}

/* A function that is not inlined takes five arguments: two share one. */
static __always_inline void count_at_exit(struct flow_key *key, struct sock *sk,
					  const struct stash *stash, __u64 bytes, __u32 operations,
					  bool tx)
{
	account_at_exit(key, (__u64)sk, bytes, operations,
			(__u64)stash->socket.network_namespace << 1 | tx);
}

static __always_inline bool sends(__u32 call)
{
	return call == CALL_SENDTO || call == CALL_SENDMSG || call == CALL_SENDMMSG ||
	       call == CALL_SENDFILE || call == CALL_WRITE;
}

struct messages {
	struct stash *stash;
	bool tx;
	bool is_stream; /* its peer is the socket's, whatever is named */
	bool is_v4;
};

static long count_message(__u32 index, struct messages *messages)
{
	struct stash *stash = messages->stash;
	__u64 at = stash->address + index * sizeof(struct user_mmsghdr);
	struct flow_key key = {};
	struct name name;
	__u32 length = 0;

	if (bpf_probe_read_user(&length, sizeof(length),
				(void *)at + offsetof(struct user_mmsghdr, length)))
		return 1;
	if (!length)
		return 0;
	key.connection = stash->socket.connection;
	name = name_of(at);
	if (!messages->tx)
		name.length = has_peer(&key.connection) ? 0 : stash->room;
	if (!messages->is_stream)
		set_peer(&key.connection, name, messages->is_v4);
	count_at_exit(&key, stash->sk, stash, length, 1, messages->tx);
	return 0;
}

/* The calls that move several messages; ret is their number. */
static __always_inline void count_messages(struct stash *stash, long ret)
{
	struct messages messages = { .stash = stash, .tx = stash->call == CALL_SENDMMSG };
	struct sock *sk;

	if (stash->messages)
		return; /* the socket layer counted them one by one */
	if (!stash->deferred) {
		sk = stash->sk ?: socket_of(stash->fd);
		if (!describe_socket((__u64)sk, &stash->socket))
			return;
		messages.is_stream = BPF_CORE_READ(sk, sk_type) == SOCK_STREAM;
		messages.is_v4 = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET;
	}
	bpf_loop(ret, count_message, &messages, 0);
}

/* Bytes that TCP_ZEROCOPY_RECEIVE mapped and copied. */
static __always_inline long zerocopy_bytes(const struct stash *stash)
{
	struct user_zerocopy_receive received = {};
	__u32 size = 0;

	if (bpf_probe_read_user(&size, sizeof(size), (void *)stash->extra))
		return 0;
	/* The layout has grown: take what the caller knows. */
	if (size >= sizeof(received) - 4)
		bpf_probe_read_user(&received, sizeof(received) - 4, (void *)stash->address);
	else
		bpf_probe_read_user(&received, 12, (void *)stash->address);
	return (long)received.length + (received.copybuf_length > 0 ? received.copybuf_length : 0);
}

/* The peer of a message that was received, where the process asked for it. */
static __always_inline void set_source(const struct stash *stash, struct connection *to)
{
	struct name source = { .address = stash->address };

	if (has_peer(to) || !stash->room)
		return;
	if (stash->call == CALL_RECVMSG)
		source = name_of(stash->address);
	source.length = stash->room;
	set_peer(to, source, false);
}

/*
 * Counts what the socket layer did not see of a call. A frame of its own: the
 * calls below share the 512 bytes of stack with on_sys_exit.
 */
static __noinline int count_rest(struct stash *stash, struct sock *sk, long bytes, __u64 operations,
				 bool tx)
{
	struct flow_key key = {};

	if (!stash->deferred && !describe_socket((__u64)sk, &stash->socket))
		return 0;
	key.connection = stash->socket.connection;
	if (!sk || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM) {
		if (tx)
			set_peer(&key.connection, destination(stash),
				 BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET);
		else
			set_source(stash, &key.connection);
	}
	count_at_exit(&key, sk, stash, bytes, operations, tx);
	return 0;
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
	if (call == CALL_SPLICE && !sk) {
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

/* Tells user space that a connection is over. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, const struct sock *const_sk, int old_state, int new_state)
{
	struct sock *sk = (struct sock *)const_sk;
	struct socket_key socket;
	struct losses *lost;
	__u32 protocol;

	if (new_state != TCP_CLOSE)
		return 0;
	protocol = protocol_of(sk, true);
	if (protocol == NOT_NETWORK)
		return 0;
	connection_of(sk, protocol, true, &socket.connection);
	if (!has_peer(&socket.connection))
		return 0;
	socket.network_namespace = namespace_of(sk, true);
	if (bpf_ringbuf_output(&closed, &socket, sizeof(socket), BPF_RB_NO_WAKEUP)) {
		lost = this_cpu_losses();
		if (lost)
			lost->closed++;
	}
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
