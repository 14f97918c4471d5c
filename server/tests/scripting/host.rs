//! A server of a few commands.

use dunlin::commands::error::ReplyError;
use dunlin::scripting::{CallOptions, Interrupt, Watch};
use dunlin_protocol::Reply;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Strings, and lists of strings.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) strings: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) lists: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    pub(crate) hashes: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) log: Vec<(u8, Vec<u8>)>,
    /// Questions answered with "go on" before the answer is "stop"; `None`: always go on.
    pub(crate) patience: Option<u32>,
}

/// Counts down.
struct Patience(Cell<Option<u32>>);

impl Watch for Patience {
    fn check(&self) -> Interrupt {
        match self.0.get() {
            None => Interrupt::GoOn,
            Some(0) => Interrupt::Stop("Script killed by user with SCRIPT KILL."),
            Some(left) => {
                self.0.set(Some(left - 1));
                Interrupt::GoOn
            }
        }
    }
}

impl Host {
    fn set(&mut self, args: &[&[u8]], reply: &mut Reply) {
        self.strings.insert(args[1].to_vec(), args[2].to_vec());
        reply.ok();
    }

    fn get(&mut self, args: &[&[u8]], reply: &mut Reply) {
        if self.lists.contains_key(args[1]) {
            reply.error("WRONGTYPE Operation against a key holding the wrong kind of value");
            return;
        }
        match self.strings.get(args[1]) {
            Some(value) => reply.bulk(value),
            None => reply.null(),
        }
    }

    fn incr(&mut self, args: &[&[u8]], reply: &mut Reply) {
        let old = self.strings.get(args[1]).map_or(b"0".as_slice(), Vec::as_slice);
        let Ok(old) = String::from_utf8_lossy(old).parse::<i64>() else {
            reply.error("ERR value is not an integer or out of range");
            return;
        };
        self.strings.insert(args[1].to_vec(), (old + 1).to_string().into_bytes());
        reply.int(old + 1);
    }

    fn rpush(&mut self, args: &[&[u8]], reply: &mut Reply) {
        let list = self.lists.entry(args[1].to_vec()).or_default();
        list.extend(args[2..].iter().map(|item| item.to_vec()));
        reply.int(list.len() as i64);
    }

    fn lrange(&mut self, args: &[&[u8]], reply: &mut Reply) {
        let list = self.lists.get(args[1]).cloned().unwrap_or_default();
        reply.array(list.len());
        list.iter().for_each(|item| reply.bulk(item));
    }

    fn hset(&mut self, args: &[&[u8]], reply: &mut Reply) {
        let hash = self.hashes.entry(args[1].to_vec()).or_default();
        reply.int(i64::from(hash.insert(args[2].to_vec(), args[3].to_vec()).is_none()));
    }

    fn hgetall(&mut self, args: &[&[u8]], reply: &mut Reply) {
        let hash = self.hashes.get(args[1]).cloned().unwrap_or_default();
        reply.map(hash.len());
        for (field, value) in hash {
            reply.bulk(&field);
            reply.bulk(&value);
        }
    }
}

type Command = fn(&mut Host, &[&[u8]], &mut Reply);

/// Name, number of arguments (negative: at least), and what it does.
const COMMANDS: &[(&str, i32, Command)] = &[
    ("ping", -1, |_, args, reply| match args.get(1) {
        Some(text) => reply.bulk(text),
        None => reply.simple("PONG"),
    }),
    ("echo", 2, |_, args, reply| reply.bulk(args[1])),
    ("set", 3, Host::set),
    ("get", 2, Host::get),
    ("incr", 2, Host::incr),
    ("rpush", -3, Host::rpush),
    ("lrange", 4, Host::lrange),
    ("hset", 4, Host::hset),
    ("hgetall", 2, Host::hgetall),
    ("double", 2, |_, args, reply| {
        reply.double(String::from_utf8_lossy(args[1]).parse().unwrap_or(f64::NAN));
    }),
    ("everything", 1, |_, _, reply| everything(reply)),
];

/// One of each kind.
fn everything(reply: &mut Reply) {
    reply.array(9);
    reply.double(1.5);
    reply.bool(true);
    reply.bool(false);
    reply.null();
    reply.big_number("12345678901234567890123");
    reply.verbatim("txt", b"some text");
    reply.map(1);
    reply.bulk(b"key");
    reply.int(7);
    reply.set(1);
    reply.bulk(b"member");
    reply.array(0);
}

fn find(name: &[u8]) -> Option<&'static (&'static str, i32, Command)> {
    COMMANDS.iter().find(|(known, ..)| known.as_bytes().eq_ignore_ascii_case(name))
}

impl dunlin::scripting::Host for Host {
    fn call(
        &mut self,
        args: &[&[u8]],
        options: CallOptions,
        reply: &mut Reply,
    ) -> Result<(), ReplyError> {
        assert!(reply.is_empty());
        assert_eq!(reply.proto(), options.proto);
        let Some((_, arity, run)) = find(args[0]) else {
            return Err("ERR Unknown Redis command called from script".into());
        };
        let count = i32::try_from(args.len()).unwrap_or(i32::MAX);
        if (*arity > 0 && count != *arity) || count < -arity {
            return Err("ERR Wrong number of args calling Redis command from script".into());
        }
        run(self, args, reply);
        Ok(())
    }

    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool> {
        find(args[0]).map(|(name, ..)| *name != "set" || self.patience.is_none())
    }

    fn log(&mut self, level: u8, text: &[u8]) {
        self.log.push((level, text.to_vec()));
    }

    fn watch(&mut self) -> Rc<dyn Watch> {
        Rc::new(Patience(Cell::new(self.patience)))
    }
}
