//! DEBUG RELOAD: a snapshot is written, the keys go, and come back from the file. What it does is
//! [`crate::snapshot`]'s.

use crate::blocking::{Meanwhile, Wait};
use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::spec::Outcome;
use crate::snapshot::Reload;
use dunlin_storage::DbId;

const BAD_OPTION: ReplyError =
    ReplyError::new("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
const FAILED: ReplyError =
    ReplyError::new("ERR Error trying to load the RDB dump, check server logs.");
const IN_PROGRESS: ReplyError = ReplyError::new("ERR Background save already in progress");
const IN_TRANSACTION: ReplyError =
    ReplyError::new("ERR DEBUG RELOAD is not executed in transactions");
const IN_CLUSTER: ReplyError =
    ReplyError::new("ERR DEBUG RELOAD: a node of a cluster reads no file");

pub(super) fn run(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let how = options(call)?;
    let meanwhile = call.client.wait.as_ref().and_then(|wait| wait.meanwhile.clone());
    let job = match meanwhile {
        Some(Meanwhile::Snapshot(job)) => job,
        _ if call.client.deny_blocking => return Err(IN_TRANSACTION),
        _ if call.server.cluster.is_some() => return Err(IN_CLUSTER),
        _ => {
            let request = call.server.snapshots.request_reload(how, call.now);
            request.map_err(|_in_progress| IN_PROGRESS)?
        }
    };
    match job.outcome() {
        Some(Ok(())) => call.reply.ok(),
        Some(Err(_logged)) => return Err(FAILED),
        None => {
            let meanwhile = Some(Meanwhile::Snapshot(job));
            let on_timeout = |reply: &mut dunlin_protocol::Reply| {
                reply.error("ERR The keys are read again without this client");
            };
            return Ok(Outcome::Block(Wait { deadline: None, on_timeout, on: None, meanwhile }));
        }
    }
    Ok(Outcome::Done)
}

fn options(call: &Call<'_, '_>) -> Result<Reload, ReplyError> {
    let (mut how, mut merge) = (Reload { save: true, flush: true }, false);
    for i in 2..call.argc() {
        match () {
            () if call.is(i, "MERGE") => merge = true,
            () if call.is(i, "NOFLUSH") => how.flush = false,
            () if call.is(i, "NOSAVE") => how.save = false,
            () => return Err(BAD_OPTION),
        }
    }
    let keyspace = call.keyspace();
    let is_empty = (0..keyspace.databases()).all(|db| keyspace.len(DbId(db)) == 0);
    if !how.flush && !merge && !is_empty {
        tracing::error!("DEBUG RELOAD NOFLUSH without MERGE: the keys exist already");
        return Err(FAILED);
    }
    Ok(how)
}
