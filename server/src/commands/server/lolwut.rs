//! LOLWUT: a flock of dunlins over the mudflat, new at each call.

use super::{DUNLIN_VERSION, REDIS_VERSION, docs};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{NOT_INTEGER, ReplyError};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::number;

const WIDTH: usize = 64;
const HEIGHT: usize = 12;
/// Birds of the flock.
const BIRDS: usize = 40;

pub(super) const LOLWUT: Command =
    Command::new("lolwut", Arity::at_least(1), lolwut).flags(flag_set!(READONLY | FAST)).docs(
        docs("5.0.0", "", "Draws something, and says the version.").args(&[Arg::integer(
            "version",
        )
        .token("VERSION")
        .optional()]),
    );

fn lolwut(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() >= 3 && call.is(1, "VERSION") {
        number::parse_i64(call.arg(2)).ok_or(NOT_INTEGER)?;
    }
    let server = call.server;
    let mut text = flock(&mut || server.random());
    text.push_str(&format!("Redis ver. {REDIS_VERSION} (Dunlin ver. {DUNLIN_VERSION})\n"));
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// Birds around a curve, the sea below.
fn flock(random: &mut impl FnMut() -> u64) -> String {
    let mut below = |n: usize| usize::try_from(random() % n as u64).unwrap_or(0);
    let mut sky = vec![vec![b' '; WIDTH]; HEIGHT];
    let (mut x, mut y) = (below(WIDTH / 2), HEIGHT / 2);
    for _ in 0..BIRDS {
        x = (x + 1 + below(3)) % WIDTH;
        y = (y + below(3)).clamp(1, HEIGHT - 2) - 1;
        let row = (y + below(4)).min(HEIGHT - 1);
        sky[row][x] = b"v^~>"[below(4)];
    }
    let mut text = String::new();
    for row in sky {
        text.push_str(String::from_utf8_lossy(&row).trim_end());
        text.push('\n');
    }
    text.push_str(&"~-".repeat(WIDTH / 2));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flock_stays_in_its_frame() {
        let mut seed = 7_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        for _ in 0..100 {
            let text = flock(&mut random);
            assert_eq!(text.lines().count(), HEIGHT + 1);
            assert!(text.lines().all(|line| line.len() <= WIDTH));
            assert!(text.lines().take(HEIGHT).any(|line| !line.is_empty()));
        }
    }
}
