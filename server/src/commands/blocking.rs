//! What the blocking commands have in common: their timeouts, and how they begin to wait.

use super::call::Call;
use super::docs::Arg;
use super::error::ReplyError;
use super::spec::Outcome;
use crate::blocking::{Wait, WaitKeys};
use dunlin_protocol::Reply;
use dunlin_protocol::number::{self, Extended};
use dunlin_storage::Millis;

/// A timeout in seconds.
pub(super) const TIMEOUT: Arg = Arg::double("timeout");
/// Timeouts were whole seconds once.
pub(super) const DOUBLE_TIMEOUT: &[(&str, &str)] =
    &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")];

const OUT_OF_RANGE: ReplyError = ReplyError::new("ERR timeout is out of range");

/// A timeout in seconds in argument `at` as the time when it is over; `None` is never.
pub(super) fn seconds(call: &Call<'_, '_>, at: usize) -> Result<Option<Millis>, ReplyError> {
    let Some(seconds) = Extended::parse(call.arg(at)) else {
        return Err("ERR timeout is not a float or out of range".into());
    };
    deadline(seconds.thousandfold_up().ok_or(OUT_OF_RANGE)?, call.now)
}

/// A timeout in milliseconds in argument `at` as the time when it is over; `None` is never.
pub(super) fn milliseconds(call: &Call<'_, '_>, at: usize) -> Result<Option<Millis>, ReplyError> {
    let Some(millis) = number::parse_i64(call.arg(at)) else {
        return Err("ERR timeout is not an integer or out of range".into());
    };
    deadline(millis, call.now)
}

fn deadline(millis: Millis, now: Millis) -> Result<Option<Millis>, ReplyError> {
    match millis {
        ..0 => Err("ERR timeout is negative".into()),
        0 => Ok(None),
        left => now.checked_add(left).map(Some).ok_or(OUT_OF_RANGE),
    }
}

/// Waits for keys, of which none holds anything now. Where a command may not wait, `otherwise` is
/// the reply.
pub(super) fn wait(
    call: &mut Call<'_, '_>,
    deadline: Option<Millis>,
    on: WaitKeys,
    otherwise: fn(&mut Reply),
) -> Outcome {
    if !call.may_block() {
        otherwise(call.reply);
        return Outcome::Done;
    }
    // A wait that goes on ends when it was to end.
    let deadline = call.client.wait.as_ref().map_or(deadline, |wait| wait.deadline);
    Outcome::Block(Wait { deadline, on_timeout: Reply::null_array, on: Some(on), meanwhile: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines() {
        assert_eq!(deadline(0, 100), Ok(None));
        assert_eq!(deadline(5, 100), Ok(Some(105)));
        assert_eq!(deadline(-1, 100), Err("ERR timeout is negative".into()));
        assert_eq!(deadline(Millis::MAX, 100), Err(OUT_OF_RANGE));
    }
}
