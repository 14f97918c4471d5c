//! MIGRATE: moves or copies keys to another server. What happens between the two servers is
//! [`crate::migrate`]'s; here keys are packed, and removed when they have arrived.

use super::payload;
use crate::blocking::{Meanwhile, Wait};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Find, KeyFlags, KeySpec, Outcome};
use crate::migrate::options::{Word, options};
use crate::migrate::{Content, Delivery, Failure, Parcel, Report, Target};
use dunlin_protocol::{Reply, Request};
use dunlin_storage::{Key, Millis};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds to wait if the command says 0 or less.
const DEFAULT_TIMEOUT: i64 = 1000;

const MOVED: KeyFlags = KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE);
const AFTER_KEYS: KeySpec =
    KeySpec { find: Find::Range { last: -1, step: 1, limit: 0 }, ..KeySpec::keyword("KEYS", -2) };

const LOGIN: Arg = Arg::one_of(
    "authentication",
    &[
        Arg::string("auth").token("AUTH").display("password").since("4.0.7"),
        Arg::block("auth2", &[Arg::string("username"), Arg::string("password")])
            .token("AUTH2")
            .since("6.0.0"),
    ],
)
.optional();

pub(super) const MIGRATE: Command = Command::new("migrate", Arity::at_least(6), migrate)
    .flags(flag_set!(WRITE))
    .keys(&[KeySpec::one(3).with(MOVED), AFTER_KEYS.with(MOVED).with(KeyFlags::INCOMPLETE)])
    .keys_by(|request| Some(keys(request).collect()))
    .categories(&["keyspace", "dangerous"])
    .tips(&["nondeterministic_output"])
    .docs(
        Docs::new(
            Group::Generic,
            "2.6.0",
            "A DUMP and a DEL of each key here, a RESTORE there, and O(N) to transfer them.",
            "Moves keys to another server.",
        )
        .args(&[
            Arg::string("host"),
            Arg::integer("port"),
            Arg::one_of("key-selector", &[Arg::key("key", 0), Arg::flag("empty-string", "\"\"")]),
            Arg::integer("destination-db"),
            Arg::integer("timeout"),
            Arg::flag("copy", "COPY").since("3.0.0").optional(),
            Arg::flag("replace", "REPLACE").since("3.0.0").optional(),
            LOGIN,
            Arg::key("keys", 1).token("KEYS").display("key").since("3.0.6").optional().multiple(),
        ])
        .history(&[
            ("3.0.0", "Added the `COPY` and `REPLACE` options."),
            ("3.0.6", "Added the `KEYS` option."),
            ("4.0.7", "Added the `AUTH` option."),
            ("6.0.0", "Added the `AUTH2` option."),
        ]),
    );

/// The arguments that are keys; none, if both forms are mixed.
fn keys(request: &Request<'_>) -> Range<usize> {
    let list = options(request).find(|(_, word)| *word == Word::Keys);
    match list {
        None => 3..request.len().min(4),
        Some(_) if request.get(3).is_some_and(|key| !key.is_empty()) => 0..0,
        Some((at, _)) => at + 1..request.len(),
    }
}

/// What the command says beside its keys.
struct Options {
    target: Target,
    /// Milliseconds that it may take.
    patience: Millis,
    copy: bool,
    replace: bool,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Self, ReplyError> {
        let (mut copy, mut replace, mut login) = (false, false, None);
        for (at, word) in options(&call.request) {
            if at + word.takes() >= call.argc() {
                return Err(SYNTAX);
            }
            match word {
                Word::Copy => copy = true,
                Word::Replace => replace = true,
                Word::Auth => login = Some((None, call.arg(at + 1).to_vec())),
                Word::Auth2 => {
                    login = Some((Some(call.arg(at + 1).to_vec()), call.arg(at + 2).to_vec()));
                }
                Word::Keys if !call.arg(3).is_empty() => {
                    return Err(
                        "ERR When using MIGRATE KEYS option, the key argument must be set \
                                to the empty string"
                            .into(),
                    );
                }
                Word::Keys => {}
                Word::Unknown => return Err(SYNTAX),
            }
        }
        let timeout = match call.int(5)? {
            ..=0 => DEFAULT_TIMEOUT,
            timeout => timeout,
        };
        let target = Target {
            host: String::from_utf8_lossy(call.arg(1)).into_owned(),
            port: port(call.arg(2)),
            db: call.int(4)?,
            login,
            timeout: Duration::from_millis(timeout.unsigned_abs()),
        };
        Ok(Options { target, patience: timeout, copy, replace })
    }
}

/// As atoi reads it, and what is no port is one where nobody listens.
fn port(text: &[u8]) -> u16 {
    let mut digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits
        .try_fold(0_u16, |port, digit| port.checked_mul(10)?.checked_add(u16::from(digit - b'0')))
        .unwrap_or(0)
}

fn migrate(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call)?;
    let meanwhile = call.client.wait.as_ref().and_then(|wait| wait.meanwhile.clone());
    if let Some(Meanwhile::Delivery(delivery)) = meanwhile {
        return conclude(call, &options, &delivery);
    }
    let mut parcels = Vec::new();
    for at in keys(&call.request) {
        let key = call.key(at);
        let found = pack(call, &key, true)?;
        parcels.extend(found.map(|value| Parcel { key: key.bytes.into(), value: Some(value) }));
    }
    if parcels.is_empty() {
        call.reply.simple("NOKEY");
        return Ok(Outcome::Done);
    }
    if !call.may_block() {
        return Err(
            "ERR MIGRATE is not allowed in a transaction or a script: it waits for another \
                    server"
                .into(),
        );
    }
    let until = call.now.saturating_add(options.patience);
    Ok(begin(Delivery::new(options.target, parcels, options.replace, until)))
}

fn begin(delivery: Delivery) -> Outcome {
    let meanwhile = Some(Meanwhile::Delivery(Arc::new(delivery)));
    Outcome::Block(Wait { deadline: None, on_timeout: not_read, on: None, meanwhile })
}

/// CLIENT UNBLOCK has ended it.
fn not_read(reply: &mut Reply) {
    reply.error(failed(&Failure::Reading).text());
}

/// The value of a key, to be sent. `first`: it counts as a read.
fn pack(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    first: bool,
) -> Result<Option<Content>, ReplyError> {
    let (limits, now) = (call.server.limits(), call.now);
    let skew = call.server.clock.skew();
    let (reader, _) = if first { call.split() } else { call.split_to_change() };
    let Some(entry) = reader.entry(key) else { return Ok(None) };
    let payload = payload::dump(&reader, &entry, &limits, now, skew)?;
    Ok(payload.map(|payload| Content { payload, expire_at: entry.expire_at() }))
}

/// The other server has answered, or failed to.
fn conclude(
    call: &mut Call<'_, '_>,
    options: &Options,
    delivery: &Delivery,
) -> Result<Outcome, ReplyError> {
    let report = delivery.take_report();
    let lost = || Report { taken: Vec::new(), failure: Some(Failure::Reading) };
    let Report { taken, failure } = report.unwrap_or_else(lost);
    let failure = delivery.earlier.clone().or(failure);
    let mut changed = Vec::new();
    if !options.copy {
        for index in taken {
            changed.extend(settle(call, &delivery.parcels[index])?);
        }
    }
    let is_refusal = failure.as_ref().is_none_or(|why| matches!(why, Failure::Refused(_)));
    if !changed.is_empty() && is_refusal {
        if call.now < delivery.until {
            return Ok(begin(delivery.again(changed, failure)));
        }
        return Err("IOERR error or timeout moving keys that change all the time".into());
    }
    match failure {
        Some(failure) => Err(failed(&failure)),
        None => {
            call.reply.ok();
            Ok(Outcome::Done)
        }
    }
}

/// Removes a key that has arrived, if it is what was sent. What has to be sent now, if it is not.
fn settle(call: &mut Call<'_, '_>, parcel: &Parcel) -> Result<Option<Parcel>, ReplyError> {
    let key = call.server.keyspace.key(&parcel.key);
    let value = pack(call, &key, false)?;
    if value == parcel.value {
        if value.is_some() {
            call.remove(&key);
        }
        return Ok(None);
    }
    let has_expired = |at: Option<Millis>| at.is_some_and(|at| at < call.now);
    if value.is_none() && parcel.value.as_ref().is_some_and(|sent| has_expired(sent.expire_at)) {
        // There, too.
        return Ok(None);
    }
    Ok(Some(Parcel { key: parcel.key.clone(), value }))
}

fn failed(failure: &Failure) -> ReplyError {
    match failure {
        Failure::Refused(text) => {
            [b"ERR Target instance replied with error: ", text.as_slice()].concat().into()
        }
        Failure::Connecting => "IOERR error or timeout connecting to the client".into(),
        Failure::Writing => "IOERR error or timeout writing to target instance".into(),
        Failure::Reading => "IOERR error or timeout reading to target instance".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_as_atoi_reads_them() {
        for (text, wanted) in [("6379", 6379), ("6379x", 6379), ("", 0), ("-1", 0), ("65536", 0)] {
            assert_eq!(port(text.as_bytes()), wanted, "{text}");
        }
    }
}
