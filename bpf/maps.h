/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps, and adding to them: each byte once to the protocol, once to the
 * process, once to the flow, in this order. A reader that goes the other way
 * therefore never sees a flow ahead of its process.
 *
 * Does not know where bytes come from: that is netmon.bpf.c.
 */
#ifndef NETMON_MAPS_H
#define NETMON_MAPS_H

/*
 * Plain hashes with atomic adds: an LRU would evict silently, a per-CPU hash
 * costs a copy per CPU for each entry read. max_entries of traffic_map and
 * anomaly_map is set before load from --max-flows.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct flow_key);
	__type(value, struct traffic);
} traffic_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NETMON_MAX_PROCESSES);
	__type(key, struct process_key);
	__type(value, struct process);
} pid_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PROTOCOL_COUNT);
	__type(key, __u32);
	__type(value, struct totals);
} protocol_totals SEC(".maps");

/* Smoothed bytes per second, written by user space; 0 when a flow is born. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct flow_key);
	__type(value, __u64);
} anomaly_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct losses);
} losses SEC(".maps");

/* Connections that reached their closed state: struct connection. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, NETMON_CLOSED_BYTES);
} closed SEC(".maps");

/* A tick in ns and the jiffies at boot: together they make the cheap clock. */
const volatile __u64 tick_ns = 4000000;
const volatile __u64 boot_jiffies = 0;

/* bpf_ktime_get_ns costs 30 ns an event; a tick's precision is enough to tell idle. */
static __always_inline __u64 now_ns(void)
{
	return (bpf_jiffies64() - boot_jiffies) * tick_ns;
}

static __always_inline struct losses *this_cpu_losses(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&losses, &zero);
}

/* For per-CPU totals: nobody else writes them. */
static __always_inline void add(struct totals *to, __u64 bytes, __u64 operations, bool tx)
{
	if (tx) {
		to->tx_bytes += bytes;
		to->tx_operations += operations;
	} else {
		to->rx_bytes += bytes;
		to->rx_operations += operations;
	}
}

static __always_inline void add_atomic(struct totals *to, __u64 bytes, __u64 operations, bool tx)
{
	if (tx) {
		__sync_fetch_and_add(&to->tx_bytes, bytes);
		__sync_fetch_and_add(&to->tx_operations, operations);
	} else {
		__sync_fetch_and_add(&to->rx_bytes, bytes);
		__sync_fetch_and_add(&to->rx_operations, operations);
	}
}

static __always_inline void describe(struct process *process, struct task_struct *task)
{
	process->exec_id = task->self_exec_id;
	process->uid = task->cred->euid.val;
	process->cgroup_id = bpf_get_current_cgroup_id();
	/* The leader's name: a thread may call itself something else. */
	bpf_probe_read_kernel_str(process->comm, sizeof(process->comm), task->group_leader->comm);
}

/* Out of line: it runs once per process, and its value needs the stack. */
static __noinline struct process *new_process(struct process_key *key)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process process = {};

	if (!key)
		return NULL;
	if (task->flags & PF_KTHREAD)
		process.flags = PROCESS_KERNEL;
	describe(&process, task);
	bpf_map_update_elem(&pid_stats, key, &process, BPF_NOEXIST);
	return bpf_map_lookup_elem(&pid_stats, key);
}

static __noinline struct traffic *new_flow(struct flow_key *key)
{
	struct traffic traffic = {};
	__u64 rate = 0;

	if (!key)
		return NULL;
	if (bpf_map_update_elem(&traffic_map, key, &traffic, BPF_NOEXIST) == 0)
		bpf_map_update_elem(&anomaly_map, key, &rate, BPF_NOEXIST);
	return bpf_map_lookup_elem(&traffic_map, key);
}

/* Adds what the current process moved. Everything that counts comes through here. */
static __always_inline void account(struct flow_key *key, __u64 bytes, __u64 operations, bool tx,
				    bool is_closed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;
	__u32 protocol = key->connection.protocol;
	struct process_key process_key = {};
	struct process *process;
	struct traffic *traffic;
	struct totals *totals;
	struct losses *lost;
	__u64 now = now_ns();

	key->start_ns = process_key.start_ns = leader->start_boottime;
	key->tgid = process_key.tgid = task->tgid;

	totals = bpf_map_lookup_elem(&protocol_totals, &protocol);
	if (totals)
		add(totals, bytes, operations, tx);

	process = bpf_map_lookup_elem(&pid_stats, &process_key);
	if (!process)
		process = new_process(&process_key);
	if (process) {
		if (process->exec_id != task->self_exec_id)
			describe(process, task);
		process->last_ns = now;
		add_atomic(&process->totals, bytes, operations, tx);
	} else {
		lost = this_cpu_losses();
		if (lost)
			add(&lost->processes, bytes, operations, tx);
	}

	traffic = bpf_map_lookup_elem(&traffic_map, key);
	if (!traffic)
		traffic = new_flow(key);
	if (traffic) {
		traffic->last_ns = now;
		if (is_closed)
			traffic->flags = TRAFFIC_CLOSED;
		add_atomic(&traffic->totals, bytes, operations, tx);
	} else {
		lost = this_cpu_losses();
		if (lost)
			add(&lost->flows, bytes, operations, tx);
	}
}

#endif
