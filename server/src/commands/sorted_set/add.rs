//! ZADD and ZINCRBY: scores of members.

use super::docs::{KEY, MEMBER};
use super::number;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_FLOAT, ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::parse_f64;
use dunlin_storage::Key;
use dunlin_storage::value::sorted_set::{AddOptions, Added, Limits, SortedSet};

const XX_AND_NX: ReplyError =
    ReplyError::new("ERR XX and NX options at the same time are not compatible");
const GT_LT_NX: ReplyError =
    ReplyError::new("ERR GT, LT, and/or NX options at the same time are not compatible");
const ONE_PAIR: ReplyError =
    ReplyError::new("ERR INCR option supports a single increment-element pair");
const NOT_A_NUMBER: ReplyError = ReplyError::new("ERR resulting score is not a number (NaN)");

pub(super) const ZADD: Command = Command::new("zadd", Arity::at_least(4), zadd)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).update()])
    .docs(
        Docs::new(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
            "Adds members to a sorted set, which is made if it does not exist, or changes their \
             scores.",
        )
        .history(&[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ])
        .args(&[
            KEY,
            Arg::one_of("condition", &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")])
                .since("3.0.2")
                .optional(),
            Arg::one_of("comparison", &[Arg::flag("gt", "GT"), Arg::flag("lt", "LT")])
                .since("6.2.0")
                .optional(),
            Arg::flag("change", "CH").since("3.0.2").optional(),
            Arg::flag("increment", "INCR").since("3.0.2").optional(),
            Arg::block("data", &[Arg::double("score"), MEMBER]).multiple(),
        ]),
    );

pub(super) const ZINCRBY: Command = Command::new("zincrby", Arity::exactly(4), zincrby)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).update().with(KeyFlags::ACCESS)])
    .docs(
        Docs::new(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)) where N is the number of elements in the sorted set.",
            "Adds a number to the score of a member, which counts as 0 if it is not there.",
        )
        .args(&[KEY, Arg::integer("increment"), MEMBER]),
    );

fn zadd(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    add(call, false)
}

fn zincrby(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    add(call, true)
}

/// What the arguments say before the first score.
struct Options {
    add: AddOptions,
    /// Count changed scores, too.
    changed: bool,
    /// The first score.
    first: usize,
}

impl Options {
    fn parse(call: &Call<'_, '_>, incr: bool) -> Result<Self, ReplyError> {
        let add = AddOptions { incr, ..AddOptions::default() };
        let mut options = Options { add, changed: false, first: 2 };
        let Options { add, changed, first } = &mut options;
        while *first < call.argc() {
            let option = match *first {
                at if call.is(at, "nx") => &mut add.nx,
                at if call.is(at, "xx") => &mut add.xx,
                at if call.is(at, "gt") => &mut add.gt,
                at if call.is(at, "lt") => &mut add.lt,
                at if call.is(at, "incr") => &mut add.incr,
                at if call.is(at, "ch") => &mut *changed,
                _ => break,
            };
            *option = true;
            *first += 1;
        }
        options.check(call.argc() - options.first)?;
        Ok(options)
    }

    /// Refuses options that contradict each other or do not fit this number of arguments.
    fn check(&self, arguments: usize) -> Result<(), ReplyError> {
        let AddOptions { nx, xx, gt, lt, incr } = self.add;
        if arguments == 0 || !arguments.is_multiple_of(2) {
            return Err(SYNTAX);
        }
        if nx && xx {
            return Err(XX_AND_NX);
        }
        if nx && (gt || lt) || gt && lt {
            return Err(GT_LT_NX);
        }
        if incr && arguments > 2 { Err(ONE_PAIR) } else { Ok(()) }
    }
}

/// What happened to the members.
#[derive(Default)]
pub(in crate::commands) struct Tally {
    /// Members that were added.
    pub(in crate::commands) new: usize,
    /// Members that have another score now.
    pub(in crate::commands) changed: usize,
    /// What happened to the last of them.
    last: Option<Added>,
}

/// Adds members to the sorted set at a key, which is made unless the options want members that are
/// there.
pub(in crate::commands) fn add_pairs(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    pairs: &[(f64, &[u8])],
    options: AddOptions,
) -> Result<Tally, ReplyError> {
    let change = |set: &mut SortedSet, limits: &Limits| {
        let mut tally = Tally::default();
        if let Some((_, first)) = pairs.first() {
            set.prepare(first, pairs.len(), limits);
        }
        for (score, member) in pairs {
            let added = set.add(member, *score, options, limits);
            tally.new += usize::from(matches!(added, Added::New(_)));
            tally.changed += usize::from(matches!(added, Added::Changed(_)));
            tally.last = Some(added);
        }
        tally
    };
    let tally = if options.xx {
        call.edit(key, |set, limits| change(set, &limits.sorted_set))?.unwrap_or_default()
    } else {
        call.edit_or_new(key, |set, limits| change(set, &limits.sorted_set))?
    };
    if tally.new + tally.changed > 0 {
        call.notify(Class::ZSET, if options.incr { "zincr" } else { "zadd" }, key);
    }
    Ok(tally)
}

fn add(call: &mut Call<'_, '_>, incr: bool) -> Result<Outcome, ReplyError> {
    let Options { add, changed, first } = Options::parse(call, incr)?;
    let mut pairs = Vec::with_capacity((call.argc() - first) / 2);
    for at in (first..call.argc()).step_by(2) {
        pairs.push((parse_f64(call.arg(at)).ok_or(NOT_FLOAT)?, call.arg(at + 1)));
    }
    let tally = add_pairs(call, &call.key(1), &pairs, add)?;
    let new = match tally.last {
        Some(Added::NotANumber) => return Err(NOT_A_NUMBER),
        Some(Added::New(score) | Added::Changed(score) | Added::Same(score)) => Some(score),
        Some(Added::Refused) | None => None,
    };
    match new {
        Some(score) if add.incr => call.reply.double(score),
        None if add.incr => call.reply.null(),
        _ if changed => call.reply.int(number(tally.new + tally.changed)),
        _ => call.reply.int(number(tally.new)),
    }
    Ok(Outcome::Done)
}
