//! Single bits and ranges of them: SETBIT, GETBIT, BITCOUNT, BITPOS.

use super::scan::BitRange;
use super::{bit_offset, byte_of, int};
use crate::commands::call::Call;
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
const END: Arg = Arg::block("end-unit-block", &[Arg::integer("end"), UNIT]).optional();
const RANGE: Arg = Arg::block("range", &[Arg::integer("start"), END]).optional();
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
        .args(&[KEY, RANGE]),
    );

/// A range as it is given.
struct Given {
    start: i64,
    end: Option<i64>,
    bits: bool,
}

impl Given {
    /// The range from argument `at` on, if there is one. It is read before the key is looked at, as in
    /// Redis since 7.4: until then a missing key hid what was wrong with it.
    fn parse(call: &Call<'_, '_>, at: usize) -> Result<Option<Given>, ReplyError> {
        let argc = call.argc();
        if argc > at + 3 {
            return Err(SYNTAX);
        }
        if argc <= at {
            return Ok(None);
        }
        let start = call.int(at)?;
        let bits = match at + 2 {
            unit if unit >= argc || call.is(unit, "BYTE") => false,
            unit if call.is(unit, "BIT") => true,
            _ => return Err(SYNTAX),
        };
        let end = if argc > at + 1 { Some(call.int(at + 1)?) } else { None };
        Ok(Some(Given { start, end, bits }))
    }
}

fn bitcount(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let given = Given::parse(call, 2)?;
    let key = call.key(1);
    let Some(value) = call.lookup_str(&key)? else {
        call.reply.int(0);
        return Ok(Outcome::Done);
    };
    let range = match given {
        None => BitRange::bytes(0, value.len()),
        Some(Given { start, end, bits }) => range_of(start, end.unwrap_or(-1), value.len(), bits),
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
        .args(&[KEY, Arg::integer("bit"), RANGE]),
    );

fn bitpos(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let bit = match call.int(2)? {
        0 => false,
        1 => true,
        _ => return Err("ERR The bit argument must be 1 or 0.".into()),
    };
    let given = Given::parse(call, 3)?;
    let Given { start, end, bits } = given.unwrap_or(Given { start: 0, end: None, bits: false });
    let key = call.key(1);
    let Some(value) = call.lookup_str(&key)? else {
        // As if it were zeros without an end.
        call.reply.int(if bit { -1 } else { 0 });
        return Ok(Outcome::Done);
    };
    let range = position_range(start, end.unwrap_or(-1), value.len(), bits);
    let found = range.find(bit, value.range(range.start, range.end));
    let position = match found {
        Some(at) => int(at),
        // Looking for a clear bit without an end: the first one is behind the string.
        None if !bit && end.is_none() && range.start < range.end => int(value.len() * 8),
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
