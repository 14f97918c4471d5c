//! Scripts that would take everything: time, memory, the stack, the reply.

use crate::support::Value;
use crate::{Fixture, bytes};
use dunlin::scripting::{Arguments, Options, Script};
use dunlin_protocol::{Proto, Reply};
use std::io::IoSlice;
use std::sync::Arc;

/// Loops that try not to notice that they are told to stop.
pub(crate) const ENDLESS: &[&str] = &[
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local function again() pcall(again) return again() end again()",
    "local function f() while true do pcall(f) end end f()",
    "while true do pcall(pcall, error) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "while true do pcall(redis.call, 'ping') end",
    "while true do redis.pcall('nosuch') end",
    "while true do local co = coroutine.wrap(function() while true do end end) pcall(co) end",
    "local function f() while true do coroutine.resume(coroutine.create(f)) end end f()",
    "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
    "local t = setmetatable({}, {__index=function(t, k) while true do end end}) while true do pcall(function() return t.x end) end",
    "while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end",
    "while true do pcall(string.gsub, 'x', 'x', function() while true do end end) end",
    "while true do pcall(loadstring('while true do end')) end",
    "while true do load(function() while true do end end) end",
    "repeat local ok = pcall(function() repeat until false end) until false",
    "for i = 1, math.huge do end",
    "local function f(d) for i = 1, 1000 do if d > 0 then coroutine.wrap(f)(d - 1) end end end while true do coroutine.wrap(f)(5) end",
    "while true do pcall(cjson.encode, setmetatable({}, {__index=error})) end",
    "return string.find(('a'):rep(100000), '.-.-.-.-.-b')",
    "return string.match(('a'):rep(100000), '(a*)(a*)(a*)(a*)%1b')",
    "return string.find(('('):rep(10000000), '%b()')",
    "for word in string.gmatch(('a'):rep(100000), '.-.-.-.-.-b') do end",
    "return string.gsub(('a'):rep(100000), '.-.-.-.-.-b', '')",
    "return string.gsub(('a'):rep(100000), '.-.-.-.-.-b', {})",
    "while true do pcall(string.find, ('a'):rep(100000), 'a-a-a-b') end",
    "while true do string.rep('', 2147483647) end",
    "local t = {} for i = 1, 40 do t = {t, t} end return t",
    "local t = {} for i = 1, 40 do t = {t, t} end return #cjson.encode(t)",
    "local t = {} for i = 1, 14 do local u = {} for j = 1, 100 do u[j] = t end t = u end return #cmsgpack.pack(t)",
];

#[test]
fn a_script_told_to_stop_stops() {
    let mut fixture = Fixture::new();
    for script in ENDLESS {
        fixture.host.patience = Some(3);
        let text = fixture.eval(script, &[], &[]).error_text().expect(script);
        assert!(
            text.starts_with("ERR Script killed by user with SCRIPT KILL."),
            "{script}: {text}"
        );
        // What stopped it is over.
        fixture.host.patience = None;
        let loop_on = "local n = 0 for i = 1, 1000000 do n = n + 1 end return n";
        assert_eq!(fixture.eval(loop_on, &[], &[]), Value::Int(1_000_000), "after {script}");
    }
}

#[test]
fn sorting_a_long_table_can_be_stopped() {
    let mut fixture = Fixture::new();
    let fill = "local t = {} for i = 1, ARGV[1] do t[i] = i * 7919 % 100003 end table.sort(t)";
    let check = "for i = 2, #t do if t[i - 1] > t[i] then return i end end return #t";
    let script = format!("{fill} {check}");
    assert_eq!(fixture.eval(&script, &[], &["5000"]), Value::Int(5000));
    // To fill it takes fifty questions, to sort it a thousand.
    fixture.host.patience = Some(200);
    let text = fixture.eval(&script, &[], &["100000"]).error_text().expect("it is stopped");
    assert!(text.starts_with("ERR Script killed by user with SCRIPT KILL."), "{text}");
}

#[test]
fn memory_has_a_limit() {
    let mut fixture = Fixture::with(Options { memory: 16 << 20, ..Options::default() });
    for script in [
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "return #('x'):rep(100000000)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 100000000 do t[i] = i end",
        "return #cjson.encode(('x'):rep(10000000))",
    ] {
        let text = fixture.eval(script, &[], &[]).error_text().expect(script);
        assert!(text.contains("not enough memory"), "{script}: {text}");
        assert!(fixture.engine.memory().0 < 4 << 20, "{script}: {:?}", fixture.engine.memory());
        assert_eq!(fixture.eval("return redis.call('ping')", &[], &[]).text(), "PONG");
    }
    // A script may go on when it has caught it.
    let caught = "local ok, e = pcall(string.rep, 'x', 100000000) return {tostring(ok), e}";
    let reply = fixture.eval(caught, &[], &[]).items();
    assert_eq!(reply[0], Value::bulk("false"));
    assert!(reply[1].text().contains("not enough memory"), "{:?}", reply[1]);
}

/// A string that is in a table a thousand times is one to Lua.
#[test]
fn what_is_built_up_outside_of_lua_has_the_same_limit() {
    let mut fixture = Fixture::with(Options { memory: 16 << 20, ..Options::default() });
    let strings = "local s, t = ('x'):rep(1000000), {} for i = 1, 1000 do t[i] = s end";
    let nested = "local t = ('x'):rep(100) for i = 1, 40 do t = {t, t} end";
    for script in [
        "cjson.encode_sparse_array(false, 0) return #cjson.encode({[2147483647]=1})".to_owned(),
        format!("{nested} return #cjson.encode(t)"),
        format!("{strings} return #cjson.encode(t)"),
        "local t = {} for i = 1, 10 do t[i] = ('\\1'):rep(500000) end return #cjson.encode(t)"
            .to_owned(),
        format!("{strings} return #cmsgpack.pack(t)"),
        "local t = ('x'):rep(100) for i = 1, 14 do local u = {} for j = 1, 1000 do u[j] = t end t = u end
         return #cmsgpack.pack(t)"
            .to_owned(),
        format!("{strings} return #struct.pack(('s'):rep(1000), unpack(t))"),
        format!("{strings} return redis.call('ping', unpack(t))"),
        format!("{strings} return redis.pcall('ping', unpack(t))"),
        format!("{strings} return redis.acl_check_cmd('ping', unpack(t))"),
        format!("{strings} return redis.log(redis.LOG_WARNING, unpack(t))"),
        "local s = ('x'):rep(1000000) for i = 1, 30 do redis.call('rpush', 'l', s) end
         return #redis.call('lrange', 'l', 0, -1)"
            .to_owned(),
        format!("{strings} return t"),
        format!("{strings} return {{1, {{map = t}}}}"),
    ] {
        let text = fixture.eval(&script, &[], &[]).error_text().expect(&script);
        let why = "not enough memory: this takes more than the 16777216 bytes of a script";
        assert!(text.starts_with("ERR ") && text.contains(why), "{script}: {text}");
        assert_eq!(fixture.eval("return redis.call('ping')", &[], &[]).text(), "PONG");
    }
    let caught = format!("{strings} local ok, why = pcall(cjson.encode, t) return {{#t, why}}");
    let reply = fixture.eval(&caught, &[], &[]).items();
    assert_eq!(reply[0], Value::Int(1000));
    assert!(reply[1].text().contains("not enough memory"), "{:?}", reply[1]);
}

#[test]
fn garbage_is_collected_whatever_a_script_says() {
    let mut fixture = Fixture::with(Options { memory: 16 << 20, ..Options::default() });
    let script = "collectgarbage('stop') collectgarbage('setpause', 1000000)
                  for i = 1, 200000 do local s = ('x'):rep(500) .. i end return 1";
    for _ in 0..3 {
        assert_eq!(fixture.eval(script, &[], &[]), Value::Int(1));
    }
}

#[test]
fn the_stack_has_a_limit() {
    let mut fixture = Fixture::new();
    for (script, part) in [
        ("local function f() return 1 + f() end return f()", "stack overflow"),
        ("local function f() return pcall(f) end return tostring(f())", ""),
        (
            "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
            "loop in gettable",
        ),
        ("return string.find('a', ('.-'):rep(100000))", "pattern too complex"),
        ("return string.gsub('a', ('(a)'):rep(5000), 'b')", "pattern too complex"),
        ("return string.find('a', ('.?'):rep(2000) .. 'b')", ""),
        ("return {unpack({}, 1, 10000)}", "too many results"),
        ("return {unpack({}, -2147483648, 2147483647)}", "too many results"),
        ("return cjson.encode(cjson.decode(('['):rep(100000)))", "too many nested"),
        (
            "cjson.decode_max_depth(2147483647) return cjson.decode(('['):rep(1000000))",
            "too many nested",
        ),
        ("return cmsgpack.unpack(('\\145'):rep(1000000))", "too many return values"),
        ("return loadstring(('('):rep(100000))", ""),
        ("return {loadstring('return ' .. ('{'):rep(100000))}", ""),
        (
            "local s = '' for i = 1, 300 do s = s .. 'local a' .. i .. ' ' end return {loadstring(s)}",
            "",
        ),
    ] {
        let reply = fixture.eval(script, &[], &[]);
        let text = reply.error_text().unwrap_or_default();
        assert!(text.contains(part), "{script}: {reply:?}");
        assert_eq!(fixture.eval("return 1", &[], &[]), Value::Int(1), "after {script}");
    }
}

/// The bytes that a script answers with.
fn raw(fixture: &mut Fixture, body: &str) -> Vec<u8> {
    let script = Arc::new(Script::parse(body.as_bytes()).expect("a script"));
    let mut reply = Reply::new(Proto::Resp2);
    let none = bytes(&[]);
    let arguments = Arguments { keys: &none, args: &none };
    fixture.engine.eval(&script, arguments, &mut fixture.host, &mut reply);
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    reply.slices(&mut slices, usize::MAX);
    slices.iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn a_reply_that_memory_does_not_suffice_for_is_none() {
    let mut fixture = Fixture::with(Options { memory: 16 << 20, ..Options::default() });
    // What a map holds is copied before it is written, behind the header of the array.
    let script = "local t = {} for i = 1, 300000 do t[i] = i end return {1, {map = t}, 3}";
    assert_eq!(raw(&mut fixture, script).escape_ascii().to_string(), "");
    let text = fixture.eval(script, &[], &[]).error_text().expect("an error");
    assert!(text.contains("not enough memory"), "{text}");
}

#[test]
fn replies_nest_as_deep_as_redis_s() {
    let mut fixture = Fixture::new();
    let limit = b"-ERR reached lua stack limit\r\n";
    // What redis-server 7.0 answers; the clients of these tests give up long before.
    let array = raw(&mut fixture, "local t = {} t[1] = t return t");
    assert_eq!(array, [b"*1\r\n".repeat(7995).as_slice(), limit].concat());
    let map = raw(&mut fixture, "local t = {} t.map = {a=t} return t");
    assert_eq!(map.windows(4).filter(|w| w == b"*2\r\n").count(), 2665);
    assert!(map.ends_with(&[limit.as_slice(), limit].concat()));
    let set = raw(&mut fixture, "local t = {} t.set = {[t]=true} return t");
    assert_eq!(set, [b"*1\r\n".repeat(2665).as_slice(), limit].concat());
}
