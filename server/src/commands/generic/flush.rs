//! FLUSHDB, FLUSHALL, SWAPDB: whole databases.
//!
//! Flushing unhooks the tables and returns; the entries are freed in slices. ASYNC and SYNC are
//! therefore the same.

use super::{existing_database, not_in_cluster};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::number;
use dunlin_storage::DbId;

const TIPS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const HISTORY: &[(&str, &str)] = &[
    ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
    ("6.2.0", "Added the `SYNC` flushing mode modifier."),
];
const MODE: &[Arg] = &[Arg::one_of(
    "flush-type",
    &[Arg::flag("async", "ASYNC").since("4.0.0"), Arg::flag("sync", "SYNC").since("6.2.0")],
)
.optional()];

pub(super) const FLUSHDB: Command = Command::new("flushdb", Arity::at_least(1), flushdb)
    .flags(flag_set!(WRITE | ALL_SHARDS))
    .categories(&["keyspace", "dangerous"])
    .tips(TIPS)
    .docs(
        Docs::new(
            Group::Server,
            "1.0.0",
            "O(1); the memory is given back in the background, O(N) in the number of keys.",
            "Removes every key of the selected database.",
        )
        .args(MODE)
        .history(HISTORY),
    );

pub(super) const FLUSHALL: Command = Command::new("flushall", Arity::at_least(1), flushall)
    .flags(flag_set!(WRITE | ALL_SHARDS))
    .categories(&["keyspace", "dangerous"])
    .tips(TIPS)
    .docs(
        Docs::new(
            Group::Server,
            "1.0.0",
            "O(1); the memory is given back in the background, O(N) in the number of keys.",
            "Removes every key of every database.",
        )
        .args(MODE)
        .history(HISTORY),
    );

pub(super) const SWAPDB: Command = Command::new("swapdb", Arity::exactly(3), swapdb)
    .flags(flag_set!(WRITE | FAST | ALL_SHARDS))
    .categories(&["keyspace", "dangerous"])
    .docs(
        Docs::new(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Exchanges two databases: each one's clients see the other's keys at once.",
        )
        .args(&[Arg::integer("index1"), Arg::integer("index2")]),
    );

fn check_mode(call: &Call<'_, '_>) -> Result<(), ReplyError> {
    let known = match call.argc() {
        1 => true,
        2 => call.is(1, "async") || call.is(1, "sync"),
        _ => false,
    };
    if known { Ok(()) } else { Err(error::SYNTAX) }
}

fn flushdb(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    check_mode(call)?;
    call.flush(std::iter::once(call.db()));
    call.reply.ok();
    Ok(Outcome::Done)
}

fn flushall(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    check_mode(call)?;
    call.flush((0..call.keyspace().databases()).map(DbId));
    let has_points = !call.server.settings().save_points.is_empty();
    call.server.snapshots.flushed(has_points);
    call.reply.ok();
    Ok(Outcome::Done)
}

/// An argument that has to be an `int`, with its own error if it is none.
fn index(call: &Call<'_, '_>, at: usize, error: &'static str) -> Result<i32, ReplyError> {
    number::parse_i64(call.arg(at)).and_then(|i| i32::try_from(i).ok()).ok_or(error.into())
}

fn swapdb(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    not_in_cluster(call, "ERR SWAPDB is not allowed in cluster mode")?;
    let first = index(call, 1, "ERR invalid first DB index")?;
    let second = index(call, 2, "ERR invalid second DB index")?;
    let [first, second] = [first, second].map(|i| existing_database(call, i.into()));
    let (Some(first), Some(second)) = (first, second) else {
        return Err(error::DB_RANGE);
    };
    if first != second {
        call.swap(first, second);
    }
    call.reply.ok();
    Ok(Outcome::Done)
}
