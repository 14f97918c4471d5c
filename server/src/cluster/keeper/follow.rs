//! Following the map: slots that come and go, and what is removed of those that are not to be here.

use super::{Streams, spawn};
use crate::cluster::farewell;
use crate::cluster::map::Map;
use crate::cluster::stream::copies::Gained;
use crate::cluster::stream::ranges::Ranges;
use crate::cluster::stream::role;
use dunlin_storage::SlotSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long commands wait for slots that are about to come and do not.
const EXPECTED: Duration = Duration::from_secs(1);

impl Streams {
    /// Clients are sent here already by those who know earlier that slots have come.
    pub(super) fn expect(self: &Arc<Self>, slots: SlotSet) {
        self.cluster.routes.expect(&slots);
        let cluster = Arc::clone(&self.cluster);
        tokio::spawn(async move {
            tokio::time::sleep(EXPECTED).await;
            cluster.routes.unexpect(&slots);
        });
    }

    /// Acts on a newer map.
    pub(super) fn follow(self: &Arc<Self>, map: &Arc<Map>) {
        // Of a map about another life nothing is this node's own.
        let me = self.me(map);
        let Gained { ready, unready } = self.copies.follow(me.unwrap_or_default(), map);
        let is_ready = |slot| me.is_some() && !unready.contains(slot);
        let lost = self.cluster.adopt(Arc::clone(map), is_ready);
        // They may have been fenced by a map about another life.
        self.cluster.routes.unfence(&ready.slots().collect());
        let server = self.server;
        tokio::spawn(async move { farewell::let_go(server, &lost).await });
        if unready.is_empty() {
            return;
        }
        let streams = Arc::clone(self);
        self.clearings().push(unready.clone());
        spawn("cluster-clear", move || {
            role::enter(streams.server);
            let handle = streams.server.keyspace.handle();
            // They are fenced.
            let copies = Arc::clone(&streams.copies);
            role::clear(streams.server, &handle, &unready, move |slot| copies.is_own(slot));
            streams.cleared(&unready);
        });
    }

    /// A thread has cleared these slots: they are served, unless another one is at them still.
    fn cleared(&self, slots: &Ranges) {
        // Until they are served, for those who wait to fence them.
        let mut clearings = self.clearings();
        if let Some(at) = clearings.iter().position(|others| others == slots) {
            clearings.swap_remove(at);
        }
        let rest = clearings.iter().fold(slots.clone(), |rest, others| rest.without(others));
        self.cluster.routes.unfence(&rest.slots().collect());
    }

    /// Removes copies that nobody needs any more. What is `kept` may be this node's own already.
    pub(super) fn sweep(self: &Arc<Self>, map: &Map, kept: &Ranges) {
        let me = self.cluster.me();
        let mut needless = Ranges::default();
        for run in map.slots.zip(&map.goal) {
            let (holders, goal) = run.value;
            let is_needed = holders.owner == Some(me)
                || holders.is_backup(me)
                || goal.owner == Some(me)
                || goal.backups.contains(&Some(me));
            if !is_needed {
                needless.insert((run.first, run.last));
            }
        }
        let keyspace = &self.server.keyspace;
        let has_keys = |slot: &u16| keyspace.keys_in_slot(*slot) > 0 && self.copies.is_idle(*slot);
        let needless = needless.without(kept);
        let needless: Ranges = needless.slots().filter(has_keys).map(|slot| (slot, slot)).collect();
        if needless.is_empty() || self.clears.swap(true, Ordering::AcqRel) {
            return;
        }
        let streams = Arc::clone(self);
        spawn("cluster-sweep", move || {
            role::enter(streams.server);
            let (handle, copies) = (streams.server.keyspace.handle(), Arc::clone(&streams.copies));
            // Before that: what is removed is not gone on with.
            copies.discard(&needless);
            let may = move |slot| copies.is_idle(slot);
            role::clear(streams.server, &handle, &needless, may);
            streams.clears.store(false, Ordering::Release);
        });
    }
}
