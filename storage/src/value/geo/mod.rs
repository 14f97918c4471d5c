//! Positions on earth as scores of a sorted set.
//!
//! A position becomes a **cell**: longitude and latitude are halved 26 times each, and the 52 bits that
//! say which halves it is in, taken in turn, are the score (exact in a float). Positions of a larger
//! cell, of fewer halvings, are one range of scores, so searching an area is reading the ranges of
//! at most nine cells ([`Search`]) and measuring the distance of what is in them.
//!
//! All numbers are Redis's: limits, radius of the earth, the order of operations; so scores and
//! distances agree to the last bit.

mod cell;
mod search;
#[cfg(test)]
mod tests;

pub use search::{Search, Shape};

use cell::{Cell, Extent, MAX_STEP};

/// Mean radius of the earth in metres.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
const RADIANS: f64 = std::f64::consts::PI / 180.0;
const MAX_LONGITUDE: f64 = 180.0;
/// The poles are beyond what the projection shows.
const MAX_LATITUDE: f64 = 85.051_128_78;

/// What positions are encoded in.
const WORLD: Extent =
    Extent { longitude: (-MAX_LONGITUDE, MAX_LONGITUDE), latitude: (-MAX_LATITUDE, MAX_LATITUDE) };
/// What the geohash strings of other programs are encoded in.
const WHOLE_WORLD: Extent = Extent { longitude: (-180.0, 180.0), latitude: (-90.0, 90.0) };

/// Length of a geohash string.
const GEOHASH_LEN: usize = 11;
const GEOHASH_DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
const GEOHASH_DIGIT_BITS: u32 = 5;

/// A unit of distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `m`
    Meters,
    /// `km`
    Kilometers,
    /// `ft`
    Feet,
    /// `mi`
    Miles,
}

impl Unit {
    /// The unit called `name`, in any case.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let units = [
            ("m", Unit::Meters),
            ("km", Unit::Kilometers),
            ("ft", Unit::Feet),
            ("mi", Unit::Miles),
        ];
        let found =
            units.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map(|(_, unit)| unit)
    }

    /// How many metres one is.
    #[must_use]
    pub fn meters(self) -> f64 {
        match self {
            Unit::Meters => 1.0,
            Unit::Kilometers => 1000.0,
            Unit::Feet => 0.3048,
            Unit::Miles => 1609.34,
        }
    }
}

/// A position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    longitude: f64,
    latitude: f64,
}

impl Point {
    /// The position at these degrees, if they are ones that can be encoded.
    #[must_use]
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        let good = longitude.abs() <= MAX_LONGITUDE && latitude.abs() <= MAX_LATITUDE;
        good.then_some(Point { longitude, latitude })
    }

    /// The position that a score stands for: the middle of its cell.
    #[must_use]
    pub fn from_score(score: f64) -> Self {
        let area = Cell::new(bits_of(score), MAX_STEP).extent(WORLD);
        let middle =
            |(low, high): (f64, f64), limit: f64| ((low + high) / 2.0).clamp(-limit, limit);
        Point {
            longitude: middle(area.longitude, MAX_LONGITUDE),
            latitude: middle(area.latitude, MAX_LATITUDE),
        }
    }

    /// The score that stands for this position. (The last line of longitude or latitude lies
    /// beyond the last cell: its scores take 53 or 54 bits, as Redis's do.)
    #[must_use]
    pub fn score(self) -> u64 {
        Cell::around(self, MAX_STEP, WORLD).bits()
    }

    /// Degrees east.
    #[must_use]
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// Degrees north.
    #[must_use]
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Metres to `other` along a great circle (the haversine formula).
    #[must_use]
    pub fn distance(self, other: Self) -> f64 {
        let v = ((other.longitude * RADIANS - self.longitude * RADIANS) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (here, there) = (self.latitude * RADIANS, other.latitude * RADIANS);
        let u = ((there - here) / 2.0).sin();
        let a = u * u + here.cos() * there.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// Metres between the circles of latitude of the two.
    fn latitude_distance(self, other: Self) -> f64 {
        EARTH_RADIUS * (other.latitude * RADIANS - self.latitude * RADIANS).abs()
    }

    /// The geohash string that other programs know the position by. Of its eleven digits ten are
    /// significant: 52 bits do not make more.
    #[must_use]
    pub fn geohash(self) -> [u8; GEOHASH_LEN] {
        let bits = Cell::around(self, MAX_STEP, WHOLE_WORLD).bits();
        let mut text = [GEOHASH_DIGITS[0]; GEOHASH_LEN];
        let mut shift = 2 * MAX_STEP;
        for digit in &mut text[..GEOHASH_LEN - 1] {
            shift -= GEOHASH_DIGIT_BITS;
            *digit = GEOHASH_DIGITS[(bits >> shift) as usize % GEOHASH_DIGITS.len()];
        }
        text
    }
}

/// The bits of a score. One that no position made (the commands take any sorted set) comes out as
/// the conversion of Redis's C compiler has it, which wraps negative numbers around.
fn bits_of(score: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if score < HALF {
        (score as i64).cast_unsigned()
    } else if score < 2.0 * HALF {
        score as u64
    } else {
        0
    }
}
