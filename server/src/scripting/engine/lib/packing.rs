//! `struct`: packing values into bytes by a format, and back.
//!
//! | | |
//! |---|---|
//! | `b B h H l L T` | integers of 1, 2 and 8 bytes, `T` a size |
//! | `iN IN` | integers of N bytes, 4 by default |
//! | `f d` | floats of 4 and 8 bytes |
//! | `s` | string that ends in a NUL |
//! | `cN` | N bytes, `c0` the whole string, or as many as the number before says |
//! | `x` | a byte of padding |
//! | `< > !N` | little, big endian; alignment to N, at most |

use super::{number_arg, string_arg};
use crate::scripting::engine::limits::Limits;
use crate::scripting::engine::raise::{bad_argument, fault, truncated};
use mlua::{Lua, MultiValue, Table, Value};
use std::iter::Peekable;
use std::rc::Rc;
use std::slice::Iter;

/// Widest integer.
const MAX_INTEGER: usize = 32;
/// Strictest alignment.
const MAX_ALIGN: usize = 8;
/// Largest number in a format.
const MAX_NUMBER: i64 = i32::MAX as i64;
/// Most values that `unpack` gives; Lua's stack takes few more.
const MAX_RESULTS: usize = 7900;

pub(super) fn library(lua: &Lua, limits: &Rc<Limits>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let limits = Rc::clone(limits);
    let pack = move |lua: &Lua, args: MultiValue| pack(lua, &limits, args);
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set("unpack", lua.create_function(unpack)?)?;
    library.raw_set("size", lua.create_function(size)?)?;
    Ok(library)
}

/// A format as it is read: its options with their sizes.
struct Format<'f> {
    lua: &'f Lua,
    rest: Peekable<Iter<'f, u8>>,
    big: bool,
    align: usize,
}

/// One option.
struct Field {
    option: u8,
    size: usize,
}

impl<'f> Format<'f> {
    fn new(lua: &'f Lua, format: &'f [u8]) -> Format<'f> {
        // The original stops at a NUL.
        let end = memchr::memchr(0, format).unwrap_or(format.len());
        Format { lua, rest: format[..end].iter().peekable(), big: false, align: 1 }
    }

    /// The next option that stands for bytes; others are obeyed on the way.
    fn next(&mut self) -> mlua::Result<Option<Field>> {
        while let Some(option) = self.rest.next() {
            let size = match option {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'f' => 4,
                b'c' => self.number(1)?,
                b'i' | b'I' => {
                    let size = self.number(4)?;
                    if size > MAX_INTEGER {
                        let why = "is larger than limit of";
                        let text = format!("integral size {size} {why} {MAX_INTEGER}");
                        return Err(fault(self.lua, text));
                    }
                    size
                }
                b's' => 0,
                control => {
                    self.control(*control)?;
                    continue;
                }
            };
            return Ok(Some(Field { option: *option, size }));
        }
        Ok(None)
    }

    fn number(&mut self, default: usize) -> mlua::Result<usize> {
        let mut number: Option<i64> = None;
        while let Some(digit) = self.rest.next_if(|byte| byte.is_ascii_digit()) {
            let next = number.unwrap_or(0) * 10 + i64::from(digit - b'0');
            if next > MAX_NUMBER {
                return Err(fault(self.lua, "integral size overflow"));
            }
            number = Some(next);
        }
        Ok(number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default))
    }

    fn control(&mut self, option: u8) -> mlua::Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                let align = self.number(MAX_ALIGN)?;
                if !align.is_power_of_two() {
                    let text = format!("alignment {align} is not a power of 2");
                    return Err(fault(self.lua, text));
                }
                self.align = align;
            }
            other => {
                let why = format!("invalid format option '{}'", char::from(other));
                return Err(bad_argument(self.lua, 1, &why));
            }
        }
        Ok(())
    }

    /// Bytes of padding before a field at `position`.
    fn padding(&self, position: usize, field: &Field) -> usize {
        if field.size == 0 || field.option == b'c' {
            return 0;
        }
        let size = field.size.min(self.align);
        size.wrapping_sub(position & size.wrapping_sub(1)) & size.wrapping_sub(1)
    }

    /// Bytes as they are, or turned round: `bytes` is little-endian.
    fn ordered(&self, bytes: &mut [u8]) {
        if self.big {
            bytes.reverse();
        }
    }
}

fn pack(lua: &Lua, limits: &Limits, mut args: MultiValue) -> mlua::Result<mlua::LuaString> {
    let format = string_arg(lua, &args, 1)?;
    // The original keeps a nil behind the arguments, which shows in its errors.
    args.push_back(Value::Nil);
    let format = format.as_bytes();
    let mut format = Format::new(lua, &format);
    let mut out = Vec::new();
    let mut arg = 1;
    while let Some(field) = format.next()? {
        limits.work(1)?;
        out.resize(out.len() + format.padding(out.len(), &field), 0);
        if field.option != b'x' {
            arg += 1;
        }
        match field.option {
            b'x' => out.push(0),
            b'f' => {
                #[expect(clippy::cast_possible_truncation, reason = "as C does")]
                let mut bytes = (number_arg(lua, &args, arg)? as f32).to_le_bytes();
                format.ordered(&mut bytes);
                out.extend_from_slice(&bytes);
            }
            b'd' => {
                let mut bytes = number_arg(lua, &args, arg)?.to_le_bytes();
                format.ordered(&mut bytes);
                out.extend_from_slice(&bytes);
            }
            b'c' | b's' => {
                let text = string_arg(lua, &args, arg)?;
                let text = text.as_bytes();
                let size = if field.size == 0 { text.len() } else { field.size };
                let Some(text) = text.get(..size) else {
                    return Err(bad_argument(lua, arg + 1, "string too short"));
                };
                limits.append(&mut out, text)?;
                if field.option == b's' {
                    out.push(0);
                }
            }
            _ => {
                let number = number_arg(lua, &args, arg)?;
                let mut bytes = [0; MAX_INTEGER];
                bytes[..8].copy_from_slice(&as_integer(number).to_le_bytes());
                let bytes = &mut bytes[..field.size];
                format.ordered(bytes);
                out.extend_from_slice(bytes);
            }
        }
    }
    lua.create_string(out)
}

/// A number as C's unsigned 64-bit integer.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as C does")]
fn as_integer(number: f64) -> u64 {
    if number < 0.0 { truncated(number).cast_unsigned() } else { number as u64 }
}

fn unpack(lua: &Lua, args: MultiValue) -> mlua::Result<MultiValue> {
    let format = string_arg(lua, &args, 1)?;
    let format = format.as_bytes();
    let mut format = Format::new(lua, &format);
    let data = string_arg(lua, &args, 2)?;
    let data = data.as_bytes();
    let start = match args.get(2) {
        None | Some(Value::Nil) => 1,
        Some(_) => truncated(number_arg(lua, &args, 3)?),
    };
    let Some(mut at) = usize::try_from(start).ok().and_then(|start| start.checked_sub(1)) else {
        return Err(bad_argument(lua, 3, "offset must be 1 or greater"));
    };
    let mut results: Vec<Value> = Vec::new();
    while let Some(field) = format.next()? {
        at = at.saturating_add(format.padding(at, &field));
        let short = || bad_argument(lua, 2, "data string too short");
        let end = at.checked_add(field.size).filter(|end| *end <= data.len()).ok_or_else(short)?;
        let bytes = data.get(at..end).ok_or_else(short)?;
        at = end;
        if results.len() >= MAX_RESULTS {
            return Err(fault(lua, "stack overflow (too many results)"));
        }
        match field.option {
            b'x' => {}
            b'c' if field.size == 0 => {
                let size = match results.pop() {
                    Some(Value::Number(size)) => truncated(size),
                    _ => return Err(fault(lua, "format 'c0' needs a previous size")),
                };
                let size = usize::try_from(size).map_err(|_| short())?;
                let end = at.checked_add(size).ok_or_else(short)?;
                let bytes = data.get(at..end).ok_or_else(short)?;
                at = end;
                results.push(Value::String(lua.create_string(bytes)?));
            }
            b'c' => results.push(Value::String(lua.create_string(bytes)?)),
            b's' => {
                let rest = data.get(at..).unwrap_or_default();
                let Some(end) = memchr::memchr(0, rest) else {
                    return Err(fault(lua, "unfinished string in data"));
                };
                results.push(Value::String(lua.create_string(&rest[..end])?));
                at += end + 1;
            }
            _ => results.push(Value::Number(format.number_in(&field, bytes))),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a position in memory")]
    results.push(Value::Number((at + 1) as f64));
    Ok(results.into_iter().collect())
}

impl Format<'_> {
    fn number_in(&self, field: &Field, bytes: &[u8]) -> f64 {
        let mut bytes = bytes.to_vec();
        self.ordered(&mut bytes);
        match field.option {
            b'f' => f64::from(f32::from_le_bytes(bytes.try_into().unwrap_or_default())),
            b'd' => f64::from_le_bytes(bytes.try_into().unwrap_or_default()),
            option => integer_in(&bytes, option.is_ascii_lowercase()),
        }
    }
}

/// Little-endian bytes as a number; of wide ones the low 64 bits count.
#[expect(clippy::cast_precision_loss, reason = "numbers of Lua are floats")]
fn integer_in(bytes: &[u8], signed: bool) -> f64 {
    let low = bytes.iter().take(8).rev().fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
    if !signed {
        return low as f64;
    }
    let unused = 64 - 8 * bytes.len().clamp(1, 8);
    ((low << unused).cast_signed() >> unused) as f64
}

fn size(lua: &Lua, args: MultiValue) -> mlua::Result<f64> {
    let format = string_arg(lua, &args, 1)?;
    let format = format.as_bytes();
    let mut format = Format::new(lua, &format);
    let mut total = 0_usize;
    while let Some(field) = format.next()? {
        match field.option {
            b's' => return Err(bad_argument(lua, 1, "option 's' has no fixed size")),
            b'c' if field.size == 0 => {
                return Err(bad_argument(lua, 1, "option 'c0' has no fixed size"));
            }
            _ => total = total.saturating_add(format.padding(total, &field) + field.size),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a size")]
    Ok(total as f64)
}
