//! CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR. What they switch is in [`crate::tracking`].

use super::{OWN, docs};
use crate::client::{ClientShared, line};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{NEEDS_ROLE, NOT_INTEGER, ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::tracking::{Collision, Mode, Options, collision};
use bytes::Bytes;
use dunlin_protocol::number;
use dunlin_storage::ShardSet;
use std::sync::Arc;

const SWITCHES_BROADCAST: ReplyError = ReplyError::new(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
     re-enabling it with a different mode.",
);
const SWITCHES_OPT: ReplyError = ReplyError::new(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
     re-enabling it with a different mode.",
);

pub(super) const TRACKING: Command =
    Command::new("tracking", Arity::at_least(3), tracking).flags(OWN.with(Flags::ANY_SHARD)).docs(
        docs(
            "6.0.0",
            "O(1). Some options may introduce additional complexity.",
            "Turns invalidation messages for client-side caches on and off.",
        )
        .args(&[
            Arg::one_of("status", &[Arg::flag("on", "ON"), Arg::flag("off", "OFF")]),
            Arg::integer("client-id").token("REDIRECT").optional(),
            Arg::string("prefix").token("PREFIX").optional().multiple_token(),
            Arg::flag("bcast", "BCAST").optional(),
            Arg::flag("optin", "OPTIN").optional(),
            Arg::flag("optout", "OPTOUT").optional(),
            Arg::flag("noloop", "NOLOOP").optional(),
        ]),
    );

/// The arguments of CLIENT TRACKING.
#[derive(Default)]
struct Asked<'a> {
    redirect: Option<Arc<ClientShared>>,
    prefixes: Vec<&'a [u8]>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
}

fn read<'a>(call: &Call<'a, '_>) -> Result<Asked<'a>, ReplyError> {
    let mut asked = Asked::default();
    let mut i = 3;
    while i < call.argc() {
        let left = call.argc() - 1 - i;
        if call.is(i, "REDIRECT") && left > 0 {
            i += 1;
            if asked.redirect.is_some() {
                return Err("ERR A client can only redirect to a single other client".into());
            }
            let id = number::parse_i64(call.arg(i)).ok_or(NOT_INTEGER)?;
            asked.redirect = u64::try_from(id).ok().and_then(|id| call.server.clients.get(id));
            if asked.redirect.is_none() {
                return Err("ERR The client ID you want redirect to does not exist".into());
            }
        } else if call.is(i, "PREFIX") && left > 0 {
            i += 1;
            asked.prefixes.push(call.arg(i));
        } else if call.is(i, "BCAST") {
            asked.broadcast = true;
        } else if call.is(i, "OPTIN") {
            asked.opt_in = true;
        } else if call.is(i, "OPTOUT") {
            asked.opt_out = true;
        } else if call.is(i, "NOLOOP") {
            asked.no_loop = true;
        } else {
            return Err(SYNTAX);
        }
        i += 1;
    }
    Ok(asked)
}

/// The mode that is asked for, if it fits to itself and to the one that the client has.
fn mode(asked: &Asked<'_>, old: Mode) -> Result<Mode, ReplyError> {
    if !asked.broadcast && !asked.prefixes.is_empty() {
        return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
    }
    if old != Mode::Off && (old == Mode::Broadcast) != asked.broadcast {
        return Err(SWITCHES_BROADCAST);
    }
    if asked.broadcast && (asked.opt_in || asked.opt_out) {
        return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
    }
    match (asked.opt_in, asked.opt_out) {
        (true, true) => Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into()),
        (true, _) if old == Mode::OptOut => Err(SWITCHES_OPT),
        (_, true) if old == Mode::OptIn => Err(SWITCHES_OPT),
        (true, _) => Ok(Mode::OptIn),
        (_, true) => Ok(Mode::OptOut),
        _ if asked.broadcast => Ok(Mode::Broadcast),
        _ => Ok(Mode::Default),
    }
}

fn overlap(found: &Collision<'_>) -> ReplyError {
    let (new, kind, other) = match found {
        Collision::Old(new, old) => (new, "an existing", &old[..]),
        Collision::New(new, other) => (new, "another provided", *other),
    };
    let kind = format!("' overlaps with {kind} prefix '");
    let end = "'. Prefixes for a single client must not overlap.";
    let [new, other] = [new, other].map(|prefix| crate::dispatch::echo(prefix, usize::MAX));
    [b"ERR Prefix '", new, kind.as_bytes(), other, end.as_bytes()].concat().into()
}

fn tracking(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let asked = read(call)?;
    if call.is(2, "ON") {
        start(call, asked)?;
    } else if call.is(2, "OFF") {
        let client = &mut *call.client;
        client.tracking.stop(call.server.tracker(), &client.shared);
    } else {
        return Err(SYNTAX);
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

fn start(call: &mut Call<'_, '_>, asked: Asked<'_>) -> Result<(), ReplyError> {
    let mode = mode(&asked, call.client.tracking.mode())?;
    if let Some(found) = collision(call.client.tracking.prefixes(), &asked.prefixes) {
        return Err(overlap(&found));
    }
    let all = ShardSet::all(&call.server.keyspace);
    let writer = call.writer.as_deref_mut();
    let writer = writer.filter(|writer| all.iter().all(|shard| writer.holds(shard)));
    if mode == Mode::Broadcast && writer.is_none() {
        // Writers of all shards have to tell of changes from here on.
        return Err(NEEDS_ROLE);
    }
    let options = Options {
        mode,
        no_loop: asked.no_loop,
        redirect: asked.redirect,
        prefixes: asked.prefixes.into_iter().map(Bytes::copy_from_slice).collect(),
    };
    let client = &mut *call.client;
    client.tracking.start(&client.shared, options, &call.server.interests, writer);
    Ok(())
}

pub(super) const CACHING: Command =
    Command::new("caching", Arity::exactly(3), caching).flags(OWN).docs(
        docs("6.0.0", "O(1)", "Says whether the keys of the next command are tracked.")
            .args(&[Arg::one_of("mode", &[Arg::flag("yes", "YES"), Arg::flag("no", "NO")])]),
    );

fn caching(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mode = call.client.tracking.mode();
    if mode == Mode::Off {
        return Err(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with \
                    OPTIN or OPTOUT mode enabled"
                .into(),
        );
    }
    match (call.is(2, "YES"), call.is(2, "NO")) {
        (true, _) if mode != Mode::OptIn => {
            return Err(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
                    .into(),
            );
        }
        (_, true) if mode != Mode::OptOut => {
            return Err(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
                    .into(),
            );
        }
        (false, false) => return Err(SYNTAX),
        _ => call.client.tracking.set_caching(),
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

pub(super) const TRACKINGINFO: Command =
    Command::new("trackinginfo", Arity::exactly(2), trackinginfo).flags(OWN).docs(docs(
        "6.2.0",
        "O(1)",
        "Describes the connection's tracking.",
    ));

fn trackinginfo(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let flags = flags(call);
    let reply = &mut *call.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(line::redirect(&call.client.shared));
    reply.bulk(b"prefixes");
    let prefixes = call.client.tracking.prefixes();
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(Outcome::Done)
}

fn flags(call: &Call<'_, '_>) -> Vec<&'static str> {
    let (tracking, shared) = (&call.client.tracking, &call.client.shared);
    let mode = tracking.mode();
    [
        (true, if mode == Mode::Off { "off" } else { "on" }),
        (mode == Mode::Broadcast, "bcast"),
        (mode == Mode::OptIn, "optin"),
        (mode == Mode::OptIn && tracking.caching(), "caching-yes"),
        (mode == Mode::OptOut, "optout"),
        (mode == Mode::OptOut && tracking.caching(), "caching-no"),
        (shared.has_flag(ClientShared::NO_LOOP), "noloop"),
        (shared.has_flag(ClientShared::BROKEN_REDIRECT), "broken_redirect"),
    ]
    .into_iter()
    .filter_map(|(on, flag)| on.then_some(flag))
    .collect()
}

pub(super) const GETREDIR: Command = Command::new("getredir", Arity::exactly(2), getredir)
    .flags(OWN)
    .docs(docs("6.0.0", "O(1)", "Answers which connection gets this one's invalidation messages."));

fn getredir(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.int(line::redirect(&call.client.shared));
    Ok(Outcome::Done)
}
