/* SPDX-License-Identifier: GPL-2.0-or-later */
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

/*
 * An array: a flow remembers the slot of its process, so that an event hashes
 * once, not twice. process_slots finds the slot of a process that has no flow
 * yet; free_slots holds the slots user space gave back, slots_used how many
 * were ever handed out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NETMON_MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct process);
} pid_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NETMON_MAX_PROCESSES);
	__type(key, struct process_key);
	__type(value, __u32);
} process_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, NETMON_MAX_PROCESSES);
	__type(value, __u32);
} free_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} slots_used SEC(".maps");

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

/* Connections that reached their closed state: struct socket_key. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, NETMON_CLOSED_BYTES);
} closed SEC(".maps");

/* The socket of which on_state has told last on this CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} told_closed SEC(".maps");

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

/* Where nobody else can write meanwhile. */
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

/* Half the silence after which a flow may leave the map (IDLE_UNDER_PRESSURE). */
#define ALONE_NS 500000000ULL

/*
 * Counters of the current process. Its other threads (io_uring workers are
 * threads too) may count at the same time; while it has none, nobody can, and
 * a plain add saves a locked one.
 */
static __always_inline void add_shared(struct totals *to, __u64 bytes, __u64 operations, bool tx,
				       bool alone)
{
	if (alone) {
		add(to, bytes, operations, tx);
	} else if (tx) {
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

/* The process in a slot; slots count from 1 here. */
static __always_inline struct process *process_in(__u32 slot)
{
	__u32 index = slot - 1;

	return slot ? bpf_map_lookup_elem(&pid_stats, &index) : NULL;
}

static __always_inline __u32 free_slot(void)
{
	__u32 zero = 0, index, *used;

	if (bpf_map_pop_elem(&free_slots, &index) == 0)
		return index + 1;
	used = bpf_map_lookup_elem(&slots_used, &zero);
	if (!used || *used >= NETMON_MAX_PROCESSES)
		return 0;
	index = __sync_fetch_and_add(used, 1);
	return index < NETMON_MAX_PROCESSES ? index + 1 : 0;
}

/* The slot of the current process, a new one if it has none; 0: none is free. */
__noinline __u32 current_slot(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_key key = {};
	struct process *process;
	__u32 *found, slot, index;

	key.start_ns = task->group_leader->start_boottime;
	key.tgid = task->tgid;
	found = bpf_map_lookup_elem(&process_slots, &key);
	if (found)
		return *found + 1;
	slot = free_slot();
	process = process_in(slot);
	if (!process)
		return 0;
	__builtin_memset(&process->totals, 0, sizeof(process->totals));
	process->start_ns = key.start_ns;
	process->tgid = key.tgid;
	describe(process, task);
	index = slot - 1;
	if (bpf_map_update_elem(&process_slots, &key, &index, BPF_NOEXIST)) {
		/* Another thread of the process was faster. */
		bpf_map_push_elem(&free_slots, &index, BPF_ANY);
		found = bpf_map_lookup_elem(&process_slots, &key);
		return found ? *found + 1 : 0;
	}
	process->flags = PROCESS_USED | (task->flags & PF_KTHREAD ? PROCESS_KERNEL : 0);
	return slot;
}

/*
 * Runs once per flow. Static, so that the verifier knows the key's place: on 6.1
 * a map takes no key from the argument of a function that is verified once.
 */
static __noinline int new_flow(struct flow_key *key, __u32 network_namespace)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct traffic traffic = {};
	__u64 rate = 0;

	if (!key)
		return 0;
	traffic.slot = current_slot();
	traffic.start_ns = task->group_leader->start_boottime;
	traffic.network_namespace = network_namespace;
	if (bpf_map_update_elem(&traffic_map, key, &traffic, BPF_NOEXIST) == 0)
		bpf_map_update_elem(&anomaly_map, key, &rate, BPF_NOEXIST);
	return 0;
}

/*
 * Adds what the current process moved. Everything that counts comes through
 * here; the caller fills key->connection.
 */
static __always_inline void account(struct task_struct *task, struct flow_key *key,
				    __u32 network_namespace, __u64 bytes, __u64 operations, bool tx,
				    bool is_closed)
{
	__u32 protocol = key->connection.protocol;
	bool alone = task->signal->nr_threads == 1;
	struct process *process;
	struct traffic *traffic;
	struct totals *totals;
	struct losses *lost;
	__u64 now = now_ns();
	__u32 slot;

	key->start_low = task->group_leader->start_boottime;
	key->tgid = task->tgid;

	totals = bpf_map_lookup_elem(&protocol_totals, &protocol);
	if (totals)
		add(totals, bytes, operations, tx);

	traffic = bpf_map_lookup_elem(&traffic_map, key);
	if (!traffic) {
		new_flow(key, network_namespace);
		traffic = bpf_map_lookup_elem(&traffic_map, key);
	}

	slot = traffic ? traffic->slot : 0;
	if (!slot) {
		slot = current_slot();
		if (traffic)
			traffic->slot = slot;
	}
	process = process_in(slot);
	if (process) {
		if (process->exec_id != task->self_exec_id)
			describe(process, task);
		add_shared(&process->totals, bytes, operations, tx, alone);
	} else {
		lost = this_cpu_losses();
		if (lost)
			add(&lost->processes, bytes, operations, tx);
	}

	if (traffic) {
		/*
		 * User space may be taking out a flow that is closed or was silent for
		 * a second: a plain add could then write into the entry's next owner.
		 */
		alone = alone && !is_closed && now - traffic->last_ns < ALONE_NS;
		traffic->last_ns = now;
		if (is_closed)
			traffic->flags = TRAFFIC_CLOSED;
		add_shared(&traffic->totals, bytes, operations, tx, alone);
	} else {
		lost = this_cpu_losses();
		if (lost)
			add(&lost->flows, bytes, operations, tx);
	}
}

#endif
