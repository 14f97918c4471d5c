//! Loading a library when no client has asked for it: from a snapshot, at the start.

use super::engine::{Engine, Options};
use super::host::{CallOptions, Host, Interrupt, Watch};
use super::library::Library;
use crate::commands::error::ReplyError;
use crate::runtime::clock::Clock;
use dunlin_protocol::Reply;
use std::rc::Rc;
use std::sync::Arc;

/// Milliseconds that the text of a library may run, as with FUNCTION LOAD.
const LOAD_MILLIS: u64 = 500;

/// Finds out which functions the text of a library registers. Every thread that runs one of them loads
/// the library for itself.
///
/// # Errors
/// Why there is no such library.
pub fn load_library(text: &[u8], clock: &'static Clock) -> Result<Arc<Library>, String> {
    let library = Library::parse(text)?;
    let now = clock.monotonic_ns();
    let until = now.saturating_add(LOAD_MILLIS * 1_000_000);
    let mut host = Alone { deadline: Rc::new(Deadline { clock, until }) };
    let mut engine = Engine::new(Options::default());
    engine.start_functions();
    engine.load(library, &mut host)
}

/// A host without commands.
struct Alone {
    deadline: Rc<Deadline>,
}

impl Host for Alone {
    fn call(&mut self, _: &[&[u8]], _: CallOptions, _: &mut Reply) -> Result<(), ReplyError> {
        Err("ERR commands cannot be called while a library is loaded".into())
    }

    fn may_run(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn log(&mut self, _: u8, text: &[u8]) {
        tracing::info!("a library says: {}", String::from_utf8_lossy(text));
    }

    fn watch(&mut self) -> Rc<dyn Watch> {
        Rc::clone(&self.deadline) as _
    }
}

struct Deadline {
    clock: &'static Clock,
    until: u64,
}

impl Watch for Deadline {
    fn check(&self) -> Interrupt {
        match self.clock.monotonic_ns() > self.until {
            true => Interrupt::Stop("FUNCTION LOAD timeout"),
            false => Interrupt::GoOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_loaded_without_a_client() {
        let clock = Box::leak(Box::new(Clock::new()));
        let text = b"#!lua name=lib\nredis.register_function('f', function() return 1 end)";
        let library = load_library(text, clock).expect("it registers a function");
        assert_eq!((library.name.as_str(), library.functions.len()), ("lib", 1));
        let why = load_library(b"#!lua name=lib\nwhile true do end", clock).expect_err("no end");
        assert!(why.contains("FUNCTION LOAD timeout"), "{why}");
        assert!(load_library(b"#!lua name=lib\nredis.call('PING')", clock).is_err());
        assert!(load_library(b"return 1", clock).is_err());
    }
}
