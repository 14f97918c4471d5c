//! What SRANDMEMBER, HRANDFIELD and ZRANDMEMBER have in common: how many elements are wanted, and
//! what may come of a large number.

use super::call::Call;
use super::error::{self, ReplyError};
use super::spec::Outcome;
use crate::client::REPLY_BUFFER;
use dunlin_protocol::Reply;

/// Reply bytes at which drawing the same elements again and again is given up and the connection
/// closed. Nothing else bounds such a reply: it is as long as the client says.
const REPLY_MAX: usize = 64 << 20;

/// How many elements are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// So many different ones, or as many as there are.
    Different(usize),
    /// Exactly so many draws; an element may come again.
    Draws(usize),
}

impl Wanted {
    /// The count in argument `at`. `with_values` says that every element comes with a value, which
    /// doubles the length of the reply.
    pub(super) fn parse(
        call: &Call<'_, '_>,
        at: usize,
        with_values: bool,
    ) -> Result<Self, ReplyError> {
        let count = call.int(at)?;
        if count == i64::MIN {
            let (min, max) = (-i64::MAX, i64::MAX);
            let text = format!("ERR value is out of range, value must between {min} and {max}");
            return Err(text.into());
        }
        if with_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
            return Err(error::OUT_OF_RANGE);
        }
        let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        Ok(if count < 0 { Wanted::Draws(size) } else { Wanted::Different(size) })
    }
}

/// The reply bytes at which [`repeat`] gives up for this client: at the limit of its class, if that
/// is lower, it would be closed anyway.
pub(super) fn most(call: &Call<'_, '_>) -> usize {
    let limit = call.server.output_limit(call.client.shared.kind());
    match usize::try_from(limit.saturating_add(REPLY_BUFFER)) {
        Ok(most) if limit > 0 => most.min(REPLY_MAX),
        _ => REPLY_MAX,
    }
}

/// Calls `draw` so many times; the connection is closed if the reply becomes longer than `most`.
pub(super) fn repeat(
    draws: usize,
    most: usize,
    reply: &mut Reply,
    mut draw: impl FnMut(&mut Reply),
) -> Outcome {
    let most = reply.pending().saturating_add(most);
    for _ in 0..draws {
        draw(reply);
        if reply.pending() > most {
            return Outcome::Close;
        }
    }
    Outcome::Done
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_protocol::Proto;

    #[test]
    fn an_endless_reply_is_given_up() {
        let mut reply = Reply::new(Proto::Resp2);
        let element = [b'x'; 1 << 20];
        let mut drawn = 0;
        let end = repeat(usize::MAX, REPLY_MAX, &mut reply, |reply| {
            drawn += 1;
            reply.bulk(&element);
        });
        assert!(matches!(end, Outcome::Close) && drawn == 64, "{drawn}");
        assert!(matches!(repeat(3, REPLY_MAX, &mut reply, |reply| reply.int(1)), Outcome::Done));
    }
}
