//! Whether what several clients saw of one key can be explained: each command took effect at once, at
//! some moment between its call and its answer.
//!
//! The history is followed in the order of time. What is known of the key is a set of **worlds**: a value
//! that it may have, and which of the commands under way have taken effect to make it so. An answer
//! rules out all worlds in which the command cannot have had this answer by now; if none is left, there
//! is no explanation. Few commands are under way at once, so there are few worlds.

use super::support::{Rng, Value};
use std::collections::{BTreeMap, HashSet};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Get,
    Increment,
    /// Sets the value if there is none.
    SetNew(i64),
    /// Sets the second value if it is the first.
    Swap(i64, i64),
    Delete,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Value(Option<i64>),
    /// Whether something was done.
    Done(bool),
}

/// A command of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) invoked: u64,
    /// None: there was no answer. It may take effect at any time, or never.
    pub(crate) answered: Option<(u64, Answer)>,
}

impl Op {
    pub(crate) fn any(rng: &mut Rng) -> Op {
        let small = |rng: &mut Rng| rng.between(1, 4);
        match rng.below(20) {
            0..7 => Op::Increment,
            7..12 => Op::Get,
            12..14 => Op::SetNew(small(rng)),
            14..18 => Op::Swap(small(rng), small(rng)),
            _ => Op::Delete,
        }
    }

    /// The words of the command.
    pub(crate) fn words(self, key: &str) -> Vec<String> {
        let line = match self {
            Op::Get => format!("GET {key}"),
            Op::Increment => format!("INCR {key}"),
            Op::SetNew(new) => format!("SETNX {key} {new}"),
            Op::Swap(from, to) => format!("SET {key} {to} IFEQ {from}"),
            Op::Delete => format!("DEL {key}"),
        };
        line.split(' ').map(str::to_owned).collect()
    }

    /// What a server's reply says.
    pub(crate) fn answer(self, reply: &Value) -> Answer {
        match (self, reply) {
            (Op::Get, Value::NullBulk) => Answer::Value(None),
            (Op::Get, Value::Bulk(text)) => {
                Answer::Value(Some(String::from_utf8_lossy(text).parse().expect("a number")))
            }
            (Op::Increment, Value::Int(value)) => Answer::Value(Some(*value)),
            (Op::SetNew(_) | Op::Delete, Value::Int(done)) => Answer::Done(*done == 1),
            (Op::Swap(..), Value::NullBulk) => Answer::Done(false),
            (Op::Swap(..), reply) if *reply == Value::ok() => Answer::Done(true),
            _ => panic!("{self:?}: {reply:?}"),
        }
    }

    /// What it makes of a value, and its answer.
    fn apply(self, value: Option<i64>) -> (Option<i64>, Answer) {
        let set = |condition: bool, new: Option<i64>| {
            (if condition { new } else { value }, Answer::Done(condition))
        };
        match self {
            Op::Get => (value, Answer::Value(value)),
            Op::Increment => {
                let new = Some(value.unwrap_or(0) + 1);
                (new, Answer::Value(new))
            }
            Op::SetNew(new) => set(value.is_none(), Some(new)),
            Op::Swap(from, to) => set(value == Some(from), Some(to)),
            Op::Delete => set(value.is_some(), None),
        }
    }
}

/// A value, and which of the commands under way have taken effect: a bit for each place.
type World = (Option<i64>, u64);

/// Commands under way, each in a place of its own.
#[derive(Default)]
struct Running {
    places: Vec<Option<usize>>,
}

impl Running {
    fn enter(&mut self, call: usize) {
        match self.places.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(call),
            None => self.places.push(Some(call)),
        }
        assert!(self.places.len() <= 64, "too many commands under way");
    }

    fn place(&self, call: usize) -> usize {
        self.places.iter().position(|place| *place == Some(call)).expect("it is under way")
    }

    /// All worlds that can come of these while nothing is answered; also those in which the value has been
    /// evicted, if it may be.
    fn grow(&self, calls: &[Call], evicts: bool, worlds: &mut HashSet<World>) {
        let mut new: Vec<World> = worlds.iter().copied().collect();
        while let Some((value, done)) = new.pop() {
            if evicts && worlds.insert((None, done)) {
                new.push((None, done));
            }
            for (place, call) in self.places.iter().enumerate() {
                let Some(call) = call.filter(|_| done & (1 << place) == 0) else { continue };
                let (next, answer) = calls[call].op.apply(value);
                let is_possible = calls[call].answered.is_none_or(|(_, known)| known == answer);
                let world = (next, done | 1 << place);
                if is_possible && worlds.insert(world) {
                    new.push(world);
                }
            }
        }
    }
}

/// Says what cannot be explained of the commands on a key that was not there at first. `evicts`: it may be
/// gone at any moment.
pub(crate) fn check(calls: &[Call], evicts: bool) -> Result<(), String> {
    // What happens at the same moment may have been in either order: calls come first.
    let mut events = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        events.insert((call.invoked, false, at), at);
        if let Some((answered, _)) = call.answered {
            events.insert((answered, true, at), at);
        }
    }
    let mut worlds = HashSet::from([(None, 0)]);
    let mut running = Running::default();
    for ((_, is_answer, _), at) in events {
        if !is_answer {
            running.enter(at);
            continue;
        }
        running.grow(calls, evicts, &mut worlds);
        let place = running.place(at);
        let before = worlds.clone();
        worlds.retain(|(_, done)| done & (1 << place) != 0);
        if worlds.is_empty() {
            return Err(format!("{:?} is not explained by {before:?}", calls[at]));
        }
        worlds = worlds.into_iter().map(|(value, done)| (value, done & !(1 << place))).collect();
        running.places[place] = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(op: Op, invoked: u64, answered: u64, answer: Answer) -> Call {
        Call { op, invoked, answered: Some((answered, answer)) }
    }

    fn lost(op: Op, invoked: u64) -> Call {
        Call { op, invoked, answered: None }
    }

    fn value(value: i64) -> Answer {
        Answer::Value(Some(value))
    }

    #[test]
    fn one_after_the_other() {
        let history = |last| {
            [
                call(Op::SetNew(7), 0, 1, Answer::Done(true)),
                call(Op::SetNew(8), 2, 3, Answer::Done(false)),
                call(Op::Swap(7, 9), 4, 5, Answer::Done(true)),
                call(Op::Increment, 6, 7, value(10)),
                call(Op::Delete, 8, 9, Answer::Done(true)),
                call(Op::Get, 10, 11, last),
            ]
        };
        assert_eq!(check(&history(Answer::Value(None)), false), Ok(()));
        assert!(check(&history(value(10)), false).is_err(), "it was deleted");
    }

    #[test]
    fn at_the_same_time_in_any_order_that_explains_all() {
        let both = [call(Op::Increment, 0, 9, value(2)), call(Op::Increment, 1, 8, value(1))];
        assert_eq!(check(&both, false), Ok(()));
        let twice = [call(Op::Increment, 0, 9, value(1)), call(Op::Increment, 1, 8, value(1))];
        assert!(check(&twice, false).is_err());
        // The second began after the first had ended.
        let late = [call(Op::Increment, 0, 1, value(2)), call(Op::Increment, 2, 3, value(1))];
        assert!(check(&late, false).is_err());
        let old = [
            call(Op::Increment, 0, 1, value(1)),
            call(Op::Increment, 2, 5, value(2)),
            call(Op::Get, 3, 4, value(2)),
            call(Op::Get, 6, 7, value(1)),
        ];
        assert!(
            check(&old, false).is_err(),
            "who has read the new value may not read the old one later"
        );
    }

    #[test]
    fn without_an_answer_at_any_time_or_never() {
        let history = |first, second| {
            let lost = lost(Op::Increment, 0);
            [lost, call(Op::Get, 10, 11, first), call(Op::Get, 12, 13, second)]
        };
        let nothing = Answer::Value(None);
        assert_eq!(check(&history(nothing, nothing), false), Ok(()));
        assert_eq!(check(&history(nothing, value(1)), false), Ok(()));
        assert_eq!(check(&history(value(1), value(1)), false), Ok(()));
        assert!(check(&history(value(1), nothing), false).is_err(), "it took effect once");
        assert!(check(&history(value(1), value(2)), false).is_err(), "it took effect once");
    }

    #[test]
    fn what_is_evicted_is_gone_and_does_not_come_back() {
        let history = |last| {
            [
                call(Op::SetNew(7), 0, 1, Answer::Done(true)),
                call(Op::Get, 2, 3, Answer::Value(None)),
                call(Op::Get, 4, 5, last),
            ]
        };
        assert!(check(&history(Answer::Value(None)), false).is_err());
        assert_eq!(check(&history(Answer::Value(None)), true), Ok(()));
        assert!(check(&history(value(7)), true).is_err());
    }
}
