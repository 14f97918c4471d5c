//! The server as a script sees it.

use crate::commands::error::ReplyError;
use dunlin_protocol::{Proto, Reply};
use std::rc::Rc;

/// How a command of a script is to be run.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions {
    /// What the script has chosen with `redis.setresp`; the reply has to be in this version.
    pub proto: Proto,
}

/// Whether a script goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// It does.
    GoOn,
    /// It ends with this error, which it cannot catch: the text without a code.
    Stop(&'static str),
}

/// Says when a script has to end. It is asked from inside Lua's interpreter, at any instruction, and
/// so cannot borrow from the run as a [`Host`] does.
pub trait Watch {
    /// Asked every few thousand instructions of Lua, until it says stop.
    fn check(&self) -> Interrupt;
}

/// What an engine needs from the server while a script runs.
pub trait Host {
    /// Runs a command. Its reply, errors included, goes to `reply`, which is empty.
    ///
    /// # Errors
    /// The command was refused before it ran (unknown, wrong number of arguments, not allowed in
    /// scripts ...): the text with its code.
    fn call(
        &mut self,
        args: &[&[u8]],
        options: CallOptions,
        reply: &mut Reply,
    ) -> Result<(), ReplyError>;

    /// Whether the user may run this command; `None`: there is no such command.
    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool>;

    /// `redis.log`; the level is 0 (debug) to 3 (warning).
    fn log(&mut self, level: u8, text: &[u8]);

    /// Who watches over this run.
    fn watch(&mut self) -> Rc<dyn Watch>;
}
