/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trains: super-frames of several segments that share one set of headers, cut later
 * (TSO) or joined before (GRO).
 *
 * Tells how many segments one is, and whether an interface counts it as one. The
 * kernel's own types are read with CO-RE; names, types and bits were checked against
 * Linux 6.1, 6.12 and 6.18.
 */
#ifndef NETMON_TRAINS_H
#define NETMON_TRAINS_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
	unsigned int gso_type;
};

struct netdev_rx_queue {
	int there; /* never read: only its size is asked for */
};

struct net_device {
	__u64 features;
	__u64 hw_enc_features;
	__u64 vlan_features;
	struct netdev_rx_queue *_rx;
	unsigned int num_rx_queues;
	unsigned int gso_max_size;
	unsigned int gso_ipv4_max_size; /* since 6.3 */
	unsigned short gso_max_segs;
};

struct xdp_rxq_info {
	struct net_device *dev;
};

struct xdp_buff {
	void *data_hard_start;
	struct xdp_rxq_info *rxq;
	__u32 frame_sz;
};

struct sk_buff {
	struct net_device *dev;
	unsigned char *head;
	unsigned int end;
	__u16 mac_header;
	__u16 inner_transport_header;
	__u8 encapsulation : 1;
};

#pragma clang attribute pop

/* clang-format off */
/* include/linux/netdev_features.h and skbuff.h; the enums have no names to ask for. */
#define FEATURE_CTAG_TX      (1ULL << 7)
#define FEATURE_CTAG_RX      (1ULL << 8)
#define FEATURE_STAG_TX      (1ULL << 45)
#define FEATURE_STAG_RX      (1ULL << 46)
#define FEATURE_GSO_SHIFT    16
#define GSO_TCPV4            (1 << 0)
#define GSO_DODGY            (1 << 1) /* from a guest or a program, nothing checked */
#define GSO_TCPV6            (1 << 4)
#define GSO_IN_TUNNEL        (0x3f << 6) /* GRE, IPXIP4, IPXIP6, UDP_TUNNEL, with sums */
/* clang-format on */

/* A train, or a frame of its own if `size` is 0. */
struct train {
	__u32 size; /* payload bytes of a segment */
	__u32 segments;
	__u32 type; /* GSO_* */
};

/* What is behind the frame that tc shows. */
static __always_inline struct skb_shared_info *shared_of(struct __sk_buff *context)
{
	struct sk_buff *skb = (struct sk_buff *)context;

	return (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end);
}

/* The train that tc shows. */
static __always_inline void shown_train(struct __sk_buff *context, struct train *train)
{
	train->size = context->gso_size;
	if (!train->size)
		return;
	train->segments = context->gso_segs;
	train->type = BPF_CORE_READ(shared_of(context), gso_type);
}

extern void *bpf_cast_to_kern_ctx(void *object) __ksym __weak;
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

/*
 * What joined or sent an incoming frame has left in the socket buffer's tail, which
 * is where an XDP buffer made of one has its own: the size of the segments of TCP
 * over IPv4 and IPv6 and of UDP, of their number too. Only for frames that were
 * socket buffers (generic XDP); in others nobody has written there.
 *
 * The context is a struct xdp_buff in memory. Since Linux 6.2 it and the tail can be
 * read in place, at no cost; before, the copying helper costs some 20 ns a frame.
 */
static __always_inline void incoming_train(struct xdp_md *context, struct train *train)
{
	const __u32 tail = (bpf_core_type_size(struct skb_shared_info) + 63) & ~63U;
	struct skb_shared_info *shared;
	struct xdp_buff *buffer;

	if (bpf_ksym_exists(bpf_cast_to_kern_ctx) && bpf_ksym_exists(bpf_rdonly_cast)) {
		buffer = bpf_cast_to_kern_ctx(context);
		shared = bpf_rdonly_cast(buffer->data_hard_start + buffer->frame_sz - tail,
					 bpf_core_type_id_kernel(struct skb_shared_info));
		train->size = shared->gso_size;
		train->segments = shared->gso_segs;
		train->type = shared->gso_type;
		return;
	}
	buffer = (struct xdp_buff *)context;
	shared = BPF_CORE_READ(buffer, data_hard_start) + BPF_CORE_READ(buffer, frame_sz) - tail;
	train->size = BPF_CORE_READ(shared, gso_size);
	if (!train->size)
		return;
	train->segments = BPF_CORE_READ(shared, gso_segs);
	train->type = BPF_CORE_READ(shared, gso_type);
}

/*
 * Whether a frame was a socket buffer where it may have been none: its queue is then one
 * of the device's, and not its program's (tun_build_skb has `tfile->xdp_rxq`). In others
 * the tail holds what an earlier frame has left there.
 */
static __always_inline bool was_socket_buffer(struct xdp_md *context)
{
	struct xdp_buff *buffer = (struct xdp_buff *)context;
	struct xdp_rxq_info *queue = BPF_CORE_READ(buffer, rxq);
	struct net_device *device = BPF_CORE_READ(queue, dev);
	__u64 first = (__u64)BPF_CORE_READ(device, _rx);
	__u64 bytes = (__u64)BPF_CORE_READ(device, num_rx_queues) *
		      bpf_core_type_size(struct netdev_rx_queue);

	return (__u64)queue - first < bytes;
}

/* Segments of a train: as many as it says, else as its payload takes. At least 1. */
static __always_inline __u32 segments_of(const struct train *train, __u32 length, __u32 headers)
{
	if (!train->size)
		return 1;
	/* Who is not checked may say anything. */
	if (train->segments && !(train->type & GSO_DODGY))
		return train->segments;
	if (!headers || length <= headers)
		return 1;
	return (length - headers + train->size - 1) / train->size;
}

/*
 * All bytes before the payload of a train in a tunnel, inner headers too, as far as tc
 * shows it: 0 if they are not known.
 */
static __always_inline __u32 headers_in_tunnel(struct __sk_buff *context, const struct train *train)
{
	struct sk_buff *skb = (struct sk_buff *)context;
	__u16 transport = BPF_CORE_READ(skb, inner_transport_header);
	__u16 begin = BPF_CORE_READ(skb, mac_header);
	__u32 at = transport - begin;
	__u8 words;

	if (!BPF_CORE_READ_BITFIELD_PROBED(skb, encapsulation) || transport <= begin)
		return 0;
	if (!(train->type & (GSO_TCPV4 | GSO_TCPV6)))
		return at + 8;
	if (bpf_skb_load_bytes(context, at + 12, &words, sizeof(words)))
		return 0;
	return at + (words >> 4) * 4;
}

/*
 * Whether the driver takes an outgoing train as one frame, which is how the interface
 * then counts it; else the kernel cuts it before (netif_skb_features, net_gso_ok). One
 * that is not checked is, and then passed on whole where the device knows its kind.
 */
static __always_inline bool leaves_whole(struct __sk_buff *context, const struct train *train,
					 bool is_ipv4)
{
	struct sk_buff *skb = (struct sk_buff *)context;
	struct net_device *device = BPF_CORE_READ(skb, dev);
	__u64 type = (__u64)(train->type & ~GSO_DODGY) << FEATURE_GSO_SHIFT;
	__u64 features = BPF_CORE_READ(device, features);
	__u32 most = BPF_CORE_READ(device, gso_max_size);

	if (BPF_CORE_READ_BITFIELD_PROBED(skb, encapsulation))
		features &= BPF_CORE_READ(device, hw_enc_features);
	if (context->vlan_present)
		features &= BPF_CORE_READ(device, vlan_features);
	if (is_ipv4 && bpf_core_field_exists(device->gso_ipv4_max_size))
		most = BPF_CORE_READ(device, gso_ipv4_max_size);
	return (features & type) == type &&
	       context->gso_segs <= BPF_CORE_READ(device, gso_max_segs) && context->len <= most;
}

/* Whether the device inserts a tag that is beside the frame; else the kernel does before. */
static __always_inline bool inserts_tag(struct __sk_buff *context)
{
	struct sk_buff *skb = (struct sk_buff *)context;
	bool is_service = context->vlan_proto == bpf_htons(ETHERTYPE_8021AD);

	return BPF_CORE_READ(skb, dev, features) & (is_service ? FEATURE_STAG_TX : FEATURE_CTAG_TX);
}

/*
 * Whether a tag that is now beside the frame was in it when the interface counted: not if
 * the device takes tags off before. Else the kernel has moved the addresses over it, and
 * their first bytes are still where they were, too (skb_reorder_vlan_header,
 * net/core/skbuff.c). On a veth that could, what a packet socket sends with a tag within is
 * not told from what a bridge passed on with one beside, which is far more frequent.
 */
static __always_inline bool tag_was_within(struct __sk_buff *context)
{
	struct sk_buff *skb = (struct sk_buff *)context;
	unsigned char *begin = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, mac_header);
	bool is_service = context->vlan_proto == bpf_htons(ETHERTYPE_8021AD);
	__u32 before = 0, first = 1;

	if (BPF_CORE_READ(skb, dev, features) & (is_service ? FEATURE_STAG_RX : FEATURE_CTAG_RX))
		return false;

	bpf_probe_read_kernel(&before, sizeof(before), begin - sizeof(struct tag_header));
	bpf_probe_read_kernel(&first, sizeof(first), begin);
	return before == first;
}

#endif
