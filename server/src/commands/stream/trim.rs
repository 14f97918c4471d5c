//! XTRIM, and the options it shares with XADD.

use super::docs::{KEY, TRIM, docs};
use super::id::id_arg;
use super::{edit, reply_count};
use crate::commands::call::Call;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::stream::{Keep, Limits, Trim};

/// Without LIMIT, approximate trimming drops at most so many full blocks.
const BLOCKS_PER_TRIM: u64 = 100;
/// Without LIMIT, and blocks that never are full, it drops at most so many entries.
const ENTRIES_PER_TRIM: u64 = 10_000;
/// Without LIMIT, and large blocks, it drops at most so many entries.
const MAX_ENTRIES_PER_TRIM: u64 = 1_000_000;

pub(super) const XTRIM: Command = Command::new("xtrim", Arity::at_least(4), xtrim)
    .flags(flag_set!(WRITE))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::DELETE)])
    .tips(&["nondeterministic_output"])
    .docs(
        docs(
            "5.0.0",
            "O(N), with N being the number of removed entries; whole blocks of them go at once.",
            "Removes the oldest entries of a stream.",
        )
        .history(&[("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option.")])
        .args(&[KEY, TRIM]),
    );

/// What the options say about trimming.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TrimOptions {
    keep: Option<Keep>,
    approximate: bool,
    limit: Option<u64>,
}

impl TrimOptions {
    /// Takes the option at argument `i` and what belongs to it; how many arguments that were, 0 if
    /// it is none of these options.
    pub(super) fn take(&mut self, call: &Call<'_, '_>, i: usize) -> Result<usize, ReplyError> {
        let more = call.argc() - 1 - i;
        let by_length = call.is(i, "MAXLEN");
        if more == 0 {
            return Ok(0);
        }
        if by_length || call.is(i, "MINID") {
            if self.keep.is_some() {
                let text = "ERR syntax error, MAXLEN and MINID options at the same time are not \
                            compatible";
                return Err(text.into());
            }
            self.approximate = more >= 2 && call.arg(i + 1) == b"~";
            let exact = more >= 2 && call.arg(i + 1) == b"=";
            let at = i + 1 + usize::from(self.approximate || exact);
            self.keep = Some(if by_length {
                let length = u64::try_from(call.int(at)?);
                Keep::Last(length.map_err(|_| "ERR The MAXLEN argument must be >= 0.")?)
            } else {
                Keep::From(id_arg(call, at)?)
            });
            return Ok(at + 1 - i);
        }
        if call.is(i, "LIMIT") {
            let limit = u64::try_from(call.int(i + 1)?);
            self.limit = Some(limit.map_err(|_| "ERR The LIMIT argument must be >= 0.")?);
            return Ok(2);
        }
        Ok(0)
    }

    /// Whether the options go together, and there is one that says what to keep if that is
    /// `needed`.
    pub(super) fn check(&self, needed: bool) -> Result<(), ReplyError> {
        if self.keep.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            let text = "ERR syntax error, LIMIT cannot be used without specifying a trimming \
                        strategy";
            return Err(text.into());
        }
        if self.keep.is_none() && needed {
            let text = "ERR syntax error, XTRIM must be called with a trimming strategy";
            return Err(text.into());
        }
        if self.limit.is_some() && !self.approximate {
            let text = "ERR syntax error, LIMIT cannot be used without the special ~ option";
            return Err(text.into());
        }
        Ok(())
    }

    /// How to trim, if at all.
    pub(super) fn trim(self, limits: &Limits) -> Option<Trim> {
        let limit = match self.limit {
            Some(limit) => limit,
            None if self.approximate => default_limit(limits),
            None => 0,
        };
        self.keep.map(|keep| Trim { keep, approximate: self.approximate, limit })
    }
}

fn default_limit(limits: &Limits) -> u64 {
    match limits.node_max_entries {
        0 => ENTRIES_PER_TRIM,
        entries => entries.saturating_mul(BLOCKS_PER_TRIM).min(MAX_ENTRIES_PER_TRIM),
    }
}

fn xtrim(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut options = TrimOptions::default();
    let mut i = 2;
    while i < call.argc() {
        match options.take(call, i)? {
            0 => return Err(SYNTAX),
            used => i += used,
        }
    }
    options.check(true)?;
    let key = call.key(1);
    let removed = edit(call, &key, |stream, limits| {
        options.trim(limits).map_or(0, |how| stream.log.trim(how))
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        call.notify(Class::STREAM, "xtrim", &key);
    }
    reply_count(call.reply, removed);
    Ok(Outcome::Done)
}
