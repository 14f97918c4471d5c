//! HyperLogLogs: strings that count distinct elements, approximately (see
//! [`dunlin_storage::value::hyperloglog`]).
//!
//! The string keeps the count that was computed last, so PFCOUNT of one key, although it only reads,
//! writes it back when it is stale: it then runs again under the role of the key.

mod count;
mod debug;
mod edit;

use super::docs::{Arg, Docs, Group};
use super::error::ReplyError;
use super::spec::Command;
use dunlin_storage::Str;
use dunlin_storage::value::hyperloglog::Corrupt;

pub(super) static COMMANDS: &[Command] =
    &[edit::PFADD, count::PFCOUNT, edit::PFMERGE, debug::PFDEBUG, debug::PFSELFTEST];

const KEY: Arg = Arg::key("key", 0);

const NOT_HLL: ReplyError =
    ReplyError::new("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: ReplyError = ReplyError::new("INVALIDOBJ Corrupted HLL object detected");

impl From<Corrupt> for ReplyError {
    fn from(_: Corrupt) -> Self {
        CORRUPT
    }
}

const fn docs(complexity: &'static str, summary: &'static str) -> Docs {
    Docs::new(Group::HyperLogLog, "2.8.9", complexity, summary)
}

/// Whether OBJECT ENCODING calls the string `raw`, as it does one that was updated in place. Redis
/// makes every HyperLogLog so that a command is going to change, whether it then does or not.
fn is_raw(string: Str<'_>) -> bool {
    matches!(string, Str::Inline { raw: true, .. } | Str::Rope(_))
}
