//! What all nodes agree on, without consensus, and how they find each other.

use super::PATIENCE;
use crate::cluster::change::{Change, Verdict};
use crate::cluster::keeper::Dial;
use crate::cluster::map::Map;
use crate::cluster::meta::{Later, Meta, Status, Unsettled};
use crate::cluster::node::{Member, NodeId};
use crate::cluster::stream::connection::Wire;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What all nodes agree on.
#[derive(Default)]
pub(super) struct World {
    pub(super) map: Mutex<Map>,
    pub(super) watchers: Mutex<BTreeMap<NodeId, watch::Sender<Arc<Map>>>>,
    pub(super) incarnations: AtomicU64,
    /// Who hears late of new maps, and how late.
    pub(super) late: Mutex<BTreeMap<NodeId, Duration>>,
    /// Of so many proposals one has an unknown outcome; 0: none.
    pub(super) unknown: AtomicU64,
    proposals: AtomicU64,
    /// No commit is proposed.
    pub(super) refuses: AtomicBool,
    /// How often that was so.
    pub(super) refused: AtomicU64,
    /// How often a backup was said to be in sync no more.
    pub(super) cut_off: AtomicU64,
}

impl World {
    pub(super) fn apply(self: &Arc<Self>, change: Change) -> Verdict {
        if matches!(change, Change::Sync { in_sync: false, .. }) {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        let mut map = self.map.lock().unwrap();
        let verdict = map.apply(change);
        drop(map);
        let late = self.late.lock().unwrap().clone();
        let nodes: Vec<NodeId> = self.watchers.lock().unwrap().keys().copied().collect();
        for node in nodes {
            let Some(late) = late.get(&node).copied() else {
                self.tell(node);
                continue;
            };
            let world = Arc::clone(self);
            std::thread::spawn(move || {
                std::thread::sleep(late);
                world.tell(node);
            });
        }
        verdict
    }

    /// A node hears of the newest map.
    fn tell(&self, node: NodeId) {
        // In this order, so that no older map comes after a newer one.
        let watchers = self.watchers.lock().unwrap();
        let new = Arc::new(self.map());
        if let Some(watcher) = watchers.get(&node) {
            watcher.send_if_modified(|old| {
                let is_new = **old != *new;
                if is_new {
                    *old = Arc::clone(&new);
                }
                is_new
            });
        }
    }

    pub(super) fn map(&self) -> Map {
        self.map.lock().unwrap().clone()
    }

    pub(super) fn is_settled(&self) -> bool {
        let map = self.map();
        map.slots.zip(&map.goal).iter().all(|run| {
            let (holders, goal) = run.value;
            let has = |node| holders.backups().any(|backup| backup.node == node && backup.in_sync);
            holders.owner == goal.owner && goal.backups.into_iter().flatten().all(has)
        })
    }

    pub(super) fn settle(&self) {
        let clock = crate::runtime::clock::Clock::new();
        let begin = clock.monotonic_ns();
        while !self.is_settled() {
            let waited = Duration::from_nanos(clock.monotonic_ns() - begin);
            assert!(waited < PATIENCE, "it is not as it shall be: {:#?}", self.map());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(super) struct Agreement {
    pub(super) me: NodeId,
    pub(super) world: Arc<World>,
    pub(super) map: watch::Receiver<Arc<Map>>,
}

impl Meta for Agreement {
    fn me(&self) -> NodeId {
        self.me
    }

    fn map(&self) -> watch::Receiver<Arc<Map>> {
        self.map.clone()
    }

    fn propose(&self, change: Change) -> Later<'_, Result<Verdict, Unsettled>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            let is_commit = matches!(change, Change::Commit { .. });
            if is_commit && self.world.refuses.load(Ordering::Relaxed) {
                self.world.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Unsettled::NotProposed("refused".into()));
            }
            let verdict = self.world.apply(change);
            // With the verdict it knows the map.
            self.world.tell(self.me);
            let number = self.world.proposals.fetch_add(1, Ordering::Relaxed);
            let of = self.world.unknown.load(Ordering::Relaxed);
            match of > 0 && number.is_multiple_of(of) {
                true => Err(Unsettled::Unknown("lost".into())),
                false => Ok(verdict),
            }
        })
    }

    fn status(&self) -> Status {
        Status::default()
    }
}

pub(super) struct Loopback;

impl Dial for Loopback {
    fn dial(&self, _: NodeId, member: &Member) -> Later<'_, io::Result<Box<dyn Wire>>> {
        let port = member.endpoint.bus_port;
        Box::pin(async move {
            let wire = TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Box::new(wire) as Box<dyn Wire>)
        })
    }
}

pub(super) fn world(replicas: u8) -> Arc<World> {
    let world = Arc::new(World::default());
    world.map.lock().unwrap().replicas = replicas;
    world
}
