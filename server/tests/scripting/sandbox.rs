//! What a script leaves behind: nothing.

use crate::Fixture;
use crate::support::Value;

/// Attempts to leave something for the next script. Whether one fails is its own business.
const ATTEMPTS: &[&str] = &[
    "evil = 1",
    "rawset(_G, 'evil', 1)",
    "_G.evil = 1",
    "getfenv(0).evil = 1",
    "getfenv(1).evil = 1",
    "getfenv().evil = 1",
    "getfenv(redis.call).evil = 1",
    "getfenv(pairs).evil = 1",
    "getfenv(string.upper).evil = 1",
    "rawset(getfenv(pairs), 'evil', 1)",
    "rawset(getfenv(redis.call), 'evil', 1)",
    "setfenv(0, {evil=1})",
    "setfenv(1, {evil=1})",
    "setfenv(pairs, {evil=1})",
    "setfenv(pcall, {error=1})",
    "pcall(function() setfenv(2, {evil=1}) setfenv(3, {evil=1}) end)",
    "pcall(function() getfenv(2).evil = 1 getfenv(3).evil = 1 end)",
    "for level = 1, 20 do pcall(function() rawset(getfenv(level), 'evil', 1) end) end",
    "for level = 1, 20 do pcall(function() setfenv(level, {evil=1}) end) end",
    "string.upper = function() return 'evil' end",
    "rawset(string, 'upper', function() return 'evil' end)",
    "getmetatable('').__index = {upper=function() return 'evil' end}",
    "getmetatable('').__index.upper = function() return 'evil' end",
    "rawset(getmetatable(''), '__index', {})",
    "rawset(getmetatable('').__index, 'upper', function() return 'evil' end)",
    "getmetatable(_G).__index = {evil=1}",
    "getmetatable(_G).__newindex = nil",
    "rawset(getmetatable(_G), '__index', {evil=1})",
    "setmetatable(_G, {__index={evil=1}})",
    "setmetatable(getmetatable(_G), {})",
    "setmetatable(string, {__index={upper=1}})",
    "for _, v in pairs(_G) do if type(v) == 'table' then pcall(function() v.evil = 1 end) end end",
    "for _, v in pairs(_G) do if type(v) == 'table' then pcall(rawset, v, 'evil', 1) end end",
    "for _, v in pairs(_G) do if type(v) == 'table' then pcall(table.insert, v, 1) end end",
    "for _, v in pairs(_G) do if type(v) == 'table' then pcall(setmetatable, v, {}) end end",
    "local k, v = next(_G) while k do if type(v) == 'table' then pcall(rawset, v, 'evil', 1) end k, v = next(_G, k) end",
    "table.foreach(_G, function(k, v) if type(v) == 'table' then pcall(rawset, v, 'evil', 1) end end)",
    "table.insert(redis, 'evil')",
    "table.sort(redis)",
    "table.remove(redis)",
    "redis.call = function() return 'evil' end",
    "rawset(redis, 'call', function() return 'evil' end)",
    "cjson.decode = nil",
    "loadstring('evil = 1')()",
    "setfenv(loadstring('evil = 1'), _G)()",
    "coroutine.wrap(function() evil = 1 end)()",
    "coroutine.wrap(function() setfenv(0, {evil=1}) end)()",
    "coroutine.wrap(function() getfenv(0).evil = 1 end)()",
    "local t = setmetatable({}, {__newindex=_G}) t.evil = 1",
    "local t = setmetatable({}, {__index=_G, __newindex=rawset}) t.redis = nil",
    "xpcall(function() error('x') end, function() evil = 1 end)",
    "__redis__err__handler = nil",
    "__redis__err__handler(_G)",
    "__redis__err__handler(redis)",
    "error(_G)",
    "error(redis)",
    "KEYS.evil = 1 ARGV.evil = 1",
    "collectgarbage('stop')",
];

const PROBE: &str = "
    local loose = {}
    for name, value in pairs(_G) do
      if type(value) == 'table' and name ~= 'KEYS' and name ~= 'ARGV' and rawget(value, 'evil') then
        loose[#loose + 1] = name
      end
    end
    return {
      string.upper('a'), ('a'):upper(), redis.call('ping'), cjson.encode({1}),
      tostring(rawget(_G, 'evil')), tostring(#loose), tostring(redis[1]),
      select(2, pcall(function() return evil end)),
    }";

#[test]
fn nothing_is_left_for_the_next_script() {
    let mut fixture = Fixture::new();
    let good = fixture.eval(PROBE, &[], &[]);
    let items = good.items();
    assert_eq!(items.len(), 8, "{good:?}");
    assert!(items[7].text().contains("nonexistent global variable 'evil'"), "{good:?}");
    for attempt in ATTEMPTS {
        fixture.eval(attempt, &[], &[]);
        assert_eq!(fixture.eval(PROBE, &[], &[]), good, "after {attempt}");
    }
}

#[test]
fn the_environment_of_a_function_is_its_own() {
    let mut fixture = Fixture::new();
    for (script, expected) in [
        ("local f = function() return x end setfenv(f, {x=5}) return f()", Value::Int(5)),
        ("return getfenv(1) == _G and 1", Value::Int(1)),
        ("return getfenv(0) == _G and 1", Value::Int(1)),
        ("return getfenv(redis.call) == _G and 1", Value::Int(1)),
        ("local function f() setfenv(1, {y=7}) return y end return f()", Value::Int(7)),
        ("local function f() setfenv(2, {y=7}) end f() return y", Value::Int(7)),
    ] {
        assert_eq!(fixture.eval(script, &[], &[]), expected, "{script}");
    }
    let deny = fixture.eval("setfenv(0, {})", &[], &[]).error_text().expect("an error");
    assert!(deny.contains("'setfenv' cannot change environment of given object"), "{deny}");
}

#[test]
fn bytecode_is_not_run() {
    let mut fixture = Fixture::new();
    let script = "local f = loadstring(string.dump(function() return 1 end)) return type(f)";
    assert_eq!(fixture.eval(script, &[], &[]), Value::bulk("nil"));
    let script = "local code = string.dump(function() return 1 end)
                  local f = load(function() local c = code code = nil return c end) return type(f)";
    assert_eq!(fixture.eval(script, &[], &[]), Value::bulk("nil"));
    assert!(fixture.eval("\x1bLua", &[], &[]).is_error());
}

#[test]
fn the_log_gets_what_scripts_say() {
    let mut fixture = Fixture::new();
    fixture.eval("redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')", &[], &[]);
    assert_eq!(fixture.host.log, [(3, b"a 1 b".to_vec())]);
    fixture.host.patience = Some(10);
    assert!(fixture.eval("return redis.acl_check_cmd('set', 'x', 1)", &[], &[]).is_null());
    assert_eq!(fixture.eval("return redis.acl_check_cmd('get', 'x')", &[], &[]), Value::Int(1));
}

#[test]
fn every_kind_of_reply_reaches_a_script() {
    let mut fixture = Fixture::new();
    let script = "redis.setresp(3) local r = redis.call('everything') return {
        tostring(r[1].double), tostring(r[2]), tostring(r[3]), tostring(r[4]), r[5].big_number,
        r[6].verbatim_string.format, r[6].verbatim_string.string, r[7].map.key,
        tostring(r[8].set.member), type(r[9]) }";
    let expected = [
        "1.5",
        "true",
        "false",
        "nil",
        "12345678901234567890123",
        "txt",
        "some text",
        "7",
        "true",
        "table",
    ];
    let texts: Vec<String> = fixture
        .eval(script, &[], &[])
        .items()
        .iter()
        .map(|item| match item {
            Value::Int(n) => n.to_string(),
            other => other.text(),
        })
        .collect();
    assert_eq!(texts, expected);
    let back = "redis.setresp(3) local r = redis.call('everything') r[4] = 'nil' return r";
    fixture.proto = dunlin_protocol::Proto::Resp3;
    let reply = format!("{:?}", fixture.eval(back, &[], &[]));
    for part in ["1.5", "12345678901234567890123", "some text", "member"] {
        assert!(reply.contains(part), "{reply}");
    }
    for infinite in ["inf", "-inf", "nan"] {
        let script =
            format!("redis.setresp(3) return tostring(redis.call('double', '{infinite}').double)");
        assert!(fixture.eval(&script, &[], &[]).text().contains(&infinite[..3]));
    }
}
