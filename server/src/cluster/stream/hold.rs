//! `cluster-replication sync`: replies that wait until copies have what was written.
//!
//! A reply to a write is held until every backup that the map calls in sync has acknowledged it, so
//! whoever follows this node has every write that was acknowledged. It is enough to wait for whole nodes,
//! and not for slots: what was marked for a backup when the reply was ready is the write and more.
//!
//! ```text
//!                 keeper                              worker
//!   1.  require(backup)                         a.  writes, which marks
//!   2.  what is marked up to here ...           b.  begin: who is required?
//!   3.  ... was acknowledged                    c.  waits for what is marked up to here
//!   4.  proposes that the backup is in sync     d.  replies
//! ```
//!
//! A backup is required **before** the map may call it in sync, and it is proposed only when it has
//! everything that was marked when it began to be required. So each write is either marked before (2), and
//! the backup has it (3), or its worker asks (b) after (1), and waits.

use super::taps::{Bell, Taps};
use crate::cluster::change::Life;
use crate::cluster::node::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest between two looks: the lease may end meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Hold {
    taps: Arc<Taps>,
    /// The backups that replies wait for, and what wakes the threads that send to them.
    required: Mutex<BTreeMap<NodeId, (Life, Arc<Bell>)>>,
    /// Something was acknowledged, or somebody is not required any more.
    news: Notify,
}

/// What has to be acknowledged before a reply is sent.
#[derive(Debug)]
pub struct Held(Vec<(Life, Vec<u64>)>);

impl Hold {
    /// Nobody is required.
    #[must_use]
    pub fn new(taps: Arc<Taps>) -> Self {
        Hold { taps, required: Mutex::default(), news: Notify::new() }
    }

    fn required(&self) -> MutexGuard<'_, BTreeMap<NodeId, (Life, Arc<Bell>)>> {
        self.required.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replies wait for a backup from here on. What it has yet to acknowledge of before.
    pub fn require(&self, life: Life, bell: Arc<Bell>) -> Vec<u64> {
        self.required().insert(life.node, (life, bell));
        self.taps.newest(life)
    }

    /// They wait for it no longer.
    pub fn release(&self, node: NodeId) {
        self.required().remove(&node);
        self.news.notify_waiters();
    }

    /// Something was acknowledged.
    pub fn acknowledged(&self) {
        self.news.notify_waiters();
    }

    /// What the replies to everything that was written until now wait for; none: for nothing.
    #[must_use]
    pub fn begin(&self) -> Option<Held> {
        let mut held = Vec::new();
        for (life, bell) in self.required().values() {
            let numbers = self.taps.newest(*life);
            if !self.taps.has_acknowledged(*life, &numbers) {
                held.push((*life, numbers));
                bell.hurry();
            }
        }
        (!held.is_empty()).then_some(Held(held))
    }

    fn is_over(&self, held: &mut Held) -> bool {
        let required = self.required();
        held.0.retain(|(life, numbers)| {
            required.get(&life.node).is_some_and(|(required, _)| required == life)
                && !self.taps.has_acknowledged(*life, numbers)
        });
        held.0.is_empty()
    }

    /// Waits until copies have it, as long as `may_wait`; whether they have.
    pub async fn until_copied(&self, mut held: Held, may_wait: impl Fn() -> bool) -> bool {
        loop {
            let news = self.news.notified();
            if self.is_over(&mut held) {
                return true;
            }
            if !may_wait() {
                return false;
            }
            // Late is better than never; and the time is looked at.
            let _ = tokio::time::timeout(LOOK, news).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::slot;
    use dunlin_storage::{Key, KeyHash, ShardId};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn life(number: u32) -> Life {
        Life { node: NodeId::from(number), incarnation: 1 }
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work)
    }

    /// Two backups of all slots, in one lane, which have acknowledged nothing of one key.
    fn written() -> (Arc<Taps>, Hold, Arc<Bell>) {
        let (taps, bell) = (Arc::new(Taps::new(1)), Arc::<Bell>::default());
        let all = [(0, slot::SLOTS - 1)].into_iter().collect();
        for number in [1, 2] {
            taps.add(life(number), &bell, &all, |_| ShardId(0));
        }
        taps.changed(ShardId(0), &Key { bytes: b"foo", hash: KeyHash(7) });
        (Arc::clone(&taps), Hold::new(taps), bell)
    }

    fn acknowledge(taps: &Taps, number: u32, session: u64) {
        let all = [(0, slot::SLOTS - 1)].into_iter().collect();
        let popped = taps.pop(0, life(number), session, &all, 10).expect("a tap");
        taps.acknowledge(life(number), 0, popped.taken);
    }

    #[test]
    fn replies_wait_for_whoever_is_required_and_for_nobody_else() {
        let (taps, hold, bell) = written();
        let session = bell.is_mine();
        assert!(hold.begin().is_none(), "nobody is required");
        assert_eq!(hold.require(life(1), Arc::clone(&bell)), [1]);
        let held = hold.begin().expect("it has acknowledged nothing");
        assert!(!block_on(hold.until_copied(held, || false)));
        acknowledge(&taps, 2, session);
        let mut held = hold.begin().expect("the other one has");
        assert!(!hold.is_over(&mut held));
        acknowledge(&taps, 1, session);
        assert!(block_on(hold.until_copied(held, || false)));
        assert!(hold.begin().is_none(), "there is nothing new");
    }

    #[test]
    fn who_is_released_is_waited_for_no_longer() {
        let (_taps, hold, bell) = written();
        hold.require(life(1), bell);
        let held = hold.begin().expect("it has acknowledged nothing");
        let is_over = AtomicBool::new(false);
        block_on(async {
            let waits = async {
                assert!(hold.until_copied(held, || true).await);
                is_over.store(true, Ordering::SeqCst);
            };
            let releases = async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(!is_over.load(Ordering::SeqCst));
                hold.release(life(1).node);
            };
            tokio::join!(waits, releases);
        });
    }
}
