//! A command inside a command.
//!
//! The inner command gets the outer one's client, time, epoch and roles, its own arguments and its
//! own reply. The arguments are packed as a client would send them and read by a decoder, because
//! that is what a handler knows; dispatch runs them like any others.

use crate::Roles;
use crate::client::Client;
use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::table::{Entry, KeyShape};
use crate::dispatch::{self, Context, Step};
use crate::server::Server;
use crate::stats::WorkerStats;
use dunlin_protocol::{Decoder, Limits, Reply, Request};
use dunlin_storage::{Guard, KeyHash, Millis, ShardId, ShardSet};
use std::cell::Cell;

/// What the outer command lends.
pub(super) struct Caller<'c, 'g> {
    pub(super) client: &'c mut Client,
    pub(super) server: &'g Server,
    pub(super) stats: &'c WorkerStats,
    now: Millis,
    guard: &'g Guard,
    writer: Option<&'c mut Roles<'g>>,
    limits: Limits,
    /// `None` after a command line that could not be read: what is left of it must not be read on.
    decoder: Option<Decoder>,
}

thread_local! {
    /// The decoder of the last run, for the next one.
    static DECODER: Cell<Option<Decoder>> = const { Cell::new(None) };
}

/// Room that the decoder keeps between runs.
const KEPT_ROOM: usize = 64 * 1024;

impl Drop for Caller<'_, '_> {
    fn drop(&mut self) {
        // What has panicked may have left it in any state.
        let decoder = self.decoder.take().filter(|_| !std::thread::panicking());
        let Some(mut decoder) = decoder else { return };
        decoder.clear();
        if decoder.capacity() > KEPT_ROOM {
            decoder.shrink();
        }
        DECODER.set(Some(decoder));
    }
}

impl<'c, 'g> Caller<'c, 'g> {
    /// Takes a call apart; its own reply is left over.
    pub(super) fn new(call: &'c mut Call<'_, 'g>) -> (Caller<'c, 'g>, &'c mut Reply) {
        let limits = call.server.settings().protocol_limits();
        let mut decoder = DECODER.take().unwrap_or_else(|| Decoder::new(limits));
        decoder.set_limits(limits);
        let caller = Caller {
            client: call.client,
            server: call.server,
            stats: call.stats,
            now: call.now,
            guard: call.guard,
            writer: call.writer.as_deref_mut(),
            limits,
            decoder: Some(decoder),
        };
        (caller, call.reply)
    }

    /// Reads a command line.
    pub(super) fn read(&mut self, args: &[&[u8]]) -> Result<(), ReplyError> {
        let decoder = self.decoder.take().unwrap_or_else(|| Decoder::new(self.limits));
        self.decoder = Some(read(decoder, args)?);
        Ok(())
    }

    /// The command line that was read.
    pub(super) fn request(&self) -> Option<Request<'_>> {
        self.decoder.as_ref().map(|decoder| decoder.request(0))
    }

    /// The turn's surroundings, for something that begins now.
    pub(super) fn context(&self) -> Context<'c, 'g> {
        let Caller { server, stats, guard, now, .. } = *self;
        Context { server, stats, guard, now, began: server.clock.monotonic_ns(), pooled: false }
    }

    /// The shards that the command line touches.
    pub(super) fn touches(&self, entry: &Entry) -> ShardSet {
        let Some(request) = self.request() else { return std::iter::empty().collect() };
        let hash = hash_of(self.server, entry, request);
        dispatch::shards_to_see(&self.context(), entry, hash, request, self.client.db)
    }

    /// Whether the roles of these shards are at hand now: missing ones are taken if they are free,
    /// in so many tries.
    pub(super) fn enter(&mut self, shards: &ShardSet, tries: u32) -> bool {
        let Some(writer) = self.writer.as_deref_mut() else { return shards.is_empty() };
        shards.iter().all(|shard| try_to_extend(writer, shard, tries))
    }

    /// Runs the command line; false: it needs roles that it was not given.
    pub(super) fn run(
        &mut self,
        entry: &'static Entry,
        with_roles: bool,
        reply: &mut Reply,
    ) -> bool {
        let ctx = self.context();
        let Caller { client, server, writer, decoder, .. } = self;
        let Some(decoder) = decoder else { return true };
        let request = decoder.request(0);
        let hash = hash_of(server, entry, request);
        let writer = writer.as_deref_mut().filter(|_| with_roles);
        let step = dispatch::execute_called(&ctx, writer, entry, hash, request, reply, client);
        !matches!(step, Step::NeedsRole)
    }
}

/// The hash of a command line's key, if it has exactly one.
fn hash_of(server: &Server, entry: &Entry, request: Request<'_>) -> KeyHash {
    let key = match entry.shape {
        KeyShape::One(at) => request.get(at),
        KeyShape::None | KeyShape::Many | KeyShape::Script | KeyShape::Own => None,
    };
    key.map_or(KeyHash(0), |key| server.keyspace.key(key).hash)
}

/// Tries after which others are let run: the holder of a role may be one of them.
const SPINS: u32 = 16;

fn try_to_extend(writer: &mut Roles<'_>, shard: ShardId, tries: u32) -> bool {
    (0..tries).any(|n| {
        if n > SPINS {
            std::thread::yield_now();
        }
        writer.try_extend(shard)
    })
}

/// The decoder with this as its only command.
fn read(mut decoder: Decoder, args: &[&[u8]]) -> Result<Decoder, ReplyError> {
    decoder.clear();
    feed_header(&mut decoder, b'*', args.len());
    for arg in args {
        feed_header(&mut decoder, b'$', arg.len());
        feed(&mut decoder, arg);
        feed(&mut decoder, b"\r\n");
    }
    if decoder.parse(1) != 1 {
        let error = decoder.error().map(|error| error.to_string());
        return Err(error.unwrap_or_else(|| "ERR an argument cannot be read".into()).into());
    }
    decoder.flatten(0);
    Ok(decoder)
}

fn feed_header(decoder: &mut Decoder, kind: u8, count: usize) {
    let mut text = itoa::Buffer::new();
    feed(decoder, &[kind]);
    feed(decoder, text.format(count).as_bytes());
    feed(decoder, b"\r\n");
}

/// Gives bytes to a decoder. What does not fit is read first: a big argument has chunks of its own.
fn feed(decoder: &mut Decoder, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let room = decoder.read_buf();
        let spare = room.capacity() - room.len();
        if rest.len() <= spare {
            room.extend_from_slice(rest);
            return;
        }
        let (part, more) = rest.split_at(spare);
        room.extend_from_slice(part);
        rest = more;
        decoder.parse(1);
        if decoder.error().is_some() {
            return;
        }
    }
}
