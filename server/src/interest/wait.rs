//! Queues of clients that wait for keys.
//!
//! The first who waits is the first to be served. A change of a key somebody waits for makes the key
//! *ready*; whoever has changed it looks at what is ready when its command is done
//! ([`Interests::take_ready`]), while it still holds the role, and serves the queue as far as it
//! goes.

use super::table::Group;
use super::{Interests, Tables, count};
use crate::Roles;
use crate::client::ClientShared;
use bytes::Bytes;
use dunlin_storage::{DbId, Key, KeyHash, ShardId};
use std::sync::Arc;

/// A client that waits for a key.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// The client.
    pub client: Arc<ClientShared>,
}

/// A place in the queue of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A key that somebody waits for and that was changed.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The database.
    pub db: DbId,
    /// The name of the key.
    pub name: Bytes,
    hash: KeyHash,
}

impl Ready {
    /// The key.
    pub fn key(&self) -> Key<'_> {
        Key { bytes: &self.name, hash: self.hash }
    }
}

impl Tables {
    pub(super) fn tell_waiters(&mut self, db: DbId, key: &Key<'_>) {
        if let Some(group) = self.waiters.get_mut(db, key) {
            note_ready(&mut self.ready, group);
        }
    }
}

/// Lists a key as ready, once.
pub(super) fn note_ready(ready: &mut Vec<Ready>, group: &mut Group<Waiter>) {
    if !std::mem::replace(&mut group.listed, true) {
        ready.push(Ready { db: group.db, name: group.name.clone(), hash: group.key().hash });
    }
}

impl Interests {
    /// Puts a client at the end of the queue of a key. Under the role of its shard.
    pub fn wait(
        &self,
        writer: &mut Roles<'_>,
        shard: ShardId,
        (db, key): (DbId, &Key<'_>),
        waiter: Waiter,
    ) -> Ticket {
        count(&waiter.client, key.bytes, true);
        self.with_tables(writer, shard, |tables| {
            tables.tickets += 1;
            let ticket = tables.tickets;
            tables.waiters.join(db, key, ticket, waiter);
            Ticket(ticket)
        })
    }

    /// Takes a client out of the queue of a key; none if it is not there any more. Under the role of
    /// its shard.
    pub fn leave_queue(
        &self,
        writer: &mut Roles<'_>,
        shard: ShardId,
        (db, key): (DbId, &Key<'_>),
        ticket: Ticket,
    ) -> Option<Waiter> {
        let waiter =
            self.with_tables(writer, shard, |tables| tables.waiters.leave(db, key, ticket.0))?;
        count(&waiter.client, key.bytes, false);
        Some(waiter)
    }

    /// The queue of a key, the first first. Under the role of its shard.
    pub fn queue(&self, shard: ShardId, db: DbId, key: &Key<'_>) -> Vec<Waiter> {
        let tables = self.tables(shard);
        tables
            .waiters
            .get(db, key)
            .map_or_else(Vec::new, |group| group.members().cloned().collect())
    }

    /// The keys of a shard that somebody waits for and that were changed since the last call, in the
    /// order of their first change. Under the role of the shard.
    pub fn take_ready(&self, shard: ShardId) -> Vec<Ready> {
        let tables = &mut *self.tables(shard);
        let ready = std::mem::take(&mut tables.ready);
        for ready in &ready {
            if let Some(group) = tables.waiters.get_mut(ready.db, &ready.key()) {
                group.listed = false;
            }
        }
        ready
    }
}
