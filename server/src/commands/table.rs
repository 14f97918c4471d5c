//! The command table: the concatenation of the families, indexed by name.

use super::spec::{Begin, Command, Find, Flags, KeySpec, MANY};
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
    /// From how many arguments on a request may cost more than a few steps, as its keys and arguments are,
    /// and can run elsewhere.
    grows_from: usize,
    /// Ids of the subcommands.
    pub subcommands: std::ops::Range<CommandId>,
}

impl Entry {
    /// Whether the row has all of `flags`.
    #[inline]
    pub fn has(&self, flags: Flags) -> bool {
        self.command.flags.has(flags)
    }

    /// Whether a request may take long, and can run elsewhere.
    #[inline]
    pub fn may_be_dear(&self, request: &Request<'_>) -> bool {
        request.len() >= self.grows_from && self.command.grows_if.is_none_or(|may| may(request))
    }

    /// Whether a request is timed on its own, not in a run of such as take constant time.
    #[inline]
    pub fn is_timed(&self, request: &Request<'_>) -> bool {
        !self.command.flags.any(flag_set!(FAST | CHEAP)) || self.may_be_dear(request)
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
        let grows_from = grows_from(command, shape);
        self.entries.push(Entry {
            id,
            command,
            full_name,
            container,
            shape,
            grows_from,
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

/// Constant time is never dear; what waits for something is not waited for on the pool. Redis's FAST says
/// little: it is constant time for each argument, or for each element of as many as the arguments say.
fn grows_from(command: &Command, shape: KeyShape) -> usize {
    let flags = command.flags;
    let takes_keys = match shape {
        KeyShape::One(_) | KeyShape::Many => flags.any(flag_set!(READONLY | WRITE)),
        KeyShape::None => flags.has(flag_set!(READONLY | ANY_SHARD)),
        KeyShape::Script | KeyShape::Own => false,
    };
    if !takes_keys || flags.any(flag_set!(LONG | ALL_SHARDS)) {
        return usize::MAX;
    }
    let has_one_size = command.arity.code() > 0 || command.docs.complexity == "O(1)";
    match command.grows_from {
        Some(from) => from,
        None if flags.has(Flags::BLOCKING) => usize::MAX,
        None if !flags.any(flag_set!(FAST | CHEAP)) => 0,
        None if has_one_size => usize::MAX,
        None => MANY,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_protocol::{Decoder, Limits};

    fn may_be_dear(line: &str) -> bool {
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(format!("{line}\r\n").as_bytes());
        assert_eq!(decoder.parse(1), 1);
        let request = decoder.request(0);
        table().get(request.arg(0)).expect("a command").may_be_dear(&request)
    }

    #[test]
    fn what_does_not_take_constant_time_may_be_dear() {
        let elsewhere = flag_set!(BLOCKING | LONG | ALL_SHARDS);
        for entry in table().entries() {
            let Command { flags, arity, docs, .. } = entry.command;
            let has_keys = matches!(entry.shape, KeyShape::One(_) | KeyShape::Many);
            if !has_keys || !flags.any(flag_set!(READONLY | WRITE)) || flags.any(elsewhere) {
                continue;
            }
            let steps = |text: &str| match arity.code() {
                // Nothing can be added to it that takes more.
                0.. => docs.complexity.starts_with(text),
                _ => docs.complexity == text,
            };
            let is_constant = ["O(1)", "O(log(N))"].into_iter().any(steps);
            assert!(is_constant || entry.grows_from < usize::MAX, "{}", entry.full_name);
        }
    }

    #[test]
    fn a_few_steps_are_never_dear() {
        let lines = [
            "GET k",
            "SET k v PX 1000 NX GET",
            "INCR n",
            "EXPIRE k 10 NX GT",
            "MGET a b c d e f g h",
            "DEL a b c",
            "EXISTS k",
            "HSET h f v g w",
            "HMGET h f g",
            "LPUSH l a b c",
            "LPOP l",
            "SADD s a b",
            "SPOP s",
            "ZADD z 1 a 2 b",
            "ZPOPMIN z",
            "XADD x * f v g w",
            "XADD x 1-1 f v g w",
            "BLPOP l 0",
            "XREAD BLOCK 0 STREAMS x $",
            "XREADGROUP GROUP g c block 10 STREAMS x >",
        ];
        for line in lines {
            assert!(!may_be_dear(line), "{line}");
        }
    }

    #[test]
    fn many_steps_may_be_dear_whatever_redis_calls_fast() {
        for name in ["MGET", "DEL", "UNLINK", "EXISTS", "HMGET", "SMISMEMBER", "SADD", "XDEL"] {
            let line = format!("{name} {}", ["k"; 100].join(" "));
            assert!(may_be_dear(&line), "{line}");
        }
        let lines = [
            "LPOP l 1000",
            "RPOP l 1000",
            "SPOP s 1000",
            "ZPOPMIN z 1000",
            "XADD x MAXLEN 10 * f v",
            "XAUTOCLAIM x g c 0 0",
            "XREAD STREAMS x 0",
            "XREADGROUP GROUP g c STREAMS x >",
            "COPY a b",
            "DIGEST k",
            "LRANGE l 0 9",
            "KEYS *",
        ];
        for line in lines {
            assert!(may_be_dear(line), "{line}");
        }
    }
}
