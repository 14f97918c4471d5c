//! Scripts: the Lua engine over a host that is a small dictionary (what scripts see, what their
//! callers get, what they cannot do), and the commands over a socket. Where redis-server is on the
//! PATH, it says what is right.

mod against_redis;
mod commands;
mod host;
mod keys;
mod libraries;
mod limits;
mod patterns;
mod pooled;
mod sandbox;
mod scripts;
mod seen;
#[path = "../support/mod.rs"]
mod support;

use dunlin::scripting::{Arguments, Ended, Engine, Options, Script};
use dunlin_protocol::{Proto, Reply};
use host::Host;
use std::io::IoSlice;
use std::sync::Arc;
use support::Value;
use support::resp::{Decoded, decode};

/// An engine with its host.
struct Fixture {
    engine: Engine,
    host: Host,
    proto: Proto,
}

impl Fixture {
    fn new() -> Fixture {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Fixture {
        Fixture { engine: Engine::new(options), host: Host::default(), proto: Proto::Resp2 }
    }

    /// EVAL, as far as the engine does it.
    fn eval(&mut self, body: &str, keys: &[&str], args: &[&str]) -> Value {
        match Script::parse(body.as_bytes()) {
            Ok(script) => self.run(&Arc::new(script), keys, args),
            Err(why) => Value::error(&format!("ERR {why}")),
        }
    }

    fn run(&mut self, script: &Arc<Script>, keys: &[&str], args: &[&str]) -> Value {
        let mut reply = Reply::new(self.proto);
        let (keys, args) = (bytes(keys), bytes(args));
        let arguments = Arguments { keys: &keys, args: &args };
        let ended = self.engine.eval(script, arguments, &mut self.host, &mut reply);
        finish(ended, reply)
    }
}

fn bytes<'a>(texts: &[&'a str]) -> Vec<&'a [u8]> {
    texts.iter().map(|text| text.as_bytes()).collect()
}

/// The value of a reply, or of the error that a run ended with.
fn finish(ended: Ended, mut reply: Reply) -> Value {
    if let Ended::Failed { error, .. } = ended {
        assert!(reply.is_empty(), "a reply and an error");
        reply.error(error.text());
    }
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    reply.slices(&mut slices, usize::MAX);
    let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
    match decode(&bytes) {
        Ok(Decoded::Value(value, used)) if used == bytes.len() => value,
        _ => panic!("no reply: {}", String::from_utf8_lossy(&bytes)),
    }
}
