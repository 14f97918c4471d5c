//! HyperLogLogs: strings that count distinct elements, approximately (see
//! [`dunlin_storage::value::hyperloglog`]).
//!
//! The string keeps the count that was computed last, so PFCOUNT of one key, although it only reads,
//! writes it back when it is stale: it then runs again under the role of the key.

mod count;
mod debug;
mod edit;

use super::call::Call;
use super::docs::{Arg, Docs, Group};
use super::error::ReplyError;
use super::spec::Command;
use dunlin_storage::value::hyperloglog::Corrupt;
use dunlin_storage::{Key, Millis, NewValue, Str};

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

/// Whether OBJECT ENCODING calls the string `raw`, as it does one that was updated in place.
fn is_raw(string: Str<'_>) -> bool {
    matches!(string, Str::Inline { raw: true, .. } | Str::Rope(_))
}

/// Makes a HyperLogLog that a command is going to change `raw`; Redis does, whether the command then
/// changes it or finds that it is corrupt.
fn make_raw(call: &mut Call<'_, '_>, key: &Key<'_>, string: Str<'_>, expire_at: Option<Millis>) {
    if !is_raw(string) {
        call.put(key, NewValue::Raw(&string.to_cow()), expire_at);
    }
}
