//! XGROUP: making, moving and removing groups and consumers.

use super::docs::{CONSUMER, GROUP, ID_OR_LAST, KEY, docs};
use super::id::{edge_arg, id_arg};
use super::{edit, edit_or_new, no_group_of, notify_consumer, reply_count};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::stream::{Group, Stream, StreamId};

const MISSING_KEY: ReplyError = ReplyError::new(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
     the MKSTREAM option to create an empty stream automatically.",
);
const EXISTS: ReplyError = ReplyError::new("BUSYGROUP Consumer Group name already exists");

const MADE: &[KeySpec] = &[KeySpec::one(2).with(KeyFlags::RW).with(KeyFlags::INSERT)];
const MOVED: &[KeySpec] = &[KeySpec::one(2).update()];
const REMOVED: &[KeySpec] = &[KeySpec::one(2).with(KeyFlags::RW).with(KeyFlags::DELETE)];

const ENTRIES_READ: Arg =
    Arg::integer("entriesread").display("entries-read").token("ENTRIESREAD").optional();

pub(super) const XGROUP: Command = Command::new("xgroup", Arity::at_least(2), help::container)
    .docs(docs("5.0.0", "Depends on subcommand.", "Commands about consumer groups."))
    .subcommands(&[CREATE, CREATECONSUMER, DELCONSUMER, DESTROY, HELP, SETID]);

/// The optional arguments of CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(call: &Call<'_, '_>, may_make: bool) -> Result<Self, ReplyError> {
        let mut options = Options::default();
        let mut i = 5;
        while i < call.argc() {
            if may_make && call.is(i, "MKSTREAM") {
                options.make_stream = true;
                i += 1;
            } else if call.is(i, "ENTRIESREAD") && i + 1 < call.argc() {
                let count = call.int(i + 1)?;
                if count < -1 {
                    return Err("ERR value for ENTRIESREAD must be positive or -1".into());
                }
                options.entries_read = u64::try_from(count).ok().map(u64::cast_signed);
                i += 2;
            } else {
                return Err(help::wrong_subcommand(call));
            }
        }
        Ok(options)
    }
}

const CREATE: Command = Command::new("create", Arity::at_least(5), create)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(MADE)
    .docs(
        docs("5.0.0", "O(1)", "Makes a consumer group.")
            .history(&[("7.0.0", "Added the `entries_read` named argument.")])
            .args(&[
                KEY,
                GROUP,
                ID_OR_LAST,
                Arg::flag("mkstream", "MKSTREAM").optional(),
                ENTRIES_READ,
            ]),
    );

/// Each option of CREATE once.
const CREATE_MOST: usize = 8;

fn create(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call, true)?;
    let (key, name) = (call.key(2), call.arg(3));
    // What is wrong with the arguments is told after what is wrong with the key.
    let last_id = match call.arg(4) {
        _ if call.argc() > CREATE_MOST => Err(help::wrong_subcommand(call)),
        b"$" => Ok(None),
        _ => id_arg(call, 4).map(Some),
    };
    let insert = |stream: &mut Stream, last_id: Option<StreamId>| {
        let last_id = last_id.unwrap_or(stream.log.last_id());
        stream.groups.insert(name, Group::new(last_id, options.entries_read))
    };
    let there =
        edit(call, &key, |stream, _| last_id.clone().map(|last_id| insert(stream, last_id)))?;
    let made = match there {
        Some(made) => made?,
        None if options.make_stream => {
            let last_id = last_id?;
            edit_or_new(call, &key, |stream, _| insert(stream, last_id))?
        }
        None => return Err(MISSING_KEY),
    };
    if !made {
        return Err(EXISTS);
    }
    call.notify(Class::STREAM, "xgroup-create", &key);
    call.reply.ok();
    Ok(Outcome::Done)
}

const SETID: Command =
    Command::new("setid", Arity::at_least(5), setid).flags(flag_set!(WRITE)).keys(MOVED).docs(
        docs("5.0.0", "O(1)", "Sets the last delivered identifier of a group.")
            .history(&[("7.0.0", "Added the optional `entries_read` argument.")])
            .args(&[KEY, GROUP, ID_OR_LAST, ENTRIES_READ]),
    );

/// Each option of SETID once.
const SETID_MOST: usize = 7;

fn setid(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call, false)?;
    let last_id = match call.arg(4) {
        _ if call.argc() > SETID_MOST => Err(help::wrong_subcommand(call)),
        b"$" => Ok(None),
        _ => edge_arg(call, 4).map(Some),
    };
    edit_group(call, |stream, name| {
        let last = stream.log.last_id();
        stream.groups.edit(name, |group| {
            last_id.map(|id| group.set_id(id.unwrap_or(last), options.entries_read))
        })
    })??;
    call.notify(Class::STREAM, "xgroup-setid", &call.key(2));
    call.reply.ok();
    Ok(Outcome::Done)
}

/// Changes a stream that must be there; `None` of a change is a group that is not.
fn edit_group<R>(
    call: &mut Call<'_, '_>,
    change: impl FnOnce(&mut Stream, &[u8]) -> Option<R>,
) -> Result<R, ReplyError> {
    let (key, name) = (call.key(2), call.arg(3));
    let changed = edit(call, &key, |stream, _| change(stream, name))?;
    changed.ok_or(MISSING_KEY)?.ok_or_else(|| no_group_of(key.bytes, name))
}

const DESTROY: Command =
    Command::new("destroy", Arity::exactly(4), destroy).flags(flag_set!(WRITE)).keys(REMOVED).docs(
        docs("5.0.0", "O(1); the memory is given back in steps.", "Removes a consumer group.")
            .args(&[KEY, GROUP]),
    );

fn destroy(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let group = edit_group(call, |stream, name| Some(stream.groups.remove(name)))?;
    let found = group.is_some();
    if let Some(group) = group {
        let key = call.key(2);
        call.notify(Class::STREAM, "xgroup-destroy", &key);
        // Whoever waits for entries as a member of the group has to hear of it.
        call.tell_waiters(&key);
        call.free_slowly(Stream::of_group(group));
    }
    call.reply.int(i64::from(found));
    Ok(Outcome::Done)
}

const CREATECONSUMER: Command = Command::new("createconsumer", Arity::exactly(5), create_consumer)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(MADE)
    .docs(docs("6.2.0", "O(1)", "Adds a consumer to a group.").args(&[KEY, GROUP, CONSUMER]));

fn create_consumer(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (consumer, now) = (call.arg(4), call.now);
    let created = edit_group(call, |stream, name| {
        stream.groups.edit(name, |group| group.create_consumer(consumer, now))
    })?;
    notify_consumer(call, &call.key(2), created);
    call.reply.int(i64::from(created));
    Ok(Outcome::Done)
}

const DELCONSUMER: Command = Command::new("delconsumer", Arity::exactly(5), delete_consumer)
    .flags(flag_set!(WRITE))
    .keys(REMOVED)
    .docs(
        docs("5.0.0", "O(1)", "Removes a consumer of a group, with its pending entries.")
            .args(&[KEY, GROUP, CONSUMER]),
    );

fn delete_consumer(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let consumer = call.arg(4);
    let pending = edit_group(call, |stream, name| {
        stream.groups.edit(name, |group| group.remove_consumer(consumer))
    })?;
    if pending.is_some() {
        call.notify(Class::STREAM, "xgroup-delconsumer", &call.key(2));
    }
    reply_count(call.reply, pending.unwrap_or(0));
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("5.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Make a consumer group. Options are:",
            "    * MKSTREAM",
            "      Make an empty stream if there is none.",
            "    * ENTRIESREAD entries_read",
            "      How many entries the group has read (for internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Add a consumer to the group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove a consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the last delivered identifier of the group, and how many entries it has read.",
        ],
    )
}
