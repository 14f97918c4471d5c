//! The command table: the concatenation of the families, indexed by name.

use super::spec::{Begin, Command, Find, Flags, KeySpec};
use dunlin_protocol::Request;
use std::sync::LazyLock;

/// Number of a command or subcommand; index of its statistics.
pub type CommandId = u16;

/// Where a command's keys are, for the fast path of dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyShape {
    /// The command has no keys.
    None,
    /// Exactly one key, at this argument.
    One(usize),
    /// Anything else: ask [`Command::each_key`].
    Many,
    /// As `Many`, if the script keeps to the keys that it names; else any.
    Script,
    /// Those that the client watches and, for EXEC, those of its queued commands.
    Own,
}

/// One command or subcommand with what is derived from its row.
#[derive(Debug)]
pub struct Entry {
    /// Index of the entry.
    pub id: CommandId,
    /// The row.
    pub command: &'static Command,
    /// `get`, `client|list`.
    pub full_name: String,
    /// The container's name of a subcommand.
    pub container: Option<&'static str>,
    /// Where the keys are.
    pub shape: KeyShape,
    /// What it costs depends on keys and arguments, and it can run elsewhere.
    pub may_be_dear: bool,
    /// Ids of the subcommands.
    pub subcommands: std::ops::Range<CommandId>,
}

impl Entry {
    /// Whether the row has all of `flags`.
    #[inline]
    pub fn has(&self, flags: Flags) -> bool {
        self.command.flags.has(flags)
    }

    /// Whether it may look at keys that no key specification finds.
    pub fn looks_anywhere(&self) -> bool {
        let unknown = |spec: &KeySpec| matches!(spec.begin, Begin::Unknown);
        self.command.flags.any(flag_set!(ALL_SHARDS | ANY_SHARD))
            || self.command.keys.iter().any(unknown)
    }
}

/// All commands.
pub struct Table {
    entries: Vec<Entry>,
    /// Open-addressed index of the top-level names: entry id + 1, 0 = free.
    slots: Vec<CommandId>,
}

const SLOTS: usize = 1024;
/// No command's name is longer.
pub const MAX_NAME: usize = 32;

static FAMILIES: &[&[Command]] = &[
    super::string::COMMANDS,
    super::bitmap::COMMANDS,
    super::list::COMMANDS,
    super::sorted_set::COMMANDS,
    super::geo::COMMANDS,
    super::hash::COMMANDS,
    super::set::COMMANDS,
    super::hyperloglog::COMMANDS,
    super::generic::COMMANDS,
    super::pubsub::COMMANDS,
    super::connection::COMMANDS,
    super::server::COMMANDS,
    super::stream::COMMANDS,
    super::transactions::COMMANDS,
    super::scripting::COMMANDS,
    super::cluster::COMMANDS,
];

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::build(FAMILIES));

/// The table.
pub fn table() -> &'static Table {
    &TABLE
}

impl Table {
    fn build(families: &[&'static [Command]]) -> Table {
        let mut table = Table { entries: Vec::new(), slots: vec![0; SLOTS] };
        for command in families.iter().flat_map(|family| family.iter()) {
            let id = table.push(command, None);
            table.index(id);
            let first = table.next_id();
            for sub in command.subcommands {
                table.push(sub, Some(command.name));
            }
            let end = table.next_id();
            table.entries[usize::from(id)].subcommands = first..end;
        }
        table
    }

    fn next_id(&self) -> CommandId {
        CommandId::try_from(self.entries.len()).unwrap_or(CommandId::MAX)
    }

    fn push(&mut self, command: &'static Command, container: Option<&'static str>) -> CommandId {
        let id = self.next_id();
        let full_name = match container {
            Some(container) => format!("{container}|{}", command.name),
            None => command.name.to_owned(),
        };
        let shape = shape_of(command);
        let may_be_dear = may_be_dear(command, shape);
        self.entries.push(Entry {
            id,
            command,
            full_name,
            container,
            shape,
            may_be_dear,
            subcommands: 0..0,
        });
        id
    }

    fn index(&mut self, id: CommandId) {
        let mut at = slot_of(self.entries[usize::from(id)].command.name.as_bytes());
        while self.slots[at] != 0 {
            at = (at + 1) % SLOTS;
        }
        self.slots[at] = id + 1;
    }

    /// The top-level command `name`, in any case.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        if name.len() > MAX_NAME {
            return None;
        }
        let mut at = slot_of(name);
        loop {
            let entry = self.entries.get(usize::from(self.slots[at].checked_sub(1)?))?;
            if entry.command.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(entry);
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// The subcommand `name` of `container`, in any case.
    pub fn sub(&self, container: &Entry, name: &[u8]) -> Option<&Entry> {
        self.subcommands(container)
            .iter()
            .find(|entry| entry.command.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// What `request` runs: the subcommand of a container if it names one, else `entry` itself.
    #[inline]
    pub fn leaf<'t>(&'t self, entry: &'t Entry, request: Request<'_>) -> &'t Entry {
        if entry.subcommands.is_empty() {
            return entry;
        }
        request.get(1).and_then(|name| self.sub(entry, name)).unwrap_or(entry)
    }

    /// The subcommands of `container`.
    pub fn subcommands(&self, container: &Entry) -> &[Entry] {
        let range = &container.subcommands;
        &self.entries[usize::from(range.start)..usize::from(range.end)]
    }

    /// Every command and subcommand, by id.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The top-level commands.
    pub fn top_level(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.container.is_none())
    }

    /// A command by its full name, `config|get` form included.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&Entry> {
        match name.iter().position(|b| *b == b'|') {
            Some(bar) => self.sub(self.get(&name[..bar])?, &name[bar + 1..]),
            None => self.get(name),
        }
    }
}

/// FNV-1a over the name in lower case.
#[inline]
fn slot_of(name: &[u8]) -> usize {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte | 0x20)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash >> 54).unwrap_or(0) % SLOTS
}

/// Constant time is never dear; what waits for something is not waited for on the pool.
fn may_be_dear(command: &Command, shape: KeyShape) -> bool {
    let flags = command.flags;
    let takes_keys = match shape {
        KeyShape::One(_) | KeyShape::Many => flags.any(flag_set!(READONLY | WRITE)),
        KeyShape::None => flags.has(flag_set!(READONLY | ANY_SHARD)),
        KeyShape::Script | KeyShape::Own => false,
    };
    takes_keys && !flags.any(flag_set!(FAST | CHEAP | BLOCKING | LONG | ALL_SHARDS))
}

fn shape_of(command: &Command) -> KeyShape {
    if command.flags.has(Flags::UNWATCHES) {
        return KeyShape::Own;
    }
    if command.flags.has(Flags::SCRIPT) {
        return KeyShape::Script;
    }
    if command.keys_by.is_some() {
        return KeyShape::Many;
    }
    let mut specs = command.key_specs();
    match (specs.next(), specs.next()) {
        (None, _) => KeyShape::None,
        (Some(spec), None) => match (spec.begin, spec.find) {
            (Begin::Index(at), Find::Range { last: 0, .. }) => {
                KeyShape::One(at.unsigned_abs() as usize)
            }
            _ => KeyShape::Many,
        },
        _ => KeyShape::Many,
    }
}
