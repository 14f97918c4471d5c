//! SORT and SORT_RO: the elements of a list, set or sorted set in the order of themselves or of other
//! keys' values, and instead of them, if asked for, other keys' values.
//!
//! # What it sees
//!
//! The row cannot name the keys that BY and GET make of the elements. The key to sort (and that of
//! STORE) is read under its role, or checked as every read is; the other keys are looked up one by
//! one without a role, each as it is at that moment. If one of them holds a large hash, which only
//! the holder of its role looks into, the command runs again with the roles of all shards, and then
//! sees one instant; so it does in a transaction.

mod options;
mod order;
mod pattern;

use crate::commands::call::Call;
use crate::commands::collection::Reader;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, WRONG_TYPE};
use crate::commands::spec::{Arity, Command, Flags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::Reply;
use dunlin_storage::value::list::{End, Limits, List};
use dunlin_storage::{Key, Kind, Value};
use options::Options;
use order::{Collection, Row};
use pattern::{Found, Pattern};
use std::borrow::Cow;

const COMPLEXITY: &str = "O(N+M*log(N)) where N is the number of elements to sort and M the number \
                          of returned ones; O(N) when they are not sorted.";

const CATEGORIES: &[&str] = &["set", "sortedset", "list", "dangerous"];

const KEY: KeySpec = KeySpec::one(1).read();
const BY_AND_GET: KeySpec = KeySpec::unknown()
    .read()
    .notes("BY and GET name keys that are made of the elements, which no specification can find");
const STORE: KeySpec = KeySpec::unknown()
    .overwrite()
    .notes("STORE may stand anywhere among the options, so that no specification can find its key");

const ARGS: [Arg; 7] = [
    Arg::key("key", 0),
    Arg::key_pattern("by-pattern", 1).display("pattern").token("BY").optional(),
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
    Arg::key_pattern("get-pattern", 1).display("pattern").token("GET").optional().multiple_token(),
    Arg::one_of("order", &[Arg::flag("asc", "ASC"), Arg::flag("desc", "DESC")]).optional(),
    Arg::flag("sorting", "ALPHA").optional(),
    Arg::key("destination", 2).token("STORE").optional(),
];

pub(super) const SORT: Command = Command::new("sort", Arity::at_least(2), sort)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KEY, BY_AND_GET, STORE])
    .keys_by(options::keys)
    .categories(CATEGORIES)
    .docs(
        Docs::new(
            Group::Generic,
            "1.0.0",
            COMPLEXITY,
            "Sorts the elements of a list, set or sorted set, and returns or stores them.",
        )
        .args(&ARGS),
    );

pub(super) const SORT_RO: Command = Command::new("sort_ro", Arity::at_least(2), sort_ro)
    .flags(Flags::READONLY)
    .keys(&[KEY, BY_AND_GET])
    .keys_by(|request| (request.len() > 1).then(|| vec![1]))
    .categories(CATEGORIES)
    .docs(
        Docs::new(
            Group::Generic,
            "7.0.0",
            COMPLEXITY,
            "Sorts the elements of a list, set or sorted set, and returns them.",
        )
        .args(ARGS.split_at(6).0),
    );

fn sort(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call, true)?;
    let Some(at) = options.store else {
        return reply(call, &options);
    };
    let list_limits = call.server.limits().list;
    let key = call.key(1);
    let list = {
        let (reader, _) = call.split();
        to_list(&reader, &key, &options, &list_limits)?
    };
    store(call, &call.key(at), list);
    Ok(Outcome::Done)
}

fn sort_ro(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call, false)?;
    reply(call, &options)
}

/// The collection at `key`; a missing one is an empty list.
fn collection<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    key: &Key<'_>,
) -> Result<Option<Collection<'r>>, ReplyError> {
    let Some(entry) = reader.entry(key) else { return Ok(None) };
    let found = match entry.value() {
        Value::Packed(packed) => match packed.kind() {
            Kind::List => packed.list().map(Collection::List),
            Kind::Set => packed.set().map(Collection::Set),
            Kind::SortedSet => packed.sorted_set().map(Collection::SortedSet),
            _ => None,
        },
        Value::Large(Kind::List | Kind::Set | Kind::SortedSet) => {
            Some(Collection::of(reader.object(&entry)?))
        }
        _ => None,
    };
    found.map(Some).ok_or(WRONG_TYPE)
}

/// The rows to return, in their order.
fn rows<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    key: &Key<'_>,
    options: &Options<'_>,
) -> Result<Vec<Row<'r>>, ReplyError> {
    match collection(reader, key)? {
        Some(collection) => order::sorted(reader, collection, options),
        None => Ok(Vec::new()),
    }
}

/// What GET with this pattern puts in the place of an element.
fn value<'v, 'r: 'v, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    get: &Pattern<'_>,
    element: &'v [u8],
) -> Result<Option<Found<'v, 'g>>, ReplyError> {
    if get.is_element() {
        return Ok(Some(Found::Bytes(Cow::Borrowed(element))));
    }
    get.lookup(reader, element)
}

fn reply(call: &mut Call<'_, '_>, options: &Options<'_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (reader, reply) = call.split();
    let rows = rows(&reader, &key, options)?;
    reply.array(rows.len() * options.gets.len().max(1));
    for row in &rows {
        if options.gets.is_empty() {
            reply.bulk(&row.element);
        }
        for get in &options.gets {
            reply_found(reply, value(&reader, get, &row.element)?);
        }
    }
    Ok(Outcome::Done)
}

fn reply_found(reply: &mut Reply, found: Option<Found<'_, '_>>) {
    match found {
        Some(Found::Str(string)) => crate::commands::string::reply_str(reply, string),
        Some(Found::Bytes(bytes)) => reply.bulk(&bytes),
        None => reply.null(),
    }
}

/// The rows as a list; what GET does not find is empty.
fn to_list<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    key: &Key<'_>,
    options: &Options<'_>,
    limits: &Limits,
) -> Result<List, ReplyError> {
    let mut list = List::new();
    let mut push = |element: &[u8]| {
        list.prepare(1, element.len(), limits);
        list.push(End::Tail, element, limits);
    };
    for row in &rows(reader, key, options)? {
        if options.gets.is_empty() {
            push(&row.element);
        }
        for get in &options.gets {
            match value(reader, get, &row.element)? {
                Some(found) => push(&found.to_cow()),
                None => push(b""),
            }
        }
    }
    Ok(list)
}

fn store(call: &mut Call<'_, '_>, destination: &Key<'_>, list: List) {
    let count = list.len();
    if count == 0 {
        call.remove(destination);
    } else {
        call.put_collection(destination, list, None);
        call.notify(Class::LIST, "sortstore", destination);
    }
    call.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
}
