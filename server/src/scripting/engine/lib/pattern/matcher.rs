//! Matching without recursion: what else can be tried is on a stack that grows by one entry per item
//! of the pattern at most.

use super::class::{fits, in_set};
use crate::scripting::engine::limits::Limits;

/// Most captures of a pattern.
const MAX_CAPTURES: usize = 32;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The pattern is wrong, or the replacement.
    Pattern(&'static str),
    /// Anything else, above all that the script is to end.
    Lua(mlua::Error),
}

impl From<&'static str> for Fault {
    fn from(why: &'static str) -> Fault {
        Fault::Pattern(why)
    }
}

impl From<mlua::Error> for Fault {
    fn from(error: mlua::Error) -> Fault {
        Fault::Lua(error)
    }
}

/// Where something begins and ends in the subject.
pub(super) type Span = (usize, usize);

/// What a capture has caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caught<'m> {
    Text(&'m [u8]),
    /// Counted from 1.
    Position(usize),
}

/// A capture.
#[derive(Clone, Copy, Debug)]
enum Capture {
    /// It has begun there.
    Open(usize),
    Closed(Span),
    Position(usize),
}

/// How far matching has come.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// In the subject.
    at: usize,
    /// In the pattern.
    item: usize,
}

/// What can be tried instead when the rest of the pattern does not match, or has to be undone.
#[derive(Debug)]
enum Retry {
    /// The item is left out.
    Without(Place),
    /// One less of the characters from there on, of which there are so many.
    Less { from: Place, count: usize },
    /// One more character like the item, which ends there.
    More { place: Place, end: usize },
    /// The last capture has begun.
    Begun,
    /// This capture has ended.
    Ended(usize),
}

/// A subject and a pattern without its anchor.
#[derive(Debug)]
pub(super) struct Matcher<'m> {
    subject: &'m [u8],
    pattern: &'m [u8],
    limits: &'m Limits,
    captures: Vec<Capture>,
    retries: Vec<Retry>,
}

impl<'m> Matcher<'m> {
    pub(super) fn new(subject: &'m [u8], pattern: &'m [u8], limits: &'m Limits) -> Matcher<'m> {
        Matcher { subject, pattern, limits, captures: Vec::new(), retries: Vec::new() }
    }

    /// The first match that begins at `from` or later; `anchored`: there or nowhere.
    pub(super) fn search(&mut self, from: usize, anchored: bool) -> Result<Option<Span>, Fault> {
        let last = if anchored { from } else { self.subject.len() };
        for start in from..=last {
            if let Some(end) = self.match_at(start)? {
                return Ok(Some((start, end)));
            }
        }
        Ok(None)
    }

    /// Where the match ends that begins there.
    fn match_at(&mut self, start: usize) -> Result<Option<usize>, Fault> {
        self.captures.clear();
        self.retries.clear();
        let mut place = Place { at: start, item: 0 };
        while place.item < self.pattern.len() {
            self.limits.work(1)?;
            let next = match self.step(place)? {
                None => self.retry()?,
                next => next,
            };
            let Some(next) = next else {
                return Ok(None);
            };
            place = next;
        }
        Ok(Some(place.at))
    }

    /// How many captures the last match has.
    pub(super) fn captures(&self) -> usize {
        self.captures.len()
    }

    /// What a capture has caught in the last match; where there is none, the first is all of it.
    pub(super) fn caught(&self, i: usize, whole: Span) -> Result<Caught<'m>, Fault> {
        match self.captures.get(i) {
            Some(Capture::Closed(span)) => Ok(Caught::Text(self.text(*span))),
            Some(Capture::Position(at)) => Ok(Caught::Position(at + 1)),
            Some(Capture::Open(_)) => Err("unfinished capture".into()),
            None if i == 0 => Ok(Caught::Text(self.text(whole))),
            None => Err("invalid capture index".into()),
        }
    }

    /// What of the subject is there.
    pub(super) fn text(&self, (from, to): Span) -> &'m [u8] {
        self.subject.get(from..to).unwrap_or_default()
    }
}

/// One item each, and where matching goes on behind it; `None`: it does not match.
impl Matcher<'_> {
    fn step(&mut self, Place { at, item }: Place) -> Result<Option<Place>, Fault> {
        let pattern = self.pattern;
        match pattern[item..] {
            [b'(', b')', ..] => self.begin(Capture::Position(at), Place { at, item: item + 2 }),
            [b'(', ..] => self.begin(Capture::Open(at), Place { at, item: item + 1 }),
            [b')', ..] => self.end(Place { at, item: item + 1 }),
            [b'%', b'b', ..] => self.balanced(Place { at, item: item + 2 }),
            [b'%', b'f', ..] => self.frontier(Place { at, item: item + 2 }),
            [b'%', digit @ b'0'..=b'9', ..] => self.again(digit, Place { at, item: item + 2 }),
            [b'$'] => Ok((at == self.subject.len()).then_some(Place { at, item: item + 1 })),
            _ => self.characters(Place { at, item }),
        }
    }

    fn begin(&mut self, capture: Capture, then: Place) -> Result<Option<Place>, Fault> {
        if self.captures.len() >= MAX_CAPTURES {
            return Err("too many captures".into());
        }
        self.captures.push(capture);
        self.retries.push(Retry::Begun);
        Ok(Some(then))
    }

    /// The end of the capture that has begun last.
    fn end(&mut self, then: Place) -> Result<Option<Place>, Fault> {
        for (i, capture) in self.captures.iter_mut().enumerate().rev() {
            if let Capture::Open(from) = *capture {
                *capture = Capture::Closed((from, then.at));
                self.retries.push(Retry::Ended(i));
                return Ok(Some(then));
            }
        }
        Err("invalid pattern capture".into())
    }

    /// `%bxy`: from an x to the y that belongs to it.
    fn balanced(&mut self, Place { at, item }: Place) -> Result<Option<Place>, Fault> {
        let &[open, close, ..] = &self.pattern[item..] else {
            return Err("unbalanced pattern".into());
        };
        if self.subject.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        let rest = &self.subject[at + 1..];
        let end = rest.iter().position(|byte| {
            if *byte == close {
                depth -= 1;
            } else if *byte == open {
                depth += 1;
            }
            depth == 0
        });
        self.limits.work(end.unwrap_or(rest.len()))?;
        Ok(end.map(|end| Place { at: at + end + 2, item: item + 2 }))
    }

    /// `%f[set]`: in front of the first character of the set, behind one that is not in it.
    fn frontier(&mut self, Place { at, item }: Place) -> Result<Option<Place>, Fault> {
        if self.pattern.get(item) != Some(&b'[') {
            return Err("missing '[' after '%f' in pattern".into());
        }
        let end = self.item_end(item)?;
        let set = &self.pattern[item + 1..end - 1];
        self.limits.work(set.len())?;
        // A NUL is in front of the subject and behind it.
        let byte = |at: Option<usize>| at.and_then(|at| self.subject.get(at)).copied().unwrap_or(0);
        let (before, here) = (byte(at.checked_sub(1)), byte(Some(at)));
        let matches = !in_set(before, set) && in_set(here, set);
        Ok(matches.then_some(Place { at, item: end }))
    }

    /// `%1`: what a capture has caught, again.
    fn again(&mut self, digit: u8, then: Place) -> Result<Option<Place>, Fault> {
        match self.captures.get(usize::from(digit.wrapping_sub(b'1'))) {
            None | Some(Capture::Open(_)) => Err("invalid capture index".into()),
            Some(Capture::Position(_)) => Ok(None),
            Some(Capture::Closed(span)) => {
                let text = self.text(*span);
                self.limits.work(text.len())?;
                let matches = self.subject[then.at..].starts_with(text);
                Ok(matches.then_some(Place { at: then.at + text.len(), ..then }))
            }
        }
    }

    /// A character, and how often.
    fn characters(&mut self, place: Place) -> Result<Option<Place>, Fault> {
        let Place { at, item } = place;
        let end = self.item_end(item)?;
        self.limits.work(end - item)?;
        let fits = self.fits(place, end);
        let then = Place { at, item: end + 1 };
        match self.pattern.get(end) {
            Some(b'*') => self.most(place, end),
            Some(b'+') if fits => self.most(Place { at: at + 1, item }, end),
            Some(b'+') => Ok(None),
            Some(b'?') if fits => {
                self.retries.push(Retry::Without(then));
                Ok(Some(Place { at: at + 1, ..then }))
            }
            Some(b'?') => Ok(Some(then)),
            Some(b'-') => {
                self.retries.push(Retry::More { place, end });
                Ok(Some(then))
            }
            _ => Ok(fits.then_some(Place { at: at + 1, item: end })),
        }
    }

    /// As many characters as there are.
    fn most(&mut self, Place { at, item }: Place, end: usize) -> Result<Option<Place>, Fault> {
        let (rest, one) = (&self.subject[at..], &self.pattern[item..end]);
        let count = rest.iter().take_while(|byte| fits(**byte, one)).count();
        self.limits.work(count.saturating_mul(one.len()))?;
        let from = Place { at, item: end + 1 };
        if count > 0 {
            self.retries.push(Retry::Less { from, count });
        }
        Ok(Some(Place { at: at + count, ..from }))
    }

    /// Whether the character at a place is one of the item's there, which ends at `end`.
    fn fits(&self, Place { at, item }: Place, end: usize) -> bool {
        self.subject.get(at).is_some_and(|byte| fits(*byte, &self.pattern[item..end]))
    }

    /// Goes back to the last choice for which there is another way.
    fn retry(&mut self) -> Result<Option<Place>, Fault> {
        while let Some(retry) = self.retries.pop() {
            match retry {
                Retry::Without(place) => return Ok(Some(place)),
                Retry::Less { from, count } => {
                    let count = count - 1;
                    if count > 0 {
                        self.retries.push(Retry::Less { from, count });
                    }
                    return Ok(Some(Place { at: from.at + count, ..from }));
                }
                Retry::More { place, end } => {
                    self.limits.work(end - place.item)?;
                    if self.fits(place, end) {
                        let at = place.at + 1;
                        self.retries.push(Retry::More { place: Place { at, ..place }, end });
                        return Ok(Some(Place { at, item: end + 1 }));
                    }
                }
                Retry::Begun => {
                    self.captures.pop();
                }
                Retry::Ended(i) => {
                    if let Some(capture) = self.captures.get_mut(i)
                        && let Capture::Closed((from, _)) = *capture
                    {
                        *capture = Capture::Open(from);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Where the item ends that begins there: a character, a class or a set.
    fn item_end(&self, item: usize) -> Result<usize, Fault> {
        match self.pattern[item..] {
            [b'%'] => Err("malformed pattern (ends with '%')".into()),
            [b'%', ..] => Ok(item + 2),
            [b'[', ..] => self.set_end(item + 1),
            _ => Ok(item + 1),
        }
    }

    fn set_end(&self, set: usize) -> Result<usize, Fault> {
        let mut at = set + usize::from(self.pattern.get(set) == Some(&b'^'));
        loop {
            // The first one belongs to the set even if it is the bracket.
            at += match self.pattern.get(at) {
                None => return Err("malformed pattern (missing ']')".into()),
                Some(b'%') => 2,
                Some(_) => 1,
            };
            if self.pattern.get(at) == Some(&b']') {
                return Ok(at + 1);
            }
        }
    }
}
