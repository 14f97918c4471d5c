//! Work under the role of a shard, for threads that are no workers.

use crate::Roles;
use crate::cluster::stream::ranges::Ranges;
use crate::runtime::pool;
use crate::runtime::worker::Worker;
use crate::server::Server;
use dunlin_storage::{Guard, Handle, Job, ShardId, ShardSet, SlotSet, scheduling};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Whoever holds a role runs what others have left in its queue, and counts it where its number says. All
/// threads of the cluster share one number, so one at a time does that.
static TURN: Mutex<()> = Mutex::new(());

/// Buckets that are cleared under one role.
const BUCKETS: usize = 64;

/// The calling thread is one of the cluster's.
pub(in crate::cluster) fn enter(server: &Server) {
    // Whoever has begun it has short slices.
    let _ = scheduling::ask_for_usual_slices();
    Worker::set_current(server.workers + pool::THREADS);
}

struct Visit<W, R> {
    work: W,
    result: SyncSender<R>,
}

impl<W, R> Job for Visit<W, R>
where
    W: FnOnce(&mut Roles<'_>) -> R + Send,
    R: Send,
{
    fn run<'g>(self: Box<Self>, writer: &mut Roles<'g>, _guard: &'g Guard) {
        let Visit { work, result } = *self;
        // There is room for one.
        let _ = result.send(work(writer));
    }
}

/// Runs `work` under the role of a shard: here, or where the role is now. Waits for it. None: it was
/// lost in a panic.
pub(in crate::cluster) fn under<R: Send + 'static>(
    server: &'static Server,
    handle: &Handle,
    shard: ShardId,
    work: impl FnOnce(&mut Roles<'_>) -> R + Send + 'static,
) -> Option<R> {
    let (sender, result) = sync_channel(1);
    {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let keyspace = &server.keyspace;
        let visit = Box::new(Visit { work, result: sender });
        keyspace.submit(ShardSet::one(shard), visit, &handle.pin());
        for shard in keyspace.take_leftovers() {
            while keyspace.drain(shard, &handle.pin()) {}
        }
        server.tracker().broadcast();
    }
    result.recv().ok()
}

/// Has all changes in the shards of these slots told from here on.
pub(in crate::cluster) fn observe(server: &'static Server, handle: &Handle, slots: &Ranges) {
    let shards: ShardSet = slots.slots().map(|slot| server.keyspace.shard_of_slot(slot)).collect();
    for shard in shards.iter() {
        under(server, handle, shard, move |writer| server.interests.observe(writer, shard));
    }
}

/// Removes the keys of these slots, as far as `may` allows when it comes to them.
pub(in crate::cluster) fn clear(
    server: &'static Server,
    handle: &Handle,
    slots: &Ranges,
    may: impl Fn(u16) -> bool + Clone + Send + 'static,
) {
    for shard in (0..server.keyspace.shards()).map(|shard| ShardId(shard as u16)) {
        let here = |slot: &u16| server.keyspace.shard_of_slot(*slot) == shard;
        let has_keys = |slot: &u16| server.keyspace.keys_in_slot(*slot) > 0;
        let mine: Vec<u16> = slots.slots().filter(here).filter(has_keys).collect();
        let mut position = (!mine.is_empty()).then_some(0);
        while let Some(from) = position {
            let (mine, may) = (mine.clone(), may.clone());
            let cleared = under(server, handle, shard, move |writer| {
                let allowed: SlotSet = mine.into_iter().filter(|slot| may(*slot)).collect();
                writer.clear_slots(shard, &allowed, from, BUCKETS)
            });
            position = cleared.and_then(|(_, next)| next);
        }
    }
}
