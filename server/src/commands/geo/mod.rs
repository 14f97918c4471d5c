//! Positions on earth: sorted sets whose scores are positions (see
//! [`dunlin_storage::value::geo`]).

mod add;
mod docs;
mod position;
mod query;
mod search;

use super::error::{NOT_FLOAT, ReplyError};
use super::spec::Command;
use dunlin_protocol::{Reply, Request, number};
use dunlin_storage::value::geo::{Point, Unit};

pub(super) static COMMANDS: &[Command] = &[
    add::GEOADD,
    position::GEOPOS,
    position::GEOHASH,
    position::GEODIST,
    search::GEOSEARCH,
    search::GEOSEARCHSTORE,
    search::GEORADIUS,
    search::GEORADIUS_RO,
    search::GEORADIUSBYMEMBER,
    search::GEORADIUSBYMEMBER_RO,
];

const BAD_UNIT: ReplyError =
    ReplyError::new("ERR unsupported unit provided. please use M, KM, FT, MI");

/// The unit in argument `at`.
fn unit(request: &Request<'_>, at: usize) -> Result<Unit, ReplyError> {
    Unit::parse(request.arg(at)).ok_or(BAD_UNIT)
}

/// The position in argument `at` and the one after it.
fn point(request: &Request<'_>, at: usize) -> Result<Point, ReplyError> {
    let degrees = |at: usize| number::parse_f64(request.arg(at)).ok_or(NOT_FLOAT);
    let (longitude, latitude) = (degrees(at)?, degrees(at + 1)?);
    Point::new(longitude, latitude).ok_or_else(|| {
        format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into()
    })
}

/// Replies longitude and latitude.
fn reply_point(reply: &mut Reply, point: Point) {
    reply.array(2);
    reply.human_double(point.longitude());
    reply.human_double(point.latitude());
}

/// Replies a distance: text with four decimal places.
fn reply_distance(reply: &mut Reply, distance: f64) {
    reply.bulk(distance_text(distance).as_bytes());
}

fn distance_text(distance: f64) -> String {
    const LIMIT: f64 = (1_u64 << 63) as f64;
    let scaled = distance * 10_000.0;
    // What is too large, or no number, is the smallest integer, as the processor rounds it.
    let scaled = if scaled.abs() < LIMIT { scaled.round_ties_even() as i64 } else { i64::MIN };
    let sign = if scaled < 0 { "-" } else { "" };
    let scaled = scaled.unsigned_abs();
    format!("{sign}{}.{:04}", scaled / 10_000, scaled % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_four_places() {
        for (distance, text) in [
            (0.0, "0.0000"),
            (0.00004, "0.0000"),
            (0.00005, "0.0000"),
            (0.00015, "0.0002"),
            (0.775, "0.7750"),
            (1.0, "1.0000"),
            (166_274.151_561, "166274.1516"),
            (9.99995, "10.0000"),
            (-1.5, "-1.5000"),
            (f64::NAN, "-922337203685477.5808"),
        ] {
            assert_eq!(distance_text(distance), text);
        }
    }
}
