//! Serving those who wait for keys that have become ready.

use super::queues::{Ready, Seen};
use super::waiter::{WaitedKey, Waiter};
use crate::Roles;
use crate::dispatch::Context;
use crate::runtime::clock::Reading;
use crate::runtime::worker::Worker;
use crate::server::Server;
use crate::session::Turn;
use dunlin_storage::{Entry, Guard, Job, Key, Kind, Object, Value};

/// Serves everybody whom it can of those who wait for keys of the shards that `writer` holds: after
/// the command that may have made them ready, before its roles are free again. What is served may
/// make more keys ready (BLMOVE).
pub(crate) fn serve<'g>(ctx: &Context<'_, 'g>, writer: &mut Roles<'g>) {
    // A transaction may have taken longer than what it has left behind lives.
    let ctx = Context { now: ctx.server.clock.now(), ..*ctx };
    while let Some(ready) = ctx.server.interests.queues.next_ready(writer.shards()) {
        let seen = serve_key(&ctx, writer, &ready);
        ctx.server.interests.queues.served(&ready, seen);
    }
}

/// Serves those who wait for one key, in their order. What they have seen of it, if it is a stream.
fn serve_key<'g>(ctx: &Context<'_, 'g>, writer: &mut Roles<'g>, ready: &Ready) -> Option<Seen> {
    let (server, queues) = (ctx.server, &ctx.server.interests.queues);
    let key = server.keyspace.key(&ready.key);
    let mut ticket = 0;
    let find = |writer: &Roles<'g>, key: &Key<'_>| writer.get(ready.db, key, ctx.now);
    let seen = find(writer, &key).and_then(|entry| look(writer, &entry));
    if seen.is_some_and(|seen| queues.have_seen(ready, seen)) {
        return seen;
    }
    loop {
        let kind = find(writer, &key).map(|entry| entry.kind());
        let Some(waiter) = queues.next_waiter(ready, ticket, kind) else { return seen };
        ticket = waiter.ticket;
        let Some(mut held) = waiter.claim() else { continue };
        let lacks = |shard| !writer.holds(shard);
        if waiter.destination.as_ref().is_some_and(|to| lacks(to.shard)) {
            // The command that made the key ready has named other keys than it changed. The waiter
            // gets the roles it needs at home.
            waiter.finish(held, Turn::Yield);
            continue;
        }
        let before = queues.now();
        let end = held.session.run_again(ctx, writer);
        if waiter.destination.is_none() {
            queues.forget_written(before, writer.shards());
        }
        match end {
            Some(turn) => {
                server.interests.leave_queues(writer, &waiter);
                waiter.finish(held, turn);
            }
            None => waiter.put_back(held),
        }
    }
}

/// Notes how a client that begins to wait for streams has seen them: what adds no entries (XGROUP SETID)
/// does not wake it, as in Redis.
pub(super) fn note_seen(server: &Server, writer: &Roles<'_>, waiter: &Waiter) {
    if waiter.kind != Kind::Stream {
        return;
    }
    let now = server.clock.now();
    for WaitedKey { shard, bytes } in &waiter.keys {
        let entry = writer.get(waiter.db, &server.keyspace.key(bytes), now);
        let seen = entry.and_then(|entry| look(writer, &entry));
        server.interests.queues.saw(*shard, waiter.db, bytes, seen);
    }
}

/// What tells a stream with new entries from one without.
fn look(writer: &Roles<'_>, entry: &Entry<'_>) -> Option<Seen> {
    let Value::Large(Kind::Stream) = entry.value() else { return None };
    let stream = writer.object(entry).and_then(Object::as_stream)?;
    Some((entry.key().as_ptr().addr(), stream.log.last_id()))
}

/// Serves keys that the store itself has made ready: what has expired or was evicted.
pub(crate) struct ServeReady {
    pub(crate) server: &'static Server,
}

impl Job for ServeReady {
    fn run<'g>(self: Box<Self>, writer: &mut Roles<'g>, guard: &'g Guard) {
        let server = self.server;
        let stats = server.stats.worker(Worker::current());
        let Reading { now, monotonic_ns: began } = server.clock.read();
        serve(&Context { server, stats, guard, now, began, pooled: false }, writer);
    }
}
