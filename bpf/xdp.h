/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire between the interface sampler's programs and user space.
 *
 * As netmon.h for the accounting: the only place where these layouts are written
 * down. Plain integers, explicit padding.
 */
#ifndef NETMON_XDP_H
#define NETMON_XDP_H

/* Index into way.classes; the order of model::interface::Class::ALL. */
enum class {
	CLASS_TCP,
	CLASS_UDP,
	CLASS_ICMP,
	CLASS_OTHER_IP,
	CLASS_NOT_IP,
	CLASS_HTTP,
	CLASS_HTTPS,
	CLASS_COUNT,
};

/* Index into interface.ways and interface.uncounted. */
enum direction {
	DIRECTION_RX,
	DIRECTION_TX,
};

/* What a frame of the interface begins with. */
enum layer {
	LAYER_ETHERNET,
	LAYER_IP,    /* no header before the IP one: tun, WireGuard, PPP */
	LAYER_OTHER, /* anything else; nothing in it is told apart */
};

/* Bits of interface.flags. */
enum interface_flags {
	INTERFACE_TRAINS = 1,   /* all that XDP sees were socket buffers, which tell of trains */
	INTERFACE_MAYBE = 2,    /* some were, those of a program that sends trains (tun) */
	INTERFACE_SEGMENTS = 4, /* it counts what comes in before segments are joined */
	INTERFACE_LOOPBACK = 8, /* what goes out comes in */
};

struct count {
	__u64 packets;
	__u64 bytes;
};

/* One direction. */
struct way {
	struct count frames;
	struct count classes[CLASS_COUNT];
};

/*
 * Value of `interfaces`, by ifindex. User space writes the settings of all CPUs when
 * it attaches, together with zeros for the counters.
 */
struct interface {
	struct way ways[2];
	__u32 flags;
	__u8 layer;
	__u8 uncounted[2]; /* bytes of each frame that the interface's counters leave out */
	__u8 zero;
};

/*
 * Key of `flows`: the lower end first, so that both directions are one flow.
 * Addresses are IPv6, IPv4 ones in their mapped form; ports 0 where there are none.
 */
struct wire_flow_key {
	__u32 interface;
	__u32 addresses[2][4];
	__u16 ports[2]; /* host order */
	__u8 protocol;  /* as in the IP header */
	__u8 zero[3];
};

struct wire_flow {
	struct count counts[2]; /* by the end that sent */
	__u32 first;            /* the end that sent the first packet */
	__u32 zero;
};

_Static_assert(sizeof(struct way) == 128, "way");
_Static_assert(sizeof(struct interface) == 264, "interface");
_Static_assert(sizeof(struct wire_flow_key) == 44, "wire_flow_key");
_Static_assert(sizeof(struct wire_flow) == 40, "wire_flow");

#endif
