//! This node's part in its cluster: what it knows, and what it does with commands that name keys.

use super::keeper::Streams;
use super::lease::Lease;
use super::map::{Holders, Map};
use super::meta::Meta;
use super::node::{Endpoint, Member, NodeId};
use super::operations::Operations;
use super::redirect::{self, Way};
use super::routes::{Route, Routes};
use super::slot::{SLOTS, Slots};
use super::view::{Newest, View};
use dunlin_storage::SlotSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// This node in its cluster.
pub struct Cluster {
    /// What it does with each slot.
    pub routes: Routes,
    /// For how long it may act on what it knows.
    pub lease: Arc<Lease>,
    /// The newest map that it acts on, and what clients are told of it.
    view: Newest,
    /// Its epoch, told when the routes are those of the map.
    followed: watch::Sender<u64>,
    /// Agreement with the others, once it has begun.
    meta: OnceLock<Arc<dyn Meta>>,
    /// What commands about the cluster need, once all of it is there.
    operations: OnceLock<Operations>,
    /// The way of data to and from others, once it has begun.
    streams: OnceLock<Arc<Streams>>,
    /// Clients who come at once find a server, though it is no member yet: until then they wait.
    young_until: AtomicU64,
    /// cluster-allow-reads-when-down.
    reads_when_down: AtomicBool,
    /// It has given everything away and goes, or has gone: all it does is to say where slots are.
    lingers: AtomicBool,
    /// A test says what it does with slots, and new maps do not.
    detached: AtomicBool,
}

/// A command that names keys, as far as its way depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    /// The slots of its keys.
    pub slots: Slots,
    /// It may change them.
    pub writes: bool,
    /// It came over TLS.
    pub tls: bool,
    /// When its turn began, by the clock of leases.
    pub began: u64,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("me", &self.me()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A node that knows of no other and serves nothing yet.
    #[must_use]
    pub fn new(me: NodeId) -> Cluster {
        Cluster::with_lease(me, Arc::default())
    }

    /// The same, with a lease that somebody else extends.
    #[must_use]
    pub fn with_lease(me: NodeId, lease: Arc<Lease>) -> Cluster {
        Cluster {
            routes: Routes::default(),
            lease,
            view: Newest::new(me),
            followed: watch::Sender::new(0),
            meta: OnceLock::new(),
            operations: OnceLock::new(),
            streams: OnceLock::new(),
            young_until: AtomicU64::new(0),
            reads_when_down: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            detached: AtomicBool::new(false),
        }
    }

    /// A node that is a cluster by itself: it owns all slots, and nobody can take them away.
    #[must_use]
    pub fn alone(me: NodeId, endpoint: Endpoint) -> Cluster {
        let cluster = Cluster::new(me);
        let mut map = Map { epoch: 1, ..Map::default() };
        let zone = String::new();
        let member = Member { endpoint, incarnation: 1, weight: 100, zone, leaving: false };
        map.members.insert(me, member);
        map.slots.set(0, SLOTS - 1, Holders { owner: Some(me), ..Holders::default() });
        cluster.lease.extend(u64::MAX);
        cluster.adopt(Arc::new(map), |_| true);
        cluster
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.view.with(View::me)
    }

    /// Agreement with the others, if it has begun.
    pub fn meta(&self) -> Option<&Arc<dyn Meta>> {
        self.meta.get()
    }

    /// Agreement begins; false: it had before.
    pub fn set_meta(&self, meta: Arc<dyn Meta>) -> bool {
        self.meta.set(meta).is_ok()
    }

    /// What commands about the cluster need; none before the node is up.
    pub fn operations(&self) -> Option<&Operations> {
        self.operations.get()
    }

    /// The node is up; false: it was before.
    pub fn set_operations(&self, operations: Operations) -> bool {
        self.set_meta(Arc::clone(&operations.meta));
        self.operations.set(operations).is_ok()
    }

    /// The way of data to and from others, if it has begun.
    pub fn streams(&self) -> Option<&Arc<Streams>> {
        self.streams.get()
    }

    /// Data goes to and from others from here on; false: it did before.
    pub fn set_streams(&self, streams: Arc<Streams>) -> bool {
        self.streams.set(streams).is_ok()
    }

    /// The node has just been started: until then commands wait for its lease.
    pub fn be_young_until(&self, at: u64) {
        self.young_until.store(at, Ordering::Relaxed);
    }

    /// Whether it has just been started, so that its lease, or its map, may still come.
    #[must_use]
    pub fn is_young(&self, now: u64) -> bool {
        now < self.young_until.load(Ordering::Relaxed)
    }

    /// Whether reads are answered while the cluster is down.
    pub fn set_reads_when_down(&self, allowed: bool) {
        self.reads_when_down.store(allowed, Ordering::Relaxed);
    }

    /// The newest map that it acts on.
    #[must_use]
    pub fn map(&self) -> Arc<Map> {
        self.view.with(|view| Arc::clone(view.map()))
    }

    /// What clients are told of it.
    #[must_use]
    pub fn view(&self) -> &Newest {
        &self.view
    }

    /// Acts on a newer map: shows it, then sends commands where it says. A slot that this node owns is
    /// served if `is_ready` says that what is here of it may be shown, and it was not fenced before; else
    /// its commands wait until [`Routes::unfence`]. What was this node's own and is not any more.
    pub fn adopt(&self, map: Arc<Map>, is_ready: impl Fn(u16) -> bool) -> SlotSet {
        let epoch = map.epoch;
        let lost = match self.detached.load(Ordering::Relaxed) {
            true => SlotSet::default(),
            false => self.act_on(map, is_ready),
        };
        self.followed.send_replace(epoch);
        lost
    }

    /// Waits until this node acts on the map of an epoch, or a newer one.
    pub async fn follows(&self, epoch: u64) {
        let mut followed = self.followed.subscribe();
        // It lasts as long as the one who tells it.
        let _ = followed.wait_for(|followed| *followed >= epoch).await;
    }

    /// [`Cluster::adopt`] of a map that only this node has; it takes no others from here on. DEBUG, for
    /// tests.
    pub fn pretend(&self, map: Arc<Map>) -> SlotSet {
        self.detached.store(true, Ordering::Relaxed);
        self.act_on(map, |_| true)
    }

    fn act_on(&self, map: Arc<Map>, is_ready: impl Fn(u16) -> bool) -> SlotSet {
        let (slots, me) = (map.slots.clone(), self.me());
        let stays = map.members.get(&me).map_or(map.members.is_empty(), |member| !member.leaving);
        let owns = map.is_owner(me);
        self.lingers.store(!stays && !owns, Ordering::Relaxed);
        self.view.show(map);
        let mut lost = SlotSet::default();
        self.routes.set(|slot, now| {
            let then = match slots.get(slot).owner {
                Some(owner) if owner == me => match now {
                    Route::Fenced => now,
                    _ if is_ready(slot) => Route::Served,
                    _ => Route::Fenced,
                },
                // Another map says nothing about it: the one that is waited for comes later.
                Some(_) if now == Route::Expected => now,
                Some(_) => Route::Elsewhere,
                None => Route::Unserved,
            };
            if now.is_own() && !then.is_own() {
                lost.insert(slot);
            }
            then
        });
        lost
    }

    /// Whether commands for a slot run here, in a turn that began at that time.
    #[inline]
    #[must_use]
    pub fn serves(&self, slot: u16, began: u64) -> bool {
        // First the lease: it is of the map that the route is read from then, or of an older one.
        self.lease.lasts(began) && self.routes.get(slot) == Route::Served
    }

    /// Whether it tells clients where slots are. Without a lease its map may be old, so that they have to
    /// ask another; but who goes has no lease in the end, and is the only one that some of them know.
    #[must_use]
    pub fn shows(&self, began: u64) -> bool {
        self.lease.lasts(began) || self.lingers.load(Ordering::Relaxed)
    }

    /// Where a command has to go, in Redis's order of objections.
    #[must_use]
    pub fn way(&self, errand: &Errand) -> Way {
        let slot = match errand.slots {
            Slots::None => return Way::Here,
            Slots::One(slot) => slot,
            Slots::Several(first) if self.routes.get(first) == Route::Unserved => first,
            Slots::Several(_) => return Way::Away(redirect::CROSS_SLOT),
        };
        // In this order, as in `serves`.
        let has_lease = self.lease.lasts(errand.began);
        let route = self.routes.get(slot);
        if !has_lease && self.is_young(errand.began) {
            return Way::Wait;
        }
        if route == Route::Unserved {
            return Way::Away(redirect::UNSERVED);
        }
        let only_shows = route == Route::Elsewhere && self.shows(errand.began);
        if !has_lease && !only_shows {
            match self.reads_when_down.load(Ordering::Relaxed) {
                false => return Way::Away(redirect::DOWN),
                true if errand.writes => return Way::Away(redirect::READS_ONLY),
                true => {}
            }
        }
        match route {
            Route::Served => Way::Here,
            Route::Fenced | Route::Expected => Way::Wait,
            Route::Elsewhere | Route::Unserved => {
                self.view.with(|view| match view.map().owner(slot) {
                    // The view is newer than the route, which follows at once.
                    Some(owner) if owner == view.me() => Way::Wait,
                    _ => {
                        let moved = view.moved(slot, errand.tls);
                        Way::Away(moved.map_or(redirect::UNSERVED, Into::into))
                    }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        let ip = "127.0.0.1".parse().expect("an address");
        Endpoint { ip, hostname: String::new(), port, tls_port: port + 1, bus_port: 0 }
    }

    fn errand(slots: Slots) -> Errand {
        Errand { slots, writes: false, tls: false, began: 5 }
    }

    fn text(way: Way) -> String {
        match way {
            Way::Here => "here".into(),
            Way::Wait => "wait".into(),
            Way::Away(error) => String::from_utf8_lossy(error.text()).into_owned(),
        }
    }

    /// Two nodes: this one has the lower slots, the other one the upper ones but the last.
    fn pair() -> Cluster {
        let (me, other) = (NodeId::from(1), NodeId::from(2));
        let cluster = Cluster::alone(me, endpoint(7000));
        let mut map = (*cluster.map()).clone();
        let member = Member { endpoint: endpoint(7002), ..map.members[&me].clone() };
        map.members.insert(other, member);
        map.slots.set(8192, SLOTS - 2, Holders { owner: Some(other), ..Holders::default() });
        map.slots.set(SLOTS - 1, SLOTS - 1, Holders::default());
        let lost = cluster.adopt(Arc::new(map), |_| true);
        assert_eq!(lost, (8192..SLOTS).collect());
        cluster
    }

    #[test]
    fn a_node_alone_serves_everything() {
        let cluster = Cluster::alone(NodeId::from(1), endpoint(7000));
        assert!((0..SLOTS).all(|slot| cluster.serves(slot, u64::MAX - 1)));
        assert_eq!(
            text(cluster.way(&errand(Slots::Several(1)))),
            text(Way::Away(redirect::CROSS_SLOT))
        );
    }

    #[test]
    fn commands_go_where_the_map_says() {
        let cluster = pair();
        let way = |slots| text(cluster.way(&errand(slots)));
        assert_eq!(way(Slots::None), "here");
        assert_eq!(way(Slots::One(1)), "here");
        assert_eq!(way(Slots::One(9000)), "MOVED 9000 127.0.0.1:7002");
        assert_eq!(
            text(cluster.way(&Errand { tls: true, ..errand(Slots::One(9000)) })),
            "MOVED 9000 127.0.0.1:7003"
        );
        assert_eq!(way(Slots::One(SLOTS - 1)), "CLUSTERDOWN Hash slot not served");
        assert_eq!(way(Slots::Several(SLOTS - 1)), "CLUSTERDOWN Hash slot not served");
        assert_eq!(way(Slots::Several(1)), "CROSSSLOT Keys in request don't hash to the same slot");
    }

    #[test]
    fn without_a_lease_nothing_is_served_but_reads_if_they_may() {
        let cluster = pair();
        cluster.lease.end();
        assert!(!cluster.serves(1, 5));
        let way = |slots, writes| text(cluster.way(&Errand { writes, ..errand(slots) }));
        assert_eq!(way(Slots::One(1), false), "CLUSTERDOWN The cluster is down");
        assert_eq!(way(Slots::One(9000), false), "CLUSTERDOWN The cluster is down");
        cluster.be_young_until(6);
        assert_eq!(way(Slots::One(1), false), "wait");
        assert_eq!(way(Slots::One(9000), true), "wait");
        cluster.be_young_until(5);
        assert_eq!(way(Slots::One(1), false), "CLUSTERDOWN The cluster is down");
        assert_eq!(way(Slots::None, true), "here");
        cluster.set_reads_when_down(true);
        assert_eq!(way(Slots::One(1), false), "here");
        let writes = "CLUSTERDOWN The cluster is down and only accepts read commands";
        assert_eq!(way(Slots::One(1), true), writes);
        assert_eq!(way(Slots::One(9000), false), "MOVED 9000 127.0.0.1:7002");
    }

    #[test]
    fn who_goes_says_where_slots_are_to_the_end() {
        let (cluster, other) = (pair(), NodeId::from(2));
        let mut map = (*cluster.map()).clone();
        map.epoch += 1;
        map.members.get_mut(&cluster.me()).unwrap().leaving = true;
        cluster.adopt(Arc::new(map.clone()), |_| true);
        cluster.lease.end();
        let way = || text(cluster.way(&errand(Slots::One(9000))));
        assert_eq!(way(), "CLUSTERDOWN The cluster is down", "it owns slots still");
        map.slots.set(0, SLOTS - 1, Holders { owner: Some(other), ..Holders::default() });
        cluster.adopt(Arc::new(map.clone()), |_| true);
        assert_eq!(way(), "MOVED 9000 127.0.0.1:7002");
        assert!(cluster.shows(5));
        map.members.remove(&cluster.me());
        cluster.adopt(Arc::new(map.clone()), |_| true);
        assert_eq!(way(), "MOVED 9000 127.0.0.1:7002");
        // A node that knows of no cluster, or one that just has nothing, shows nothing.
        cluster.adopt(Arc::new(Map { epoch: map.epoch, ..Map::default() }), |_| true);
        assert!(!cluster.shows(5));
    }

    #[test]
    fn what_comes_waits_until_it_is_ready_and_a_fence_outlives_other_changes() {
        let cluster = pair();
        let mut map = (*cluster.map()).clone();
        map.slots.set(9000, 9001, Holders { owner: Some(cluster.me()), ..Holders::default() });
        let lost = cluster.adopt(Arc::new(map.clone()), |slot| slot == 9000);
        assert!(lost.is_empty());
        assert_eq!(cluster.routes.get(9000), Route::Served);
        assert_eq!(cluster.routes.get(9001), Route::Fenced);
        assert_eq!(cluster.routes.get(1), Route::Fenced, "it was served, and has begun empty");
        assert_eq!(text(cluster.way(&errand(Slots::One(9001)))), "wait");
        cluster.adopt(Arc::new(Map { epoch: 9, ..map }), |_| true);
        assert_eq!(cluster.routes.get(9001), Route::Fenced);
        cluster.routes.unfence(&SlotSet::all());
        assert_eq!(cluster.routes.get(9001), Route::Served);
    }

    #[test]
    fn nobody_is_sent_to_and_fro() {
        let cluster = pair();
        let way = |slot| text(cluster.way(&errand(Slots::One(slot))));
        cluster.routes.expect(&(0..9002).collect());
        assert_eq!([1, 9001, 9002].map(way), ["here", "wait", "MOVED 9002 127.0.0.1:7002"]);
        let mut map = (*cluster.map()).clone();
        map.epoch += 1;
        cluster.adopt(Arc::new(map.clone()), |_| true);
        assert_eq!(way(9001), "wait");
        cluster.routes.unexpect(&SlotSet::all());
        assert_eq!(way(9001), "MOVED 9001 127.0.0.1:7002");
        // Between the view and the route.
        let mine = Holders { owner: Some(cluster.me()), ..Holders::default() };
        map.slots.set(9001, 9001, mine);
        cluster.view.show(Arc::new(map.clone()));
        assert_eq!(way(9001), "wait");
        cluster.adopt(Arc::new(map), |_| true);
        assert_eq!(way(9001), "here");
    }
}
