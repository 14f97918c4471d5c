//! COMMAND LIST.

use super::super::docs;
use super::{CONNECTION, FLAGS, UNORDERED};
use crate::commands::call::Call;
use crate::commands::category::belongs;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::table::{Entry, table};
use crate::glob;

pub(super) const LIST: Command = Command::new("list", Arity::at_least(2), list)
    .flags(FLAGS)
    .categories(CONNECTION)
    .docs(
        docs(
            "7.0.0",
            "O(N) where N is the total number of Redis commands",
            "Lists the names of the commands.",
        )
        .args(&[Arg::one_of(
            "filterby",
            &[
                Arg::string("module-name").token("MODULE"),
                Arg::string("category").token("ACLCAT"),
                Arg::pattern("pattern").token("PATTERN"),
            ],
        )
        .token("FILTERBY")
        .optional()]),
    )
    .tips(UNORDERED);

fn list(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entries = table().entries().iter();
    let found: Vec<&Entry> = match call.argc() {
        2 => entries.collect(),
        5 if call.is(2, "FILTERBY") => {
            let wanted = call.arg(4);
            if call.is(3, "MODULE") {
                // No command comes from a module.
                Vec::new()
            } else if call.is(3, "ACLCAT") {
                entries.filter(|entry| belongs(entry, wanted)).collect()
            } else if call.is(3, "PATTERN") {
                let fits = |name: &str| glob::matches_nocase(wanted, name.as_bytes());
                entries.filter(|entry| fits(&entry.full_name)).collect()
            } else {
                return Err(SYNTAX);
            }
        }
        _ => return Err(SYNTAX),
    };
    call.reply.array(found.len());
    found.iter().for_each(|entry| call.reply.bulk(entry.full_name.as_bytes()));
    Ok(Outcome::Done)
}
