//! Scripts: Lua 5.1 as Redis has it, without a socket, a clock or a key.
//!
//! - [`Script`] is the text that EVAL runs, with the flags of its first line; [`ScriptCache`] keeps
//!   them by their SHA-1 for all workers.
//! - [`Library`] is what FUNCTION LOAD takes; [`Libraries`] is the set of them that all workers
//!   share.
//! - [`Engine`] runs both. Each thread has its own: it compiles what it meets and keeps it. A
//!   library is loaded into an engine when one of its functions is first called there, so what a
//!   library keeps in its local variables is kept per thread.
//! - [`Host`] is the server as the engine sees it: it runs commands; its [`Watch`]
//!   says when to stop.
//!
//! How a script is kept from harm: see [`engine`].

mod bare;
mod cache;
mod cost;
pub mod engine;
mod flags;
mod header;
mod host;
mod library;
mod reach;
mod runs;
mod script;

pub use bare::load_library;
pub use cache::ScriptCache;
pub use cost::Cost;
pub use engine::{Arguments, Ended, Engine, Options};
pub use flags::ScriptFlags;
pub use host::{CallOptions, Host, Interrupt, Watch};
pub use library::{ENGINE, Function, Libraries, Library, LibrarySet, RestorePolicy};
pub use reach::Reach;
pub use runs::{CommandLine, Killed, Run, RunKind, Running, Runs};
pub use script::{Script, Sha1, sha1_hex};
