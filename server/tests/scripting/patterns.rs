//! Patterns, beside Lua's own matcher.

use crate::Fixture;
use crate::support::{Rng, Value};
use dunlin::scripting::Script;
use mlua::{Lua, LuaString};
use std::sync::Arc;

/// What the functions answer for a text, a pattern, a replacement and a position, errors included.
const SCRIPT: &str = "
local text, pattern, with, from = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local notes = {}
local function note(...)
  for i = 1, select('#', ...) do notes[#notes + 1] = tostring((select(i, ...))) end
  notes[#notes + 1] = '|'
end
local function try(f) note(pcall(f)) end
note(pcall(string.find, text, pattern))
note(pcall(string.match, text, pattern))
note(pcall(string.gsub, text, pattern, with))
try(function() local a, b, c, d = string.find(text, pattern, from) return a, b, c, d end)
try(function() local a, b = string.find(text, pattern, from, true) return a, b end)
try(function() local a, b, c, d = string.match(text, pattern, from) return a, b, c, d end)
try(function() for a, b, c in string.gmatch(text, pattern) do note(a, b, c) end end)
try(function() local a, b = string.gsub(text, pattern, with, from) return a, b end)
try(function() local a, b = text:gsub(pattern, { a = 1, b = false, [1] = 'one', [''] = with }) return a, b end)
try(function()
  local a, b = text:gsub(pattern, function(...) note(...) return select('#', ...) > 1 and with or nil end)
  return a, b
end)
try(function() local a = text:gsub(pattern, function() return true end) return a end)
return table.concat(notes, ',')";

/// What patterns are made of, whole and broken.
const PARTS: &[&str] = &[
    "a", "b", "x", " ", "1", "é", "\0", ".", "^", "$", "*", "+", "?", "-", "(", ")", "()", "[",
    "]", "%", "%%", "%a", "%A", "%d", "%s", "%w", "%x", "%z", "%Z", "%p", "%g", "[ab]", "[^a]",
    "[a-c%d]", "[]]", "[^]x]", "[%]]", "[a-]", "[%a-z]", "(a*)", "(.-)", "(.)", "%1", "%2", "%0",
    "%b()", "%bxx", "%b", "%f[a]", "%f[%W]", "%f", "a-", ".*", "b?", "[ab]+", "[^b]-",
];
const TEXTS: &[&str] = &["a", "a", "b", "x", "(", ")", "1", " ", "]", "-", "%", "^", "é", "\0"];
const REPLACEMENTS: &[&str] = &["", "x", "%0", "<%1>", "%2%1", "%%", "%", "%x", "\0", "1"];

fn joined(rng: &mut Rng, parts: &[&str], most: usize) -> String {
    (0..rng.below(most + 1)).map(|_| *rng.pick(parts)).collect()
}

/// Lua as it comes.
struct Original {
    lua: Lua,
    script: mlua::Function,
}

impl Original {
    fn new() -> Original {
        let lua = Lua::new();
        let script = lua.load(SCRIPT).set_name("@user_script").into_function();
        Original { script: script.expect("a script"), lua }
    }

    fn run(&self, args: &[&str]) -> Vec<u8> {
        let list = self.lua.create_sequence_from(args.iter().copied()).expect("a table");
        self.lua.globals().set("ARGV", list).expect("a global");
        let answer: LuaString = self.script.call(()).expect("it catches its errors");
        answer.as_bytes().to_vec()
    }
}

#[test]
fn patterns_do_what_lua_s_own_do() {
    const ROUNDS: usize = 20_000;
    let seed = Rng::random_seed();
    let mut rng = Rng::new(seed);
    let (original, mut fixture) = (Original::new(), Fixture::new());
    let script = Arc::new(Script::parse(SCRIPT.as_bytes()).expect("a script"));
    for round in 0..ROUNDS {
        let (text, pattern) = (joined(&mut rng, TEXTS, 8), joined(&mut rng, PARTS, 6));
        let with = joined(&mut rng, REPLACEMENTS, 2);
        let from = rng.between(-10, 10).to_string();
        let args = [text.as_str(), &pattern, &with, &from];
        let (theirs, ours) = (original.run(&args), fixture.run(&script, &[], &args));
        assert_eq!(ours, Value::bulk(theirs), "{args:?}, round {round} of seed {seed}");
    }
}

#[test]
fn a_text_is_found_in_time_whatever_it_is() {
    let mut fixture = Fixture::new();
    // Compared character by character at each position this takes 5 * 10^11 steps.
    let script = "local text, wanted = ('a'):rep(1000000), ('a'):rep(500000) .. 'b'
        return {tostring(text:find(wanted, 1, true)), (text .. 'b'):find(wanted)}";
    let expected = [Value::bulk("nil"), Value::Int(500_001), Value::Int(1_000_001)];
    assert_eq!(fixture.eval(script, &[], &[]).items(), expected);
}

#[test]
fn replacements_keep_to_the_memory_of_scripts() {
    let options = dunlin::scripting::Options { memory: 16 << 20, ..Default::default() };
    let mut fixture = Fixture::with(options);
    for script in [
        "return #string.gsub(('a'):rep(100000), 'a', ('b'):rep(1000))",
        "return #string.gsub(('a'):rep(100000), '.*', ('%0'):rep(1000))",
        "return #string.gsub(('a'):rep(100000), 'a', function() return ('b'):rep(1000) end)",
    ] {
        let text = fixture.eval(script, &[], &[]).error_text().expect(script);
        assert!(text.contains("not enough memory"), "{script}: {text}");
    }
    let many = "local n = 0
        local text, count = string.gsub(('a'):rep(100000), 'a', function(a) n = n + 1 return a .. a end)
        return {#text, count, n}";
    let expected = [200_000, 100_000, 100_000].map(Value::Int);
    assert_eq!(fixture.eval(many, &[], &[]).items(), expected);
}
