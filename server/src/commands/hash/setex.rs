//! HSETEX: fields with an expiry, on a condition.

use super::docs::{EX, EXAT, FIELD, KEY, PX, PXAT, UPDATE};
use super::expire::deadline;
use super::set::set_pairs;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, quoting, wrong_arity};
use crate::commands::expiry::{Base, Unit};
use crate::commands::spec::{Arity, Command, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::parse_i64;
use dunlin_storage::value::hash::{Hash, Ttl};
use std::ops::Range;

pub(super) const HSETEX: Command = Command::new("hsetex", Arity::at_least(6), hsetex)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(UPDATE)
    .docs(
        Docs::new(
            Group::Hash,
            "8.0.0",
            "O(N) where N is the number of fields being set.",
            "Sets fields of a hash and their expiries, on a condition if asked.",
        )
        .args(&[
            KEY,
            Arg::one_of("condition", &[Arg::flag("fnx", "FNX"), Arg::flag("fxx", "FXX")])
                .optional(),
            Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, Arg::flag("keepttl", "KEEPTTL")])
                .optional(),
            Arg::block(
                "fields",
                &[
                    Arg::integer("numfields"),
                    Arg::block("data", &[FIELD, Arg::string("value")]).multiple(),
                ],
            )
            .token("FIELDS"),
        ]),
    );

/// Fields that are set at once, at most.
const FIELDS_MAX: i64 = i32::MAX as i64;

/// The options of HSETEX and where its pairs are.
struct Options {
    /// Every field must exist (true), or none (false).
    exist: Option<bool>,
    ttl: Ttl,
    pairs: Range<usize>,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Self, ReplyError> {
        let (mut exist, mut ttl) = (None, None);
        let mut at = 2;
        while at < call.argc() {
            let word = call.arg(at);
            if call.is(at, "fields") {
                let pairs = pairs(call, at)?;
                return Ok(Options { exist, ttl: ttl.unwrap_or(Ttl::Clear), pairs });
            }
            at += 1;
            let condition = Condition::of(word);
            let expiry = Expiry::of(word);
            if let Some(Condition(wanted)) = condition {
                if exist.replace(wanted).is_some() {
                    return Err("ERR Only one of FXX or FNX arguments can be specified".into());
                }
            } else if let Some(expiry) = expiry {
                if ttl.is_some() {
                    return Err("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be \
                                specified"
                        .into());
                }
                ttl = Some(expiry.ttl(call, at)?);
                at += expiry.values();
            } else {
                return Err(quoting("ERR unknown argument: ", word, ""));
            }
        }
        Err("ERR missing FIELDS argument".into())
    }
}

/// FXX or FNX: whether every field must exist, or none.
struct Condition(bool);

impl Condition {
    fn of(word: &[u8]) -> Option<Self> {
        match word.to_ascii_lowercase().as_slice() {
            b"fxx" => Some(Condition(true)),
            b"fnx" => Some(Condition(false)),
            _ => None,
        }
    }
}

/// What becomes of the expiries.
#[derive(Clone, Copy)]
enum Expiry {
    Time(Unit, Base),
    Keep,
}

impl Expiry {
    fn of(word: &[u8]) -> Option<Self> {
        match word.to_ascii_lowercase().as_slice() {
            b"ex" => Some(Expiry::Time(Unit::Seconds, Base::Now)),
            b"px" => Some(Expiry::Time(Unit::Millis, Base::Now)),
            b"exat" => Some(Expiry::Time(Unit::Seconds, Base::Epoch)),
            b"pxat" => Some(Expiry::Time(Unit::Millis, Base::Epoch)),
            b"keepttl" => Some(Expiry::Keep),
            _ => None,
        }
    }

    /// How many arguments belong to it.
    fn values(self) -> usize {
        usize::from(matches!(self, Expiry::Time(..)))
    }

    fn ttl(self, call: &Call<'_, '_>, at: usize) -> Result<Ttl, ReplyError> {
        match self {
            Expiry::Keep => Ok(Ttl::Keep),
            Expiry::Time(..) if at >= call.argc() => Err("ERR missing expire time".into()),
            Expiry::Time(unit, base) => deadline(call, at, unit, base).map(Ttl::At),
        }
    }
}

/// The pairs after FIELDS at argument `at`, which end the command line.
fn pairs(call: &Call<'_, '_>, at: usize) -> Result<Range<usize>, ReplyError> {
    let first = at + 2;
    let arity = || wrong_arity(&call.entry.full_name);
    if first > call.argc() {
        return Err(arity());
    }
    let count = parse_i64(call.arg(at + 1))
        .filter(|count| (1..=FIELDS_MAX).contains(count))
        .ok_or("ERR invalid number of fields")?;
    let arguments = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(2);
    if call.argc() - first != arguments {
        return Err(arity());
    }
    Ok(first..call.argc())
}

fn hsetex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let Options { exist, ttl, pairs } = Options::parse(call)?;
    let (key, request, now) = (call.key(1), call.request, call.now);
    let events = call.edit_or_new(&key, |hash: &mut Hash, limits| {
        let names = pairs.clone().step_by(2).map(|i| request.arg(i));
        let misfits = |field: &[u8], wanted: bool| hash.view().find(field, now).is_some() != wanted;
        if exist.is_some_and(|wanted| names.clone().any(|field| misfits(field, wanted))) {
            return None;
        }
        match ttl {
            // What is set with an expiry in the past is gone at once.
            Ttl::At(at) if at <= now => {
                let removed = names.filter(|field| hash.remove(field, now)).count();
                return Some(if removed > 0 { &["hdel"][..] } else { &[] });
            }
            _ => set_pairs(hash, request, pairs, ttl, now, &limits.hash),
        };
        Some(if matches!(ttl, Ttl::At(_)) { &["hset", "hexpire"] } else { &["hset"] })
    })?;
    for event in events.into_iter().flatten() {
        call.notify_taken(Class::HASH, event, &key);
    }
    call.reply.int(events.is_some().into());
    Ok(Outcome::Done)
}
