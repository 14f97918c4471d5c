//! ACL LOAD and SAVE.

use super::super::docs;
use super::users::changed;
use super::{ADMIN, ALL_NODES};
use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use std::path::PathBuf;

const EACH_USER: &str = "O(N). Where N is the number of configured users.";

const NO_FILE: ReplyError = ReplyError::new(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users \
     via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis \
     configuration file set) in order to store users in the Redis configuration.",
);

fn path(call: &Call<'_, '_>) -> Result<PathBuf, ReplyError> {
    call.server.settings().acl_path().ok_or(NO_FILE)
}

pub(super) const LOAD: Command = Command::new("load", Arity::exactly(2), load)
    .flags(ADMIN)
    .docs(docs("6.0.0", EACH_USER, "Replaces all users by those of the aclfile."));

fn load(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let path = path(call)?;
    let gone = call.server.acl.load(&path).map_err(|errors| format!("ERR {errors}"))?;
    call.reply.ok();
    Ok(changed(call, &gone, |_| true))
}

pub(super) const SAVE: Command = Command::new("save", Arity::exactly(2), save)
    .flags(ADMIN)
    .docs(docs("6.0.0", EACH_USER, "Writes all users into the aclfile."))
    .tips(ALL_NODES);

fn save(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let path = path(call)?;
    call.server.acl.save(&path).map_err(|error| {
        tracing::warn!(path = %path.display(), %error, "ACL SAVE");
        ReplyError::from(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more \
             information",
        )
    })?;
    call.reply.ok();
    Ok(Outcome::Done)
}
