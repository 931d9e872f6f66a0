// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs that do nothing, on the tracepoints netmon uses: what the attached
 * tracepoints cost by themselves. Used by benches/overhead only.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sys_enter")
int empty_sys_enter(void *context)
{
	return 0;
}

SEC("tp_btf/sys_exit")
int empty_sys_exit(void *context)
{
	return 0;
}

SEC("tp_btf/sock_send_length")
int empty_sock_send(void *context)
{
	return 0;
}

SEC("tp_btf/sock_recv_length")
int empty_sock_recv(void *context)
{
	return 0;
}

SEC("tp_btf/tcp_rcv_space_adjust")
int empty_receive_space(void *context)
{
	return 0;
}
