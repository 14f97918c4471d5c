//! Argument documentation and key specifications that several commands share.

use crate::commands::docs::Arg;
use crate::commands::spec::{KeyFlags, KeySpec};

/// A key that the first specification finds.
pub(super) const KEY: Arg = Arg::key("key", 0);
/// A member.
pub(super) const MEMBER: Arg = Arg::string("member");
/// Scores beside the members.
pub(super) const WITHSCORES: Arg = Arg::flag("withscores", "WITHSCORES").optional();
/// Which of the members found are wanted.
pub(super) const LIMIT: Arg =
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional();
/// How many of several keys there are.
pub(super) const NUMKEYS: Arg = Arg::integer("numkeys");

/// A sorted set whose members are looked at or returned.
pub(super) const READ: &[KeySpec] = &[KeySpec::one(1).read()];
/// A sorted set of which only something is asked.
pub(super) const LOOK: &[KeySpec] = &[KeySpec::one(1).look()];
/// A sorted set that loses members.
pub(super) const DELETE: &[KeySpec] = &[KeySpec::one(1).with(KeyFlags::RW.with(KeyFlags::DELETE))];
/// RW, access, delete.
pub(super) const TAKE: KeyFlags = KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE);
