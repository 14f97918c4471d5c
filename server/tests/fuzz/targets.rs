//! The targets: an input that looks like what it is about, and what is asked of any input. They run on
//! seeded random inputs in `cargo test` (`main.rs`) and guided by coverage in `server/fuzz`.

#![allow(unreachable_pub, reason = "shared by several crates")]

use crate::{bodies, inputs, support::Rng};

/// A target.
pub struct Target {
    pub name: &'static str,
    /// Random inputs of a test, if no time is asked for.
    pub inputs: u64,
    pub generate: fn(&mut Rng) -> Vec<u8>,
    pub body: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident: $inputs:literal $generate:path => $body:path;)*) => {$(
        #[allow(non_upper_case_globals, reason = "they are called as their tests and programs are")]
        pub const $name: Target =
            Target { name: stringify!($name), inputs: $inputs, generate: $generate, body: $body };
    )*};
}

targets! {
    acl: 600 inputs::rules => bodies::acl::acl;
    config: 300 inputs::directives => bodies::config::config;
    frames: 5000 inputs::stream => bodies::frames::frames;
    glob: 20_000 inputs::patterns => bodies::glob::glob;
    hyperloglog: 150 inputs::registers => bodies::hyperloglog::hyperloglog;
    lua: 1500 inputs::script::script => bodies::lua::lua;
    rdb: 1500 inputs::files::rdb_file => bodies::files::rdb;
    restore: 300 inputs::files::payload => bodies::restore::restore;
    server: 100 inputs::any => bodies::program::server;
    snapshot: 1500 inputs::files::blocks => bodies::files::snapshot;
}
