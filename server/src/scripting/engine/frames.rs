//! Who called whom: what Lua's `debug` would tell, for the prelude only.

use mlua::debug::Debug;
use mlua::{Function, Lua, Table};

/// Name of the prelude's chunk.
pub(super) const PRELUDE: &str = "@prelude";
/// Frames that are looked at for the place of an error.
const MAX_FRAMES: usize = 64;

/// Adds `place`, `function_at` and `is_own`.
pub(super) fn functions(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.raw_set("place", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
    let function_at = |lua: &Lua, level: usize| {
        let found =
            lua.inspect_stack(level, |frame| (kind(frame) != Kind::Lost).then(|| frame.function()));
        Ok(found.flatten())
    };
    native.raw_set("function_at", lua.create_function(function_at)?)?;
    let is_own = |_: &Lua, function: Function| {
        Ok(function.info().source.is_some_and(|source| source == PRELUDE))
    };
    native.raw_set("is_own", lua.create_function(is_own)?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Written in C or Rust.
    Native,
    /// Of the prelude.
    Own,
    /// Of a script.
    Script,
    /// Gone: it has called something as its last act.
    Lost,
}

fn kind(frame: &Debug<'_>) -> Kind {
    let source = frame.source();
    match source.what {
        "C" => Kind::Native,
        "tail" => Kind::Lost,
        _ if source.source.is_some_and(|source| source == PRELUDE) => Kind::Own,
        _ => Kind::Script,
    }
}

/// The level of the function that a script has called: the one that asks, or the one of the prelude
/// that has called it.
pub(super) fn called(lua: &Lua) -> usize {
    let is_own = |level: &usize| {
        lua.inspect_stack(*level, |frame| kind(frame) == Kind::Own).unwrap_or_default()
    };
    (1..MAX_FRAMES).take_while(is_own).last().unwrap_or(0)
}

/// Source and line of what raised the error that the caller, a handler, was called with.
///
/// An error of a native function is its caller's. Functions of the prelude count as native; called
/// as the last thing of a script's function, they have left no trace of it.
fn place(lua: &Lua) -> (Option<String>, Option<i64>) {
    let (mut passed_native, mut lost) = (false, false);
    // 0 is this function, 1 the handler.
    for level in 2..MAX_FRAMES {
        let found = lua.inspect_stack(level, |frame| match kind(frame) {
            Kind::Lost => {
                lost = true;
                None
            }
            Kind::Own => None,
            Kind::Native if !passed_native => {
                passed_native = true;
                None
            }
            Kind::Native if lost => Some((None, None)),
            Kind::Native | Kind::Script => {
                let line = frame.current_line().and_then(|line| i64::try_from(line).ok());
                let source = frame.source().source.map(|source| source.into_owned());
                Some((source, Some(line.unwrap_or(-1))))
            }
        });
        match found {
            Some(Some(place)) => return place,
            Some(None) => {}
            None => break,
        }
    }
    (None, None)
}
