//! What the program does instead of serving: looking over a configuration, and asking a running
//! server whether it is there.

pub(crate) mod check;
pub(crate) mod ping;
