//! `bit`: operations on 32-bit integers, as in LuaBitOp.

use super::number_arg;
use mlua::{Lua, MultiValue, Table};

type Fold = fn(u32, u32) -> u32;
type Shift = fn(u32, u32) -> u32;

const FOLDS: [(&str, Fold); 3] =
    [("band", |a, b| a & b), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)];

const SHIFTS: [(&str, Shift); 5] = [
    ("lshift", |b, n| b << n),
    ("rshift", |b, n| b >> n),
    ("arshift", |b, n| (b.cast_signed() >> n).cast_unsigned()),
    ("rol", u32::rotate_left),
    ("ror", u32::rotate_right),
];

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let bit = lua.create_table()?;
    let one = |f: fn(u32) -> u32| {
        lua.create_function(move |lua, args: MultiValue| Ok(result(f(bits(lua, &args, 1)?))))
    };
    bit.raw_set("tobit", one(|b| b)?)?;
    bit.raw_set("bnot", one(|b| !b)?)?;
    bit.raw_set("bswap", one(u32::swap_bytes)?)?;
    for (name, fold) in FOLDS {
        let f = move |lua: &Lua, args: MultiValue| {
            let mut all = bits(lua, &args, 1)?;
            // From the last to the second, as the original reads them: its errors show it.
            for n in (2..=args.len()).rev() {
                all = fold(all, bits(lua, &args, n)?);
            }
            Ok(result(all))
        };
        bit.raw_set(name, lua.create_function(f)?)?;
    }
    for (name, shift) in SHIFTS {
        let f = move |lua: &Lua, args: MultiValue| {
            let b = bits(lua, &args, 1)?;
            Ok(result(shift(b, bits(lua, &args, 2)? & 31)))
        };
        bit.raw_set(name, lua.create_function(f)?)?;
    }
    bit.raw_set("tohex", lua.create_function(to_hex)?)?;
    Ok(bit)
}

/// Results are signed.
fn result(bits: u32) -> f64 {
    f64::from(bits.cast_signed())
}

/// Argument `n` as bits: the integer nearest to it, modulo 2^32.
fn bits(lua: &Lua, args: &MultiValue, n: usize) -> mlua::Result<u32> {
    number_arg(lua, args, n).map(to_bits)
}

/// Adding 2^52 + 2^51 leaves a float's integer part in the low bits of its mantissa.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
fn to_bits(number: f64) -> u32 {
    (number + 6_755_399_441_055_744.0).to_bits() as u32
}

fn to_hex(lua: &Lua, args: MultiValue) -> mlua::Result<String> {
    let b = bits(lua, &args, 1)?;
    let digits = if args.len() < 2 { 8 } else { bits(lua, &args, 2)?.cast_signed() };
    let count = usize::try_from(digits.unsigned_abs().min(8)).unwrap_or(8);
    let text = if digits < 0 { format!("{b:08X}") } else { format!("{b:08x}") };
    Ok(text.get(8 - count..).unwrap_or_default().to_owned())
}
