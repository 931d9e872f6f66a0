//! Every flow the tracker knows, and which of them the kernel may forget.
//!
//! Owns cumulative counts, smoothed rates and the life of a flow:
//! open → ended (closed, its process gone, or idle for long) → removed from the
//! kernel's map → shown for a while with its final counts → forgotten.
//! Knows processes only by their identity.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::anomaly::is_anomalous;
use super::counter::Counter;
use super::flow::{Connection, FlowKey, Protocol, Totals};
use super::sample::{FlowCounters, Sample};
use super::tcp::{TcpHealth, TcpTable};
use super::tracker::{Settings, Tick};

/// A datagram flow has no end of its own: this much silence is one.
pub const IDLE_DATAGRAMS: Duration = Duration::from_secs(60);
/// When the kernel's map fills up, flows silent for this long may leave it.
pub const IDLE_UNDER_PRESSURE: Duration = Duration::from_secs(1);

/// One flow.
#[derive(Debug, Clone)]
pub struct FlowState {
    /// Its counts and rates, whatever the kernel's entry went through.
    pub counter: Counter,
    /// It will move no more bytes, as far as anyone can tell.
    pub ended: bool,
    /// How its connection fares, as last told.
    pub tcp: Option<TcpHealth>,
    /// Wall-clock time since which it is anomalous.
    pub anomalous_since: Option<Duration>,
    /// Monotonic time of the last reading that brought bytes.
    active_at: Duration,
    in_kernel: bool,
    /// Removal was asked for and not confirmed.
    leaving: bool,
    /// Tick at which it had ended and left the kernel.
    gone: Option<(u64, Duration)>,
    /// What `anomaly_map` says.
    written: u64,
}

impl FlowState {
    fn new(now: Duration, totals: Totals) -> FlowState {
        FlowState {
            counter: Counter::resumed(totals),
            ended: false,
            tcp: None,
            anomalous_since: None,
            active_at: now,
            in_kernel: true,
            leaving: false,
            gone: None,
            written: 0,
        }
    }

    fn take(&mut self, counters: &FlowCounters, now: Duration) -> Totals {
        let delta = self.counter.read(counters.totals);
        if !delta.is_zero() {
            self.active_at = now;
        }
        if counters.closed {
            self.ended = true;
        }
        delta
    }
}

/// All flows; see the module's text.
#[derive(Debug, Default)]
pub struct FlowTable {
    flows: HashMap<FlowKey, FlowState, RandomState>,
    forgotten: Forgotten,
    in_kernel: usize,
    /// Bytes of all flows, forgotten ones included.
    pub bytes: u64,
    /// Bytes of flows without a known peer, forgotten ones included.
    pub unknown_peer_bytes: u64,
    /// Flows to take out of the kernel's map, decided by the last tick.
    pub removals: Vec<FlowKey>,
    /// Smoothed rates that changed, to write into `anomaly_map`, bytes/s.
    pub rates: Vec<(FlowKey, u64)>,
}

impl FlowTable {
    /// Takes a reading in. Calls `moved` for each flow that moved bytes, and tells
    /// whether they are its first.
    pub fn read(
        &mut self,
        sample: &Sample,
        now: Duration,
        mut moved: impl FnMut(&FlowKey, Totals, bool),
    ) {
        // What was removed after the last reading, then what is there now: an
        // entry that was born again under the same key starts from 0.
        for counters in &sample.removed_flows {
            let state = self.state(&counters.key, now);
            let delta = state.take(counters, now);
            state.counter.restart();
            state.in_kernel = false;
            state.leaving = false;
            state.written = 0;
            let first = state.counter.totals == delta;
            self.count(&counters.key, delta, first, &mut moved);
        }
        for counters in &sample.flows {
            let state = self.state(&counters.key, now);
            let delta = state.take(counters, now);
            if !state.in_kernel || state.gone.is_some() {
                state.in_kernel = true;
                state.gone = None;
                state.ended = counters.closed;
            }
            let first = state.counter.totals == delta;
            self.count(&counters.key, delta, first, &mut moved);
        }
        self.in_kernel = sample.flows.len();
        if let Some(table) = &sample.tcp {
            self.learn(table);
        }
    }

    /// Takes in how connections fare. One that is not in the table has ended, or came
    /// after it was made: what was known of it stays.
    fn learn(&mut self, table: &TcpTable) {
        for (key, state) in &mut self.flows {
            if matches!(key.protocol, Protocol::Tcp | Protocol::Mptcp)
                && let Some(health) = table.get(&key.connection())
            {
                state.tcp = Some(health);
            }
        }
    }

    /// The state of a flow; a new one goes on from what was forgotten of it.
    fn state(&mut self, key: &FlowKey, now: Duration) -> &mut FlowState {
        let forgotten = &mut self.forgotten;
        self.flows
            .entry(*key)
            .or_insert_with(|| FlowState::new(now, forgotten.take(key)))
    }

    fn count(
        &mut self,
        key: &FlowKey,
        delta: Totals,
        first: bool,
        moved: &mut impl FnMut(&FlowKey, Totals, bool),
    ) {
        if delta.is_zero() {
            return;
        }
        self.bytes += delta.bytes();
        if key.remote.is_none() {
            self.unknown_peer_bytes += delta.bytes();
        }
        moved(key, delta, first);
    }

    /// Rates, ends and anomalies of every flow; then decides on removals.
    /// `is_over` tells whether the process of a flow has ended.
    pub fn settle(
        &mut self,
        tick: &Tick,
        settings: &Settings,
        closed: &[Connection],
        is_over: impl Fn(&FlowKey) -> bool,
    ) {
        let closed: HashSet<&Connection, RandomState> = closed.iter().collect();
        self.removals.clear();
        self.rates.clear();
        for (key, state) in &mut self.flows {
            state.counter.settle(tick);
            let smoothed = state.counter.rates.smoothed;
            if !is_anomalous(smoothed, settings.threshold) {
                state.anomalous_since = None;
            } else if state.anomalous_since.is_none() {
                state.anomalous_since = Some(tick.now.wall);
            }

            let idle = tick.now.monotonic.saturating_sub(state.active_at);
            if !state.ended {
                state.ended = (!closed.is_empty() && closed.contains(&key.connection()))
                    || (idle >= IDLE_DATAGRAMS && !says_when_it_closes(key.protocol))
                    || is_over(key);
            }
            if state.in_kernel && state.ended && !state.leaving {
                state.leaving = true;
                self.removals.push(*key);
            } else if !state.in_kernel && state.ended && state.gone.is_none() {
                state.gone = Some((tick.sequence, tick.now.monotonic));
            }
            // Rates in whole bytes/s; an f64 beyond u64 saturates.
            let rate = smoothed.round() as u64;
            if state.in_kernel && !state.leaving && rate != state.written {
                state.written = rate;
                self.rates.push((*key, rate));
            }
        }
        self.relieve(tick, settings);
        self.forget(tick, settings);
    }

    /// Makes room in the kernel's map when it is three quarters full: the flows
    /// that were silent longest leave it until it is half empty.
    fn relieve(&mut self, tick: &Tick, settings: &Settings) {
        let staying = self.in_kernel.saturating_sub(self.removals.len());
        if staying * 4 <= settings.max_flows * 3 {
            return;
        }
        let mut silent: Vec<(Duration, FlowKey)> = self
            .flows
            .iter()
            .filter(|(_, state)| state.in_kernel && !state.leaving)
            .map(|(key, state)| (state.active_at, *key))
            .filter(|(at, _)| tick.now.monotonic.saturating_sub(*at) >= IDLE_UNDER_PRESSURE)
            .collect();
        silent.sort_unstable();
        let surplus = staying - settings.max_flows / 2;
        for (_, key) in silent.into_iter().take(surplus) {
            if let Some(state) = self.flows.get_mut(&key) {
                state.leaving = true;
                // A datagram flow is over; a connection is only out of the map.
                state.ended |= !says_when_it_closes(key.protocol);
                self.removals.push(key);
            }
        }
        let removed: HashSet<&FlowKey, RandomState> = self.removals.iter().collect();
        self.rates.retain(|(key, _)| !removed.contains(key));
    }

    /// Forgets flows that were shown with their final counts for long enough,
    /// and beyond the limits the ones that ended or fell silent first.
    fn forget(&mut self, tick: &Tick, settings: &Settings) {
        if self.flows.len() == self.in_kernel {
            // Nothing that is known has left the kernel's map.
            return;
        }
        let now = tick.now.monotonic;
        let forgotten = &mut self.forgotten;
        self.flows.retain(|key, state| {
            let keep = state.gone.is_none_or(|(sequence, at)| {
                tick.sequence == sequence || now.saturating_sub(at) < settings.linger
            });
            if !keep {
                forgotten.put(*key, state.counter.totals, settings.max_flows);
            }
            keep
        });
        let shown = |state: &FlowState| state.gone.is_some_and(|(at, _)| at < tick.sequence);
        self.limit(settings.max_listed_ended, settings, shown);
        self.limit(settings.max_flows, settings, |state| {
            !state.in_kernel && !state.ended && !state.leaving
        });
    }

    /// Keeps at most `most` of the flows that `which` names, the latest active.
    fn limit(&mut self, most: usize, settings: &Settings, which: impl Fn(&FlowState) -> bool) {
        let mut named: Vec<Duration> = self
            .flows
            .values()
            .filter(|state| which(state))
            .map(|state| state.active_at)
            .collect();
        if named.len() <= most {
            return;
        }
        let surplus = named.len() - most;
        let (earlier, &mut limit, _) = named.select_nth_unstable(surplus - 1);
        // Many were active last at the same tick: as many of them as are left to go.
        let mut ties = surplus - earlier.iter().filter(|at| **at < limit).count();
        let forgotten = &mut self.forgotten;
        self.flows.retain(|key, state| {
            if !which(state) || state.active_at > limit {
                return true;
            }
            if state.active_at == limit {
                if ties == 0 {
                    return true;
                }
                ties -= 1;
            }
            forgotten.put(*key, state.counter.totals, settings.max_flows);
            false
        });
    }

    /// Every flow known.
    pub fn iter(&self) -> impl Iterator<Item = (&FlowKey, &FlowState)> {
        self.flows.iter()
    }

    /// Number of flows known.
    pub fn len(&self) -> usize {
        self.flows.len()
    }
}

/// The totals of flows that are no longer known, for when one moves again: a
/// datagram flow after a long silence, a connection with the same ends. Two
/// generations, so that the oldest go first and the size stays bounded.
#[derive(Debug, Default)]
struct Forgotten {
    young: HashMap<FlowKey, Totals, RandomState>,
    old: HashMap<FlowKey, Totals, RandomState>,
}

impl Forgotten {
    /// Remembers a flow, and at most `2 * generation` in all.
    fn put(&mut self, key: FlowKey, totals: Totals, generation: usize) {
        if self.young.len() >= generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, totals);
    }

    /// What the flow had moved before; zero if nobody remembers.
    fn take(&mut self, key: &FlowKey) -> Totals {
        let young = self.young.remove(key);
        young.or_else(|| self.old.remove(key)).unwrap_or_default()
    }
}

/// True for protocols whose sockets announce their end (`inet_sock_set_state`).
fn says_when_it_closes(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Mptcp | Protocol::Sctp)
}
