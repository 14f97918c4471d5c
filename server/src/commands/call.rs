//! One execution of a command: what a handler sees.
//!
//! Dispatch has already checked arity, authentication and memory, and holds the writer roles of
//! the shards of every key which the table names for a WRITE command. A handler parses its
//! arguments, reads, writes and replies; it never waits.

use super::error::{self, ReplyError};
use super::table::{Entry, KeyShape};
use crate::Roles;
use crate::client::Client;
use crate::dispatch::Context;
use crate::notify::{self, Class};
use crate::server::Server;
use crate::stats::WorkerStats;
use dunlin_protocol::{ArgValue, Reply, Request, number};
use dunlin_storage::{
    self as storage, DbId, Guard, Key, KeyHash, Keyspace, Millis, Miss, NewValue, Put, Str, Touch,
    Value,
};

/// One execution of a command. `'a`: this call; `'g`: the pinned epoch, and so every entry read.
pub struct Call<'a, 'g> {
    /// The arguments; argument 0 is the name.
    pub request: Request<'a>,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// The connection's state.
    pub client: &'a mut Client,
    /// The server.
    pub server: &'g Server,
    /// Counters of the worker that runs this call.
    pub stats: &'a WorkerStats,
    /// The table's entry.
    pub entry: &'static Entry,
    /// Hash of the key, if the command has exactly one.
    pub hash: KeyHash,
    /// Time of the turn.
    pub now: Millis,
    /// When the call began, or what was before it has ended: nanoseconds of the monotonic clock.
    pub began: u64,
    /// The pinned epoch.
    pub guard: &'g Guard,
    /// The roles that dispatch holds for this call.
    pub writer: Option<&'a mut Roles<'g>>,
    /// It runs on the pool, where it may take its time.
    pub pooled: bool,
}

impl<'a, 'g> Call<'a, 'g> {
    /// What the turn has given to this call, for commands that run others, as a turn that begins now.
    pub(crate) fn context(&self) -> Context<'a, 'g> {
        let Call { server, stats, guard, now, pooled, .. } = *self;
        Context { server, stats, guard, now, began: server.clock.monotonic_ns(), pooled }
    }

    /// Number of arguments, the name included.
    #[inline]
    pub fn argc(&self) -> usize {
        self.request.len()
    }

    /// Argument `i`.
    #[inline]
    pub fn arg(&self, i: usize) -> &'a [u8] {
        self.request.arg(i)
    }

    /// Argument `i`, which its row lets be in chunks ([`super::spec::Command::takes_chunks`]).
    #[inline]
    pub fn value_arg(&self, i: usize) -> ArgValue<'a> {
        self.request.value(i)
    }

    /// Argument `i` as a key.
    #[inline]
    pub fn key(&self, i: usize) -> Key<'a> {
        let bytes = self.request.arg(i);
        match self.entry.shape {
            KeyShape::One(at) if at == i => Key { bytes, hash: self.hash },
            _ => self.server.keyspace.key(bytes),
        }
    }

    /// Argument `i` as an integer.
    pub fn int(&self, i: usize) -> Result<i64, ReplyError> {
        number::parse_i64(self.arg(i)).ok_or(error::NOT_INTEGER)
    }

    /// Whether argument `i` is `word` in any case.
    #[inline]
    pub fn is(&self, i: usize, word: &str) -> bool {
        self.arg(i).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether the command may make its client wait. In EXEC and in scripts none may: it answers
    /// what it would at its deadline.
    pub fn may_block(&self) -> bool {
        !self.client.deny_blocking
    }

    /// The selected database.
    #[inline]
    pub fn db(&self) -> DbId {
        self.client.db
    }

    /// Whether all that `key` holds can be read and changed now. A command that has waited runs
    /// again with the role of the key for which it is woken, which need not be the only one it names.
    pub fn reaches(&self, key: &Key<'_>) -> bool {
        let shard = || self.server.keyspace.shard_of(key.hash);
        self.client.wait.is_none() || self.writer.as_ref().is_some_and(|w| w.holds(shard()))
    }

    /// The keyspace, for commands about the whole of it.
    #[inline]
    pub fn keyspace(&self) -> &'a Keyspace {
        &self.server.keyspace
    }

    fn touch(&self) -> Touch {
        if self.client.no_touch { Touch::No } else { Touch::Yes }
    }

    /// The entry of `key`: counted as a hit or a miss, and as a use (unless NO-TOUCH).
    #[inline]
    pub fn lookup(&mut self, key: &Key<'_>) -> Option<storage::Entry<'g>> {
        let found = self.read(self.client.db, key, self.touch());
        match found {
            Some(_) => self.stats.hit(),
            None => self.missed(key),
        }
        found
    }

    /// The entry of `key` for commands that ask about it without using it: a hit or a miss, but no
    /// sign of life for eviction.
    pub fn look(&mut self, key: &Key<'_>) -> Option<storage::Entry<'g>> {
        let found = self.peek(key);
        match found {
            Some(_) => self.stats.hit(),
            None => self.missed(key),
        }
        found
    }

    /// [`Call::look`] that tells nobody of a miss.
    pub fn look_silently(&self, key: &Key<'_>) -> Option<storage::Entry<'g>> {
        let found = self.peek(key);
        match found {
            Some(_) => self.stats.hit(),
            None => self.stats.miss(self.why_missing(key)),
        }
        found
    }

    /// Why a key that was just read is not there.
    fn why_missing(&self, key: &Key<'_>) -> Miss {
        let (db, under_role) = (self.client.db, self.writer.is_some());
        self.server.keyspace.why_missing(db, key, self.now, under_role, self.guard)
    }

    /// Counts a key that was read and is not there, and tells of it: at once if the roles are held,
    /// else when it is certain that what was read stands ([`crate::dispatch`] may have to read again).
    fn missed(&mut self, key: &Key<'_>) {
        let why = self.why_missing(key);
        self.stats.miss(why);
        if self.writer.is_some() {
            if why == Miss::Expired {
                self.bury(key);
            }
            self.notify(Class::KEY_MISS, "keymiss", key);
        } else if self.server.events().any(Class::KEY_MISS) {
            self.client.missed.push(key.bytes.into());
        }
    }

    /// Takes away a key whose time is over, on which somebody has come: at once if the role of its shard is
    /// held or free. (What looks at one key without its role, or is silent about it, leaves it to dispatch.)
    pub(super) fn bury(&mut self, key: &Key<'_>) {
        if self.server.pause.blocks(true, self.now).is_some() {
            return;
        }
        let (keyspace, db, now) = (&self.server.keyspace, self.client.db, self.now);
        match self.writer.as_deref_mut() {
            Some(writer) if writer.holds(keyspace.shard_of(key.hash)) => {
                writer.bury(db, key, now);
            }
            Some(_) => {}
            None => {
                keyspace.bury(db, key, now, self.guard);
            }
        }
    }

    /// The entry of `key`, without statistics and without marking it used.
    #[inline]
    pub fn peek(&self, key: &Key<'_>) -> Option<storage::Entry<'g>> {
        self.read(self.client.db, key, Touch::No)
    }

    /// The entry of `key`, marked as used but not counted as a hit or miss (write commands).
    #[inline]
    pub fn find(&self, key: &Key<'_>) -> Option<storage::Entry<'g>> {
        self.read(self.client.db, key, self.touch())
    }

    /// [`Call::peek`] in another database.
    pub fn peek_in(&self, db: DbId, key: &Key<'_>) -> Option<storage::Entry<'g>> {
        self.read(db, key, Touch::No)
    }

    #[inline]
    fn read(&self, db: DbId, key: &Key<'_>, touch: Touch) -> Option<storage::Entry<'g>> {
        match &self.writer {
            Some(writer) if writer.holds(self.server.keyspace.shard_of(key.hash)) => {
                writer.get(db, key, self.now)
            }
            _ => {
                let keyspace: &'a Keyspace = &self.server.keyspace;
                keyspace.get(db, key, self.now, touch, self.guard)
            }
        }
    }

    /// [`Call::lookup`] of a string; a WRONGTYPE error for other types.
    #[inline]
    pub fn lookup_str(&mut self, key: &Key<'_>) -> Result<Option<Str<'g>>, ReplyError> {
        self.lookup(key).map(|entry| string_of(&entry)).transpose()
    }

    /// The roles of this call. Dispatch holds them for every command flagged WRITE; a handler
    /// that writes without the flag is a defect of its row, and the table's tests find it.
    pub(super) fn writer(&mut self) -> &mut Roles<'g> {
        match self.writer.as_deref_mut() {
            Some(writer) => writer,
            None => unreachable!("{}: a write without the writer role", self.entry.full_name),
        }
    }

    /// Stores `value`, replacing what was there.
    #[inline]
    pub fn put(&mut self, key: &Key<'_>, value: NewValue<'_>, expire_at: Option<Millis>) -> Put {
        self.put_in(self.client.db, key, value, expire_at)
    }

    /// [`Call::put`] in another database.
    pub fn put_in(
        &mut self,
        db: DbId,
        key: &Key<'_>,
        value: NewValue<'_>,
        expire_at: Option<Millis>,
    ) -> Put {
        let now = self.now;
        let put = self.writer().put(db, key, value, expire_at, now);
        if !put.existed {
            self.notify_in(db, Class::NEW, "new", key);
        }
        put
    }

    /// [`Call::put_in`] for commands that, in Redis, remove what has the name and then add a key:
    /// it counts as new in any case.
    pub fn put_anew_in(
        &mut self,
        db: DbId,
        key: &Key<'_>,
        value: NewValue<'_>,
        expire_at: Option<Millis>,
    ) {
        if self.put_in(db, key, value, expire_at).existed {
            self.notify_in(db, Class::NEW, "new", key);
        }
    }

    /// Gives the value of a key to another one, whatever was there, which counts as new; false if there is no such key.
    pub fn rename(&mut self, from: (DbId, &Key<'_>), to: (DbId, &Key<'_>)) -> bool {
        let now = self.now;
        let renamed = self.writer().rename(from, to, now);
        if renamed {
            self.notify_in(to.0, Class::NEW, "new", to.1);
        }
        renamed
    }

    /// Removes `key` and tells of it; whether a live one was there.
    pub fn remove(&mut self, key: &Key<'_>) -> bool {
        let removed = self.take(key);
        if removed {
            self.notify(Class::GENERIC, "del", key);
        }
        removed
    }

    /// Removes `key` for a command that has another word for it than `del`; whether a live one was
    /// there.
    pub fn take(&mut self, key: &Key<'_>) -> bool {
        let (db, now) = (self.client.db, self.now);
        self.writer().remove(db, key, now)
    }

    /// Sets or clears the expiry of `key` and tells of it; false if there is no such key.
    pub fn set_expiry(&mut self, key: &Key<'_>, expire_at: Option<Millis>) -> bool {
        let (db, now) = (self.client.db, self.now);
        let exists = self.writer().set_expiry(db, key, expire_at, now);
        if exists {
            let event = if expire_at.is_some() { "expire" } else { "persist" };
            self.notify(Class::GENERIC, event, key);
        }
        exists
    }

    /// Lets those who want to hear of every change of `key` run again, although it is still there and
    /// looks as before.
    pub fn tell_waiters(&self, key: &Key<'_>) {
        let shard = self.server.keyspace.shard_of(key.hash);
        self.server.interests.queues.gone(shard, self.client.db, key.bytes);
    }

    /// Publishes a keyspace event (see [`crate::notify`]): after the change, under its role.
    #[inline]
    pub fn notify(&mut self, class: Class, event: &str, key: &Key<'_>) {
        self.notify_in(self.client.db, class, event, key);
    }

    /// [`Call::notify`] of a change that may have taken the last element of a collection: then the
    /// key is gone, and `del` follows.
    pub fn notify_taken(&mut self, class: Class, event: &str, key: &Key<'_>) {
        self.notify(class, event, key);
        if self.server.events().any(Class::GENERIC) && self.peek(key).is_none() {
            self.notify(Class::GENERIC, "del", key);
        }
    }

    /// [`Call::notify`] in another database.
    #[inline]
    pub fn notify_in(&mut self, db: DbId, class: Class, event: &str, key: &Key<'_>) {
        // What was missed was looked for before, and a command that has changed something stands.
        if !self.client.missed.is_empty() {
            notify::tell_misses(self.server, self.client);
        }
        self.client.deliveries += notify::notify(self.server, class, event, key.bytes, db);
        if !Class::STORED.any(class) {
            self.tell_watchers(db, key);
        }
    }

    /// What a command has an event for counts as a write for WATCH and caches, whether or not the store has
    /// found anything to change.
    fn tell_watchers(&self, db: DbId, key: &Key<'_>) {
        let shard = self.server.keyspace.shard_of(key.hash);
        if self.writer.as_deref().is_some_and(|writer| writer.is_observed(shard)) {
            self.server.interests.written(db, key, shard);
        }
    }

    /// Empties databases (needs ALL_SHARDS).
    pub fn flush(&mut self, dbs: impl Iterator<Item = DbId>) {
        dbs.for_each(|db| self.writer().flush(db));
        self.server.tracker().flushed();
    }

    /// Exchanges two databases (needs ALL_SHARDS).
    pub fn swap(&mut self, a: DbId, b: DbId) {
        let now = self.now;
        self.writer().swap(a, b, now);
    }
}

/// The string in `entry`.
pub fn string_of<'g>(entry: &storage::Entry<'g>) -> Result<Str<'g>, ReplyError> {
    match entry.value() {
        Value::Str(string) => Ok(string),
        _ => Err(error::WRONG_TYPE),
    }
}
