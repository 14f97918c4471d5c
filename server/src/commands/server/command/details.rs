//! COMMAND INFO: one command as machines see it.

use super::super::docs;
use super::{CONNECTION, FLAGS, UNORDERED};
use crate::commands::call::Call;
use crate::commands::category::categories;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Begin, Command, Find, Flags, KeyFlags, KeySpec, Outcome};
use crate::commands::table::{Entry, table};
use dunlin_protocol::Reply;

pub(super) const INFO: Command = Command::new("info", Arity::at_least(2), info)
    .flags(FLAGS)
    .categories(CONNECTION)
    .docs(
        docs(
            "2.8.13",
            "O(N) where N is the number of commands to look up",
            "Describes the given commands, or all.",
        )
        .history(&[("7.0.0", "Allowed to be called with no argument to get info on all commands.")])
        .args(&[Arg::string("command-name").optional().multiple()]),
    )
    .tips(UNORDERED);

fn info(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() == 2 {
        return super::all(call);
    }
    call.reply.array(call.argc() - 2);
    for i in 2..call.argc() {
        match table().by_full_name(call.arg(i)) {
            Some(entry) => write(call.reply, entry),
            None => call.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

/// Writes one command with its subcommands.
pub(super) fn write(reply: &mut Reply, entry: &Entry) {
    let command = entry.command;
    let legacy = Legacy::of(command.keys);
    let movable = legacy.movable || command.keys_by.is_some();
    let flags: Vec<&str> = Flags::PRINTED
        .iter()
        .filter(|(flag, _)| command.flags.has(*flag) || (*flag == Flags::MOVABLEKEYS && movable))
        .map(|(_, name)| *name)
        .collect();
    reply.array(10);
    reply.bulk(entry.full_name.as_bytes());
    reply.int(command.arity.code());
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.simple(flag));
    reply.int(legacy.first);
    reply.int(legacy.last);
    reply.int(legacy.step);
    let categories: Vec<&str> = categories(entry).collect();
    reply.set(categories.len());
    categories.iter().for_each(|name| reply.simple(&format!("@{name}")));
    reply.set(command.tips.len());
    command.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.keys.len());
    command.keys.iter().for_each(|spec| write_spec(reply, spec));
    let subcommands = table().subcommands(entry);
    if subcommands.is_empty() {
        reply.set(0);
    } else {
        reply.array(subcommands.len());
        // One level only: a subcommand has none of its own.
        subcommands.iter().for_each(|sub| write(reply, sub));
    }
}

/// Writes the names of key flags.
pub(super) fn write_key_flags(reply: &mut Reply, flags: KeyFlags) {
    let names: Vec<&str> = KeyFlags::PRINTED
        .iter()
        .filter(|(flag, _)| flags.has(*flag))
        .map(|(_, name)| *name)
        .collect();
    reply.set(names.len());
    names.iter().for_each(|name| reply.simple(name));
}

fn write_spec(reply: &mut Reply, spec: &KeySpec) {
    reply.map(if spec.notes.is_empty() { 3 } else { 4 });
    if !spec.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(spec.notes.as_bytes());
    }
    reply.bulk(b"flags");
    write_key_flags(reply, spec.flags);
    reply.bulk(b"begin_search");
    match spec.begin {
        Begin::Index(index) => write_step(reply, "index", &[("index", index)]),
        Begin::Keyword(word, from) => {
            open_step(reply, "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            reply.bulk(b"startfrom");
            reply.int(i64::from(from));
        }
        Begin::Unknown => write_step(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step, limit } => {
            write_step(reply, "range", &[("lastkey", last), ("keystep", step), ("limit", limit)]);
        }
        Find::KeyNum { index, first, step } => {
            write_step(
                reply,
                "keynum",
                &[("keynumidx", index), ("firstkey", first), ("keystep", step)],
            );
        }
        Find::Unknown => write_step(reply, "unknown", &[]),
    }
}

fn open_step(reply: &mut Reply, kind: &str, fields: usize) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields);
}

fn write_step(reply: &mut Reply, kind: &str, fields: &[(&str, i32)]) {
    open_step(reply, kind, fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.int(i64::from(*value));
    }
}

/// The keys as one range, the way clients knew them before key specifications.
#[derive(Debug, Default, PartialEq, Eq)]
struct Legacy {
    first: i64,
    last: i64,
    step: i64,
    /// One range does not find them all.
    movable: bool,
}

impl Legacy {
    fn of(specs: &[KeySpec]) -> Legacy {
        let mut legacy = Legacy::default();
        let single = specs.len() == 1;
        for spec in specs {
            legacy.movable |= spec.flags.has(KeyFlags::INCOMPLETE);
            let (Begin::Index(begin), Find::Range { last, step, .. }) = (spec.begin, spec.find)
            else {
                legacy.movable = true;
                continue;
            };
            let (begin, last, step) = (i64::from(begin), i64::from(last), i64::from(step));
            // Further ranges must continue the one before, key by key.
            let follows = legacy.last == 0 || legacy.last == begin - 1;
            if !single && (step != 1 || !follows) {
                legacy.movable = true;
                continue;
            }
            if legacy.first == 0 {
                legacy.first = begin;
            }
            legacy.last = if last >= 0 { begin + last } else { last };
            legacy.step = step;
        }
        legacy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legacy(specs: &[KeySpec]) -> (i64, i64, i64, bool) {
        let Legacy { first, last, step, movable } = Legacy::of(specs);
        (first, last, step, movable)
    }

    #[test]
    fn specifications_become_one_range_where_they_can() {
        assert_eq!(legacy(&[]), (0, 0, 0, false));
        assert_eq!(legacy(&[KeySpec::one(1)]), (1, 1, 1, false));
        assert_eq!(legacy(&[KeySpec::span(1, -1, 2)]), (1, -1, 2, false));
        assert_eq!(legacy(&[KeySpec::one(1), KeySpec::one(2)]), (1, 2, 1, false));
        let destination_and_sources = [KeySpec::one(2), KeySpec::span(3, -1, 1)];
        assert_eq!(legacy(&destination_and_sources), (2, -1, 1, false));
        assert_eq!(legacy(&[KeySpec::one(1), KeySpec::one(3)]), (1, 1, 1, true));
        assert_eq!(legacy(&[KeySpec::counted(1)]), (0, 0, 0, true));
    }
}
