//! A command inside a command.
//!
//! The inner command gets the outer one's client, time, epoch and roles, its own arguments and its
//! own reply. The arguments are packed as a client would send them and read by a decoder, because
//! that is what a handler knows.

use crate::Roles;
use crate::client::Client;
use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Flags, Outcome};
use crate::commands::table::{Entry, KeyShape};
use crate::server::Server;
use crate::stats::WorkerStats;
use dunlin_protocol::{Decoder, Reply, Request};
use dunlin_storage::{Guard, KeyHash, Millis, ShardSet};

/// What the outer command lends.
pub(super) struct Caller<'c, 'g> {
    pub(super) client: &'c mut Client,
    pub(super) server: &'c Server,
    pub(super) stats: &'c WorkerStats,
    now: Millis,
    guard: &'g Guard,
    writer: Option<&'c mut Roles<'g>>,
    decoder: Decoder,
}

impl<'c, 'g> Caller<'c, 'g> {
    /// Takes a call apart; its own reply is left over.
    pub(super) fn new(call: &'c mut Call<'_, 'g>) -> (Caller<'c, 'g>, &'c mut Reply) {
        let limits = call.server.settings().protocol_limits();
        let caller = Caller {
            client: call.client,
            server: call.server,
            stats: call.stats,
            now: call.now,
            guard: call.guard,
            writer: call.writer.as_deref_mut(),
            decoder: Decoder::new(limits),
        };
        (caller, call.reply)
    }

    /// Whether the roles at hand are enough for a command: they are those of the keys that the
    /// outer command has named.
    pub(super) fn check_keys(
        &mut self,
        entry: &'static Entry,
        args: &[&[u8]],
    ) -> Result<(), ReplyError> {
        if !entry.has(Flags::WRITE) {
            return Ok(());
        }
        let keyspace = &self.server.keyspace;
        let request = parse(&mut self.decoder, args)?;
        let mut shards = Vec::new();
        entry.command.each_key(&request, &mut |at| {
            shards.push(keyspace.shard_of(keyspace.key(request.arg(at)).hash));
        });
        let shards: ShardSet = match entry.has(Flags::ALL_SHARDS) {
            true => ShardSet::all(keyspace),
            false => shards.into_iter().collect(),
        };
        let held = self.writer.as_deref();
        match shards.iter().all(|shard| held.is_some_and(|writer| writer.holds(shard))) {
            true => Ok(()),
            false => Err("ERR Script attempted to write a key that it has not declared".into()),
        }
    }
}

/// Packs a command line and reads it.
fn parse<'d>(decoder: &'d mut Decoder, args: &[&[u8]]) -> Result<Request<'d>, ReplyError> {
    decoder.clear();
    let mut line = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        line.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        line.extend_from_slice(arg);
        line.extend_from_slice(b"\r\n");
    }
    // A decoder takes big arguments chunk by chunk.
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        let room = decoder.read_buf();
        let spare = (room.capacity() - room.len()).max(1).min(rest.len());
        let (part, more) = rest.split_at(spare);
        room.extend_from_slice(part);
        rest = more;
        if decoder.parse(1) == 1 {
            break;
        }
        if let Some(error) = decoder.error() {
            return Err(error.to_string().into());
        }
    }
    if decoder.is_empty() {
        return Err("ERR the arguments of a command in a script cannot be read".into());
    }
    decoder.flatten(0);
    Ok(decoder.request(0))
}

/// Runs a command that has been admitted.
pub(super) fn run(
    caller: &mut Caller<'_, '_>,
    entry: &'static Entry,
    args: &[&[u8]],
    reply: &mut Reply,
) -> Result<(), ReplyError> {
    let Caller { client, server, stats, now, guard, writer, decoder } = caller;
    let request = parse(decoder, args)?;
    let hash = match entry.shape {
        KeyShape::One(at) => {
            request.get(at).map_or(KeyHash(0), |key| server.keyspace.key(key).hash)
        }
        KeyShape::None | KeyShape::Many => KeyHash(0),
    };
    let began = server.clock.monotonic_ns();
    let mark = reply.mark();
    let result = {
        let mut call = Call {
            request,
            reply,
            client,
            server,
            stats,
            entry,
            hash,
            now: *now,
            guard,
            writer: writer.as_deref_mut(),
        };
        (entry.command.handler)(&mut call)
    };
    let nanos = server.clock.monotonic_ns().saturating_sub(began);
    let figures = stats.command(entry.id);
    figures.calls.add(1);
    figures.time(1, nanos, server.latency_tracking());
    match result {
        Ok(Outcome::Done | Outcome::Close) => {}
        // A script does not wait: it gets what the command says at its deadline.
        Ok(Outcome::Block(wait)) => (wait.on_timeout)(reply),
        Err(error) => {
            reply.rollback(mark);
            reply.error(error.text());
            figures.failed.add(1);
            stats.error(error.text());
        }
    }
    Ok(())
}
