//! Which commands a selector allows: a bit per row of the command table, subcommands included.
//!
//! Bits cannot be turned back into the rules that made them, and categories grow with the table.
//! So the rules are kept too, in order, without those that a later one has made void; they are what
//! ACL LIST prints and ACL SAVE writes.

use super::rule::{RuleError, has_space, is};
use crate::commands::category::{CATEGORIES, belongs};
use crate::commands::table::{CommandId, Entry, table};
use dunlin_protocol::{ArgValue, Request};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// `get`, `config|set`, `select|0`, `@read`; lower case.
    name: Vec<u8>,
}

/// The commands a selector allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commands {
    /// Bit `id % 64` of word `id / 64`: the row `id` may run.
    bits: Vec<u64>,
    /// `+@all`, which the rules refine, rather than `-@all`.
    from_all: bool,
    rules: Vec<Rule>,
    /// First arguments with which a command may run whose bit is not set: `+select|0`.
    first_args: BTreeMap<CommandId, Vec<Vec<u8>>>,
}

impl Commands {
    /// All commands or none.
    pub(super) fn new(all: bool) -> Commands {
        let mut bits = vec![0; table().entries().len().div_ceil(64)];
        if all {
            table().entries().iter().for_each(|entry| set(&mut bits, entry.id, true));
        }
        Commands { bits, from_all: all, rules: Vec::new(), first_args: BTreeMap::new() }
    }

    /// Whether every command may run with any arguments.
    pub(super) fn is_all(&self) -> bool {
        table().entries().iter().all(|entry| self.has(entry.id))
    }

    fn has(&self, id: CommandId) -> bool {
        let id = usize::from(id);
        self.bits.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// Whether `entry` may run with the arguments of `request`.
    pub(super) fn allow(&self, entry: &Entry, request: &Request<'_>) -> bool {
        self.has(entry.id) || self.allow_by_argument(entry, request)
    }

    /// Whether `entry` might run with these arguments and others behind them.
    pub(super) fn may_begin(&self, entry: &Entry, request: &Request<'_>) -> bool {
        let undecided = request.len() == 1 && self.first_args.contains_key(&entry.id);
        undecided || self.allow(entry, request)
    }

    fn allow_by_argument(&self, entry: &Entry, request: &Request<'_>) -> bool {
        let Some(allowed) = self.first_args.get(&entry.id) else { return false };
        request.len() > 1
            && match request.value(1) {
                ArgValue::Slice(arg) => allowed.iter().any(|known| known.eq_ignore_ascii_case(arg)),
                ArgValue::Chunks { .. } => false,
            }
    }

    /// Takes a rule that begins with `+` or `-`.
    pub(super) fn apply(&mut self, allow: bool, name: &[u8]) -> Result<(), RuleError> {
        match name {
            [b'@', ..] if is(name, "@all") => *self = Commands::new(allow),
            [b'@', category @ ..] => self.set_category(allow, category)?,
            _ => match table().by_full_name(name) {
                Some(entry) => {
                    self.set_entry(entry, allow);
                    self.remember(allow, entry.full_name.as_bytes());
                }
                None if allow => self.allow_first_arg(name)?,
                None => return Err(RuleError::Unknown),
            },
        }
        Ok(())
    }

    /// Every row of the category. One that contains others takes them along, whatever their own
    /// categories are.
    fn set_category(&mut self, allow: bool, name: &[u8]) -> Result<(), RuleError> {
        let known = CATEGORIES.iter().find(|known| is(name, known)).ok_or(RuleError::Unknown)?;
        for entry in table().entries().iter().filter(|entry| belongs(entry, name)) {
            self.set_entry(entry, allow);
        }
        self.remember(allow, format!("@{known}").as_bytes());
        Ok(())
    }

    fn set_entry(&mut self, entry: &Entry, allow: bool) {
        set(&mut self.bits, entry.id, allow);
        self.first_args.remove(&entry.id);
        for sub in table().subcommands(entry) {
            set(&mut self.bits, sub.id, allow);
        }
    }

    /// `name` is no row of the table: it may be a command that has no subcommands, and an argument.
    fn allow_first_arg(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let bar = name.iter().rposition(|c| *c == b'|').ok_or(RuleError::Unknown)?;
        let (command, argument) = (&name[..bar], &name[bar + 1..]);
        let entry = table().by_full_name(command).ok_or(RuleError::Unknown)?;
        if entry.container.is_some() {
            return Err(RuleError::ArgumentOfSubcommand);
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        if !entry.subcommands.is_empty() {
            return Err(RuleError::Unknown);
        }
        if has_space(argument) {
            return Err(RuleError::Syntax);
        }
        let allowed = self.first_args.entry(entry.id).or_default();
        if !allowed.iter().any(|known| known.eq_ignore_ascii_case(argument)) {
            allowed.push(argument.to_vec());
        }
        self.remember(true, name);
        Ok(())
    }

    /// Notes a rule, and forgets those about the same command or category and, of a command, those
    /// about its subcommands and arguments.
    fn remember(&mut self, allow: bool, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        let is_void = |known: &[u8]| {
            known.strip_prefix(name.as_slice()).is_some_and(|rest| matches!(rest, [] | [b'|', ..]))
        };
        self.rules.retain(|rule| !is_void(&rule.name));
        self.rules.push(Rule { allow, name });
    }

    /// Appends the rules, with blanks between them.
    pub(super) fn describe(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.from_all { b"+@all" } else { b"-@all" });
        for rule in &self.rules {
            out.extend_from_slice(if rule.allow { b" +" } else { b" -" });
            out.extend_from_slice(&rule.name);
        }
    }
}

fn set(bits: &mut [u64], id: CommandId, on: bool) {
    let id = usize::from(id);
    if let Some(word) = bits.get_mut(id / 64) {
        let bit = 1 << (id % 64);
        *word = if on { *word | bit } else { *word & !bit };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_protocol::{Decoder, Limits};

    fn apply(commands: &mut Commands, rules: &str) -> Result<(), RuleError> {
        for rule in rules.split_whitespace() {
            commands.apply(rule.starts_with('+'), &rule.as_bytes()[1..])?;
        }
        Ok(())
    }

    fn described(rules: &str) -> String {
        let mut commands = Commands::new(false);
        apply(&mut commands, rules).unwrap_or_else(|why| panic!("{rules}: {why:?}"));
        let mut out = Vec::new();
        commands.describe(&mut out);
        String::from_utf8(out).expect("text")
    }

    fn allows(rules: &str, line: &str) -> bool {
        let mut commands = Commands::new(false);
        apply(&mut commands, rules).unwrap_or_else(|why| panic!("{rules}: {why:?}"));
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(format!("{line}\r\n").as_bytes());
        decoder.parse(1);
        let request = decoder.request(0);
        let entry = table().get(request.arg(0)).expect("a command of the table");
        commands.allow(table().leaf(entry, request), &request)
    }

    #[test]
    fn rules_that_later_ones_make_void_are_forgotten() {
        for (rules, wanted) in [
            ("", "-@all"),
            ("+GET +get +gEt", "-@all +get"),
            ("+get -set +set -get", "-@all +set -get"),
            ("+@all -@string -@slow +get -@string", "+@all -@slow +get -@string"),
            ("-@string -@slow +@all", "+@all"),
            ("+@STRING +@String", "-@all +@string"),
            ("+@string -@string", "-@all -@string"),
            (
                "+client|list +client|list +config|get +config +acl|list -acl",
                "-@all +client|list +config -acl",
            ),
            ("+select|0 +select|0 +debug|segfault +debug", "-@all +select|0 +debug"),
            ("+config +config|get -config|set +config", "-@all +config"),
            ("+getdel +get", "-@all +getdel +get"),
            ("+@all +client|id", "+@all +client|id"),
            ("+select|A", "-@all +select|a"),
        ] {
            assert_eq!(described(rules), wanted, "{rules}");
        }
    }

    #[test]
    fn what_rules_allow() {
        for (rules, line, wanted) in [
            ("", "get k", false),
            ("+get", "GET k", true),
            ("+get", "getdel k", false),
            ("+@all -get", "get k", false),
            ("+@all -get", "set k v", true),
            ("+@read", "get k", true),
            ("+@read", "set k v", false),
            ("+@all -@write", "set k v", false),
            ("+config", "config get x", true),
            ("+config -config|set", "config set x y", false),
            ("+config -config|set", "config get x", true),
            ("+config|get", "config set x y", false),
            ("+client|id", "client list", false),
            ("+@all -client +client|id", "client id", true),
            ("+@slow", "client id", true),
            ("+select|0 +select|1", "select 1", true),
            ("+select|0", "select 1", false),
            ("+select|0", "select", false),
            ("+select|abc", "select ABC", true),
            ("+select|0 -select", "select 0", false),
            ("+debug|object", "debug object k", true),
        ] {
            assert_eq!(allows(rules, line), wanted, "{rules} / {line}");
        }
    }

    #[test]
    fn malformed_rules_are_refused() {
        for (rule, why) in [
            ("+foo", RuleError::Unknown),
            ("-foo", RuleError::Unknown),
            ("+", RuleError::Unknown),
            ("+|x", RuleError::Unknown),
            ("+@", RuleError::Unknown),
            ("+@foo", RuleError::Unknown),
            ("+config|foo", RuleError::Unknown),
            ("-config|foo", RuleError::Unknown),
            ("+config|get|x", RuleError::ArgumentOfSubcommand),
            ("-config|get|x", RuleError::Unknown),
            ("+get|a|b", RuleError::Unknown),
            ("-get|a", RuleError::Unknown),
            ("+get|", RuleError::Syntax),
            ("+config|", RuleError::Syntax),
            ("+@all|x", RuleError::Unknown),
        ] {
            let mut commands = Commands::new(false);
            assert_eq!(apply(&mut commands, rule), Err(why), "{rule}");
            assert_eq!(commands, Commands::new(false), "{rule}: nothing changes");
        }
        let mut commands = Commands::new(false);
        assert_eq!(commands.apply(true, b"select|0 1"), Err(RuleError::Syntax));
        assert_eq!(commands.apply(true, b"get\0"), Err(RuleError::Unknown));
    }

    #[test]
    fn everything_is_everything_however_it_came_about() {
        let mut commands = Commands::new(true);
        assert!(commands.is_all());
        apply(&mut commands, "-get").expect("a rule");
        assert!(!commands.is_all());
        apply(&mut commands, "+get").expect("a rule");
        assert!(commands.is_all());
    }

    #[test]
    fn every_category_alone_is_printed_as_it_was_given() {
        for category in CATEGORIES {
            assert_eq!(described(&format!("+@{category}")), format!("-@all +@{category}"));
            assert_eq!(described(&format!("+@all -@{category}")), format!("+@all -@{category}"));
        }
    }
}
