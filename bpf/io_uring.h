/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What io_uring moves and nothing else reports.
 *
 * Where the socket layer counts that is splice out of a TCP socket. Such a request always runs in a worker (io_splice, io_uring/splice.c).
 * There tcp_rcv_space_adjust tells which socket is read, and
 * later io_uring_complete how many bytes the request moved. Where only entry and
 * exit of syscalls count, it is all of io_uring: a completion tells the socket,
 * which its request still holds, and the bytes. Not seen are requests that asked for
 * no completion (IOSQE_CQE_SKIP_SUCCESS), and those of many completions
 * (multishot), which the tracepoint does not tell of.
 */
#ifndef NETMON_IO_URING_H
#define NETMON_IO_URING_H

/* Set before load: nothing but completions tells of io_uring. */
const volatile bool completions_count = false;

struct splicing {
	struct socket_key socket;
	__u32 is_closed;
	/* What tells this request from a later one in the same memory. */
	__u64 user_data;
	__s32 fd;
	__u32 zero;
};

/*
 * By the address of the request; held from the first read to the completion.
 * What is not completed aloud, the least recently used of it, makes room.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct splicing);
} splices SEC(".maps");

/* About as many entries, so that all other completions cost one load. */
__u32 splices_held = 0;

/* The request that an io_uring worker works on, if it is a splice; else 0. */
static __always_inline __u64 splice_of(struct task_struct *task)
{
	struct io_worker *worker = task->worker_private; /* a poller has none */
	struct io_kiocb *request;
	void *work;

	work = worker ? BPF_CORE_READ(worker, cur_work) : NULL;
	if (!work)
		return 0;
	request = work - bpf_core_field_offset(struct io_kiocb, work);
	return BPF_CORE_READ(request, opcode) == IORING_OP_SPLICE ? (__u64)request : 0;
}

static __noinline int hold_splice(struct sock *sk, __u64 request)
{
	struct io_kiocb *work = (struct io_kiocb *)request;
	struct splicing splicing = {};
	__u32 protocol = protocol_of(sk, true);

	if (protocol == NOT_NETWORK)
		return 0;
	connection_of(sk, protocol, true, &splicing.socket.connection);
	splicing.socket.network_namespace = namespace_of(sk, true);
	splicing.is_closed = sk->__sk_common.skc_state == TCP_CLOSE;
	splicing.user_data = BPF_CORE_READ(work, cqe.user_data);
	splicing.fd = BPF_CORE_READ((struct io_splice *)request, splice_fd_in);
	if (bpf_map_update_elem(&splices, &request, &splicing, BPF_NOEXIST) == 0)
		__sync_fetch_and_add(&splices_held, 1);
	else /* its second step, or where another completed silently */
		bpf_map_update_elem(&splices, &request, &splicing, BPF_ANY);
	return 0;
}

static __noinline int count_splice(__u64 request)
{
	struct io_kiocb *done = (struct io_kiocb *)request;
	struct splicing *splicing = bpf_map_lookup_elem(&splices, &request);
	struct flow_key key;
	bool is_closed, is_same;
	__u32 in;
	__s32 bytes;

	if (!splicing)
		return 0;
	key.connection = splicing->socket.connection;
	in = splicing->socket.network_namespace;
	is_closed = splicing->is_closed;
	is_same = BPF_CORE_READ(done, opcode) == IORING_OP_SPLICE &&
		  BPF_CORE_READ(done, cqe.user_data) == splicing->user_data &&
		  BPF_CORE_READ((struct io_splice *)request, splice_fd_in) == splicing->fd;
	if (bpf_map_delete_elem(&splices, &request) == 0)
		__sync_fetch_and_add(&splices_held, -1);
	bytes = BPF_CORE_READ(done, cqe.res);
	if (is_same && bytes > 0)
		account(bpf_get_current_task_btf(), &key, in, bytes, 1, false, is_closed);
	return 0;
}

SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_receive_space, struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 request;

	if (!(task->flags & PF_IO_WORKER))
		return 0;
	/* A reader owns the socket's lock; a softirq that came in between does not. */
	if (!sk->sk_lock.owned)
		return 0;
	request = splice_of(task);
	return request ? hold_splice(sk, request) : 0;
}

/* 1: this operation sends what is in its file, 0: it receives, -1: neither. */
static __always_inline int sends_by_ring(__u8 opcode)
{
	switch (opcode) {
	case IORING_OP_WRITEV:
	case IORING_OP_WRITE_FIXED:
	case IORING_OP_SENDMSG:
	case IORING_OP_WRITE:
	case IORING_OP_SEND:
	case IORING_OP_SPLICE: /* its file is where it goes */
	case IORING_OP_SEND_ZC:
	case IORING_OP_SENDMSG_ZC:
		return 1;
	case IORING_OP_READV:
	case IORING_OP_READ_FIXED:
	case IORING_OP_RECVMSG:
	case IORING_OP_READ:
	case IORING_OP_RECV:
		return 0;
	}
	return -1;
}

/* True for a look at data that stay where they are. */
static __always_inline bool only_looks(struct io_kiocb *request, __u8 opcode)
{
	struct io_sr_msg *message = (struct io_sr_msg *)request;

	return (opcode == IORING_OP_RECV || opcode == IORING_OP_RECVMSG) &&
	       BPF_CORE_READ(message, msg_flags) & (MSG_PEEK | MSG_ERRQUEUE);
}

static __noinline int count_completion(__u64 address)
{
	struct io_kiocb *request = (struct io_kiocb *)address;
	struct socket_key socket = {};
	struct flow_key key = {};
	struct file *file;
	struct sock *sk;
	__s32 bytes;
	__u8 opcode;
	int tx;

	if (!address)
		return 0;
	opcode = BPF_CORE_READ(request, opcode);
	tx = sends_by_ring(opcode);
	bytes = BPF_CORE_READ(request, cqe.res);
	if (tx < 0 || bytes <= 0 || only_looks(request, opcode))
		return 0;
	file = BPF_CORE_READ(request, file);
	sk = socket_in(file);
	if (!describe_socket((__u64)sk, &socket))
		return 0;
	key.connection = socket.connection;
	account_at_exit(&key, (__u64)sk, bytes, 1, (__u64)socket.network_namespace << 1 | tx);
	return 0;
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_ring_complete, void *ring, void *request)
{
	if (splices_held)
		count_splice((__u64)request);
	return completions_count ? count_completion((__u64)request) : 0;
}

#endif
