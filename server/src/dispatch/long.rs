//! Scripts, dear commands, and what else may take long: what runs here, and what goes to the pool.

use super::{Context, Env, Step, shards_of};
use crate::Roles;
use crate::client::Client;
use crate::commands::scripting::{self, Outlook};
use crate::commands::spec::Flags;
use crate::commands::table::{Entry, KeyShape};
use crate::overload::dear::Forecast;
use dunlin_protocol::Request;
use dunlin_storage::{DbId, ShardSet};
use std::sync::atomic::Ordering;

/// Whether a command may take so long that it has to run on the pool.
pub(super) fn takes_long(
    ctx: &Context<'_, '_>,
    entry: &Entry,
    request: Request<'_>,
    client: &Client,
) -> bool {
    match entry.shape {
        KeyShape::Script => scripting::outlook(ctx.server, entry, request).takes_long,
        KeyShape::Own => entry.has(Flags::EXEC) && transaction_takes_long(ctx, client),
        KeyShape::None if entry.has(Flags::LONG) || is_slow_flush(ctx, entry) => true,
        KeyShape::None | KeyShape::One(_) | KeyShape::Many => {
            matches!(forecast(ctx, entry, request, client.db), Forecast::Dear(_))
        }
    }
}

/// Keys that FLUSHALL may remove one by one in front of others: some milliseconds.
const FLUSHED_AT_ONCE: u64 = 20_000;

/// Whether it is a FLUSHALL or FLUSHDB that cannot drop tables as a whole, because there are copies of
/// other nodes' keys in them.
pub(super) fn is_slow_flush(ctx: &Context<'_, '_>, entry: &Entry) -> bool {
    entry.has(Flags::ALL_SHARDS) && ctx.server.cluster.is_some() && {
        let keyspace = &ctx.server.keyspace;
        keyspace.len(DbId(0)) > FLUSHED_AT_ONCE && keyspace.hidden_keys() > 0
    }
}

/// Whether a command will be dear (see [`crate::overload::dear`]).
#[inline]
fn forecast(ctx: &Context<'_, '_>, entry: &Entry, request: Request<'_>, db: DbId) -> Forecast {
    match entry.may_be_dear(&request) {
        true => ctx.server.overload.forecast(ctx.server, entry, request, db),
        false => Forecast::Cheap,
    }
}

fn transaction_takes_long(ctx: &Context<'_, '_>, client: &Client) -> bool {
    client.transaction().is_some_and(|transaction| {
        transaction.commands().any(|(prepared, request)| {
            prepared.entry.is_some_and(|entry| takes_long(ctx, entry, request, client))
        })
    })
}

/// Whether roles that were brought to the pool for a command are still those that it needs.
pub(crate) fn fits(
    ctx: &Context<'_, '_>,
    writer: &Roles<'_>,
    entry: &Entry,
    request: Request<'_>,
    client: &Client,
) -> bool {
    let shards = match entry.shape {
        KeyShape::Script => shards_of_script(ctx, entry, request, client.db),
        KeyShape::Own => client.own_shards(entry),
        KeyShape::None => return true,
        KeyShape::One(_) | KeyShape::Many => shards_of(ctx, entry, request, client.db),
    };
    shards.iter().all(|shard| writer.holds(shard))
}

/// Whether a command is refused while a script that takes its time holds its shards; others wait. So
/// does an EXEC that ends watches: that takes the roles of their shards.
pub(crate) fn gives_way(entry: &Entry, client: &Client) -> bool {
    !entry.has(Flags::ALLOW_BUSY) && (entry.shape != KeyShape::Own || !client.is_watching())
}

/// The shards that a script needs: all, unless it is known to keep to its keys.
pub(super) fn shards_of_script(
    ctx: &Context<'_, '_>,
    entry: &Entry,
    request: Request<'_>,
    db: DbId,
) -> ShardSet {
    shards_for(ctx, scripting::outlook(ctx.server, entry, request), entry, request, db)
}

fn shards_for(
    ctx: &Context<'_, '_>,
    outlook: Outlook,
    entry: &Entry,
    request: Request<'_>,
    db: DbId,
) -> ShardSet {
    match outlook.keeps_to_its_keys {
        true => shards_of(ctx, entry, request, db),
        false => ShardSet::all(&ctx.server.keyspace),
    }
}

impl<'g> Env<'_, '_, 'g> {
    /// Runs a script here if it is known to be cheap.
    #[inline(never)]
    pub(super) fn run_script(&mut self, held: &mut Option<Roles<'g>>) -> Step {
        *held = None;
        let (ctx, entry, request, db) = (self.ctx, self.entry, self.request, self.client.db);
        let outlook = scripting::outlook(ctx.server, entry, request);
        // With no key it runs under no role, and may still find that it needs some.
        let shards = shards_for(ctx, outlook, entry, request, db);
        if outlook.takes_long {
            return self.send_to_pool(shards);
        }
        let mark = self.reply.mark();
        let mut step = self.with_roles(held, shards);
        if matches!(step, Step::NeedsTime) {
            // It was cheap until now.
            self.undo(mark);
            *held = None;
            step = self.send_to_pool(shards_of_script(ctx, entry, request, db));
        }
        self.client.settle();
        step
    }

    /// Sends a command to the pool that may be dear, if it will be.
    #[inline(never)]
    pub(super) fn run_if_dear(&mut self, held: &mut Option<Roles<'g>>) -> Option<Step> {
        let (ctx, entry, request, db) = (self.ctx, self.entry, self.request, self.client.db);
        let forecast = forecast(ctx, entry, request, db);
        self.run.measure_processor(forecast == Forecast::Suspect);
        if !matches!(forecast, Forecast::Dear(_)) {
            return None;
        }
        *held = None;
        let shards = match entry.shape {
            KeyShape::None => std::iter::empty().collect(),
            _ => shards_of(ctx, entry, request, db),
        };
        Some(self.send_to_pool(shards))
    }

    /// Lets the command run on the pool, unless it would have to wait for a script that takes its time.
    pub(super) fn send_to_pool(&mut self, shards: ShardSet) -> Step {
        self.client.shared.last_command.store(u32::from(self.entry.id) + 1, Ordering::Relaxed);
        match self.hand_over(shards) {
            Step::Handover(shards) => Step::Pool(shards),
            refused => refused,
        }
    }
}
