//! The thread that takes what an owner sends, for as long as a connection lasts: it puts states of keys
//! into the keyspace, in their order, and says when they are there.
//!
//! Values are made of bytes without any role. Then the states of a batch go to their shards, each shard's
//! under its role, and under it, too, a last look says whether this session may write to the slot
//! ([`super::copies`]). Nobody is told of what happens to a copy: no events, no misses.
//!
//! A collection that comes in parts is put together here, and becomes visible with its last part: if the
//! owner is gone in between, what was there before is what remains.

use super::copies::Copies;
use super::frame::{Frame, Incoming, Malformed, Why};
use super::present::DB;
use super::ranges::Ranges;
use super::role;
use crate::cluster::change::Life;
use crate::cluster::link::Fault;
use crate::cluster::map::Map;
use crate::cluster::slot;
use crate::commands::collection::Limits;
use crate::rdb::{self, object};
use crate::server::Server;
use crate::snapshot::entry::{Entries, Entry, What};
use dunlin_storage::{Handle, Millis, NewValue, Object, ShardId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, UnboundedSender};

/// States of keys that are stored at once, over all shards.
const BATCH: usize = 256;
/// About how many bytes of them.
const BATCH_BYTES: usize = 256 * 1024;
/// Credit is given back in pieces of at least this size.
const CREDIT_PIECE: usize = 64 * 1024;
/// Between two looks for a newer map.
const LOOK: Duration = Duration::from_millis(2);
/// Looks for it: for a second this node may be behind an owner's map.
const LOOKS: u32 = 500;
/// The longest entry: a string has 4 GB at most, and a list may have more.
const LONGEST: usize = 8 << 30;

/// Whom a sink asks about its cluster.
pub trait Around: Send {
    /// The newest map that this node acts on.
    fn map(&self) -> Arc<Map>;

    /// Whether this node may serve: who has just come may not yet, and who has no lease must not be
    /// given slots.
    fn has_lease(&self) -> bool;

    /// The slots are about to become this node's own: whatever changes in them from now on is to be
    /// remembered for their former owner. Comes back when that is so; false: it cannot be.
    fn keep(&self, owner: Life, slots: &Ranges) -> bool;

    /// They are not handed over after all, as far as they were confirmed.
    fn unkeep(&self, owner: Life, slots: &Ranges);

    /// So many states of keys were stored.
    fn stored(&self, keys: usize);

    /// Something was wrong with what the owner has sent.
    fn fault(&self, fault: Fault);
}

/// What becomes of a key.
enum Then {
    Bytes(Vec<u8>, Option<Millis>),
    Object(Box<Object>, Option<Millis>),
    Gone,
}

struct State {
    name: Vec<u8>,
    slot: u16,
    then: Then,
}

/// A collection of which parts have come.
struct Staged {
    name: Vec<u8>,
    object: Object,
}

/// See the [module documentation](self).
pub struct Sink<A> {
    server: &'static Server,
    handle: Handle,
    copies: Arc<Copies>,
    around: A,
    owner: Life,
    session: u32,
    limits: Limits,
    replies: UnboundedSender<Vec<u8>>,
    groups: BTreeMap<u32, Ranges>,
    /// What this session may write to.
    slots: Ranges,
    /// What it has fenced, and confirmed here.
    kept: Ranges,
    long: Vec<u8>,
    staged: Option<Staged>,
    batch: Vec<State>,
    batch_bytes: usize,
    credit: usize,
}

impl<A: Around> Sink<A> {
    /// Takes what comes until the connection is over.
    pub fn run(
        server: &'static Server,
        copies: Arc<Copies>,
        around: A,
        owner: Life,
        mut chunks: Receiver<Vec<u8>>,
        replies: UnboundedSender<Vec<u8>>,
    ) {
        role::enter(server);
        let session = copies.session();
        let mut sink = Sink {
            server,
            handle: server.keyspace.handle(),
            copies,
            around,
            owner,
            session,
            limits: server.limits(),
            replies,
            groups: BTreeMap::new(),
            slots: Ranges::default(),
            kept: Ranges::default(),
            long: Vec::new(),
            staged: None,
            batch: Vec::new(),
            batch_bytes: 0,
            credit: 0,
        };
        let mut incoming = Incoming::default();
        while let Some(chunk) = chunks.blocking_recv() {
            incoming.buffer().extend_from_slice(&chunk);
            sink.limits = server.limits();
            if let Err((why, group)) = sink.take_all(&mut incoming) {
                tracing::warn!(owner = %owner.node, ?why, "copies from a node are refused");
                if why == Why::Malformed {
                    sink.around.fault(Fault::Malformed);
                }
                incoming = Incoming::default();
                sink.reply(&Frame::Refuse { why, group });
                break;
            }
        }
        if !incoming.rest().is_empty() {
            sink.around.fault(Fault::Truncated);
        }
        // What was confirmed stays so: this node may be the owner already, and not know it.
        sink.copies.end(session);
    }

    fn take_all(&mut self, incoming: &mut Incoming) -> Result<(), (Why, u32)> {
        let malformed = |_: Malformed| (Why::Malformed, 0);
        while let Some((frame, length)) = incoming.frame().map_err(malformed)? {
            self.take(frame)?;
            self.credit += length;
            if self.credit >= CREDIT_PIECE {
                self.give_credit();
            }
        }
        self.store().map_err(|why| (why, 0))?;
        self.give_credit();
        Ok(())
    }

    fn give_credit(&mut self) {
        let bytes = std::mem::take(&mut self.credit);
        if bytes > 0 {
            self.reply(&Frame::Credit(u32::try_from(bytes).unwrap_or(u32::MAX)));
        }
    }

    fn reply(&self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        // Whoever writes has ended with the connection, which this thread will hear of.
        let _ = self.replies.send(bytes);
    }

    fn take(&mut self, frame: Frame<'_>) -> Result<(), (Why, u32)> {
        let of_all = |why| (why, 0);
        match frame {
            Frame::Entries(bytes) => self.entries(bytes).map_err(of_all),
            Frame::Piece(bytes) => self.piece(bytes).map_err(of_all),
            Frame::LastPiece(bytes) => {
                self.piece(bytes).map_err(of_all)?;
                let entry = std::mem::take(&mut self.long);
                self.entries(&entry).map_err(of_all)
            }
            Frame::Begin { group, slots } => self.begin(group, slots).map_err(|why| (why, group)),
            Frame::Resume { group, slots } => {
                self.resume(group, &slots).map_err(|why| (why, group))
            }
            Frame::Based { group } => self.based(group).map_err(|why| (why, group)),
            Frame::Flush(slots) => self.flush(&slots).map_err(of_all),
            Frame::Upto { lane, number } => {
                self.store().map_err(of_all)?;
                self.reply(&Frame::Applied { lane, number });
                Ok(())
            }
            Frame::Fin { group, counts } => self.fin(group, &counts).map_err(|why| (why, group)),
            Frame::Forget(slots) => {
                self.store().map_err(of_all)?;
                // The owner may know earlier than this node that what it has handed over is gone.
                let slots = slots.without(&self.kept);
                self.copies.forget(self.session, &slots);
                self.slots = self.slots.without(&slots);
                Ok(())
            }
            _ => Err((Why::Malformed, 0)),
        }
    }

    /// Asks again until this node has the map that the owner goes by.
    fn with_map(&self, mut ask: impl FnMut(&Map) -> Result<(), Why>) -> Result<(), Why> {
        for _ in 0..LOOKS {
            match ask(&self.around.map()) {
                Err(Why::Old) => std::thread::sleep(LOOK),
                answer => return answer,
            }
        }
        Err(Why::Old)
    }

    fn begin(&mut self, group: u32, slots: Ranges) -> Result<(), Why> {
        self.store()?;
        self.with_map(|map| match self.around.has_lease() {
            true => self.copies.begin(self.session, self.owner, &slots, map),
            false => Err(Why::Old),
        })?;
        self.unkeep(&slots);
        self.clear(&slots);
        if let Some(cluster) = &self.server.cluster {
            slots.slots().for_each(|slot| cluster.routes.shown().forget_evictions(slot));
        }
        self.slots = self.slots.with(&slots);
        self.groups.insert(group, slots);
        Ok(())
    }

    fn resume(&mut self, group: u32, slots: &Ranges) -> Result<(), Why> {
        let ask = |map: &Map| self.copies.resume(self.session, self.owner, slots, map);
        let resumed = self.with_map(ask);
        // After that no connection of before confirms them any more.
        self.unkeep(slots);
        resumed?;
        self.slots = self.slots.with(slots);
        self.reply(&Frame::Taken { group });
        Ok(())
    }

    fn based(&mut self, group: u32) -> Result<(), Why> {
        self.store()?;
        let slots = self.groups.remove(&group).ok_or(Why::Malformed)?;
        self.copies.complete(self.session, &slots);
        self.reply(&Frame::Taken { group });
        Ok(())
    }

    fn flush(&mut self, slots: &Ranges) -> Result<(), Why> {
        self.store()?;
        self.staged = None;
        self.clear(slots);
        Ok(())
    }

    fn fin(&mut self, group: u32, counts: &[(u16, u32)]) -> Result<(), Why> {
        self.store()?;
        let slots: Ranges = counts.iter().map(|(slot, _)| (*slot, *slot)).collect();
        // Fewer keys are misses, which are allowed: they were evicted here.
        let has_more =
            |(slot, keys): &(u16, u32)| self.server.keyspace.keys_in_slot(*slot) > u64::from(*keys);
        if !slots.without(&self.slots).is_empty() || counts.iter().any(has_more) {
            return Err(Why::Differs);
        }
        if !self.around.keep(self.owner, &slots) {
            return Err(Why::Old);
        }
        if !slots.slots().all(|slot| self.copies.admits(slot, self.session)) {
            // The owner goes on with them over another connection.
            self.unkeep(&slots);
            return Err(Why::Old);
        }
        self.kept = self.kept.with(&slots);
        self.reply(&Frame::Confirm { group });
        Ok(())
    }

    /// The owner has gone on with these slots, which is certain when it says so, sends them anew, or new
    /// values of keys in them. An absence says nothing: keys expire and are evicted in fenced slots, too.
    fn unkeep(&mut self, slots: &Ranges) {
        self.kept = self.kept.without(slots);
        self.around.unkeep(self.owner, slots);
    }

    fn clear(&mut self, slots: &Ranges) {
        let (copies, session) = (Arc::clone(&self.copies), self.session);
        let may = move |slot| copies.admits(slot, session);
        role::clear(self.server, &self.handle, slots, may);
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), Why> {
        if self.long.len().saturating_add(bytes.len()) > LONGEST {
            return Err(Why::Malformed);
        }
        self.long.extend_from_slice(bytes);
        Ok(())
    }

    fn entries(&mut self, bytes: &[u8]) -> Result<(), Why> {
        for entry in Entries::new(bytes) {
            let entry = entry.map_err(|_malformed| Why::Malformed)?;
            let then = match entry.head.what {
                What::Value => Some(self.value(&entry)?),
                What::Part => self.part(&entry)?,
                What::Void => Some(Then::Gone),
                What::Library => return Err(Why::Malformed),
            };
            if let Some(then) = then {
                self.staged = None;
                let (name, slot) = (entry.head.key.to_vec(), slot::of(entry.head.key));
                if self.kept.contains(slot) && !matches!(then, Then::Gone) {
                    self.unkeep(&[(slot, slot)].into_iter().collect());
                }
                self.batch.push(State { name, slot, then });
                self.batch_bytes += entry.value.len() + entry.head.key.len();
            }
            if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
                self.store()?;
            }
        }
        Ok(())
    }

    /// When the key of an entry expires; an error: its time is over.
    fn expiry(&self, entry: &Entry<'_>) -> Result<Option<Millis>, Then> {
        let at = entry.head.expire_at.map(|at| self.server.clock.from_wall(at));
        match at.is_some_and(|at| at <= self.server.clock.now()) {
            true => Err(Then::Gone),
            false => Ok(at),
        }
    }

    fn value(&self, entry: &Entry<'_>) -> Result<Then, Why> {
        let expire_at = match self.expiry(entry) {
            Ok(expire_at) => expire_at,
            Err(gone) => return Ok(gone),
        };
        let loaded = self.load(entry)?;
        Ok(match loaded {
            None => Then::Gone,
            Some(object::Loaded::String(bytes)) => Then::Bytes(bytes.into_owned(), expire_at),
            Some(object::Loaded::Object(object)) => Then::Object(object, expire_at),
        })
    }

    fn load<'e>(&self, entry: &Entry<'e>) -> Result<Option<object::Loaded<'e>>, Why> {
        let (kind, body) = entry.value.split_first().ok_or(Why::Malformed)?;
        let value = rdb::read_value(*kind, body).map_err(|_refused| Why::Malformed)?;
        let (now, skew) = (self.server.clock.now(), self.server.clock.skew());
        object::load(value, &self.limits, now, skew).map_err(|_refused| Why::Malformed)
    }

    /// Some members of a collection; with the last of them what becomes of its key.
    fn part(&mut self, entry: &Entry<'_>) -> Result<Option<Then>, Why> {
        let staged = self.staged.take().filter(|staged| staged.name == entry.head.key);
        if entry.value.is_empty() {
            let expire_at = match self.expiry(entry) {
                Ok(expire_at) => expire_at,
                Err(gone) => return Ok(Some(gone)),
            };
            let then = staged.map(|staged| Then::Object(Box::new(staged.object), expire_at));
            return Ok(Some(then.unwrap_or(Then::Gone)));
        }
        self.staged = match staged {
            Some(mut staged) => {
                let (kind, body) = entry.value.split_first().ok_or(Why::Malformed)?;
                let value = rdb::read_value(*kind, body).map_err(|_refused| Why::Malformed)?;
                let (now, skew) = (self.server.clock.now(), self.server.clock.skew());
                object::merge(&mut staged.object, value, &self.limits, now, skew)
                    .map_err(|_refused| Why::Malformed)?;
                Some(staged)
            }
            None => match self.load(entry)? {
                Some(object::Loaded::Object(object)) => {
                    Some(Staged { name: entry.head.key.to_vec(), object: *object })
                }
                Some(object::Loaded::String(_)) => return Err(Why::Malformed),
                None => None,
            },
        };
        Ok(None)
    }

    /// Puts the batch into the keyspace.
    fn store(&mut self) -> Result<(), Why> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.around.stored(batch.len());
        let keyspace = &self.server.keyspace;
        let grows = batch.iter().any(|state| !matches!(state.then, Then::Gone));
        if grows && keyspace.over_limit() && !keyspace.can_evict() {
            return Err(Why::Full);
        }
        let mut shards: BTreeMap<ShardId, Vec<State>> = BTreeMap::new();
        for state in batch {
            shards.entry(keyspace.shard_of_slot(state.slot)).or_default().push(state);
        }
        for (shard, states) in shards {
            let (server, copies, session) = (self.server, Arc::clone(&self.copies), self.session);
            let stored = role::under(server, &self.handle, shard, move |writer| {
                states.into_iter().all(|state| {
                    let admitted = copies.admits(state.slot, session);
                    if admitted {
                        put(server, writer, state);
                    }
                    admitted
                })
            });
            if stored != Some(true) {
                return Err(Why::Old);
            }
        }
        Ok(())
    }
}

fn put(server: &Server, writer: &mut crate::Roles<'_>, state: State) {
    let (key, now) = (server.keyspace.key(&state.name), server.clock.now());
    match state.then {
        Then::Bytes(bytes, expire_at) => {
            writer.put(DB, &key, NewValue::Bytes(&bytes), expire_at, now);
        }
        Then::Object(object, expire_at) => {
            writer.put(DB, &key, NewValue::Object(object), expire_at, now);
        }
        Then::Gone => {
            writer.remove(DB, &key, now);
        }
    }
}
