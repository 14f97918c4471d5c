//! The options of SORT.

use super::pattern::Pattern;
use crate::commands::call::Call;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::KeySpec;
use dunlin_protocol::{ArgValue, Request};
use std::ops::Range;

const BY_DENIED: ReplyError =
    ReplyError::new("ERR BY option of SORT denied due to insufficient ACL permissions.");
const GET_DENIED: ReplyError =
    ReplyError::new("ERR GET option of SORT denied due to insufficient ACL permissions.");

/// The first option.
const FIRST: usize = 2;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Options<'a> {
    /// Whose values to sort by instead of the elements.
    pub(super) by: Option<Pattern<'a>>,
    /// Leave the elements in their order: BY had a pattern that is the same for all.
    pub(super) keep_order: bool,
    /// What to return instead of the elements.
    pub(super) gets: Vec<Pattern<'a>>,
    /// How many elements to leave out at the beginning.
    skip: i64,
    /// How many to return at most; all if it is negative.
    count: i64,
    /// From the last to the first.
    pub(super) descending: bool,
    /// As texts instead of numbers.
    pub(super) alpha: bool,
    /// The argument with the key to store the result at.
    pub(super) store: Option<usize>,
    /// A script has called it.
    pub(super) in_script: bool,
}

impl<'a> Options<'a> {
    /// Reads the options. `may_store`: STORE is one.
    pub(super) fn parse(call: &Call<'a, '_>, may_store: bool) -> Result<Self, ReplyError> {
        let mut options = Options {
            by: None,
            keep_order: false,
            gets: Vec::new(),
            skip: 0,
            count: -1,
            descending: false,
            alpha: false,
            store: None,
            in_script: call.client.in_script,
        };
        let mut at = FIRST;
        while at < call.argc() {
            at += 1 + options.take(call, at, may_store)?;
        }
        Ok(options)
    }

    /// Takes the option at `at`; returns how many arguments belong to it.
    fn take(
        &mut self,
        call: &Call<'a, '_>,
        at: usize,
        may_store: bool,
    ) -> Result<usize, ReplyError> {
        let left = call.argc() - at - 1;
        if call.is(at, "asc") {
            self.descending = false;
        } else if call.is(at, "desc") {
            self.descending = true;
        } else if call.is(at, "alpha") {
            self.alpha = true;
        } else if call.is(at, "limit") && left >= 2 {
            (self.skip, self.count) = (call.int(at + 1)?, call.int(at + 2)?);
            return Ok(2);
        } else if may_store && call.is(at, "store") && left >= 1 {
            self.store = Some(at + 1);
            return Ok(1);
        } else if call.is(at, "by") && left >= 1 {
            let pattern = Pattern::new(call.arg(at + 1));
            if pattern.is_constant() {
                self.keep_order = true;
            } else if call.server.cluster.is_some() {
                return Err("ERR BY option of SORT denied in Cluster mode.".into());
            } else if !may_look_anywhere(call) {
                return Err(BY_DENIED);
            }
            self.by = Some(pattern);
            return Ok(1);
        } else if call.is(at, "get") && left >= 1 {
            if call.server.cluster.is_some() {
                return Err("ERR GET option of SORT denied in Cluster mode.".into());
            }
            if !may_look_anywhere(call) {
                return Err(GET_DENIED);
            }
            self.gets.push(Pattern::new(call.arg(at + 1)));
            return Ok(1);
        } else {
            return Err(SYNTAX);
        }
        Ok(0)
    }

    /// The elements of `len` that LIMIT leaves.
    pub(super) fn range(&self, len: usize) -> Range<usize> {
        let clamp = |number: i64| usize::try_from(number).unwrap_or(0).min(len);
        let start = clamp(self.skip);
        let end = if self.count < 0 { len } else { start.saturating_add(clamp(self.count)) };
        start..end.min(len)
    }
}

/// Whether the user may read every key: BY and GET make keys that no rule was asked about.
fn may_look_anywhere(call: &Call<'_, '_>) -> bool {
    !call.client.is_restricted()
        || call.client.user().check_any_key(call.entry, &call.request, KeySpec::one(1).read().flags)
}

/// The keys that stand in a SORT: the first argument, and that of the last STORE. As in Redis, what
/// belongs to LIMIT, BY and GET is no option.
pub(super) fn keys(request: &Request<'_>) -> Option<Vec<usize>> {
    let is = |at: usize, word: &str| match request.value(at) {
        ArgValue::Slice(arg) => arg.eq_ignore_ascii_case(word.as_bytes()),
        ArgValue::Chunks { .. } => false,
    };
    let mut keys = vec![1];
    let mut at = FIRST;
    while at < request.len() {
        at += match at {
            at if is(at, "limit") => 3,
            at if is(at, "get") || is(at, "by") => 2,
            at if is(at, "store") && at + 1 < request.len() => {
                keys.truncate(1);
                keys.push(at + 1);
                2
            }
            _ => 1,
        };
    }
    (request.len() > 1).then_some(keys)
}
