//! Argument documentation and key specifications that several commands share.

use crate::commands::docs::Arg;
use crate::commands::spec::{KeyFlags, KeySpec};

/// A key that the first specification finds.
pub(super) const KEY: Arg = Arg::key("key", 0);
/// A member.
pub(super) const MEMBER: Arg = Arg::string("member");

const UNITS: &[Arg] =
    &[Arg::flag("m", "M"), Arg::flag("km", "KM"), Arg::flag("ft", "FT"), Arg::flag("mi", "MI")];
/// A unit of distances.
pub(super) const UNIT: Arg = Arg::one_of("unit", UNITS);
/// Degrees east.
pub(super) const LONGITUDE: Arg = Arg::double("longitude");
/// Degrees north.
pub(super) const LATITUDE: Arg = Arg::double("latitude");
/// How far.
pub(super) const RADIUS: Arg = Arg::double("radius");

/// Where GEOSEARCH begins.
pub(super) const FROM: Arg = Arg::one_of(
    "from",
    &[
        MEMBER.token("FROMMEMBER"),
        Arg::block("fromlonlat", &[LONGITUDE, LATITUDE]).token("FROMLONLAT"),
    ],
);
/// How far GEOSEARCH looks.
pub(super) const BY: Arg = Arg::one_of(
    "by",
    &[
        Arg::block("circle", &[RADIUS.token("BYRADIUS"), UNIT]),
        Arg::block("box", &[Arg::double("width").token("BYBOX"), Arg::double("height"), UNIT]),
    ],
);
/// Nearest or farthest first.
pub(super) const ORDER: Arg =
    Arg::one_of("order", &[Arg::flag("asc", "ASC"), Arg::flag("desc", "DESC")]).optional();
const ANY: Arg = Arg::flag("any", "ANY").optional();
const COUNT_NUMBER: Arg = Arg::integer("count").token("COUNT");
/// How many.
pub(super) const COUNT: Arg = Arg::block("count-block", &[COUNT_NUMBER, ANY]).optional();
/// How many, where the option ANY came later.
pub(super) const COUNT_LATER_ANY: Arg =
    Arg::block("count-block", &[COUNT_NUMBER, ANY.since("6.2.0")]).optional();

/// Positions.
pub(super) const WITHCOORD: Arg = Arg::flag("withcoord", "WITHCOORD").optional();
/// Distances.
pub(super) const WITHDIST: Arg = Arg::flag("withdist", "WITHDIST").optional();
/// Scores.
pub(super) const WITHHASH: Arg = Arg::flag("withhash", "WITHHASH").optional();

/// A sorted set that is read.
pub(super) const READ: &[KeySpec] = &[KeySpec::one(1).read()];

/// Where GEORADIUS stores its result.
pub(super) const STORE: Arg = Arg::one_of(
    "store",
    &[Arg::key("storekey", 1).token("STORE"), Arg::key("storedistkey", 2).token("STOREDIST")],
)
.optional();

/// A sorted set that is read, and one that is stored after a keyword, searched from argument
/// `from` on.
pub(super) const fn read_and_store(from: i32) -> [KeySpec; 3] {
    let stored = KeyFlags::OW.with(KeyFlags::UPDATE);
    [
        KeySpec::one(1).read(),
        KeySpec::keyword("STORE", from).with(stored),
        KeySpec::keyword("STOREDIST", from).with(stored),
    ]
}
