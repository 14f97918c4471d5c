//! COMMAND DOCS: one command as people see it.

use super::super::docs;
use super::{CONNECTION, FLAGS, UNORDERED};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, ArgKind};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::table::{Entry, table};
use dunlin_protocol::Reply;

pub(super) const DOCS: Command = Command::new("docs", Arity::at_least(2), run)
    .flags(FLAGS)
    .categories(CONNECTION)
    .docs(
        docs(
            "7.0.0",
            "O(N) where N is the number of commands to look up",
            "Documents the given commands, or all.",
        )
        .args(&[Arg::string("command-name").optional().multiple()]),
    )
    .tips(UNORDERED);

fn run(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entries: Vec<&Entry> = if call.argc() == 2 {
        table().top_level().collect()
    } else {
        (2..call.argc()).filter_map(|i| table().by_full_name(call.arg(i))).collect()
    };
    call.reply.map(entries.len());
    entries.into_iter().for_each(|entry| write(call.reply, entry));
    Ok(Outcome::Done)
}

fn write(reply: &mut Reply, entry: &Entry) {
    let docs = &entry.command.docs;
    let subcommands = table().subcommands(entry);
    reply.bulk(entry.full_name.as_bytes());
    let fields = [
        !docs.complexity.is_empty(),
        docs.system || docs.deprecated.is_some(),
        docs.deprecated.is_some(),
        docs.deprecated.is_some(),
        !docs.history.is_empty(),
        !docs.args.is_empty(),
        !subcommands.is_empty(),
    ];
    reply.map(3 + fields.iter().filter(|present| **present).count());
    text(reply, "summary", docs.summary);
    text(reply, "since", docs.since);
    text(reply, "group", docs.group.name());
    if !docs.complexity.is_empty() {
        text(reply, "complexity", docs.complexity);
    }
    let flags: Vec<&str> = [(docs.deprecated.is_some(), "deprecated"), (docs.system, "syscmd")]
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| *name)
        .collect();
    if !flags.is_empty() {
        reply.bulk(b"doc_flags");
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if let Some((since, instead)) = docs.deprecated {
        text(reply, "deprecated_since", since);
        text(reply, "replaced_by", instead);
    }
    if !docs.history.is_empty() {
        reply.bulk(b"history");
        reply.set(docs.history.len());
        for (version, change) in docs.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !docs.args.is_empty() {
        reply.bulk(b"arguments");
        write_args(reply, docs.args);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        // One level only: a subcommand has none of its own.
        subcommands.iter().for_each(|sub| write(reply, sub));
    }
}

fn text(reply: &mut Reply, field: &str, value: &str) {
    reply.bulk(field.as_bytes());
    reply.bulk(value.as_bytes());
}

/// Depth of nesting is that of the table's constants.
fn write_args(reply: &mut Reply, args: &[Arg]) {
    reply.array(args.len());
    args.iter().for_each(|arg| write_arg(reply, arg));
}

fn write_arg(reply: &mut Reply, arg: &Arg) {
    let has_members = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    let key_spec = match arg.kind {
        ArgKind::Key(spec) | ArgKind::KeyPattern(spec) => Some(spec),
        _ => None,
    };
    let flags: Vec<&str> = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ]
    .iter()
    .filter(|(on, _)| *on)
    .map(|(_, name)| *name)
    .collect();
    // Either the members or a text to show: the fourth field is always there.
    let optional =
        [key_spec.is_some(), arg.token.is_some(), arg.since.is_some(), !flags.is_empty()];
    reply.map(3 + optional.iter().filter(|present| **present).count());
    text(reply, "name", arg.name);
    text(reply, "type", type_name(arg.kind));
    if !has_members {
        text(reply, "display_text", arg.display.unwrap_or(arg.name));
    }
    if let Some(spec) = key_spec {
        reply.bulk(b"key_spec_index");
        reply.int(spec);
    }
    if let Some(token) = arg.token {
        text(reply, "token", token);
    }
    if let Some(since) = arg.since {
        text(reply, "since", since);
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if has_members {
        reply.bulk(b"arguments");
        write_args(reply, arg.args);
    }
}

const fn type_name(kind: ArgKind) -> &'static str {
    match kind {
        ArgKind::Key(_) => "key",
        ArgKind::String => "string",
        ArgKind::Integer => "integer",
        ArgKind::Double => "double",
        ArgKind::Pattern | ArgKind::KeyPattern(_) => "pattern",
        ArgKind::UnixTime => "unix-time",
        ArgKind::PureToken => "pure-token",
        ArgKind::OneOf => "oneof",
        ArgKind::Block => "block",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_documented() {
        for entry in table().entries() {
            let docs = &entry.command.docs;
            assert!(!docs.summary.is_empty(), "{}: no summary", entry.full_name);
            assert!(docs.summary.ends_with('.'), "{}: no sentence", entry.full_name);
            assert!(!docs.since.is_empty(), "{}: no version", entry.full_name);
        }
    }

    #[test]
    fn members_are_where_they_belong() {
        fn check(name: &str, args: &[Arg]) {
            for arg in args {
                let has_members = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
                assert_eq!(has_members, !arg.args.is_empty(), "{name}: {}", arg.name);
                check(name, arg.args);
            }
        }
        for entry in table().entries() {
            check(&entry.full_name, entry.command.docs.args);
        }
    }
}
