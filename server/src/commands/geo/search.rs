//! GEOSEARCH, GEORADIUS and their relatives: the members of an area, replied or stored.

use super::docs::{
    BY, COUNT, COUNT_LATER_ANY, FROM, KEY, LATITUDE, LONGITUDE, MEMBER, ORDER, RADIUS, READ, STORE,
    UNIT, WITHCOORD, WITHDIST, WITHHASH, read_and_store,
};
use super::query::{Form, Found, Query, With};
use super::{reply_distance, reply_point};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::sorted_set::{reply_member, store};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::value::sorted_set::SortedSet;

const SEARCH_COMPLEXITY: &str = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around \
     the shape provided as the filter and M is the number of items inside the shape";
const RADIUS_COMPLEXITY: &str = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area \
     delimited by center and radius and M is the number of items inside the index.";
const UPPERCASE: (&str, &str) = ("7.0.0", "Added support for uppercase unit names.");
const ANY: (&str, &str) = ("6.2.0", "Added the `ANY` option for `COUNT`.");

const BY_POSITION: [Arg; 11] = [
    KEY,
    LONGITUDE,
    LATITUDE,
    RADIUS,
    UNIT,
    WITHCOORD,
    WITHDIST,
    WITHHASH,
    COUNT_LATER_ANY,
    ORDER,
    STORE,
];
const BY_MEMBER: [Arg; 10] =
    [KEY, MEMBER, RADIUS, UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER, STORE];

pub(super) const GEOSEARCH: Command = Command::new("geosearch", Arity::at_least(7), geosearch)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .docs(
        Docs::new(
            Group::Geo,
            "6.2.0",
            SEARCH_COMPLEXITY,
            "Returns the members inside of a circle or a box.",
        )
        .history(&[UPPERCASE])
        .args(&[KEY, FROM, BY, ORDER, COUNT, WITHCOORD, WITHDIST, WITHHASH]),
    );

pub(super) const GEOSEARCHSTORE: Command =
    Command::new("geosearchstore", Arity::at_least(8), geosearchstore)
        .flags(flag_set!(WRITE | DENYOOM))
        .keys(&[KeySpec::one(1).overwrite(), KeySpec::one(2).read()])
        .docs(
            Docs::new(
                Group::Geo,
                "6.2.0",
                SEARCH_COMPLEXITY,
                "Stores the members inside of a circle or a box.",
            )
            .history(&[UPPERCASE])
            .args(&[
                Arg::key("destination", 0),
                Arg::key("source", 1),
                FROM,
                BY,
                ORDER,
                COUNT,
                Arg::flag("storedist", "STOREDIST").optional(),
            ]),
        );

pub(super) const GEORADIUS: Command = Command::new("georadius", Arity::at_least(6), georadius)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&const { read_and_store(6) })
    .docs(
        Docs::new(
            Group::Geo,
            "3.2.0",
            RADIUS_COMPLEXITY,
            "Returns or stores the members that are near a position.",
        )
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")
        .history(&[ANY, UPPERCASE])
        .args(&BY_POSITION),
    );

pub(super) const GEORADIUS_RO: Command =
    Command::new("georadius_ro", Arity::at_least(6), georadius_ro)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .docs(
            Docs::new(
                Group::Geo,
                "3.2.10",
                RADIUS_COMPLEXITY,
                "Returns the members that are near a position.",
            )
            .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
            .history(&[ANY])
            .args(BY_POSITION.split_at(10).0),
        );

pub(super) const GEORADIUSBYMEMBER: Command =
    Command::new("georadiusbymember", Arity::at_least(5), georadiusbymember)
        .flags(flag_set!(WRITE | DENYOOM))
        .keys(&const { read_and_store(5) })
        .docs(
            Docs::new(
                Group::Geo,
                "3.2.0",
                RADIUS_COMPLEXITY,
                "Returns or stores the members that are near another one.",
            )
            .deprecated(
                "6.2.0",
                "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
            )
            .history(&[UPPERCASE])
            .args(&BY_MEMBER),
        );

pub(super) const GEORADIUSBYMEMBER_RO: Command =
    Command::new("georadiusbymember_ro", Arity::at_least(5), georadiusbymember_ro)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .docs(
            Docs::new(
                Group::Geo,
                "3.2.10",
                RADIUS_COMPLEXITY,
                "Returns the members that are near another one.",
            )
            .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")
            .args(BY_MEMBER.split_at(9).0),
        );

fn geosearch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    search(call, Form::Search)
}

fn geosearchstore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    search(call, Form::SearchStore)
}

fn georadius(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    search(call, Form::Radius { stores: true })
}

fn georadius_ro(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    search(call, Form::Radius { stores: false })
}

fn georadiusbymember(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    search(call, Form::RadiusByMember { stores: true })
}

fn georadiusbymember_ro(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    search(call, Form::RadiusByMember { stores: false })
}

fn search(call: &mut Call<'_, '_>, form: Form) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(form.source()), call.request);
    let limits = call.server.limits().sorted_set;
    let (reader, reply) = call.split();
    let set = reader.sorted_set(&key)?;
    let query = Query::parse(&request, form, set)?;
    let found = set.map(|set| query.run(set)).unwrap_or_default();
    let Some(target) = query.target else {
        reply.array(found.len());
        found.iter().for_each(|found| reply_found(reply, found, query.with));
        return Ok(Outcome::Done);
    };
    let scores = |found: &Found<'_>| if target.distances { found.distance } else { found.score };
    // No score may be NaN, which the distance of antipodes can be.
    let pairs = found.iter().map(|found| (found.member, scores(found).max(0.0))).collect();
    let result = SortedSet::from_pairs(pairs, &limits);
    let event = if form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
    store(call, &call.key(target.key), result, event);
    Ok(Outcome::Done)
}

/// Replies a member, and what is asked for beside it.
fn reply_found(reply: &mut Reply, found: &Found<'_>, with: With) {
    if with.count() > 0 {
        reply.array(with.count() + 1);
    }
    reply_member(reply, found.member);
    if with.distance {
        reply_distance(reply, found.distance);
    }
    if with.hash {
        reply.int(found.score as i64);
    }
    if with.point {
        reply_point(reply, found.point);
    }
}
