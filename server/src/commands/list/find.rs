//! LPOS: where an element is.

use super::docs::{ELEMENT, KEY, READ};
use super::number;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_INTEGER, ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::number::parse_i64;
use dunlin_storage::value::list::{End, ListRef};

const ZERO_RANK: ReplyError = ReplyError::new(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
     negative to start from the end of the list",
);

pub(super) const LPOS: Command =
    Command::new("lpos", Arity::at_least(3), lpos).flags(flag_set!(READONLY)).keys(READ).docs(
        Docs::new(
            Group::List,
            "6.0.6",
            "O(N) where N is the number of elements in the list, for the average case. When \
             searching for elements near the head or the tail of the list, or when the MAXLEN \
             option is provided, the command may run in constant time.",
            "Returns the indices of the elements of a list that are equal to another one.",
        )
        .args(&[
            KEY,
            ELEMENT,
            Arg::integer("rank").token("RANK").optional(),
            Arg::integer("num-matches").token("COUNT").optional(),
            Arg::integer("len").token("MAXLEN").optional(),
        ]),
    );

/// What is searched for.
struct Search {
    from: End,
    /// How many matches are passed by.
    skip: usize,
    /// How many are wanted; `None`: the first, and not as a list.
    count: Option<usize>,
    /// How many elements are looked at.
    most: usize,
}

impl Search {
    fn parse(call: &Call<'_, '_>) -> Result<Self, ReplyError> {
        let mut search = Search { from: End::Head, skip: 0, count: None, most: usize::MAX };
        let mut at = 3;
        while at < call.argc() {
            if at + 1 == call.argc() {
                return Err(SYNTAX);
            }
            if call.is(at, "rank") {
                search.rank(call.arg(at + 1))?;
            } else if call.is(at, "count") {
                search.count = Some(all_if_zero(call, at + 1, "ERR COUNT can't be negative")?);
            } else if call.is(at, "maxlen") {
                search.most = all_if_zero(call, at + 1, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(SYNTAX);
            }
            at += 2;
        }
        Ok(search)
    }

    fn rank(&mut self, text: &[u8]) -> Result<(), ReplyError> {
        let rank = parse_i64(text).ok_or(NOT_INTEGER)?;
        if rank == i64::MIN {
            let (min, max) = (-i64::MAX, i64::MAX);
            let text = format!("ERR value is out of range, value must between {min} and {max}");
            return Err(text.into());
        }
        let skip = rank.unsigned_abs().checked_sub(1).ok_or(ZERO_RANK)?;
        self.skip = usize::try_from(skip).unwrap_or(usize::MAX);
        self.from = if rank < 0 { End::Tail } else { End::Head };
        Ok(())
    }

    /// The indices found in a list.
    fn run<'l>(
        &self,
        list: ListRef<'l>,
        element: &'l [u8],
    ) -> impl Iterator<Item = usize> + use<'l> {
        let range = super::first(self.from, self.most, list.len());
        list.find(element, range, self.from).skip(self.skip).take(self.count.unwrap_or(1))
    }
}

/// A number in argument `at`; 0 stands for no limit.
fn all_if_zero(call: &Call<'_, '_>, at: usize, error: &'static str) -> Result<usize, ReplyError> {
    let count = parse_i64(call.arg(at)).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(ReplyError::new(error))?;
    Ok(if count == 0 { usize::MAX } else { count })
}

fn lpos(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let search = Search::parse(call)?;
    let (key, element) = (call.key(1), call.arg(2));
    let (reader, reply) = call.split();
    let list = reader.list(&key)?;
    let mut found = list.map(|list| search.run(list, element)).into_iter().flatten();
    if search.count.is_none() {
        match found.next() {
            Some(index) => reply.int(number(index)),
            None => reply.null(),
        }
        return Ok(Outcome::Done);
    }
    let header = reply.deferred_array();
    let mut count = 0;
    for index in found {
        reply.int(number(index));
        count += 1;
    }
    reply.finish_deferred(header, count);
    Ok(Outcome::Done)
}
