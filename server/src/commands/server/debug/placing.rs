//! DEBUG MOVE-CLIENT: what balancing does, at a moment that a test chooses.

use crate::commands::call::Call;
use crate::commands::error::{NOT_INTEGER, ReplyError};
use crate::commands::spec::Outcome;
use dunlin_protocol::number;

const NO_CLIENT: ReplyError = ReplyError::new("ERR No such client ID");
const NO_WORKER: ReplyError = ReplyError::new("ERR No such worker");

/// `DEBUG MOVE-CLIENT <id> <worker>`: answers before the connection has gone.
pub(super) fn move_client(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let id = number::parse_i64(call.arg(2)).ok_or(NOT_INTEGER)?;
    let worker = number::parse_i64(call.arg(3)).ok_or(NOT_INTEGER)?;
    let placement = &call.server.placement;
    let worker = usize::try_from(worker).ok().filter(|w| *w < placement.workers());
    let worker = worker.ok_or(NO_WORKER)?;
    let client = u64::try_from(id).ok().and_then(|id| call.server.clients.get(id));
    placement.ask(&*client.ok_or(NO_CLIENT)?, worker);
    call.reply.ok();
    Ok(Outcome::Done)
}
