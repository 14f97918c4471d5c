//! LPUSH, RPUSH, LPUSHX, RPUSHX: elements are added at one end.

use super::docs::{ELEMENT, INSERT, KEY};
use super::{events, number};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Handler, Outcome};
use crate::notify::Class;
use dunlin_storage::value::list::{End, Limits, List};

/// The first element.
const FIRST: usize = 2;

const ARGS: &[Arg] = &[KEY, ELEMENT.multiple()];

pub(super) const LPUSH: Command = row("lpush", lpush).docs(
    docs("1.0.0", "Adds elements at the head of a list, which is made if it does not exist.")
        .history(&[("2.4.0", "Accepts multiple `element` arguments.")]),
);
pub(super) const RPUSH: Command = row("rpush", rpush).docs(
    docs("1.0.0", "Adds elements at the tail of a list, which is made if it does not exist.")
        .history(&[("2.4.0", "Accepts multiple `element` arguments.")]),
);
pub(super) const LPUSHX: Command = row("lpushx", lpushx).docs(
    docs("2.2.0", "Adds elements at the head of a list if it exists.")
        .history(&[("4.0.0", "Accepts multiple `element` arguments.")]),
);
pub(super) const RPUSHX: Command = row("rpushx", rpushx).docs(
    docs("2.2.0", "Adds elements at the tail of a list if it exists.")
        .history(&[("4.0.0", "Accepts multiple `element` arguments.")]),
);

const fn row(name: &'static str, handler: Handler) -> Command {
    Command::new(name, Arity::at_least(3), handler)
        .flags(flag_set!(WRITE | DENYOOM | FAST))
        .keys(INSERT)
}

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::new(
        Group::List,
        since,
        "O(1) for each element added, so O(N) to add N elements when the command is called with \
         multiple arguments.",
        summary,
    )
    .args(ARGS)
}

fn lpush(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    push(call, End::Head, false)
}

fn rpush(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    push(call, End::Tail, false)
}

fn lpushx(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    push(call, End::Head, true)
}

fn rpushx(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    push(call, End::Tail, true)
}

fn push(call: &mut Call<'_, '_>, end: End, only_existing: bool) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(1), call.request);
    let elements = || request.iter().skip(FIRST);
    let add = |list: &mut List, limits: &Limits| {
        list.prepare(request.len() - FIRST, elements().map(<[u8]>::len).sum(), limits);
        elements().for_each(|element| list.push(end, element, limits));
        list.len()
    };
    let len = if only_existing {
        call.edit(&key, |list, limits| add(list, &limits.list))?
    } else {
        Some(call.edit_or_new(&key, |list, limits| add(list, &limits.list))?)
    };
    if len.is_some() {
        call.notify(Class::LIST, events(end).push, &key);
    }
    call.reply.int(number(len.unwrap_or(0)));
    Ok(Outcome::Done)
}
