//! Argument documentation and key specifications that several commands share.

use crate::commands::docs::Arg;
use crate::commands::spec::{KeyFlags, KeySpec};

/// A key that the first specification finds.
pub(super) const KEY: Arg = Arg::key("key", 0);

/// The arguments of commands with nothing but a key.
pub(super) const ONLY_KEY: &[Arg] = &[KEY];

/// A member.
pub(super) const MEMBER: Arg = Arg::string("member");

/// A set whose members are looked at or returned.
pub(super) const READ: &[KeySpec] = &[KeySpec::one(1).read()];

/// A set of which only something is asked.
pub(super) const LOOK: &[KeySpec] = &[KeySpec::one(1).look()];

/// Several sets.
pub(super) const READ_ALL: &[KeySpec] = &[KeySpec::span(1, -1, 1).read()];

/// A destination, then several sets.
pub(super) const STORE: &[KeySpec] = &[KeySpec::one(1).overwrite(), KeySpec::span(2, -1, 1).read()];

/// The arguments of commands with several sets.
pub(super) const KEYS: &[Arg] = &[KEY.multiple()];

/// The arguments of commands with a destination and several sets.
pub(super) const DESTINATION_AND_KEYS: &[Arg] =
    &[Arg::key("destination", 0), Arg::key("key", 1).multiple()];

/// RW, insert.
pub(super) const INSERT: KeyFlags = KeyFlags::RW.with(KeyFlags::INSERT);
/// RW, delete.
pub(super) const DELETE: KeyFlags = KeyFlags::RW.with(KeyFlags::DELETE);
/// RW, access, delete.
pub(super) const TAKE: KeyFlags = DELETE.with(KeyFlags::ACCESS);
