//! Commands of the table with arguments as their documents say, or almost: the bytes of the input decide.

use super::Source;
use super::inside::{Connection, Inside, encode};
use super::resp::Value;
use dunlin::commands::docs::{Arg, ArgKind, Group};
use dunlin::commands::table::{Entry, table};
use std::sync::LazyLock;

/// Commands of one input, and words of one command.
const MOST_COMMANDS: usize = 48;
const MOST_WORDS: usize = 40;
const CONNECTIONS: usize = 3;

/// Not run: they end the process, reach out of it, sleep, or test the server for seconds. `config|set` has a
/// target of its own.
const LEFT_OUT: &[&str] = &[
    "shutdown",
    "migrate",
    "debug",
    "config|set",
    "config|rewrite",
    "save",
    "bgsave",
    "pfselftest",
];

static COMMANDS: LazyLock<Vec<&'static Entry>> = LazyLock::new(|| {
    let runs = |entry: &&Entry| !LEFT_OUT.contains(&entry.full_name.as_str());
    table().entries().iter().filter(runs).collect()
});

const INTEGERS: &[&[u8]] = &[
    b"0",
    b"1",
    b"-1",
    b"2",
    b"3",
    b"10",
    b"-2",
    b"100",
    b"1000",
    b"65536",
    b"2147483648",
    b"007",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"x",
    b"",
    b"1.5",
];
const DOUBLES: &[&[u8]] = &[
    b"0",
    b"1",
    b"-1.5",
    b"3.14",
    b"inf",
    b"-inf",
    b"nan",
    b"1e300",
    b"1e-300",
    b"1e400",
    b"(1",
    b"[a",
    b"+",
    b"-",
    b"13.361389",
    b"38.115556",
    b"181",
    b"x",
];
const WORDS: &[&[u8]] = &[
    b"a",
    b"b",
    b"",
    b"1",
    b"-5",
    b"field",
    b"12345678901234567890",
    b"a\0b",
    b"\xff\xfe",
    b"x y",
    b"*",
    b"-",
    b"+",
    b"$",
    b">",
    b"0-0",
    b"5-1",
    b"(5",
    b"[a",
    b"u8",
    b"i64",
    b"#1",
    b"default",
    b"allkeys",
];
const PATTERNS: &[&[u8]] = &[b"*", b"k*", b"?1", b"[a-z]*", b"\\", b"[^", b"maxmemory*", b""];
const SCRIPTS: &[&[u8]] = &[
    b"return redis.call('get', KEYS[1])",
    b"return {1, 2.5, 'a', false, {ok = 'x'}, {err = 'E y'}}",
    b"return redis.pcall(unpack(ARGV))",
    b"redis.setresp(3); return redis.call('hgetall', KEYS[1])",
    b"return cjson.encode(cjson.decode(ARGV[1]))",
    b"return cmsgpack.pack(KEYS, ARGV)",
    b"#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 1)",
    b"return struct.pack('>I4s', 1, ARGV[1])",
    b"error({err = 'X'})",
    b"return redis.call('lpush', KEYS[1], ARGV[1], ARGV[2])",
];
const LIBRARIES: &[&[u8]] = &[
    b"#!lua name=l1\nredis.register_function('f', function(k, a) return redis.call('incr', k[1]) end)",
    b"#!lua name=l2\nredis.register_function{function_name='g', callback=function() return 1 end, flags={'no-writes'}}",
    b"#!lua name=l1\n",
    b"#!lua\n",
];

/// Makes the words of a command.
struct Sentence<'s, 'd> {
    source: &'s mut Source<'d>,
    group: Group,
    words: Vec<Vec<u8>>,
    /// Where the number of the keys belongs that come.
    count_at: Option<usize>,
}

impl Sentence<'_, '_> {
    fn push(&mut self, word: impl Into<Vec<u8>>) {
        if self.words.len() < MOST_WORDS {
            self.words.push(word.into());
        }
    }

    /// Keys of a type have names of their own; now and then it is one of another type.
    fn key(&mut self) -> Vec<u8> {
        let number = self.source.byte();
        let kind = match number >> 4 {
            15 => usize::from(number >> 2) % 7,
            _ => match self.group {
                Group::List => 0,
                Group::SortedSet | Group::Geo => 1,
                Group::Hash => 2,
                Group::Set => 3,
                Group::Stream => 4,
                Group::HyperLogLog => 5,
                _ => usize::from(number >> 2) % 7,
            },
        };
        vec![b"lzhsxps"[kind], b'0' + number % 4]
    }

    fn string(&mut self, name: &str) -> Vec<u8> {
        match name {
            // Another target has scripts of any kind.
            "script" => self.source.pick(SCRIPTS).to_vec(),
            "function-code" => self.source.pick(LIBRARIES).to_vec(),
            "function" => self.source.pick(&[&b"f"[..], b"g", b"h"]).to_vec(),
            "command" => COMMANDS[self.source.below(COMMANDS.len())].command.name.into(),
            "serialized-value" => {
                let length = self.source.below(40);
                let mut payload = self.source.take(length).to_vec();
                payload.extend([0; 10]);
                payload
            }
            _ => match self.source.byte() {
                byte @ ..200 => WORDS[usize::from(byte) % WORDS.len()].to_vec(),
                byte @ 200..230 => self.source.take(usize::from(byte - 200)).to_vec(),
                230..245 => self.source.pick(INTEGERS).to_vec(),
                byte @ 245..254 => vec![b'v'; 40 << (byte - 245)],
                254 | 255 => vec![b'w'; 70_000],
            },
        }
    }

    fn value(&mut self, arg: &Arg) {
        if self.source.chance(64) {
            let word = self.source.pick(WORDS).to_vec();
            return self.push(word);
        }
        match arg.kind {
            ArgKind::Key(_) => {
                let key = self.key();
                self.push(key);
            }
            ArgKind::Integer if matches!(arg.name, "numkeys" | "numfields") => {
                self.count_at = Some(self.words.len());
                self.push(*b"1");
            }
            ArgKind::String => {
                let word = self.string(arg.name);
                self.push(word);
            }
            ArgKind::Integer => {
                let word = self.source.pick(INTEGERS);
                self.push(word);
            }
            ArgKind::Double => {
                let word = self.source.pick(DOUBLES);
                self.push(word);
            }
            ArgKind::Pattern | ArgKind::KeyPattern(_) => {
                let word = self.source.pick(PATTERNS);
                self.push(word);
            }
            ArgKind::UnixTime => {
                let word =
                    self.source.pick(&[&b"0"[..], b"1", b"4102444800", b"4102444800000", b"-1"]);
                self.push(word);
            }
            // Its token is written already.
            ArgKind::PureToken => {}
            ArgKind::OneOf => {
                let which = self.source.below(arg.args.len().max(1));
                if let Some(arg) = arg.args.get(which) {
                    self.argument(arg);
                }
            }
            ArgKind::Block => arg.args.iter().for_each(|arg| self.argument(arg)),
        }
    }

    fn argument(&mut self, arg: &Arg) {
        if self.words.len() >= MOST_WORDS || arg.optional && self.source.chance(2) {
            return;
        }
        let times = if arg.multiple { 1 + self.source.below(4) } else { 1 };
        let first = self.words.len();
        for time in 0..times {
            if let Some(token) = arg.token.filter(|_| time == 0 || arg.multiple_token) {
                self.push(token);
            }
            self.value(arg);
        }
        if (arg.multiple || matches!(arg.kind, ArgKind::Key(_)))
            && let Some(at) = self.count_at.take_if(|at| *at < first)
        {
            self.words[at] = times.to_string().into_bytes();
        }
    }
}

/// A command, by the next bytes of the input.
fn sentence(source: &mut Source<'_>) -> Vec<Vec<u8>> {
    let entry = COMMANDS[source.below(COMMANDS.len().max(257)) % COMMANDS.len()];
    let docs = &entry.command.docs;
    let mut sentence = Sentence { source, group: docs.group, words: Vec::new(), count_at: None };
    if let Some(container) = entry.container {
        sentence.push(container);
    }
    sentence.push(entry.command.name);
    docs.args.iter().for_each(|arg| sentence.argument(arg));
    let Sentence { source, mut words, .. } = sentence;
    match source.byte() {
        // One too few, one too many.
        254 if words.len() > 1 => drop(words.pop()),
        255 => words.push(source.pick(WORDS).to_vec()),
        _ => {}
    }
    words
}

/// Runs what the input says on a server that has nothing in it: on up to three connections, in
/// pipelines. Whatever it is, the replies are well-formed; afterwards a new client is served, and
/// FLUSHALL removes all keys.
pub fn server(data: &[u8]) {
    let inside = Inside::new();
    play(&inside, data);
    // Users and their rights may be others by now, and who is new may be asked for a password, or wait.
    let mut last = inside.connect();
    let flushed = inside.command(&mut last, &[b"FLUSHALL"]);
    let size = inside.command(&mut last, &[b"DBSIZE"]);
    if let (Some(Value::Simple(_)), Some(Value::Int(size))) = (flushed, size) {
        assert_eq!(size, 0, "FLUSHALL has left keys");
    }
}

/// Sends what the input says; how many replies there were, and how many of them no errors.
pub fn play(inside: &Inside, data: &[u8]) -> (usize, usize) {
    let mut source = Source(data);
    let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| inside.connect()).collect();
    let (mut bytes, mut at, mut all, mut good) = (Vec::new(), 0, 0, 0);
    let mut left = MOST_COMMANDS;
    while left > 0 {
        left -= 1;
        encode(&sentence(&mut source), &mut bytes);
        let how = source.byte();
        if source.is_empty() {
            left = 0;
        }
        if how < 160 || left == 0 {
            let replies = inside.send(&mut connections[at], &bytes);
            all += replies.len();
            good += replies.iter().filter(|reply| !reply.is_error()).count();
            bytes.clear();
            if !connections[at].is_open() {
                connections[at] = inside.connect();
            }
            at = usize::from(how) % CONNECTIONS;
        }
    }
    (all, good)
}
