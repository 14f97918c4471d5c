//! WATCH: a client whose watched keys have changed may not EXEC.
//!
//! A watcher remembers whether its key was there when it was watched. Any change after that makes
//! the client *dirty*, but for one: a key that was not there, or whose time was already over, may be
//! taken away. A key whose time ends later and which nobody has removed yet has changed as well;
//! [`is_dirty`] finds that out.

use super::{Interests, Tables, count};
use crate::Roles;
use crate::client::{Client, ClientShared};
use crate::commands::call::Call;
use crate::commands::error::{NEEDS_ROLE, ReplyError};
use crate::server::Server;
use bytes::Bytes;
use dunlin_storage::{Cause, Change, DbId, Guard, Job, Key, KeyHash, ShardId, ShardSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A client that watches a key.
#[derive(Debug)]
pub(super) struct Watcher {
    client: Arc<ClientShared>,
    /// The key was there when it was watched.
    was_there: bool,
}

impl Watcher {
    /// The key is not what it was, or something else is there now.
    pub(super) fn replaced(&self, now_there: bool) {
        if self.was_there || now_there {
            self.client.set_flag(ClientShared::DIRTY, true);
        }
    }
}

impl Tables {
    pub(super) fn tell_watchers(&self, change: &Change<'_>) {
        let Some(group) = self.watchers.get(change.db, &change.key) else { return };
        let now_there = matches!(change.cause, Cause::Written);
        group.members().for_each(|watcher| watcher.replaced(now_there));
    }
}

/// A key that a client watches.
#[derive(Debug)]
struct WatchedKey {
    db: DbId,
    name: Bytes,
    hash: KeyHash,
    was_there: bool,
}

impl WatchedKey {
    fn key(&self) -> Key<'_> {
        Key { bytes: &self.name, hash: self.hash }
    }
}

/// The keys that a client watches, by shard.
#[derive(Debug, Default)]
pub struct Watched(BTreeMap<ShardId, Vec<WatchedKey>>);

impl Watched {
    /// Whether the client watches nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many keys it watches.
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The shards of its keys. Their roles are needed to end watching, and to see whether anything
    /// has changed and nothing will until they are given back.
    pub fn shards(&self) -> ShardSet {
        self.0.keys().copied().collect()
    }

    /// Enters a key, unless it is watched already. Under the role of its shard.
    pub(super) fn add(
        &mut self,
        interests: &Interests,
        writer: &mut Roles<'_>,
        client: &Arc<ClientShared>,
        (shard, db, key): (ShardId, DbId, &Key<'_>),
        was_there: bool,
    ) {
        let watcher = Watcher { client: Arc::clone(client), was_there };
        let joined = interests
            .with_tables(writer, shard, |tables| tables.watchers.join(db, key, client.id, watcher));
        if let Some(name) = joined {
            count(client, &name, true);
            let watched = WatchedKey { db, name, hash: key.hash, was_there };
            self.0.entry(shard).or_default().push(watched);
        }
    }

    /// Ends all watches. Under the roles of [`Watched::shards`].
    pub(super) fn clear(
        &mut self,
        interests: &Interests,
        writer: &mut Roles<'_>,
        client: &ClientShared,
    ) {
        for (shard, keys) in std::mem::take(&mut self.0) {
            interests.end_watches(writer, client, shard, &keys);
        }
    }

    /// Whether a key that was there when it was watched is not there any more.
    pub(super) fn misses_any(&self, is_there: impl Fn(DbId, &Key<'_>) -> bool) -> bool {
        let mut keys = self.0.values().flatten();
        keys.any(|watched| watched.was_there && !is_there(watched.db, &watched.key()))
    }

    /// For a client that goes away: a job that ends up to `most` of its watches, and what it has to
    /// hold; none if there are no more.
    pub fn leave(
        &mut self,
        server: &'static Server,
        client: &Arc<ClientShared>,
        most: usize,
    ) -> Option<(ShardSet, Box<dyn Job>)> {
        let mut first = self.0.first_entry()?;
        let (shard, rest) = (*first.key(), first.get().len().saturating_sub(most));
        let keys = first.get_mut().split_off(rest);
        if rest == 0 {
            first.remove();
        }
        let leave = Leave { server, client: Arc::clone(client), shard, keys };
        Some((ShardSet::one(shard), Box::new(leave)))
    }
}

/// The end of some watches of a client.
struct Leave {
    server: &'static Server,
    client: Arc<ClientShared>,
    shard: ShardId,
    keys: Vec<WatchedKey>,
}

impl Job for Leave {
    fn run<'g>(self: Box<Self>, writer: &mut Roles<'g>, _guard: &'g Guard) {
        self.server.interests.end_watches(writer, &self.client, self.shard, &self.keys);
    }
}

impl Interests {
    fn end_watches(
        &self,
        writer: &mut Roles<'_>,
        client: &ClientShared,
        shard: ShardId,
        keys: &[WatchedKey],
    ) {
        self.with_tables(writer, shard, |tables| {
            for watched in keys {
                tables.watchers.leave(watched.db, &watched.key(), client.id);
                count(client, &watched.name, false);
            }
        });
    }
}

/// Watches a key of the selected database for the client. Runs under the role of the key's shard;
/// [`NEEDS_ROLE`] without. A client that is dirty already watches nothing more.
pub fn watch(call: &mut Call<'_, '_>, key: &Key<'_>) -> Result<(), ReplyError> {
    if call.client.shared.has_flag(ClientShared::DIRTY) {
        return Ok(());
    }
    let (db, was_there) = (call.db(), call.peek(key).is_some());
    let shard = call.server.keyspace.shard_of(key.hash);
    let writer = call.writer.as_deref_mut().filter(|writer| writer.holds(shard));
    let Some(writer) = writer else { return Err(NEEDS_ROLE) };
    let (interests, client) = (&call.server.interests, &mut *call.client);
    client.watched.add(interests, writer, &client.shared, (shard, db, key), was_there);
    Ok(())
}

/// Ends all watches of the client; afterwards it is not dirty. Runs under the roles of
/// [`Watched::shards`]; [`NEEDS_ROLE`] without.
pub fn unwatch(call: &mut Call<'_, '_>) -> Result<(), ReplyError> {
    let client = &mut *call.client;
    if !client.watched.is_empty() {
        let shards = client.watched.shards();
        let writer = call.writer.as_deref_mut();
        let writer = writer.filter(|writer| shards.iter().all(|shard| writer.holds(shard)));
        let Some(writer) = writer else { return Err(NEEDS_ROLE) };
        end_all(call.server, client, writer);
    }
    client.shared.set_flag(ClientShared::DIRTY, false);
    Ok(())
}

/// Ends all watches of a client; `writer` holds their roles.
pub(crate) fn end_all(server: &Server, client: &mut Client, writer: &mut Roles<'_>) {
    client.watched.clear(&server.interests, writer, &client.shared);
    client.shared.set_flag(ClientShared::DIRTY, false);
    client.show_watched();
}

/// Whether a watched key of the client has changed, or has expired, whether or not it was removed
/// yet. Under the roles of [`Watched::shards`] a `false` is true until they are given back.
pub fn is_dirty(call: &Call<'_, '_>) -> bool {
    call.client.shared.has_flag(ClientShared::DIRTY)
        || call.client.watched.misses_any(|db, key| call.peek_in(db, key).is_some())
}
