// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The socket filter of captures: which frames come into a ring, and how much
 * of each is copied. What it leaves out is counted.
 *
 * It runs where the frame does, in the time of who sends or receives it, so
 * what is not set costs nothing: the verifier removes it. Reads frames with the
 * link header in front (SOCK_RAW). Loads on 6.1 and later.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "filter.h"

#define PACKET_OUTGOING 4
/* The first interface of every network namespace (LOOPBACK_IFINDEX). */
#define LOOPBACK 1
/* Tags that are looked through, as many as there are in practice and one. */
#define MOST_TAGS 3

/* Settings, written before the program is loaded. */
const volatile __u32 kept_bytes = 128;
/* A socket on all interfaces sees what loopback sends when it comes in again, too. */
const volatile bool on_all_interfaces;
const volatile bool ignores_v4;
const volatile bool ignores_v6;
const volatile bool accepts_some;

#define NETWORKS(name, key_type)                                   \
	struct {                                                   \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);               \
		__uint(max_entries, 1);                            \
		__uint(map_flags, BPF_F_NO_PREALLOC);              \
		__type(key, key_type);                             \
		__type(value, __u8);                               \
	} name SEC(".maps")

/* max_entries is set before load from the lists. */
NETWORKS(ignored_v4, struct network4);
NETWORKS(ignored_v6, struct network6);
NETWORKS(accepted_v4, struct network4);
NETWORKS(accepted_v6, struct network6);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_COUNT);
	__type(key, __u32);
	__type(value, struct verdict_count);
} verdicts SEC(".maps");

/*
 * How much of a frame to keep. One that is left out is counted; the ring counts
 * those that pass. No atomic add: frames are seen with soft interrupts off.
 */
static __always_inline int judged(const struct __sk_buff *skb, __u32 verdict)
{
	struct verdict_count *count;

	if (verdict == VERDICT_PASSED)
		return kept_bytes;
	count = bpf_map_lookup_elem(&verdicts, &verdict);
	if (count) {
		count->packets += 1;
		/* The kernel took the tag off, but it was on the wire; loopback has none. */
		count->bytes += skb->len + (skb->vlan_present ? 4 : 0) -
				(skb->ifindex == LOOPBACK ? ETH_HLEN : 0);
	}
	return 0;
}

/* Source and destination stand one after the other, in IPv4 and in IPv6. */
static __always_inline __u32 by_lists_v4(const struct __sk_buff *skb, __u32 at, __u32 from)
{
	struct network4 key = { .bits = 32 };
	__u8 addresses[8];

	if (!ignores_v4 && !accepts_some)
		return VERDICT_PASSED;
	/* Cut off: let through, for user space to count as what cannot be read. */
	if (bpf_skb_load_bytes_relative(skb, at + 12, addresses, sizeof(addresses), from))
		return accepts_some ? VERDICT_IGNORED : VERDICT_PASSED;
	__builtin_memcpy(key.address, addresses, 4);
	if (accepts_some && !bpf_map_lookup_elem(&accepted_v4, &key))
		return VERDICT_IGNORED;
	if (!ignores_v4)
		return VERDICT_PASSED;
	if (bpf_map_lookup_elem(&ignored_v4, &key))
		return VERDICT_IGNORED;
	__builtin_memcpy(key.address, addresses + 4, 4);
	return bpf_map_lookup_elem(&ignored_v4, &key) ? VERDICT_IGNORED : VERDICT_PASSED;
}

static __always_inline __u32 by_lists_v6(const struct __sk_buff *skb, __u32 at, __u32 from)
{
	struct network6 key = { .bits = 128 };
	__u8 addresses[32];

	if (!ignores_v6 && !accepts_some)
		return VERDICT_PASSED;
	if (bpf_skb_load_bytes_relative(skb, at + 8, addresses, sizeof(addresses), from))
		return accepts_some ? VERDICT_IGNORED : VERDICT_PASSED;
	__builtin_memcpy(key.address, addresses, 16);
	if (accepts_some && !bpf_map_lookup_elem(&accepted_v6, &key))
		return VERDICT_IGNORED;
	if (!ignores_v6)
		return VERDICT_PASSED;
	if (bpf_map_lookup_elem(&ignored_v6, &key))
		return VERDICT_IGNORED;
	__builtin_memcpy(key.address, addresses + 16, 16);
	return bpf_map_lookup_elem(&ignored_v6, &key) ? VERDICT_IGNORED : VERDICT_PASSED;
}

static __always_inline __u32 by_lists(const struct __sk_buff *skb, __be16 protocol, __u32 at,
				      __u32 from)
{
	if (protocol == bpf_htons(ETH_P_IP))
		return by_lists_v4(skb, at, from);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return by_lists_v6(skb, at, from);
	return VERDICT_NOT_IP;
}

/*
 * A tag that is still in the frame. Where the network header then begins is
 * not the same in all kernels, so this goes by the Ethernet header.
 */
static __always_inline __u32 tagged(const struct __sk_buff *skb)
{
	__u32 at = ETH_HLEN - sizeof(__be16);
	__be16 protocol = 0;

	for (int depth = 0; depth <= MOST_TAGS; depth++) {
		if (bpf_skb_load_bytes_relative(skb, at, &protocol, sizeof(protocol),
						BPF_HDR_START_MAC))
			return VERDICT_NOT_IP;
		at += sizeof(protocol);
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		at += sizeof(__be16);
	}
	return by_lists(skb, protocol, at, BPF_HDR_START_MAC);
}

SEC("socket")
int capture_filter(struct __sk_buff *skb)
{
	__be16 protocol = skb->protocol;

	if (on_all_interfaces && skb->ifindex == LOOPBACK && skb->pkt_type == PACKET_OUTGOING)
		return 0;
	if (protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD))
		return judged(skb, tagged(skb));
	return judged(skb, by_lists(skb, protocol, 0, BPF_HDR_START_NET));
}

char LICENSE[] SEC("license") = "GPL";
