/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire between the socket filter of captures and user space.
 *
 * The only place where these layouts are written down; user space gets them
 * through the generated skeleton.
 */
#ifndef NETMON_FILTER_H
#define NETMON_FILTER_H

/* Index into verdicts, of frames that are left out. */
enum verdict {
	VERDICT_IGNORED, /* by one of the lists */
	VERDICT_NOT_IP,
	VERDICT_COUNT,
	VERDICT_PASSED = VERDICT_COUNT,
};

/* Frames, as long as they were on the wire. */
struct verdict_count {
	__u64 packets;
	__u64 bytes;
};

/* Networks, as BPF_MAP_TYPE_LPM_TRIE wants its keys: bits, then an address. */
struct network4 {
	__u32 bits;
	__u8 address[4];
};

struct network6 {
	__u32 bits;
	__u8 address[16];
};

_Static_assert(sizeof(struct verdict_count) == 16, "verdict_count");
_Static_assert(sizeof(struct network4) == 8, "network4");
_Static_assert(sizeof(struct network6) == 20, "network6");

#endif
