//! What must be true at every moment.

use super::node::{Clock, Place, Running};
use dunlin::cluster::change::{Gone, Range};
use dunlin::cluster::map::Map;
use dunlin::cluster::meta::Meta;
use dunlin::cluster::node::NodeId;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// What a run has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Faults that were brought about.
    pub(crate) faults: u64,
    /// Processes that stood still among them.
    pub(crate) stops: u64,
    /// The last epoch.
    pub(crate) epochs: u64,
    /// Members that were removed because they were silent.
    pub(crate) removals: u64,
    /// Maps in which slots had another owner than before.
    pub(crate) moves: u64,
    /// Checks in which at least one node could serve.
    pub(crate) served: u64,
    /// Of everything that was seen.
    pub(crate) digest: u64,
}

impl Report {
    /// Adds another run.
    pub(crate) fn add(&mut self, other: &Report) {
        self.faults += other.faults;
        self.stops += other.stops;
        self.epochs += other.epochs;
        self.removals += other.removals;
        self.moves += other.moves;
        self.served += other.served;
        self.digest ^= other.digest;
    }
}

/// What is remembered from check to check.
#[derive(Default)]
pub(crate) struct Checker {
    /// Each epoch's map, as clients see it: the same at all nodes.
    shown: BTreeMap<u64, u64>,
    newest: Arc<Map>,
    /// The last map of each node since its start.
    last: BTreeMap<usize, Arc<Map>>,
    pub(crate) report: Report,
}

/// A node that may serve now.
struct Serving {
    node: usize,
    id: NodeId,
    map: Arc<Map>,
    fenced: Vec<Range>,
}

impl Checker {
    /// A node was started anew.
    pub(crate) fn restarted(&mut self, node: usize) {
        self.last.remove(&node);
    }

    /// Looks at all nodes. One that stands still may go on at any moment, and serve then.
    pub(crate) fn check(
        &mut self,
        places: &[Place],
        clocks: &[Clock],
        elapsed: Duration,
    ) -> Result<(), String> {
        let mut serving = Vec::new();
        for (node, (place, clock)) in places.iter().zip(clocks).enumerate() {
            let place = place.lock().unwrap();
            let Some(running) = place.as_ref() else { continue };
            let map = Arc::clone(&running.agreement.map().borrow());
            self.look_at_map(node, &map)?;
            if running.lease.lasts(clock.at(elapsed)) {
                self.is_not_removed(node, running)?;
                let fenced = running.fenced.lock().unwrap().clone();
                serving.push(Serving { node, id: running.agreement.me(), map, fenced });
            }
        }
        self.report.served += u64::from(!serving.is_empty());
        for (at, one) in serving.iter().enumerate() {
            for other in &serving[at + 1..] {
                one_owner(one, other)?;
            }
        }
        Ok(())
    }

    /// Epochs rise, and one epoch is one map.
    fn look_at_map(&mut self, node: usize, map: &Arc<Map>) -> Result<(), String> {
        let last = self.last.insert(node, Arc::clone(map));
        let Some(last) = last else { return Ok(()) };
        if Arc::ptr_eq(&last, map) {
            return Ok(());
        }
        if map.epoch < last.epoch {
            return Err(format!("node {node}: epoch {} after {}", map.epoch, last.epoch));
        }
        if map.members.is_empty() {
            // The node is on its way from one cluster to another, or has just been started.
            return Ok(());
        }
        let mut hasher = DefaultHasher::new();
        let owners = map.slots.map(|holders| holders.owner);
        format!("{:?}{:?}", map.members, owners).hash(&mut hasher);
        let shown = hasher.finish();
        if *self.shown.entry(map.epoch).or_insert(shown) != shown {
            return Err(format!("node {node}: epoch {} is not what it is elsewhere", map.epoch));
        }
        (self.report.digest, node).hash(&mut hasher);
        self.report.digest = hasher.finish();
        if map.epoch > self.newest.epoch {
            let silent = |map: &Map| {
                map.former.values().filter(|former| former.why == Gone::Silent).count() as u64
            };
            let more = silent(map).saturating_sub(silent(&self.newest));
            self.report.removals += more;
            let before = self.newest.slots.map(|holders| holders.owner);
            self.report.moves += u64::from(before != owners);
            self.report.epochs = map.epoch;
            self.newest = Arc::clone(map);
        }
        Ok(())
    }

    /// Whoever has a lease was not removed by others.
    fn is_not_removed(&self, node: usize, running: &Running) -> Result<(), String> {
        let life = running.agreement.life();
        let former = self.newest.former.get(&life.node);
        let is_gone = former.is_some_and(|former| {
            former.incarnation >= life.incarnation && former.why != Gone::Left
        });
        if is_gone {
            return Err(format!("node {node} was removed while it has a lease"));
        }
        Ok(())
    }
}

/// No slot is served by both.
fn one_owner(one: &Serving, other: &Serving) -> Result<(), String> {
    if one.map.epoch == other.map.epoch && one.id != other.id {
        return Ok(());
    }
    let is_fenced = |serving: &Serving, slot: u16| {
        serving.fenced.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    };
    for run in one.map.slots.zip(&other.map.slots) {
        let (a, b) = run.value;
        if a.owner != Some(one.id) || b.owner != Some(other.id) {
            continue;
        }
        let both =
            (run.first..=run.last).find(|slot| !is_fenced(one, *slot) && !is_fenced(other, *slot));
        if let Some(slot) = both {
            return Err(format!(
                "slot {slot} is served by node {} (epoch {}) and node {} (epoch {})",
                one.node, one.map.epoch, other.node, other.map.epoch
            ));
        }
    }
    Ok(())
}

/// Everything is well: all are members with a lease, and nothing has still to move.
pub(crate) fn is_settled(
    places: &[Place],
    clocks: &[Clock],
    elapsed: Duration,
) -> Result<(), String> {
    for (node, (place, clock)) in places.iter().zip(clocks).enumerate() {
        let place = place.lock().unwrap();
        let Some(running) = place.as_ref() else { return Err(format!("node {node} is down")) };
        let map = Arc::clone(&running.agreement.map().borrow());
        if map.members.len() != places.len() || map.is_moving() {
            let members = map.members.len();
            return Err(format!("node {node}: {members} members, moving: {}", map.is_moving()));
        }
        if !running.lease.lasts(clock.at(elapsed)) {
            return Err(format!("node {node} has no lease"));
        }
    }
    Ok(())
}
