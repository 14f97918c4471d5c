//! Patterns: `string.find` and `match`, and what the prelude makes `gmatch` and `gsub` of.
//!
//! They find what Lua's own functions find and say the same of a wrong pattern. But those ask nobody
//! whether to go on, and a pattern of a few characters can keep them busy for years.

mod class;
mod matcher;
#[cfg(test)]
mod tests;

use super::{number_arg, string_arg};
use crate::scripting::engine::limits::Limits;
use crate::scripting::engine::raise::{bad_argument, fault, string_of, truncated};
use dunlin_protocol::number::IntText;
use matcher::{Caught, Fault, Matcher, Span};
use memchr::memmem;
use mlua::{Lua, MultiValue, Table, Value};
use std::rc::Rc;

/// Longest pattern, in bytes: each item takes room while it is matched.
const LONGEST: usize = 4096;
/// What makes a pattern of a text.
const SPECIALS: &[u8] = b"^$*+?.([%-";

type Found = Result<MultiValue, Fault>;
type Native = fn(&Lua, &Limits, &MultiValue) -> Found;

const NATIVES: [(&str, Native); 5] =
    [("find", find), ("match", first_match), ("gsub", gsub), ("search", search), ("texts", texts)];

/// The functions by name.
pub(in crate::scripting::engine) fn functions(
    lua: &Lua,
    limits: &Rc<Limits>,
) -> mlua::Result<Table> {
    let functions = lua.create_table()?;
    for (name, native) in NATIVES {
        let limits = Rc::clone(limits);
        let call = move |lua: &Lua, args: MultiValue| {
            native(lua, &limits, &args).map_err(|why| match why {
                Fault::Pattern(why) => fault(lua, why),
                Fault::Lua(error) => error,
            })
        };
        functions.raw_set(name, lua.create_function(call)?)?;
    }
    Ok(functions)
}

/// `find(text, pattern [, from [, plain]])`
fn find(lua: &Lua, limits: &Limits, args: &MultiValue) -> Found {
    let (text, wanted) = (string_arg(lua, args, 1)?, string_arg(lua, args, 2)?);
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let from = beginning(lua, args, text.len())?;
    let is_pattern = up_to_nul(&wanted).iter().any(|byte| SPECIALS.contains(byte));
    if is_true(args.get(3)) || !is_pattern {
        limits.work(text.len() - from)?;
        return Ok(match memmem::find(&text[from..], &wanted) {
            Some(at) => span((from + at, from + at + wanted.len())).into_iter().collect(),
            None => nothing(),
        });
    }
    let (items, anchored) = anchor(items(&wanted)?);
    let mut matcher = Matcher::new(&text, items, limits);
    let Some(whole) = matcher.search(from, anchored)? else {
        return Ok(nothing());
    };
    let mut values = Vec::from(span(whole));
    push_captures(lua, &matcher, whole, matcher.captures(), &mut values)?;
    Ok(MultiValue::from_vec(values))
}

/// `match(text, pattern [, from])`
fn first_match(lua: &Lua, limits: &Limits, args: &MultiValue) -> Found {
    let (text, wanted) = (string_arg(lua, args, 1)?, string_arg(lua, args, 2)?);
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let from = beginning(lua, args, text.len())?;
    let (items, anchored) = anchor(items(&wanted)?);
    let mut matcher = Matcher::new(&text, items, limits);
    let Some(whole) = matcher.search(from, anchored)? else {
        return Ok(nothing());
    };
    let mut values = Vec::new();
    push_captures(lua, &matcher, whole, matcher.captures().max(1), &mut values)?;
    Ok(MultiValue::from_vec(values))
}

/// `gsub(text, pattern, replacement [, most])` with a replacement that is a string.
fn gsub(lua: &Lua, limits: &Limits, args: &MultiValue) -> Found {
    let (text, wanted) = (string_arg(lua, args, 1)?, string_arg(lua, args, 2)?);
    let most = match args.get(3) {
        None | Some(Value::Nil) => i64::MAX,
        Some(_) => truncated(number_arg(lua, args, 4)?),
    };
    let Some(with) = args.get(2).and_then(|value| string_of(lua, value)) else {
        return Err(bad_argument(lua, 3, "string/function/table expected").into());
    };
    let (text, wanted, with) = (text.as_bytes(), wanted.as_bytes(), with.as_bytes());
    let (items, anchored) = anchor(items(&wanted)?);
    let mut matcher = Matcher::new(&text, items, limits);
    let (mut out, mut at, mut count) = (Vec::new(), 0, 0);
    while count < most {
        let Some((start, end)) = matcher.search(at, anchored)? else { break };
        count += 1;
        limits.append(&mut out, &text[at..start])?;
        replace(&matcher, &with, (start, end), limits, &mut out)?;
        at = end;
        if start == end {
            // An empty match is found once: what is behind it stays.
            let Some(byte) = text.get(at) else { break };
            limits.append(&mut out, &[*byte])?;
            at += 1;
        }
        if anchored {
            break;
        }
    }
    limits.append(&mut out, &text[at..])?;
    Ok([Value::String(lua.create_string(out)?), Value::Integer(count)].into_iter().collect())
}

/// Appends a replacement, in which `%1` is what the first capture has caught.
fn replace(
    matcher: &Matcher<'_>,
    with: &[u8],
    whole: Span,
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    limits.work(with.len())?;
    let mut rest = with;
    while let Some(percent) = memchr::memchr(b'%', rest) {
        limits.append(out, &rest[..percent])?;
        // A NUL is behind the last character.
        let escaped = rest.get(percent + 1).copied().unwrap_or(0);
        rest = rest.get(percent + 2..).unwrap_or_default();
        match escaped {
            b'0' => limits.append(out, matcher.text(whole))?,
            b'1'..=b'9' => match matcher.caught(usize::from(escaped - b'1'), whole)? {
                Caught::Text(text) => limits.append(out, text)?,
                Caught::Position(at) => limits.append(out, IntText::new().i64(signed(at)))?,
            },
            itself => limits.append(out, &[itself])?,
        }
    }
    limits.append(out, rest)?;
    Ok(())
}

/// `search(text, pattern, from, anchors, once)`: where the first match from there on begins, where
/// the rest does, and the captures (`once`: the first); nothing if there is none. Without `anchors`
/// a `^` is one of the characters.
fn search(lua: &Lua, limits: &Limits, args: &MultiValue) -> Found {
    let (text, wanted) = (string_arg(lua, args, 1)?, string_arg(lua, args, 2)?);
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let from = truncated(number_arg(lua, args, 3)?).saturating_sub(1);
    let items = items(&wanted)?;
    let (items, anchored) = if is_true(args.get(3)) { anchor(items) } else { (items, false) };
    let mut matcher = Matcher::new(&text, items, limits);
    let found = match usize::try_from(from) {
        Ok(from) if from <= text.len() => matcher.search(from, anchored)?,
        _ => None,
    };
    let Some(whole) = found else {
        return Ok(MultiValue::new());
    };
    let mut values = vec![position(whole.0 + 1), position(whole.1 + 1)];
    let count = if is_true(args.get(4)) { 1 } else { matcher.captures().max(1) };
    push_captures(lua, &matcher, whole, count, &mut values)?;
    Ok(MultiValue::from_vec(values))
}

/// `texts(text, pattern, ...)`: both as strings.
fn texts(lua: &Lua, _: &Limits, args: &MultiValue) -> Found {
    let both = [string_arg(lua, args, 1)?, string_arg(lua, args, 2)?];
    Ok(both.into_iter().map(Value::String).collect())
}

/// What the first captures have caught; of a pattern without any, the first is the whole match.
fn push_captures(
    lua: &Lua,
    matcher: &Matcher<'_>,
    whole: Span,
    count: usize,
    values: &mut Vec<Value>,
) -> Result<(), Fault> {
    for i in 0..count {
        values.push(match matcher.caught(i, whole)? {
            Caught::Text(text) => Value::String(lua.create_string(text)?),
            Caught::Position(at) => position(at),
        });
    }
    Ok(())
}

/// Argument 3, from where on is searched: counted from 1, or from the end backwards.
fn beginning(lua: &Lua, args: &MultiValue, len: usize) -> mlua::Result<usize> {
    let from = match args.get(2) {
        None | Some(Value::Nil) => return Ok(0),
        Some(_) => truncated(number_arg(lua, args, 3)?),
    };
    let len = signed(len);
    let from = if from < 0 { from + len } else { from.saturating_sub(1) };
    Ok(usize::try_from(from.clamp(0, len)).unwrap_or(0))
}

/// A pattern as far as C reads it.
fn items(pattern: &[u8]) -> Result<&[u8], Fault> {
    if pattern.len() > LONGEST {
        return Err("pattern too complex".into());
    }
    Ok(up_to_nul(pattern))
}

/// A pattern without its `^`, and whether it has one.
fn anchor(items: &[u8]) -> (&[u8], bool) {
    match items.strip_prefix(b"^") {
        Some(items) => (items, true),
        None => (items, false),
    }
}

fn up_to_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

fn is_true(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Nil | Value::Boolean(false)))
}

fn nothing() -> MultiValue {
    std::iter::once(Value::Nil).collect()
}

/// The first and the last character of a match, counted from 1.
fn span((start, end): Span) -> [Value; 2] {
    [position(start + 1), position(end)]
}

fn position(at: usize) -> Value {
    Value::Integer(signed(at))
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
