//! Argument documentation that several commands share.

use crate::commands::docs::Arg;

/// A key that the first specification finds.
pub(super) const KEY: Arg = Arg::key("key", 0);

/// The arguments of commands with nothing but a key.
pub(super) const ONLY_KEY: &[Arg] = &[KEY];

/// EX, PX, EXAT and PXAT.
pub(super) const EX: Arg = Arg::integer("seconds").token("EX");
pub(super) const PX: Arg = Arg::integer("milliseconds").token("PX");
pub(super) const EXAT: Arg = Arg::unix_time("unix-time-seconds").token("EXAT");
pub(super) const PXAT: Arg = Arg::unix_time("unix-time-milliseconds").token("PXAT");
pub(super) const KEEPTTL: Arg = Arg::flag("keepttl", "KEEPTTL");
pub(super) const PERSIST: Arg = Arg::flag("persist", "PERSIST");

/// A time, or that the expire time goes.
pub(super) const EXPIRE_OR_PERSIST: Arg =
    Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, PERSIST]).optional();

/// NX or XX.
pub(super) const NX_XX: Arg =
    Arg::one_of("condition", &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")]).optional();

/// Pairs of key and value.
pub(super) const PAIRS: Arg = Arg::block("data", &[KEY, Arg::string("value")]).multiple();
