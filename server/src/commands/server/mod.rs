//! Commands about the server.

use super::spec::Command;

/// The version of Redis whose commands we promise; clients gate features on it.
pub(super) const REDIS_VERSION: &str = "7.2.4";

pub(super) static COMMANDS: &[Command] = &[];
