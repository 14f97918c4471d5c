//! GEOPOS, GEOHASH, GEODIST: where members are.

use super::docs::{KEY, MEMBER, READ, UNIT};
use super::{reply_distance, reply_point, unit};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Handler, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::value::geo::{Point, Unit};

const ARGS: &[Arg] = &[KEY, MEMBER.multiple().optional()];

pub(super) const GEOPOS: Command =
    row("geopos", geopos, "Returns longitudes and latitudes of members.");
pub(super) const GEOHASH: Command =
    row("geohash", geohash, "Returns the positions of members as geohash strings.");

const fn row(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, Arity::at_least(2), handler)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .docs(Docs::new(Group::Geo, "3.2.0", "O(1) for each member requested.", summary).args(ARGS))
}

pub(super) const GEODIST: Command = Command::new("geodist", Arity::at_least(4), geodist)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .docs(
        Docs::new(Group::Geo, "3.2.0", "O(1)", "Returns the distance between two members.")
            .args(&[KEY, Arg::string("member1"), Arg::string("member2"), UNIT.optional()]),
    );

fn geopos(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    for_members(call, |reply, point| match point {
        Some(point) => reply_point(reply, point),
        None => reply.null_array(),
    })
}

fn geohash(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    for_members(call, |reply, point| match point {
        Some(point) => reply.bulk(&point.geohash()),
        None => reply.null(),
    })
}

/// Replies something about every member among the arguments.
fn for_members(
    call: &mut Call<'_, '_>,
    answer: impl Fn(&mut Reply, Option<Point>),
) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(1), call.request);
    let (reader, reply) = call.split();
    let set = reader.sorted_set(&key)?;
    reply.array(request.len() - 2);
    for member in request.iter().skip(2) {
        answer(reply, set.and_then(|set| set.score(member)).map(Point::from_score));
    }
    Ok(Outcome::Done)
}

fn geodist(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let unit = match call.argc() {
        4 => Unit::Meters,
        5 => unit(&call.request, 4)?,
        _ => return Err(SYNTAX),
    };
    let (key, from, to) = (call.key(1), call.arg(2), call.arg(3));
    let (reader, reply) = call.split();
    let distance = reader.sorted_set(&key)?.and_then(|set| {
        let point = |member: &[u8]| set.score(member).map(Point::from_score);
        Some(point(from)?.distance(point(to)?))
    });
    match distance {
        Some(distance) => reply_distance(reply, distance / unit.meters()),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}
