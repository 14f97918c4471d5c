//! What goes between Lua and the server: the text of a script, and the replies that it gets.

use super::resp::{self, Decoded};
use super::{Source, unsent};
use dunlin::commands::error::ReplyError;
use dunlin::scripting::{
    Arguments, CallOptions, Ended, Engine, Host, Interrupt, Options, Script, Watch,
};
use dunlin_protocol::{Proto, Reply};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Runs of an engine, which is a new one then.
const RUNS: u32 = 500;
const MEMORY: usize = 8 << 20;
/// How often it is asked whether a script goes on: two million instructions.
const PATIENCE: u32 = 200;

thread_local! {
    static ENGINE: RefCell<Option<(Engine, u32)>> = const { RefCell::new(None) };
}

struct Patience(Cell<u32>);

impl Watch for Patience {
    fn check(&self) -> Interrupt {
        self.0.set(self.0.get() + 1);
        if self.0.get() > PATIENCE { Interrupt::Stop("too long") } else { Interrupt::GoOn }
    }
}

/// A server whose replies come from the input.
struct Answers<'a>(Source<'a>);

impl Answers<'_> {
    fn write(&mut self, reply: &mut Reply, depth: usize) {
        let aggregates = if depth > 0 { 4 } else { 0 };
        match self.0.below(10 + aggregates) {
            0 => reply.null(),
            1 => reply.ok(),
            2 => reply.error("ERR an error"),
            3 => reply.int(self.0.word().cast_signed()),
            4 => reply.double(f64::from_bits(self.0.word())),
            5 => reply.bool(self.0.chance(2)),
            6 => reply.verbatim("txt", b"text"),
            7 => reply.big_number("123456789012345678901234567890"),
            8 => reply.null_array(),
            9 => {
                let length = self.0.below(20);
                reply.bulk(self.0.take(length));
            }
            kind => {
                let count = self.0.below(4);
                match kind {
                    11 => reply.map(count),
                    12 => reply.set(count),
                    _ => reply.array(count),
                }
                let parts = if kind == 11 { 2 * count } else { count };
                (0..parts).for_each(|_| self.write(reply, depth - 1));
            }
        }
    }
}

impl Host for Answers<'_> {
    fn call(
        &mut self,
        args: &[&[u8]],
        options: CallOptions,
        reply: &mut Reply,
    ) -> Result<(), ReplyError> {
        assert!(!args.is_empty());
        if self.0.chance(16) {
            return Err("ERR refused".into());
        }
        reply.set_proto(options.proto);
        self.write(reply, 3);
        Ok(())
    }

    fn may_run(&mut self, _: &[&[u8]]) -> Option<bool> {
        [None, Some(false), Some(true)][self.0.below(3)]
    }

    fn log(&mut self, level: u8, _: &[u8]) {
        assert!(level <= 3);
    }

    fn watch(&mut self) -> Rc<dyn Watch> {
        Rc::new(Patience(Cell::new(0)))
    }
}

/// The text of a script, and behind a zero byte what the server answers it. It ends, and its reply is a
/// well-formed one in the version of the client.
pub fn lua(data: &[u8]) {
    let Some((&proto, data)) = data.split_first() else { return };
    let proto = if proto & 1 == 1 { Proto::Resp3 } else { Proto::Resp2 };
    let at = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let (text, answers) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let Ok(script) = Script::parse(text) else { return };
    let mut reply = Reply::new(proto);
    let ended = ENGINE.with_borrow_mut(|engine| {
        if engine.as_ref().is_none_or(|(_, runs)| *runs >= RUNS) {
            let options = Options { memory: MEMORY, ..Options::default() };
            *engine = Some((Engine::new(options), 0));
        }
        let (engine, runs) = engine.as_mut().expect("it was made");
        *runs += 1;
        let arguments = Arguments { keys: &[b"key", b"\xff"], args: &[answers, b"1", b""] };
        engine.eval(&Arc::new(script), arguments, &mut Answers(Source(answers)), &mut reply)
    });
    if ended != Ended::Replied {
        assert!(reply.is_empty(), "an error is not written yet");
        return;
    }
    let bytes = unsent(&reply);
    let is_newer = |byte: &u8| b"_#,(=%~>".contains(byte);
    assert!(
        proto == Proto::Resp3 || !bytes.first().is_some_and(is_newer),
        "{}",
        resp::show(&bytes)
    );
    match resp::decode(&bytes) {
        Ok(Decoded::Value(_, length)) => assert_eq!(length, bytes.len(), "{}", resp::show(&bytes)),
        Ok(Decoded::Partial) => panic!("half a reply: {}", bytes.escape_ascii()),
        // Tables may be nested deeper than what a test's client reads.
        Err(why) => assert_eq!(why, resp::TOO_DEEP, "{}", bytes.escape_ascii()),
    }
}
