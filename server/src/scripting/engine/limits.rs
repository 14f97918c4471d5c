//! What a run may take: time, and memory that is not Lua's.
//!
//! Lua's hook counts the instructions of Lua, and Lua's allocator its bytes. Neither sees what is
//! written in Rust: that counts its steps here, of which each is worth an instruction, and looks
//! whether there is room for what it builds up.

use super::INTERVAL;
use super::raise::{self, Raise};
use crate::scripting::host::{Interrupt, Watch};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// Steps that a new coroutine counts for: it counts its own instructions from nought.
const COROUTINE: usize = INTERVAL as usize / 16;
/// Steps that a value counts for which is taken out of a table.
const VALUE: usize = 16;

/// See the [module documentation](self).
pub(super) struct Limits {
    /// Who watches over the current run.
    watch: RefCell<Option<Rc<dyn Watch>>>,
    /// What it has said when it said stop.
    stopped: Cell<Option<&'static str>>,
    /// Steps since the last question.
    steps: Cell<usize>,
    /// Bytes that may be built up at once, as many as Lua's state may take.
    memory: usize,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

impl Limits {
    pub(super) fn new(memory: usize) -> Limits {
        Limits { watch: RefCell::new(None), stopped: Cell::new(None), steps: Cell::new(0), memory }
    }

    /// A run begins, or ends.
    pub(super) fn set_watch(&self, watch: Option<Rc<dyn Watch>>) {
        self.watch.replace(watch);
    }

    /// The error to raise if the script has to end.
    pub(super) fn check(&self) -> mlua::Result<()> {
        let Some(watch) = self.watch.borrow().clone() else {
            return Ok(());
        };
        if self.stopped.get().is_none()
            && let Interrupt::Stop(why) = watch.check()
        {
            self.stopped.set(Some(why));
        }
        self.pass_on_stop()
    }

    /// The error to raise if the script was told to end.
    pub(super) fn pass_on_stop(&self) -> mlua::Result<()> {
        self.stopped.get().map_or(Ok(()), |why| Err(stop(why)))
    }

    /// Whether the last run was told to end, which the next one is not.
    pub(super) fn forget_stop(&self) -> bool {
        self.stopped.take().is_some()
    }

    /// Counts steps, and by and by asks whether the script is to go on.
    #[inline]
    pub(super) fn work(&self, steps: usize) -> mlua::Result<()> {
        let steps = self.steps.get().saturating_add(steps);
        if steps < INTERVAL as usize {
            self.steps.set(steps);
            return Ok(());
        }
        self.steps.set(0);
        self.check()
    }

    pub(super) fn count_coroutine(&self) -> mlua::Result<()> {
        self.work(COROUTINE)
    }

    /// Counts a value that is taken out of a table or put into one.
    pub(super) fn value(&self) -> mlua::Result<()> {
        self.work(VALUE)
    }

    /// Whether there may be so many bytes at once.
    #[inline]
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.memory
    }

    /// The error to raise if there may not be so many bytes at once.
    #[inline]
    pub(super) fn room(&self, bytes: usize) -> mlua::Result<()> {
        if self.has_room(bytes) { Ok(()) } else { Err(raise::misuse(&self.too_much())) }
    }

    /// The text of that error, without a code.
    #[cold]
    pub(super) fn too_much(&self) -> String {
        format!("not enough memory: this takes more than the {} bytes of a script", self.memory)
    }

    /// Adds bytes to others, if there is room.
    pub(super) fn append(&self, to: &mut Vec<u8>, bytes: &[u8]) -> mlua::Result<()> {
        self.room(to.len().saturating_add(bytes.len()))?;
        to.extend_from_slice(bytes);
        Ok(())
    }
}

/// The error that ends a script.
fn stop(why: &str) -> mlua::Error {
    let text = raise::with_code(why.as_bytes());
    Raise::Reply(raise::ErrorReply { text, counted: false }).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says stop the third time.
    struct Third(Cell<u32>);

    impl Watch for Third {
        fn check(&self) -> Interrupt {
            self.0.set(self.0.get() + 1);
            if self.0.get() < 3 { Interrupt::GoOn } else { Interrupt::Stop("enough") }
        }
    }

    #[test]
    fn steps_are_asked_about_like_instructions() {
        let limits = Limits::new(0);
        let steps = |n: usize| (0..n).take_while(|_| limits.work(1).is_ok()).count();
        assert_eq!(steps(100_000), 100_000, "nobody watches");
        limits.set_watch(Some(Rc::new(Third(Cell::new(0)))));
        assert_eq!(steps(100_000), 29_999);
        assert!(limits.pass_on_stop().is_err_and(|error| error.to_string().contains("enough")));
        assert!(limits.forget_stop() && !limits.forget_stop());
        assert!(limits.work(9_999).is_ok() && limits.pass_on_stop().is_ok());
        assert!(limits.work(usize::MAX).is_err(), "the watch has not changed its mind");
    }

    #[test]
    fn what_is_built_up_has_a_bound() {
        let limits = Limits::new(10);
        let mut bytes = Vec::new();
        assert!(limits.append(&mut bytes, b"0123456789").is_ok());
        let error = limits.append(&mut bytes, b"x").expect_err("one too many");
        assert!(error.to_string().contains("not enough memory"), "{error}");
        assert_eq!(bytes, b"0123456789");
    }
}
