//! What the documentation of several commands has in common.

use crate::commands::docs::{Arg, Docs, Group};

/// Documentation of a command of this family.
pub(super) const fn docs(
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
) -> Docs {
    Docs::new(Group::Stream, since, complexity, summary)
}

/// A key that the first specification finds.
pub(super) const KEY: Arg = Arg::key("key", 0);
pub(super) const GROUP: Arg = Arg::string("group");
pub(super) const CONSUMER: Arg = Arg::string("consumer");
pub(super) const IDS: Arg = Arg::string("id").multiple();
pub(super) const COUNT: Arg = Arg::integer("count").token("COUNT").optional();

/// MAXLEN or MINID.
pub(super) const TRIM: Arg = Arg::block(
    "trim",
    &[
        Arg::one_of(
            "strategy",
            &[Arg::flag("maxlen", "MAXLEN"), Arg::flag("minid", "MINID").since("6.2.0")],
        ),
        Arg::one_of("operator", &[Arg::flag("equal", "="), Arg::flag("approximately", "~")])
            .optional(),
        Arg::string("threshold"),
        Arg::integer("count").token("LIMIT").since("6.2.0").optional(),
    ],
);

/// An identifier, or `$` for the last one.
pub(super) const ID_OR_LAST: Arg =
    Arg::one_of("id-selector", &[Arg::string("id"), Arg::flag("new-id", "$")]);
