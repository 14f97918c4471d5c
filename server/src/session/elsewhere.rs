//! What runs apart from a turn: a command that was handed over to the holder of its roles or brought to
//! the pool, and one that waits (see [`crate::blocking`]).

use super::{Session, Turn, has_lease};
use crate::Roles;
use crate::blocking::End;
use crate::dispatch::{self, Context, Step};
use crate::overload::dear::{self, Forecast};
use crate::server::Server;
use crate::stats::WorkerStats;
use dunlin_protocol::Reply;
use dunlin_storage::ShardSet;

/// A dear command that costs less than this may begin in front of a worker that goes on.
const SHORT_MICROS: u64 = 250;

/// CLIENT UNBLOCK ... ERROR.
const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

impl Session {
    /// Runs the command that waited for roles, with `writer`, and those which follow it as long as
    /// they need no other role. Returns how the connection goes on.
    pub(crate) fn run_handed_over<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        if !self.client.follow(&ctx.server.acl) {
            return Some(Turn::Close);
        }
        let lasted = has_lease(ctx);
        let mut run = dispatch::Run::start(ctx);
        let mut end = None;
        while end.is_none() && self.next < self.decoder.len() {
            let prepared = self.prepared[self.next];
            let request = self.decoder.request(self.next);
            if !dispatch::runs_with(ctx, writer, prepared, request, &self.client) {
                break;
            }
            end = self.step_held(ctx, &mut run, writer);
        }
        let nanos = run.finish(ctx);
        self.check_lease(ctx, lasted, nanos);
        end
    }

    /// Runs the command that was brought to the pool, with its roles. Nothing else: others may wait for
    /// them. `None`: they are not those that it needs any more.
    pub(crate) fn run_pooled<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        if !self.client.follow(&ctx.server.acl) {
            return Some(Turn::Close);
        }
        let entry = self.prepared[self.next].entry?;
        if !dispatch::fits(ctx, writer, entry, self.current(), &self.client) {
            return None;
        }
        let lasted = has_lease(ctx);
        let mut run = dispatch::Run::start(ctx);
        let end = self.step_held(ctx, &mut run, writer);
        let nanos = run.finish(ctx);
        self.check_lease(ctx, lasted, nanos);
        end
    }

    /// Runs one command with roles that are held. `Some`: the thread that holds them has to leave it at
    /// that.
    fn step_held<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        run: &mut dispatch::Run,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        let (first, prepared) = (self.next, self.prepared[self.next]);
        let (_, sample) = self.plan(ctx, 1);
        let request = self.decoder.request(self.next);
        let (reply, client) = (&mut self.reply, &mut self.client);
        match dispatch::execute_held(ctx, run, writer, prepared, request, reply, client) {
            Step::Done => {
                self.advance();
                self.account(ctx, first, sample);
                self.client.collect(&mut self.reply);
                None
            }
            Step::Close => {
                self.advance();
                Some(Turn::Close)
            }
            Step::Block => Some(Turn::Block),
            Step::Paused(until) => Some(Turn::Paused(until)),
            Step::Handover(shards) => Some(Turn::Handover(shards)),
            Step::Pool(shards) => Some(Turn::Pool(shards)),
            // The roles of the keys that its row names are not enough for it.
            Step::NeedsRole => {
                let all = ShardSet::all(&ctx.server.keyspace);
                Some(if ctx.pooled { Turn::Pool(all) } else { Turn::Handover(all) })
            }
            // At home it is sent to the pool.
            Step::NeedsTime => Some(Turn::Yield),
        }
    }

    /// Whether the next command, which is to run on the pool, has to pass the gate of dear commands.
    pub(crate) fn is_dear(&self) -> bool {
        let next = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        next.is_some_and(|entry| entry.may_be_dear(&self.current()))
    }

    /// Whether that is over soon, as far as it is known.
    pub(crate) fn is_short(&self, server: &Server) -> bool {
        let next = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        next.is_some_and(|entry| {
            let db = self.client.db;
            match server.overload.forecast(server, entry, self.current(), db) {
                Forecast::Dear(micros) => (1..SHORT_MICROS).contains(&micros),
                Forecast::Cheap | Forecast::Suspect => true,
            }
        })
    }

    /// The gate has turned the next command away.
    pub(crate) fn turn_away(&mut self, stats: &WorkerStats) {
        let entry = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        dispatch::turn_away(stats, entry, &dear::SHED, &mut self.reply, &mut self.client);
        self.advance();
    }

    /// Whether the next command is to be told that a script keeps it waiting.
    pub(crate) fn gives_way(&self) -> bool {
        let next = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        next.is_some_and(|entry| dispatch::gives_way(entry, &self.client))
    }

    /// Runs the command that waits once more, with the role of a key that it waits for. How the
    /// connection goes on; `None`: the command still waits.
    pub(crate) fn run_again<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        if !self.client.follow(&ctx.server.acl) {
            return Some(Turn::Close);
        }
        // Its time is not that of the command that has woken it.
        let ctx = &Context { began: ctx.server.clock.monotonic_ns(), ..*ctx };
        let lasted = has_lease(ctx);
        let mut run = dispatch::Run::start(ctx);
        let prepared = self.prepared[self.next];
        let request = self.decoder.request(self.next);
        let messages = self.client.shared.inbox.count();
        let (reply, client) = (&mut self.reply, &mut self.client);
        let step = dispatch::execute_again(ctx, &mut run, writer, prepared, request, reply, client);
        let nanos = run.finish(ctx);
        self.check_lease(ctx, lasted, nanos);
        match step {
            Step::Block => None,
            Step::Done => {
                self.enclose(messages);
                self.end_wait();
                Some(Turn::Yield)
            }
            Step::Close => {
                self.enclose(messages);
                self.end_wait();
                Some(Turn::Close)
            }
            // It runs again at home.
            Step::Paused(until) => Some(Turn::Paused(until)),
            Step::Handover(_) | Step::Pool(_) | Step::NeedsRole | Step::NeedsTime => {
                Some(Turn::Yield)
            }
        }
    }

    /// Ends the command that waits, which has not run again; how the connection goes on.
    pub(crate) fn give_up(&mut self, end: End, stats: &WorkerStats) -> Turn {
        let Some(wait) = self.client.wait.as_ref() else { return Turn::Yield };
        let on_timeout = wait.on_timeout;
        let stats_of = self.prepared[self.next].entry.map(|entry| stats.command(entry.id));
        let mark = self.reply.mark();
        match end {
            End::Ran(turn) => return turn,
            End::Closed => return Turn::Close,
            End::Timeout => on_timeout(&mut self.reply),
            End::Unblocked => {
                self.reply.error(UNBLOCKED);
                stats.error(UNBLOCKED.as_bytes());
                if let Some(stats) = stats_of {
                    stats.failed.add(1);
                }
            }
        }
        if let Some(stats) = stats_of {
            stats.calls.add(1);
        }
        self.client.silence(&mut self.reply, mark);
        self.end_wait();
        Turn::Yield
    }

    /// Puts the messages that came before the command ran in front of its reply, and those which it
    /// has caused behind it.
    fn enclose(&mut self, before: usize) {
        if before > 0 {
            let mut earlier = Reply::new(self.reply.proto());
            self.client.shared.inbox.drain_first(before, &mut earlier);
            self.put_reply_before(earlier);
        }
        self.client.collect(&mut self.reply);
    }

    fn end_wait(&mut self) {
        self.client.wait = None;
        self.advance();
    }

    /// A command has run that is not counted with the others of its batch.
    fn advance(&mut self) {
        self.next += 1;
        self.client.shared.commands.add(1);
    }
}
