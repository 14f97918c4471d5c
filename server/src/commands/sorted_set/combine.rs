//! Several sorted sets: union, intersection and difference, replied, counted or stored. Sets are
//! taken as well; their members have the score 1.

use super::docs::{KEY, NUMKEYS, WITHSCORES};
use super::range::store;
use super::{Shape, number, select};
use crate::commands::call::Call;
use crate::commands::collection::Reader;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX, WRONG_TYPE};
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use dunlin_protocol::Request;
use dunlin_protocol::number::{parse_f64, parse_i64};
use dunlin_storage::value::listpack::Element;
use dunlin_storage::value::set::Set;
use dunlin_storage::value::sorted_set::{
    Aggregate, Input, SortedSet, Source, intersect, intersection_len, subtract, unite,
};
use dunlin_storage::{Key, Kind, Value};
use std::ops::Range;

const UNION_COMPLEXITY: &str = "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the \
     number of elements in the resulting sorted set.";
const INTER_COMPLEXITY: &str = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number \
     of input sorted sets and M being the number of elements in the resulting sorted set.";
const DIFF_COMPLEXITY: &str = "O(N*K)+O(M*log(M)) worst case with N being the size of the first sorted set, K being the \
     number of input sorted sets and M being the number of elements in the resulting sorted set.";

const WEIGHTS: Arg = Arg::integer("weight").token("WEIGHTS").optional().multiple();
const AGGREGATE: Arg = Arg::one_of(
    "aggregate",
    &[Arg::flag("sum", "SUM"), Arg::flag("min", "MIN"), Arg::flag("max", "MAX")],
)
.token("AGGREGATE")
.optional();
const DESTINATION: Arg = Arg::key("destination", 0);
const SOURCES: Arg = Arg::key("key", 1).multiple();

pub(super) const ZUNION: Command = reading("zunion", zunion).docs(
    Docs::new(
        Group::SortedSet,
        "6.2.0",
        UNION_COMPLEXITY,
        "Returns the members of all of several sorted sets.",
    )
    .args(&[NUMKEYS, KEY.multiple(), WEIGHTS, AGGREGATE, WITHSCORES]),
);

pub(super) const ZINTER: Command = reading("zinter", zinter).docs(
    Docs::new(
        Group::SortedSet,
        "6.2.0",
        INTER_COMPLEXITY,
        "Returns the members that several sorted sets have in common.",
    )
    .args(&[NUMKEYS, KEY.multiple(), WEIGHTS, AGGREGATE, WITHSCORES]),
);

pub(super) const ZDIFF: Command = reading("zdiff", zdiff).docs(
    Docs::new(
        Group::SortedSet,
        "6.2.0",
        DIFF_COMPLEXITY,
        "Returns the members that only the first of several sorted sets has.",
    )
    .args(&[NUMKEYS, KEY.multiple(), WITHSCORES]),
);

pub(super) const ZINTERCARD: Command = reading("zintercard", zintercard).docs(
    Docs::new(
        Group::SortedSet,
        "7.0.0",
        "O(N*K) worst case with N being the smallest input sorted set, K being the number of \
         input sorted sets.",
        "Counts the members that several sorted sets have in common.",
    )
    .args(&[NUMKEYS, KEY.multiple(), Arg::integer("limit").token("LIMIT").optional()]),
);

pub(super) const ZUNIONSTORE: Command = storing("zunionstore", zunionstore).docs(
    Docs::new(
        Group::SortedSet,
        "2.0.0",
        UNION_COMPLEXITY,
        "Stores the members of all of several sorted sets.",
    )
    .args(&[DESTINATION, NUMKEYS, SOURCES, WEIGHTS, AGGREGATE]),
);

pub(super) const ZINTERSTORE: Command = storing("zinterstore", zinterstore).docs(
    Docs::new(
        Group::SortedSet,
        "2.0.0",
        INTER_COMPLEXITY,
        "Stores the members that several sorted sets have in common.",
    )
    .args(&[DESTINATION, NUMKEYS, SOURCES, WEIGHTS, AGGREGATE]),
);

pub(super) const ZDIFFSTORE: Command = storing("zdiffstore", zdiffstore).docs(
    Docs::new(
        Group::SortedSet,
        "6.2.0",
        DIFF_COMPLEXITY,
        "Stores the members that only the first of several sorted sets has.",
    )
    .args(&[DESTINATION, NUMKEYS, SOURCES]),
);

const READ: &[KeySpec] = &[KeySpec::counted(1).read()];
const STORE: &[KeySpec] = &[KeySpec::one(1).overwrite(), KeySpec::counted(2).read()];

const fn reading(name: &'static str, handler: Handler) -> Command {
    Command::new(name, Arity::at_least(3), handler).flags(flag_set!(READONLY)).keys(READ)
}

const fn storing(name: &'static str, handler: Handler) -> Command {
    Command::new(name, Arity::at_least(4), handler).flags(flag_set!(WRITE | DENYOOM)).keys(STORE)
}

/// What is done with the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// Options after the keys.
struct Options {
    /// One per key.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    /// Reads them from argument `at` on; with a destination, no scores are replied.
    fn parse(
        request: &Request<'_>,
        at: usize,
        keys: usize,
        operation: Operation,
        stores: bool,
    ) -> Result<Self, ReplyError> {
        let mut options =
            Options { weights: vec![1.0; keys], aggregate: Aggregate::Sum, with_scores: false };
        let is = |at: usize, word: &str| request.arg(at).eq_ignore_ascii_case(word.as_bytes());
        let mut at = at;
        while at < request.len() {
            let left = request.len() - at;
            let weighs = operation != Operation::Diff;
            if weighs && left > keys && is(at, "weights") {
                for (weight, text) in options.weights.iter_mut().zip(at + 1..) {
                    *weight = parse_f64(request.arg(text))
                        .ok_or(ReplyError::new("ERR weight value is not a float"))?;
                }
                at += keys + 1;
            } else if weighs && left >= 2 && is(at, "aggregate") {
                options.aggregate = match at + 1 {
                    at if is(at, "sum") => Aggregate::Sum,
                    at if is(at, "min") => Aggregate::Min,
                    at if is(at, "max") => Aggregate::Max,
                    _ => return Err(SYNTAX),
                };
                at += 2;
            } else if !stores && is(at, "withscores") {
                options.with_scores = true;
                at += 1;
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(options)
    }
}

/// The set or sorted set at a key.
fn source<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    key: &Key<'_>,
) -> Result<Option<Source<'r>>, ReplyError> {
    let Some(entry) = reader.entry(key) else { return Ok(None) };
    match entry.value() {
        Value::Packed(packed) => {
            packed.sorted_set().map(Source::Sorted).or_else(|| packed.set().map(Source::Set))
        }
        Value::Large(Kind::SortedSet) => {
            reader.object(&entry)?.as_sorted_set().map(SortedSet::view).map(Source::Sorted)
        }
        Value::Large(Kind::Set) => reader.object(&entry)?.as_set().map(Set::view).map(Source::Set),
        _ => None,
    }
    .map_or(Err(WRONG_TYPE), |source| Ok(Some(source)))
}

/// The inputs at some keys, `None` where there is none. An error if one is something else, even if
/// that would not matter to the result.
fn sources<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    keys: &[Key<'_>],
) -> Result<Vec<Option<Source<'r>>>, ReplyError> {
    keys.iter().map(|key| source(reader, key)).collect()
}

/// The members of the result in order.
fn run<'r>(
    operation: Operation,
    sources: &[Option<Source<'r>>],
    options: &Options,
    seed: u64,
) -> Vec<(Element<'r>, f64)> {
    let is_whole = sources.iter().all(Option::is_some);
    let inputs = sources.iter().zip(&options.weights);
    let inputs: Vec<Input<'r>> = inputs
        .filter_map(|(source, &weight)| source.map(|source| Input { source, weight }))
        .collect();
    match operation {
        Operation::Union => unite(&inputs, options.aggregate, seed),
        Operation::Inter if is_whole => intersect(&inputs, options.aggregate),
        Operation::Diff if matches!(sources, [Some(_), ..]) => {
            subtract(&inputs.iter().map(|input| input.source).collect::<Vec<_>>())
        }
        Operation::Inter | Operation::Diff => Vec::new(),
    }
}

/// The keys in some arguments.
fn keys<'a>(call: &Call<'a, '_>, arguments: &Range<usize>) -> Vec<Key<'a>> {
    arguments.clone().map(|at| call.key(at)).collect()
}

fn reply(call: &mut Call<'_, '_>, operation: Operation) -> Result<Outcome, ReplyError> {
    let arguments = select::keys(call, 2)?;
    let (keys, request, seed) = (keys(call, &arguments), call.request, call.server.random());
    let (reader, reply) = call.split();
    let sources = sources(&reader, &keys)?;
    let options = Options::parse(&request, arguments.end, keys.len(), operation, false)?;
    let pairs = run(operation, &sources, &options, seed);
    Shape::with_scores(options.with_scores, reply).members(reply, pairs.into_iter());
    Ok(Outcome::Done)
}

fn combine(call: &mut Call<'_, '_>, operation: Operation) -> Result<Outcome, ReplyError> {
    let arguments = select::keys(call, 3)?;
    let (keys, request, seed) = (keys(call, &arguments), call.request, call.server.random());
    let (destination, limits) = (call.key(1), call.server.limits().sorted_set);
    let (reader, _) = call.split();
    let sources = sources(&reader, &keys)?;
    let options = Options::parse(&request, arguments.end, keys.len(), operation, true)?;
    let result = SortedSet::from_sorted(run(operation, &sources, &options, seed), &limits);
    store(call, &destination, result, call.entry.command.name);
    Ok(Outcome::Done)
}

fn zunion(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply(call, Operation::Union)
}

fn zinter(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply(call, Operation::Inter)
}

fn zdiff(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply(call, Operation::Diff)
}

fn zunionstore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    combine(call, Operation::Union)
}

fn zinterstore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    combine(call, Operation::Inter)
}

fn zdiffstore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    combine(call, Operation::Diff)
}

fn zintercard(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let arguments = select::keys(call, 2)?;
    let (keys, request) = (keys(call, &arguments), call.request);
    let (reader, reply) = call.split();
    let sources = sources(&reader, &keys)?;
    let limit = limit(&request, arguments.end)?;
    let there: Vec<Source<'_>> = sources.iter().copied().flatten().collect();
    let is_whole = there.len() == sources.len();
    let count = if is_whole { intersection_len(&there, limit) } else { 0 };
    reply.int(number(count));
    Ok(Outcome::Done)
}

/// LIMIT from argument `at` on; 0 is none.
fn limit(request: &Request<'_>, at: usize) -> Result<Option<usize>, ReplyError> {
    let mut limit = None;
    let mut at = at;
    while at < request.len() {
        if at + 1 == request.len() || !request.arg(at).eq_ignore_ascii_case(b"limit") {
            return Err(SYNTAX);
        }
        let value = parse_i64(request.arg(at + 1)).and_then(|value| usize::try_from(value).ok());
        let value = value.ok_or(ReplyError::new("ERR LIMIT can't be negative"))?;
        limit = Some(value).filter(|limit| *limit > 0);
        at += 2;
    }
    Ok(limit)
}
