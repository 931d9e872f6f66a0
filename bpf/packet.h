/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parser: from a frame's first byte to the end of its transport header.
 *
 * Reads only what lies within verified bounds. What ends too early is what can be
 * told from the bytes that are there. Counts nothing.
 */
#ifndef NETMON_PACKET_H
#define NETMON_PACKET_H

/* clang-format off */
#define ETHERTYPE_IPV4   0x0800
#define ETHERTYPE_IPV6   0x86dd
#define ETHERTYPE_8021Q  0x8100
#define ETHERTYPE_8021AD 0x88a8

#define NEXT_HOP_BY_HOP   0
#define NEXT_ICMP         1
#define NEXT_TCP          6
#define NEXT_UDP         17
#define NEXT_ROUTING     43
#define NEXT_FRAGMENT    44
#define NEXT_AUTH        51
#define NEXT_ICMPV6      58
#define NEXT_OPTIONS     60
#define NEXT_MOBILITY   135
#define NEXT_HIP        139
#define NEXT_SHIM6      140

#define MAX_TAGS        2
#define MAX_EXTENSIONS  8

#define FRAGMENT_OFFSET 0x1fff /* IPv4, in host order */
/* clang-format on */

/* A frame, as XDP or tc shows it. `length` is all of it, of which data may be a part. */
struct frame {
	void *context;
	void *data;
	void *data_end;
	__u32 length;
	bool is_skb;
	bool is_tagged; /* one tag is beside it */
};

/* What the headers say. */
struct packet {
	__u32 transport; /* where the transport header begins */
	enum class class;
	__u8 protocol;
	bool is_ip;
	bool is_ipv4;
	bool has_transport; /* not a fragment beyond the first */
	bool has_ports;
	__u16 ports[2]; /* host order */
	__u32 addresses[2][4];
};

struct ethernet_header {
	__u8 addresses[12];
	__be16 type;
};

struct tag_header {
	__be16 control;
	__be16 type;
};

struct ipv4_header {
	__u8 version_length;
	__u8 service;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 hops;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6_header {
	__be32 version_class_flow;
	__be16 length;
	__u8 next;
	__u8 hops;
	__be32 source[4];
	__be32 destination[4];
};

struct extension_header {
	__u8 next;
	__u8 length;
	__be16 fragment; /* of NEXT_FRAGMENT; the offset is in the upper 13 bits */
};

struct port_header {
	__be16 source;
	__be16 destination;
};

/* By the helper: wherever the bytes are, and with few states for the verifier. */
static __always_inline bool load_far(const struct frame *frame, __u32 at, void *to, __u32 size)
{
	if (frame->is_skb)
		return !bpf_skb_load_bytes(frame->context, at, to, size);
	return !bpf_xdp_load_bytes(frame->context, at, to, size);
}

/*
 * Copies a header out of the frame: from memory where it is in the first piece, as
 * nearly always, else by the helper. False if the frame ends before.
 */
#define load(frame, at, to)                                                                        \
	({                                                                                         \
		typeof(to) near_ = (frame)->data + (at);                                           \
		bool there_ = (void *)(near_ + 1) <= (frame)->data_end;                            \
		if (there_)                                                                        \
			*(to) = *near_;                                                            \
		else                                                                               \
			there_ = load_far(frame, at, to, sizeof(*(to)));                           \
		there_;                                                                            \
	})

static __always_inline bool is_tag(__u16 type)
{
	return type == ETHERTYPE_8021Q || type == ETHERTYPE_8021AD;
}

/* The EtherType after all tags; moves `at` behind it. 0 if the frame ends before. */
static __always_inline __u16 ethertype_of(const struct frame *frame, __u32 *at)
{
	struct ethernet_header ethernet;
	struct tag_header tag;
	__u16 type;

	if (!load(frame, 0, &ethernet))
		return 0;
	*at = sizeof(ethernet);
	type = bpf_ntohs(ethernet.type);
#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		if (!is_tag(type) || (i == MAX_TAGS - 1 && frame->is_tagged))
			return type;
		if (!load(frame, *at, &tag))
			return 0;
		*at += sizeof(tag);
		type = bpf_ntohs(tag.type);
	}
	return type;
}

static __always_inline void parse_ipv4(const struct frame *frame, __u32 at, struct packet *packet)
{
	struct ipv4_header header;
	__u32 length;

	if (!load(frame, at, &header))
		return;
	length = (header.version_length & 0xf) * 4;
	if (header.version_length >> 4 != 4 || length < sizeof(header))
		return;
	packet->is_ip = packet->is_ipv4 = true;
	packet->protocol = header.protocol;
	packet->has_transport = !(bpf_ntohs(header.fragment) & FRAGMENT_OFFSET);
	packet->transport = at + length;
	packet->addresses[0][2] = packet->addresses[1][2] = bpf_htonl(0xffff);
	packet->addresses[0][3] = header.source;
	packet->addresses[1][3] = header.destination;
}

/*
 * Walks the extension headers from `next` on. A header that is cut, or one more than
 * MAX_EXTENSIONS, leaves the protocol at that header's number, which is none that
 * is told apart.
 */
static __always_inline void parse_extensions(const struct frame *frame, __u32 at, __u8 next,
					     struct packet *packet)
{
	struct extension_header header;

	packet->has_transport = true;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u32 length;

		switch (next) {
		case NEXT_HOP_BY_HOP:
		case NEXT_ROUTING:
		case NEXT_OPTIONS:
		case NEXT_MOBILITY:
		case NEXT_HIP:
		case NEXT_SHIM6:
		case NEXT_FRAGMENT:
		case NEXT_AUTH:
			break;
		default:
			goto done;
		}
		if (!load_far(frame, at, &header, sizeof(header)))
			goto done;
		if (next == NEXT_FRAGMENT) {
			length = 8;
			if (bpf_ntohs(header.fragment) >> 3)
				packet->has_transport = false;
		} else if (next == NEXT_AUTH) {
			length = (header.length + 2) * 4;
		} else {
			length = (header.length + 1) * 8;
		}
		next = header.next;
		at += length;
		/* What follows is of the packet's middle. */
		if (!packet->has_transport)
			goto done;
	}
done:
	packet->protocol = next;
	packet->transport = at;
}

static __always_inline void parse_ipv6(const struct frame *frame, __u32 at, struct packet *packet)
{
	struct ipv6_header header;

	if (!load(frame, at, &header))
		return;
	if (bpf_ntohl(header.version_class_flow) >> 28 != 6)
		return;
	packet->is_ip = true;
	__builtin_memcpy(packet->addresses[0], header.source, sizeof(header.source));
	__builtin_memcpy(packet->addresses[1], header.destination, sizeof(header.destination));
	parse_extensions(frame, at + sizeof(header), header.next, packet);
}

static __always_inline void parse_ports(const struct frame *frame, struct packet *packet)
{
	struct port_header header;

	if (!packet->has_transport || !load_far(frame, packet->transport, &header, sizeof(header)))
		return;
	packet->has_ports = true;
	packet->ports[0] = bpf_ntohs(header.source);
	packet->ports[1] = bpf_ntohs(header.destination);
}

static __always_inline void parse(const struct frame *frame, enum layer layer,
				  struct packet *packet)
{
	__u8 version = 0;
	__u32 at = 0;
	__u16 type = 0;

	packet->class = CLASS_NOT_IP;
	if (layer == LAYER_ETHERNET)
		type = ethertype_of(frame, &at);
	else if (layer == LAYER_IP && load_far(frame, 0, &version, sizeof(version)))
		type = version >> 4 == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
	if (type == ETHERTYPE_IPV4)
		parse_ipv4(frame, at, packet);
	else if (type == ETHERTYPE_IPV6)
		parse_ipv6(frame, at, packet);
	if (!packet->is_ip)
		return;
	switch (packet->protocol) {
	case NEXT_TCP:
		packet->class = CLASS_TCP;
		parse_ports(frame, packet);
		break;
	case NEXT_UDP:
		packet->class = CLASS_UDP;
		parse_ports(frame, packet);
		break;
	case NEXT_ICMP:
	case NEXT_ICMPV6:
		packet->class = CLASS_ICMP;
		break;
	default:
		packet->class = CLASS_OTHER_IP;
	}
}

/* All bytes before a packet's payload, or 0 if they are not all there. */
static __always_inline __u32 headers_of(const struct frame *frame, const struct packet *packet)
{
	__u8 offset;

	if (!packet->has_ports)
		return 0;
	if (packet->class == CLASS_UDP)
		return packet->transport + 8;
	if (!load_far(frame, packet->transport + 12, &offset, sizeof(offset)))
		return 0;
	return packet->transport + (offset >> 4) * 4;
}

#endif
