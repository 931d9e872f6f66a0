/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rest of a call: what the socket layer did not see of it, counted at its
 * exit, and the peers of datagrams, which only the call's arguments name.
 *
 * Decides neither when a call is armed nor whether it has a rest: that is
 * netmon.bpf.c.
 */
#ifndef NETMON_REST_H
#define NETMON_REST_H

static __always_inline bool has_room(const struct stash *stash, __u32 index)
{
	return stash->rooms[index / 64 % (MOST_MESSAGES / 64)] >> index % 64 & 1;
}

/* The shortest name in which an address of that family has room. */
static __always_inline __u32 least_room(__u16 family)
{
	return family == AF_INET6 ? NAME_MINIMUM_V6 : NAME_MINIMUM;
}

/*
 * Notes whether the process takes the address of the sender of its message
 * `index`, before the kernel writes the address's true length in the same place.
 * Memory that is not there yet is taken for room: the kernel will have filled it.
 */
static __always_inline void note_room(struct stash *stash, __u32 index, __u32 least)
{
	__u64 *rooms = &stash->rooms[index / 64 % (MOST_MESSAGES / 64)];
	__u64 bit = 1ULL << index % 64;
	__u64 length_at = stash->extra;
	__u32 length = 0;
	struct user_msghdr *header;

	if (stash->call != CALL_RECVFROM) {
		header = (void *)stash->address + index * sizeof(struct user_mmsghdr);
		length_at = (__u64)&header->name_length;
	}
	if (bpf_probe_read_user(&length, sizeof(length), (void *)length_at) ||
	    length >= least)
		*rooms |= bit;
	else
		*rooms &= ~bit;
}

struct rooms {
	struct stash *stash;
	__u32 least;
};

static long note_next_room(__u32 index, struct rooms *rooms)
{
	note_room(rooms->stash, index, rooms->least);
	return 0;
}

/* All of them at the call's entry, where nothing tells of each message. */
static __always_inline void note_rooms(struct stash *stash, __u32 messages)
{
	struct rooms rooms = { .stash = stash };
	struct sock *sk = stash->sk;

	rooms.least = least_room(BPF_CORE_READ(sk, __sk_common.skc_family));
	if (stash->call == CALL_RECVMMSG)
		bpf_loop(messages < MOST_MESSAGES ? messages : MOST_MESSAGES, note_next_room, &rooms,
			 0);
	else if (stash->call == CALL_RECVFROM || stash->call == CALL_RECVMSG)
		note_room(stash, 0, rooms.least);
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
	       call == CALL_WRITE;
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
	/* What was received has the true length there now, whatever it had room for. */
	if (!messages->tx && (has_peer(&key.connection) || !has_room(stash, index)))
		name.length = 0;
	if (!messages->is_stream)
		set_peer(&key.connection, name, stash->sk, messages->is_v4);
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
		stash->sk = sk;
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
static __always_inline void set_source(const struct stash *stash, struct sock *sk,
				       struct connection *to)
{
	struct name source = { .address = stash->address, .length = sizeof(struct user_sockaddr) };

	if (has_peer(to) || !has_room(stash, 0))
		return;
	if (stash->call == CALL_RECVMSG)
		source = name_of(stash->address);
	set_peer(to, source, sk, false);
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
			set_peer(&key.connection, destination(stash), sk,
				 BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET);
		else
			set_source(stash, sk, &key.connection);
	}
	count_at_exit(&key, sk, stash, bytes, operations, tx);
	return 0;
}

#endif
