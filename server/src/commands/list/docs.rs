//! Argument documentation and key specifications that several commands share.

use crate::commands::docs::Arg;
use crate::commands::spec::{KeyFlags, KeySpec};

/// A key that the first specification finds.
pub(super) const KEY: Arg = Arg::key("key", 0);
/// An element.
pub(super) const ELEMENT: Arg = Arg::string("element");
/// One of the ends.
pub(super) const ENDS: &[Arg] = &[Arg::flag("left", "LEFT"), Arg::flag("right", "RIGHT")];

/// A list whose elements are returned.
pub(super) const READ: &[KeySpec] = &[KeySpec::one(1).read()];
/// A list of which only something is asked.
pub(super) const LOOK: &[KeySpec] = &[KeySpec::one(1).look()];
/// A list that gets elements.
pub(super) const INSERT: &[KeySpec] = &[KeySpec::one(1).with(KeyFlags::RW.with(KeyFlags::INSERT))];
/// A list that loses elements.
pub(super) const DELETE: &[KeySpec] = &[KeySpec::one(1).with(KeyFlags::RW.with(KeyFlags::DELETE))];
/// RW, access, delete.
pub(super) const TAKE: KeyFlags = KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE);
