//! XDEL and XSETID.

use super::docs::{IDS, KEY, docs};
use super::id::{id_arg, id_args};
use super::{edit, reply_count};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{NO_KEY, ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::stream::{SetIdError, StreamId};

pub(super) const XDEL: Command = Command::new("xdel", Arity::at_least(3), xdel)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::DELETE)])
    .docs(
        docs(
            "5.0.0",
            "O(1) for each entry to delete, regardless of the size of the stream.",
            "Deletes entries of a stream and replies how many were there.",
        )
        .args(&[KEY, IDS]),
    );

fn xdel(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let ids = id_args(call, 2);
    // A missing key is answered before the identifiers are looked at.
    let deleted = edit(call, &key, |stream, _| {
        ids.map(|ids| ids.into_iter().filter(|id| stream.log.delete(*id)).count())
    })?;
    let deleted = deleted.transpose()?.unwrap_or(0);
    if deleted > 0 {
        call.notify(Class::STREAM, "xdel", &key);
    }
    reply_count(call.reply, deleted);
    Ok(Outcome::Done)
}

pub(super) const XSETID: Command = Command::new("xsetid", Arity::at_least(3), xsetid)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).update()])
    .docs(
        docs("5.0.0", "O(1)", "Sets the last identifier of a stream, and counters about it.")
            .history(&[(
                "7.0.0",
                "Added the `entries_added` and `max_deleted_entry_id` arguments.",
            )])
            .args(&[
                KEY,
                Arg::string("last-id"),
                Arg::integer("entries-added").token("ENTRIESADDED").since("7.0.0").optional(),
                Arg::string("max-deleted-id").token("MAXDELETEDID").since("7.0.0").optional(),
            ]),
    );

fn xsetid(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let last_id = id_arg(call, 2)?;
    let (mut added, mut max_deleted_id): (Option<u64>, Option<StreamId>) = (None, None);
    let mut i = 3;
    while i < call.argc() {
        let more = i + 1 < call.argc();
        if call.is(i, "ENTRIESADDED") && more {
            let count = u64::try_from(call.int(i + 1)?);
            added = Some(count.map_err(|_| "ERR entries_added must be positive")?);
        } else if call.is(i, "MAXDELETEDID") && more {
            let id = id_arg(call, i + 1)?;
            if last_id < id {
                let text = "ERR The ID specified in XSETID is smaller than the provided \
                            max_deleted_entry_id";
                return Err(text.into());
            }
            max_deleted_id = Some(id);
        } else {
            return Err(SYNTAX);
        }
        i += 2;
    }
    let key = call.key(1);
    let set = edit(call, &key, |stream, _| stream.log.set_id(last_id, added, max_deleted_id))?;
    set.ok_or(NO_KEY)?.map_err(text_of)?;
    call.notify(Class::STREAM, "xsetid", &key);
    call.reply.ok();
    Ok(Outcome::Done)
}

fn text_of(error: SetIdError) -> ReplyError {
    ReplyError::new(match error {
        SetIdError::BelowDeleted => {
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
        }
        SetIdError::BelowTop => {
            "ERR The ID specified in XSETID is smaller than the target stream top item"
        }
        SetIdError::TooFewAdded => {
            "ERR The entries_added specified in XSETID is smaller than the target stream length"
        }
    })
}
