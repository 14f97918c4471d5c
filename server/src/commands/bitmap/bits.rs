//! Single bits and ranges of them: SETBIT, GETBIT, BITCOUNT, BITPOS.

use super::scan::BitRange;
use super::{bit_offset, byte_of, int};
use crate::commands::call::{Call, string_of};
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Flags, KeyFlags, KeySpec, Outcome};
use crate::commands::string::{clamp, for_update, write_at};
use crate::notify::Class;
use dunlin_protocol::number;
use dunlin_storage::Str;

const KEY: Arg = Arg::key("key", 0);
const BAD_BIT: ReplyError = ReplyError::new("ERR bit is not an integer or out of range");

const UNIT: Arg = Arg::one_of("unit", &[Arg::flag("byte", "BYTE"), Arg::flag("bit", "BIT")])
    .since("7.0.0")
    .optional();
const UNIT_HISTORY: &[(&str, &str)] = &[("7.0.0", "Added the `BYTE|BIT` option.")];

pub(super) const SETBIT: Command = Command::new("setbit", Arity::exactly(4), setbit)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(1).update().with(KeyFlags::ACCESS)])
    .docs(
        Docs::new(
            Group::Bitmap,
            "2.2.0",
            "O(1); of a long string the 32 KiB around the bit are copied.",
            "Sets or clears one bit of a string and replies what it was; the string grows as \
             needed.",
        )
        .args(&[KEY, Arg::integer("offset"), Arg::integer("value")]),
    );

fn setbit(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let offset = bit_offset(call, call.arg(2), None)?;
    let on = match number::parse_i64(call.arg(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(BAD_BIT),
    };
    let key = call.key(1);
    let (old, expire_at) = match for_update(call, &key)? {
        Some((old, expire_at)) => (old, expire_at),
        None => (Str::Inline { bytes: b"", raw: false }, None),
    };
    let at = byte_of(offset);
    let mask = 0x80 >> (offset % 8);
    let byte = old.byte(at).unwrap_or(0);
    let was = byte & mask != 0;
    let updated = matches!(old, Str::Rope(_) | Str::Inline { raw: true, .. });
    let changed = was != on || at >= old.len();
    // Nothing to store if neither the bit nor the length nor the encoding changes.
    if changed || !updated {
        let new = if on { byte | mask } else { byte & !mask };
        write_at(call, &key, (old, expire_at), at, &[new]);
    }
    if changed {
        call.notify(Class::STRING, "setbit", &key);
    }
    call.reply.int(i64::from(was));
    Ok(Outcome::Done)
}

pub(super) const GETBIT: Command = Command::new("getbit", Arity::exactly(3), getbit)
    .flags(flag_set!(READONLY | FAST))
    .keys(&[KeySpec::one(1).read()])
    .docs(
        Docs::new(
            Group::Bitmap,
            "2.2.0",
            "O(1)",
            "Replies one bit of a string; bits past its end are 0.",
        )
        .args(&[KEY, Arg::integer("offset")]),
    );

fn getbit(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let offset = bit_offset(call, call.arg(2), None)?;
    let key = call.key(1);
    let byte = call.lookup_str(&key)?.and_then(|value| value.byte(byte_of(offset)));
    let set = byte.is_some_and(|byte| byte & (0x80 >> (offset % 8)) != 0);
    call.reply.int(i64::from(set));
    Ok(Outcome::Done)
}

pub(super) const BITCOUNT: Command = Command::new("bitcount", Arity::at_least(2), bitcount)
    .flags(Flags::READONLY)
    .keys(&[KeySpec::one(1).read()])
    .docs(
        Docs::new(
            Group::Bitmap,
            "2.6.0",
            "O(N)",
            "Counts the set bits of a string or of a range of it.",
        )
        .history(UNIT_HISTORY)
        .args(&[
            KEY,
            Arg::block("range", &[Arg::integer("start"), Arg::integer("end"), UNIT]).optional(),
        ]),
    );

/// Whether the unit at argument `i`, if there is one, is BIT.
fn unit_is_bit(call: &Call<'_, '_>, i: usize) -> Result<bool, ReplyError> {
    match () {
        () if i >= call.argc() || call.is(i, "BYTE") => Ok(false),
        () if call.is(i, "BIT") => Ok(true),
        () => Err(SYNTAX),
    }
}

fn bitcount(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    // The arguments of a missing key are not looked at, as in Redis before 8.
    let Some(value) = call.lookup_str(&key)? else {
        call.reply.int(0);
        return Ok(Outcome::Done);
    };
    let range = match call.argc() {
        2 => BitRange::bytes(0, value.len()),
        4 | 5 => {
            let (start, end) = (call.int(2)?, call.int(3)?);
            // Redis answers this one before it looks at the unit.
            if start < 0 && end < 0 && start > end {
                call.reply.int(0);
                return Ok(Outcome::Done);
            }
            range_of(start, end, value.len(), unit_is_bit(call, 4)?)
        }
        _ => return Err(SYNTAX),
    };
    let count = range.count(value.range(range.start, range.end));
    call.reply.int(int(count));
    Ok(Outcome::Done)
}

fn range_of(start: i64, end: i64, len: usize, bits: bool) -> BitRange {
    match clamp(start, end, if bits { len * 8 } else { len }) {
        (start, end) if start == end => BitRange::bytes(0, 0),
        (start, end) if bits => BitRange::bits(start, end),
        (start, end) => BitRange::bytes(start, end),
    }
}

pub(super) const BITPOS: Command = Command::new("bitpos", Arity::at_least(3), bitpos)
    .flags(Flags::READONLY)
    .keys(&[KeySpec::one(1).read()])
    .docs(
        Docs::new(
            Group::Bitmap,
            "2.8.7",
            "O(N)",
            "Finds the first bit that is set, or clear, in a string or in a range of it.",
        )
        .history(UNIT_HISTORY)
        .args(&[
            KEY,
            Arg::integer("bit"),
            Arg::block(
                "range",
                &[
                    Arg::integer("start"),
                    Arg::block("end-unit-block", &[Arg::integer("end"), UNIT]).optional(),
                ],
            )
            .optional(),
        ]),
    );

fn bitpos(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let bit = match call.int(2)? {
        0 => false,
        1 => true,
        _ => return Err("ERR The bit argument must be 1 or 0.".into()),
    };
    let key = call.key(1);
    let value = match call.lookup(&key) {
        Some(entry) => string_of(&entry)?,
        None => {
            // As if it were zeros without an end.
            call.reply.int(if bit { -1 } else { 0 });
            return Ok(Outcome::Done);
        }
    };
    let argc = call.argc();
    let (mut start, mut end, mut bits) = (0, -1, false);
    if argc > 6 {
        return Err(SYNTAX);
    }
    if argc > 3 {
        start = call.int(3)?;
        bits = unit_is_bit(call, 5)?;
    }
    if argc > 4 {
        end = call.int(4)?;
    }
    let range = position_range(start, end, value.len(), bits);
    let found = range.find(bit, value.range(range.start, range.end));
    let position = match found {
        Some(at) => int(at),
        // Looking for a clear bit without an end: the first one is behind the string.
        None if !bit && argc < 5 && range.start < range.end => int(value.len() * 8),
        None => -1,
    };
    call.reply.int(position);
    Ok(Outcome::Done)
}

/// As [`range_of`], without its exception for two negative bounds in the wrong order (which
/// gives an empty range here, too, unless both are clamped to the start).
fn position_range(start: i64, end: i64, len: usize, bits: bool) -> BitRange {
    let total = i64::try_from(if bits { len * 8 } else { len }).unwrap_or(i64::MAX);
    let absolute = |i: i64| {
        if i < 0 { total.saturating_add(i).max(0) } else { i }
    };
    range_of(absolute(start), absolute(end), len, bits)
}
