//! FUNCTION LOAD and FCALL, beside redis-server where it is.

use crate::support::process::Server;
use crate::support::{Value, redis_server};
use crate::{Fixture, bytes, finish};
use dunlin::scripting::{Arguments, Library, LibrarySet, ScriptFlags};
use dunlin_protocol::Reply;

impl Fixture {
    /// FUNCTION LOAD into a set.
    fn load(&mut self, set: &mut LibrarySet, body: &str) -> Value {
        let loaded = Library::parse(body.as_bytes()).and_then(|library| {
            if set.libraries.contains_key(&library.name) {
                return Err(format!("Library '{}' already exists", library.name));
            }
            let library = self.engine.load(library, &mut self.host)?;
            let name = library.name.clone();
            set.add(library, false).map(|()| name)
        });
        match loaded {
            Ok(name) => Value::bulk(name),
            Err(why) => Value::error(&format!("ERR {why}")),
        }
    }

    fn fcall(&mut self, set: &LibrarySet, name: &str, keys: &[&str], args: &[&str]) -> Value {
        let Some((library, function)) = set.find(name.as_bytes()) else {
            return Value::error("ERR Function not found");
        };
        let mut reply = Reply::new(self.proto);
        let (keys, args) = (bytes(keys), bytes(args));
        let arguments = Arguments { keys: &keys, args: &args };
        let function = function.name.clone();
        let ended = self.engine.call(library, &function, arguments, &mut self.host, &mut reply);
        finish(ended, reply)
    }
}

/// Bodies of libraries called `lib`, of which none works but the first.
const BROKEN: &[&str] = &[
    "redis.register_function('good', function() end)",
    "",
    "return 1",
    "x x",
    "a = 1",
    "local x = string",
    "local x = undeclared",
    "error('boom')",
    "redis.call('ping')",
    "redis.pcall('ping')",
    "redis.setresp(3)",
    "redis.breakpoint()",
    "redis.newname = 1",
    "_G.x = 1",
    "local t = nil; t.x = 1",
    "redis.log(redis.LOG_DEBUG, 'x')",
    "redis.log()",
    "redis.register_function()",
    "redis.register_function(1, 2, 3)",
    "redis.register_function('f')",
    "redis.register_function('f', 1)",
    "redis.register_function(1, 1)",
    "redis.register_function({}, 1)",
    "redis.register_function('bad-name', function() end)",
    "redis.register_function('', function() end)",
    "redis.register_function('f', function() end) redis.register_function('f', function() end)",
    "redis.register_function{}",
    "redis.register_function{function_name='f'}",
    "redis.register_function{function_name={}}",
    "redis.register_function{callback=function() end}",
    "redis.register_function{function_name='f', callback=1}",
    "redis.register_function{function_name='f', callback=function() end, description={}}",
    "redis.register_function{function_name='f', callback=function() end, flags=1}",
    "redis.register_function{function_name='f', callback=function() end, flags={'nosuch'}}",
    "redis.register_function{function_name='f', callback=function() end, flags={{}}}",
    "redis.register_function{nosuch=1}",
    "redis.register_function{[{}]=1}",
    "redis.register_function('taken', function() end)",
];

const WORKING: &str = "#!lua name=working
local count = 0
local function up() count = count + 1 return count end
redis.register_function('taken', function(keys, args) return {keys, args} end)
redis.register_function('count', up)
redis.register_function('globals', function() return {type(string), type(KEYS2)} end)
redis.register_function('keys', function() return KEYS end)
redis.register_function('boom', function() error('boom') end)
redis.register_function('call', function(keys, args) return redis.call(unpack(args)) end)
redis.register_function('callpcall', function(keys, args) return redis.pcall(unpack(args)) end)
redis.register_function('register', function() return redis.register_function end)
redis.register_function('breakpoint', function() return redis.breakpoint end)
redis.register_function('write', function() x = 1 end)
redis.register_function('write2', function() _G.x = 1 end)
redis.register_function('write3', function() redis.call = 1 end)
redis.register_function('meta', function() return type(getmetatable(_G).__index) end)
redis.register_function('names', function() local names = {} for k in pairs(redis) do names[#names + 1] = k end table.sort(names) return names end)
redis.register_function('deep', function() local function f() error({err='CODE deep'}) end f() end)
redis.register_function('json', function(keys, args) return cjson.encode(args) end)
redis.register_function('nothing', function() end)
redis.register_function{function_name='flagged', description='what it does', flags={'no-writes', 'ALLOW-OOM'}, callback=function() return 1 end}
";

const CALLS: &[(&str, &[&str], &[&str])] = &[
    ("taken", &["k"], &["a", "b"]),
    ("TAKEN", &[], &[]),
    ("count", &[], &[]),
    ("count", &[], &[]),
    ("globals", &[], &[]),
    ("keys", &["k"], &[]),
    ("boom", &[], &[]),
    ("call", &[], &["ping"]),
    ("call", &[], &["nosuch"]),
    ("callpcall", &[], &["nosuch"]),
    ("register", &[], &[]),
    ("breakpoint", &[], &[]),
    ("write", &[], &[]),
    ("write2", &[], &[]),
    ("write3", &[], &[]),
    ("meta", &[], &[]),
    ("names", &[], &[]),
    ("deep", &[], &[]),
    ("json", &[], &["x", "y"]),
    ("nothing", &[], &[]),
    ("flagged", &[], &[]),
    ("nosuchfunction", &[], &[]),
];

#[test]
fn libraries_do_what_redis_s_do() {
    let Some(_) = redis_server() else { return };
    let redis = Server::redis(&[]).expect("it starts");
    let mut client = redis.client();
    let (mut ours, mut set) = (Fixture::new(), LibrarySet::default());
    assert_eq!(client.call(&["FUNCTION", "LOAD", WORKING]), Value::bulk("working"));
    assert_eq!(ours.load(&mut set, WORKING), Value::bulk("working"));
    for body in BROKEN {
        let body = format!("#!lua name=lib\n{body}");
        let theirs = client.call(&["FUNCTION", "LOAD", &body]);
        assert_eq!(ours.load(&mut set, &body), theirs, "{body}");
    }
    for (name, keys, args) in CALLS {
        let count = keys.len().to_string();
        let call = [&["FCALL", name, &count], *keys, *args].concat();
        assert_eq!(ours.fcall(&set, name, keys, args), client.call(&call), "{name}");
    }
}

#[test]
fn functions_tell_what_they_are() {
    let (mut fixture, mut set) = (Fixture::new(), LibrarySet::default());
    assert_eq!(fixture.load(&mut set, WORKING), Value::bulk("working"));
    let (library, function) = set.find(b"FLAGGED").expect("it is there");
    assert_eq!(function.flags, ScriptFlags::NO_WRITES.with(ScriptFlags::ALLOW_OOM));
    assert_eq!(function.description.as_deref(), Some(b"what it does".as_slice()));
    assert_eq!(library.functions.len(), 18);
    assert_eq!(library.body, WORKING.as_bytes());
}

#[test]
fn another_engine_loads_a_library_when_it_is_called() {
    let (mut first, mut set) = (Fixture::new(), LibrarySet::default());
    assert_eq!(first.load(&mut set, WORKING), Value::bulk("working"));
    let mut second = Fixture::new();
    assert_eq!(first.fcall(&set, "count", &[], &[]), Value::Int(1));
    assert_eq!(first.fcall(&set, "count", &[], &[]), Value::Int(2));
    assert_eq!(second.fcall(&set, "count", &[], &[]), Value::Int(1), "its own variables");
    // A new version of the library replaces the old one there too.
    set.remove("working");
    let newer = "#!lua name=working\nredis.register_function('count', function() return 100 end)";
    assert_eq!(first.load(&mut set, newer), Value::bulk("working"));
    assert_eq!(second.fcall(&set, "count", &[], &[]), Value::Int(100));
    let current = set.clone();
    let is_current = |library: &std::sync::Arc<Library>| {
        current
            .libraries
            .get(&library.name)
            .is_some_and(|other| std::sync::Arc::ptr_eq(other, library))
    };
    second.engine.retain(is_current);
    assert_eq!(second.fcall(&set, "count", &[], &[]), Value::Int(100));
}

#[test]
fn a_library_that_does_not_stop_loading_is_stopped() {
    let (mut fixture, mut set) = (Fixture::new(), LibrarySet::default());
    fixture.host.patience = Some(2);
    let reply = fixture.load(&mut set, "#!lua name=lib\nwhile true do end");
    assert_eq!(
        reply,
        Value::error(
            "ERR Error registering functions: ERR Script killed by user with SCRIPT KILL."
        )
    );
    fixture.host.patience = None;
    assert_eq!(fixture.load(&mut set, WORKING), Value::bulk("working"));
}
