//! What the program does instead of serving: looking over a configuration, asking a running server
//! whether it is there, and making clusters of running servers.

pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod ping;
