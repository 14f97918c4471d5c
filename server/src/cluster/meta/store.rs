//! openraft's storage, on our [`Disk`] and [`State`].
//!
//! Entries are flushed before openraft hears that they are there. It is told at once: the log grows by a
//! few entries per change of membership, so batches are not worth a thread.

use super::super::map::Map;
use super::disk::Disk;
use super::machine::State;
use super::types::{Decided, Entry, LogId, Membership, SnapshotMeta, StorageError, Types, Vote};
use openraft::storage::{LogFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{
    ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader, RaftSnapshotBuilder, Snapshot,
};
use std::fmt::Debug;
use std::io::{self, Cursor};
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The largest snapshot that is taken from another node.
const MAX_SNAPSHOT: usize = 64 * 1024 * 1024;

/// The disk, shared by the log and the state machine.
#[derive(Clone, Debug)]
pub(super) struct Store(pub Arc<Mutex<Disk>>);

impl Store {
    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(
    subject: ErrorSubject<super::super::node::NodeId>,
    verb: ErrorVerb,
    error: io::Error,
) -> StorageError {
    StorageError::from_io_error(subject, verb, error)
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.disk().entries(range))
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Store;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let disk = self.disk();
        Ok(LogState { last_purged_log_id: disk.purged(), last_log_id: disk.last() })
    }

    async fn get_log_reader(&mut self) -> Store {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let saved = self.disk().save_vote(*vote);
        saved.map_err(|error| failed(ErrorSubject::Vote, ErrorVerb::Write, error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.disk().vote())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let Some(committed) = committed else { return Ok(()) };
        let saved = self.disk().save_committed(committed);
        saved.map_err(|error| failed(ErrorSubject::Logs, ErrorVerb::Write, error))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.disk().committed())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let appended = self.disk().append_entries(entries.into_iter().collect());
        match appended {
            Ok(()) => {
                flushed.log_io_completed(Ok(()));
                Ok(())
            }
            Err(error) => Err(failed(ErrorSubject::Logs, ErrorVerb::Write, error)),
        }
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        let truncated = self.disk().truncate(from.index);
        truncated.map_err(|error| failed(ErrorSubject::Logs, ErrorVerb::Delete, error))
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let purged = self.disk().purge(upto);
        purged.map_err(|error| failed(ErrorSubject::Logs, ErrorVerb::Delete, error))
    }
}

/// The state machine, and where it tells what it comes to.
#[derive(Debug)]
pub(super) struct Machine {
    store: Store,
    state: State,
    outlet: Arc<Outlet>,
}

/// Where those who are not Raft see the newest state.
#[derive(Debug)]
pub(super) struct Outlet {
    /// The map.
    pub map: watch::Sender<Arc<Map>>,
    /// The index of the last entry that the map shows; announced after it.
    pub applied: watch::Sender<u64>,
}

impl Outlet {
    pub(super) fn new() -> Arc<Outlet> {
        Arc::new(Outlet { map: watch::Sender::default(), applied: watch::Sender::default() })
    }

    /// Tells the state, unless what was told already is newer: it is if Raft was started again in the
    /// life of the process, or if the node comes from another cluster and is not in this one yet
    /// (`seen` of a join).
    fn announce(&self, state: &State) {
        let index = state.applied.map_or(0, |id| id.index);
        if index < *self.applied.borrow() {
            return;
        }
        self.map.send_if_modified(|map| {
            let is_news = state.map.epoch >= map.epoch && **map != state.map;
            if is_news {
                *map = Arc::new(state.map.clone());
            }
            is_news
        });
        self.applied.send_replace(index);
    }

    /// The log is another one from here on, of which nothing is known yet. The epoch in which that is
    /// so.
    pub(super) fn restart(&self) -> u64 {
        self.applied.send_replace(0);
        let epoch = self.map.borrow().epoch + 1;
        self.map.send_replace(Arc::new(Map { epoch, ..Map::default() }));
        epoch
    }
}

impl Machine {
    /// The state of the last snapshot; what comes after it in the log is applied by and by.
    pub(super) fn load(store: Store, outlet: Arc<Outlet>) -> io::Result<Machine> {
        let snapshot = store.disk().snapshot()?;
        let state = match snapshot {
            Some((_, text)) => serde_json::from_str(&text)?,
            None => State::default(),
        };
        outlet.announce(&state);
        Ok(Machine { store, state, outlet })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        Ok((self.state.applied, self.state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Decided>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let decided = entries.into_iter().map(|entry| self.state.apply(entry)).collect();
        self.outlet.announce(&self.state);
        Ok(decided)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { store: self.store.clone(), state: self.state.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let subject = || ErrorSubject::Snapshot(Some(meta.signature()));
        let bytes = snapshot.into_inner();
        if bytes.len() > MAX_SNAPSHOT {
            let error = io::Error::other("the snapshot is too large");
            return Err(failed(subject(), ErrorVerb::Write, error));
        }
        let state = serde_json::from_slice(&bytes);
        let state = state.map_err(|error| failed(subject(), ErrorVerb::Read, error.into()))?;
        let saved = self.store.disk().save_snapshot(meta, &bytes);
        saved.map_err(|error| failed(subject(), ErrorVerb::Write, error))?;
        self.state = state;
        self.outlet.announce(&self.state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let read = self.store.disk().snapshot();
        let read = read.map_err(|e| failed(ErrorSubject::Snapshot(None), ErrorVerb::Read, e))?;
        Ok(read.map(|(meta, text)| Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(text.into_bytes())),
        }))
    }
}

/// Makes a snapshot of a state.
#[derive(Debug)]
pub(super) struct Builder {
    store: Store,
    state: State,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let last = self.state.applied;
        let meta = SnapshotMeta {
            last_log_id: last,
            last_membership: self.state.membership.clone(),
            snapshot_id: last.map_or_else(|| "0".to_owned(), |id| id.to_string()),
        };
        let fail = |error: io::Error| failed(ErrorSubject::Snapshot(None), ErrorVerb::Write, error);
        let bytes = serde_json::to_vec(&self.state).map_err(|error| fail(error.into()))?;
        self.store.disk().save_snapshot(&meta, &bytes).map_err(fail)?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
    }
}
