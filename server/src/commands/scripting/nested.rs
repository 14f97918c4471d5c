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
use dunlin_protocol::{Decoder, Limits, Reply};
use dunlin_storage::{Guard, KeyHash, Millis, ShardSet};
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
        let Some(mut decoder) = self.decoder.take() else { return };
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

    /// Reads a command line, and looks whether the roles at hand are enough for it: they are those
    /// of the keys that the outer command has named.
    pub(super) fn prepare(
        &mut self,
        entry: &'static Entry,
        args: &[&[u8]],
    ) -> Result<(), ReplyError> {
        let decoder = self.decoder.take().unwrap_or_else(|| Decoder::new(self.limits));
        let decoder = self.decoder.insert(read(decoder, args)?);
        if !entry.has(Flags::WRITE) {
            return Ok(());
        }
        let keyspace = &self.server.keyspace;
        let request = decoder.request(0);
        let held = self.writer.as_deref();
        let holds = |shard| held.is_some_and(|writer| writer.holds(shard));
        let mut holds_all = true;
        if entry.has(Flags::ALL_SHARDS) {
            holds_all = ShardSet::all(keyspace).iter().all(holds);
        } else {
            entry.command.each_key(&request, &mut |at| {
                holds_all &= holds(keyspace.shard_of(keyspace.key(request.arg(at)).hash));
            });
        }
        match holds_all {
            true => Ok(()),
            false => Err("ERR Script attempted to write a key that it has not declared".into()),
        }
    }
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

/// Runs the command that has been prepared.
pub(super) fn run(caller: &mut Caller<'_, '_>, entry: &'static Entry, reply: &mut Reply) {
    let Caller { client, server, stats, now, guard, writer, decoder, .. } = caller;
    let Some(decoder) = decoder else { return };
    let request = decoder.request(0);
    let hash = match entry.shape {
        KeyShape::One(at) => {
            request.get(at).map_or(KeyHash(0), |key| server.keyspace.key(key).hash)
        }
        KeyShape::None | KeyShape::Many | KeyShape::Own => KeyHash(0),
    };
    let began = server.clock.monotonic_ns();
    let mark = reply.mark();
    let denied = std::mem::replace(&mut client.deny_blocking, true);
    client.in_script = true;
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
    client.in_script = false;
    client.deny_blocking = denied;
    if let Some(writer) = writer.as_deref_mut() {
        crate::dispatch::remember(server, client, entry, &request, writer);
    }
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
}
