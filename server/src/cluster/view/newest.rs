//! The view that is shown now.

use super::{Preferred, View};
use crate::cluster::map::Map;
use crate::cluster::node::NodeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;

/// The newest view, which takes the place of the one before as a whole.
#[derive(Debug)]
pub struct Newest {
    view: RwLock<Arc<View>>,
    /// The epoch of the map in it.
    epoch: watch::Sender<u64>,
    /// Makes changes one at a time; readers wait for nothing but the exchange.
    change: Mutex<()>,
}

impl Newest {
    /// A node that knows no map yet.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        let view = View::new(Arc::default(), me, Preferred::default());
        let (view, epoch) = (RwLock::new(Arc::new(view)), watch::Sender::default());
        Newest { view, epoch, change: Mutex::new(()) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Arc<View>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// It, to keep.
    #[must_use]
    pub fn get(&self) -> Arc<View> {
        Arc::clone(&self.read())
    }

    /// What `look` sees in it, without the cost of keeping it.
    pub fn with<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.read())
    }

    /// The epoch that is shown, now and later.
    #[must_use]
    pub fn shown(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Shows a map from now on, unless a newer one is shown already.
    pub fn show(&self, map: Arc<Map>) {
        let _changing = self.changing();
        let now = self.get();
        if map.epoch >= now.map.epoch {
            self.replace(View::new(map, now.me, now.preferred));
        }
    }

    /// This node has another identity from now on (CLUSTER RESET HARD).
    pub fn rename(&self, me: NodeId) {
        let _changing = self.changing();
        let now = self.get();
        self.replace(View::new(Arc::clone(&now.map), me, now.preferred));
    }

    /// Shows other endpoints from now on (CONFIG SET).
    pub fn prefer(&self, preferred: Preferred) {
        let _changing = self.changing();
        let now = self.get();
        if now.preferred != preferred {
            self.replace(View::new(Arc::clone(&now.map), now.me, preferred));
        }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, view: View) {
        let epoch = view.map.epoch;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        self.epoch.send_replace(epoch);
    }
}
