//! Expire times as the commands take them: seconds or milliseconds, from now or since 1970.
//!
//! Everything inside is a deadline in Unix milliseconds; only the arguments differ. Both option
//! parsers (SET and its relatives here, the EXPIRE family in `generic`) need the same overflow
//! rules, so the rules live in one place.

use super::call::Call;
use super::error::{NOT_INTEGER, ReplyError, SYNTAX, invalid_expire};
use dunlin_protocol::{ArgValue, number};
use dunlin_storage::Millis;

/// Unit of an expire argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// EX, EXAT, EXPIRE, EXPIREAT.
    Seconds,
    /// PX, PXAT, PEXPIRE, PEXPIREAT.
    Millis,
}

/// What an expire argument counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// From now on.
    Now,
    /// Since 1970.
    Epoch,
}

/// The deadline of `value`, which may lie in the past or be negative; an error (with the name of
/// `command`) if it does not fit.
pub(super) fn deadline(
    value: i64,
    unit: Unit,
    base: Base,
    now: Millis,
    command: &str,
) -> Result<Millis, ReplyError> {
    let millis = match unit {
        Unit::Seconds => value.checked_mul(1000),
        Unit::Millis => Some(value),
    };
    let deadline = match base {
        Base::Now => millis.and_then(|millis| millis.checked_add(now)),
        Base::Epoch => millis,
    };
    deadline.ok_or_else(|| invalid_expire(command))
}

/// The deadline as the store keeps it: times since 1970 are of the wall clock, and the server's
/// own clock is not set along with it (see [`crate::runtime::clock`]).
pub(super) fn server_time(call: &Call<'_, '_>, base: Base, deadline: Millis) -> Millis {
    match base {
        Base::Now => deadline,
        Base::Epoch => call.server.clock.from_wall(deadline),
    }
}

/// [`deadline`] for the commands that take no zero or negative expire time (SET, SETEX, GETEX).
pub(super) fn positive_deadline(
    value: i64,
    unit: Unit,
    base: Base,
    now: Millis,
    command: &str,
) -> Result<Millis, ReplyError> {
    if value <= 0 {
        return Err(invalid_expire(command));
    }
    deadline(value, unit, base, now, command)
}

/// What a writing command does with the expire time of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// No option was given.
    #[default]
    None,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// EX, PX, EXAT, PXAT
    Time(Unit, Base),
}

/// The expire options of SET and its relatives, of which a command line may have one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExpireOption {
    choice: Choice,
    /// Argument with the time.
    at: usize,
}

impl ExpireOption {
    /// Takes the option `word` at argument `i`, whose value would be argument `i + 1` of `argc`.
    /// Returns the number of arguments used: 0 if this is no expire option. Two kinds are a
    /// syntax error; one kind twice is not, the last one counts.
    pub(super) fn take(&mut self, word: &[u8], i: usize, argc: usize) -> Result<usize, ReplyError> {
        let Some(choice) = choice_of(word) else {
            return Ok(0);
        };
        let used = if matches!(choice, Choice::Time(..)) { 2 } else { 1 };
        let clash = self.choice != Choice::None && self.choice != choice;
        if clash || i + used > argc {
            return Err(SYNTAX);
        }
        self.choice = choice;
        self.at = i + 1;
        Ok(used)
    }

    /// Which kind was given.
    pub(super) fn choice(&self) -> Choice {
        self.choice
    }

    /// The deadline that the option asks for, if it names a time.
    pub(super) fn deadline(&self, call: &Call<'_, '_>) -> Result<Option<Millis>, ReplyError> {
        let Choice::Time(unit, base) = self.choice else {
            return Ok(None);
        };
        let value = number::parse_i64(contiguous(call, self.at)).ok_or(NOT_INTEGER)?;
        let at = positive_deadline(value, unit, base, call.now, call.entry.command.name)?;
        Ok(Some(server_time(call, base, at)))
    }
}

fn choice_of(word: &[u8]) -> Option<Choice> {
    const TIMES: [(&str, Unit, Base); 4] = [
        ("EX", Unit::Seconds, Base::Now),
        ("PX", Unit::Millis, Base::Now),
        ("EXAT", Unit::Seconds, Base::Epoch),
        ("PXAT", Unit::Millis, Base::Epoch),
    ];
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if let Some((_, unit, base)) = TIMES.iter().find(|(name, ..)| is(name)) {
        return Some(Choice::Time(*unit, *base));
    }
    match word {
        _ if is("KEEPTTL") => Some(Choice::Keep),
        _ if is("PERSIST") => Some(Choice::Persist),
        _ => None,
    }
}

/// Argument `i` of a command that takes big values in chunks. An argument so big is neither an
/// option nor a number, and neither is the empty string.
pub(super) fn contiguous<'a>(call: &Call<'a, '_>, i: usize) -> &'a [u8] {
    match call.value_arg(i) {
        ArgValue::Slice(bytes) => bytes,
        ArgValue::Chunks { .. } => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_700_000_000_000;

    #[test]
    fn units_and_bases() {
        let at = |value, unit, base| deadline(value, unit, base, NOW, "set");
        assert_eq!(at(10, Unit::Seconds, Base::Now), Ok(NOW + 10_000));
        assert_eq!(at(10, Unit::Millis, Base::Now), Ok(NOW + 10));
        assert_eq!(at(10, Unit::Seconds, Base::Epoch), Ok(10_000));
        assert_eq!(at(-1, Unit::Seconds, Base::Now), Ok(NOW - 1000));
        assert_eq!(at(-5, Unit::Millis, Base::Epoch), Ok(-5));
    }

    #[test]
    fn what_does_not_fit_names_the_command() {
        let error = Err(ReplyError::from("ERR invalid expire time in 'getex' command"));
        for value in [i64::MAX, i64::MIN, i64::MAX / 1000 + 1] {
            assert_eq!(deadline(value, Unit::Seconds, Base::Epoch, NOW, "getex"), error);
        }
        let most = i64::MAX - NOW;
        assert_eq!(deadline(most, Unit::Millis, Base::Now, NOW, "getex"), Ok(i64::MAX));
        assert_eq!(deadline(most + 1, Unit::Millis, Base::Now, NOW, "getex"), error);
        assert_eq!(deadline(i64::MAX, Unit::Millis, Base::Epoch, NOW, "getex"), Ok(i64::MAX));
        assert_eq!(positive_deadline(0, Unit::Millis, Base::Epoch, NOW, "getex"), error);
        assert_eq!(positive_deadline(-1, Unit::Seconds, Base::Now, NOW, "getex"), error);
        assert_eq!(positive_deadline(1, Unit::Seconds, Base::Epoch, NOW, "getex"), Ok(1000));
    }

    #[test]
    fn one_kind_of_option() {
        let take = |words: &[&[u8]]| {
            let mut option = ExpireOption::default();
            let mut i = 0;
            while i < words.len() {
                i += option.take(words[i], i, words.len())?.max(1);
            }
            Ok::<_, ReplyError>((option.choice, option.at))
        };
        let seconds = Choice::Time(Unit::Seconds, Base::Now);
        assert_eq!(take(&[b"ex", b"1", b"EX", b"2"]), Ok((seconds, 3)));
        assert_eq!(take(&[b"Pxat", b"1"]), Ok((Choice::Time(Unit::Millis, Base::Epoch), 1)));
        assert_eq!(take(&[b"keepttl", b"KEEPTTL"]), Ok((Choice::Keep, 2)));
        assert_eq!(take(&[b"x"]), Ok((Choice::None, 0)));
        assert_eq!(take(&[b"EX"]), Err(SYNTAX));
        assert_eq!(take(&[b"EX", b"1", b"PX", b"1"]), Err(SYNTAX));
        assert_eq!(take(&[b"PERSIST", b"EX", b"1"]), Err(SYNTAX));
        assert_eq!(take(&[b"EX", b"1", b"KEEPTTL"]), Err(SYNTAX));
    }
}
