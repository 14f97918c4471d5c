//! GEOADD: members get positions.

use super::docs::{KEY, LATITUDE, LONGITUDE, MEMBER};
use super::point;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::sorted_set::{add_pairs, number};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use dunlin_storage::value::sorted_set::AddOptions;

pub(super) const GEOADD: Command = Command::new("geoadd", Arity::at_least(5), geoadd)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(1).update()])
    .docs(
        Docs::new(
            Group::Geo,
            "3.2.0",
            "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
            "Adds members with positions to a sorted set, which is made if it does not exist, or \
             moves them.",
        )
        .history(&[("6.2.0", "Added the `CH`, `NX` and `XX` options.")])
        .args(&[
            KEY,
            Arg::one_of("condition", &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")])
                .since("6.2.0")
                .optional(),
            Arg::flag("change", "CH").since("6.2.0").optional(),
            Arg::block("data", &[LONGITUDE, LATITUDE, MEMBER]).multiple(),
        ]),
    );

fn geoadd(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut options = AddOptions::default();
    let (mut count_changed, mut first) = (false, 2);
    while first < call.argc() {
        let option = match first {
            at if call.is(at, "nx") => &mut options.nx,
            at if call.is(at, "xx") => &mut options.xx,
            at if call.is(at, "ch") => &mut count_changed,
            _ => break,
        };
        *option = true;
        first += 1;
    }
    let arguments = call.argc() - first;
    if arguments == 0 || !arguments.is_multiple_of(3) || options.nx && options.xx {
        return Err(SYNTAX);
    }
    let mut pairs = Vec::with_capacity(arguments / 3);
    for at in (first..call.argc()).step_by(3) {
        let score = point(&call.request, at)?.score();
        pairs.push((score as f64, call.arg(at + 2)));
    }
    let tally = add_pairs(call, &call.key(1), &pairs, options)?;
    let changed = if count_changed { tally.changed } else { 0 };
    call.reply.int(number(tally.new + changed));
    Ok(Outcome::Done)
}
