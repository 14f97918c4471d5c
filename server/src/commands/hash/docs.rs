//! Argument documentation and key specifications that several commands share.

use crate::commands::docs::Arg;
use crate::commands::spec::{KeyFlags, KeySpec};

/// A key that the first specification finds.
pub(super) const KEY: Arg = Arg::key("key", 0);

/// The arguments of commands with nothing but a key.
pub(super) const ONLY_KEY: &[Arg] = &[KEY];

/// A field.
pub(super) const FIELD: Arg = Arg::string("field");

/// Pairs of field and value.
pub(super) const PAIRS: Arg = Arg::block("data", &[FIELD, Arg::string("value")]).multiple();

/// `FIELDS numfields field [field ...]`
pub(super) const FIELDS: Arg =
    Arg::block("fields", &[Arg::integer("numfields"), FIELD.multiple()]).token("FIELDS");

/// EX, PX, EXAT and PXAT.
pub(super) const EX: Arg = Arg::integer("seconds").token("EX");
pub(super) const PX: Arg = Arg::integer("milliseconds").token("PX");
pub(super) const EXAT: Arg = Arg::unix_time("unix-time-seconds").token("EXAT");
pub(super) const PXAT: Arg = Arg::unix_time("unix-time-milliseconds").token("PXAT");

/// A hash whose fields are returned.
pub(super) const READ: &[KeySpec] = &[KeySpec::one(1).read()];

/// A hash of which only something is asked.
pub(super) const LOOK: &[KeySpec] = &[KeySpec::one(1).look()];

/// A hash that is changed.
pub(super) const UPDATE: &[KeySpec] = &[KeySpec::one(1).update()];

/// A hash that is changed depending on what it holds.
pub(super) const READ_AND_UPDATE: &[KeySpec] =
    &[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::ACCESS).with(KeyFlags::UPDATE)];
