//! Commands of clients that track keys (see [`crate::tracking`]).

use super::{Env, Step, shards_of};
use crate::Roles;
use crate::client::Client;
use crate::commands::spec::Flags;
use crate::commands::table::{Entry, KeyShape};
use crate::server::Server;
use dunlin_protocol::Request;
use dunlin_storage::ShardSet;

impl<'g> Env<'_, '_, 'g> {
    /// As [`Env::run_with_roles`], for a client that tracks keys: takes the roles of what it reads.
    #[cold]
    pub(super) fn track(&mut self, held: &mut Option<Roles<'g>>) -> Step {
        // Whoever has left something with the holder of these roles has caused it himself.
        *held = None;
        if self.entry.may_be_dear(&self.request)
            && let Some(step) = self.run_if_dear(held)
        {
            return step;
        }
        self.client.collect(self.reply);
        let running = self.ctx.server.tracker().running(&self.client.shared);
        let shards = self.remembered_shards();
        let step = match shards.is_empty() {
            true => self.run_with_roles(held),
            false => self.with_roles(held, shards),
        };
        drop(running);
        if !matches!(step, Step::Handover(_) | Step::Pool(_)) {
            self.tracked(held.as_mut());
        }
        step
    }

    /// As [`Env::track`], with roles that were taken for the command.
    #[cold]
    pub(super) fn track_held(&mut self, writer: &mut Roles<'g>) -> Step {
        let mark = self.reply.mark();
        let running = self.ctx.server.tracker().running(&self.client.shared);
        let step = self.run_held(writer);
        drop(running);
        if matches!(step, Step::NeedsRole | Step::NeedsTime) {
            self.undo(mark);
            return step;
        }
        self.tracked(Some(writer));
        step
    }

    /// As [`Env::track_held`], for a command that has waited.
    pub(super) fn track_again(&mut self, writer: &mut Roles<'g>) -> Step {
        let running = self.ctx.server.tracker().running(&self.client.shared);
        let step = self.run(Some(writer));
        drop(running);
        self.tracked(Some(writer));
        step
    }

    /// The command has run.
    fn tracked(&mut self, mut writer: Option<&mut Roles<'g>>) {
        if self.ctx.guard.take_expired() {
            self.bury(writer.as_deref_mut());
        }
        if let Some(writer) = writer {
            remember(self.ctx.server, self.client, self.entry, &self.request, writer);
        }
        let in_transaction = self.client.transaction().is_some();
        self.client.tracking.command_done(Some(self.entry), in_transaction);
        self.tell_misses();
    }

    /// The shards of the keys that are to be remembered; none if the command reads none.
    fn remembered_shards(&self) -> ShardSet {
        match self.entry.shape {
            _ if !self.client.tracking.remembers(self.entry) => std::iter::empty().collect(),
            KeyShape::One(at) if self.request.get(at).is_some() => {
                ShardSet::one(self.ctx.server.keyspace.shard_of(self.hash))
            }
            KeyShape::Many => shards_of(self.ctx, self.entry, self.request, self.client.db),
            KeyShape::None | KeyShape::One(_) | KeyShape::Own | KeyShape::Script => {
                std::iter::empty().collect()
            }
        }
    }
}

impl<'g> Env<'_, '_, 'g> {
    /// Takes away the keys of a command whose time was over: under the roles that are held for it, or,
    /// after a read without any, unless they are taken: then the expiry walk does.
    #[cold]
    pub(super) fn bury(&self, held: Option<&mut Roles<'g>>) {
        if let Some(roles) = held {
            self.bury_held(roles);
            return;
        }
        let (server, db, now) = (self.ctx.server, self.client.db, self.ctx.now);
        if self.entry.has(Flags::WRITE) || server.pause.blocks(true, now).is_some() {
            return;
        }
        self.entry.command.each_key(&self.request, &mut |at| {
            let key = server.keyspace.key(self.request.arg(at));
            server.keyspace.bury(db, &key, now, self.ctx.guard);
        });
    }

    /// As [`Env::bury`], inside of something bigger, too: no role is given back, so nothing runs that is
    /// queued for it.
    #[cold]
    pub(super) fn bury_held(&self, roles: &mut Roles<'g>) {
        let (server, db, now) = (self.ctx.server, self.client.db, self.ctx.now);
        let uses_keys = self.entry.command.flags.any(flag_set!(READONLY | WRITE));
        if !uses_keys || server.pause.blocks(true, now).is_some() {
            return;
        }
        self.entry.command.each_key(&self.request, &mut |at| {
            let key = server.keyspace.key(self.request.arg(at));
            if roles.holds(server.keyspace.shard_of(key.hash)) {
                roles.bury(db, &key, now);
            }
        });
    }
}

/// Notes that a client has read the keys of a command, if it tracks what it reads. `writer` holds the
/// roles under which they were read.
pub(crate) fn remember(
    server: &Server,
    client: &Client,
    entry: &Entry,
    request: &Request<'_>,
    writer: &mut Roles<'_>,
) {
    if !client.tracking.remembers(entry) {
        return;
    }
    entry.command.each_key(request, &mut |at| {
        let key = server.keyspace.key(request.arg(at));
        let shard = server.keyspace.shard_of(key.hash);
        if writer.holds(shard) {
            server.tracker().remember(writer, shard, &key, &client.shared);
        }
    });
}
