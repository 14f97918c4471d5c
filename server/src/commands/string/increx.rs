//! INCREX: a counter with bounds and an expire time, in one step (Redis 8.8; Valkey 9.2 adds NX
//! and XX).
//!
//! ```text
//! INCREX key [BYINT n | BYFLOAT x] [LBOUND l] [UBOUND u] [SATURATE] [NX | XX]
//!        [EX s | PX ms | EXAT s | PXAT ms | PERSIST] [ENX]
//! ```
//!
//! The reply is the new value and the increment that was applied. A result out of bounds (of the
//! options or of the number type) leaves the key and its expire time alone and replies an
//! increment of 0; with SATURATE the result is the bound instead. ENX sets the expire time only
//! on a key without one: the window of a rate limiter begins with its first request.

use super::docs::{EXPIRE_OR_PERSIST, KEY, NX_XX};
use super::{for_update, store};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_FLOAT, NOT_INTEGER, ReplyError, SYNTAX};
use crate::commands::expiry::{Choice, ExpireOption};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::{self, Extended};
use dunlin_protocol::{Proto, Reply};
use dunlin_storage::{Key, Millis, NewValue, Str};

const CROSSED_BOUNDS: ReplyError = ReplyError::new("ERR LBOUND can't be greater than UBOUND");

pub(super) const INCREX: Command = Command::new("increx", Arity::at_least(2), increx)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).update().with(KeyFlags::ACCESS)])
    .docs(
        Docs::new(
            Group::String,
            "8.8.0",
            "O(1)",
            "Adds a number to the one at a key within bounds and sets the expire time; a missing \
             key counts as 0.",
        )
        .args(&[
            KEY,
            Arg::one_of(
                "increment",
                &[Arg::double("float").token("BYFLOAT"), Arg::integer("integer").token("BYINT")],
            )
            .optional(),
            Arg::string("lowerbound").token("LBOUND").optional(),
            Arg::string("upperbound").token("UBOUND").optional(),
            Arg::flag("saturate", "SATURATE").optional(),
            NX_XX,
            EXPIRE_OR_PERSIST,
            Arg::flag("enx", "ENX").optional(),
        ]),
    );

/// The options; numbers as the argument where they are.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    by_int: Option<usize>,
    by_float: Option<usize>,
    lower: Option<usize>,
    upper: Option<usize>,
    saturate: bool,
    missing: bool,
    exists: bool,
    enx: bool,
    expire: ExpireOption,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let argc = call.argc();
        let mut i = 2;
        while i < argc {
            let word = call.arg(i);
            let before = options.expire.choice();
            let mut used = options.expire.take(word, i, argc)?;
            // Unlike SET's, no option may be repeated.
            if used > 0 && before != Choice::None {
                return Err(SYNTAX);
            }
            if used == 0 {
                used = options.take(word, i, argc)?;
            }
            i += used;
        }
        options.check()
    }

    fn take(&mut self, word: &[u8], i: usize, argc: usize) -> Result<usize, ReplyError> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let number = match () {
            () if is("BYINT") => Some(&mut self.by_int),
            () if is("BYFLOAT") => Some(&mut self.by_float),
            () if is("LBOUND") => Some(&mut self.lower),
            () if is("UBOUND") => Some(&mut self.upper),
            () => None,
        };
        if let Some(slot) = number {
            if i + 1 >= argc || slot.is_some() {
                return Err(SYNTAX);
            }
            *slot = Some(i + 1);
            return Ok(2);
        }
        let flag = match () {
            () if is("SATURATE") => &mut self.saturate,
            () if is("NX") => &mut self.missing,
            () if is("XX") => &mut self.exists,
            () if is("ENX") => &mut self.enx,
            () => return Err(SYNTAX),
        };
        if std::mem::replace(flag, true) {
            return Err(SYNTAX);
        }
        Ok(1)
    }

    fn check(self) -> Result<Options, ReplyError> {
        let choice = self.expire.choice();
        if (self.by_int.is_some() && self.by_float.is_some())
            || (self.missing && self.exists)
            || choice == Choice::Keep
            || (self.enx && choice == Choice::Persist)
        {
            return Err(SYNTAX);
        }
        if self.enx && choice == Choice::None {
            return Err("ERR ENX flag requires an expiration".into());
        }
        Ok(self)
    }

    /// Whether NX or XX forbids the increment.
    fn declines(&self, exists: bool) -> bool {
        (self.missing && exists) || (self.exists && !exists)
    }
}

fn increx(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call)?;
    if options.by_float.is_some() { by_float(call, &options) } else { by_int(call, &options) }
}

/// What there is at the key, and the deadline that the options ask for.
struct Target<'k, 'g> {
    key: Key<'k>,
    old: Option<(Str<'g>, Option<Millis>)>,
    deadline: Option<Millis>,
}

impl<'k, 'g> Target<'k, 'g> {
    fn find(call: &Call<'k, 'g>, options: &Options) -> Result<Self, ReplyError> {
        let deadline = options.expire.deadline(call)?;
        let key = call.key(1);
        Ok(Target { key, old: for_update(call, &key)?, deadline })
    }

    fn store(&self, call: &mut Call<'_, '_>, options: &Options, text: &[u8], event: &str) {
        let current = self.old.and_then(|(_, at)| at);
        let (at, given) = match options.expire.choice() {
            Choice::Time(..) if options.enx && current.is_some() => (current, false),
            Choice::Time(..) => (self.deadline, true),
            Choice::Persist => (None, false),
            Choice::None | Choice::Keep => (current, false),
        };
        store(call, &self.key, NewValue::Bytes(text), at, (event, given));
        if current.is_some() && at.is_none() {
            call.notify(Class::GENERIC, "persist", &self.key);
        }
    }
}

fn by_int(call: &mut Call<'_, '_>, options: &Options) -> Result<Outcome, ReplyError> {
    let parse = |at: Option<usize>, default: i64, name: &str| match at {
        Some(at) => number::parse_i64(call.arg(at))
            .ok_or_else(|| format!("ERR {name} is not an integer or out of range")),
        None => Ok(default),
    };
    let delta = parse(options.by_int, 1, "Increment")?;
    let lower = parse(options.lower, i64::MIN, "LBOUND")?;
    let upper = parse(options.upper, i64::MAX, "UBOUND")?;
    if lower > upper {
        return Err(CROSSED_BOUNDS);
    }
    let target = Target::find(call, options)?;
    let old = match &target.old {
        Some((value, _)) => value.as_i64().ok_or(NOT_INTEGER)?,
        None => 0,
    };
    let (new, applied) = if options.declines(target.old.is_some()) {
        (old, None)
    } else {
        add_int(old, delta, lower..=upper, options.saturate)?
    };
    if applied.is_some() {
        let mut text = itoa::Buffer::new();
        target.store(call, options, text.format(new).as_bytes(), "incrby");
    }
    call.reply.array(2);
    call.reply.int(new);
    call.reply.int(applied.unwrap_or(0));
    Ok(Outcome::Done)
}

/// The new value and what was really added, `None` if the result is out of bounds.
fn add_int(
    old: i64,
    delta: i64,
    bounds: std::ops::RangeInclusive<i64>,
    saturate: bool,
) -> Result<(i64, Option<i64>), ReplyError> {
    let sum = old.checked_add(delta);
    if let Some(new) = sum.filter(|new| bounds.contains(new)) {
        return Ok((new, Some(delta)));
    }
    if !saturate {
        return Ok((old, None));
    }
    let new = old.saturating_add(delta).clamp(*bounds.start(), *bounds.end());
    let applied = new.checked_sub(old).ok_or("ERR applied increment would overflow")?;
    Ok((new, Some(applied)))
}

fn by_float(call: &mut Call<'_, '_>, options: &Options) -> Result<Outcome, ReplyError> {
    let parse = |at: Option<usize>, default: Extended, name: &str| match at {
        Some(at) => {
            Extended::parse(call.arg(at)).ok_or_else(|| format!("ERR {name} is not a valid float"))
        }
        None => Ok(default),
    };
    let delta = parse(options.by_float, Extended::ZERO, "Increment")?;
    if delta.is_infinite() {
        return Err("ERR BYFLOAT increment cannot be Infinity".into());
    }
    let lower = parse(options.lower, Extended::MIN, "LBOUND")?;
    let upper = parse(options.upper, Extended::MAX, "UBOUND")?;
    if upper.is_below(&lower) {
        return Err(CROSSED_BOUNDS);
    }
    let target = Target::find(call, options)?;
    let old = match &target.old {
        Some((value, _)) => value.as_slice().and_then(Extended::parse).ok_or(NOT_FLOAT)?,
        None => Extended::ZERO,
    };
    if old.is_infinite() {
        return Err("ERR value cannot be Infinity".into());
    }
    let (new, applied) = if options.declines(target.old.is_some()) {
        (old, None)
    } else {
        add_float(old, &delta, &lower, &upper, options.saturate)?
    };
    let text = new.print().unwrap_or_default();
    if applied.is_some() {
        target.store(call, options, &text, "incrbyfloat");
    }
    call.reply.array(2);
    reply_float(call.reply, &text);
    let applied = applied.unwrap_or(Extended::ZERO);
    reply_float(call.reply, &applied.print().unwrap_or_default());
    Ok(Outcome::Done)
}

/// As [`add_int`]. What was applied is the difference of the values: a sum may be rounded.
fn add_float(
    old: Extended,
    delta: &Extended,
    lower: &Extended,
    upper: &Extended,
    saturate: bool,
) -> Result<(Extended, Option<Extended>), ReplyError> {
    let sum = old.plus(delta);
    let above = is_infinite(&sum, false) || upper.is_below(&sum);
    let below = is_infinite(&sum, true) || sum.is_below(lower);
    let new = match (above || below, saturate) {
        (false, _) => sum,
        (true, false) => return Ok((old, None)),
        (true, true) if above => upper.clone(),
        (true, true) => lower.clone(),
    };
    let applied = new.minus(&old);
    if applied.is_infinite() {
        return Err("ERR applied increment would be Infinity".into());
    }
    Ok((new, Some(applied)))
}

/// Whether a sum overflowed on this side.
fn is_infinite(sum: &Extended, below: bool) -> bool {
    sum.is_infinite() && sum.is_negative() == below
}

/// A double of any precision: Redis prints more digits than 64 bits hold.
fn reply_float(reply: &mut Reply, text: &[u8]) {
    match reply.proto() {
        Proto::Resp2 => reply.bulk(text),
        Proto::Resp3 => {
            reply.raw(b",");
            reply.raw(text);
            reply.raw(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_within_bounds() {
        let add = |old, delta, bounds, saturate| add_int(old, delta, bounds, saturate);
        assert_eq!(add(10, 5, 0..=20, false), Ok((15, Some(5))));
        assert_eq!(add(10, 5, 0..=12, false), Ok((10, None)));
        assert_eq!(add(10, 5, 0..=12, true), Ok((12, Some(2))));
        assert_eq!(add(10, -5, 8..=12, true), Ok((8, Some(-2))));
        // A value out of bounds comes back into them by itself, or by SATURATE.
        assert_eq!(add(50, -25, 0..=30, false), Ok((25, Some(-25))));
        assert_eq!(add(50, 5, 0..=30, true), Ok((30, Some(-20))));
        let all = i64::MIN..=i64::MAX;
        assert_eq!(add(i64::MAX - 7, 10, all.clone(), false), Ok((i64::MAX - 7, None)));
        assert_eq!(add(i64::MAX - 7, 10, all.clone(), true), Ok((i64::MAX, Some(7))));
        assert_eq!(add(i64::MIN + 8, i64::MIN, all, true), Ok((i64::MIN, Some(-8))));
        assert_eq!(
            add(i64::MAX, -5, i64::MIN..=i64::MIN, true),
            Err("ERR applied increment would overflow".into())
        );
    }

    #[test]
    fn floats_within_bounds() {
        let number = |text: &str| Extended::parse(text.as_bytes()).expect("a number");
        let add = |old, delta, lower, upper, saturate| {
            let (lower, upper) = (number(lower), number(upper));
            let (new, applied) = add_float(number(old), &number(delta), &lower, &upper, saturate)?;
            let text = |n: Extended| String::from_utf8(n.print().unwrap_or_default());
            Ok::<_, ReplyError>((
                text(new).unwrap_or_default(),
                applied.map(|a| text(a).unwrap_or_default()),
            ))
        };
        let done = |new: &str, applied: &str| Ok((new.to_owned(), Some(applied.to_owned())));
        assert_eq!(add("10", "2.5", "5", "15", false), done("12.5", "2.5"));
        assert_eq!(add("10", "5.5", "5", "12.5", false), Ok(("10".to_owned(), None)));
        assert_eq!(add("10", "5.5", "5", "12.5", true), done("12.5", "2.5"));
        assert_eq!(add("10", "-6", "8", "12.5", true), done("8", "-2"));
        assert!(add("10", "1e4932", "-inf", "inf", true).is_ok());
        assert_eq!(add("1e4932", "1e4932", "-1", "inf", false).map(|r| r.1), Ok(None));
        assert!(add("10", "1", "inf", "inf", true).is_err());
        assert_eq!(add("10", "1", "inf", "inf", false), Ok(("10".to_owned(), None)));
    }
}
