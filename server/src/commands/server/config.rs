//! CONFIG. What the directives are and do is in [`crate::config`]; nothing here names one.

use super::docs;
use crate::acl::Acl;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::config::{Applied, Origin, Settings, check_exposure};

const OPERATOR: Flags = flag_set!(ADMIN | NOSCRIPT | LOADING | STALE);

pub(super) const CONFIG: Command = Command::new("config", Arity::at_least(2), help::container)
    .docs(docs("2.0.0", "Depends on subcommand.", "Commands about the configuration."))
    .subcommands(&[GET, HELP, RESETSTAT, REWRITE, SET]);

const GET: Command = Command::new("get", Arity::at_least(3), get).flags(OPERATOR).docs(
    docs(
        "2.0.0",
        "O(N) when N is the number of configuration parameters provided",
        "Answers the directives that match the patterns.",
    )
    .history(&[("7.0.0", "Added the ability to pass multiple pattern parameters in one call")])
    .args(&[Arg::string("parameter").multiple()]),
);

fn get(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let patterns: Vec<&[u8]> = call.request.iter().skip(2).collect();
    let found = call.server.config.get(&patterns);
    call.reply.map(found.len());
    for (name, value) in found {
        call.reply.bulk(name.as_bytes());
        call.reply.bulk(&value);
    }
    Ok(Outcome::Done)
}

const SET: Command = Command::new("set", Arity::at_least(4), set)
    .flags(OPERATOR)
    .docs(
        docs(
            "2.0.0",
            "O(N) when N is the number of configuration parameters provided",
            "Changes directives while the server runs: all of those given or none.",
        )
        .history(&[("7.0.0", "Added the ability to set multiple parameters in one call.")])
        .args(&[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()]),
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

/// What may open the server to strangers.
const EXPOSING: [Applied; 6] =
    ["port", "bind", "tls-port", "tls-auth-clients", "requirepass", "protected-mode"];

/// Whether connections will begin as a user who needs no password. `changed` is not applied yet.
fn will_be_open(acl: &Acl, new: &Settings, changed: &[Applied]) -> bool {
    match changed.contains(&"requirepass") {
        true => new.requirepass.is_empty() && acl.default_is_enabled(),
        false => acl.default_is_open(),
    }
}

fn set(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if !call.argc().is_multiple_of(2) {
        return Err(SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> =
        (2..call.argc()).step_by(2).map(|i| (call.arg(i), call.arg(i + 1))).collect();
    let origin = if call.client.shared.is_local() { Origin::Local } else { Origin::Remote };
    let server = call.server;
    let apply = |old: &Settings, new: &Settings, changed: &[Applied]| {
        if let Err(why) = check_exposure(new, will_be_open(&server.acl, new, changed))
            && let Some(name) = changed.iter().find(|name| EXPOSING.contains(name))
        {
            return Err((*name, why));
        }
        server.tls.apply(new, changed)?;
        server.doors.exchange(old, new, changed).inspect_err(|_| {
            // What was in force can be loaded, unless its files have changed; then it stays in force.
            let _ = server.tls.apply(old, changed);
        })
    };
    let changed = server.config.set_with(&pairs, origin, apply).map_err(ReplyError::from)?;
    if !changed.is_empty() {
        server.apply();
        server.tracker().shrink(&server.keyspace, &server.interests, call.guard);
        tracing::info!(directives = changed.join(","), "CONFIG SET");
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

const REWRITE: Command = Command::new("rewrite", Arity::exactly(2), rewrite)
    .flags(OPERATOR)
    .docs(docs("2.8.0", "O(1)", "Writes the directives in force into the configuration file."))
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn rewrite(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    // Users of an aclfile are none of the configuration's.
    let users = match call.server.settings().aclfile {
        Some(_) => Vec::new(),
        None => call.server.acl.to_declare(),
    };
    call.server.config.rewrite(&users).map_err(ReplyError::from)?;
    call.reply.ok();
    Ok(Outcome::Done)
}

const RESETSTAT: Command = Command::new("resetstat", Arity::exactly(2), resetstat)
    .flags(OPERATOR)
    .docs(docs("2.0.0", "O(1)", "Sets the counters that INFO shows to zero."))
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn resetstat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.server.stats.reset();
    call.server.keyspace.reset_stats();
    call.reply.ok();
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("5.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "GET <pattern> [<pattern> ...]",
            "    Directives that match, with their values.",
            "RESETSTAT",
            "    Set the counters of INFO to zero.",
            "REWRITE",
            "    Write the directives in force into the configuration file.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change directives, all or none.",
        ],
    )
}
