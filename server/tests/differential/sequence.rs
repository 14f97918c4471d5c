//! A test sequence: what is sent, on which connection, in which packets.

use crate::grammar::{Node, parse, produce};
use crate::support::{Rng, command};
use crate::table::TABLE;
use crate::values::Values;
use std::fmt;

/// One command.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) args: Vec<Vec<u8>>,
    /// sent as an inline command
    pub(crate) inline: bool,
    /// gives a key a lifetime of a few milliseconds: let it pass before going on
    pub(crate) pause: bool,
    /// may leave a key that has expired but still counts
    pub(crate) past: bool,
}

/// Commands that go out together on one connection, cut into packets.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) connection: usize,
    pub(crate) steps: Vec<Step>,
    /// where the bytes are cut, as numbers to be taken modulo the length
    pub(crate) cuts: Vec<u64>,
}

/// A run from an empty server.
#[derive(Clone)]
pub(crate) struct Sequence {
    /// the protocol every connection starts with
    pub(crate) protocols: Vec<u8>,
    pub(crate) batches: Vec<Batch>,
}

impl Sequence {
    /// What is sent, a line for each command.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let steps = self.batches.iter().flat_map(|b| b.steps.iter().map(|s| (b.connection, s)));
        steps.map(|(at, step)| format!("[{at}, RESP{}] {step:?}", self.protocols[at]))
    }
}

impl Step {
    /// A plain command.
    pub(crate) fn of(args: &[&[u8]]) -> Step {
        let args = args.iter().map(|a| a.to_vec()).collect();
        Step { args, inline: false, pause: false, past: false }
    }

    /// A plain command given as words.
    pub(crate) fn words(line: &str) -> Step {
        Step::of(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    pub(crate) fn name(&self) -> String {
        let name = self.args.first().map_or(&b""[..], |a| a);
        String::from_utf8_lossy(name).to_lowercase()
    }

    /// Argument `i` in lower case, empty if there is none.
    pub(crate) fn word(&self, i: usize) -> String {
        let word = self.args.get(i).map_or(&b""[..], |a| a);
        String::from_utf8_lossy(word).to_lowercase()
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.args.iter().any(|a| a.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The option is there once, with this value.
    pub(crate) fn has_pair(&self, name: &str, value: &str) -> bool {
        let is = |i: usize, word: &str| self.args[i].eq_ignore_ascii_case(word.as_bytes());
        let mut at = (2..self.args.len()).filter(|&i| is(i, name));
        let first = at.next();
        let there = first.is_some_and(|i| i + 1 < self.args.len() && is(i + 1, value));
        there && at.next().is_none()
    }

    /// The connection ends after this command.
    pub(crate) fn is_last(&self) -> bool {
        self.name() == "quit"
    }

    /// Appends it as it is sent.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if !self.inline {
            out.extend_from_slice(&command(&self.args));
            return;
        }
        for (at, arg) in self.args.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            let plain = !arg.is_empty()
                && arg.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b));
            if plain {
                out.extend_from_slice(arg);
                continue;
            }
            out.push(b'"');
            for &b in arg {
                match b {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
                    b' '..=b'~' => out.push(b),
                    _ => out.extend_from_slice(format!("\\x{b:02x}").as_bytes()),
                }
            }
            out.push(b'"');
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Commands as they are sent together.
pub(crate) fn encode(steps: &[Step]) -> Vec<u8> {
    let mut out = Vec::new();
    steps.iter().for_each(|step| step.encode(&mut out));
    out
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for arg in &self.args {
            write!(f, "{} ", crate::support::resp::show(arg))?;
        }
        if self.inline { f.write_str("(inline)") } else { Ok(()) }
    }
}

/// Makes sequences from the table.
pub(crate) struct Generator {
    commands: Vec<(u32, Node)>,
    total: u32,
    payloads: Vec<Vec<u8>>,
}

impl Generator {
    pub(crate) fn new(payloads: Vec<Vec<u8>>) -> Self {
        let skipped = std::env::var("DUNLIN_DIFF_SKIP").unwrap_or_default().to_uppercase();
        let skipped: Vec<&str> = skipped.split(',').collect();
        let wanted = TABLE
            .iter()
            .chain(crate::streams::TABLE)
            .chain(crate::sorting::TABLE)
            .chain(crate::scripts::TABLE)
            .filter(|(_, text)| {
                !skipped.contains(&text.split_whitespace().next().unwrap_or_default())
            });
        let commands: Vec<_> = wanted.map(|(w, text)| (*w, parse(text))).collect();
        let total = commands.iter().map(|(w, _)| w).sum();
        Generator { commands, total, payloads }
    }

    /// About `length` commands; the same for the same seed.
    pub(crate) fn sequence(&self, seed: u64, index: u64, length: usize) -> Sequence {
        let mut values = Values::new(Rng::part(seed, index), self.payloads.clone());
        let count = 1 + values.rng.below(4);
        let protocols = (0..count).map(|_| 2 + (values.rng.next() % 2) as u8).collect();
        let mut batches = Vec::new();
        let mut made = 0;
        while made < length {
            let batch = self.batch(&mut values, count);
            made += batch.steps.len();
            batches.push(batch);
        }
        Sequence { protocols, batches }
    }

    fn batch(&self, values: &mut Values, connections: usize) -> Batch {
        let size = match values.rng.below(10) {
            0..=3 => 1,
            4..=7 => 1 + values.rng.below(10),
            _ => 1 + values.rng.below(60),
        };
        let mut steps = Vec::with_capacity(size);
        let in_transaction = values.rng.chance(1, 6);
        if in_transaction {
            steps.push(Step::of(&[b"MULTI"]));
        }
        for _ in 0..size {
            let step = self.step(values);
            let end = step.pause || step.is_last() || step.name() == "exec";
            steps.push(step);
            if end {
                break;
            }
        }
        if in_transaction && !steps.last().is_some_and(Step::is_last) && values.rng.chance(9, 10) {
            steps.push(Step::of(&[b"EXEC"]));
        }
        let cuts = match values.rng.below(3) {
            0 => Vec::new(),
            1 => vec![values.rng.next()],
            _ => (0..values.rng.below(12)).map(|_| values.rng.next()).collect(),
        };
        Batch { connection: values.rng.below(connections), steps, cuts }
    }

    fn step(&self, values: &mut Values) -> Step {
        loop {
            let mut at = values.rng.below(self.total as usize) as u32;
            let chosen = self.commands.iter().find(|(weight, _)| {
                let found = at < *weight;
                at = at.wrapping_sub(*weight);
                found
            });
            let (_, node) = chosen.expect("the weights add up");
            values.past = false;
            let mut args = Vec::new();
            produce(node, values, &mut args);
            let changed = values.rng.chance(1, 12);
            if changed {
                spoil(&mut args, values);
            }
            let small = args.iter().map(Vec::len).sum::<usize>() < 200;
            let named = args.first().is_some_and(|a| !a.is_empty());
            let inline = small && named && values.rng.chance(1, 20);
            let lifetime = matches!(args.first(), Some(a) if gives_lifetime(a));
            let pause = shortest_lifetime(&args) <= 3;
            let past = values.past || pause || lifetime;
            let step = Step { args, inline, pause, past };
            if named && is_safe(&step) {
                return step;
            }
        }
    }
}

/// The shortest relative lifetime among the arguments, in milliseconds.
fn shortest_lifetime(args: &[Vec<u8>]) -> i64 {
    let number = |i: usize, unit: i64| {
        let text = args.get(i).and_then(|a| std::str::from_utf8(a).ok());
        let number = text.and_then(|t| t.parse::<i64>().ok()).filter(|n| *n > 0);
        number.map_or(i64::MAX, |n| n.saturating_mul(unit))
    };
    let name = args.first().map(|a| a.to_ascii_lowercase()).unwrap_or_default();
    match name.as_slice() {
        b"expire" | b"setex" => number(2, 1000),
        b"pexpire" | b"psetex" | b"restore" => number(2, 1),
        b"set" | b"getex" => (2..args.len())
            .map(|i| match args[i].to_ascii_lowercase().as_slice() {
                b"ex" => number(i + 1, 1000),
                b"px" => number(i + 1, 1),
                _ => i64::MAX,
            })
            .min()
            .unwrap_or(i64::MAX),
        _ => i64::MAX,
    }
}

/// Whether the timeout in argument `at`, in seconds, is short, or none.
fn ends_soon(step: &Step, at: usize) -> bool {
    match step.word(at).parse::<f64>() {
        Ok(seconds) => seconds <= -1.0 || (0.001..0.1).contains(&seconds),
        // An error, but what is hexadecimal: that they read, too.
        Err(_) => !step.word(at).contains("0x"),
    }
}

/// Whether the argument is a key of sorted sets with one score only.
fn is_lex(step: &Step, at: usize) -> bool {
    step.word(at).starts_with("lex")
}

fn gives_lifetime(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "set",
        "getex",
        "setex",
        "psetex",
        "expire",
        "pexpire",
        "expireat",
        "pexpireat",
        "restore",
    ];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// Breaks a command: wrong arity, arguments of the wrong kind or in the wrong order.
fn spoil(args: &mut Vec<Vec<u8>>, values: &mut Values) {
    match values.rng.below(4) {
        0 => args.truncate(1 + values.rng.below(args.len())),
        1 => {
            for _ in 0..=values.rng.below(2) {
                args.push(values.junk());
            }
        }
        2 if args.len() > 1 => {
            let at = 1 + values.rng.below(args.len() - 1);
            args[at] = values.junk();
        }
        _ if args.len() > 2 => {
            let a = 1 + values.rng.below(args.len() - 1);
            let b = 1 + values.rng.below(args.len() - 1);
            args.swap(a, b);
        }
        _ => args.truncate(1),
    }
}

/// Whether both servers can run it without gigabytes of memory, minutes of time or the end of the
/// comparison.
fn is_safe(step: &Step) -> bool {
    // Keys end before the next command or long after the sequence.
    if (4..1_000_000).contains(&shortest_lifetime(&step.args)) {
        return false;
    }
    let largest = |limit: i64| {
        step.args.iter().skip(1).all(|arg| {
            let text = std::str::from_utf8(arg).unwrap_or("");
            match text.trim_start_matches('#').parse::<i64>() {
                Ok(n) => n < limit || n > 1 << 37,
                Err(_) => true,
            }
        })
    };
    match step.name().as_str() {
        "setbit" => largest(400_000) || step.args.len() != 4,
        "setrange" => largest(400_000) || step.args.len() != 4,
        "bitfield" => largest(400_000),
        // The matrix of two long strings is gigabytes.
        "lcs" => step.args.iter().skip(1).take(2).all(|a| a.starts_with(b"lcs")),
        // Nothing but LCS may write long values under its keys.
        "set" if step.word(1).starts_with("lcs") => step.args.get(2).is_none_or(|v| v.len() < 60),
        _ if step.args.iter().skip(1).any(|a| a.starts_with(b"lcs")) => false,
        // What a range of members is among members of several scores, is not defined.
        "zlexcount" | "zrangebylex" | "zrevrangebylex" | "zremrangebylex" => is_lex(step, 1),
        "zrange" if step.has("BYLEX") => is_lex(step, 1),
        "zrangestore" if step.has("BYLEX") => is_lex(step, 2) && !is_lex(step, 1),
        "zadd" if is_lex(step, 1) => step.args.iter().skip(2).step_by(2).all(|s| s == b"0"),
        "zrem" if is_lex(step, 1) => true,
        _ if step.args.iter().skip(1).any(|a| a.starts_with(b"lex")) => false,
        // These turn the connection into something else, wait, or change the server.
        "sync" | "psync" | "monitor" | "shutdown" => false,
        "subscribe" | "psubscribe" | "ssubscribe" => false,
        // One reply per name.
        "unsubscribe" | "punsubscribe" | "sunsubscribe" => step.args.len() <= 2,
        // WAIT for replicas that do not exist lasts until its timeout, or for ever.
        "wait" => step.word(1).parse::<i64>().map_or(true, |n| n <= 0),
        "blpop" | "brpop" | "bzpopmin" | "bzpopmax" => ends_soon(step, step.args.len() - 1),
        "blmpop" | "bzmpop" => ends_soon(step, 1),
        "brpoplpush" => ends_soon(step, 3),
        "blmove" => ends_soon(step, 5),
        // The reference keeps the name of a HELLO that fails later on (7.2 does not).
        "hello" => !step.has("SETNAME") || step.args.len() == 4,
        "debug" => step.word(1) != "sleep" || step.word(2).parse::<f64>().is_err(),
        "client" => match step.word(1).as_str() {
            "pause" | "reply" => false,
            "tracking" => tracks_alike(step),
            _ => true,
        },
        "sort" | "sort_ro" => crate::sorting::is_safe(step),
        // The reference makes as many as are asked for before it sends any.
        "srandmember" | "hrandfield" | "zrandmember" => {
            step.word(2).parse().map_or(true, |n: i64| n > -1_000_000 || n == i64::MIN)
        }
        // Which members it takes is left to chance, unless it takes none or all.
        "spop" => step.args.len() > 2 && !(1..10_000).contains(&step.word(2).parse().unwrap_or(0)),
        name if name.starts_with('x') => crate::streams::is_safe(step),
        "config" => step.word(1) != "set" || !largest(1) || step.word(2) != "timeout",
        _ => true,
    }
}

/// Whether a CLIENT TRACKING does the same on both servers.
fn tracks_alike(step: &Step) -> bool {
    // Whether a client has a number hangs on how many there were before.
    let number = |arg: &Vec<u8>| std::str::from_utf8(arg).ok()?.parse::<i64>().ok();
    let mut numbers = step.args.iter().filter_map(number);
    let by_chance = step.has("REDIRECT") && numbers.any(|n| (1..999_999).contains(&n));
    // Of prefixes that overlap the reference has an opinion of its own (README).
    let prefixes = step.args.iter().filter(|arg| arg.eq_ignore_ascii_case(b"prefix"));
    !by_chance && prefixes.count() < 2
}
