//! Flows above the threshold, from their rise to their fall.
//!
//! Owns when an alert begins and ends, and which of them a bucket has to tell. What is
//! above the threshold is the tracker's business.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::Alert;
use crate::model::anomaly::Anomaly;
use crate::model::flow::FlowKey;
use crate::model::snapshot::Snapshot;

/// The alerts of a run.
#[derive(Debug, Default)]
pub struct Alerts {
    open: HashMap<FlowKey, Open, RandomState>,
    /// Ended since the last bucket.
    ended: Vec<Alert>,
    number: u64,
    /// Wall-clock time of the last snapshot.
    now: Duration,
}

#[derive(Debug)]
struct Open {
    alert: Alert,
    /// The snapshot that had it last.
    seen: u64,
    /// Since the last bucket.
    changed: bool,
}

impl Alerts {
    /// Takes a snapshot in: what is in it has begun or goes on, all else has ended.
    pub fn absorb(&mut self, snapshot: &Snapshot) {
        self.now = snapshot.at.wall;
        for anomaly in &snapshot.anomalies {
            match self.open.get_mut(&anomaly.key) {
                // A flow that fell and rose between two snapshots is another alert.
                Some(open) if open.alert.started == anomaly.since => {
                    open.seen = snapshot.sequence;
                    if anomaly.value > open.alert.peak {
                        open.alert.peak = anomaly.value;
                        open.changed = true;
                    }
                }
                _ => self.begin(snapshot, anomaly),
            }
        }
        let over = self
            .open
            .extract_if(|_, open| open.seen != snapshot.sequence)
            .map(|(_, open)| open.alert);
        self.ended.extend(over.map(|alert| Alert {
            ended: Some(snapshot.at.wall),
            ..alert
        }));
    }

    /// Ends all that go on: nobody will know when they do.
    pub fn finish(&mut self) {
        let open = self.open.drain().map(|(_, open)| open.alert);
        self.ended.extend(open.map(|alert| Alert {
            ended: Some(self.now),
            ..alert
        }));
    }

    fn begin(&mut self, snapshot: &Snapshot, anomaly: &Anomaly) {
        let key = anomaly.key;
        let mut owners = snapshot.processes.iter();
        let Some(owner) = owners.find(|row| row.id == key.process) else {
            return;
        };
        self.number += 1;
        let open = Open {
            alert: Alert {
                number: self.number,
                started: anomaly.since,
                ended: None,
                identity: Arc::clone(&owner.identity),
                pid: key.process.pid,
                protocol: key.protocol,
                remote: key.remote.map(|end| end.address),
                remote_port: key.remote.map_or(0, |end| end.port),
                peak: anomaly.value,
                threshold: anomaly.threshold,
            },
            seen: snapshot.sequence,
            changed: true,
        };
        if let Some(earlier) = self.open.insert(key, open) {
            self.ended.push(Alert {
                ended: Some(anomaly.since),
                ..earlier.alert
            });
        }
    }

    /// Those that began, rose or ended since this was last asked.
    pub fn take(&mut self) -> Vec<Alert> {
        let mut alerts = std::mem::take(&mut self.ended);
        for open in self.open.values_mut().filter(|open| open.changed) {
            open.changed = false;
            alerts.push(open.alert.clone());
        }
        alerts.sort_unstable_by_key(|alert| alert.number);
        alerts
    }
}
