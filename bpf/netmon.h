/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire between the kernel programs and user space: keys, values, limits.
 *
 * The only place where these layouts are written down; user space gets them
 * through the generated skeleton. Plain integers, explicit padding, no
 * pointers, unions or bools.
 */
#ifndef NETMON_H
#define NETMON_H

/* Index into protocol_totals; the order of model::flow::Protocol::ALL. */
enum protocol {
	PROTOCOL_TCP,
	PROTOCOL_UDP,
	PROTOCOL_ICMP,
	PROTOCOL_SCTP,
	PROTOCOL_MPTCP,
	PROTOCOL_RAW,
	PROTOCOL_PACKET,
	PROTOCOL_VSOCK,
	PROTOCOL_OTHER,
	PROTOCOL_COUNT,
};

/* Bits of flow_key.ends. */
enum ends {
	END_LOCAL = 1,
	END_REMOTE = 2,
	END_INTERFACE = 4, /* remote_address holds an interface's name, not an address */
};

/* Bits of traffic.flags. */
enum traffic_flags {
	TRAFFIC_CLOSED = 1, /* the socket was closed when these bytes moved */
};

/* Bits of process.flags. */
enum process_flags {
	PROCESS_EXITED = 1,
	PROCESS_KERNEL = 2,
	PROCESS_USED = 4, /* clear: this element of pid_stats is free */
};

#define NETMON_COMM_LENGTH 16
/* Processes with a row: those alive, and those that ended since the last reading. */
#define NETMON_MAX_PROCESSES 16384
/*
 * Connections that can have closed before anybody has read of them, 56 bytes each. When it
 * is half full its reader is woken.
 */
#define NETMON_CLOSED_BYTES (1 << 20)

/* A process: no two ever have the same key, whatever happens to PIDs. */
struct process_key {
	__u64 start_ns; /* start_boottime of the thread-group leader */
	__u32 tgid;
	__u32 zero;
};

/*
 * Addresses are IPv6, IPv4 ones in their mapped form (::ffff:a.b.c.d).
 *
 * Each 12 bytes of a key cost the kernel a round of its hash (jhash2), some 6 ns
 * of every event. So a key holds as much of the process's start and of the
 * namespace's number as its 48 bytes have room for; the rest is in the value.
 * Two flows could only be taken for one if a PID came back exactly a multiple
 * of 2^32 ns after its last start, or one process used two of more than 65,536
 * namespaces, with the same connection.
 */
struct connection {
	__u32 local_address[4];
	__u32 remote_address[4];
	__u16 local_port; /* host order; 0: the protocol has none */
	__u16 remote_port;
	__u8 protocol;
	__u8 ends;
	__u16 namespace_low; /* of the network namespace's inode number */
};

struct flow_key {
	__u32 tgid;
	__u32 start_low; /* of process_key.start_ns */
	struct connection connection;
};

/* A connection whole, whoever uses it; what the ring of closed ones carries. */
struct socket_key {
	struct connection connection;
	__u32 network_namespace;
};

/* Cumulative payload bytes and successful operations. */
struct totals {
	__u64 tx_bytes;
	__u64 rx_bytes;
	__u64 tx_operations;
	__u64 rx_operations;
};

/* traffic_map */
struct traffic {
	struct totals totals;
	__u64 last_ns; /* since boot, to the tick; for whoever reads the pinned map */
	__u32 flags;
	__u32 slot; /* 1 + index of the process in pid_stats, 0: not known */
	__u64 start_ns; /* of the process */
	__u32 network_namespace;
	__u32 zero;
};

/* pid_stats, by slot. The flags come first: a reader that sees EXITED has seen the
 * counters that follow at their final values.
 */
struct process {
	__u64 flags;
	struct totals totals;
	__u64 start_ns;
	__u32 tgid;
	__u32 uid; /* effective, in the initial user namespace */
	__u64 cgroup_id;
	__u64 exec_id; /* changes when the process runs another program */
	__u8 comm[NETMON_COMM_LENGTH];
};

/* losses: what found no room; all of it is in protocol_totals. */
struct losses {
	struct totals flows;     /* traffic_map was full */
	struct totals processes; /* pid_stats was full */
	__u64 unarmed;           /* calls whose thread could get no stash */
	__u64 closed;            /* closed connections nobody was told of */
};

_Static_assert(sizeof(struct process_key) == 16, "process_key");
_Static_assert(sizeof(struct connection) == 40, "connection");
_Static_assert(sizeof(struct flow_key) == 48, "flow_key");
_Static_assert(sizeof(struct socket_key) == 44, "socket_key");
_Static_assert(sizeof(struct totals) == 32, "totals");
_Static_assert(sizeof(struct traffic) == 64, "traffic");
_Static_assert(sizeof(struct process) == 88, "process");
_Static_assert(sizeof(struct losses) == 80, "losses");

#endif
