//! WAIT: until backups have what was written.
//!
//! A client's writes are behind the newest mark of each outbox, so whoever has acknowledged these marks
//! has them. Other clients' writes are too, which makes the answer later but never wrong. Slots have
//! different backups, and a client is told what holds for all of them.

use super::taps::Taps;
use crate::cluster::Cluster;
use crate::cluster::change::Life;
use crate::cluster::map::{Holders, Map};
use crate::cluster::node::NodeId;
use crate::server::Server;
use dunlin_storage::Millis;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks at what was acknowledged.
const LOOK: Duration = Duration::from_millis(1);

/// Numbers of marks, one for each lane.
type Numbers = BTreeMap<NodeId, (Life, Vec<u64>)>;

/// What backups had to acknowledge when somebody began to wait.
#[derive(Debug)]
pub struct Awaited {
    taps: Arc<Taps>,
    cluster: Arc<Cluster>,
    backups: i64,
    deadline: Option<Millis>,
    /// The backups of this node's slots that are in sync, or have been.
    numbers: Mutex<Numbers>,
}

impl Awaited {
    /// What is marked now.
    #[must_use]
    pub fn now(
        taps: &Arc<Taps>,
        cluster: &Arc<Cluster>,
        backups: i64,
        deadline: Option<Millis>,
    ) -> Self {
        let (taps, cluster) = (Arc::clone(taps), Arc::clone(cluster));
        let awaited = Awaited { taps, cluster, backups, deadline, numbers: Mutex::default() };
        drop(awaited.note(&awaited.cluster.map()));
        awaited
    }

    /// Notes what backups in sync have to acknowledge. Those that have come to be that since this began
    /// are asked for what is marked when they are seen first: later than need be, and never wrong.
    fn note(&self, map: &Map) -> MutexGuard<'_, Numbers> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = map.slots.runs().iter().filter(|run| run.value.owner == Some(self.cluster.me()));
        for backup in own.flat_map(|run| run.value.backups()).filter(|backup| backup.in_sync) {
            let Some(member) = map.members.get(&backup.node) else { continue };
            let life = Life { node: backup.node, incarnation: member.incarnation };
            if numbers.get(&backup.node).is_none_or(|(known, _)| *known != life) {
                numbers.insert(backup.node, (life, self.taps.newest(life)));
            }
        }
        numbers
    }

    /// How many backups of each slot have everything, at least.
    #[must_use]
    pub fn acknowledged(&self) -> i64 {
        let has = |(life, numbers): &(Life, Vec<u64>)| self.taps.has_acknowledged(*life, numbers);
        let map = self.cluster.map();
        let who: BTreeMap<NodeId, bool> =
            self.note(&map).iter().map(|(node, awaited)| (*node, has(awaited))).collect();
        let own = map.slots.runs().iter().filter(|run| run.value.owner == Some(self.cluster.me()));
        let count = |holders: Holders| {
            let in_sync = holders.backups().filter(|backup| backup.in_sync);
            in_sync.filter(|backup| who.get(&backup.node) == Some(&true)).count() as i64
        };
        own.map(|run| count(run.value)).min().unwrap_or(0)
    }

    /// Whether nobody waits any longer.
    #[must_use]
    pub fn is_over(&self, now: Millis) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Until there is enough, or the time is over.
    pub(crate) async fn ended(&self, server: &Server) {
        while !self.is_over(server.clock.now()) && self.acknowledged() < self.backups {
            tokio::time::sleep(LOOK).await;
        }
    }
}
