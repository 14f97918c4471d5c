//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! What happens in between, and what makes EXEC atomic, is said in [`crate::client::transaction`].

use super::call::Call;
use super::docs::{Arg, Docs, Group};
use super::error::ReplyError;
use super::spec::{Arity, Command, Flags, KeySpec, Outcome};
use crate::client::ReplyMode;
use crate::client::transaction::Transaction;
use crate::dispatch;
use crate::interest;
use std::sync::atomic::Ordering;

pub(super) static COMMANDS: &[Command] = &[MULTI, EXEC, DISCARD, WATCH, UNWATCH];

const FLAGS: Flags = flag_set!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY);

/// Replies of one transaction when `client-output-buffer-limit` sets no limit for normal clients.
/// One whose replies are larger runs to its end, but its connection is closed.
const MAX_REPLIES: u64 = 1 << 30;

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::new(Group::Transactions, since, complexity, summary)
}

const MULTI: Command = Command::new("multi", Arity::exactly(1), multi)
    .flags(FLAGS.with(Flags::UNQUEUED))
    .docs(docs("1.2.0", "O(1)", "Begins a transaction: the commands that follow wait for EXEC."));

fn multi(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if !call.client.begin_transaction() {
        return Err("ERR MULTI calls can not be nested".into());
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

const DISCARD: Command = Command::new("discard", Arity::exactly(1), discard)
    .flags(FLAGS.with(flag_set!(UNQUEUED | UNWATCHES)))
    .docs(docs(
        "2.0.0",
        "O(N), when N is the number of queued commands",
        "Gives up a transaction and forgets its commands.",
    ));

fn discard(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.client.transaction().is_none() {
        return Err("ERR DISCARD without MULTI".into());
    }
    unwatch_all(call)?;
    call.client.end_transaction();
    call.reply.ok();
    Ok(Outcome::Done)
}

const EXEC: Command = Command::new("exec", Arity::exactly(1), exec)
    .flags(flag_set!(NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | UNQUEUED | UNWATCHES | EXEC))
    .docs(docs(
        "1.2.0",
        "Depends on commands in the transaction",
        "Runs all commands of a transaction at one instant.",
    ));

fn exec(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.client.transaction().is_none() {
        return Err("ERR EXEC without MULTI".into());
    }
    let changed = interest::is_dirty(call);
    unwatch_all(call)?;
    let Some(transaction) = call.client.take_transaction() else { return Ok(Outcome::Done) };
    let outcome = if transaction.has_failed() {
        Err("EXECABORT Transaction discarded because of previous errors.".into())
    } else if changed {
        call.reply.null_array();
        Ok(Outcome::Done)
    } else {
        Ok(run(call, &transaction))
    };
    call.client.end_transaction();
    outcome
}

/// Runs the commands and answers with all their replies.
fn run(call: &mut Call<'_, '_>, transaction: &Transaction) -> Outcome {
    if let Some(roles) = call.writer.as_deref_mut() {
        roles.make_atomic();
    }
    let answers = call.client.reply_mode == ReplyMode::On;
    if answers {
        call.reply.array(transaction.len());
    }
    let limit = match call.server.output_limit(call.client.shared.kind()) {
        0 => MAX_REPLIES,
        limit => limit,
    };
    let mut outcome = Outcome::Done;
    call.client.deny_blocking = true;
    let ctx = call.context();
    let mut timing = dispatch::Run::start(&ctx);
    for (prepared, request) in transaction.commands() {
        let mark = call.reply.mark();
        let step = dispatch::execute_queued(&ctx, call, &mut timing, prepared, request);
        if matches!(step, dispatch::Step::Close) {
            outcome = Outcome::Close;
        }
        if call.reply.pending() as u64 > limit {
            call.reply.rollback(mark);
            call.client.shared.kill.store(true, Ordering::Release);
        }
    }
    timing.finish(&ctx);
    (call.client.deny_blocking, call.client.instant_us) = (false, None);
    if answers && call.client.reply_mode == ReplyMode::SkipNext {
        // A CLIENT REPLY SKIP among the commands means the one that follows EXEC.
        call.client.reply_mode = ReplyMode::Skip;
    }
    outcome
}

const WATCH: Command = Command::new("watch", Arity::at_least(2), watch)
    .flags(FLAGS.with(Flags::UNQUEUED))
    .keys(&[KeySpec::span(1, -1, 1).look()])
    .docs(
        docs(
            "2.2.0",
            "O(1) for every key.",
            "Lets EXEC run only if keys have not changed until then.",
        )
        .args(&[Arg::key("key", 0).multiple()]),
    );

fn watch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.client.transaction().is_some() {
        return Err("ERR WATCH inside MULTI is not allowed".into());
    }
    for i in 1..call.argc() {
        interest::watch(call, &call.key(i))?;
    }
    call.client.show_watched();
    call.reply.ok();
    Ok(Outcome::Done)
}

const UNWATCH: Command = Command::new("unwatch", Arity::exactly(1), unwatch)
    .flags(FLAGS.with(Flags::UNWATCHES))
    .docs(docs("2.2.0", "O(1)", "Forgets all keys that are watched."));

fn unwatch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    unwatch_all(call)?;
    call.reply.ok();
    Ok(Outcome::Done)
}

fn unwatch_all(call: &mut Call<'_, '_>) -> Result<(), ReplyError> {
    interest::unwatch(call)?;
    call.client.show_watched();
    Ok(())
}
