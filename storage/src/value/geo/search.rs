//! Searching an area: which ranges of scores to read, and what of them is inside.

use std::ops::Range;

use super::cell::{Cell, Extent, MAX_STEP};
use super::{EARTH_RADIUS, Point, RADIANS, Unit, WORLD};

/// Half the equator, in metres of the projection.
const HALF_EQUATOR: f64 = 20_037_726.37;
/// Latitudes from which one and two halvings less are needed: meridians come close.
const HIGH_LATITUDES: [f64; 2] = [66.0, 80.0];

/// The neighbours of a cell, as steps east and north, in the order they are read.
const NEIGHBOURS: [(i32, i32); 8] =
    [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// The form of an area, in units of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All that is no farther away.
    Circle {
        /// How far.
        radius: f64,
    },
    /// All that is no farther away than half of each, along a meridian and along its own latitude.
    Box {
        /// East to west.
        width: f64,
        /// North to south.
        height: f64,
    },
}

/// An area to be searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Its middle.
    pub center: Point,
    /// Its form.
    pub shape: Shape,
    /// The unit of its form.
    pub unit: Unit,
}

impl Search {
    /// Metres from the middle to `point`, if that is inside.
    #[must_use]
    pub fn distance_within(&self, point: Point) -> Option<f64> {
        let meters = self.unit.meters();
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.center.distance(point);
                // The distance of antipodes may be no number; then it counts as near, as in Redis.
                if distance > radius * meters { None } else { Some(distance) }
            }
            Shape::Box { width, height } => {
                if self.center.latitude_distance(point) > height * meters / 2.0 {
                    return None;
                }
                let level = Point { longitude: self.center.longitude, ..point };
                if point.distance(level) > width * meters / 2.0 {
                    return None;
                }
                Some(self.center.distance(point))
            }
        }
    }

    /// The ranges of scores in which all positions of the area are, and others. No score is in two of
    /// them. Results that are not sorted come in their order.
    #[must_use]
    pub fn score_ranges(&self) -> Vec<Range<u64>> {
        let bounds = self.bounds();
        let mut cell = Cell::around(self.center, self.step(), WORLD);
        if cell.step() > 1 && !reaches(cell, bounds) {
            cell = Cell::around(self.center, cell.step() - 1, WORLD);
        }
        let area = cell.extent(WORLD);
        // Beyond which borders of the middle cell the area does not go.
        let within = |east: i32, north: i32| {
            north < 0 && area.latitude.0 < bounds.latitude.0
                || north > 0 && area.latitude.1 > bounds.latitude.1
                || east < 0 && area.longitude.0 < bounds.longitude.0
                || east > 0 && area.longitude.1 > bounds.longitude.1
        };
        let mut ranges = vec![cell.scores()];
        for (east, north) in NEIGHBOURS {
            if cell.step() > 1 && within(east, north) {
                continue;
            }
            let range = cell.neighbour(east, north).scores();
            // With two cells on an axis both neighbours are the same one.
            if ranges.len() == 1 || ranges.last() != Some(&range) {
                ranges.push(range);
            }
        }
        ranges
    }

    /// Lowest and highest degrees of the area. The edges of a box bend; the wider one counts.
    fn bounds(&self) -> Extent {
        let meters = self.unit.meters();
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (meters * radius, meters * radius),
            Shape::Box { width, height } => (meters * (width / 2.0), meters * (height / 2.0)),
        };
        let Point { longitude, latitude } = self.center;
        let up = height / EARTH_RADIUS / RADIANS;
        let farther = if latitude < 0.0 { latitude - up } else { latitude + up };
        let east = width / EARTH_RADIUS / (farther * RADIANS).cos() / RADIANS;
        Extent {
            longitude: (longitude - east, longitude + east),
            latitude: (latitude - up, latitude + up),
        }
    }

    /// How many halvings leave cells of which nine should cover the area.
    fn step(&self) -> u32 {
        let reach = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                let (x, y) = (width / 2.0, height / 2.0);
                (x * x + y * y).sqrt()
            }
        };
        let mut reach = reach * self.unit.meters();
        if reach == 0.0 {
            return MAX_STEP;
        }
        let mut step = 1_u32;
        while reach < HALF_EQUATOR {
            reach *= 2.0;
            step += 1;
        }
        let far = HIGH_LATITUDES.iter().filter(|limit| self.center.latitude.abs() > **limit);
        let less = 2 + far.count() as u32;
        step.saturating_sub(less).clamp(1, MAX_STEP)
    }
}

/// True if the neighbours of `cell` reach as far as `bounds`. If the middle is near a border of
/// its cell they may not.
fn reaches(cell: Cell, bounds: Extent) -> bool {
    let area = |east, north| cell.neighbour(east, north).extent(WORLD);
    !(area(0, 1).latitude.1 < bounds.latitude.1
        || area(0, -1).latitude.0 > bounds.latitude.0
        || area(1, 0).longitude.1 < bounds.longitude.1
        || area(-1, 0).longitude.0 > bounds.longitude.0)
}
