//! ACL categories of a command, derived from its flags and group.

use super::docs::Group;
use super::spec::{Command, Flags};
use super::table::Entry;

/// All categories, in the order in which they are printed.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The categories of `entry`, in the order of [`CATEGORIES`], without `@`.
pub fn categories(entry: &Entry) -> impl Iterator<Item = &'static str> {
    let command = entry.command;
    let is_container = !entry.subcommands.is_empty();
    CATEGORIES.iter().copied().filter(move |name| has(command, is_container, name))
}

/// Whether `entry` belongs to the category `name`, in any case.
pub fn belongs(entry: &Entry, name: &[u8]) -> bool {
    categories(entry).any(|category| category.as_bytes().eq_ignore_ascii_case(name))
}

fn has(command: &Command, is_container: bool, name: &str) -> bool {
    if command.categories.contains(&name) {
        return true;
    }
    let flags = command.flags;
    let implied = match name {
        "write" => flags.has(Flags::WRITE),
        "read" => flags.has(Flags::READONLY) && !command.categories.contains(&"scripting"),
        "admin" | "dangerous" => flags.has(Flags::ADMIN),
        "pubsub" => flags.has(Flags::PUBSUB),
        "fast" => flags.has(Flags::FAST),
        "slow" => !flags.has(Flags::FAST),
        "blocking" => flags.has(Flags::BLOCKING),
        _ => false,
    };
    // A container is only a name for its subcommands; COMMAND itself can be called.
    implied || (!is_container && by_group(command) == Some(name))
}

fn by_group(command: &Command) -> Option<&'static str> {
    match command.docs.group {
        // WAIT and its like are generic in the documentation, not in the categories; so is SORT.
        Group::Generic if ["connection", "list"].iter().any(|c| command.categories.contains(c)) => {
            None
        }
        Group::Generic => Some("keyspace"),
        Group::String => Some("string"),
        Group::Bitmap => Some("bitmap"),
        Group::List => Some("list"),
        Group::SortedSet => Some("sortedset"),
        Group::Geo => Some("geo"),
        Group::HyperLogLog => Some("hyperloglog"),
        Group::Hash => Some("hash"),
        Group::Set => Some("set"),
        Group::Connection => Some("connection"),
        Group::Stream => Some("stream"),
        Group::Transactions => Some("transaction"),
        // By its flag: PUBSUB HELP has none. Rows of scripts say it themselves: their containers are
        // of no category.
        Group::PubSub | Group::Server | Group::Scripting | Group::Cluster => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::table;

    fn of(name: &str) -> Vec<&'static str> {
        let entry = table().by_full_name(name.as_bytes()).expect("a command of the table");
        categories(entry).collect()
    }

    #[test]
    fn categories_follow_flags_and_group() {
        assert_eq!(of("ping"), ["fast", "connection"]);
        assert_eq!(of("client"), ["slow"]);
        assert_eq!(of("client|kill"), ["admin", "slow", "dangerous", "connection"]);
        assert_eq!(of("command"), ["slow", "connection"]);
        assert_eq!(of("config|set"), ["admin", "slow", "dangerous"]);
        assert_eq!(of("info"), ["slow", "dangerous"]);
        assert_eq!(of("role"), ["admin", "fast", "dangerous"]);
    }

    #[test]
    fn every_explicit_category_exists() {
        for entry in table().entries() {
            for category in entry.command.categories {
                assert!(CATEGORIES.contains(category), "{}: {category}", entry.full_name);
            }
        }
    }
}
