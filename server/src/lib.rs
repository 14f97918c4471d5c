//! The server.
#![forbid(unsafe_code)]
pub mod config;
pub mod glob;
pub mod runtime;
