// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts what crosses an interface, by protocol and by flow.
 *
 * XDP or a tc program sees what comes in, a tc program what goes out. None changes a
 * packet nor decides on one: whatever happens here, it goes on.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "xdp.h"

#include "packet.h"
#include "trains.h"

#define PORT_HTTP  80
#define PORT_HTTPS 443

/* On to the next program, or on its way; as TCX_NEXT. */
#define TC_ACT_UNSPEC (-1)

/* include/uapi/linux/if_packet.h: of dev_loopback_xmit. */
#define PACKET_LOOPBACK 5

char LICENSE[] SEC("license") = "GPL";

/* Whether flows are kept apart; without them their code is not even loaded. */
const volatile bool flows_are_counted = false;

/* Only user space makes entries, so that they need no memory set aside. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct interface);
} interfaces SEC(".maps");

/* The least recently used makes room for a new one. max_entries is set before load. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct wire_flow_key);
	__type(value, struct wire_flow);
} flows SEC(".maps");

/*
 * Plain adds: the counters are of this CPU and this direction, and nothing that adds
 * to them can come between. XDP programs run in the receiving softirq, tc programs
 * with softirqs off (__dev_queue_xmit), so neither runs on top of itself. On PREEMPT_RT
 * the softirq's lock, which each CPU has, serves the same, where the kernel still has it
 * (CONFIG_PREEMPT_RT_NEEDS_BH_LOCK, 6.18): without it an add can be lost.
 */
static __always_inline void add(struct count *count, __u64 packets, __u64 bytes)
{
	count->packets += packets;
	count->bytes += bytes;
}

/* A flow is one entry for all CPUs, so here they meet. */
static __always_inline void add_shared(struct count *count, __u64 packets, __u64 bytes)
{
	__sync_fetch_and_add(&count->packets, packets);
	__sync_fetch_and_add(&count->bytes, bytes);
}

/* The end that is lower, by address, then port. */
static __always_inline __u32 lower_end(const struct packet *packet)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		if (packet->addresses[0][i] != packet->addresses[1][i])
			return packet->addresses[0][i] > packet->addresses[1][i];
	}
	return packet->ports[0] > packet->ports[1];
}

static __always_inline void count_flow(__u32 interface, const struct packet *packet, __u64 packets,
				       __u64 bytes)
{
	struct wire_flow_key key = {.interface = interface, .protocol = packet->protocol};
	struct wire_flow *flow, fresh = {};
	__u32 swapped = lower_end(packet);

	if (swapped) {
		__builtin_memcpy(key.addresses[0], packet->addresses[1], 16);
		__builtin_memcpy(key.addresses[1], packet->addresses[0], 16);
		key.ports[0] = packet->ports[1];
		key.ports[1] = packet->ports[0];
	} else {
		__builtin_memcpy(key.addresses, packet->addresses, 32);
		key.ports[0] = packet->ports[0];
		key.ports[1] = packet->ports[1];
	}
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		fresh.first = swapped;
		/* Another CPU may have been first, and memory may be short. */
		bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flows, &key);
		if (!flow)
			return;
	}
	if (swapped)
		add_shared(&flow->counts[1], packets, bytes);
	else
		add_shared(&flow->counts[0], packets, bytes);
}

static __always_inline void count_classes(struct way *way, const struct packet *packet,
					  __u64 packets, __u64 bytes)
{
	__u16 from = packet->ports[0], to = packet->ports[1];
	__u32 class = packet->class;

	if (class > CLASS_NOT_IP)
		return;
	add(&way->classes[class], packets, bytes);
	if (!packet->has_ports)
		return;
	if (from == PORT_HTTPS || to == PORT_HTTPS)
		add(&way->classes[CLASS_HTTPS], packets, bytes);
	if (class == CLASS_TCP && (from == PORT_HTTP || to == PORT_HTTP))
		add(&way->classes[CLASS_HTTP], packets, bytes);
}

/* What a frame is, and what it is to the interface that counts it. */
struct seen {
	__u64 segments;
	__u64 bytes;
	__u64 frames;
	__u64 frame_bytes;
};

static __always_inline void count(struct interface *interface, enum direction direction, __u32 index,
				  const struct packet *packet, const struct seen *seen)
{
	struct way *way = &interface->ways[direction];
	__u64 uncounted = seen->frames * interface->uncounted[direction];

	add(&way->frames, seen->frames, seen->frame_bytes - uncounted);
	count_classes(way, packet, seen->segments, seen->bytes);
	/* On the loopback it is counted when it comes in. */
	if (direction == DIRECTION_TX && interface->flags & INTERFACE_LOOPBACK)
		return;
	if (flows_are_counted && packet->is_ip)
		count_flow(index, packet, seen->segments, seen->bytes);
}

/*
 * Each segment of a train with headers of its own. To a card's driver they came as
 * segments, but for those of a guest or a program, and were joined after it counted.
 */
static __always_inline void cut(struct seen *seen, const struct interface *interface,
				const struct train *train, __u32 length, __u32 headers)
{
	seen->segments = segments_of(train, length, headers);
	seen->bytes += (seen->segments - 1) * headers;
	if (interface->flags & INTERFACE_SEGMENTS && !(train->type & GSO_DODGY)) {
		seen->frames = seen->segments;
		seen->frame_bytes = seen->bytes;
	}
}

SEC("xdp.frags")
int on_ingress(struct xdp_md *context)
{
	struct frame frame = {
		.context = context,
		.data = (void *)(long)context->data,
		.data_end = (void *)(long)context->data_end,
	};
	__u32 index = context->ingress_ifindex;
	struct packet packet = {};
	struct train train = {};
	struct interface *interface;
	struct seen seen;

	interface = bpf_map_lookup_elem(&interfaces, &index);
	if (!interface)
		return XDP_PASS;
	frame.length = bpf_xdp_get_buff_len(context);
	seen = (struct seen){1, frame.length, 1, frame.length};
	parse(&frame, interface->layer, &packet);
	if (interface->flags & (INTERFACE_TRAINS | INTERFACE_MAYBE))
		incoming_train(context, &train);
	if (train.size && interface->flags & INTERFACE_MAYBE && !was_socket_buffer(context))
		train.size = 0;
	if (train.size)
		cut(&seen, interface, &train, frame.length, headers_of(&frame, &packet));
	count(interface, DIRECTION_RX, index, &packet, &seen);
	return XDP_PASS;
}

/* A frame as tc shows it; false if its interface is not ours. */
static __always_inline struct interface *show(struct __sk_buff *context, struct frame *frame,
					      struct packet *packet, struct train *train)
{
	__u32 index = context->ifindex;
	struct interface *interface = bpf_map_lookup_elem(&interfaces, &index);

	*frame = (struct frame){
		.context = context,
		.data = (void *)(long)context->data,
		.data_end = (void *)(long)context->data_end,
		.length = context->len,
		.is_skb = true,
		.is_tagged = context->vlan_present,
	};
	if (!interface)
		return NULL;
	parse(frame, interface->layer, packet);
	shown_train(context, train);
	return interface;
}

/* All bytes before the payload of a train's segments. */
static __always_inline __u32 headers_of_train(const struct frame *frame, const struct packet *packet,
					      const struct train *train)
{
	if (train->type & GSO_IN_TUNNEL)
		return headers_in_tunnel(frame->context, train);
	return headers_of(frame, packet);
}

SEC("tc")
int on_ingress_tc(struct __sk_buff *context)
{
	struct packet packet = {};
	struct train train = {};
	struct interface *interface;
	struct frame frame;
	struct seen seen;

	/* What went out to many comes back to those who are here, and was counted then. */
	if (context->pkt_type == PACKET_LOOPBACK)
		return TC_ACT_UNSPEC;
	interface = show(context, &frame, &packet, &train);
	if (!interface)
		return TC_ACT_UNSPEC;
	seen = (struct seen){1, frame.length, 1, frame.length};
	if (train.size)
		cut(&seen, interface, &train, frame.length,
		    headers_of_train(&frame, &packet, &train));
	if (context->vlan_present) {
		/* The kernel, or the card, has taken it off. */
		seen.bytes += seen.segments * sizeof(struct tag_header);
		if (tag_was_within(context))
			seen.frame_bytes += seen.frames * sizeof(struct tag_header);
	}
	count(interface, DIRECTION_RX, context->ifindex, &packet, &seen);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int on_egress(struct __sk_buff *context)
{
	struct packet packet = {};
	struct train train = {};
	struct interface *interface;
	struct frame frame;
	struct seen seen;

	interface = show(context, &frame, &packet, &train);
	if (!interface)
		return TC_ACT_UNSPEC;
	seen = (struct seen){1, frame.length, 1, frame.length};
	if (train.size) {
		__u32 headers = headers_of_train(&frame, &packet, &train);

		seen.segments = segments_of(&train, frame.length, headers);
		seen.bytes += (seen.segments - 1) * headers;
		if (!leaves_whole(context, &train, packet.is_ipv4)) {
			seen.frames = seen.segments;
			seen.frame_bytes = seen.bytes;
		}
	}
	if (context->vlan_present) {
		/* The tag is beside the frame, of which it will be a part. */
		seen.bytes += seen.segments * sizeof(struct tag_header);
		if (!inserts_tag(context))
			seen.frame_bytes += seen.frames * sizeof(struct tag_header);
	}
	count(interface, DIRECTION_TX, context->ifindex, &packet, &seen);
	return TC_ACT_UNSPEC;
}
