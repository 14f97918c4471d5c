//! Placeholder.
use super::spec::Command;
pub(super) static COMMANDS: &[Command] = &[];
