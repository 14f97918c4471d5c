//! Expire times as the commands take them: seconds or milliseconds, from now or since 1970.
//!
//! Everything inside is a deadline in Unix milliseconds; only the arguments differ. Both option
//! parsers (SET and its relatives here, the EXPIRE family in `generic`) need the same overflow
//! rules, so the rules live in one place.

use super::error::{ReplyError, invalid_expire};
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
        let error = Err(ReplyError::from(
            "ERR invalid expire time in 'getex' command",
        ));
        for value in [i64::MAX, i64::MIN, i64::MAX / 1000 + 1] {
            assert_eq!(
                deadline(value, Unit::Seconds, Base::Epoch, NOW, "getex"),
                error
            );
        }
        let most = i64::MAX - NOW;
        assert_eq!(
            deadline(most, Unit::Millis, Base::Now, NOW, "getex"),
            Ok(i64::MAX)
        );
        assert_eq!(
            deadline(most + 1, Unit::Millis, Base::Now, NOW, "getex"),
            error
        );
        assert_eq!(
            deadline(i64::MAX, Unit::Millis, Base::Epoch, NOW, "getex"),
            Ok(i64::MAX)
        );
        assert_eq!(
            positive_deadline(0, Unit::Millis, Base::Epoch, NOW, "getex"),
            error
        );
        assert_eq!(
            positive_deadline(-1, Unit::Seconds, Base::Now, NOW, "getex"),
            error
        );
        assert_eq!(
            positive_deadline(1, Unit::Seconds, Base::Epoch, NOW, "getex"),
            Ok(1000)
        );
    }
}
