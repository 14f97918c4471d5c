//! What the arguments of GEOSEARCH, GEORADIUS and their relatives ask for, and what is found.

use super::{point, unit};
use crate::commands::error::{NOT_INTEGER, ReplyError, SYNTAX, quoting};
use dunlin_protocol::{Request, number};
use dunlin_storage::value::geo::{Point, Search, Shape, Unit};
use dunlin_storage::value::listpack::Element;
use dunlin_storage::value::sorted_set::{Part, ScoreRange, SortedSetRef};
use std::ops::Bound;

const NO_MEMBER: ReplyError = ReplyError::new("ERR could not decode requested zset member");
const ANY_NEEDS_COUNT: ReplyError = ReplyError::new("ERR the ANY argument requires COUNT argument");

/// Which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A position and a radius; with a destination or without.
    Radius {
        /// A destination may be given.
        stores: bool,
    },
    /// A member and a radius.
    RadiusByMember {
        /// A destination may be given.
        stores: bool,
    },
    /// Anything, in options.
    Search,
    /// The same, after a destination.
    SearchStore,
}

impl Form {
    /// The argument that is the sorted set.
    pub(super) fn source(self) -> usize {
        if self == Form::SearchStore { 2 } else { 1 }
    }

    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }
}

/// In which order the result comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// What is replied beside the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct With {
    pub(super) distance: bool,
    pub(super) hash: bool,
    pub(super) point: bool,
}

impl With {
    /// How many things that are.
    pub(super) fn count(self) -> usize {
        usize::from(self.distance) + usize::from(self.hash) + usize::from(self.point)
    }
}

/// Where the result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The argument that is its key.
    pub(super) key: usize,
    /// Distances become the scores.
    pub(super) distances: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    /// `None` if there is nothing to be searched.
    search: Option<Search>,
    order: Option<Order>,
    count: Option<usize>,
    /// The first that are found will do.
    any: bool,
    pub(super) with: With,
    pub(super) target: Option<Target>,
}

/// A member that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'s> {
    pub(super) member: Element<'s>,
    pub(super) score: f64,
    pub(super) point: Point,
    /// In units of the query.
    pub(super) distance: f64,
}

/// A [`Query`] while its arguments are read.
struct Parser<'q, 'a> {
    request: &'q Request<'a>,
    form: Form,
    set: Option<SortedSetRef<'q>>,
    center: Option<Center>,
    shape: Option<(Shape, Unit)>,
    query: Query,
}

/// Where the area is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Center {
    Position(Point),
    /// A member; without a sorted set nobody knows where.
    Member(Option<Point>),
}

impl Query {
    /// Reads the arguments of a search in `set`, which may not exist.
    pub(super) fn parse(
        request: &Request<'_>,
        form: Form,
        set: Option<SortedSetRef<'_>>,
    ) -> Result<Self, ReplyError> {
        let target = Target { key: 1, distances: false };
        let query = Query {
            search: None,
            order: None,
            count: None,
            any: false,
            with: With::default(),
            target: Some(target).filter(|_| form == Form::SearchStore),
        };
        let parser = Parser { request, form, set, center: None, shape: None, query };
        parser.run()
    }

    /// The members that are inside, in order.
    pub(super) fn run<'s>(&self, set: SortedSetRef<'s>) -> Vec<Found<'s>> {
        let Some(search) = &self.search else { return Vec::new() };
        let enough = self.count.filter(|_| self.any).unwrap_or(usize::MAX);
        let mut found = collect(search, set, enough);
        // The nearest are meant when only some are wanted.
        let order = self.order.or((self.count.is_some() && !self.any).then_some(Order::Nearest));
        match order {
            Some(Order::Nearest) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Some(Order::Farthest) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
            None => {}
        }
        found.truncate(self.count.unwrap_or(usize::MAX));
        let meters = search.unit.meters();
        found.iter_mut().for_each(|found| found.distance /= meters);
        found
    }
}

/// The members of an area, at most `enough`, with distances in metres.
fn collect<'s>(search: &Search, set: SortedSetRef<'s>, enough: usize) -> Vec<Found<'s>> {
    let mut found = Vec::new();
    for scores in search.score_ranges() {
        let min = Bound::Included(scores.start as f64);
        let max = Bound::Excluded(scores.end as f64);
        let ranks = set.window(&Part::Score(ScoreRange { min, max }), false);
        for (member, score) in set.range(ranks) {
            let point = Point::from_score(score);
            let Some(distance) = search.distance_within(point) else { continue };
            found.push(Found { member, score, point, distance });
            if found.len() >= enough {
                return found;
            }
        }
    }
    found
}

impl Parser<'_, '_> {
    fn run(mut self) -> Result<Query, ReplyError> {
        let mut at = self.positional()?;
        while at < self.request.len() {
            at += self.option(at)?;
        }
        self.check()?;
        let search = match (self.center, self.shape) {
            (
                Some(Center::Position(center) | Center::Member(Some(center))),
                Some((shape, unit)),
            ) => Some(Search { center, shape, unit }),
            _ => None,
        };
        Ok(Query { search, ..self.query })
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.request.arg(at).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Reads what has its place; the argument after that.
    fn positional(&mut self) -> Result<usize, ReplyError> {
        match self.form {
            Form::Radius { .. } => {
                self.center = Some(Center::Position(point(self.request, 2)?));
                self.shape = Some(self.circle(4)?);
                Ok(6)
            }
            Form::RadiusByMember { .. } => {
                self.center = Some(self.member(2)?);
                // Without a sorted set the radius does not matter.
                if self.set.is_some() {
                    self.shape = Some(self.circle(3)?);
                }
                Ok(5)
            }
            Form::Search | Form::SearchStore => Ok(self.form.source() + 1),
        }
    }

    /// Reads the option at an argument; how many arguments it takes.
    fn option(&mut self, at: usize) -> Result<usize, ReplyError> {
        let flag = match at {
            at if self.is(at, "withdist") => &mut self.query.with.distance,
            at if self.is(at, "withhash") => &mut self.query.with.hash,
            at if self.is(at, "withcoord") => &mut self.query.with.point,
            at if self.is(at, "any") => &mut self.query.any,
            at if self.is(at, "asc") => return Ok(self.sort(Order::Nearest)),
            at if self.is(at, "desc") => return Ok(self.sort(Order::Farthest)),
            at if self.is(at, "count") && self.has(at, 1) => return self.count(at + 1),
            at if self.form.is_search() => return self.search_option(at),
            at => return self.radius_option(at),
        };
        *flag = true;
        Ok(1)
    }

    /// Whether `more` arguments follow one.
    fn has(&self, at: usize, more: usize) -> bool {
        at + more < self.request.len()
    }

    fn sort(&mut self, order: Order) -> usize {
        self.query.order = Some(order);
        1
    }

    fn count(&mut self, at: usize) -> Result<usize, ReplyError> {
        let count = number::parse_i64(self.request.arg(at)).ok_or(NOT_INTEGER)?;
        let count = usize::try_from(count).ok().filter(|count| *count > 0);
        self.query.count = Some(count.ok_or(ReplyError::new("ERR COUNT must be > 0"))?);
        Ok(2)
    }

    /// The options that only GEORADIUS has.
    fn radius_option(&mut self, at: usize) -> Result<usize, ReplyError> {
        let stores = match self.form {
            Form::Radius { stores } | Form::RadiusByMember { stores } => stores,
            Form::Search | Form::SearchStore => false,
        };
        let distances = self.is(at, "storedist");
        if !stores || !self.has(at, 1) || !(distances || self.is(at, "store")) {
            return Err(SYNTAX);
        }
        self.query.target = Some(Target { key: at + 1, distances });
        Ok(2)
    }

    /// The options that only GEOSEARCH has.
    fn search_option(&mut self, at: usize) -> Result<usize, ReplyError> {
        let from_member = matches!(self.center, Some(Center::Member(_)));
        let from_position = matches!(self.center, Some(Center::Position(_)));
        let by_circle = matches!(self.shape, Some((Shape::Circle { .. }, _)));
        let by_box = matches!(self.shape, Some((Shape::Box { .. }, _)));
        if self.is(at, "frommember") && self.has(at, 1) && !from_position {
            self.center = Some(self.member(at + 1)?);
            return Ok(2);
        }
        if self.is(at, "fromlonlat") && self.has(at, 2) && !from_member {
            self.center = Some(Center::Position(point(self.request, at + 1)?));
            return Ok(3);
        }
        if self.is(at, "byradius") && self.has(at, 2) && !by_box {
            self.shape = Some(self.circle(at + 1)?);
            return Ok(3);
        }
        if self.is(at, "bybox") && self.has(at, 3) && !by_circle {
            self.shape = Some(self.rectangle(at + 1)?);
            return Ok(4);
        }
        match &mut self.query.target {
            Some(target) if self.request.arg(at).eq_ignore_ascii_case(b"storedist") => {
                target.distances = true;
                Ok(1)
            }
            _ => Err(SYNTAX),
        }
    }

    /// The member in an argument.
    fn member(&self, at: usize) -> Result<Center, ReplyError> {
        let Some(set) = self.set else { return Ok(Center::Member(None)) };
        let score = set.score(self.request.arg(at)).ok_or(NO_MEMBER)?;
        Ok(Center::Member(Some(Point::from_score(score))))
    }

    /// A length in an argument; `name` is what it is called.
    fn length(&self, at: usize, name: &str) -> Result<f64, ReplyError> {
        let length = number::parse_f64(self.request.arg(at));
        length.ok_or_else(|| format!("ERR need numeric {name}").into())
    }

    fn circle(&self, at: usize) -> Result<(Shape, Unit), ReplyError> {
        let radius = self.length(at, "radius")?;
        if radius < 0.0 {
            return Err("ERR radius cannot be negative".into());
        }
        Ok((Shape::Circle { radius }, unit(self.request, at + 1)?))
    }

    fn rectangle(&self, at: usize) -> Result<(Shape, Unit), ReplyError> {
        let width = self.length(at, "width")?;
        let height = self.length(at + 1, "height")?;
        if width < 0.0 || height < 0.0 {
            return Err("ERR height or width cannot be negative".into());
        }
        Ok((Shape::Box { width, height }, unit(self.request, at + 2)?))
    }

    /// Refuses what is missing or does not go together.
    fn check(&self) -> Result<(), ReplyError> {
        if self.query.target.is_some() && self.query.with.count() > 0 {
            let what = match self.form {
                Form::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            let text = "is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
            return Err(format!("ERR {what} {text}").into());
        }
        let exactly_one = |of: &str| {
            let before = format!("ERR exactly one of {of} can be specified for ");
            quoting(&before, self.request.arg(0), "")
        };
        if self.form.is_search() && self.center.is_none() {
            return Err(exactly_one("FROMMEMBER or FROMLONLAT"));
        }
        if self.form.is_search() && self.shape.is_none() {
            return Err(exactly_one("BYRADIUS and BYBOX"));
        }
        if self.query.any && self.query.count.is_none() {
            return Err(ANY_NEEDS_COUNT);
        }
        Ok(())
    }
}
