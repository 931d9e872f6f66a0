/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a socket, a file descriptor or a sockaddr to the parts of a flow key.
 *
 * Only reads. A `struct sock` comes either from a tracepoint, whose pointers
 * the verifier trusts and lets us read directly, or from a walk through the
 * file table, which takes probe reads; `trusted` is a constant at each call.
 */
#ifndef NETMON_SOCKET_H
#define NETMON_SOCKET_H

#define NOT_NETWORK PROTOCOL_COUNT

#define LOAD(trusted, pointer, field) \
	((trusted) ? (pointer)->field : BPF_CORE_READ(pointer, field))

/*
 * Loading took 0.8 s while the verifier followed every protocol and address
 * family through all that comes behind; now a third. The functions
 * without `static` are verified once, not at each call; and FORGET makes a
 * number unknown to the verifier (adding and taking away what it cannot know),
 * so that the paths behind it are one.
 */
#define FORGET(number, unknown) \
	asm volatile("%0 += %1\n\t%0 -= %1" : "+r"(number) : "r"(unknown))

static __always_inline __u32 classify(__u32 family, __u32 type, __u32 protocol)
{
	switch (family) {
	case AF_INET:
	case AF_INET6:
		break;
	case AF_PACKET:
		return PROTOCOL_PACKET;
	case AF_VSOCK:
		return PROTOCOL_VSOCK;
	case AF_UNIX:
	case AF_NETLINK:
	case AF_KEY:
	case AF_ALG:
		return NOT_NETWORK;
	default:
		return PROTOCOL_OTHER;
	}
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return PROTOCOL_ICMP;
	if (type == SOCK_RAW)
		return PROTOCOL_RAW;
	switch (protocol) {
	case IPPROTO_TCP:
		return PROTOCOL_TCP;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return PROTOCOL_UDP;
	case IPPROTO_SCTP:
		return PROTOCOL_SCTP;
	case IPPROTO_MPTCP:
		return PROTOCOL_MPTCP;
	default:
		return PROTOCOL_OTHER;
	}
}

static __always_inline __u32 protocol_of(struct sock *sk, bool trusted)
{
	__u64 type = LOAD(trusted, sk, sk_type);
	__u64 protocol = classify(LOAD(trusted, sk, __sk_common.skc_family), type,
				  LOAD(trusted, sk, sk_protocol));

	FORGET(protocol, type);
	return protocol;
}

static __always_inline bool has_ports(__u32 protocol)
{
	return protocol != PROTOCOL_ICMP && protocol != PROTOCOL_RAW;
}

static __always_inline void set_mapped(__u32 *address, __u32 v4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = bpf_htonl(0xffff);
	address[3] = v4;
}

/*
 * inet_num is cleared when a TCP socket closes (inet_put_port), while data may
 * still be read from it: the port in inet_sport stays.
 */
static __always_inline __u16 local_port_of(struct sock *sk, bool trusted)
{
	__u16 port = LOAD(trusted, sk, __sk_common.skc_num);

	return port ?: bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
}

/* True while the socket itself names its peer. */
static __always_inline bool has_peer(const struct connection *connection)
{
	return connection->ends & (END_REMOTE | END_INTERFACE);
}

/* A packet socket talks to an interface: its name is the remote end. */
static __always_inline void set_interface(struct connection *to, const struct net_device *device)
{
	/* Behind the NUL may stand the rest of an earlier name. */
	__builtin_memset(to->remote_address, 0, sizeof(to->remote_address));
	if (bpf_core_read_str(to->remote_address, sizeof(to->remote_address), &device->name) > 0)
		to->ends = END_INTERFACE;
}

/* The interface a packet socket is bound to, if to one. */
static __always_inline void bound_interface(struct sock *sk, struct connection *to)
{
	struct net_device *device = NULL;

	/* CONFIG_PACKET may be a module: then its types are not the kernel's. */
	if (bpf_core_type_exists(struct packet_sock))
		device = BPF_CORE_READ((struct packet_sock *)sk, prot_hook.dev);
	if (device)
		set_interface(to, device);
}

static __always_inline void copy_address(__u32 *to, const struct in6_addr *from, bool trusted)
{
	if (!trusted) {
		bpf_core_read(to, sizeof(from->in6_u.u6_addr32), &from->in6_u.u6_addr32);
		return;
	}
	to[0] = from->in6_u.u6_addr32[0];
	to[1] = from->in6_u.u6_addr32[1];
	to[2] = from->in6_u.u6_addr32[2];
	to[3] = from->in6_u.u6_addr32[3];
}

static __always_inline __u32 namespace_of(struct sock *sk, bool trusted)
{
	if (trusted)
		return sk->__sk_common.skc_net.net->ns.inum;
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/* Fills what the socket knows: the remote end only if it is connected. */
static __always_inline void connection_of(struct sock *sk, __u32 protocol, bool trusted,
					  struct connection *to)
{
	__u16 family = LOAD(trusted, sk, __sk_common.skc_family);
	__u16 remote_port = 0;
	__u32 *remote = to->remote_address;

	to->namespace_low = namespace_of(sk, trusted);
	to->local_port = 0;
	to->remote_port = 0;
	to->protocol = protocol;
	to->ends = 0;
	if (family == AF_INET) {
		set_mapped(to->local_address, LOAD(trusted, sk, __sk_common.skc_rcv_saddr));
		set_mapped(remote, LOAD(trusted, sk, __sk_common.skc_daddr));
	} else if (family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		copy_address(to->local_address, &sk->__sk_common.skc_v6_rcv_saddr, trusted);
		copy_address(remote, &sk->__sk_common.skc_v6_daddr, trusted);
	} else {
		__builtin_memset(to->local_address, 0, sizeof(to->local_address));
		__builtin_memset(remote, 0, sizeof(to->remote_address));
		if (family == AF_PACKET)
			bound_interface(sk, to);
		return;
	}
	to->ends = END_LOCAL;
	if (has_ports(protocol)) {
		to->local_port = local_port_of(sk, trusted);
		remote_port = bpf_ntohs(LOAD(trusted, sk, __sk_common.skc_dport));
	}
	if (remote[3] || remote[0] || remote[1]) {
		to->ends = END_LOCAL | END_REMOTE;
		to->remote_port = remote_port;
	} else {
		remote[2] = 0;
	}
}

/* A name in user memory, with the length the process gave. */
struct name {
	__u64 address;
	__u32 length;
};

/* As inet_recvmsg and udp_sendmsg do, a name too short for an address is none. */
#define NAME_MINIMUM 8
#define NAME_MINIMUM_V6 24

/* The peer of a datagram, from the sockaddr the process passed or received. */
__noinline int read_peer(struct connection *to, __u64 address, __u32 length, __u32 is_v4)
{
	struct user_sockaddr from = {};

	if (!to || !address || length < NAME_MINIMUM)
		return 0;
	/* A sockaddr_in may be the last thing on its page: look before reading on. */
	if (bpf_probe_read_user(&from, 8, (void *)address))
		return 0;
	/* udp_sendmsg takes AF_UNSPEC for AF_INET. */
	if (from.family == AF_INET || (from.family == AF_UNSPEC && is_v4)) {
		set_mapped(to->remote_address, from.v4);
	} else if (from.family == AF_INET6 && length >= NAME_MINIMUM_V6) {
		if (bpf_probe_read_user(&from, sizeof(from), (void *)address))
			return 0;
		__builtin_memcpy(to->remote_address, from.v6, sizeof(from.v6));
	} else {
		return 0;
	}
	to->remote_port = has_ports(to->protocol) ? bpf_ntohs(from.port) : 0;
	to->ends |= END_REMOTE;
	return 0;
}

/* Interfaces that share a bucket of the namespace's table of them. */
#define MAX_IN_BUCKET 64

/* The interface that a sockaddr_ll names, by its number in a `struct net`. */
__noinline int read_interface(struct connection *to, __u64 address, __u32 length, __u64 net)
{
	struct hlist_head *buckets;
	struct net_device *device;
	struct hlist_node *node;
	__s32 number;
	__u64 name;
	int i;

	name = address + offsetof(struct user_sockaddr, interface);
	if (!to || !address || length < offsetof(struct user_sockaddr, interface) + sizeof(number) ||
	    bpf_probe_read_user(&number, sizeof(number), (void *)name) || number <= 0)
		return 0;
	buckets = BPF_CORE_READ((struct net *)net, dev_index_head);
	node = BPF_CORE_READ(&buckets[(__u32)number % NETDEV_BUCKETS], first);
	for (i = 0; i < MAX_IN_BUCKET && node; i++) {
		device = (void *)node - bpf_core_field_offset(struct net_device, index_hlist);
		if (BPF_CORE_READ(device, ifindex) == number) {
			set_interface(to, device);
			break;
		}
		node = BPF_CORE_READ(node, next);
	}
	return 0;
}

/* What the process named wins over what the socket is connected or bound to. */
static __always_inline void set_peer(struct connection *to, struct name name, struct sock *sk,
				     bool is_v4)
{
	if (to->protocol == PROTOCOL_PACKET)
		read_interface(to, name.address, name.length,
			       (__u64)BPF_CORE_READ(sk, __sk_common.skc_net.net));
	else
		read_peer(to, name.address, name.length, is_v4);
}

/* The msg_name of a msghdr in user memory; length 0 for none. */
static __always_inline struct name name_of(__u64 msghdr)
{
	struct name name = {};

	bpf_probe_read_user(&name, 12, (void *)msghdr);
	return name;
}

/* Describes a socket by probe reads; 0 if it is not a network socket. */
__noinline int describe_socket(__u64 address, struct socket_key *to)
{
	struct sock *sk = (struct sock *)address;
	__u32 protocol = sk ? protocol_of(sk, false) : NOT_NETWORK;

	if (protocol == NOT_NETWORK || !to)
		return 0;
	connection_of(sk, protocol, false, &to->connection);
	to->network_namespace = namespace_of(sk, false);
	return 1;
}

/* The socket that a file is, NULL for none. */
static __always_inline struct sock *socket_in(struct file *file)
{
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

/* The address of the socket behind a descriptor of the current process, 0 for none. */
__noinline __u64 socket_address(__u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL;

	if (!table || fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return (__u64)socket_in(file);
}

static __always_inline struct sock *socket_of(__u32 fd)
{
	return (struct sock *)socket_address(fd);
}

#endif
