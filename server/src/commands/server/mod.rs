//! Commands about the server.

mod acl;
mod basics;
mod command;
mod config;
mod debug;
mod hotkeys;
mod info;
mod insight;
mod latency;
mod lolwut;
mod memory;
mod slowlog;
mod snapshot;

use super::docs::{Docs, Group};
use super::spec::Command;

/// The version of Redis whose commands we promise; clients gate features on it.
pub(super) const REDIS_VERSION: &str = "7.2.4";

/// Our own version.
pub(super) const DUNLIN_VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) static COMMANDS: &[Command] = &[
    acl::ACL,
    snapshot::BGSAVE,
    command::COMMAND,
    config::CONFIG,
    debug::DEBUG,
    hotkeys::HOTKEYS,
    info::INFO,
    insight::INSIGHT,
    snapshot::LASTSAVE,
    latency::LATENCY,
    lolwut::LOLWUT,
    memory::MEMORY,
    basics::MONITOR,
    basics::ROLE,
    snapshot::SAVE,
    basics::SHUTDOWN,
    slowlog::SLOWLOG,
    basics::TIME,
];

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::new(Group::Server, since, complexity, summary)
}
