//! CLIENT: the connection's own properties here, other connections in the submodules.

mod filter;
mod kill;
mod list;
mod state;
mod tracking;

use crate::client::{ClientShared, ReplyMode};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX, quoting};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};

/// Flags of the subcommands about the connection itself.
const OWN: Flags = flag_set!(NOSCRIPT | LOADING | STALE);
/// Flags of the subcommands about others.
const OTHERS: Flags = flag_set!(ADMIN | NOSCRIPT | LOADING | STALE);

/// A name that would break CLIENT LIST.
pub(super) const BAD_NAME: ReplyError =
    ReplyError::new("ERR Client names cannot contain spaces, newlines or special characters.");

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::new(Group::Connection, since, complexity, summary)
}

pub(super) const CLIENT: Command = Command::new("client", Arity::at_least(2), help::container)
    .docs(docs("2.4.0", "Depends on subcommand.", "Commands about client connections."))
    .subcommands(&[
        tracking::CACHING,
        GETNAME,
        tracking::GETREDIR,
        HELP,
        ID,
        list::INFO,
        kill::KILL,
        list::LIST,
        NO_EVICT,
        NO_TOUCH,
        state::PAUSE,
        REPLY,
        SETINFO,
        SETNAME,
        tracking::TRACKING,
        tracking::TRACKINGINFO,
        state::UNBLOCK,
        state::UNPAUSE,
    ]);

const ON_OFF: &[Arg] = &[Arg::one_of("enabled", &[Arg::flag("on", "ON"), Arg::flag("off", "OFF")])];

const ID: Command = Command::new("id", Arity::exactly(2), id).flags(OWN).docs(docs(
    "5.0.0",
    "O(1)",
    "Answers the number of the connection.",
));

fn id(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.int(i64::try_from(call.client.id()).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

const GETNAME: Command = Command::new("getname", Arity::exactly(2), getname).flags(OWN).docs(docs(
    "2.6.9",
    "O(1)",
    "Answers the name of the connection.",
));

fn getname(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let name = call.client.shared.labels().name;
    if name.is_empty() {
        call.reply.null();
    } else {
        call.reply.bulk(name.as_bytes());
    }
    Ok(Outcome::Done)
}

const SETNAME: Command = Command::new("setname", Arity::exactly(3), setname)
    .flags(OWN)
    .docs(docs("2.6.9", "O(1)", "Names the connection.").args(&[Arg::string("connection-name")]));

fn setname(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let name = name_arg(call, 2).ok_or(BAD_NAME)?;
    call.client.shared.set_labels(|labels| labels.name = name);
    call.reply.ok();
    Ok(Outcome::Done)
}

const SETINFO: Command = Command::new("setinfo", Arity::exactly(4), setinfo).flags(OWN).docs(
    docs("7.2.0", "O(1)", "Notes which client library the connection uses.").args(&[Arg::one_of(
        "attr",
        &[Arg::string("libname").token("LIB-NAME"), Arg::string("libver").token("LIB-VER")],
    )]),
);

fn setinfo(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let is_name = call.is(2, "LIB-NAME");
    if !is_name && !call.is(2, "LIB-VER") {
        return Err(quoting("ERR Unrecognized option '", call.arg(2), "'"));
    }
    let Some(text) = name_arg(call, 3) else {
        let why = " cannot contain spaces, newlines or special characters.";
        return Err(quoting("ERR ", call.arg(2), why));
    };
    call.client.shared.set_labels(|labels| match is_name {
        true => labels.lib_name = text,
        false => labels.lib_ver = text,
    });
    call.reply.ok();
    Ok(Outcome::Done)
}

/// Whether `text` can stand in CLIENT LIST as one word.
pub(super) fn is_name(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn name_arg(call: &Call<'_, '_>, i: usize) -> Option<String> {
    let text = call.arg(i);
    is_name(text).then(|| String::from_utf8_lossy(text).into_owned())
}

const REPLY: Command = Command::new("reply", Arity::exactly(3), reply).flags(OWN).docs(
    docs("3.2.0", "O(1)", "Turns replies off and on, or off for one command.").args(&[
        Arg::one_of(
            "action",
            &[Arg::flag("on", "ON"), Arg::flag("off", "OFF"), Arg::flag("skip", "SKIP")],
        ),
    ]),
);

fn reply(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mode = &mut call.client.reply_mode;
    if call.request.arg(2).eq_ignore_ascii_case(b"on") {
        *mode = ReplyMode::On;
        call.reply.ok();
    } else if call.request.arg(2).eq_ignore_ascii_case(b"off") {
        *mode = ReplyMode::Off;
    } else if call.request.arg(2).eq_ignore_ascii_case(b"skip") {
        *mode = match *mode {
            ReplyMode::Off => ReplyMode::Off,
            // Dispatch counts this command as the one that was to be skipped.
            ReplyMode::Skip | ReplyMode::SkipNext => ReplyMode::SkipNext,
            ReplyMode::On => ReplyMode::Skip,
        };
    } else {
        return Err(SYNTAX);
    }
    Ok(Outcome::Done)
}

const NO_EVICT: Command = Command::new("no-evict", Arity::exactly(3), no_evict)
    .flags(OTHERS)
    .docs(docs("7.0.0", "O(1)", "Exempts the connection from client eviction.").args(ON_OFF));

fn no_evict(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let on = on_off(call)?;
    call.client.shared.set_flag(ClientShared::NO_EVICT, on);
    call.reply.ok();
    Ok(Outcome::Done)
}

const NO_TOUCH: Command = Command::new("no-touch", Arity::exactly(3), no_touch).flags(OWN).docs(
    docs("7.2.0", "O(1)", "Lets the connection read keys without marking them as used.")
        .args(ON_OFF),
);

fn no_touch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let on = on_off(call)?;
    call.client.no_touch = on;
    call.client.shared.set_flag(ClientShared::NO_TOUCH, on);
    call.reply.ok();
    Ok(Outcome::Done)
}

fn on_off(call: &Call<'_, '_>) -> Result<bool, ReplyError> {
    match (call.is(2, "ON"), call.is(2, "OFF")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(SYNTAX),
    }
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("5.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "CACHING (YES|NO)",
            "    Whether the keys of the next command are tracked (needs tracking).",
            "GETNAME",
            "    Name of this connection.",
            "GETREDIR",
            "    Connection that gets this one's invalidations, -1 if there is no tracking.",
            "ID",
            "    Number of this connection.",
            "INFO",
            "    This connection's line of the list.",
            "KILL <ip:port>",
            "    Close the connection from that address.",
            "KILL <filter> <value> [<filter> <value> [...]]",
            "    Close the connections that pass all filters: those of LIST, and",
            "    * SKIPME (YES|NO): spare this connection (default: yes).",
            "LIST [<filter> <value> [...]]",
            "    All connections, or those that pass all filters:",
            "    * ID <id> [<id> ...]",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "    * USER <name>, NAME <name>, DB <index>",
            "    * ADDR <ip:port>, LADDR <ip:port>, IP <ip>",
            "    * MAXAGE <seconds>: connected for longer; IDLE <seconds>: idle for longer",
            "    * LIB-NAME <name>, LIB-VER <version>",
            "    * FLAGS <letters>: has all of these flags",
            "NO-EVICT (ON|OFF)",
            "    Protect this connection from client eviction.",
            "NO-TOUCH (ON|OFF)",
            "    Read without marking keys as used.",
            "PAUSE <milliseconds> [WRITE|ALL]",
            "    Let commands, or only writes, wait.",
            "REPLY (ON|OFF|SKIP)",
            "    Turn replies on or off, or drop the next one.",
            "SETINFO (LIB-NAME|LIB-VER) <text>",
            "    Note the client library of this connection.",
            "SETNAME <name>",
            "    Name this connection.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT]",
            "    Tell this connection, or another one, when keys that it has read change.",
            "TRACKINGINFO",
            "    State of tracking on this connection.",
            "UNBLOCK <id> [TIMEOUT|ERROR]",
            "    End the wait of a connection in a blocking command.",
            "UNPAUSE",
            "    End a PAUSE.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_one_printable_word() {
        assert!(is_name(b"") && is_name(b"worker-1!~"));
        for bad in [&b"a b"[..], b"a\n", b"\x7f", b"\xc3\xa4", b"\0"] {
            assert!(!is_name(bad));
        }
    }
}
