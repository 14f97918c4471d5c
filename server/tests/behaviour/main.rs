//! How the server behaves as a process: starting, stopping, limits, logins, sockets.

mod acl;
mod draining;
mod hangup;
mod limits;
mod listening;
mod login;
mod newer;
mod shutdown;
mod start;
mod supervised;
#[path = "../support/mod.rs"]
mod support;
mod tools;
